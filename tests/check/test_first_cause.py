"""What is wrong first is said first: the file's own lacks, then what follows; advice that helps."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from check.damaged import Shape, crash
from vmemmap.address import ByteOrder

Run = Callable[..., Any]
NOWHERE = 0xC000_7FFF_FFF0_0000
"""An address in the linear map that no machine here has memory at."""
COMMANDS = {
    "info": (),
    "list": (),
    "check": (),
    "usage": (),
    "page": ("100",),
    "vtop": ("c00c000000170040",),
    "dmesg": (),
}


def cut_capture(path: Path, out: Path, keep: int = 900) -> Path:
    """Leave the last descriptors of a real kdump file empty, as a killed capture kernel does."""
    data = bytearray(path.read_bytes())
    block, sub, maps = struct.unpack_from("<iiI", data, 428)
    (top,) = struct.unpack_from("<Q", data, block + 96)
    stored = int.from_bytes(data[(1 + sub + maps // 2) * block :][: (top + 7) // 8], "little")
    at, end = (1 + sub + maps) * block, 0
    for index in range(stored.bit_count()):
        if index < keep:
            offset, size = struct.unpack_from("<QI", data, at + 24 * index)
            end = max(end, offset + size)
        else:
            data[at + 24 * index : at + 24 * index + 24] = bytes(24)
    out.write_bytes(data[:end])
    return out


@pytest.fixture(scope="module")
def killed(real_dump: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("killed") / "vmcore"
    return cut_capture(real_dump("hash-64k-6.1/vmcore.d31.zlib"), out)


FIRST = (
    "warning: the dump's writer did not finish, and the dump does not say why: 320 of 1220 pages "
    "are lost, since they were never written, from pfn 995 on"
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_first_what_the_file_lacks(
    run_vmemmap: Run, killed: Path, command: str
) -> None:
    ran = run_vmemmap(command, killed, *COMMANDS[command])
    lines = ran.err.splitlines()
    assert lines[0] == f"vmemmap: {killed}: {FIRST}"
    assert ran.err.count("320 of 1220") == 1
    assert "no space" not in ran.err + ran.out
    if command in ("usage", "page"):
        assert ran.code == 3
        assert "0xc00000003ff10228, which cannot be read" in lines[1]
        assert "--assume" not in lines[1]
    if command == "vtop":  # where an assumption is enough for some addresses
        assert "--assume layout=NAME is enough: one of 0xc00c, " in lines[-1]


def test_check_has_a_finding_of_it_in_every_form(run_vmemmap: Run, killed: Path) -> None:
    found = run_vmemmap("check", killed, "-f", "json").json["findings"]
    assert [row["code"] for row in found] == ["dump_incomplete", "node_unreadable"]
    assert found[0]["severity"] == "warning"
    assert int(found[0]["phys"], 16) == 0x3E3 << 16
    sarif = json.loads(run_vmemmap("check", killed, "-f", "sarif").out)
    (one,) = sarif["runs"]
    assert [r["ruleId"] for r in one["results"]] == ["dump_incomplete", "node_unreadable"]
    junit = run_vmemmap("check", killed, "-f", "junit", "--strict").out
    assert 'name="dump_incomplete"><failure message="the dump' in junit


def test_an_unreadable_list_is_not_called_empty(killed: Path) -> None:
    with vmemmap.open(killed, assume={"layout": "0xc00c"}) as core:
        with pytest.raises(vmemmap.NotBacked, match="0xc00000003ff10228, which cannot be read"):
            core.vtop(0xC00C000000170040)
        assert core.vtop(0xC000000001000000).method == "linear"


def test_rescue_finds_blocks_of_a_real_dump_without_being_told_the_layout(killed: Path) -> None:
    with vmemmap.open(killed.parent / "vmcore", rescue=True) as core:
        assert core.layout.name == "0xc00c"
        assert core.check().rescued == 8
        assert core.vtop(0xC00C000000170040).phys == 0x2160040


def lose_list(path: Path, order: ByteOrder) -> None:
    """Make the list's head and mem_section point to nowhere, in the dump."""
    with vmemmap.open(path) as core:
        places = [
            core.source.file_offset(core.kernel.symbol(name).value & ((1 << 60) - 1))
            for name in ("vmemmap_list", "mem_section")
        ]
    with path.open("r+b") as file:
        for at in places:
            assert at is not None
            file.seek(at)
            file.write(NOWHERE.to_bytes(8, order))


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        (Shape(65536, "little"), "0xc00c"),
        (Shape(65536, "big", "4.14.0"), "0xf"),
        (Shape(4096, "little"), "0xc0003f"),
        (Shape(4096, "big", "5.8.0"), "0xc00030"),
    ],
    ids=str,
)
def test_rescue_tries_the_layouts_there_are(tmp_path: Path, shape: Shape, layout: str) -> None:
    crashed = crash(shape.spec, tmp_path / "dump")
    lose_list(crashed.path, shape.byte_order)
    expected = pytest.raises(vmemmap.FactMissing, match=f"{NOWHERE:#x}.*--rescue")
    with vmemmap.open(crashed.path) as core, expected:
        _ = core.layout
    with vmemmap.open(crashed.path, rescue=True) as core:
        assert core.layout.name == layout
        assert core.facts["layout"].origin == "derived"
        assert "--rescue found" in core.facts["layout"].detail
        table = core.backing
        used = [table[row] for row in table.usable.nonzero()[0].tolist()]
        assert len(used) == len(crashed.truth)
        assert all(crashed.truth[entry.virt] == entry.phys for entry in used)


def test_rescue_says_why_it_was_not_run(
    run_vmemmap: Run, tmp_path: Path, real_dump: Callable[[str], Path]
) -> None:
    crashed = crash(Shape(65536, "little").spec, tmp_path / "dump")
    with crashed.path.open("r+b") as file, mmap(file.fileno(), 0) as data:
        at = data.find(b"SIZE(page)=64\n")
        assert at >= 0
        while at >= 0:
            data[at : at + 14] = b"SIZE(page)=xx\n"
            at = data.find(b"SIZE(page)=64\n", at)
    ran = run_vmemmap("list", "--rescue", "-f", "crash", crashed.path)
    assert ran.code == 1
    assert "rescue_not_run: nothing was looked for to rescue: VMCOREINFO has SIZE(page)" in ran.err
