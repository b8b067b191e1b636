"""drgn's own helpers on real dumps with the real kernel's debugging information.

Witnesses: crash's words on the same dumps (``crash_said.py`` says which and how), and on the radix
MMU drgn itself, which reads the uncompressed dump without us.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from breadth import every
from vmemmap.vmcore import open_vmcore

drgn = pytest.importorskip("drgn", reason="drgn is not installed")
from vmemmap.drgn_plugin import attach, load_debug_info, open_program  # noqa: E402

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "corpus"
SLAB_PAGES = {"hash-64k-6.1": 309, "radix-64k-6.1": 312}
"""crash 8.0.2, kmem -i; in ../shared/truth."""

Session = tuple[str, Any]


def loaded(prog: Any, vmlinux: Path) -> Any:
    assert load_debug_info(prog, [str(vmlinux)]) is None
    return prog


@pytest.fixture(
    scope="module",
    params=[
        "hash-64k-6.1/vmcore.d31.elf.zst",
        pytest.param("hash-64k-6.1/vmcore.d31.zlib", marks=pytest.mark.full),
        "hash-64k-6.1/vmcore.d31.zstd with our reader",
        pytest.param("radix-64k-6.1/vmcore.d31.elf.zst", marks=pytest.mark.full),
        "radix-64k-6.1/vmcore.d31.zlib",
        pytest.param("radix-64k-6.1/vmcore.d31.zlib with our reader", marks=pytest.mark.full),
    ],
)
def session(request: Any, real_dump: Callable[[str], Path], vmlinux: Path) -> Any:
    """Which machine it is, and a program of it with all that we add."""
    name, ours, _ = request.param.partition(" with our reader")
    path, machine = real_dump(name), name.split("/")[0]
    if ours:
        with open_vmcore(path) as core:
            yield machine, loaded(open_program(core), vmlinux)
        return
    prog = drgn.Program()
    prog.set_core_dump(path)
    attach(prog)
    yield machine, loaded(prog, vmlinux)


def said(machine: str, what: str) -> list[dict[str, Any]]:
    """What crash said of a machine."""
    rows: list[dict[str, Any]] = json.loads((HERE / f"crash_said_{machine}.json").read_text())[what]
    return rows


def test_struct_pages(session: Session) -> None:
    from drgn.helpers.linux.mm import PageSlab, for_each_page, page_to_pfn, pfn_to_page

    machine, prog = session
    assert sum(bool(PageSlab(page)) for page in for_each_page(prog)) == SLAB_PAGES[machine]
    for pfn in (0, 1, 1023, 1024, 12345):  # 1024 struct pages a block on hash
        assert page_to_pfn(pfn_to_page(prog, pfn)) == pfn
        assert pfn_to_page(prog, pfn)._refcount.counter >= 0


def test_addresses_of_the_linear_map(session: Session) -> None:
    from drgn.helpers.linux.mm import page_to_virt, phys_to_virt, virt_to_page, virt_to_phys

    _, prog = session
    task = prog["init_task"].address_of_().value_()
    page = virt_to_page(prog, task)
    assert page_to_virt(page).value_() == task & ~0xFFFF
    assert phys_to_virt(prog, virt_to_phys(prog, task)).value_() == task


def test_follow_phys_says_what_crash_says(session: Session) -> None:
    from drgn.helpers.linux.mm import follow_phys

    machine, prog = session
    mm, compared = prog["init_mm"].address_of_(), 0
    answers = json.loads((CORPUS / machine / "expected.json").read_text())["vtop"]
    for virt, phys in answers.items():
        address = int(virt, 16)
        try:
            found: int | None = follow_phys(mm, address).value_()
        except drgn.FaultError:
            found = None
        assert found == (None if phys is None else int(phys, 16)), virt
        compared += 1
    assert compared >= 50


def test_addresses_of_a_process(session: Session) -> None:
    """What crash 9.0.2 says for init: vtop -u, of its stack, text and heap."""
    from drgn.helpers.linux.mm import follow_phys
    from drgn.helpers.linux.pid import find_task

    machine, prog = session
    if not machine.startswith("hash"):
        pytest.skip("drgn's own business on radix")
    init = find_task(prog, 1)
    for virt, phys in (
        (0x7FFFD6ADFFD2, 0x87CFFD2),
        (0x10000000, 0x8520000),
        (0x10008382D48, 0x9EF2D48),
    ):
        assert follow_phys(init.mm, virt).value_() == phys


def test_vmalloc(session: Session) -> None:
    """Every byte of crash's modules' structs, at its address and where the page table has it."""
    from drgn.helpers.linux.mm import follow_phys

    machine, prog = session
    mm = prog["init_mm"].address_of_()
    for row in said(machine, "modules"):
        module = int(row["module"], 16)
        phys = follow_phys(mm, module).value_()
        content = prog.read(module, 1024)
        assert row["name"].encode() + b"\0" in content
        assert prog.read(phys, 1024, True) == content


def test_modules(session: Session) -> None:
    from drgn.helpers.linux.list import list_for_each_entry

    machine, prog = session
    modules = list_for_each_entry("struct module", prog["modules"].address_of_(), "list")
    found = {
        f"{module.value_():x}": (
            module.name.string_().decode(),
            f"{module.core_layout.base.value_():x}",
        )
        for module in modules
    }
    assert found == {row["module"]: (row["name"], row["base"]) for row in said(machine, "modules")}
    names = {row["name"] for row in said(machine, "modules")}
    assert {module.name for module in prog.modules()} == {"kernel", *names}


def test_slab_caches(session: Session) -> None:
    from drgn.helpers.linux.slab import for_each_slab_cache, slab_cache_for_each_allocated_object

    machine, prog = session
    rows = said(machine, "caches")
    caches = {f"{cache.value_():x}": cache for cache in for_each_slab_cache(prog)}
    names = {address: cache.name.string_().decode() for address, cache in caches.items()}
    assert names == {row["cache"]: row["name"] for row in rows}
    counted = [row for row in rows if 0 < row["allocated"] < 3000][::6]
    assert len(counted) > 5
    for row in counted:
        objects = slab_cache_for_each_allocated_object(caches[row["cache"]], "void")
        assert sum(1 for _ in objects) == row["allocated"], row["name"]


def test_tasks_and_their_stacks(session: Session) -> None:
    from drgn.helpers.linux.pid import for_each_task

    machine, prog = session
    rows = {row["task"]: row for row in said(machine, "tasks") if row["pid"]}
    tasks = {f"{task.value_():x}": task for task in for_each_task(prog)}
    assert set(tasks) == set(rows)
    for address, task in tasks.items():
        row = rows[address]
        assert (task.pid, task.comm.string_().decode()) == (row["pid"], row["comm"])
        trace = prog.stack_trace(task)
        if row["functions"][0] == "__crash_kexec":
            assert trace[0].name == "panic"  # where drgn's unwinder on ppc64 ends
            continue
        functions = [frame.symbol().name for frame in trace if not frame.is_inline]
        assert functions == ["__switch_to", *row["functions"]], row["comm"]


@pytest.mark.parametrize("dump", every(2, ["vmcore.d31.zlib", "vmcore.d31.elf.zst"]))
def test_every_struct_page_of_the_radix_machine_is_what_drgn_itself_reads(
    real_dump: Callable[[str], Path], vmlinux: Path, dump: str
) -> None:
    """The uncompressed dump without us, against each dump with us."""
    from drgn.helpers.linux.mm import for_each_page

    programs = []
    for name, attached in (("vmcore.d31.elf.zst", False), (dump, True)):
        prog = drgn.Program()
        prog.set_core_dump(real_dump(f"radix-64k-6.1/{name}"))
        if attached:
            assert bool(attach(prog).regions) == dump.endswith("zlib")
        programs.append(loaded(prog, vmlinux))
    pages = 0
    for plain, ours in zip(*map(for_each_page, programs), strict=True):
        assert plain.value_() == ours.value_()
        assert programs[0].read(plain, 64) == programs[1].read(ours, 64)
        pages += 1
    assert pages > 20000


def test_a_live_dump_of_qemu(real_dump: Callable[[str], Path], vmlinux: Path) -> None:
    """No VMCOREINFO, big-endian headers around little-endian memory."""
    from drgn.helpers.linux.mm import PageSlab, cmdline, for_each_page
    from drgn.helpers.linux.pid import find_task, for_each_task
    from drgn.helpers.linux.sched import idle_task
    from drgn.helpers.linux.slab import for_each_slab_cache

    path = real_dump("qemu-hash-64k-6.1/dump.kdump-zlib")
    with open_vmcore(path) as core:
        prog = loaded(open_program(core), vmlinux)
        slab = sum(bool(PageSlab(page)) for page in for_each_page(prog))
        assert 0 < slab < 2000
        assert {cache.name.string_() for cache in for_each_slab_cache(prog)} > {b"kmalloc-64"}
        commands = {task.comm.string_() for task in for_each_task(prog)}
        assert {b"kthreadd", b"kswapd0"} < commands
        assert cmdline(find_task(prog, 1)) == [b"/bin/sh", b"/init"]  # user memory
        trace = prog.stack_trace(find_task(prog, 2))
        functions = [frame.symbol().name for frame in trace if not frame.is_inline]
        stack = ["__switch_to", "__schedule", "schedule", "kthreadd", "ret_from_kernel_thread"]
        assert functions == stack  # as crash says of the other dumps of this kernel
        # The one that ran when QEMU took the dump: its registers are in QEMU's notes.
        idle = prog.stack_trace(idle_task(prog, 0))
        functions = [frame.symbol().name for frame in idle if not frame.is_inline]
        assert "cpuidle_enter" in functions
        (swapper,) = (row for row in said("hash-64k-6.1", "tasks") if row["pid"] == 0)
        known = swapper["functions"]
        known = known[known.index("do_idle") :]
        # A call is the last thing that it does: crash names the function behind it.
        known[known.index("arch_post_acpi_subsys_init")] = "arch_call_rest_init"
        assert functions[-len(known) :] == known
