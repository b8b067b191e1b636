"""Symbols and what is mapped, beside the guest's kallsyms, modules and vmallocinfo."""

from __future__ import annotations

import numpy as np
import pytest

import vmemmap
from lab.checks.guest_kernel import (
    Symbol,
    parse_kallsyms,
    parse_modules,
    parse_vmallocinfo,
)
from lab.checks.machine_facts import loses_tails, said
from lab.checks.opened import Opened
from lab.results import Result

STEP = 37
NAME_AT, NAME_BYTES = 24, 56
"""Where struct module has its name, in bytes, since long."""


@pytest.fixture
def module_symbols(machine: Result, opened: Opened) -> list[Symbol]:
    """Those of modules that are loaded as such: [bpf] and the like are none."""
    modules = {module.name for module in parse_modules(said(machine, "modules"))}
    found = [symbol for symbol in opened.kallsyms if symbol.module in modules]
    assert len(found) > 20 * len(modules)
    return found


def test_every_symbol_of_the_kernel(opened: Opened) -> None:
    own = [(row.address, row.kind, row.name) for row in opened.kallsyms if not row.module]
    assert len(own) > 30_000
    try:
        found = [(row.address, row.kind, row.name) for row in opened.core.symbols]
    except vmemmap.FactMissing as error:
        pytest.skip(f"the dump does not tell: {error}")
    assert found == own


def test_vmlinux_has_the_same_addresses(machine: Result) -> None:
    """The guest ran where its image was linked to, so a table from outside gives the same."""
    kallsyms = parse_kallsyms(said(machine, "kallsyms"))
    own = {(row.address, row.name) for row in kallsyms if not row.module}
    path = machine.path(machine.dumps[0])
    with vmemmap.open(path, vmlinux=machine.vmlinux) as core, vmemmap.open(path) as plain:
        try:
            table = {(symbol.address, symbol.name) for symbol in core.symbols}
        except vmemmap.VmemmapError as error:
            pytest.skip(f"the image tells no symbols: {error}")
        assert list(core.backing) == list(plain.backing)
    # kallsyms leaves some of the image's symbols out, and has a few that only exist at run time.
    assert len(table & own) > 0.99 * len(own)


def test_every_symbol_of_a_module_translates(
    machine: Result, opened: Opened, module_symbols: list[Symbol]
) -> None:
    addresses = np.array([row.address for row in module_symbols], dtype=np.uint64)
    phys, known = opened.core.vtop_many(addresses)
    if not known.all() and opened.dump.maker == "makedumpfile":
        pytest.skip(loses_tails(machine, opened.dump.level) or "")
    assert known.all(), module_symbols[int(np.argmin(known))]
    assert (phys % opened.page_size == addresses % opened.page_size).all()
    present = [(block.start, block.end) for block in opened.blocks]
    for row, many in list(zip(module_symbols, phys.tolist(), strict=True))[::STEP]:
        one = opened.core.vtop(row.address)
        assert (one.phys, one.method) == (many, "page_table"), row
        assert any(low <= many < high for low, high in present), row


def test_module_names_are_where_the_modules_are(
    machine: Result, opened: Opened, module_symbols: list[Symbol]
) -> None:
    """``__this_module`` is the struct module: a state, two links, and then its name."""
    names = [row for row in module_symbols if row.name == "__this_module"]
    if not names:
        pytest.skip("this kernel's kallsyms has code only")
    for row in names:
        try:
            data = opened.core.read(row.address, NAME_AT + NAME_BYTES)
        except vmemmap.ReadError as error:
            if why := loses_tails(machine, opened.dump.level):
                pytest.skip(f"{why}: {error}")
            raise
        assert data[NAME_AT:].partition(b"\0")[0].decode() == row.module
    assert len(names) == len(parse_modules(said(machine, "modules")))


def test_vmalloc_areas_are_mapped_as_the_guest_says(machine: Result, opened: Opened) -> None:
    """As many pages as it says and no guard page; I/O memory where it says."""
    areas = parse_vmallocinfo(said(machine, "vmallocinfo"))
    if not areas:
        pytest.skip("the guest's vmallocinfo hides the addresses (no_hash_pointers shows them)")
    page = opened.page_size
    counted, lost = 0, []
    for area in areas:
        virts = np.arange(area.start, area.end, page, dtype=np.uint64)
        phys, known = opened.core.vtop_many(virts)
        if area.phys is None and area.pages is None:
            continue
        if not known.any() and (why := loses_tails(machine, opened.dump.level)):
            lost.append(f"{area}: {why}")
        elif area.phys is not None:
            mapped = np.arange(area.phys, area.phys + len(virts) * page, page, dtype=np.uint64)
            assert known[: len(virts) - 1].all(), area
            assert (phys[known] == mapped[known]).all(), area
            counted += 1
        else:
            assert int(known.sum()) == area.pages, area
            assert known[: area.pages].all(), area
            assert len(np.unique(phys[known])) == area.pages, area
            counted += 1
    if lost and opened.dump.maker == "makedumpfile":
        pytest.skip(f"{len(lost)} areas of {len(areas)} are lost, {lost[0]}")
    assert not lost
    assert counted > 10
