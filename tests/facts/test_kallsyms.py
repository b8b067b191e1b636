"""The kernel's own symbol table: every form that kernels have used, and every kind of damage."""

from __future__ import annotations

import random
import string
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth import examples, pairs
from builders.kallsyms import KernelSymbol, install_kallsyms
from builders.kernel_data import PAGE_OFFSET
from builders.machine import Machine, build_machine
from vmcore.machine_source import MachineSource, vmcore_of
from vmemmap.errors import FactConflict, FactError, FactInvalid, FactMissing, UnknownSymbol
from vmemmap.facts.symbols.table import SymbolTable
from vmemmap.vmcore import Vmcore
from work import lines_of

ORDERS = ["little", "big"]
TEXT_END, INIT, INIT_END, END = (PAGE_OFFSET + at for at in (0x90000, 0xA0000, 0xB0000, 0x1F0000))
LETTERS = string.ascii_letters + string.digits + "_.$"


def symbols_of(
    machine: Machine, *, all_of_them: bool = True, long_names: int = 0, count: int = 700
) -> list[KernelSymbol]:
    """Give made-up symbols of a kernel's image, with those that mark its parts.

    Names have random letters, which cannot be put into few tokens: *long_names* of them take more
    than 127, in the middle of the table.
    """
    rng = random.Random(count + long_names)
    found: list[KernelSymbol] = [
        ("T", "_stext", PAGE_OFFSET),
        ("T", "_text", PAGE_OFFSET),
        ("T", "_etext", TEXT_END),
        ("T", "_sinittext", INIT),
        ("T", "_einittext", INIT_END),
    ]
    for row in range(count):
        length = 300 if count // 2 <= row < count // 2 + long_names else rng.randint(1, 40)
        name = "".join(rng.choices(LETTERS, k=length))
        found.append((rng.choice("tTwW"), f"_{name}", PAGE_OFFSET + 16 + 64 * row))
    if all_of_them:
        found += [("B", "_end", END), ("d", "twice", TEXT_END + 8), ("b", "twice", TEXT_END + 24)]
        found += [
            ("D", name, value)
            for name, value in machine.symbols.items()
            if PAGE_OFFSET < value < PAGE_OFFSET + 0x1000000
        ]
    return found


def machine_with(symbols: list[KernelSymbol] | None = None, **options: Any) -> Machine:
    machine = build_machine(byte_order=options.pop("byte_order", "little"), blocks=2, store="none")
    install_kallsyms(machine, symbols or symbols_of(machine), **options)
    return machine


def rows_of(table: SymbolTable) -> list[KernelSymbol]:
    return [(symbol.kind, symbol.name, symbol.address) for symbol in table]


@pytest.mark.parametrize(
    ("byte_order", "lengths", "addresses", "offsets_first", "all_of_them", "long_names"),
    pairs(
        product(
            ORDERS,
            ("byte", "two bytes"),
            ("relative", "percpu", "place", "absolute"),
            (True, False),
            (True, False),
            (0, 3),
        )
    ),
)
def test_every_symbol_in_every_form(
    byte_order, lengths, addresses, offsets_first, all_of_them, long_names
) -> None:
    machine = build_machine(byte_order=byte_order, blocks=2, store="none")
    # A name of one byte's length has at most 255 tokens: four letters each where they repeat.
    symbols = symbols_of(machine, all_of_them=all_of_them, long_names=long_names)
    if lengths == "byte":
        symbols = [(kind, name[:180], address) for kind, name, address in symbols]
    install_kallsyms(
        machine, symbols, lengths=lengths, addresses=addresses, offsets_first=offsets_first
    )
    table = vmcore_of(machine).symbols
    assert rows_of(table) == sorted(symbols, key=lambda symbol: symbol[2])
    assert len(table) == table.fact.value == len(symbols)
    assert table.fact.origin == "kallsyms"
    assert ("lengths of names" in table.fact.detail) == bool(long_names)


def test_names_of_every_length_around_those_that_take_two_bytes() -> None:
    """Most of them have a token for each letter: 128 and 256 are met."""
    machine = build_machine(blocks=2, store="none")
    rng = random.Random(1)
    names = ["".join(rng.choices(LETTERS, k=length)) for length in range(100, 300)]
    symbols = symbols_of(machine)
    symbols += [("t", name, INIT_END + 16 + row) for row, name in enumerate(names)]
    places = install_kallsyms(machine, symbols)
    stored = machine.read(places["kallsyms_names"], places["markers"] - places["kallsyms_names"])
    assert all(bytes([length & 127 | 128, length >> 7]) in stored for length in (128, 129, 256))
    assert rows_of(vmcore_of(machine).symbols) == sorted(symbols, key=lambda symbol: symbol[2])


