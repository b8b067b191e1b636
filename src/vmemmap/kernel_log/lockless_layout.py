"""How the lockless log's structures lie in memory, as VMCOREINFO says, checked.

Source: Linux kernel/printk/printk_ringbuffer.h, kernel/printk/printk.c (log_buf_vmcoreinfo_setup).
"""

from __future__ import annotations

from vmemmap.errors import FactInvalid
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo

_STRUCT_MAX_BYTES = 4096


class LocklessLayout:
    """Sizes and offsets in bytes; those of inner structures are added to their outer ones'.

    Args:
        info: The parsed VMCOREINFO.

    Raises:
        FactError: A key is missing, or its value is impossible.
    """

    def __init__(self, info: Vmcoreinfo) -> None:
        self._info = info
        counter = info.offset("atomic_long_t.counter")
        desc_ring = info.offset("printk_ringbuffer.desc_ring")
        data_ring = info.offset("printk_ringbuffer.text_data_ring")

        self.ring_bytes = self._size("printk_ringbuffer")
        inside = ("printk_ringbuffer", self.ring_bytes)
        self.count_bits = self._at("prb_desc_ring.count_bits", 4, inside, desc_ring)
        self.descs = self._at("prb_desc_ring.descs", 8, inside, desc_ring)
        self.infos = self._at("prb_desc_ring.infos", 8, inside, desc_ring)
        self.head_id = self._at("prb_desc_ring.head_id", 8, inside, desc_ring + counter)
        self.tail_id = self._at("prb_desc_ring.tail_id", 8, inside, desc_ring + counter)
        self.size_bits = self._at("prb_data_ring.size_bits", 4, inside, data_ring)
        self.data = self._at("prb_data_ring.data", 8, inside, data_ring)

        self.desc_bytes = self._size("prb_desc")
        inside = ("prb_desc", self.desc_bytes)
        self.state = self._at("prb_desc.state_var", 8, inside, counter)
        block = info.offset("prb_desc.text_blk_lpos")
        self.begin = self._at("prb_data_blk_lpos.begin", 8, inside, block)
        self.next = self._at("prb_data_blk_lpos.next", 8, inside, block)

        self.info_bytes = self._size("printk_info")
        inside = ("printk_info", self.info_bytes)
        self.seq = self._at("printk_info.seq", 8, inside)
        self.ts_nsec = self._at("printk_info.ts_nsec", 8, inside)
        # Facility, flags and level have no key; they follow text_len in every kernel known.
        self.text_len = self._at("printk_info.text_len", 4, inside)
        self.caller_id = self._at("printk_info.caller_id", 4, inside)

    def _size(self, struct: str) -> int:
        size = self._info.size(struct)
        if not 8 <= size <= _STRUCT_MAX_BYTES or size % 8:
            raise FactInvalid(
                f"VMCOREINFO has SIZE({struct})={size}; expected a multiple of 8 up to "
                f"{_STRUCT_MAX_BYTES}",
                name=f"SIZE({struct})",
            )
        return size

    def _at(self, member: str, size: int, inside: tuple[str, int], base: int = 0) -> int:
        offset = base + self._info.offset(member)
        struct, limit = inside
        if offset + size > limit:
            raise FactInvalid(
                f"VMCOREINFO has OFFSET({member})={offset - base}, which puts its {size} bytes at "
                f"{offset} of the {limit} bytes of struct {struct}",
                name=f"OFFSET({member})",
            )
        return offset
