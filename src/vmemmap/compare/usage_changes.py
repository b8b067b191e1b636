"""Two censuses side by side: kinds, nodes, free blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmemmap.pages.kinds import TITLES, Kind

if TYPE_CHECKING:
    from vmemmap.pages.count.usage import Usage


@dataclass(frozen=True, slots=True)
class KindChange:
    """How many pages are of a kind, before and after; None where that is not told."""

    kind: Kind
    before: int | None
    after: int | None

    @property
    def more(self) -> int | None:
        """How many more there are than before, or fewer; None where that is not told."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class NodeChange:
    """The pages of a node by kind; the node is None for pages that do not tell theirs."""

    node: int | None
    kinds: tuple[KindChange, ...]


def kind_changes(before: Usage, after: Usage) -> tuple[KindChange, ...]:
    """Give the kinds that there are in either, in the order in which they are shown."""
    return _changes(_kinds(before), _kinds(after))


def node_changes(before: Usage, after: Usage) -> tuple[NodeChange, ...]:
    """Give the same for each node."""
    one, other = _by_node(before), _by_node(after)
    numbers = sorted({*one, *other}, key=lambda node: -1 if node is None else node)
    return tuple(
        NodeChange(node, _changes(one.get(node, {}), other.get(node, {}))) for node in numbers
    )


def free_block_changes(before: Usage, after: Usage) -> tuple[tuple[int, int], ...] | None:
    """Give the free blocks of each order, before and after; None where that is not told."""
    one, other = before.free_blocks, after.free_blocks
    if one is None or other is None:
        return None
    orders = max(len(one), len(other))
    padded = (counts + (0,) * (orders - len(counts)) for counts in (one, other))
    return tuple(zip(*padded, strict=True))


def _kinds(usage: Usage) -> dict[str, int | None]:
    return {**usage.kinds, **dict.fromkeys(usage.untold)}


def _changes(
    before: Mapping[str, int | None], after: Mapping[str, int | None]
) -> tuple[KindChange, ...]:
    rows = (KindChange(kind, before.get(kind.word, 0), after.get(kind.word, 0)) for kind in TITLES)
    return tuple(row for row in rows if (row.before, row.after) != (0, 0))


def _by_node(usage: Usage) -> dict[int | None, dict[str, int | None]]:
    nodes: dict[int | None, dict[str, int | None]] = {}
    for zone in usage.zones:
        own = nodes.setdefault(zone.node, {})
        for kind, pages in zone.kinds.items():
            have = own.get(kind, 0)
            own[kind] = None if have is None or pages is None else have + pages
    return nodes
