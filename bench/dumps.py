"""Benchmarks of dump files: opening a huge one, decoding in bulk beside the codec alone."""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from builders.kdump import build_kdump
from vmemmap.formats import kdump as layout
from vmemmap.source.codecs import decoder
from vmemmap.source.detect import open_source
from vmemmap.source.kdump import KdumpSource

PAGE = 65536
PAGES = 1024
CODECS = ("zlib", "lzo", "snappy", "zstd")


def median_seconds(work: Callable[[], object], runs: int) -> float:
    """Give the median wall time of *work* over several runs, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def like_kernel_memory(pfn: int) -> bytes:
    """Make a page that compresses about as well as kernel data: small numbers and pointers."""
    rng = np.random.default_rng(pfn)
    words = rng.integers(0, 1 << 12, PAGE // 8, dtype=np.uint64)
    pointers = rng.integers(0, 1 << 30, PAGE // 64, dtype=np.uint64)
    words[::8] = pointers & ~np.uint64(0xFF) | np.uint64(0xC000_0000_0000_0000)
    words[rng.random(len(words)) < 0.6] = 0
    return words.astype("<u8").tobytes()


def bench_decode(folder: Path) -> dict[str, Any]:
    """Read 64 MiB out of a compressed dump, beside the codec alone on the same pages, two threads.

    The codec alone writes each page over the one before, in the processor's cache; a read writes
    all of them out to memory.
    """
    pages = {pfn: like_kernel_memory(pfn) for pfn in range(PAGES)}
    result: dict[str, Any] = {"bytes": PAGES * PAGE, "target_ratio": 0.85}
    for codec in CODECS:
        path = folder / f"decode-{codec}"
        path.write_bytes(build_kdump(pages, block_size=PAGE, codec=codec))
        source = open_source(path)
        assert isinstance(source, KdumpSource)
        packed = _packed_pages(path)
        decode = decoder(codec)
        out = np.empty(PAGES * PAGE, dtype=np.uint8)

        def alone(share: list[bytes], decode: Any = decode) -> None:
            for data in share:
                decode(data, PAGE)

        with ThreadPoolExecutor(2) as threads:
            halves = [packed[: PAGES // 2], packed[PAGES // 2 :]]
            codec_seconds = median_seconds(lambda: list(threads.map(alone, halves)), 7)  # noqa: B023
        ours = median_seconds(lambda: source.read_into(0, out), 7)  # noqa: B023
        assert out[: PAGE * 2].tobytes() == pages[0] + pages[1]
        result[codec] = {
            "packed_bytes": sum(map(len, packed)),
            "codec_mb_per_second": PAGES * PAGE / codec_seconds / 1e6,
            "read_mb_per_second": PAGES * PAGE / ours / 1e6,
            "ratio": codec_seconds / ours,
        }
        source.close()
    return result


def bench_open(folder: Path) -> dict[str, Any]:
    """Open dumps that claim ever more memory: sparse files whose bitmaps are holes."""
    result: dict[str, Any] = {"target_seconds": 0.2}
    for tebibytes in (1, 16, 64):
        path = folder / f"open-{tebibytes}"
        _write_sparse(path, tebibytes << 40)

        def once(path: Path = path) -> None:
            source = open_source(path)
            source.is_present(0)
            source.close()

        result[f"{tebibytes}_tib_seconds"] = median_seconds(once, 5)
    return result


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
