"""The compiler as a witness: what it says itself of its structs, and what we read of its BTF and
debug information. Any gcc will do; those for PowerPC64 of either byte order are used where present.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from breadth import trying
from vmemmap.errors import FactInvalid, FactMissing, VmemmapError
from vmemmap.facts.types import dwarf
from vmemmap.facts.types.types import Types
from vmemmap.facts.vmlinux import SymbolFile
from work import lines_of

COMPILERS = [
    path
    for name in ("gcc", "powerpc64-linux-gnu-gcc", "powerpc64le-linux-gnu-gcc")
    if (path := shutil.which(name))
]
FORMS = (
    "-gbtf",
    "-gdwarf-2 -gstrict-dwarf",
    "-gdwarf-3",
    "-gdwarf-4",
    "-gdwarf-5",
    "-gdwarf-5 -gz",
)
SOURCE = """
#define offsetof(type, member) __builtin_offsetof(type, member)
typedef struct { int counter; } atomic_t;
typedef struct { unsigned long bits[4]; } nodemask_t;
struct list_head { struct list_head *next, *prev; };
enum pageflags { PG_locked, PG_writeback, PG_lru = 5, PG_head, PG_last = 31, __NR_PAGEFLAGS,
                 PG_swapcache = PG_lru };
enum signs { SIGN_LOW = -7, SIGN_NONE, SIGN_HIGH = 0x7fffffff };
enum wide { WIDE_LOW = -1, WIDE_HIGH = 0x123456789abcdefL };
struct page {
    unsigned long flags;
    union {
        struct {
            union { struct list_head lru; struct { void *filler; unsigned int mlock_count; }; };
            void *mapping;
            const volatile unsigned long private;
        };
        struct { unsigned long compound_head; };
    };
    union { atomic_t _mapcount; unsigned int page_type; };
    atomic_t _refcount;
    unsigned bit_a : 3, bit_b : 13;
    unsigned char after;
    unsigned long long bit_c : 41;
};
struct free_area { struct list_head free_list[6]; unsigned long nr_free; };
struct zone { char first; struct free_area free_area[13]; short grid[3][5]; nodemask_t mask; };
struct vmemmap_backing { struct vmemmap_backing *list; unsigned long phys, virt_addr; };
struct page a_page; struct zone a_zone; struct vmemmap_backing a_node;
enum pageflags a_flag; enum signs a_sign; enum wide a_wide;
const unsigned long truth[] = { 0xfeedfacecafebeefUL,
    sizeof(struct page), sizeof(struct zone), sizeof(nodemask_t), sizeof(struct free_area),
    offsetof(struct page, lru), offsetof(struct page, lru.prev),
    offsetof(struct page, mlock_count), offsetof(struct page, mapping),
    offsetof(struct page, private), offsetof(struct page, compound_head),
    offsetof(struct page, _mapcount), offsetof(struct page, page_type),
    offsetof(struct page, _refcount), offsetof(struct page, after),
    offsetof(struct zone, free_area), offsetof(struct zone, grid), offsetof(struct zone, mask.bits),
    offsetof(struct free_area, nr_free), offsetof(struct vmemmap_backing, virt_addr) };
