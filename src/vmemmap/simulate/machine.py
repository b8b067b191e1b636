"""One simulated machine: wires the parts together, boots, runs its events, and crashes.

It holds no algorithm of its own; the kernel's names are in ``populate.py``, ``backing_list.py``,
``hotplug.py`` and ``boot.py``. By hand it boots when it is first asked for something::

    machine = Machine(memory="4G", release="2.6.35")
    machine.add_memory("8G", "512M")
    machine.backing[0].virt_addr
    machine.crash("vmcore")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack, get_args

from vmemmap.errors import SpecError
from vmemmap.simulate.crash.crashed import CrashedMachine
from vmemmap.simulate.crash.known_pages import KnownPages, known_pages
from vmemmap.simulate.crash.snapshot import Snapshot
from vmemmap.simulate.crash.vmcore import write_symbols, write_vmcore
from vmemmap.simulate.crash.without_file import SnapshotDump
from vmemmap.simulate.eras import TRACKERS
from vmemmap.simulate.events import HotplugEvents
from vmemmap.simulate.in_words import kernel_in_words, machine_in_words
from vmemmap.simulate.journal import Journal
from vmemmap.simulate.kernel import MIB, Kernel
from vmemmap.simulate.memory.handover import boot_allocator, free_what_is_left, set_gigantic_apart
from vmemmap.simulate.memory.image import image_of, write_image
from vmemmap.simulate.memory.page_allocator import PageAllocator
from vmemmap.simulate.memory.physical import KernelMemory, PhysicalMemory, virt_of
from vmemmap.simulate.memory.supply import Faults, Supply
from vmemmap.simulate.mm import boot
from vmemmap.simulate.mm.backing_list import (
    ChunkList,
    FreeListList,
    VmemmapBacking,
    walk_list,
)
from vmemmap.simulate.mm.hotplug import MemoryHotplug
from vmemmap.simulate.mm.locks import HotplugLocks, LockRule
from vmemmap.simulate.mm.outcome import Outcome
from vmemmap.simulate.mm.page_tables import PageTables
from vmemmap.simulate.mm.pgdat import ZONES, Pgdat
from vmemmap.simulate.mm.populate import Vmemmap
from vmemmap.simulate.mm.radix_vmemmap import RadixVmemmap
from vmemmap.simulate.mm.sparsemem import HAS_MEM_MAP, SparseMem
from vmemmap.simulate.mm.usage import PageUsage
from vmemmap.simulate.mm.vmalloc import map_vmalloc
from vmemmap.simulate.sched.tasks import Tasks
from vmemmap.simulate.spec.by_hand import (
    Size,
    SpecFields,
    TracedEvent,
    event_of,
    given_spec,
    number_of,
    size_of,
)
from vmemmap.simulate.spec.machine_spec import MachineSpec
from vmemmap.simulate.spec.parts import HotplugEvent, MemoryRange
from vmemmap.simulate.steps import CrashNow, KernelBug, Runner, Steps, Task
from vmemmap.simulate.trace.trace import Trace
from vmemmap.simulate.watched import check_length, watched
from vmemmap.write.elf_core import Progress

TASK_ALIGN = 128
COMMAND_LINE_AT = 896
"""Where in the page of kernel objects the command line lies, which is empty."""


class Machine:
    """A machine made from a spec.

    Attributes:
        spec: What it was made from.
        kernel: The kernel that it runs.
        block_size: The vmemmap block size, in bytes.
        crashed: Why it stopped by itself, or None.
        lost_sections: Sections that got no struct pages at boot.
    """

    def __init__(
        self,
        spec: MachineSpec | None = None,
        *,
        lock_rule: LockRule = "era",
        step_by_step: bool = False,
        memory: Size | Sequence[MemoryRange] = "4G",
        **fields: Unpack[SpecFields],
    ) -> None:
        """Make a machine; nothing runs yet.

        Args:
            spec: The machine's description; it is checked. Without it, what follows describes one.
            lock_rule: Which lock hotplug holds; see ``locks.py``.
            step_by_step: Boot one store at a time even where arrays would do the same.
            memory: What is there at boot, such as "4G", or ranges.
            fields: More of a `MachineSpec`: release, page_size, mmu, and so on.

        Raises:
            SpecError: Such a machine cannot be.
            TypeError: There are a spec and fields of one beside it.
        """
        if lock_rule not in get_args(LockRule):
            rules = ", ".join(get_args(LockRule))
            raise ValueError(f"lock_rule {lock_rule!r} is none of {rules}")
        spec = given_spec(spec, memory, fields)
        self.kernel: Kernel = spec.check()
        self.spec = spec
        self.block_size = spec.block_size or self.kernel.block_sizes(spec.boot_bytes)[0]
        self._journal = Journal()
        self.crashed: str | None = None
        self.lost_sections = 0
        self._events_run = 0
        self._step_by_step = step_by_step
        self._lock_rule: LockRule = lock_rule
        self._build()

    def _build(self) -> None:
        kernel, spec, journal = self.kernel, self.spec, self._journal
        self.objects_phys = 0
        self.memory = PhysicalMemory(kernel.byte_order, kernel.load_address)
        self._kernel_memory = kernel_memory = KernelMemory(self.memory)
        self.memblock = boot_allocator(spec)
        on_hash = kernel.mmu == "hash"
        self._gigantic = set_gigantic_apart(kernel, spec, self.memblock) if on_hash else []
        self.pages = PageAllocator(kernel.free_area_orders)
        faults = Faults(spec.faults)
        self.supply = Supply(kernel, self.memory, self.memblock, self.pages, faults)
        self.runner = Runner(spec.faults.crash_before_store)
        self.locks = HotplugLocks(kernel, self._lock_rule, hibernation=spec.hibernation)
        write_image(self.memory, kernel, self.block_size)
        self.tasks = Tasks(kernel, self.memory, self._alloc_for_tasks, spec.cpus)
        self.tasks.start_first()
        self.sparsemem = SparseMem(kernel, kernel_memory, self.supply.alloc_kernel)
        self.tables = PageTables(kernel, self.memory, self.supply.alloc_kernel)
        lists = {"chunks": ChunkList, "free_list": FreeListList}
        self.tracker = lists[kernel.at(TRACKERS)](
            kernel_memory,
            kernel,
            self.supply.alloc_node_page,
            self.locks.assert_held,
            journal.warned,
        )
        make = Vmemmap if kernel.keeps_list else RadixVmemmap
        self.vmemmap = make(
            kernel,
            self.block_size,
            self.sparsemem,
            self.supply,
            self.tracker,
            self.tables,
            journal.called,
            journal.said,
        )
        self.usage = PageUsage(kernel, self.pages, spec.seed)
        self.hotplug = MemoryHotplug(
            self.vmemmap,
            self.sparsemem,
            self.pages,
            self.tables,
            self.locks,
            self.usage,
        )
        self.nodes = Pgdat(kernel, has_devices=any(event.device for event in spec.events))
        self._events = HotplugEvents(self.hotplug, self.memory, self.supply, self.nodes, journal)

    def boot(self) -> Machine:
        """Boot: memory, node structures, struct pages, then the page allocator and its users.

        Returns:
            The machine itself.

        Raises:
            SpecError: The planned pages do not fit into what is free.
        """
        spec = self.spec
        self._journal.begin("boot")
        for part in spec.memory:
            self.sparsemem.memory_present(part.start, part.end)
        if self.kernel.mmu == "radix":
            cuts = [edge for event in spec.events for edge in (event.start, event.end)]
            for start, end in boot.linear_map_edges(spec.memory, cuts):
                self.tables.map(virt_of(start), start, end - start)
        for node in sorted({part.node for part in spec.memory}):
            self.nodes.add_node(self.memory, node, self.supply.alloc_kernel(self.nodes.size, node))
        self.objects_phys = self.supply.alloc_kernel(self.kernel.page_size)
        command_line = image_of(self.memory).phys["saved_command_line"]
        self.memory.store_u64(command_line, virt_of(self.objects_phys + COMMAND_LINE_AT))
        self._finish(self._sparse_init)
        if not self.crashed:
            for part in spec.memory:
                self.hotplug.init_pages(part.node, part.start, part.end, "boot")
        if self.kernel.mmu == "radix":
            self._gigantic = set_gigantic_apart(self.kernel, spec, self.memblock)
        self._start_page_allocator()
        return self

    def run_events(self, progress: Progress = lambda _what, _done, _total: None) -> Machine:
        """Run the spec's hotplug events that have not run, in order, until one crashes it."""
        self._run_until(len(self.spec.events), progress)
        return self

    def _run_until(
        self, count: int, progress: Progress = lambda _what, _done, _total: None
    ) -> None:
        """Run the first *count* of the spec's events, without those that have run."""
        if not self.outcomes:
            self.boot()
        for index in range(self._events_run, count):
            progress("hotplug", index, count)
            if self.crashed:
                break
            self._events_run += 1
            self.run_event(self.spec.events[index])

    def add_memory(
        self,
        start: Size,
        size: Size,
        node: int = 0,
        *,
        altmap: Size = 0,
        device: bool = False,
        reserve: Size = 0,
        compound: Size = 0,
        online: bool = True,
    ) -> Outcome:
        """Add memory by hand, as a `HotplugEvent` of the spec would; its events go first.

        Returns:
            What became of it; ``word`` is the result as the kernel would name it.

        Raises:
            SpecError: It cannot be, as when memory is there already, or the machine has crashed.
        """
        place = size_of("start", start), size_of("size", size)
        number_of("event.node", node)
        return self._run_by_hand(
            HotplugEvent(
                "add",
                *place,
                node,
                size_of("altmap", altmap),
                device=device,
                reserve=size_of("reserve", reserve),
                compound=size_of("compound", compound),
                online=online,
            )
        )

    def remove_memory(self, start: Size, size: Size, *, device: bool = False) -> Outcome:
        """Take memory away by hand; returns and raises as `add_memory` does."""
        place = size_of("start", start), size_of("size", size)
        return self._run_by_hand(HotplugEvent("remove", *place, device=device))

    def trace(self, event: TracedEvent = "boot") -> Trace:
        """Boot, or run an event, and tell what the kernel did step by step.

        Args:
            event: "boot"; the number of an event of the spec, from 1 on; or an event to run by
                hand, also as a text such as "add:8G:512M". What comes before it runs untold.

        Returns:
            The functions, loads and stores, with the list before and after each store. What is
            alike is told once, and counted.

        Raises:
            SpecError: It cannot be, has happened already, or is of too many blocks to go through
                store by store.
        """
        wanted = event_of(event)
        if wanted == "boot":
            return self._trace_boot()
        if isinstance(wanted, int):
            if not 1 <= wanted <= len(self.spec.events):
                raise SpecError("event", f"there is no event {wanted} (of {len(self.spec.events)})")
            if wanted <= self._events_run:
                raise SpecError("event", f"event {wanted} has happened already")
            self._run_until(wanted - 1)
            self._events_run = wanted
            planned = self.spec.events[wanted - 1]
        else:
            planned = self._plan_by_hand(wanted)
        self._check_length(planned.size)
        return self._watched(lambda: self.run_event(planned))

    def _trace_boot(self) -> Trace:
        if self.outcomes:
            raise SpecError("event", "the machine has booted already")
        self._check_length(self.spec.boot_bytes)
        self._step_by_step = True
        return self._watched(self.boot)

    def _check_length(self, size: int) -> None:
        check_length(self.kernel, self.block_size, size)

    def _watched(self, work: Callable[[], object]) -> Trace:
        parts = self._journal, self.runner, self.supply, self.vmemmap, self.tables
        with watched(*parts) as watch:
            work()
        outcome = self.outcomes[-1]
        stopped = self.runner.stores == self.runner.crash_before
        return watch.end(outcome.what, outcome.word, self.crashed, stopped=stopped)

    def run_event(self, event: HotplugEvent) -> Outcome:
        """Run one hotplug event to its end, or to the machine's."""
        size = f"{event.size // MIB} MiB at {event.start:#x}"
        target = f" to node {event.node}" if event.kind == "add" else ""
        device = " (device)" if event.device else ""
        outcome = self._journal.begin(f"{event.kind} {size}{target}{device}")
        task = Task(f"hotplug-{len(self.outcomes)}")
        outcome.result = self._finish(lambda: self._run_alone(self.event_steps(task, event)))
        return outcome

    def event_steps(self, task: Task, event: HotplugEvent) -> Steps[int]:
        """Give an event as kernel code to be driven, for instance beside another.

        Returns, when driven to its end, 0 or a negative errno.
        """
        return self._events.steps(task, event)

    def snapshot(self) -> Snapshot:
        """Freeze what memory holds now, as a capture kernel would find it."""
        return Snapshot(self._crashed(self.memory))

    def dumped(self) -> SnapshotDump:
        """Give the memory as it is now, for `vmemmap.open`; the machine may run on afterwards."""
        self._boot_once()
        return SnapshotDump(Snapshot(self._crashed(self.memory.copy())))

    def _crashed(self, memory: PhysicalMemory) -> CrashedMachine:
        return CrashedMachine(
            spec=self.spec,
            kernel=self.kernel,
            memory=memory,
            memblock=self.memblock,
            pages=self.pages,
            usage=self.usage,
            sparsemem=self.sparsemem,
            vmemmap=self.vmemmap,
            nodes=self.nodes,
            locks=self.locks,
            tasks=self.tasks,
            objects_phys=self.objects_phys,
            idle=tuple(self._events.idle),
            lost_sections=self.lost_sections,
            outcomes=tuple(self.outcomes),
            stores=self.runner.stores,
            reason=self.crashed,
        )

    def crash(
        self,
        path: str | Path,
        progress: Progress = lambda _what, _done, _total: None,
        *,
        container: str = "elf",
        codec: str = "zlib",
        paint: bool = False,
    ) -> Snapshot:
        """Crash: write the machine's memory as a vmcore.

        Args:
            path: The file.
            progress: Told how far it has come.
            container: ``elf``, ``kdump``, or ``flattened``, which is the kdump file as a stream.
            codec: How a kdump file's pages are compressed: zlib, lzo, snappy, zstd or none.
            paint: Fill pages of processes, caches, slabs and free memory with words that say where
                they lie; see ``vmemmap.simulate.crash.paint``.

        Raises:
            ValueError: There is no such container or codec.
            UnwritableFile: The file cannot be written; there is no half of it either.
            CodecUnavailable: The codec's library is not installed.
        """
        self._boot_once()
        snapshot = self.snapshot()
        snapshot.painted = paint
        write_vmcore(snapshot, path, progress, container, codec)
        return snapshot

    def known_pages(self) -> tuple[KnownPages, ...]:
        """Give what every page of memory is now, in runs of pages alike, ascending.

        It is what a tool has to find, page by page, in the vmcore of a crash at this moment.
        """
        self._boot_once()
        return tuple(known_pages(Snapshot(self._crashed(self.memory.copy()))))

    def write_symbols(self, path: str | Path, *, debug_info: bool = False) -> None:
        """Write the kernel's symbols, and types if it has BTF, as a vmlinux without code.

        Args:
            path: The file.
            debug_info: Types and variables are in it as DWARF, too, whatever the release: what
                drgn wants.

        Raises:
            UnwritableFile: The file cannot be written.
        """
        write_symbols(self, path, debug_info=debug_info)

    @property
    def idle(self) -> list[HotplugEvent]:
        """Memory that is there and not in use: devices, and RAM that is not online."""
        return self._events.idle

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of boot and of each event so far."""
        return self._journal.outcomes

    @property
    def list_head(self) -> int:
        """The pointer at vmemmap_list."""
        return self.memory.load_u64(image_of(self.memory).phys["vmemmap_list"])

    @property
    def backing(self) -> tuple[VmemmapBacking, ...]:
        """The list as it is now, head first: entries with node, phys and virt_addr."""
        self._boot_once()
        return tuple(self.walk())

    def __repr__(self) -> str:
        if not self.outcomes:
            return f"<Machine {kernel_in_words(self.kernel)}: not booted>"
        return machine_in_words(self._crashed(self.memory))

    def walk(self) -> list[VmemmapBacking]:
        """Give the entries of the list as (node, phys, virt_addr), head first; see `walk_list`."""
        return list(walk_list(self.memory))

    def _boot_once(self) -> None:
        """Boot and run the planned events, unless that has been done."""
        if not self.outcomes:
            self.boot()
            self.run_events()

    def _run_by_hand(self, event: HotplugEvent) -> Outcome:
        return self.run_event(self._plan_by_hand(event))

    def _plan_by_hand(self, event: HotplugEvent) -> HotplugEvent:
        """Add an event to the spec as one that has run, when all others have."""
        self._boot_once()
        self.run_events()
        if self.crashed:
            raise SpecError("event", f"the machine runs no more: {self.crashed}")
        if event.device and self.nodes.zones == len(self.kernel.at(ZONES)):
            raise SpecError(
                "event.device",
                "boot made no zone for device memory; one such event has to be in the spec",
            )
        spec = replace(self.spec, events=(*self.spec.events, event))
        spec.check()
        self.spec, self._events_run = spec, len(spec.events)
        return event

    def _sparse_init(self) -> int:
        if (
            not self._step_by_step
            and self.spec.faults.crash_before_store is None
            and boot.can_init_in_bulk(self.vmemmap, self.spec.memory)
        ):
            boot.sparse_init_in_bulk(self.vmemmap, self.spec.memory)
            return 0
        steps = boot.sparse_init(
            self.vmemmap, Task("boot", True, calls=[*boot.BOOT_CALLS]), self.spec.memory
        )
        self.lost_sections = self._run_alone(steps)
        return 0

    def _run_alone(self, steps: Steps[int]) -> int:
        """Drive kernel code to its end with nothing beside it but who watches."""
        self._kernel_memory.loads_are_steps = self._journal.watch is not None
        try:
            return self.runner.run(steps)
        finally:
            self._kernel_memory.loads_are_steps = True

    def _alloc_for_tasks(self, size: int) -> int:
        return self.supply.alloc_kernel(size, align=max(size, TASK_ALIGN))

    def _start_page_allocator(self) -> None:
        """Hand what memblock has left to the page allocator, and put pages to use."""
        if not self.crashed:
            self.tasks.start_others()
        flags = self.sparsemem.flags
        free_what_is_left(
            *(self.pages, self.memblock, self.spec, self.kernel.page_shift),
            (lambda section: bool(flags(section) & HAS_MEM_MAP)) if self.lost_sections else None,
        )
        self.supply.booting = False
        if not self.crashed:
            self.usage.place_gigantic(self._gigantic)
            self.usage.place(self.spec.pages)
            map_vmalloc(self.kernel, self.memory, self.tables, self.usage, self.objects_phys)

    def _finish(self, work: Callable[[], int]) -> int | None:
        """Do some of the kernel's work; note it if the machine stops in the middle."""
        try:
            result = work()
        except CrashNow as crash:
            self.crashed = f"crashed {crash}, as planned"
            return None
        except KernelBug as bug:
            self.crashed = str(bug)
            return None
        self.outcomes[-1].result = result
        return result
