"""drgn opens simulated dumps and reads the same: physical memory, linear map, page tables.

drgn walks page tables on the radix MMU only, and finds out the MMU since 6.7 by VMCOREINFO. It
reads the whole 64 KiB root, so it is right with 4 KiB pages, too, where makedumpfile is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from oracles.simulated import Dump, bytes_at, crash, event, loads, spec_of
from vmemmap.simulate import PagePlan
from vmemmap.simulate.crash.dmesg import dmesg
from vmemmap.simulate.memory.image import VIRT
from vmemmap.simulate.mm.usage import Use
from vmemmap.simulate.sched.roster import CRASHER, TASKS

drgn = pytest.importorskip("drgn", reason="drgn is not installed: pip install drgn")

LINEAR = 0xC000000000000000
ORDERS = ["little", "big"]


@pytest.fixture(autouse=True)
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """This package's own drgn plugin must not answer in drgn's place, nor one loaded before."""
    from _drgn_util import plugins

    monkeypatch.setattr(plugins, "_hooks", {"drgn_prog_set": []})


def open_in_drgn(dump: Dump) -> Any:
    program = drgn.Program()
    program.set_core_dump(dump.path)
    return program


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("release", "options"),
    [
        ("2.6.35", {}),
        ("3.13", {"page": 4096}),
        ("4.18", {"mmu": "radix"}),
        ("6.1", {"events": (event("add", 512, 64, 1), event("remove", 528, 16))}),
        ("6.12", {"mmu": "radix", "page": 4096}),
        ("7.2", {}),
    ],
)
def test_physical_memory(tmp_path: Path, release: str, options: dict, order: Any) -> None:
    dump = crash(spec_of(release, byte_order=order, **options), tmp_path / "vmcore")
    program = open_in_drgn(dump)
    flags = drgn.PlatformFlags
    assert program.platform.arch == drgn.Architecture.PPC64
    assert bool(program.platform.flags & flags.IS_LITTLE_ENDIAN) == (order == "little")
    assert program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL
    table_virt, table_phys = dump.machine.vmemmap.map.columns()
    assert len(table_virt)
    places = [0, 4096, 16 << 20, 17 << 20, *table_phys[:4].tolist()]
    for start, _offset, size in loads(dump.path):
        places += [start, start + size - 64]
    for phys in places:
        data = bytes_at(dump.path, phys, 64)
        assert program.read(phys, 64, True) == data
        assert program.read(LINEAR + phys, 64) == data
    hole = 200 << 20
    with pytest.raises(drgn.FaultError):
        program.read(hole, 8, True)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("page", [65536, 4096])
@pytest.mark.parametrize("release", ["6.6.9", "6.12", "7.2"])
def test_radix_page_tables(tmp_path: Path, release: str, page: int, order: Any) -> None:
    """Its page table walk agrees with the machine and with our reader, vmemmap and vmalloc."""
    events = (event("add", 512, 64, 1), event("remove", 544, 32), event("add", 544, 16, 0))
    spec = spec_of(release, page=page, mmu="radix", byte_order=order, events=events)
    dump = crash(spec, tmp_path / "vmcore")
    program = open_in_drgn(dump)
    machine = dump.machine
    size = machine.kernel.struct_page_size
    rng = np.random.default_rng(7)
    with vmemmap.open(dump.path) as core:
        assert core.facts["mmu"].value == "radix"
        virt, phys = machine.vmemmap.map.columns()
        unit = machine.vmemmap.map.unit
        for row in rng.integers(0, len(virt), 50).tolist():
            step = int(rng.integers(0, unit // size)) * size
            at = int(virt[row]) + step
            assert core.vtop(at).phys == int(phys[row]) + step
            data = bytes_at(dump.path, int(phys[row]) + step, size)
            assert program.read(at, size) == core.read(at, size) == data
        start = machine.kernel.regions.vmalloc.start
        pages = [run.start for run in machine.usage.of(Use.VMALLOC)]
        for index, pfn in enumerate(pages):
            at = start + (index + index // 4) * page
            assert core.vtop(at).phys == pfn * page
            assert program.read(at, page) == core.read(at, page)
            assert int.from_bytes(program.read(at, 8), order) == at
        hole = start + 4 * page
        with pytest.raises(drgn.FaultError):
            program.read(hole, 8)
        with pytest.raises(vmemmap.TranslateError):
            core.vtop(hole)


@pytest.mark.parametrize("order", ORDERS)
def test_hash_is_refused_by_drgn_itself(tmp_path: Path, order: Any) -> None:
    """The dump says what its MMU is, and drgn believes it."""
    dump = crash(spec_of("6.12", byte_order=order), tmp_path / "vmcore")
    with pytest.raises(NotImplementedError, match="Radix MMU"):
        open_in_drgn(dump).read(dump.machine.kernel.vmemmap_base, 8)


@pytest.mark.parametrize(("release", "order"), [("6.1", "big"), ("6.19", "little"), ("7.2", "big")])
def test_kallsyms(tmp_path: Path, release: str, order: Any) -> None:
    """drgn reads the kernel's symbol table itself; since 7.0 offsets are from their own places."""
    from drgn.helpers.linux.kallsyms import load_vmlinux_kallsyms

    dump = crash(spec_of(release, byte_order=order, mmu="radix"), tmp_path / "vmcore")
    program = open_in_drgn(dump)
    program.register_symbol_finder("kallsyms", load_vmlinux_kallsyms(program), enable_index=0)
    for name in ("vmemmap_list", "node_data", "mem_section", "clear_seq"):
        assert program.symbol(name).address == VIRT[name]
        assert program.symbol(VIRT[name]).name == name


