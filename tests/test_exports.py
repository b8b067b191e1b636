"""What the package offers: sorted, complete, documented; and the built wheel is what is tested."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import vmemmap
from vmemmap import errors


def test_the_tests_run_on_the_installed_wheel() -> None:
    assert "site-packages" in Path(vmemmap.__file__).parts, vmemmap.__file__
    assert (Path(vmemmap.__file__).parent / "py.typed").exists()


def test_all_is_sorted_and_there() -> None:
    assert vmemmap.__all__ == sorted(vmemmap.__all__, key=lambda name: (name == "open", name))
    for name in vmemmap.__all__:
        assert hasattr(vmemmap, name), name


def test_type_checkers_see_all_of_it() -> None:
    tree = ast.parse(Path(vmemmap.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    assert set(vmemmap.__all__) <= names


def test_every_error_is_exported_and_in_the_tree_of_the_docstring() -> None:
    assert set(errors.__all__) <= set(vmemmap.__all__)
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, errors.VmemmapError)
        assert name in (errors.__doc__ or ""), name


def test_every_public_object_has_a_docstring() -> None:
    for name in vmemmap.__all__:
        thing = getattr(vmemmap, name)
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                if not member.startswith("_") and callable(value):
                    assert inspect.getdoc(value), f"{name}.{member}"


def test_every_module_says_what_it_is_for() -> None:
    for module in pkgutil.walk_packages(vmemmap.__path__, "vmemmap."):
        if module.name == "vmemmap.__main__":
            continue
        try:
            assert importlib.import_module(module.name).__doc__, module.name
        except ModuleNotFoundError as missing:  # packagers need not have it
            if missing.name != "drgn":
                raise


def test_importing_the_library_reads_no_codec_and_no_command_library() -> None:
    heavy = "['click', 'rich', 'isal', 'cramjam', 'zstandard', 'lzallright']"
    code = f"import sys, vmemmap; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
