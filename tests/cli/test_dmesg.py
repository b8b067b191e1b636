"""vmemmap dmesg as a user meets it; what vmcore-dmesg says is in tests/oracles."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from builders.machine import Machine
from builders.printk import CharacterLog, LocklessLog, Message, RecordLog
from kernel_log.logs import ORDERS, machine_of


def dump_of(log: LocklessLog | RecordLog | CharacterLog, folder: Path) -> Path:
    machine: Machine = machine_of(log.order)
    log.install(machine)
    path = folder / "vmcore"
    path.write_bytes(machine.kdump())
    return path


def three(log: LocklessLog | RecordLog | CharacterLog) -> LocklessLog | RecordLog | CharacterLog:
    log.add(Message(b"Linux version", 0, level=5, caller_id=0))
    log.add(Message(b"it burns \x1b[5m", 1_500_000_000, level=0, facility=3, caller_id=0x80000002))
    log.add(Message(b'caf\xc3\xa9, "quoted"', 2_000_001_999, level=3, caller_id=77))
    return log


@pytest.mark.parametrize("order", ORDERS)
def test_json_has_everything(order, run_vmemmap, tmp_path) -> None:
    ran = run_vmemmap("dmesg", dump_of(three(LocklessLog(order, 6, 12)), tmp_path), "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "form": "lockless",
        "records": [
            {
                "seq": 0, "time_ns": 0, "level": 5, "facility": 0, "caller": "T0",
                "text": "Linux version",
            },
            {
                "seq": 1, "time_ns": 1_500_000_000, "level": 0, "facility": 3, "caller": "C2",
                "text": "it burns \x1b[5m",
            },
            {
                "seq": 2, "time_ns": 2_000_001_999, "level": 3, "facility": 0, "caller": "T77",
                "text": 'café, "quoted"',
            },
        ],
        "findings": [],
    }  # fmt: skip
    assert ran.out.isascii()
    assert "\x1b" not in ran.out


@pytest.mark.parametrize("order", ORDERS)
def test_csv_has_the_same_rows(order, run_vmemmap, tmp_path) -> None:
    path = dump_of(three(RecordLog(order, 4096)), tmp_path)
    rows = list(csv.DictReader(io.StringIO(run_vmemmap("dmesg", path, "-f", "csv").out)))
    records = run_vmemmap("dmesg", path, "-f", "json").json["records"]
    assert [row["time_ns"] for row in rows] == [str(record["time_ns"]) for record in records]
    assert [row["level"] for row in rows] == ["5", "0", "3"]
    assert [row["seq"] for row in rows] == ["", "", ""]
    assert rows[1]["text"] == "it burns \\x1b[5m"


@pytest.mark.parametrize("order", ORDERS)
def test_text_cannot_do_anything_to_a_terminal(order, run_vmemmap, tmp_path) -> None:
    for log in (LocklessLog(order, 6, 12), RecordLog(order, 4096), CharacterLog(order, 12)):
        log.add(Message(bytes(range(256)).replace(b"\n", b"")))
        ran = run_vmemmap("dmesg", dump_of(log, tmp_path))
        assert ran.code == 0
        assert set(ran.out) <= {*map(chr, range(32, 127)), *"\t\n\v\f\r"}


@pytest.mark.parametrize(
    ("asked", "lines"),
    [("0", [1]), ("emerg,err", [1, 2]), ("notice", [0]), ("7", []), ("0,5,3", [0, 1, 2])],
)
def test_levels(asked: str, lines: list[int], run_vmemmap, tmp_path) -> None:
    for log in (LocklessLog("little", 6, 12), RecordLog("big", 4096), CharacterLog("big", 12)):
        path = dump_of(three(log), tmp_path)
        everything = run_vmemmap("dmesg", path).out.splitlines()
        assert len(everything) == 3
        ran = run_vmemmap("dmesg", path, "--level", asked)
        assert ran.out.splitlines() == [everything[line] for line in lines]
        assert ran.code == 0


@pytest.mark.parametrize("asked", ["", "8", "error", "err,", "-1"])
def test_a_level_that_is_none(asked: str, run_vmemmap, tmp_path) -> None:
    ran = run_vmemmap("dmesg", tmp_path / "x", f"--level={asked}")
    assert ran.code == 2
    assert "is no level" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("output", ["text", "json", "csv"])
def test_damage_is_told_and_the_rest_is_printed(output: str, run_vmemmap, tmp_path) -> None:
    log = LocklessLog("big", 6, 12)
    three(log)
    log.text[24:32] = b"\xff" * 8
    ran = run_vmemmap("dmesg", dump_of(log, tmp_path), "-f", output)
    assert ran.code == 1
    assert "Linux version" in ran.out
    assert "quoted" in ran.out
    assert "burns" not in ran.out
    assert len(ran.err.splitlines()) == 1
    assert "error: log_text: " in ran.err
    if output == "json":
        assert [finding["code"] for finding in ran.json["findings"]] == ["log_text"]


def test_a_log_that_cannot_be_found_is_an_unreadable_dump(run_vmemmap, tmp_path) -> None:
    machine = machine_of("little", "4.18.0-80")
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    ran = run_vmemmap("dmesg", path)
    assert (ran.code, ran.out) == (3, "")
    assert "does not say where the kernel's log is" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_dates_and_callers_of_a_real_crash(run_vmemmap, real_dump, truth) -> None:
    """crash gives the date of the crash; vmcore-dmesg everything behind the time."""
    dump = real_dump("hash-64k-6.1/vmcore.d31.lzo")
    date = re.search(r"DATE: (.*) UTC (\d+)", truth("hash-64k-6.1.crash.txt"))
    assert date is not None
    lines = run_vmemmap("dmesg", "-T", dump).out.splitlines()
    panic = next(line for line in lines if "Kernel panic" in line)
    assert panic == f"[{date[1]} {date[2]}] Kernel panic - not syncing: sysrq triggered crash"
    said = truth("hash-64k-6.1.vmcore-dmesg.txt").splitlines()
    shown = run_vmemmap("dmesg", "--caller", dump).out.splitlines()
    pattern = re.compile(r"^(\[ *\d+\.\d+\])\[ *[TC]\d+\]")
    assert [pattern.sub(r"\1", line) for line in shown] == said
    assert sum(bool(pattern.match(line)) for line in shown) > 200


def test_no_date_without_a_time_of_the_crash(run_vmemmap, real_dump) -> None:
    ran = run_vmemmap("dmesg", "-T", real_dump("qemu-hash-64k-6.1/dump.kdump-zlib"))
    assert (ran.code, ran.out) == (3, "")
    assert "no CRASHTIME" in ran.err
