"""Which of some files are the members of one split dump, so that they are asked together.

The headers tell: members are split files of one folder whose main headers are the same, the time at
which they were begun among it, and whose ranges of pages do not overlap. Of files that lie far away
only those are looked at whose names differ from another's in their digits alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmemmap.errors import VmemmapError
from vmemmap.formats import kdump
from vmemmap.source.file_view import ByteView
from vmemmap.source.kdump_file import KdumpFile
from vmemmap.source.opening import open_bytes
from vmemmap.source.urls import scheme_of
from vmemmap.survey.dumps import SurveyedDump, joined
from vmemmap.threads import all_at_once

_AT_ONCE = 8
_START_BYTES = 128 << 10
"""Of a far file: both headers, whatever its block size."""


@dataclass(frozen=True, slots=True)
class _Member:
    """What a member's headers say: what its fellows have in common with it, and its pages."""

    common: tuple[str, bytes, bytes]
    pfns: tuple[int, int]


def join_members(
    dumps: Sequence[SurveyedDump], storage: Mapping[str, Any] | None = None
) -> list[SurveyedDump]:
    """Make one dump of those that are the members of one.

    Args:
        dumps: Files, each a dump or a member of one.
        storage: Options for URLs.

    Returns:
        The dumps, by the first of the members of each; members by rising pfn.
    """
    looked_at = _candidates(dumps)
    heads = all_at_once(lambda dump: _look(dump.opened_as, storage), looked_at, _AT_ONCE)
    together: dict[tuple[str, bytes, bytes], list[tuple[tuple[int, int], SurveyedDump]]]
    together = defaultdict(list)
    for dump, member in zip(looked_at, heads, strict=True):
        if member is not None:
            together[member.common].append((member.pfns, dump))
    group_of: dict[str, list[SurveyedDump]] = {}
    for rows in together.values():
        rows.sort(key=lambda row: (row[0], row[1].address))
        if len(rows) > 1 and not _overlap(pfns for pfns, _ in rows):
            group = [dump for _, dump in rows]
            group_of |= {dump.address: group for dump in group}
    out: list[SurveyedDump] = []
    done: set[str] = set()
    for dump in dumps:
        if dump.address not in done:
            group = group_of.get(dump.address, [dump])
            done.update(each.address for each in group)
            out.append(joined(group))
    return out


def _candidates(dumps: Iterable[SurveyedDump]) -> list[SurveyedDump]:
    """Give those that may be members, as far as their names tell; what is not there is none."""
    near, far = [], defaultdict(list)
    for dump in dumps:
        if not dump.version or dump.more:
            continue
        if scheme_of(dump.opened_as) in ("", "file"):
            if Path(dump.opened_as).is_file():  # a pipe is not to be waited for
                near.append(dump)
        else:
            folder, _, name = dump.address.rpartition("/")
            far[folder, re.sub(r"\d+", "0", name)].append(dump)
    return near + [dump for alike in far.values() if len(alike) > 1 for dump in alike]


def _look(name: str, storage: Mapping[str, Any] | None) -> _Member | None:
    """Look at a file's headers; None if they are not those of a member, or cannot be had."""
    try:
        view = _open(name, storage)
    except (VmemmapError, OSError):
        return None
    try:
        if bytes(view.view(0, len(kdump.SIGNATURE))) != kdump.SIGNATURE:
            return None
        file = KdumpFile(view)
        if not file.sub.split:
            return None
        folder = view.path.rpartition("/")[0]
        return _Member((folder, file.identity, file.time), file.pfn_range)
    except VmemmapError:
        return None  # whoever opens it says why
    finally:
        view.close()


def _open(name: str, storage: Mapping[str, Any] | None) -> ByteView:
    if scheme_of(name) in ("", "file"):
        return open_bytes(name)
    from vmemmap.source.object_store import StoredObject
    from vmemmap.source.ranges import RangeView

    return RangeView(StoredObject(name, storage, start_bytes=_START_BYTES))


def _overlap(ranges: Iterable[tuple[int, int]]) -> bool:
    """Tell whether some ranges, sorted, have a pfn in common; one alone may be empty."""
    reached = 0
    for start, end in ranges:
        if start < reached and start < end:
            return True
        reached = max(reached, end)
    return False
