"""The order inside `vmemmap.facts`: its docstring has the rows, and imports keep to them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import vmemmap.facts

PACKAGE = "vmemmap.facts"
FACTS = Path(vmemmap.facts.__file__).parent
MODULES = sorted(path for path in FACTS.rglob("*.py") if path != FACTS / "__init__.py")


def rows_of(docstring: str) -> dict[str, int]:
    """Give the row of each part by the table: the words left of its gap."""
    table = docstring.split("=\n")[1]
    parts = [line.partition("  ")[0].split() for line in table.splitlines()]
    return {part: row for row, names in enumerate(parts) for part in names if part[0] != "="}


ROW_OF = rows_of(vmemmap.facts.__doc__ or "")


def part_of(path: Path) -> str:
    return path.relative_to(FACTS).parts[0].removesuffix(".py")


def imported_parts(source: str) -> Iterator[str]:
    """Yield the parts that a module's text imports, also in functions and for types alone."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name.split(".")[2] for name in names if name.startswith(f"{PACKAGE}."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FACTS)))
def test_a_module_imports_its_own_row_and_those_above(path: Path) -> None:
    row = ROW_OF[part_of(path)]
    wrong = {part for part in imported_parts(path.read_text()) if ROW_OF[part] > row}
    assert not wrong


def test_every_module_has_a_row_and_every_row_modules() -> None:
    assert {part_of(path) for path in MODULES} == set(ROW_OF)


def test_the_rule_can_fail() -> None:
    assert ROW_OF["fact"] < ROW_OF["vmcoreinfo"] < ROW_OF["vmlinux"] < ROW_OF["backing"]
    text = "def f():\n    from vmemmap.facts.types.btf import Btf\nimport vmemmap.facts.kernel"
    assert set(imported_parts(text)) == {"types", "kernel"}
    assert set(imported_parts("from vmemmap.facts import mmu\nimport numpy")) == {"mmu"}
