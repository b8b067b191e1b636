"""The parsers of the peers' output, on short samples written from the formats."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lab.checks.peer_crash import Answer, is_complete, parse_session, script
from lab.checks.peer_input import rewrite
from lab.checks.peer_makedumpfile import NAMES, parse_report, parse_version

SESSION = """\
banner
crash> sys
      KERNEL: vmlinux
     RELEASE: 6.1.0-50-powerpc64le
       PANIC: "Kernel panic: sysrq"
crash> help -m
              flags: 12400035 (KSYMS_START|VMEMMAP)
         vmemmap_base: c00c000000000000
          vmemmap_cnt: 12
        vmemmap_psize: 65536
      vmemmap_list[0]: virt: c00c000000170000  phys: 2160000
     vmemmap_list[10]: virt: c00c000000160000  phys: 2150000
crash> kmem -i
                 PAGES        TOTAL      PERCENTAGE
    TOTAL MEM    17790       1.1 GB         ----
         FREE    15746     984.1 MB   88% of TOTAL MEM
      BUFFERS        0            0    0% of TOTAL MEM
crash> kmem -f
ZONE  NAME        SIZE    FREE      MEM_MAP       START_PADDR  START_MAPNR
  0   Normal     24576   16680  c00c000000000000       0            0
AREA    SIZE  FREE_AREA_STRUCT  BLOCKS  PAGES
  0      64k  c00000003ff68380       0      0
  0      64k  c00000003ff68390       4      4
  8   16384k  c00000003ff686d0      61  15616

nr_free_pages: 15625  (found 15620)
crash> kmem -n
NR      SECTION        CODED_MEM_MAP        MEM_MAP       STATE PFN
 0  c00000003fed8280  c00c000000000000  c00c000000000000  PMOE  0
64  c00000003fed8a80  c00c000000000000  c00c000000100000   PMO  16384

   MEM_BLOCK        NAME        PHYSICAL START     NODE  STATE   START_SECTION_NO
 c000000002d1e000   memory0             0           0    ONLINE  0
crash> rd -64 c00c000000000000 3
c00c000000000000:  003ffff800002000 c00c000000000008   . ....?.........
c00c000000000010:  c00c000000000008                    ........
crash> vtop c008000000000000
VIRTUAL           PHYSICAL
c008000000000000  (not mapped)

PAGE DIRECTORY: c000000002830000
  PGD: c000000002830400 => 8000000002c38000
  PTE: c0000000032f0000 => 0

crash> vtop c00c000000170040
VIRTUAL           PHYSICAL
c00c000000170040  22f0040

      PAGE       PHYSICAL      MAPPING       INDEX CNT FLAGS
c00c000000008bc0  22f0000                0        0  1 3ffff800000000
crash> q
"""


def test_crash_session() -> None:
    found = parse_session(SESSION)
    assert is_complete(SESSION)
    assert not is_complete(SESSION.removesuffix("crash> q\n"))
    assert found.release == "6.1.0-50-powerpc64le"
    assert (found.base, found.count, found.block_size) == (0xC00C << 48, 12, 65536)
    assert found.list_lines == [
        "      vmemmap_list[0]: virt: c00c000000170000  phys: 2160000",
        "     vmemmap_list[10]: virt: c00c000000160000  phys: 2150000",
    ]
    assert found.totals == {"TOTAL MEM": 17790, "FREE": 15746, "BUFFERS": 0}
    assert (found.free_blocks, found.free_found) == ({0: 4, 8: 61}, 15620)
    assert found.sections == [(0, "PMOE", 0), (64, "PMO", 16384)]
    assert found.words == {
        0xC00C000000000000: 0x003FFFF800002000,
        0xC00C000000000008: 0xC00C000000000008,
        0xC00C000000000010: 0xC00C000000000008,
    }
    assert found.vtop == {
        0xC008000000000000: Answer(None, (("PGD", 0x8000000002C38000), ("PTE", 0))),
        0xC00C000000170040: Answer(0x22F0040, ()),
    }


def test_crash_finds_as_many_free_pages_as_are_counted() -> None:
    said = "crash> kmem -f\nnr_free_pages: 15620  (verified)\ncrash> q\n"
    assert parse_session(said).free_found == 15620


def test_crash_script() -> None:
    lines = script([0xC0 << 56], [(0xC00C << 48, 4)]).splitlines()
    assert lines[:2] == ["sys", "help -m"]
    assert lines[-3:] == ["rd -64 c00c000000000000 4", "vtop c000000000000000", "q"]


def test_makedumpfile_report() -> None:
    rows = [f"    {line} : 0x{at:016x}" for at, line in enumerate(NAMES.values(), 5)]
    assert parse_report("STEP\n" + "\n".join(rows)) == {
        name: at for at, name in enumerate(NAMES, 5)
    }
    assert parse_report("\n".join(rows[1:])) is None


def test_makedumpfile_version() -> None:
    assert parse_version("makedumpfile: version 1.7.8 (released on 30 Oct 2025)\n") == (1, 7, 8)
    assert parse_version("") == ()


def test_headers_of_qemu_are_rewritten(tmp_path: Path) -> None:
    """A big-endian file with two segments; what is read back is found by readelf's rules."""
    text = b"OSRELEASE=6.1.0\nPAGESIZE=65536\n"
    note = struct.pack("<III", 11, len(text), 0) + b"VMCOREINFO\0\0" + text
    low = bytes(100) + b"VMCOREINFO\0 of another kind" + bytes(400) + note
    low, high = low.ljust(0x2000, b"\0"), bytes(range(256)) * 16
    rows = [(4, 0, 232, 0, 0, 0, 0, 0), (1, 0, 300, 0, 0, len(low), len(low), 0)]
    rows.append((1, 0, 300 + len(low), 0, 0x40000000, len(high), len(high), 0))
    head = b"\x7fELF\x02\x02\x01".ljust(16, b"\0")
    head += struct.pack(">HHIQQQIHHHHHH", 4, 21, 1, 0, 64, 0, 0, 64, 56, len(rows), 0, 0, 0)
    head += b"".join(struct.pack(">IIQQQQQQ", *row) for row in rows)
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(head.ljust(300, b"\0") + low + high)
    rewrite(old, new)
    data = new.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01"
    found = [struct.unpack_from("<IIQQQQQQ", data, 64 + 56 * row) for row in range(3)]
    kept = data[found[0][2] : found[0][2] + found[0][5]]
    assert kept.startswith(b"\x0b\0\0\0")
    assert text in kept
    for row, (phys, content) in zip(found[1:], ((0, low), (0x40000000, high)), strict=True):
        assert row[3:5] == ((0xC << 60) + phys, phys)
        assert data[row[2] : row[2] + row[5]] == content
    with pytest.raises(ValueError, match="big-endian"):
        rewrite(new, tmp_path / "again")
