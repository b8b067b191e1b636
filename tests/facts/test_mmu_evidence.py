"""Hash or radix: each kind of evidence decides in its turn, and names itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import vmemmap
from builders.machine import build_machine
from vmcore.machine_source import facts_of
from vmemmap.errors import FactError, FactInvalid, FactMissing, NotInDump, PageExcluded
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.mmu import decide_mmu, radix_from_vmcoreinfo
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.simulate import Machine

HASH, RADIX = frozenset({"hash"}), frozenset({"radix"})
BOTH = HASH | RADIX
MIB = 1 << 20
MAPPED, EMPTY = 0x800000000163000D, 0


class Root:
    """Gives the root entry, or fails, and counts how often it was asked."""

    def __init__(self, answer: int | Exception) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def decide(
    *,
    number: bool | None = None,
    mmus: frozenset[str] = frozenset(),
    block: int | None = None,
    root: int | Exception = EMPTY,
) -> tuple[Fact[str], Root]:
    reader = Root(root)
    fact = decide_mmu(
        radix_number=number,
        layout_name="0xtest" if mmus else None,
        layout_mmus=mmus,
        block_size=block,
        read_root_entry=reader,
    )
    assert fact.name == "mmu"
    return fact, reader


def unreadable() -> list[Exception]:
    return [
        NotInDump("gone", phys=0x1000),
        PageExcluded("filtered", phys=0x1000),
        FactMissing("no symbol", name="SYMBOL(swapper_pg_dir)"),
        FactInvalid("bad symbol", name="SYMBOL(swapper_pg_dir)"),
    ]


@pytest.mark.parametrize("number", [True, False])
def test_the_kernels_own_word_comes_first_against_all_else(number: bool) -> None:
    rest = itertools.product((frozenset(), HASH, RADIX, BOTH), (None, 2 * MIB, 16 * MIB, 65536))
    for mmus, block in rest:
        fact, root = decide(number=number, mmus=mmus, block=block, root=MAPPED)
        assert (fact.value, fact.origin) == ("radix" if number else "hash", Origin.VMCOREINFO)
        assert fact.detail == f"NUMBER(RADIX_MMU)={int(number)}"
        assert root.asked == 0


@pytest.mark.parametrize("only", ["hash", "radix"])
@pytest.mark.parametrize("block", [None, 4096, 65536, 2 * MIB, 16 * MIB])
@pytest.mark.parametrize("entry", [MAPPED, EMPTY])
def test_a_layout_of_one_mmu_decides_next(only: str, block: int | None, entry: int) -> None:
    fact, root = decide(mmus=frozenset({only}), block=block, root=entry)
    assert (fact.value, fact.origin) == (only, Origin.DERIVED)
    assert "0xtest" in fact.detail
    assert root.asked == 0


@pytest.mark.parametrize(("block", "value"), [(2 * MIB, "radix"), (16 * MIB, "hash")])
@pytest.mark.parametrize("mmus", [BOTH, frozenset()])
def test_a_block_size_of_one_mmu_decides_next(block: int, value: str, mmus: frozenset[str]) -> None:
    for entry in (MAPPED, EMPTY):
        fact, root = decide(mmus=mmus, block=block, root=entry)
        assert (fact.value, fact.origin) == (value, Origin.DERIVED)
        assert f"{block >> 20} MiB" in fact.detail
        assert root.asked == 0


@pytest.mark.parametrize("block", [None, 4096, 65536])
@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (MAPPED, "radix"),
        (0x800000003FFE0009, "radix"),  # of a real 6.1, 64 KiB pages
        (EMPTY, "hash"),
        # vmalloc's own on hash, where it begins at 0xd000000000000000: up to 4.5 an address, from
        # 4.20 on with the present bit, and never with a size in its low bits.
        (0x800000003FFE0000, "hash"),
        (0xC00000003FFE0000, "hash"),
        ((1 << 63) - 1, "hash"),
        # Read in the wrong order the present bit would be in the lowest byte.
        (0x80, "hash"),
    ],
)
def test_the_root_of_the_page_tables_decides_last(
    block: int | None, entry: int, value: str
) -> None:
    fact, root = decide(mmus=BOTH, block=block, root=entry)
    assert (fact.value, fact.origin) == (value, Origin.DERIVED)
    assert f"{entry:#x}" in fact.detail
    assert root.asked == 1


@pytest.mark.parametrize("block", [4096, 65536])
def test_small_blocks_alone_are_an_assumption_and_say_so(block: int) -> None:
    for error in unreadable():
        fact, _ = decide(block=block, root=error)
        assert (fact.value, fact.origin) == ("hash", Origin.ASSUMED)
        assert f"{block >> 10} KiB" in fact.detail


@pytest.mark.parametrize("entry", [2**64 - 1, 0xC000000003FE0009, 0x800000003FFE001F])
def test_a_root_entry_of_neither_decides_nothing(entry: int) -> None:
    with pytest.raises(FactMissing, match=f"{entry:#x}, which neither hash nor radix writes"):
        decide(mmus=BOTH, root=entry)
    fact, _ = decide(mmus=BOTH, block=65536, root=entry)
    assert (fact.value, fact.origin) == ("hash", Origin.ASSUMED)


@pytest.mark.parametrize("release", ["4.19.0", "5.0.0"])
def test_a_hash_kernel_with_vmalloc_in_the_first_entry(release: str, tmp_path: Path) -> None:
    """Its list cannot be read, and nothing but the root of the page tables tells."""
    dump = tmp_path / "vmcore"
    Machine(memory="1G", release=release, mmu="hash").boot().crash(dump)
    with vmemmap.open(dump) as core:
        assert core.kernel.read_root_entry() != 0
        text = core.vmcoreinfo_text
    without = tmp_path / "vmcoreinfo"
    kept = [line for line in text.split(b"\n") if b"vmemmap_list" not in line]
    without.write_bytes(b"\n".join(kept))
    with vmemmap.open(dump, vmcoreinfo=without) as core:
        assert "vmemmap_list" in core.facts.missing
        assert core.facts["mmu"].value == "hash"


def test_nothing_at_all_is_a_missing_fact_with_its_cause() -> None:
    for error in unreadable():
        with pytest.raises(FactMissing) as caught:
            decide(root=error)
        assert caught.value.name == "mmu"
        assert str(error) in str(caught.value)
        assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"", None), (b"NUMBER(RADIX_MMU)=0\n", False), (b"NUMBER(RADIX_MMU)=1\n", True)],
)
def test_the_number_has_three_answers(text: bytes, expected: bool | None) -> None:
    assert radix_from_vmcoreinfo(Vmcoreinfo(text)) is expected


@pytest.mark.parametrize("value", ["2", "-1", "", "yes", "0x2", "18446744073709551615", "1\r"])
def test_another_number_is_invalid_and_not_taken_for_radix(value: str) -> None:
    with pytest.raises(FactInvalid) as caught:
        radix_from_vmcoreinfo(Vmcoreinfo(f"NUMBER(RADIX_MMU)={value}\n".encode()))
    assert caught.value.name == "NUMBER(RADIX_MMU)"


def test_the_number_twice_with_both_values_is_a_conflict() -> None:
    with pytest.raises(FactError, match="twice"):
        radix_from_vmcoreinfo(Vmcoreinfo(b"NUMBER(RADIX_MMU)=0\nNUMBER(RADIX_MMU)=1\n"))


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("page_size", [4096, 65536])
@pytest.mark.parametrize("mmu", ["hash", "radix"])
def test_the_root_entry_of_a_machine_tells_its_mmu(
    byte_order: str, page_size: int, mmu: str
) -> None:
    machine = build_machine(
        byte_order=byte_order,  # type: ignore[arg-type]
        page_size=page_size,
        mmu=mmu,  # type: ignore[arg-type]
        block_shift=page_size.bit_length() - 1,
        blocks=4,
        store="none",
    )
    facts = facts_of(machine)
    fact, _ = decide(root=facts.read_root_entry())
    assert fact.value == mmu
    assert machine.tables is not None
    assert facts.root_table_phys == machine.tables.root
