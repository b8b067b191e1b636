"""makedumpfile counts the same pages in a dump and in its extract.

It finds everything by itself: VMCOREINFO, mem_section, the list, struct pages. Zero pages are what
must differ: those that it sees are of the pages that are there.
"""

from __future__ import annotations

from typing import Any

import pytest

import vmemmap
from oracles import makedumpfile
from oracles.simulated import crash, numbers, spec_of

pytestmark = makedumpfile.needed
CLASSES = ("cache", "cache_private", "user", "free", "hwpoison", "offline")
MACHINES: dict[str, dict[str, Any]] = {
    "3.16": {"release": "3.16"},
    "4.4, 4 KiB": {"release": "4.4", "page": 4096},
    "4.18": {"release": "4.18"},
    "6.1, 4 KiB": {"release": "6.1", "page": 4096},
    "6.8, radix": {"release": "6.8", "mmu": "radix"},
    "7.0": {"release": "7.0"},
}


def classes(path: Any, level: int) -> list[int]:
    found = makedumpfile.counts(path, level)
    return [found[name] for name in CLASSES if name in found]


@pytest.mark.parametrize("name", ["hash-64k-6.1/vmcore.d31.zlib", "radix-64k-6.1/vmcore.d31.zlib"])
def test_of_real_dumps(real_dump, name: str, tmp_path) -> None:
    path = real_dump(name)
    with vmemmap.open(path) as core:
        core.extract(tmp_path / "shared")
    assert sum(classes(path, 31)) > 1000
    assert classes(tmp_path / "shared", 31) == classes(path, 31)


@pytest.mark.parametrize("name", list(MACHINES))
def test_of_simulated_machines(name: str, tmp_path) -> None:
    more = dict(MACHINES[name])
    release = more.pop("release")
    makedumpfile.skip_unless_it_knows(numbers(release))
    dump = crash(spec_of(release, **more), tmp_path / "vmcore")
    with vmemmap.open(dump.path) as core:
        core.extract(tmp_path / "shared")
    assert sum(classes(dump.path, 30)) > 500
    assert classes(tmp_path / "shared", 30) == classes(dump.path, 30)
