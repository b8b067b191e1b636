"""What an extract says of the kernel and the machine outside memory: VMCOREINFO, line by line.

Lines whose form is known go over, all others do not; among those is CRASHTIME. Where addresses are
hidden, symbols go over only if something of the extract is found by them.

Source: Linux kernel/vmcore_info.c.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from vmemmap.extract.classes import Shown

_LINES = re.compile(
    rb"(?:SYMBOL|SIZE|OFFSET|LENGTH|NUMBER)\([A-Za-z0-9_.]{1,80}\)=-?[0-9a-fA-Fx]{1,20}"
    rb"|(?:PAGESIZE|KERNELOFFSET)=[0-9a-fA-Fx]{1,18}"
    rb"|OSRELEASE=[A-Za-z0-9._+~-]{1,64}"
    rb"|BUILD-ID=[0-9a-f]{0,64}"
)


_SYMBOL = re.compile(rb"SYMBOL\(([A-Za-z0-9_.]{1,80})\)=.*")
_FOLLOWED = frozenset(
    b"_stext swapper_pg_dir init_uts_ns vmemmap_list mmu_vmemmap_psize mmu_psize_defs mem_section"
    b" node_data contig_page_data node_online_map vmap_area_list vmlist high_memory cur_cpu_spec"
    b" init_mm mem_map vmemmap free_huge_page".split()
)
"""Symbols that readers of dumps follow in every extract."""
_OF_CLASS = {
    Shown.DMESG: frozenset(
        b"prb clear_seq log_buf log_buf_len log_first_idx log_next_idx clear_idx log_end"
        b" logged_chars".split()
    ),
}


def _is_followed(line: bytes, classes: Collection[Shown]) -> bool:
    """Tell whether a line is no symbol, or one that leads to something that is in the extract."""
    match = _SYMBOL.fullmatch(line)
    if match is None or match[1] in _FOLLOWED:
        return True
    return any(match[1] in _OF_CLASS.get(shown, ()) for shown in classes)


def shared_vmcoreinfo(
    text: bytes, classes: Collection[Shown] | None = None
) -> tuple[bytes, tuple[str, ...]]:
    """Keep of VMCOREINFO what has a known form.

    Args:
        text: VMCOREINFO as it stands.
        classes: What of the memory is shown, to leave out symbols that lead to nothing of it; None
            for all symbols.

    Returns:
        The text to share, and the keys of the lines that it lacks.
    """
    kept, gone = [], []
    for line in text.split(b"\0")[0].split(b"\n"):
        if _LINES.fullmatch(line):
            if classes is None or _is_followed(line, classes):
                kept.append(line)
        elif line:
            gone.append(line.partition(b"=")[0][:40].decode("ascii", "replace"))
    return b"".join(line + b"\n" for line in kept), tuple(gone)
