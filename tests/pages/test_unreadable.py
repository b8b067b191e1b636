"""Struct pages that cannot be read are unknown, with the reason; damage is named; nothing stops."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from breadth import every, examples
from builders.machine import build_machine
from builders.struct_pages import MAPPING, StructPages
from pages.machines import Built, machine_of, one_of_everything, pfns_of
from pages.test_quick_and_slow import tallies
from vmemmap import Absence, Kind
from vmemmap.errors import Truncated

PER_BLOCK = 65536 // 64


@pytest.fixture
def built(tmp_path: Path) -> Built:
    return one_of_everything(tmp_path / "vmcore", "6.1.0", "little")


def pfns_in_block(built: Built, number: int) -> range:
    return range(number * PER_BLOCK, (number + 1) * PER_BLOCK)


def test_left_out_memory_is_unknown_with_its_reason(built: Built) -> None:
    block = built.machine.blocks[2]
    built.machine.exclude(block.phys, 65536)
    with built.saved().open() as core:
        usage = core.usage()
        info = core.pages[2 * PER_BLOCK + 5]
        rows = np.concatenate(list(core.pages.scan()))
    assert usage.unknown == {"excluded": PER_BLOCK}
    assert usage.kinds["unknown"] == PER_BLOCK
    assert usage.managed is None
    assert usage.pages == sum(usage.kinds.values())
    assert info.kind is Kind.UNKNOWN
    assert info.flags_raw is None
    assert "left out" in info.reason
    lost = rows[rows["kind"] == Kind.UNKNOWN]
    assert lost["pfn"].tolist() == list(pfns_in_block(built, 2))
    assert (lost["why"] == Absence.EXCLUDED).all()
    assert (lost["flags"] == 2**64 - 1).all()
    assert (lost["node"] == -1).all()


def test_memory_that_is_nowhere_is_unknown(built: Built) -> None:
    built.machine.drop(built.machine.blocks[1].phys, 65536)
    with built.saved().open() as core:
        assert core.usage().unknown == {"not_in_dump": PER_BLOCK}
        assert core.pages[PER_BLOCK].reason


def test_lost_and_cut_off_memory_is_unknown(built: Built, tmp_path: Path) -> None:
    built.machine.lose(built.machine.blocks[3].phys, 65536)
    built.machine.sync_vmcoreinfo()
    path = tmp_path / "kdump"
    path.write_bytes(built.machine.kdump())
    with vmemmap.open(path) as core:
        assert core.usage().unknown == {"lost": PER_BLOCK}


def test_a_block_without_an_entry_is_unknown(built: Built) -> None:
    entries = built.machine.entries
    virts = [entry.virt for entry in entries]
    at = len(virts) // 2
    built.machine.poke_node(at - 1, link=entries[at + 1].node)
    number = (virts[at] - built.machine.vmemmap_base) // 65536
    with built.saved().open() as core:
        usage = core.usage()
        info = core.pages[number * PER_BLOCK]
    assert usage.unknown == {"no_entry": PER_BLOCK}
    assert info.entry is None
    assert "no vmemmap_list entry" in info.reason


@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("page_size", [4096, 65536])
def test_struct_pages_that_lie_in_two_blocks(tmp_path, byte_order, page_size) -> None:
    """56 bytes do not divide a block, so that one struct page in some hundred is in two."""
    machine = machine_of("3.0.101", byte_order, page_size, struct_page_size=56)
    pages = StructPages(machine, zone_bits=1)
    pfns = pfns_of(machine)
    pages.clear(pfns)
    split = [65536 * n // 56 for n in range(1, len(machine.blocks)) if 65536 * n % 56]
    split = [pfn for pfn in split if pfn in pfns]
    assert len(split) > 2
    for pfn in split:
        pages.cache(pfn)
    built = Built(machine, pages, tmp_path / "vmcore").saved()
    with built.open() as core:
        rows = np.concatenate(list(core.pages.scan()))
        assert rows["pfn"][rows["kind"] == Kind.CACHE].tolist() == split
        assert all(core.pages[pfn].mapping == MAPPING for pfn in split)
        assert core.usage().kinds["cache"] == len(split)
    # Without the second block the struct page has only a beginning.
    machine.exclude(machine.blocks[1].phys, 65536)
    with built.saved().open() as core:
        assert core.pages[split[0]].kind is Kind.UNKNOWN
        assert core.pages[split[0] - 1].kind is Kind.OTHER
        usage = core.usage()
        inside = {65536 // 56, *range(-(-65536 // 56), -(-2 * 65536 // 56))}
        assert usage.unknown == {"excluded": len(inside & set(pfns))}


DAMAGES = {
    "free_order": lambda pages, at: pages.poke_number(at, pages.at["at_private"], 8, 40),
    "free_misaligned": lambda pages, at: (
        pages.poke_number(at + 1, 48, 4, 0xFFFFFF7F)
        or pages.poke_number(at + 1, pages.at["at_private"], 8, 3)
    ),
    "free_overlap": lambda pages, at: pages.cache(at + 3),
    "compound_order": lambda pages, at: pages.slab(at, 3) or pages.poke_number(at + 1, 17, 1, 60),
    "compound_misaligned": lambda pages, at: (
        pages.slab(at, 3) or pages.poke_number(at + 1, 17, 1, 12)
    ),
    "compound_short": lambda pages, at: pages.slab(at, 3) or pages.clear([at + 5]),
    "tail_without_head": lambda pages, at: pages.slab(at, 3) or pages.clear([at]),
    "tail_wrong_head": lambda pages, at: (
        pages.slab(at, 3) or pages.poke_number(at + 4, 8, 8, pages.machine.page_virt(at + 4) | 1)
    ),
    "wild_mapping": lambda pages, at: (
        pages.clear(range(at, at + 8)) or pages.write(at, "lru", mapping=0x1234567890, refcount=1)
    ),
}


@pytest.mark.parametrize("code", DAMAGES)
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_damage_is_counted_named_and_stops_nothing(tmp_path, code, byte_order) -> None:
    built = one_of_everything(tmp_path / "vmcore", "6.1.0", byte_order)
    at = 2048 + 8
    built.pages.free(at, 3)
    with built.saved().open() as core:
        sound = core.usage()
    assert not sound.damaged
    DAMAGES[code](built.pages, at)
    with built.saved().open() as core:
        usage = core.usage()
        assert code in {damage.code for damage in usage.damage}
        assert usage.damaged == usage.kinds["damaged"] >= 1
        assert all(at <= damage.pfn < at + 8 for damage in usage.damage)
        found = core.pages[usage.damage[0].pfn]
        assert found.kind is Kind.DAMAGED
        assert found.reason == usage.damage[0].reason
    assert usage.pages == sound.pages == sum(usage.kinds.values())


@pytest.mark.parametrize("step", [-2, -1, 0, 1, 254, 255])
def test_a_tail_that_names_a_head_around_its_window_is_damage(built: Built, step: int) -> None:
    """Windows of 256 pages begin at its first page; the head that it names is no compound's."""
    at = 2048 + 256
    first, head = at + 1, at + 1 + step
    built.pages.clear(range(at - 256, at + 512))
    built.pages.poke_number(first, 8, 8, built.machine.page_virt(head) | 1)
    with built.saved().open() as core:
        for chunk_pages in (256, 1 << 16):
            rows = np.concatenate(list(core.pages.scan(("pfn", "kind"), chunk_pages=chunk_pages)))
            wrong = rows["pfn"][rows["kind"] == Kind.DAMAGED].tolist()
            assert wrong == [first]


