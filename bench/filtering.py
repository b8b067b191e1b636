"""Measures `filter`: each codec beside makedumpfile and the codec alone, and copying beside ``cp``.

What is read has been read before, and every output is a new file: one that goes over another waits
until the disk has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

import child
import vmemmap
from builders.busy_machine import BusyMachine, write_busy_machine
from dumps import like_kernel_memory
from peer import Makedumpfile
from rows import Figure, Row, Side, Spent, Target, in_turn, measure, spent
from vmemmap.write.compress import CODECS, compressor

_GIB, _TIB = 1 << 30, 1 << 40
_PAGE = 4096
_TOGETHER_BYTES = 1 << 20
"""How much a thread compresses in one call."""
_CALLS_KEPT = 16
_ROUNDS = 2
_MIB_MOST = 300
_THREADS = (2, 1)
_TWICE, _OF_CODEC, _OF_COPY = 2.0, 0.9, 0.8


def bench_filter(folder: Path, peer: Makedumpfile | None) -> list[Row]:
    """Filter memory of which a tenth stays, 16 GiB into each codec; judged by the clock.

    makedumpfile has one thread: with more of them it waits busily, and is slower.
    """
    rows: list[Row] = []
    path = folder / "filtered"
    for contents, is_random, codecs, gib, page in (
        ("like a kernel's", False, CODECS, 16, _PAGE),
        ("random", True, ("zstd", "lzo"), 16, _PAGE),
        ("like a kernel's", False, ("zstd", "none"), 2, _PAGE),
        ("like a kernel's", False, ("zstd", "lzo"), 64, 16 * _PAGE),
    ):
        made = write_busy_machine(
            path,
            gib * _GIB,
            page_size=page,
            block_size=1 << 24,
            filled=is_random or partial(like_kernel_memory, page_size=page),
        )
        for codec in codecs:
            rows += _of_codec(made, contents, page, codec, folder, peer)
    path.unlink()
    return rows


def _of_codec(
    made: BusyMachine,
    contents: str,
    page: int,
    codec: str,
    folder: Path,
    peer: Makedumpfile | None,
) -> Iterator[Row]:
    """Measure one codec, with two threads and with one."""
    ours, theirs = folder / "ours", folder / "theirs"
    sides: list[Side | None] = [_filter(made.path, ours, codec, count) for count in _THREADS]
    sides.append(_anew(theirs, lambda: peer.filter(made.path, theirs, codec)) if peer else None)
    texts = _kept_pages(made, page)
    sides += [_codec_alone(texts, page, made.kept - made.zero, codec, count) for count in _THREADS]
    found = in_turn(sides, _ROUNDS)
    for place, count in enumerate(_THREADS):
        mine, limit = found[place], found[3 + place]
        assert mine is not None
        words = "two threads" if count == 2 else "one thread"
        yield Row(
            f"`filter` to {codec}, {words}, contents {contents}, "
            f"{made.kept * page >> 20} MiB stay" + (", 64 KiB pages" if page > _PAGE else ""),
            "s",
            mine,
            found[2] and Figure(found[2].runs, f"{peer.name} -d 31" if peer else ""),
            limit and Figure(limit.runs, f"the codec alone, {words}"),
            Target(
                ratio=_TWICE if count == 2 else None,
                distance=1 / _OF_CODEC if count == 2 and limit else None,
                mib=_MIB_MOST,
            ),
            clock="wall",
        )
    ours.unlink()
    theirs.unlink(missing_ok=True)


def bench_copies(folder: Path, _peer: Makedumpfile | None) -> list[Row]:
    """Filter what is compressed already, beside ``cp`` of what stays; and only look at 1 TiB."""
    elf, packed, ours, copy = (folder / name for name in ("elf", "packed", "kept", "copy"))
    write_busy_machine(elf, 16 * _GIB, page_size=_PAGE, block_size=1 << 24, filled=True)
    with vmemmap.open(elf) as core:
        core.filter(packed, 0, "zstd")
    elf.unlink()
    once = _filter(packed, ours, "zstd", 2)
    once()
    kept = ours.stat().st_size
    ours_before = folder / "before"
    ours.rename(ours_before)
    rows = [
        measure(
            f"`filter` zstd to zstd, contents random, {kept >> 20} MiB stay",
            "s",
            once,
            peer=_anew(copy, lambda: child.run(shutil.which("cp") or "cp", ours_before, copy)),
            peer_name="`cp` of what stays",
            rounds=3,
            target=Target(_OF_COPY, mib=_MIB_MOST),
            clock="wall",
        )
    ]
    for path in (packed, ours, ours_before, copy):
        path.unlink()
    large = folder / "large"
    write_busy_machine(large, _TIB)
    rows.append(
        measure(
            "`filter --dry-run`, 1 TiB",
            "s",
            lambda: child.run(*child.COMMAND, "filter", large, "--dry-run"),
            rounds=3,
            target=Target(most=2, mib=_MIB_MOST),
            clock="wall",
        )
    )
    large.unlink()
    return rows


def _filter(dump: Path, out: Path, codec: str, threads: int) -> Side:
    options = ("--codec", codec, "--num-threads", str(threads), "--force", "-o", out)
    return _anew(out, lambda: child.run(*child.COMMAND, "filter", dump, *options))


def _anew(out: Path, side: Side) -> Side:
    """Have a file that is written be a new one."""

    def run() -> Spent:
        out.unlink(missing_ok=True)
        return side()

    return run


def _kept_pages(made: BusyMachine, page_size: int) -> memoryview:
    """Give some of the pages that stay and are not full of zeros."""
    out = []
    with vmemmap.open(made.path) as core:
        for run in core.kept(31):
            for pfn in range(run.pfn_start, run.pfn_end) if run.fate == "kept" else ():
                page = core.read_phys(pfn * page_size, page_size)
                if page.count(0) < page_size:
                    out.append(page)
            if len(out) * page_size >= _CALLS_KEPT * _TOGETHER_BYTES:
                break
    return memoryview(b"".join(out)[: _CALLS_KEPT * _TOGETHER_BYTES])


def _codec_alone(texts: memoryview, page: int, pages: int, codec: str, threads: int) -> Side | None:
    """Compress so many pages, nothing else: some of them again and again."""
    if codec == "none":
        return None
    together = _TOGETHER_BYTES // page
    offsets = np.arange(len(texts) // page, dtype=np.int64).reshape(-1, together) * page
    calls = -(-pages // together)

    def share(number: int) -> None:
        compress = compressor(codec, page)
        for call in range(number, calls, threads):
            compress(texts, offsets[call % len(offsets)])

    def work() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(share, range(threads)))

    return lambda: spent(work)
