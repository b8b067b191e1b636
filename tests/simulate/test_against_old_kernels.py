"""The model beside real old kernels, 2.6.35 and 4.9: given their memory and history, it is they.

Compared are the list (order, virtual addresses, which slot of which page each node has), VMCOREINFO
(keys, their order, all values that neither the linker nor the configuration decides), the regions,
the lines of boot, and how struct pages look. The truth beside the dumps was read by another reader
and by the guests themselves (``../shared/truth``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest

import vmemmap
from simulate.kernel_history import STRUCT_PAGE, ZONES
from vmemmap.simulate import HotplugEvent, Machine, MachineSpec, MemoryRange, PagePlan
from vmemmap.simulate.crash.dmesg import dmesg

MIB = 1 << 20
GUESTS = {
    "be-2.6.35-4k-hash": MachineSpec(
        memory=(MemoryRange(0, 0, 512 * MIB),),
        release="2.6.35.6",
        page_size=4096,
        byte_order="big",
        block_size=65536,
    ),
    "le-4.9-64k-hash": MachineSpec(
        # mem=640M, the second node begins at 512 MiB; 256 MiB were probed and put online.
        memory=(MemoryRange(0, 0, 512 * MIB), MemoryRange(1, 512 * MIB, 128 * MIB)),
        release="4.9.154",
        block_size=65536,
        struct_page_size=56,  # built without memory cgroups
        crash_time=1795696204,
        events=(HotplugEvent("add", 0x30000000, 256 * MIB),),
    ),
}
CONFIGURED = re.compile(
    r"SIZE\((zone|pglist_data|free_area)\)|OFFSET\((zone|pglist_data)\..*\)"
    r"|LENGTH\(free_area.free_list\)"
)
"""Sizes of the node structures: the model has those of Debian's kernels."""
NOT_THERE = {"NUMBER(PG_hwpoison)", "CRASHTIME"}
"""The 4.9 is built without memory failure; the 2.6.35 has not crashed."""


@dataclass(frozen=True)
class Pair:
    """A real kernel's dump and account of itself, and the model of it."""

    name: str
    machine: Machine
    truth: dict[str, object]
    console: str
    told: dict[str, str]


@pytest.fixture(params=GUESTS)
def pair(request, real_dump, truth) -> Pair:
    name = request.param
    return Pair(
        name,
        Machine(GUESTS[name]).boot().run_events(),
        json.loads(truth(f"{name}.truth.json")),
        truth(f"{name}.guest-console.txt"),
        keys_of(real_dump(f"old/{name}.vmcoreinfo.txt").read_text()),
    )


