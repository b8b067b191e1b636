"""Struct pages that go with the pages they describe: none that is needed, all that are not."""

from __future__ import annotations

from typing import Any

import pytest

import vmemmap
from breadth import trying
from filter.kdump_table import read_table
from oracles.simulated import MIB, crash, spec_of
from vmemmap.errors import ReadError
from vmemmap.progress import no_progress
from vmemmap.simulate.crash.damage import apply_damage
from vmemmap.simulate.crash.vmcore import write_vmcore

MACHINES: dict[str, dict[str, Any]] = {
    "hash, 64K": {"release": "6.1", "memory": ((0, 0, 512), (1, 1024, 512))},
    "hash, 4K, 56 bytes": {
        "release": "5.4",
        "page": 4096,
        "struct_page_size": 56,
        "memory": ((0, 0, 112), (1, 128, 64)),
    },
    "radix, 64K, big-endian": {
        "release": "6.10",
        "mmu": "radix",
        "byte_order": "big",
        "memory": ((0, 0, 512),),
    },
}


@pytest.mark.parametrize("name", MACHINES)
def test_only_those_that_describe_nothing_go(tmp_path, name: str) -> None:
    options = dict(MACHINES[name])
    dump = crash(spec_of(options.pop("release"), **options), tmp_path / "vmcore")
    page = dump.machine.kernel.page_size
    with vmemmap.open(dump.path) as core:
        core.filter(tmp_path / "plain", 30, "none")
        result = core.filter(tmp_path / "out", 30, "none", drop_struct_pages=True, verify=True)
        estimate = core.filter_estimate(30, "none", drop_struct_pages=True)
        base = core.vmemmap_base.value
    plain = set(read_table(tmp_path / "plain").kept.tolist())
    kept = set(read_table(tmp_path / "out").kept.tolist())
    gone = plain - kept
    assert kept <= plain
    assert result.gone["struct_pages"] == len(gone) > 0
    assert (estimate.gone, estimate.kept) == (result.gone, result.kept)
    # By the model's own map of the vmemmap, page for page.
    size, mapped = options.get("struct_page_size", 64), dump.machine.vmemmap.map
    expected = set()
    for _node, start, length in MACHINES[name]["memory"]:
        first, last = (mib * MIB // page * size for mib in (start, start + length))
        for at in range(first // page * page, last, page):
            phys = mapped.find(base + at)
            assert phys is not None
            if plain.isdisjoint(range(at // size, -(-(at + page) // size))):
                expected.add(phys // page)
    assert gone == expected & plain


def test_what_stays_is_still_described(tmp_path) -> None:
    dump = crash(spec_of("6.1", memory=((0, 0, 512), (1, 1024, 512))), tmp_path / "vmcore")
    page = dump.machine.kernel.page_size
    with vmemmap.open(dump.path) as core:
        core.filter(tmp_path / "out", 30, "zstd", drop_struct_pages=True)
        with vmemmap.open(tmp_path / "out") as other:
            table = read_table(tmp_path / "out")
            for pfn in table.kept[::17].tolist():
                with trying(f"pfn {pfn:#x}"):
                    assert other.pages[pfn].kind == core.pages[pfn].kind
            # Filtering once more changes nothing: what is not there is not asked for.
            again = other.filter(tmp_path / "again", 30, "zstd", verify=True)
            assert again.kept == len(table.kept)
            lost = set(table.ram.tolist()) - set(table.kept.tolist())
            with pytest.raises(ReadError):
                other.read_phys(min(lost) * page, 8)


@pytest.mark.parametrize(
    "kind",
    ["phys_duplicate", "phys_swapped", "phys_outside", "block_over_kernel", "block_over_nodes"],
)
def test_damaged_list_is_not_trusted(tmp_path, kind: str) -> None:
    options: dict[str, Any] = {"page": 4096, "block_size": 4096}
    sound = crash(spec_of("6.1", memory=((0, 0, 112), (1, 128, 64)), **options), tmp_path / "sound")
    snapshot = sound.machine.snapshot()
    apply_damage(snapshot, kind)
    write_vmcore(snapshot, tmp_path / "broken", no_progress)
    with vmemmap.open(tmp_path / "broken") as core:
        result = core.filter(tmp_path / "out", 30, "snappy", drop_struct_pages=True)
    assert "struct_pages" not in result.gone
    assert result.warnings[-1] == "struct pages are kept: the list is damaged"
    # No page that stays in the sound dump is lost by what another page's struct page says.
    assert "that are not theirs" in result.warnings[0]
    assert result.unclassified
    kept = set(read_table(tmp_path / "out").kept.tolist())
    stays = [run for run in sound.machine.known_pages() if not (run.levels or 0) >> 30 & 1]
    assert not {pfn for run in stays for pfn in range(run.pfn_start, run.pfn_end)} - kept
