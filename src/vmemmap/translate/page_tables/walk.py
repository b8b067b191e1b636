"""The walk through Linux page tables of a given format: one address, or very many at a time.

Very many go down together, a level at a time, and those that are done drop out. Of a, b, c and d,
in four pages of which b is in a large one and c in none::

    level  still asked   entries                              found
    pgd    a  b  c  d    all lead to one table
    pud    a  b  c  d    a, d to the next; b a leaf; c 0      b: the leaf's frame, and b's low bits
    pmd    a  d          both lead on
    pte    a  d          two leaves                           a and d; c stays NOT_MAPPED

Source: Linux arch/powerpc/mm/pgtable_64.c, and the headers that ``hash_linux`` and ``radix`` name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.distinct import distinct
from vmemmap.errors import NoSuchRegion, NotPresent, ReadError, UnsupportedMmu
from vmemmap.memory import Memory
from vmemmap.translate.lookup import NOT_MAPPED
from vmemmap.translate.page_tables.table_format import Format, Level

_PIECE_SHIFT = 12
_PIECE_BYTES = 1 << _PIECE_SHIFT
"""Tables are read in bulk by pieces of this size, as a dump has or lacks memory page by page."""
_PIECES_KEPT = 1 << 10
_BELOW_REGION = (1 << 60) - 1
"""The top digit of an address names a region (0xc, 0xd), and no table looks at it."""
_PAGES_AT_A_TIME = 1 << 13
"""Bounds a bulk walk's memory: in the worst case each page needs a piece of its own."""


