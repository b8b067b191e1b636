"""drgn's helpers that walk page tables in C, on kernels whose tables drgn does not know.

Memory segments give drgn every byte, but ``follow_phys()`` asks for an address, and
``virt_to_page()``, ``page_to_virt()`` and with them the slab helpers ask where the linear map
begins; drgn answers both from radix page tables only. Three functions of ``drgn.helpers.linux.mm``
are therefore put behind a switch: for programs that were attached to, they ask the dump; for all
others they are what they were. Nothing on disk changes.

Source: drgn drgn/helpers/linux/mm.py, libdrgn/linux_kernel_helpers.c.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import drgn

from vmemmap.drgn_plugin.attachment import attachment_of
from vmemmap.drgn_plugin.segments import fault, logger
from vmemmap.errors import VmemmapError
from vmemmap.facts.mmu import RADIX
from vmemmap.linear_map import PAGE_OFFSET
from vmemmap.vmcore import Vmcore

_installed = False


def install() -> None:
    """Put the switches in place, once for the process."""
    global _installed
    if _installed:
        return
    _installed = True
    from drgn.helpers.linux import mm

    def ours(prog: drgn.Program) -> Vmcore | None:
        attachment = attachment_of(prog)
        core = attachment.core if attachment else None
        return core if core is not None and core.mmu.value != RADIX else None

    def switch(name: str, own: Callable[..., object]) -> None:
        """Replace a function of ``mm``; *own* is given the dump before the arguments."""
        drgns = getattr(mm, name, None)
        if drgns is None:
            logger.warning("drgn %s has no %s: it stays unusable here", drgn.__version__, name)
            return

        def asked(prog: drgn.Program, *arguments: Any) -> object:
            core = ours(prog)
            return drgns(prog, *arguments) if core is None else own(core, *arguments)

        setattr(mm, name, asked)

    switch("_linux_helper_direct_mapping_offset", _direct_mapping_offset)
    switch("_linux_helper_follow_phys", _follow_phys)
    switch("_linux_helper_read_vm", _read_vm)


def _direct_mapping_offset(core: Vmcore) -> int:
    return PAGE_OFFSET


def _follow_phys(core: Vmcore, pgtable: Any, address: Any) -> int:
    virt = operator.index(address)
    try:
        if _is_kernels(core, pgtable):
            return core.vtop(virt).phys
        return core.page_table_at(operator.index(pgtable)).translate(virt)
    except (VmemmapError, ValueError) as error:
        raise fault(error, virt) from None


def _read_vm(core: Vmcore, pgtable: Any, address: Any, size: Any) -> bytes:
    virt, left = operator.index(address), operator.index(size)
    try:
        if _is_kernels(core, pgtable):
            return core.read(virt, left)
        table = core.page_table_at(operator.index(pgtable))
        page_bytes, parts = core.kernel.page_size.value, list[bytes]()
        while left > 0:
            part = min(left, page_bytes - virt % page_bytes)
            parts.append(core.read_phys(table.translate(virt), part))
            virt, left = virt + part, left - part
        return b"".join(parts)
    except (VmemmapError, ValueError) as error:
        raise fault(error, virt) from None


def _is_kernels(core: Vmcore, pgtable: Any) -> bool:
    return operator.index(pgtable) == core.kernel.vmcoreinfo.symbol("swapper_pg_dir")
