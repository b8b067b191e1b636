"""Names a file that is no ppc64 dump, and says what to do with it instead.

The table of formats is ``vmemmap.formats.foreign``; here is what takes more than a few bytes at a
place: what is inside a packed file, raw disks, tar archives, texts, memory without headers. Only
files that no reader takes come here, so that all of it may take a moment; what it reads is bounded.
"""

from __future__ import annotations

import bz2
import lzma
import re
import shlex
import zlib
from collections.abc import Callable

from vmemmap.errors import UnknownFormat, UnsupportedDump
from vmemmap.formats import elf64, flattened, kdump
from vmemmap.formats.foreign import (
    DUMP_GUEST,
    IN_ARCHIVE,
    MAGICS,
    ON_DISK,
    PACKED,
    TEXTS,
    Magic,
    Packing,
)
from vmemmap.source.file_view import ByteView

_HEAD_BYTES = 0x10048
_INSIDE_BYTES = 1024
_TEXT_BYTES = 512
_SEARCHED_BYTES = 64 << 20
_SEARCHED_FAR_BYTES = 2 << 20
_LZMA_MAX_BYTES = 64 << 20
_EXPECTED = "expected an ELF vmcore or a kdump file"
_LOG = re.compile(rb"(?:<\d+>)?\[ *\d+\.\d+\]|Linux version |<\d+>Linux version ")
_SYMBOL_MAP = re.compile(rb"[0-9a-f]{16} [A-Za-z] [\w.$]+")
_DUMPS = ((elf64.MAGIC, "an ELF file"), (kdump.SIGNATURE, "a kdump file"))


def refusal(view: ByteView) -> UnsupportedDump | UnknownFormat:
    """Make the error for a file that no reader takes: what it is, and what to do with it.

    Args:
        view: The file.
    """
    head = bytes(view.view(0, _HEAD_BYTES))
    for packing in PACKED:
        if head.startswith(packing.start):
            return UnsupportedDump(_packed(packing, view.path, head))
    found = _in_table(head) or _raw_disk(head) or _tar(head)
    if found is not None:
        advice = f"; {found.advice.format(path=_quoted(view.path))}" if found.advice else ""
        return UnsupportedDump(f"the file is {found.what}; {_EXPECTED}{advice}")
    what, advice = _text(head) or _shifted(view) or _memory(view) or _zeros(view) or ("", "")
    return UnknownFormat(
        f"this is no dump{what}: expected an ELF vmcore (7f 45 4c 46) or a kdump-compressed file "
        f"('KDUMP   '), found {head[:8].hex(' ')} at the start of {view.size} bytes"
        + (f"; {advice}" if advice else "")
    )


def _in_table(head: bytes) -> Magic | None:
    return next((row for row in MAGICS if head.startswith(row.start, row.offset)), None)


def _packed(packing: Packing, path: str, head: bytes) -> str:
    """Say how to unpack a file, and what its first bytes unpack to."""
    inside = _unpacked(packing, head)
    what = next((f", with {name} inside" for start, name in _DUMPS if inside.startswith(start)), "")
    found = _in_table(inside) or _tar(inside)
    if found is not None:
        what = f", with {found.what} inside"
    if path == "-":
        return f"the file is {packing.what}{what}; {_EXPECTED}; unpack it before: {packing.pipe}"
    if path.endswith(packing.suffix):
        how = f"{packing.command} {_quoted(path)}"
    else:
        how = f"{packing.pipe} {_quoted(path)} > NEWFILE"
    return f"the file is {packing.what}{what}; {_EXPECTED}; unpack it first: {how}"


def _unpacked(packing: Packing, head: bytes) -> bytes:
    """Unpack the beginning of a file, as far as that is easily done; nothing if it is not."""
    unpack = _UNPACKERS.get(packing.what)
    try:
        return b"" if unpack is None else unpack(head)
    except Exception:  # damaged, cut off, or the library is missing: then it tells nothing
        return b""


def _unzstd(head: bytes) -> bytes:
    import io

    import zstandard

    packed = zstandard.ZstdDecompressor(max_window_size=_LZMA_MAX_BYTES)
    with packed.stream_reader(io.BytesIO(head)) as reader:
        return bytes(reader.read(_INSIDE_BYTES))


