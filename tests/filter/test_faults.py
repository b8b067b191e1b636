"""What cannot be told is kept; what cannot be written leaves nothing."""

from __future__ import annotations

import errno
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from breadth import every
from builders.elf_core import Segment, build_elf
from builders.kdump import build_kdump
from builders.notes import kernel_notes
from filter.kdump_table import read_table
from oracles.simulated import Dump, crash, spec_of
from vmemmap.errors import (
    OutputTooLarge,
    PageExcluded,
    ReadError,
    UnsupportedDump,
    UnwritableFile,
)
from vmemmap.progress import no_progress
from vmemmap.simulate.crash.damage import apply_damage
from vmemmap.simulate.crash.vmcore import write_vmcore


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Dump:
    folder = tmp_path_factory.mktemp("dump")
    return crash(spec_of("6.1", memory=((0, 0, 112), (1, 128, 64))), folder / "vmcore")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_without_struct_pages_all_is_kept(tmp_path, dump) -> None:
    """No VMCOREINFO says where they are: a dump of any level is then what there is."""
    pages: dict[int, Any] = {pfn: bytes([pfn]) * 4096 for pfn in range(8)}
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    (tmp_path / "whole").write_bytes(build_kdump(pages, block_size=4096, notes=notes, dump_level=0))
    with vmemmap.open(tmp_path / "whole") as core:
        result = core.filter(tmp_path / "out", 31, verify=True)
        assert [(run.pfn_start, run.pfn_end, run.fate) for run in core.kept(31)] == [(0, 8, "kept")]
        assert core.filter(tmp_path / "out", 1).warnings == ()  # for which none is needed
    assert (result.kept, result.gone) == (8, {})
    assert len(result.warnings) == 1
    assert "no page can be classified, so all are kept: " in result.warnings[0]


