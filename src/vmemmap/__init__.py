"""The struct-page array of PowerPC64 Linux, read from crash dumps.

::

    import vmemmap

    with vmemmap.open("vmcore") as core:
        for entry in core.backing: ...
        core.vtop(0xC00C000000000040).phys

See `open` for what can be opened and `Vmcore` for what an opened dump gives.
"""

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
    HotAdded,
    NoSuchRegion,
    NotBacked,
    NotInDump,
    NotPresent,
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
from vmemmap.translate.absence import Absence
from vmemmap.translate.address_space import BulkTranslation
from vmemmap.translate.result import Translation
from vmemmap.vmcore import Vmcore
from vmemmap.vmcore import open_vmcore as open

__version__ = "0.1.0"

__all__ = [
    "Absence",
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
    "HotAdded",
    "NoSuchRegion",
    "NotBacked",
    "NotInDump",
    "NotPresent",
    "Origin",
    "PageExcluded",
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
    "Vmcore",
    "VmemmapError",
    "open",
]
