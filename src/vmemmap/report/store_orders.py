"""The record of ``vmemmap simulate --store-orders``: one insertion under weak ordering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypedDict, final

from vmemmap.report.text import count_text, wrapped

if TYPE_CHECKING:
    from vmemmap.simulate.store_orders import Insertion

COLUMNS = ("entry", "rest", "states", "in_program_order", "done")
ENTRY_WORDS = {
    "absent": "not on the list",
    "right": "on the list",
    "wrong": "on the list, with wrong words",
}
REST_WORDS = {
    "whole": "all there",
    "cut": "cut off",
    "astray": "behind nodes that are none of the list",
}


class SeenRecord(TypedDict):
    """States that look alike to whoever follows the list.

    Attributes:
        entry: The new entry: absent, right, or wrong.
        rest: The entries before it: whole, cut (missing), or astray (behind other nodes).
        states: How many states.
        in_program_order: How many of them program order has, too.
        done: The fewest stores that are done in one of them, by name.
    """

    entry: str
    rest: str
    states: int
    in_program_order: int
    done: list[str]


@final
class StoreOrdersRecord(TypedDict):
    """What one more insertion looks like in the middle, with --store-orders.

    Attributes:
        stores: Its stores in program order, by the variable or the node's member.
        entries: Entries of the list before it.
        states: In how many states memory can be seen.
        seen: What is met in them.
    """

    stores: list[str]
    entries: int
    states: int
    seen: list[SeenRecord]


def store_orders(insertion: Insertion) -> StoreOrdersRecord:
    """Make the record of an insertion."""
    found: dict[tuple[str, str], SeenRecord] = {}
    states = 0
    for state in insertion.states():
        states += 1
        seen = found.setdefault(
            (state.entry, state.rest),
            {
                "entry": state.entry,
                "rest": state.rest,
                "states": 0,
                "in_program_order": 0,
                "done": list(state.done),
            },
        )
        seen["states"] += 1
        seen["in_program_order"] += state.in_order
        if len(state.done) < len(seen["done"]):
            seen["done"] = list(state.done)
    return {
        "stores": list(insertion.names),
        "entries": len(insertion.before),
        "states": states,
        "seen": sorted(found.values(), key=lambda seen: (seen["entry"], seen["rest"])),
    }


def store_orders_lines(record: StoreOrdersRecord) -> Iterator[str]:
    """Give what is met as a table."""
    yield from wrapped(
        f"One more insertion into a list of {count_text(record['entries'], 'entry')}: "
        f"{', '.join(record['stores'])}"
    )
    yield f"Without a barrier memory can be seen in {record['states']} states\n\n"
    yield f"  {'states':>6}  {'in order':>8}  {'the new entry':31}the others\n"
    for seen in record["seen"]:
        yield (
            f"  {seen['states']:>6}  {seen['in_program_order']:>8}  "
            f"{ENTRY_WORDS[seen['entry']]:31}{REST_WORDS[seen['rest']]}\n"
        )
        if not seen["in_program_order"]:
            yield f"  {'':18}with {', '.join(seen['done'])} done and no other\n"
    yield "  in order: of them, those that program order has as well\n"
