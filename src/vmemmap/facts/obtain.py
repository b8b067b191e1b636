"""Where the VMCOREINFO text comes from: the user, the dump's headers, or the dumped memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vmemmap.errors import FactConflict, FactMissing, UnsupportedDump
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.vmcoreinfo.search import find_by_symbols, find_in_memory, release_in_memory
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.formats.notes import VMCOREINFO_MAX_BYTES
from vmemmap.progress import Progress, no_progress
from vmemmap.source.base import PhysicalSource
from vmemmap.source.opening import open_bytes

if TYPE_CHECKING:
    from vmemmap.facts.vmlinux import SymbolFile

SEARCH_SECONDS = 6.0


def read_vmcoreinfo_file(path: str | os.PathLike[str]) -> bytes:
    """Read a VMCOREINFO text that the user names.

    Raises:
        DumpError: It cannot be read, or is far too long to be one.
    """
    view = open_bytes(path, "the VMCOREINFO text")
    try:
        if view.size > VMCOREINFO_MAX_BYTES:
            raise UnsupportedDump(
                f"expected a VMCOREINFO text of at most {VMCOREINFO_MAX_BYTES} bytes, found a file "
                f"of {view.size}",
                path=view.path,
            )
        return bytes(view.view(0, view.size)).rstrip(b"\0").replace(b"\r\n", b"\n")
    finally:
        view.close()


def _check_given(source: PhysicalSource, given: bytes) -> None:
    """Refuse a text that is of another kernel than the dump, as far as the dump tells."""
    release = Vmcoreinfo(given).text("OSRELEASE")
    own = Vmcoreinfo(source.vmcoreinfo or b"")
    dumped = own.text("OSRELEASE") if "OSRELEASE" in own else source.release
    dumped = dumped or release_in_memory(source, given) or release
    if dumped != release:
        raise FactConflict(
            f"the given VMCOREINFO is of kernel {release}, but the dump is of {dumped}",
            name="OSRELEASE",
        )


def obtain_vmcoreinfo(
    source: PhysicalSource,
    given: bytes | None,
    symbols: SymbolFile | None,
    progress: Progress,
) -> tuple[bytes, Fact[str]]:
    """Give the VMCOREINFO text and the fact ``vmcoreinfo``, which says where it comes from.

    Args:
        source: The dump.
        given: The user's text, which goes before the dump's own, or None.
        symbols: The user's vmlinux, which says where the kernel keeps the text, or None.
        progress: Told how far a search of the memory has come.

    Raises:
        FactMissing: Neither the headers nor the memory have it.
    """
    if given is not None:
        _check_given(source, given)
        return given, Fact("vmcoreinfo", "given", Origin.USER, "a file named by the user")
    if source.vmcoreinfo:
        note = Fact("vmcoreinfo", "note", Origin.VMCOREINFO, "in the dump's headers")
        return source.vmcoreinfo, note
    if symbols is not None:
        data = symbols.find("vmcoreinfo_data")
        if data is not None:
            text = find_by_symbols(source, data.address)
            if text is not None:
                detail = f"not in the dump's headers; where {symbols.path} says the kernel has it"
                return text, Fact("vmcoreinfo", "memory", Origin.USER, detail)
    what = "searching memory for VMCOREINFO"
    # Whoever watches the progress can stop it; for the others it must end by itself.
    patience = SEARCH_SECONDS if progress is no_progress else None
    found = find_in_memory(
        source, lambda done: progress(what, min(int(done * 1000), 999), 1000), patience
    )
    progress(what, 1000, 1000)
    if found is None:
        raise FactMissing(
            "the dump carries no VMCOREINFO, from which everything about the kernel is read: "
            "expected it in the headers or the kernel's own copy in memory, found neither; if you "
            "have the text, name it with --vmcoreinfo",
            name="VMCOREINFO",
        )
    detail = f"not in the dump's headers; the kernel's {found.form} found at {found.phys:#x}"
    return found.text, Fact("vmcoreinfo", "memory", Origin.DERIVED, detail)
