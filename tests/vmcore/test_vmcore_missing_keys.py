"""VMCOREINFO with each key missing in turn: the answer that it gives with it, or a FactError."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest

from breadth import singles, trying
from builders.kernel_era import VMALLOC_BASES
from builders.machine import Machine
from vmcore.machine_source import vmcore_of
from vmcore.shapes import LINEAR, has_list, shaped
from vmemmap.errors import FactError, TranslateError, VmemmapError
from vmemmap.vmcore import Vmcore

# Between them they have every key that any kernel from 3.13 on exports.
KINDS: dict[str, dict[str, Any]] = {
    "hash-64k-6.12": {"release": "6.12.0", "block_shift": 24},
    "hash-64k-small-6.12": {"release": "6.12.0", "byte_order": "big"},
    "hash-4k-6.1": {"page_size": 4096, "block_shift": 16, "byte_order": "big"},
    "hash-4k-7.3": {"page_size": 4096, "block_shift": 12, "release": "7.3.0"},
    "hash-64k-3.14": {"layout": "f000", "release": "3.14.0", "byte_order": "big"},
    "radix-64k-6.12": {"mmu": "radix", "release": "6.12.0", "block_shift": 21},
    "radix-4k-6.12": {"mmu": "radix", "release": "6.12.0", "page_size": 4096, "block_shift": 12},
    "radix-64k-6.1": {"mmu": "radix", "block_shift": 21, "byte_order": "big"},
    "radix-4k-4.18": {"mmu": "radix", "layout": "c00a", "page_size": 4096, "block_shift": 12},
}
MACHINES = {kind: shaped(options, store="none") for kind, options in KINDS.items()}

LIST_KEYS = {
    "PAGESIZE",
    "SYMBOL(vmemmap_list)",
    "SYMBOL(mmu_vmemmap_psize)",
    "SYMBOL(mmu_psize_defs)",
    "SIZE(vmemmap_backing)",
    "OFFSET(vmemmap_backing.list)",
    "OFFSET(vmemmap_backing.phys)",
    "OFFSET(vmemmap_backing.virt_addr)",
    "SIZE(mmu_psize_def)",
    "OFFSET(mmu_psize_def.shift)",
}
TREE_KEYS = {"SYMBOL(swapper_pg_dir)"}
GARBAGE = ["", "x", "-1", "18446744073709551616", "0x", "\0"]


def places(machine: Machine) -> list[int]:
    """Addresses with and without a translation, in every region."""
    size, blocks = machine.block_size, machine.blocks
    return [
        *(block.virt for block in blocks),
        *(block.virt + size - 1 for block in blocks),
        blocks[3].virt + size,
        LINEAR,
        LINEAR + (1 << 43) + 8,
        VMALLOC_BASES[machine.layout],
        5,
        (1 << 64) - 1,
    ]


def attempt(ask: Callable[[], Any]) -> Any:
    """Give the answer or the error; only errors of ours are caught."""
    try:
        return ask()
    except VmemmapError as error:
        return error


@dataclass
class Record:
    """All that a dump answers."""

    facts: dict[str, int | str]
    missing: dict[str, FactError]
    backing: Any
    vtop: dict[int, Any]
    many: Any


def phys_of(core: Vmcore, virt: int) -> int:
    return core.vtop(virt).phys


def record_of(core: Vmcore, machine: Machine) -> Record:
    virts = places(machine)

    def many() -> dict[int, int | None]:
        phys, mask = core.vtop_many(np.array(virts, dtype=np.uint64))
        pairs = zip(phys.tolist(), mask.tolist(), strict=True)
        return dict(zip(virts, [p if here else None for p, here in pairs], strict=True))

    return Record(
        {name: fact.value for name, fact in core.facts.items()},
        dict(core.facts.missing),
        attempt(lambda: [(e.node, e.phys, e.virt) for e in core.backing]),
        {virt: attempt(partial(phys_of, core, virt)) for virt in virts},
        attempt(many),
    )


@cache
def sound_of(kind: str) -> Record:
    return record_of(vmcore_of(MACHINES[kind]), MACHINES[kind])


def agree(found: Record, sound: Record) -> None:
    """Assert that every answer is the sound dump's, or a fact that is said to be missing."""
    for name, value in found.facts.items():
        # A kernel that keeps no list has no block size; see the test of that below.
        if name in sound.facts or name not in ("mmu_vmemmap_psize", "block_size"):
            assert value == sound.facts[name], name
    assert set(sound.facts) <= set(found.facts) | set(found.missing)
    assert not set(found.facts) & set(found.missing)
    assert isinstance(found.backing, FactError) or found.backing == sound.backing
    for virt, answer in found.vtop.items():
        expected = sound.vtop[virt]
        if isinstance(answer, FactError):
            continue
        # That a block is not backed is an answer, too.
        if isinstance(expected, TranslateError):
            assert type(answer) is type(expected), hex(virt)
        else:
            assert answer == expected, hex(virt)
    assert isinstance(found.many, FactError) or found.many == sound.many


