"""Every exception that vmemmap raises on purpose; all of them are VmemmapError.

::

    VmemmapError
        DumpError                 the file as a whole; carries the path
            UnreadableFile        it cannot be opened or read: missing, a directory, no permission
            UnknownFormat         its first bytes are of no dump format known here
            CorruptDump           a header contradicts itself or the file; carries the offset
            UnsupportedDump       a real dump, but of a kind that is not handled (yet)
            CodecUnavailable      a page is compressed and the library for it is not installed
        ReadError                 bytes at a physical address; carries the address and the reason
            NotInDump             absent: no memory range of the dump covers the address
                HotAdded          the kernel had memory there, added after kexec was loaded
            PageExcluded          the dump tool left the page out on purpose
            PageLost              the dump says itself that the page was never written
            Truncated             the page should be in the file, but the file ends before it
            CorruptPage           the page is in the file and cannot be decoded
        FactError                 what the kernel says about itself; carries the fact's name
            FactMissing           no source has it
            FactInvalid           a source has it and its value is impossible
            FactConflict          two sources disagree
            UnknownSymbol         the kernel has no symbol of this name; carries similar ones
        TranslateError            a virtual address; carries the address and a stable code
            NotBacked             inside the vmemmap, but no vmemmap_list entry covers it
            NotPresent            a page table walk ends in an entry that maps nothing
            NoSuchRegion          the address lies in no region of this kernel's layout
            UnsupportedMmu        it is mapped in a way that is known, but not followed: a hugepd
        OutputError               a file asked for cannot be made, or not with what is installed
            SpecError             a machine that cannot be; carries the field of its description
            UnwritableFile        the file cannot be made; carries the path
                OutputTooLarge    it would be larger than it may be
"""

from __future__ import annotations

from vmemmap.absence import Absence

__all__ = [
    "CodecUnavailable",
    "CorruptDump",
    "CorruptPage",
    "DumpError",
    "FactConflict",
    "FactError",
    "FactInvalid",
    "FactMissing",
    "HotAdded",
    "NoSuchRegion",
    "NotBacked",
    "NotInDump",
    "NotPresent",
    "OutputError",
    "OutputTooLarge",
    "PageExcluded",
    "PageLost",
    "ReadError",
    "SpecError",
    "TranslateError",
    "Truncated",
    "UnknownFormat",
    "UnknownSymbol",
    "UnreadableFile",
    "UnsupportedDump",
    "UnsupportedMmu",
    "UnwritableFile",
    "VmemmapError",
]


class VmemmapError(Exception):
    """Base of every exception that vmemmap raises on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        # The constructors want more than the message, which pickle would not give them.
        return _unpickle, (type(self), self.args, self.__dict__)


def _unpickle(
    kind: type[VmemmapError], args: tuple[object, ...], attributes: dict[str, object]
) -> VmemmapError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class DumpError(VmemmapError):
    """The file as a whole cannot be used.

    Attributes:
        path: The file, as the caller named it; empty when it is not known yet.
    """

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class UnreadableFile(DumpError):
    """The file cannot be opened or read."""


class UnknownFormat(DumpError):
    """The first bytes of the file belong to no dump format known here."""


class CorruptDump(DumpError):
    """A header field is impossible, or contradicts another or the file.

    Attributes:
        file_offset: Where the field lies (bytes from the start of the file).
        expected: What a sound file has there, in words.
        found: What this file has there.
    """

    def __init__(
        self, what: str, *, file_offset: int, expected: str, found: str, path: str = ""
    ) -> None:
        super().__init__(
            f"{what} at file offset {file_offset:#x}: expected {expected}, found {found}", path=path
        )
        self.file_offset = file_offset
        self.expected = expected
        self.found = found


class UnsupportedDump(DumpError):
    """A dump of a kind that is not handled; the message names the kind and a way out."""


class CodecUnavailable(DumpError):
    """A page is compressed with a codec whose library is not installed.

    Attributes:
        codec: The codec's name: zlib, lzo, snappy or zstd.
        package: The package on PyPI that decodes it.
    """

    def __init__(self, codec: str, package: str, otherwise: str = "") -> None:
        super().__init__(
            f"this dump's pages are compressed with {codec} and the library for it is not "
            f"installed: pip install {package}{otherwise and ', ' + otherwise}"
        )
        self.codec = codec
        self.package = package


class ReadError(VmemmapError):
    """Bytes at a physical address cannot be had.

    Attributes:
        phys: The first physical address that could not be read.
        code: Why, as one of the `Absence` reasons.
    """

    code = Absence.CORRUPT

    def __init__(self, message: str, *, phys: int) -> None:
        super().__init__(message)
        self.phys = phys


class NotInDump(ReadError):
    """No memory range of the dump covers the address."""

    code = Absence.NOT_IN_DUMP


class HotAdded(NotInDump):
    """The kernel had memory there, but it was added after the dump's headers were made."""

    code = Absence.HOT_ADDED


