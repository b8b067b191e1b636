"""What an extract does not answer as the dump does that it was made from: both are asked.

Damage stands in words that an extract does not show: a pointer that leads astray, nodes that
nothing leads to. So what depends on it can be other than it was, and that is to be told. The census
of all pages is not taken again, which would take as long as the extract itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from vmemmap.backing.table import BackingTable
from vmemmap.dump import Dump
from vmemmap.errors import VmemmapError
from vmemmap.source.detect import open_source

_EXTRACT = "extract"


def unlike(dump: Dump, out: Path) -> list[str]:
    """Ask a dump and its extract the same; give in words what is not answered alike.

    Args:
        dump: The dump.
        out: The extract of it.
    """
    asked: dict[str, Callable[[Dump], object]] = {
        "entries of the list": lambda core: _entries(core.backing),
        "nodes and zones": lambda core: core.pages.nodes,
    }
    try:
        extract = dump.reopened(open_source(out))
    except VmemmapError as error:
        return [f"the extract cannot be opened: {error}"]
    try:
        found = [name for name, ask in asked.items() if _said(ask, dump) != _said(ask, extract)]
        codes, ours = _codes(dump), _codes(extract)
    finally:
        extract.close()
    lines = [f"{name}, which are not all as in the dump" for name in found]
    if codes is None or ours is None:
        return lines + (["what check finds"] if (codes is None) != (ours is None) else [])
    if lost := sorted(codes - ours):
        lines.append(f"what these findings rest on: {', '.join(lost)}")
    if new := sorted(ours - codes):
        lines.append(f"what speaks against these findings, which it has more: {', '.join(new)}")
    return lines


def _said(ask: Callable[[Dump], object], core: Dump) -> object:
    """Give an answer; None where there is none."""
    try:
        return ask(core)
    except VmemmapError:
        return None


def _entries(table: BackingTable) -> list[bytes]:
    return [np.ascontiguousarray(each).tobytes() for each in (table.node, table.phys, table.virt)]


def _codes(core: Dump) -> set[str] | None:
    """Give the codes of what a check finds; None where it cannot be made."""
    try:
        return {each.code for each in core.check_report.findings} - {_EXTRACT}
    except VmemmapError:
        return None
