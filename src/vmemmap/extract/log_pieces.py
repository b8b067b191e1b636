"""The pieces of an extract that are the kernel's log: variables, records, and their text, scrubbed.

A record that readers do not come to (dropped by the ring, being written, damaged) is not shown, nor
are the values that a record has for udev and the ring's bytes between two records.

Source: as in ``vmemmap.kernel_log``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from vmemmap.errors import FactError, ReadError
from vmemmap.extract.classes import Shown
from vmemmap.extract.kernel_data import KernelPieces
from vmemmap.extract.scrub import Scrubber
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.kernel_log.lockless_layout import LocklessLayout
from vmemmap.kernel_log.read import read_log
from vmemmap.kernel_log.record import LogRecord

_BUFFERS = {
    "lockless": {"prb": 8},
    "records": {"log_buf": 8, "log_buf_len": 4},
    "characters": {"log_buf": 8, "log_buf_len": 4},
}
_POSITIONS = {
    "lockless": {},
    "records": {"log_first_idx": 4, "log_next_idx": 4},
    "characters": {"log_end": 4, "logged_chars": 4},
}
"""What says which part of the buffer is in use: zero in a log that is empty."""
_KERNEL_FACILITY = 0


def show_log(show: KernelPieces, info: Vmcoreinfo, scrubber: Scrubber) -> int:
    """Show the kernel's log, scrubbed.

    Args:
        show: Where it goes.
        info: The parsed VMCOREINFO.
        scrubber: Takes out what names somebody or something.

    Returns:
        How many records are shown.

    Raises:
        FactError: It cannot be read.
    """
    log = read_log(info, show.memory)
    for record in log:
        scrubber.learn(record.data)
    count = 0
    for record in log:
        # The oldest line of a ring of characters lacks its beginning: it can start inside a name.
        cut = log.form == "characters" and not count and not record.head
        count += 1
        for virt, size in record.place.words:
            show.show(virt, size, Shown.DMESG)
        if record.place.text:
            of_kernel = record.facility in (None, _KERNEL_FACILITY) and not cut
            _show_text(show, record, scrubber.scrub(record.data, of_kernel=of_kernel))
    for name, size in (_BUFFERS[log.form] | _POSITIONS[log.form]).items():
        with suppress(FactError):
            show.show(info.symbol(name), size, Shown.DMESG)
    _show_rooms(show, _rooms(show, info, log.form), Shown.DMESG)
    return count


def show_empty_log(show: KernelPieces, info: Vmcoreinfo) -> None:
    """Show where the kernel's log is and that it is there, empty, for those that insist on one.

    Raises:
        FactError: It is not known where it is.
    """
    form = read_log(info, show.memory).form
    for name, size in _BUFFERS[form].items():
        show.show(info.symbol(name), size, Shown.CRASH)
    places = [(info.symbol(name), size) for name, size in _POSITIONS[form].items()]
    _show_rooms(show, [*places, *_rooms(show, info, form, Shown.CRASH)], Shown.CRASH)


def _show_text(show: KernelPieces, record: LogRecord, message: bytes) -> None:
    """Show a record's message; in a character ring with what stands before it, and its end."""
    text = record.head + message
    for virt, size in record.place.text:
        show.put(virt, text[:size], Shown.DMESG)
        text = text[size:]
    if record.place.words:
        return
    # In the ring of characters lines are told apart by their ends.
    virt, size = record.place.text[-1]
    with suppress(ReadError):
        if show.memory.read(virt + size, 1) == b"\n":
            show.put(virt + size, b"\n", Shown.DMESG)


def _rooms(
    show: KernelPieces, info: Vmcoreinfo, form: str, shown: Shown = Shown.DMESG
) -> Iterator[tuple[int, int]]:
    """Yield address and size of the log's buffers, after what says so was shown."""
    if form != "lockless":
        with suppress(FactError):
            buffer = show.memory.number("log_buf", info.symbol("log_buf"))
            yield buffer, show.memory.number("log_buf_len", info.symbol("log_buf_len"), 4)
        return
    layout = LocklessLayout(info)
    prb = show.memory.number("prb", info.symbol("prb"))

    def value(at: int, size: int = 8) -> int:
        show.show(prb + at, size, shown)
        return show.memory.number("printk_ringbuffer", prb + at, size)

    if shown is Shown.DMESG:
        show.show(prb + layout.head_id, 8, shown)
        show.show(prb + layout.tail_id, 8, shown)
    count = 1 << value(layout.count_bits, 4)
    yield value(layout.descs), count * layout.desc_bytes
    yield value(layout.infos), count * layout.info_bytes
    yield value(layout.data), 1 << value(layout.size_bits, 4)


def _show_rooms(show: KernelPieces, rooms: Iterable[tuple[int, int]], shown: Shown) -> None:
    """Have every page of the log's buffers in the extract, as far as the dump has it.

    Other tools read the buffers as a whole; what is in no record is zero.
    """
    for virt, size in rooms:
        show.show_room(virt, size, shown)
