"""Surveys: every dump a row once, whatever it does to the process that asks it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from breadth import trying
from builders.flattened import build_flattened
from builders.kdump import build_kdump
from builders.machine import Machine, build_machine
from range_server import serving
from report.schemas import complaints

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is absent")
pytest.importorskip("obstore", reason="obstore is absent: pip install 'vmemmap[remote]'")
from vmemmap.survey.answers import ask_dump, empty_row  # noqa: E402
from vmemmap.survey.bounded import Bounds, ask_bounded, end_idle  # noqa: E402
from vmemmap.survey.dumps import SurveyedDump, find_dumps  # noqa: E402
from vmemmap.survey.parts import Parts  # noqa: E402
from vmemmap.survey.run import Surveyed, survey  # noqa: E402

MACHINES: dict[str, Callable[[], tuple[Machine, bytes]]] = {}


def known(name: str, form: Callable[[Machine], bytes], **options: Any) -> None:
    @cache
    def make() -> tuple[Machine, bytes]:
        machine = build_machine(**options)
        return machine, form(machine)

    MACHINES[name] = make


def flattened(machine: Machine) -> bytes:
    return build_flattened(machine.kdump())


known("a-elf-be", lambda machine: machine.elf(), byte_order="big")
known("b-kdump-le", lambda machine: machine.kdump(), blocks=12)
known("c-flat-4k", flattened, page_size=4096, block_shift=12, blocks=9)
known("d-radix", lambda machine: machine.kdump(), mmu="radix", block_shift=21, blocks=3)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    for name, make in MACHINES.items():
        (folder / name).write_bytes(make()[1])
    (folder / "notes.txt").write_text("no dump")
    return folder


@pytest.fixture(autouse=True, scope="module")
def no_processes_stay() -> Iterator[None]:
    yield
    end_idle()


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """Every row that any reader of Parquet sees."""
    found = []
    for path in sorted(folder.glob("*.parquet")):
        found += pq.read_table(path).to_pylist()
    return sorted(found, key=lambda row: row["address"])


def check_known(rows: list[dict[str, Any]]) -> None:
    """Hold rows against what the builders put into the machines."""
    assert [Path(row["address"]).name for row in rows] == list(MACHINES)
    for row, make in zip(rows, MACHINES.values(), strict=True):
        machine, _ = make()
        with trying(row["address"]):
            assert row["error"] is None
            assert row["release"] == machine.release
            assert (row["mmu"], row["page_size"]) == (machine.mmu, machine.page_size)
            assert row["entries"] == len(machine.entries)
            assert row["memory_byte_order"] == machine.byte_order
            assert row["errors"] is not None
            assert sum(kind["pages"] for kind in row["kinds"]) <= row["pages"]


def test_a_fleet_is_asked_once(fleet: Path, tmp_path: Path, run_vmemmap) -> None:
    """Run again it asks only what is new or changed, and a row of a dump is there once."""
    out = tmp_path / "out"
    ran = run_vmemmap("survey", fleet, "-o", out, "--jobs", 2, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    assert not complaints("survey", ran.json)
    assert (ran.json["dumps"], ran.json["asked"], ran.json["known"]) == (4, 4, 0)
    check_known(rows_in(out))

    again = survey([str(fleet)], out, jobs=1)
    assert (again.asked, again.known) == (0, 4)
    os.utime(fleet / "a-elf-be", (1e9, 1e9))
    with ThreadPoolExecutor(1) as pool:
        again = survey([f"{fleet}/?-*"], out, executor=pool)
    assert (again.asked, again.known) == (1, 3)
    check_known(rows_in(out))

    shown = run_vmemmap("survey", out, "--show")
    assert shown.code == 0
    assert "4 dumps\n" in shown.out
    assert "radix" in shown.out
    assert all(len(line) <= 80 for line in shown.out.splitlines())


def test_urls_and_lists(fleet: Path, tmp_path: Path) -> None:
    with serving(fleet) as served:
        lines = ["# a list", "", f"{served.url}/b-kdump-le?key=hush", f"{served.url}/none"]
        (tmp_path / "list").write_text("\n".join(lines))
        out = tmp_path / "out"
        result = survey([f"@{tmp_path / 'list'}"], out, ask=["list"], jobs=1)
        assert (result.asked, result.failed) == (2, 1)
        good, bad = rows_in(out)
        assert good["address"] == f"{served.url}/b-kdump-le?..."
        assert good["requests"] > 0
        assert good["entries"] == 12
        assert "there is no such object" in bad["error"]
        assert not any(b"hush" in path.read_bytes() for path in out.iterdir())
        again = survey([f"@{tmp_path / 'list'}"], out, ask=["list"], jobs=1)
        assert (again.asked, again.known) == (1, 1)  # what is not there has no version
        served.always = 503
        served.forget()
        dumps = list(find_dumps([f"@{tmp_path / 'list'}", f"{served.url}/a\t{served.url}/b"]))
        assert [dump.version for dump in dumps] == ["", "", ""]
        # Whatever a server does, it holds up the survey no longer than one request does.
        assert len(served.requests) == 4


def test_members_of_a_split_dump_are_one(tmp_path: Path, run_vmemmap) -> None:
    """Found by their headers in a folder, at URLs by their names too, or named in a line."""
    sound, other = build_machine(blocks=12), build_machine(blocks=12, seed=2, byte_order="big")
    folder = tmp_path / "dumps"
    folder.mkdir()

    def write(machine: Machine, names: Sequence[str], timestamp: int) -> None:
        end = max(machine.pages) + 1
        borders = [0, end // 3, end // 2, end]
        options: dict[str, Any] = {
            "block_size": machine.page_size,
            "order": machine.byte_order,
            "notes": machine.notes(machine.byte_order),
            "utsname": machine.utsname,
            "timestamp": timestamp,
        }
        for name, part in zip(names, pairwise(borders), strict=True):
            data = build_kdump(machine.kdump_pages(), split=part, **options)
            (folder / name).write_bytes(data)

    write(sound, ("core.3", "core.1", "core.2"), 1)
    write(other, ("x", "y", "z"), 2)
    (folder / "whole").write_bytes(sound.kdump())
    out, pool = tmp_path / "out", ThreadPoolExecutor(1)  # and so one process for all
    for name in ("core.1", "y"):  # asked alone before, and forgotten then
        survey([str(folder / name)], out, ask=["list"], executor=pool)
    assert survey([str(folder)], out, ask=["info", "list"], executor=pool) == Surveyed(3, 0, 0)
    split, whole, big = rows_in(out)
    assert split["address"] == str(folder / "core.3")
    assert split["members"] == [str(folder / name) for name in ("core.3", "core.1", "core.2")]
    assert (whole["members"], len(big["members"])) == (None, 3)
    assert [row["incomplete"] for row in (split, whole, big)] == [False] * 3
    assert [row["entries"] for row in (split, whole, big)] == [12, 12, len(other.entries)]
    assert survey([str(folder)], out, ask=["info", "list"], executor=pool).known == 3
    os.utime(folder / "core.2", (1e9, 1e9))
    assert survey([str(folder)], out, ask=["info", "list"], executor=pool) == Surveyed(1, 0, 2)
    with serving(folder) as served:
        lines = [f"{served.url}/core.{number}?key=hush" for number in (1, 2, 3)]
        (tmp_path / "list").write_text("\n".join(lines))
        lines = [f"{served.url}/{name}?key=hush" for name in "xyz"]
        (tmp_path / "line").write_text("\t".join(lines))
        ran = run_vmemmap(
            "survey", f"@{tmp_path}/list", f"@{tmp_path}/line", "-o", tmp_path / "far", "--stats"
        )
        first, second = rows_in(tmp_path / "far")
        told = f"{first['requests'] + second['requests']} requests, "
        assert told in ran.err
    assert first["members"] == [f"{served.url}/core.{number}?..." for number in (3, 1, 2)]
    assert second["members"] == [f"{served.url}/{name}?..." for name in "xyz"]
    assert (first["error"], second["error"]) == (None, None)


def silent_dump(folder: Path) -> tuple[SurveyedDump, int]:
    """A pipe that somebody holds open and writes nothing to: whoever reads it waits."""
    path = folder / "pipe"
    os.mkfifo(path)
    return SurveyedDump(str(path), str(path), ""), os.open(path, os.O_RDWR)


def children() -> list[int]:
    return [
        int(pid)
        for path in Path("/proc/self/task").glob("*/children")
        for pid in path.read_text().split()
    ]


def test_a_dump_that_hangs_dies_or_grows_is_a_row(fleet: Path, tmp_path: Path) -> None:
    good = SurveyedDump(str(fleet / "b-kdump-le"), "good", "1")
    dump, held = silent_dump(tmp_path)
    row = ask_bounded(dump, ["info"], Bounds(seconds=0.8))
    assert (row["error_code"], row["error"]) == ("timeout", "it takes longer than 0.8 seconds")

    end_idle()
    before = set(children())

    def kill() -> None:
        for pid in set(children()) - before:
            os.kill(pid, signal.SIGKILL)

    killer = threading.Timer(0.6, kill)
    killer.start()
    row = ask_bounded(dump, ["info"], Bounds(seconds=30))
    killer.join()
    os.close(held)
    assert row["error_code"] == "crashed"
    assert "by signal 9" in row["error"]

    row = ask_bounded(good, ["usage"], Bounds(memory_bytes=1 << 20))
    assert row["error_code"] in ("memory", "crashed")
    row = ask_bounded(good, ["list"])
    assert (row["error"], row["entries"]) == (None, 12)


@pytest.mark.full
def test_killed_at_any_moment_nothing_is_lost_or_twice(fleet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = [sys.executable, "-m", "vmemmap", "survey", str(fleet), "-o", str(out)]
    for seconds in (0.2, 0.4, 0.6, 0.8, 1.0, 1.2):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.kill()
        process.wait()
        addresses = [row["address"] for row in rows_in(out)] if out.exists() else []
        assert len(addresses) == len(set(addresses))
    assert subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode == 0
    check_known(rows_in(out))
    assert not [path.name for path in out.iterdir() if path.name.endswith(".part")]


def test_wrong_uses_are_one_line(fleet: Path, tmp_path: Path, run_vmemmap) -> None:
    for arguments, code, words in (
        ([fleet], 2, "give -o DIR"),
        ([fleet, "-o", tmp_path / "o", "--ask", "nothing"], 2, "expected questions of info, list"),
        ([fleet, "--show"], 3, "there is no survey in this folder"),
        ([f"{fleet}/x*", "-o", tmp_path / "o"], 3, "x*: there is no dump\n"),
        ([f"@{tmp_path}/none", "-o", tmp_path / "o"], 3, "cannot read the list of dumps"),
        (["https://127.0.0.1/x/", "-o", tmp_path / "o"], 3, "a web server has no list"),
        ([fleet, "-o", fleet / "notes.txt"], 3, "cannot be written"),
    ):
        with trying(arguments):
            ran = run_vmemmap("survey", *arguments)
            assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
            assert words in ran.err


def test_two_surveys_at_once_are_refused(fleet: Path, tmp_path: Path) -> None:
    with Parts(tmp_path).held(), pytest.raises(vmemmap.UnwritableFile, match="another survey"):
        survey([str(fleet)], tmp_path)


def test_a_folder_of_other_versions_or_damaged(tmp_path: Path, run_vmemmap) -> None:
    """Columns may be missing or more, and rows are there; what is no part is named."""
    parts, dump = Parts(tmp_path), SurveyedDump("/x", "/x", "1")
    parts.add([empty_row(dump, ["list"]) | {"release": "6.1"}])
    (path,) = tmp_path.glob("*.parquet")
    table = pq.read_table(path)
    other = table.drop_columns(["members", "kinds", "stored_bytes", "asked"])
    pq.write_table(other.append_column("to_come", table["release"]), path)
    (tmp_path / ".part-0.parquet.0.part").write_bytes(b"of a survey that was killed")
    shown = run_vmemmap("survey", tmp_path, "--show")
    assert (shown.code, "6.1\n" in shown.out) == (0, True)
    parts.tidy()
    assert {*table.column_names, "to_come"} == {*pq.read_table(path).column_names}
    assert [row["to_come"] for row in rows_in(tmp_path)] == ["6.1"]
    assert list(tmp_path.iterdir()) == [path]

    def with_column(name: str, like: str) -> bytes:
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, name, table[like]), path)
        return path.read_bytes()

    damaged = [with_column("kinds", "release"), with_column("address", "error"), b"", b"PAR1"]
    for data in (*damaged, with_column("surveyed_at", "release"), path.read_bytes()[:-9]):
        with trying(data[:60]):
            path.write_bytes(data)
            for arguments in ([tmp_path, "--show"], ["/x", "-o", tmp_path]):
                ran = run_vmemmap("survey", *arguments)
                assert (ran.code, ran.err.count("\n")) == (3, 1)
                assert f"{path}: is no part of a survey, or damaged: remove it" in ran.err


@pytest.mark.full
def test_nothing_grows_over_many_dumps(fleet: Path) -> None:
    """In one process, without bounds: what is left after 200 dumps is what was after 20."""
    (first, *_) = find_dumps([str(fleet)])
    asked = ["info", "list", "check", "usage"]

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    sizes = []
    for number in range(200):
        ask_dump(first, asked)
        if number in (20, 199):
            sizes.append(resident())
    assert sizes[1] - sizes[0] < 8 << 20


@pytest.mark.full
def test_a_thousand_dumps(fleet: Path, tmp_path: Path) -> None:
    """Sound ones, whose answers are known, and a fifth that is cut off; each is there once."""
    many = tmp_path / "many"
    many.mkdir()
    cut = tmp_path / "cut"
    cut.write_bytes((fleet / "a-elf-be").read_bytes()[:200])
    for number in range(200):
        for name in MACHINES:
            (many / f"{number:02}-{name}").symlink_to(fleet / name)
        (many / f"{number:02}-z").symlink_to(cut)
    result = survey([str(many)], tmp_path / "out", jobs=2)
    assert (result.asked, result.failed, result.known) == (1000, 200, 0)
    rows = rows_in(tmp_path / "out")
    assert len(rows) == 1000
    for number in range(200):
        mine = [row for row in rows if Path(row["address"]).name.startswith(f"{number:02}-")]
        assert "program headers" in mine[-1]["error"]
        check_known_in(mine[:-1])


@pytest.mark.full
def test_on_a_dask_cluster_a_killed_worker_loses_nothing(fleet: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="dask.distributed is absent")
    many = tmp_path / "many"
    many.mkdir()
    for number in range(40):
        for name in MACHINES:
            (many / f"{number:02}-{name}").symlink_to(fleet / name)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    )
    with cluster, distributed.Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        killer = threading.Timer(1.5, lambda: os.kill(pids[0], signal.SIGKILL))
        killer.start()
        result = survey([str(many)], tmp_path / "out", executor=client)
        killer.join()
    assert (result.asked, result.failed) == (160, 0)
    rows = rows_in(tmp_path / "out")
    for number in range(40):
        check_known_in(rows[4 * number : 4 * number + 4])


def check_known_in(rows: list[dict[str, Any]]) -> None:
    check_known(
        [row | {"address": row["address"].rpartition("/")[2].partition("-")[2]} for row in rows]
    )


def test_a_name_that_is_no_text_is_a_row_like_any_other(tmp_path) -> None:
    name = tmp_path / os.fsdecode(b"b\xe4d")
    name.write_bytes(MACHINES["b-kdump-le"]()[1])
    (dump,) = find_dumps([str(tmp_path)])
    parts = Parts(tmp_path / "out")
    with parts.held():
        (absent,) = find_dumps([f"{name}none"])
        parts.add([ask_dump(each, ["list"]) for each in (dump, absent)])
    assert [(row["address"], row["entries"]) for row in parts.latest()] == [
        (rf"{tmp_path}/b\xe4d", 12),
        (rf"{tmp_path}/b\xe4dnone", None),
    ]
