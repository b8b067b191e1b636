"""What ``--dry-run`` says beforehand is what comes of it, within 5 %, from a part of the pages."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vmemmap
from breadth import examples
from builders.busy_machine import write_busy_machine
from builders.elf_core import Segment, build_elf
from builders.notes import kernel_notes
from vmemmap.filter import estimate
from vmemmap.filter.sample import Sample

PAGE = 4096


def partly_filled(pfn: int, words: int) -> bytes:
    """Give a page of which so many words of 512, more or less, hold something."""
    rng = np.random.default_rng(pfn)
    page = rng.integers(0, 1 << 20, PAGE // 8, dtype=np.uint64)
    page[rng.permutation(PAGE // 8)[words * (pfn % 4 + 1) // 4 :]] = 0
    return page.tobytes()


@pytest.fixture(params=[200, 40])
def dump(request, tmp_path):
    filled = partial(partly_filled, words=request.param)
    made = write_busy_machine(
        tmp_path / "vmcore", 2 << 30, page_size=PAGE, block_size=1 << 24, filled=filled
    )
    return made.path


@pytest.mark.full
@pytest.mark.parametrize(
    ("form", "codec"),
    [*(("kdump", codec) for codec in ("lzo", "zstd", "zlib", "none")), ("elf", "none")],
)
def test_size_and_savings(dump, tmp_path, monkeypatch, form: str, codec: str) -> None:
    monkeypatch.setattr(estimate, "_SAMPLE_BYTES", 1)
    monkeypatch.setattr(estimate, "_SAMPLE_BYTES_MOST", 1)
    with vmemmap.open(dump) as core:
        said = core.filter_estimate(31, codec, form=form)
        assert said.sampled < said.kept / 5
        sizes = {}
        for level in (31, 15):
            out = tmp_path / str(level)
            core.filter(out, level, codec, form=form)
            status = out.stat()
            sizes[level] = status.st_blocks * 512 if form == "elf" else status.st_size
        assert said.size_bytes == pytest.approx(sizes[31], rel=0.05)
        assert abs(said.size_bytes - sizes[31]) <= max(2 * said.error_bytes, 1 << 17)
        saved = sizes[15] - sizes[31]  # what level 16 takes, free pages
        # Of an ELF file some of them are there all the same, in gaps that are too short to close.
        assert saved <= said.saves["free"] * 1.25 + (1 << 19)
        assert form == "elf" or saved >= said.saves["free"] * 0.75 - (1 << 19)
        assert set(said.saves) == set(said.gone)


KINDS = st.sampled_from(["zero", "noise", "words", "text", "few"])
RNG = np.random.default_rng(7)
NOISE = RNG.bytes(PAGE + 4096)


def page_of(kind: str, number: int) -> bytes:
    """Give a page that compresses in its kind's way."""
    if kind == "zero":
        return bytes(PAGE)
    if kind == "noise":
        return NOISE[number % 4096 : number % 4096 + PAGE]
    if kind == "text":
        return (b"node %d, block %x\n" % (number % 7, number) * PAGE)[:PAGE]
    return partly_filled(number, 200 if kind == "words" else 3)


@pytest.mark.full
@settings(max_examples=examples(60), deadline=None)
@given(
    layout=st.lists(st.tuples(KINDS, st.integers(1, 64)), min_size=1, max_size=5),
    odd=st.tuples(KINDS, st.integers(2, 400)),
    codec=st.sampled_from(["zstd", "zlib", "lzo", "snappy", "none"]),
    pages=st.integers(1, 12_000),
)
def test_whatever_memory_holds(tmp_path_factory, layout, odd, codec: str, pages: int) -> None:
    """Contents that repeat every so many pages, with a page of another kind here and there."""
    kinds = [kind for kind, length in layout for _ in range(length)]
    stored = [
        page_of(odd[0] if pfn % odd[1] == 0 else kinds[pfn % len(kinds)], pfn)
        for pfn in range(pages)
    ]
    folder = tmp_path_factory.mktemp("repeats")
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    (folder / "vmcore").write_bytes(build_elf([Segment(0, b"".join(stored))], notes))
    with pytest.MonkeyPatch.context() as patched, vmemmap.open(folder / "vmcore") as core:
        patched.setattr(estimate, "_SAMPLE_BYTES", 1)
        patched.setattr(estimate, "_SAMPLE_PAGES_MIN", 512)
        said = core.filter_estimate(0, codec)
        size = core.filter(folder / "out", 0, codec).size_bytes
    if said.error_bytes <= 0.025 * said.size_bytes:
        assert said.size_bytes == pytest.approx(size, rel=0.05)
    assert abs(said.size_bytes - size) <= max(2.5 * said.error_bytes, PAGE)
    if said.sampled == said.kept:
        assert (said.size_bytes, said.error_bytes) == (size, 0)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=30),
    st.integers(1, 40),
)
def test_sample_is_even(gaps: list[tuple[int, int]], most: int) -> None:
    pages: list[int] = []
    sample, at = Sample(most), 0
    for gap, length in gaps:
        at += gap
        sample.add(np.array([[at, at + length]], dtype=np.int64))
        pages += range(at, at + length)
        at += length
    taken = [pages.index(pfn) for pfn in sample.pfns.tolist()]
    assert sample.pages == len(pages)
    assert len(taken) <= 2 * most
    assert len(taken) >= min(most, len(pages)) or len(taken) > most // 2
    assert len({after - before for before, after in pairwise(taken)}) <= 1
