"""Keeps what the page bitmaps of a far kdump file told, so that nobody fetches them for it twice.

That is how many pages come before some others, at every 32768th, and the ranges of memory. Of a map
of 64 MiB it takes 128 KiB. See ``index_cache.py`` for where.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmemmap.source.bitmap import Bitmap
from vmemmap.source.file_view import ByteView

_KIND = "bitmaps"
_WORTH_BYTES = 256 << 10
"""What was fetched to be counted is kept from so much on."""


class MapCounts:
    """What is known of the two bitmaps of a file; what was kept is put into them at once.

    Args:
        view: The file; of one that is on this machine, or cannot be told from another, nothing is
            kept.
        ram: The first bitmap.
        stored: The second.
    """

    def __init__(self, view: ByteView, ram: Bitmap, stored: Bitmap) -> None:
        self._identity = view.identity if view.far else ""
        self._ram, self._stored = ram, stored
        kept = _kept_of(self._identity) if self._identity else {}
        if _are_ranks(kept, "low", "high"):
            stored.ranks.take(kept["low"], kept["high"])
        if (runs := _runs_of(kept, ram.bits)) is not None:
            ram.found_runs |= runs
        self._had_runs = bool(ram.found_runs)

    def keep(self) -> None:
        """Keep what has been found out since, if that was worth a request."""
        new_runs = bool(self._ram.found_runs) and not self._had_runs
        if not self._identity or (
            self._stored.ranks.counted_bytes < _WORTH_BYTES
            and not (new_runs and self._ram.bits // 8 >= _WORTH_BYTES)
        ):
            return
        from vmemmap.source.index_cache import keep_arrays

        arrays = dict(self._stored.ranks.known())
        for limit, (rows, cut) in self._ram.found_runs.items():
            arrays |= {"runs": rows.astype(np.int64), "runs_told": np.array([limit, cut])}
        keep_arrays(_KIND, self._identity, arrays)


def _kept_of(identity: str) -> dict[str, NDArray[np.int64]]:
    # What it takes to look there is loaded for far files only.
    from vmemmap.source.index_cache import read_arrays

    return read_arrays(_KIND, identity)


def _are_ranks(kept: dict[str, NDArray[np.int64]], *names: str) -> bool:
    return all(name in kept and kept[name].ndim == 1 for name in names)


def _runs_of(
    kept: dict[str, NDArray[np.int64]], bits: int
) -> dict[int, tuple[NDArray[np.uint64], bool]] | None:
    """Give the ranges that were kept, if they can be those of a map of so many bits."""
    rows, told = kept.get("runs"), kept.get("runs_told")
    if rows is None or told is None or told.shape != (2,) or rows.shape[1:] != (2,):
        return None
    flat = rows.ravel()
    sound = not len(flat) or (flat[0] >= 0 and flat[-1] <= bits and (np.diff(flat) > 0).all())
    return {int(told[0]): (rows.astype(np.uint64), bool(told[1]))} if sound else None
