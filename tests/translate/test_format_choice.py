"""Two formats that fit equally well: what the fact says of it, and of what only one finds."""

from __future__ import annotations

import numpy as np
import pytest

from builders.byte_order import u64
from vmemmap.facts.fact import Origin
from vmemmap.memory import BytesMemory
from vmemmap.translate.page_tables.choice import TableEvidence, choose_format
from vmemmap.translate.page_tables.hash_linux import HASH_FORMATS
from vmemmap.translate.regions import LAYOUTS
from vmemmap.translate.vmalloc_areas import KnownAreas

LINEAR = 0xC000_0000_0000_0000
START = 0xD000_0000_0000_0000
ROOT, PMD, PTE_LOW, PTE_HIGH, PAGE = 0x100000, 0x10000, 0x20000, 0x30000, 0x40000
RIVALS = ("hash-64k-3.10", "hash-64k-3.11")
"""They differ in the bits of a PMD entry that are no part of a table's address: 9 of them or 12."""


def evidence_of(pmd: list[int]) -> TableEvidence:
    """Page tables of 12, 10 and 8 bits with these PMD entries; an area of one page under each."""
    page_entry = u64(PAGE >> 16 << 30 | 3, "big")
    pieces = {
        ROOT: u64(LINEAR + PMD, "big").ljust(8 << 12, b"\0"),
        PMD: b"".join(u64(LINEAR + entry, "big") for entry in pmd).ljust(8 << 10, b"\0"),
        PTE_LOW: (bytes(0x200) + page_entry).ljust(0x10000, b"\0"),
        PTE_HIGH: page_entry.ljust(0x10000, b"\0"),
    }
    return TableEvidence(
        memory=BytesMemory(pieces),
        root=ROOT,
        order="big",
        layout=next(layout for layout in LAYOUTS if layout.name == "0xf"),
        ram=np.array([[0, 0x200000]], dtype=np.uint64),
        areas=KnownAreas(tuple(START + (i << 24) for i in range(len(pmd))), "vmap_area_list"),
    )


FORMATS = [form for form in HASH_FORMATS[65536] if form.name in RIVALS]


@pytest.mark.parametrize("era", RIVALS)
def test_the_release_decides_and_it_is_said(era: str) -> None:
    form, fact = choose_format(FORMATS, evidence_of([PTE_HIGH, PTE_HIGH]), era)
    (other,) = set(RIVALS) - {era}
    assert (form.name, fact.value, fact.origin) == (era, era, Origin.ASSUMED)
    assert fact.detail.endswith(
        "; 2 of 2 areas in vmap_area_list translate with it, and so would "
        f"{other}: decided by the release"
    )


@pytest.mark.parametrize("era", RIVALS)
def test_what_only_the_other_one_finds_is_said(era: str) -> None:
    """The first area only the older one finds, and the second only the newer one."""
    _, fact = choose_format(FORMATS, evidence_of([PTE_LOW + 0x200, PTE_HIGH + 0x800]), era)
    (other,) = set(RIVALS) - {era}
    assert fact.origin is Origin.ASSUMED
    assert fact.detail.endswith(
        f"1 of 2 areas in vmap_area_list translate with it, and so would {other}: decided by the "
        f"release, though 1 area translates with {other} only"
    )


@pytest.mark.parametrize("era", [*RIVALS, "hash-64k-4.17", None])
@pytest.mark.parametrize(
    ("pmd", "chosen"), [([PTE_LOW + 0x200], RIVALS[0]), ([PTE_HIGH + 0x800], RIVALS[1])]
)
def test_the_tables_decide_before_the_release(pmd: list[int], chosen: str, era: str | None) -> None:
    form, fact = choose_format(FORMATS, evidence_of(pmd), era)
    assert (form.name, fact.origin) == (chosen, Origin.DERIVED)
    assert "decided" not in fact.detail
