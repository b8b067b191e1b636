"""Which MMU the dumped kernel ran on, hash or radix, and by what evidence.

The one file that may reason about kernels as a whole; everything else asks for a key or a symbol.

Source: Linux arch/powerpc/mm/book3s64/hash_utils.c and radix_pgtable.c (choice of block sizes and
of what swapper_pg_dir maps), arch/powerpc/kernel/vmcore_info.c (RADIX_MMU).
"""

from __future__ import annotations

from collections.abc import Callable

from vmemmap.errors import FactError, FactInvalid, FactMissing, ReadError
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo

HASH = "hash"
RADIX = "radix"

VMEMMAP_BLOCK_SHIFTS = (12, 16, 21, 24)
"""Every block size that a ppc64 kernel has used for the vmemmap: 4 KiB, 64 KiB, 2 MiB, 16 MiB."""

_RADIX_ROOT_PRESENT = 1 << 63
_RADIX_LEAF = 1 << 62
_LOW_BITS = 0xFF
_NEXT_BITS = 0x1F
_RADIX_INDEX_BITS = range(5, 14)
"""How many bits of an address a level of a radix table decodes: 5, 9 or 13 in Linux."""


def radix_from_vmcoreinfo(vmcoreinfo: Vmcoreinfo) -> bool | None:
    """Tell by NUMBER(RADIX_MMU), or give None where the kernel does not export it.

    It does since Linux commit 36e826b568e4, seen from v6.6.9 on.

    Raises:
        FactInvalid: The value is neither 0 nor 1.
    """
    if "NUMBER(RADIX_MMU)" not in vmcoreinfo:
        return None
    value = vmcoreinfo.number("RADIX_MMU")
    if value not in (0, 1):
        raise FactInvalid(
            f"VMCOREINFO has NUMBER(RADIX_MMU)={value}; expected 0 or 1", name="NUMBER(RADIX_MMU)"
        )
    return value == 1


def decide_mmu(
    *,
    radix_number: bool | None,
    layout_name: str | None,
    layout_mmus: frozenset[str],
    block_size: int | None,
    read_root_entry: Callable[[], int],
) -> Fact[str]:
    """Decide between hash and radix, the strongest evidence first.

    Args:
        radix_number: `radix_from_vmcoreinfo`.
        layout_name: The address layout that the list's addresses fit, or None for an empty list.
        layout_mmus: The MMUs that use this layout; empty when there is none.
        block_size: Size of the list's blocks in bytes, or None for an empty list.
        read_root_entry: Gives the first entry of swapper_pg_dir, big-endian as the MMU reads it.

    Returns:
        The fact ``mmu``; its detail names the evidence.

    Raises:
        FactMissing: Nothing in the dump decides.
    """
    if radix_number is not None:
        value = RADIX if radix_number else HASH
        return Fact("mmu", value, Origin.VMCOREINFO, f"NUMBER(RADIX_MMU)={int(radix_number)}")
    if len(layout_mmus) == 1:
        (only,) = layout_mmus
        return Fact(
            "mmu",
            only,
            Origin.DERIVED,
            f"the list's addresses lie in the layout '{layout_name}', which only {only} uses",
        )
    if block_size in (1 << 21, 1 << 24):
        value = RADIX if block_size == 1 << 21 else HASH
        return Fact(
            "mmu",
            value,
            Origin.DERIVED,
            f"vmemmap blocks of {block_size >> 20} MiB exist on {value} only",
        )
    cause: ReadError | FactError | None = None
    try:
        entry = read_root_entry()
    except (ReadError, FactError) as error:
        cause, why = error, f"the kernel's page table root cannot be read ({error})"
    else:
        radix = _is_of_radix(entry)
        if radix is not None:
            return Fact("mmu", RADIX if radix else HASH, Origin.DERIVED, _words(entry, radix))
        why = f"entry 0 of swapper_pg_dir is {entry:#x}, which neither hash nor radix writes"
    if block_size is not None:
        return Fact(
            "mmu",
            HASH,
            Origin.ASSUMED,
            f"the list's blocks have {block_size >> 10} KiB and radix takes 2 MiB where it can "
            f"(the page table root, which would decide, does not: {why})",
        )
    raise FactMissing(
        f"the MMU (hash or radix) cannot be told: VMCOREINFO has no NUMBER(RADIX_MMU), and {why}; "
        "if you know it, name it with --assume mmu=hash or mmu=radix",
        name="mmu",
    ) from cause


def _is_of_radix(entry: int) -> bool | None:
    """Tell the MMU by the first entry of swapper_pg_dir; None if it is of neither.

    On radix it maps the linear map: a pointer that is present, with the size of the next table in
    its low bits, since the processor itself walks it. Hash kernels have no linear map in there, but
    vmalloc at 0xd000000000000000 (up to 5.1) comes to the same entry, which has the present bit,
    too, from 4.20 on, and as an address of the kernel's up to 4.5. Its low bits are 0.
    """
    if not entry & _RADIX_ROOT_PRESENT:
        return False
    next_bits = entry & _NEXT_BITS
    if not entry & _LOW_BITS:
        return False
    return True if next_bits in _RADIX_INDEX_BITS and not entry & _RADIX_LEAF else None


def _words(entry: int, radix: bool) -> str:
    if radix:
        return f"swapper_pg_dir maps the linear map (entry 0 is {entry:#x}), as only radix does"
    if entry & _RADIX_ROOT_PRESENT:
        return (
            f"entry 0 of swapper_pg_dir ({entry:#x}) does not say how large the next table is, as "
            "radix has to"
        )
    return f"swapper_pg_dir does not map the linear map (entry 0 is {entry:#x}), as radix would"
