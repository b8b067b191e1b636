"""Every page of every vmalloc and I/O area, and every level on the way, as crash says.

The fixtures ``vmalloc-*`` hold crash's answer for a byte in each page of each area that its
``kmem -v`` lists; the shared truth holds sessions that print the entry of every level.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from vmemmap.translate.regions import Method

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
FIXTURES = sorted(path.name for path in CORPUS.glob("vmalloc-*"))
FULL = (
    ("hash-64k-6.1/vmcore.d31.zlib", "hash-64k-6.1"),
    ("hash-64k-6.1/vmcore.d31.elf.zst", "hash-64k-6.1"),
    ("radix-64k-6.1/vmcore.d31.zlib", "radix-64k-6.1"),
    ("radix-64k-6.1/vmcore.d31.elf.zst", "radix-64k-6.1"),
)


def said_by_crash(name: str) -> dict[int, int | None]:
    said: dict[str, Any] = json.loads((CORPUS / name / "expected.json").read_text())
    return {int(v, 16): p and int(p, 16) for v, p in said["vtop"].items()}


def check_areas(path: Path, said: dict[int, int | None]) -> int:
    """Compare what goes through page tables; give how many pages are mapped."""
    with vmemmap.open(path) as core:
        paged = [r for r in core.layout.regions if r.method is Method.PAGE_TABLE]
        virts = [virt for virt in said if any(virt in region for region in paged)]
        phys, mask = core.vtop_many(np.array(virts, dtype=np.uint64))
        for virt, many, known in zip(virts, phys.tolist(), mask.tolist(), strict=True):
            try:
                one: int | None = core.vtop(virt).phys
            except vmemmap.NotPresent:
                one = None
            assert one == said[virt], hex(virt)
            assert (many if known else None) == said[virt], hex(virt)
        assert {core.vtop(v).method for v, known in zip(virts, mask, strict=True) if known} == {
            "page_table"
        }
        return int(mask.sum())


@pytest.mark.parametrize("name", FIXTURES)
def test_every_page_of_every_area(corpus_dump, name: str) -> None:
    assert check_areas(corpus_dump(name), said_by_crash(name)) > 90


@pytest.mark.parametrize(("dump", "machine"), FULL)
def test_every_page_of_every_area_of_the_full_dump(
    real_dump, same_machine, dump: str, machine: str
) -> None:
    same_machine(f"vmalloc-{machine}", dump)
    assert check_areas(real_dump(dump), said_by_crash(f"vmalloc-{machine}")) > 90


_LEVEL = re.compile(r"^ *(PGD|PUD|PMD|PTE): +[0-9a-f]+ => ([0-9a-f]+)$", re.MULTILINE)


@pytest.mark.parametrize(("dump", "machine"), FULL)
def test_each_level_that_crash_prints(real_dump, truth, dump: str, machine: str) -> None:
    """Where crash ends at an entry that maps nothing, so do we, at the same level and value."""
    mapped = holes = 0
    with vmemmap.open(real_dump(dump)) as core:
        text = truth(f"{machine}.crash-vtop.txt")
        for part in re.split(r"^VIRTUAL +PHYSICAL *\n", text, flags=re.MULTILINE)[1:]:
            answer = re.match(r"([0-9a-f]{16})  ([0-9a-f]+|\(not mapped\))", part)
            assert answer is not None
            virt = int(answer[1], 16)
            if not answer[2].startswith("("):
                phys = int(answer[2], 16)
                assert core.vtop(virt).phys == phys
                assert virt in {found.virt for found in core.ptov(phys)}
                mapped += 1
                continue
            level, entry = _LEVEL.findall(part)[-1]
            with pytest.raises(vmemmap.NotPresent) as caught:
                core.vtop(virt)
            assert (caught.value.level.upper(), caught.value.entry) == (level, int(entry, 16))
            holes += 1
    assert mapped + holes == 8
    assert holes >= 1
