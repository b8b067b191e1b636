"""A row of the speed table: what a piece of work costs us, its peer, and at least.

Sides take turns, round after round, so that what else the machine does falls on all of them alike.
A ratio is the median of the rounds' ratios; a figure is a median, and its minimum stands beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Clock = Literal["cpu", "wall"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one run took.

    Attributes:
        wall: Seconds by the clock.
        cpu: Seconds of processor time, of user and system, of all threads and children.
        mib: Peak of resident memory, or None if it was not looked at.
    """

    wall: float
    cpu: float
    mib: float | None = None

    def on(self, clock: Clock) -> float:
        """Give what a clock says."""
        return self.cpu if clock == "cpu" else self.wall

    def scaled(self, factor: float) -> Spent:
        """Give the times in another unit."""
        return Spent(self.wall * factor, self.cpu * factor, self.mib)


Side = Callable[[], Spent]


@dataclass(frozen=True, slots=True)
class Figure:
    """What several runs took, in the unit of the row.

    Attributes:
        runs: Each run.
        name: Whose it is.
    """

    runs: tuple[Spent, ...]
    name: str = ""

    def median(self, clock: Clock) -> float:
        """Give the median of the runs."""
        return statistics.median(run.on(clock) for run in self.runs)

    def minimum(self, clock: Clock) -> float:
        """Give the minimum of the runs."""
        return min(run.on(clock) for run in self.runs)

    @property
    def mib(self) -> float | None:
        """The highest peak of memory, or None."""
        peaks = [run.mib for run in self.runs if run.mib is not None]
        return max(peaks) if peaks else None

    def record(self) -> dict[str, Any]:
        """Give the figure as JSON has it."""
        out: dict[str, Any] = {"name": self.name} if self.name else {}
        for clock in ("cpu", "wall"):
            out[clock] = self.median(clock)
            out[f"{clock}_min"] = self.minimum(clock)
        return out | {"mib": self.mib, "runs": len(self.runs)}


@dataclass(frozen=True, slots=True)
class Target:
    """What the design promises of a row; None for what it does not.

    Attributes:
        ratio: The peer's time over ours, at least.
        distance: Our time over the limit's, at most.
        most: Our time in the row's unit, at most.
        mib: Peak of memory, at most.
    """

    ratio: float | None = None
    distance: float | None = None
    most: float | None = None
    mib: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One piece of work.

    Attributes:
        work: What is done.
        unit: Of its times.
        ours: What it took us.
        peer: What it took whoever does it, too; None where nobody does or is here.
        limit: What the least that it takes took; its name says what that is.
        target: What was promised.
        clock: By which ratio, distance and target are judged.
        before: What it took us without the compiled module; None where that was not measured.
    """

    work: str
    unit: str
    ours: Figure
    peer: Figure | None = None
    limit: Figure | None = None
    target: Target = Target()
    clock: Clock = "cpu"
    before: Figure | None = None

    @property
    def ratio(self) -> float | None:
        """The peer's time over ours: below 1 we lose."""
        return _over(self.peer, self.ours, self.clock)

    @property
    def distance(self) -> float | None:
        """Our time over the limit's."""
        return _over(self.ours, self.limit, self.clock)

    @property
    def misses(self) -> list[str]:
        """What of the target is not met, in words."""
        target, out = self.target, []
        if target.ratio is not None and self.ratio is not None and self.ratio < target.ratio:
            out.append(f"{self.ratio:.2f} times the peer, not {target.ratio:g}")
        far = self.distance
        if target.distance is not None and far is not None and far > target.distance:
            out.append(f"{far:.2f} of the limit, not {target.distance:g}")
        took, mib = self.ours.median(self.clock), self.ours.mib
        if target.most is not None and took > target.most:
            out.append(f"{took:.3g} {self.unit}, not {target.most:g}")
        if target.mib is not None and mib is not None and mib > target.mib:
            out.append(f"{mib:.0f} MiB, not {target.mib:g}")
        return out

    def record(self) -> dict[str, Any]:
        """Give the row as JSON has it."""
        target = {name: getattr(self.target, name) for name in Target.__slots__}
        return {
            "work": self.work,
            "unit": self.unit,
            "clock": self.clock,
            "ours": self.ours.record(),
            "peer": self.peer and self.peer.record(),
            "limit": self.limit and self.limit.record(),
            "before": self.before and self.before.record(),
            "ratio": self.ratio,
            "distance": self.distance,
            "target": {name: value for name, value in target.items() if value is not None},
            "misses": self.misses,
        }


def _over(above: Figure | None, below: Figure | None, clock: Clock) -> float | None:
    if above is None or below is None:
        return None
    pairs = zip(above.runs, below.runs, strict=True)
    return statistics.median(a.on(clock) / b.on(clock) for a, b in pairs)


def spent(work: Callable[[], object]) -> Spent:
    """Do some work in this process, and tell what it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(sides: Sequence[Side | None], rounds: int, factor: float = 1) -> list[Figure | None]:
    """Let the sides take turns, after one round that only warms up.

    Args:
        sides: What to run; None for a side that there is not.
        rounds: How often.
        factor: From seconds to the unit wanted.

    Returns:
        A figure for each side.
    """
    runs: list[list[Spent]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, into in zip(sides, runs, strict=True):
            if side is not None:
                took = side().scaled(factor)
                if number:
                    into.append(took)
    return [Figure(tuple(each)) if each else None for each in runs]


def measure(
    work: str,
    unit: str,
    ours: Side,
    *,
    rounds: int,
    factor: float = 1,
    peer: Side | None = None,
    peer_name: str = "",
    limit: Side | None = None,
    limit_name: str = "",
    target: Target = Target(),
    clock: Clock = "cpu",
    before: Side | None = None,
) -> Row:
    """Measure one row: we, the peer and the limit in turn; arguments as `Row` has them."""
    figures = in_turn((ours, peer, limit, before), rounds, factor)
    assert figures[0] is not None
    theirs, least = (
        Figure(found.runs, name) if found is not None else None
        for found, name in zip(figures[1:3], (peer_name, limit_name), strict=True)
    )
    return Row(work, unit, figures[0], theirs, least, target, clock, figures[3])
