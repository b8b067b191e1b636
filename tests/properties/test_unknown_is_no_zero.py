"""Take any machine, remove or change a number that it exports, give it any release: what is counted
is what was planned, or it is unknown, or the dump is refused. Nothing is ever wrong in silence.

The machines are simulated kernels; the plan of their memory is the witness.

Left out is what says where struct pages are, and not what they say: mem_section, and the sizes of
struct page and of a section. Which pages there are is then taken from the list, and that is said
(mem_section_unreadable). And two kernels that differ by one number alone are told
apart by their release, so that a number is changed under the release that it belongs to.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vmemmap
from breadth import every, examples
from oracles.simulated import crash, free_parts, spec_of
from vmemmap.pages.count.usage import Usage
from vmemmap.simulate import eras
from vmemmap.simulate.memory.image import VIRT

MACHINES = [
    *(("2.6.35", 65536), ("2.6.38", 4096), ("3.4", 65536), ("3.10", 4096), ("3.18", 65536)),
    *(("4.4", 65536), ("4.9", 4096), ("4.14", 65536), ("4.18", 65536), ("5.0", 65536)),
    *(("5.4", 4096), ("6.1", 65536), ("6.6", 65536), ("6.6.30", 65536), ("6.10", 65536)),
    *(("6.11", 4096), ("6.12", 65536), ("6.14", 65536), ("7.2", 65536)),
]
RELEASES = (
    *("2.6.32-754.el6", "2.6.35.6", "3.0.101", "3.10.0-1160.el7", "4.4.0-210-generic"),
    *("4.12.14-122-default", "4.18.0-553.el8_10", "5.14.0-427.el9", "6.1.0", "6.12.0", "7.2.0"),
    *("", "unreleased"),
)
MEANING = re.compile(r"NUMBER\((P|HUGE).*|OFFSET\((page|folio)\..*|LENGTH\(zone\.free_area\)")
PLACES = re.compile(
    r".*\(mem_section.*|SIZE\(page\)|NUMBER\(SECTION_SIZE_BITS\)|OSRELEASE|PAGESIZE"
)
TYPES = (-2, -128, -129, -257, -2049, -1073741825, -268435456, -251658240)
EXAMPLES = 30

Lines = dict[str, str]


@dataclass(frozen=True)
class Planned:
    """A machine's dump, what it exports, and what was planned of its memory."""

    path: Path
    lines: Lines
    plan: Counter[str]
    usage: Usage

    def counted(self, lines: Lines) -> Usage:
        """Count the pages, with other lines in the dump's note."""
        with vmemmap.open(self.path) as core:
            note = "".join(f"{key}={value}\n" for key, value in lines.items())
            core.source.vmcoreinfo = note.encode()
            return core.usage()


@pytest.fixture(scope="module", params=MACHINES, ids=lambda machine: "-".join(map(str, machine)))
def planned(request, tmp_path_factory) -> Planned:
    release, page = request.param
    folder = tmp_path_factory.mktemp("planned")
    spec = spec_of(release, page=page)
    dump = crash(spec, folder / "vmcore")
    with vmemmap.open(dump.path) as core:
        lines = dict(
            line.split("=", 1) for line in core.vmcoreinfo_text.decode().splitlines() if "=" in line
        )
    # Before 3.13 the list is not exported, and before 2.6.37 the nodes are not.
    for name in ("vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs", "node_data"):
        lines.setdefault(f"SYMBOL({name})", f"{VIRT[name]:x}")
    lines |= {"SIZE(vmemmap_backing)": "24", "OFFSET(mmu_psize_def.shift)": "0"}
    lines |= {
        f"OFFSET(vmemmap_backing.{name})": str(8 * at)
        for at, name in enumerate(("list", "phys", "virt_addr"))
    }
    lines["SIZE(mmu_psize_def)"] = str(dump.machine.kernel.at(eras.PSIZE_DEF_BYTES))
    pages = spec.pages
    plan = Counter(
        cache=pages.cache,
        cache_private=pages.cache_private,
        anon=pages.anonymous,
        slab=pages.slab,
        hugetlb=pages.huge,
        hwpoison=pages.hwpoison,
        offline=pages.offline,
        free=sum(
            end - start
            for node in dump.machine.pages.nodes
            for start, end in free_parts(dump.machine, node)
        ),
    )
    usage = Planned(dump.path, lines, plan, None).counted(lines)  # type: ignore[arg-type]
    for kind, count in usage.kinds.items():
        if kind in plan:
            assert count == plan[kind], kind
    plan["reserved"] = usage.kinds["reserved"]
    kept = sum(usage.kinds[kind] for kind in ("other", "compound_tail"))
    plan["kernel"] = kept - (plan["hugetlb"] if "hugetlb" in usage.untold else 0)
    assert not usage.damaged
    assert sum(plan.values()) == usage.pages
    return Planned(dump.path, lines, plan, usage)


