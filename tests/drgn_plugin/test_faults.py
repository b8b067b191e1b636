"""What goes wrong is a FaultError or one line in the log; the session goes on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.machine import Machine, build_machine
from containers.vmlinux_file import build_vmlinux
from vmcore.shapes import HOLEY, LINEAR

drgn = pytest.importorskip("drgn", reason="drgn is not installed")
from vmemmap.drgn_plugin import attach, attaching, drgn_prog_set, pieces, segments  # noqa: E402
from vmemmap.errors import FactMissing  # noqa: E402
from vmemmap.vmcore import open_vmcore  # noqa: E402


def written(machine: Machine, tmp_path: Path, kind: str = "elf") -> Path:
    path = tmp_path / f"vmcore.{kind}"
    path.write_bytes(machine.elf() if kind == "elf" else machine.kdump())
    return path


@pytest.fixture
def machine() -> Machine:
    return build_machine(blocks=HOLEY)


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_an_excluded_page_of_a_block_is_a_fault_and_its_neighbours_are_read(
    program: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    machine = build_machine(page_size=4096, block_shift=16, blocks=4)
    block = machine.blocks[1]
    machine.exclude(block.phys + 4096)
    prog = program(written(machine, tmp_path, kind))
    attach(prog)
    for into in (0, 4095, 8192, 65535):
        assert prog.read(block.virt + into, 1) == machine.content(block.virt + into, 1)
    for into, count in ((4096, 1), (8191, 1), (4090, 16), (0, 65536)):
        with pytest.raises(drgn.FaultError, match="excluded"):
            prog.read(block.virt + into, count)


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_a_damaged_list_gives_what_is_left_of_it(
    program: Callable[..., Any], tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    machine = build_machine(blocks=8)
    machine.poke_node(5, link=0x1234)
    prog = program(written(machine, tmp_path, kind))
    drgn_prog_set(prog)
    assert caplog.records == []
    kept, lost = machine.entries[5], machine.entries[6]
    assert prog.read(kept.virt, 64) == machine.content(kept.virt, 64)
    with pytest.raises(drgn.FaultError, match="the list is damaged"):
        prog.read(lost.virt, 64)


def test_a_kernel_that_says_too_little_is_one_line_in_the_log(
    program: Callable[..., Any],
    machine: Machine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    del machine.vmcoreinfo["SYMBOL(vmemmap_list)"]
    machine.sync_vmcoreinfo()
    prog = program(written(machine, tmp_path))
    with pytest.raises(FactMissing):
        attach(prog)
    drgn_prog_set(prog)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("vmemmap.drgn_plugin", logging.WARNING)
    assert "\n" not in record.getMessage()
    assert "vmemmap_list" in record.getMessage()
    head = machine.symbols["vmemmap_list"]
    assert prog.read(head, 8) == machine.read(head, 8)


def test_a_dump_that_went_away_is_one_line_in_the_log(
    program: Callable[..., Any],
    machine: Machine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = written(machine, tmp_path)
    prog = program(path)
    path.unlink()
    drgn_prog_set(prog)
    (record,) = caplog.records
    assert "there is no such file" in record.getMessage()


def test_an_error_that_nobody_thought_of_is_one_line_in_the_log(
    program: Callable[..., Any],
    machine: Machine,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(attaching, "_missing_regions", broken)
    prog = program(written(machine, tmp_path))
    drgn_prog_set(prog)
    (record,) = caplog.records
    assert record.getMessage().endswith("RuntimeError: out of luck")
    assert record.exc_info is None


def test_an_unexpected_error_in_a_read_is_a_fault_and_logged_once(
    program: Callable[..., Any], machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prog = program(written(machine, tmp_path))
    core = attach(prog).core
    assert core is not None
    core.close()
    for _ in range(3):
        with pytest.raises(drgn.FaultError, match="the dump is closed"):
            prog.read(machine.vmemmap_base, 8)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("vmemmap.drgn_plugin", logging.ERROR)
    assert prog.read(machine.symbols["vmemmap_list"], 8)  # drgn's own


def test_attaching_twice_is_attaching_once(
    program: Callable[..., Any], machine: Machine, tmp_path: Path
) -> None:
    prog = program(written(machine, tmp_path))
    assert attach(prog) is attach(prog)
    drgn_prog_set(prog)
    assert attach(prog).core is not None
    assert prog.read(machine.vmemmap_base, 8) == machine.content(machine.vmemmap_base, 8)


def test_other_programs_are_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty = drgn.Program()
    x86 = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    live = drgn.Program()
    live.set_pid(os.getpid())
    for prog in (empty, x86, live):
        drgn_prog_set(prog)
        assert attach(prog).regions == ()
        assert not prog.cache
    assert caplog.records == []


@pytest.mark.parametrize(("room", "fetched"), [(3, 24), (12, 12)])
def test_pages_are_kept_within_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, fetched: int
) -> None:
    """Twice over twelve blocks far apart: with room for three each page is fetched again."""
    monkeypatch.setattr(pieces, "CACHE_BYTES", room * 65536)
    machine = build_machine(blocks=12, block_shift=24)
    asked: list[int] = []
    with open_vmcore(written(machine, tmp_path, "kdump")) as core:
        get = core.source.read

        def counted(phys: int, size: int) -> bytes:
            asked.append(phys)
            return get(phys, size)

        core.backing  # noqa: B018 (which reads, too)
        monkeypatch.setattr(core.source, "read", counted)
        read = segments.virtual_reader(core)
        for block in machine.blocks * 2:
            for into in (8, 65472):
                got = read(block.virt + into, 64, into, False)
                assert bytes(got) == machine.content(block.virt + into, 64)
    assert len(asked) == fetched


def test_a_kernel_before_3_13_with_its_vmlinux(
    program: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = build_machine(layout="f000", release="3.12.28-4-default", blocks=6)
    prog = program(written(machine, tmp_path))
    drgn_prog_set(prog)
    assert len(caplog.records) == 1
    vmlinux = tmp_path / "vmlinux"
    sizes = {"mmu_psize_defs": 14 * 80}
    table = [(name, at, sizes.get(name, 8)) for name, at in machine.symbols.items()]
    vmlinux.write_bytes(build_vmlinux(table))
    assert attach(prog, vmlinux).regions
    for block in machine.blocks:
        assert prog.read(block.virt + 8, 64) == machine.content(block.virt + 8, 64)


def test_the_users_own_vmcoreinfo_is_used(
    program: Callable[..., Any], machine: Machine, tmp_path: Path
) -> None:
    """A dump of QEMU with the text from elsewhere: drgn then has no way into the linear map."""
    from builders.elf_core import Segment
    from builders.vmcoreinfo import vmcoreinfo_text

    segments = [
        Segment(s.paddr, s.data, s.memsz, vaddr=s.paddr)  # QEMU gives no kernel addresses
        for s in machine.segments()
    ]
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf(with_vmcoreinfo=False, segments=segments))
    prog = program(path, vmcoreinfo=vmcoreinfo_text(machine.vmcoreinfo))
    attachment = attach(prog)
    assert "linear map" in {region.name for region in attachment.regions}
    block = machine.blocks[3]
    assert prog.read(block.virt, 64) == machine.content(block.virt, 64)
    assert prog.read(LINEAR + block.phys, 64) == machine.content(block.virt, 64)
