"""crash on what ``filter`` makes of a whole dump: the same session, line for line.

A session under qemu-user takes half a minute, so each machine has some of the forms at some of the
levels, and machines that are checked together have others; ``VMEMMAP_LAB_LEVELS=all`` in the
environment has every form at every level. Two sessions run at once.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from itertools import cycle, islice, product
from pathlib import Path

import pytest

import vmemmap
from lab.checks import peer_run
from lab.checks.crash_session import ask, questions
from lab.checks.opened import Opened
from lab.checks.peer_crash import comparable
from lab.results import Result

FORMS = ("zstd", "elf", "lzo", "joined", "zlib", "snappy", "none")
LEVELS = (31, 1, 16)
AT_ONCE = 2


def cases_of(number: int) -> list[tuple[str, int]]:
    """Give the forms and levels for the machine with a number: two, or all of them."""
    if os.environ.get("VMEMMAP_LAB_LEVELS") == "all":
        return list(product(FORMS, LEVELS))
    return list(islice(zip(cycle(FORMS), cycle(LEVELS), strict=False), 2 * number, 2 * number + 2))


def make(core: vmemmap.Vmcore, form: str, level: int, path: Path) -> None:
    """Filter a dump into a form: a codec, ELF, or members of a split dump put together again."""
    if form == "elf":
        core.filter(path, level, form="elf")
    elif form == "joined":
        members = [path.with_suffix(f".{number}") for number in range(3)]
        core.filter(members, level)
        with vmemmap.open(*members) as split:
            split.filter(path, None, None)
        for member in members:
            member.unlink()
    else:
        core.filter(path, level, form)


def test_session_is_the_same(
    machine: Result, whole: Opened, machines: list[Result], tmp_path: Path
) -> None:
    dump = whole.dump
    if dump.moment == "live" and len(machine.dumps) > 2:
        pytest.skip("the dump of the crash stands for this machine")
    text = questions(whole)
    expected = comparable(ask(machine, peer_run.readable(machine, dump), text, dump.file))
    assert len(expected) > 500

    def said_of(path: Path) -> list[str]:
        with path.open("rb") as file:
            content = file_digest(file, "sha256").hexdigest()
        return comparable(ask(machine, path, text, f"{dump.file}.{path.name}", content))

    cases = cases_of(machines.index(machine))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for first in range(0, len(cases), AT_ONCE):
            paths = []
            for form, level in cases[first : first + AT_ONCE]:
                paths.append(tmp_path / f"{form}-{level}")
                make(whole.core, form, level, paths[-1])
            for path, said in zip(paths, threads.map(said_of, paths), strict=True):
                assert said == expected, path.name
                path.unlink()
