"""Damaged dumps through the whole library: only a VmemmapError may ever come out.

The damage goes where the library looks: container headers, notes, VMCOREINFO values, list nodes,
the variables that lead to the list, and page tables; and anywhere else.
"""

from __future__ import annotations

import struct
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vmemmap
from breadth import examples
from builders.byte_order import Order, u64
from builders.machine import Machine, build_machine
from builders.node_list import NODE_BYTES
from vmemmap import VmemmapError

RUN = settings(max_examples=examples(120), suppress_health_check=list(HealthCheck))
ORDERS: list[Order] = ["little", "big"]
Damage = list[tuple[int, bytes]]
KEYS = [
    *(b"PAGESIZE", b"SIZE(page)", b"SIZE(vmemmap_backing)", b"OFFSET(vmemmap_backing.phys)"),
    *(b"SYMBOL(vmemmap_list)", b"SYMBOL(mmu_psize_defs)", b"SIZE(mmu_psize_def)"),
    *(b"OFFSET(mmu_psize_def.shift)", b"SYMBOL(swapper_pg_dir)", b"SYMBOL(init_uts_ns)"),
]


@dataclass(frozen=True)
class Sample:
    """A machine, its ELF dump, and the file offsets worth damaging, by name."""

    machine: Machine
    data: bytes
    targets: dict[str, list[tuple[int, int]]]


def file_offset(data: bytes, order: Order, phys: int) -> int:
    mark = "<" if order == "little" else ">"
    (count,) = struct.unpack_from(mark + "H", data, 56)
    for index in range(count):
        kind, _, offset, _, paddr, filesz = struct.unpack_from(
            mark + "IIQQQQ", data, 64 + 56 * index
        )
        if kind == 1 and paddr <= phys < paddr + filesz:
            return int(offset + phys - paddr)
    raise ValueError(f"{phys:#x} is not in the file")


@cache
def sample(mmu: str, order: Order) -> Sample:
    machine = build_machine(
        byte_order=order,
        mmu="radix" if mmu == "radix" else "hash",
        blocks=6,
        block_shift=21 if mmu == "radix" else 16,
        node_order="shuffled",
    )
    data = machine.elf()

    def at(address: int, size: int) -> tuple[int, int]:
        start = file_offset(data, order, machine.phys_of(address))
        return start, start + size

    text = data.index(b"OSRELEASE=")
    names = ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs", "init_uts_ns")
    targets = {
        "container": [(0, 64 + 4 * 56)],
        "vmcoreinfo": [(text - 24, text + 3500)],
        "values": [
            (data.index(b"=", data.index(key, text)) + 1, data.index(b"\n", data.index(key, text)))
            for key in KEYS
        ],
        "variables": [at(machine.symbols[name], 64) for name in names],
        "nodes": [at(entry.node, NODE_BYTES) for entry in machine.entries],
        "tables": [at(machine.symbols["swapper_pg_dir"], 65536)],
    }
    return Sample(machine, data, targets)


