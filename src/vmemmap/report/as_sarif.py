"""Findings as SARIF 2.1.0, the form that code hosts and CI systems show beside a change.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from vmemmap.explanations import explanations
from vmemmap.report.members import FindingRecord

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(
    path: str, findings: Iterable[FindingRecord], properties: Mapping[str, object], version: str
) -> dict[str, Any]:
    """Give a SARIF log with one run.

    Args:
        path: The dump, as the user named it.
        findings: The findings in the JSON form of `check`.
        properties: What else is known, put into the run's property bag.
        version: Of this package.
    """
    results, used = [], dict[str, None]()
    for finding in findings:
        used.setdefault(finding["code"])
        places = {"node": finding["node"], "virt": finding["virt"], "phys": finding["phys"]}
        results.append(
            {
                "ruleId": finding["code"],
                "ruleIndex": list(used).index(finding["code"]),
                "level": _LEVELS[finding["severity"]],
                "message": {"text": finding["message"]},
                "locations": [
                    {"physicalLocation": {"artifactLocation": {"uri": _uri(path)}}},
                ],
                "properties": {name: address for name, address in places.items() if address},
            }
        )
    driver = {"name": "vmemmap", "version": version, "rules": [_rule(code) for code in used]}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "properties": properties}],
    }


def _rule(code: str) -> dict[str, Any]:
    known = explanations().get(code)
    rule: dict[str, Any] = {"id": code}
    if known is not None:
        rule |= {
            "shortDescription": {"text": known.means.split(". ")[0].rstrip(".") + "."},
            "fullDescription": {"text": f"{known.means} {known.arises}"},
            "help": {"text": f"{known.breaks} {known.do}"},
        }
    return rule


def _uri(path: str) -> str:
    # A file's name is bytes, which need not be UTF-8.
    return quote(os.fsencode(PurePath(path)))
