"""The synthetic machine, read back with nothing but ``struct`` and the fact sheets' figures."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import numpy as np
import pytest

from builders.big_list import write_big_list
from builders.flattened import build_flattened
from builders.kernel_era import version_of
from builders.machine import Machine, build_machine
from builders.vmcoreinfo import vmcoreinfo_text
from work import lines_of

LINEAR = 0xC000000000000000
MARK = {"little": "<", "big": ">"}

EVERY_MACHINE = [
    {},
    {"byte_order": "big"},
    {"byte_order": "big", "page_size": 4096, "block_shift": 12},
    {"page_size": 4096, "block_shift": 24},
    {"block_shift": 24, "struct_page_size": 56},
    {"node_order": "shuffled", "blocks": 40, "hot_removed": 3},
    {"page_size": 4096, "block_shift": 12, "blocks": 400, "node_order": "shuffled"},
    {"layout": "f000", "release": "3.14.0-test"},
    {"layout": "c00030", "page_size": 4096, "block_shift": 16},
    {"mmu": "radix", "block_shift": 21},
    {"mmu": "radix", "page_size": 4096, "block_shift": 12, "layout": "c00a", "byte_order": "big"},
    {"blocks": [0, 1, 5, 6]},
]


def symbol(machine: Machine, name: str) -> int:
    return int(machine.vmcoreinfo[f"SYMBOL({name})"], 16)


def word(machine: Machine, virt: int, kind: str = "Q") -> int:
    data = machine.memory.read(virt - LINEAR, struct.calcsize("<" + kind))
    value: int = struct.unpack(MARK[machine.byte_order] + kind, data)[0]
    return value


def walk(machine: Machine) -> list[tuple[int, int, int]]:
    """Follow the list as section 1.1 of the fact sheet says: list 0, phys 8, virt_addr 16."""
    node, found = word(machine, symbol(machine, "vmemmap_list")), []
    while node:
        link, phys, virt = (word(machine, node + offset) for offset in (0, 8, 16))
        found.append((node, phys, virt))
        node = link
    return found


def radix_walk(machine: Machine, virt: int) -> int | None:
    """Translate by the 13/9/9/9 or 13/9/9/5 tree; every entry is big-endian."""
    page_shift = 16 if machine.page_size == 65536 else 12
    bits = [13, 9, 9, 5 if page_shift == 16 else 9]
    shift, table = 52, symbol(machine, "swapper_pg_dir") - LINEAR
    for level, width in enumerate(bits):
        shift -= width
        index = (virt >> shift) % (1 << width)
        entry = int.from_bytes(machine.memory.read(table + 8 * index, 8), "big")
        if not entry >> 63:
            return None
        if entry >> 62 & 1:
            base = entry & ((1 << 53) - 1) & ~((1 << page_shift) - 1)
            return (base & ~((1 << shift) - 1)) + virt % (1 << shift)
        assert entry & 0x1F == bits[level + 1]
        table = entry & ~0xC0000000000000FF
    raise AssertionError("no leaf at the last level")


@pytest.mark.parametrize("options", EVERY_MACHINE)
def test_the_list_in_memory_is_the_known_answer(options: dict[str, object]) -> None:
    machine = build_machine(**options)  # type: ignore[arg-type]
    assert walk(machine) == list(machine.entries)
    assert len(machine.entries) == len(machine.blocks) > 0
    assert sorted(entry.virt for entry in machine.entries) == [b.virt for b in machine.blocks]
    block_size = 1 << machine.block_shift
    assert all(entry.phys % block_size == entry.virt % block_size == 0 for entry in machine.entries)
    ranges = sorted(block.phys for block in machine.blocks)
    assert all(b - a >= block_size for a, b in itertools.pairwise(ranges))


@pytest.mark.parametrize("options", EVERY_MACHINE)
def test_block_size_is_found_through_mmu_psize_defs(options: dict[str, object]) -> None:
    machine = build_machine(**options)  # type: ignore[arg-type]
    index = word(machine, symbol(machine, "mmu_vmemmap_psize"), "I")
    size = int(machine.vmcoreinfo["SIZE(mmu_psize_def)"])
    assert word(machine, symbol(machine, "mmu_psize_defs") + index * size, "I") == (
        machine.block_shift
    )


@pytest.mark.parametrize(
    ("release", "index", "size"),
    [("3.13.0", 8, 80), ("4.9.0", 9, 88), ("4.18.0", 10, 88), ("6.1.0", 10, 96)],
)
def test_index_of_16m_follows_the_kernel(release: str, index: int, size: int) -> None:
    machine = build_machine(layout="f000", release=release, block_shift=24)
    assert word(machine, symbol(machine, "mmu_vmemmap_psize"), "I") == index
    assert machine.vmcoreinfo["SIZE(mmu_psize_def)"] == str(size)


@pytest.mark.parametrize("options", EVERY_MACHINE)
def test_utsname_and_sections(options: dict[str, object]) -> None:
    machine = build_machine(**options)  # type: ignore[arg-type]
    name_at = int(machine.vmcoreinfo.get("OFFSET(uts_namespace.name)", 4))
    raw = machine.memory.read(symbol(machine, "init_uts_ns") - LINEAR + name_at, 390)
    fields = [raw[at : at + 65].rstrip(b"\0").decode() for at in range(0, 390, 65)]
    assert fields[0] == "Linux"
    assert fields[2] == machine.vmcoreinfo["OSRELEASE"]
    assert fields[4] == ("ppc64le" if machine.byte_order == "little" else "ppc64")

    per_root = machine.page_size // 32
    section = machine.sections[-1]
    root = word(machine, symbol(machine, "mem_section") + 8 * (section // per_root))
    assert word(machine, root + 32 * (section % per_root)) & ~0x3F == machine.vmemmap_base
    length = int(machine.vmcoreinfo["LENGTH(mem_section)"])
    last_root = symbol(machine, "mem_section") + 8 * (length - 1)
    assert word(machine, last_root) == 0


def test_boot_nodes_are_cut_from_pages_and_run_newest_first() -> None:
    machine = build_machine(page_size=4096, block_shift=12, blocks=171, layout="c00c")
    oldest_first = [entry.node for entry in reversed(machine.entries)]
    assert oldest_first[:3] == [machine.node_pages[0] + 24 * slot for slot in range(3)]
    # 170 nodes fit into a 4 KiB page; the next one starts another.
    assert oldest_first[169] == machine.node_pages[0] + 24 * 169
    assert oldest_first[170] == machine.node_pages[1]
    assert [entry.virt for entry in machine.entries] == sorted(
        (entry.virt for entry in machine.entries), reverse=True
    )
    assert machine.memory.read(machine.node_pages[1] - LINEAR + 24, 4) == b"\xa5" * 4


def test_freed_nodes_keep_stale_values_and_form_a_stack() -> None:
    machine = build_machine(blocks=10, hot_removed=3)
    assert len(machine.entries) == 7
    node = word(machine, machine.symbols["next"])
    for freed in reversed(machine.freed):
        assert node == freed.node
        assert word(machine, node + 16) == freed.virt
        node = word(machine, node)
    # Below the freed nodes lies the next unused one.
    assert node == machine.node_pages[0] + 24 * 10


def test_shuffled_list_uses_the_same_nodes_in_another_order() -> None:
    boot = build_machine(blocks=20)
    shuffled = build_machine(blocks=20, node_order="shuffled")
    assert {entry.node for entry in boot.entries} == {entry.node for entry in shuffled.entries}
    assert [entry.node for entry in shuffled.entries] != [entry.node for entry in boot.entries]


@pytest.mark.parametrize("shift", [12, 21])
@pytest.mark.parametrize("order", ["little", "big"])
def test_radix_tree_maps_linear_range_and_blocks(order: str, shift: int) -> None:
    page_size = 4096 if shift == 12 else 65536
    machine = build_machine(
        byte_order=order,  # type: ignore[arg-type]
        page_size=page_size,
        block_shift=shift,
        mmu="radix",
    )
    for block in machine.blocks:
        for offset in (0, 0x123, (1 << shift) - 1):
            assert radix_walk(machine, block.virt + offset) == block.phys + offset
    assert radix_walk(machine, symbol(machine, "_stext")) == 0
    assert radix_walk(machine, LINEAR + machine.ram_end - 1) == machine.ram_end - 1
    assert radix_walk(machine, machine.blocks[-1].virt + (1 << 30)) is None
    machine.map_page(0xC008000000000000, 0x130000)
    assert radix_walk(machine, 0xC008000000000010) == 0x130010


def test_radix_kernels_from_6_6_on_have_no_list() -> None:
    machine = build_machine(mmu="radix", release="6.12.0-test", block_shift=21)
    assert walk(machine) == [] == list(machine.entries)
    assert word(machine, symbol(machine, "mmu_vmemmap_psize"), "I") == 0
    assert machine.vmcoreinfo["NUMBER(RADIX_MMU)"] == "1"
    assert symbol(machine, "vmemmap") == machine.vmemmap_base
    assert radix_walk(machine, machine.blocks[0].virt) == machine.blocks[0].phys


def test_hash_root_is_empty_until_a_page_is_mapped() -> None:
    machine = build_machine()
    root = symbol(machine, "swapper_pg_dir") - LINEAR
    assert not any(machine.memory.read(root, 65536))
    machine.map_page(0xC008000000000000, 0x200000)
    # 64 KiB hash pages since 4.17: 8/10/10/8 bits, root index 0x80 for 0xc008...
    entry = int.from_bytes(machine.memory.read(root + 8 * 0x80, 8), "big")
    assert entry >> 63


@pytest.mark.parametrize("order", ["little", "big"])
def test_blocks_hold_their_own_addresses(order: str) -> None:
    machine = build_machine(byte_order=order)  # type: ignore[arg-type]
    first, second = machine.blocks[:2]
    assert second.virt == first.virt + 65536
    border = machine.memory.read(first.phys + 65528, 8) + machine.memory.read(second.phys, 8)
    expected = struct.pack(MARK[order] + "2Q", second.virt - 8, second.virt)
    assert border == expected == machine.content(second.virt - 8, 16)
    assert machine.content(second.virt - 5, 7) == expected[3:10]


def test_large_blocks_are_stored_at_the_borders_and_on_request() -> None:
    machine = build_machine(block_shift=24)
    block = machine.blocks[3]
    assert machine.read(block.virt, 16) == machine.content(block.virt, 16)
    end = block.virt + (1 << 24)
    assert machine.read(end - 16, 16) == machine.content(end - 16, 16)
    middle = block.virt + 0x12340
    with pytest.raises(KeyError):
        machine.read(middle, 8)
    machine.store(middle, 8)
    assert machine.read(middle, 8) == machine.content(middle, 8)


def test_damage_shows_in_the_dumps() -> None:
    machine = build_machine()
    machine.poke_node(2, link=0xDEADBEEF)
    machine.zero_node(5)
    assert word(machine, machine.entries[2].node) == 0xDEADBEEF
    assert machine.read(machine.entries[5].node, 24) == bytes(24)
    before = len(machine.elf())
    machine.drop(machine.blocks[0].virt)
    assert len(machine.elf()) == before - 65536
    machine.exclude(machine.blocks[1].virt)
    assert len(machine.elf()) == before - 2 * 65536
    marked = machine.kdump_pages()
    assert machine.blocks[0].phys // 65536 not in marked
    assert marked[machine.blocks[1].phys // 65536] is None


def test_blocks_of_another_size_hold_the_same_bytes() -> None:
    machine = build_machine(page_size=4096, block_shift=16)
    small, large = machine.kdump_pages(), machine.kdump_pages(65536)
    start = machine.blocks[0].phys
    page, block = small[start // 4096 + 3], large[start // 65536]
    assert isinstance(page, bytearray)
    assert isinstance(block, bytes)
    assert block[3 * 4096 : 4 * 4096] == page


def test_vmcoreinfo_lies_in_memory_twice() -> None:
    machine = build_machine(byte_order="big")
    text = vmcoreinfo_text(machine.vmcoreinfo)
    note = machine.memory.read(machine.vmcoreinfo_note, 24 + len(text))
    assert note == struct.pack(">III", 11, len(text), 0) + b"VMCOREINFO\0\0" + text
    data = machine.memory.read(machine.vmcoreinfo_data, machine.page_size)
    assert data.startswith(b"OSRELEASE=6.1.0")
    assert data.rstrip(b"\0") + b"CRASHTIME=1795335881\n" == text
    del machine.vmcoreinfo["PAGESIZE"]
    machine.sync_vmcoreinfo()
    assert b"PAGESIZE" not in machine.memory.read(machine.vmcoreinfo_note, 4000)


@pytest.mark.parametrize(
    ("release", "has", "lacks"),
    [
        ("3.12.9", "SYMBOL(mem_section)", "SYMBOL(vmemmap_list)"),
        ("5.4.0", "SYMBOL(vmemmap_list)", "NUMBER(MAX_PHYSMEM_BITS)"),
        ("6.1.0", "SYMBOL(vmap_area_list)", "SYMBOL(vmemmap)"),
        ("6.12.0", "SYMBOL(vmemmap)", "SYMBOL(vmap_area_list)"),
    ],
)
def test_keys_follow_the_version(release: str, has: str, lacks: str) -> None:
    facts = build_machine(layout="f000", release=release).vmcoreinfo
    assert has in facts
    assert lacks not in facts


def test_version_of_a_release_text() -> None:
    assert version_of("6.1.0-50-powerpc64le") == (6, 1)
    with pytest.raises(ValueError, match="no kernel version"):
        version_of("nonsense")


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("node_order", ["boot", "shuffled"])
def test_big_list_can_be_walked(tmp_path: Path, order: str, node_order: str) -> None:
    big = write_big_list(
        tmp_path / "big.elf",
        nodes=6000,
        byte_order=order,  # type: ignore[arg-type]
        node_order=node_order,  # type: ignore[arg-type]
    )
    data, mark = big.path.read_bytes(), MARK[order]
    count = struct.unpack_from(mark + "H", data, 56)[0]
    loads = [struct.unpack_from(mark + "IIQQQQQQ", data, 64 + 56 * i) for i in range(count)]
    # Type, offset, paddr, filesz of the stored ones.
    stored = [(row[4], row[2], row[5]) for row in loads if row[0] == 1 and row[5]]

    def read(phys: int, kind: str) -> tuple[int, ...]:
        for paddr, offset, size in stored:
            if paddr <= phys < paddr + size:
                found: tuple[int, ...] = struct.unpack_from(
                    mark + kind, data, offset + phys - paddr
                )
                return found
        raise AssertionError(hex(phys))

    node, found = big.head, []
    while node:
        link, phys, virt = read(node - LINEAR, "3Q")
        found.append((node, phys, virt))
        node = link
    known = np.stack((big.node, big.phys, big.virt), axis=1)
    assert found == [tuple(row) for row in known.tolist()]
    assert len(np.unique(big.virt)) == len(np.unique(big.phys)) == 6000
    assert int(big.virt.max()) == big.vmemmap_base + 5999 * 65536


def test_a_million_nodes_are_made_array_by_array(tmp_path: Path) -> None:
    path = tmp_path / "big.elf"
    assert lines_of(lambda: write_big_list(path, node_order="shuffled")) < 200_000
    assert path.stat().st_size < 64 << 20


def test_flattened_records_rebuild_the_file() -> None:
    inner = build_machine().kdump()
    flat = build_flattened(inner, record_bytes=5000, skip_zero=True)
    assert flat[:16] == b"makedumpfile\0\0\0\0"
    assert struct.unpack_from(">qq", flat, 16) == (1, 1)
    image, at, order = bytearray(len(inner)), 4096, []
    while (record := struct.unpack_from(">qq", flat, at)) != (-1, -1):
        offset, size = record
        image[offset : offset + size] = flat[at + 16 : at + 16 + size]
        order.append(offset)
        at += 16 + size
    assert image == inner
    assert at + 16 == len(flat)
    assert order != sorted(order)
