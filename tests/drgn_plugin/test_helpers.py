"""drgn's page table helpers answer for programs that were attached to, and for no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.machine import Machine, build_machine
from vmcore.shapes import LINEAR, written

drgn = pytest.importorskip("drgn", reason="drgn is not installed")
from vmemmap.drgn_plugin import attach, helpers  # noqa: E402


@pytest.fixture
def mm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """drgn's module, put back as it was afterwards."""
    from drgn.helpers.linux import mm

    for name in ("direct_mapping_offset", "follow_phys", "read_vm"):
        name = f"_linux_helper_{name}"
        monkeypatch.setattr(mm, name, getattr(mm, name))
    monkeypatch.setattr(helpers, "_installed", False)
    return mm


@pytest.fixture
def machine() -> Machine:
    return build_machine(blocks=8)


def test_a_hash_kernel(
    mm: Any, program: Callable[..., Any], machine: Machine, tmp_path: Path
) -> None:
    prog = program(written(machine, tmp_path))
    attach(prog)
    pgd = machine.symbols["swapper_pg_dir"]
    block, data = machine.blocks[2], machine.symbols["vmemmap_list"]
    assert mm.virt_to_phys(prog, data).value_() == data - LINEAR
    assert mm.phys_to_virt(prog, block.phys).value_() == LINEAR + block.phys
    assert mm._linux_helper_follow_phys(prog, pgd, block.virt + 24) == block.phys + 24
    assert mm._linux_helper_follow_phys(prog, pgd, data) == data - LINEAR
    got = mm._linux_helper_read_vm(prog, pgd, block.virt + 65530, 12)
    assert got == machine.content(block.virt + 65530, 12)
    outside = machine.vmemmap_base + 8 * 65536
    for ask in (mm._linux_helper_follow_phys, mm._linux_helper_read_vm):
        with pytest.raises(drgn.FaultError) as caught:
            ask(prog, pgd, outside, *([8] if ask is mm._linux_helper_read_vm else []))
        assert caught.value.address == outside


def test_a_radix_kernel_is_asked_as_before(
    mm: Any, program: Callable[..., Any], machine: Machine, tmp_path: Path
) -> None:
    attach(program(written(machine, tmp_path)))  # which puts the switches in place
    radix = build_machine(mmu="radix", block_shift=21, blocks=4, release="6.12.0-powerpc64le")
    for kind in ("elf", "kdump"):
        prog = program(written(radix, tmp_path, kind))
        attach(prog)
        block, pgd = radix.blocks[1], radix.symbols["swapper_pg_dir"]
        assert mm._linux_helper_follow_phys(prog, pgd, block.virt + 24) == block.phys + 24
        with pytest.raises(Exception, match="direct mapping"):  # drgn's own, without vmlinux
            mm._linux_helper_direct_mapping_offset(prog)


def test_a_hash_program_without_us_is_refused_as_before(
    mm: Any, program: Callable[..., Any], machine: Machine, tmp_path: Path
) -> None:
    path = written(machine, tmp_path)
    attach(program(path))
    plain = program(path)
    with pytest.raises((NotImplementedError, LookupError)):
        mm._linux_helper_follow_phys(plain, machine.symbols["swapper_pg_dir"], LINEAR)


def test_a_process(mm: Any, program: Callable[..., Any], machine: Machine, tmp_path: Path) -> None:
    """Its root table is another one, and the kernel's knows nothing of what is in it."""
    user, block = 0x10000000, machine.blocks[2]
    machine.map_page(user, block.phys)
    kernels = machine.symbols["swapper_pg_dir"]
    pgd = LINEAR + machine.blocks[7].phys
    machine.poke(pgd, machine.read(kernels, 8 << 8))  # 2**8 entries in the root table
    machine.poke_u64(kernels, 0)
    prog = program(written(machine, tmp_path))
    attach(prog)
    assert mm._linux_helper_follow_phys(prog, pgd, user + 24) == block.phys + 24
    assert mm._linux_helper_read_vm(prog, pgd, user + 24, 64) == machine.content(
        block.virt + 24, 64
    )
    for ask, address, *more in (
        (mm._linux_helper_follow_phys, user + 65536),
        (mm._linux_helper_read_vm, user + 65530, 12),
    ):
        with pytest.raises(drgn.FaultError, match="not mapped") as caught:
            ask(prog, pgd, address, *more)
        assert caught.value.address == user + 65536
    with pytest.raises(drgn.FaultError, match="linear map"):
        mm._linux_helper_follow_phys(prog, 0x1234, user)


def test_a_drgn_that_names_them_otherwise_is_one_line_in_the_log(
    mm: Any,
    program: Callable[..., Any],
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delattr(mm, "_linux_helper_follow_phys")
    prog = program(written(machine, tmp_path))
    attach(prog)
    (record,) = caplog.records
    assert "_linux_helper_follow_phys" in record.getMessage()
    assert prog.read(machine.vmemmap_base, 8) == machine.content(machine.vmemmap_base, 8)
