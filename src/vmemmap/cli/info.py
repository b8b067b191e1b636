"""``vmemmap info``: what this dump and its kernel are, each fact with its origin."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vmemmap.cli.options import (
    EXIT_UNREADABLE,
    AssumeOption,
    DebugOption,
    Dumps,
    Format,
    FormatOption,
    Opening,
    VmcoreinfoOption,
    VmlinuxOption,
    complain,
    finding_record,
    findings_code,
    show_findings,
    show_warnings,
    with_dump,
)

if TYPE_CHECKING:
    from vmemmap.facts.fact import Facts
    from vmemmap.vmcore import Vmcore


def info(
    dumps: Dumps,
    output: FormatOption = Format.TEXT,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Say what a dump and its kernel are, each fact with where it comes from.

    What cannot be told is named on stderr, and the rest is printed all the same (exit code 3).
    """
    with_dump(Opening(dumps, vmcoreinfo, vmlinux, debug, assume), lambda core: _info(core, output))


def _info(core: Vmcore, output: Format) -> int:
    from vmemmap.errors import FactError

    record = collect(core)
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(record))
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        sys.stdout.writelines(as_csv.lines(("name", "value", "origin", "detail"), record["facts"]))
    else:
        from vmemmap.report import text as as_text

        as_text.print_info(record)
    show_warnings(core)
    with suppress(FactError):
        show_findings(core)
    missing = core.facts.missing
    if missing:
        # One thing missing makes others impossible; the first is the cause.
        complain(core.source.path, str(next(iter(missing.values()))))
        return EXIT_UNREADABLE
    return findings_code(core.findings)


def collect(core: Vmcore) -> dict[str, Any]:
    """Gather the record of `info`; members that cannot be told are None."""
    facts, source = core.facts, core.source
    return {
        "dump": {
            "path": source.path,
            "format": source.format,
            "container_byte_order": source.container_byte_order,
            "memory_byte_order": _value(facts, "memory_byte_order"),
            "page_size": source.block_size or _value(facts, "page_size"),
            "dump_level": source.dump_level,
            "incomplete": source.is_incomplete(),
            "ranges": [[f"{start:#x}", f"{end:#x}"] for start, end in source.ranges().tolist()],
            "warnings": source.warnings,
        },
        "kernel": {
            name: _value(facts, name) for name in ("release", "machine", "mmu", "page_size")
        },
        "facts": [
            {
                "name": fact.name,
                "value": fact.shown if fact.is_address else fact.value,
                "origin": str(fact.origin),
                "detail": fact.detail,
            }
            for fact in facts.values()
        ],
        "missing": [{"name": name, "reason": str(error)} for name, error in facts.missing.items()],
        "vmemmap": _vmemmap(core),
    }


def _vmemmap(core: Vmcore) -> dict[str, Any] | None:
    from vmemmap.errors import FactError

    facts = core.facts
    try:
        backing = core.backing
    except FactError:
        return None
    return {
        "base": _shown(facts, "vmemmap_base"),
        # Radix kernels without a list leave mmu_vmemmap_psize unset, so there is no block size.
        "block_size": backing.block_size or None,
        "entries": len(backing),
        "struct_page_size": _value(facts, "struct_page_size"),
        "bytes": backing.size_bytes,
        "node_pages": backing.node_pages,
        "unused_slots": backing.unused_slots,
        "findings": [finding_record(finding) for finding in core.findings],
    }


def _value(facts: Facts, name: str) -> int | str | None:
    return facts[name].value if name in facts else None


def _shown(facts: Facts, name: str) -> str | None:
    return facts[name].shown if name in facts else None
