"""Which of its three logs a kernel keeps, by the keys that VMCOREINFO has."""

from __future__ import annotations

from functools import partial

from vmemmap.errors import FactMissing
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.kernel_log.character_ring import walk_character_ring
from vmemmap.kernel_log.lockless_ring import walk_lockless_ring
from vmemmap.kernel_log.log_memory import KernelVariables
from vmemmap.kernel_log.record import KernelLog
from vmemmap.kernel_log.record_ring import walk_record_ring
from vmemmap.linear_map import LinearMemory

_FORMS = (
    ("prb", "lockless", walk_lockless_ring),
    ("log_first_idx", "records", walk_record_ring),
    ("log_end", "characters", walk_character_ring),
)


def read_log(info: Vmcoreinfo, memory: LinearMemory) -> KernelLog:
    """Give the kernel's log; its records are read when it is iterated.

    Args:
        info: The parsed VMCOREINFO.
        memory: The kernel's data.

    Raises:
        FactMissing: VMCOREINFO has none of the keys.
    """
    kernel = KernelVariables(info, memory)
    for symbol, form, walk in _FORMS:
        if f"SYMBOL({symbol})" in info:
            return KernelLog(form, partial(walk, kernel))
    raise FactMissing(
        "VMCOREINFO does not say where the kernel's log is: it has none of "
        + ", ".join(f"SYMBOL({symbol})" for symbol, _, _ in _FORMS),
        name="SYMBOL(prb)",
    )
