"""``vmemmap simulate`` as a user types it: its answers, its errors, and no half files."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import tomllib

import pyarrow.parquet as parquet
import pytest

import vmemmap
from vmemmap.simulate.spec.toml import EXAMPLE

SPEC = """
[kernel]
release = "6.1.0"
block_size = "64K"
[[memory]]
start = 0
size = "256M"
[[memory]]
node = 1
start = "1G"
size = "256M"
[[event]]
kind = "add"
start = "2G"
size = "128M"
node = 1
[pages]
cache = 100
anonymous = 50
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "machine.toml"
    path.write_text(SPEC)
    return path


def test_dump_holds_what_is_printed_of_it(run_vmemmap, tmp_path, spec) -> None:
    out = tmp_path / "vmcore"
    said = run_vmemmap("simulate", spec, "-o", out, "--format", "json").json
    info = run_vmemmap("info", out, "--format", "json").json
    listed = run_vmemmap("list", out, "--format", "json").json
    assert said["vmemmap"]["entries"] == len(listed["entries"]) == info["vmemmap"]["entries"] == 10
    assert said["vmemmap"]["block_size"] == listed["block_size"] == 65536
    assert said["vmemmap"]["base"] == info["vmemmap"]["base"]
    assert said["dump"]["ranges"] == info["dump"]["ranges"]
    assert said["kernel"]["release"] == info["kernel"]["release"]
    assert [event["result"] for event in said["events"]] == ["done", "done"]
    assert said["events"][1]["calls"][0] == "add_memory"
    assert said["events"][1]["calls"][-1] == "vmemmap_populate"
    assert said["pages"]["cache"] == said["makedumpfile"]["cache"] == 100
    assert said["makedumpfile"]["user"] == 50
    assert sum(said["pages"].values()) == 2 * said["pages"]["total"]


def test_text_names_the_lock_and_the_call_chain(run_vmemmap, tmp_path, spec) -> None:
    ran = run_vmemmap("simulate", spec, "-o", tmp_path / "vmcore")
    assert ran.code == 0
    assert "serialised by device_hotplug_lock and mem_hotplug_lock" in ran.out
    assert "> section_activate >" in " ".join(ran.out.split())
    assert max(map(len, ran.out.splitlines()[1:])) <= 80  # the first has the path
    assert "10 entries, blocks of 64 KiB" in ran.out


def test_csv_has_the_pages(run_vmemmap, tmp_path, spec) -> None:
    ran = run_vmemmap("simulate", spec, "-o", tmp_path / "vmcore", "--format", "csv")
    assert ran.out.splitlines()[0] == "kind,pages"
    assert "cache,100" in ran.out.splitlines()


def test_what_each_page_is_goes_to_a_file(run_vmemmap, tmp_path) -> None:
    """As lines and as Parquet the same; painted pages are not of zeros; the readers agree."""
    out, sets = tmp_path / "vmcore", ("--set", "pages.cache=100", "--set", "pages.anonymous=50")
    made = ("simulate", "--memory", "64M", *sets, "--paint", "-o", out, "--truth")
    for name in ("truth.jsonl", "truth.parquet"):
        ran = run_vmemmap(*made, tmp_path / name)
        assert f"Wrote {tmp_path / name}: what each page is" in ran.out
    known = list(map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines()))
    assert parquet.read_table(tmp_path / "truth.parquet").to_pylist() == known
    assert not any(run["zero"] for run in known if run["use"] in ("cache", "anonymous", "free"))
    assert {run["order"] for run in known if run["use"] == "free"} > {0, 1, 2}
    with vmemmap.open(out) as core:
        went = [run for run in core.kept(30) if run.fate != "kept"]
    found = [pfn for run in went for pfn in range(run.pfn_start, run.pfn_end)]
    expected = [run for run in known if run["levels"] >> 30 & 1]
    assert found == [pfn for run in expected for pfn in range(run["pfn_start"], run["pfn_end"])]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--truth", "t"), "give -o FILE"),
        (("--truth", "t", "--trace"), "--truth is about the vmcore"),
        (("-o", "a", "--truth", "a"), "name the same file"),
        (("-o", "a", "--truth", "none/b"), "none/b: cannot be written"),
    ],
)
def test_where_no_truth_can_be_written(run_vmemmap, tmp_path, monkeypatch, options, said) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_vmemmap("simulate", "--memory", "64M", *options)
    assert (ran.code, ran.err.count("\n")) in ((2, 1), (3, 1))
    assert said in ran.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_spec_there_is_a_small_machine(run_vmemmap, tmp_path) -> None:
    out = tmp_path / "vmcore"
    ran = run_vmemmap(
        "simulate", "-o", out, "--memory", "64M", "--set", "kernel.page_size=4K", "--set",
        "kernel.byte_order=big", "--set", "kernel.release=4.18.0", "--set", "pages.cache=7",
        "--format", "json",
    )  # fmt: skip
    assert ran.json["makedumpfile"]["cache"] == 7
    with vmemmap.open(out) as core:
        assert core.facts["page_size"].value == 4096
        assert core.facts["memory_byte_order"].value == "big"
        assert core.facts["release"].value == "4.18.0"


