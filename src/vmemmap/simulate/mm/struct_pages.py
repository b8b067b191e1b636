"""The bytes of the struct page array, made when they are looked at.

Who owns which page frame is known to the allocators; what a struct page says follows from that.
So the array, a thousandth of memory, is not kept: `StructPagePainter` makes any part of it, the
same each time, from the `Owners` of one moment.

Source: Linux include/linux/mm_types.h, mm/page_alloc.c, mm/hugetlb.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vmemmap.address import numpy_prefix
from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.mm.owners import Frames, IdleFrames, Owners
from vmemmap.simulate.mm.page_layout import (
    COMPOUND,
    FIELDS,
    HUGETLB_PAGE_DTOR,
    LAST_CPUPID_BITS,
    MAPPING_ANON,
    NODE_AT,
    PAGE_FLAGS,
    PAGE_TYPES,
    SLAB_REFCOUNT,
    SLABS_IN_MAPPING,
    TAIL_MAPPING,
)
from vmemmap.simulate.mm.pgdat import MIGRATE_CMA, FreeBlocks
from vmemmap.simulate.mm.stretches import Owner, Stretches
from vmemmap.simulate.mm.usage import PageRun, Use

_POISON = np.uint64((1 << 64) - 1)
"""PAGE_POISON_PATTERN."""
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""Makes a word of any number, far from those of its neighbours."""

Rows = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Objects:
    """Kernel virtual addresses that struct pages point to.

    Attributes:
        mapping: A struct address_space, for the page cache.
        anon_vma: A struct anon_vma, for anonymous pages.
        buffers: A struct buffer_head, for pages with private data.
        free_huge_page: The destructor of huge pages (before 4.4 a pointer in the page).
    """

    mapping: int
    anon_vma: int
    buffers: int
    free_huge_page: int


class ListHeads(Protocol):
    """What is asked of the node structures; see ``pgdat.py``."""

    @property
    def zones(self) -> int:
        """How many zones a node has; that of device memory is the last."""
        ...

    def free_list(self, node: int, order: int, kind: int | None = None) -> int:
        """Give the virtual address of a buddy list's head."""
        ...


