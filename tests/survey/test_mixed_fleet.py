"""A thousand simulated dumps of mixed eras, byte orders, containers and damage, with their answers.

The simulation shares no code with the readers; what it made of each machine is what its row has to
say. An eighth of the dumps are machines of their own, each of which is there eight times.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from breadth import trying
from check.damaged import ORDERS, PAGE_SIZES, Shape
from vmemmap.simulate import Machine
from vmemmap.simulate.crash.answers import list_answers, page_answers
from vmemmap.simulate.crash.damage import DAMAGE_KINDS, apply_damage
from vmemmap.simulate.crash.vmcore import write_vmcore

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is absent")
from vmemmap.survey.fleet import fleet_of  # noqa: E402
from vmemmap.survey.run import Surveyed, survey  # noqa: E402

pytestmark = pytest.mark.full
RELEASES = ("3.13", "3.18", "4.4", "4.9", "4.18", "5.4", "5.14", "6.1", "6.6", "6.12", "7.1")
FORMS = (("elf", "zlib"), *(("kdump", c) for c in ("zlib", "lzo", "snappy", "zstd", "none")))
FORMS = (*FORMS, ("flattened", "zlib"))
DISTINCT, EACH = 125, 8
NO_LIST = {"psize_index", "mmu_conflict"}
"""Damage after which nothing is known of the list."""


@dataclass(frozen=True)
class Known:
    """What a row has to say.

    Attributes:
        equal: Columns and their values.
        findings: Codes, one of which has to be among the findings; none if there may be no error.
        cut: Whether the file was cut off in its headers.
    """

    equal: dict[str, Any]
    findings: frozenset[str] = frozenset()
    cut: bool = False


def make(path: Path, shape: Shape, form: tuple[str, str], damage: str | None) -> Known:
    """Crash a machine, and tell what is known of its dump."""
    machine = Machine(shape.spec).boot().run_events()
    snapshot = machine.snapshot()
    answers, pages = list_answers(snapshot.machine), page_answers(snapshot)
    harm = apply_damage(snapshot, damage) if damage else None
    write_vmcore(snapshot, path, lambda *_: None, *form)
    equal: dict[str, Any] = {
        "memory_byte_order": shape.byte_order,
        "page_size": shape.page_size,
        "format": "elf" if form[0] == "elf" else "kdump",
    }
    if harm is None:
        equal |= {"entries": answers.entries, "pages": pages.total, "errors": 0, "cautions": 0}
        equal |= {"error": None, "mmu": "hash"}
    return Known(equal, frozenset(harm.findings if harm else ()))


def mixed(folder: Path) -> dict[str, Known]:
    """Make the dumps; give what is known of each by its name."""
    chosen = random.Random(20)
    shapes = list(product(PAGE_SIZES, ORDERS, RELEASES))
    damages = sorted(DAMAGE_KINDS)
    found: dict[str, Known] = {}
    for number in range(DISTINCT):
        shape = Shape(*shapes[number % len(shapes)])
        form = chosen.choice(FORMS)
        damage = damages[number % len(damages)] if number % 3 == 1 else None
        path = folder / f"{number:03}"
        with trying((shape, form, damage)):
            known = make(path, shape, form, damage)
        if number % 25 == 7:
            path.write_bytes(path.read_bytes()[:100])
            known = Known({"entries": None}, cut=True)
        found[path.name] = known
    return found


def check_row(row: dict[str, Any], known: Known) -> None:
    if known.cut:
        assert row["error_code"] in ("CorruptDump", "UnknownFormat")
        assert row["entries"] is None
        return
    assert {name: row[name] for name in known.equal} == known.equal
    codes = {finding["code"] for finding in row["findings"] or ()}
    if known.findings:
        assert codes & known.findings, (codes, known.findings)


def test_a_thousand_dumps_have_the_rows_that_they_should(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "many").mkdir()
    known = mixed(tmp_path / "made")
    for name in known:
        for copy in range(EACH):
            (tmp_path / "many" / f"{name}-{copy}").symlink_to(tmp_path / "made" / name)
    made = survey([str(tmp_path / "many")], tmp_path / "out", jobs=2)
    rows = [
        row
        for path in (tmp_path / "out").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
    ]
    assert len(rows) == made.asked == DISTINCT * EACH
    for row in rows:
        name = Path(row["address"]).name
        with trying(name):
            check_row(row, known[name.partition("-")[0]])
    fleet = fleet_of(rows)
    damaged = sum(bool(each.findings) and not each.cut for each in known.values()) * EACH
    assert sum(group.damaged for group in fleet.groups["release"]) <= damaged
    again = survey([str(tmp_path / "many")], tmp_path / "out", jobs=2)
    assert again == Surveyed(0, 0, DISTINCT * EACH)
