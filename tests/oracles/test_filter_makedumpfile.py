"""makedumpfile and ``filter`` on the same dumps: the same pages, and each reads the other's.

``VMEMMAP_TESTS=full`` in the environment compares every release from 3.13 on, at every level.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from filter.kdump_table import read_table
from oracles import makedumpfile
from oracles.simulated import RELEASES, crash, numbers, spec_of

pytestmark = makedumpfile.needed

FULL = os.environ.get("VMEMMAP_TESTS") == "full"
SMALL = ((0, 0, 112), (1, 128, 64))
MACHINES: tuple[dict[str, Any], ...] = (
    {"page": 65536},
    {"page": 4096},
    {"page": 65536, "mmu": "radix"},
    {"page": 4096, "mmu": "radix"},
)


def cases() -> Iterator[Any]:
    """Give a machine for each release, of those that makedumpfile can be right about."""
    for turn, release in enumerate(r for r in RELEASES if numbers(r) >= (3, 13)):
        number = numbers(release)
        few = MACHINES[:2] if number < (4, 7) else MACHINES[:3] if number >= (6, 6) else MACHINES
        machine = few[turn % len(few)]
        yield pytest.param(release, machine, marks=[] if turn % 20 == 0 else [pytest.mark.full])


def written_by_it(path: Path, out: Path, *options: object) -> None:
    done = makedumpfile.run("-f", *options, path, out)
    assert done.returncode == 0, (done.stdout + done.stderr)[-600:]


@pytest.mark.parametrize(("release", "options"), list(cases()))
def test_same_pages_and_headers(tmp_path, release: str, options: dict[str, Any]) -> None:
    makedumpfile.skip_unless_it_knows(numbers(release))
    dump = crash(spec_of(release, memory=SMALL, **options), tmp_path / "vmcore")
    compare(dump.path, tmp_path, range(32) if FULL else (0, 2, 31))


@pytest.mark.parametrize(
    "name", ["hash-64k-6.1/vmcore.d31.elf.zst", "radix-64k-6.1/vmcore.d31.zlib"]
)
def test_same_pages_of_real_dumps(tmp_path, real_dump, name: str) -> None:
    compare(real_dump(name), tmp_path, range(32) if FULL else (1, 30))


def compare(path: Path, folder: Path, levels: Any) -> None:
    """Compare bitmaps, and all that stands before them, at some levels."""
    with vmemmap.open(path) as core:
        for level in levels:
            core.filter(folder / "ours", level, "none")
            written_by_it(path, folder / "theirs", "-d", level)
            ours, theirs = read_table(folder / "ours"), read_table(folder / "theirs")
            assert ours.ram.tolist() == theirs.ram.tolist(), level
            assert ours.kept.tolist() == theirs.kept.tolist(), level
            assert ours.level == theirs.level
            assert ours.header == theirs.header
            if level & 1:
                assert ours.zero == theirs.zero


@pytest.mark.parametrize(("codec", "letter"), [("zlib", "-c"), ("lzo", "-l"), ("zstd", "-z")])
def test_each_reads_what_the_other_wrote(tmp_path, codec: str, letter: str) -> None:
    dump = crash(spec_of("6.1", memory=SMALL), tmp_path / "vmcore")
    page = dump.machine.kernel.page_size
    with vmemmap.open(dump.path) as core:
        core.filter(tmp_path / "ours1", 1, codec)
        core.filter(tmp_path / "ours31", 31, codec)
        members = [tmp_path / f"member{i}" for i in range(3)]
        core.filter(members, 31, codec)
        core.filter(tmp_path / "flat", 31, codec, flattened=True)
    # It filters ours, and what it leaves is what we leave.
    written_by_it(tmp_path / "ours1", tmp_path / "theirs31", letter, "-d", 31)
    ours, theirs = read_table(tmp_path / "ours31"), read_table(tmp_path / "theirs31")
    assert ours.kept.tolist() == theirs.kept.tolist()
    # It joins our members, and unpacks our flattened form.
    done = makedumpfile.run("-f", "--reassemble", *members, tmp_path / "joined")
    assert done.returncode == 0, done.stderr[-600:]
    makedumpfile.unflatten(tmp_path / "flat", tmp_path / "unpacked")
    assert (tmp_path / "unpacked").read_bytes() == (tmp_path / "ours31").read_bytes()
    # We filter theirs; pages have the same bytes wherever they have been.
    written_by_it(dump.path, tmp_path / "theirs1", letter, "-d", 1)
    with vmemmap.open(tmp_path / "theirs1") as core:
        result = core.filter(tmp_path / "again", 31, codec, verify=True)
        assert result.copied + result.zero == result.kept
    with vmemmap.open(dump.path) as core:
        for name in ("theirs31", "joined", "again"):
            with vmemmap.open(tmp_path / name) as other:
                for pfn in ours.kept[::7].tolist():
                    assert other.read_phys(pfn * page, page) == core.read_phys(pfn * page, page)


def test_log_of_ours(tmp_path) -> None:
    """Of ELF it maps what lies at whole pages, the next segments for what is left out among it."""
    dump = crash(spec_of("6.1", memory=SMALL, page=4096), tmp_path / "vmcore")
    with vmemmap.open(dump.path) as core:
        core.filter(tmp_path / "ours", 31)
        core.filter(tmp_path / "elf", 31, form="elf")
    for name in ("vmcore", "ours", "elf"):
        done = makedumpfile.run("-f", "--dump-dmesg", tmp_path / name, tmp_path / f"{name}.log")
        assert done.returncode == 0, done.stderr[-600:]
    log = (tmp_path / "vmcore.log").read_text()
    assert len(log) > 100
    assert {(tmp_path / f"{name}.log").read_text() for name in ("ours", "elf")} == {log}