def test_a_section_that_is_not_online_is_offline(built: Built) -> None:
    machine = built.machine
    root = int.from_bytes(machine.read(machine.symbols["mem_section"], 8), "little")
    machine.poke_u64(root + 32 * machine.sections[3], machine.vmemmap_base | 0x3)
    with built.saved().open() as core:
        usage = core.usage()
        first = machine.sections[3] * 256
        assert core.pages[first].online is False
        assert core.pages[first].kind is Kind.OFFLINE
        assert core.pages[0].early
    assert usage.sections_offline == 1
    assert usage.kinds["offline"] == 256 + 1  # and the one page that is offline by itself


def test_a_removed_section_has_no_pages(built: Built) -> None:
    machine = built.machine
    root = int.from_bytes(machine.read(machine.symbols["mem_section"], 8), "little")
    # 5.3 to 5.5 kernels leave the address, without the marks; others leave the present mark.
    machine.poke_u64(root + 32 * machine.sections[2], machine.vmemmap_base)
    machine.poke_u64(root + 32 * machine.sections[4], 1)
    with built.saved().open() as core:
        usage = core.usage()
        assert usage.pages == (len(machine.sections) - 2) * 256
        assert usage.sections_removed == 1
        assert core.pages[machine.sections[2] * 256].kind is Kind.ABSENT


