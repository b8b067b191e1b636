"""Kernels whose numbers are no mainline kernel's: what pages show is taken, the rest is unknown."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from builders.struct_pages import StructPages
from pages.machines import Built, machine_of, pfns_of
from vmemmap import Kind
from vmemmap.report import usage as report_usage


class VendorPages(StructPages):
    """Struct pages of a kernel with more flags than mainline.

    Args:
        extra: At which bits of mainline's the further flags stand.
    """

    extra: tuple[int, ...] = ()

    def moved(self, extra: tuple[int, ...]) -> VendorPages:
        self.bits = {name: bit + sum(bit >= at for at in extra) for name, bit in self.bits.items()}
        info = self.machine.vmcoreinfo
        for name, bit in self.bits.items():
            if f"NUMBER(PG_{name})" in info:
                info[f"NUMBER(PG_{name})"] = str(bit)
        info["NUMBER(PG_head_mask)"] = str(1 << self.bits["head"])
        return self


def vendor(path: Path, release: str, extra: tuple[int, ...], *, image: bool) -> Built:
    machine = machine_of(release, "little")
    pages = VendorPages(machine, zone_bits=1).moved(extra)
    pages.clear(pfns_of(machine))
    at = pfns_of(machine)[64]
    for number in range(4):
        pages.reserved(at + number)
    pages.free(at + 16, 4)
    pages.cache(at + 4)
    pages.cache(at + 5, private=True)
    pages.anon(at + 6)
    pages.slab(at + 8, 2)
    if image:
        for symbol in ("_stext", "swapper_pg_dir"):
            phys = int(machine.vmcoreinfo[f"SYMBOL({symbol})"], 16) & ~(0xF << 60)
            pages.reserved(phys // machine.page_size)
    return Built(machine, pages, path).saved()


EXTRA = [(), (3,), (11,), (12,), (13,), (20,), (9, 11), (12, 12), (3, 18), (20, 20)]


@pytest.mark.parametrize("extra", EXTRA, ids=str)
@pytest.mark.parametrize("image", [True, False], ids=["image", "no-image"])
def test_a_count_is_right_or_unknown(tmp_path, extra, image) -> None:
    """The flags of 6.1 and one or two more, at any place; the release says nothing."""
    built = vendor(tmp_path / "vmcore", "6.1.0", extra, image=image)
    expected = Counter(built.pages.kinds.get(pfn, "other") for pfn in pfns_of(built.machine))
    with built.open() as core:
        usage = core.usage()
        rows = np.concatenate(list(core.pages.scan(("pfn", "kind"))))
        # Each of them asked for by itself, and some of the others.
        asked = (rows["kind"] == Kind.UNDECIDED) | (rows["pfn"] % 61 == 0)
        pages = [core.pages[pfn] for pfn in rows["pfn"][asked].tolist()]
        undecided = [page for page in pages if page.kind is Kind.UNDECIDED]
        assert len(undecided) == int((rows["kind"] == Kind.UNDECIDED).sum())
    for kind, count in usage.kinds.items():
        assert kind == "undecided" or count == expected[kind], kind
    assert sum(usage.kinds.values()) + sum(usage.at_least.values()) == usage.pages
    assert ("kinds_undecided" in {finding.code for finding in usage.findings}) is bool(undecided)
    assert all("vmlinux" in page.reason for page in undecided)
    if image or not extra:
        # The pages of the kernel's image show which bit is that of reserved pages.
        assert not undecided
        assert usage.kinds["reserved"] == expected["reserved"] > 3
    for kind in ("free", "cache", "cache_private", "anon", "slab"):
        assert usage.kinds[kind] == expected[kind]  # known by what is exported


def test_what_is_not_known_is_null_and_said(tmp_path) -> None:
    built = vendor(tmp_path / "vmcore", "6.1.0", (12, 12), image=False)
    with built.open() as core:
        usage = core.usage()
        record = report_usage.record(core, usage, None)
        text = "".join(report_usage.lines(record))
    assert record["kinds"]["reserved"] is record["kinds"]["other"] is record["managed"] is None
    assert record["crash"]["total"] is None
    (zone,) = record["nodes"][0]["zones"]
    assert zone["kinds"]["reserved"] is None
    assert re.search(r"reserved +unknown", text)
    (finding,) = (each for each in usage.findings if each.code == "kinds_undecided")
    assert "PG_reserved (bit 12 or bit 13 or bit 14)" in finding.message


def test_a_wrong_number_in_the_header_moves_nothing(tmp_path, real_dump) -> None:
    """The real dump, with one number of its VMCOREINFO changed: the values of the dump itself."""
    path = real_dump("hash-64k-6.1/vmcore.d31.zlib")
    with vmemmap.open(path) as core:
        info, expected = core.vmcoreinfo_text, core.usage().kinds
    changed = tmp_path / "vmcoreinfo"
    changed.write_bytes(info.replace(b"NUMBER(PG_hwpoison)=22", b"NUMBER(PG_hwpoison)=23"))
    with vmemmap.open(path, vmcoreinfo=changed) as core:
        assert core.usage().kinds == expected
        facts = {fact.name: fact for fact in core.pages.layout.facts}
    assert facts["PG_reserved"].origin == "derived"
    assert "no known kernel has the flags" in facts["PG_reserved"].detail
