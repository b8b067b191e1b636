"""BTF: the kernel's own description of what this model keeps in memory, for kernels since 5.2.

Only structs and members that are really there are described, with what VMCOREINFO lacks of them,
so that a reader that goes by types finds what one finds that goes by VMCOREINFO.

Source: Linux kernel/bpf/btf.c, include/linux/{mm_types,mmzone,page-flags}.h.
"""

from __future__ import annotations

from typing import Protocol

from vmemmap.simulate import eras
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.memory.image import UTS_FIELD_BYTES, uts_name_offset
from vmemmap.simulate.mm import pgdat
from vmemmap.simulate.mm.page_layout import (
    COMPOUND,
    FIELDS,
    HUGETLB_PAGE_DTOR,
    PAGE_FLAGS,
    PAGE_TYPES,
)
from vmemmap.simulate.mm.sparsemem import SparseMem
from vmemmap.write.btf import BtfPacker

BTF_SINCE = (5, 2)
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
    return _Types(kernel, machine.nodes, machine.sparsemem.entry_bytes).pack()


class _Types:
    """The types of one kernel."""

    def __init__(self, kernel: Kernel, nodes: pgdat.Pgdat, section_bytes: int) -> None:
        self._kernel, self._nodes, self._section_bytes = kernel, nodes, section_bytes
        packer = self._packer = BtfPacker(kernel.byte_order)
        self._u64 = packer.integer("long unsigned int", 8)
        self._u32 = packer.integer("unsigned int", 4)
        self._u16 = packer.integer("short unsigned int", 2)
        self._u8 = packer.integer("unsigned char", 1)
        self._int = packer.integer("int", 4)
        self._char = packer.integer("char", 1)
        self._pointer = packer.pointer()
        self._atomic = packer.alias(
            "atomic_t", packer.structure("", 4, [("counter", self._int, 0)])
        )
        self._atomic_long = packer.alias(
            "atomic_long_t", packer.structure("", 8, [("counter", self._u64, 0)])
        )
        links = [("next", self._pointer, 0), ("prev", self._pointer, 8)]
        self._list_head = packer.structure("list_head", pgdat.LIST_HEAD_BYTES, links)

    def pack(self) -> bytes:
        """Give all of them."""
        self._page()
        self._memory()
        self._tracking()
        self._names()
        self._enums()
        return self._packer.pack()

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
            ("_refcount", self._atomic, fields.refcount),
        ]
        if compound.head_at is not None:
            name = "compound_info" if kernel.version >= (7, 1) else "compound_head"
            members.append((name, self._u64, compound.head_at))
        size = kernel.struct_page_size
        if compound.dtor_at is not None:
            words: list[Member] = [
                ("_dtor", self._u8, compound.dtor_at),
                ("_order", self._u8, compound.order_at),
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
        zone = packer.structure(
            "zone",
            nodes.zone_bytes,
            [
                ("spanned_pages", self._u64, nodes.spanned_pages),
                ("free_area", areas, pgdat.ZONE_FREE_AREA),
                ("vm_stat", self._array(self._atomic_long, 1), nodes.vm_stat),
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
                ("node_id", self._int, nodes.node_id),
            ],
        )

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
        self._packer.structure("uts_namespace", at + size, [("name", names, at)])

    def _enums(self) -> None:
        kernel, packer = self._kernel, self._packer
        flags = kernel.at(PAGE_FLAGS)
        bits = {name: getattr(flags, name) for name in flags.__slots__}
        named = {f"PG_{name}": bit for name, bit in bits.items() if bit is not None}
        if (bit := kernel.at(COMPOUND).hugetlb_bit) is not None:
            named["PG_hugetlb"] = bit
        packer.enum("pageflags", named)
        zones = kernel.at(pgdat.ZONES)
        kinds = [*zones, *["device"] * (self._nodes.zones - len(zones))]
        numbers = {f"ZONE_{name.upper()}": index for index, name in enumerate(kinds)}
        packer.enum("zone_type", numbers | {"__MAX_NR_ZONES": len(kinds)})
        packer.enum("zone_stat_item", {"NR_FREE_PAGES": pgdat.NR_FREE_PAGES})
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