def test_mem_section_may_be_a_pointer_to_the_roots(built: Built) -> None:
    machine = built.machine
    with built.open() as core:
        expected = core.usage()
    at = machine.symbols["clear_seq"]
    machine.poke_u64(at, machine.symbols["mem_section"])
    machine.vmcoreinfo["SYMBOL(mem_section)"] = format(at, "x")
    with built.saved().open() as core:
        assert core.usage().kinds == expected.kinds


def test_without_mem_section_the_list_says_which_pages_there_are(built: Built) -> None:
    with built.open() as core:
        expected = core.usage()
    built.machine.vmcoreinfo["SYMBOL(mem_section)"] = format(built.machine.symbols["log_buf"], "x")
    with built.saved().open() as core:
        usage = core.usage()
        assert [finding.code for finding in usage.findings] == ["mem_section_unreadable"]
        assert core.pages[0].online is None
        assert usage.pages >= expected.pages
        assert usage.kinds["slab"] == expected.kinds["slab"]


def test_node_and_zone_are_not_guessed_against_the_evidence(tmp_path: Path) -> None:
    machine = machine_of("6.1.0", "little")
    pages = StructPages(machine, node_bits=4, zone_bits=2)
    pages.clear(pfns_of(machine), node=3, zone=1)  # node 0 is the only one
    with Built(machine, pages, tmp_path / "vmcore").saved().open() as core:
        usage = core.usage()
        assert usage.fields_origin is None
        assert "name another node" in usage.fields_detail
        assert core.pages[0].node is None
        assert [zone.node for zone in usage.zones] == [None]


def test_two_zones_are_told_apart(tmp_path: Path) -> None:
    machine = machine_of("6.1.0", "big")
    pages = StructPages(machine, zone_bits=1)
    pfns = pfns_of(machine)
    pages.clear(pfns)
    pages.clear(range(1024, 2048), zone=1)
    machine.poke_u32(machine.symbols["contig_node"] + 19744, 2)
    machine.poke_u64(machine.symbols["contig_node"] + 1664 + 120, 1024)
    with Built(machine, pages, tmp_path / "vmcore").saved().open() as core:
        usage = core.usage()
        assert usage.fields_origin == "derived"
        assert [(z.node, z.zone, z.pages) for z in usage.zones] == [
            (0, 0, len(pfns) - 1024),
            (0, 1, 1024),
        ]
        assert core.pages[1024].zone == 1


def test_radix_without_a_list(tmp_path: Path) -> None:
    machine = build_machine(mmu="radix", block_shift=21, release="6.12.1", store="all")
    pages = StructPages(machine, zone_bits=1)
    pages.clear(pfns_of(machine))
    pages.slab(512, 2)
    pages.free(1024, 8)
    with Built(machine, pages, tmp_path / "vmcore").saved().open() as core:
        assert len(core.backing) == 0
        usage = core.usage()
        assert usage.kinds["slab"] == 4
        assert usage.free == usage.kinds["free"] == 256
        assert not usage.unknown


