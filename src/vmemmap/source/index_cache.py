"""Keeps what took reading much of a far file to find out: a chain of records, counts of pages.

Each kind lies in a folder of ``$XDG_CACHE_HOME/vmemmap`` (``~/.cache`` without), under a name made
of the file's identity: a file that changed has another. What is damaged there is as if it were not.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

ROOM_BYTES = 256 << 20
"""How much all of a kind together may take; those unused for longest go first."""
_FORM = 1


def read_arrays(kind: str, identity: str) -> dict[str, NDArray[np.int64]]:
    """Give what was kept of a file, by name; nothing if nothing was.

    Args:
        kind: What it tells; the name of the folder.
        identity: What tells this version of the file from any other.
    """
    path = _place(kind, identity)
    if path is None:
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    if any(array.dtype != np.dtype("<i8") for array in arrays.values()):
        return {}
    with suppress(OSError):
        os.utime(path)
    return {name: array.astype(np.int64) for name, array in arrays.items()}


def keep_arrays(kind: str, identity: str, arrays: Mapping[str, NDArray[np.int64]]) -> None:
    """Keep what was found out; where that cannot be, it is found out again the next time."""
    path = _place(kind, identity)
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                _save(file, {name: array.astype("<i8") for name, array in arrays.items()})
            Path(part).replace(path)
        finally:
            Path(part).unlink(missing_ok=True)
        _make_room(path.parent, path)


def _save(file: BinaryIO, arrays: Mapping[str, NDArray[np.int64]]) -> None:
    """Write arrays as numpy's ``npz`` has them: each a file in an archive that is not packed."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _place(kind: str, identity: str) -> Path | None:
    """Give where something is kept; None where there is no home for it, as in some containers."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    name = hashlib.sha256(f"{_FORM} {identity}".encode()).hexdigest()[:32]
    return Path(cache) / "vmemmap" / kind / f"{name}.npz"


def _make_room(folder: Path, newest: Path) -> None:
    """Remove what nobody has asked for in longest, until the rest is small enough."""
    kept = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in kept)
    for path in kept:
        if total <= ROOM_BYTES or path == newest:
            return
        total -= path.stat().st_size
        path.unlink(missing_ok=True)
