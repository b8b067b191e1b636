"""How tasks, PIDs and run queues lie in a release: the members that are there, in their order.

Which members there are, their types and their order are the kernel's; where they lie follows from
those that the model has, so that it is no kernel's. Only a description (BTF, debugging information)
tells a reader, as with real kernels, whose configuration decides.

Source: Linux include/linux/{sched,pid,pid_namespace,idr,xarray,cpumask}.h, kernel/sched/sched.h,
arch/powerpc/include/asm/{thread_info,processor}.h. The releases are by what is remembered of the
commits that the tables name; no tree was read for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel

COMM_BYTES = 16
STACK_BYTES = 16 << 10
"""THREAD_SIZE."""
STACK_FRAME_OVERHEAD = 112
"""From a frame's beginning to the registers that _switch() saves in it."""
NOTE_WORDS = 160
"""Of 4 bytes: the room for a processor's registers at a crash, as an ELF note."""
NR_CPUS = 2048
SLOTS_SHIFT = 6
"""RADIX_TREE_MAP_SHIFT: a node of the tree of PIDs has 64 slots."""

_MEMORY = "by what is remembered"
TASK_STATE: eras.Table[tuple[str, str]] = (
    (eras.OLDEST, ("state", "long")),
    (
        (5, 14),
        ("__state", "u32"),
        eras.Bracket("5.13.0", "5.14.2", f"5.14 {_MEMORY} of 2f064a59a11f"),
    ),
)
"""Since Linux commit 2f064a59a11f (in v5.14)."""
THREAD_INFO_IN_TASK: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((5, 1), True, eras.Bracket("5.0.1", "5.2.1", f"5.1 {_MEMORY} of ed1cd6deb013")),
)
"""Before, the beginning of a task's stack had it."""
CPU_IN_TASK: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((5, 1), True, eras.Bracket("5.0.1", "5.2.1", f"5.1 {_MEMORY} of ed1cd6deb013")),
    ((5, 16), False, eras.Bracket("5.15.0", "5.16.2", f"5.16 {_MEMORY} of bcf9033e5449")),
)
"""Where the processor's number stands: in the task itself, or in its thread_info."""
TGID_LINK: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 19), True, eras.Bracket("4.18.0", "4.19.71", f"4.19 {_MEMORY} of 6883f81aac6f")),
)
"""Whether a process is a kind of PID, and a task linked to its PIDs without a struct between."""
PIDS_IN_IDR: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 15), True, eras.Bracket("4.14.355", "4.18.0", f"4.15 {_MEMORY} of 95846ecf9dac")),
)
"""Before, all PIDs were in one hash table."""
IDR_BASE: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 16), True, eras.Bracket("4.15.0", "4.18.0", f"4.16 {_MEMORY}")),
)
XARRAY: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 20), True, eras.Bracket("4.19.191", "4.20.0", f"4.20 {_MEMORY}")),
)
"""Whether the tree of PIDs is an XArray; its pointers to nodes are marked in another way."""
THREAD_HEAD: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((3, 14), True, eras.Bracket("3.13.10", "3.15.5", f"3.14 {_MEMORY} of 0c740d0afc3b")),
)
"""Whether the threads of a process hang from its signal_struct."""
THREAD_GROUP: eras.Table[bool] = (
    (eras.OLDEST, True),
    ((6, 7), False, eras.Bracket("6.6.17", "6.8.0", f"6.7 {_MEMORY} of 8e1f385104ac")),
)
"""Whether they hang from one another, too."""
CPU_MASKS: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 5), True, eras.Bracket("4.4.155", "4.7.4", f"4.5 {_MEMORY} of 5aec01b83466")),
)
"""Whether `__cpu_online_mask` is the mask; before, `cpu_online_mask` points to it."""
PANIC_CPU: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 5), True, eras.Bracket("4.4.155", "4.7.4", f"4.5 {_MEMORY} of 1717f2096b54")),
)
STATE_LETTERS: eras.Table[str] = (
    (eras.OLDEST, "RSDTtZX"),
    ((4, 14), "RSDTtXZPI", eras.Bracket("4.13", "4.15.0", f"4.14 {_MEMORY} of 1d48b080bcce")),
)
STATE_NAMES = {
    "R": "running",
    "S": "sleeping",
    "D": "disk sleep",
    "T": "stopped",
    "t": "tracing stop",
    "X": "dead",
    "Z": "zombie",
    "P": "parked",
    "I": "idle",
}

_SIZES = {"u8": 1, "int": 4, "u32": 4, "long": 8, "u64": 8, "char": 1, "atomic_t": 4}
_WORDS = {"list_head": 2, "hlist_node": 2, "hlist_head": 1}


@dataclass(frozen=True, slots=True)
class Field:
    """A member: its kind, how many of them as an array (0 for one that is none), and its offset."""

    kind: str
    count: int
    at: int


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct: its size in bytes and its members, in order."""

    name: str
    size: int
    fields: dict[str, Field]

    def at(self, name: str) -> int:
        """Give a member's offset (bytes)."""
        return self.fields[name].at


