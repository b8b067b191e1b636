"""Make the JSON Schemas of the commands from the types of their records.

    PYTHONPATH=src python tools/report_schemas.py

writes ``src/vmemmap/report/schemas/COMMAND.json``, which ``vmemmap COMMAND --schema`` prints. What
a record's docstring says of its members becomes their description. Members that are not named are
allowed: adding one is no change of the contract.

Source: JSON Schema, draft 2020-12.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from textwrap import dedent
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from vmemmap.report.check import CheckRecord
from vmemmap.report.designs import DesignsRecord
from vmemmap.report.dmesg import DmesgRecord
from vmemmap.report.eras import EraRecord
from vmemmap.report.explain import ExplanationRecord
from vmemmap.report.extract import ExtractRecord
from vmemmap.report.filter import FilterRecord
from vmemmap.report.info_record import InfoRecord
from vmemmap.report.list import ListRecord
from vmemmap.report.members import HEX_ADDRESS, HexAddress
from vmemmap.report.page import PageRecord
from vmemmap.report.ptov import PtovRecord
from vmemmap.report.read import ReadRecord
from vmemmap.report.report import ReportRecord
from vmemmap.report.simulate_record import DamageKindRecord, SimulatedRecord
from vmemmap.report.store_orders import StoreOrdersRecord
from vmemmap.report.survey import SurveyRecord
from vmemmap.report.trace_record import TracesRecord
from vmemmap.report.usage_record import UsageRecord
from vmemmap.report.vtop import VtopRecord

FOLDER = Path(__file__).resolve().parent.parent / "src" / "vmemmap" / "report" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
RECORDS: dict[str, Any] = {
    "check": CheckRecord,
    "dmesg": DmesgRecord,
    "explain": list[ExplanationRecord],
    "extract": ExtractRecord,
    "filter": FilterRecord,
    "info": InfoRecord,
    "list": ListRecord,
    "page": list[PageRecord],
    "ptov": list[PtovRecord],
    "read": ReadRecord,
    "report": ReportRecord,
    "simulate": (
        SimulatedRecord
        | DesignsRecord
        | EraRecord
        | StoreOrdersRecord
        | TracesRecord
        | list[DamageKindRecord]
    ),
    "survey": SurveyRecord,
    "usage": UsageRecord,
    "vtop": list[VtopRecord],
}
"""What each command prints as JSON."""
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}

Schema = dict[str, Any]


def schema_of(command: str) -> Schema:
    """Make the schema of what a command prints."""
    made = _Definitions()
    root = made.schema(RECORDS[command])
    return {
        "$schema": DRAFT,
        "title": f"vmemmap {command} --format json",
        **root,
        "$defs": dict(sorted(made.found.items())),
    }


class _Definitions:
    """The named parts of one schema.

    Attributes:
        found: The schemas of the records met so far, by name.
    """

    def __init__(self) -> None:
        self.found: dict[str, Schema] = {}

    def schema(self, kind: Any) -> Schema:
        """Make the schema of a type, and those of the records in it."""
        origin, inside = get_origin(kind), get_args(kind)
        if kind in _SIMPLE:
            return {"type": _SIMPLE[kind]}
        if kind is HexAddress:
            return self._named("HexAddress", lambda: {"type": "string", "pattern": HEX_ADDRESS})
        if origin is Literal:
            return {"enum": list(inside)}
        if origin in (Union, types.UnionType):
            return _any_of([self.schema(each) for each in inside])
        if origin is list:
            return {"type": "array", "items": self.schema(inside[0])}
        if origin is tuple:
            count = len(inside)
            items = [self.schema(each) for each in inside]
            return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.schema(inside[1])}
        if is_typeddict(kind):
            return self._named(kind.__name__, lambda: self._record(kind))
        if isinstance(kind, type) and issubclass(kind, Enum):
            return {"enum": [member.value for member in kind]}
        raise TypeError(f"a record has a member of type {kind}, which has no schema")

    def _named(self, name: str, make: Any) -> Schema:
        if name not in self.found:
            self.found[name] = {}
            self.found[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _record(self, record: type) -> Schema:
        hints = get_type_hints(record, include_extras=True)
        meanings = member_meanings(record)
        members, required = {}, []
        for name, kind in hints.items():
            if get_origin(kind) is NotRequired:
                kind = get_args(kind)[0]
            else:
                required.append(name)
            members[name] = {"description": meanings[name], **self.schema(kind)}
        return {
            "description": _meaning(record),
            "type": "object",
            "properties": members,
            "required": required,
        }


def _any_of(choices: list[Schema]) -> Schema:
    if all(choice.keys() == {"type"} for choice in choices):
        return {"type": [choice["type"] for choice in choices]}
    return {"anyOf": choices}


def _meaning(record: type) -> str:
    """Give what a record's docstring says before its members."""
    return " ".join((inspect.getdoc(record) or "").split("\n\nAttributes:")[0].split())


def member_meanings(record: type) -> Mapping[str, str]:
    """Give what the docstrings of a record and of those that it extends say of each member."""
    found: dict[str, str] = {}
    # At run time a TypedDict no longer knows what it extends.
    bases = ast.parse(dedent(inspect.getsource(record))).body[0]
    assert isinstance(bases, ast.ClassDef)
    for base in bases.bases:
        extended = getattr(sys.modules[record.__module__], ast.unparse(base))
        if is_typeddict(extended):
            found |= member_meanings(extended)
    _, _, members = (inspect.getdoc(record) or "").partition("Attributes:\n")
    for name, text in re.findall(r"^    (\w+): ((?:.+\n?)(?:     .+\n?)*)", members, re.MULTILINE):
        found[name] = " ".join(text.split())
    return found


def text_of(command: str) -> str:
    """Give a command's schema as it stands in its file."""
    return json.dumps(schema_of(command), indent=2) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in RECORDS:
        (FOLDER / f"{name}.json").write_text(text_of(name), encoding="utf-8")
