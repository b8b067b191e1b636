"""Kernel code as steps: it stops at every load and store, so that others can run in between.

Kernel functions of the model are generators. Before each access to memory that another CPU, or a
crash, could see they yield what they are about to do. `run` drives one such function to its end;
`interleave` drives several, one access at a time, in any order that its caller chooses. The same
code therefore serves for the plain run, for a crash between any two stores, and for races.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
Owner = TypeVar("Owner", bound=Any)


class Access(Enum):
    """What a kernel function is about to do."""

    LOAD = "load"
    STORE = "store"
    WAIT = "wait"
    """Nothing: it waits for a lock that another task holds."""


Steps = Generator[Access, None, T]


@dataclass(frozen=True, slots=True)
class Deed:
    """What kernel code did that is no access to its own data, for whoever watches.

    Attributes:
        kind: What it is.
        what: What was allocated, freed or mapped; which page table's entry it is; what became of
            struct pages.
        size: How many bytes.
        phys: Their physical address; None where none could be had.
        virt: Where they are mapped, of a mapping.
        words: Of an entry of a page table what was there, and what is there now.
    """

    kind: Literal["alloc", "free", "map", "unmap", "bolt", "entry", "pages"]
    what: str
    size: int
    phys: int | None = None
    virt: int | None = None
    words: tuple[int, int] | None = None


Watcher = Callable[[Deed], None]


class CrashNow(Exception):
    """The machine stops before the next store; what memory holds now is what the dump will show."""


class KernelBug(Exception):
    """The kernel found an impossible state and stops itself: BUG()."""


class Deadlock(Exception):
    """Every task waits for a lock."""


@dataclass(slots=True, eq=False)
class Task:
    """One thread of kernel code, with the locks it holds: what ``current`` is in the kernel.

    Attributes:
        name: What it is called in messages.
        alone: There is no other yet: boot, which needs no lock.
        held: The locks that it holds.
        calls: The kernel functions that it is in, outermost first.
        arguments: Those of the innermost, by name.
    """

    name: str
    alone: bool = False
    held: list[Lock] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)

    def holds(self, lock: Lock) -> bool:
        """Tell whether this task holds *lock*."""
        return lock in self.held


def kernel_function(
    steps: Callable[Concatenate[Owner, Task, P], Steps[T]],
) -> Callable[Concatenate[Owner, Task, P], Steps[T]]:
    """Let what a method puts on its task's call stack be gone when it has ended."""
    names = steps.__code__.co_varnames[2:]

    @wraps(steps)
    def stacked(owner: Owner, task: Task, /, *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        depth, outer = len(task.calls), task.arguments
        task.arguments = dict(zip(names, args, strict=False)) | kwargs
        try:
            return (yield from steps(owner, task, *args, **kwargs))
        finally:
            del task.calls[depth:]
            task.arguments = outer

    return stacked


@dataclass(slots=True, eq=False)
class Lock:
    """A lock that excludes other tasks, or, like a no-op in some configuration, does not.

    Attributes:
        name: The kernel's name for it.
        excludes: Whether a second task has to wait. ``lock_system_sleep()`` without hibernation
            compiles to nothing: it can be "taken" and keeps nobody out.
    """

    name: str
    excludes: bool = True
    owner: Task | None = None

    def acquire(self, task: Task) -> Steps[None]:
        """Take the lock for *task*; waits while another task has it."""
        while self.excludes and self.owner is not None:
            yield Access.WAIT
        self.owner = task
        task.held.append(self)

    def release(self, task: Task) -> None:
        """Give the lock back."""
        task.held.remove(self)
        self.owner = None


class Runner:
    """Drives kernel functions and counts their stores; can stop the machine at one of them.

    Attributes:
        stores: Stores done so far.
        crash_before: The store, counting from 0, before which the machine crashes; None never.
        watch: Is told wherever a function stops, before it goes on; None for nobody.
    """

    def __init__(self, crash_before: int | None = None) -> None:
        self.stores = 0
        self.crash_before = crash_before
        self.watch: Callable[[Steps[Any], Access], None] | None = None

    def run(self, steps: Steps[T]) -> T:
        """Drive one function to its end and give its result.

        Raises:
            CrashNow: The store was reached at which the machine is to stop.
            Deadlock: The function waits for a lock, and there is nobody to give it back.
        """
        try:
            while True:
                access = next(steps)
                if self.watch is not None:
                    self.watch(steps, access)
                self.admit(access)
        except StopIteration as end:
            result: T = end.value
            return result

    def admit(self, access: Access) -> None:
        """Let an access happen, or crash the machine in its place."""
        if access is Access.STORE:
            if self.stores == self.crash_before:
                raise CrashNow(f"before store {self.stores}")
            self.stores += 1
        elif access is Access.WAIT:
            raise Deadlock("waits for a lock that nobody will give back")


def interleave(tasks: Sequence[Steps[T]], choose: Callable[[int], int]) -> list[T]:
    """Run several kernel functions at once, one access at a time.

    Args:
        tasks: The functions; all are begun by this call.
        choose: Given how many tasks can go on, says which goes next (0 to that number less one).

    Returns:
        What each function returned, in the order of *tasks*.

    Raises:
        Deadlock: All that are left wait for locks.
    """
    results: dict[int, T] = {}
    ready = list(range(len(tasks)))
    waiting: list[int] = []
    while ready or waiting:
        if not ready:
            raise Deadlock(f"tasks {waiting} wait for each other")
        which = ready[choose(len(ready))]
        try:
            if next(tasks[which]) is Access.WAIT:
                ready.remove(which)
                waiting.append(which)
                continue
        except StopIteration as end:
            results[which] = end.value
            ready.remove(which)
        # Something has moved: a lock may be free now.
        ready = sorted(ready + waiting)
        waiting = []
    return [results[which] for which in range(len(tasks))]
