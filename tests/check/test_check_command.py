"""`vmemmap check` and `vmemmap explain`: exit codes, forms, and that every finding is explained."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from builders.machine import build_machine
from check.damaged import SHAPES, crash
from vmemmap.check.whole_dump import _CODES
from vmemmap.explanations import explanations
from vmemmap.simulate.crash.damage import DAMAGE_KINDS

SRC = Path(__file__).resolve().parent.parent.parent / "src" / "vmemmap"
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crash(SHAPES[2].spec, tmp_path_factory.mktemp("sound") / "dump").path


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crash(SHAPES[2].spec, tmp_path_factory.mktemp("broken") / "dump", "cycle_middle").path


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump with a warning and no error."""
    folder = tmp_path_factory.mktemp("doubtful")
    return crash(SHAPES[2].spec, folder / "dump", "sections_lost").path


def test_a_sound_dump(run_vmemmap: Run, sound: Path) -> None:
    done = run_vmemmap("check", sound)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("the list holds together\n")
    found = run_vmemmap("check", sound, "--format", "json", "--strict")
    assert found.code == 0
    assert found.json["findings"] == []
    coverage = found.json["coverage"]
    assert coverage["sections"] == coverage["covered"] == coverage["readable"] > 0
    assert [node["node"] for node in coverage["nodes"]] == [0, 1]
    assert coverage["origin"] == "mem_section"


def test_a_damaged_dump(run_vmemmap: Run, broken: Path) -> None:
    done = run_vmemmap("check", broken, "-f", "json")
    assert done.code == 1
    assert [set(f) for f in done.json["findings"]] == [
        {"code", "severity", "node", "virt", "phys", "message"}
    ] * len(done.json["findings"])
    assert done.json["findings"][0]["code"] == "list_cycle"
    coverage = done.json["coverage"]
    assert coverage["covered"] < coverage["sections"]
    text = run_vmemmap("check", broken)
    assert "error: list_cycle: " in text.out
    assert "vmemmap explain list_cycle" in text.out


def test_rescue_is_asked_for_and_marked(run_vmemmap: Run, broken: Path) -> None:
    plain = run_vmemmap("list", broken, "-f", "json").json["entries"]
    found = run_vmemmap("list", broken, "-f", "json", "--rescue").json["entries"]
    assert found[: len(plain)] == plain
    assert {row["rescued"] for row in found[len(plain) :]} == {"node_page"}
    assert len(found) > len(plain)
    assert "rescued (node_page)" in run_vmemmap("list", broken, "--rescue").out
    assert "rescued" in run_vmemmap("list", broken, "--rescue", "-f", "csv").out.splitlines()[0]
    crash_form = run_vmemmap("list", broken, "--rescue", "-f", "crash").out
    assert crash_form == run_vmemmap("list", broken, "-f", "crash").out
    last = found[-1]
    without = run_vmemmap("vtop", broken, last["virt"], "-f", "json")
    assert without.json[0]["error"] == "not_backed"
    (row,) = run_vmemmap("vtop", broken, last["virt"], "-f", "json", "--rescue").json
    assert (row["phys"], row["rescued"]) == (last["phys"], "node_page")
    (page,) = run_vmemmap("page", broken, last["pfn_start"], "-f", "json", "--rescue").json
    assert page["rescued"] == "node_page"
    assert run_vmemmap("usage", broken, "-f", "json").json["unknown"]
    assert not run_vmemmap("usage", broken, "-f", "json", "--rescue").json["unknown"]
    checked = run_vmemmap("check", broken, "-f", "json", "--rescue")
    assert checked.code == 1, "the list is damaged all the same"
    coverage = checked.json["coverage"]
    assert coverage["rescued"] == len(found) - len(plain)
    assert coverage["listed"]["covered"] < coverage["covered"] == coverage["sections"]


def test_strict_counts_warnings(run_vmemmap: Run, doubtful: Path) -> None:
    assert run_vmemmap("check", doubtful).code == 0
    assert run_vmemmap("check", doubtful, "--strict").code == 1
    junit = run_vmemmap("check", doubtful, "-f", "junit")
    strict = run_vmemmap("check", doubtful, "-f", "junit", "--strict")
    assert ElementTree.fromstring(junit.out).attrib["failures"] == "0"
    assert ElementTree.fromstring(strict.out).attrib["failures"] == "1"


