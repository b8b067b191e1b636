"""The suite itself: what a fast run leaves out, what is said of skips, that nothing is timed."""

from __future__ import annotations

import ast
from collections import Counter
from itertools import combinations, product
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

from breadth import PROFILES, every, examples, pairs, singles, trying
from skips import summary


def test_every_two_values_are_tried_together() -> None:
    rows = list(product("abcdefgh", (4096, 65536), ("little", "big"), (0, 1, 2)))
    cases = pairs(row for row in rows if row[0] != "a" or row[1] == 4096)
    assert [case.values for case in cases] == [r for r in rows if r[0] != "a" or r[1] == 4096]
    kept = [case.values for case in cases if not case.marks]
    assert {mark.name for case in cases for mark in case.marks} == {"full"}
    assert len(kept) < len(cases) / 3

    def together(values: list[tuple[object, ...]]) -> set[tuple[object, ...]]:
        return {
            (a, row[a], b, row[b]) for row in values for a, b in combinations(range(len(row)), 2)
        }

    assert together(kept) == together([case.values for case in cases])


def test_every_value_is_tried() -> None:
    cases = singles(product(range(21), ("little", "big"), (0, 1, 2)))
    kept = [case.values for case in cases if not case.marks]
    assert (len(cases), len(kept)) == (126, 21)
    for column, count in ((0, 1), (1, 10), (2, 7)):
        often = Counter(row[column] for row in kept)
        assert set(often.values()) <= {count, count + 1}
        assert len(often) == len({case.values[column] for case in cases})


def test_every_second_is_tried() -> None:
    cases = every(
        2, ["a", ("b", 1), pytest.param("c", 2, id="third"), pytest.param("d", id="last")]
    )
    left = [(case.values, case.id) for case in cases if getattr(case, "marks", ())]
    assert left == [(("b", 1), None), (("d",), "last")]
    assert cases[0] == "a"
    assert cases[2].values == ("c", 2)


def test_a_case_of_a_loop_is_named() -> None:
    with pytest.raises(AssertionError) as caught, trying("the seventh"):
        raise AssertionError
    assert caught.value.__notes__ == ["while trying the seventh"]


@pytest.mark.parametrize(("profile", "expected"), [("fast", (100, 10, 1)), ("full", (400, 40, 3))])
def test_examples_are_those_of_the_profile(
    monkeypatch: pytest.MonkeyPatch, profile: str, expected: tuple[int, ...]
) -> None:
    monkeypatch.setattr("breadth.settings", lambda: settings.get_profile(profile))
    assert tuple(map(examples, (400, 40, 3))) == expected
    assert settings.get_profile(profile) == PROFILES[profile]


def test_skips_of_one_reason_are_one_line() -> None:
    reasons = [
        *(f"the full-size dump {name} is not beside this repository" for name in "abc"),
        "the witness d is not beside this repository",
        "/some/where/vmlinux-6.1.0 is absent: python tools/fetch_peers.py --debuginfo",
        "no gcc on this machine",
        "no gcc on this machine",
    ]
    skipped = [SimpleNamespace(longrepr=("file", 1, f"Skipped: {reason}")) for reason in reasons]
    assert list(summary(skipped, left_out=False)) == [
        "skipped 4: full-size dumps, and what other tools say of them, are not beside this "
        "repository",
        "skipped 2: no gcc on this machine",
        "skipped 1: the kernels' debugging information is absent: python tools/fetch_peers.py "
        "--debuginfo",
    ]
    (line,) = summary([], left_out=True)
    assert "make test-full" in line


CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "time"}
WAITS = {"cli/test_simulate.py"}
"""Tests that look at the clock to give up waiting for a process, which is no assertion."""


def reads_a_clock(source: str) -> bool:
    """Tell whether a module's text calls or passes a clock of the module ``time``."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names |= {node.attr} if node.value.id == "time" else set()
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            names |= {alias.name for alias in node.names}
    return bool(names & CLOCKS)


def test_no_test_reads_a_clock() -> None:
    tests = Path(__file__).resolve().parent
    timed = {
        str(path.relative_to(tests))
        for path in tests.rglob("*.py")
        if reads_a_clock(path.read_text())
    }
    assert timed == WAITS
    assert reads_a_clock("import time\nbegan = time.monotonic()")
    assert reads_a_clock("from time import perf_counter")
    assert not reads_a_clock("import time\ntime.sleep(1)\nrow.time = 3")
