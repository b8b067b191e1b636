"""Finding VMCOREINFO in memory: the right copy among damaged, stale and false ones."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

import pytest

import vmemmap
from breadth import pairs
from builders.byte_order import Order, prefix
from builders.machine import Machine, build_machine
from builders.notes import build_note, qemu_notes
from builders.vmcoreinfo import vmcoreinfo_text
from vmemmap.errors import FactError, FactMissing
from vmemmap.facts.vmcoreinfo.candidates import FoundText
from vmemmap.facts.vmcoreinfo.search import find_in_memory

FREE = 0x40000
"""Physical memory below the kernel's data that the machine does not use."""

Find = Callable[[Machine], FoundText | None]


MACHINES = [("little", 65536), ("big", 4096)]
DUMPS = ["elf", "kdump-64k", "kdump-4k"]


def anywhere(names: Iterable[str]) -> pytest.MarkDecorator:
    """Parametrize ``name``, with the machines and the kinds of dump."""
    cases = pairs(product(DUMPS, MACHINES, names))
    return pytest.mark.parametrize(("find", "machine", "name"), cases, indirect=["find", "machine"])


@pytest.fixture(params=MACHINES, ids=["little-64k", "big-4k"])
def machine(request: pytest.FixtureRequest) -> Machine:
    order, page_size = request.param
    built = build_machine(byte_order=order, page_size=page_size, block_shift=16, blocks=4)
    built.memory.reserve(FREE, 0x40000)
    return built


@pytest.fixture(params=DUMPS)
def find(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Find]:
    """Give a function that dumps a machine without VMCOREINFO in its notes and searches."""
    opened: list[vmemmap.Vmcore] = []

    def search(machine: Machine) -> FoundText | None:
        path = tmp_path / "dump"
        notes = qemu_notes("big", memory_order=machine.byte_order)
        if request.param == "elf":
            data = machine.elf(order="big", notes=notes, align=1, sections="qemu")
        else:
            size = 65536 if request.param == "kdump-64k" else 4096
            data = machine.kdump(order="big", notes=notes, block_size=size, utsname={})
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        opened.append(vmemmap.open(path))
        found = find_in_memory(opened[-1].source).found
        return found[0] if found else None

    yield search
    for core in opened:
        core.close()


def crashed(machine: Machine) -> bytes:
    return vmcoreinfo_text(machine.vmcoreinfo)


def at_boot(machine: Machine) -> bytes:
    facts = {key: value for key, value in machine.vmcoreinfo.items() if key != "CRASHTIME"}
    return vmcoreinfo_text(facts)


def clear(machine: Machine, *places: int) -> None:
    for phys in places:
        machine.memory.write(phys, bytes(machine.page_size))


def is_the_note(found: FoundText | None, machine: Machine) -> None:
    assert found is not None
    assert (found.form, found.phys) == ("note", machine.vmcoreinfo_note)
    assert (found.order, found.text) == (machine.byte_order, crashed(machine))


def is_the_data(found: FoundText | None, machine: Machine) -> None:
    assert found is not None
    assert (found.form, found.phys) == ("data", machine.vmcoreinfo_data)
    assert found.text == at_boot(machine)


def test_the_note_goes_before_the_data(find: Find, machine: Machine) -> None:
    is_the_note(find(machine), machine)


def test_the_data_alone(find: Find, machine: Machine) -> None:
    clear(machine, machine.vmcoreinfo_note)
    is_the_data(find(machine), machine)


def note_damage(order: Order) -> dict[str, tuple[int, bytes]]:
    word = prefix(order) + "I"
    other = (">" if word[0] == "<" else "<") + "I"
    return {
        "namesz 10": (0, struct.pack(word, 10)),
        "namesz 12": (0, struct.pack(word, 12)),
        "namesz 0": (0, bytes(4)),
        "namesz of the other order": (0, struct.pack(other, 11)),
        "descsz 0": (4, bytes(4)),
        "descsz garbage": (4, b"\xde\xad\xbe\xef"),
        "descsz all ones": (4, b"\xff" * 4),
        "descsz too long": (4, struct.pack(word, 65537)),
        "descsz cuts a line": (4, struct.pack(word, 501)),
        "type 1": (8, struct.pack(word, 1)),
        "another name": (12, b"VMCOREINFX\0\0"),
        "a longer name": (12, b"VMCOREINFO\0x"),
        "text of another key": (24, b"OSRELEASF="),
        "a format": (24, b"OSRELEASE=%s\n"),
        "a byte that is no text": (300, b"\x80"),
        "a NUL in the text": (300, b"\0"),
    }


@anywhere(note_damage("little"))
def test_a_damaged_note_leaves_the_data(find: Find, machine: Machine, name: str) -> None:
    offset, data = note_damage(machine.byte_order)[name]
    machine.memory.write(machine.vmcoreinfo_note + offset, data)
    is_the_data(find(machine), machine)


