"""Simulated dumps beside real ones of the same kernels: what VMCOREINFO says, how pages look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from oracles.simulated import crash, spec_of

ELSEWHERE = ("kallsyms", "prb", "printk", "clear_seq", "latched_seq", "atomic_long")
"""Keys of the kernel log, which has tests of its own, and of kallsyms: no such tables."""
FIXTURES = {
    "hash-64k-6.1": (65536, "hash"),
    "radix-64k-6.1": (65536, "radix"),
    "hash-4k-6.12": (4096, "hash"),
    "radix-4k-6.12": (4096, "radix"),
}


def lines_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def compared(keys: dict[str, str]) -> list[str]:
    return [key for key in keys if not any(part in key for part in ELSEWHERE)]


@pytest.mark.parametrize("name", FIXTURES)
def test_vmcoreinfo_is_that_of_the_real_kernel(
    corpus_dump: Callable[[str], Path], name: str, tmp_path: Path
) -> None:
    """The same keys in the same order, and the same values of all that are no addresses."""
    raw = corpus_dump(name).read_bytes()
    start = raw.index(b"OSRELEASE=")
    real = lines_of(raw[start : raw.index(b"\0", start)].decode())
    page, mmu = FIXTURES[name]
    spec = spec_of(real["OSRELEASE"], page=page, mmu=mmu, crash_time=int(real["CRASHTIME"]))
    simulated = lines_of(crash(spec, tmp_path / "vmcore").machine.snapshot().vmcoreinfo.decode())
    kept = compared(real)
    assert compared(simulated) == kept
    addresses = [key for key in kept if key.startswith("SYMBOL") and key != "SYMBOL(vmemmap)"]
    same = [key for key in kept if key not in (*addresses, "BUILD-ID")]
    assert len(same) > 45
    assert {key: simulated[key] for key in same} == {key: real[key] for key in same}


def looks(path: Path, pages: int) -> set[tuple[int, ...]]:
    """How the struct pages of a 6.1 look: flags, _mapcount, _refcount, tail or not, poisoned."""
    with vmemmap.open(path) as core:
        raw = core.read(int(core.facts["vmemmap_base"].value), pages * 64)
    words = np.frombuffer(raw, "<u8").reshape(-1, 8)
    counts = np.frombuffer(raw, "<i4").reshape(-1, 16)
    poisoned = words[:, 3] == 0x5DEADBEEF0000400  # page.mapping
    columns = (words[:, 0], counts[:, 12], counts[:, 13], words[:, 1] & 1, poisoned)
    return set(zip(*(column.tolist() for column in columns), strict=True))


def test_struct_pages_look_as_in_a_real_dump(
    real_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    """Free, reserved, kernel, slab and tail pages, to the last bit of flags and counts.

    Page cache and anonymous pages differ in flags that depend on who used them (dirty, active).
    """
    spec = spec_of("6.1.0-50-powerpc64le", memory=((0, 0, 1024),))
    simulated = looks(crash(spec, tmp_path / "vmcore").path, 1024 << 4)
    real = looks(real_dump("hash-64k-6.1/vmcore.d31.zlib"), 1024 << 4)
    expected = {
        # The upper bits: node 0, zone 0, and no processor that used the page.
        "inside a free block": (0x7FFFF000000000, -1, 0, 0, False),
        "a free block": (0x7FFFF000000000, -129, 0, 0, False),
        "reserved": (0x7FFFF000001000, -1, 1, 0, False),
        "in use by the kernel": (0x7FFFF000000000, -1, 1, 0, False),
        "slab of one page": (0x7FFFF000000200, -1, 1, 0, False),
        "slab of several": (0x7FFFF000010200, -1, 1, 0, False),
        "tail": (0x7FFFF000000000, -1, 0, 1, True),
    }
    for kind, look in expected.items():
        assert look in simulated, f"simulated: {kind}"
        assert look in real, f"real: {kind}"