def use_everything(data: bytes, machine: Machine) -> None:
    """Ask the library for all it has; a VmemmapError is an answer, anything else is a bug."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            core = vmemmap.open(file.name)
        except VmemmapError:
            return
        with core:
            _ask(core, machine)


def _ask(core: vmemmap.Vmcore, machine: Machine) -> None:
    with suppress(VmemmapError):
        assert all(str(error) for error in core.facts.missing.values())
    with suppress(VmemmapError):
        backing = core.backing
        assert len(backing) == len(backing.node) == len(backing.phys) == len(backing.virt)
        entries = list(backing)
        assert [int(entry.virt) for entry in entries] == backing.virt.tolist()
        assert backing.node_pages <= len(backing)
    with suppress(VmemmapError):
        assert all(finding.message for finding in core.findings)
    _translate(core, machine)


def _translate(core: vmemmap.Vmcore, machine: Machine) -> None:
    points = [block.virt + step for block in machine.blocks for step in (-1, 0, 8, 0xFFFF, 0x10000)]
    points += [0, 1, 2**63, 0xC000000000000000, 0xC008000000000000, 0xF000000000000000, 2**64 - 1]
    found: dict[int, int] = {}
    for virt in points:
        with suppress(VmemmapError):
            answer = core.vtop(virt)
            assert answer.virt == virt
            found[virt] = answer.phys
        with suppress(VmemmapError):
            assert len(core.read(virt, 24)) == 24
    try:
        phys, mask = core.vtop_many(np.array(points, dtype=np.uint64))
    except VmemmapError:
        return
    bulk = dict(zip(points, zip(phys.tolist(), mask.tolist(), strict=True), strict=True))
    for virt, expected in found.items():
        # The single form answers addresses of the linear map without looking at the layout.
        assert bulk[virt] == (expected, True) or virt >> 60 == 0xC
    assert all(virt in found for virt, (_, there) in bulk.items() if there)


words = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 8, 2**64 - 1, 2**63, 0xC000000000000000, 0xC000000000100000]),
    st.sampled_from([0xF000000000000000, 0xC00C000000000000, 0xC007FFFFFFFFFFF8, 2**51, 2**56]),
)
digits = st.text("0123456789abcdefx-\n= ", min_size=1, max_size=12).map(str.encode)


@st.composite
def damage(draw: st.DrawFn, chosen: Sample, names: list[str]) -> Damage:
    changes: Damage = []
    for _ in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(names))
        start, end = draw(st.sampled_from(chosen.targets[name]))
        at = draw(st.integers(start, end - 1))
        if name in ("values", "vmcoreinfo"):
            changes.append(
                (at, draw(st.one_of(digits, st.binary(min_size=1, max_size=4)))[: end - at])
            )
        elif name == "container":
            changes.append((at, draw(st.binary(min_size=1, max_size=8))))
        else:
            word = u64(draw(words), draw(st.sampled_from(ORDERS)))
            changes.append((at & ~7, word) if draw(st.booleans()) else (at, word[:4]))
    return changes


def apply(data: bytes, changes: Damage) -> bytes:
    out = bytearray(data)
    for at, new in changes:
        out[at : at + len(new)] = new
    return bytes(out[: len(data)])


@RUN
@given(st.data(), st.sampled_from(["hash", "radix"]), st.sampled_from(ORDERS))
def test_damaged_kernel_structures(data: st.DataObject, mmu: str, order: Order) -> None:
    chosen = sample(mmu, order)
    changes = data.draw(damage(chosen, ["variables", "nodes", "tables"]))
    use_everything(apply(chosen.data, changes), chosen.machine)


@RUN
@given(st.data(), st.sampled_from(["hash", "radix"]), st.sampled_from(ORDERS))
def test_damaged_vmcoreinfo(data: st.DataObject, mmu: str, order: Order) -> None:
    chosen = sample(mmu, order)
    changes = data.draw(damage(chosen, ["values", "values", "vmcoreinfo", "variables"]))
    use_everything(apply(chosen.data, changes), chosen.machine)


@RUN
@given(st.data(), st.sampled_from(["hash", "radix"]), st.sampled_from(ORDERS))
def test_damaged_container(data: st.DataObject, mmu: str, order: Order) -> None:
    chosen = sample(mmu, order)
    changes = data.draw(damage(chosen, ["container", "container", "vmcoreinfo", "nodes"]))
    use_everything(apply(chosen.data, changes), chosen.machine)


@RUN
@given(st.data(), st.sampled_from(ORDERS), st.integers(0, 2**32))
def test_damaged_kdump(data: st.DataObject, order: Order, cut: int) -> None:
    machine = sample("hash", "little").machine
    # Without the note the library looks for VMCOREINFO in every page.
    image = machine.kdump(order=order, with_vmcoreinfo=data.draw(st.booleans()))
    at = st.one_of(st.integers(0, 464), st.integers(65536, 65536 + 104), st.integers(0, len(image)))
    changes = data.draw(st.lists(st.tuples(at, st.binary(min_size=1, max_size=8)), max_size=4))
    changed = apply(image, changes)
    if data.draw(st.booleans()):
        changed = changed[: cut % len(image) or 1]
    use_everything(changed, machine)


def test_the_samples_are_sound() -> None:
    """Undamaged they give the whole list, so that the tests above start from a good place."""
    for mmu in ("hash", "radix"):
        for order in ORDERS:
            chosen = sample(mmu, order)
            with tempfile.NamedTemporaryFile() as file:
                file.write(chosen.data)
                file.flush()
                with vmemmap.open(file.name) as core:
                    assert core.facts["mmu"].value == mmu
                    assert [(int(e.node), int(e.phys), int(e.virt)) for e in core.backing] == [
                        (e.node, e.phys, e.virt) for e in chosen.machine.entries
                    ]
                    assert core.findings == ()
                    for block in chosen.machine.blocks:
                        assert core.vtop(block.virt + 8).phys == block.phys + 8