class PageExcluded(ReadError):
    """The dump tool left this page out on purpose; its content is unknown, not zero."""

    code = Absence.EXCLUDED


class PageLost(ReadError):
    """The dump says itself that this page was never written (no space, missing split member)."""

    code = Absence.LOST


class Truncated(ReadError):
    """The page should be in the file, but the file ends before it."""

    code = Absence.TRUNCATED


class CorruptPage(ReadError):
    """The page is in the file and cannot be decoded."""

    code = Absence.CORRUPT


class FactError(VmemmapError):
    """A fact about the kernel cannot be had.

    Attributes:
        name: The fact's name, as ``vmemmap info`` prints it or as VMCOREINFO has it.
    """

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class FactMissing(FactError):
    """No source has the fact."""


class FactInvalid(FactError):
    """A source has the fact and its value is impossible."""


class FactConflict(FactError):
    """Two sources have the fact and disagree."""


class UnknownSymbol(FactError):
    """The kernel has no symbol of this name.

    Attributes:
        similar: Names that it has and that look like this one, the most similar first.
    """

    def __init__(self, message: str, *, name: str, similar: list[str]) -> None:
        super().__init__(message, name=name)
        self.similar = similar


class TranslateError(VmemmapError):
    """A virtual address has no physical address that we can name.

    Attributes:
        virt: The virtual address.
        code: A stable word for programs: not_backed, not_present, no_region, unsupported_mmu.
    """

    code = "untranslatable"

    def __init__(self, message: str, *, virt: int) -> None:
        super().__init__(message)
        self.virt = virt


class NotBacked(TranslateError):
    """No vmemmap_list entry covers the address.

    Attributes:
        below: Virtual address of the nearest block below, or None.
        above: Virtual address of the nearest block above, or None.
    """

    code = "not_backed"

    def __init__(self, message: str, *, virt: int, below: int | None, above: int | None) -> None:
        super().__init__(message, virt=virt)
        self.below = below
        self.above = above


class NotPresent(TranslateError):
    """A page table walk ended in an entry that maps nothing.

    Attributes:
        level: The level's name: pgd, pud, pmd or pte.
        entry: The entry's value.
    """

    code = "not_present"

    def __init__(self, message: str, *, virt: int, level: str, entry: int) -> None:
        super().__init__(message, virt=virt)
        self.level = level
        self.entry = entry


class NoSuchRegion(TranslateError):
    """The address lies in no region of this kernel's address space."""

    code = "no_region"


class UnsupportedMmu(TranslateError):
    """The address is mapped in a way that is known, but not followed: through a hugepd."""

    code = "unsupported_mmu"


class OutputError(VmemmapError):
    """A file that was asked for cannot be made, or the library for it is not installed."""


class SpecError(OutputError):
    """The description of a simulated machine contradicts itself or the kernel it names.

    Attributes:
        field: The field at fault, as the TOML file has it: ``memory[1].start``; empty when it is
            the text as a whole.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field


class UnwritableFile(OutputError):
    """An output file cannot be made, written or renamed.

    Attributes:
        path: The file, as the caller named it.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path
        self.add_note(f"the output: {path}")


class OutputTooLarge(UnwritableFile):
    """An output file would be larger than the caller allows."""
