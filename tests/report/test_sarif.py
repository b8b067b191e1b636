"""SARIF output is what the standard's own schema says, whatever the dump and its name are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator

from builders.machine import build_machine
from vmemmap.report.as_sarif import sarif

SCHEMA = json.loads((Path(__file__).parent / "sarif-schema-2.1.0.json").read_text())


def complaints(log: Any) -> list[str]:
    return [
        f"{error.json_path}: {error.message}" for error in Draft4Validator(SCHEMA).iter_errors(log)
    ]


@pytest.mark.parametrize("damage", [None, "cycle_middle", "node_page_missing", "head_missing"])
def test_check_prints_what_the_standard_says(run_vmemmap, tmp_path, damage) -> None:
    dump = tmp_path / "vmcore"
    options = ["--damage", damage] if damage else []
    assert run_vmemmap("simulate", "--memory", "1G", "-o", dump, *options).code == 0
    ran = run_vmemmap("check", dump, "--format", "sarif")
    assert ran.code == (1 if damage else 0)
    assert not complaints(ran.json)
    assert bool(ran.json["runs"][0]["results"]) is bool(damage)


@pytest.mark.parametrize("name", ["vmcore", "a b#c%d?e:f", "größe", os.fsdecode(b"b\xe4d\xff")])
def test_a_file_may_have_any_name(run_vmemmap, tmp_path, name) -> None:
    machine = build_machine(blocks=(0, 1, 4), layout="c00c", page_size=65536, block_shift=16)
    machine.poke_node(1, link=machine.entries[0].node)
    dump = tmp_path / name
    dump.write_bytes(machine.elf())
    ran = run_vmemmap("check", dump, "-f", "sarif")
    assert ran.code == 1
    assert not complaints(ran.json)
    where = ran.json["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    uri = where["artifactLocation"]["uri"]
    assert uri.isascii()
    assert os.fsencode(dump) == bytes_of(uri)
    for form in ("text", "json", "csv", "junit"):
        assert run_vmemmap("check", dump, "-f", form).code == 1


def bytes_of(uri: str) -> bytes:
    """Take a percent-encoded path apart, by RFC 3986."""
    start, *parts = uri.split("%")
    return start.encode() + b"".join(bytes([int(p[:2], 16)]) + p[2:].encode() for p in parts)


def test_the_schema_refuses_what_the_standard_does_not_know() -> None:
    finding: Any = {
        "code": "list_cycle",
        "severity": "error",
        "message": "it goes round",
        "node": "0x10",
        "virt": None,
        "phys": None,
    }
    log = sarif("vmcore", [finding], {}, "0.1.0")
    assert not complaints(log)
    log["runs"][0]["results"][0]["level"] = "bad"
    assert len(complaints(log)) == 1
    log = sarif("vmcore", [finding], {}, "0.1.0")
    del log["runs"][0]["tool"]
    assert len(complaints(log)) == 1
