"""How large a filtered dump would be, and what each class saves, from samples of the pages.

Of every so many pages one is looked at, and compressed; the others are taken to be like it. Which
one is drawn by lot, since what memory holds often repeats every so many pages; the lots are always
the same. Where pages differ so much that this says too little, more of them are looked at. The
error counts what the sample tells of the others, and what it cannot tell: pages so few that none of
them may have been drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.distinct import distinct
from vmemmap.filter.contents import Contents
from vmemmap.filter.decision import Decision
from vmemmap.filter.sample import Sample
from vmemmap.formats import kdump
from vmemmap.intervals import Intervals, holds, join
from vmemmap.write.elf_core import Segment, data_at
from vmemmap.write.kdump_headers import KdumpHeader
from vmemmap.write.notes import pack_notes
from vmemmap.write.packing import Packer

CLASS_BYTES = 24 << 20
"""About how much is looked at of each class of pages that go."""
_SAMPLE_BYTES = 128 << 20
_SAMPLE_PAGES_MIN = 4096
_SAMPLE_BYTES_MOST = 384 << 20
"""About how much is compressed where pages differ much: a second or less."""
_COMPRESSED_LEAST = 0.25
"""Of what is looked at, pages of zeros are not compressed, but this share counts as if it were."""
_DISK_BLOCK_BYTES = 4096
_ERROR_ENOUGH = 0.03
"""An error, which 1 of 20 exceeds, that is small enough to be at most 0.05 in practice."""
_UNSEEN = 3.0
"""Of what is not in a sample of n at most so many in n are elsewhere, 19 times of 20."""
_AT_ONCE_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would come of filtering a dump. Counts are of pages.

    Attributes:
        level: The dump level.
        form: ``kdump`` or ``elf``.
        codec: How pages would be compressed.
        page_size: Size of a page in bytes.
        pages: Pages of the dump's memory.
        kept: Pages that stay.
        gone: Pages that go, by class.
        saves: How many bytes larger the output would be, by the samples, if the pages of a class
            stayed; at most so many of ELF, which keeps those in short gaps.
        absent: Pages that would stay, but that the dump does not have.
        unclassified: Pages that stay because nothing tells what they are, by the reason.
        sampled: Pages that were looked at, of those that stay.
        zero: How many of those that stay are full of zeros, by the sample.
        size_bytes: The size of the output, by the sample; of ELF what it takes on disk, where pages
            of zeros are holes.
        error_bytes: It is off by less than this, 19 times of 20; 0 if all pages were looked at.
        warnings: What kept the decision from being made as it should, a line each.
    """

    level: int
    form: str
    codec: str
    page_size: int
    pages: int
    kept: int
    gone: dict[str, int]
    saves: dict[str, int]
    absent: int
    unclassified: dict[str, int]
    sampled: int
    zero: int
    size_bytes: int
    error_bytes: int
    warnings: tuple[str, ...]