@pytest.mark.parametrize(
    ("release", "mmu", "order"),
    [
        ("2.6.35", "hash", "big"),  # PIDs in a hash table
        ("4.14.0", "radix", "little"),
        ("4.18", "hash", "big"),  # in a radix tree
        ("5.13", "hash", "little"),  # in an XArray
        ("6.12", "hash", "big"),
    ],
)
def test_tasks(tmp_path: Path, release: str, mmu: Any, order: Any) -> None:
    """drgn's own helpers find who runs where, by the types and variables of the vmlinux."""
    from drgn.helpers.linux import cpumask, mm, pid, sched
    from drgn.helpers.linux import list as lists

    memory = ((0, 0, 64),)
    spec = spec_of(release, mmu=mmu, byte_order=order, memory=memory, pages=PagePlan(), cpus=3)
    dump = crash(spec, tmp_path / "vmcore")
    dump.machine.write_symbols(tmp_path / "vmlinux", debug_info=True)
    program = open_in_drgn(dump)
    program.create_loaded_modules()
    program.main_module().try_file(tmp_path / "vmlinux", force=True)
    tasks = [*pid.for_each_task(program)]
    found = {t.pid.value_(): (t.tgid.value_(), t.comm.string_().decode()) for t in tasks}
    assert found == {task.pid: (task.tgid, task.comm) for task in TASKS}
    assert len(TASKS) == len(tasks)
    parents = {task.pid.value_(): task.real_parent.pid.value_() for task in tasks}
    assert parents == {task.pid: task.parent for task in TASKS}
    waits = {task.pid.value_(): sched.task_state_to_char(task) for task in tasks}
    idle = "S" if release == "2.6.35" else "I"
    assert (waits[CRASHER.pid], waits[1], waits[27]) == ("R", "S", idle)
    assert [*cpumask.for_each_online_cpu(program)] == [0, 1, 2]
    assert sched.cpu_curr(program, 0).pid == CRASHER.pid
    for cpu in (0, 1, 2):
        assert sched.idle_task(program, cpu).comm.string_() == b"swapper/%d" % cpu
        assert sched.task_cpu(sched.idle_task(program, cpu)) == cpu
    assert sched.cpu_curr(program, 2) == sched.idle_task(program, 2)
    for number in (1, 391, CRASHER.pid):
        assert pid.find_task(program, number).pid == number
    assert not pid.find_task(program, 3)
    children = program["init_task"].children.address_of_()
    of_init = lists.list_for_each_entry("struct task_struct", children, "sibling")
    assert {task.pid.value_() for task in of_init} == {1, 2}
    pages = [*mm.for_each_valid_page_range(program)] if release != "2.6.35" else []
    assert [(start, end) for start, end, _ in pages] == [(0, 1024)][: len(pages)]
    if release != "2.6.35":  # whose processes do not name their threads in a way drgn knows
        assert {thread.tid for thread in program.threads()} == {task.pid for task in TASKS}
        assert program.crashed_thread().tid == CRASHER.pid
        assert program.stack_trace(502)[0].pc == program.stack_trace(CRASHER.pid)[0].pc


def open_with_types(dump: Dump) -> Any:
    vmlinux = dump.path.with_name("vmlinux")
    dump.machine.write_symbols(vmlinux, debug_info=True)
    program = open_in_drgn(dump)
    program.create_loaded_modules()
    program.main_module().try_file(vmlinux, force=True)
    return program


