"""What is kept for the next read gives what a read gives, with the compiled module and without."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from builders.machine import build_machine

drgn = pytest.importorskip("drgn", reason="drgn is not installed")
from vmemmap.drgn_plugin import pieces, segments  # noqa: E402
from vmemmap.drgn_plugin.lender import Lender, PlainLender, make_lender  # noqa: E402
from vmemmap.errors import VmemmapError  # noqa: E402
from vmemmap.pages.one_pass import compiled  # noqa: E402
from vmemmap.vmcore import open_vmcore  # noqa: E402

TOP = 1 << 64


@pytest.fixture(params=["compiled", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[object]:
    """Which lender there is."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "vmemmap._compiled", None)
        return PlainLender
    if compiled is None:
        pytest.skip("the compiled module is not there: it needs a compiler")
    kind: type[object] = compiled.Lender
    return kind


def lender_of(way: type[object]) -> Lender:
    lender = make_lender(lambda address, count: b"", 12)
    assert type(lender) is way
    return lender


def test_what_is_lent_is_what_was_kept(way: type[object]) -> None:
    rng, lender = random.Random(15), lender_of(way)
    model: dict[int, tuple[int, bytes]] = {}  # the last kept for each number of a page
    held: list[tuple[object, bytes]] = []
    starts = [0, 0x1000, 0x1000 + (1 << 22), TOP - 0x3000, 0xC00C000000001234]
    for _ in range(1500):
        start = rng.choice(starts)
        if rng.random() < 0.1:
            data = rng.randbytes(rng.choice((1, 4096, 9000)))
            address = start + rng.randrange(min(len(data), TOP - start))
            lender.keep(start, data, address)
            model[(address >> 12) % 1024] = start, data
        address = min(max(start + rng.randrange(-8, 9000), 0), TOP - 1)
        count = rng.choice((1, 8, 64, 5000))
        got = bytes(lent := lender.read(address, count, 0, False))
        known = {
            data[address - begin :][:count]
            for begin, data in model.values()
            if begin <= address and address + count <= begin + len(data)
        }
        assert got in known or got == b""
        mine = model.get((address >> 12) % 1024)
        if mine and mine[0] <= address and address + count <= mine[0] + len(mine[1]):
            assert got != b""
        held = [*held[-5:], (lent, got)]
        assert all(bytes(kept) == was for kept, was in held)  # type: ignore[call-overload]
    lender.forget()
    assert {bytes(lender.read(start, 1, 0, False)) for start in starts} == {b""}


@pytest.mark.parametrize("bad", [(-1, 8), (TOP, 8), (0, -1), (0, TOP), ("0", 8), (8,)])
def test_arguments_that_are_none(bad: tuple[object, ...]) -> None:
    if compiled is None:
        pytest.skip("the compiled module is not there: it needs a compiler")
    with pytest.raises((OverflowError, TypeError)):
        compiled.Lender(lambda address, count: b"", 12).read(*bad)
    with pytest.raises(ValueError, match="number of bits"):
        compiled.Lender(None, 64)
    with pytest.raises(ValueError, match="was not told"):
        compiled.Lender.__new__(compiled.Lender).read(0, 8)


@pytest.mark.parametrize(("block_shift", "blocks"), [(12, 70), (16, 6)])
@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_reads_of_any_size_give_what_is_there(
    kind: str,
    block_shift: int,
    blocks: int,
    way: type[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over the borders of pages, blocks and windows, with pages left out, and little room."""
    monkeypatch.setattr(pieces, "CACHE_BYTES", 40 * 4096)
    machine = build_machine(page_size=4096, block_shift=block_shift, blocks=blocks)
    first, after = machine.blocks[0].virt, machine.blocks[-1].virt + machine.block_size
    rng = random.Random(block_shift)
    for _ in range(4):
        block = rng.choice(machine.blocks)
        machine.exclude(block.phys + rng.randrange(machine.block_size) // 4096 * 4096)
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf() if kind == "elf" else machine.kdump())
    with open_vmcore(path) as core:
        read = segments.virtual_reader(core)
        refused = 0
        for _ in range(400):
            at = first + rng.randrange(after - first)
            count = rng.choice((1, 8, 64, 4096, 70_000, 270_000))
            try:
                expected: object = core.read(at, count)
            except VmemmapError as error:
                expected, refused = str(error), refused + 1
            try:
                assert bytes(read(at, count, 0, False)) == expected
            except drgn.FaultError as error:
                assert str(expected) in str(error)  # noqa: PT017 (either is to be as expected)
        assert 0 < refused < 300
