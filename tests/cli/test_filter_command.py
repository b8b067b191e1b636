"""``vmemmap filter`` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vmemmap
from oracles.simulated import Dump, crash, spec_of
from vmemmap.cli import progress


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    folder = tmp_path_factory.mktemp("dump")
    return crash(spec_of("6.1", memory=((0, 0, 112), (1, 128, 64))), folder / "vmcore")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_text_json_and_csv_say_the_same(run_vmemmap, tmp_path, dump) -> None:
    out = tmp_path / "out"
    ran = run_vmemmap("filter", dump.path, "-o", out, "--format", "json", "--verify")
    assert (ran.code, ran.err) == (0, "")
    record = ran.json
    assert record["level"] == 31
    assert record["codec"] == "zstd"
    assert record["bytes"] == out.stat().st_size == record["files"][0]["bytes"]
    assert record["pages"] == record["kept"] + sum(record["gone"].values())
    text = run_vmemmap("filter", dump.path, "-o", out, "-f", "--show-stats")
    assert text.out.startswith(f"{out}: ")
    assert f"kdump, zstd, level 31, {record['kept']} pages\n" in text.out
    for count in record["gone"].values():
        assert f" {count} " in text.out
    rows = run_vmemmap("filter", dump.path, "-o", out, "-f", "--format", "csv").out.split()
    page = dump.machine.kernel.page_size
    assert rows[:2] == ["fate,pages,bytes", f"kept,{record['kept']},{record['kept'] * page}"]
    assert f"free,{record['gone']['free']},{record['gone']['free'] * page}" in rows


@pytest.mark.parametrize(
    ("letter", "codec"), [("-c", "zlib"), ("-l", "lzo"), ("-p", "snappy"), ("-z", "zstd")]
)
def test_letters_of_makedumpfile(run_vmemmap, tmp_path, dump, letter: str, codec: str) -> None:
    assert run_vmemmap("filter", dump.path, letter, "-d", "31", "-o", tmp_path / "a").code == 0
    run_vmemmap("filter", dump.path, "--codec", codec, "-o", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with vmemmap.open(tmp_path / "a") as core:
        assert core.source.codec == codec


def test_split_reassemble_member(run_vmemmap, tmp_path, dump) -> None:
    members = [tmp_path / f"m{i}" for i in range(3)]
    outputs = [part for path in members for part in ("-o", path)]
    assert run_vmemmap("filter", dump.path, "--split", *outputs).code == 0
    alone = tmp_path / "alone"
    assert run_vmemmap("filter", dump.path, "--member", "2/3", "-o", alone).code == 0
    assert alone.read_bytes() == members[1].read_bytes()
    ran = run_vmemmap(
        "filter", "--reassemble", *members, "-o", tmp_path / "one", "--format", "json"
    )
    assert (ran.code, ran.json["level"], ran.json["codec"]) == (0, 31, "zstd")
    run_vmemmap("filter", dump.path, "-o", tmp_path / "plain")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "plain").read_bytes()


def test_a_member_of_very_many(run_vmemmap, tmp_path, dump) -> None:
    """Only where it begins and ends is looked for."""
    with vmemmap.open(dump.path) as core:
        last = [run.pfn_end for run in core.kept(31) if run.fate == "kept"][-1]
    many = 10**15
    options = ("--member", f"{many}/{many}", "-o", tmp_path / "out", "--format", "json")
    (file,) = run_vmemmap("filter", dump.path, *options).json["files"]
    assert (file["pages"], file["pfn_start"]) == (1, last - 1)


def test_an_impossible_manifest_is_told_before_the_work(run_vmemmap, tmp_path, dump) -> None:
    options = ("-o", tmp_path / "out", "--manifest", tmp_path / "none" / "runs")
    ran = run_vmemmap("filter", dump.path, *options)
    assert (ran.code, names(tmp_path)) == (3, [])
    assert ran.err.endswith("runs: cannot be written: No such file or directory\n")


def test_flattened_to_the_standard_output(tmp_path, dump) -> None:
    """A process of its own: what it prints is the dump, and the figures go to stderr."""
    program = [sys.executable, "-m", "vmemmap", "filter"]
    done = subprocess.run([*program, str(dump.path), "-F"], capture_output=True, check=True)
    assert done.stderr.startswith(b"-: ")
    (tmp_path / "flat").write_bytes(done.stdout)
    again = [*program, str(tmp_path / "flat"), "-d", "0", "-o", str(tmp_path / "out")]
    subprocess.run(again, check=True, capture_output=True)
    with vmemmap.open(dump.path) as core:
        core.filter(tmp_path / "plain", 31)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()


def test_closed_pipe_is_told_in_a_line(dump) -> None:
    program = f"{sys.executable} -m vmemmap filter {dump.path} --codec none -d 0 -o - | head -c 9"
    done = subprocess.run(["bash", "-c", program], capture_output=True, check=True)
    assert done.stdout == b"makedumpf"
    assert done.stderr.decode() == "vmemmap: -: whoever read it has closed it\n"


def test_manifest(run_vmemmap, tmp_path, dump) -> None:
    ran = run_vmemmap(
        *("filter", dump.path, "-o", tmp_path / "out", "--format", "json"),
        *("--manifest", tmp_path / "manifest"),
    )
    counts: dict[str, int] = {}
    end = 0
    for line in (tmp_path / "manifest").read_text().splitlines():
        run = json.loads(line)
        assert run["pfn_start"] >= end
        end = run["pfn_end"]
        counts[run["fate"]] = counts.get(run["fate"], 0) + end - run["pfn_start"]
    assert counts == {"kept": ran.json["kept"], **ran.json["gone"]}


def test_manifest_as_parquet(run_vmemmap, tmp_path, dump) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    for name in ("rows.parquet", "lines"):
        run_vmemmap("filter", dump.path, "--dry-run", "--manifest", tmp_path / name)
    lines = (tmp_path / "lines").read_text().splitlines()
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == list(map(json.loads, lines))


def test_parquet_without_pyarrow(run_vmemmap, tmp_path, dump, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    ran = run_vmemmap("filter", dump.path, "--dry-run", "--manifest", tmp_path / "m.parquet")
    assert ran.code == 2
    assert "pip install 'vmemmap[parquet]'" in ran.err
    assert names(tmp_path) == []


def test_dry_run_writes_nothing(run_vmemmap, tmp_path, dump) -> None:
    ran = run_vmemmap("filter", dump.path, "--dry-run", "-o", tmp_path / "out", "--format", "json")
    assert ran.code == 0
    assert names(tmp_path) == []
    whole = run_vmemmap("filter", dump.path, "-o", tmp_path / "out", "--format", "json")
    assert ran.json["bytes"] == pytest.approx(whole.json["bytes"], rel=0.05)
    assert ran.json["gone"] == whole.json["gone"]
    text = run_vmemmap("filter", dump.path, "--dry-run")
    assert text.out.startswith("would be ")
    worthless = run_vmemmap("filter", tmp_path / "out", "--dry-run", "-d", "0")
    assert "not worth it" not in text.out
    assert worthless.code == 0
    assert "not worth it: the input takes " in worthless.out
    assert (ran.json["worth"], set(ran.json["saves"])) == (True, set(ran.json["gone"]))
    elf = run_vmemmap("filter", dump.path, "--dry-run", "-E", "-d", "30", "--format", "json").json
    made = run_vmemmap("filter", dump.path, "-E", "-d", "30", "-o", tmp_path / "elf")
    assert made.code == 0
    assert elf["bytes"] == pytest.approx((tmp_path / "elf").stat().st_blocks * 512, rel=0.05)


def test_level_that_fits(run_vmemmap, tmp_path, dump) -> None:
    out = tmp_path / "out"
    whole = run_vmemmap("filter", dump.path, "-d", "0", "-o", out, "--format", "json").json
    limit = whole["bytes"] - 1
    ran = run_vmemmap(
        *("filter", dump.path, "-d", "0,31", "--max-size", limit, "-f", "-o", out),
        *("--format", "json"),
    )
    assert ran.json["level"] == 31
    none = run_vmemmap("filter", dump.path, "--max-size", "4K", "-o", tmp_path / "small")
    assert none.code == 3
    assert none.err == (
        f"vmemmap: {tmp_path / 'small'}: would be larger than the 4096 bytes that it may have\n"
    )
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "OUT", "-d", "32"), "there is no dump level 32: expected 0 to 31"),
        (("-o", "OUT", "-d", "x"), "--level 'x': expected numbers from 0 to 31"),
        (("-o", "OUT", "-c", "-E"), "give one codec; --elf has none"),
        (("-o", "OUT", "--member", "3/2"), "--member 3/2: expected a member from 1 to 2"),
        (("-o", "OUT", "--member", "0/2"), "--member 0/2: expected a member from 1 to 2"),
        (("-o", "OUT", "-o", "OUT2", "--split", "--member", "1/2"), "--member writes one file"),
        (("-o", "OUT", "-c", "-l"), "give one codec"),
        (("-o", "OUT", "-o", "OUT", "--split"), "/out is named twice"),
        (("-o", "OUT", "--manifest", "OUT"), "/out is named twice"),
        (("-o", ""), "the name of an output is empty"),
        (("-o", "OUT", "--member", "2"), "--member '2': expected I/N"),
        (("-o", "OUT", "--max-size", "few"), "'few' is no size"),
        (("-o", "OUT", "--split"), "--split goes with two -o or more"),
        (("-o", "OUT", "-o", "OUT2"), "--split goes with two -o or more"),
        ((), "give -o FILE for the output, or --dry-run"),
        (("-o", "DUMP", "-f"), "would replace what is read"),
        (("-o", "THERE"), "is there already: give --force to replace it"),
        (("-o", "OUT", "--manifest", "AGAIN"), "is named twice: every output is another file"),
        (("-o", "OUT", "--reassemble", "-d", "31"), "--reassemble keeps all that there is"),
    ],
)
def test_wrong_usage(run_vmemmap, tmp_path, dump, arguments, said: str) -> None:
    (tmp_path / "there").write_bytes(b"as it was")
    files = {
        "OUT": tmp_path / "out",
        "OUT2": tmp_path / "out2",
        "AGAIN": tmp_path / "." / "there" / ".." / "out",
        "DUMP": dump.path,
        "THERE": tmp_path / "there",
    }
    ran = run_vmemmap("filter", dump.path, *[files.get(word, word) for word in arguments])
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert names(tmp_path) == ["there"]
    assert (tmp_path / "there").read_bytes() == b"as it was"


def test_what_cannot_be_classified_is_told(run_vmemmap, tmp_path) -> None:
    from builders.kdump import build_kdump
    from builders.notes import kernel_notes

    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    pages = {pfn: bytes([pfn]) * 4096 for pfn in range(9)}
    data = build_kdump(pages, block_size=4096, notes=notes, dump_level=0)
    (tmp_path / "dump").write_bytes(data)
    ran = run_vmemmap("filter", tmp_path / "dump", "-o", tmp_path / "out")
    assert ran.code == 1
    assert "warning: no page can be classified, so all are kept: " in ran.err


def test_progress_in_lines(monkeypatch, capsys) -> None:
    """A serial console gets a line every few seconds, with percent, rate and time left."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with progress.ProgressLines() as lines:
        for step in range(11):
            lines("writing", step * 50_000_000, 500_000_000)
            clock[0] += 2.0
        lines("verifying", 0, 10)
        clock[0] += 6.0
        lines("verifying", 3, 10)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "vmemmap: writing: 30%, 25 MB/s, 14 s left"
    assert said[1] == "vmemmap: writing: 60%, 25 MB/s, 8 s left"
    assert len(said) == 4
    assert said[-1].startswith("vmemmap: verifying: 30%")
