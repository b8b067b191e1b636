"""--vmlinux auto: by build ID, in the places of debug packages and of debuginfod's cache."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from builders.kernel_data import PAGE_OFFSET
from builders.machine import Machine, build_machine
from containers.vmlinux_file import build_vmlinux
from vmemmap.errors import FactMissing
from vmemmap.facts.find_vmlinux import build_id_of, find_vmlinux

BUILD_ID = "e04703597006cc36ab4eb3e421c377f39b50aecc"
RELEASE = "6.1.0-50-powerpc64le"
SHT_NOTE = 7


def vmlinux(machine: Machine, build_id: str) -> bytes:
    note = struct.pack("<3I", 4, len(build_id) // 2, 3) + b"GNU\0" + bytes.fromhex(build_id)
    symbols = [(name, value, 8) for name, value in machine.symbols.items() if name != "_stext"]
    symbols += [("_stext", PAGE_OFFSET, 0), ("do_it", PAGE_OFFSET + 0x1000, 64)]
    symbols += [("_end", PAGE_OFFSET + (16 << 20), 0)]
    return build_vmlinux(symbols, order="little", extra={".notes": (SHT_NOTE, note)})


@pytest.fixture
def machine() -> Machine:
    made = build_machine(byte_order="little", blocks=4, release=RELEASE)
    made.vmcoreinfo["BUILD-ID"] = BUILD_ID
    made.sync_vmcoreinfo()
    return made


def test_it_is_found_used_and_named(machine, run_vmemmap, tmp_path: Path, monkeypatch) -> None:
    dump = tmp_path / "vmcore"
    dump.write_bytes(machine.kdump())
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    ran = run_vmemmap("vtop", dump, "do_it", "--vmlinux", "auto")
    assert (ran.code, ran.out) == (3, "")
    assert BUILD_ID in ran.err
    assert len(ran.err.splitlines()) == 1
    there = tmp_path / "cache" / BUILD_ID / "debuginfo"
    there.parent.mkdir(parents=True)
    there.write_bytes(vmlinux(machine, BUILD_ID))
    ran = run_vmemmap("vtop", dump, "do_it", "--vmlinux", "auto", "-f", "json")
    assert ran.code == 0, ran.err
    assert ran.json[0]["virt"] == f"{PAGE_OFFSET + 0x1000:#x}"
    assert f"using {there}," in ran.err


def test_each_of_two_dumps_has_its_own_vmlinux(run_vmemmap, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "cache"))
    dumps, symbols = [], []
    for letter in "ab":
        machine = build_machine(blocks=4, release=RELEASE)
        machine.vmcoreinfo["BUILD-ID"] = letter * 40
        machine.sync_vmcoreinfo()
        dumps.append(tmp_path / letter)
        dumps[-1].write_bytes(machine.kdump())
        symbols.append(tmp_path / "cache" / (letter * 40) / "debuginfo")
        symbols[-1].parent.mkdir(parents=True)
        symbols[-1].write_bytes(vmlinux(machine, letter * 40))
    ran = run_vmemmap("report", *dumps, "--vmlinux", "auto", "-f", "json")
    assert [line.split(",")[0] for line in ran.err.splitlines() if "using" in line] == [
        f"vmemmap: using {path}" for path in symbols
    ]


def test_the_places_and_that_the_build_id_decides(machine, tmp_path: Path) -> None:
    places = (
        f"usr/lib/debug/.build-id/{BUILD_ID[:2]}/{BUILD_ID[2:]}.debug",
        f"usr/lib/debug/boot/vmlinux-{RELEASE}",
        f"usr/lib/debug/lib/modules/{RELEASE}/vmlinux",
        f"boot/vmlinux-{RELEASE}",
    )
    for number, name in enumerate(places):
        root = tmp_path / str(number)
        file = root / name
        file.parent.mkdir(parents=True)
        file.write_bytes(vmlinux(machine, BUILD_ID.replace("e", "f")))
        with pytest.raises(FactMissing, match=BUILD_ID):
            find_vmlinux(BUILD_ID, RELEASE, {"HOME": str(root)}, root)
        file.write_bytes(vmlinux(machine, BUILD_ID))
        assert find_vmlinux(BUILD_ID, RELEASE, {"HOME": str(root)}, root) == file
        file.write_bytes(b"\x7fELF and nothing else")
        assert build_id_of(file) is None


def test_a_release_from_a_dump_leads_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(FactMissing) as caught:
        find_vmlinux(BUILD_ID, "../../etc/passwd", {"HOME": "/home"}, tmp_path)
    assert "passwd" not in str(caught.value)
