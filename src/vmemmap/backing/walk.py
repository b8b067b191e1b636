"""Walk vmemmap_list: bounded, safe against every cycle, fast on lists as kernels make them.

Pages of nodes are taken as arrays (``node_page.py``): one look tells how far the list runs through
a page from slot to slot, and a pointer is followed singly only where such a run ends. A walk ends
at a NULL pointer, or at the first thing that no kernel makes, with a finding; what came before is
kept. Entries are not judged here; see ``table.py``.

Source: Linux arch/powerpc/mm/init_64.c, vmemmap_list_alloc() and vmemmap_list_populate().
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.backing.node_page import NodePage
from vmemmap.distinct import repeats
from vmemmap.errors import HotAdded, NotInDump, ReadError
from vmemmap.facts.backing import BackingLayout
from vmemmap.findings import Finding, Severity
from vmemmap.linear_map import LINEAR_SPAN, linear_phys, linear_virt
from vmemmap.memory import Memory

DEFAULT_LIMIT = 1 << 24
"""What 64 TiB of 4 KiB pages need with 64 KiB blocks; a longer list is taken as damage."""

_PAGES_KEPT_BYTES = 64 << 20
_LOADED_BYTES_ALWAYS = 256 << 20
"""A list may have this much in pages of nodes, however few nodes are in them."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk met, head first.

    Attributes:
        node: Virtual address of each node, uint64.
        phys: Its phys member, uint64.
        virt: Its virt_addr member, uint64.
        findings: Why the walk ended, if not at the list's end.
    """

    node: NDArray[np.uint64]
    phys: NDArray[np.uint64]
    virt: NDArray[np.uint64]
    findings: tuple[Finding, ...]

    @property
    def complete(self) -> bool:
        """The walk came to the list's NULL pointer."""
        return not self.findings


_NOTHING = np.empty(0, dtype=np.uint64)
EMPTY_WALK = Walk(_NOTHING, _NOTHING, _NOTHING, ())
"""What a walk of an empty list gives."""


def walk_list(
    memory: Memory,
    head: int,
    layout: BackingLayout,
    page_size: int,
    block_size: int,
    limit: int = DEFAULT_LIMIT,
) -> Walk:
    """Walk the list from its newest node.

    Args:
        memory: Physical memory.
        head: Virtual address of the first node, 0 for an empty list.
        layout: Where a node's members lie.
        page_size: The kernel's page size (bytes): nodes are cut from pages of this size.
        block_size: Size of a vmemmap block (bytes), by which a doubtful node is judged.
        limit: Give up after this many nodes.

    Returns:
        The nodes met, and a finding if the walk did not reach the list's end. O(n) time, and 24
        bytes of memory a node. Never raises for what the list holds.
    """
    return _Walker(memory, layout, page_size, block_size, limit).walk(head)