@pytest.mark.parametrize(
    ("release", "page", "mmu", "order"),
    [
        ("2.6.35", 4096, "hash", "big"),  # one vm_stat, no managed_pages
        ("4.7", 65536, "hash", "little"),
        ("4.19", 65536, "radix", "big"),  # vm_zone_stat and vm_node_stat, totalram_pages a word
        ("6.12", 65536, "radix", "little"),
        pytest.param("5.10", 4096, "radix", "big", marks=pytest.mark.full),
        pytest.param("7.2", 4096, "radix", "little", marks=pytest.mark.full),
    ],
)
def test_counters(tmp_path: Path, release: str, page: int, mmu: Any, order: Any) -> None:
    """The kernel has counted what the allocators gave, and what drgn counts page by page."""
    from drgn.helpers.linux import mm, mmzone, nodemask, vmstat

    spec = spec_of(release, page=page, mmu=mmu, byte_order=order, nodes=4)
    dump = crash(spec, tmp_path / "vmcore")
    program, machine = open_with_types(dump), dump.machine
    assert [node.node_id.value_() for node in mmzone.for_each_online_pgdat(program)] == [0, 1]
    assert [*nodemask.for_each_node(program)] == [0, 1, 2, 3]
    assert [*nodemask.for_each_node_state(program, program["N_NORMAL_MEMORY"])] == [0, 1]
    free = {node: machine.pages.free_ranges(node).total for node in (0, 1)}
    zones = {node: mmzone.NODE_DATA(program, node).node_zones[0] for node in (0, 1)}
    for node, zone in zones.items():
        assert vmstat.zone_page_state(zone, program["NR_FREE_PAGES"]) == free[node]
        size = sum(part.size for part in spec.memory if part.node == node) // page
        assert zone.present_pages == zone.spanned_pages == size
        assert zone.zone_start_pfn == mmzone.NODE_DATA(program, node).node_start_pfn
        assert mmzone.NODE_DATA(program, node).node_present_pages == size
    split = release != "2.6.35" and release != "4.7"
    plan = spec.pages
    wanted = {
        "NR_FILE_PAGES": plan.cache + plan.cache_private,
        "NR_INACTIVE_ANON": plan.anonymous,
        "NR_ANON_MAPPED" if split else "NR_ANON_PAGES": plan.anonymous,
        "NR_FILE_DIRTY": 0,
    }
    array = program["vm_node_stat" if split else "vm_stat"]
    found = {name: array[program[name]].counter.value_() for name in wanted}
    assert found == wanted
    slabs = "NR_SLAB_UNRECLAIMABLE" + ("_B" if release in ("5.10", "6.12", "7.2") else "")
    assert array[program[slabs]].counter == plan.slab
    if split:
        assert vmstat.nr_free_pages(program) == sum(free.values())
    if mmu == "hash":
        return  # whose struct pages drgn does not reach by itself
    given = {0: 0, 1: 0}
    for pfn, struct_page in mm.for_each_valid_pfn_and_page(program):
        given[int(pfn >= (256 << 20) // page)] += not mm.PageReserved(struct_page)
    managed = {node: zone.managed_pages for node, zone in zones.items()}
    atomic = release != "4.19"
    words = {node: count.counter if atomic else count for node, count in managed.items()}
    assert {node: word.value_() for node, word in words.items()} == given
    assert mm.totalram_pages(program) == sum(given.values())
    cached = mm.pfn_to_page(program, machine.usage.of(Use.CACHE)[0].start)
    assert mm.decode_page_flags(cached) == "|".join(
        sorted(("PG_lru", "PG_referenced", "PG_uptodate"), key=lambda name: program[name].value_())
    )
    huge = mm.pfn_to_page(program, machine.usage.of(Use.HUGE)[0].start)
    assert mm.page_size(huge) == 2 << 20
    mapped = machine.usage.of(Use.VMALLOC)[0].start
    assert mm.vmalloc_to_pfn(program, machine.kernel.regions.vmalloc.start) == mapped
    assert mm.virt_to_phys(program, LINEAR + 0x345678) == 0x345678


@pytest.mark.parametrize(
    ("release", "order"), [("3.10", "big"), ("4.14", "little"), ("5.10", "big"), ("6.12", "little")]
)
def test_log(tmp_path: Path, release: str, order: Any) -> None:
    """drgn reads the log by the types, in each form that it knows."""
    from drgn.helpers.linux.printk import get_printk_records

    dump = crash(spec_of(release, byte_order=order, pages=PagePlan()), tmp_path / "vmcore")
    said = dmesg(dump.machine._crashed(dump.machine.memory))
    records = get_printk_records(open_with_types(dump))
    assert [(r.seq, r.timestamp, r.level, r.text.decode()) for r in records] == [
        (number, m.time_ns, m.level, m.text) for number, m in enumerate(said)
    ]
    assert {record.continuation for record in records} == {False}


def test_tasks_in_memory_of_the_kernel(tmp_path: Path) -> None:
    """Where tasks lie is memory that the kernel keeps, as the struct pages say."""
    dump = crash(spec_of("6.1", cpus=2), tmp_path / "vmcore")
    with vmemmap.open(dump.path) as core:
        for phys in (*dump.machine.tasks.phys.values(), *dump.machine.tasks.notes):
            assert core.pages[phys >> 16].kind == "reserved"


def test_a_relocated_kernel_through_the_plugin(tmp_path: Path) -> None:
    """drgn asks KERNELOFFSET how far variables are from where the vmlinux has them."""
    from drgn.helpers.linux.pid import for_each_task

    from vmemmap.drgn_plugin import load_debug_info, open_program

    dump = crash(spec_of("6.1", load_address=48 << 20, pages=PagePlan()), tmp_path / "vmcore")
    dump.machine.write_symbols(tmp_path / "vmlinux", debug_info=True)
    for given in (tmp_path / "vmlinux", None):
        with vmemmap.open(dump.path, vmlinux=given) as core:
            program = open_program(core)
            assert load_debug_info(program, [str(tmp_path / "vmlinux")]) is None
            found = {task.pid.value_(): task.comm.string_() for task in for_each_task(program)}
            assert found == {task.pid: task.comm.encode() for task in TASKS}
            assert program["init_task"].address_ == VIRT["init_task"] + (48 << 20)