@pytest.mark.parametrize("byte_order", ORDERS)
def test_a_relocated_kernel_has_another_base(byte_order) -> None:
    machine = build_machine(byte_order=byte_order, blocks=2, store="none")
    moved = 0x2000000
    symbols = [(kind, name, address + moved) for kind, name, address in symbols_of(machine)]
    machine.vmcoreinfo["SYMBOL(_stext)"] = format(PAGE_OFFSET + moved, "x")
    install_kallsyms(machine, symbols, base=PAGE_OFFSET + moved)
    assert rows_of(vmcore_of(machine).symbols) == sorted(symbols, key=lambda symbol: symbol[2])


def test_a_big_table_is_read_in_one_go() -> None:
    """180,000 symbols, as the largest kernels have: few reads, and few lines for each symbol."""
    machine = build_machine(blocks=2, store="none")
    symbols = symbols_of(machine, all_of_them=False)
    end = INIT_END + 16
    symbols += [("t", f"function_number_{row}_of_many", end + 32 * row) for row in range(180_000)]
    install_kallsyms(machine, symbols)
    core = vmcore_of(machine)
    assert lines_of(lambda: core.symbols) < 8 * len(symbols)
    assert len(core.symbols) == len(symbols)
    assert cast(MachineSource, core.source).reads < 100


# Names and addresses


def test_an_address_is_named_as_the_kernel_names_it() -> None:
    symbols = [
        *[("T", "_stext", PAGE_OFFSET), ("T", "first", PAGE_OFFSET), ("t", "second", PAGE_OFFSET)],
        *[("T", "third", PAGE_OFFSET + 0x40), ("B", "_end", PAGE_OFFSET + 0x100)],
    ]
    core = vmcore_of(machine_with(symbols))
    for address, text, size in [
        (PAGE_OFFSET, "_stext", 0x40),
        (PAGE_OFFSET + 0x3F, "_stext+0x3f", 0x40),
        (PAGE_OFFSET + 0x40, "third", 0xC0),
        (PAGE_OFFSET + 0xFF, "third+0xbf", 0xC0),
    ]:
        hit = core.symbolize(address)
        assert hit is not None
        assert (str(hit), hit.size) == (text, size)
        assert hit.symbol.address + hit.offset == address
    for address in (0, PAGE_OFFSET - 1, PAGE_OFFSET + 0x100, PAGE_OFFSET + (1 << 40), 2**64 - 1):
        assert core.symbolize(address) is None, hex(address)


def test_without_the_data_only_code_has_names() -> None:
    """A kernel without CONFIG_KALLSYMS_ALL: what lies between its code must not be named."""
    machine = build_machine(blocks=2, store="none")
    symbols = symbols_of(machine, all_of_them=False)
    install_kallsyms(machine, symbols)
    core = vmcore_of(machine)
    assert core.symbolize(TEXT_END - 1) is not None
    assert core.symbolize(TEXT_END) is None
    assert core.symbolize(INIT - 1) is None
    assert str(core.symbolize(INIT + 4)) == "_sinittext+0x4"
    assert core.symbolize(INIT_END) is None


def test_a_table_without_marks_names_nothing() -> None:
    symbols = [("T", "_stext", PAGE_OFFSET), ("T", "a", PAGE_OFFSET + 8)]
    core = vmcore_of(machine_with(symbols))
    assert core.symbol("a").address == PAGE_OFFSET + 8
    assert core.symbolize(PAGE_OFFSET + 8) is None


def test_a_name_finds_its_symbol_and_a_tail_of_a_name_none() -> None:
    machine = machine_with()
    core = vmcore_of(machine)
    symbol = core.symbol("vmemmap_list")
    assert (symbol.name, symbol.address) == ("vmemmap_list", machine.symbols["vmemmap_list"])
    assert symbol.kind == "D"
    for name in ("list", "emmap_list", "vmemmap_lis", "", "Dvmemmap_list", "\0", "a\0b", "\udcff"):
        with pytest.raises(UnknownSymbol) as caught:
            core.symbol(name)
        assert name not in caught.value.similar


def test_a_name_that_several_have_is_not_chosen_from() -> None:
    core = vmcore_of(machine_with())
    with pytest.raises(FactConflict, match=f"{TEXT_END + 8:#x}, {TEXT_END + 24:#x}"):
        core.symbol("twice")
    assert [symbol.address for symbol in core.symbols.find_all("twice")] == [
        TEXT_END + 8,
        TEXT_END + 24,
    ]


def test_vmcoreinfo_says_which_of_several_is_meant() -> None:
    machine = build_machine(blocks=2, store="none")
    symbols = [*symbols_of(machine), ("t", "vmemmap_list", PAGE_OFFSET + 0x80008)]
    install_kallsyms(machine, symbols)
    assert vmcore_of(machine).symbol("vmemmap_list").address == machine.symbols["vmemmap_list"]


def test_vmcoreinfo_has_symbols_that_the_table_has_not() -> None:
    machine = build_machine(blocks=2, store="none")
    install_kallsyms(machine, symbols_of(machine, all_of_them=False))
    core = vmcore_of(machine)
    assert core.symbol("vmemmap_list").address == machine.symbols["vmemmap_list"]
    for value_not_address in ("vmemmap", "mem_section"):
        with pytest.raises(UnknownSymbol):
            core.symbol(value_not_address)


