"""``vmemmap simulate --trace``: its record made and shown; members: ``trace_record.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from vmemmap.report.members import hex_address, hex_or_none
from vmemmap.report.text import count_text, size_text
from vmemmap.report.trace_record import (
    EntryRecord,
    StateRecord,
    StepRecord,
    TraceRecord,
    TracesRecord,
)

if TYPE_CHECKING:
    from vmemmap.simulate.mm.backing_list import VmemmapBacking
    from vmemmap.simulate.trace.trace import State, Step, Trace

COLUMNS = ("trace", "kind", "depth", "function", "what", "phys", "size", "before", "after")
WIDTH = 80
HALF = 38
UNTOLD = ("leave",)
"""Kinds that the text shows by their depth alone."""


def traces(made: Sequence[Trace]) -> TracesRecord:
    """Make the record of traces."""
    return {"traces": [_trace(trace) for trace in made]}


def rows(record: TracesRecord) -> Iterator[dict[str, object]]:
    """Give the steps of all traces as rows of CSV."""
    for number, trace in enumerate(record["traces"], 1):
        for step in trace["steps"]:
            yield {"trace": number, **{name: step[name] for name in COLUMNS[1:]}}  # type: ignore[literal-required]


def lines(record: TracesRecord) -> Iterator[str]:
    """Give one trace in full, or two or more side by side in short."""
    made = record["traces"]
    if len(made) == 1:
        yield from _head(made[0])
        yield "\n"
        for step in made[0]["steps"]:
            if step["kind"] not in UNTOLD:
                yield from _step_lines(step)
        return
    for trace in made:
        yield from _head(trace)
    first = made[0]
    for trace in made[1:]:
        yield f"\n{first['release']:{HALF}}    {trace['release']}\n"
        for left, right in aligned(first, trace):
            ours, theirs = (_half(step) for step in (left, right))
            mark = " " if ours == theirs else "|" if left and right else "<" if left else ">"
            yield f"{ours:{HALF}} {mark}  {theirs}".rstrip() + "\n"
    yield "  | other than beside it   < only left   > only right\n"


def aligned(
    first: TraceRecord, second: TraceRecord
) -> Iterator[tuple[StepRecord | None, StepRecord | None]]:
    """Pair the steps of two traces that are alike; what only one of them has stands alone."""
    left, right = ([s for s in t["steps"] if s["kind"] not in UNTOLD] for t in (first, second))
    ours, theirs = ([_short(step) for step in steps] for steps in (left, right))
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield from zip(left[a:b], right[c:d], strict=True)
        else:
            yield from ((step, None) for step in left[a:b])
            yield from ((None, step) for step in right[c:d])


def step_text(step: StepRecord) -> str:
    """Say what a step is in one line, without what its depth says."""
    kind, what = step["kind"], step["what"]
    size = size_text(step["size"]) if step["size"] else ""
    if kind == "enter":
        return f"{step['function']}({what})"
    if kind == "store":
        return f"store {what}: {step['before']} -> {step['after']}"
    if kind == "load":
        return f"load {what}: {step['after']}"
    if kind == "alloc":
        return f"alloc {size} {what}: {step['phys'] or 'there is none'}"
    if kind == "free":
        return f"free {size} {what} at {step['phys']}"
    if kind in ("map", "unmap"):
        return f"{kind} {step['after']} {'to' if kind == 'map' else 'from'} {step['phys']}"
    if kind == "bolt":
        return f"bolt {size} {what}; no page table has it"
    if kind == "entry":
        return f"store {what} at {step['phys']}: {step['before']} -> {step['after']}"
    if kind == "omitted":
        return _omitted_text(step)
    if kind == "warn":
        return what
    return f"{kind} {step['function']}" if kind == "leave" else f"{kind}: {what}"


def changes(step: StepRecord) -> list[str]:
    """Say what a store made of the list, the page of nodes and the block, where that is news."""
    before, after = step["state_before"], step["state_after"]
    if before is None or after is None:
        return []
    found = []
    ours, theirs = before["list"], after["list"]
    if ours != theirs:
        newest = theirs["newest"][0] if theirs["newest"] else None
        first = f", first {newest['virt_addr']}" if newest else ""
        found.append(f"list: {ours['entries']} -> {count_text(theirs['entries'], 'entry')}{first}")
    block, now = before["block"], after["block"]
    if block is not None and now is not None and block["listed"] != now["listed"]:
        where = f"listed, at {now['phys']}" if now["listed"] else "listed no more"
        found.append(f"block {now['virt']} is {where}")
    return found


def _head(trace: TraceRecord) -> Iterator[str]:
    counts = trace["counts"]
    entries = counts["entry"]
    tables = f", {count_text(entries, 'page table entry')}" if entries else ""
    yield (
        f"{trace['release']}: {trace['what']}: {trace['result']}\n"
        f"  {count_text(counts['enter'], 'call')}, "
        f"{count_text(counts['load'], 'load')}, "
        f"{count_text(counts['store'], 'store')}{tables}; the list: {trace['entries_before']} -> "
        f"{count_text(trace['entries_after'], 'entry')}\n"
    )


def _step_lines(step: StepRecord) -> Iterator[str]:
    indent = " " * step["depth"]
    text = indent + step_text(step)
    marked = [f"{indent}      {change}" for change in changes(step)]
    for line in (text, *marked):
        yield from _wrapped(line, len(indent) + 4)


def _wrapped(line: str, indent: int) -> Iterator[str]:
    """Break a line at its last blanks that are before the width."""
    while len(line) > WIDTH:
        at = line.rfind(" ", indent + 1, WIDTH + 1)
        if at < 0:
            break
        yield line[:at] + "\n"
        line = " " * indent + line[at + 1 :]
    yield line + "\n"


def _short(step: StepRecord) -> str:
    """Name a step without addresses."""
    if step["kind"] == "warn":
        return step["what"].partition(" in ")[0]
    if step["kind"] in ("load", "store", "lock", "unlock", "print", "crash"):
        return f"{step['kind']} {step['what']}"
    if step["kind"] == "entry":
        return f"store {step['what']}"
    if step["kind"] == "pages":
        return f"store into {step['what'].partition(',')[0]}"
    if step["kind"] == "omitted":
        return "..."
    return f"{step['function']}()" if step["kind"] == "enter" else f"{step['kind']} {step['what']}"


def _half(step: StepRecord | None) -> str:
    if step is None:
        return ""
    text = " " * step["depth"] + _short(step)
    return text if len(text) <= HALF else text[: HALF - 3] + "..."


def _omitted_text(step: StepRecord) -> str:
    left_out = step["omitted"]
    assert left_out is not None
    loads, stores = count_text(left_out["loads"], "load"), count_text(left_out["stores"], "store")
    entries = count_text(left_out["entries"], "page table entry") if left_out["entries"] else ""
    if left_out["blocks"]:
        said = [f"... as above, {count_text(left_out['blocks'], 'block')}: {loads}", stores]
    elif left_out["loads"] or not entries:
        said = [f"... as above: {loads}", stores if left_out["stores"] else ""]
    else:
        said = [f"... as above: {entries}"]
        entries = ""
    return ", ".join(word for word in (*said, entries) if word)


def _trace(trace: Trace) -> TraceRecord:
    return {
        "release": trace.release,
        "what": trace.what,
        "result": trace.result,
        "entries_before": trace.entries[0],
        "entries_after": trace.entries[1],
        "counts": trace.counts,
        "steps": [_step(step) for step in trace.steps],
    }


def _step(step: Step) -> StepRecord:
    before, after = step.states or (None, None)
    left_out = step.omitted
    return {
        "kind": step.kind,
        "depth": step.depth,
        "function": step.function,
        "what": step.what,
        "phys": hex_or_none(step.phys),
        "size": step.size,
        "before": hex_or_none(step.before),
        "after": hex_or_none(step.after),
        "state_before": None if before is None else _state(before),
        "state_after": None if after is None else _state(after),
        "omitted": None
        if left_out is None
        else {
            "blocks": left_out.blocks,
            "loads": left_out.loads,
            "stores": left_out.stores,
            "entries": left_out.entries,
        },
    }


def _state(state: State) -> StateRecord:
    nodes, block = state.nodes, state.block
    return {
        "list": {
            "head": hex_address(state.list.head),
            "entries": state.list.entries,
            "newest": [_entry(entry) for entry in state.list.newest],
        },
        "nodes": {
            "next": hex_address(nodes.next),
            "num_left": nodes.num_left,
            "num_freed": nodes.num_freed,
            "page": hex_or_none(nodes.page),
            "slot": nodes.slot,
            "node": None if nodes.node is None else _entry(nodes.node),
            "list": hex_or_none(nodes.list),
        },
        "block": None
        if block is None
        else {
            "virt": hex_address(block.virt),
            "listed": block.listed,
            "phys": hex_or_none(block.phys),
            "mapped": hex_or_none(block.mapped),
        },
    }


def _entry(entry: VmemmapBacking) -> EntryRecord:
    return {
        "node": hex_address(entry.node),
        "phys": hex_address(entry.phys),
        "virt_addr": hex_address(entry.virt_addr),
    }