def test_old_kernel_comes_with_its_symbols(run_vmemmap, tmp_path) -> None:
    out, symbols = tmp_path / "vmcore", tmp_path / "vmlinux"
    ran = run_vmemmap(
        "simulate", "-o", out, "--vmlinux", symbols, "--memory", "64M", "--set",
        "kernel.release=2.6.35", "--format", "json",
    )  # fmt: skip
    assert any("which without hibernation keeps nobody out" in note for note in ran.json["notes"])
    listed = run_vmemmap("list", out, "--vmlinux", symbols, "--format", "json").json
    assert len(listed["entries"]) == ran.json["vmemmap"]["entries"] > 0


def test_designs_alone_need_no_output(run_vmemmap) -> None:
    ran = run_vmemmap(
        "simulate", "--compare-designs", "--memory", "1T", "--set", "kernel.block_size=64K",
        "--format", "json",
    )  # fmt: skip
    assert ran.json["blocks"] == 16384
    costs = {cost["name"][:2]: cost for cost in ran.json["designs"]}
    assert costs["v3"]["bytes"] == 16384 * 24
    assert costs["v2"]["bytes"] == costs["v1"]["bytes"] == 16384 * 32


def test_what_holds_for_a_release_is_told_with_how_sure_it_is(run_vmemmap) -> None:
    ran = run_vmemmap("simulate", "--explain-era", "4.13.2", "--format", "json")
    assert ran.json["release"] == "4.13.2"
    rows = {row["name"]: row for row in ran.json["rows"]}
    assert rows["nodes"] == {
        "name": "nodes",
        "what": "how list nodes are handed out",
        "value": "free_list",
        "since": "3.17",
        "until": None,
        "known": True,
        "doubt": None,
    }
    assert not rows["altmap"]["known"]
    assert rows["altmap"]["doubt"] == "changed after 4.12.0 and by 4.14.0"
    text = run_vmemmap("simulate", "--explain-era", "4.13.2").out
    assert "not known: changed after 4.12.0 and by 4.14.0" in text
    table = run_vmemmap("simulate", "--explain-era", "4.13.2", "--format", "csv").out.splitlines()
    assert len(table) == 1 + len(rows)


def test_what_weak_ordering_can_do_to_one_insertion(run_vmemmap) -> None:
    arguments = ("simulate", "--store-orders", "--memory", "64M", "--set", "kernel.block_size=64K")
    ran = run_vmemmap(*arguments, "--format", "json").json
    assert ran["stores"] == ["num_left", "next", "phys", "virt_addr", "list", "vmemmap_list"]
    assert ran["states"] == sum(seen["states"] for seen in ran["seen"]) == 2**6
    assert sum(seen["in_program_order"] for seen in ran["seen"]) == 7
    text = run_vmemmap(*arguments).out
    assert "with vmemmap_list done and no other" in text
    assert run_vmemmap(*arguments, "-o", "x").code == 2
    radix = run_vmemmap(*arguments[:4], "--set", "kernel.mmu=radix", "--set", "kernel.release=6.6")
    assert radix.code == 2
    assert "keeps no list" in radix.err


