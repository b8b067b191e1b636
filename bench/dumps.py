"""Measures dump files: a huge one opened, compressed pages read, a thousand opened in a row."""

from __future__ import annotations

import lzma
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import child
from builders.kdump import build_kdump
from rows import Row, Target, measure, spent
from start import REAL
from vmemmap.formats import kdump as layout
from vmemmap.source.codecs import decoder
from vmemmap.source.detect import open_source
from vmemmap.source.kdump import KdumpSource

PAGE = 65536
PAGES = 1024
CODECS = ("zlib", "lzo", "snappy", "zstd")
OPENED = 1000
_SETTLED = 100
"""After so many dumps whatever is kept once and for all is there."""

_LOOP = """
import gc, sys
import vmemmap
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))
seen = {}
begun = clock()
for number in range(1, int(sys.argv[2]) + 1):
    with vmemmap.open(sys.argv[1]) as core:
        core.usage()
        core.pages[256]
        core.check()
    seen[number] = resident()
tell(begun, settled=seen[int(sys.argv[3])], at_end=seen[number])
"""


def like_kernel_memory(pfn: int, page_size: int = PAGE) -> bytes:
    """Make a page that compresses about as well as kernel data: small numbers and pointers."""
    rng = np.random.default_rng(pfn)
    words = rng.integers(0, 1 << 12, page_size // 8, dtype=np.uint64)
    pointers = rng.integers(0, 1 << 30, page_size // 64, dtype=np.uint64)
    words[::8] = pointers & ~np.uint64(0xFF) | np.uint64(0xC000_0000_0000_0000)
    words[rng.random(len(words)) < 0.6] = 0
    return words.astype("<u8").tobytes()


def bench_decode(folder: Path) -> list[Row]:
    """Read 64 MiB out of a compressed dump, beside the codec alone on the same pages, two threads.

    The codec alone writes each page over the one before, in the processor's cache; a read writes
    all of them out to memory. Judged by the clock, since threads are what makes it fast.
    """
    pages = {pfn: like_kernel_memory(pfn) for pfn in range(PAGES)}
    path, rows = folder / "packed", []
    for codec in CODECS:
        path.write_bytes(build_kdump(pages, block_size=PAGE, codec=codec))
        source = open_source(path)
        assert isinstance(source, KdumpSource)
        packed, decode = _packed_pages(path), decoder(codec)
        halves = [packed[: PAGES // 2], packed[PAGES // 2 :]]
        out = np.empty(PAGES * PAGE, dtype=np.uint8)
        source.read_into(0, out)
        assert out[: PAGE * 2].tobytes() == pages[0] + pages[1]

        def alone(share: list[bytes], decode: Any = decode) -> None:
            for data in share:
                decode(data, PAGE)

        with ThreadPoolExecutor(2) as threads:
            rows.append(
                measure(
                    f"read {PAGES * PAGE >> 20} MiB of {codec} pages",
                    "s",
                    lambda: spent(lambda: source.read_into(0, out)),  # noqa: B023 (used at once)
                    peer=lambda: spent(lambda: list(threads.map(alone, halves))),  # noqa: B023
                    peer_name="the codec alone, two threads",
                    rounds=7,
                    target=Target(0.85),
                    clock="wall",
                )
            )
        source.close()
    path.unlink()
    return rows


def bench_open(folder: Path) -> list[Row]:
    """Open dumps that claim ever more memory: sparse files whose bitmaps are holes."""
    rows = []
    for tebibytes in (1, 16, 64):
        path = folder / "sparse"
        _write_sparse(path, tebibytes << 40)

        def once(path: Path = path) -> None:
            source = open_source(path)
            source.is_present(0)
            source.close()

        rows.append(
            measure(
                f"open a dump of {tebibytes} TiB",
                "ms",
                lambda once=once: spent(once),  # type: ignore[misc]
                rounds=5,
                factor=1e3,
                target=Target(most=200),
            )
        )
        path.unlink()
    return rows


def bench_many(folder: Path) -> dict[str, Any]:
    """Open, count, check and close a real dump a thousand times: what stays in memory, in MiB."""
    path = folder / "many"
    path.write_bytes(lzma.decompress(REAL.read_bytes()))
    told = child.ask(_LOOP, path, OPENED, _SETTLED)
    path.unlink()
    return {
        "opened": OPENED,
        "settled_after": _SETTLED,
        "settled_mib": told["settled"],
        "at_end_mib": told["at_end"],
        "grown_mib": told["at_end"] - told["settled"],
        "cpu_ms_each": told["cpu"] / OPENED * 1e3,
    }


def _packed_pages(path: Path) -> list[bytes]:
    """Take the compressed pages out of a kdump file by its own descriptors."""
    data = path.read_bytes()
    main = layout.decode_main(data, "little")
    at = (1 + main.sub_hdr_size_blocks + main.bitmap_blocks) * main.block_size
    rows = layout.descriptor_struct("little").iter_unpack(data[at : at + PAGES * 24])
    return [data[offset : offset + size] for offset, size, _, _ in rows]


def _write_sparse(path: Path, memory_bytes: int) -> None:
    """Write a kdump file of so much memory, with no page stored: headers and two holes."""
    max_mapnr = memory_bytes // PAGE
    half_blocks = -(-max_mapnr // 8 // PAGE)
    small = bytearray(build_kdump({0: bytes(PAGE)}, block_size=PAGE))[: 2 * PAGE]
    struct.pack_into("<I", small, 436, 2 * half_blocks)
    struct.pack_into("<Q", small, PAGE + 96, max_mapnr)
    with path.open("wb") as file:
        file.write(small)
        file.truncate((2 + 2 * half_blocks) * PAGE)
