"""The VMCOREINFO text: which keys a kernel exports, with plausible values, in the real order.

Reference: ppc64-kernel.md 5.1 to 5.6; order and offsets as in a Debian 6.1 ppc64le kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .kernel_era import Mmu, Version, version_of

LINE_LIMIT = 79
_FOREVER: Version = (99, 0)
_START: Version = (0, 0)
# KEY, value, first version, first version without. A SYMBOL takes its value from the machine;
# other values may name attributes of VmcoreinfoInputs.
_Row = tuple[str, str, Version, Version]


def _row(key: str, value: str = "", since: Version = _START, until: Version = _FOREVER) -> _Row:
    return key, value, since, until


def _rows(template: str, pairs: str, since: Version = _START) -> list[_Row]:
    """Rows from text such as ``"flags=0 lru=8"``, each name put into *template*."""
    split = (pair.replace("{{", "{").replace("}}", "}").split("=") for pair in pairs.split())
    return [_row(template.format(name), value, since) for name, value in split]


_TABLE: list[_Row] = [
    _row("OSRELEASE", "{release}"),
    _row("BUILD-ID", "e04703597006cc36ab4eb3e421c377f39b50aecc", (5, 14)),
    _row("PAGESIZE", "{page_size}"),
    _row("SYMBOL(init_uts_ns)"),
    _row("OFFSET(uts_namespace.name)", "0", (5, 11)),
    _row("SYMBOL(node_online_map)"),
    _row("SYMBOL(swapper_pg_dir)"),
    _row("SYMBOL(_stext)"),
    _row("NUMBER(VMALLOC_START)", "0x{vmalloc_start:x}", (6, 9)),
    _row("SYMBOL(vmap_area_list)", "", (3, 10), (6, 9)),
    _row("SYMBOL(vmlist)", "", _START, (3, 10)),
    _row("SYMBOL(mem_section)"),
    _row("LENGTH(mem_section)", "{mem_section_length}"),
    _row("SIZE(mem_section)", "{mem_section_size}"),
    _row("OFFSET(mem_section.section_mem_map)", "0"),
    _row("NUMBER(SECTION_SIZE_BITS)", "24", (5, 13)),
    _row("NUMBER(MAX_PHYSMEM_BITS)", "{max_physmem_bits}", (5, 9)),
    _row("SIZE(page)", "{struct_page_size}"),
    *_rows("SIZE({})", "pglist_data=21760 zone=1664 free_area=104 list_head=16 nodemask_t=32"),
    _row("OFFSET(page.flags)", "0"),
    _row("OFFSET(page._count)", "{at_refcount}", _START, (4, 7)),
    _row("OFFSET(page._refcount)", "{at_refcount}", (4, 7)),
    *_rows("OFFSET(page.{})", "mapping={{at_mapping}} lru={{at_lru}}"),
    *_rows("OFFSET(page.{})", "_mapcount={{at_mapcount}} private={{at_private}}", (3, 9)),
    _row("OFFSET(page.compound_dtor)", "{at_dtor}", (4, 6), (6, 3)),
    _row("OFFSET(page.compound_order)", "{at_order}", (4, 6), (6, 3)),
    _row("OFFSET(folio._folio_dtor)", "{folio_dtor}", (6, 3), (6, 6)),
    _row("OFFSET(folio._folio_order)", "{folio_order}", (6, 3), (6, 6)),
    _row("OFFSET(page.compound_head)", "{at_lru}", (4, 6), (7, 0)),
    _row("OFFSET(page.compound_info)", "{at_lru}", (7, 1)),
    *_rows(
        "OFFSET(pglist_data.{})",
        "node_zones=0 nr_zones=19744 node_start_pfn=19752 node_spanned_pages=19768 node_id=19776",
    ),
    *_rows("OFFSET(zone.{})", "free_area=256 vm_stat=1408 spanned_pages=120"),
    _row("OFFSET(free_area.free_list)", "0"),
    *_rows("OFFSET(list_head.{})", "next=0 prev=8"),
    _row("OFFSET(vmap_area.va_start)", "0", (3, 10), (6, 9)),
    _row("OFFSET(vm_struct.addr)", "8", _START, (3, 10)),
    _row("OFFSET(vmap_area.list)", "40", (3, 10), (6, 9)),
    _row("LENGTH(zone.free_area)", "{orders}"),
    _row("SYMBOL(log_buf)", "", _START, (5, 10)),
    _row("SYMBOL(log_buf_len)", "", _START, (5, 10)),
    _row("SYMBOL(prb)", "", (5, 10)),
    _row("SYMBOL(printk_rb_static)", "", (5, 10)),
    _row("SYMBOL(clear_seq)", "", (5, 10)),
    _row("SIZE(printk_ringbuffer)", "88", (5, 10)),
    *_rows("OFFSET(printk_ringbuffer.{})", "desc_ring=0 text_data_ring=48 fail=80", (5, 10)),
    _row("SIZE(prb_desc_ring)", "48", (5, 10)),
    *_rows(
        "OFFSET(prb_desc_ring.{})",
        "count_bits=0 descs=8 infos=16 head_id=24 tail_id=32",
        (5, 10),
    ),
    _row("SIZE(prb_desc)", "24", (5, 10)),
    *_rows("OFFSET(prb_desc.{})", "state_var=0 text_blk_lpos=8", (5, 10)),
    _row("SIZE(prb_data_blk_lpos)", "16", (5, 10)),
    *_rows("OFFSET(prb_data_blk_lpos.{})", "begin=0 next=8", (5, 10)),
    _row("SIZE(printk_info)", "88", (5, 10)),
    *_rows(
        "OFFSET(printk_info.{})", "seq=0 ts_nsec=8 text_len=16 caller_id=20 dev_info=24", (5, 10)
    ),
    _row("SIZE(dev_printk_info)", "64", (5, 10)),
    _row("OFFSET(dev_printk_info.subsystem)", "0", (5, 10)),
    _row("LENGTH(printk_info_subsystem)", "16", (5, 10)),
    _row("OFFSET(dev_printk_info.device)", "16", (5, 10)),
    _row("LENGTH(printk_info_device)", "48", (5, 10)),
    _row("SIZE(prb_data_ring)", "32", (5, 10)),
    *_rows("OFFSET(prb_data_ring.{})", "size_bits=0 data=8 head_lpos=16 tail_lpos=24", (5, 10)),
    _row("SIZE(atomic_long_t)", "8", (5, 10)),
    _row("OFFSET(atomic_long_t.counter)", "0", (5, 10)),
    _row("SIZE(latched_seq)", "24", (5, 13)),
    _row("OFFSET(latched_seq.val)", "8", (5, 13)),
    _row("LENGTH(free_area.free_list)", "6"),
    _row("NUMBER(NR_FREE_PAGES)", "0"),
    *_rows("NUMBER(PG_{})", "lru={pg_lru} private={pg_private} swapcache={pg_swapcache}"),
    _row("NUMBER(PG_swapbacked)", "{pg_swapbacked}", (4, 18)),
    _row("NUMBER(PG_slab)", "{pg_slab}", (3, 9), (6, 10)),
    _row("NUMBER(PG_hwpoison)", "{pg_hwpoison}", (3, 9)),
    _row("NUMBER(PG_head_mask)", "{pg_head_mask}", (3, 16)),
    _row("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", "{mapcount_buddy}", (3, 9)),
    _row("NUMBER(HUGETLB_PAGE_DTOR)", "2", (4, 6), (6, 6)),
    _row("NUMBER(PG_hugetlb)", "8", (6, 6), (6, 9)),
    _row("NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)", "{mapcount_hugetlb}", (6, 9)),
    _row("NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)", "{mapcount_slab}", (6, 10)),
    _row("NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)", "{mapcount_offline}", (5, 2)),
    _row("SYMBOL(kallsyms_names)", "", (6, 0)),
    _row("SYMBOL(kallsyms_num_syms)", "", (6, 0)),
    _row("SYMBOL(kallsyms_token_table)", "", (6, 0)),
    _row("SYMBOL(kallsyms_token_index)", "", (6, 0)),
    _row("SYMBOL(kallsyms_offsets)", "", (6, 0)),
    _row("SYMBOL(kallsyms_relative_base)", "", (6, 0), (7, 0)),
    _row("SYMBOL(node_data)"),
    _row("LENGTH(node_data)", "256"),
    _row("SYMBOL(vmemmap_list)", "", (3, 13)),
    _row("SYMBOL(mmu_vmemmap_psize)", "", (3, 13)),
    _row("SYMBOL(mmu_psize_defs)", "", (3, 13)),
    _row("SIZE(vmemmap_backing)", "24", (3, 13)),
    *_rows("OFFSET(vmemmap_backing.{})", "list=0 phys=8 virt_addr=16", (3, 13)),
    _row("SIZE(mmu_psize_def)", "{psize_def_bytes}", (3, 13)),
    _row("OFFSET(mmu_psize_def.shift)", "0", (3, 13)),
    _row("SYMBOL(vmemmap)", "", (6, 9)),
    _row("SYMBOL(cur_cpu_spec)", "", (6, 7)),
    _row("OFFSET(cpu_spec.cpu_features)", "16", (6, 8)),
    _row("OFFSET(cpu_spec.mmu_features)", "32", (6, 7)),
    _row("NUMBER(RADIX_MMU)", "{radix_mmu}", (6, 7)),
    _row("KERNELOFFSET", "0", (5, 5)),
    _row("CRASHTIME", "{crashtime}"),
]

# lru, slab, private, head, swapcache, swapbacked, hwpoison, newest first.
_PAGE_FLAGS: tuple[tuple[Version, tuple[int, ...]], ...] = (
    ((6, 14), (5, 0, 14, 6, 10, 17, 21)),
    ((6, 12), (5, 0, 14, 6, 10, 17, 20)),
    ((6, 10), (5, 0, 14, 6, 11, 18, 21)),
    ((6, 6), (5, 11, 15, 6, 12, 19, 22)),
    ((4, 20), (4, 9, 13, 16, 10, 19, 22)),
    ((4, 10), (5, 8, 12, 15, 9, 18, 21)),
    ((4, 4), (5, 7, 11, 14, 15, 18, 21)),
    ((0, 0), (5, 7, 11, 14, 16, 19, 22)),
)
# buddy, offline, hugetlb, slab, newest first.
_MAPCOUNTS: tuple[tuple[Version, tuple[int, ...]], ...] = (
    ((6, 12), (-268435456, -251658240, -201326592, -184549376)),
    ((6, 11), (-1073741825, -536870913, -67108865, -33554433)),
    ((4, 18), (-129, -257, -2049, -4097)),
    ((0, 0), (-128, 0, 0, 0)),
)

# Members of struct page up to 3.1, to 4.17, and later: bytes from its start.
_PAGE_OFFSETS: tuple[tuple[Version, str], ...] = (
    ((4, 18), "lru=8 mapping=24 private=40 mapcount=48 refcount=52 dtor=16 order=17"),
    ((4, 16), "mapping=8 mapcount=24 refcount=28 lru=32 private=48 dtor=40 order=41"),
    ((3, 2), "mapping=8 mapcount=24 refcount=28 lru=32 private=48 dtor=40 order=44"),
    ((0, 0), "refcount=8 mapcount=12 private=16 mapping=24 lru=40 dtor=0 order=0"),
)


def page_offsets(version: Version) -> dict[str, int]:
    """Offsets in struct page by name, as ``at_mapping`` and so on."""
    text = next(text for since, text in _PAGE_OFFSETS if version >= since)
    return {f"at_{name}": int(at) for name, at in (pair.split("=") for pair in text.split())}


def page_flag_numbers(version: Version) -> dict[str, int]:
    """PG_* numbers by name; a slab of 0 means that there is no such flag."""
    names = ("lru", "slab", "private", "head", "swapcache", "swapbacked", "hwpoison")
    numbers = next(numbers for since, numbers in _PAGE_FLAGS if version >= since)
    return dict(zip(names, numbers, strict=True)) | {"reserved": numbers[2] - 1}


def mapcount_values(version: Version) -> dict[str, int]:
    """Values of _mapcount that are page types, by name; 0 where there is none."""
    numbers = next(numbers for since, numbers in _MAPCOUNTS if version >= since)
    return dict(zip(("buddy", "offline", "hugetlb", "slab"), numbers, strict=True))


@dataclass(frozen=True, slots=True)
class VmcoreinfoInputs:
    """What the default text depends on.

    Attributes:
        release: OSRELEASE.
        page_size: Bytes.
        mmu: ``"hash"`` or ``"radix"``.
        symbols: Name -> kernel virtual address. A SYMBOL row without an address is left out.
        struct_page_size: SIZE(page) in bytes.
        mem_section_length: Number of root pointers.
        mem_section_size: Bytes a struct mem_section.
        max_physmem_bits: MAX_PHYSMEM_BITS.
        psize_def_bytes: SIZE(mmu_psize_def).
        vmalloc_start: First vmalloc address.
        crashtime: CRASHTIME in seconds; ``None`` leaves the line out (live system).
    """

    release: str
    page_size: int
    mmu: Mmu
    symbols: Mapping[str, int]
    struct_page_size: int
    mem_section_length: int
    mem_section_size: int
    max_physmem_bits: int
    psize_def_bytes: int
    vmalloc_start: int
    crashtime: int | None = 1795335881


def default_facts(inputs: VmcoreinfoInputs) -> dict[str, str]:
    """Return KEY -> value in the order in which the kernel of ``inputs.release`` writes them."""
    version = version_of(inputs.release)
    flags = next(numbers for since, numbers in _PAGE_FLAGS if version >= since)
    counts = next(numbers for since, numbers in _MAPCOUNTS if version >= since)
    names = ("lru", "slab", "private", "head", "swapcache", "swapbacked", "hwpoison")
    values: dict[str, object] = {name: getattr(inputs, name) for name in inputs.__slots__}
    values |= {f"pg_{name}": number for name, number in zip(names, flags, strict=True)}
    kinds = ("buddy", "offline", "hugetlb", "slab")
    values |= {f"mapcount_{name}": number for name, number in zip(kinds, counts, strict=True)}
    values |= page_offsets(version)
    values |= {
        "folio_dtor": inputs.struct_page_size + 16,
        "folio_order": inputs.struct_page_size + 17,
        "pg_head_mask": 1 << flags[3],
        "orders": 9 if inputs.page_size == 0x10000 else 13,
        "radix_mmu": int(inputs.mmu == "radix"),
    }
    facts = {}
    for key, value, since, until in _TABLE:
        if not since <= version < until or (key == "CRASHTIME" and inputs.crashtime is None):
            continue
        if key.startswith("SYMBOL("):
            name = key[len("SYMBOL(") : -1]
            if name in inputs.symbols:
                facts[key] = format(inputs.symbols[name], "x")
        else:
            facts[key] = value.format(**values)
    return facts


def vmcoreinfo_text(facts: Mapping[str, str]) -> bytes:
    """Return the note text, one ``KEY=value`` line a fact, in the mapping's order.

    Nothing is checked: a test may pass any text. Lines are cut at 79 characters, as the kernel's
    buffer for one append does.
    """
    return "".join(f"{key}={value}"[:LINE_LIMIT] + "\n" for key, value in facts.items()).encode()
