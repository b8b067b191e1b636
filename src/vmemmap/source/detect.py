"""Look at a file's first bytes and open it with the reader of its format.

It does not parse formats. What no reader takes is named in ``source/foreign.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmemmap.errors import DumpError, UnsupportedDump
from vmemmap.formats import elf64, flattened, kdump
from vmemmap.memory import Dumpable
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.source.file_view import ByteView
from vmemmap.source.in_memory import MemorySource
from vmemmap.source.opening import Opened, open_bytes


def open_source(
    *paths: Opened | Dumpable,
    progress: Progress = no_progress,
    storage: Mapping[str, Any] | None = None,
) -> PhysicalSource:
    """Open a dump with the reader that its first bytes ask for.

    Args:
        paths: An ELF vmcore or a kdump-compressed file, each possibly in flattened form; or all the
            members of a split dump, in any order. Files, URLs, or objects with read and seek. A
            pipe, or ``-`` for the standard input, is first copied to an unnamed temporary file. Or,
            alone, what has memory itself.
        progress: Told how far such a copy has come.
        storage: Options for URLs; see `StoredObject`.

    Returns:
        The opened source; whoever called closes it.

    Raises:
        DumpError: A file cannot be opened, is no dump, is damaged, or is of a kind not handled; the
            error carries its path.
    """
    if not paths:
        raise ValueError("expected the path of a dump, found none")
    machines = [path for path in paths if isinstance(path, Dumpable)]
    files = [path for path in paths if not isinstance(path, Dumpable)]
    if machines and len(paths) > 1:
        raise ValueError("a machine's memory is opened alone, and not beside other dumps")
    if machines:
        return MemorySource(machines[0].dumped())
    opened: list[PhysicalSource] = []
    try:
        for path in files:
            opened.append(_open_one(path, progress, storage))  # noqa: PERF401 (what is open already must be closed)
        return _join(opened)
    except BaseException:
        for source in opened:
            source.close()
        raise


def begins_like_a_dump(path: str) -> bool:
    """Tell whether a file begins as ELF cores, kdump files and flattened dumps do."""
    try:
        with open(path, "rb") as file:
            head = file.read(elf64.HEADER_BYTES)
    except OSError:
        return False
    if head.startswith(elf64.MAGIC):
        return head[16:18] in (b"\4\0", b"\0\4")  # ET_CORE, in either byte order
    return head.startswith((kdump.SIGNATURE, kdump.DISKDUMP_SIGNATURE, flattened.SIGNATURE))


def _open_one(
    path: Opened, progress: Progress, storage: Mapping[str, Any] | None
) -> PhysicalSource:
    view = open_bytes(path, progress=progress, storage=storage)
    try:
        if bytes(view.view(0, 16)) == flattened.SIGNATURE:
            from vmemmap.source.flattened import FlattenedView

            view = FlattenedView(view, progress)
        return _open_view(view)
    except DumpError as error:
        error.path = view.path
        view.close()
        raise
    except BaseException:
        view.close()
        raise


def _join(opened: list[PhysicalSource]) -> PhysicalSource:
    """Make one source of the members of a split dump; a dump that is whole is given as it is."""
    if len(opened) == 1 and opened[0].format == "elf":
        return opened[0]
    from vmemmap.source.kdump import KdumpSource

    members = [source for source in opened if isinstance(source, KdumpSource)]
    if len(opened) == 1 and not (members and members[0].file.sub.split):
        return opened[0]
    if len(members) < len(opened):
        other = next(source for source in opened if not isinstance(source, KdumpSource))
        raise UnsupportedDump(
            "several files are read together only if they are the members of one split kdump file, "
            f"and this one is an {other.format.upper()} file: name it alone",
            path=other.path,
        )
    from vmemmap.source.split import SplitSource

    return SplitSource(members)


def _open_view(view: ByteView) -> PhysicalSource:
    magic = bytes(view.view(0, 16))
    if magic.startswith(elf64.MAGIC):
        from vmemmap.source.elf import ElfSource

        return ElfSource(view)
    if magic.startswith(kdump.SIGNATURE):
        from vmemmap.source.kdump import KdumpSource

        return KdumpSource(view)
    if magic == flattened.SIGNATURE:
        raise UnsupportedDump(
            "this dump is flattened twice over, which no tool does; expected a kdump or ELF file "
            "inside the flattened form"
        )
    from vmemmap.source.foreign import refusal

    raise refusal(view)
