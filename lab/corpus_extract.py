"""What crash and the guest say of memory, for those fixtures of tests/corpus that are extracts.

Such a fixture has every struct page, and of each only what an extract shows. So beside the list and
addresses (tests/corpus/expect.py) it is held to counts: crash's own of the same dump, and what the
guest's kernel said a moment before. Nothing here uses vmemmap.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from lab.checks.guest_memory import Zone, parse_meminfo, parse_zoneinfo
from lab.checks.peer_crash import Session, parse_session
from lab.results import Result

COMMANDS = ("kmem -i", "kmem -f", "kmem -n")
"""What crash is asked for the counts."""
FIXED = ("spanned", "present", "managed")
"""What of a zone moves only when memory comes or goes."""


def said_of_memory(machine: Result, dump: str, log: str) -> dict[str, Any]:
    """Give what the witnesses say of a machine's memory.

    Args:
        machine: The machine.
        dump: The name of its dump that crash read.
        log: What crash said, with the answers to ``COMMANDS`` in it.

    Returns:
        ``crash``: ``totals`` (of kmem -i, in pages), ``free``, ``free_blocks`` (by order) and
        ``sections`` (runs: the first number, the number after the last, the state's letters).
        ``guest``: ``mem_total`` in KiB, and ``zones`` with memory, in pages; a zone's counters may
        be off by its ``lag``.

    Raises:
        ValueError: crash did not come to an end with one of them.
    """
    session = parse_session(log)
    if session.free_found is None or not session.totals or not session.sections:
        raise ValueError(f"crash does not count the pages of {dump}")
    moment = next(row.moment for row in machine.dumps if row.file == dump)
    zones = parse_zoneinfo(machine.guest(f"{moment}/zoneinfo"))
    return {
        "crash": {
            "totals": session.totals,
            "free": session.free_found,
            "free_blocks": [
                session.free_blocks.get(order, 0) for order in range(max(session.free_blocks) + 1)
            ],
            "sections": _section_runs(session),
        },
        "guest": {
            "mem_total": parse_meminfo(machine.guest(f"{moment}/meminfo"))["MemTotal"],
            "zones": [_zone(zone) for zone in zones if zone.counts["present"]],
        },
    }


def _zone(zone: Zone) -> dict[str, Any]:
    counts = {word: zone.counts[word] for word in FIXED}
    return {"node": zone.node, "name": zone.name, **counts, "lag": zone.lag}


def _section_runs(session: Session) -> list[list[Any]]:
    runs = []
    rows = sorted((number, state) for number, state, _ in session.sections)
    for (_, state), run in groupby(enumerate(rows), lambda row: (row[1][0] - row[0], row[1][1])):
        numbers = [number for _, (number, _) in run]
        runs.append([numbers[0], numbers[-1] + 1, state])
    return runs
