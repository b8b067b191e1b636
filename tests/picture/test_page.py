"""The page of a dump: whole, self-contained, and with the numbers that other witnesses have."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from conftest import SHARED
from picture.page_parts import Page, blocks_of, hash_of, outside, parse, unpacked, words_of
from report.schemas import complaints
from vmemmap.picture.report import PAGE_BYTES
from vmemmap.simulate import Machine, parse_spec
from vmemmap.simulate.crash.damage import DAMAGE_KINDS

SPEC = """
[kernel]
release = "6.1.0"
[[memory]]
node = 0
start = 0
size = "256M"
[[memory]]
node = 1
start = "1G"
size = "128M"
[pages]
cache = 300
anonymous = 200
slab = 50
hwpoison = 1
"""
SECTIONS = ["summary", "map", "list", "usage", "space", "log", "facts"]
MARKUP = "<script>x()</script>!"


def page_of(path: Path, out: Path, **how: Any) -> tuple[Page, Any]:
    with vmemmap.open(path, **how) as core:
        made = core.report(out)
        counted = core.usage()
    page = parse(out.read_text(encoding="utf-8"))
    assert page.wrong == []
    return page, (made, counted)


@pytest.fixture(scope="module")
def simulated(once) -> Path:
    made: Path = once("report.vmcore", lambda path: Machine(parse_spec(SPEC)).boot().crash(path))
    return made


@pytest.mark.parametrize("name", ["hash-64k-6.1", "radix-4k-6.12"])
def test_a_page_is_whole_and_leads_nowhere(corpus_dump, tmp_path, name) -> None:
    page, (made, _) = page_of(corpus_dump(name), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < PAGE_BYTES
    assert [section.name for section in made.sections] == SECTIONS
    lacking = [section.name for section in made.sections if section.reason]
    assert lacking == ["log"]  # of the memory with the log nothing was taken into the fixture
    assert outside(page) == []
    ids = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for each in page.of("a"):
        assert each.attributes["href"][1:] in ids
    for each in page.of("svg"):
        named = each.attributes.get("aria-label") and each.attributes.get("role") == "img"
        assert named or each.attributes.get("aria-hidden") == "true"


def test_the_policy_lets_only_the_pages_own_script_run(corpus_dump, tmp_path) -> None:
    page, _ = page_of(corpus_dump("hash-64k-6.1"), tmp_path / "page.html")
    (style,), (script,) = page.of("style"), [e for e in page.of("script") if not e.attributes]
    assert {e.attributes.get("type") for e in page.of("script")} == {None, "application/json"}
    allowed = dict(part.split(" ", 1) for part in page.policy.split("; "))
    assert allowed == {
        "default-src": "'none'",
        "script-src": f"'{hash_of(script.text)}'",
        "style-src": f"'{hash_of(style.text)}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not [each for each in page.elements if "style" in each.attributes]


@pytest.mark.skipif(not SHARED.exists(), reason="the full-size dump is not beside this repository")
def test_the_numbers_are_those_of_an_independent_reader(tmp_path) -> None:
    """Linux 4.9: what another reader and the guest's own /proc say of it."""
    import zstandard

    packed = SHARED / "dumps" / "old" / "le-4.9-64k-hash.meta.elf.zst"
    truth = json.loads((SHARED / "truth" / "le-4.9-64k-hash.truth.json").read_text())
    dump = tmp_path / "vmcore"
    with packed.open("rb") as file, dump.open("wb") as out:
        zstandard.ZstdDecompressor().copy_stream(file, out)
    page, (_, counted) = page_of(
        dump,
        tmp_path / "page.html",
        vmlinux=SHARED / "dumps" / "old" / "symbols-le-4.9-64k-hash.elf",
    )
    told, counts = page.map, truth["counts"]
    kind = [word & 15 for word in words_of(told["runs"]).values() if word & 15]
    words = {number: word for number, word, _ in told["kinds"]}
    pages = {words[number]: count for number, count in Counter(kind).items()}
    assert told["runs"]["mixed_blocks"] == 0
    assert len(kind) == counts["pages"]
    assert pages["free"] == counts["buddy_pages"]
    assert (pages["reserved"], pages["anon"]) == (counts["reserved"], counts["anon"])
    size, base = truth["block_size"], int(told["base"], 16)
    blocks, phys = unpacked(told["entries"]["block"]), unpacked(told["entries"]["phys"])
    shown = [(int(p) * size, base + int(b) * size) for b, p in zip(blocks, phys, strict=True)]
    assert shown == [(int(p, 16), int(v, 16)) for _, p, v in truth["entries"]]
    assert list(counted.free_blocks or ()) == truth["free_blocks"]
    assert f"All {counts['pages']:,} can be read" in page.words


