"""The log as a ring of records of any length, as kernels from 3.5 to 5.9 keep it.

::

    struct printk_log (struct log before 3.11)
    0   u64 ts_nsec
    8   u16 len        of the whole record; 0: nothing more up to the ring's end, go on at its start
    10  u16 text_len
    12  u16 dict_len
    14  u8  facility
    15  u8  flags:5, level:3
    16  u32 caller_id  with CONFIG_PRINTK_CALLER (since 5.1)
    ..  the text, then key/value pairs that are not read here

Source: Linux kernel/printk/printk.c of v3.5 to v5.9 (log_from_idx, log_next, log_store).
"""

from __future__ import annotations

from collections.abc import Iterator

from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.kernel_log.character_ring import RING_MAX_BYTES
from vmemmap.kernel_log.damage import LogDamage
from vmemmap.kernel_log.log_memory import KernelVariables, LogBuffer
from vmemmap.kernel_log.record import LogRecord, RecordPlace, caller_text

_HEADER_MAX_BYTES = 256


class _Header:
    """Where the members of a record's header are, as VMCOREINFO says."""

    def __init__(self, info: Vmcoreinfo) -> None:
        self.struct = "printk_log" if "SIZE(printk_log)" in info else "log"
        self.size = info.size(self.struct)
        self.ts_nsec = self._offset(info, "ts_nsec", 8)
        self.len = self._offset(info, "len", 2)
        self.text_len = self._offset(info, "text_len", 2)
        # Facility, flags and level have no key; they follow dict_len in every kernel known.
        self.facility = self._offset(info, "dict_len", 4) + 2
        self.caller_id = None
        if f"OFFSET({self.struct}.caller_id)" in info:
            self.caller_id = self._offset(info, "caller_id", 4)

    def _offset(self, info: Vmcoreinfo, member: str, size: int) -> int:
        value = info.offset(f"{self.struct}.{member}")
        if not value + size <= self.size <= _HEADER_MAX_BYTES:
            raise FactInvalid(
                f"VMCOREINFO has SIZE({self.struct})={self.size} and OFFSET({self.struct}."
                f"{member})={value}; expected a size of at most {_HEADER_MAX_BYTES} with the "
                "member inside it",
                name=f"OFFSET({self.struct}.{member})",
            )
        return value


def walk_record_ring(kernel: KernelVariables, damage: LogDamage) -> Iterator[LogRecord]:
    """Yield the log's records, oldest first.

    Raises:
        FactError: VMCOREINFO does not say where the ring is or how a record looks, or what it
            says is impossible.
    """
    header = _Header(kernel.info)
    size = kernel.u32("log_buf_len")
    if not header.size < size <= RING_MAX_BYTES:
        raise FactInvalid(
            f"log_buf_len is {size:#x}; expected more than a record's header and at most "
            f"{RING_MAX_BYTES:#x}",
            name="log_buf_len",
        )
    ring = LogBuffer(kernel.memory, "log_buf", kernel.pointer("log_buf"), size)
    at, end = kernel.u32("log_first_idx"), kernel.u32("log_next_idx")
    goes_round = at > end  # the newest records are at the ring's start
    while at != end:
        if at + header.size > size or (at > end and not goes_round):
            damage.add(
                "log_indexes",
                f"a record of the log should start at {at:#x} of a ring of {size:#x} bytes that "
                f"ends at {end:#x}: what follows is lost",
            )
            return
        try:
            raw = ring.get(at, header.size)
        except FactMissing as error:
            damage.add("log_unreadable", f"the log is lost from {at:#x} on: {error}")
            return
        length = int.from_bytes(raw[header.len : header.len + 2], kernel.order)
        text_len = int.from_bytes(raw[header.text_len : header.text_len + 2], kernel.order)
        if length == 0 and goes_round:
            # vmcore-dmesg prints an empty line for this mark, which is no record.
            at, goes_round = 0, False
            continue
        if not header.size + text_len <= length <= size - at:
            damage.add(
                "log_record",
                f"the record at {at:#x} of the log has {length} bytes of which {text_len} are "
                "text: it and what follows is lost",
            )
            return
        try:
            text = ring.get(at + header.size, text_len)
            virt = ring.virt + at
            place = RecordPlace(((virt, header.size),), ((virt + header.size, text_len),))
            yield _record(raw, text, header, kernel, place)
        except FactMissing as error:
            damage.add("log_unreadable", f"the text of the record at {at:#x} is missing: {error}")
        at += length


def _record(
    raw: bytes, data: bytes, header: _Header, kernel: KernelVariables, place: RecordPlace
) -> LogRecord:
    level = raw[header.facility + 1]
    caller = None
    if header.caller_id is not None:
        caller_id = raw[header.caller_id : header.caller_id + 4]
        caller = caller_text(int.from_bytes(caller_id, kernel.order))
    return LogRecord(
        data=data,
        time_ns=int.from_bytes(raw[header.ts_nsec : header.ts_nsec + 8], kernel.order),
        # The compiler fills bit fields from the end of the byte order's first byte.
        level=level >> 5 if kernel.order == "little" else level & 7,
        facility=raw[header.facility],
        caller=caller,
        place=place,
    )
