"""Keeps what took reading a whole far file to find out: the chain of records of a flattened one.

An index lies in ``$XDG_CACHE_HOME/vmemmap/flattened`` (``~/.cache`` without), under a name made of
the file's identity: a file that changed has another. What is damaged there is as if it were not.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

ROOM_BYTES = 256 << 20
"""How much all indices together may take; those unused for longest go first."""
_FORM = 1

Chain: TypeAlias = "tuple[array[int], array[int], array[int]]"
"""Target offsets, file offsets and sizes of the records of a flattened file."""


def read_index(identity: str, file_bytes: int) -> tuple[Chain, int | None] | None:
    """Give the chain that was kept for a file.

    Args:
        identity: What tells this version of the file from any other.
        file_bytes: Its size; an index that points beyond it is not believed.

    Returns:
        The chain, and where the file is cut off (None if it is not); None if nothing was kept.
    """
    path = _place(identity)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            rows, cut_at = kept["chain"], int(kept["cut_at"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if rows.dtype != np.dtype("<i8") or rows.ndim != 2 or rows.shape[0] != 3 or not rows.shape[1]:
        return None
    if not _sound(rows, file_bytes):
        return None
    with suppress(OSError):
        os.utime(path)
    targets, sources, sizes = (array("q", row.astype(np.int64).tobytes()) for row in rows)
    return (targets, sources, sizes), None if cut_at < 0 else cut_at


def keep_index(identity: str, chain: Chain, cut_at: int | None) -> None:
    """Keep a file's chain; where that cannot be, it is read again the next time."""
    rows = np.stack([np.frombuffer(column, dtype=np.int64) for column in chain]).astype("<i8")
    path = _place(identity)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                np.savez(file, chain=rows, cut_at=np.int64(-1 if cut_at is None else cut_at))
            Path(part).replace(path)
        finally:
            Path(part).unlink(missing_ok=True)
        _make_room(path.parent, path)


def _place(identity: str) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(f"{_FORM} {identity}".encode()).hexdigest()[:32]
    return Path(cache) / "vmemmap" / "flattened" / f"{name}.npz"


def _sound(rows: NDArray[np.int64], file_bytes: int) -> bool:
    targets, sources, sizes = rows
    inside = (targets >= 0) & (sources >= 0) & (sizes > 0) & (sources <= file_bytes - sizes)
    return bool(inside.all())


def _make_room(folder: Path, newest: Path) -> None:
    """Remove the indices that nobody has asked for in longest, until the rest is small enough."""
    kept = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in kept)
    for path in kept:
        if total <= ROOM_BYTES or path == newest:
            return
        total -= path.stat().st_size
        path.unlink(missing_ok=True)
