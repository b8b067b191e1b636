"""What a guest said of its memory: zoneinfo, buddyinfo, meminfo, iomem, memory blocks.

Sources: Linux mm/vmstat.c (zoneinfo_show_print, frag_show_print), fs/proc/meminfo.c,
mm/slab_common.c (slab_show), kernel/resource.c (r_show), drivers/base/memory.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_ZONE = re.compile(r"Node (\d+), zone +(\w+)")


@dataclass(slots=True)
class Zone:
    """One zone in /proc/zoneinfo.

    Attributes:
        node: Its NUMA node.
        name: Normal, Movable, Device, ...
        counts: Its figures in pages by their words: free, spanned, present, managed, nr_free_pages,
            high and such; a word that comes twice keeps its first value.
        per_node: The node's own figures, such as nr_file_pages; empty where another zone of the
            node has them.
        start_pfn: Its first page; 0 if it has no memory.
        batches: For each CPU how many pages its list takes from the zone at a time.
        listed: For each CPU how many pages are in its list.
        highs: For each CPU from how many on it gives some back.
        threshold: How much of a counter a CPU keeps for itself at most.
    """

    node: int
    name: str
    counts: dict[str, int] = field(default_factory=dict)
    per_node: dict[str, int] = field(default_factory=dict)
    start_pfn: int = 0
    batches: list[int] = field(default_factory=list)
    listed: list[int] = field(default_factory=list)
    highs: list[int] = field(default_factory=list)
    threshold: int = 0

    @property
    def lag(self) -> int:
        """How many pages a counter of the zone can be off, as each CPU keeps some for itself."""
        return self.threshold * len(self.listed)


def parse_zoneinfo(text: str) -> list[Zone]:
    """Read /proc/zoneinfo; zones without memory are among them."""
    zones: list[Zone] = []
    part = "zone"
    for line in text.splitlines():
        if start := _ZONE.match(line):
            zones.append(Zone(int(start[1]), start[2]))
            part = "zone"
            continue
        words = line.replace(":", " ").split()
        if not words or not zones:
            continue
        zone = zones[-1]
        if line.strip() in ("per-node stats", "pagesets"):
            part = line.split()[0]
        elif words[0] == "pages":  # "pages free N" begins what is the zone's
            part, zone.counts["free"] = "zone", int(words[2])
        elif words[:3] == ["vm", "stats", "threshold"]:
            zone.threshold = max(zone.threshold, int(words[3]))
        elif len(words) == 2 and words[1].isdigit():
            _take(zone, part, words[0], int(words[1]))
    return zones


def _take(zone: Zone, part: str, word: str, value: int) -> None:
    if word == "start_pfn":
        zone.start_pfn = value
    elif part == "pagesets":
        lists = {"count": zone.listed, "batch": zone.batches, "high": zone.highs}
        if word in lists:
            lists[word].append(value)
    else:
        counts = zone.per_node if part == "per-node" else zone.counts
        counts.setdefault(word, value)


def parse_buddyinfo(text: str) -> dict[tuple[int, str], list[int]]:
    """Read /proc/buddyinfo: free blocks by order, of each node and zone."""
    rows = (line.partition("zone") for line in text.splitlines() if line.startswith("Node"))
    found = {}
    for head, _, tail in rows:
        name, *counts = tail.split()
        found[int(head.split()[1].rstrip(",")), name] = [int(count) for count in counts]
    return found


def parse_meminfo(text: str) -> dict[str, int]:
    """Read /proc/meminfo in KiB; counts without a unit as they stand."""
    rows = (line.split() for line in text.splitlines() if ":" in line)
    return {words[0].rstrip(":"): int(words[1]) for words in rows}


def parse_slabinfo(text: str) -> dict[str, tuple[int, int]]:
    """Read /proc/slabinfo: pages in a slab and how many slabs, of each cache."""
    rows = (line.split() for line in text.splitlines()[1:] if not line.startswith("#"))
    return {row[0]: (int(row[5]), int(row[row.index("slabdata") + 2])) for row in rows}


def parse_iomem(text: str) -> list[tuple[int, int, str, int]]:
    """Read /proc/iomem: start, end (half-open), name and depth of each resource."""
    rows = re.findall(r"^( *)([0-9a-f]+)-([0-9a-f]+) : (.*)$", text, re.MULTILINE)
    return [(int(low, 16), int(high, 16) + 1, name, len(pad) // 2) for pad, low, high, name in rows]


def system_ram(text: str) -> list[tuple[int, int]]:
    """Give the memory in /proc/iomem, half-open; hot-added memory counts, its parts do not."""
    rows = [row for row in parse_iomem(text) if row[2].startswith("System RAM")]
    return join([(low, high) for low, high, _, _ in rows])


@dataclass(frozen=True, slots=True)
class Block:
    """A memory block of /sys/devices/system/memory.

    Attributes:
        start: Physical address of its first byte.
        end: Physical address after its last.
        online: Whether its pages are in use.
        zones: The zones that it is in, or could be put in.
        nodes: The NUMA nodes that it is in.
    """

    start: int
    end: int
    online: bool
    zones: tuple[str, ...]
    nodes: tuple[int, ...]


def parse_memory_blocks(text: str) -> list[Block]:
    """Read the lab's own list of memory blocks, by address.

    One line a block, ``memoryN state=online index=HEX zones=A,B removable=0 nodes=node0,node1``,
    and a last line ``block_size_bytes HEX``. Only state and index must be there.
    """
    size = int(re.findall(r"^block_size_bytes ([0-9a-fA-F]+)", text, re.MULTILINE)[0], 16)
    blocks = []
    for line in text.splitlines():
        if not line.startswith("memory"):
            continue
        # Values may hold spaces ("Normal Movable"): each reaches to the next word with a "=".
        said = dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", line))
        start = int(said["index"], 16) * size
        blocks.append(
            Block(
                start,
                start + size,
                said["state"].strip() == "online",
                tuple(re.findall(r"\w+", said.get("zones", ""))),
                tuple(int(node) for node in re.findall(r"node(\d+)", said.get("nodes", ""))),
            )
        )
    return sorted(blocks, key=lambda block: block.start)


def join(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that touch or overlap."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(rows):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined
