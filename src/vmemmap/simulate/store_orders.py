"""What weak ordering can make of one insertion: every state in which its stores can be seen.

ppc64 keeps two stores of a processor in order when they go to the same word, or when a barrier
stands between them; vmemmap_list_populate() has none. So memory can be seen with any of its stores
done and the others not, except that of two stores to one word the second hides the first. Those are
the states of all orders together; `SeenState.in_order` tells which of them program order has, too.

Who can meet the others: whoever looks at memory while the machine runs, and a dump of a machine
whose processor never came to a barrier afterwards (it was reset, or lost its stores with its core).
kdump stops the other processors by an interrupt in which each runs a barrier, and the processor
that crashes sees its own stores in order. There only program order is left; as the compiler has put
it, that is, for it may move plain stores as well.

Not in it: the clearing of a fresh page for nodes, which is not held back by a barrier either.

Source: Power ISA, book II (storage ordering); Linux arch/powerpc/mm/init_64.c,
arch/powerpc/kexec/crash.c, crash_ipi_callback() with its smp_mb__after_atomic().
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from vmemmap.errors import SpecError
from vmemmap.simulate.machine import Machine
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import PhysicalMemory, Store, phys_of
from vmemmap.simulate.mm.backing_list import LIST_AT, PHYS_AT, VIRT_ADDR_AT, VmemmapBacking
from vmemmap.simulate.steps import Runner, Task

Entry = Literal["absent", "right", "wrong"]
Rest = Literal["whole", "cut", "astray"]


@dataclass(frozen=True, slots=True)
class SeenState:
    """One way in which the stores of an insertion can be seen.

    Attributes:
        done: The stores that are done, by name; of several to one word the last counts.
        in_order: Whether program order has this state.
        entry: The new entry: not on the list, there as it should be, or there with other words.
        rest: The entries before it: all there, cut off, or behind nodes that are none of the list.
    """

    done: tuple[str, ...]
    in_order: bool
    entry: Entry
    rest: Rest


class Insertion:
    """One insertion that a machine has done, and what memory can look like in the middle of it.

    Attributes:
        stores: Its stores, in program order.
        names: Their names: the kernel's variable, or the member of the new node.
        before: The list before it.
        after: The list after it.
    """

    def __init__(self, machine: Machine) -> None:
        """Record one more block on *machine*, behind its last one; the machine keeps it.

        Raises:
            SpecError: The machine has no memory for a block or its node.
        """
        self._memory: PhysicalMemory = machine.memory
        self._machine = machine
        self._image = image_of(machine.kernel)
        self.before = machine.walk()
        none = machine.kernel.vmemmap_base - machine.block_size
        last = max((entry.virt_addr for entry in self.before), default=none)
        virt = last + machine.block_size
        phys = machine.supply.alloc_block(machine.block_size, 0)
        if phys is None:
            raise SpecError("memory", "there is not enough left for another block")
        backing = machine.tracker
        self.stores: list[Store] = []
        backing.memory.stores = self.stores
        steps = backing.vmemmap_list_populate(Task("hotplug", alone=True), phys, virt, 0)
        done = Runner().run(steps)  # not the machine's, which may be told to stop it
        backing.memory.stores = None
        if not done:
            raise SpecError("memory", "there is not enough left for another node")
        machine.vmemmap.vmemmap_create_mapping(virt, phys)
        self.after = machine.walk()
        self.names = tuple(self._name(store) for store in self.stores)

    def states(self) -> Iterator[SeenState]:
        """Yield every state; memory is in it while it is looked at, and whole again at the end."""
        try:
            for visible in visible_sets(self.stores):
                self._show(visible)
                yield self._seen(visible)
        finally:
            self._show(range(len(self.stores)))

    def _show(self, visible: Sequence[int]) -> None:
        """Let memory be as if just the stores numbered in *visible* were done."""
        for store in reversed(self.stores):
            self._put(store, store.before)
        for number in visible:
            self._put(self.stores[number], self.stores[number].after)

    def _put(self, store: Store, value: int) -> None:
        put = self._memory.store_u64 if store.size == 8 else self._memory.store_u32
        put(store.phys, value)

    def _seen(self, visible: Sequence[int]) -> SeenState:
        found, new = self._machine.walk(), self.after[0]
        entry: Entry = "absent"
        if found and found[0].node == new.node:
            right = (found[0].phys, found[0].virt_addr) == (new.phys, new.virt_addr)
            entry = "right" if right else "wrong"
            found = found[1:]
        return SeenState(
            done=tuple(self.names[number] for number in visible),
            in_order=list(visible) == list(range(len(visible))),
            entry=entry,
            rest=self._rest(found),
        )

    def _rest(self, found: list[VmemmapBacking]) -> Rest:
        if found == self.before:
            return "whole"
        return "cut" if set(found) <= set(self.before) else "astray"

    def _name(self, store: Store) -> str:
        node = phys_of(self.after[0].node)
        members = {
            node + LIST_AT: "list",
            node + PHYS_AT: "phys",
            node + VIRT_ADDR_AT: "virt_addr",
        }
        variables = {phys: name for name, phys in self._image.phys.items()}
        return members.get(store.phys) or variables[store.phys]


def visible_sets(stores: Sequence[Store]) -> Iterator[tuple[int, ...]]:
    """Yield, as ascending numbers, which stores can be done while the others are not.

    Of each word, any number of its stores counted from the first.
    """
    words: dict[int, list[int]] = {}
    for number, store in enumerate(stores):
        words.setdefault(store.phys, []).append(number)
    for counts in product(*(range(len(numbers) + 1) for numbers in words.values())):
        done = (numbers[:count] for numbers, count in zip(words.values(), counts, strict=True))
        yield tuple(sorted(number for numbers in done for number in numbers))
