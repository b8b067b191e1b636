"""Two dumps of one machine: what became of entries and pages, told by other means as well."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.machine import build_machine
from picture.page_parts import blocks_of, outside, parse, words_of
from report.schemas import complaints
from vmemmap.errors import FactConflict
from vmemmap.pages.kinds import Kind
from vmemmap.picture.report import PAGE_BYTES
from vmemmap.simulate import Machine, parse_spec

BEFORE = """
[kernel]
release = "6.1.0"
block_size = "64K"
[[memory]]
node = 0
start = 0
size = "128M"
[[memory]]
node = 1
start = "1G"
size = "128M"
[pages]
cache = 300
anonymous = 200
slab = 50
[[event]]
kind = "add"
start = "2G"
size = "128M"
"""
AFTER = BEFORE.replace("cache = 300", "cache = 420").replace("slab = 50", "slab = 90")
AFTER += """
[[event]]
kind = "remove"
start = "2G"
size = "128M"
[[event]]
kind = "add"
start = "3G"
size = "192M"
"""


@pytest.fixture(scope="module")
def two(once) -> tuple[Path, Path]:
    def made(name: str, spec: str) -> Path:
        path: Path = once(name, lambda out: Machine(parse_spec(spec)).run_events().crash(out))
        return path

    return made("before.vmcore", BEFORE), made("after.vmcore", AFTER)


def kinds_of(core: Any) -> dict[int, int]:
    """Give the kind of every page, by pfn, without the code that is under test."""
    found: dict[int, int] = {}
    for chunk in core.pages.scan(("pfn", "kind")):
        found |= dict(zip(chunk["pfn"].tolist(), chunk["kind"].tolist(), strict=True))
    return found


def test_pages_and_entries_are_paired(two) -> None:
    with vmemmap.open(two[0]) as before, vmemmap.open(two[1]) as after:
        found = before.compare(after)
        kinds = [kinds_of(core) for core in (before, after)]
        blocks = [{e.virt: e.phys for e in core.backing} for core in (before, after)]
    assert found.pages is not None
    assert found.pages.untold == 0
    every = kinds[0].keys() | kinds[1].keys()
    pairs = Counter((kinds[0].get(p, 0), kinds[1].get(p, 0)) for p in every)
    wanted = {pair: count for pair, count in pairs.items() if pair[0] != pair[1]}
    assert {(one, two): n for one, two, n in found.pages.transitions()} == wanted
    assert found.pages.changed == sum(wanted.values()) > 0
    # What was removed, added, and allocated is in the machines' descriptions.
    assert sum(n for (_, now), n in wanted.items() if now == Kind.ABSENT) == (128 << 20) >> 16
    assert sum(n for (was, _), n in wanted.items() if was == Kind.ABSENT) == (192 << 20) >> 16
    assert found.before.usage is not None
    assert found.after.usage is not None
    grown = {w: found.after.usage.kinds[w] - found.before.usage.kinds[w] for w in ("cache", "slab")}
    assert grown == {"cache": 120, "slab": 40}
    entries = found.entries
    assert entries is not None
    told = {
        (int(v), ("same", "moved", "new", "gone")[f])
        for v, f in zip(entries.virt, entries.fate, strict=True)
    }
    assert told == {
        (
            virt,
            "gone"
            if virt not in blocks[1]
            else "new"
            if virt not in blocks[0]
            else "same"
            if blocks[0][virt] == blocks[1][virt]
            else "moved",
        )
        for virt in blocks[0].keys() | blocks[1].keys()
    }
    assert {fate for _, fate in told} == {"same", "new", "gone"}
    kinship = found.kinship
    assert [str(c.answer) for c in (kinship.machine, kinship.kernel, kinship.boot)] == ["yes"] * 3
    assert kinship.seconds == 20  # two more events, ten seconds each
    assert (found.findings_new, found.findings_gone) == ((), ())
    assert [change.name for change in found.facts] == ["uptime", "list_head"]


def test_stretches_with_too_many_runs_are_not_paired(two, monkeypatch) -> None:
    from vmemmap.compare import comparison

    with vmemmap.open(two[0]) as before, vmemmap.open(two[1]) as after:
        whole = before.compare(after).pages
        monkeypatch.setattr(comparison, "_RUNS_KEPT", 40)
        part = before.compare(after).pages
    assert whole is not None
    assert part is not None
    assert 0 < part.untold < whole.counts.sum()
    assert part.untold + part.counts.sum() == whole.counts.sum()
    assert (part.counts <= whole.counts).all()


def test_the_page_of_two(two, tmp_path) -> None:
    out = tmp_path / "page.html"
    with vmemmap.open(two[0]) as before, vmemmap.open(two[1]) as after:
        made = before.report(out, beside=after)
        kinds = [kinds_of(core) for core in (before, after)]
    page = parse(out.read_text())
    assert (page.wrong, outside(page), made.faults) == ([], [], ())
    assert out.stat().st_size < PAGE_BYTES
    assert [s.name for s in made.sections if s.reason] == []
    words = words_of(page.map["runs"])
    assert page.map["runs"]["mixed_blocks"] == 0
    told = {pfn: (word & 15, word >> 4) for pfn, word in words.items() if word}
    every = kinds[0].keys() | kinds[1].keys()
    assert told == {pfn: (kinds[0].get(pfn, 0), kinds[1].get(pfn, 0)) for pfn in every}
    assert len(blocks_of(page.map["runs"])) * 64 >= len(every)


def test_the_command_tells_the_difference(two, run_vmemmap, tmp_path) -> None:
    first, second = two
    told = run_vmemmap("report", first, second)
    assert told.code == 0
    assert max(map(len, told.out.splitlines())) <= 80
    for words in ("one: the host's name", "3 new", "2 gone", "uptime: ", "+120"):
        assert words in told.out
    record = json.loads(run_vmemmap("report", first, second, "-f", "json").out)
    assert complaints("report", record) == []
    assert record["path"] is record["bytes"] is None
    assert record["comparison"]["entries"]["gone"] == 2
    rows = run_vmemmap("report", first, second, "-f", "csv").out.splitlines()
    assert rows[0] == "part,name,before,after"
    assert "pages,cache,300,420" in rows
    out = run_vmemmap("report", first, second, "-o", tmp_path / "page.html", "-f", "json")
    assert json.loads(out.out)["bytes"] == (tmp_path / "page.html").stat().st_size


def test_what_cannot_be_compared_is_refused(two, run_vmemmap, tmp_path) -> None:
    small = tmp_path / "small"
    small.write_bytes(build_machine(page_size=4096).elf())
    for names, code, words in (
        ((two[0], two[0]), 2, "is given twice"),
        ((two[0], small), 3, "pages have 65536 bytes in"),
        ((two[0], two[1], small), 2, "expected one dump, or two to compare; found 3"),
        ((two[0],), 2, "-o FILE"),
        ((two[0], tmp_path / "none"), 3, "none"),
    ):
        out = run_vmemmap("report", *names, *(("-o", tmp_path / "x.html") if code == 3 else ()))
        assert (out.code, out.out) == (code, ""), names
        assert words in " ".join(out.err.split()), names
    assert not (tmp_path / "x.html").exists()
    with vmemmap.open(two[0]) as core, pytest.raises(FactConflict, match="both are the file"):
        core.compare(core)


def test_dumps_of_two_kernels_say_so_first(two, tmp_path) -> None:
    spec = BEFORE.replace("6.1.0", "5.10.0")
    other = tmp_path / "<img src=x onerror=y()>"
    Machine(parse_spec(spec)).boot().crash(other)
    with vmemmap.open(two[0]) as before, vmemmap.open(other) as after:
        before.report(tmp_path / "page.html", beside=after)
        found = before.compare(after)
    assert found.kinship.kernel.answer == "no"
    page = parse((tmp_path / "page.html").read_text())
    assert (page.wrong, outside(page)) == ([], [])
    assert "Not one kernel" in page.words
    assert str(other) in page.words


def test_members_of_split_dumps_stand_together(run_vmemmap, tmp_path) -> None:
    machine = build_machine()
    limit = max(machine.pages) + 1
    files = []
    for name in ("one", "other"):
        if name == "other":
            machine.poke_u64(machine.entries[0].node, 0)
        for turn, span in enumerate(((0, limit // 2), (limit // 2, limit))):
            files.append(tmp_path / f"{name}{turn}")
            files[-1].write_bytes(machine.kdump(split=span, utsname={"nodename": name}))
    alone = run_vmemmap("report", *files[:2], "-o", tmp_path / "page.html", "-f", "json")
    assert json.loads(alone.out)["comparison"] is None
    told = json.loads(run_vmemmap("report", *files, "-f", "json").out)["comparison"]
    assert (told["before"], told["after"]) == (str(files[0]), str(files[2]))
    assert told["entries"]["gone"] == len(machine.entries) - 1


def test_of_members_that_agree_in_all_but_the_time_it_tells(run_vmemmap, tmp_path) -> None:
    """In any order; but members of one dump may have been begun at different times."""
    machine = build_machine()
    limit = max(machine.pages) + 1
    files = {}
    for begun in (1, 2):
        for turn, span in enumerate(((0, limit // 2), (limit // 2, limit))):
            files[begun, turn] = tmp_path / f"{begun}{turn}"
            files[begun, turn].write_bytes(machine.kdump(split=span, timestamp=begun))
        machine.poke_u64(machine.entries[0].node, 0)
    for order in ([(1, 0), (2, 1), (1, 1), (2, 0)], [(1, 0), (1, 1), (2, 0), (2, 1)]):
        ran = run_vmemmap("report", *(files[key] for key in order), "-f", "json")
        assert json.loads(ran.out)["comparison"]["entries"]["gone"] == len(machine.entries) - 1
    both = files[1, 0], files[2, 1]
    page = run_vmemmap("report", *both, "-o", tmp_path / "page.html", "-f", "json")
    assert json.loads(page.out)["comparison"] is None
