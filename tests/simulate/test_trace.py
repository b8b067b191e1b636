"""The trace of a kernel: held against the same kernel, driven and looked at by hand."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from report.schemas import complaints
from simulate.machines import (
    BOOT,
    RELEASES,
    SECTION,
    M,
    add,
    faults,
    remove,
    small_machine,
    version_of,
)
from vmemmap.errors import SpecError
from vmemmap.report.trace import traces
from vmemmap.report.trace_html import page
from vmemmap.simulate import HotplugEvent, Machine
from vmemmap.simulate.mm.backing_list import ChunkList, FreeListList, walk_list
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.mm.sparsemem import SparseMem
from vmemmap.simulate.steps import Access, Task
from vmemmap.simulate.trace.trace import Trace
from vmemmap.simulate.trace.watch import BLOCK_OF, INNER

G = 1 << 30


def driven(machine: Machine, event: HotplugEvent) -> tuple[list[Any], int]:
    """Run an event by hand: of each store where, and the list before and after; and the loads."""
    stores: list[Any] = []
    loads = 0
    steps = machine.event_steps(Task("by hand"), event)
    before = None
    for access in steps:
        touch = machine.sparsemem.memory.touch
        assert touch is not None
        now = list(walk_list(machine.memory)) if before or access is Access.STORE else []
        if before is not None:
            stores.append((*before, now))
        before = (touch.phys, touch.value, now) if access is Access.STORE else None
        loads += access is Access.LOAD
    if before is not None:
        stores.append((*before, list(walk_list(machine.memory))))
    return stores, loads


def frames(machine: Machine) -> dict[int, bytes]:
    return {phys: bytes(frame) for phys, frame in machine.memory.frames(0, 1 << 50)}


@pytest.mark.parametrize("release", ["2.6.35", "4.19", "6.1"])
def test_a_trace_has_each_store_with_the_list_before_and_after(release: str) -> None:
    """On a twin machine the same generators are driven, and the list is walked at every stop."""
    traced, twin = (
        small_machine(release, BOOT[:1], page_size=4096, byte_order="big").boot() for _ in range(2)
    )
    for event in (add(G), remove(G), add(G)):
        trace = traced.trace(event)
        expected, loads = driven(twin, event)
        assert trace.counts["load"] == loads
        assert trace.counts["store"] == len(expected)
        assert trace.entries == (len(expected[0][2]), len(expected[-1][3]))
        kept = [step for step in trace.steps if step.kind == "store"]
        at = iter(expected)
        for step in kept:
            *_, list_before, list_after = next(
                each for each in at if (each[0], each[1]) == (step.phys, step.after)
            )
            assert step.states is not None
            for state, walked in zip(step.states, (list_before, list_after), strict=True):
                assert state.list.entries == len(walked)
                assert list(state.list.newest) == walked[:3]
                block = state.block
                at_block = {e.virt_addr: e.phys for e in reversed(walked)}
                listed = block and at_block.get(block.virt)
                assert block is None or (block.listed, block.phys) == (listed is not None, listed)
        left_out = [step.omitted for step in trace.steps if step.omitted]
        assert len(kept) + sum(each.stores for each in left_out) == len(expected)
        assert traced.walk() == twin.walk()


def named(trace: Trace) -> list[str]:
    return [step.what for step in trace.steps if step.kind == "store"]


def test_an_insertion_goes_as_the_patch_says() -> None:
    """The node is cut, filled and pushed at the head, before the block is mapped."""
    machine = small_machine("2.6.35")
    trace = machine.trace("add:1G:16M")
    assert named(trace) == [
        *("num_left", "next", "node.phys", "node.virt_addr", "node.list", "vmemmap_list"),
        "section_mem_map",
    ]
    kinds = [step.kind for step in trace.steps if step.kind in ("alloc", "store", "map")]
    assert kinds == ["alloc", *["store"] * 6, "map", "store"]
    where = {step.what: step.function for step in trace.steps if step.kind == "store"}
    assert where["next"] == "vmemmap_list_alloc"
    assert where["vmemmap_list"] == "vmemmap_list_populate"
    last = next(step for step in trace.steps if step.what == "vmemmap_list" and step.states)
    assert last.states is not None
    before, after = last.states
    assert after.nodes.node == after.list.newest[0] == machine.backing[0]
    assert (before.block and before.block.listed, after.block and after.block.listed) == (0, 1)
    assert after.block is not None
    assert after.block.mapped is None
    assert machine.vmemmap.map.find(after.block.virt) == after.block.phys


@pytest.mark.parametrize("release", RELEASES)
def test_functions_nest_and_watching_changes_nothing(release: str) -> None:
    for mmu in ("hash", "radix") if version_of(release) >= (4, 7) else ("hash",):
        traced, plain = (small_machine(release, mmu=mmu) for _ in range(2))
        plain.boot()
        boot = traced.trace()
        assert frames(traced) == frames(plain)
        for event in (add(G), remove(G)):
            trace = traced.trace(event)
            plain.add_memory(G, SECTION) if event.kind == "add" else plain.remove_memory(G, SECTION)
            stack: list[str] = []
            if not any(step.omitted and step.omitted.blocks for step in trace.steps):
                for step in trace.steps:
                    if step.kind == "leave":
                        assert stack.pop() == step.function
                    if not (step.omitted and step.kind == "omitted"):
                        assert step.depth == len(stack), step
                    if step.kind == "enter":
                        stack.append(step.function)
                assert stack == []
            locks = [s.what.split(" (")[0] for s in trace.steps if s.kind in ("lock", "unlock")]
            assert sorted(locks[: len(locks) // 2]) == sorted(locks[len(locks) // 2 :])
        assert frames(traced) == frames(plain)
        # Boot with arrays goes through no functions.
        assert [o.calls for o in traced.outcomes[1:]] == [o.calls for o in plain.outcomes[1:]]
        assert boot.counts["enter"] == boot.counts["leave"]


def test_a_long_boot_is_short_to_read_and_counted_in_full() -> None:
    machine = Machine(memory="512M", release="3.10", page_size="4K", block_size="4K")
    trace = machine.trace("boot")
    assert trace.entries == (0, 512 * M // 4096 * 56 // 4096)
    assert trace.counts["alloc"] == trace.entries[1] + -(-trace.entries[1] // 170)
    assert len(trace.steps) < 150
    left_out = [step.omitted for step in trace.steps if step.omitted]
    for kind, count in (
        ("load", sum(o.loads for o in left_out)),
        ("store", sum(o.stores for o in left_out)),
    ):
        assert sum(step.kind == kind for step in trace.steps) + count == trace.counts[kind]


def test_failures_warnings_and_a_crash_are_in_it() -> None:
    machine = small_machine("4.19", faults=faults(node_page=(1,)))
    trace = machine.trace()
    kinds = [step.kind for step in trace.steps]
    assert kinds.count("warn") == 2
    assert any(
        s.kind == "alloc" and s.what == "page of nodes" and s.phys is None for s in trace.steps
    )
    machine = small_machine("6.1", faults=faults(crash_before_store=5))
    trace = machine.trace()
    assert (trace.result, trace.counts["store"]) == ("crashed", 5)
    assert trace.steps[-1].what.endswith("(to node.virt_addr)")


def test_what_is_known_by_name_is_there() -> None:
    owners = (Vmemmap, ChunkList, FreeListList, SparseMem)
    for name, arguments in {**INNER, **{n: (a,) for n, a in BLOCK_OF.items()}}.items():
        functions = [getattr(owner, name) for owner in owners if hasattr(owner, name)]
        assert functions, name
        for function in functions:
            assert set(arguments) <= set(inspect.signature(function).parameters), name


def test_events_by_number_and_what_cannot_be_traced() -> None:
    events = (add(G), add(2 * G), remove(G))
    machine = small_machine("6.1", events=events)
    assert machine.trace(2).what == "add 16 MiB at 0x80000000 to node 0"
    assert machine.trace("3").what == "remove 16 MiB at 0x40000000"
    for event in (
        1,
        4,
        0,
        "boot",
        "add:1G",
        "add:1G:x",
        "remove:1G:16M:0",
        "add:1G:16M:-1",
        None,
        True,
    ):
        with pytest.raises(SpecError, match="event"):
            machine.trace(event)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="too many"):
        Machine(memory="1P", release="6.1").trace()


@pytest.mark.parametrize(("release", "order"), [("4.9", "little"), ("6.1", "big"), ("7.2", "big")])
def test_a_trace_of_radix_has_each_store_into_page_tables(release: str, order: Any) -> None:
    """Put into a copy of memory as it was, they make the tables that there are afterwards."""
    machine = small_machine(release, BOOT[:1], mmu="radix", byte_order=order).boot()
    before = machine.memory.copy()
    trace = machine.trace(add(8 * G))
    entries = [step for step in trace.steps if step.kind == "entry"]
    left_out = sum(step.omitted.entries for step in trace.steps if step.omitted)
    assert trace.counts["entry"] == len(entries) + left_out
    assert {step.what for step in entries} <= {f"{level} entry" for level in ("pud", "pmd", "pte")}
    assert entries
    for step in entries:
        assert step.phys is not None
        assert step.before is not None
        assert step.after is not None
        # Radix page tables are big-endian in every kernel (ppc64-kernel.md 4.3).
        assert int.from_bytes(before.read(step.phys, 8), "big") == step.before
        before.write(step.phys, step.after.to_bytes(8, "big"))
        assert machine.memory.read(step.phys, 8) == before.read(step.phys, 8)
    mapped = {step.phys for step in trace.steps if step.kind == "map"}
    assert mapped
    assert mapped <= {(step.after or 0) & ((1 << 53) - 1) & ~0xFFFF for step in entries}


@pytest.mark.parametrize("release", ["2.6.35", "4.18", "7.2"])
def test_on_hash_no_page_table_is_written(release: str) -> None:
    machine = small_machine(release, BOOT[:1]).boot()
    root = machine.memory.read(16 * M, 1 << 16)
    trace = machine.trace(add(G, 64 * M))
    assert trace.counts["entry"] == 0
    assert trace.counts["bolt"] == trace.counts["map"] == 1
    assert machine.memory.read(16 * M, 1 << 16) == root


@pytest.mark.parametrize(
    ("release", "online", "stored"),
    [
        ("4.12", True, ["PG_reserved"]),  # with the addition
        ("4.14", True, ["PG_reserved", "itself"]),
        ("4.18", True, ["itself"]),
        ("4.12", False, ["PG_reserved"]),
        ("4.14", False, ["PG_reserved"]),
        ("4.18", False, []),
    ],
)
def test_struct_pages_are_written_when_the_release_does(
    release: str, online: bool, stored: list[str]
) -> None:
    machine = small_machine(release, BOOT[:1]).boot()
    event = HotplugEvent("add", G, SECTION, online=online)
    steps = [step for step in machine.trace(event).steps if step.kind == "pages"]
    assert [step.what.split()[-1] for step in steps] == stored
    assert all(step.what.startswith("256 struct pages") for step in steps)
    assert all(step.phys == machine.vmemmap.map.find(step.after or 0) for step in steps)


def test_the_page_shows_every_era() -> None:
    record = traces(
        [small_machine(release).trace("add:1G:16M") for release in ("4.9", "5.9", "6.1")]
    )
    text = "".join(page(record))
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    assert {row.count("<td") for row in rows} == {3}
    for column, trace in enumerate(record["traces"]):
        cells = [re.findall(r"<td.*?</td>|<td></td>", row, re.DOTALL)[column] for row in rows]
        kinds = [step["kind"] for step in trace["steps"] if step["kind"] != "leave"]
        assert [kind for cell in cells for kind in re.findall(r'class="(\w+)"', cell)] == kinds


ARGUMENTS = ("simulate", "--memory", "64M", "--set", "kernel.page_size=4K")


def test_the_command_shows_it_in_every_form(run_vmemmap: Any, tmp_path: Path) -> None:
    event = ("--trace", "add:1G:16M")
    ran = run_vmemmap(*ARGUMENTS, *event)
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "block 0xc0003f0001000000 is listed, at 0x" in ran.out
    eras = ("--era", "5.0", "--era", "6.1", "--html", tmp_path / "trace.html")
    ran = run_vmemmap(*ARGUMENTS, *event, *eras)
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "sparse_add_one_section()            <" in ran.out
    assert "store vmemmap_list" in ran.out
    ran = run_vmemmap(*ARGUMENTS, *event, "--era", "5.0", "--era", "6.1", "--format", "json")
    assert complaints("simulate", ran.json) == []
    assert [trace["release"] for trace in ran.json["traces"]] == ["5.0", "6.1"]
    text = (tmp_path / "trace.html").read_text()
    assert "default-src 'none'" in text
    assert "//" not in text.replace("</", "")
    for wrong in (("--era", "6.1"), ("--trace", "-o", "x"), ("--trace", "nine")):
        assert run_vmemmap(*ARGUMENTS, *wrong).code == 2


def test_nothing_that_a_kernel_prints_gets_into_the_page_as_code() -> None:
    record = traces([small_machine("6.1").trace("add:1G:16M")])
    evil = "</script><script>alert(1)</script><img src=x>&"
    record["traces"][0]["steps"][3]["what"] = record["traces"][0]["what"] = evil
    text = "".join(page(record))
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "<img" not in text
    assert text.count("<script") == 2
