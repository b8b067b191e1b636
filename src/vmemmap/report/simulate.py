"""The record of a simulated machine to text for people; see ``cli/simulate.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmemmap.report.text import count_text, size_text


def lines(record: dict[str, Any]) -> Iterator[str]:
    """Give the lines of what `vmemmap simulate` prints."""
    if "dump" in record:
        yield from _machine(record)
        yield from _pages(record)
    if "designs" in record:
        if "dump" in record:
            yield "\n"
        yield from _designs(record)


def _machine(record: dict[str, Any]) -> Iterator[str]:
    dump, kernel, vmemmap = record["dump"], record["kernel"], record["vmemmap"]
    total = sum(int(end, 16) - int(start, 16) for start, end in dump["ranges"])
    yield f"Wrote {dump['path']}: {size_text(dump['disk_bytes'])} on disk\n"
    yield (
        f"  machine     {size_text(total)} in {count_text(len(dump['ranges']), 'range')}, "
        f"{count_text(len(record['nodes']), 'node')}\n"
    )
    yield (
        f"  kernel      {kernel['release']}, {kernel['mmu']} MMU, "
        f"{size_text(kernel['page_size'])} pages, {kernel['byte_order']}-endian\n"
    )
    yield f"  hotplug     serialised by {record['lock']}\n"
    for event in record["events"]:
        yield f"  {event['result']:<11} {event['what']}\n"
        if event["calls"]:
            yield from _folded(" > ".join(event["calls"]))
    yield f"  crash       {record['crashed']}\n"
    yield (
        f"  list        {count_text(vmemmap['entries'], 'entry')}, blocks of "
        f"{size_text(vmemmap['block_size'])}; {count_text(vmemmap['node_pages'], 'node page')}, "
        f"{count_text(vmemmap['never_used'], 'slot')} never used, {vmemmap['freed']} freed\n"
    )
    for name, meaning in (
        ("no_node", "mapped, but not in the list"),
        ("no_mapping", "in the list, but not mapped"),
    ):
        for virt in vmemmap[name][:8]:
            yield f"  {meaning}: {virt}\n"
        if len(vmemmap[name]) > 8:
            yield f"  and {len(vmemmap[name]) - 8} more {meaning}\n"
    for harm in record.get("damage", ()):
        node = f", node {harm['node']}" if harm["node"] else ""
        yield f"damaged: {harm['name']}{node}; to be found: {' or '.join(harm['findings'])}\n"
    for note in record["notes"]:
        yield f"  note        {note}\n"


def _folded(text: str, width: int = 84) -> Iterator[str]:
    """Give a call chain in lines of at most *width* characters, broken at its arrows."""
    line = ""
    for call in text.split(" > "):
        if line and len(line) + len(call) + 3 > width:
            yield f"{'':14}{line} >\n"
            line = call
        else:
            line = f"{line} > {call}" if line else call
    yield f"{'':14}{line}\n"


def _pages(record: dict[str, Any]) -> Iterator[str]:
    yield "\nPages in it, and how makedumpfile counts those that it can leave out\n"
    for name, count in record["pages"].items():
        yield f"  {name.replace('_', ' '):16}{count:>14}\n"
    counted = ", ".join(f"{name} {count}" for name, count in record["makedumpfile"].items())
    yield f"  makedumpfile: {counted}\n"


def _designs(record: dict[str, Any]) -> Iterator[str]:
    yield f"What the list costs for {count_text(record['blocks'], 'block')}, by design\n"
    yield (
        f"  {'design':28}{'node':>5}{'a page':>8}{'pages':>8}{'bytes':>12}{'waste':>9}"
        f"{'stores':>8}{'ns':>7}  lock\n"
    )
    for cost in record["designs"]:
        yield (
            f"  {cost['name']:28}{cost['node_bytes']:>5}{cost['nodes_per_page']:>8}"
            f"{cost['pages']:>8}{cost['bytes']:>12}{cost['waste_bytes']:>9}{cost['stores']:>8}"
            f"{cost['nanoseconds']:>7.0f}  {cost['lock']}\n"
        )
    yield (
        "  node: its bytes; a page: nodes cut from one; stores: for one insertion, the lock's "
        "included;\n  ns: for one insertion in this model, in Python\n"
    )
