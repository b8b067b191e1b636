"""What an extract shows, by runs, with a checksum each: the manifest beside it.

``checker`` compares a file with it.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import NotRequired, TypedDict

from vmemmap.errors import UnreadableFile
from vmemmap.extract.classes import Shown

VERSION = 1


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


class ScrubRecord(TypedDict):
    """What was replaced in the kernel's log.

    kind: Of text.
    places: In how many places.
    """

    kind: str
    places: int


class Manifest(TypedDict):
    """What an extract has.

    version: Of this form.
    page_size: Of the kernel, in bytes.
    vmcoreinfo_sha256: Of the text of VMCOREINFO.
    note_sha256: Of the note that says that it is an extract.
    utsname_sha256: Of the six texts in the header of a kdump-compressed file.
    made_by: The program and its version.
    classes: What of the memory is in it.
    hidden_addresses: Whether addresses that no answer needs were left out.
    scrubbed: What was replaced in the kernel's log.
    runs: All bytes of memory that are shown; sorted, without overlap.
    """

    version: int
    page_size: int
    vmcoreinfo_sha256: str
    note_sha256: NotRequired[str]
    utsname_sha256: NotRequired[str]
    made_by: NotRequired[str]
    classes: NotRequired[list[str]]
    hidden_addresses: NotRequired[bool]
    scrubbed: NotRequired[list[ScrubRecord]]
    runs: list[RunRecord]


def manifest_path(out: str | Path) -> Path:
    """Give where the manifest of an extract lies: beside it."""
    return Path(f"{os.fspath(out)}.manifest.json")


def read_manifest(out: str | Path) -> Manifest:
    """Read the manifest of an extract, so much of it as tells what is shown.

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
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
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


def runs_within(manifest: Manifest, phys: int, end: int) -> list[RunRecord]:
    """Give the runs that have a byte in ``[phys, end)``."""
    runs = manifest["runs"]
    first = bisect_right(runs, phys, key=lambda run: run["phys"] + run["size"])
    return runs[first : bisect_left(runs, end, key=lambda run: run["phys"])]