def changes(lines: Lines, rng: random.Random) -> Iterator[Lines]:
    """Yield VMCOREINFO with one line lost, under any release, or one number changed."""
    while True:
        key = rng.choice([key for key in lines if not PLACES.fullmatch(key)])
        if rng.random() < 0.4:
            lost = {name: value for name, value in lines.items() if name != key}
            yield lost | {"OSRELEASE": rng.choice((*RELEASES, lines["OSRELEASE"]))}
        elif MEANING.fullmatch(key):
            number = int(lines[key])
            steps = [number + 1, number - 1, 2 * number, number // 2, number + 8, number - 8, 0]
            value = rng.choice((*steps, *TYPES) if "MAPCOUNT" in key else steps)
            yield lines | {key: str(value)}


def wrong(usage: Usage, planned: Planned) -> dict[str, tuple[int, int]]:
    """Give the counts that are neither the plan's nor unknown: planned and counted."""
    counted, plan = dict(usage.kinds), planned.plan
    other, tail = counted.pop("other", None), counted.pop("compound_tail", None)
    if other is not None and tail is not None:
        # Where huge pages are not told they are among these, and that is said.
        counted["kernel"] = other + tail
        counted["kernel"] -= plan["hugetlb"] if "hugetlb" in usage.untold else 0
    counted.pop("undecided")
    if usage.managed is not None:
        counted["managed"] = usage.managed
        plan = plan | Counter(managed=usage.pages - plan["reserved"])
    return {kind: (plan[kind], count) for kind, count in counted.items() if count != plan[kind]}


def tried(planned: Planned, ways: Iterator[Lines], many: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for _, lines in zip(range(many), ways, strict=False):
        changed = {k: v for k, v in lines.items() if planned.lines.get(k) != v}
        lost = planned.lines.keys() - lines.keys()
        try:
            usage = planned.counted(lines)
        except vmemmap.VmemmapError as error:
            outcomes["refused"] += bool(str(error))
            continue
        assert not wrong(usage, planned), (changed, lost)
        outcomes["unknown" if usage.at_least else "counted"] += 1
        told = {finding.code for finding in usage.findings}
        assert ("kinds_undecided" in told) is bool(usage.kinds["undecided"])
    return outcomes


@pytest.mark.parametrize("seed", every(4, range(14, 18)))
def test_a_lost_line_or_a_changed_number_gives_no_wrong_count(planned: Planned, seed: int) -> None:
    rng = random.Random(seed)
    outcomes = tried(planned, changes(planned.lines, rng), examples(EXAMPLES))
    assert outcomes["counted"]


def test_no_release_gives_a_wrong_count(planned: Planned) -> None:
    releases = random.Random(planned.lines["OSRELEASE"]).sample(RELEASES, len(RELEASES))
    ways = (planned.lines | {"OSRELEASE": release} for release in releases)
    assert tried(planned, ways, examples(len(RELEASES)))["counted"]


def every_number(lines: Lines) -> Iterator[Lines]:
    for key in lines:
        if not PLACES.fullmatch(key):
            yield {name: value for name, value in lines.items() if name != key}


@pytest.mark.full
def test_no_lost_line_gives_a_wrong_count(planned: Planned) -> None:
    tried(planned, every_number(planned.lines), len(planned.lines))
