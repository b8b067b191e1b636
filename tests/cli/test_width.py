"""What people read fits the usual 80 columns, and the paragraphs of a help text are not torn."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from builders.machine import Machine, build_machine
from vmemmap.cli.main import COMMANDS
from vmemmap.report.text import fitted

MARGIN = 2
"""Blanks that Click leaves at the right, and before each line of a paragraph."""


def paragraphs(text: str) -> list[list[str]]:
    """The lines of each paragraph between the usage line and the first heading."""
    _, body = text.split("\n\n", 1)
    parts = [part.splitlines() for part in body.split("\n\n")]
    first_heading = next(at for at, lines in enumerate(parts) if not lines[0].startswith(" "))
    return parts[:first_heading]


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_a_line_of_help_ends_where_the_next_word_does_not_fit(
    run_vmemmap, monkeypatch, command: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = run_vmemmap(*[command] if command else [], "--help").out
    parts = paragraphs(text)
    assert len(parts) >= 2
    for lines in parts:
        for line, following in itertools.pairwise(lines):
            assert line.startswith(" " * MARGIN)
            assert len(f"{line} {following.split()[0]}") > width - MARGIN, (line, following)
    assert max(map(len, text.split("\n"))) <= width - MARGIN


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=(0, 1, 4, 9), layout="c00c", page_size=65536, block_shift=16)


def test_every_line_of_vtop_fits(machine: Machine, tmp_path: Path, run_vmemmap) -> None:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    addresses = [f"{machine.vmemmap_base + at * 65536 + 64:#x}" for at in (0, 2, 9, 50)]
    ran = run_vmemmap("vtop", path, *addresses, "0xc000000000000000", "0xd000000000000000")
    assert max(map(len, ran.out.splitlines())) <= 80
    joined = " ".join(ran.out.split())
    records = run_vmemmap("vtop", path, *addresses, "-f", "json").json
    for record in records:
        reason = record.get("reason", f"block {record.get('block_virt')}")
        assert reason.removeprefix(f"cannot translate {record['virt']}: ") in joined


def test_every_line_of_the_example_of_a_machine_fits(run_vmemmap) -> None:
    assert max(map(len, run_vmemmap("simulate", "--example").out.splitlines())) <= 80


def test_every_line_of_usage_fits(tmp_path: Path, run_vmemmap) -> None:
    plan = [
        "slab=300",
        "cache=2000",
        "cache_private=10",
        "anonymous=900",
        "hwpoison=3",
        "huge=1024",
    ]
    sets = [word for field in plan for word in ("--set", f"pages.{field}")]
    dump = tmp_path / "dump"
    run_vmemmap("simulate", "--memory", "2G", *sets, "-o", dump)
    ran = run_vmemmap("usage", dump)
    assert max(map(len, ran.out.splitlines())) <= 80
    zone = run_vmemmap("usage", dump, "-f", "json").json["nodes"][0]["zones"][0]
    joined = " ".join(ran.out.split())
    assert " ".join(f"{kind} {count}" for kind, count in zone["kinds"].items()) in joined


@pytest.mark.parametrize("start", ["", "0x1234  linear"])
def test_nothing_is_lost_where_a_line_is_broken(start: str) -> None:
    for count in range(1, 40):
        words = [f"word{number}" for number in range(count)]
        lines = list(fitted(start, words))
        assert " ".join("".join(lines).split()) == " ".join([*start.split(), *words])
        assert all(line.strip() and len(line) <= 81 for line in lines)
        assert (len(lines) == 1) is (len("  ".join([start, *words])) <= 80)