def false_hits(machine: Machine) -> dict[str, bytes]:
    """What a page may begin with and still not be the kernel's text."""
    text = crashed(machine)
    page_size = machine.vmcoreinfo["PAGESIZE"].encode()
    stale = text.replace(machine.release.encode(), b"3.16.0-4-powerpc64le", 1)
    uts = machine.vmcoreinfo["SYMBOL(init_uts_ns)"].encode()
    elsewhere = text.replace(uts, b"c000000000000400", 1)
    return {
        "the printf format": b"OSRELEASE=%s\n\0PAGESIZE=%ld\n\0SYMBOL(%s)=%lx\n\0",
        "stale text": stale,
        "stale note": build_note(b"VMCOREINFO", stale, 0, machine.byte_order),
        "utsname elsewhere": elsewhere,
        "note with utsname elsewhere": build_note(b"VMCOREINFO", elsewhere, 0, machine.byte_order),
        "utsname outside of memory": text.replace(uts, b"c00fffffffff0000", 1),
        "utsname no address": text.replace(uts, b"zzzz", 1),
        "utsname in user space": text.replace(uts, b"00007fff00000000", 1),
        "no utsname": text.replace(b"SYMBOL(init_uts_ns)", b"SYMBOL(init_xxx_ns)", 1),
        "page size": text.replace(b"PAGESIZE=" + page_size, b"PAGESIZE=8192", 1),
        "no page size": text.replace(b"PAGESIZE=", b"PAGESIXE=", 1),
        "only the key": b"OSRELEASE=",
        "cut in a line": text[: text.index(b"SYMBOL(_stext)") + 5],
        "binary behind it": text[:-1] + b"\x01\x02\n",
    }


@anywhere(false_hits(build_machine(blocks=4)))
def test_false_hits_before_the_true_one(find: Find, machine: Machine, name: str) -> None:
    machine.memory.write(FREE, false_hits(machine)[name])
    machine.memory.write(FREE + 0x11000, false_hits(machine)[name])
    clear(machine, machine.vmcoreinfo_note)
    is_the_data(find(machine), machine)


@anywhere(false_hits(build_machine(blocks=4)))
def test_false_hits_alone_are_nothing(find: Find, machine: Machine, name: str) -> None:
    clear(machine, machine.vmcoreinfo_note, machine.vmcoreinfo_data)
    machine.memory.write(FREE, false_hits(machine)[name])
    assert find(machine) is None


def test_a_text_of_which_a_part_is_missing(find: Find, machine: Machine) -> None:
    """It goes on in the next page, which is not in the dump."""
    clear(machine, machine.vmcoreinfo_note, machine.vmcoreinfo_data)
    text = crashed(machine) + b"X="
    text = text.ljust(machine.page_size - 1, b"x") + b"\n"
    machine.memory.write(FREE, build_note(b"VMCOREINFO", text, 0, machine.byte_order))
    found = find(machine)
    assert found is not None
    assert (found.phys, found.text) == (FREE, text)
    machine.drop(FREE + machine.page_size)
    assert find(machine) is None


def open_without(machine: Machine, path: Path) -> vmemmap.Vmcore:
    clear(machine, machine.vmcoreinfo_note, machine.vmcoreinfo_data)
    path.write_bytes(machine.kdump(notes=qemu_notes("big"), order="big", utsname={}))
    return vmemmap.open(path)


def test_nothing_found_names_the_way_out(machine: Machine, tmp_path: Path) -> None:
    with open_without(machine, tmp_path / "dump") as core:
        with pytest.raises(FactMissing, match=r"--vmcoreinfo") as caught:
            _ = core.kernel
        assert caught.value.name == "VMCOREINFO"
        assert "found neither" in str(caught.value)
        with pytest.raises(FactError):
            core.vtop(machine.vmemmap_base)
        # Physical reads and what the container says need no VMCOREINFO.
        assert core.read_phys(0, 64) == machine.read(0, 64)


def test_nothing_found_on_the_command_line(machine: Machine, tmp_path: Path, run_vmemmap) -> None:
    open_without(machine, tmp_path / "dump").close()
    ran = run_vmemmap("list", tmp_path / "dump")
    assert (ran.code, ran.out) == (3, "")
    assert "--vmcoreinfo" in ran.err
    assert ran.err.count("\n") == 1


def test_the_search_tells_how_far_it_is(machine: Machine, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    path = tmp_path / "dump"
    path.write_bytes(machine.elf(notes=b""))
    with vmemmap.open(path, progress=lambda *report: told.append(report)) as core:
        assert told == []  # nothing is searched until something is asked
        _ = core.kernel
    assert {what for what, _, _ in told} == {"searching memory for VMCOREINFO"}
    assert told[-1][1:] == (1000, 1000)
    done = [done for _, done, _ in told]
    assert done[-1] == max(done)
    assert all(0 <= one <= 1000 for one in done)
