"""What an extract shows, by runs, with a checksum each; and the check of a file against it.

The check knows the file, the manifest and nothing else: neither the dump that was extracted, nor
how. It reads the file with the package's readers, which share no code with what wrote it.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from vmemmap.errors import UnreadableFile
from vmemmap.extract.classes import Shown
from vmemmap.intervals import Intervals, join, subtract, total, touched
from vmemmap.source.base import PhysicalSource

VERSION = 1
_READ_BYTES = 16 << 20
_SPAN_BYTES = 64 << 30


class RunRecord(TypedDict):
    """Bytes of memory of one class.

    phys: Physical address of the first.
    size: How many bytes.
    sha256: Of them.
    """

    phys: int
    size: int
    shown: str
    sha256: str


class Manifest(TypedDict):
    """What an extract has.

    version: Of this form.
    page_size: Of the kernel, in bytes.
    vmcoreinfo_sha256: Of the text of VMCOREINFO.
    runs: All bytes of memory that are shown; sorted, without overlap.
    """

    version: int
    page_size: int
    vmcoreinfo_sha256: str
    runs: list[RunRecord]


def manifest_path(out: str | Path) -> Path:
    """Give where the manifest of an extract lies: beside it."""
    return Path(f"{os.fspath(out)}.manifest.json")


def read_manifest(out: str | Path) -> Manifest:
    """Read the manifest of an extract.

    Raises:
        UnreadableFile: There is none, or it is of another form.
    """
    path = manifest_path(out)
    try:
        found = json.loads(path.read_bytes())
        if found["version"] != VERSION:
            raise UnreadableFile(
                f"is of version {found['version']!r}; expected {VERSION}", path=str(path)
            )
        return Manifest(
            version=VERSION,
            page_size=int(found["page_size"]),
            vmcoreinfo_sha256=str(found["vmcoreinfo_sha256"]),
            runs=[
                RunRecord(
                    phys=int(run["phys"]),
                    size=int(run["size"]),
                    shown=str(run["shown"]),
                    sha256=str(run["sha256"]),
                )
                for run in found["runs"]
            ],
        )
    except OSError as error:
        raise UnreadableFile(f"cannot be read: {error.strerror}", path=str(path)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(f"is no manifest of an extract ({error!r})", path=str(path)) from error


def run_record(phys: int, data: bytes | memoryview, shown: Shown) -> RunRecord:
    """Make the record of a run."""
    digest = hashlib.sha256(data).hexdigest()
    return RunRecord(phys=phys, size=len(data), shown=shown.value, sha256=digest)


def find_run(manifest: Manifest, phys: int) -> RunRecord | None:
    """Give the run that has a byte of memory, or None."""
    runs = manifest["runs"]
    at = bisect_right(runs, phys, key=lambda run: run["phys"]) - 1
    return runs[at] if at >= 0 and phys < runs[at]["phys"] + runs[at]["size"] else None


def verify(source: PhysicalSource, manifest: Manifest) -> list[str]:
    """Compare a file with its manifest.

    Args:
        source: The file.
        manifest: What was shown.

    Returns:
        What does not agree, in words; nothing if all does.

    Raises:
        ReadError: A page that should be there cannot be read.
    """
    found = []
    text = hashlib.sha256(source.vmcoreinfo or b"").hexdigest()
    if text != manifest["vmcoreinfo_sha256"]:
        found.append("VMCOREINFO is another one")
    others = [note for note in source.notes if note.name != "VMCOREINFO"]
    found += [f"there is a note {note.name} ({note.kind:#x})" for note in others]
    runs = manifest["runs"]
    for run in runs:
        if run["shown"] not in {shown.value for shown in Shown}:
            found.append(f"the run at {run['phys']:#x} is of no known class: {run['shown']!r}")
        data = b"".join(_read(source, run["phys"], run["phys"] + run["size"]))
        if hashlib.sha256(data).hexdigest() != run["sha256"]:
            found.append(f"the {run['size']} bytes at {run['phys']:#x} are others")
    return found + _beside(source, runs, manifest["page_size"])


def _beside(source: PhysicalSource, runs: Sequence[RunRecord], page_size: int) -> list[str]:
    """Say which bytes are in the file that are neither in a run nor zero."""
    bounds = np.array([(r["phys"], r["phys"] + r["size"]) for r in runs], dtype=np.int64)
    shown = join(*bounds.reshape(-1, 2).T)
    stored = _stored(source, page_size)
    found = [
        f"{total(more)} pages are in the file that the manifest does not name"
        for more in [subtract(stored, touched(shown, page_size))]
        if len(more)
    ]
    hidden = subtract(stored * page_size, shown)
    for start, end in hidden.tolist():
        at = start
        for data in _read(source, start, end):
            some = np.flatnonzero(np.frombuffer(data, dtype=np.uint8))
            if len(some):
                found.append(f"the byte at {at + int(some[0]):#x} is shown and in no run")
                break
            at += len(data)
    return found


def _stored(source: PhysicalSource, page_size: int) -> Intervals:
    """Give the numbers of all pages that the file has."""
    found = [
        source.present_runs(at, min(at + _SPAN_BYTES, end))
        for start, end in source.ranges().tolist()
        for at in range(start, end, _SPAN_BYTES)
    ]
    runs = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    return touched(runs, page_size)


def _read(source: PhysicalSource, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _READ_BYTES):
        yield source.read(at, min(_READ_BYTES, end - at))