class Estimator:
    """Estimates the output of a decision.

    Args:
        decision: What stays.
        contents: The dump's pages, in the codec that is wanted.
        header: The header that the output would have; also of ELF it tells the notes.
        samples: Some of the pages that go, by class.
    """

    def __init__(
        self,
        decision: Decision,
        contents: Contents,
        header: KdumpHeader,
        samples: Mapping[str, Sample],
    ) -> None:
        self._decision, self._contents, self._header = decision, contents, header
        self._samples = samples

    def as_kdump(self, gone: dict[str, int]) -> Estimate:
        """Estimate a kdump-compressed file.

        Args:
            gone: Pages that go, by class.
        """
        kept = self._decision.kept
        fixed = self._header.data_at(kept.count())
        return self._estimate(
            "kdump", gone, kept.intervals, kept.count(), fixed, kdump.DESCRIPTOR_BYTES
        )

    def as_elf(self, gone: dict[str, int], segments: Sequence[Segment]) -> Estimate:
        """Estimate an ELF file.

        Args:
            gone: Pages that go, by class.
            segments: The file's segments, pages of zeros among them.
        """
        size = self._header.page_size
        ends = np.array([(s.phys, s.phys + s.file_bytes) for s in segments], dtype=np.int64)
        stored = np.column_stack([ends[:, 0] // size, -(-ends[:, 1] // size)]).reshape(-1, 2)
        stored = stored[stored[:, 1] > stored[:, 0]]
        fixed = data_at(pack_notes(self._header.order, self._header.notes), segments, size)
        count = int((stored[:, 1] - stored[:, 0]).sum())
        here = [stored] if len(stored) else []
        straddling = stored if fixed % _DISK_BLOCK_BYTES else None
        return self._estimate("elf", gone, lambda: here, count, fixed, 0, straddling)

    def _estimate(
        self,
        form: str,
        gone: dict[str, int],
        stored: Callable[[], Iterable[Intervals]],
        count: int,
        fixed_bytes: int,
        each_bytes: int,
        straddling: Intervals | None = None,
    ) -> Estimate:
        """Estimate a file of *fixed_bytes* and *count* pages, with *each_bytes* more for each.

        Where pages are *straddling* the blocks of a disk, a hole begins and ends with a block that
        is none: each page takes one if it or the one behind it does.
        """
        decision, page_size = self._decision, self._header.page_size
        sample = max(_SAMPLE_BYTES // page_size, _SAMPLE_PAGES_MIN)
        sizes, taken, error = self._sample(stored, count, sample, fixed_bytes, straddling)
        looked_at = max(len(sizes), 1)
        mean = float(taken.mean()) if len(taken) else 0.0
        zero = int(np.count_nonzero(sizes == 0)) * count // looked_at
        one_zero = page_size if zero and form == "kdump" else 0
        saves = {}
        for why, pages in gone.items():
            some = self._sizes(self._samples[why].pfns)
            there = some[some >= 0] + each_bytes
            saves[why] = round(float(there.sum()) / max(len(some), 1) * pages)
        return Estimate(
            level=decision.level,
            form=form,
            codec=self._header.codec,
            page_size=page_size,
            pages=decision.pages,
            kept=decision.kept.count(),
            gone=gone,
            saves=saves,
            absent=decision.absent,
            unclassified=dict(decision.unclassified),
            sampled=len(sizes),
            zero=zero,
            size_bytes=fixed_bytes + round(mean * count) + one_zero,
            error_bytes=round(error),
            warnings=tuple(decision.warnings),
        )

    def _sample(
        self,
        stored: Callable[[], Iterable[Intervals]],
        count: int,
        sample: int,
        fixed_bytes: int,
        straddling: Intervals | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
        """Look at pages, and at more if their sizes do not tell enough; say what error is left.

        Returns:
            The sizes of the pages, what each takes on the disk, and the error.
        """
        sizes: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        taken = sizes
        wanted = sample
        for lot in range(2):
            pages = wanted - len(sizes)
            if 2 * wanted >= count:
                pages, sizes = max(count, 1), sizes[:0]  # all of them take hardly longer
                taken = sizes
            pfns = _every_so_many(stored(), count, pages, lot)
            here = self._sizes(pfns).clip(min=0)
            sizes = np.concatenate([sizes, here])
            if straddling is not None:
                behind = np.flatnonzero(holds(straddling, pfns + 1, 1))
                here[behind] = np.maximum(here[behind], self._sizes(pfns[behind] + 1))
            taken = np.concatenate([taken, here])
            if pages >= count:
                return sizes, taken, 0.0
            spread, page_size = float(taken.std()), self._header.page_size
            enough = _ERROR_ENOUGH * (fixed_bytes / count + float(taken.mean()))
            share = max(np.count_nonzero(sizes) / len(sizes), _COMPRESSED_LEAST)
            most = max(int(_SAMPLE_BYTES_MOST / page_size / share), sample)
            wanted = min(_sample_for(enough, spread, page_size), most)
            if wanted <= len(sizes):
                break
        return sizes, taken, _error(len(sizes), spread, page_size) * count

    def _sizes(self, pfns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give how many bytes each page would take: 0 for those of zeros, -1 if it is lost."""
        contents = self._contents
        packer = Packer(self._header.codec, contents.page_size, contents.find_zero)
        at_once = _AT_ONCE_BYTES // contents.page_size
        out = [np.empty(0, dtype=np.int64)]
        for first in range(0, len(pfns), at_once):
            some = pfns[first : first + at_once]
            for batch in contents.load(join(some, some + 1)):
                packed = packer.pack(batch)
                out.append(np.where(packed.lost, -1, packed.size))
                packer.release(packed)
            contents.trim()
        return np.concatenate(out)


def _error(sample: int, spread: float, page_size: int) -> float:
    """Give by how many bytes a page the mean of so many is off at most, 19 times of 20.

    Twice the standard error, and what may have been missed: pages of which *sample* draws find none
    are, 19 times of 20, at most 3 in *sample* (``0.05 = exp(-3)``), and each is off by a page.
    """
    return 2 * spread / math.sqrt(sample) + _UNSEEN * page_size / sample


def _sample_for(error: float, spread: float, page_size: int) -> int:
    """Give how many pages are enough for an `_error`."""
    root = math.sqrt(spread**2 + _UNSEEN * page_size * error)  # of a quadratic equation in n ** 0.5
    return int(((spread + root) / max(error, 1e-9)) ** 2) + 1


def _every_so_many(
    stored: Iterable[Intervals], total: int, sample: int, lot: int
) -> NDArray[np.int64]:
    """Give about so many pages, one of each of as many equal parts, others for each *lot*."""
    step = max(total / sample, 1.0)
    within = np.random.default_rng(lot).random(min(sample, total))
    ranks = distinct(((np.arange(min(sample, total)) + within) * step).astype(np.int64))
    ranks = ranks[ranks < total] if step > 1 else np.arange(total)
    found, before = [np.empty(0, dtype=np.int64)], 0
    for intervals in stored:
        lengths = intervals[:, 1] - intervals[:, 0]
        ends = before + np.cumsum(lengths)
        here = ranks[(ranks >= before) & (ranks < ends[-1])]
        row = np.searchsorted(ends, here, side="right")
        found.append(intervals[row, 1] - (ends[row] - here))
        before = int(ends[-1])
    return np.concatenate(found)
