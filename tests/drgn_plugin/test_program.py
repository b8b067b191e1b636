"""open_program(): any dump that we read as a drgn program."""

from __future__ import annotations

import gc
import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from breadth import singles
from builders.flattened import build_flattened
from builders.machine import Machine, build_machine
from builders.notes import NT_PRSTATUS, Notes, build_note, prstatus, qemu_notes
from vmcore.shapes import LINEAR, SHAPES, name_of, opened, shaped
from vmemmap.vmcore import Vmcore, open_vmcore

drgn = pytest.importorskip("drgn", reason="drgn is not installed")
from vmemmap.drgn_plugin import attach, load_debug_info, open_program  # noqa: E402
from vmemmap.drgn_plugin.notes_core import registers  # noqa: E402


def check(prog: Any, machine: Machine) -> None:
    """The program is that machine: physical, linear and struct page memory."""
    big = machine.byte_order == "big"
    assert prog.platform.arch == drgn.Architecture.PPC64
    assert bool(prog.platform.flags & drgn.PlatformFlags.IS_LITTLE_ENDIAN) is not big
    assert prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL
    assert prog["UTS_RELEASE"].string_().decode() == machine.release
    head = machine.symbols["vmemmap_list"]
    assert prog.read(head, 8) == prog.read(head - LINEAR, 8, True) == machine.read(head, 8)
    if machine.entries:
        assert prog.read_u64(head) == machine.entries[0].node
    for block in machine.blocks:
        for virt in (block.virt, block.virt + machine.block_size - 64):
            phys = machine.phys_of(virt)
            assert prog.read(virt, 64) == machine.content(virt, 64)
            assert prog.read(LINEAR + phys, 64) == machine.content(virt, 64)
            assert prog.read(phys, 64, True) == machine.content(virt, 64)


@pytest.mark.parametrize(
    ("shape", "order", "kind"),
    singles(product(SHAPES, ("little", "big"), ("elf", "kdump"))),
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_every_kernel(shape: dict[str, Any], order: str, kind: str, tmp_path: Path) -> None:
    machine = shaped(shape, byte_order=order)
    with opened(machine, tmp_path, kind) as core:
        prog = open_program(core)
        check(prog, machine)
        assert attach(prog).core is core  # nothing is added twice


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("container", ["little", "big"])
def test_a_dump_of_qemu_without_vmcoreinfo(order: Any, container: Any, tmp_path: Path) -> None:
    machine = build_machine(byte_order=order, blocks=8)
    notes = qemu_notes(container, memory_order=order, cpus=2)
    path = tmp_path / "dump"
    path.write_bytes(machine.elf(order=container, notes=notes, align=1, sections="qemu"))
    with open_vmcore(path) as core:
        check(open_program(core), machine)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("container", ["little", "big"])
@pytest.mark.parametrize("pids", [(0, 0, 0), (7, 100, 3)])
def test_registers_are_in_the_memorys_order_and_numbered(
    order: Any, container: Any, pids: tuple[int, ...], tmp_path: Path
) -> None:
    machine = build_machine(byte_order=order, blocks=8)
    values = [{"gpr1": 0xC000000000100000 + n, "nip": 0xC000000000010000 + 4 * n} for n in range(3)]
    data = b"".join(
        build_note(b"CORE", prstatus(container, pid=pid, registers=regs), NT_PRSTATUS, container)
        for pid, regs in zip(pids, values, strict=True)
    )
    path = tmp_path / "dump"
    path.write_bytes(machine.elf(order=container, notes=Notes(data, cpus=3), align=1))
    numbers = pids if any(pids) else (1, 2, 3)
    with open_vmcore(path) as core:
        assert registers(core, order) == [
            prstatus(order, pid=pid, registers=regs)
            for pid, regs in zip(numbers, values, strict=True)
        ]
        check(open_program(core), machine)


def test_a_note_that_is_too_short_is_left_out(tmp_path: Path) -> None:
    machine = build_machine(blocks=8)
    data = build_note(b"CORE", bytes(100), NT_PRSTATUS, "little") + machine.notes().data
    with opened(machine, tmp_path, notes=Notes(data, cpus=2)) as core:
        assert len(registers(core, "little")) == 1
        check(open_program(core), machine)


def test_the_users_variables_stay_as_they_are(
    core: Vmcore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRGN_USE_LIBKDUMPFILE_FOR_ELF", "1")
    open_program(core)
    assert os.environ["DRGN_USE_LIBKDUMPFILE_FOR_ELF"] == "1"


def test_no_file_stays_open(core: Vmcore) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    open_program(core)
    gc.collect()
    before = count()
    for _ in range(3):
        open_program(core)
    gc.collect()
    assert count() == before


def test_a_flattened_dump(tmp_path: Path) -> None:
    machine = build_machine(blocks=8)
    path = tmp_path / "vmcore.flat"
    path.write_bytes(build_flattened(machine.kdump()))
    with open_vmcore(path) as core:
        check(open_program(core), machine)


def test_memory_that_is_not_there_is_a_fault_and_never_zeros(tmp_path: Path) -> None:
    machine = build_machine(blocks=8)
    excluded, absent = machine.blocks[3], machine.blocks[5]
    machine.exclude(excluded.phys)
    machine.drop(absent.phys)
    with opened(machine, tmp_path) as core:
        prog = open_program(core)
        for block, why in ((excluded, "excluded"), (absent, "no PT_LOAD")):
            for address, physical in (
                (block.virt, False),
                (LINEAR + block.phys, False),
                (block.phys, True),
            ):
                with pytest.raises(drgn.FaultError, match=why) as caught:
                    prog.read(address + 8, 8, physical)
                assert caught.value.address == address + 8
        nowhere = (0, 0x10000000, 0xB000000000000000, 0xF000000000000000, (1 << 64) - 16)
        for address in (*nowhere, machine.ram_end + LINEAR):
            with pytest.raises(drgn.FaultError) as caught:
                prog.read(address, 8)
            assert caught.value.address == address


@pytest.fixture
def core(tmp_path: Path) -> Any:
    with opened(build_machine(blocks=8), tmp_path) as core:
        yield core


def test_without_debugging_information_it_says_which_is_wanted(
    core: Vmcore, tmp_path: Path
) -> None:
    build_id = core.kernel.vmcoreinfo.text("BUILD-ID")
    said = load_debug_info(open_program(core), [])
    assert said is not None
    assert build_id in said
    other = tmp_path / "vmlinux"
    other.write_bytes(Path("/proc/self/exe").read_bytes())
    said = load_debug_info(open_program(core), [str(other)])
    assert said is not None
    assert str(other) in said
    assert build_id in said
