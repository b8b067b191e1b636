"""Dump after dump in one process: nothing of a closed one stays, whatever was asked of it.

The garbage collector is off, so that what only it would find counts as staying.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vmemmap
from builders.flattened import build_flattened
from builders.machine import build_machine

ASKED: dict[str, Callable[[vmemmap.Vmcore], object]] = {
    "facts": lambda core: core.facts,
    "backing": lambda core: core.backing.findings,
    "vtop": lambda core: [core.vtop(int(virt)) for virt in core.backing.virt[:5]],
    "vtop_many": lambda core: core.vtop_many(core.backing.virt),
    "read": lambda core: core.read(int(core.backing.node[0]), 24),
    "symbols": lambda core: core.symbols,
    "page": lambda core: core.pages[100],
    "scan": lambda core: list(itertools.islice(core.pages.scan(), 2)),
    "usage": lambda core: core.usage(),
    "check": lambda core: core.check(),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leave(path: Path, asked: str, *, rescue: bool) -> list[weakref.ref[object]]:
    """Open a dump, ask one thing or all, close it; give weak references to the largest parts."""
    with vmemmap.open(path, rescue=rescue) as core:
        for name, ask in ASKED.items():
            if asked in (name, "all"):
                try:
                    ask(core)
                except vmemmap.VmemmapError:
                    continue  # the fixture lacks it, and errors must hold nothing either
        return [weakref.ref(core.source), weakref.ref(core.kernel), weakref.ref(core.backing)]


@pytest.mark.parametrize("rescue", [False, True])
@pytest.mark.parametrize("asked", [*ASKED, "all"])
@pytest.mark.parametrize("dump", ["hash-64k-6.1", "hash-64k-6.1-elf", "radix-64k-6.1"])
@pytest.mark.usefixtures("no_collector")
def test_nothing_of_a_closed_dump_stays(
    dump: str, asked: str, rescue: bool, corpus_dump: Callable[[str], Path]
) -> None:
    left = leave(corpus_dump(dump), asked, rescue=rescue)
    assert [part() for part in left] == [None, None, None]


@pytest.mark.usefixtures("no_collector")
def test_nothing_of_a_closed_flattened_dump_stays(tmp_path: Path) -> None:
    path = tmp_path / "flattened"
    path.write_bytes(build_flattened(build_machine(blocks=3).kdump()))
    assert [part() for part in leave(path, "all", rescue=False)] == [None, None, None]