@pytest.mark.parametrize("kind", KINDS)
def test_with_every_key_the_answers_are_the_builders(kind: str) -> None:
    machine, sound = MACHINES[kind], sound_of(kind)
    assert sound.missing == {}
    assert sound.backing == list(machine.entries)
    for block in machine.blocks:
        assert sound.vtop[block.virt] == sound.many[block.virt] == block.phys
    assert sound.vtop[LINEAR] == 0
    mmu, layout = sound.facts["mmu"], sound.facts["layout"]
    assert (mmu, layout) == (machine.mmu, "0x" + machine.layout.replace("f000", "f"))
    assert sound.facts["vmemmap_base"] == machine.vmemmap_base
    assert ("block_size" in sound.facts) == has_list(machine)


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_missing_in_turn(kind: str) -> None:
    for key in MACHINES[kind].vmcoreinfo:
        with trying(f"without {key}"):
            one_key_missing(kind, key)


def one_key_missing(kind: str, key: str) -> None:
    machine, sound = MACHINES[kind], sound_of(kind)
    found = record_of(vmcore_of(machine, without=(key,)), machine)
    agree(found, sound)
    if key not in (LIST_KEYS if has_list(machine) else LIST_KEYS | TREE_KEYS):
        assert found.backing == sound.backing
        for virt, answer in found.vtop.items():
            tree = not has_list(machine) or virt == VMALLOC_BASES[machine.layout]
            if not (key in TREE_KEYS and tree):
                assert not isinstance(answer, FactError), (hex(virt), answer)
        if key not in TREE_KEYS:
            assert found.many == sound.many
    elif isinstance(found.backing, FactError):
        assert found.backing.name == key
        assert key in str(found.backing)
        assert found.missing


@pytest.mark.parametrize(("kind", "value"), singles(product(KINDS, GARBAGE)))
def test_each_key_that_is_used_garbled_in_turn(kind: str, value: str) -> None:
    machine, sound = MACHINES[kind], sound_of(kind)
    others = {"SIZE(page)", "NUMBER(RADIX_MMU)", "SYMBOL(vmemmap)", "SYMBOL(init_uts_ns)"}
    others |= {"OFFSET(uts_namespace.name)", "KERNELOFFSET", "CRASHTIME"}
    for key in sorted((LIST_KEYS | TREE_KEYS | others) & set(machine.vmcoreinfo)):
        with trying(f"{key}={value!r}"):
            found = record_of(vmcore_of(machine, changes={key: value}), machine)
            agree(found, sound)
            if key in LIST_KEYS and has_list(machine):
                assert isinstance(found.backing, FactError)
                assert found.backing.name == key


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_that_is_used_twice_with_two_values(kind: str) -> None:
    machine, sound = MACHINES[kind], sound_of(kind)
    for key in sorted(LIST_KEYS | TREE_KEYS | {"SIZE(page)", "NUMBER(RADIX_MMU)"}):
        # The dict of the builder cannot hold a key twice; a value with a newline can.
        changes = {"ZZ": f"1\n{key}=7777"}
        if key in machine.vmcoreinfo:
            found = record_of(vmcore_of(machine, changes=changes), machine)
            agree(found, sound)
            assert any(error.name == key for error in found.missing.values()) or (
                key in TREE_KEYS or not has_list(machine)
            )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not has_list(MACHINES[kind])])
def test_a_kernel_without_a_list_is_given_no_block_size(kind: str) -> None:
    # Its mmu_vmemmap_psize is never set; index 0 says 4 KiB. Without RADIX_MMU the root tells.
    core = vmcore_of(MACHINES[kind], without=("NUMBER(RADIX_MMU)",))
    assert core.mmu.value == "radix"
    assert "block_size" not in core.facts


@pytest.mark.parametrize("kind", [kind for kind in KINDS if has_list(MACHINES[kind])])
def test_the_byte_order_needs_no_key_but_the_lists(kind: str) -> None:
    machine, sound = MACHINES[kind], sound_of(kind)
    other: Any = "big" if machine.byte_order == "little" else "little"
    without = ("SYMBOL(init_uts_ns)", "OFFSET(uts_namespace.name)")
    agree(record_of(vmcore_of(machine, without=without, container_order=other), machine), sound)


@pytest.mark.parametrize("kind", KINDS)
def test_no_key_at_all(kind: str) -> None:
    machine = shaped(KINDS[kind], store="none")
    machine.clear_vmcoreinfo()
    found = record_of(vmcore_of(machine, without=tuple(machine.vmcoreinfo)), machine)
    assert isinstance(found.backing, FactError)
    assert {"page_size", "mmu", "layout", "vmemmap_list", "list_head"} <= set(found.missing)
    assert found.vtop.pop(LINEAR) == 0  # needs no fact at all
    assert found.vtop.pop(LINEAR + (1 << 43) + 8) == (1 << 43) + 8
    assert all(isinstance(answer, VmemmapError) for answer in found.vtop.values())
    assert isinstance(found.many, FactError)
