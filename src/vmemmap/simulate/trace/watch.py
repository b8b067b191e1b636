"""Watches a kernel while it runs: from where its generators stop, and from what it is told.

The kernel's code knows nothing of it. Functions that announce themselves are on their task's call
stack, with their arguments beside; the few that do not are found by following ``gi_yieldfrom``
from the generator that is driven to the one that stopped, whose name and arguments are in its
frame. What is about to be loaded or stored is in `KernelMemory.touch` then.
"""

from __future__ import annotations

from inspect import getgeneratorlocals
from types import GeneratorType
from typing import Any, TypeAlias, get_args

from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import KernelMemory, phys_of, virt_of
from vmemmap.simulate.mm.backing_list import VmemmapBacking, walk_list
from vmemmap.simulate.mm.hotplug import MemoryHotplug
from vmemmap.simulate.mm.outcome import Printed, Warned
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.steps import Access, Deed, Lock, Steps, Task, kernel_function
from vmemmap.simulate.trace.names import Names
from vmemmap.simulate.trace.trace import (
    BlockState,
    Kind,
    ListState,
    NodeState,
    Shortener,
    State,
    Step,
    Trace,
)

Function: TypeAlias = "GeneratorType[Any, Any, Any]"
"""A kernel function that runs."""
INNER = {
    "vmemmap_populated": ("start", "size"),
    "pfn_valid": ("pfn",),
    "vmemmap_list_alloc": ("node",),
    "vmemmap_list_free": ("start",),
    "sparse_init_one_section": ("section",),
}
"""Kernel functions that do not announce themselves, and the arguments by which they are known."""
SHOWN = ("start", "end", "size", "phys", "node")
"""Arguments of the others that are shown."""
BLOCK_OF = {
    "vmemmap_populated": "start",
    "vmemmap_list_free": "start",
    "vmemmap_list_populate": "start",
}
"""Functions that work on one block, and the argument that says on which."""
NEWEST = 3
"""So many entries of the list are in its state."""
_STACKED = kernel_function(MemoryHotplug.add_memory).__code__
"""What runs a function that announces itself."""


