"""Which lock memory hotplug holds around vmemmap_populate(), and whether it keeps anybody out.

The patch of 2010 says that pgdat_resize_lock protects the list. It does not: in the code of its
day that lock is taken only when the struct pages are populated already, and it is one lock for
each node, while the list is one for all. What really serialised was a lock further up, and in
2.6.35 that one compiled to nothing without hibernation.

`LockRule` chooses: ``era`` holds what the release's code holds; ``patch`` holds the lock that the
patch names, where it says; ``none`` holds nothing at all.

Source: Linux mm/memory_hotplug.c, mm/sparse.c, release by release.
"""

from __future__ import annotations

from typing import Literal

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.steps import Lock, Steps, Task

LockRule = Literal["era", "patch", "none"]


class HotplugLocks:
    """The locks of one machine.

    Attributes:
        rule: What is held; see the module.
        outer: The locks that hotplug takes for its whole duration, in the order of taking.
    """

    def __init__(self, kernel: Kernel, rule: LockRule, *, hibernation: bool) -> None:
        self.rule = rule
        self._pgdat: dict[int, Lock] = {}
        self._takes_pgdat = kernel.at(eras.PGDAT_RESIZE_LOCK)
        name = kernel.at(eras.HOTPLUG_LOCKS)
        self.outer: list[Lock] = []
        if rule == "era":
            if kernel.at(eras.DEVICE_HOTPLUG_LOCK):
                self.outer.append(Lock("device_hotplug_lock"))
            self.outer.append(Lock(name, excludes=name != "lock_system_sleep" or hibernation))

    @property
    def serialised(self) -> bool:
        """Whether two hotplug operations on different nodes can never overlap in populate."""
        return any(lock.excludes for lock in self.outer)

    @property
    def description(self) -> str:
        """Say in words what keeps a second operation out."""
        if self.rule == "patch":
            return "pgdat_resize_lock, one for each node, as the patch says"
        if not self.outer:
            return "nothing"
        names = " and ".join(lock.name for lock in self.outer)
        return names if self.serialised else f"{names}, which without hibernation keeps nobody out"

    def pgdat_resize_lock(self, node: int) -> Lock:
        """Give the lock of one node."""
        return self._pgdat.setdefault(node, Lock(f"pgdat_resize_lock({node})"))

    def begin(self, task: Task, *, device: bool = False) -> Steps[None]:
        """Take what hotplug takes at its start; for device memory only the last, innermost lock."""
        for lock in self.outer[-1:] if device else self.outer:
            yield from lock.acquire(task)

    def end(self, task: Task) -> None:
        """Give it back."""
        for lock in reversed(self.outer):
            if task.holds(lock):
                lock.release(task)

    def before_populate(self, task: Task, node: int) -> Steps[None]:
        """Take the lock that the patch names, where the patch says it is held."""
        if self.rule == "patch":
            yield from self.pgdat_resize_lock(node).acquire(task)

    def after_populate(self, task: Task, node: int) -> Steps[None]:
        """Take pgdat_resize_lock where the code really took it: when the blocks are there."""
        if self.rule == "patch":
            return
        if self._takes_pgdat and self.rule == "era":
            yield from self.pgdat_resize_lock(node).acquire(task)

    def before_remove(self, task: Task, node: int) -> Steps[None]:
        """Take pgdat_resize_lock before a section is said to have no struct pages any more."""
        if self.rule == "patch" or (self._takes_pgdat and self.rule == "era"):
            yield from self.pgdat_resize_lock(node).acquire(task)

    def section_forgotten(self, task: Task, node: int) -> None:
        """Give the lock back where the code did: before the struct pages are freed."""
        if self.rule != "patch":
            self.section_done(task, node)

    def section_done(self, task: Task, node: int) -> None:
        """Give a node's lock back, if it was taken."""
        lock = self.pgdat_resize_lock(node)
        if task.holds(lock):
            lock.release(task)

    def assert_held(self, task: Task) -> None:
        """Check that the task holds what this rule says, as lockdep_assert_held() would.

        That is the innermost lock, which all hotplug has in common. device_hotplug_lock is not
        taken for device memory, so it cannot be what protects the list.

        Raises:
            AssertionError: It does not: the model calls populate by a wrong way.
        """
        if task.alone:
            return  # one thread, before there are others
        missing = [lock.name for lock in self.outer[-1:] if not task.holds(lock)]
        if self.rule == "patch" and not any(lock in task.held for lock in self._pgdat.values()):
            missing.append("pgdat_resize_lock")
        assert not missing, f"{task.name} changes the list without {', '.join(missing)}"
