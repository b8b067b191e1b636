"""What kernel functions return and print, and what became of a boot or a hotplug event.

Source: Linux include/uapi/asm-generic/errno-base.h.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class Errno(IntEnum):
    """What the model's kernel functions return, negated, when they fail."""

    ENOMEM = 12
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    EINVAL = 22


@dataclass(frozen=True, slots=True)
class Printed:
    """A line that the kernel printed: how grave, 0 to 7, and its text."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Warned:
    """A WARN_ON(1) that the kernel came to.

    Attributes:
        function: In which function of arch/powerpc/mm/init_64.c.
        callers: The functions that it was called through, innermost first.
    """

    function: str
    callers: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What became of a boot or a hotplug event.

    Attributes:
        what: In words: "boot", "add 512 MiB at 0x40000000 to node 0".
        result: 0 or a negative errno; None when the machine crashed in the middle.
        calls: The kernel functions it went through, in the order of their first call.
        said: What the kernel printed about it, in order.
    """

    what: str
    result: int | None = None
    calls: list[str] = field(default_factory=list)
    said: list[Printed | Warned] = field(default_factory=list)

    @property
    def word(self) -> str:
        """The result as the kernel would name it."""
        if self.result is None:
            return "crashed"
        return f"-{Errno(-self.result).name}" if self.result else "done"
