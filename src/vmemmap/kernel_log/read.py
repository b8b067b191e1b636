"""Which of its three logs a kernel keeps, by the keys that VMCOREINFO has."""

from __future__ import annotations

from functools import partial

from vmemmap.address import ByteOrder
from vmemmap.errors import FactMissing
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.kernel_log.character_ring import read_character_ring
from vmemmap.kernel_log.lockless_ring import read_lockless_ring
from vmemmap.kernel_log.record import KernelLog
from vmemmap.kernel_log.record_ring import read_record_ring
from vmemmap.kernel_log.window import KernelVariables
from vmemmap.memory import Memory

_FORMS = (
    ("prb", "lockless", read_lockless_ring),
    ("log_first_idx", "records", read_record_ring),
    ("log_end", "characters", read_character_ring),
)


def find_log(info: Vmcoreinfo, memory: Memory, order: ByteOrder) -> KernelLog:
    """Find the kernel's log; nothing of it is read yet.

    Args:
        info: The parsed VMCOREINFO.
        memory: Physical memory.
        order: Its byte order.

    Raises:
        FactMissing: VMCOREINFO has none of the keys.
    """
    kernel = KernelVariables(info, memory, order)
    for symbol, form, read in _FORMS:
        if f"SYMBOL({symbol})" in info:
            return KernelLog(form, partial(read, kernel))
    raise FactMissing(
        "VMCOREINFO does not say where the kernel's log is: it has none of "
        + ", ".join(f"SYMBOL({symbol})" for symbol, _, _ in _FORMS),
        name="SYMBOL(prb)",
    )
