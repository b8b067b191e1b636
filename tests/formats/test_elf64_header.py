"""The ELF header: its byte order is found from its fields, never from EI_DATA."""

from __future__ import annotations

import struct

import pytest

from builders.byte_order import Order, other
from builders.elf_core import EM_PPC, EM_X86_64, Segment, build_elf
from vmemmap.formats import elf64

ORDERS: list[Order] = ["little", "big"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ei_data", [0, 1, 2, 255])
def test_order_comes_from_the_fields(order: Order, ei_data: int) -> None:
    data = build_elf([Segment(0, b"x")], order=order, ei_data=ei_data)
    assert elf64.container_order(data) == order


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("e_type", value) for value in (0, 1, 2, 3, 0x400, 0xFFFF)),
        *(("e_machine", value) for value in (0, EM_PPC, EM_X86_64, 0x1500)),
        *(("e_version", value) for value in (0, 2, 0x01000000)),
        *(("e_phentsize", value) for value in (0, 32, 55, 57, 0x3800)),
    ],
)
def test_one_wrong_field_fits_no_order(order: Order, field: str, value: int) -> None:
    data = build_elf([Segment(0, b"x")], order=order, header={field: value})
    assert elf64.container_order(data) is None


@pytest.mark.parametrize("order", ORDERS)
def test_header_fields(order: Order) -> None:
    values = {
        "e_phoff": 0x1122334455667788,
        "e_shoff": 0x99AABBCCDDEEFF00,
        "e_flags": 0x01020304,
        "e_phnum": 0x1234,
        "e_shentsize": 0x5678,
        "e_ehsize": 8,
    }
    header = elf64.decode_header(build_elf([], order=order, header=values), order)
    assert (header.e_type, header.e_machine, header.e_version) == (4, 21, 1)
    assert header.e_phoff == values["e_phoff"]
    assert header.e_shoff == values["e_shoff"]
    assert header.e_flags == values["e_flags"]
    assert header.e_phnum == values["e_phnum"]
    assert header.e_shentsize == values["e_shentsize"]
    assert header.e_phentsize == 56
    assert header.order == order
    wrong = elf64.decode_header(build_elf([], order=order, header=values), other(order))
    assert wrong.e_phnum == 0x3412


@pytest.mark.parametrize("order", ORDERS)
def test_program_header_layout(order: Order) -> None:
    mark = "<" if order == "little" else ">"
    numbers = (1, 7, *(0x0102030405060700 + index for index in range(6)))
    record = elf64.program_header_dtype(order)
    assert record.itemsize == 56
    packed = struct.pack(mark + "IIQQQQQQ", *numbers)
    values = tuple(int(packed_value) for packed_value in _decode(packed, record))
    assert values == numbers
    assert record.names == (
        "p_type",
        "p_flags",
        "p_offset",
        "p_vaddr",
        "p_paddr",
        "p_filesz",
        "p_memsz",
        "p_align",
    )


def _decode(packed: bytes, record: object) -> list[int]:
    import numpy as np

    row = np.frombuffer(packed, dtype=record)[0]  # type: ignore[call-overload]
    return [int(row[name]) for name in row.dtype.names]
