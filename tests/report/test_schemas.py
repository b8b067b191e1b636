"""The JSON Schemas: made from the types of the records, printed by the command, and strict."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from report.schemas import complaints, validator
from report_schemas import RECORDS, schema_of, text_of
from vmemmap.cli.main import COMMANDS

WITHOUT_JSON = {"demo", "drgn", "pages"}


def test_every_command_with_json_has_a_schema() -> None:
    assert set(RECORDS) == set(COMMANDS) - WITHOUT_JSON


@pytest.mark.parametrize("command", RECORDS)
def test_the_shipped_schema_is_made_from_the_types(run_vmemmap, command) -> None:
    ran = run_vmemmap(command, "--schema")
    assert ran.code == 0
    assert ran.out == text_of(command), "run: PYTHONPATH=src python tools/report_schemas.py"
    Draft202012Validator.check_schema(ran.json)


@pytest.mark.parametrize("command", RECORDS)
def test_every_record_and_member_is_described(command) -> None:
    for name, schema in schema_of(command)["$defs"].items():
        if name == "HexAddress":
            continue
        for text in (
            schema["description"],
            *(each["description"] for each in schema["properties"].values()),
        ):
            assert text.endswith("."), (name, text)


LIST = {
    "block_size": 65536,
    "entries": [
        {
            "node": "0xc00000007ff30630",
            "phys": "0x14a0000",
            "virt": "0xc00c000001010000",
            "pfn_start": 0x40400,
            "pfn_end": None,
        }
    ],
    "findings": [
        {
            "code": "list_cycle",
            "severity": "error",
            "node": "0xc00000007ff30630",
            "virt": None,
            "phys": None,
            "message": "it goes round for ever",
        }
    ],
}
WRONG: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "an address as a number": (("entries", 0, "phys"), 0x14A0000),
    "an address without 0x": (("entries", 0, "node"), "c00000007ff30630"),
    "an address in capitals": (("entries", 0, "node"), "0xC00000007FF30630"),
    "an address that is none": (("entries", 0, "virt"), None),
    "a pfn as a text": (("entries", 0, "pfn_start"), "0x40400"),
    "a severity that is none": (("findings", 0, "severity"), "bad"),
    "a size that is a fraction": (("block_size",), 0.5),
    "a truth for a number": (("entries", 0, "pfn_end"), True),
    "an entry that is none": (("entries", 0), "0x14a0000"),
}


def test_a_right_record_is_taken_with_more_members_than_it_needs() -> None:
    more = copy.deepcopy(LIST)
    assert not complaints("list", more)
    more["added"] = [1]
    more["entries"][0]["rescued"] = "node_page"  # type: ignore[index]
    more["entries"][0]["added"] = "later"  # type: ignore[index]
    assert not complaints("list", more)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_record_is_refused(what) -> None:
    path, value = WRONG[what]
    record: Any = copy.deepcopy(LIST)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert len(complaints("list", record)) == 1


def test_no_required_member_can_be_missing() -> None:
    for place in ((), ("entries", 0), ("findings", 0)):
        whole: Any = LIST
        for key in place:
            whole = whole[key]
        for name in whole:
            record: Any = copy.deepcopy(LIST)
            part = record
            for key in place:
                part = part[key]
            del part[name]
            assert complaints("list", record), (place, name)


@pytest.mark.parametrize(
    ("command", "record"),
    [
        ("vtop", [{"virt": "0x10", "phys": "0x10", "method": "linear", "in_dump": True}]),
        ("vtop", [{"virt": "0x10", "error": "not_backed"}]),
        ("vtop", {"virt": "0x10", "error": "not_backed", "reason": "no entry covers it"}),
        ("page", [{"pfn": 1, "error": "no_such_page"}]),
        ("simulate", {"blocks": 1}),
    ],
)
def test_what_is_neither_of_the_records_of_a_command_is_refused(command, record) -> None:
    assert complaints(command, record)


def test_the_schema_of_a_command_needs_no_dump_and_comes_before_wrong_usage(run_vmemmap) -> None:
    ran = run_vmemmap("check", "--schema", "--strict")
    assert ran.code == 0
    assert json.loads(ran.out) == validator("check").schema
    assert run_vmemmap("drgn", "--schema").code == 2
