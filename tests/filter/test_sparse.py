"""A sparse dump: what lies in its holes is zero, and nobody reads it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vmemmap
from breadth import examples
from builders.elf_core import Segment, build_elf
from builders.notes import kernel_notes
from vmemmap.filter.contents import Contents
from vmemmap.source.detect import open_source
from vmemmap.write.packing import ZERO

PAGE = 4096
STRETCH = 64 << 10  # as large as the blocks of any file system


def write_twice(folder: Path, stretches: list[bool], skew: int) -> tuple[Path, Path]:
    """Write the same memory, with data in some stretches, without holes and with as many as go."""
    rng = np.random.default_rng(len(stretches))
    memory = b"".join(rng.bytes(STRETCH) if some else bytes(STRETCH) for some in stretches)
    notes = kernel_notes("little", vmcoreinfo=b"PAGESIZE=4096\n")
    dump = build_elf([Segment(0, memory[skew:])], notes)
    (folder / "dense").write_bytes(dump)
    with (folder / "sparse").open("wb") as out:
        for at in range(0, len(dump), PAGE):
            if piece := dump[at : at + PAGE].rstrip(b"\0"):
                os.pwrite(out.fileno(), piece, at)
        out.truncate(len(dump))
    return folder / "dense", folder / "sparse"


@settings(max_examples=examples(20), deadline=None)
@given(
    stretches=st.lists(st.booleans(), min_size=1, max_size=12),
    skew=st.sampled_from([0, 1, PAGE - 1, STRETCH - 1]),
    form=st.sampled_from(["kdump", "elf"]),
)
def test_holes_change_no_byte(tmp_path_factory, stretches, skew: int, form: str) -> None:
    folder = tmp_path_factory.mktemp("sparse")
    made = []
    for path in write_twice(folder, stretches, skew):
        with vmemmap.open(path) as core:
            core.filter(folder / "out", 0, form=form)
        made.append((folder / "out").read_bytes())
    assert made[0] == made[1]


def test_holes_are_not_read(tmp_path: Path) -> None:
    dense, sparse = write_twice(tmp_path, [True, False, False, True, False] * 8, 0)
    if sparse.stat().st_blocks >= dense.stat().st_blocks:
        pytest.skip("this file system has no holes")
    zero = {}
    for path in (dense, sparse):
        source = open_source(path)
        pages = np.array([[0, 40 * STRETCH // PAGE]], dtype=np.int64)
        batches = list(Contents(source, PAGE, "zstd").load(pages))
        zero[path] = sum(int(np.count_nonzero(batch.form == ZERO)) for batch in batches)
        source.close()
    assert zero[dense] == 0
    assert zero[sparse] >= 24 * STRETCH // PAGE - 24  # but for the edges of the holes
