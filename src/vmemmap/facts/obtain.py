"""Where the VMCOREINFO text comes from: the user, the dump's headers, or the dumped memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from vmemmap.errors import FactConflict, FactMissing, ReadError, UnsupportedDump
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.uts import find_utsname
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.formats.notes import VMCOREINFO_MAX_BYTES
from vmemmap.linear_map import linear_phys
from vmemmap.progress import Progress
from vmemmap.source.base import PhysicalSource
from vmemmap.source.opening import Opened, open_bytes

if TYPE_CHECKING:
    # Nearly every dump has the text in its headers, and what searches for it is not loaded then.
    from vmemmap.facts.vmcoreinfo.candidates import FoundText
    from vmemmap.facts.vmcoreinfo.search import Searched
    from vmemmap.facts.vmlinux import SymbolFile


class Obtained(NamedTuple):
    """A VMCOREINFO text.

    Attributes:
        text: The text.
        fact: The fact ``vmcoreinfo``, which says where it comes from.
        others: Those of other kernels in the same memory, if it was searched: of a capture kernel,
            or of the one that crashed before it.
    """

    text: bytes
    fact: Fact[str]
    others: tuple[FoundText, ...] = ()


def read_vmcoreinfo_file(path: Opened, storage: Mapping[str, Any] | None = None) -> bytes:
    """Read a VMCOREINFO text that the user names; *storage* has options for URLs.

    Raises:
        DumpError: It cannot be read, or is far too long to be one.
    """
    view = open_bytes(path, "the VMCOREINFO text", storage=storage)
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
    from vmemmap.facts.vmcoreinfo.candidates import release_in_memory

    release = Vmcoreinfo(given).text("OSRELEASE")
    own = Vmcoreinfo(source.vmcoreinfo or b"")
    dumped = own.text("OSRELEASE") if "OSRELEASE" in own else source.release
    dumped = dumped or release_in_memory(source, given) or release
    if dumped != release:
        raise FactConflict(
            f"the given VMCOREINFO is of kernel {release}, but the dump is of {dumped}",
            name="OSRELEASE",
        )


def _check_vmlinux(source: PhysicalSource, symbols: SymbolFile) -> None:
    """Refuse a vmlinux that memory shows to be of another kernel.

    Raises:
        FactConflict: What lies at its init_uts_ns is something else.
    """
    symbol = symbols.find("init_uts_ns")
    phys = linear_phys(symbol.address) if symbol is not None else None
    if symbol is None or phys is None:
        return
    try:
        uts = find_utsname(source, phys, (0, 4))
    except ReadError:
        return
    release = symbols.release()
    if uts is not None and release in ("", uts.release):
        return
    there = f"release {uts.release}" if uts is not None else "no utsname"
    raise FactConflict(
        f"{symbols.path} is not the vmlinux of this dump's kernel: it is of release "
        f"{release or 'unknown'}, and at its init_uts_ns ({symbol.address:#x}) memory has {there}",
        name="vmlinux",
    )


def obtain_vmcoreinfo(
    source: PhysicalSource,
    given: bytes | None,
    symbols: SymbolFile | None,
    progress: Progress,
    kernel: int = 1,
) -> Obtained:
    """Give the VMCOREINFO text, and where it comes from.

    Args:
        source: The dump.
        given: The user's text, which goes before the dump's own, or None.
        symbols: The user's vmlinux, which says where the kernel keeps the text, or None.
        progress: Told how far a search of the memory has come.
        kernel: Which of the kernels that have left a text is meant: 1 for the one that is taken
            where nothing is said, 2 and more for `Obtained.others`.

    Raises:
        FactConflict: The text or the vmlinux is of another kernel.
        FactMissing: Neither the headers nor the memory have it, or not of so many kernels.
    """
    if kernel > 1:
        return _choose(source, kernel, progress)
    if given is not None:
        _check_given(source, given)
        fact = Fact("vmcoreinfo", "given", Origin.USER, "a file named by the user")
        return Obtained(given, fact)
    if source.vmcoreinfo:
        fact = Fact("vmcoreinfo", "note", Origin.VMCOREINFO, "in the dump's headers")
        return Obtained(source.vmcoreinfo, fact)
    from vmemmap.facts.vmcoreinfo.search import find_by_symbols

    if symbols is not None:
        data = symbols.find("vmcoreinfo_data")
        if data is not None:
            text = find_by_symbols(source, data.address)
            if text is not None:
                detail = f"not in the dump's headers; where {symbols.path} says the kernel has it"
                return Obtained(text, Fact("vmcoreinfo", "memory", Origin.USER, detail))
    return _search(source, symbols, progress)


def _choose(source: PhysicalSource, kernel: int, progress: Progress) -> Obtained:
    """Take the text of another kernel than that of the dump's headers, or the one found first."""
    searched = _look(source, progress)
    found = [text for text in searched.found if text.text != source.vmcoreinfo]
    own = [f"1 is {_HEADERS}"] if source.vmcoreinfo else []
    if kernel - len(own) > len(found):
        named = [*own, *(f"{n} is {text}" for n, text in enumerate(found, 1 + len(own)))]
        raise FactMissing(
            f"there is no VMCOREINFO of a kernel {kernel} in this dump, which --assume kernel asks "
            f"for: {'; '.join(named) or 'memory has none'}",
            name="VMCOREINFO",
        )
    chosen = found.pop(kernel - len(own) - 1)
    detail = f"{chosen}, as --assume kernel={kernel} says"
    if own or found:
        detail += f"; not {' or '.join([*([_HEADERS] if own else []), *map(str, found)])}"
    return Obtained(chosen.text, Fact("vmcoreinfo", "memory", Origin.USER, detail), tuple(found))


_HEADERS = "the one in the dump's headers"


def _look(source: PhysicalSource, progress: Progress) -> Searched:
    from vmemmap.facts.vmcoreinfo.search import find_in_memory

    what = "searching memory for VMCOREINFO"
    searched = find_in_memory(source, lambda done: progress(what, min(int(done * 1000), 999), 1000))
    progress(what, 1000, 1000)
    return searched


def _search(source: PhysicalSource, symbols: SymbolFile | None, progress: Progress) -> Obtained:
    """Search memory for the text; errors as for `obtain_vmcoreinfo`."""
    searched = _look(source, progress)
    if not searched.found:
        if symbols is not None:
            _check_vmlinux(source, symbols)
        unseen = f" (not looked at: {searched.unseen})" if searched.unseen else ""
        raise FactMissing(
            "the dump carries no VMCOREINFO, from which everything about the kernel is read: "
            "expected it in the headers or the kernel's own copy in memory, found neither"
            f"{unseen}; if you have the text, name it with --vmcoreinfo",
            name="VMCOREINFO",
        )
    best, *others = searched.found
    detail = f"not in the dump's headers; the kernel's {best.form} found at {best.phys:#x}"
    if others:
        named = (f"{text} (--assume kernel={n} takes it)" for n, text in enumerate(others, 2))
        detail += f"; memory also has {' and '.join(named)}"
    fact = Fact("vmcoreinfo", "memory", Origin.DERIVED, detail)
    return Obtained(best.text, fact, tuple(others))
