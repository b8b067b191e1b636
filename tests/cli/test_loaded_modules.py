"""Which modules a command loads: what it does not use costs every call of it a part of a second.

numpy and click come with every command, and so does what they load themselves. Beyond that a
command loads our own modules and what `LOADED` says, on real dumps in both containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from breadth import singles

COMMON = {"click", "numpy"}
LIST, PAGES, COUNT = "vmemmap.backing.walk", "vmemmap.pages.array", "vmemmap.pages.count.census"
LOG = "vmemmap.kernel_log.read"
LOADED: dict[str, tuple[set[str], set[str]]] = {
    "info": ({LIST, LOG}, set()),
    "list": ({LIST}, set()),
    "vtop": ({LIST}, set()),
    "check": ({LIST, "vmemmap.check.audit"}, set()),
    "page": ({LIST, PAGES}, set()),
    "usage": ({LIST, PAGES, COUNT}, set()),
}
"""For each command those of `OURS` that it needs, and what it may load of others' packages and of
`SLOW`, beside the decoder of the dump's pages."""
OURS = {
    *(LIST, PAGES, COUNT, "vmemmap.check.audit", LOG),
    *("vmemmap.simulate", "vmemmap.write", "vmemmap.drgn_plugin", "vmemmap.facts.vmlinux"),
}
"""Modules of our own that stand for a layer which only some commands need."""
SLOW = {
    *("asyncio", "concurrent", "difflib", "doctest", "email", "hashlib", "html", "http", "logging"),
    *("lzma", "bz2", "multiprocessing", "random", "shutil", "socket", "sqlite3", "ssl", "tempfile"),
    *("unittest", "xml"),
}
"""Modules of the standard library that take a while to load."""
ARGUMENTS = {"vtop": ["c00c000000000040"], "page": ["100"]}
CODECS = {"hash-64k-6.1": {"isal"}, "hash-64k-6.1-elf": set()}


def load(*argv: str) -> set[str]:
    """Run Python and give the names of all modules that it has loaded at its end."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))))\n"
        + ("from vmemmap.cli.main import run; run()" if argv else "import click, numpy, runpy")
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, env=os.environ
    )
    *said, names = ran.stderr.splitlines()
    assert ran.returncode in (0, 1), said
    return set(json.loads(names))


@cache
def of_all_commands() -> frozenset[str]:
    """What Python, numpy and click load themselves."""
    return frozenset(load())


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names if not name.startswith("__")}


@pytest.mark.parametrize(("command", "dump"), singles(product(LOADED, CODECS)))
def test_a_command_loads_what_it_needs(
    command: str, dump: str, corpus_dump: Callable[[str], Path]
) -> None:
    ours, others = LOADED[command]
    loaded = load(command, str(corpus_dump(dump)), *ARGUMENTS.get(command, []))
    assert loaded & OURS == ours
    new = loaded - of_all_commands()
    standard = sys.stdlib_module_names
    packages = {name for name in tops(new) if name not in standard} - {"vmemmap"}
    assert packages <= COMMON | others | CODECS[dump]
    assert tops(new) & SLOW <= others


def test_the_library_alone_loads_neither_click_nor_what_draws() -> None:
    code = "import vmemmap, json, sys; vmemmap.open; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(ran.stdout))
    assert not loaded & {"click", "rich", "drgn", "pyarrow"}
    assert not {name for name in loaded if name.startswith(("vmemmap.cli", "vmemmap.report"))}


def test_the_package_alone_loads_nothing_of_it() -> None:
    """drgn loads it as a plugin, in every session."""
    code = "import vmemmap, json, sys; print(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(ran.stdout))
    assert {name for name in loaded if name.startswith("vmemmap")} == {"vmemmap"}
    assert not loaded & {"numpy", "click"}
