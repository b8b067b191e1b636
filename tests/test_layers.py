"""The arrows between the layers: each imports only what stands before it, and nothing in a circle.

`LAYERS` is the one table; CONTRIBUTING.md shows the same, and a test holds the two together.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src" / "vmemmap"

GROUND = {
    *("absence", "address", "distinct", "errors", "established", "explanations", "findings"),
    *("frames", "given", "intervals", "linear_map", "memory", "progress", "shown", "threads"),
    "units",
}
"""Modules that all others may import; they import only one another."""

LAYERS = (
    "drawing",
    "formats",
    "source",
    "facts",
    "mmzone",
    "kernel_log",
    "system",
    "translate",
    "backing",
    "pages",
    "addresses",
    "check",
    "write",
    "filter",
    "dump",
    "extract",
    "compare",
    "picture",
    "vmcore",
    "survey",
    "simulate",
    "report",
    "drgn_plugin",
    "pytest_plugin",
    "cli",
)
"""From the first that knows nothing of the others to the last."""

APART = {
    "drawing": set[str](),
    "write": {"formats"},
    "extract": {*LAYERS[: LAYERS.index("extract")]},
    "compare": {*LAYERS[: LAYERS.index("compare")]} - {"write", "filter", "extract"},
    "picture": {*LAYERS[: LAYERS.index("picture")]} - {"filter", "extract"},
    "simulate": {"write"},
    "filter": {*LAYERS[: LAYERS.index("filter")]} - {"check"},
    "survey": {*LAYERS[: LAYERS.index("survey")]} - {"dump", "filter", "extract", "compare"},
    "report": {*LAYERS[: LAYERS.index("report")]} - {"dump", "write"},
    "pytest_plugin": {"simulate"},
    "drgn_plugin": {*LAYERS[: LAYERS.index("simulate")]}
    - {"dump", "write", "filter", "extract", "survey"},
}
"""Layers that see less than all that stands before them: the two halves meet in a dump alone."""

COMPILED = {layer: {"_compiled"} for layer in ("source", "pages", "write", "drgn_plugin")}
"""Who may import the compiled module."""


def allowed(layer: str) -> set[str]:
    """Give the layers that *layer* may import from."""
    if layer in GROUND:
        return GROUND
    if layer in ("__init__", "__main__"):
        return {*GROUND, *LAYERS}
    before = APART.get(layer, {*LAYERS[: LAYERS.index(layer)]} - {"write", "simulate"})
    if layer == "cli":
        before = {*LAYERS}
    return {*GROUND, layer, *before, *COMPILED.get(layer, ())}


@cache
def imported(path: Path) -> frozenset[str]:
    """Give the modules that a module imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or SRC not in path.parents, f"{path}: name modules in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(name for name in found if name.startswith("vmemmap."))


def imported_layers(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path)}


MODULES = {
    ".".join(("vmemmap", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(SRC.rglob("*.py"))
}


def layer_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_what_stands_before(name: str) -> None:
    layer = layer_of(MODULES[name])
    wrong = imported_layers(MODULES[name]) - allowed(layer) - {"__version__", "__compiled__"}
    assert not wrong, f"{name} ({layer}) must not import {sorted(wrong)}"


def arrows() -> dict[str, set[str]]:
    """Give what each module imports, as modules of the package."""
    found = {}
    for name, path in MODULES.items():
        targets = imported(path)
        whole = {target.rpartition(".")[0] for target in targets - MODULES.keys()}
        found[name] = set((targets | whole) & MODULES.keys()) - {name, "vmemmap"}
    return found


def circle(of: dict[str, set[str]]) -> list[str]:
    """Give modules that import one another in a circle; none if there is no such circle."""
    left = {name: set(targets) for name, targets in of.items()}
    while ready := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in ready:
            del left[name]
    return sorted(left)


def test_no_import_goes_in_a_circle() -> None:
    """Folders and modules alike; what is left may also only lead to a circle."""
    assert circle(arrows()) == []


def test_circles_are_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]
    assert "vmemmap.pages.rules" in arrows()["vmemmap.pages.scanned"]


def test_every_layer_is_known() -> None:
    known = {*GROUND, *LAYERS, "__init__", "__main__"}
    assert {layer_of(path) for path in MODULES.values()} == known


def test_contributing_shows_the_same_table() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    text = text[text.index("## Where things are") : text.index("## What has to hold")]
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert tuple(rows) == LAYERS
    ground = re.search(r"^Ground floor[^:]*: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
    assert ground is not None
    assert set(re.findall(r"`(\w+)`", ground[1])) == GROUND


def test_every_folder_says_what_it_is_for() -> None:
    for name, path in MODULES.items():
        if path.name == "__init__.py" and path.parent != SRC:
            assert ast.get_docstring(ast.parse(path.read_text())), name


def test_the_rule_can_fail() -> None:
    assert "source" not in allowed("formats")
    assert "backing" not in allowed("translate")
    assert "simulate" not in allowed("pages")
    assert "source" not in allowed("simulate")
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
    found = {layer_of(path) for path in MODULES.values() if imports_drgn(path.read_text())}
    assert found == {"drgn_plugin"}


def test_the_rule_about_drgn_can_fail() -> None:
    assert imports_drgn("def f():\n    from drgn.helpers import linux")
    assert imports_drgn("import os, drgn")
    assert not imports_drgn("from vmemmap import drgn_plugin")


def test_builders_do_not_import_the_package_they_witness() -> None:
    for path in (Path(__file__).parent / "builders").glob("*.py"):
        assert not imported_layers(path), path
