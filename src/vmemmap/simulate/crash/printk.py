"""The kernel's log: what the machine said, in the buffer of its era.

Three forms: a ring of characters (until 3.4), a ring of records (3.5 to 5.9), the lockless ring of
descriptors, records and text (since 5.10). It is written as a whole at the crash; when there is
more than fits, the oldest messages are gone, as they would be.

Source: Linux kernel/printk/printk.c, kernel/printk/printk_ringbuffer.h, release by release.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vmemmap.address import numpy_prefix
from vmemmap.simulate.kernel import KIB, Kernel
from vmemmap.simulate.memory.image import image_of
from vmemmap.simulate.memory.physical import PhysicalMemory, virt_of

LOG_BYTES = 64 * KIB
DESCS_AT = LOG_BYTES
COUNT_BITS = 9
DESC_BYTES = 24
INFOS_AT = DESCS_AT + (DESC_BYTES << COUNT_BITS)
INFO_BYTES = 88
RECORD_BYTES = 16
RECORD_MEMBERS = {
    "ts_nsec": (0, "u64"),
    "len": (8, "u16"),
    "text_len": (10, "u16"),
    "dict_len": (12, "u16"),
}
"""Of the ring of records, the members that VMCOREINFO has; facility, flags and level follow."""
CHARACTER_RING_UNTIL = (3, 5)
RECORD_RING_UNTIL = (5, 10)
CLEAR_IDX_SINCE = (4, 6)
FINALIZED = 2 << 62
FIRST_ID = 1 << COUNT_BITS
RING_OFFSETS = {
    "printk_ringbuffer": (88, {"desc_ring": 0, "text_data_ring": 48, "fail": 80}),
    "prb_desc_ring": (
        48,
        {"count_bits": 0, "descs": 8, "infos": 16, "head_id": 24, "tail_id": 32},
    ),
    "prb_desc": (DESC_BYTES, {"state_var": 0, "text_blk_lpos": 8}),
    "prb_data_blk_lpos": (16, {"begin": 0, "next": 8}),
    "printk_info": (
        INFO_BYTES,
        {"seq": 0, "ts_nsec": 8, "text_len": 16, "caller_id": 20, "dev_info": 24},
    ),
    "prb_data_ring": (32, {"size_bits": 0, "data": 8, "head_lpos": 16, "tail_lpos": 24}),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message: when, in nanoseconds since boot; how grave, 0 to 7; and its text, one line."""

    time_ns: int
    level: int
    text: str


def write_log(memory: PhysicalMemory, kernel: Kernel, messages: list[Message]) -> None:
    """Write the log into the buffer that this kernel has."""
    memory.clear(image_of(memory).log, INFOS_AT + (INFO_BYTES << COUNT_BITS))
    if kernel.version < CHARACTER_RING_UNTIL:
        _write_characters(memory, messages)
    elif kernel.version < RECORD_RING_UNTIL:
        _write_records(memory, kernel, messages)
    else:
        _write_lockless(memory, kernel, messages)


def log_keys(kernel: Kernel) -> Iterator[tuple[str, int | str]]:
    """Yield the VMCOREINFO lines by which the log is found."""
    if kernel.version < RECORD_RING_UNTIL:
        old = kernel.version < CHARACTER_RING_UNTIL
        names = ["log_buf", "log_end", "log_buf_len", "logged_chars"]
        if not old:
            names = ["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"]
        if kernel.version >= CLEAR_IDX_SINCE:
            names.insert(3, "clear_idx")
        for name in names:
            yield f"SYMBOL({name})", f"{image_of(kernel).virt[name]:x}"
        if not old:
            record = record_name(kernel)
            yield f"SIZE({record})", RECORD_BYTES
            for member, (offset, _) in RECORD_MEMBERS.items():
                yield f"OFFSET({record}.{member})", offset
        return
    yield "SYMBOL(prb)", f"{image_of(kernel).virt['prb']:x}"
    yield "SYMBOL(printk_rb_static)", f"{image_of(kernel).virt['printk_rb_static']:x}"
    yield "SYMBOL(clear_seq)", f"{image_of(kernel).virt['clear_seq']:x}"
    for name, (size, members) in RING_OFFSETS.items():
        yield f"SIZE({name})", size
        for member, offset in members.items():
            yield f"OFFSET({name}.{member})", offset
    yield "SIZE(dev_printk_info)", 64
    yield "OFFSET(dev_printk_info.subsystem)", 0
    yield "LENGTH(printk_info_subsystem)", 16
    yield "OFFSET(dev_printk_info.device)", 16
    yield "LENGTH(printk_info_device)", 48
    yield "SIZE(atomic_long_t)", 8
    yield "OFFSET(atomic_long_t.counter)", 0
    if kernel.version >= (5, 13):
        yield "SIZE(latched_seq)", 24
        yield "OFFSET(latched_seq.val)", 8


