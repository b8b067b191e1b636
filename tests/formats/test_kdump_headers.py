"""kdump headers: offsets by version, and the field that is named when one is impossible."""

from __future__ import annotations

import dataclasses

import pytest

from builders.byte_order import Order, other
from builders.kdump import VALID_SUB_HEADER_BYTES, build_kdump
from builders.notes import kernel_notes
from vmemmap.formats import kdump as layout

ORDERS: list[Order] = ["little", "big"]
BLOCK = 4096
PAGE = bytes(range(256)) * 16


def decode(data: bytes, order: Order) -> tuple[layout.MainHeader, layout.SubHeader]:
    main = layout.decode_main(data[:464], order)
    return main, layout.decode_sub(data[BLOCK : BLOCK + 104], main)


@pytest.mark.parametrize("order", ORDERS)
def test_main_header_fields(order: Order) -> None:
    uts = {"release": "6.1.0-50", "machine": "ppc64le", "version": "#1 SMP"}
    data = build_kdump(
        {70000: PAGE},
        block_size=BLOCK,
        order=order,
        utsname=uts,
        notes=kernel_notes(order, cpus=5),
        codec="lzo",
    )
    main, _ = decode(data, order)
    assert main == layout.MainHeader(
        order=order,
        header_version=6,
        release="6.1.0-50",
        machine="ppc64le",
        status=2,
        block_size=BLOCK,
        sub_hdr_size_blocks=1,
        bitmap_blocks=6,  # 70001 bits are 8751 bytes, three blocks a map
        max_mapnr=70001,
        nr_cpus=5,
    )


def test_unterminated_utsname_stops_at_its_65_bytes() -> None:
    data = build_kdump(
        {1: PAGE}, block_size=BLOCK, utsname={"machine": b"m" * 65, "release": b"r" * 65}
    )
    main, _ = decode(data, "little")
    assert (main.machine, main.release) == ("m" * 65, "r" * 65)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("version", range(7))
def test_sub_header_fields_by_version(version: int, order: Order) -> None:
    notes = kernel_notes(order, vmcoreinfo=b"OSRELEASE=x\n")
    data = build_kdump(
        {3: PAGE, 9: PAGE},
        block_size=BLOCK,
        order=order,
        version=version,
        notes=notes,
        split=(2, 8),
        dump_level=17,
        max_mapnr=11,
        beyond_version=0xEE,
    )
    _, sub = decode(data, order)
    notes_at = BLOCK + 104
    text = (notes_at + notes.vmcoreinfo_offset, 12)
    assert sub.dump_level == (17 if version >= 1 else None)
    assert sub.split is (version >= 2)
    assert (sub.start_pfn, sub.end_pfn) == ((2, 8) if version >= 2 else (0, 0))
    found = (sub.offset_vmcoreinfo, sub.size_vmcoreinfo)
    assert found == (text if version >= 3 else (0, 0))
    found = (sub.offset_note, sub.size_note)
    assert found == ((notes_at, len(notes.data)) if version >= 4 else (0, 0))
    assert sub.max_mapnr == 11


def test_version_six_takes_the_64_bit_fields() -> None:
    sub_header = {
        "start_pfn": 1,
        "end_pfn": 2,
        "start_pfn_64": 1 << 40,
        "end_pfn_64": 1 << 41,
        "max_mapnr_64": 1 << 42,
    }
    data = build_kdump({3: PAGE}, block_size=BLOCK, sub_header=sub_header)
    _, sub = decode(data, "little")
    assert (sub.start_pfn, sub.end_pfn, sub.max_mapnr) == (1 << 40, 1 << 41, 1 << 42)


@pytest.mark.parametrize("have", range(0, 104, 8))
def test_a_sub_header_cut_short_reads_as_zero_beyond(have: int) -> None:
    data = build_kdump({3: PAGE}, block_size=BLOCK, notes=kernel_notes("little"), dump_level=31)
    main = layout.decode_main(data[:464], "little")
    sub = layout.decode_sub(data[BLOCK : BLOCK + have], main)
    assert sub.dump_level == (31 if have >= 16 else 0)
    assert (sub.size_note > 0) is (have >= 64)
    assert sub.max_mapnr == 0


def test_the_valid_bytes_agree_with_the_format_document() -> None:
    assert dict(enumerate(layout.SUB_HEADER_BYTES_OF_VERSION)) == VALID_SUB_HEADER_BYTES


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", [4096, 8192, 16384, 32768, 65536])
@pytest.mark.parametrize("version", range(7))
def test_exactly_one_order_is_plausible(order: Order, block: int, version: int) -> None:
    data = build_kdump({1: bytes(block)}, block_size=block, order=order, version=version)
    right = layout.decode_main(data[:464], order)
    wrong = layout.decode_main(data[:464], other(order))
    assert layout.main_header_fault(right, len(data)) is None
    assert layout.main_header_fault(wrong, len(data)) is not None


@pytest.mark.parametrize(
    ("field", "at", "values"),
    [
        ("header_version", 8, [-1, -(2**31), 17, 2**31 - 1]),
        ("block_size", 428, [0, -1, -4096, 1, 512, 2048, 4097, 12288, 131072, 2**30, 2**31 - 1]),
        ("sub_hdr_size", 432, [0, -1, -(2**31), 100, 2**31 - 1]),
        ("bitmap_blocks", 436, [0]),
    ],
)
def test_the_first_bad_field_is_named(field: str, at: int, values: list[int]) -> None:
    data = build_kdump({1: PAGE}, block_size=BLOCK)
    sound = layout.decode_main(data[:464], "little")
    name = {"sub_hdr_size": "sub_hdr_size_blocks"}.get(field, field)
    for value in values:
        bad = dataclasses.replace(sound, **{name: value})  # type: ignore[arg-type]
        fault = layout.main_header_fault(bad, len(data))
        assert fault is not None
        assert fault[:2] == (at, field)
        assert fault[3] == str(value)
