"""pytest fixtures that give simulated dumps with known answers, for the suites of kdump tools.

::

    @pytest.mark.vmemmap(era="2.6.35", page_size="4K", byte_order="big", damage="truncated")
    def test_my_tool(vmcore):
        subprocess.run(["my-tool", vmcore, vmcore.vmlinux], check=True)

pytest finds it by its entry point, and loads nothing with it but this module; what makes the dumps
is loaded by the first test that asks for one. See docs/simulate.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from vmemmap.simulate import KnownPages, Machine, MachineSpec
    from vmemmap.simulate.crash.answers import ListAnswers, PageAnswers
    from vmemmap.simulate.crash.damage import Harm
    from vmemmap.simulate.crash.snapshot import Snapshot
    from vmemmap.simulate.mm.backing_list import VmemmapBacking
    from vmemmap.simulate.sched.roster import Task

MARKER = "vmemmap"
_OF_THE_DUMP = ("damage", "container", "codec", "debug_info")
_MEMORY = "1G"


@dataclass(frozen=True)
class SimulatedVmcore:
    """A simulated dump: a path, for whatever reads dumps, and what such a tool has to find.

    Attributes:
        path: The file.
        vmlinux: The kernel's symbols, which readers need for kernels before 3.13; with the mark's
            ``debug_info`` its types and variables, too.
        machine: The machine that crashed.
        entries: The list before any damage, head first: node, phys and virt_addr.
        list: What is known of the list and of the pages of its nodes, before any damage.
        damage: What was done to the list, each with the findings that a checker has to give.
    """

    path: Path
    vmlinux: Path
    machine: Machine
    entries: tuple[VmemmapBacking, ...]
    list: ListAnswers
    damage: tuple[Harm, ...]
    _snapshot: Snapshot

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return os.fspath(self.path)

    @cached_property
    def pages(self) -> PageAnswers:
        """How many pages of each use the dump has."""
        from vmemmap.simulate.crash.answers import page_answers

        return page_answers(self._snapshot)

    @cached_property
    def known_pages(self) -> tuple[KnownPages, ...]:
        """What every page of the dump is, and which dump levels leave it out, in runs of pages."""
        from vmemmap.simulate.crash.known_pages import known_pages

        return tuple(known_pages(self._snapshot))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, as a debugger has to find them; without those that idle."""
        from vmemmap.simulate.sched.roster import TASKS

        return TASKS

    @cached_property
    def makedumpfile(self) -> dict[str, int]:
        """Those that makedumpfile leaves out, by its classes."""
        from vmemmap.simulate.crash.answers import makedumpfile_classes

        return makedumpfile_classes(self.machine.kernel, self.pages)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "vmemmap(spec=None, *, era, memory, damage, container, codec, debug_info, ...): the "
        "machine that vmemmap_machine and vmcore simulate: a spec (a TOML file, or a MachineSpec), "
        "or fields of one (era is its release); how its list is damaged, how its dump is written, "
        "and whether its vmlinux has debugging information",
    )


@pytest.fixture
def vmemmap_machine(request: pytest.FixtureRequest) -> Machine:
    """A simulated machine as the test's ``vmemmap`` marks say, booted, its events run."""
    return _machine(_wanted(request))


@pytest.fixture
def vmcore(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SimulatedVmcore]:
    """A dump of a simulated machine as the test's ``vmemmap`` marks say; gone after the test."""
    from vmemmap.errors import VmemmapError
    from vmemmap.simulate.crash.answers import list_answers
    from vmemmap.simulate.crash.damage import apply_damage
    from vmemmap.simulate.crash.vmcore import write_vmcore

    wanted = _wanted(request)
    made = _machine(wanted)
    path, vmlinux = tmp_path / "vmcore", tmp_path / "vmlinux"
    damage = wanted.get("damage", ())
    try:
        snapshot, entries = made.snapshot(), made.backing
        answers = list_answers(snapshot.machine)
        names = (damage,) if isinstance(damage, str) else tuple(damage)
        harms = tuple(apply_damage(snapshot, name) for name in names)
        container, codec = wanted.get("container", "elf"), wanted.get("codec", "zlib")
        write_vmcore(snapshot, path, lambda _what, _done, _total: None, container, codec)
        made.write_symbols(vmlinux, debug_info=bool(wanted.get("debug_info")))
    except (VmemmapError, ValueError, TypeError) as error:
        raise _refused(error) from error
    yield SimulatedVmcore(path, vmlinux, made, entries, answers, harms, snapshot)
    path.unlink(missing_ok=True)  # it is large, also where pytest keeps the folder


def _wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Put together what the marks of a test say, its own before its class's and module's."""
    wanted: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARKER))):
        if len(mark.args) > 1:
            raise _refused(f"one spec at most, found {len(mark.args)}")
        if mark.args:
            wanted = {"spec": mark.args[0]}  # a machine of its own
        wanted.update(mark.kwargs)
    given = getattr(request, "param", None)
    if given is not None:
        if not isinstance(given, Mapping):
            raise _refused(f"expected a parameter that is a mapping, found {given!r}")
        wanted.update(given)
    return wanted


def _machine(wanted: Mapping[str, Any]) -> Machine:
    from vmemmap.errors import VmemmapError
    from vmemmap.simulate import Machine

    fields = {name: value for name, value in wanted.items() if name not in _OF_THE_DUMP}
    if "era" in fields:
        fields["release"] = fields.pop("era")
    try:
        spec = fields.pop("spec", None)
        if spec is not None:
            return Machine(_spec(spec, fields)).boot().run_events()
        fields.setdefault("memory", _MEMORY)
        if wanted.get("damage") and "block_size" not in fields:
            # More entries, so that one can be damaged among others.
            kernel = Machine(**fields).kernel
            fields["block_size"] = min(kernel.block_sizes(0))
        return Machine(**fields).boot().run_events()
    except (VmemmapError, TypeError) as error:
        raise _refused(error) from error


def _spec(spec: object, fields: Mapping[str, Any]) -> MachineSpec:
    from vmemmap.simulate import MachineSpec, load_spec
    from vmemmap.simulate.spec.by_hand import changed

    if not isinstance(spec, (str, os.PathLike, MachineSpec)):
        raise TypeError(f"expected a TOML file or a MachineSpec, found {spec!r}")
    return changed(spec if isinstance(spec, MachineSpec) else load_spec(Path(spec)), fields)


def _refused(why: object) -> pytest.UsageError:
    return pytest.UsageError(f"@pytest.mark.{MARKER}: {why}")
