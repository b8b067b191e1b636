"""That there is something to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.results import Result


def test_there_are_machines(lab_folder: Path, machines: list[Result]) -> None:
    if not machines:
        pytest.skip(f"no machine has run: {lab_folder} has no machine.json (make lab)")
    for machine in machines:
        assert machine.dumps, machine.name
        for dump in machine.dumps:
            assert machine.path(dump).stat().st_size, dump.file
