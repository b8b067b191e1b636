"""makedumpfile on a dump that has all pages: how many each level would leave out.

Some levels by default, all with ``VMEMMAP_LAB_LEVELS=all`` in the environment. (Which pages the
dumps lack that it wrote in the capture kernel is in ``test_containers``.)
"""

from __future__ import annotations

import os

import pytest

from lab.checks import peer_run
from lab.checks.machine_facts import loses_tails, misread_by_peers
from lab.checks.opened import Opened
from lab.checks.peer_makedumpfile import options, parse_report, parse_version
from lab.results import Result

SECONDS = 120
LEVELS = range(32) if os.environ.get("VMEMMAP_LAB_LEVELS") == "all" else (1, 2, 4, 8, 16, 30, 31)
READ_ALL = (1, 31)
"""Levels at which pages of zeros are compared too, which reads nearly all of the dump."""


@pytest.fixture
def version(machine: Result) -> tuple[int, ...]:
    """Makedumpfile's version."""
    program = peer_run.find(machine, "usr/bin/makedumpfile")
    found = parse_version(peer_run.run(machine, [program, "-v"], SECONDS))
    assert found
    return found


@pytest.fixture(params=LEVELS, ids=lambda level: f"d{level}")
def level(request: pytest.FixtureRequest) -> int:
    """A dump level."""
    number: int = request.param
    return number


def counts(opened: Opened, level: int) -> dict[str, int]:
    """Let makedumpfile count, once for each dump and level."""
    machine = opened.machine
    dump = peer_run.readable(machine, opened.dump)
    program = peer_run.find(machine, "usr/bin/makedumpfile")
    words = options(level)
    key = peer_run.key_of([str(word) for word in words], program, dump)
    name = f"{opened.dump.file}.makedumpfile-d{level}.txt"
    said = peer_run.kept(machine, name, key)
    if said is None:
        command = [program, *words, dump, dump.with_suffix(".none")]
        said = peer_run.run(machine, command, SECONDS)
        peer_run.keep(machine, name, key, said)
    found = parse_report(said)
    assert found is not None, said[-600:]
    return found


def test_it_leaves_out_as_many(
    machine: Result, whole: Opened, level: int, version: tuple[int, ...]
) -> None:
    if misread_by_peers(machine):
        pytest.skip("makedumpfile reads one page of the root table of 64 KiB: wrong here")
    said = counts(whole, level)
    zero = said.pop("zero")
    assert said.pop("pages") == whole.usage.original_pages
    ours = whole.usage.makedumpfile[level]
    assert ours is not None
    if why := loses_tails(machine, level, version):
        assert said.pop("user") >= ours["user"]
        assert {name: count for name, count in ours.items() if name != "user"} == said
        pytest.skip(f"all but user pages compared: {why}")
    assert ours == said
    if not level & 1:
        assert zero == 0
    elif level in READ_ALL:
        assert zero == whole.core.page_model.zero_pages(level)