class Watch:
    """Writes down what a machine does, from now on until `end`."""

    def __init__(self, kernel: Kernel, memory: KernelMemory, vmemmap: Vmemmap) -> None:
        self.kernel = kernel
        self._memory = memory
        self._vmemmap = vmemmap
        self._names = Names(vmemmap.sparsemem, kernel.page_size)
        self._steps = Shortener()
        self._task: Task | None = None
        self._outer: list[str] = []
        """The functions that the kernel is in and that announced themselves."""
        self._inner: list[Function] = []
        """Those inside them that did not. Held, so that a second call is another object."""
        self._told: dict[str, Any] | None = None
        """The arguments that were shown last."""
        self._held: dict[Lock, int] = {}
        """The locks that are held, each with the depth at which it was taken."""
        self._stored: Step | None = None
        """A store whose state afterwards is not known yet."""
        self._before: State | None = None
        self._node: int | None = None
        self._block: int | None = None
        self._relist()
        nodes = [*self._where, self._word("next")]
        page = kernel.page_size
        self._names.pages = {phys_of(node) // page * page for node in nodes if node}
        self._entries_at_first = len(self._where)

    # What it is told.

    def stopped(self, steps: Steps[Any], access: Access) -> None:
        """Note where the kernel has stopped, and what it is about to do."""
        self._settle()
        self._sync_outer()
        self._sync_inner(_inner_of(steps))
        touch = self._memory.touch
        if access is Access.WAIT or touch is None:
            return
        self._node = self._names.node_at(touch.phys) or self._node
        name = self._names.name(touch.phys)
        found = self._load(touch.phys, touch.size)
        if access is Access.LOAD:
            self._add("load", name, touch.phys, touch.size, after=found)
            return
        self._before = self._state()
        self._stored = self._add(
            "store", name, touch.phys, touch.size, before=found, after=touch.value
        )

    def called(self, task: Task) -> None:
        """Note that a function has put its name on the task's call stack."""
        self._settle()
        self._task = task
        self._sync_inner(())
        self._sync_outer(entered=1)

    def did(self, deed: Deed) -> None:
        """Note what the kernel did that is no access: an allocation, a mapping."""
        self._settle()
        still = tuple(function for function in self._inner if function.gi_frame is not None)
        self._sync_inner(still)
        self._sync_outer()
        if deed.what == "page of nodes" and deed.phys is not None:
            self._names.pages.add(deed.phys)
        before, after = deed.words or (None, deed.virt)
        self._add(deed.kind, deed.what, deed.phys, deed.size, before=before, after=after)

    def said(self, said: Printed | Warned) -> None:
        """Note a line of the log, or a warning."""
        self._settle()
        if isinstance(said, Printed):
            self._add("print", said.text)
        else:
            self._add("warn", f"WARN_ON(1) in {said.function}()")

    def end(self, what: str, result: str, crashed: str | None, *, stopped: bool) -> Trace:
        """Give what was written down.

        Args:
            what: What was done, in words.
            result: What came of it.
            crashed: Why the machine runs no more, or None.
            stopped: Whether it stopped before a store that was to come.
        """
        if crashed is not None:
            if stopped and self._stored is not None:
                self._steps.take_back(self._stored)
                crashed = f"{crashed} (to {self._stored.what})"
                self._stored = None
            self._settle()
            self._add("crash", crashed)
        else:
            self._settle()
            self._sync_inner(())
            self._sync_outer()
            self._leave_outer(0)
        steps = self._steps.end()
        entries = self._entries_at_first, len(self._where)
        counts = {kind: self._steps.counts[kind] for kind in get_args(Kind) if kind != "omitted"}
        return Trace(self.kernel.release, what, result, steps, counts, entries)

    # Functions.

    def _sync_outer(self, entered: int = 0) -> None:
        """Bring the functions that announced themselves up to date, and the locks with them.

        Args:
            entered: How many of the innermost have only just been entered: what has changed with
                the locks was before.
        """
        if self._task is None:
            return
        calls, held = self._task.calls, self._task.held
        for lock in [lock for lock in reversed(self._held) if lock not in held]:
            # Whoever took it gave it back, at the end, unless it is still running.
            self._leave_outer(max(len(calls), self._held.pop(lock)))
            self._add("unlock", lock.name)
        self._leave_outer(len(calls) - entered)
        taken = [lock for lock in held if lock not in self._held]
        if entered:
            self._tell_locks(taken)
        for depth in range(len(self._outer), len(calls)):
            self._sync_inner(())
            self._enter_outer(calls[depth], innermost=depth == len(calls) - 1)
        if not entered:
            self._tell_locks(taken)

    def _enter_outer(self, name: str, *, innermost: bool) -> None:
        assert self._task is not None
        given = self._task.arguments
        # A function that has several names in the kernel has its arguments once.
        shown = _words(given, SHOWN) if innermost and given is not self._told else ""
        if name == "radix__vmemmap_populate":
            self._steps.cut()
        self._enter(name, shown)
        self._outer.append(name)
        if innermost:
            self._told = given
            self._about_block(name, given)

    def _tell_locks(self, taken: list[Lock]) -> None:
        for lock in taken:
            self._held[lock] = len(self._outer)
            excludes = "" if lock.excludes else " (keeps nobody out)"
            self._add("lock", f"{lock.name}{excludes}")

    def _sync_inner(self, now: tuple[Function, ...]) -> None:
        common = 0
        while common < min(len(now), len(self._inner)):
            if self._inner[common] is not now[common]:
                break
            common += 1
        while len(self._inner) > common:
            self._leave(self._inner.pop().gi_code.co_name)
        for function in now[common:]:
            name, values = function.gi_code.co_name, getgeneratorlocals(function)
            if name in ("vmemmap_populated", "pfn_valid"):
                self._steps.cut()
            self._about_block(name, values)
            self._enter(name, _words(values, INNER[name]))
            self._inner.append(function)

    def _leave_outer(self, depth: int) -> None:
        while len(self._outer) > depth:
            self._sync_inner(())
            self._leave(self._outer.pop())

    def _enter(self, name: str, words: str) -> None:
        self._steps.add(Step("enter", self._depth, name, words))

    def _leave(self, name: str) -> None:
        self._steps.add(Step("leave", self._depth, name, ""))

    def _about_block(self, name: str, values: dict[str, Any]) -> None:
        if name in BLOCK_OF and self._block != values.get(BLOCK_OF[name]):
            self._block, self._node = values[BLOCK_OF[name]], None

    @property
    def _depth(self) -> int:
        return len(self._outer) + len(self._inner)

    @property
    def _function(self) -> str:
        if self._inner:
            return str(self._inner[-1].gi_code.co_name)
        return self._outer[-1] if self._outer else ""

    def _add(self, kind: Kind, what: str, *place: int | None, **values: int | None) -> Step:
        step = Step(kind, self._depth, self._function, what, *place, **values)  # type: ignore[arg-type]
        self._steps.add(step)
        return step

    # States.

    def _settle(self) -> None:
        """Complete the last store, which has been done by now."""
        step, before = self._stored, self._before
        if step is None or before is None:
            return
        self._stored = None
        assert step.phys is not None
        self._follow(step)
        step.states = before, self._state()

    def _follow(self, step: Step) -> None:
        """Keep the list's entries known without walking it for each store."""
        assert step.phys is not None
        node = self._names.node_at(step.phys)
        if step.phys != image_of(self.kernel).phys["vmemmap_list"] and (
            node is None or virt_of(node) not in self._where or step.what == "node.phys"
        ):
            return
        assert step.before is not None
        assert step.after is not None
        new, old = step.after, step.before
        if step.what == "vmemmap_list" and new and self._load(phys_of(new), 8) == old:
            self._put(self._entry(new))
        elif step.what != "node.virt_addr" and old and self._load(phys_of(old), 8) == new:
            self._drop(old)
        else:
            self._relist()

    def _relist(self) -> None:
        self._where: dict[int, int] = {}
        self._listed: dict[int, int] = {}
        for entry in reversed([*walk_list(self._memory.physical)]):
            self._put(entry)  # of two for one block the newer one counts: it is met first

    def _put(self, entry: VmemmapBacking) -> None:
        self._where[entry.node] = entry.virt_addr
        self._listed[entry.virt_addr] = entry.phys

    def _drop(self, node: int) -> None:
        virt = self._where.pop(node, None)
        if virt is not None:
            self._listed.pop(virt, None)
        if len(self._listed) != len(self._where):
            self._relist()

    def _state(self) -> State:
        head = self._word("vmemmap_list")
        newest: list[VmemmapBacking] = []
        node = head
        while node and len(newest) < NEWEST:
            newest.append(self._entry(node))
            node = self._load(phys_of(node), 8)
        return State(
            ListState(head, len(self._where), tuple(newest)), self._nodes(), self._block_state()
        )

    def _nodes(self) -> NodeState:
        node = self._node
        return NodeState(
            next=self._word("next"),
            num_left=self._word("num_left", 4),
            num_freed=self._word("num_freed", 4),
            page=None if node is None else virt_of(node - node % self.kernel.page_size),
            slot=None if node is None else self._names.slot(node),
            node=None if node is None else self._entry(virt_of(node)),
            list=None if node is None else self._load(node, 8),
        )

    def _block_state(self) -> BlockState | None:
        virt = self._block
        if virt is None:
            return None
        phys = self._listed.get(virt)
        return BlockState(virt, phys is not None, phys, self._vmemmap.map.find(virt))

    def _entry(self, node: int) -> VmemmapBacking:
        at = phys_of(node)
        return VmemmapBacking(node, self._load(at + 8, 8), self._load(at + 16, 8))

    def _word(self, name: str, size: int = 8) -> int:
        return self._load(image_of(self.kernel).phys[name], size)

    def _load(self, phys: int, size: int) -> int:
        physical = self._memory.physical
        return physical.load_u64(phys) if size == 8 else physical.load_u32(phys)


def _inner_of(steps: Steps[Any]) -> tuple[Function, ...]:
    """Give the kernel functions of `INNER` that a stopped generator is in, outermost first."""
    found: list[Function] = []
    here: Any = steps
    while here is not None:
        if here.gi_code is _STACKED:
            found = []  # what it runs announces itself
        elif here.gi_code.co_name in INNER:
            found.append(here)
        here = here.gi_yieldfrom
    return tuple(found)


def _words(values: dict[str, Any], names: tuple[str, ...]) -> str:
    """Give a function's arguments as words."""
    return ", ".join(
        f"{name} {values[name]}" if name in ("node", "section") else f"{name} {values[name]:#x}"
        for name in names
        if isinstance(values.get(name), int)
    )
