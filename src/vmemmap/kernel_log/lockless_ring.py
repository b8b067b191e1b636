"""The log as the lockless ring that kernels since 5.10 keep.

::

    prb -> struct printk_ringbuffer
             descs -> 2^count_bits descriptors   state and id; where the text begins, and the next
             infos -> as many printk_info        time, level, who printed, how long the text is
             data  -> 2^size_bits bytes          blocks: the id of the descriptor, then the text

A record's id modulo the number of descriptors is its place in both tables; ids go from tail_id to
head_id and have 62 bits. Positions of text count on for ever; modulo the size they are places. A
block that would cross the end of the ring has its text at the start instead.

Source: Linux kernel/printk/printk_ringbuffer.c (prb_read, get_data) and printk_ringbuffer.h.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import U64_MAX
from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.kernel_log.damage import LogDamage
from vmemmap.kernel_log.lockless_layout import LocklessLayout
from vmemmap.kernel_log.log_memory import KernelVariables, LogBuffer
from vmemmap.kernel_log.record import LogRecord, RecordPlace, caller_text

_COUNT_BITS_MAX = 26
_SIZE_BITS_MAX = 31
"""The kernel accepts no more than 2 GiB for log_buf_len=, and has one descriptor for 32 bytes."""
_ID_MASK = (1 << 62) - 1
_COMMITTED, _FINALIZED = 1, 2
_ID_BYTES = 8
_ROWS_AT_A_TIME = 1 << 11
_DATALESS = 1
_SPLITS_MAX = 1 << 12
"""How often to look for what is there of a part of the tables that is not all there."""


def walk_lockless_ring(kernel: KernelVariables, damage: LogDamage) -> Iterator[LogRecord]:
    """Yield the log's records, oldest first; those that were still being written are left out.

    Raises:
        FactError: VMCOREINFO does not say where the ring is or how it looks, or what it says is
            impossible, or the ring's own head is not in the dump.
    """
    return _Ring(kernel, damage).records()


class _Ring:
    def __init__(self, kernel: KernelVariables, damage: LogDamage) -> None:
        self._damage = damage
        self._patience = _SPLITS_MAX
        self._order = kernel.order
        self._word = kernel.memory.word_type
        layout = self._layout = LocklessLayout(kernel.info)
        prb = kernel.pointer("prb")
        head = kernel.memory.content("printk_ringbuffer", prb, layout.ring_bytes)

        def value(at: int, size: int = 8) -> int:
            return int.from_bytes(head[at : at + size], kernel.order)

        def bits(name: str, at: int, limit: int) -> int:
            found = value(at, 4)
            if not 1 <= found <= limit:
                raise FactInvalid(
                    f"{name} of the kernel's log is {found}; expected 1 to {limit}", name=name
                )
            return found

        self._count = 1 << bits("count_bits", layout.count_bits, _COUNT_BITS_MAX)
        self._size = 1 << bits("size_bits", layout.size_bits, _SIZE_BITS_MAX)
        self._tail, self._head = value(layout.tail_id) & _ID_MASK, value(layout.head_id) & _ID_MASK

        def buffer(what: str, at: int, size: int) -> LogBuffer:
            return LogBuffer(kernel.memory, what, value(at), size)

        self._descs = buffer("prb_desc", layout.descs, self._count * layout.desc_bytes)
        self._infos = buffer("printk_info", layout.infos, self._count * layout.info_bytes)
        self._text = buffer("text_data_ring", layout.data, self._size)

    def records(self) -> Iterator[LogRecord]:
        """Yield the records by rising id."""
        length = ((self._head - self._tail) & _ID_MASK) + 1
        if length > self._count:
            self._damage.add(
                "log_indexes",
                f"the log's ids go from {self._tail:#x} to {self._head:#x}, which are more than "
                f"its {self._count} descriptors: every descriptor in use is taken",
            )
            yield from self._all_in_use()
            return
        for first in range(0, length, _ROWS_AT_A_TIME):
            rows = np.arange(first, min(first + _ROWS_AT_A_TIME, length), dtype=np.uint64)
            ids = (np.uint64(self._tail) + rows) & np.uint64(_ID_MASK)
            # The tables start anew where the ids' low bits do.
            wrap = int(np.argmin(ids & np.uint64(self._count - 1)))
            for part in (ids[:wrap], ids[wrap:]):
                if len(part):
                    yield from self._run(part)

    def _all_in_use(self) -> Iterator[LogRecord]:
        """Yield what every descriptor in use says, oldest first, whatever head and tail are."""
        kept = []
        for first in range(0, self._count, _ROWS_AT_A_TIME):
            rows = min(_ROWS_AT_A_TIME, self._count - first)
            descs = self._table(self._descs, first, rows, self._layout.desc_bytes)
            if descs is None:
                self._damage.add(
                    "log_unreadable",
                    f"{rows} descriptors of the log from the {first}th on are not all in the dump",
                )
                continue
            state = self._column(descs, self._layout.state)
            ids = state & np.uint64(_ID_MASK)
            places = np.arange(first, first + rows, dtype=np.uint64)
            kept.append(ids[_is_kept(state) & (ids & np.uint64(self._count - 1) == places)])
        found = np.concatenate(kept) if kept else np.zeros(0, dtype=np.uint64)
        # The first ids of all are just below 2**62, and the ones after them start from 0.
        for one in found[np.argsort((found << np.uint64(2)).view(np.int64))]:
            yield from self._run(np.array([one]))

    def _run(self, ids: NDArray[np.uint64]) -> Iterator[LogRecord]:
        """Yield the records of ids whose descriptors lie behind one another."""
        layout = self._layout
        first = int(ids[0]) & (self._count - 1)
        descs = self._table(self._descs, first, len(ids), layout.desc_bytes)
        infos = self._table(self._infos, first, len(ids), layout.info_bytes)
        if descs is None or infos is None:
            if len(ids) > 1 and self._patience:
                self._patience -= 1
                half = len(ids) // 2
                yield from self._run(ids[:half])
                yield from self._run(ids[half:])
            return
        state = self._column(descs, layout.state)
        # Other states are of records being written when the kernel stopped, or given up.
        rows = np.flatnonzero(_is_kept(state) & (state & np.uint64(_ID_MASK) == ids))
        columns = (
            ids,
            self._column(descs, layout.begin),
            self._column(descs, layout.next),
            self._column(infos, layout.seq),
            self._column(infos, layout.ts_nsec),
        )
        for row, id_, begin, next_, seq, ts_nsec in zip(
            rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
        ):
            info = infos[row].tobytes()
            text_len = int.from_bytes(info[layout.text_len :][:2], self._order)
            found = self._data(id_, begin, next_, text_len)
            if found is None:
                continue
            data, at = found
            level = info[layout.text_len + 3]
            caller_id = int.from_bytes(info[layout.caller_id :][:4], self._order)
            yield LogRecord(
                data=data,
                time_ns=ts_nsec,
                # The compiler fills bit fields from the end of the byte order's first byte.
                level=level >> 5 if self._order == "little" else level & 7,
                facility=info[layout.text_len + 2],
                caller=caller_text(caller_id),
                seq=seq,
                place=self._place(id_, at, len(data)),
            )

    def _place(self, id_: int, at: int, text_len: int) -> RecordPlace:
        """Say where all of a record lies; *at* is where its text begins in the ring, if it does."""
        layout, row = self._layout, id_ & (self._count - 1)
        desc = self._descs.virt + row * layout.desc_bytes
        info = self._infos.virt + row * layout.info_bytes
        words = [(desc + at, 8) for at in (layout.state, layout.begin, layout.next)]
        words += [(info + layout.seq, 8), (info + layout.ts_nsec, 8)]
        words += [(info + layout.text_len, 4), (info + layout.caller_id, 4)]
        if at < _ID_BYTES:
            return RecordPlace(tuple(words))
        words.append((self._text.virt + at - _ID_BYTES, _ID_BYTES))
        return RecordPlace(tuple(words), ((self._text.virt + at, text_len),))

    def _data(self, id_: int, begin: int, next_: int, text_len: int) -> tuple[bytes, int] | None:
        """Give a record's text, and where it begins in the ring; empty and 0 where it has none.

        None, and a finding, if it is lost.
        """
        if begin & next_ & _DATALESS:
            return b"", 0
        last = (next_ - 1) & U64_MAX
        start, end = begin % self._size, last % self._size + 1
        # Up to v6.17 a block that would end exactly where the ring does went to the start; in v6.19
        # it ends there. vmcore-dmesg takes its text from the start, which is another record's.
        if begin // self._size != last // self._size:
            start = 0
        if (last - begin) & U64_MAX >= 2 * self._size or start + _ID_BYTES > end:
            self._lost(f"record {id_:#x} of the log has its text at {begin:#x} to {next_:#x}")
            return None
        try:
            block = self._text.get(start, min(end - start, _ID_BYTES + text_len))
        except FactMissing as error:
            self._damage.add(
                "log_unreadable", f"the text of record {id_:#x} of the log is missing: {error}"
            )
            return None
        owner = int.from_bytes(block[:_ID_BYTES], self._order)
        if owner != id_:
            self._lost(f"the text of record {id_:#x} of the log is that of {owner:#x}")
            return None
        if len(block) < _ID_BYTES + text_len:
            self._damage.add(
                "log_text",
                f"record {id_:#x} of the log has {text_len} bytes of text in a block of "
                f"{end - start}: it is cut off",
            )
        return block[_ID_BYTES:], start + _ID_BYTES

    def _lost(self, message: str) -> None:
        self._damage.add("log_text", message + ": it is left out")

    def _table(
        self, buffer: LogBuffer, first: int, rows: int, row_bytes: int
    ) -> NDArray[np.uint8] | None:
        """Read rows of a table; None, and a finding, if they are not in the dump."""
        try:
            raw = buffer.get(first * row_bytes, rows * row_bytes)
        except FactMissing as error:
            if rows == 1 or not self._patience:
                message = f"records of the log ({rows} or fewer) are missing: {error}"
                self._damage.add("log_unreadable", message)
            return None
        return np.frombuffer(raw, dtype=np.uint8).reshape(rows, row_bytes)

    def _column(self, table: NDArray[np.uint8], at: int) -> NDArray[np.uint64]:
        words = np.ascontiguousarray(table[:, at : at + 8]).view(self._word)[:, 0]
        return words.astype(np.uint64)


def _is_kept(state: NDArray[np.uint64]) -> NDArray[np.bool_]:
    flags = state >> np.uint64(62)
    return np.isin(flags, (_COMMITTED, _FINALIZED))
