"""The types of what this model keeps in memory: as BTF in kernels since 5.2, and as DWARF.

Only structs and members that are really there are described, with what VMCOREINFO lacks of them,
so that a reader that goes by types finds what one finds that goes by VMCOREINFO.

Source: Linux kernel/bpf/btf.c, include/linux/{mm_types,mmzone,page-flags}.h.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from vmemmap.simulate import eras
from vmemmap.simulate.crash.counters import ATOMIC_SINCE, node_states
from vmemmap.simulate.crash.debugger_types import debugger_variables, log_file
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import (
    LINKED,
    NODEMASK_BYTES,
    POPULATE_BYTES,
    UTS_FIELD_BYTES,
    VARIABLES,
    uts_name_offset,
)
from vmemmap.simulate.mm import pgdat, stat_items
from vmemmap.simulate.mm.page_layout import (
    COMPOUND,
    FIELDS,
    HUGETLB_PAGE_DTOR,
    PAGE_TYPES,
    flag_numbers,
)
from vmemmap.simulate.mm.sparsemem import SparseMem
from vmemmap.simulate.sched import task_layout
from vmemmap.simulate.sched.task_layout import TaskLayout
from vmemmap.write.btf import BtfPacker
from vmemmap.write.dwarf import DwarfPacker

BTF_SINCE = (5, 2)
VMEMMAP_VARIABLE_SINCE = (4, 7)
HIGHEST_SECTION: eras.Table[bool] = (
    (eras.OLDEST, False),
    ((4, 13), True, eras.Bracket("4.12.0", "4.14.0", "4.13 by what is remembered of c4e1be9ec113")),
)
TYPES_AS_ENUM_SINCE = (6, 11)
TYPE_BYTES_SINCE = (6, 12)
"""Page types are an enum of flags that are cleared, and since 6.12 the byte at the top."""
UTS_FIELDS = ("sysname", "nodename", "release", "version", "machine", "domainname")

Member = tuple[str, int, int]


class DescribedKernel(Protocol):
    """What is asked of a machine, crashed or not."""

    @property
    def kernel(self) -> Kernel:
        """Its kernel."""
        ...

    @property
    def nodes(self) -> pgdat.Pgdat:
        """The node structures."""
        ...

    @property
    def sparsemem(self) -> SparseMem:
        """mem_section."""
        ...


def kernel_types(machine: DescribedKernel) -> bytes:
    """Give the kernel's BTF; nothing for a kernel that can have none."""
    kernel = machine.kernel
    if kernel.version < BTF_SINCE:
        return b""
    packer = BtfPacker(kernel.byte_order)
    _Types(packer, machine).add()
    return packer.pack()


def debug_sections(machine: DescribedKernel) -> dict[str, bytes]:
    """Give the sections that a vmlinux with debugging information has, by name.

    They describe the same types, in every release, and the variables that have one.
    """
    kernel = machine.kernel
    packer = DwarfPacker(kernel.byte_order, "vmemmap.simulate")
    types = _Types(packer, machine, for_debuggers=True)
    types.add()
    for name, kind in (*types.variables(), *debugger_variables(packer, kernel, types.known)):
        file = log_file(kernel) if name == "log_buf" else ""
        packer.variable(name, kind, LINKED.symbol(kernel, name), file)
    packer.function("vmemmap_populate", LINKED.vmemmap_populate, POPULATE_BYTES)
    return packer.pack()


class TypePacker(Protocol):
    """What both packers have."""

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        """Add an integer."""
        ...

    def pointer(self, target: int | str = 0) -> int:
        """Add a pointer."""
        ...

    def array(self, element: int, count: int, index: int) -> int:
        """Add an array."""
        ...

    def structure(self, name: str, size: int, members: Iterable[Member]) -> int:
        """Add a struct."""
        ...

    def enum(self, name: str, values: Mapping[str, int]) -> int:
        """Add an enum."""
        ...

    def alias(self, name: str, target: int) -> int:
        """Add a typedef."""
        ...


