"""``vmemmap simulate``: its record made and shown; members: ``simulate_record.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vmemmap.report.designs import design_lines
from vmemmap.report.members import hex_address, hex_or_none, hex_ranges
from vmemmap.report.page_runs import is_parquet, write_page_runs
from vmemmap.report.simulate_record import DamageKindRecord, HarmRecord, SimulatedRecord
from vmemmap.report.text import count_text, named, size_text, wrapped
from vmemmap.shown import escaped

if TYPE_CHECKING:
    from vmemmap.simulate import Machine
    from vmemmap.simulate.crash.answers import ListAnswers
    from vmemmap.simulate.crash.damage import Harm
    from vmemmap.simulate.crash.known_pages import KnownPages
    from vmemmap.simulate.crash.snapshot import Snapshot

PAGE_COLUMNS = ("kind", "pages")
TRUTH_COLUMNS = {
    "pfn_start": "uint64",
    "pfn_end": "uint64",
    "use": "string",
    "node": "int32",
    "order": "uint8",
    "zero": "bool",
    "makedumpfile": "string",
    "levels": "uint32",
}
"""What a row of the truth has, with the types of Parquet."""
_BLOCKS_SHOWN = 8


def record(
    machine: Machine,
    snapshot: Snapshot,
    path: str,
    found: ListAnswers,
    harms: Sequence[Harm] = (),
) -> SimulatedRecord:
    """Make the record of a dump that has been written.

    Args:
        machine: The machine.
        snapshot: Its memory at the crash.
        path: The dump.
        found: What is known of its list from before any damage.
        harms: What was damaged.
    """
    from vmemmap.simulate.crash import answers

    kernel, written = machine.kernel, Path(path).stat()
    pages = answers.page_answers(snapshot)
    classes = answers.makedumpfile_classes(kernel, pages)
    made: SimulatedRecord = {
        "dump": {
            "path": path,
            "bytes": written.st_size,
            "disk_bytes": written.st_blocks * 512,
            "ranges": hex_ranges(snapshot.ranges),
        },
        "kernel": {
            "release": kernel.release,
            "page_size": kernel.page_size,
            "byte_order": kernel.byte_order,
            "mmu": kernel.mmu,
            "struct_page_size": kernel.struct_page_size,
        },
        "vmemmap": {
            "base": hex_address(kernel.vmemmap_base),
            "block_size": machine.block_size,
            "entries": found.entries,
            "node_pages": found.node_pages,
            "never_used": found.never_used,
            "freed": found.freed,
            "waste_bytes": found.waste_bytes,
            "no_node": [hex_address(virt) for virt in found.no_node],
            "no_mapping": [hex_address(virt) for virt in found.no_mapping],
        },
        "events": [
            {"what": outcome.what, "result": outcome.word, "calls": outcome.calls}
            for outcome in machine.outcomes
        ],
        "crashed": machine.crashed or "after the last event",
        "lock": machine.locks.description,
        "nodes": sorted({part.node for part in machine.spec.memory}),
        "pages": {
            "total": pages.total,
            "free": pages.free,
            "cache": pages.cache,
            "cache_private": pages.cache_private,
            "anonymous": pages.anonymous,
            "slab": pages.slab,
            "huge": pages.huge,
            "hwpoison": pages.hwpoison,
            "offline": pages.offline,
            "kernel": pages.kernel,
        },
        "makedumpfile": {
            "cache": classes["cache"],
            "cache_private": classes["cache_private"],
            "user": classes["user"],
            "free": classes["free"],
            "hwpoison": classes["hwpoison"],
            "offline": classes["offline"],
        },
        "notes": answers.remarks(snapshot.machine),
    }
    if harms:
        made["damage"] = [_harm(harm) for harm in harms]
    return made


def _harm(harm: Harm) -> HarmRecord:
    return {
        "name": harm.name,
        "findings": list(harm.findings),
        "node": hex_or_none(harm.node),
        "virt": hex_or_none(harm.virt),
        "phys": hex_or_none(harm.phys),
    }


def damage_kinds() -> list[DamageKindRecord]:
    """Make the records of every kind of damage."""
    from vmemmap.simulate.crash.damage import DAMAGE_KINDS

    return [
        {"name": name, "findings": list(kind.findings), "what": kind.what}
        for name, kind in DAMAGE_KINDS.items()
    ]


def damage_lines(kinds: Sequence[DamageKindRecord]) -> Iterator[str]:
    """Give the kinds of damage, a line each."""
    for kind in kinds:
        meaning = f"{kind['what']} -> {' or '.join(kind['findings'])}"
        yield from wrapped(meaning, f"{kind['name']:20}  ", " " * 22)


def write_truth(file: BinaryIO, known: Iterable[KnownPages], name: str) -> None:
    """Write what is known of the pages of a dump, as Parquet if the file's name says so.

    Raises:
        OutputError: pyarrow is missing, for Parquet.
        OSError: The file cannot be written.
    """
    write_page_runs(file, known, TRUTH_COLUMNS, parquet=is_parquet(name))


def rows(record: SimulatedRecord) -> list[dict[str, object]]:
    """Give the rows of the CSV form: what the pages are used for."""
    return [{"kind": kind, "pages": count} for kind, count in record["pages"].items()]


def lines(record: SimulatedRecord) -> Iterator[str]:
    """Give a simulated dump as text, with the designs where they were asked for."""
    yield from _machine(record)
    yield from _pages(record)
    if "designs" in record:
        yield "\n"
        yield from design_lines({"blocks": record["blocks"], "designs": record["designs"]})


def _machine(record: SimulatedRecord) -> Iterator[str]:
    dump, kernel, vmemmap = record["dump"], record["kernel"], record["vmemmap"]
    total = sum(int(end, 16) - int(start, 16) for start, end in dump["ranges"])
    yield f"Wrote {escaped(dump['path'])}: {size_text(dump['disk_bytes'])} on disk\n"
    if "truth" in record:
        truth = escaped(record["truth"])
        yield f"Wrote {truth}: what each page is, and which dump levels leave it out\n"
    yield (
        f"  machine     {size_text(total)} in {count_text(len(dump['ranges']), 'range')}, "
        f"{count_text(len(record['nodes']), 'node')}\n"
    )
    yield (
        f"  kernel      {kernel['release']}, {kernel['mmu']} MMU, "
        f"{size_text(kernel['page_size'])} pages, {kernel['byte_order']}-endian\n"
    )
    yield from named("hotplug", f"serialised by {record['lock']}")
    for event in record["events"]:
        yield from named(f"{event['result']:<11}", event["what"])
        if event["calls"]:
            yield from _folded(" > ".join(event["calls"]))
    yield from named("crash", record["crashed"])
    yield from named(
        "list",
        f"{count_text(vmemmap['entries'], 'entry')}, blocks of "
        f"{size_text(vmemmap['block_size'])}; {count_text(vmemmap['node_pages'], 'node page')}, "
        f"{count_text(vmemmap['never_used'], 'slot')} never used, {vmemmap['freed']} freed",
    )
    for blocks, meaning in (
        (vmemmap["no_node"], "mapped, but not in the list"),
        (vmemmap["no_mapping"], "in the list, but not mapped"),
    ):
        for virt in blocks[:_BLOCKS_SHOWN]:
            yield f"  {meaning}: {virt}\n"
        if len(blocks) > _BLOCKS_SHOWN:
            yield f"  and {len(blocks) - _BLOCKS_SHOWN} more {meaning}\n"
    for harm in record.get("damage", ()):
        node = f", node {harm['node']}" if harm["node"] else ""
        found = f"{harm['name']}{node}; to be found: {' or '.join(harm['findings'])}"
        yield from wrapped(found, "damaged: ")
    for note in record["notes"]:
        yield from named("note", note)


def _folded(text: str, width: int = 64) -> Iterator[str]:
    """Give a call chain in lines of at most *width* characters, broken at its arrows."""
    line = ""
    for call in text.split(" > "):
        if line and len(line) + len(call) + 3 > width:
            yield f"{'':14}{line} >\n"
            line = call
        else:
            line = f"{line} > {call}" if line else call
    yield f"{'':14}{line}\n"


def _pages(record: SimulatedRecord) -> Iterator[str]:
    yield "\nPages in it, and how makedumpfile counts those that it can leave out\n"
    for name, count in record["pages"].items():
        yield f"  {name.replace('_', ' '):16}{count:>14}\n"
    counted = ", ".join(f"{name} {count}" for name, count in record["makedumpfile"].items())
    yield from wrapped(counted, "  makedumpfile: ")
