"""Where in a dump's memory something begins that may be a VMCOREINFO text.

Two ways to look: at all bytes, or at the beginnings of pages only, which is many times quicker and
finds what the kernel allocates by the page. Whether a kernel wrote what is found, and which, is in
``candidates``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vmemmap.address import Run
from vmemmap.facts.vmcoreinfo.stored_memory import Stretch, stored_batches
from vmemmap.source.base import PhysicalSource

NOTE_HEAD_BYTES = 24
"""Header and name of the ELF note, before its text."""
_KEY = b"OSRELEASE="
_START = re.compile(re.escape(_KEY) + rb"[0-9]")
"""A release begins with a digit; the kernel's format ``OSRELEASE=%s`` and scripts do not."""
_START_BYTES = len(_KEY) + 1
_WORD = np.dtype("<u4")
_WORDS = tuple(np.frombuffer(_KEY[at : at + 4], dtype=_WORD)[0] for at in range(4))
"""Wherever the key lies, an aligned word in it is one of these."""
_WINDOW_BYTES = 1 << 20
_HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Seen:
    """Part of a search.

    Attributes:
        starts: Physical addresses at which a text may begin, rising.
        heads: How many pages' beginnings were looked at; 0 if it was everything.
        done: How far the search has come, 0 to 1.
    """

    starts: list[int]
    heads: int
    done: float


def starts_anywhere(source: PhysicalSource, within: Run) -> Iterator[Seen]:
    """Look at every byte in a range of physical addresses; on all processors.

    A text is found where it begins in one batch, stretch or segment and goes on in the next.
    """
    ranges = source.ranges()
    end = min(int(ranges[-1, 1]), within.end) if len(ranges) else within.end
    length = max(end - within.start, 1)
    tail = Stretch(0, memoryview(b""))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as threads:
        for batch in stored_batches(source, within):
            windows: list[Stretch] = []
            for stretch in batch.stretches:
                windows += _windows(_over_the_border(tail, stretch))
                windows += _windows(stretch)
                tail = _tail(tail, stretch)
            starts = {start for found in threads.map(_starts_in, windows) for start in found}
            done = min((batch.end - within.start) / length, 1.0)
            yield Seen(sorted(starts), 0, done)


def starts_on_pages(source: PhysicalSource, unit_bytes: int, until: int) -> Iterator[Seen]:
    """Look where pages begin: there, and behind a note's header there.

    Args:
        source: The dump.
        unit_bytes: Where pages begin: multiples of this.
        until: Look only below this physical address.
    """
    key = np.frombuffer(_KEY, dtype=np.uint8)
    for heads in source.heads(unit_bytes, _HEAD_BYTES, until):
        starts = []
        for at in (0, NOTE_HEAD_BYTES):
            rows = np.flatnonzero((heads.data[:, at : at + len(key)] == key).all(axis=1))
            starts += [int(phys) + at for phys in heads.phys[rows]]
        yield Seen(sorted(starts), len(heads.phys), heads.done)


def _windows(stretch: Stretch) -> Iterator[Stretch]:
    """Cut a stretch into parts of which each has the texts that begin in it."""
    for at in range(0, len(stretch.data) - _START_BYTES + 1, _WINDOW_BYTES):
        part = stretch.data[at : at + _WINDOW_BYTES + _START_BYTES - 1]
        yield Stretch(stretch.phys + at, part)


def _over_the_border(tail: Stretch, stretch: Stretch) -> Stretch:
    """Join the end of what came before and the beginning of what comes, if they touch."""
    if tail.phys + len(tail.data) != stretch.phys:
        return Stretch(stretch.phys, memoryview(b""))
    return Stretch(tail.phys, memoryview(bytes(tail.data) + stretch.data[: _START_BYTES - 1]))


def _tail(tail: Stretch, stretch: Stretch) -> Stretch:
    """Give the last bytes of memory, too few for a text to begin and be seen in them."""
    end = stretch.phys + len(stretch.data)
    data = bytes(stretch.data[-(_START_BYTES - 1) :])
    if len(data) < _START_BYTES - 1 and tail.phys + len(tail.data) == stretch.phys:
        data = (bytes(tail.data) + data)[-(_START_BYTES - 1) :]
    return Stretch(end - len(data), memoryview(data))


def _starts_in(window: Stretch) -> list[int]:
    """Give where texts may begin in a window.

    Comparing words is several times quicker than searching bytes, and lets other threads run.
    """
    words = np.frombuffer(window.data, dtype=_WORD, count=len(window.data) // _WORD.itemsize)
    if not any((words == word).any() for word in _WORDS):
        return []
    return [window.phys + hit.start() for hit in _START.finditer(window.data)]