class StructPagePainter:
    """Paints struct pages of one machine."""

    def __init__(
        self,
        kernel: Kernel,
        owners: Owners,
        objects: Objects,
        lists: ListHeads,
        *,
        debug_vm: bool = False,
    ) -> None:
        self.kernel = kernel
        self.debug_vm = debug_vm
        self.owners = owners
        self.objects = objects
        self.lists = lists
        self.flags = kernel.at(PAGE_FLAGS)
        self.types = kernel.at(PAGE_TYPES)
        self.compound = kernel.at(COMPOUND)
        self.fields = kernel.at(FIELDS)
        self.dtype = self._dtype()
        bits = kernel.at(LAST_CPUPID_BITS)
        self._zone_at = NODE_AT - (lists.zones - 1).bit_length()
        self._last_cpupid = (1 << bits) - 1 << self._zone_at - bits
        self._tail_mapping = kernel.at(TAIL_MAPPING)
        self._longest_run = max((run.end - run.start for run in owners.runs), default=0)
        self._stretches = Stretches(owners)
        self._plain = [self._plain_page(owner) for owner in self._stretches.kinds]
        self._offsets = np.zeros(0, np.uint64)
        self._run_starts = np.array([run.start for run in owners.runs], np.int64)

    def paint(self, virt: int, size: int) -> npt.NDArray[np.uint8]:
        """Give *size* bytes of the array from *virt* on; pages may be cut at both ends."""
        each = self.kernel.struct_page_size
        offset = virt - self.kernel.vmemmap_base
        first, last = offset // each, -(-(offset + size) // each)
        data = self.paint_pages(first, last).view(np.uint8)
        cut = offset - first * each
        return data[cut : cut + size]

    def paint_pages(self, first: int, last: int) -> Rows:
        """Give the struct pages of the frames ``[first, last)`` as records of this layout."""
        rows = np.empty(last - first, self.dtype)
        for low, high, kind in self._stretches.within(first, last):
            part = rows[low - first : high - first]
            _repeat(self._plain[kind], part)
            _, reserved, free = self._stretches.kinds[kind]
            if reserved or free:
                self._paint_untouched_lru(part, low)
        for idle in self.owners.idle:
            low, high = max(idle.start, first), min(idle.end, last)
            if low < high:
                part = rows[low - first : high - first]
                if idle.device:
                    self._paint_device(part, idle, low)
                else:
                    self._paint_unused(part, idle.node, low)
        self._paint_blocks(rows, first, last, self.owners.blocks, None)
        self._paint_blocks(rows, first, last, self.owners.cma_blocks, MIGRATE_CMA)
        self._paint_runs(rows, first, last)
        return rows

    def _plain_page(self, owner: Owner) -> Rows:
        """Give the struct page that a frame has as long as nobody uses it, but for its lists."""
        page = np.zeros(1, self.dtype)
        if owner.node >= 0:
            page["flags"] = owner.node << NODE_AT | self._last_cpupid
            page["mapcount"] = -1
            page["refcount"] = 1
        if owner.reserved:
            page["flags"] |= np.uint64(1 << self.flags.reserved)
        if owner.free:
            page["refcount"] = 0
        return page

    def lru_of(self, pfn: int) -> int:
        """Give the virtual address of a page's ``lru``, through which free blocks are linked."""
        page = self.kernel.vmemmap_base + pfn * self.kernel.struct_page_size
        return page + self.fields.lru

    def _paint_device(self, part: Rows, idle: IdleFrames, low: int) -> None:
        """Paint device memory: reserved, in its own zone, and its compound pages."""
        zone = idle.node << NODE_AT | self.lists.zones - 1 << self._zone_at
        part["flags"] = zone | self._last_cpupid | 1 << self.flags.reserved
        part["mapcount"] = -1
        part["refcount"] = 1
        if not idle.order:
            return
        size, high = 1 << idle.order, low + len(part)
        for head in range(low // size * size, high, size):
            first, last = max(head, low), min(head + size, high)
            run = PageRun(head, head + size, Use.DEVICE, idle.order)
            self._paint_compound(part[first - low : last - low], run, first)
            first = max(first, head + idle.initialised)
            self._paint_nobodys(part[first - low : last - low], first)

    def _paint_unused(self, part: Rows, node: int, low: int) -> None:
        """Paint struct pages of RAM that is not online, as far as anybody has initialised them."""
        unused = self.kernel.at(eras.UNUSED_PAGES)
        if unused == "untouched":
            self._paint_nobodys(part, low)
            return
        part["flags"] = node << NODE_AT | 1 << self.flags.reserved
        if unused == "initialised":
            part["flags"] |= np.uint64(self._last_cpupid)
            part["mapcount"] = -1
            part["refcount"] = 1
            self._paint_untouched_lru(part, low)

    def _paint_nobodys(self, part: Rows, low: int) -> None:
        """Paint struct pages that hold a poison, or what lay there before: no two words alike."""
        data = np.empty((len(part), part.dtype.itemsize // 8), np.uint64)
        if self.debug_vm:
            data[:] = _POISON
        else:
            words = np.arange(data.size, dtype=np.uint64) + np.uint64(low * data.shape[1])
            words *= _SPREAD
            words ^= words >> np.uint64(31)
            data[:] = (words * _SPREAD ^ words >> np.uint64(27)).reshape(data.shape)
        part[:] = data.view(part.dtype).reshape(len(part))

    def _paint_untouched_lru(self, part: Rows, low: int) -> None:
        """Make ``lru`` the empty list that __init_single_page() makes of it.

        It stays so until the page is put on a list for the first time.
        """
        if len(self._offsets) < len(part):
            each = np.uint64(self.kernel.struct_page_size)
            self._offsets = np.arange(len(part), dtype=np.uint64) * each
        np.add(self._offsets[: len(part)], np.uint64(self.lru_of(low)), out=part["lru_next"])
        part["lru_prev"] = part["lru_next"]

    def _dtype(self) -> np.dtype[np.void]:
        word = numpy_prefix(self.kernel.byte_order)
        fields = {
            "flags": ("u8", 0),
            "mapping": ("u8", self.fields.mapping),
            "index": ("u8", self.fields.index),
            "private": ("u8", self.fields.private),
            "mapcount": ("i4", self.fields.mapcount),
            "refcount": ("i4", self.fields.refcount),
            "lru_next": ("u8", self.fields.lru),
            "lru_prev": ("u8", self.fields.lru + 8),
        }
        compound = self.compound
        if compound.head_at is not None:
            fields["head"] = ("u8", compound.head_at)
        if compound.dtor_at is not None:
            fields["order"] = (f"u{compound.order_bytes}", compound.order_at)
            fields["dtor"] = (f"u{compound.dtor_bytes}", compound.dtor_at)
        return np.dtype(
            {
                "names": list(fields),
                "formats": [word + kind for kind, _ in fields.values()],
                "offsets": [at for _, at in fields.values()],
                "itemsize": self.kernel.struct_page_size,
            }
        )

    def _paint_blocks(
        self, rows: Rows, first: int, last: int, blocks: FreeBlocks, kind: int | None
    ) -> None:
        """Mark the first page of each free block, and link the blocks of an order in a ring."""
        for node, orders in blocks.items():
            for order, frames in orders.items():
                low, high = np.searchsorted(frames, [first, last])
                if low == high:
                    continue
                at = frames[low:high] - first
                if self.types.buddy is not None:
                    rows["mapcount"][at] = self.types.buddy
                if self.flags.buddy is not None:
                    rows["flags"][at] |= np.uint64(1 << self.flags.buddy)
                rows["private"][at] = order
                head = self.lists.free_list(node, order, kind)
                links = self._links(head, frames, int(low), int(high))
                rows["lru_prev"][at], rows["lru_next"][at] = links[:-2], links[2:]

    def _links(self, head: int, frames: Frames, low: int, high: int) -> npt.NDArray[np.uint64]:
        """Give the ring's addresses from the one before block *low* to the one at *high*."""
        around = frames[max(low - 1, 0) : high + 1].astype(np.uint64)
        links = np.uint64(self.lru_of(0)) + around * np.uint64(self.kernel.struct_page_size)
        before = [] if low else [head]
        after = [] if high < len(frames) else [head]
        return np.concatenate([np.array(before, "u8"), links, np.array(after, "u8")])

    def _paint_runs(self, rows: Rows, first: int, last: int) -> None:
        """Mark the user pages."""
        # Those before that cannot reach here.
        begin = int(np.searchsorted(self._run_starts, first - self._longest_run))
        end = int(np.searchsorted(self._run_starts, last))
        for run in self.owners.runs[begin:end]:
            low, high = max(run.start, first), min(run.end, last)
            if low < high:
                self._paint_run(rows[low - first : high - first], run, low)

    def _paint_run(self, part: Rows, run: PageRun, low: int) -> None:
        flags, types = self.flags, self.types
        on_list = 1 << flags.uptodate | 1 << flags.referenced | 1 << flags.lru
        frames = np.arange(low, low + len(part), dtype=np.uint64)
        if run.use in (Use.CACHE, Use.CACHE_PRIVATE):
            part["flags"] |= np.uint64(on_list)
            part["mapping"] = self.objects.mapping
            part["index"] = frames
            if run.use is Use.CACHE_PRIVATE:
                part["flags"] |= np.uint64(1 << flags.private)
                part["private"] = self.objects.buffers
                part["refcount"] = 2
        elif run.use is Use.ANONYMOUS:
            part["flags"] |= np.uint64(on_list | 1 << flags.swapbacked)
            part["mapping"] = self.objects.anon_vma | MAPPING_ANON
            part["index"] = frames
            part["mapcount"] = 0
        elif run.use is Use.HWPOISON:
            part["flags"] |= np.uint64(1 << flags.hwpoison)
        elif run.use is Use.OFFLINE:
            part["mapcount"] = types.offline
        if run.use is Use.SLAB:
            # A tail page carries the mark of its slab in no release.
            self._paint_slab(part[:1] if low == run.start else part[:0], run)
        if run.order:
            self._paint_compound(part, run, low)

    def _paint_slab(self, head: Rows, run: PageRun) -> None:
        """Mark the first page of a slab."""
        if self.flags.slab is not None:
            head["flags"] |= np.uint64(1 << self.flags.slab)
        if self.types.slab is not None:
            head["mapcount"] = self.types.slab
        head["refcount"] = self.kernel.at(SLAB_REFCOUNT)
        if self.kernel.at(SLABS_IN_MAPPING):
            head["mapping"] = run.start % 4  # so many slabs follow on its processor's list

    def _paint_compound(self, part: Rows, run: PageRun, low: int) -> None:
        """Mark head and tails of a compound page; *part* is what of it is being painted."""
        compound, flags = self.compound, self.flags
        page = self.kernel.vmemmap_base + run.start * self.kernel.struct_page_size
        huge = run.use is Use.HUGE
        skip = 1 if low == run.start else 0
        head, tails = part[:skip], part[skip:]
        head["flags"] |= np.uint64(1 << flags.head)
        tails["refcount"] = 0
        if huge:
            head["mapping"] = self.objects.mapping
            if self.types.hugetlb is not None:
                head["mapcount"] = self.types.hugetlb
        tails["mapping"][max(0, run.start + 2 - low - skip) :] = self._tail_mapping
        if compound.head_at is not None:
            tails["head"] = page | 1
        else:
            tails["flags"] |= np.uint64(1 << (flags.tail or 0))
            tails["private"] = page  # page.first_page shares its place
        second = part[run.start + 1 - low :][:1] if low <= run.start + 1 else part[:0]
        if compound.dtor_at is None:
            second["flags"] |= np.uint64(run.order)
            if huge and compound.hugetlb_bit is not None:
                second["flags"] |= np.uint64(1 << compound.hugetlb_bit)
        else:
            second["order"] = run.order
            if huge:
                by_pointer = compound.head_at is None
                second["dtor"] = self.objects.free_huge_page if by_pointer else HUGETLB_PAGE_DTOR


def _repeat(page: Rows, part: Rows) -> None:
    """Write one struct page to all of *part*: what stands there is copied, twice as much each time.

    That is many times as fast as numpy's assignment of a record to records.
    """
    data, done = part.view(np.uint8), page.itemsize
    data[:done] = page.view(np.uint8)
    while done < len(data):
        step = min(done, len(data) - done)
        data[done : done + step] = data[:step]
        done += step