def test_page_of_takes_every_sort_of_address(built: Built) -> None:
    with built.open() as core:
        pfn = next(pfn for pfn, kind in built.pages.kinds.items() if kind == "anon")
        base = core.vmemmap_base.value
        for address in (
            pfn * 65536 + 17,
            0xC000_0000_0000_0000 + pfn * 65536,
            base + 64 * pfn + 8,
        ):
            info = core.page_of(address)
            assert (info.pfn, info.kind) == (pfn, Kind.ANON)
        assert info.flags == ("lru", "swapbacked")
        assert info.mapping_kind == "anon"
        assert (info.refcount, info.mapcount) == (1, 1)
        assert info.struct_phys == core.vtop(base + 64 * pfn).phys
        assert info.file_offset is not None
        at = info.file_offset
        assert built.path.read_bytes()[at : at + 64] == core.read(base + 64 * pfn, 64)
        assert core.pages[built.machine.ram_end // 65536 + 256].kind is Kind.ABSENT
        with pytest.raises(IndexError):
            core.pages[-1]
        with pytest.raises(ValueError, match="unknown fields"):
            next(core.pages.scan(("nonsense",)))  # type: ignore[arg-type]


HOSTILE = (0, 1, -1, 3, 7, 8, 31, 32, 63, 64, 255, 4096, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63)


@pytest.mark.parametrize("release", every(2, ["4.9.232", "3.4.106", "7.2.13", "6.1.0"]))
def test_wrong_numbers_in_vmcoreinfo_end_in_an_error_or_a_count(tmp_path, release) -> None:
    built = one_of_everything(tmp_path / "vmcore", release, "little")
    facts = dict(built.machine.vmcoreinfo)
    kinds: tuple[str, ...] = (
        "SIZE(",
        "OFFSET(page",
        "OFFSET(folio",
        "OFFSET(mem_",
        "OFFSET(zone",
        "OFFSET(pglist",
    )
    kinds += ("OFFSET(free", "NUMBER(", "LENGTH(")
    keys = [key for key in facts if key.startswith(kinds) and not key.startswith("SIZE(pr")]
    rng = random.Random(release)
    outcomes = set()
    for key in keys:
        values = rng.sample(HOSTILE, examples(4))
        for value in [*values, None]:
            text = "".join(
                f"{k}={value if k == key else v}\n"
                for k, v in facts.items()
                if k != key or value is not None
            )
            info = tmp_path / "vmcoreinfo"
            info.write_text(text)
            try:
                with vmemmap.open(built.path, vmcoreinfo=info) as core:
                    usage = core.usage(threads=1)
                    counted = (*usage.kinds.values(), *usage.at_least.values())
                    assert usage.pages == sum(counted), (key, value)
                    core.pages[300]
                    outcomes.add("counted")
            except vmemmap.VmemmapError as error:
                outcomes.add("refused" if str(error) else f"silent: {key}={value}")
    assert outcomes == {"counted", "refused"}


def test_a_compound_larger_than_a_window(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = machine_of("6.1.0", "big")
    pages = StructPages(machine, zone_bits=1)
    pages.clear(pfns_of(machine))
    pages.hugetlb(1024, 10)
    with Built(machine, pages, tmp_path / "vmcore").saved().open() as core:
        usage = core.usage()
        rows = np.concatenate(list(core.pages.scan(("pfn", "kind"), chunk_pages=256)))
        assert core.pages[2047].kind is Kind.HUGETLB
        quickly, slowly = tallies(core, monkeypatch)  # in windows of 256 pages
    assert usage.kinds["hugetlb"] == 1024
    assert (usage.compound_heads, usage.compound_tails) == (1, 1023)
    assert rows["pfn"][rows["kind"] == Kind.HUGETLB].tolist() == list(range(1024, 2048))
    for at in range(4, 8) if way == "compiled" else ():
        fast, slow = quickly[at], slowly[at]
        assert fast is not None
        assert fast.zones[0].tolist() == slow.zones[0].tolist()
        assert fast.zones[0][Kind.HUGETLB] == 256
    assert not usage.damaged


def test_empty_pages_of_the_root_array_may_be_missing(built: Built) -> None:
    with built.open() as core:
        expected = core.usage()
    machine = built.machine
    roots = machine.symbols["mem_section"]
    assert int(machine.vmcoreinfo["LENGTH(mem_section)"]) * 8 > 2 * 65536
    machine.exclude(roots + 65536, 65536)
    with built.saved().open() as core:
        usage = core.usage()
    assert usage.kinds == expected.kinds
    assert [(f.code, str(f.severity)) for f in usage.findings] == [("mem_section_part", "info")]


@pytest.mark.parametrize("size", [56, 64])
def test_a_file_that_ends_among_struct_pages(tmp_path: Path, size: int) -> None:
    """All that are in it whole are read, by the scan as one by one."""
    machine = machine_of("6.1.0", "little", struct_page_size=size)
    built = Built(machine, StructPages(machine, zone_bits=1), tmp_path / "vmcore").saved()
    data = built.path.read_bytes()
    with built.open() as core:
        last = max(machine.blocks, key=lambda block: block.phys)
        at = core.source.file_offset(last.phys)
        assert at is not None
    for more in (1, 1000, 65535):
        built.path.write_bytes(data[: at + more])
        with built.open() as core:
            rows = np.concatenate(list(core.pages.scan(("pfn", "kind", "why"))))
            border = (last.virt - machine.vmemmap_base + more) // size
            near = (rows["pfn"] >= border - 40) & (rows["pfn"] < border + 40)
            assert (rows["why"][rows["pfn"] == border] == Absence.TRUNCATED).all()
            for row in rows[near]:
                page = core.pages[int(row["pfn"])]
                assert row["kind"] == page.kind
                there = built.machine.page_virt(page.pfn), size
                if row["why"] == Absence.READ:
                    assert len(core.read(*there)) == size
                else:
                    with pytest.raises(Truncated):
                        core.read(*there)