class PageTable:
    """The kernel's page tables in one format.

    Args:
        memory: Physical memory.
        root: Physical address of the root table (swapper_pg_dir).
        form: The format.
        order: The memory's byte order.
        moves: The memory changes while it is read, so that no table may be kept.
        doubt: Why the format may be another, in words for errors; empty if it cannot.

    Attributes:
        root: As given.
        form: As given.
    """

    def __init__(
        self,
        memory: Memory,
        root: int,
        form: Format,
        order: ByteOrder,
        *,
        moves: bool = False,
        doubt: str = "",
    ) -> None:
        self._memory = memory
        self.root = root
        self.form = form
        self._read_as = f", read as {form.name}, {doubt}" if doubt else ""
        self._order = form.order(order)
        self._levels = form.levels
        self._beyond = _BELOW_REGION >> form.va_bits << form.va_bits
        self._pieces: dict[int, bytes] = {}
        self._pieces_kept = 0 if moves else _PIECES_KEPT
        # Where the last table on the way is, by the part of the address space that it maps: from
        # there on a neighbour is one step.
        self._last_levels = self._levels[-1:]
        self._last_span = self._levels[-1].shift + self._levels[-1].bits
        self._last_tables: dict[int, int] = {}

    def translate(self, virt: int) -> int:
        """Walk the tables for a kernel virtual address.

        Returns:
            The physical address (bytes).

        Raises:
            NotPresent: An entry on the way maps nothing; the error has its level and value.
            NoSuchRegion: The tables do not look at so many bits of an address; to leave the others
                out would give another address's answer.
            UnsupportedMmu: An entry leads to a hugepd, which maps user memory only.
            ReadError: A table is not in the dump; the message says of which level.
        """
        form, table, levels = self.form, self.root, self._levels
        if virt & self._beyond:
            raise NoSuchRegion(
                f"{virt:#x} lies beyond the {form.va_bits} bits of address that this kernel's page "
                f"tables ({form.name}) look at",
                virt=virt,
            )
        last = self._last_tables.get(virt >> self._last_span)
        if last is not None:
            table, levels = last, self._last_levels
        for level in levels:
            at = table + 8 * (virt >> level.shift & ((1 << level.bits) - 1))
            try:
                entry = self._entry(at)
            except ReadError as error:
                raise type(error)(
                    f"cannot translate {virt:#x}: its {level.name} entry at {at:#x} cannot be "
                    f"read{self._read_as}: {error}",
                    phys=error.phys,
                ) from error
            if level.name == "pte" or entry & form.leaf:
                if not form.maps(entry, level):
                    raise self._not_present(virt, level, entry, at)
                if last is None and level is self._last_levels[0]:
                    self._keep_last(virt, table)
                inside = (1 << level.shift) - 1
                return form.phys_of(entry) & ~inside | virt & inside
            if not entry or entry & form.upper_present != form.upper_present:
                raise self._not_present(virt, level, entry, at)
            if form.leads_to_hugepd(entry):
                raise UnsupportedMmu(
                    f"cannot translate {virt:#x}: its {level.name} entry is {entry:#x} (at physical"
                    f" {at:#x}), a hugepd (page directory of hugetlb); the kernel maps no memory "
                    "of its own through one, so the entry is damaged or no kernel address is asked"
                    f"{self._read_as}",
                    virt=virt,
                )
            pointer = form.pointer(entry, level)
            if pointer is None:
                raise self._not_present(virt, level, entry, at, ", which is no pointer to a table")
            table = pointer
        raise AssertionError("the last level always ends the walk")

    def _keep_last(self, virt: int, table: int) -> None:
        """Remember where the last table on the way to an address is."""
        if len(self._last_tables) >= self._pieces_kept:
            self._last_tables.clear()
        if self._pieces_kept:
            self._last_tables[virt >> self._last_span] = table

    def _not_present(
        self, virt: int, level: Level, entry: int, at: int, why: str = ""
    ) -> NotPresent:
        return NotPresent(
            f"{virt:#x} is not mapped: its {level.name} entry is {entry:#x}{why} (at physical "
            f"{at:#x}){self._read_as}",
            virt=virt,
            level=level.name,
            entry=entry,
        )

    def translate_pages(self, virt: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Walk the tables for many addresses, reading each piece of a table once.

        Args:
            virt: Kernel virtual addresses (bytes), uint64 in native byte order, one dimension; best
                one a page, sorted.

        Returns:
            Physical addresses (bytes), uint64, same length; `NOT_MAPPED` where `translate` would
            raise a TranslateError or ReadError.
        """
        out = np.full(len(virt), NOT_MAPPED, dtype=np.uint64)
        for start in range(0, len(virt), _PAGES_AT_A_TIME):
            part = slice(start, start + _PAGES_AT_A_TIME)
            self._walk_many(virt[part], out[part])
        return out

    def mapped(self, start: int, end: int, tables: int | None = None) -> NDArray[np.uint64]:
        """Find all that is mapped in a range, a table at a time.

        Args:
            start: First kernel virtual address, a multiple of the page size.
            end: The address after the last, likewise.
            tables: How many tables to look into at most; None for all. A damaged table can lead to
                itself, from each of its entries and at each level.

        Returns:
            Shape (n, 3), sorted: virtual address, physical address and size (bytes) of each leaf,
            cut to the range. What a table that is not in the dump maps is left out.
        """
        left = itertools.count() if tables is None else iter(range(tables))
        parts = list(self._leaves(self.root, 0, start, end, left))
        return np.concatenate(parts) if parts else np.empty((0, 3), dtype=np.uint64)

    def _leaves(
        self, table: int, depth: int, start: int, end: int, left: Iterator[int]
    ) -> Iterator[NDArray[np.uint64]]:
        """Yield the leaves below one table in the order of addresses, as far as *left* goes."""
        if next(left, None) is None:
            return
        u64, level = np.uint64, self._levels[depth]
        first, last = start >> level.shift, (end - 1) >> level.shift
        number = np.arange(first, last + 1, dtype=u64)
        entry, known = self._entries(u64(table) + u64(8) * (number & u64((1 << level.bits) - 1)))
        maps, phys, leads, pointer = self.form.interpret(entry, level)
        leaf = maps & known
        rows = np.flatnonzero(leaf | (leads & known))
        span = u64(1 << level.shift)
        # Leaves in a row are taken together; a table between them is followed in its place.
        for group in np.split(rows, np.flatnonzero(np.diff(leaf[rows])) + 1):
            if not len(group):
                continue
            virt = number[group] << u64(level.shift)
            if leaf[group[0]]:
                low, high = np.maximum(virt, u64(start)), np.minimum(virt + span, u64(end))
                frame = phys[group] & ~(span - u64(1))
                yield np.stack([low, frame + (low - virt), high - low], axis=1)
                continue
            for row, at in zip(group.tolist(), virt.tolist(), strict=True):
                below = max(at, start), min(at + (1 << level.shift), end)
                yield from self._leaves(int(pointer[row]), depth + 1, *below, left)

    def _entry(self, at: int) -> int:
        """Read the entry at a physical address, a multiple of 8, and keep what lies around it."""
        piece, into = divmod(at, _PIECE_BYTES)
        raw = self._pieces.get(piece)
        if raw is None:
            try:
                raw = self._memory.read(at - into, _PIECE_BYTES)
            except ReadError:
                return int.from_bytes(self._memory.read(at, 8), self._order)
            if len(self._pieces) >= self._pieces_kept:
                self._pieces.clear()
            if self._pieces_kept:
                self._pieces[piece] = raw
        return int.from_bytes(raw[into : into + 8], self._order)

    def _walk_many(self, virt: NDArray[np.uint64], out: NDArray[np.uint64]) -> None:
        """Do `translate` for one part; *out* is already NOT_MAPPED everywhere."""
        u64 = np.uint64
        rows = np.flatnonzero(virt & u64(self._beyond) == 0)
        table = np.full(len(rows), self.root, dtype=np.uint64)
        for level in self._levels:
            index = virt[rows] >> u64(level.shift) & u64((1 << level.bits) - 1)
            entry, known = self._entries(table + u64(8) * index)
            rows = rows[known]
            maps, phys, leads, table = self.form.interpret(entry[known], level)
            inside = u64((1 << level.shift) - 1)
            found = rows[maps]
            out[found] = phys[maps] & ~inside | virt[found] & inside
            rows, table = rows[leads], table[leads]

    def _entries(self, at: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Read the entries at many physical addresses, multiples of 8; which could be read."""
        known = np.ones(len(at), dtype=np.bool_)
        if not len(at):
            return at, known
        piece_of = at >> np.uint64(_PIECE_SHIFT)
        pieces = distinct(piece_of)
        which = np.searchsorted(pieces, piece_of)
        content = np.zeros((len(pieces), _PIECE_BYTES // 8), dtype=f"{numpy_prefix(self._order)}u8")
        for row, piece in enumerate(pieces.tolist()):
            try:
                raw = self._memory.read(piece << _PIECE_SHIFT, _PIECE_BYTES)
                content[row] = np.frombuffer(raw, dtype=content.dtype)
            except ReadError:
                mine = np.flatnonzero(which == row)
                known[mine] = self._read_singly(at[mine], content[row])
        into = (at & np.uint64(_PIECE_BYTES - 1)) >> np.uint64(3)
        return content[which, into].astype(np.uint64), known

    def _read_singly(self, at: NDArray[np.uint64], row: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Read entry by entry what lies in a piece of which some memory is missing."""
        known = {}
        for address in distinct(at).tolist():
            try:
                raw = self._memory.read(address, 8)
            except ReadError:
                continue
            known[address] = True
            row[address % _PIECE_BYTES // 8] = int.from_bytes(raw, self._order)
        return np.array([address in known for address in at.tolist()], dtype=np.bool_)
