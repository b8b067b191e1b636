"""``vmemmap info``: its record made, and shown as CSV and text; members: ``info_record.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NotRequired, TypedDict

import vmemmap
from vmemmap.errors import FactError
from vmemmap.report.info_record import (
    DumpRecord,
    ExtractOfRecord,
    InfoRecord,
    KernelRecord,
    MissingRecord,
    VmemmapRecord,
)
from vmemmap.report.members import (
    FactRecord,
    HexAddress,
    HexRange,
    fact_record,
    finding_records,
    hex_ranges,
)
from vmemmap.report.palette import paint
from vmemmap.report.text import (
    count_text,
    duration_text,
    fitted,
    named,
    plain,
    size_text,
    time_text,
    wrapped,
)
from vmemmap.shown import escaped

if TYPE_CHECKING:
    from vmemmap.facts.fact import Facts
    from vmemmap.formats.extract_note import ExtractNote
    from vmemmap.source.base import PhysicalSource
    from vmemmap.vmcore import Vmcore

COLUMNS = ("name", "value", "origin", "detail")
_RANGES_SHOWN = 8
_SYSTEM: dict[str, tuple[str, Callable[[int | str], object]]] = {
    "node_name": ("node name", str),
    "crash_time": ("crash time", lambda value: time_text(int(value))),
    "uptime": ("uptime", lambda value: duration_text(int(value))),
    "cpus": ("CPUs", str),
    "panic": ("panic", str),
    "banner": ("banner", str),
    "build_id": ("build ID", str),
}
"""What is shown of the system: its heading, and its value in words."""


def record(core: Vmcore, *, all_ranges: bool = False) -> InfoRecord:
    """Make the record of a dump.

    Args:
        core: The dump.
        all_ranges: Read the ranges of memory whatever that fetches.
    """
    facts, source = core.facts, core.source
    return {
        "dump": {
            "path": source.path,
            "format": source.format,
            "container_byte_order": source.container_byte_order,
            "memory_byte_order": _text(facts, "memory_byte_order"),
            "page_size": source.block_size or _integer(facts, "page_size"),
            "dump_level": source.dump_level,
            "codec": source.codec,
            "header_version": source.header_version,
            "incomplete": source.is_incomplete(),
            **_ranges(source, all_ranges=all_ranges),
            "warnings": source.warnings,
            "extract": _extract(core.extract_note),
        },
        "kernel": {
            "release": _text(facts, "release"),
            "machine": _text(facts, "machine"),
            "mmu": _text(facts, "mmu"),
            "page_size": _integer(facts, "page_size"),
        },
        "facts": [fact_record(fact) for fact in facts.values()],
        "missing": _missing(facts),
        "system": [fact_record(fact) for fact in core.system.values()],
        "system_missing": _missing(core.system),
        "vmemmap": _vmemmap(core),
        "package": {"version": vmemmap.__version__, "compiled": vmemmap.__compiled__},
    }


class _RangesRecord(TypedDict):
    """The members of a `DumpRecord` that tell of its ranges."""

    ranges: list[HexRange] | None
    ranges_missing: NotRequired[str]
    memory_end: NotRequired[HexAddress]
    stored_bytes: NotRequired[int | None]


def _ranges(source: PhysicalSource, *, all_ranges: bool) -> _RangesRecord:
    ranges = source.ranges() if all_ranges else source.cheap_ranges()
    if ranges is not None:
        return {"ranges": hex_ranges(ranges.tolist())}
    return {
        "ranges": None,
        "ranges_missing": f"to read them fetches {size_text(source.ranges_cost())} (info --ranges)",
        "memory_end": HexAddress(f"{source.memory_end():#x}"),
        "stored_bytes": source.stored_bytes(),
    }


def _extract(note: ExtractNote | None) -> ExtractOfRecord | None:
    if note is None:
        return None
    return {
        "version": note.version,
        "classes": list(note.classes),
        "hidden_addresses": note.hidden_addresses,
        "rescued": note.rescued,
        "scrubbed": list(note.scrubbed),
    }


def _missing(facts: Facts) -> list[MissingRecord]:
    return [{"name": name, "reason": str(error)} for name, error in facts.missing.items()]


def _vmemmap(core: Vmcore) -> VmemmapRecord | None:
    try:
        backing = core.backing
    except FactError:
        return None
    base = core.facts.get("vmemmap_base")
    return {
        "base": None if base is None else HexAddress(base.shown),
        # Radix kernels without a list leave mmu_vmemmap_psize unset, so there is no block size.
        "block_size": backing.block_size or None,
        "entries": len(backing),
        "struct_page_size": _integer(core.facts, "struct_page_size"),
        "bytes": backing.size_bytes,
        "node_pages": backing.node_pages,
        "unused_slots": backing.unused_slots,
        "findings": finding_records(core.findings),
    }


def _integer(facts: Facts, name: str) -> int | None:
    return int(facts[name].value) if name in facts else None


def _text(facts: Facts, name: str) -> str | None:
    return str(facts[name].value) if name in facts else None


def rows(record: InfoRecord) -> list[FactRecord]:
    """Give the rows of the CSV form."""
    return record["facts"]


def lines(record: InfoRecord) -> Iterator[str]:
    """Give the record as text, in colours on a terminal."""
    yield from _dump(record["dump"])
    yield from _kernel(record["kernel"])
    yield from _system(record)
    if record["vmemmap"] is not None:
        yield from _list(record["vmemmap"], record["kernel"]["mmu"])
    yield from _facts(record["facts"])
    if not record["package"]["compiled"]:
        yield "\n"
        yield from wrapped(
            "This installation has no compiled module: it counts pages several times slower "
            "(a C compiler makes it when the package is installed)",
            indent="",
        )


def _dump(dump: DumpRecord) -> Iterator[str]:
    level = dump["dump_level"]
    version, codec = dump["header_version"], dump["codec"]
    form = [dump["format"]]
    if version is not None:
        form += [f"header version {version}", codec or "not compressed"]
    if level is not None:
        form.append(f"dump level {level}")
    yield _heading("Dump")
    yield f"  {'file':12}{escaped(dump['path'])}\n"
    yield from named("format", ", ".join(form))
    memory = dump["memory_byte_order"] or "unknown"
    yield from named("byte order", f"container {dump['container_byte_order']}, memory {memory}")
    yield from _memory(dump)
    if dump["extract"] is not None:
        yield from named("extract", plain(_extract_text(dump["extract"])))


def _memory(dump: DumpRecord) -> Iterator[str]:
    ranges = dump["ranges"]
    incomplete = "INCOMPLETE, " if dump["incomplete"] else ""
    if ranges is None:
        stored = dump["stored_bytes"]
        held = "" if stored is None else f"{size_text(stored)} in the file, "
        end = size_text(int(dump["memory_end"], 16))
        why = f"the ranges are unknown: {dump['ranges_missing']}"
        yield from named("memory", f"{incomplete}{held}all memory below {end}; {why}")
        return
    total = sum(int(end, 16) - int(start, 16) for start, end in ranges)
    yield from named(
        "memory", f"{incomplete}{size_text(total)} in {count_text(len(ranges), 'range')}"
    )
    for start, end in ranges[:_RANGES_SHOWN]:
        yield f"  {'':12}{start} - {end}\n"
    more = len(ranges) - _RANGES_SHOWN
    if more > 0:
        yield f"  {'':12}and {more} more (--format json has all)\n"


def _extract_text(extract: ExtractOfRecord) -> str:
    text = (
        f"made by vmemmap {extract['version']}, with {', '.join(extract['classes']) or 'nothing'}; "
        "every other byte of its pages reads as zero, whatever it was"
        + ("; addresses that no answer needs are left out" * extract["hidden_addresses"])
    )
    if extract["rescued"]:
        text += f"; {count_text(extract['rescued'], 'block')} found without the list"
    if extract["scrubbed"]:
        text += f"; in the log these are other ones: {', '.join(extract['scrubbed'])}"
    return text


def _kernel(kernel: KernelRecord) -> Iterator[str]:
    yield "\n" + _heading("Kernel")
    yield from named("release", plain(kernel["release"] or "unknown"))
    yield from named("machine", plain(kernel["machine"] or "unknown"))
    yield from named("MMU", kernel["mmu"] or "unknown")
    size = kernel["page_size"]
    yield from named("page size", size_text(size) if size else "unknown")


def _system(record: InfoRecord) -> Iterator[str]:
    """Give what was running and how it ended; what is not known, with the reason."""
    known = {fact["name"]: fact["value"] for fact in record["system"]}
    details = {fact["name"]: fact["detail"] for fact in record["system"]}
    reasons = {each["name"]: each["reason"] for each in record["system_missing"]}
    yield "\n" + _heading("System")
    for name, (title, shown) in _SYSTEM.items():
        if name in known:
            least = "at least " if "at least" in details[name] else ""
            yield from named(title, least + plain(shown(known[name])))
        else:
            yield from named(title, f"unknown: {plain(reasons.get(name, 'not asked for'))}")


def _list(vmemmap: VmemmapRecord, mmu: str | None) -> Iterator[str]:
    entries, block = vmemmap["entries"], vmemmap["block_size"]
    yield "\n" + _heading("vmemmap")
    yield from named("base", vmemmap["base"] or "unknown")
    yield from named(
        "entries",
        f"{entries}"
        + (f", blocks of {size_text(block)}" if block and entries else "")
        + (f", {size_text(vmemmap['bytes'])} in all" if entries else ""),
    )
    yield from named(
        "list nodes",
        f"{count_text(vmemmap['node_pages'], 'page')} of them, "
        f"{count_text(vmemmap['unused_slots'], 'slot')} unused",
    )
    yield from named("struct page", f"{vmemmap['struct_page_size'] or 'unknown'} bytes")
    if not entries and mmu == "radix":
        yield from wrapped(
            "the list is empty: on the radix MMU the vmemmap is in the page tables (kernels from "
            "6.6 on keep no list there)",
            "  ",
            "  ",
        )


def _facts(facts: list[FactRecord]) -> Iterator[str]:
    yield "\n" + _heading("Facts, and where each comes from")
    shown = [(fact["name"], plain(fact["value"]), str(fact["origin"])) for fact in facts]
    widths = [max([len(row[at]) for row in shown] + [0]) for at in range(3)]
    for (name, value, origin), fact in zip(shown, facts, strict=True):
        start = f"  {name:{widths[0]}}  {value:{widths[1]}}  {origin:{widths[2]}}"
        yield from fitted(start, plain(fact["detail"]).split(), " ", " " * 6)


def _heading(text: str) -> str:
    return f"{paint(text, 'heading')}\n"