def test_no_release_is_a_wrong_use(run_vmemmap) -> None:
    ran = run_vmemmap("simulate", "--explain-era", "2.6.34")
    assert ran.code == 2
    assert "2.6.35 to 7.3" in ran.err
    assert "Traceback" not in ran.err


def test_example_is_a_spec(run_vmemmap, tmp_path) -> None:
    ran = run_vmemmap("simulate", "--example")
    assert ran.out == EXAMPLE
    assert tomllib.loads(ran.out)
    (tmp_path / "example.toml").write_text(ran.out)
    assert run_vmemmap("simulate", tmp_path / "example.toml", "--compare-designs").code == 0


def test_crash_in_the_middle_is_told(run_vmemmap, tmp_path, spec) -> None:
    ran = run_vmemmap(
        "simulate", spec, "-o", tmp_path / "vmcore", "--set", "faults.crash_before_store=45"
    )
    assert ran.code == 0
    assert "crashed before store 45, as planned" in ran.out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("kernel.release=9.9", "kernel.release"),
        ("kernel.release=huh", "kernel.release"),
        ("kernel.page_size=5K", "kernel.page_size"),
        ("kernel.block_size=3K", "kernel.block_size"),
        ("kernel.colour=red", "kernel.colour"),
        ("pages.cache=-1", "pages.cache"),
        ("pages.cache=many", "pages.cache"),
        ("pages.huge=7", "pages.huge"),
        ("dump.cpus=0", "dump.cpus"),
        ("faults.block=[0]", "faults.block"),
        ("nothing", "nothing"),
        ("memory.size=1G", "memory.size=1G"),
    ],
)
def test_spec_that_cannot_be_names_the_field(run_vmemmap, tmp_path, spec, change, named) -> None:
    ran = run_vmemmap("simulate", spec, "-o", tmp_path / "vmcore", "--set", change)
    assert ran.code == 2
    assert ran.err.startswith(f"vmemmap: {spec}: {named}: ")
    assert len(ran.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["machine.toml"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["-o", "x", "no-such.toml"], ["-o", "x", "--memory", "1G", "no-such.toml"]],
)
def test_usage_errors(run_vmemmap, tmp_path, monkeypatch, arguments) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run_vmemmap("simulate", *arguments)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_output_that_cannot_be_written(run_vmemmap, tmp_path, spec) -> None:
    ran = run_vmemmap("simulate", spec, "-o", tmp_path / "no" / "vmcore")
    assert ran.code == 3
    assert "no/vmcore: cannot be written" in ran.err


def test_demo_shows_the_commands(vmemmap_script, tmp_path) -> None:
    ran = subprocess.run(
        [vmemmap_script, "demo", "--keep", tmp_path / "kept"],
        capture_output=True,
        text=True,
        check=True,
    )
    for command in ("simulate machine.toml", "info vmcore", "list vmcore", "vtop vmcore"):
        assert f"\n$ vmemmap {command}" in ran.stdout
    assert "70 entries, blocks of 64 KiB" in ran.stdout
    assert "60 lines" in ran.stdout
    assert not ran.stderr
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["machine.toml", "vmcore"]


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_write_leaves_nothing(vmemmap_script, tmp_path, signal_) -> None:
    out = tmp_path / "vmcore"
    command = ["simulate", "-o", out, "--memory", "512G", "--set", "kernel.block_size=64K"]
    process = subprocess.Popen(
        [vmemmap_script, *command],
        stderr=subprocess.PIPE,
        # A shell that runs the tests in the background has it ignored, which children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)  # so that it is in the middle of it, however fast it is
    if out.exists():
        process.kill()
        process.communicate()
        pytest.skip("the file was whole before the process could be stopped")
    process.send_signal(signal_)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal_
    assert said == b""
    assert not list(tmp_path.iterdir())
