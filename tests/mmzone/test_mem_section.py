"""mem_section: asked for one address and read as a whole, by every way that leads to it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import pytest

from builders.byte_order import Order
from builders.machine import Machine, build_machine
from builders.vmcoreinfo import vmcoreinfo_text
from containers.vmlinux_file import build_vmlinux
from vmcore.machine_source import MachineSource, facts_of
from vmemmap.absence import Absence
from vmemmap.errors import FactError
from vmemmap.facts.kernel import KernelFacts
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.mmzone.mem_section import MemSection
from vmemmap.mmzone.read_sections import read_section_table
from vmemmap.mmzone.section_table import SectionTable
from vmemmap.source.base import PhysicalSource
from vmemmap.vmcore import Vmcore

ORDERS: tuple[Order, ...] = ("little", "big")
SECTION, ENTRY = 1 << 24, 32
PRESENT, MAPPED, ONLINE, EARLY = 1, 2, 4, 8
RELEASES = ("3.13.0", "4.18.0", "6.1.0")


def machine_of(order: Order, release: str = "6.1.0", page_size: int = 65536) -> Machine:
    return build_machine(
        byte_order=order,
        release=release,
        page_size=page_size,
        layout="f000",
        store="none",
        blocks=4,
    )


def word_at(machine: Machine, virt: int) -> int:
    return int.from_bytes(machine.read(virt, 8), machine.byte_order)


def write_section(machine: Machine, number: int, flags: int) -> None:
    """Put one more section into a root that the machine has."""
    root, slot = divmod(number, machine.page_size // ENTRY)
    page = word_at(machine, machine.symbols["mem_section"] + 8 * root)
    assert page, "a root that is there"
    machine.poke_u64(page + ENTRY * slot, machine.vmemmap_base | flags if flags else 0)


def scattered(machine: Machine, seed: int) -> dict[int, int]:
    """Give the first root random sections behind the machine's own; number to flags of all."""
    rng = random.Random(seed)
    first = max(machine.sections) + 2
    early = word_at(machine, word_at(machine, machine.symbols["mem_section"])) & 0x3F
    found = dict.fromkeys(machine.sections, early)
    for number in range(first, min(first + 200, machine.page_size // ENTRY)):
        flags = rng.choice([0, PRESENT, PRESENT | MAPPED, PRESENT | MAPPED | ONLINE, early])
        write_section(machine, number, flags)
        found[number] = flags
    return found


def table_of(facts: KernelFacts, machine: Machine) -> SectionTable:
    return read_section_table(MemSection(facts), machine.vmemmap_base)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("page_size", [4096, 65536])
def test_one_address_and_the_whole_table_agree_with_what_was_written(
    order: Order, release: str, page_size: int
) -> None:
    machine = machine_of(order, release, page_size)
    written = scattered(machine, seed=page_size)
    marks_early = any(flags & EARLY for flags in written.values())
    assert marks_early == (release == "6.1.0")
    facts = facts_of(machine)
    one, table = MemSection(facts), table_of(facts, machine)
    per = SECTION // page_size
    for number, flags in written.items():
        for phys in (number * SECTION, (number + 1) * SECTION - 1):
            state, run = one.find(phys), table.find(phys // page_size)
            assert (state is not None) == (run is not None) == bool(flags & MAPPED)
            if state is not None and run is not None:
                assert state.hot_added == (not flags & EARLY if marks_early else None)
                assert run.flags == flags
    assert len(table) == sum(bool(flags & MAPPED) for flags in written.values())
    assert table.pages == len(table) * per
    assert table.removed == sum(flags == PRESENT for flags in written.values())
    assert one.map_base() == machine.vmemmap_base


@pytest.mark.parametrize("order", ORDERS)
def test_beyond_the_root_array_there_is_nothing(order: Order) -> None:
    machine = machine_of(order)
    roots = int(machine.vmcoreinfo["LENGTH(mem_section)"])
    end = roots * (machine.page_size // ENTRY) * SECTION
    one = MemSection(facts_of(machine))
    assert one.find(end - 1) is one.find(end) is one.find((1 << 60) - 1) is None


def test_one_address_costs_a_few_reads_whatever_the_table_has() -> None:
    machine = machine_of("little")
    scattered(machine, seed=1)
    facts = facts_of(machine)
    one, source = MemSection(facts), facts._physical
    assert isinstance(source, MachineSource)
    assert one.find(0) is not None
    first = source.reads
    assert one.find(max(machine.sections) * SECTION) is not None
    assert first <= 12
    assert source.reads - first == 2


def test_one_address_is_answered_where_another_root_is_missing() -> None:
    """The table as a whole says what it lacks; the question about one address is not touched."""
    machine = machine_of("little", page_size=4096)
    roots, far = machine.symbols["mem_section"], 3
    page = (machine.ram_end // 4096 + 5) * 4096  # a root that no dump has
    machine.poke_u64(roots + 8 * far, 0xC000_0000_0000_0000 + page)
    facts = facts_of(machine)
    one = MemSection(facts)
    assert one.find(0) is not None
    assert one.find(2 * 128 * SECTION) is None
    assert [f.code for f in table_of(facts, machine).findings] == ["mem_section_unreadable"]


# Ways to the table.


def vmlinux_with(path: Path, machine: Machine, mem_section: int) -> SymbolFile:
    path.write_bytes(build_vmlinux([("mem_section", mem_section, 8)], order=machine.byte_order))
    return SymbolFile(path)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("is_pointer", [False, True])
@pytest.mark.parametrize("where", ["vmcoreinfo", "vmlinux"])
def test_the_symbol_is_the_root_array_or_a_pointer_to_it(
    tmp_path: Path, order: Order, is_pointer: bool, where: str
) -> None:
    """Until 4.15 a symbol table has the array, later the pointer (fact sheet, 5.4)."""
    machine = machine_of(order)
    at = machine.symbols["mem_section"]
    if is_pointer:
        machine.poke_u64(machine.symbols["log_buf"], at)
        at = machine.symbols["log_buf"]
    key = "SYMBOL(mem_section)"
    if where == "vmlinux":
        facts = facts_of(machine, without=(key,))
        facts.vmlinux = vmlinux_with(tmp_path / "vmlinux", machine, at)
    else:
        facts = facts_of(machine, changes={key: f"{at:x}"})
    one = MemSection(facts)
    assert one.roots.value == machine.symbols["mem_section"]
    assert str(one.roots.origin) == (
        "derived" if is_pointer else {"vmlinux": "user"}.get(where, "vmcoreinfo")
    )
    assert all(one.find(number * SECTION) is not None for number in machine.sections)
    assert one.find((max(machine.sections) + 1) * SECTION) is None
    assert len(table_of(facts, machine)) == len(machine.sections)


def test_what_stands_beside_the_pointer_does_not_end_the_search() -> None:
    """Taken for the root array, the pointer's neighbours are roots, and lead anywhere."""
    machine = machine_of("little", page_size=4096)
    at, own = machine.symbols["log_buf"], 128 + 2  # a section of the second root
    machine.poke_u64(at, machine.symbols["mem_section"])
    machine.poke_u64(at + 8, 0xDEAD_BEEF)
    root = 0xC000_0000_0000_0000 + (max(machine.pages) + 1) * 4096
    machine.poke_u64(machine.symbols["mem_section"] + 8, root)
    entry = machine.vmemmap_base | PRESENT | MAPPED | ONLINE | EARLY
    machine.memory.write(root & (1 << 60) - 1, bytes(4096))
    machine.poke_u64(root + 2 * ENTRY, entry)
    changes = {
        "SYMBOL(mem_section)": f"{at:x}",
        "SYMBOL(swapper_pg_dir)": f"{0xC000_0000_0000_0000 + own * SECTION:x}",
    }
    one = MemSection(facts_of(machine, changes=changes))
    assert one.find(own * SECTION) is not None
    assert one.find((own + 1) * SECTION) is None


def test_without_the_symbol_anywhere_nothing_is_claimed() -> None:
    machine = machine_of("little")
    facts = facts_of(machine, without=("SYMBOL(mem_section)",))
    for ask in (lambda: MemSection(facts).find(0), lambda: table_of(facts, machine)):
        with pytest.raises(FactError) as caught:
            ask()
        assert caught.value.name == "SYMBOL(mem_section)"


@pytest.mark.parametrize("is_pointer", [False, True])
def test_the_whole_table_does_without_the_section_of_the_kernel_itself(is_pointer: bool) -> None:
    """Of one address nothing is known then: whether this is the table, that section tells."""
    machine = machine_of("little")
    own = (machine.symbols["swapper_pg_dir"] & (1 << 60) - 1) // SECTION
    write_section(machine, own, 0)
    at = machine.symbols["mem_section"]
    if is_pointer:
        machine.poke_u64(machine.symbols["log_buf"], at)
        at = machine.symbols["log_buf"]
    facts = facts_of(machine, changes={"SYMBOL(mem_section)": f"{at:x}"})
    others = [number for number in machine.sections if number != own]
    if not others:
        write_section(machine, own + 5, PRESENT | MAPPED | ONLINE | EARLY)
        others = [own + 5]
    assert [run.start for run in table_of(facts, machine)][:1] == others[:1]
    with pytest.raises(FactError, match="no table with the kernel's own memory in it"):
        MemSection(facts).find(others[0] * SECTION)


def test_an_absence_is_explained_once_a_vmlinux_has_the_symbol(tmp_path: Path) -> None:
    machine = machine_of("little")
    hot = max(machine.sections) + 3
    write_section(machine, hot, PRESENT | MAPPED | ONLINE)
    del machine.vmcoreinfo["SYMBOL(mem_section)"]
    symbols = vmlinux_with(tmp_path / "vmlinux", machine, machine.symbols["mem_section"])
    for vmlinux, expected in ((None, Absence.NOT_IN_DUMP), (symbols, Absence.HOT_ADDED)):
        source = MachineSource(machine, vmcoreinfo=vmcoreinfo_text(machine.vmcoreinfo))
        core = Vmcore(cast(PhysicalSource, source), None, vmlinux)
        assert core.vtop(0xC000_0000_0000_0000 + hot * SECTION).absence is expected


def test_flags_without_a_section_are_damage_and_an_address_alone_is_none() -> None:
    machine = machine_of("little")
    number = max(machine.sections) + 3
    write_section(machine, number, EARLY)
    write_section(machine, number + 1, 0)
    page = word_at(machine, machine.symbols["mem_section"])
    # 5.3 to 5.5 leave the place of pfn 0 of no memory map where memory was removed.
    machine.poke_u64(page + ENTRY * (number + 1), -(number + 1) * 256 * 64 & (1 << 64) - 1)
    table = table_of(facts_of(machine), machine)
    assert len(table) == len(machine.sections)
    (finding,) = table.findings
    assert finding.code == "section_mem_map"
    assert f"section {number} is not present" in finding.message