struct page bits_a = { .bit_a = 7 }, bits_b = { .bit_b = 0x1fff }, bits_c = { .bit_c = -1 };
void _start(void) {}
"""
MARK = 0xFEEDFACECAFEBEEF
SIZES = ("page", "zone", "nodemask_t", "free_area")
MEMBERS = (
    *("page.lru", "page.lru.prev", "page.mlock_count", "page.mapping", "page.private"),
    *("page.compound_head", "page._mapcount", "page.page_type", "page._refcount", "page.after"),
    *("zone.free_area", "zone.grid", "zone.mask.bits", "free_area.nr_free"),
    "vmemmap_backing.virt_addr",
)
BITS = {"bit_a": 3, "bit_b": 13, "bit_c": 41}
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no gcc on this machine")


@dataclass(frozen=True)
class Compiled:
    """What a compiler made, and the byte order of its machine."""

    path: Path
    data: bytes
    order: str
    types: Types

    def number(self, data: bytes) -> int:
        return int.from_bytes(data, "little" if self.order == "little" else "big")


@pytest.fixture(scope="module", params=COMPILERS, ids=lambda path: Path(path).name)
def compiler(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=FORMS)
def compiled(request, compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "types.c").write_text(SOURCE)
    out = folder / "vmlinux"
    command = [compiler, *request.param.split(), "-O0", "-fno-pie", "-no-pie", "-static"]
    command += ["-nostdlib", "-Wl,--build-id=sha1", "-o", str(out), str(folder / "types.c")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"{Path(compiler).name} does not know {request.param}")
    data = bytearray(out.read_bytes())
    order = "little" if data[5] == 1 else "big"
    struct.pack_into("<H" if order == "little" else ">H", data, 18, 21)  # e_machine: PowerPC64
    out.write_bytes(data)
    types = SymbolFile(out).types
    assert types.form == ("BTF" if "btf" in request.param else "DWARF")
    return Compiled(out, bytes(data), order, types)


def test_sizes_and_offsets(compiled: Compiled) -> None:
    mark = MARK.to_bytes(8, "little" if compiled.order == "little" else "big")
    at = compiled.data.find(mark) + 8
    count = len(SIZES) + len(MEMBERS)
    truth = [compiled.number(compiled.data[at + 8 * i : at + 8 * i + 8]) for i in range(count)]
    ours = [compiled.types.size(name) for name in SIZES]
    for path in MEMBERS:
        member = compiled.types.member(path)
        assert member is not None, path
        ours.append(member.offset)
    assert ours == truth


def test_widths_and_counts(compiled: Compiled) -> None:
    def shape(path: str) -> tuple[int, int | None]:
        found = compiled.types.member(path)
        assert found is not None
        return found.width, found.count

    assert shape("page._mapcount") == (4, None)
    assert shape("page.private") == (8, None)
    assert shape("zone.free_area") == (13 * 104, 13)
    assert shape("free_area.free_list") == (96, 6)
    assert shape("zone.grid")[0] == 30
    assert shape("zone.mask.bits") == (32, 4)


@pytest.mark.parametrize("name", BITS)
def test_bit_fields(compiled: Compiled, name: str) -> None:
    """An object has all bits of one field set, and no other bits: there they are."""
    member = compiled.types.member(f"page.{name}")
    size = compiled.types.size("page")
    symbol = SymbolFile(compiled.path).find(f"bits_{name[-1]}")
    assert member is not None
    assert symbol is not None
    assert size == symbol.size
    object_bytes = content_at(compiled, symbol.address, size)
    assert member.bits == BITS[name]
    # On little-endian machines bits count from the lowest of each byte, on the others from the
    # highest, and so they do here.
    text = "".join(
        format(byte, "08b")[:: -1 if compiled.order == "little" else 1] for byte in object_bytes
    )
    assert text.count("1") == member.bits
    assert text[member.bit_offset : member.bit_offset + member.bits] == "1" * member.bits


def test_enumerators(compiled: Compiled) -> None:
    assert list((compiled.types.enumerators("pageflags") or {}).items()) == [
        *[("PG_locked", 0), ("PG_writeback", 1), ("PG_lru", 5), ("PG_head", 6), ("PG_last", 31)],
        *[("__NR_PAGEFLAGS", 32), ("PG_swapcache", 5)],
    ]
    signs = compiled.types.enumerators("signs") or {}
    if compiled.types.form == "BTF":  # gcc 12 does not set the flag of signed enums yet
        signs = {name: (value + (1 << 31)) % (1 << 32) - (1 << 31) for name, value in signs.items()}
    assert signs == {"SIGN_LOW": -7, "SIGN_NONE": -6, "SIGN_HIGH": 0x7FFFFFFF}


def test_wide_enumerators(compiled: Compiled) -> None:
    wide = compiled.types.enumerators("wide")
    if compiled.types.form == "BTF" and wide != {"WIDE_LOW": -1, "WIDE_HIGH": 0x123456789ABCDEF}:
        pytest.skip("before gcc 13 BTF has 32 bits of an enumerator")
    assert wide == {"WIDE_LOW": -1, "WIDE_HIGH": 0x123456789ABCDEF}


def test_what_is_not_there(compiled: Compiled) -> None:
    types = compiled.types
    for path in ("page.nothing", "page.lru.nothing", "nothing.page", "page.flags.bits", "page"):
        assert types.member(path) is None, path
    assert types.size("nothing") is None
    assert types.enumerators("page") is None
    assert types.enumerators("nothing") is None


def content_at(compiled: Compiled, address: int, size: int) -> bytes:
    """Read what the program has at an address, by its program headers."""
    word = "<" if compiled.order == "little" else ">"
    (start,), (count,) = (
        struct.unpack_from(word + "Q", compiled.data, 32),
        struct.unpack_from(word + "H", compiled.data, 56),
    )
    for row in range(count):
        kind, _, offset, virt, _, stored = struct.unpack_from(
            word + "IIQQQQ", compiled.data, start + 56 * row
        )
        if kind == 1 and virt <= address and address + size <= virt + stored:
            return compiled.data[offset + address - virt : offset + address - virt + size]
    raise AssertionError(f"{address:#x} is not in the program")


def test_damaged_debug_information_is_an_error_or_an_answer(compiler: str, tmp_path: Path) -> None:
    """It ends with no error but ours, after not much more work than the whole one takes."""
    (tmp_path / "types.c").write_text(SOURCE)
    out, damaged = tmp_path / "whole", tmp_path / "vmlinux"
    command = [compiler, "-gdwarf-4", "-static", "-nostdlib", "-fno-pie", "-no-pie", "-o", str(out)]
    subprocess.run([*command, str(tmp_path / "types.c")], check=True, capture_output=True)
    whole = bytearray(out.read_bytes())
    struct.pack_into("<H" if whole[5] == 1 else ">H", whole, 18, 21)
    rng = random.Random(11)
    places = [
        place for name in (b"vmemmap_backing\0", b"types.c\0") if (place := whole.find(name)) > 0
    ]
    refused = 0

    def ask(path: Path) -> None:
        nonlocal refused
        try:
            types = SymbolFile(path).types
            types.member("page._mapcount")
            types.size("zone")
            types.enumerators("pageflags")
        except VmemmapError:
            refused += 1

    out.write_bytes(whole)
    ask(out)
    assert not refused
    usual = lines_of(lambda: ask(out))
    for turn in range(150):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(max(places[0] - 3000, 0), len(data) - 4)
            data[at : at + 2] = rng.choice((b"\0\0", b"\xff\xff", rng.randbytes(2)))
        damaged.unlink(missing_ok=True)
        damaged.write_bytes(data)
        with trying(f"turn {turn}"):
            assert lines_of(lambda: ask(damaged)) < 3 * usual
    assert refused


def test_reading_ends_by_the_work_that_it_takes(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the clock nothing hangs: what is too much is too much on every machine."""
    if compiled.types.form == "BTF":
        pytest.skip("BTF is read whole")
    monkeypatch.setattr(dwarf, "_STEPS_MAX", 100)
    with pytest.raises(FactInvalid, match="more than 100 steps"):
        _ = SymbolFile(compiled.path).types


def test_attributes_that_take_no_bytes_are_work_too(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their values stand in .debug_abbrev, which is read once for any number of entries."""
    if compiled.types.form == "BTF":
        pytest.skip("BTF is read whole")
    spent: list[int] = []
    monkeypatch.setattr(dwarf.Dwarf, "_spend", lambda _, steps: spent.append(steps))
    types = SymbolFile(compiled.path).types
    assert types.size("zone")
    assert spent.count(1) > 100  # reads
    assert sum(steps > 1 for steps in spent) > 20  # entries with all their attributes


def test_without_pyelftools_it_says_what_to_install(
    compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "elftools.dwarf.dwarfinfo", None)
    if compiled.types.form == "BTF":
        assert SymbolFile(compiled.path).types.size("zone")  # needs none
        return
    with pytest.raises(FactMissing, match="pip install pyelftools"):
        _ = SymbolFile(compiled.path).types
