"""The record of ``vmemmap simulate --compare-designs``: what the list costs in v1, v2 and v3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypedDict, final

from vmemmap.report.text import INDENT, count_text, wrapped

if TYPE_CHECKING:
    from vmemmap.simulate.designs import DesignCost

DESIGN_COLUMNS = ("name", "node_bytes", "bytes", "loads", "stores", "lock", "node_from", "reader")


class DesignRecord(TypedDict):
    """What one design of the list costs for a number of blocks.

    Attributes:
        name: The design.
        node_bytes: Bytes of a node.
        bytes: Bytes of the nodes of all blocks, without what their allocator needs.
        loads: Loads for one insertion into a list that is not empty.
        stores: Stores for the same, those of its lock among them.
        lock: What it needs against a second CPU.
        node_from: Where a node comes from, and whether that is known.
        reader: What whoever reads a dump has to know to walk the list.
    """

    name: str
    node_bytes: int
    bytes: int
    loads: int
    stores: int
    lock: str
    node_from: str
    reader: str


@final
class DesignsRecord(TypedDict):
    """What the list costs in each design, with --compare-designs and without -o.

    Attributes:
        blocks: For how many blocks.
        designs: The designs.
    """

    blocks: int
    designs: list[DesignRecord]


def designs(blocks: int, costs: Sequence[DesignCost]) -> DesignsRecord:
    """Make the record of what the designs cost for a number of blocks."""
    return {
        "blocks": blocks,
        "designs": [
            {
                "name": cost.name,
                "node_bytes": cost.node_bytes,
                "bytes": cost.bytes,
                "loads": cost.loads,
                "stores": cost.stores,
                "lock": cost.lock,
                "node_from": cost.node_from,
                "reader": cost.reader,
            }
            for cost in costs
        ],
    }


def design_lines(record: DesignsRecord) -> Iterator[str]:
    """Give what the designs cost as a table."""
    yield f"What the list costs for {count_text(record['blocks'], 'block')}, by design\n"
    yield f"  {'design':28}{'node':>5}{'bytes':>12}{'loads':>7}{'stores':>8}  lock\n"
    for cost in record["designs"]:
        yield (
            f"  {cost['name']:28}{cost['node_bytes']:>5}{cost['bytes']:>12}{cost['loads']:>7}"
            f"{cost['stores']:>8}  {cost['lock']}\n"
        )
        yield from wrapped(f"node: {cost['node_from']}", INDENT, INDENT * 2)
        yield from wrapped(f"a reader {cost['reader']}", INDENT, INDENT * 2)
    yield (
        "  node: its bytes; bytes: of all nodes, without what their allocator needs;\n"
        "  loads, stores: for one insertion, the lock's stores included\n"
    )