class _Types:
    """The types of one kernel."""

    def __init__(
        self, packer: TypePacker, machine: DescribedKernel, *, for_debuggers: bool = False
    ) -> None:
        kernel, self._for_debuggers = machine.kernel, for_debuggers
        self._kernel, self._nodes = kernel, machine.nodes
        self._section_bytes = machine.sparsemem.entry_bytes
        self._section_roots = machine.sparsemem.length
        self._layout = TaskLayout(kernel)
        self._packer = packer
        self._structs: dict[str, int] = {}
        self._u64 = packer.integer("long unsigned int", 8)
        self._u32 = packer.integer("unsigned int", 4)
        self._u16 = packer.integer("short unsigned int", 2)
        self._u8 = packer.integer("unsigned char", 1)
        self._int = packer.integer("int", 4, signed=True)
        self._long = packer.integer("long int", 8, signed=True)
        self._char = packer.integer("char", 1, signed=True)
        self._pointer = packer.pointer()
        self._atomic = packer.alias(
            "atomic_t", packer.structure("", 4, [("counter", self._int, 0)])
        )
        self._atomic_long = packer.alias(
            "atomic_long_t", packer.structure("", 8, [("counter", self._long, 0)])
        )
        link = packer.pointer("list_head")
        links = [("next", link, 0), ("prev", link, 8)]
        self._list_head = packer.structure("list_head", pgdat.LIST_HEAD_BYTES, links)
        self.known: dict[str, int] = {
            "u8": self._u8,
            "u16": self._u16,
            "u32": self._u32,
            "u64": self._u64,
            "int": self._int,
            "long": self._long,
            "char": self._char,
            "atomic_t": self._atomic,
            "atomic_long_t": self._atomic_long,
            "list_head": self._list_head,
            "*": self._pointer,
        }
        """The types by the names that tables have for them; structs of tasks join them."""

    def add(self) -> None:
        """Pack all of them."""
        self._page()
        self._memory()
        self._tracking()
        self._names()
        self._enums()
        self._tasks()

    def variables(self) -> Iterator[tuple[str, int]]:
        """Yield the variables of the release, each with its type."""
        kernel, packer, structs = self._kernel, self._packer, self._structs
        yield "vmemmap_list", packer.pointer("vmemmap_backing")
        yield "next", packer.pointer("vmemmap_backing")
        yield "num_left", self._int
        if kernel.at(eras.TRACKERS) == "free_list":
            yield "num_freed", self._int
        yield "mmu_vmemmap_psize", self._int
        yield "init_uts_ns", structs["uts_namespace"]
        yield "node_data", self._array(packer.pointer("pglist_data"), 256)
        if kernel.version >= VMEMMAP_VARIABLE_SINCE:
            yield "vmemmap", packer.pointer("page")
        section = packer.pointer("mem_section")
        if kernel.at(eras.SECTION_ROOTS_ALLOCATED):
            yield "mem_section", packer.pointer(section)
        else:
            yield "mem_section", self._array(section, self._section_roots)
        if kernel.at(HIGHEST_SECTION):
            yield "__highest_present_section_nr", self._u64
        yield from (("init_task", structs["task_struct"]), ("init_mm", structs["mm_struct"]))
        yield "init_pid_ns", structs["pid_namespace"]
        yield "init_struct_pid", structs["pid"]
        if not kernel.at(task_layout.PIDS_IN_IDR):
            yield "pid_hash", packer.pointer("hlist_head")
            yield "pidhash_shift", self._u32
        yield "runqueues", structs["rq"]
        yield "__per_cpu_offset", self._array(self._u64, task_layout.NR_CPUS)
        yield "nr_cpu_ids", self._u32
        masks = kernel.at(task_layout.CPU_MASKS)
        for name in ("online", "possible", "present"):
            kind = structs["cpumask"] if masks else packer.pointer("cpumask")
            yield f"__cpu_{name}_mask" if masks else f"cpu_{name}_mask", kind
        note = packer.alias("note_buf_t", self._array(self._u32, task_layout.NOTE_WORDS))
        yield "crash_notes", packer.pointer(note)
        yield "crashing_cpu", self._int
        if kernel.at(task_layout.PANIC_CPU):
            yield "panic_cpu", self._atomic
        yield from self._count_variables()
        letters = len(kernel.at(task_layout.STATE_LETTERS))
        yield "task_state_array", self._array(packer.pointer(self._char), letters)

    def _count_variables(self) -> Iterator[tuple[str, int]]:
        """Yield the variables that count pages, and say which nodes there are."""
        kernel, packer = self._kernel, self._packer
        if kernel.version >= stat_items.SPLIT_SINCE:
            yield "vm_zone_stat", self._counters(stat_items.ZONE_ITEMS)
            yield "vm_node_stat", self._counters(stat_items.NODE_ITEMS)
        else:
            yield "vm_stat", self._counters(stat_items.ZONE_ITEMS)
        if kernel.version >= ATOMIC_SINCE:
            yield "_totalram_pages", self._atomic_long
        else:
            yield "totalram_pages", self._u64
        bits = [("bits", self._array(self._u64, NODEMASK_BYTES // 8), 0)]
        mask = packer.alias("nodemask_t", packer.structure("", NODEMASK_BYTES, bits))
        yield "node_states", self._array(mask, VARIABLES["node_states"] // NODEMASK_BYTES)
        yield "nr_node_ids", self._u32
        yield from ((name, self._u64) for name in ("min_low_pfn", "max_low_pfn", "max_pfn"))

    def _tasks(self) -> None:
        """Pack the structs of tasks, PIDs and run queues."""
        packer = self._packer
        links = [("next", packer.pointer("hlist_node"), 0), ("pprev", self._pointer, 8)]
        known = self.known
        known["hlist_node"] = packer.structure("hlist_node", 16, links)
        first = [("first", packer.pointer("hlist_node"), 0)]
        known["hlist_head"] = packer.structure("hlist_head", 8, first)
        for name, struct in self._layout.structs.items():
            members = []
            for member, field in struct.fields.items():
                kind = field.kind
                if kind not in known:
                    known[kind] = packer.pointer(kind[1:])
                one = known[kind]
                number = self._array(one, field.count) if field.count else one
                members.append((member, number, field.at))
            self._structs[name] = known[name] = packer.structure(name, struct.size, members)
        packer.enum("pid_type", self._layout.pid_types)

    def _array(self, element: int, count: int) -> int:
        return self._packer.array(element, count, self._u32)

    def _page(self) -> None:
        kernel, fields, compound = (
            self._kernel,
            self._kernel.at(FIELDS),
            self._kernel.at(COMPOUND),
        )
        members: list[Member] = [
            ("flags", self._u64, 0),
            ("lru", self._list_head, fields.lru),
            ("mapping", self._pointer, fields.mapping),
            ("index", self._u64, fields.index),
            ("private", self._u64, fields.private),
            ("_mapcount", self._atomic, fields.mapcount),
            ("_refcount" if kernel.version >= (4, 7) else "_count", self._atomic, fields.refcount),
        ]
        if compound.head_at is not None:
            name = "compound_info" if kernel.version >= (7, 1) else "compound_head"
            members.append((name, self._u64, compound.head_at))
        else:
            members.append(("first_page", self._packer.pointer("page"), fields.private))
        size = kernel.struct_page_size
        if compound.dtor_at is not None and compound.head_at is not None:
            widths = {1: self._u8, 2: self._u16, 4: self._u32}
            words: list[Member] = [
                ("_dtor", widths[compound.dtor_bytes], compound.dtor_at),
                ("_order", widths[compound.order_bytes], compound.order_at),
            ]
            if kernel.version < (6, 3):
                members += [(f"compound{name}", kind, at) for name, kind, at in words]
            else:
                second = [(f"_folio{name}", kind, size + at) for name, kind, at in words]
                self._packer.structure("folio", 2 * size, [("_flags_1", self._u64, size), *second])
        elif kernel.version >= (6, 6):
            self._packer.structure("folio", 2 * size, [("_flags_1", self._u64, size)])
        self._packer.structure("page", size, members)

    def _memory(self) -> None:
        nodes, packer = self._nodes, self._packer
        packer.structure("mem_section", self._section_bytes, [("section_mem_map", self._u64, 0)])
        lists = self._array(self._list_head, nodes.migrate_types)
        counted = nodes.migrate_types * pgdat.LIST_HEAD_BYTES
        area = packer.structure(
            "free_area",
            nodes.free_area_bytes,
            [("free_list", lists, 0), ("nr_free", self._u64, counted)],
        )
        areas = self._array(area, self._kernel.free_area_orders)
        counters: list[Member] = []
        if self._kernel.version >= stat_items.SPLIT_SINCE:
            counters = [("vm_stat", self._counters(stat_items.NODE_ITEMS), nodes.node_vm_stat)]
        zone = packer.structure(
            "zone",
            nodes.zone_bytes,
            [
                ("spanned_pages", self._u64, nodes.spanned_pages),
                ("free_area", areas, pgdat.ZONE_FREE_AREA),
                *(self._zone_spans() if self._for_debuggers else ()),
                ("vm_stat", self._counters(stat_items.ZONE_ITEMS), nodes.vm_stat),
            ],
        )
        packer.structure(
            "pglist_data",
            nodes.size,
            [
                ("node_zones", self._array(zone, nodes.zones), 0),
                ("nr_zones", self._int, nodes.nr_zones),
                ("node_start_pfn", self._u64, nodes.node_start_pfn),
                ("node_spanned_pages", self._u64, nodes.node_spanned_pages),
                ("node_present_pages", self._u64, nodes.node_present_pages),
                ("node_id", self._int, nodes.node_id),
                *counters,
            ],
        )

    def _zone_spans(self) -> Iterator[Member]:
        """Yield what VMCOREINFO does not have of a zone, and what readers do without."""
        nodes = self._nodes
        yield "zone_start_pfn", self._u64, nodes.zone_start_pfn
        yield "present_pages", self._u64, nodes.present_pages
        if nodes.managed_pages is not None:
            atomic = self._kernel.version >= ATOMIC_SINCE
            kind = self._atomic_long if atomic else self._u64
            yield "managed_pages", kind, nodes.managed_pages

    def _counters(self, items: eras.Table[str]) -> int:
        return self._array(self._atomic_long, stat_items.count_of(self._kernel.at(items)))

    def _tracking(self) -> None:
        packer, bytes_of = self._packer, self._kernel.at(eras.PSIZE_DEF_BYTES)
        entry = [("list", self._pointer, 0), ("phys", self._u64, 8), ("virt_addr", self._u64, 16)]
        packer.structure("vmemmap_backing", 24, entry)
        packer.structure("mmu_psize_def", bytes_of, [("shift", self._u32, 0)])
        packer.structure("cpu_spec", 64, [("mmu_features", self._u32, 32)])

    def _names(self) -> None:
        field = self._array(self._char, UTS_FIELD_BYTES)
        rows = [(name, field, at * UTS_FIELD_BYTES) for at, name in enumerate(UTS_FIELDS)]
        size = len(rows) * UTS_FIELD_BYTES
        names = self._packer.structure("new_utsname", size, rows)
        at = uts_name_offset(self._kernel)
        known = self._packer.structure("uts_namespace", at + size, [("name", names, at)])
        self._structs["uts_namespace"] = known

    def _enums(self) -> None:
        kernel, packer = self._kernel, self._packer
        packer.enum("pageflags", flag_numbers(kernel))
        zones = kernel.at(pgdat.ZONES)
        kinds = [*zones, *["device"] * (self._nodes.zones - len(zones))]
        numbers = {f"ZONE_{name.upper()}": index for index, name in enumerate(kinds)}
        packer.enum("zone_type", numbers | {"__MAX_NR_ZONES": len(kinds)})
        packer.enum("zone_stat_item", stat_items.numbers_of(kernel.at(stat_items.ZONE_ITEMS)))
        if kernel.version >= stat_items.SPLIT_SINCE:
            packer.enum("node_stat_item", stat_items.numbers_of(kernel.at(stat_items.NODE_ITEMS)))
        packer.enum("node_states", node_states(kernel))
        if kernel.version < (6, 6):
            packer.enum("compound_dtor_id", {"HUGETLB_PAGE_DTOR": HUGETLB_PAGE_DTOR})
        if kernel.version >= TYPES_AS_ENUM_SINCE:
            types = kernel.at(PAGE_TYPES)
            values = {name: getattr(types, name) for name in types.__slots__}
            said = {name: value for name, value in values.items() if value is not None}
            if kernel.version >= TYPE_BYTES_SINCE:
                marks = {f"PGTY_{name}": (value & 0xFFFFFFFF) >> 24 for name, value in said.items()}
            else:
                marks = {f"PG_{name}": ~value & 0xFFFFFFFF for name, value in said.items()}
            packer.enum("pagetype", marks)
