"""The struct-page array of PowerPC64 Linux, read from crash dumps.

::

    import vmemmap

    with vmemmap.open("vmcore") as core:
        for entry in core.backing: ...
        core.vtop(0xC00C000000000040).phys

See `open` for what can be opened and `Vmcore` for what an opened dump gives.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vmemmap.backing.findings import Finding, Severity
from vmemmap.backing.table import BackingTable, Entry
from vmemmap.errors import (
    CodecUnavailable,
    CorruptDump,
    CorruptPage,
    DumpError,
    FactConflict,
    FactError,
    FactInvalid,
    FactMissing,
    NoSuchRegion,
    NotBacked,
    NotInDump,
    NotPresent,
    OutputError,
    PageExcluded,
    PageLost,
    ReadError,
    TranslateError,
    Truncated,
    UnknownFormat,
    UnreadableFile,
    UnsupportedDump,
    UnsupportedMmu,
    VmemmapError,
)
from vmemmap.facts.fact import Fact, Facts, Origin
from vmemmap.translate.address_space import BulkTranslation
from vmemmap.translate.result import Translation
from vmemmap.vmcore import Vmcore
from vmemmap.vmcore import open_vmcore as open

if TYPE_CHECKING:
    from vmemmap.pages.array import PageArray
    from vmemmap.pages.census import Usage
    from vmemmap.pages.kinds import Kind
    from vmemmap.pages.page import PageInfo
    from vmemmap.pages.struct_pages import Why

__version__ = "0.1.0"

__all__ = [
    "BackingTable",
    "BulkTranslation",
    "CodecUnavailable",
    "CorruptDump",
    "CorruptPage",
    "DumpError",
    "Entry",
    "Fact",
    "FactConflict",
    "FactError",
    "FactInvalid",
    "FactMissing",
    "Facts",
    "Finding",
    "Kind",
    "NoSuchRegion",
    "NotBacked",
    "NotInDump",
    "NotPresent",
    "Origin",
    "OutputError",
    "PageArray",
    "PageExcluded",
    "PageInfo",
    "PageLost",
    "ReadError",
    "Severity",
    "TranslateError",
    "Translation",
    "Truncated",
    "UnknownFormat",
    "UnreadableFile",
    "UnsupportedDump",
    "UnsupportedMmu",
    "Usage",
    "Vmcore",
    "VmemmapError",
    "Why",
    "open",
]

_LAZY = {
    "Kind": "kinds",
    "PageArray": "array",
    "PageInfo": "page",
    "Usage": "census",
    "Why": "struct_pages",
}
"""Names of the pages layer, which most commands have no use for and need not wait for."""


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vmemmap.pages.{_LAZY[name]}"), name)