def test_junit(run_vmemmap: Run, broken: Path) -> None:
    suite = ElementTree.fromstring(run_vmemmap("check", broken, "-f", "junit").out)
    cases = suite.findall("testcase")
    assert int(suite.attrib["tests"]) == len(cases) == len(codes_of("check"))
    failed = {case.attrib["name"] for case in cases if case.find("failure") is not None}
    assert failed == {"list_cycle", "section_without_entry"}
    assert int(suite.attrib["failures"]) == 2


def test_sarif(run_vmemmap: Run, broken: Path) -> None:
    log = json.loads(run_vmemmap("check", broken, "-f", "sarif").out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [
        result["ruleId"] for result in run["results"]
    ]
    assert run["results"][0]["level"] == "error"
    assert run["results"][0]["properties"]["node"].startswith("0x")
    assert run["properties"]["coverage"]["sections"] > 0


def test_csv(run_vmemmap: Run, broken: Path) -> None:
    rows = list(csv.DictReader(run_vmemmap("check", broken, "-f", "csv").out.splitlines()))
    assert rows[0]["code"] == "list_cycle"
    assert set(rows[0]) == {"severity", "code", "node", "virt", "phys", "message"}


def test_a_dump_that_cannot_be_read(run_vmemmap: Run, tmp_path: Path) -> None:
    (tmp_path / "none").write_bytes(b"nothing")
    assert run_vmemmap("check", tmp_path / "none").code == 3


def test_explain(run_vmemmap: Run) -> None:
    one = run_vmemmap("explain", "list_cycle")
    assert one.code == 0
    for tool in ("crash", "makedumpfile", "libkdumpfile", "drgn"):
        assert re.search(rf"^    {tool} ", one.out, re.MULTILINE)
    everything = run_vmemmap("explain").out.splitlines()
    begun = [line.split()[0] for line in everything if not line.startswith(" ")]
    assert begun == list(explanations())
    wrong = run_vmemmap("explain", "list_cicle")
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean list_cycle" in wrong.err
    assert run_vmemmap("explain", "-f", "json", "list_cycle").json[0]["peers"]["drgn"]


CODE_AT = {"condemn": 1, "without": 2} | dict.fromkeys(
    ("Finding", "describe", "_error", "_note", "_end", "add"), 0
)
"""Calls that take the code of a finding, and as which argument."""


def codes_in(folder: str) -> set[str]:
    """Give the codes of findings that a layer's source has, and those that begin a message."""
    found = set()
    for path in (SRC / folder).rglob("*.py") if (SRC / folder).is_dir() else [SRC / folder]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            at = CODE_AT.get(name, len(node.args))
            if name == "complain":
                found |= set(re.findall(r"(?:error|warning): (\w+): ", ast.unparse(node)))
            elif at < len(node.args):
                code = node.args[at]
                found.add(code.value if isinstance(code, ast.Constant) else None)
    return {code for code in found if isinstance(code, str)}


def codes_of(command: str) -> set[str]:
    return {code for code, known in explanations().items() if known.command == command}


def test_every_finding_is_explained() -> None:
    """By the command that tells of it; and nothing is explained that none tells of."""
    by_check = codes_in("backing") | codes_in("check") | set(_CODES.values())
    by_check |= codes_in("dump.py")
    by_check |= {code for kind in DAMAGE_KINDS.values() for code in kind.findings}
    by_both = codes_in("mmzone") | codes_in("pages")
    by_check |= by_both & codes_of("check")
    assert len(by_check) > 40
    assert by_check == codes_of("check")
    told = by_both | codes_in("cli") | codes_in("report")
    assert told - by_check == codes_of("usage")
    assert codes_in("kernel_log") == codes_of("dmesg")
    assert len(codes_of("usage")) > 12
    for explanation in explanations().values():
        assert len(explanation.peers) == 4
        assert all((explanation.means, explanation.arises, explanation.breaks, explanation.do))


@pytest.mark.parametrize(
    ("online", "why"),
    [
        (0, "no online node has its own description"),
        (3, "node 1 is online, but node_data has 0x0 for it, which is no description of that node"),
    ],
)
def test_why_memory_is_not_told_by_node(
    run_vmemmap: Run, tmp_path: Path, online: int, why: str
) -> None:
    machine = build_machine(store="none")
    machine.poke_u64(machine.symbols["node_online_map"], online)
    (dump := tmp_path / "dump").write_bytes(machine.elf())
    coverage = json.loads(run_vmemmap("check", dump, "--format", "json").out)["coverage"]
    assert coverage["nodes"] == []
    why = f"nodes and zones cannot be read: {why}"
    assert coverage["nodes_unknown"] == why
    assert f"by node: unknown, since {why}" in " ".join(run_vmemmap("check", dump).out.split())
