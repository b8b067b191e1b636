"""Which format a release's mainline kernel had (ppc64-kernel.md 4.1 and 4.3)."""

from __future__ import annotations

import pytest

from translate.eras import ERAS
from vmemmap.facts.release import Release
from vmemmap.translate.page_tables.eras import format_of_release


@pytest.mark.parametrize("era", ERAS, ids=str)
def test_hash(era: tuple[int, str, str, str]) -> None:
    page_size, release, _, name = era
    for suffix in ("", "-powerpc64le", "-rc1", "+"):
        assert format_of_release("hash", page_size, Release(release + suffix)) == name


@pytest.mark.parametrize(
    ("release", "since"), [("4.7", "4.7"), ("4.10.99", "4.7"), ("4.11", "4.11"), ("99.0", "4.11")]
)
def test_radix(release: str, since: str) -> None:
    assert format_of_release("radix", 4096, Release(release)) == f"radix-4k-{since}"
    assert format_of_release("radix", 65536, Release(release)) == f"radix-64k-{since}"


@pytest.mark.parametrize("release", ["", "custom", "x4.18", "-4.18", "4", "४.१८"])
def test_what_is_no_version(release: str) -> None:
    assert format_of_release("hash", 65536, Release(release)) is None


def test_older_than_anything_known() -> None:
    assert format_of_release("hash", 4096, Release("2.6.32-642.el6")) == "hash-4k-2.6.35"
    assert format_of_release("radix", 4096, Release("2.6.32")) == "radix-4k-4.7"
