"""Dumps cut as the real ones are: what a capture kernel's headers have, and in which order.

Expected is what a 6.1 with 1 GiB and a capture kernel of 384 MiB shows (dump-formats.md
3.1): four segments, the first 64 KiB apart, RTAS inside the hole at the end.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from oracles.simulated import loads
from simulate.machines import M, add, small_spec
from vmemmap.errors import SpecError
from vmemmap.simulate import FirmwareRange, Machine, MemoryRange, PagePlan

GIB = (MemoryRange(0, 0, 1024 * M),)
RTAS = FirmwareRange(0x2FFF0000, 0x10000)
REAL = [
    (0, 0x10000),
    (0x10000, 0x20000000),
    (0x38000000, 0x40000000),
    (0x2FFF0000, 0x30000000),
]


def dumped(path: Path, **more: Any) -> list[tuple[int, int]]:
    """Crash a machine; give its segments in the order of the file."""
    plan = PagePlan(cache=40, anonymous=30)
    spec = small_spec("6.1", GIB, crashkernel=384 * M, firmware=(RTAS,), pages=plan, **more)
    Machine(spec).boot().run_events().crash(path)
    return [(phys, phys + size) for phys, _offset, size in loads(path)]


def test_kdumps_segments_are_those_of_a_real_machine(tmp_path: Path) -> None:
    assert dumped(tmp_path / "vmcore", form="kdump") == REAL


def test_fadump_has_no_backup_and_names_the_abi(tmp_path: Path) -> None:
    for order, flags in (("little", 2), ("big", 1)):
        path = tmp_path / order
        segments = dumped(path, form="fadump", byte_order=order)
        assert segments == [(0, 0x20000000), *REAL[2:]]
        word = "<I" if order == "little" else ">I"
        with path.open("rb") as file:
            assert file.read(64)[48:52] == struct.pack(word, flags)


def test_without_a_form_it_is_one_segment_for_each_range(tmp_path: Path) -> None:
    expected = [(0, 0x20000000), (0x2FFF0000, 0x30000000), (0x38000000, 0x40000000)]
    assert dumped(tmp_path / "vmcore") == expected


@pytest.mark.parametrize("form", ["kdump", "fadump"])
def test_the_readers_read_it_whole(form: str, tmp_path: Path) -> None:
    """What is reserved has struct pages and is not in the dump; nothing of the list is lost."""
    dumped(tmp_path / "vmcore", form=form, events=(add(4096 * M),), cpus=4)
    with vmemmap.open(tmp_path / "vmcore") as core:
        usage, report = core.usage(), core.check()
        hidden = core.pages[0x20000000 >> 16]
        assert len(core.read_phys(0xFFF8, 16)) == len(core.read_phys(RTAS.start, 16)) == 16
    assert (usage.kinds["cache"], usage.kinds["anon"]) == (40, 30)
    assert usage.kinds["unknown"] == 0
    assert usage.original_pages == (1024 - 384 + 16) * M + 0x10000 >> 16
    assert report.coverage is not None
    assert report.coverage.counts.readable == report.coverage.counts.sections == 65
    assert not [finding for finding in report.findings if finding.severity != "info"]
    assert hidden.flags == ("reserved",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"crashkernel": 2048 * M}, "no range of memory has all of"),
        ({"crashkernel": 64 * M, "crashkernel_at": 16 * M}, "the kernel itself is there"),
        ({"crashkernel": 1000}, "no whole pages"),
        ({"crashkernel": -65536}, "-65536 is less than nothing"),
        ({"crashkernel_at": 64 * M}, "there is no dump.crashkernel"),
        ({"firmware": (FirmwareRange(0, 4096),)}, "no whole pages"),
        ({"firmware": (RTAS, RTAS)}, "overlap at 0x2fff0000"),
        ({"form": "core"}, "none of plain, kdump, fadump"),
    ],
)
def test_what_cannot_be(more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        small_spec("6.1", GIB, **more).check()
