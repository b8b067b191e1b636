"""That there is something to compare."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vmemmap
from lab.checks.machine_facts import spoiled
from lab.results import Dump, Result


def test_there_are_machines(lab_folder: Path, machines: list[Result]) -> None:
    if not machines:
        why = os.environ.get("VMEMMAP_LAB_SKIPPED") or f"none in {lab_folder} has (make lab)"
        pytest.skip(f"no machine has run: {why}")
    for machine in machines:
        assert machine.dumps, machine.name
        for dump in machine.dumps:
            assert machine.path(dump).stat().st_size, dump.file


def test_spoiled_dump_is_recognised(machine: Result, spoiled_dump: Dump) -> None:
    """A dump without what it should have is told as such, and never by a traceback."""
    with vmemmap.open(machine.path(spoiled_dump)) as core:
        findings = core.check().findings
        assert [f for f in findings if f.severity is not vmemmap.Severity.INFO]
    pytest.skip(f"found as damaged; no other check of it: {spoiled(machine, spoiled_dump)}")
