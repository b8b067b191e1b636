"""Look at a file's first bytes and open it with the reader of its format.

It does not parse formats; it knows the ones that are refused well enough to name them.
"""

from __future__ import annotations

import os

from vmemmap.errors import DumpError, UnknownFormat, UnsupportedDump
from vmemmap.formats import elf64, flattened, kdump
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.source.file_view import ByteView
from vmemmap.source.opening import open_bytes

_PACKED = (
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "zstd -d"),
    (b"\x1f\x8b", "gzip-compressed", "gunzip"),
    (b"\xfd7zXZ\0", "xz-compressed", "unxz"),
    (b"BZh", "bzip2-compressed", "bunzip2"),
    (b"PK\x03\x04", "a zip archive", "unzip"),
)
_REFUSED = (
    (kdump.DISKDUMP_SIGNATURE, "an old diskdump file, which never existed for ppc64"),
    (b"\xa8\x19\x01\x73\x61\x8f\x23\xed", "an LKCD dump"),
    (b"\xed\x23\x8f\x61\x73\x01\x19\xa8", "an LKCD dump"),
    (b"sadu", "a sadump file, which exists for x86 only"),
    (b"!<arch>", "an archive (ar, or a Debian package)"),
)


def open_source(*paths: str | os.PathLike[str], progress: Progress = no_progress) -> PhysicalSource:
    """Open a dump with the reader that its first bytes ask for.

    Args:
        paths: An ELF vmcore or a kdump-compressed file, each possibly in flattened form; or all the
            members of a split dump, in any order. A pipe, or ``-`` for the standard input, is
            first copied to an unnamed temporary file.
        progress: Told how far such a copy has come.

    Returns:
        The opened source; whoever called closes it.

    Raises:
        DumpError: A file cannot be opened, is no dump, is damaged, or is of a kind not handled; the
            error carries its path.
    """
    if not paths:
        raise ValueError("expected the path of a dump, found none")
    opened: list[PhysicalSource] = []
    try:
        for path in paths:
            opened.append(_open_one(path, progress))  # noqa: PERF401 (what is open already must be closed)
        return _join(opened)
    except BaseException:
        for source in opened:
            source.close()
        raise


def _open_one(path: str | os.PathLike[str], progress: Progress) -> PhysicalSource:
    view = open_bytes(path, progress=progress)
    try:
        if bytes(view.view(0, 16)) == flattened.SIGNATURE:
            from vmemmap.source.flattened import FlattenedView

            view = FlattenedView(view)
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
    for start, what, command in _PACKED:
        if magic.startswith(start):
            raise UnsupportedDump(f"the file is {what}: unpack it first: {command} {view.path}")
    for start, what in _REFUSED:
        if magic.startswith(start):
            raise UnsupportedDump(f"the file is {what}; expected an ELF vmcore or a kdump file")
    raise UnknownFormat(
        "this is no dump: expected an ELF vmcore (7f 45 4c 46) or a kdump-compressed file "
        f"('KDUMP   '), found {magic[:8].hex(' ')} at the start of {view.size} bytes"
    )