_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip-compressed": lambda head: zlib.decompressobj(31).decompress(head, _INSIDE_BYTES),
    "bzip2-compressed": lambda head: bz2.BZ2Decompressor().decompress(head, _INSIDE_BYTES),
    "xz-compressed": lambda head: lzma.LZMADecompressor(memlimit=_LZMA_MAX_BYTES).decompress(
        head, _INSIDE_BYTES
    ),
    "zstd-compressed": _unzstd,
}


def _raw_disk(head: bytes) -> Magic | None:
    """Tell a disk with a partition table, or an ext file system, from other bytes."""
    if head[510:512] == b"\x55\xaa":
        rows = [head[446 + 16 * row : 462 + 16 * row] for row in range(4)]
        if any(row[4] for row in rows) and all(row[0] in (0, 0x80) for row in rows):
            return Magic(510, b"", "a raw disk with a partition table (MBR)", ON_DISK)
    sizes = int.from_bytes(head[0x418:0x41C], "little")
    if head[0x438:0x43A] == b"\x53\xef" and sizes <= 6:
        return Magic(0x438, b"", "a file system (ext2, ext3 or ext4)", ON_DISK)
    return None


def _tar(head: bytes) -> Magic | None:
    """Tell a tar archive, and name its first member."""
    if head[257:262] != b"ustar":
        return None
    member = head[:100].split(b"\0")[0].decode("latin-1")
    if member.removeprefix("./").startswith("sosreport"):
        what = "an sos report (a tar archive), which has logs and settings and no dump"
        return Magic(257, b"", what, "ask for the vmcore itself, mostly below /var/crash")
    shown = member.encode("unicode_escape").decode("ascii")
    what = f"a tar archive, which begins with '{shown}'"
    return Magic(257, b"", what, f"{IN_ARCHIVE}; unpack it first: tar -xf {{path}}")


def _text(head: bytes) -> tuple[str, str] | None:
    """Name a text."""
    start = head[:_TEXT_BYTES]
    try:
        # The last character may have been cut in two.
        text = start.decode("utf-8", errors="ignore" if len(start) == _TEXT_BYTES else "strict")
    except UnicodeDecodeError:
        return None
    if not start or any(not (c.isprintable() or c in "\n\r\t\x1b") for c in text):
        return None
    if len(text.encode()) < len(start) - 3:
        return None
    lowered = start.lstrip().lower()
    for begins, what, advice in TEXTS:
        if lowered.startswith(begins.lower()) or start.startswith(begins):
            return f" but {what}", advice
    if _LOG.match(start):
        return " but a text, a kernel's log it seems", "name the vmcore, which is beside it mostly"
    if _SYMBOL_MAP.match(start):
        return " but a text, a list of symbols (System.map, kallsyms)", "name the vmcore"
    return " but a text", ""


def _shifted(view: ByteView) -> tuple[str, str] | None:
    """Find a dump behind other bytes, as a login's greeting leaves them in one that was piped."""
    start = bytes(view.view(0, 1 << 20))
    for magic in (kdump.SIGNATURE, flattened.SIGNATURE):
        at = start.find(magic)
        if at > 0:
            how = f"tail -c +{at + 1} {_quoted(view.path)} > NEWFILE"
            return f" as it stands, though one may begin at {at:#x}", f"try: {how}"
    return None


def _memory(view: ByteView) -> tuple[str, str] | None:
    """Tell memory that was saved without headers: it has a kernel's VMCOREINFO somewhere."""
    if view.moves:
        return None
    data = view.view(0, _SEARCHED_FAR_BYTES if view.far else _SEARCHED_BYTES)
    found = re.search(rb"OSRELEASE=([\x21-\x7e]{3,64})\n(?:[ -~]{1,200}\n)?PAGESIZE=", data)
    if found is None:
        return None
    release = found[1].decode("ascii")
    what = f" but a machine's memory without headers, it seems (kernel {release})"
    return what, f"what is where in it nothing tells: {DUMP_GUEST}"


def _zeros(view: ByteView) -> tuple[str, str] | None:
    """Tell a file that begins with many zeros: space was taken for it, and nothing written."""
    start = bytes(view.view(0, 1 << 20))
    if len(start) < 4096 or start.strip(b"\0"):
        return None
    much = "nothing but zeros" if len(start) == view.size else f"zeros for {len(start)} bytes"
    return f": it begins with {much}", "it was never written, or its beginning was lost"


def _quoted(path: str) -> str:
    return shlex.quote(path)