class _Walker:
    """The state of one walk."""

    def __init__(
        self, memory: Memory, layout: BackingLayout, page_size: int, block_size: int, limit: int
    ) -> None:
        self._memory = memory
        self._layout = layout
        self._page_size = page_size
        self._block_size = block_size
        self._limit = limit
        self._pages: OrderedDict[int, NodePage] = OrderedDict()
        self._columns = (array("Q"), array("Q"), array("Q"))
        self._loaded = 0  # pages, counting those that come back after they were dropped

    def walk(self, head: int) -> Walk:
        """Follow the list from *head*."""
        size, mask, pages = self._layout.size, self._page_size - 1, self._pages
        nodes, physs, virts = self._columns
        node, previous = head, 0
        # Brent's cycle detection: a mark is left at a node and moved on after ever more steps;
        # coming to it again is a cycle. It takes no memory and one comparison for a whole run.
        mark, steps, patience = 0, 0, 1
        while node:
            page = pages.get(node & ~mask)
            into = node & mask
            if page is None or into % size or into + size > mask:
                found = self._page_of(node, previous)
                if isinstance(found, Finding):
                    return self._result(found)
                page = found
            first = (node - page.virt) // size
            last = page.run_end[first]
            if first == last:
                if node == mark:
                    nodes.append(node)
                    return self._cycle()
                phys, virt = page.phys[first], page.virt_addr[first]
                nodes.append(node)
                physs.append(phys)
                virts.append(virt)
                steps += 1
            else:
                marked = (mark - page.virt) // size
                inside = last <= marked <= first or first <= marked <= last
                if inside and page.virt + marked * size == mark:
                    self._append_run(page, first, marked)
                    return self._cycle()
                self._append_run(page, first, last)
                phys, virt = page.phys[last], page.virt_addr[last]
                taken = abs(last - first) + 1
                steps += taken
                if taken == len(page.list):
                    pages.pop(page.virt, None)  # a sound list does not come back to it
            following = page.list[last]
            if not (following or phys or virt):
                return self._all_zero()
            if steps >= patience:
                mark, steps, patience = node, 0, 2 * patience
                if len(nodes) > self._limit:
                    return self._too_long()
            previous = page.virt + last * size
            node = following
        return self._too_long() if len(nodes) > self._limit else self._result(None)

    def _append_run(self, page: NodePage, first: int, last: int) -> None:
        """Take the slots from *first* to *last* into the columns."""
        for column, part in zip(self._columns, page.columns(first, last), strict=True):
            column.frombytes(part.tobytes())

    def _page_of(self, node: int, previous: int) -> NodePage | Finding:
        """Give the decoded page that holds *node*, or the finding that ends the walk."""
        offset = node & (self._page_size - 1)
        phase = offset % self._layout.size
        if node % 8 or offset + self._layout.size > self._page_size:
            return self._misaligned(node, previous)
        page = self._pages.get(node - offset + phase) or self._load(node, offset, phase, previous)
        if phase and isinstance(page, NodePage):
            slot = (node - page.virt) // self._layout.size
            if not self._looks_like_node(page, slot):
                return self._misaligned(node, previous)
        return page

    def _load(self, node: int, offset: int, phase: int, previous: int) -> NodePage | Finding:
        """Read and decode the page of *node*; *phase* is the offset of its first slot."""
        came = _source_of(previous) + " points"
        fair_share = len(self._columns[0]) // (self._page_size // self._layout.size // 4)
        if self._loaded > _LOADED_BYTES_ALWAYS // self._page_size + fair_share:
            return self._error(
                "list_too_scattered",
                node,
                f"{came} to {node:#x}, one of more than {self._loaded} pages for "
                f"{len(self._columns[0])} nodes; no kernel makes such a list, so it ends here",
            )
        phys = linear_phys(node)
        if phys is None:
            return self._error(
                "node_outside_memory",
                node,
                f"{came} to {node:#x}, which is no address of the linear map",
            )
        slots = (self._page_size - phase) // self._layout.size
        start = phys - offset + phase
        try:
            data = self._memory.read(start, slots * self._layout.size)
        except ReadError:
            # The dump may hold a part of the page that has the node; such a part is not kept.
            alone = self._read_alone(node, phys, came)
            return alone if isinstance(alone, Finding) else NodePage(alone, node, self._layout)
        page = NodePage(data, linear_virt(start), self._layout)
        self._pages[page.virt] = page
        self._loaded += 1
        if len(self._pages) * self._page_size > _PAGES_KEPT_BYTES:
            self._pages.popitem(last=False)
        return page

    def _looks_like_node(self, page: NodePage, slot: int) -> bool:
        """Judge a node that no kernel would put there: do its members fit a vmemmap block?"""
        mask = self._block_size - 1
        phys, virt = page.phys[slot], page.virt_addr[slot]
        return not (phys & mask or virt & mask) and phys < LINEAR_SPAN and virt >= 1 << 63

    def _read_alone(self, node: int, phys: int, came: str) -> bytes | Finding:
        """Read one node where its page is not whole, or say why it cannot be read."""
        try:
            return self._memory.read(phys, self._layout.size)
        except NotInDump as error:
            late = isinstance(error, HotAdded)
            return self._error(
                "node_outside_memory",
                node,
                f"{came} to {node:#x}, outside every memory range of the dump"
                + ", in memory that was hot-added after the capture kernel was loaded" * late,
                error.phys,
            )
        except ReadError as error:
            return self._error(
                "node_unreadable",
                node,
                f"{came} to {node:#x}, which cannot be read: {error}",
                error.phys,
            )

    def _cycle(self) -> Walk:
        """Cut the columns where the list first comes back to a node that it had already."""
        node = np.frombuffer(self._columns[0], dtype=np.uint64)
        kept = int(np.argmax(repeats(node)))
        if kept > self._limit:
            return self._too_long()
        last, back_to = int(node[kept - 1]), int(node[kept])
        finding = self._error(
            "list_cycle",
            last,
            f"node {last:#x} points back to {back_to:#x}, which the list had already: it goes "
            f"round for ever; the {kept} nodes up to here are kept",
        )
        return self._result(finding, kept)

    def _all_zero(self) -> Walk:
        """End at the last node taken, which is all zero, and give it back."""
        node, previous = self._columns[0][-1], 0
        kept = len(self._columns[0]) - 1
        if kept:
            previous = self._columns[0][kept - 1]
        finding = self._error(
            "node_zero",
            node,
            f"{_source_of(previous)} points to {node:#x}, which is all zero: its page was "
            "cleared or left out, and the rest of the list cannot be reached",
        )
        return self._result(finding, kept)

    def _misaligned(self, node: int, previous: int) -> Finding:
        return self._error(
            "node_misaligned",
            node,
            f"{_source_of(previous)} points to {node:#x}, where no node can lie: nodes are "
            f"cut from whole pages, {self._layout.size} bytes each",
        )

    def _too_long(self) -> Walk:
        """End because of the limit, unless it is a cycle that made the list so long."""
        node = np.frombuffer(self._columns[0], dtype=np.uint64)[: self._limit + 1]
        if repeats(node).any():
            return self._cycle()
        finding = self._error(
            "list_too_long",
            self._columns[0][-1],
            f"the list has more than {self._limit} nodes; no machine needs so many",
        )
        return self._result(finding, self._limit)

    @staticmethod
    def _error(code: str, node: int, message: str, phys: int | None = None) -> Finding:
        return Finding(
            code,
            Severity.ERROR,
            message,
            node=node,
            phys=linear_phys(node) if phys is None else phys,
        )

    def _result(self, finding: Finding | None, kept: int | None = None) -> Walk:
        count = len(self._columns[0]) if kept is None else kept
        node, phys, virt = (
            np.frombuffer(column, dtype=np.uint64)[:count] for column in self._columns
        )
        return Walk(node, phys, virt, (finding,) if finding else ())


def _source_of(previous: int) -> str:
    """Name what points at a node: the node before it, or the head (0)."""
    return f"node {previous:#x}" if previous else "vmemmap_list"