def test_similar_names_are_suggested() -> None:
    core = vmcore_of(machine_with())
    with pytest.raises(UnknownSymbol, match="similar: vmemmap_list") as caught:
        core.symbol("vmemap_list")
    assert caught.value.similar[0] == "vmemmap_list"


# Damage


def table_of(core: Vmcore) -> SymbolTable:
    return core.symbols


@pytest.mark.parametrize(
    "key",
    ["kallsyms_names", "kallsyms_num_syms", "kallsyms_token_table", "kallsyms_token_index"],
)
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(FactMissing, match=key):
        table_of(vmcore_of(machine_with(), without=(f"SYMBOL({key})",)))


def test_an_old_kernel_without_keys_points_to_the_vmlinux() -> None:
    machine = build_machine(blocks=2, store="none", layout="f000", release="4.18.0-80")
    core = vmcore_of(machine)
    with pytest.raises(FactMissing, match="--vmlinux"):
        table_of(core)
    # What VMCOREINFO itself has is found all the same.
    assert core.symbol("vmemmap_list").address == machine.symbols["vmemmap_list"]
    assert core.symbolize(0xD000000000000000) is None
    with pytest.raises(FactMissing, match="--vmlinux"):
        core.symbol("schedule")


@pytest.mark.parametrize("count", [0, (1 << 20) + 1, 0xFFFFFFFF])
@pytest.mark.parametrize("byte_order", ORDERS)
def test_an_absurd_count(byte_order, count: int) -> None:
    machine = machine_with(byte_order=byte_order)
    machine.poke_u32(int(machine.vmcoreinfo["SYMBOL(kallsyms_num_syms)"], 16), count)
    with pytest.raises(FactInvalid, match=f"kallsyms_num_syms is {count};"):
        table_of(vmcore_of(machine))


@pytest.mark.parametrize("name", ["names", "num_syms", "token_table", "token_index", "offsets"])
@pytest.mark.parametrize("place", ["0", "c008000000000000", "c0000000ffff0000", "f" * 16])
def test_a_table_that_is_elsewhere(name: str, place: str) -> None:
    core = vmcore_of(machine_with(), changes={f"SYMBOL(kallsyms_{name})": place})
    with pytest.raises(FactError, match=f"kallsyms_{name}|symbol table is damaged"):
        table_of(core)


@pytest.mark.parametrize("name", ["names", "num_syms", "token_table", "token_index", "offsets"])
def test_a_table_that_is_not_in_the_dump(name: str) -> None:
    machine = build_machine(blocks=2, store="none", page_size=4096, block_shift=12)
    places = install_kallsyms(machine, symbols_of(machine, count=3_000), offsets_first=False)
    machine.exclude(places[f"kallsyms_{name}"])
    with pytest.raises(FactMissing, match="excluded"):
        table_of(vmcore_of(machine))


def test_a_table_that_contradicts_vmcoreinfo_is_refused() -> None:
    machine = machine_with()
    core = vmcore_of(machine, changes={"SYMBOL(_stext)": format(PAGE_OFFSET + 0x40, "x")})
    with pytest.raises(FactInvalid, match="no way to read it"):
        table_of(core)


def test_addresses_out_of_order_are_refused() -> None:
    machine = machine_with()
    place = int(machine.vmcoreinfo["SYMBOL(kallsyms_offsets)"], 16)
    machine.poke_u32(place + 4 * 300, 5)
    with pytest.raises(FactInvalid, match="damaged"):
        table_of(vmcore_of(machine))


def test_names_that_would_fill_the_memory_are_refused() -> None:
    machine = machine_with()
    # Every token the whole of a long text.
    machine.poke(int(machine.vmcoreinfo["SYMBOL(kallsyms_token_table)"], 16), b"T" * 900)
    machine.poke(int(machine.vmcoreinfo["SYMBOL(kallsyms_token_index)"], 16), bytes(512))
    core = vmcore_of(machine)
    with pytest.raises(FactError):
        table_of(core)


@settings(max_examples=examples(60))
@given(
    byte_order=st.sampled_from(ORDERS),
    addresses=st.sampled_from(["relative", "place"]),
    hits=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4000), st.binary(min_size=1)), max_size=4
    ),
)
def test_damage_anywhere_is_an_error_or_a_sound_table(byte_order, addresses, hits) -> None:
    machine = machine_with(byte_order=byte_order, addresses=addresses)
    tables = ["names", "num_syms", "token_table", "token_index", "offsets"]
    for table, at, data in hits:
        place = int(machine.vmcoreinfo[f"SYMBOL(kallsyms_{tables[table]})"], 16)
        machine.poke(place + at, data)
    core = vmcore_of(machine)
    try:
        table_read = core.symbols
    except FactError:
        return
    previous = 0
    for symbol in table_read:
        assert symbol.name
        assert symbol.address >= previous
        previous = symbol.address
    assert any(symbol.address == PAGE_OFFSET for symbol in table_read.find_all("_stext"))
