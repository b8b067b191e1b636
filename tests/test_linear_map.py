"""The linear map: one address or many, and the kernel's data read by its addresses."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.byte_order import Order
from vmemmap.errors import FactInvalid, FactMissing, NotInDump
from vmemmap.linear_map import LinearMemory, linear_phys, linear_phys_many, linear_virt
from vmemmap.memory import BytesMemory

START, SPAN = 0xC000_0000_0000_0000, 1 << 51
ORDERS: tuple[Order, ...] = ("little", "big")
BORDERS = [0, 1, START - 1, START, START + 1, START + SPAN - 1, START + SPAN, 0xD << 60, 2**64 - 1]


@given(st.lists(st.one_of(st.sampled_from(BORDERS), st.integers(0, 2**64 - 1))))
def test_many_addresses_are_each_what_one_is(virts: list[int]) -> None:
    phys, linear = linear_phys_many(np.array(virts, dtype=np.uint64))
    assert [p if ok else None for p, ok in zip(phys.tolist(), linear.tolist(), strict=True)] == [
        linear_phys(virt) for virt in virts
    ]


def test_the_borders() -> None:
    assert [linear_phys(virt) for virt in BORDERS] == [None] * 3 + [0, 1, SPAN - 1] + [None] * 3
    assert linear_phys(linear_virt(0x1234_5678)) == 0x1234_5678
    assert linear_virt(0x1234_5678) == 0xC000_0000_1234_5678


@pytest.mark.parametrize("order", ORDERS)
def test_numbers_of_every_width_in_the_memorys_order(order: Order) -> None:
    mark = "<" if order == "little" else ">"
    values = {1: 0xF1, 2: 0xF1E2, 4: 0xF1E2D3C4, 8: 0xF1E2D3C4B5A69788}
    for width, form in ((1, "B"), (2, "H"), (4, "I"), (8, "Q")):
        raw = struct.pack(mark + form, values[width])
        memory = LinearMemory(BytesMemory({0x1003: raw}), order)
        assert memory.word(START + 0x1003, width) == values[width]
        assert memory.number("x", START + 0x1003, width) == values[width]


@pytest.mark.parametrize("order", ORDERS)
def test_an_array_of_words(order: Order) -> None:
    numbers = [1, 0, 2**64 - 1, 0x0102030405060708]
    raw = struct.pack(("<" if order == "little" else ">") + "4Q", *numbers)
    memory = LinearMemory(BytesMemory({0x20: raw}), order)
    assert memory.words(START + 0x20, 4).tolist() == numbers
    assert memory.words(START + 0x28, 1).tolist() == [0]
    assert memory.words(START + 0x20, 0).tolist() == []
    assert memory.read(START + 0x21, 3) == raw[1:4]


@pytest.mark.parametrize("virt", [0, START - 1, START + SPAN, 2**64 - 1])
def test_outside_the_map_there_is_no_memory(virt: int) -> None:
    memory = LinearMemory(BytesMemory({0: bytes(64)}), "little")
    with pytest.raises(NotInDump, match=f"{virt:#x} is no address of kernel data") as caught:
        memory.word(virt)
    assert caught.value.phys == virt
    with pytest.raises(FactInvalid, match=r"the thing at .* does not lie in the linear map") as bad:
        memory.number("the thing", virt)
    assert bad.value.name == "the thing"


def test_what_a_fact_stands_on_has_to_end_inside_the_map() -> None:
    memory = LinearMemory(BytesMemory({SPAN - 8: bytes(16)}), "little")
    assert memory.content("x", START + SPAN - 8, 8) == bytes(8)
    with pytest.raises(FactInvalid):
        memory.content("x", START + SPAN - 8, 9)
    assert memory.content("x", START + SPAN - 1, 0) == b""
    with pytest.raises(FactInvalid):
        memory.content("x", START + SPAN, 0)


def test_what_is_not_in_the_dump_is_named() -> None:
    memory = LinearMemory(BytesMemory({0: bytes(8)}), "little")
    with pytest.raises(NotInDump) as plain:
        memory.word(START + 4)
    with pytest.raises(FactMissing) as caught:
        memory.content("log_buf", START + 4, 8)
    assert caught.value.name == "log_buf"
    assert str(caught.value) == f"log_buf at {START + 4:#x} cannot be read: {plain.value}"
    assert isinstance(caught.value.__cause__, NotInDump)
