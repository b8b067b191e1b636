"""Which bit of ``page.flags`` is which flag in one kernel: what it exports, what follows, what not.

VMCOREINFO goes first, then the kernel's types. Then come the eras of ``page_flags.py`` that agree
with all that is exported; where several do, or only variations of them, pages of which it is known
what they are (``witnesses.py``) decide. The release decides where nothing else is left to, and what
it decides is named as assumed. What stays open is `Unsettled`: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vmemmap.errors import FactInvalid
from vmemmap.facts.fact import Origin
from vmemmap.pages.layout.page_flags import (
    FlagEra,
    agreeing_eras,
    differs_in,
    era_by_types,
    era_of_release,
    neighbouring_eras,
)
from vmemmap.pages.layout.page_reader import PageReader
from vmemmap.pages.layout.type_eras import BUDDY_VALUES
from vmemmap.pages.layout.unsettled import FLAG_BITS, Unsettled, mask_of, only_bit
from vmemmap.pages.layout.witnesses import Witnesses

FLAGS_EXPORTED = ("lru", "slab", "private", "swapcache", "swapbacked", "hwpoison", "buddy")
FLAGS_USED = (*FLAGS_EXPORTED, "head", "tail", "reserved")
_ALL = (1 << FLAG_BITS) - 1
_LOCKED = 1
"""The lowest bit, which every kernel has for PG_locked."""
_SLAB_EXPORTED = (3, 9, 0)
"""The first release that exports what marks slabs and free blocks."""
_BUDDY = "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"


@dataclass(slots=True)
class FlagBits:
    """The flags of one kernel.

    Attributes:
        bits: Flag name to bit number, of those that it is known, or said, to have.
        era: Names of all bits, or None if no table agrees with the kernel's numbers.
        exported: The bit numbers that VMCOREINFO has itself.
        eras: The eras that agree with all that is exported.
        unsettled: The flags of which it is not established which bit they are; also such as are
            exported, where that contradicts everything known.
    """

    bits: dict[str, int] = field(default_factory=dict)
    era: FlagEra | None = None
    exported: dict[str, int] = field(default_factory=dict)
    eras: tuple[FlagEra, ...] = ()
    unsettled: dict[str, Unsettled] = field(default_factory=dict)


def find_flag_bits(
    read: PageReader, version: tuple[int, int, int] | None, witnesses: Witnesses
) -> FlagBits:
    """Establish the flags.

    Args:
        read: VMCOREINFO and the types.
        version: The kernel's release, or None if it is unknown.
        witnesses: Pages of which it is known what they are.

    Raises:
        FactInvalid: VMCOREINFO has a number that is no flag's.
    """
    said = _exported(read)
    flags = read.types.flags()
    if flags is not None:
        found = _by_types(read, said, flags)
    else:
        found = _Search(read, said, version, witnesses).flags()
    mine = read.info
    found.exported = {n: b for n, b in said.items() if f"NUMBER(PG_{n})" in mine}
    if "NUMBER(PG_head_mask)" in mine:
        found.exported["head"] = said["head"]
    return found


def _exported(read: PageReader) -> dict[str, int]:
    bits: dict[str, int] = {}
    for name in FLAGS_EXPORTED:
        value = read.number(f"PG_{name}")
        if value is None:
            continue
        if not 0 <= value < FLAG_BITS:
            raise FactInvalid(
                f"VMCOREINFO has NUMBER(PG_{name})={value}; expected a bit below 32",
                name=f"NUMBER(PG_{name})",
            )
        bits[name] = value
    mask = read.number("PG_head_mask")
    if mask is not None:
        # 3.16 to 4.3 may have one bit or, without PG_head, two; the lowest is the head's.
        if not 0 < mask < 1 << FLAG_BITS:
            raise FactInvalid(
                f"VMCOREINFO has NUMBER(PG_head_mask)={mask}; expected a mask of 32 bits",
                name="NUMBER(PG_head_mask)",
            )
        bits["head"] = (mask & -mask).bit_length() - 1
    return bits


def _by_types(read: PageReader, bits: dict[str, int], flags: Mapping[str, int]) -> FlagBits:
    """Add the bits that only the types tell, and name all of them."""
    bits = dict(bits)
    for name in FLAGS_USED:
        bit = flags.get(f"PG_{name}")
        if name not in bits and bit is not None and 0 <= bit < FLAG_BITS:
            bits[name] = bit
            read.facts.append(read.types.note(f"PG_{name}", bit))
    return FlagBits(bits, era_by_types(flags))


class _Search:
    """The search for the flags that are not exported, under way.

    Attributes:
        eras: The eras, or the variations of eras, that the kernel may have.
        by_release: Of several eras the one that the release names.
    """

    def __init__(
        self,
        read: PageReader,
        exported: dict[str, int],
        version: tuple[int, int, int] | None,
        witnesses: Witnesses,
    ) -> None:
        self._read, self._exported, self._witnesses = read, exported, witnesses
        self._exact = [era for era in agreeing_eras(exported) if self._is_timely(era)]
        self.eras = self._exact or neighbouring_eras(exported)
        self.by_release: FlagEra | None = None
        self._narrowed = ""
        if len(self.eras) > 1:
            left = [era for era in self.eras if self._is_possible(era)]
            if 0 < len(left) < len(self.eras):
                self.eras = left
                self._narrowed = ", and pages of the kernel's image and of the free lists"
        self._named = era_of_release(version)
        if self._exact and version is not None:
            older = [era for era in self._exact if era.since <= version][-1:]
            self.by_release = next((era for era in older if era in self.eras), None)
        self._found = FlagBits(dict(exported))

    def flags(self) -> FlagBits:
        found = self._found
        if self._exact:
            found.era = self.by_release if len(self.eras) > 1 else self.eras[0]
            found.eras = tuple(self.eras)
        for name in FLAGS_USED:
            if name == "slab" and self._read.type_value("SLAB") is not None:
                continue
            if name == "buddy" and self._read.type_value("BUDDY") is not None:
                continue
            if name in self._exported:
                self._compare(name)
            else:
                self._settle(name)
        return found

    def _is_timely(self, era: FlagEra) -> bool:
        """Tell whether a kernel of an era would export no more than this one does."""
        keys = [f"NUMBER({name})" for name in ("PG_slab", "PAGE_SLAB_MAPCOUNT_VALUE")]
        keys += [_BUDDY, "OFFSET(page._mapcount)"]
        return era.since < _SLAB_EXPORTED or any(key in self._read.info for key in keys)

    def _is_possible(self, era: FlagEra) -> bool:
        """Tell whether pages that are known are what they have to be by an era."""
        reserved, buddy = era.number("reserved"), era.number("buddy")
        image, seen = self._witnesses.image_flags, self._witnesses
        if image and reserved is not None and not image >> reserved & 1:
            return False
        if seen.pages.image and (era.number("tail") is None) is not seen.marks_tails_by_word:
            return False
        if self._read.type_value("BUDDY") is not None:
            return True
        if not seen.free_blocks:
            # Some page is free on any machine. Before 3.9, when that is exported, no other page has
            # a type.
            types = seen.types_seen
            return types is None or bool(types & BUDDY_VALUES) is (buddy is None)
        if buddy is None:
            return seen.free_type is not None
        return bool(seen.free_flags >> buddy & 1)

    def _values(self, name: str) -> list[int | None]:
        return list({era.number(name) for era in self.eras})

    def _compare(self, name: str) -> None:
        """Leave an exported flag open if what else may be true says another bit."""
        values = {*self._values(name), self._exported[name]} - {None}
        if (
            self._exact
            and self._named is not None
            and differs_in(self._named, self._exported, name)
        ):
            # All that is exported is another era's, but it may be one wrong number in this one.
            values |= {self._named.number(name)}
        if len(values) > 1:
            self._leave_open(name, mask_of(values))

    def _settle(self, name: str) -> None:
        """Find the bit of a flag that is not exported."""
        values = self._values(name)
        if name == "hwpoison" and _BUDDY in self._read.info and self._exact:
            # A kernel that would export it, if it had it; but the line may be lost.
            self._found.unsettled[name] = Unsettled(mask_of(values))
        elif not self.eras:
            self._leave_open(name, _ALL & ~_LOCKED & ~mask_of(self._exported.values()))
        elif len(values) == 1:
            self._take(name, values[0], Origin.DERIVED, self._agreement())
        elif self.by_release is not None:
            since = ".".join(map(str, self.by_release.since))
            why = f"the flags of {since} agree with all that are exported, as others do"
            self._take(name, self.by_release.number(name), Origin.ASSUMED, why)
        else:
            self._leave_open(name, mask_of(values))

    def _agreement(self) -> str:
        since = sorted({".".join(map(str, era.since)) for era in self.eras})
        if self._exact:
            agree = f"the flags of {' and '.join(since)} agree with all that are exported"
            return agree + self._narrowed
        return (
            f"no known kernel has the flags that are exported; so it is in all {len(self.eras)} "
            f"variations of those of {' and '.join(since)} that agree with them{self._narrowed}"
        )

    def _take(self, name: str, bit: int | None, origin: Origin, why: str) -> None:
        self._read.derive(f"PG_{name}", bit, why, origin)
        if bit is not None:
            self._found.bits[name] = bit

    def _leave_open(self, name: str, mask: int) -> None:
        """Let pages decide between the bits that a flag may be, or note that it may be all."""
        sees = _SEEN_BY.get(name)
        if sees is not None:
            left, why = sees(self._witnesses, mask)
            bit = only_bit(left)
            mask = left or mask
            if bit is not None:
                self._take(name, bit, Origin.DERIVED, why)
                return
        self._found.unsettled[name] = Unsettled(mask)


def _reserved(witnesses: Witnesses, mask: int) -> tuple[int, str]:
    return mask & witnesses.image_flags, (
        "the only bit that it may be and that is set in the pages of the kernel's image "
        f"({witnesses.image_detail})"
    )


def _head(witnesses: Witnesses, mask: int) -> tuple[int, str]:
    return mask & witnesses.compound_flags, (
        "the only bit that it may be and that is set in the pages that tails of compounds name"
    )


def _buddy(witnesses: Witnesses, mask: int) -> tuple[int, str]:
    return mask & witnesses.free_flags if witnesses.free_type is None else 0, (
        f"the only bit that it may be and that is set in {witnesses.free_blocks} blocks on the "
        "free lists"
    )


_SEEN_BY: Mapping[str, Callable[[Witnesses, int], tuple[int, str]]] = {
    "reserved": _reserved,
    "head": _head,
    "buddy": _buddy,
}
"""The flags that pages tell which are known by something else."""
