"""Which tasks a machine has: a handful that a kernel has anyway, and the shell that crashed it."""

from __future__ import annotations

from dataclasses import dataclass

INTERRUPTIBLE, IDLE = 0x1, 0x402
KTHREADD = 2


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the model.

    Attributes:
        pid: Its number.
        comm: Its name.
        parent: Its parent's number.
        leader: The number of the first task of its process, if it is not that itself.
        state: What it waits in; 0 is a task that runs.
    """

    pid: int
    comm: str
    parent: int = 1
    leader: int = 0
    state: int = INTERRUPTIBLE

    @property
    def tgid(self) -> int:
        """The number of the process."""
        return self.leader or self.pid

    @property
    def is_kthread(self) -> bool:
        """Tell whether it is a thread of the kernel."""
        return self.pid == KTHREADD or self.parent == KTHREADD


CRASHER = Task(911, "bash", 502, state=0)
"""Runs on the first processor."""
TASKS = (
    Task(1, "systemd", 0),
    Task(KTHREADD, "kthreadd", 0),
    Task(13, "ksoftirqd/0", KTHREADD),
    Task(15, "migration/0", KTHREADD),
    Task(27, "kworker/0:1", KTHREADD, state=IDLE),
    Task(58, "kswapd0", KTHREADD),
    Task(310, "systemd-journal"),
    Task(388, "multipathd"),
    Task(391, "multipathd", leader=388),
    Task(392, "multipathd", leader=388),
    Task(502, "sshd"),
    CRASHER,
)
