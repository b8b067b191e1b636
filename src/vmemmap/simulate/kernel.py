"""One kernel: its release, page size, byte order and MMU, and what follows from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

from vmemmap.address import ByteOrder
from vmemmap.errors import SpecError
from vmemmap.simulate import eras

Mmu = Literal["hash", "radix"]
T = TypeVar("T")
LINEAR_MAP = 0xC << 60
"""PAGE_OFFSET: where physical address 0 is mapped."""
SECTION_SHIFT = 24
SECTION_BYTES = 1 << SECTION_SHIFT
SUBSECTION_BYTES = 2 << 20
RADIX_SINCE: eras.Version = (4, 7)
OLDEST_RELEASE = (2, 6, 35)
MAX_RELEASE = 64
"""__NEW_UTS_LEN."""
_RELEASE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?([-.+~_][-.+~_0-9A-Za-z]*)?")
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
IMAGE_BYTES = 20 * MIB
"""What the kernel image takes, at physical address 0 but for a relocated one."""


@dataclass(frozen=True)
class Kernel:
    """A kernel build on a machine.

    Attributes:
        release: What OSRELEASE says, such as "6.1.0" or "2.6.35".
        page_size: 4096 or 65536 bytes.
        byte_order: Of the kernel and all that it keeps in memory.
        mmu: Which MMU it runs on.
        struct_page_size: 56 or 64 bytes.
        load_address: Physical address of its image; not 0 if it was relocated.
    """

    release: str
    page_size: int
    byte_order: ByteOrder
    mmu: Mmu
    struct_page_size: int
    load_address: int = 0

    def __post_init__(self) -> None:
        if self.numbers < OLDEST_RELEASE or self.version > eras.NEWEST:
            raise SpecError(
                "kernel.release",
                f"{self.release} is outside 2.6.35 to 7.3, the kernels this model knows "
                "(vmemmap_list came with 2.6.35)",
            )
        if self.mmu == "radix" and self.version < RADIX_SINCE:
            raise SpecError("kernel.mmu", f"radix came with 4.7, and the kernel is {self.release}")

    @classmethod
    def of(
        cls,
        release: str,
        page_size: int,
        byte_order: ByteOrder,
        mmu: Mmu,
        struct_page_size: int | None = None,
        load_address: int = 0,
    ) -> Kernel:
        """Give a kernel whose struct pages have the size of its release, unless one is given.

        Raises:
            SpecError: There is no such kernel.
        """
        kernel = cls(release, page_size, byte_order, mmu, struct_page_size or 64, load_address)
        size = struct_page_size or kernel.at(eras.STRUCT_PAGE_BYTES)
        return replace(kernel, struct_page_size=size)

    @cached_property
    def version(self) -> eras.Version:
        """Major and minor number; (2, 6) for all of 2.6.35 to 2.6.39."""
        return self.numbers[0], self.numbers[1]

    @cached_property
    def numbers(self) -> eras.Numbers:
        """The three numbers of the release."""
        match = _RELEASE.fullmatch(self.release)
        if match is None or len(self.release) > MAX_RELEASE:
            shown = repr(self.release[:MAX_RELEASE])
            raise SpecError("kernel.release", f"{shown} is no kernel release such as 6.1")
        return int(match[1]), int(match[2]), int(match[3] or 0)

    def at(self, table: eras.Table[T]) -> T:
        """Give the row of *table* that holds for this kernel."""
        return eras.at(table, self.numbers)

    @property
    def page_shift(self) -> int:
        """log2 of the page size."""
        return self.page_size.bit_length() - 1

    @property
    def pages_per_section(self) -> int:
        """Pages in a memory section of 16 MiB."""
        return SECTION_BYTES >> self.page_shift

    @property
    def section_memmap_bytes(self) -> int:
        """Bytes of struct pages of one section."""
        return self.pages_per_section * self.struct_page_size

    @property
    def section_buffer_bytes(self) -> int:
        """What boot's buffer has for each section: whole entries of the PMD, section_map_size()."""
        entry = self.page_size << self.table_bits[0]
        return -(-self.section_memmap_bytes // entry) * entry

    @property
    def regions(self) -> eras.Regions:
        """Where vmalloc, I/O and vmemmap lie."""
        if self.mmu == "radix":
            return self.at(eras.REGIONS_RADIX)
        small = self.page_size == 4 * KIB
        return self.at(eras.REGIONS_HASH_4K if small else eras.REGIONS_HASH_64K)

    @property
    def vmemmap_base(self) -> int:
        """Virtual address of the struct page of page frame 0."""
        return self.regions.vmemmap.start

    @property
    def max_physmem_bits(self) -> int:
        """How far physical addresses may reach, as a power of two."""
        small = self.page_size == 4 * KIB
        table = eras.MAX_PHYSMEM_BITS_4K if small else eras.MAX_PHYSMEM_BITS_64K
        return self.at(table)

    @property
    def reach(self) -> int:
        """Where memory ends that has a place in the linear map and struct pages in the vmemmap."""
        regions = self.regions
        linear = min(regions.vmalloc.start, regions.vmemmap.start) - LINEAR_MAP
        described = len(regions.vmemmap) // self.struct_page_size * self.page_size
        return min(linear, described)

    @property
    def keeps_list(self) -> bool:
        """Whether this kernel records backing blocks in vmemmap_list."""
        return self.mmu == "hash" or self.at(eras.RADIX_KEEPS_LIST)

    @property
    def table_bits(self) -> eras.Bits:
        """Index bits of the PTE, PMD, PUD and PGD tables."""
        if self.mmu == "radix":
            return eras.INDEX_BITS_RADIX[self.page_shift]
        small = self.page_size == 4 * KIB
        return self.at(eras.INDEX_BITS_HASH_4K if small else eras.INDEX_BITS_HASH_64K)

    @property
    def free_area_orders(self) -> int:
        """LENGTH(zone.free_area): the largest buddy block is always 16 MiB."""
        return SECTION_SHIFT - self.page_shift + 1

    @property
    def huge_pages(self) -> int:
        """Base pages in a huge page: 16 MiB on hash, 2 MiB on radix."""
        return (2 * MIB if self.mmu == "radix" else 16 * MIB) >> self.page_shift

    @property
    def gigantic_pages(self) -> int:
        """Base pages in a gigantic page: 16 GiB on hash, 1 GiB on radix."""
        return (GIB if self.mmu == "radix" else 16 * GIB) >> self.page_shift

    def block_sizes(self, boot_memory: int) -> tuple[int, ...]:
        """Give the block sizes that this kernel can end up with, the one it prefers first.

        Args:
            boot_memory: Bytes of memory at boot: 16 MiB blocks need 1 GiB of it.
        """
        if self.mmu == "radix":
            big = not self.keeps_list or self.at(eras.RADIX_BIG_BLOCKS)
            return (2 * MIB, self.page_size) if big else (self.page_size,)
        small: tuple[int, ...] = (self.page_size,)
        if self.at(eras.HASH_64K_IN_4K_KERNEL):
            small = (64 * KIB, 4 * KIB)
        return (16 * MIB, *small) if boot_memory >= GIB else small
