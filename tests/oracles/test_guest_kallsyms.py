"""The kernel's symbols in real dumps, against what the guest's own /proc/kallsyms had."""

from __future__ import annotations

import bisect
import lzma
import re

import pytest

import vmemmap
from conftest import SHARED

# The kernel of both is the same.
DUMPS = (
    "hash-64k-6.1/vmcore.d31.zlib",
    "hash-64k-6.1/vmcore.d31.elf.zst",
    "radix-64k-6.1/vmcore.d31.zlib",
    "qemu-hash-64k-6.1/dump.kdump-zlib",
)
STEP = 0x1234


@pytest.fixture(scope="module")
def guest() -> list[tuple[int, str, str]]:
    """Give address, kind and name of the kernel's own symbols; those of modules end in [name]."""
    path = SHARED / "truth" / "hash-64k-6.1.guest-kallsyms.txt.xz"
    if not path.exists():
        pytest.skip("the guest's kallsyms are not beside this repository")
    rows = [line.split() for line in lzma.decompress(path.read_bytes()).decode().splitlines()]
    return [(int(row[0], 16), row[1], row[2]) for row in rows if len(row) == 3]


@pytest.mark.parametrize("name", DUMPS)
def test_every_symbol_of_the_kernel(name: str, real_dump, guest) -> None:
    assert len(guest) > 39_000
    with vmemmap.open(real_dump(name)) as core:
        found = [(symbol.address, symbol.kind, symbol.name) for symbol in core.symbols]
    assert found == guest


def test_every_address_of_the_code_has_the_name_that_the_guest_gives(real_dump, guest) -> None:
    """The nearest symbol below; this kernel has the symbols of its code only."""
    addresses = [address for address, _, _ in guest]
    names = {name: address for address, _, name in guest}
    with vmemmap.open(real_dump(DUMPS[0])) as core:
        for start, end in (("_stext", "_etext"), ("_sinittext", "_einittext")):
            for address in range(names[start], names[end], STEP):
                nearest = addresses[bisect.bisect_right(addresses, address) - 1]
                hit = core.symbolize(address)
                assert hit is not None
                first = guest[bisect.bisect_left(addresses, nearest)][2]
                assert (hit.name, hit.offset) == (first, address - nearest)
        for address in (names["_etext"], names["_einittext"], 0xC000000002536920):
            assert core.symbolize(address) is None, "of the data nothing is known"


def test_a_name_that_is_there_once_is_found(real_dump, guest) -> None:
    counts: dict[str, int] = {}
    for _, _, name in guest:
        counts[name] = counts.get(name, 0) + 1
    with vmemmap.open(real_dump(DUMPS[0])) as core:
        for address, _, name in guest[::199]:
            if counts[name] == 1:
                assert core.symbol(name).address == address
            else:
                assert address in [symbol.address for symbol in core.symbols.find_all(name)]


@pytest.mark.parametrize("machine", ["hash-64k-6.1", "radix-64k-6.1"])
def test_the_panic_trace_names_its_addresses_as_the_kernel_did(
    machine: str, real_dump, truth
) -> None:
    """``[c000000000db3e18] write_sysrq_trigger+0x108/0x1d8``: name, offset and size."""
    trace = re.findall(
        r"\[(c0[0-9a-f]{14})\] ([\w.]+)\+0x([0-9a-f]+)/0x([0-9a-f]+)(?! \[)",
        truth(f"{machine}.vmcore-dmesg.txt"),
    )
    assert len(trace) >= 10
    with vmemmap.open(real_dump(f"{machine}/vmcore.d31.zlib")) as core:
        for address, name, offset, size in trace:
            hit = core.symbolize(int(address, 16))
            assert hit is not None
            assert (hit.name, hit.offset, hit.size) == (name, int(offset, 16), int(size, 16))