def test_what_looks_like_markup_is_text(tmp_path) -> None:
    """In the log, the host's name, the release, VMCOREINFO and the file's name."""
    spec = '[kernel]\nrelease = "6.1.0"\n[[memory]]\nstart = 0\nsize = "64M"\n'
    Machine(parse_spec(spec)).boot().crash(tmp_path / "plain")
    data = (tmp_path / "plain").read_bytes()
    for old, new in (
        (b"sysrq triggered crash", MARKUP.encode()),
        (b"6.1.0", b"6.<b>"),
        (b"simulated\0", b"<b>x</b>'\0"),
    ):
        assert old in data
        assert len(old) == len(new)
        data = data.replace(old, new)
    dump = tmp_path / "<img src=x onerror=y()>&\u202eerocmv"
    dump.write_bytes(data)
    page, _ = page_of(dump, tmp_path / "page.html")
    plain, _ = page_of(tmp_path / "plain", tmp_path / "plain.html")
    assert outside(page) == []
    for tag in ("script", "b", "img", "style", "svg"):
        assert len(page.of(tag)) == len(plain.of(tag)), tag
    for words in (
        "6.<b>",
        f"syncing: {MARKUP}",
        "<b>x</b>'",
        dump.name.replace("\u202e", "\\u202e"),
    ):
        assert words in page.words
    assert "\u202e" not in page.words  # what stands behind it would be read backwards


def test_the_map_has_the_kind_of_every_page(simulated) -> None:
    """However many runs are kept and however large blocks are: sums as usage, pages as scan."""
    from vmemmap.pages.count.map_gatherer import MapGatherer
    from vmemmap.pages.kinds import Kind
    from vmemmap.picture.packed_runs import pack_runs

    with vmemmap.open(simulated) as core:
        plain, model = core.usage(), core.page_model
        scanned: dict[int, int] = {}
        for chunk in core.pages.scan(("pfn", "kind")):
            scanned |= dict(zip(chunk["pfn"].tolist(), chunk["kind"].tolist(), strict=True))
        for most in (1 << 20, 200, 1):
            seen = MapGatherer(core.pages, most=most)
            assert model.usage(onlooker=seen) == plain
            runs = seen.runs()
            assert len(runs) <= max(most, runs.mixed.sum() * 4 + len(runs.grid))
            for by, left in ((0, 1 << 20), (3, 1 << 20), (0, 100), (3, 50), (14, 0)):
                coarse = runs.coarser(by).with_runs(left)
                found = coarse.by_kind().sum(axis=0)
                assert found.sum() == len(coarse.grid) << coarse.grid.shift
                assert {k.word: int(found[k]) for k in Kind if k.word in plain.kinds} == plain.kinds
                told = words_of(pack_runs(coarse, 1 << 20))
                assert told or coarse.mixed.all()
                assert all(scanned.get(pfn, Kind.ABSENT) == kind for pfn, kind in told.items())
            if most == 1 << 20:
                told = words_of(pack_runs(runs, 1 << 20))
                assert {pfn: kind for pfn, kind in told.items() if kind} == scanned
    assert seen.zones is not None
    ends = [(run.first_pfn, run.end_pfn, run.node) for run in seen.zones]
    assert ends == [(0, 4096, 0), (16384, 18432, 1)]
    free = sum(seen.free_blocks.values())
    assert tuple(np.asarray(free).tolist()) == plain.free_blocks


