"""The table of claims in docs/simulate.md names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NAMED = re.compile(r"`(tests/[\w/]+/)?(test_\w+\.py)::(test_\w+)`")


def test_each_test_that_it_names_is_there() -> None:
    found = NAMED.findall((ROOT / "docs" / "simulate.md").read_text())
    assert len(found) > 30
    for folder, file, name in found:
        path = (ROOT / folder if folder else HERE) / file
        functions = [n.name for n in ast.walk(ast.parse(path.read_text())) if hasattr(n, "name")]
        assert name in functions, (file, name)
