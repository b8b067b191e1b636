"""What crash reads of a machine: its banner, its processors, and the tasks that they run.

Of tasks nothing is shown but on which processor they are and where a stack would be; stacks and the
table of processes are there, and empty.

Source: Linux kernel/sched/sched.h (struct rq), arch/powerpc/include/asm/paca.h; see
``crash_needs``.
"""

from __future__ import annotations

import re
from contextlib import suppress

from vmemmap.errors import FactError, FactMissing, ReadError
from vmemmap.extract.crash_needs import CPU_MASKS, PACA_STACKS
from vmemmap.extract.shown_structs import ShownStructs
from vmemmap.linear_map import linear_phys

_CPUS_MAX = 1 << 13
_NAMES_MAX = 128
_TABLE_MAX = 1 << 20
_STACK_MAX = 1 << 16
_BANNER = re.compile(rb"Linux version [\x20-\x7e]{1,1000}\n?")
_TAINT = re.compile(rb"[A-Z][A-Z ][\0\1]")
_STATE = re.compile(rb"[A-Za-z] \([a-z -]{1,24}\)")


def show_machine(kernel: ShownStructs) -> None:
    """Show the banner, by which crash knows its vmlinux, and the processors.

    Raises:
        FactMissing: One of them is not to be had; says why.
    """
    _show_banner(kernel)
    cpus = _show_masks(kernel)
    _show_processors(kernel, cpus)
    _show_paca(kernel, cpus)


def _show_banner(kernel: ShownStructs) -> None:
    at = kernel.find("linux_banner")
    if not at:
        raise FactMissing(
            "the kernel's symbols have no linux_banner (name its vmlinux, which crash needs too, "
            "with --vmlinux)",
            name="linux_banner",
        )
    try:
        found = kernel.text(at, _BANNER)
    except ReadError as error:
        raise FactMissing(f"linux_banner cannot be read: {error}", name="linux_banner") from error
    if not found:
        raise FactMissing(f"at {at:#x} is no banner of Linux", name="linux_banner")


def _show_masks(kernel: ShownStructs) -> list[int]:
    """Show which processors there are; give their numbers."""
    cpus: list[int] = []
    size = kernel.types.compared("SIZE(cpumask)")
    for kind in CPU_MASKS:
        at = kernel.find(f"cpu_{kind}_map", f"__cpu_{kind}_mask")
        if not at and (pointer := kernel.find(f"cpu_{kind}_mask")):
            at = kernel.pointer(pointer)
        if not at or size is None:
            continue
        with suppress(ReadError):
            words = kernel.memory.words(at, min(size.value, _CPUS_MAX // 8) // 8)
            kernel.put(at, words.tobytes())
            set_bits = [
                64 * row + bit
                for row, word in enumerate(words.tolist())
                for bit in range(64)
                if word >> bit & 1
            ]
            cpus = cpus or set_bits
    return cpus or [0]


def _show_processors(kernel: ShownStructs, cpus: list[int]) -> None:
    """Show where the data of each processor is, and of its queue the two tasks."""
    kernel.optional("rq.nr_uninterruptible")  # finds the struct: many names in DWARF end like its
    idle, current = kernel.members("rq.idle", "rq.curr")
    size = kernel.size("rq")
    queue = kernel.find("runqueues", "per_cpu__runqueues")
    offsets, room = kernel.variable("__per_cpu_offset")
    kernel.room(offsets, room)
    for cpu in cpus:
        at = queue
        if offsets:
            if 8 * cpu >= room:
                break
            at += kernel.word(offsets + 8 * cpu)
        elif own := _paca_offset(kernel, cpu):
            at += own
        if linear_phys(at) is None:
            continue
        kernel.room(at, size)
        for place in (idle, current):
            if task := kernel.pointer(at + place):
                _show_task(kernel, task)


def _show_task(kernel: ShownStructs, task: int) -> None:
    """Show of a task its processor, and where its stack is: crash looks both up."""
    kernel.room(task, kernel.size("task_struct"))
    stack = kernel.pointer(task + kernel.member("task_struct.stack"))
    kernel.room(stack, _stack_bytes(kernel))
    inside = kernel.optional("task_struct.thread_info")
    if (cpu := kernel.optional("task_struct.cpu")) is not None:
        kernel.number(task + cpu, 4, _CPUS_MAX)
    # Before 5.1 it is at the end of the stack, and not in the task.
    info = stack if inside is None else task + inside
    if info and (cpu := kernel.optional("thread_info.cpu")) is not None:
        kernel.number(info + cpu, 4, _CPUS_MAX)
    if info and (back := kernel.optional("thread_info.task")) is not None:
        kernel.pointer(info + back)


def _stack_bytes(kernel: ShownStructs) -> int:
    """Give the size of a stack: of its type, or of the first task's."""
    with suppress(FactError):
        return kernel.size("thread_union")
    first = kernel.find("__end_init_stack") - kernel.find("__start_init_stack")
    return min(max(first, 0), _STACK_MAX)


def _paca_offset(kernel: ShownStructs, cpu: int) -> int:
    """Show where a processor's data is on kernels that have it in its paca (up to 2.6.35)."""
    with suppress(FactError, ReadError):
        offset, size = kernel.member("paca_struct.data_offset"), kernel.size("paca_struct")
        first = kernel.pointer(kernel.find("paca"))
        kernel.room(first + cpu * size, size)
        return kernel.word(first + cpu * size + offset)
    return 0


def _show_paca(kernel: ShownStructs, cpus: list[int]) -> None:
    """Show where the emergency stacks of the processors are."""
    table = kernel.find("paca_ptrs")
    array = kernel.pointer(table) if table else kernel.find("paca")
    for cpu in cpus if array else ():
        paca = kernel.pointer(array + 8 * cpu)
        if not paca:
            break
        for name in PACA_STACKS:
            if (at := kernel.optional(f"paca_struct.{name}")) is not None:
                kernel.pointer(paca + at)


def show_features(kernel: ShownStructs) -> None:
    """Show whether the MMU is radix, as crash asks for it."""
    at = kernel.member("cpu_spec.mmu_features")
    if spec := kernel.pointer(kernel.find("cur_cpu_spec")):
        kernel.word(spec + at, 4)


def show_process_table(kernel: ShownStructs) -> None:
    """Have the table of processes there, and empty."""
    shift = kernel.find("pidhash_shift")
    if shift and (table := kernel.pointer(kernel.find("pid_hash"))):
        kernel.room(table, min(8 << min(kernel.memory.word(shift, 4), 20), _TABLE_MAX))


def show_taints(kernel: ShownStructs) -> None:
    """Show the letters by which crash says why a kernel is tainted, constants likewise."""
    first, room = kernel.variable("taint_flags")
    size = kernel.size("taint_flag")
    for at in range(first, first + min(room, size * _NAMES_MAX), size):
        letters = kernel.memory.read(at, 3)
        if not _TAINT.fullmatch(letters):
            return
        kernel.put(at, letters)


def show_states(kernel: ShownStructs) -> None:
    """Show the names of the states of tasks, constants likewise."""
    first, room = kernel.variable("task_state_array")
    for at in range(first, first + min(room, 8 * _NAMES_MAX), 8):
        name = kernel.pointer(at)
        if not name or not kernel.text(name, _STATE):
            return