def test_unreadable_struct_pages_keep_their_pages(tmp_path, dump) -> None:
    """The page that has some struct pages is not in the dump: what they describe is kept."""
    page = dump.machine.kernel.page_size
    with vmemmap.open(dump.path) as core:
        sound = core.filter(tmp_path / "sound", 31, "none")
        size = core.kernel.struct_page_size.value
        phys = core.vtop(core.vmemmap_base.value).phys
        described = range(page // size)
        everything: dict[int, bytes | None] = {}
        for start, end in core.source.ranges().tolist():
            for at in range(start, end, page):
                everything[at // page] = core.read_phys(at, page)
        notes = [note for note in core.source.notes if note.name == "VMCOREINFO"]
    everything[phys // page] = None
    (tmp_path / "holed").write_bytes(
        build_kdump(
            everything,
            block_size=page,
            codec="zstd",
            dump_level=0,
            notes=kernel_notes("little", vmcoreinfo=notes[0].desc),
        )
    )
    with vmemmap.open(tmp_path / "holed") as core:
        result = core.filter(tmp_path / "out", 31, "none", verify=True)
    kept = set(read_table(tmp_path / "out").kept.tolist())
    before = set(read_table(tmp_path / "sound").kept.tolist())
    assert set(described) <= kept | {phys // page}
    assert kept - before <= set(described)
    assert before - kept == {phys // page}
    assert result.absent == 1
    assert set(result.unclassified) == {"excluded"}
    assert result.unclassified["excluded"] >= len(described) - 1
    assert result.kept > sound.kept


KINDS = (
    *("cycle_self", "truncated", "head_zero", "node_zero", "node_page_missing"),
    *("virt_duplicate", "phys_duplicate", "phys_outside", "psize_index"),
)


@pytest.mark.parametrize("kind", every(2, KINDS))
def test_damaged_list(tmp_path, kind: str) -> None:
    """Nothing goes that the sound dump keeps; with rescue nothing else is kept, either."""
    options: dict[str, Any] = {"page": 4096, "block_size": 4096}  # a list long enough to damage
    sound = crash(spec_of("6.1", memory=((0, 0, 112), (1, 128, 64)), **options), tmp_path / "sound")
    snapshot = sound.machine.snapshot()
    apply_damage(snapshot, kind)
    write_vmcore(snapshot, tmp_path / "broken", no_progress)
    kept = []
    for name, rescue in (("sound", False), ("broken", False), ("broken", True)):
        with vmemmap.open(tmp_path / name, rescue=rescue) as core:
            result = core.filter(tmp_path / "out", 30, "snappy")
        kept.append(set(read_table(tmp_path / "out").kept.tolist()))
        assert result.kept == len(kept[-1])
        assert result.pages == result.kept + sum(result.gone.values()) + result.absent
    whole, plain, rescued = kept
    gone = 1 if kind == "node_page_missing" else 0  # the page that is missing is kept by no one
    assert len(whole - plain) == len(whole - rescued) == gone
    assert len(rescued) == len(whole) - gone


@pytest.mark.parametrize("form", ["kdump", "elf"])
def test_what_was_cut_off_is_lost_and_not_left_out(tmp_path, form: str) -> None:
    """An ELF file ends in the middle of its sixth page of eight."""
    pages = b"".join(bytes([1 + pfn]) * 4096 for pfn in range(8))
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    whole = build_elf([Segment(0, pages)], notes)
    (tmp_path / "cut").write_bytes(whole[: whole.index(bytes([6]) * 4096) + 100])
    with vmemmap.open(tmp_path / "cut") as core:
        made = core.filter(tmp_path / "out", 0, "none", form=form, verify=True)
    assert (made.kept, made.absent, made.lost, list(made.lost_pfns)) == (8, 0, 3, [5, 6, 7])
    if form == "kdump":
        table = read_table(tmp_path / "out")
        assert table.rows[5:] == [(0, 0, 0)] * 3
        assert len({row[0] for row in table.rows[:5]}) == 5
    with vmemmap.open(tmp_path / "out") as core:
        assert core.read_phys(0, 5 * 4096) == pages[: 5 * 4096]
        with pytest.raises(PageExcluded if form == "elf" else ReadError):
            core.read_phys(6 * 4096, 8)


def test_full_disk_leaves_nothing_and_the_next_level_is_tried(tmp_path, dump, monkeypatch) -> None:
    """Once a level has failed for want of room the next one is written, with all the room."""
    real = os.pwrite
    with vmemmap.open(dump.path) as core:
        room = core.filter(tmp_path / "out", 31, "none").size_bytes

    def full(fd: int, data: Any, offset: int) -> int:
        if offset + len(data) > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data, offset)

    def full_too(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(os, "copy_file_range", full_too, raising=False)
    (tmp_path / "out").write_bytes(b"as it was")
    with vmemmap.open(dump.path) as core:
        with pytest.raises(UnwritableFile, match="cannot be written: No space left on device"):
            core.filter(tmp_path / "out", 0, "none")
        assert (tmp_path / "out").read_bytes() == b"as it was"
        assert names(tmp_path) == ["out"]
        result = core.filter(tmp_path / "out", [0, 31], "none")
    assert result.level == 31
    assert names(tmp_path) == ["out"]


def test_level_that_fits_is_taken(tmp_path, dump) -> None:
    with vmemmap.open(dump.path) as core:
        sizes = {
            level: core.filter(tmp_path / "out", level, "none").size_bytes for level in (0, 31)
        }
        assert core.filter(tmp_path / "o", [0, 31], "none", max_bytes=sizes[0]).level == 0
        assert core.filter(tmp_path / "o", [0, 31], "none", max_bytes=sizes[0] - 1).level == 31
        (tmp_path / "o").unlink()
        with pytest.raises(OutputTooLarge):
            core.filter(tmp_path / "o", [0, 31], "none", max_bytes=sizes[31] - 1)
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("form", ["kdump", "elf"])
@pytest.mark.parametrize("moment", [1, 3, 6])
def test_interrupted_at_any_moment(tmp_path, dump, monkeypatch, form: str, moment: int) -> None:
    left = [moment]
    real = os.pwrite

    def interrupted(fd: int, data: Any, offset: int) -> int:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", interrupted)
    with vmemmap.open(dump.path) as core, pytest.raises(KeyboardInterrupt):
        core.filter([tmp_path / "out"], 16, "none", form=form, threads=2)
    assert names(tmp_path) == []


def test_a_stream_is_written_by_the_thread_that_asked(dump) -> None:
    """Whoever reads a pipe may never do so again; ctrl-C ends no other thread's wait for that."""
    writers: set[threading.Thread] = set()

    class Pipe(io.BytesIO):
        def write(self, data: Any, /) -> int:
            writers.add(threading.current_thread())
            return super().write(data)

    with vmemmap.open(dump.path) as core:
        assert core.filter(Pipe(), 0, "lzo", threads=3).kept
    assert writers == {threading.current_thread()}


def test_memory_that_no_machine_has_is_refused(tmp_path) -> None:
    """A damaged header claims 32 PiB: neither memory nor disk is taken for them."""
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    segments = [Segment(0, bytes(4096)), Segment(1 << 20, memsz=1 << 55, filesz=0)]
    (tmp_path / "whole").write_bytes(build_elf(segments, notes))
    with vmemmap.open(tmp_path / "whole") as core:
        with pytest.raises(UnsupportedDump, match="more than any machine"):
            core.filter(tmp_path / "out", 0)
        with pytest.raises(UnsupportedDump, match="more than any machine"):
            list(core.kept(0))
    assert names(tmp_path) == ["whole"]


def test_bitmaps_of_memory_that_headers_only_claim_are_refused(tmp_path) -> None:
    """Damaged headers claim 70 TiB: no bit for each page of it goes to the disk. ELF needs none."""
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    segments = [Segment(0, b"x" * 4096), Segment(1 << 20, memsz=70 << 40, filesz=0)]
    (tmp_path / "whole").write_bytes(build_elf(segments, notes))
    with vmemmap.open(tmp_path / "whole") as core:
        with pytest.raises(UnwritableFile, match=r"which take a bitmap of 0x8c\w+ bytes; .*-E"):
            core.filter(tmp_path / "out", 0)
        with pytest.raises(UnwritableFile, match="a bitmap of"):
            core.filter_estimate(0)
        assert names(tmp_path) == ["whole"]
        assert core.filter(tmp_path / "out", 0, form="elf", verify=True).kept == 1


def test_holes_between_memory_ranges_take_no_room(tmp_path) -> None:
    """Memory of a device far above the rest, as with NVLink: only its bits are written."""
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=65536\n")
    segments = [Segment(0, b"x" * 65536), Segment(1 << 45, b"y" * 131072, memsz=1 << 30)]
    (tmp_path / "whole").write_bytes(build_elf(segments, notes))
    with vmemmap.open(tmp_path / "whole") as core:
        core.filter(tmp_path / "out", 0, verify=True)
        before = core.source.ranges().tolist()
    with vmemmap.open(tmp_path / "out") as core:
        assert core.source.ranges().tolist() == before
        assert core.read_phys((1 << 45) + 65536, 8) == b"y" * 8
    assert (tmp_path / "out").stat().st_blocks * 512 < 2 << 20


def test_never_over_the_input(dump) -> None:
    before = dump.path.read_bytes()
    with vmemmap.open(dump.path) as core, pytest.raises(UnwritableFile, match="is the dump that"):
        core.filter(dump.path, 31)
    assert dump.path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"level": 32}, "no dump level 32"),
        ({"codec": "brotli"}, "no codec 'brotli'"),
        ({"form": "elf", "member": (0, 2)}, "only plain kdump files are split"),
        ({"member": (2, 2)}, "a member from 0 to"),
        ({"threads": -1}, "1 thread or more"),
        ({"level": []}, "at least one level"),
    ],
)
def test_arguments_that_do_not_go_together(tmp_path, dump, arguments, reason: str) -> None:
    with vmemmap.open(dump.path) as core, pytest.raises(ValueError, match=reason):
        core.filter(tmp_path / "out", **arguments)
    assert names(tmp_path) == []


def test_corrupt_copy_does_not_pass_verification(tmp_path, dump, monkeypatch) -> None:
    """A byte that goes wrong on its way to the disk is found."""
    real = os.pwrite
    largest = [0]

    def flipped(fd: int, data: Any, offset: int) -> int:
        if len(data) > 65536 and not largest[0]:
            largest[0] = 1
            data = bytearray(data)
            data[40000] ^= 1
        return real(fd, data, offset)

    monkeypatch.setattr(os, "pwrite", flipped)
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    with vmemmap.open(dump.path) as core, pytest.raises(UnwritableFile, match="does not read back"):
        core.filter(tmp_path / "out", 31, "none", verify=True)
