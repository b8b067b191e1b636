"""Simulated dumps as kdump files: read by the format alone, they hold the machine's memory."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest

import vmemmap
from filter.kdump_table import read_table
from oracles.simulated import spec_of
from vmemmap.errors import UnwritableFile
from vmemmap.simulate import Machine
from vmemmap.simulate.crash.snapshot import Snapshot

SMALL = ((0, 0, 112), (1, 128, 64))


def machine_of(page: int, byte_order: str) -> Machine:
    spec = spec_of("6.1.0", memory=SMALL, page=page, byte_order=byte_order)
    return Machine(spec).boot().run_events()


def check_bytes(path: Path, snapshot: Snapshot, page: int) -> None:
    """Compare every page, inflated by the standard library, with the machine's own memory."""
    table = read_table(path)
    ram = [pfn for start, end in snapshot.ranges for pfn in range(start // page, end // page)]
    assert table.ram.tolist() == table.kept.tolist() == ram
    assert table.level == 0
    data = path.read_bytes()
    filled = 0
    for pfn, (offset, size, flags) in zip(ram, table.rows, strict=True):
        stored = data[offset : offset + size]
        content = zlib.decompress(stored) if flags else stored
        assert content == snapshot.read(pfn * page, page), hex(pfn)
        filled += any(content)
    assert len(ram) - len(table.zero) == filled > 20


def unflattened(path: Path, out: Path) -> Path:
    """Put the records of a flattened file where they belong, by the format alone."""
    with path.open("rb") as stream, out.open("wb") as file:
        assert stream.read(4096).startswith(b"makedumpfile\0\0\0\0" + struct.pack(">qq", 1, 1))
        while True:
            at, size = struct.unpack(">qq", stream.read(16))
            if at == size == -1:
                assert not stream.read(1)
                return out
            file.seek(at)
            file.write(stream.read(size))


@pytest.mark.parametrize(
    ("page", "byte_order"), [(65536, "big"), pytest.param(4096, "little", marks=pytest.mark.full)]
)
def test_kdump_and_flattened(tmp_path, page: int, byte_order: str) -> None:
    machine = machine_of(page, byte_order)
    snapshot = machine.crash(tmp_path / "kdump", container="kdump")
    check_bytes(tmp_path / "kdump", snapshot, page)
    machine.crash(tmp_path / "flat", container="flattened")
    plain = unflattened(tmp_path / "flat", tmp_path / "plain")
    assert plain.read_bytes() == (tmp_path / "kdump").read_bytes()


@pytest.mark.parametrize(
    "codec", ["lzo", *(pytest.param(c, marks=pytest.mark.full) for c in ("snappy", "zstd", "none"))]
)
def test_codecs(tmp_path, codec: str) -> None:
    machine = machine_of(65536, "little")
    snapshot = machine.crash(tmp_path / "vmcore", container="kdump", codec=codec)
    with vmemmap.open(tmp_path / "vmcore") as core:
        assert core.source.codec == (None if codec == "none" else codec)
        assert [list(row) for row in core.source.ranges().tolist()] == [
            list(row) for row in snapshot.ranges
        ]
        start = snapshot.ranges[0][0]
        assert core.read_phys(start, 16 << 20) == snapshot.read(start, 16 << 20)
        assert core.filter_estimate(31).gone["free"] > 0


def test_command(run_vmemmap, tmp_path) -> None:
    out = tmp_path / "vmcore"
    said = run_vmemmap("simulate", "--container", "flattened", "--codec", "lzo", "-o", out).out
    assert str(out) in said
    info = run_vmemmap("info", out, "--format", "json").json
    assert (info["dump"]["format"], info["dump"]["dump_level"]) == ("kdump", 0)
    assert run_vmemmap("simulate", "--codec", "lzo", "-o", out).code == 2
    assert run_vmemmap("simulate", "--container", "kdump", "--compare-designs").code == 2


def test_nothing_is_left_where_there_is_no_room(tmp_path, monkeypatch) -> None:
    machine = machine_of(65536, "little")
    writes = 0
    pwrite = os.pwrite

    def full(*arguments: object) -> int:
        nonlocal writes
        writes += 1
        if writes > 3:
            raise OSError(28, "No space left on device")
        return pwrite(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(UnwritableFile, match="No space left"):
        machine.crash(tmp_path / "vmcore", container="kdump")
    assert not list(tmp_path.iterdir())


def test_unknown_container(tmp_path) -> None:
    with pytest.raises(ValueError, match="expected elf, kdump, flattened"):
        machine_of(65536, "little").crash(tmp_path / "vmcore", container="tar")
