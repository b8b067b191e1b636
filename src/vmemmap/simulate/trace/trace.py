"""The record of a traced boot or event: its steps, and what each store made of the list.

What is alike is told once. A trace is cut into stretches, at each block that the kernel looks at
and at each section that it asks for; of those that do the same things only the first is kept, and
the last of all. Of a long run of loads, as a search of the list is, the first and the last are
kept. `Omitted` counts the rest, so that a boot of many blocks has a trace of a page or two and its
counts are still exact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from vmemmap.simulate.mm.backing_list import VmemmapBacking

Kind = Literal[
    "enter",
    "leave",
    "load",
    "store",
    "alloc",
    "free",
    "map",
    "unmap",
    "bolt",
    "entry",
    "pages",
    "lock",
    "unlock",
    "print",
    "warn",
    "crash",
    "omitted",
]
BLOCK_BEGINS = ("vmemmap_populated", "radix__vmemmap_populate")
"""With which function the kernel begins to look at a block."""
IN_RUNS = ("load", "entry")
LOADS_FIRST, LOADS_LAST = 6, 2
"""Of more loads, or stores into page tables, in a row than these together only these are kept."""


@dataclass(frozen=True, slots=True)
class ListState:
    """The list at one moment.

    Attributes:
        head: What vmemmap_list points to; 0 for NULL.
        entries: How many entries it has.
        newest: The first of them, head first.
    """

    head: int
    entries: int
    newest: tuple[VmemmapBacking, ...]


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node and the allocator that nodes come from, at one moment.

    Attributes:
        next: Where the allocator goes on.
        num_left: How many fresh nodes its page has left.
        num_freed: How many freed nodes wait.
        page: Address of the page that the node lies in, or None without a node.
        slot: Which node of the page it is, from 0 on.
        node: The node that is worked on: its address, and two of its words.
        list: The node's first word, its pointer to the next one.
    """

    next: int
    num_left: int
    num_freed: int
    page: int | None
    slot: int | None
    node: VmemmapBacking | None
    list: int | None


@dataclass(frozen=True, slots=True)
class BlockState:
    """The block that is worked on, at one moment.

    Attributes:
        virt: Where it is in the vmemmap.
        listed: Whether an entry of the list says so.
        phys: Where that entry says that its memory is; None without an entry.
        mapped: Where the hardware finds it; None while it is not mapped.
    """

    virt: int
    listed: bool
    phys: int | None
    mapped: int | None


@dataclass(frozen=True, slots=True)
class State:
    """What a store can change: the list, the page of nodes, the block if there is one."""

    list: ListState
    nodes: NodeState
    block: BlockState | None


@dataclass(frozen=True, slots=True)
class Omitted:
    """Steps that were like others.

    Attributes:
        blocks: How many blocks the kernel began to look at in them.
        loads: How many loads they had.
        stores: How many stores.
        entries: How many stores into page tables.
    """

    blocks: int
    loads: int
    stores: int
    entries: int = 0


@dataclass(slots=True)
class Step:
    """One thing that the kernel does.

    Attributes:
        kind: What it is.
        depth: How many functions it is in.
        function: The innermost of them.
        what: Of an access the name of what is there, of a function its arguments, else words.
        phys: The physical address that it is about, or None.
        size: How many bytes, or None.
        before: Of a store, also into a page table, what was there.
        after: Of a store what is there now; of a load what was found.
        states: Of a store, but not into a page table, the state before and after.
        omitted: What is left out here.
    """

    kind: Kind
    depth: int
    function: str
    what: str
    phys: int | None = None
    size: int | None = None
    before: int | None = None
    after: int | None = None
    states: tuple[State, State] | None = None
    omitted: Omitted | None = None

    @property
    def likeness(self) -> tuple[str, str, str]:
        """What makes it like another step: all but addresses and values."""
        what = self.what if self.kind in ("load", "store", "entry", "print", "warn") else ""
        return self.kind, self.function, what


