"""BTF decoded from bytes that are made by its description alone, of either byte order."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples
from builders import btf as make
from builders.btf import BtfBuilder
from builders.byte_order import Order, prefix
from vmemmap.errors import FactInvalid, VmemmapError
from vmemmap.facts.types.btf import BTF_MAX_BYTES, Btf
from vmemmap.facts.types.keys import value_by_types

ORDERS: tuple[Order, Order] = ("little", "big")


def sample(order: Order) -> BtfBuilder:
    """Every kind of record, among them the types that are asked for."""
    made = BtfBuilder(order)
    word, half = made.integer("unsigned long", 8), made.integer("int", 4)
    made.record("", make.FUNC_PROTO, half, count=2, tail=made.words(0, word, 0, half))
    made.record("a_function", make.FUNC, 3)
    pointer = made.record("", make.PTR, 0)
    made.record("page", make.FWD, 0)
    made.record("page", make.VAR, word, tail=made.words(0))
    made.record(".data..percpu", make.DATASEC, 8, count=1, tail=made.words(7, 0, 8))
    made.record("a tag", make.DECL_TAG, word, tail=made.words(0xFFFFFFFF))
    tagged = made.alias(make.TYPE_TAG, half, "percpu")
    number = made.record("float", make.FLOAT, 4)
    counter = made.composite(make.STRUCT, "", 4, [("counter", tagged, 0)])
    atomic = made.alias(make.VOLATILE, made.alias(make.TYPEDEF, counter, "atomic_t"))
    inner = made.composite(make.STRUCT, "", 16, [("next", pointer, 0), ("prev", pointer, 64)])
    union = made.composite(make.UNION, "", 16, [("", inner, 0), ("order", number, 0)])
    rows = made.array(made.array(half, 5), 3)
    bits = made.composite(make.STRUCT, "", 4, [("low", half, 0, 3), ("high", half, 3, 13)])
    fields = [("flags", made.alias(make.CONST, word), 0), ("", union, 64), ("rows", rows, 192)]
    fields += [("_mapcount", atomic, 672), ("bits", bits, 704)]
    made.composite(make.STRUCT, "page", 96, fields)
    made.alias(make.TYPEDEF, made.alias(make.RESTRICT, rows), "rows_t")
    made.enum("pageflags", {"PG_lru": 5, "PG_head": 6, "__NR_PAGEFLAGS": 24})
    made.enum("signs", {"LOW": -3, "HIGH": 7}, signed=True)
    made.enum64("wide", {"LOW": -3, "HIGH": 1 << 40}, signed=True)
    made.enum64("unsigned", {"HIGH": (1 << 64) - 1})
    return made


@pytest.fixture(params=ORDERS)
def built(request: pytest.FixtureRequest) -> Btf:
    return Btf(sample(request.param).build(), "a file")


def test_sizes(built: Btf) -> None:
    assert built.size("page") == 96  # not the declaration nor the variable of this name
    assert built.size("rows_t") == 60
    assert built.size("atomic_t") == 4
    assert built.size("nothing") is None
    assert built.size("") is None
    assert built.size("unsigned long") is None  # no struct, union or typedef


@pytest.mark.parametrize(
    ("path", "offset", "width", "count"),
    [
        ("page.flags", 0, 8, None),
        ("page.prev", 16, 8, None),
        ("page.order", 8, 4, None),
        ("page.rows", 24, 60, 3),
        ("page._mapcount", 84, 4, None),
        ("page._mapcount.counter", 84, 4, None),
        ("page.bits", 88, 4, None),
    ],
)
def test_members(built: Btf, path: str, offset: int, width: int, count: int | None) -> None:
    member = built.member(path)
    assert member is not None
    assert (member.offset, member.width, member.count) == (offset, width, count)
    assert (member.bit_offset, member.bits) == (8 * offset, 0)


def test_bit_fields(built: Btf) -> None:
    member = built.member("page.bits.high")
    assert member is not None
    assert (member.offset, member.bit_offset, member.bits, member.width) == (88, 707, 13, 2)


def test_enumerators_in_order(built: Btf) -> None:
    flags = built.enumerators("pageflags") or {}
    assert list(flags.items()) == [("PG_lru", 5), ("PG_head", 6), ("__NR_PAGEFLAGS", 24)]
    assert built.enumerators("signs") == {"LOW": -3, "HIGH": 7}
    assert built.enumerators("wide") == {"LOW": -3, "HIGH": 1 << 40}
    assert built.enumerators("unsigned") == {"HIGH": (1 << 64) - 1}
    assert built.enumerators("page") is None


@pytest.mark.parametrize("order", ORDERS)
def test_a_longer_header_and_the_same_name_twice(order: Order) -> None:
    made = sample(order)
    word = made.integer("u64", 8)
    made.composite(make.STRUCT, "zone", 8, [("a", word, 0)])
    made.composite(make.STRUCT, "zone", 16, [("b", word, 0)])
    found = Btf(made.build(header_bytes=48), "a file")
    assert found.size("page") == 96
    assert found.size("zone") is None  # which of the two is meant cannot be told


def test_the_keys_of_vmcoreinfo(built: Btf) -> None:
    expected = {
        "SIZE(page)": 96,
        "OFFSET(page._mapcount)": 84,
        "LENGTH(page.rows)": 3,
        "NUMBER(PG_lru)": 5,
        "NUMBER(PG_head_mask)": 64,
        **dict.fromkeys(
            ("NUMBER(LOW)", "LENGTH(page)", "SYMBOL(page)", "NUMBER(PG_x)", "PAGESIZE"), None
        ),
        **dict.fromkeys(("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", "OFFSET(page)"), None),
    }
    assert {key: value_by_types(built, key) for key in expected} == expected


HUGE = 0xFFFFFFFF
DAMAGE = {
    "no magic": (0, b"\0\0"),
    "another version": (2, b"\2"),
    "types beyond the end": (12, b"\xff" * 4),
    "strings beyond the end": (20, b"\xff" * 4),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_header(order: Order, name: str) -> None:
    at, content = DAMAGE[name]
    data = bytearray(sample(order).build())
    data[at : at + len(content)] = content
    with pytest.raises(FactInvalid, match="a file is damaged"):
        Btf(bytes(data), "a file")


@pytest.mark.parametrize("order", ORDERS)
def test_unknown_kinds_and_what_is_cut_off(order: Order) -> None:
    made = sample(order)
    made.record("", 25, 0)
    with pytest.raises(FactInvalid, match="of kind 25, which is unknown"):
        Btf(made.build(), "a file")
    made = sample(order)
    made.record("", make.STRUCT, 8, count=9)
    with pytest.raises(FactInvalid, match="cut off"):
        Btf(made.build(), "a file")
    with pytest.raises(FactInvalid):
        Btf(b"", "a file")
    with pytest.raises(FactInvalid, match="at most"):
        Btf(made.build() + bytes(BTF_MAX_BYTES), "a file")


@pytest.mark.parametrize("order", ORDERS)
def test_types_that_run_in_circles(order: Order) -> None:
    made = BtfBuilder(order)
    made.alias(make.TYPEDEF, 2, "round")
    made.alias(make.CONST, 1)
    made.composite(make.STRUCT, "inside", 8, [("", 3, 0), ("", 3, 0)])
    made.composite(make.STRUCT, "beyond", 8, [("a", 99999, 0)])
    made.record("", make.ARRAY, 0, tail=made.words(5, 1, HUGE))
    made.alias(make.TYPEDEF, 5, "array")
    made.composite(make.STRUCT, "wide", 8, [("", 7, 0)] * 65535)
    for _ in range(1000):
        made.alias(make.TYPEDEF, 3, "often")
    found = Btf(made.build(), "a file")
    assert found.size("often") is None
    for ask in (
        lambda: found.member("wide.x"),
        lambda: found.size("round"),
        lambda: found.member("inside.x"),
        lambda: found.member("beyond.a"),
        lambda: found.size("array"),
    ):
        with pytest.raises(FactInvalid):
            ask()


WHOLE = {order: sample(order).build() for order in ORDERS}
ASKED = ("SIZE(page)", "OFFSET(page._mapcount)", "LENGTH(page.rows)", "NUMBER(PG_head_mask)")


@settings(max_examples=examples(400))
@given(
    order=st.sampled_from(ORDERS),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=5)), max_size=5
    ),
    cut=st.none() | st.floats(0, 1),
)
def test_any_damage_is_an_error_or_an_answer(order: Order, changes, cut) -> None:
    data = bytearray(WHOLE[order])
    for where, content in changes:
        at = int(where * len(data))
        data[at : at + len(content)] = content
    if cut is not None:
        del data[int(cut * len(data)) :]
    try:
        found = Btf(bytes(data), "a file")
    except VmemmapError:
        return
    answers = 0
    for key in ASKED:
        try:
            value = value_by_types(found, key)
        except VmemmapError:
            continue
        assert value is None or isinstance(value, int)
        answers += 1
    if not changes and cut in (None, 1.0):
        assert answers == len(ASKED)


def test_many_types_of_random_damage_end_in_time() -> None:
    """No walk over hostile records is longer than the bytes there are."""
    rng = random.Random(7)
    word = prefix("little") + "3I"
    records = b"".join(
        struct.pack(
            word, rng.randrange(64), rng.choice((1, 4, 8, 10)) << 24, rng.randrange(1 << 17)
        )
        for _ in range(100_000)
    )
    strings = b"\0page\0" + bytes(64)
    header = struct.pack("<HBB5I", 0xEB9F, 1, 0, 24, 0, len(records), len(records), len(strings))
    try:
        found = Btf(header + records + strings, "a file")
        found.member("page.flags")
        found.size("page")
    except FactInvalid:
        pass
