"""Struct pages and the census as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vmemmap.report.text import count_text, fitted, plain, size_text

_WORDS = {
    "free": "free",
    "cache": "page cache",
    "cache_private": "page cache, private",
    "anon": "anonymous",
    "slab": "slab",
    "hugetlb": "hugetlb",
    "compound_tail": "compound tails",
    "reserved": "reserved",
    "other": "kernel, other",
    "hwpoison": "hwpoison",
    "offline": "offline",
    "damaged": "damaged",
    "unknown": "unknown",
}
_ALWAYS = ("free", "cache", "anon", "slab", "reserved", "other")


def page_lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Give single pages, a paragraph each."""
    between = ""
    for row in rows:
        if "error" in row:
            name = f"pfn {row['pfn']}" if "pfn" in row else row["virt"]
            yield f"{between}{name}: {plain(row['reason'])}\n"
        else:
            yield between
            yield from _page(row)
        between = "\n"


def _page(row: dict[str, Any]) -> Iterator[str]:
    yield f"pfn {row['pfn']:#x} ({row['pfn']}), physical {row['phys']}: {row['kind']}\n"
    if row["reason"]:
        yield _line("reason", row["reason"])
    yield _line("struct page", _where(row))
    section = f"{row['section']}"
    for name in ("online", "early"):
        if row[name] is not None:
            section += f", {name}" if row[name] else f", not {name}"
    yield _line("section", section)
    if row["flags_raw"] is None:
        return
    yield _line("flags", f"{row['flags_raw']}  {' '.join(row['flags']) or '-'}")
    if row["node"] is None:
        yield _line("node, zone", "cannot be known")
    else:
        zone = f"{row['zone']} ({row['zone_name']})" if row["zone_name"] else f"{row['zone']}"
        yield _line("node, zone", f"node {row['node']}, zone {zone}  [{row['fields_origin']}]")
    counts = [f"refcount {row['refcount']}"]
    if row["mapcount"] is not None:
        counts.append(f"mapcount {row['mapcount']}")
    if row["page_type"] is not None:
        counts.append(f"page type {row['page_type']}")
    yield _line("counts", ", ".join(counts))
    yield _line("mapping", f"{row['mapping']}  {row['mapping_kind']}")
    yield _line("private", row["private"])
    if row["order"] is not None:
        head = f", head pfn {row['head']:#x}" if row["head"] is not None else ""
        yield _line("block", f"order {row['order']}{head}")
    elif row["head"] is not None:
        yield _line("block", f"head pfn {row['head']:#x}")


def _where(row: dict[str, Any]) -> str:
    text = str(row["virt"])
    if row["struct_phys"] is not None:
        text += f", physical {row['struct_phys']}"
    if row["entry"] is not None:
        text += f", list entry {row['entry']}"
    if row["file_offset"] is not None:
        text += f", file offset {row['file_offset']:#x}"
    return text


def usage_lines(record: dict[str, Any]) -> Iterator[str]:
    """Give the census as tables."""
    size, pages, kinds = record["page_size"], record["pages"], record["kinds"]
    sections = record["sections"]
    yield (
        f"{pages} pages of {size_text(size)}: {size_text(pages * size)} in "
        f"{count_text(sections['present'], 'section')}"
    )
    yield f", {sections['offline']} of them not online\n" if sections["offline"] else "\n"
    yield "\n"
    yield f"  {'kind':22} {'pages':>14} {'':>11} {'':>7}\n"
    for kind, word in _WORDS.items():
        if kinds[kind] is None:
            yield f"  {word:22} {'unknown':>14}\n"
        elif kinds[kind] or kind in _ALWAYS:
            share = 100 * kinds[kind] / pages if pages else 0.0
            text = size_text(kinds[kind] * size) if kinds[kind] else "0"
            yield f"  {word:22} {kinds[kind]:14} {text:>11} {share:6.1f}%\n"
    if record["managed"] is not None:
        text = size_text(record["managed"] * size)
        yield f"  {'managed (not reserved)':22} {record['managed']:14} {text:>11}\n"
    yield "\nFree blocks by order\n"
    yield from fitted("", (f"{order}: {n}" for order, n in enumerate(record["free_blocks"])))
    yield from _nodes(record)
    yield "\nmakedumpfile would leave out, at dump level 31\n"
    for name, count in record["makedumpfile"].items():
        missing = "not counted (--zero)" if name == "zero" else "cannot be known"
        yield f"  {name:22} {missing if count is None else count:>14}\n"


def _nodes(record: dict[str, Any]) -> Iterator[str]:
    origin = record["node_and_zone"]["origin"]
    yield f"\nNodes and zones ({origin or 'cannot be known'})\n"
    for node in record["nodes"]:
        for zone in node["zones"]:
            name = "all" if node["node"] is None else f"node {node['node']}, zone {zone['zone']}"
            name += f" {zone['name']}" if zone["name"] else ""
            counts = (f"{kind} {count}" for kind, count in zone["kinds"].items())
            yield from fitted(f"  {name:22} {zone['pages']:14}", counts)


def _line(name: str, text: object) -> str:
    return f"  {name:12} {plain(text)}\n"
