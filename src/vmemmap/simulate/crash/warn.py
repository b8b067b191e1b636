"""What a kernel's log has of a WARN_ON(1): where, and through which functions, in the era's form.

The functions are those that the model went through; their addresses, and offsets in them, are this
model's own. Registers that it does not have (MSR, CTR, the general ones) and the instructions are
left out, and so is what the page allocator prints of an allocation that fails.

The form is that of ppc64 logs of 2.6.31 and 2.6.34, 5.1, 5.11, 6.2 and 6.11; between them it is not
known where it changed.

Source: Linux lib/bug.c, kernel/panic.c, arch/powerpc/kernel/process.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import KIB, MIB, Kernel
from vmemmap.simulate.memory.physical import virt_of
from vmemmap.simulate.mm.outcome import Warned

FILE = "arch/powerpc/mm/init_64.c"
_OLD_LOGS = eras.Bracket("2.6.35", "5.1", "no log between was read")
LINES: eras.Table[dict[str, int]] = (
    (eras.OLDEST, {"vmemmap_list_alloc": 266, "vmemmap_list_populate": 285}),
    (
        (3, 17),
        {"vmemmap_list_alloc": 154, "vmemmap_list_populate": 173, "vmemmap_list_free": 268},
        eras.Bracket("2.6.35", "5.9", "read in these two"),
    ),
)
"""The lines in 2.6.35 and in 5.9; other releases between have others."""
FIRST_LINES: eras.Table[str] = (
    (eras.OLDEST, "Badness at {file}:{line}"),
    ((3, 4), "WARNING: at {file}:{line}", _OLD_LOGS),
    ((4, 6), "WARNING: CPU: 0 PID: {pid} at {file}:{line} {where}", _OLD_LOGS),
)
TASK_LINES: eras.Table[str] = (
    (eras.OLDEST, ""),
    ((3, 11), "CPU: 0 PID: {pid} Comm: {comm} {taint} {release} #1", _OLD_LOGS),
    (
        (6, 11),
        "CPU: 0 UID: 0 PID: {pid} Comm: {comm} {taint} {release} #1",
        eras.Bracket("6.2", "6.11", "no log between was read"),
    ),
)
END_MARKS: eras.Table[str] = (
    (eras.OLDEST, ""),
    ((3, 4), "---[ end trace {number:016x} ]---", _OLD_LOGS),
    (
        (5, 17),
        "---[ end trace 0000000000000000 ]---",
        eras.Bracket("5.11", "6.2", "5.17 by what is remembered"),
    ),
)
REGISTER_GAPS: eras.Table[str] = ((eras.OLDEST, " "), ((4, 14), "  ", _OLD_LOGS))

TEXT_AT = 1 * MIB
FUNCTION_BYTES = 512
STACK_AT = 19 * MIB + 16 * KIB
FRAME_BYTES = 112
FIRST_NUMBER = 0x4D8ED6FFB404BF6E
"""Of the end marks; each is one more than the one before."""


@dataclass(frozen=True, slots=True)
class Warner:
    """The task that a warning is printed for, and whether the kernel has warned before."""

    pid: int
    comm: str
    warned_before: int


def warning_lines(kernel: Kernel, warned: Warned, warner: Warner) -> Iterator[str]:
    """Give the lines of one warning."""
    functions = (warned.function, *warned.callers)
    where = _place(kernel, warned.function, 0x8C)
    taint = "Tainted: G        W        " if warner.warned_before else "Not tainted"
    gap = kernel.at(REGISTER_GAPS)
    words = {
        "file": FILE,
        "line": kernel.at(LINES)[warned.function],
        "where": where,
        "pid": warner.pid,
        "comm": warner.comm,
        "taint": taint,
        "release": kernel.release,
        "number": FIRST_NUMBER + warner.warned_before & (1 << 64) - 1,
    }
    yield "------------[ cut here ]------------"
    yield kernel.at(FIRST_LINES).format(**words)
    task_line = kernel.at(TASK_LINES).format(**words)
    if task_line:
        yield "Modules linked in:"
        yield task_line
    here = _address(kernel, warned.function) + 0x8C
    caller = _address(kernel, functions[1]) + 0x40
    yield f"NIP:{gap}{here:016x} LR: {caller:016x} CTR: {0:016x}"
    stack = virt_of(kernel.load_address + STACK_AT)
    yield f"REGS: {stack:016x} TRAP: 0700   {taint}  ({kernel.release})"
    yield f"NIP [{here:016x}] {where}"
    yield f"LR [{caller:016x}] {_place(kernel, functions[1], 0x40)}"
    yield "Call Trace:"
    for depth, function in enumerate(functions[1:], 1):
        address = _address(kernel, function) + 0x40
        frame = stack + depth * FRAME_BYTES
        yield f"[{frame:016x}] [{address:016x}] {_place(kernel, function, 0x40)}"
    mark = kernel.at(END_MARKS).format(**words)
    if mark:
        yield mark


def _address(kernel: Kernel, function: str) -> int:
    """Give a function an address in the kernel's text, the same each time."""
    number = sum(byte * 31**at for at, byte in enumerate(function.encode())) % 8192
    return virt_of(kernel.load_address + TEXT_AT + number * FUNCTION_BYTES)


def _place(kernel: Kernel, function: str, offset: int) -> str:
    """Give a place as the kernel prints it; big-endian ones name a function's code with a dot."""
    dot = "." if kernel.byte_order == "big" else ""
    return f"{dot}{function}+{offset:#x}/{FUNCTION_BYTES:#x}"