def test_a_map_without_room_has_sums_or_larger_blocks(simulated) -> None:
    from vmemmap.picture.memory_map import look_on, make_map

    with vmemmap.open(simulated) as core:
        seen = look_on(core._dump)
        counted = core.page_model.usage(onlooker=seen)
        runs = seen.runs()
        for budget, mixed in ((100_000, False), (180, True), (90, True)):
            told = make_map(core._dump, seen, runs, budget)
            blocks = blocks_of(told["runs"])
            assert any(block.mixed for block in blocks) is mixed
            assert told["runs"]["mixed_blocks"] == sum(block.mixed for block in blocks)
            sums: Counter[int] = Counter()
            for block in blocks:
                sums.update(dict(zip(block.words, block.pages, strict=True)) if block.mixed else {})
                if not block.mixed:
                    for word, pages in zip(block.words, block.pages, strict=True):
                        sums[word] += pages
            words = {number: word for number, word, _ in told["kinds"]}
            found: Counter[str] = Counter()
            for word, pages in sums.items():
                found[words.get(word & 15, "absent")] += pages
            assert {w: n for w, n in found.items() if w != "absent"} == {
                word: pages for word, pages in counted.kinds.items() if pages
            }
            assert sum(n for word, n in sums.items() if word >> 4 == 2) == counted.pages


DAMAGED = """
[[memory]]
start = 0
size = "512M"
[[event]]
kind = "add"
start = "1G"
size = "256M"
[[event]]
kind = "add"
start = "2G"
size = "128M"
[[event]]
kind = "remove"
start = "2G"
size = "128M"
"""
TRIED = ("cycle_self", "head_missing", "node_page_missing", "psize_shift", "entry_lost")
"""Kinds of damage that lose the list, a part of it, or what is needed to read it."""


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(name, marks=() if name in TRIED else pytest.mark.full)
        for name in sorted(DAMAGE_KINDS)
    ],
)
def test_a_damaged_dump_is_drawn_as_far_as_it_goes(run_vmemmap, tmp_path, damage) -> None:
    spec = tmp_path / "machine.toml"
    spec.write_text(DAMAGED)
    made = run_vmemmap("simulate", spec, "--damage", damage, "-o", tmp_path / "vmcore")
    assert made.code == 0, made.err
    checked = json.loads(run_vmemmap("check", tmp_path / "vmcore", "-f", "json").out)
    wanted = {finding["code"] for finding in checked["findings"]}
    out = run_vmemmap("report", tmp_path / "vmcore", "-o", tmp_path / "page.html", "-f", "json")
    assert out.code == (1 if any(f["severity"] != "info" for f in checked["findings"]) else 0)
    page = parse((tmp_path / "page.html").read_text())
    assert (page.wrong, outside(page)) == ([], [])
    record = json.loads(out.out)
    assert complaints("report", record) == []
    assert [section["section"] for section in record["sections"]] == SECTIONS
    assert wanted <= {finding["code"] for finding in record["findings"]}
    assert all(code in page.words for code in wanted)
    assert "a fault of vmemmap itself" not in page.words
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"machine.toml", "vmcore", "page.html"}


def test_a_dump_whose_name_is_no_text_has_a_page(simulated, tmp_path) -> None:
    name = tmp_path / os.fsdecode(b"b\xe4d")
    name.symlink_to(simulated)
    page, (made, _) = page_of(name, tmp_path / "page.html")
    assert made.faults == ()
    assert page.wrong == []
    assert r"b\xe4d: Linux 6.1.0" in (tmp_path / "page.html").read_text(encoding="utf-8")
