"""Types and variables that only debuggers ask for: the log, vmalloc areas, the processor's kind.

They are in the DWARF and not in the BTF: bit fields are among them, and what describes a dump to
its readers is VMCOREINFO. What the model does not have (slab caches, mounts, the areas of a
process) is not described, so that a debugger says that it is not there.

Source: Linux kernel/printk/printk.c, kernel/printk/printk_ringbuffer.h, include/linux/vmalloc.h.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmemmap.simulate.crash.printk import (
    CHARACTER_RING_UNTIL,
    CLEAR_IDX_SINCE,
    RECORD_BYTES,
    RECORD_MEMBERS,
    RECORD_RING_UNTIL,
    RING_OFFSETS,
    record_name,
)
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.mm.vmalloc import VMAP_AREA_BYTES, VMAP_AREA_LIST
from vmemmap.write.dwarf import DwarfPacker

LOG_FLAGS = {"LOG_NEWLINE": 2, "LOG_CONT": 8}
DESC_STATES = {
    "desc_reserved": 0,
    "desc_committed": 1,
    "desc_finalized": 2,
    "desc_reusable": 3,
}
_FLAG_BITS, _LEVEL_BITS = 5, 3
VMAP_AREAS_LISTED_SINCE, VMAP_NODES_SINCE = (3, 10), (6, 9)
LATCHED_SEQ_SINCE = (5, 13)

Variables = Iterator[tuple[str, int]]


def debugger_variables(packer: DwarfPacker, kernel: Kernel, known: Mapping[str, int]) -> Variables:
    """Pack the types, and yield the variables of the release, each with its type.

    Args:
        packer: Takes the types.
        kernel: The kernel.
        known: Types that are packed already, by name.
    """
    packer.alias("phys_addr_t", packer.alias("u64", known["u64"]))
    yield "cur_cpu_spec", packer.pointer("cpu_spec")
    yield "saved_command_line", packer.pointer(known["char"])
    if VMAP_AREAS_LISTED_SINCE <= kernel.version < VMAP_NODES_SINCE:
        bounds = [("va_start", known["u64"], 0), ("va_end", known["u64"], 8)]
        link = ("list", known["list_head"], kernel.at(VMAP_AREA_LIST))
        packer.structure("vmap_area", VMAP_AREA_BYTES, [*bounds, link])
        yield "vmap_area_list", known["list_head"]
    yield from _log(packer, kernel, known)


def log_file(kernel: Kernel) -> str:
    """Give the source file of `log_buf`, of which kernels from 3.18 to 4.14 have two."""
    return "kernel/printk/printk.c" if kernel.version >= (3, 11) else "kernel/printk.c"


def _log(packer: DwarfPacker, kernel: Kernel, known: Mapping[str, int]) -> Variables:
    if kernel.version >= RECORD_RING_UNTIL:
        yield from _lockless(packer, kernel, known)
        return
    yield "log_buf", packer.pointer(known["char"])
    if kernel.version < CHARACTER_RING_UNTIL:
        yield "log_buf_len", known["int"]
        yield from (("log_end", known["u32"]), ("logged_chars", known["u32"]))
        return
    packer.enum("log_flags", LOG_FLAGS)
    members = [(name, known[kind], at) for name, (at, kind) in RECORD_MEMBERS.items()]
    members.append(("facility", known["u8"], RECORD_BYTES - 2))
    bits = _bit_fields(known, RECORD_BYTES - 1)
    packer.structure(record_name(kernel), RECORD_BYTES, members, bits)
    for name in ("log_buf_len", "log_first_idx", "log_next_idx"):
        yield name, known["u32"]
    if kernel.version >= CLEAR_IDX_SINCE:
        yield "clear_idx", known["u32"]
    yield from (("log_first_seq", known["u64"]), ("log_next_seq", known["u64"]))


def _lockless(packer: DwarfPacker, kernel: Kernel, known: Mapping[str, int]) -> Variables:
    """Describe the ring of descriptors, records and text."""
    u64, u32, char, counter = (known[name] for name in ("u64", "u32", "char", "atomic_long_t"))
    packer.enum("desc_state", DESC_STATES)
    packer.enum("printk_info_flags", LOG_FLAGS)
    texts = [
        ("subsystem", packer.array(char, 16, u32), 0),
        ("device", packer.array(char, 48, u32), 16),
    ]
    device = packer.structure("dev_printk_info", 64, texts)
    kinds: dict[str, dict[str, int]] = {
        "prb_data_blk_lpos": {"begin": u64, "next": u64},
        "printk_info": {
            "seq": u64,
            "ts_nsec": u64,
            "text_len": known["u16"],
            "caller_id": u32,
            "dev_info": device,
        },
        "prb_data_ring": {
            "size_bits": u32,
            "data": packer.pointer(char),
            "head_lpos": counter,
            "tail_lpos": counter,
        },
    }
    made = {name: _ring_struct(packer, known, name, kind) for name, kind in kinds.items()}
    kinds = {
        "prb_desc": {"state_var": counter, "text_blk_lpos": made["prb_data_blk_lpos"]},
        "prb_desc_ring": {
            "count_bits": u32,
            "head_id": counter,
            "tail_id": counter,
            "descs": packer.pointer("prb_desc"),
            "infos": packer.pointer("printk_info"),
        },
    }
    made |= {name: _ring_struct(packer, known, name, kind) for name, kind in kinds.items()}
    rings = {
        "desc_ring": made["prb_desc_ring"],
        "text_data_ring": made["prb_data_ring"],
        "fail": counter,
    }
    ring = _ring_struct(packer, known, "printk_ringbuffer", rings)
    yield "prb", packer.pointer("printk_ringbuffer")
    yield "printk_rb_static", ring
    if kernel.version >= LATCHED_SEQ_SINCE:
        values = [("val", packer.array(u64, 2, u32), 8)]
        yield "clear_seq", packer.structure("latched_seq", 24, values)
    else:
        yield "clear_seq", u64


def _ring_struct(
    packer: DwarfPacker, known: Mapping[str, int], name: str, kinds: Mapping[str, int]
) -> int:
    """Pack one struct of the lockless ring, whose offsets `RING_OFFSETS` has."""
    size, offsets = RING_OFFSETS[name]
    members = [(member, kinds[member], at) for member, at in offsets.items()]
    if name != "printk_info":
        return packer.structure(name, size, members)
    facility = offsets["text_len"] + 2
    members.append(("facility", known["u8"], facility))
    return packer.structure(name, size, members, _bit_fields(known, facility + 1))


def _bit_fields(known: Mapping[str, int], at: int) -> list[tuple[str, int, int, int]]:
    """Give ``u8 flags:5, level:3`` of the byte at *at*."""
    return [
        ("flags", known["u8"], 8 * at, _FLAG_BITS),
        ("level", known["u8"], 8 * at + _FLAG_BITS, _LEVEL_BITS),
    ]
