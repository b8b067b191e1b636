"""The arrows between the layers: a folder imports only what stands left of it.

formats < source < facts < mmzone < kernel_log < translate < backing < pages < check < report < cli,
and errors, address, memory, linear_map, findings, intervals for all. `report` stands on the opened
dump as well, and on the simulator for what that says of a dump.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src" / "vmemmap"
BASE = {"errors", "address", "memory", "linear_map", "findings", "intervals"}
ORDER = [
    *("formats", "source", "facts", "mmzone", "kernel_log", "translate", "backing", "pages"),
    *("check", "report", "cli"),
]
SEES_ALL = {"__init__", "__main__", "vmcore", "dump", "extract", "drgn_plugin", "cli"}
ALONE = {"write": {"formats"}, "simulate": {"write"}}
"""Layers outside the line: what each may import besides itself and the base."""
MORE = {"report": {"vmcore", "simulate"}}
"""What a layer of the line may import besides what stands left of it."""


def allowed(layer: str) -> set[str]:
    """Give the layers that *layer* may import from."""
    if layer in SEES_ALL:
        return {*BASE, *ORDER, *SEES_ALL, *ALONE}
    if layer in ALONE:
        return {*BASE, layer, *ALONE[layer]}
    if layer in BASE:
        return BASE
    return {*BASE, *ORDER[: ORDER.index(layer) + 1], *MORE.get(layer, ())}


def imported_layers(path: Path) -> set[str]:
    """Give the layers that a module imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or SRC not in path.parents, f"{path}: name modules in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [node.module or ""] if node.module != "vmemmap" else names
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("vmemmap.")}
    return found


MODULES = sorted(SRC.rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_module_imports_only_leftwards(path: Path) -> None:
    layer = layer_of(path)
    wrong = imported_layers(path) - allowed(layer) - {"__version__"}
    assert not wrong, f"{path.relative_to(SRC)} ({layer}) must not import {sorted(wrong)}"


def test_every_layer_is_known() -> None:
    known = {*BASE, *ORDER, *SEES_ALL, *ALONE}
    assert {layer_of(path) for path in MODULES} <= known


def test_the_rule_can_fail() -> None:
    assert "source" not in allowed("formats")
    assert "backing" not in allowed("translate")
    assert imported_layers(SRC / "dump.py") >= {"source", "facts", "translate", "backing"}


def imports_drgn(source: str) -> bool:
    """Tell whether a module's text imports drgn, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return any(name.split(".")[0] in ("drgn", "_drgn", "_drgn_util") for name in names)


def test_only_drgn_plugin_imports_drgn() -> None:
    assert {layer_of(path) for path in MODULES if imports_drgn(path.read_text())} == {"drgn_plugin"}


def test_the_rule_about_drgn_can_fail() -> None:
    assert imports_drgn("def f():\n    from drgn.helpers import linux")
    assert imports_drgn("import os, drgn")
    assert not imports_drgn("from vmemmap import drgn_plugin")


def test_builders_do_not_import_the_package_they_witness() -> None:
    for path in (Path(__file__).parent / "builders").glob("*.py"):
        assert not imported_layers(path), path
