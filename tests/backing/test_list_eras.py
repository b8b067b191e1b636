"""From which release on the kernel unlinks what is removed, and when it could list a place twice.

By ppc64-kernel.md: vmemmap_free() unlinks since 3.17; memory comes in parts of a section since 5.3,
and vmemmap_populated() sees the parts since 5.5 (section 10).
"""

from __future__ import annotations

import pytest

from vmemmap.backing.list_eras import may_duplicate, may_leave_removed
from vmemmap.facts.release import Release


@pytest.mark.parametrize(
    ("release", "leaves", "duplicates"),
    [
        ("2.6.35-22-powerpc64", True, True),
        ("3.10.0-1160.el7.ppc64", True, True),
        ("3.16.85", True, True),
        ("3.17.0-rc1", False, False),
        ("4.18.0-80.el8.ppc64le", False, False),
        ("5.2.21", False, False),
        ("5.3.0", False, True),
        ("5.4.302", False, True),
        ("5.5.0", False, False),
        ("5.6.19", False, False),
        ("5.10.0", False, False),
        ("7.2.13", False, False),
        ("made-up", True, True),
    ],
)
def test_what_a_release_may_leave(release: str, leaves: bool, duplicates: bool) -> None:
    known = Release(release)
    assert (may_leave_removed(known), may_duplicate(known)) == (leaves, duplicates)
