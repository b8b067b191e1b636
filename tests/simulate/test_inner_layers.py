"""The order inside `vmemmap.simulate`: a part imports its own row and the rows above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vmemmap.simulate

ROWS = (
    ("eras", "kernel", "steps"),
    ("spec",),
    ("memory",),
    ("mm",),
    ("sched",),
    ("crash",),
    ("trace",),
    ("journal", "events"),
    ("in_words", "watched"),
    ("machine", "designs"),
    ("explain", "store_orders"),
)
PACKAGE = "vmemmap.simulate"
SIMULATE = Path(vmemmap.simulate.__file__).parent
MODULES = sorted(SIMULATE.rglob("*.py"))
ROW_OF = {part: row for row, parts in enumerate(ROWS) for part in parts} | {"__init__": len(ROWS)}


def part_of(path: Path) -> str:
    return path.relative_to(SIMULATE).parts[0].removesuffix(".py")


def imported_parts(source: str) -> Iterator[str]:
    """Yield the parts that a module's text imports, also under TYPE_CHECKING; ``__init__`` for
    what it takes from the package's own names."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name == PACKAGE or name.startswith(f"{PACKAGE}."):
                part = name.removeprefix(PACKAGE).removeprefix(".").partition(".")[0]
                yield part if part in ROW_OF else "__init__"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SIMULATE)))
def test_a_module_imports_its_own_row_and_those_above(path: Path) -> None:
    assert part_of(path) in ROW_OF, "no row names it"
    row = ROW_OF[part_of(path)]
    wrong = {part for part in imported_parts(path.read_text()) if ROW_OF[part] > row}
    assert not wrong


def test_every_part_of_a_row_is_there() -> None:
    assert {part_of(path) for path in MODULES} == set(ROW_OF)


def test_the_packages_docstring_shows_these_rows() -> None:
    lines = (vmemmap.simulate.__doc__ or "").split("=\n")[1].splitlines()
    shown = [tuple(line.split("  ")[0].split()) for line in lines]
    assert [row for row in shown if row and "=" not in row[0]] == list(ROWS)


def test_the_rule_can_fail() -> None:
    text = "if TYPE_CHECKING:\n    from vmemmap.simulate.machine import Machine"
    assert set(imported_parts(text)) == {"machine"}
    assert set(imported_parts("from vmemmap.simulate import Machine, mm")) == {"__init__", "mm"}
    assert set(imported_parts("def f():\n    import vmemmap.simulate.crash.damage")) == {"crash"}
