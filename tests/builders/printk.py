"""Builds the kernel's log as it lies in memory: characters, records, or the lockless ring.

Each class is a model of how that kernel stores messages and drops old ones, so that a ring that
has gone round holds what a real one would, stale bytes included. Written from ppc64-kernel.md 6.4
and the kernel's printk.c and printk_ringbuffer.c; ``kept`` is the known answer.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from .byte_order import Order, prefix, u32, u64
from .kernel_data import PAGE_OFFSET
from .machine_state import Machine

ID_MASK = (1 << 62) - 1
U64_MASK = (1 << 64) - 1
RESERVED, COMMITTED, FINALIZED, REUSABLE = range(4)
CPU_CALLER = 1 << 31


@dataclass(frozen=True, slots=True)
class Message:
    """What printk was given."""

    text: bytes
    ts_nsec: int = 0
    level: int = 6
    facility: int = 0
    caller_id: int = 1


def bit_field(flags: int, level: int, order: Order) -> int:
    """Return the byte ``u8 flags:5, level:3`` as the compiler lays it out."""
    return flags | level << 5 if order == "little" else flags << 3 | level


def install_log(
    machine: Machine,
    symbols: Mapping[str, bytes],
    keys: Mapping[str, int],
    *,
    at: int = PAGE_OFFSET + 0x5000_0000,
) -> None:
    """Write a log's variables and VMCOREINFO keys; all that was said of a log before is forgotten.

    Args:
        machine: Gets new pages.
        symbols: Variable -> content.
        keys: ``SIZE(...)`` and ``OFFSET(...)`` -> bytes.
        at: Linear-map address of the first variable; each has 64 bytes.
    """
    words = ("prb", "printk", "log_", "clear_", "atomic_long_t", "latched_seq", "(log.", "(log)")
    for key in [key for key in machine.vmcoreinfo if any(word in key for word in words)]:
        del machine.vmcoreinfo[key]
    for number, (name, content) in enumerate(symbols.items()):
        machine.poke(at + 64 * number, content)
        machine.vmcoreinfo[f"SYMBOL({name})"] = format(at + 64 * number, "x")
    machine.vmcoreinfo.update({key: str(value) for key, value in keys.items()})
    machine.sync_vmcoreinfo()


class CharacterLog:
    """The ring of characters of kernels before 3.5: lines with ``<level>`` and time before them."""

    def __init__(self, order: Order, shift: int) -> None:
        self.order = order
        self.ring = bytearray(1 << shift)
        self.log_end = 0
        self.written = b""

    def add(self, message: Message, *, with_time: bool = True, end: bytes = b"\n") -> None:
        head = b"<%d>" % (message.facility << 3 | message.level)
        if with_time:
            seconds, rest = divmod(message.ts_nsec, 10**9)
            head += b"[%5d.%06d] " % (seconds, rest // 1000)
        for one in head + message.text + end:
            self.ring[self.log_end % len(self.ring)] = one
            self.log_end += 1
        self.written += head + message.text + end

    @property
    def kept(self) -> bytes:
        """The characters that the ring still has."""
        return self.written[-len(self.ring) :]

    def install(self, machine: Machine, at: int = PAGE_OFFSET + 0x5100_0000) -> None:
        machine.poke(at, bytes(self.ring))
        symbols = {
            "log_buf": u64(at, self.order),
            "log_end": u32(self.log_end & 0xFFFFFFFF, self.order),
            "log_buf_len": u32(len(self.ring), self.order),
            "logged_chars": u32(min(len(self.written), len(self.ring)), self.order),
        }
        install_log(machine, symbols, {})


class RecordLog:
    """The ring of records of kernels 3.5 to 5.9.

    Args:
        order: Memory byte order.
        size: Bytes of the ring.
        struct_name: ``log`` before 3.11, ``printk_log`` after.
        with_caller: CONFIG_PRINTK_CALLER: four bytes more in a header.
    """

    def __init__(
        self, order: Order, size: int, *, struct_name: str = "printk_log", with_caller: bool = False
    ) -> None:
        self.order = order
        self.struct_name = struct_name
        self.with_caller = with_caller
        self.header = 20 if with_caller else 16
        self.ring = bytearray(b"\xa5" * size)
        self.first_idx = self.next_idx = 0
        self.kept: list[Message] = []
        self._sizes: list[int] = []

    def add(self, message: Message, dictionary: bytes = b"") -> None:
        used = self.header + len(message.text) + len(dictionary)
        size = -(-used // 4) * 4
        while self.kept and not self._has_space(size, empty=False):
            self._drop()
        assert self._has_space(size, empty=not self.kept), "larger than the ring"
        if self.next_idx + size + self.header > len(self.ring):
            self.ring[self.next_idx : self.next_idx + self.header] = bytes(self.header)
            self.next_idx = 0
        head = struct.pack(
            prefix(self.order) + "QHHHBB",
            *(message.ts_nsec, size, len(message.text), len(dictionary), message.facility),
            bit_field(0, message.level, self.order),
        )
        if self.with_caller:
            head += u32(message.caller_id, self.order)
        record = (head + message.text + dictionary).ljust(size, b"\0")
        self.ring[self.next_idx : self.next_idx + size] = record
        self.next_idx += size
        self.kept.append(message)
        self._sizes.append(size)

    def _has_space(self, size: int, *, empty: bool) -> bool:
        if self.next_idx > self.first_idx or empty:
            free = max(len(self.ring) - self.next_idx, self.first_idx)
        else:
            free = self.first_idx - self.next_idx
        return free >= size + self.header

    def _drop(self) -> None:
        length = struct.unpack_from(prefix(self.order) + "H", self.ring, self.first_idx + 8)[0]
        self.first_idx = self.first_idx + length if length else self._sizes[0]
        del self.kept[0], self._sizes[0]

    def install(self, machine: Machine, at: int = PAGE_OFFSET + 0x5100_0000) -> None:
        machine.poke(at, bytes(self.ring))
        symbols = {
            "log_buf": u64(at, self.order),
            "log_buf_len": u32(len(self.ring), self.order),
            "log_first_idx": u32(self.first_idx, self.order),
            "log_next_idx": u32(self.next_idx, self.order),
        }
        name = self.struct_name
        keys = {f"SIZE({name})": self.header, f"OFFSET({name}.ts_nsec)": 0}
        keys |= {f"OFFSET({name}.len)": 8, f"OFFSET({name}.text_len)": 10}
        keys |= {f"OFFSET({name}.dict_len)": 12}
        if self.with_caller:
            keys[f"OFFSET({name}.caller_id)"] = 16
        install_log(machine, symbols, keys)


@dataclass(slots=True)
class _Descriptor:
    state: int = 0
    begin: int = 0
    next: int = 0
    info: bytes = b""
    message: Message | None = None


@dataclass
class LocklessLog:
    """The lockless ring of kernels from 5.10 on.

    Attributes:
        order: Memory byte order.
        count_bits: log2 of the number of descriptors.
        size_bits: log2 of the text ring's bytes.
        fits_to_the_end: Since 6.19 a block may end exactly where the ring does.
        info_bytes: SIZE(printk_info): 88, and 112 in 7.2.
        desc_ring_at: Offset of desc_ring, which is 0 in every kernel known.
    """

    order: Order
    count_bits: int
    size_bits: int
    fits_to_the_end: bool = False
    info_bytes: int = 88
    desc_ring_at: int = 0
    descs: list[_Descriptor] = field(init=False)
    seq: int = 0

    def __post_init__(self) -> None:
        count = 1 << self.count_bits
        self.descs = [_Descriptor(info=bytes(self.info_bytes)) for _ in range(count)]
        self.head_id = self.tail_id = -(count + 1) & ID_MASK
        self.descs[self.head_id % count].state = self.head_id | REUSABLE << 62
        self.head_lpos = self.tail_lpos = -(1 << self.size_bits) & U64_MASK
        self.text = bytearray(b"\xa5" * (1 << self.size_bits))

    def add(self, message: Message, state: int = FINALIZED, *, failed: bool = False) -> int:
        """Store a message and give its id; *failed* as when the ring is too small for it."""
        count = len(self.descs)
        id_ = self.head_id + 1 & ID_MASK
        if id_ - count & ID_MASK == self.tail_id:
            self._free_tail_block_of(self.tail_id)
            self.tail_id = self.tail_id + 1 & ID_MASK
        self.head_id = id_
        info = struct.pack(
            prefix(self.order) + "QQHBBI",
            *(self.seq, message.ts_nsec, len(message.text), message.facility),
            *(bit_field(0, message.level, self.order), message.caller_id),
        )
        self.seq += 1
        desc = self.descs[id_ % count]
        desc.info, desc.message = info.ljust(self.info_bytes, b"\xcc"), message
        if failed or not message.text:
            desc.begin = desc.next = 1 if failed else 3
        else:
            desc.begin, desc.next = self._store(id_, message.text)
        desc.state = id_ | state << 62
        return id_

    def _store(self, id_: int, text: bytes) -> tuple[int, int]:
        ring = len(self.text)
        size = -(-(8 + len(text)) // 8) * 8
        begin, after = self.head_lpos, self.head_lpos + size & U64_MASK
        last = after - 1 & U64_MASK if self.fits_to_the_end else after
        place = begin % ring
        if begin // ring != last // ring:
            after, place = after // ring * ring + size & U64_MASK, 0
        oldest = self.tail_id
        while (after - self.tail_lpos & U64_MASK) > ring:
            self._free_tail_block_of(oldest)
            oldest = oldest + 1 & ID_MASK
        self.head_lpos = after
        self.text[place : place + 8 + len(text)] = u64(id_, self.order) + text
        return begin, after

    def _free_tail_block_of(self, id_: int) -> None:
        """Give a record up: its descriptor may be taken again, and its text be overwritten."""
        desc = self.descs[id_ % len(self.descs)]
        if desc.state in (id_ | COMMITTED << 62, id_ | FINALIZED << 62):
            if not desc.begin & 1:
                self.tail_lpos = desc.next
            desc.state = id_ | REUSABLE << 62

    @property
    def kept(self) -> list[tuple[int, Message]]:
        """Sequence number and message of each record that can be read, oldest first."""
        found = []
        length = (self.head_id - self.tail_id & ID_MASK) + 1
        for step in range(length):
            id_ = self.tail_id + step & ID_MASK
            desc = self.descs[id_ % len(self.descs)]
            if desc.state in (id_ | COMMITTED << 62, id_ | FINALIZED << 62):
                assert desc.message is not None
                seq = struct.unpack_from(prefix(self.order) + "Q", desc.info)[0]
                found.append((seq, desc.message))
        return found

    def install(self, machine: Machine, at: int = PAGE_OFFSET + 0x5100_0000) -> dict[str, int]:
        """Write it into a machine; give where the four parts are."""
        order, ring_at = self.order, self.desc_ring_at
        descs = b"".join(
            struct.pack(prefix(order) + "QQQ", desc.state, desc.begin, desc.next)
            for desc in self.descs
        )
        infos = b"".join(desc.info for desc in self.descs)
        places = {}
        for name, content in (("descs", descs), ("infos", infos), ("data", bytes(self.text))):
            places[name] = at
            machine.poke(at, content)
            at = -(-(at + len(content)) // 0x10000) * 0x10000 + 64  # on pages of its own
        places["ring"] = at
        desc_ring = struct.pack(
            prefix(order) + "I4xQQQQQ",
            *(self.count_bits, places["descs"], places["infos"], self.head_id, self.tail_id, 0),
        )
        data_ring = struct.pack(
            prefix(order) + "I4xQQQ",
            *(self.size_bits, places["data"], self.head_lpos, self.tail_lpos),
        )
        machine.poke(at, b"\xbb" * ring_at + desc_ring + data_ring + bytes(8))
        keys = {
            "SIZE(printk_ringbuffer)": 88 + ring_at,
            "OFFSET(printk_ringbuffer.desc_ring)": ring_at,
            "OFFSET(printk_ringbuffer.text_data_ring)": 48 + ring_at,
            "OFFSET(printk_ringbuffer.fail)": 80 + ring_at,
            "SIZE(prb_desc_ring)": 48,
            "OFFSET(prb_desc_ring.count_bits)": 0,
            "OFFSET(prb_desc_ring.descs)": 8,
            "OFFSET(prb_desc_ring.infos)": 16,
            "OFFSET(prb_desc_ring.head_id)": 24,
            "OFFSET(prb_desc_ring.tail_id)": 32,
            "SIZE(prb_desc)": 24,
            "OFFSET(prb_desc.state_var)": 0,
            "OFFSET(prb_desc.text_blk_lpos)": 8,
            "SIZE(prb_data_blk_lpos)": 16,
            "OFFSET(prb_data_blk_lpos.begin)": 0,
            "OFFSET(prb_data_blk_lpos.next)": 8,
            "SIZE(printk_info)": self.info_bytes,
            "OFFSET(printk_info.seq)": 0,
            "OFFSET(printk_info.ts_nsec)": 8,
            "OFFSET(printk_info.text_len)": 16,
            "OFFSET(printk_info.caller_id)": 20,
            "OFFSET(printk_info.dev_info)": 24,
            "SIZE(prb_data_ring)": 32,
            "OFFSET(prb_data_ring.size_bits)": 0,
            "OFFSET(prb_data_ring.data)": 8,
            "OFFSET(prb_data_ring.head_lpos)": 16,
            "OFFSET(prb_data_ring.tail_lpos)": 24,
            "SIZE(atomic_long_t)": 8,
            "OFFSET(atomic_long_t.counter)": 0,
        }
        install_log(machine, {"prb": u64(at, order)}, keys)
        return places
