"""The struct-page array of PowerPC64 Linux, read from crash dumps, and simulated into them.

::

    import vmemmap

    with vmemmap.open("vmcore") as core:
        for entry in core.backing: ...
        core.vtop(0xC00C000000000040).phys

``vmemmap.__compiled__`` tells whether the compiled module is there; without it all works the same,
and pages are counted several times slower.

See `open` for what can be opened and `Vmcore` for what an opened dump gives. The other half, the
model of the kernel that makes such dumps, is ``vmemmap.simulate``.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmemmap.absence import Absence
    from vmemmap.backing.table import BackingTable, Entry
    from vmemmap.check.coverage import Coverage
    from vmemmap.check.whole_dump import CheckReport
    from vmemmap.compare.comparison import Comparison
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
        OutputError,
        OutputTooLarge,
        PageExcluded,
        PageLost,
        ReadError,
        SpecError,
        TranslateError,
        Truncated,
        UnknownFormat,
        UnknownSymbol,
        UnreadableFile,
        UnsupportedDump,
        UnsupportedMmu,
        UnwritableFile,
        VmemmapError,
    )
    from vmemmap.extract.extract import Extracted
    from vmemmap.facts.backing import BackingFacts
    from vmemmap.facts.fact import Fact, Facts, Origin
    from vmemmap.facts.kernel import KernelFacts
    from vmemmap.facts.symbols.table import Symbol, SymbolHit, SymbolTable
    from vmemmap.filter.decision import PageRun
    from vmemmap.filter.estimate import Estimate
    from vmemmap.filter.result import FilterResult, OutputFile
    from vmemmap.findings import Finding, Severity
    from vmemmap.kernel_log.record import KernelLog, LogRecord
    from vmemmap.pages.array import PageArray
    from vmemmap.pages.count.usage import Usage
    from vmemmap.pages.kinds import Kind
    from vmemmap.pages.page import PageInfo
    from vmemmap.picture.report import Report
    from vmemmap.source.base import PhysicalSource
    from vmemmap.translate.address_space import BulkTranslation
    from vmemmap.translate.page_tables.walk import PageTable
    from vmemmap.translate.regions import AddressLayout
    from vmemmap.translate.result import Translation
    from vmemmap.vmcore import Vmcore
    from vmemmap.vmcore import open_vmcore as open

__version__ = "0.1.0"
__compiled__: bool

__all__ = [
    "Absence",
    "AddressLayout",
    "BackingFacts",
    "BackingTable",
    "BulkTranslation",
    "CheckReport",
    "CodecUnavailable",
    "Comparison",
    "CorruptDump",
    "CorruptPage",
    "Coverage",
    "DumpError",
    "Entry",
    "Estimate",
    "Extracted",
    "Fact",
    "FactConflict",
    "FactError",
    "FactInvalid",
    "FactMissing",
    "Facts",
    "FilterResult",
    "Finding",
    "HotAdded",
    "KernelFacts",
    "KernelLog",
    "Kind",
    "LogRecord",
    "NoSuchRegion",
    "NotBacked",
    "NotInDump",
    "NotPresent",
    "Origin",
    "OutputError",
    "OutputFile",
    "OutputTooLarge",
    "PageArray",
    "PageExcluded",
    "PageInfo",
    "PageLost",
    "PageRun",
    "PageTable",
    "PhysicalSource",
    "ReadError",
    "Report",
    "Severity",
    "SpecError",
    "Symbol",
    "SymbolHit",
    "SymbolTable",
    "TranslateError",
    "Translation",
    "Truncated",
    "UnknownFormat",
    "UnknownSymbol",
    "UnreadableFile",
    "UnsupportedDump",
    "UnsupportedMmu",
    "UnwritableFile",
    "Usage",
    "Vmcore",
    "VmemmapError",
    "open",
]

_HOMES = {
    "vmemmap.absence": ("Absence",),
    "vmemmap.backing.table": (
        "BackingTable",
        "Entry",
    ),
    "vmemmap.check.coverage": ("Coverage",),
    "vmemmap.check.whole_dump": ("CheckReport",),
    "vmemmap.compare.comparison": ("Comparison",),
    "vmemmap.extract.extract": ("Extracted",),
    "vmemmap.facts.backing": ("BackingFacts",),
    "vmemmap.facts.fact": (
        "Fact",
        "Facts",
        "Origin",
    ),
    "vmemmap.facts.kernel": ("KernelFacts",),
    "vmemmap.facts.symbols.table": (
        "Symbol",
        "SymbolHit",
        "SymbolTable",
    ),
    "vmemmap.filter.decision": ("PageRun",),
    "vmemmap.filter.estimate": ("Estimate",),
    "vmemmap.filter.result": (
        "FilterResult",
        "OutputFile",
    ),
    "vmemmap.findings": (
        "Finding",
        "Severity",
    ),
    "vmemmap.kernel_log.record": (
        "KernelLog",
        "LogRecord",
    ),
    "vmemmap.pages.array": ("PageArray",),
    "vmemmap.pages.count.usage": ("Usage",),
    "vmemmap.pages.kinds": ("Kind",),
    "vmemmap.pages.page": ("PageInfo",),
    "vmemmap.picture.report": ("Report",),
    "vmemmap.source.base": ("PhysicalSource",),
    "vmemmap.translate.address_space": ("BulkTranslation",),
    "vmemmap.translate.page_tables.walk": ("PageTable",),
    "vmemmap.translate.regions": ("AddressLayout",),
    "vmemmap.translate.result": ("Translation",),
    "vmemmap.vmcore": ("Vmcore",),
}
"""Where a public name lives that is no error. It is loaded when it is asked for, so that `import
vmemmap` costs nothing to who has it as a plugin and opens something else."""


def __getattr__(name: str) -> object:
    if name == "__compiled__":
        return find_spec("vmemmap._compiled") is not None
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "open":
        value = import_module("vmemmap.vmcore").open_vmcore
    else:
        homes = (module for module, names in _HOMES.items() if name in names)
        value = getattr(import_module(next(homes, "vmemmap.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__all__", "__compiled__", "__doc__", "__file__", "__version__"})