def keys_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_the_list_is_that_of_the_real_kernel(pair: Pair) -> None:
    rows: list[list[str]] = pair.truth["entries"]  # type: ignore[assignment]
    real = [(int(node, 16), int(virt, 16)) for node, _phys, virt in rows]
    model = [(node, virt) for node, _phys, virt in pair.machine.walk()]
    assert pair.truth["block_size"] == pair.machine.block_size
    assert [virt for _, virt in model] == [virt for _, virt in real]
    page = pair.machine.kernel.page_size
    assert [node % page for node, _ in model] == [node % page for node, _ in real]
    pages = [
        [node // page - entries[-1][0] // page for node, _ in entries] for entries in (model, real)
    ]
    assert pages[0] == pages[1]
    assert len(model) > 12


def test_sections_are_as_many(pair: Pair) -> None:
    machine = pair.machine
    ends = [part.end for part in machine.spec.memory] + [e.end for e in machine.spec.events]
    numbers = range(max(ends) >> 24)
    whole = [number for number in numbers if machine.sparsemem.flags(number) & 2]
    assert len(whole) == pair.truth["sections"]


def test_vmcoreinfo_has_the_same_keys_and_values(pair: Pair) -> None:
    model = keys_of(pair.machine.snapshot().vmcoreinfo.decode())
    assert [key for key in model if key not in NOT_THERE - set(pair.told)] == list(pair.told)
    same = [key for key in pair.told if not key.startswith("SYMBOL") and not CONFIGURED.match(key)]
    assert len(same) > 18
    assert {key: model[key] for key in same} == {key: pair.told[key] for key in same}


def test_the_node_structure_has_the_same_parts(pair: Pair) -> None:
    """Zones and zonelists before nr_zones, and what follows it; a zone's size is configured."""

    def parts(keys: dict[str, str]) -> list[int]:
        zone, nr_zones = int(keys["SIZE(zone)"]), int(keys["OFFSET(pglist_data.nr_zones)"])
        names = ("node_start_pfn", "node_spanned_pages", "node_id")
        after = [int(keys[f"OFFSET(pglist_data.{name})"]) - nr_zones for name in names]
        zones = len(ZONES[pair.machine.kernel.release])
        return [nr_zones - zones * zone, *after]

    model = keys_of(pair.machine.snapshot().vmcoreinfo.decode())
    assert parts(model) == parts(pair.told)


def test_the_regions_lie_where_they_lay(pair: Pair) -> None:
    regions = pair.machine.kernel.regions
    assert hex(regions.vmemmap.start) == pair.truth.get("vmemmap_base", "0xf000000000000000")
    areas: list[list[str]] = pair.truth["vmalloc"]  # type: ignore[assignment]
    starts = [int(virt, 16) for virt, _phys in areas]
    assert min(starts) == regions.vmalloc.start
    assert max(starts) < regions.vmalloc.end


def test_the_lines_of_boot_are_lines_of_the_real_boot(pair: Pair) -> None:
    """All but the banner; the size of the pages of the linear map is the machine's."""
    said = [
        message
        for message in dmesg(pair.machine.snapshot().machine)
        if not message.time_ns // 10**9
    ]
    lines = [f"<{message.level}>{message.text}" for message in said]
    real = {
        re.sub(r"linear mapping = \d+", "linear mapping = 24", line[0] + line[1])
        for line in re.findall(r"^(<\d>)\[[ 0-9.]+\] (.*)$", pair.console, re.MULTILINE)
    }
    boot = [line for line in lines if "Linux version" not in line]
    assert len(boot) >= 3
    assert [line for line in boot if line not in real] == []


def looks(raw: bytes, release: str, order: str) -> set[tuple[int, int, int]]:
    """How struct pages of 56 bytes look: flags, _mapcount, _refcount.

    Flags without the bits that say which processor used the page last: the 4.9 is built without.
    """
    mark, at = "<" if order == "little" else ">", STRUCT_PAGE[release]
    words = np.frombuffer(raw, f"{mark}u8").reshape(-1, 7)
    counts = np.frombuffer(raw, f"{mark}i4").reshape(-1, 14)
    flags = words[:, 0] & ~np.uint64(0x7FFFF << 35)
    columns = (flags, counts[:, at.mapcount // 4], counts[:, at.refcount // 4])
    return set(zip(*(column.tolist() for column in columns), strict=True))


def test_struct_pages_look_as_in_the_real_dump(pair: Pair, real_dump) -> None:
    name, spec = pair.name, pair.machine.spec
    used = replace(spec, pages=PagePlan(anonymous=64, cache=64))
    snapshot = Machine(used).boot().run_events().snapshot()
    size = spec.memory[0].size // spec.page_size * 56
    raw = snapshot.struct_pages.paint(snapshot.machine.kernel.vmemmap_base, size).tobytes()
    model = looks(raw, spec.release, spec.byte_order)
    with vmemmap.open(
        real_dump(f"old/{name}.meta.elf.zst"),
        vmlinux=real_dump(f"old/symbols-{name}.elf"),
        vmcoreinfo=real_dump(f"old/{name}.vmcoreinfo.txt"),
    ) as core:
        read = core.read(int(core.facts["vmemmap_base"].value), size)
    real = looks(read, spec.release, spec.byte_order)
    old = spec.release.startswith("2.6")
    for kind, look in {
        "inside a free block": (0, -1, 0),
        "a free block": (1 << 19, -1, 0) if old else (0, -128, 0),
        "reserved": (1 << 10, -1, 1),
        "in use by the kernel": (0, -1, 1),
    }.items():
        assert look in model, f"the model: {kind}"
        assert look in real, f"the real kernel: {kind}"
