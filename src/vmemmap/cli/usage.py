"""``vmemmap usage``: where the memory is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmemmap.cli.options import (
    EXIT_FINDINGS,
    AssumeOption,
    DebugOption,
    Dumps,
    Format,
    FormatOption,
    Opening,
    RescueOption,
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
    from vmemmap.pages.count.usage import Usage, ZoneUsage
    from vmemmap.vmcore import Vmcore

COLUMNS = ("node", "zone", "name", "kind", "pages", "bytes")
_LEVEL = 31
"""The dump level whose classes are shown; zero pages apart it is the same as 30."""

_NOT_KNOWN = dict.fromkeys(("cache", "cache_private", "user", "free", "hwpoison", "offline"))


def usage(
    dumps: Dumps,
    output: FormatOption = Format.TEXT,
    zero: Annotated[
        bool,
        typer.Option("--zero", help="Count pages full of zeros too, which reads all of the dump."),
    ] = False,
    rescue: RescueOption = False,
    vmcoreinfo: VmcoreinfoOption = None,
    vmlinux: VmlinuxOption = None,
    assume: AssumeOption = None,
    debug: DebugOption = False,
) -> None:
    """Count all pages: by kind, node and zone, and as makedumpfile would leave them out.

    Pages whose struct page cannot be read are unknown, with the reason, and damaged ones are named
    (exit code 1).
    """
    with_dump(
        Opening(dumps, vmcoreinfo, vmlinux, debug, assume, rescue=rescue),
        lambda core: _usage(core, output, zero),
    )


def _usage(core: Vmcore, output: Format, zero: bool) -> int:
    counted = core.usage()
    zero_pages = core.page_model.zero_pages(_LEVEL) if zero else None
    record = collect(core, counted, zero_pages)
    if output is Format.JSON:
        from vmemmap.report import as_json

        sys.stdout.write(as_json.dump(record))
    elif output is Format.CSV:
        from vmemmap.report import as_csv

        sys.stdout.writelines(as_csv.lines(COLUMNS, _rows(core, counted)))
    else:
        from vmemmap.report import page as page_text

        sys.stdout.writelines(page_text.usage_lines(record))
    show_warnings(core)
    show_findings(core)
    path = core.source.path
    for finding in counted.findings:
        complain(path, f"{finding.severity}: {finding.code}: {finding.message}")
    if counted.unknown:
        reasons = ", ".join(f"{count} {why}" for why, count in counted.unknown.items())
        complain(path, f"error: unknown: struct pages that cannot be read: {reasons}")
    for damage in counted.damage[:20]:
        complain(path, f"error: {damage.code}: {damage}")
    if counted.damaged > 20:
        complain(path, f"error: damaged: {counted.damaged} struct pages in all")
    bad = counted.damaged or counted.unknown
    if zero and zero_pages is None:
        complain(path, "warning: zero pages cannot be counted: some pages are not in the dump")
    return EXIT_FINDINGS if bad else findings_code((*core.findings, *counted.findings))


def collect(core: Vmcore, counted: Usage, zero_pages: int | None) -> dict[str, Any]:
    """Gather the record of `usage`."""
    nodes: dict[int | None, list[ZoneUsage]] = {}
    for zone in counted.zones:
        nodes.setdefault(zone.node, []).append(zone)
    return {
        "pages": counted.pages,
        "page_size": core.pages.page_size,
        "kinds": _all_kinds(counted),
        "managed": counted.managed,
        "free_blocks": list(counted.free_blocks),
        "compound_heads": counted.compound_heads,
        "compound_tails": counted.compound_tails,
        "makedumpfile": {"zero": zero_pages} | (counted.makedumpfile[_LEVEL] or _NOT_KNOWN),
        "makedumpfile_levels": [
            {"level": level} | (counts or _NOT_KNOWN)
            for level, counts in enumerate(counted.makedumpfile)
        ],
        "original_pages": counted.original_pages,
        "crash": counted.as_crash,
        "nodes": [
            {
                "node": node,
                "pages": sum(zone.pages for zone in zones),
                "zones": [_zone(zone) for zone in zones],
            }
            for node, zones in nodes.items()
        ],
        "node_and_zone": {
            "origin": counted.fields_origin,
            "detail": counted.fields_detail,
        },
        "sections": {
            "present": counted.sections,
            "offline": counted.sections_offline,
            "removed": counted.sections_removed,
        },
        "unknown": counted.unknown,
        "damaged": counted.damaged,
        "damage": [
            {"pfn": each.pfn, "code": each.code, "reason": each.reason} for each in counted.damage
        ],
        "findings": [finding_record(finding) for finding in counted.findings],
        # What the count stands on that VMCOREINFO does not say itself.
        "facts": [
            {
                "name": fact.name,
                "value": fact.value,
                "origin": str(fact.origin),
                "detail": fact.detail,
            }
            for fact in {
                fact.name: fact for fact in (*core.typed_facts, *core.pages.layout.facts)
            }.values()
        ],
    }


def _all_kinds(counted: Usage) -> dict[str, int | None]:
    """Give the counts of all kinds; None for those that the kernel does not tell."""
    from vmemmap.pages.kinds import COUNTED

    return {kind.word: counted.kinds.get(kind.word) for kind in COUNTED}


def _zone(zone: ZoneUsage) -> dict[str, Any]:
    kernel = zone.info
    return {
        "zone": zone.zone,
        "name": zone.name,
        "pages": zone.pages,
        "kinds": zone.kinds,
        "kernel": None
        if kernel is None
        else {
            "spanned": kernel.spanned,
            "present": kernel.present,
            "managed": kernel.managed,
            "free": kernel.free,
        },
    }


def _rows(core: Vmcore, counted: Usage) -> Iterator[dict[str, Any]]:
    """Yield the counts as rows: all pages first, then by node and zone."""
    size = core.pages.page_size
    for kind, count in _all_kinds(counted).items():
        yield {"kind": kind, "pages": count, "bytes": None if count is None else count * size}
    for zone in counted.zones:
        for kind, pages in zone.kinds.items():
            yield {
                "node": zone.node,
                "zone": zone.zone,
                "name": zone.name,
                "kind": kind,
                "pages": pages,
                "bytes": pages * size,
            }