def record_name(kernel: Kernel) -> str:
    """Give the name of the struct that a record is, in the ring of records."""
    return "log" if kernel.version < (3, 11) else "printk_log"


def _fitting(sizes: list[int], room: int, most: int) -> int:
    """Give how many of the last messages fit, at most *most*."""
    count = 0
    for size in reversed(sizes):
        if size > room or count == most:
            break
        room -= size
        count += 1
    return count


def _write_characters(memory: PhysicalMemory, messages: list[Message]) -> None:
    image = image_of(memory)
    log = image.log
    lines = [
        f"<{m.level}>[{m.time_ns // 10**9:5}.{m.time_ns // 1000 % 10**6:06}] {m.text}\n"
        for m in messages
    ]
    text = "".join(lines).encode()
    ring = bytearray(LOG_BYTES)
    for at in range(max(0, len(text) - LOG_BYTES), len(text)):
        ring[at % LOG_BYTES] = text[at]
    memory.write(log, bytes(ring))
    memory.store_u64(image.phys["log_buf"], virt_of(log))
    memory.store_u32(image.phys["log_buf_len"], LOG_BYTES)
    memory.store_u32(image.phys["log_end"], len(text))
    memory.store_u32(image.phys["logged_chars"], min(len(text), LOG_BYTES))


def _write_records(memory: PhysicalMemory, kernel: Kernel, messages: list[Message]) -> None:
    image = image_of(memory)
    log = image.log
    order = numpy_prefix(kernel.byte_order)
    texts = [message.text.encode() for message in messages]
    sizes = [-(-(RECORD_BYTES + len(text)) // 8) * 8 for text in texts]
    kept = _fitting(sizes, LOG_BYTES - RECORD_BYTES, len(messages))
    at = log
    first = len(messages) - kept
    for message, text, size in zip(messages[first:], texts[first:], sizes[first:], strict=True):
        flags = _bit_fields(kernel, message.level)
        header = struct.pack(order + "QHHHBB", message.time_ns, size, len(text), 0, 0, flags)
        memory.write(at, header + text)
        at += size
    memory.store_u64(image.phys["log_buf"], virt_of(log))
    memory.store_u32(image.phys["log_buf_len"], LOG_BYTES)
    memory.store_u32(image.phys["log_first_idx"], 0)
    memory.store_u64(image.phys["log_first_seq"], first)
    memory.store_u64(image.phys["log_next_seq"], len(messages))
    memory.store_u32(image.phys["log_next_idx"], at - log)


def _write_lockless(memory: PhysicalMemory, kernel: Kernel, messages: list[Message]) -> None:
    image = image_of(memory)
    log = image.log
    order = numpy_prefix(kernel.byte_order)
    texts = [message.text.encode() for message in messages]
    sizes = [-(-(8 + len(text)) // 8) * 8 for text in texts]
    kept = _fitting(sizes, LOG_BYTES, 1 << COUNT_BITS)
    first = len(messages) - kept
    position = tail = LOG_BYTES  # logical positions begin one round in
    for number in range(first, len(messages)):
        message, text, size = messages[number], texts[number], sizes[number]
        identity = FIRST_ID + number
        slot = identity % (1 << COUNT_BITS)
        memory.write(log + position % LOG_BYTES, struct.pack(order + "Q", identity) + text)
        memory.write(
            log + DESCS_AT + slot * DESC_BYTES,
            struct.pack(order + "3Q", FINALIZED | identity, position, position + size),
        )
        flags = _bit_fields(kernel, message.level)
        info = struct.pack(order + "QQHBBI", number, message.time_ns, len(text), 0, flags, 1)
        memory.write(log + INFOS_AT + slot * INFO_BYTES, info)
        position += size
    ring = image.phys["printk_rb_static"]
    memory.store_u64(image.phys["prb"], virt_of(ring))
    memory.store_u32(ring, COUNT_BITS)
    last = FIRST_ID + len(messages) - 1
    words = {
        8: virt_of(log + DESCS_AT),
        16: virt_of(log + INFOS_AT),
        24: last,
        32: FIRST_ID + first,
    }
    text_ring = {8: virt_of(log), 16: position, 24: tail}
    for offset, value in words.items():
        memory.store_u64(ring + offset, value)
    memory.store_u32(ring + 48, LOG_BYTES.bit_length() - 1)
    for offset, value in text_ring.items():
        memory.store_u64(ring + 48 + offset, value)


def _bit_fields(kernel: Kernel, level: int) -> int:
    """Give the byte of ``flags:5, level:3``; the first bit field is the low one on little-endian.

    Bit 1 of the flags, LOG_NEWLINE, says that the line is complete.
    """
    newline = 2
    return newline | level << 5 if kernel.byte_order == "little" else newline << 3 | level