class TaskLayout:
    """The structs of one kernel, each after those that it has in itself.

    A member's kind is a name in `_SIZES` or `_WORDS`, another struct's, or ``*NAME`` for a pointer
    to one (``*`` for any pointer).
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.links = 4 if kernel.at(TGID_LINK) else 3
        """PIDTYPE_MAX."""
        self.structs: dict[str, Struct] = {}
        for name, members in self._members():
            self._add(name, members)

    def __getitem__(self, name: str) -> Struct:
        return self.structs[name]

    @property
    def pid_types(self) -> dict[str, int]:
        """The kinds of PIDs that a task has, as enum pid_type numbers them."""
        kinds = ("PID", "TGID", "PGID", "SID") if self.links == 4 else ("PID", "PGID", "SID")
        return {f"PIDTYPE_{kind}": number for number, kind in enumerate((*kinds, "MAX"))}

    def size_of(self, kind: str) -> tuple[int, int]:
        """Give size and alignment of one member of a kind (bytes)."""
        if kind in self.structs:
            return self.structs[kind].size, 8
        if kind.startswith("*"):
            return 8, 8
        size = _SIZES.get(kind) or 8 * _WORDS[kind]
        return size, min(size, 8)

    def _add(self, name: str, members: Sequence[tuple[str, str] | tuple[str, str, int]]) -> None:
        fields, end = {}, 0
        for member, kind, *count in members:
            size, align = self.size_of(kind)
            at = -(-end // align) * align
            fields[member] = Field(kind, count[0] if count else 0, at)
            end = at + size * (count[0] if count else 1)
        self.structs[name] = Struct(name, -(-end // 8) * 8, fields)

    def _members(
        self,
    ) -> Iterator[tuple[str, list[tuple[str, str] | tuple[str, str, int]]]]:
        kernel, in_task = self.kernel, self.kernel.at(THREAD_INFO_IN_TASK)
        in_idr, xarray = kernel.at(PIDS_IN_IDR), kernel.at(XARRAY)
        yield "cpumask", [("bits", "u64", NR_CPUS // 64)]
        owner = [] if in_task else [("task", "*task_struct")]
        number = [] if kernel.at(CPU_IN_TASK) else [("cpu", "u32")]
        yield "thread_info", [*owner, *number, ("preempt_count", "int"), ("local_flags", "u64")]
        saved = ("nip", "msr", "orig_gpr3", "ctr", "link", "xer", "ccr", "softe", "trap", "dar")
        rest = [(name, "u64") for name in (*saved, "dsisr", "result")]
        yield "pt_regs", [("gpr", "u64", 32), *rest]
        yield "thread_struct", [("ksp", "u64"), ("regs", "*pt_regs")]
        yield "mm_struct", [("pgd", "*"), ("mm_users", "atomic_t"), ("mm_count", "atomic_t")]
        if not in_idr:
            yield "upid", [("nr", "int"), ("ns", "*pid_namespace"), ("pid_chain", "hlist_node")]
        else:
            yield "upid", [("nr", "int"), ("ns", "*pid_namespace")]
            slots = ("slots", "*", 1 << SLOTS_SHIFT)
            sizes = [("shift", "u8"), ("offset", "u8"), ("count", "u8")]
            if xarray:
                yield "xarray", [("xa_lock", "u32"), ("xa_flags", "u32"), ("xa_head", "*")]
                rest = [("nr_values", "u8"), ("parent", "*xa_node"), ("array", "*xarray")]
                yield "xa_node", [*sizes, *rest, slots]
            else:
                yield "radix_tree_root", [("gfp_mask", "u32"), ("rnode", "*radix_tree_node")]
                rest = [("exceptional", "u8"), ("parent", "*radix_tree_node")]
                yield (
                    "radix_tree_node",
                    [*sizes, *rest, ("root", "*radix_tree_root"), slots],
                )
            root = "xarray" if xarray else "radix_tree_root"
            base = [("idr_base", "u32")] if kernel.at(IDR_BASE) else []
            yield "idr", [("idr_rt", root), *base, ("idr_next", "u32")]
        yield (
            "pid",
            [
                *(("count", "atomic_t"), ("level", "u32")),
                ("tasks", "hlist_head", self.links),
                ("numbers", "upid", 1),
            ],
        )
        held = [("idr", "idr")] if in_idr else []
        yield "pid_namespace", [*held, ("child_reaper", "*task_struct"), ("level", "u32")]
        threads = [("thread_head", "list_head")] if kernel.at(THREAD_HEAD) else []
        pids = [("pids", "*pid", self.links)] if self.links == 4 else []
        yield "signal_struct", [("nr_threads", "int"), *threads, *pids]
        if self.links == 3:
            yield "pid_link", [("node", "hlist_node"), ("pid", "*pid")]
        yield "task_struct", list(self._task())
        yield "rq", [("nr_running", "u32"), ("curr", "*task_struct"), ("idle", "*task_struct")]

    def _task(self) -> Iterator[tuple[str, str] | tuple[str, str, int]]:
        kernel = self.kernel
        if kernel.at(THREAD_INFO_IN_TASK):
            yield "thread_info", "thread_info"
        yield kernel.at(TASK_STATE)
        yield "stack", "*"
        yield "flags", "u32"
        yield "on_cpu", "int"
        if kernel.at(CPU_IN_TASK):
            yield "cpu", "u32"
        yield from (("prio", "int"), ("static_prio", "int"), ("tasks", "list_head"))
        yield from (("mm", "*mm_struct"), ("active_mm", "*mm_struct"))
        yield from (("exit_state", "int"), ("exit_code", "int"), ("pid", "int"), ("tgid", "int"))
        yield from (("real_parent", "*task_struct"), ("parent", "*task_struct"))
        yield from (("children", "list_head"), ("sibling", "list_head"))
        yield "group_leader", "*task_struct"
        if self.links == 4:
            yield "thread_pid", "*pid"
            yield "pid_links", "hlist_node", self.links
        else:
            yield "pids", "pid_link", self.links
        if kernel.at(THREAD_GROUP):
            yield "thread_group", "list_head"
        if kernel.at(THREAD_HEAD):
            yield "thread_node", "list_head"
        yield "comm", "char", COMM_BYTES
        yield "signal", "*signal_struct"
        yield "thread", "thread_struct"
