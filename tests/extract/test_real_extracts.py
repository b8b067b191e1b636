"""Extracts of real machines, against what crash said of the whole dump, and the guest of itself.

``vmemmap extract`` made them of the lab's dumps (lab/corpus.toml). What they answer of the list, of
addresses and of words is held to crash's answers beside the other fixtures, in
tests/oracles/test_crash.py; here it is the counts, the sections, and the manifest.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from extract.painted import memory_of
from vmemmap import Vmcore
from vmemmap.extract.checker import check
from vmemmap.extract.manifest import manifest_path

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
EXTRACTS = sorted(path.name for path in CORPUS.glob("extract-*"))


@pytest.fixture(params=EXTRACTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def said(name: str) -> dict[str, Any]:
    """What the witnesses said."""
    found: dict[str, Any] = json.loads((CORPUS / name / "expected.json").read_text())
    return found


@pytest.fixture
def core(name: str, corpus_dump: Callable[[str], Path]) -> Iterator[Vmcore]:
    with vmemmap.open(corpus_dump(name)) as opened:
        yield opened


def lag(said: dict[str, Any]) -> int:
    """By how many pages a counter of the kernel may be off, as each CPU keeps some for itself."""
    return sum(zone["lag"] for zone in said["guest"]["zones"])


def test_free_blocks_are_those_that_crash_found(core: Vmcore, said: dict[str, Any]) -> None:
    """``kmem -f`` went through the lists of the whole dump, block by block."""
    usage, crash = core.usage(), said["crash"]
    assert usage.free == crash["free"] > 0
    assert usage.free_blocks is not None
    blocks = list(usage.free_blocks)
    assert blocks == crash["free_blocks"][: len(blocks)]
    assert not any(crash["free_blocks"][len(blocks) :])


def test_memory_is_counted_as_crash_did(core: Vmcore, said: dict[str, Any]) -> None:
    usage, totals = core.usage(), said["crash"]["totals"]
    assert usage.as_crash["total"] == totals["TOTAL MEM"]
    assert usage.as_crash["free"] == totals["FREE"]
    cached = usage.kinds["cache"] + usage.kinds["cache_private"]
    assert abs(totals["CACHED"] + totals["BUFFERS"] - cached) <= lag(said)
    # Crash's is a counter from version 9 on, with large kmallocs in it.
    kinds = usage.kinds
    most = kinds["slab"] + kinds["other"] + kinds["compound_tail"]
    assert kinds["slab"] - lag(said) <= totals["SLAB"] <= most + lag(said)
    if huge := totals.get("TOTAL HUGE"):
        assert kinds["hugetlb"] == huge


def test_zones_are_those_of_the_guest(core: Vmcore, said: dict[str, Any]) -> None:
    usage, zones = core.usage(), said["guest"]["zones"]
    page_kib = int(core.facts["page_size"].value) >> 10
    managed = sum(zone["managed"] for zone in zones)
    assert usage.managed == managed == said["guest"]["mem_total"] // page_kib
    assert usage.pages == sum(zone["present"] for zone in zones)
    found = {(row.node, row.name): row for row in usage.zones if row.pages}
    assert set(found) == {(zone["node"], zone["name"]) for zone in zones}
    for zone in zones:
        row = found[zone["node"], zone["name"]]
        assert row.info is not None
        info = (row.info.spanned, row.info.present, row.info.managed)
        assert info == (zone["spanned"], zone["present"], zone["managed"])
        assert row.pages == zone["present"]
        assert row.kinds.get("reserved", 0) == zone["present"] - zone["managed"]


def test_sections_are_those_that_crash_listed(core: Vmcore, said: dict[str, Any]) -> None:
    numbers = {n: state for low, end, state in said["crash"]["sections"] for n in range(low, end)}
    report = core.check()
    assert report.coverage is not None
    counts = report.coverage.counts
    assert counts.sections == counts.readable == len(numbers) > 0
    found = {n: run for run in core.pages.sections for n in range(run.start, run.end)}
    assert found.keys() == numbers.keys()
    for number, state in numbers.items():
        assert found[number].early == state.endswith("E")
        assert found[number].online in (None, "O" in state)
    assert {f.code for f in report.findings} <= {"extract", "memory_not_in_dump"}
    if core.backing:
        assert len(core.backing) == said["entries"]


def test_manifest_has_all_of_it(
    name: str, corpus_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "shared"
    shutil.copyfile(corpus_dump(name), out)
    manifest = json.loads((CORPUS / name / "dump.manifest.json").read_text())
    assert check(str(out), manifest) == []
    origin = tomllib.loads((CORPUS / name / "origin.toml").read_text())
    assert manifest["page_size"] == origin["page_size"]
    assert manifest["hidden_addresses"] == ("--hide-addresses" in origin["made_by"])
    run = max(manifest["runs"], key=lambda run: int(run["size"]))
    run["sha256"] = "0" * 64
    assert len(check(str(out), manifest)) == 1


def test_an_extract_of_it_leaves_nothing_out(
    name: str, core: Vmcore, corpus_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    """What was shown of the whole dump is shown today: the same pages, the same runs."""
    was = json.loads((CORPUS / name / "dump.manifest.json").read_text())
    again = tmp_path / "again"
    core.extract(again, hide_addresses=was["hidden_addresses"], form=core.source.format)
    assert memory_of(again) == memory_of(corpus_dump(name))
    manifest = json.loads(manifest_path(again).read_text())
    assert manifest["runs"] == was["runs"]
    assert manifest["classes"] == was["classes"]
