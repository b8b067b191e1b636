"""The schemas as the command prints them, ready to hold records against."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator


@cache
def validator(command: str) -> Draft202012Validator:
    """Give what holds a command's record against its shipped schema."""
    text = (files("vmemmap.report.schemas") / f"{command}.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def complaints(command: str, record: Any) -> list[str]:
    """Say what is wrong with a record, a line each."""
    return [
        f"{command} {error.json_path}: {error.message[:300]}"
        for error in validator(command).iter_errors(record)
    ]
