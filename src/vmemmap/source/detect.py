"""Look at a file's first bytes and open it with the reader of its format.

It does not parse formats; it knows the ones that are refused well enough to name them.
"""

from __future__ import annotations

import os

from vmemmap.errors import DumpError, UnknownFormat, UnsupportedDump
from vmemmap.formats import elf64, kdump
from vmemmap.source.base import PhysicalSource
from vmemmap.source.file_view import FileView

_PACKED = (
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "zstd -d"),
    (b"\x1f\x8b", "gzip-compressed", "gunzip"),
    (b"\xfd7zXZ\0", "xz-compressed", "unxz"),
    (b"BZh", "bzip2-compressed", "bunzip2"),
    (b"PK\x03\x04", "a zip archive", "unzip"),
)
_FLATTENED = b"makedumpfile\0\0\0\0"
_REFUSED = (
    (kdump.DISKDUMP_SIGNATURE, "an old diskdump file, which never existed for ppc64"),
    (b"\xa8\x19\x01\x73\x61\x8f\x23\xed", "an LKCD dump"),
    (b"\xed\x23\x8f\x61\x73\x01\x19\xa8", "an LKCD dump"),
    (b"sadu", "a sadump file, which exists for x86 only"),
    (b"!<arch>", "an archive (ar, or a Debian package)"),
)


def open_source(path: str | os.PathLike[str]) -> PhysicalSource:
    """Open a dump file with the reader that its first bytes ask for.

    Args:
        path: An ELF vmcore or a kdump-compressed file.

    Returns:
        The opened source; whoever called closes it.

    Raises:
        DumpError: It cannot be opened, is no dump, is damaged, or is of a kind not handled; the
            error carries *path*.
    """
    file = FileView(path)
    try:
        return _open(file)
    except DumpError as error:
        error.path = file.path
        file.close()
        raise
    except BaseException:
        file.close()
        raise


def _open(file: FileView) -> PhysicalSource:
    magic = bytes(file.view(0, 16))
    if magic.startswith(elf64.MAGIC):
        from vmemmap.source.elf import ElfSource

        return ElfSource(file)
    if magic.startswith(kdump.SIGNATURE):
        from vmemmap.source.kdump import KdumpSource

        return KdumpSource(file)
    if magic == _FLATTENED:
        raise UnsupportedDump(
            "this dump is in makedumpfile's flattened form, which is not read directly yet: "
            f"convert it first: makedumpfile -R vmcore < {file.path}"
        )
    for start, what, command in _PACKED:
        if magic.startswith(start):
            raise UnsupportedDump(f"the file is {what}: unpack it first: {command} {file.path}")
    for start, what in _REFUSED:
        if magic.startswith(start):
            raise UnsupportedDump(f"the file is {what}; expected an ELF vmcore or a kdump file")
    raise UnknownFormat(
        "this is no dump: expected an ELF vmcore (7f 45 4c 46) or a kdump-compressed file "
        f"('KDUMP   '), found {magic[:8].hex(' ')} at the start of {file.size} bytes"
    )