@dataclass(slots=True)
class Trace:
    """What a kernel did.

    Attributes:
        release: The kernel.
        what: The boot or the event, in words.
        result: What came of it, as the kernel would name it.
        steps: The steps that are kept, in order.
        counts: How many there were of each kind, with those that are not kept.
        entries: The list's length before and after.
    """

    release: str
    what: str
    result: str
    steps: list[Step]
    counts: dict[str, int]
    entries: tuple[int, int]


@dataclass(slots=True)
class Shortener:
    """Keeps of the steps of a trace what is worth reading.

    Attributes:
        kept: The steps so far.
        counts: How many steps of each kind there were.
    """

    kept: list[Step] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _stretch: list[Step] = field(default_factory=list)
    _run: int = 0
    """Loads, or entries of page tables, at the end of the stretch, with nothing else between."""
    _seen: set[tuple[tuple[str, str, str], ...]] = field(default_factory=set)
    _last: list[Step] = field(default_factory=list)
    """The latest stretch that was like another."""
    _where: tuple[int, str] = (0, "")
    """Depth and function where the first began that is left out."""
    _omitted: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def add(self, step: Step) -> None:
        """Take a step."""
        self.counts[step.kind] += 1
        last = self._stretch[-1].kind if self._stretch else ""
        self._run = (self._run if last == step.kind else 0) + 1 if step.kind in IN_RUNS else 0
        self._stretch.append(step)
        if self._run > LOADS_FIRST + LOADS_LAST:
            self._leave_out()

    def take_back(self, step: Step) -> None:
        """Forget the step that was taken last: it did not happen after all."""
        assert self._stretch[-1] is step
        self._stretch.pop()
        self.counts[step.kind] -= 1

    def cut(self) -> None:
        """Begin a new stretch, unless nothing has happened in this one but calls."""
        if all(step.kind in ("enter", "leave") for step in self._stretch):
            return
        like = tuple(dict.fromkeys(s.likeness for s in self._stretch if s.kind != "omitted"))
        if like in self._seen:
            self._count(self._last)
            self._last = self._stretch
        else:
            self._seen.add(like)
            self._flush(with_last=False)
            self.kept += self._stretch
        self._stretch, self._run = [], 0

    def end(self) -> list[Step]:
        """Take the last step as the last; give what is kept."""
        self.cut()
        self._flush(with_last=True)
        return self.kept + self._stretch

    def _flush(self, *, with_last: bool) -> None:
        """Say how much was left out; the latest of it may be kept after all."""
        if not with_last:
            self._count(self._last)
            self._last = []
        if any(self._omitted):
            left_out = Omitted(*self._omitted)
            self.kept.append(Step("omitted", *self._where, "", omitted=left_out))
        self.kept += self._last
        self._last, self._omitted = [], [0, 0, 0, 0]

    def _count(self, stretch: list[Step]) -> None:
        if stretch and not any(self._omitted):
            self._where = stretch[0].depth, stretch[0].function
        for step in stretch:
            inside = step.omitted
            self._omitted[0] += step.kind == "enter" and step.function in BLOCK_BEGINS
            self._omitted[1] += inside.loads if inside else step.kind == "load"
            self._omitted[2] += step.kind == "store"
            self._omitted[3] += inside.entries if inside else step.kind == "entry"

    def _leave_out(self) -> None:
        """Take the step before the last ones out of the run at the stretch's end."""
        at = len(self._stretch) - LOADS_LAST - 1
        gone = self._stretch.pop(at)
        before = self._stretch[at - 1]
        is_load = gone.kind == "load"
        one = Omitted(0, int(is_load), 0, int(not is_load))
        if before.omitted is None:
            self._stretch.insert(at, Step("omitted", gone.depth, gone.function, "", omitted=one))
        else:
            loads, entries = before.omitted.loads, before.omitted.entries
            before.omitted = Omitted(0, loads + one.loads, 0, entries + one.entries)
