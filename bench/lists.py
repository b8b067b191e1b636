"""Measures a list of 1,048,576 entries: printed, walked, checked, and found again when damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import child
import vmemmap
from builders.big_list import BigList, write_big_list
from builders.byte_order import Order
from builders.node_list import NodeOrder
from rows import Row, Target, measure

NODES = 1 << 20
_SHORT = 1 << 12
FORMS = ("text", "json", "csv", "crash")
_LINEAR = 0xC000000000000000
_MIB_MOST = 300

# Each works on a short list first: modules are loaded then, and no figure has that in it.
_WALK = """
import sys
import vmemmap
for path in sys.argv[1:]:
    begun = clock()
    with vmemmap.open(path) as core:
        entries = len(core.backing)
tell(begun, entries=entries)
"""
_CHECK = """
import sys
import vmemmap
rescue = sys.argv[1] == "rescue"
for path in sys.argv[2:]:
    before, begun = peak(), clock()
    with vmemmap.open(path, rescue=rescue) as core:
        codes = [] if rescue else [finding.code for finding in core.check().findings]
        usable = int(core.backing.usable.sum())
tell(begun, codes=sorted(set(codes)), usable=usable, mib=peak() - before)
"""
_ONCE_OVER = """
import mmap, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    words = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint64)
begun = clock()
for at in range(0, len(words), 1 << 17):
    words[at : at + (1 << 17)].sum()
tell(begun)
"""
Edit = Callable[["Editor", BigList], None]
_WALKED: tuple[tuple[str, NodeOrder, Order], ...] = (
    ("as boot leaves them", "boot", "little"),
    ("as boot leaves them, big-endian", "boot", "big"),
    ("in random order, which no kernel makes", "shuffled", "little"),
)


class Editor:
    """Changes words of a dump's memory, and changes them back.

    Args:
        path: The dump.
        big: The list that is in it.
    """

    def __init__(self, path: Path, big: BigList) -> None:
        self.big = big
        self._path = path
        self._core = vmemmap.open(path)
        self._before: list[tuple[int, bytes]] = []

    def poke(self, virt: int, word: int) -> None:
        """Write a word at an address of the linear map."""
        offset = self._core.source.file_offset(virt - _LINEAR)
        assert offset is not None
        with self._path.open("r+b") as file:
            file.seek(offset)
            self._before.append((offset, file.read(8)))
            file.seek(offset)
            file.write(word.to_bytes(8, "little"))

    def undo(self) -> None:
        """Make the dump what it was."""
        with self._path.open("r+b") as file:
            while self._before:
                offset, word = self._before.pop()
                file.seek(offset)
                file.write(word)

    @property
    def head(self) -> int:
        """Where the kernel has the list's head."""
        return self._core.list_facts.vmemmap_list.value

    def close(self) -> None:
        """Close the dump."""
        self._core.close()


def _node(big: BigList, part: float) -> int:
    return int(big.node[int(part * (len(big.node) - 1))])


def _every_phys(editor: Editor, big: BigList) -> None:
    """Move each thousandth block by one struct page, so that it lies on no border."""
    for row in range(0, len(big.node), 1000):
        editor.poke(int(big.node[row]) + 8, int(big.phys[row]) + 64)


DAMAGE: dict[str, tuple[str, Edit | None]] = {
    "sound": ("", None),
    "the oldest node points to the newest": (
        "list_cycle",
        lambda e, big: e.poke(_node(big, 1), _node(big, 0)),
    ),
    "a node in the middle ends the list": (
        "list_truncated",
        lambda e, big: e.poke(_node(big, 0.5), 0),
    ),
    "a node points past a third of the list": (
        "list_truncated",
        lambda e, big: e.poke(_node(big, 1 / 3), _node(big, 2 / 3)),
    ),
    "a pointer leads out of memory": (
        "node_outside_memory",
        lambda e, big: e.poke(_node(big, 1 / 3), _LINEAR + (1 << 50)),
    ),
    "the head is NULL": ("list_empty", lambda e, _: e.poke(e.head, 0)),
    "two entries have the same address": (
        "virt_duplicate",
        lambda e, big: e.poke(_node(big, 0.5) + 16, int(big.virt[0])),
    ),
    "two entries have the same block": (
        "phys_duplicate",
        lambda e, big: e.poke(_node(big, 0.5) + 8, int(big.phys[0])),
    ),
    "1,049 entries have blocks on no border": ("phys_misaligned", _every_phys),
}
"""Kinds of damage, a way of the checker each: what it has to find, and how it is done."""


def bench_list(folder: Path) -> list[Row]:
    """Print the list in every form; the whole command."""
    path = folder / "list"
    write_big_list(path, nodes=NODES, top_down=True)
    rows = [
        measure(
            f"`list` of {NODES:,} entries as {form}, the whole command",
            "s",
            lambda form=form: child.run(*child.COMMAND, "list", path, "--format", form),  # type: ignore[misc]
            rounds=3,
            target=Target(most=0.6, mib=_MIB_MOST),
        )
        for form in FORMS
    ]
    path.unlink()
    return rows


def bench_walk(folder: Path) -> list[Row]:
    """Walk the list, as boot leaves it and after heavy hotplug, in both byte orders."""
    path, short = folder / "walked", folder / "short"
    rows = []
    for words, order, byte_order in _WALKED:
        for file, nodes in ((short, _SHORT), (path, NODES)):
            write_big_list(
                file, nodes=nodes, top_down=True, node_order=order, byte_order=byte_order
            )
        assert child.ask(_WALK, short, path)["entries"] == NODES
        rows.append(
            measure(
                f"walk {NODES:,} nodes {words}",
                "s",
                lambda: child.asked(_WALK, short, path),
                limit=lambda: child.asked(_ONCE_OVER, path),
                limit_name="reading all nodes once",
                rounds=5 if order == "boot" else 2,
                target=Target(most=0.1) if order == "boot" else Target(),
            )
        )
    path.unlink()
    short.unlink()
    return rows


def bench_check(folder: Path) -> list[Row]:
    """Check the list, sound and damaged, and find again what the damaged one has lost."""
    path, short, content = folder / "checked", folder / "short", folder / "content"
    content.write_bytes(bytes(range(256)) * (1 << 14))
    editors = [
        Editor(
            file,
            write_big_list(
                file, nodes=nodes, top_down=True, struct_pages="content", content=content
            ),
        )
        for file, nodes in ((short, _SHORT), (path, NODES))
    ]
    rows: list[Row] = []
    for words, (code, edit) in DAMAGE.items():
        for editor in editors:
            if edit is not None:
                edit(editor, editor.big)
        codes = child.ask(_CHECK, "check", short, path)["codes"]
        assert code in codes if code else not codes, (words, codes)
        rows += [
            measure(
                f"{work} {NODES:,} entries: {words}",
                "s",
                lambda work=work: child.asked(_CHECK, work, short, path),  # type: ignore[misc]
                rounds=2,
                target=Target(most=1, mib=_MIB_MOST),
            )
            for work in (("check", "rescue") if code else ("check",))
        ]
        for editor in editors:
            editor.undo()
    for editor in editors:
        editor.close()
    for left in (path, short, content):
        left.unlink()
    return rows
