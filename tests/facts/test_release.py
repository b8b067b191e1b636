"""Releases: read, compared by number and not by text, and the one that nobody knows."""

from __future__ import annotations

import pytest

from vmemmap.facts.release import UNKNOWN, Release

RISING = [
    "2.6.32-642.el6.ppc64",
    "2.6.35",
    "3.7.0-rc1",
    "3.7.10",
    "3.10.0-1160.el7.ppc64le",
    "4.4",
    "4.4.302",
    "4.18.0-372.el8.ppc64le",
    "5.10.0",
    "6.1.0-50-powerpc64le",
    "6.12.0",
    "7.3.0",
    "10.0.1",
]


def test_releases_rise() -> None:
    releases = [Release(text) for text in RISING]
    for at, one in enumerate(releases):
        for other in releases[at + 1 :]:
            assert one < other
            assert one <= other
            assert other > one
            assert other >= one
            assert not other < one
            assert not other <= one


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2.6.32-642.el6.ppc64", (2, 6, 32)),
        ("6.1.0-50-powerpc64le", (6, 1, 0)),
        ("4.4", (4, 4, 0)),
        ("4.4-rc3", (4, 4, 0)),
        ("5.4.290+", (5, 4, 290)),
        ("3.10.", (3, 10, 0)),
    ],
)
def test_the_numbers_and_the_text(text: str, numbers: tuple[int, int, int]) -> None:
    release = Release(text)
    assert (release.text, release.numbers, release.is_known) == (text, numbers, True)
    assert Release("4.4") <= Release("4.4.0") <= Release("4.4.0-rc1") <= Release("4.4")


@pytest.mark.parametrize(
    "text", ["", "custom", "x4.18", "-4.18", "4", " 6.1", "\u096a.\u0967\u096e"]
)
def test_what_is_no_version_is_never_compared(text: str) -> None:
    release = Release(text)
    assert (release.is_known, release.numbers, release.text) == (False, None, text)
    for compare in (lambda: release < Release("6.1"), lambda: Release("6.1") <= release):
        with pytest.raises(ValueError, match="ask is_known"):
            compare()
    assert not UNKNOWN.is_known
