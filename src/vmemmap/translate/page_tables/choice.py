"""Which of the known page table formats a dump's own tables are written in.

Each format that goes with the address layout is tried: on addresses that the kernel lists as
mapped, and on what hangs from the root table. The one that makes the most sense is taken, and the
fact says by which evidence; only between equals does the kernel's release decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import ByteOrder, numpy_prefix
from vmemmap.errors import FactConflict, FactError, ReadError
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.mmu import HASH, RADIX
from vmemmap.facts.release import Release
from vmemmap.memory import Memory
from vmemmap.translate.lookup import NOT_MAPPED
from vmemmap.translate.page_tables.eras import format_of_release
from vmemmap.translate.page_tables.hash_linux import HASH_FORMATS
from vmemmap.translate.page_tables.radix import RADIX_FORMATS
from vmemmap.translate.page_tables.table_format import Format, Level
from vmemmap.translate.page_tables.walk import PageTable
from vmemmap.translate.regions import AddressLayout, Method, Region
from vmemmap.translate.vmalloc_areas import KnownAreas

FACT = "page_table"

FORMATS: dict[tuple[str, int], tuple[Format, ...]] = {
    **{(HASH, size): rows for size, rows in HASH_FORMATS.items()},
    **{(RADIX, size): rows for size, rows in RADIX_FORMATS.items()},
}
"""Every format known, by MMU and page size (bytes), oldest first."""

_TABLES_PER_LEVEL = 12
_SOUND = 16
"""A format is sound where at most one entry in so many makes no sense."""


@dataclass(frozen=True, slots=True)
class TableEvidence:
    """What a format is tried on.

    Attributes:
        memory: Physical memory.
        root: Physical address of swapper_pg_dir.
        order: The memory's byte order.
        layout: The kernel's address layout.
        ram: Where the kernel's memory lies, as far as is known: uint64, shape (n, 2), start and end
            of each range (physical, bytes, half-open), sorted. Devices may lie in between.
        areas: Where the kernel says that something is mapped.
    """

    memory: Memory
    root: int
    order: ByteOrder
    layout: AddressLayout
    ram: NDArray[np.uint64]
    areas: KnownAreas


class Grade(NamedTuple):
    """How much sense the tables make in a format; compared from the front.

    Attributes:
        hits: How many of the known areas have their first page where such a page belongs.
        sound: Something is mapped, and hardly anything that the root leads to is nonsense.
        starts: How many regions' first entries in the root lead to a table.
        mapped: Whether anything is mapped at all.
    """

    hits: int
    sound: bool
    starts: int
    mapped: bool


def settle_format(
    given: Fact[str] | None,
    *,
    mmu: str,
    page_size: int,
    release: Release,
    evidence: Callable[[], TableEvidence],
) -> tuple[Format, Fact[str]]:
    """Settle on the format of a kernel's page tables.

    Args:
        given: The user's word, or None.
        mmu: ``hash`` or ``radix``.
        page_size: The kernel's page size in bytes.
        release: The kernel's release.
        evidence: Gives what the formats are tried on.

    Returns:
        The format, and the fact ``page_table`` with the reason.

    Raises:
        FactConflict: The user's format is for another MMU or page size.
    """
    formats = FORMATS[mmu, page_size]
    if given is not None:
        for form in formats:
            if form.name == given.value:
                return form, Fact(FACT, form.name, given.origin, f"{given.detail}; {form}")
        raise FactConflict(
            f"page_table={given.value} was given, but this kernel has the {mmu} MMU and pages of "
            f"{page_size >> 10} KiB: expected one of {', '.join(form.name for form in formats)}",
            name=FACT,
        )
    era = format_of_release(mmu, page_size, release)
    if mmu == RADIX:  # there is one geometry, and a bit or two that no address ever reached
        form = next((form for form in formats if form.name == era), formats[-1])
        return form, Fact(FACT, form.name, Origin.DERIVED, f"{form}; radix has no other geometry")
    try:
        return choose_format(formats, evidence(), era)
    except FactError as error:
        form = next((form for form in formats if form.name == era), formats[-1])
        why = f"by release {release.text}" if form.name == era else "the newest"
        return form, Fact(FACT, form.name, Origin.ASSUMED, f"{form}; {why}, untried: {error}")


def choose_format(
    formats: Sequence[Format], evidence: TableEvidence, era: str | None
) -> tuple[Format, Fact[str]]:
    """Choose the format that the dump's page tables fit.

    Args:
        formats: Those of the kernel's MMU and page size, oldest first; not empty.
        evidence: What to try them on.
        era: Name of the format of the mainline kernel of this release, or None; decides between
            formats that fit equally well.

    Returns:
        The format, and the fact ``page_table`` with the reason.
    """
    fitting = [form for form in formats if evidence.layout.name in form.layouts] or list(formats)
    grades = {form.name: _grade(form, evidence) for form in fitting}
    best = max(grades.values())
    equals = [form for form in fitting if grades[form.name] == best]
    chosen = next((form for form in equals if form.name == era), None)
    if chosen is None:
        # Distributions carry changes back to older kernels, never forward.
        chosen = equals[-1]
    if best.hits:
        areas = evidence.areas
        why = f"{best.hits} of {len(areas.starts)} areas in {areas.source} translate with it"
    elif not best.mapped:
        why = "untried: no mapping can be read"
    else:
        sense = "makes sense" if best.sound else "makes sense only in part"
        why = f"what hangs from swapper_pg_dir {sense} in it"
    origin = Origin.DERIVED
    if len(fitting) == 1:
        why = f"the only one of layout {evidence.layout.name}; {why}"
    elif len(equals) > 1:
        by = "the release" if chosen.name == era else "being the newest"
        rivals = [form for form in equals if form is not chosen]
        why += f", and so would {', '.join(form.name for form in rivals)}: decided by {by}"
        why += _only_elsewhere(chosen, rivals, evidence)
        origin = Origin.ASSUMED
    return chosen, Fact(FACT, chosen.name, origin, f"{chosen}; {why}")


def _only_elsewhere(chosen: Format, rivals: Sequence[Format], evidence: TableEvidence) -> str:
    """Tell of known areas that a format as good as the chosen one finds, and that one does not."""
    here = _hits(chosen, evidence)
    for form in rivals:
        count = len(_hits(form, evidence) - here)
        if count:
            areas = "1 area translates" if count == 1 else f"{count} areas translate"
            return f", though {areas} with {form.name} only"
    return ""


def _grade(form: Format, evidence: TableEvidence) -> Grade:
    good, bad, starts = _look_around(form, evidence, _paged(evidence))
    return Grade(
        hits=len(_hits(form, evidence)),
        sound=good > 0 and bad * _SOUND <= good,
        starts=starts,
        mapped=good > 0,
    )


def _paged(evidence: TableEvidence) -> list[Region]:
    return [r for r in evidence.layout.regions if r.method is Method.PAGE_TABLE]


def _hits(form: Format, evidence: TableEvidence) -> set[int]:
    """Give the known areas that begin, in a format, in a page where such a page belongs."""
    table = PageTable(evidence.memory, evidence.root, form, evidence.order)
    paged = _paged(evidence)
    known = [start for start in evidence.areas.starts if any(start in region for region in paged)]
    virt = np.array(known, dtype=np.uint64)
    phys = table.translate_pages(virt)
    here = phys != NOT_MAPPED
    virt, phys = virt[here], phys[here]
    return set(virt[_belongs(form, evidence, paged, virt, phys)].tolist())


def _belongs(
    form: Format,
    evidence: TableEvidence,
    paged: Sequence[Region],
    virt: NDArray[np.uint64],
    phys: NDArray[np.uint64],
) -> NDArray[np.bool_]:
    """Tell which pages are memory in the vmalloc region, or no memory in the I/O region."""
    # An odd number of borders at or below an address: it lies inside a range.
    ram = np.searchsorted(evidence.ram.ravel(), phys, side="right") % 2 == 1
    may_be_io, may_be_ram = (np.zeros(len(virt), dtype=np.bool_) for _ in range(2))
    for region in paged:
        inside = (virt >= np.uint64(region.start)) & (virt < np.uint64(region.end))
        if region.name == "I/O":
            may_be_io |= inside
        elif region.name == "vmalloc" or not form.io_starts:
            may_be_ram |= inside
        else:
            into = virt - np.uint64(region.start)
            may_be_io |= inside & (into >= np.uint64(min(form.io_starts)))
            may_be_ram |= inside & (into < np.uint64(max(form.io_starts)))
    belongs: NDArray[np.bool_] = (ram & may_be_ram) | (~ram & may_be_io)
    return belongs


def _look_around(
    form: Format, evidence: TableEvidence, paged: Sequence[Region]
) -> tuple[int, int, int]:
    """Count what makes sense among a sample of the tables, and what does not.

    Returns:
        Pages that are where such pages belong; entries that cannot be; regions that begin in a
        table.
    """
    top, *lower = form.levels
    root = _find_table(form, evidence, evidence.root, top)
    if root is None:
        return 0, 0, 0
    read = form.interpret(root, top)
    good = bad = 0
    tables: list[tuple[int, int]] = []  # physical address of a table, first address that it maps
    for index in np.flatnonzero(root).tolist():
        virt = _address_of(form, top, index, paged)
        if virt is None or not read.leads[index]:
            bad += 1
        else:
            tables.append((int(read.table[index]), virt))
    starts = len({virt for _, virt in tables} & _first_entries(form, top, paged))
    for level in lower:
        found: list[tuple[int, int]] = []
        for at, first in _spread(tables):
            entries = _find_table(form, evidence, at, level)
            if entries is None:
                bad += 1
                continue
            virts = np.uint64(first) + (
                np.arange(len(entries), dtype=np.uint64) << np.uint64(level.shift)
            )
            maps, phys, leads, table = form.interpret(entries, level)
            fits = _belongs(form, evidence, paged, virts[maps], phys[maps])
            good += int(np.count_nonzero(fits))
            bad += int(np.count_nonzero(~fits))
            bad += int(np.count_nonzero((entries != 0) & ~maps & ~leads))
            found += zip(table[leads].tolist(), virts[leads].tolist(), strict=True)
        tables = found
    return good, bad, starts


def _address_of(form: Format, top: Level, index: int, paged: Sequence[Region]) -> int | None:
    """Give the first address of a root entry, in the first region that it leads into, or None."""
    for region in paged:
        virt = (region.start >> form.va_bits << form.va_bits) + (index << top.shift)
        if virt < region.end and virt + (1 << top.shift) > region.start:
            return virt
    return None


def _first_entries(form: Format, top: Level, paged: Sequence[Region]) -> set[int]:
    """Give the first addresses of the root entries in which regions begin."""
    places = (region.start + into for region in paged for into in (0, *form.io_starts))
    return {place >> top.shift << top.shift for place in places}


def _spread(tables: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Give at most a few tables, spread evenly and with the first and the last among them."""
    if len(tables) <= _TABLES_PER_LEVEL:
        return tables
    last = len(tables) - 1
    return [tables[last * i // (_TABLES_PER_LEVEL - 1)] for i in range(_TABLES_PER_LEVEL)]


def _find_table(
    form: Format, evidence: TableEvidence, at: int, level: Level
) -> NDArray[np.uint64] | None:
    """Give a whole table, or None where it is not in the dump."""
    try:
        raw = evidence.memory.read(at, 8 << level.bits)
    except ReadError:
        return None
    order = numpy_prefix(form.order(evidence.order))
    return np.frombuffer(raw, dtype=f"{order}u8").astype(np.uint64)
