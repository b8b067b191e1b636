"""Which value of ``_mapcount`` says what type a page is, in one kernel.

VMCOREINFO goes first, then the kernel's types. What neither has follows from what is exported, if
all eras in which that is so agree; where not, a value that it may be is left open (`Unsettled`).
What marks a free block is compared with blocks of the free lists, which know best.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vmemmap.facts.fact import Origin
from vmemmap.pages.layout.flag_bits import FlagBits
from vmemmap.pages.layout.page_flags import FLAG_ERAS
from vmemmap.pages.layout.page_reader import PageReader
from vmemmap.pages.layout.type_eras import TYPE_ERAS, TypeEra
from vmemmap.pages.layout.unsettled import Unsettled
from vmemmap.pages.layout.witnesses import Witnesses

_NAMES = ("buddy", "offline", "hugetlb", "slab")


@dataclass(slots=True)
class PageTypes:
    """The page types of one kernel.

    Attributes:
        values: Name to value, of those that it is known, or said, to have.
        unsettled: Those of which it is not established which value they are; also such as are
            exported, where that contradicts everything known.
    """

    values: dict[str, int] = field(default_factory=dict)
    unsettled: dict[str, Unsettled] = field(default_factory=dict)


def find_page_types(
    read: PageReader,
    flags: FlagBits,
    version: tuple[int, int, int] | None,
    witnesses: Witnesses,
    *,
    needs_hugetlb: bool,
) -> PageTypes:
    """Establish the page types.

    Args:
        read: VMCOREINFO and the types.
        flags: The kernel's flags, of which one may have the meaning of a type.
        version: The kernel's release, or None if it is unknown.
        witnesses: Pages of which it is known what they are.
        needs_hugetlb: Nothing else tells huge pages.
    """
    found = PageTypes()
    for name in _NAMES:
        value = read.type_value(name.upper())
        if value is not None:
            found.values[name] = value
    told = {"buddy": "buddy" in flags.bits, "slab": "slab" in flags.bits}
    told["hugetlb"] = not needs_hugetlb
    search = _Search(read, found, flags, version, witnesses)
    # Before 6.11 they are macros, of which types know nothing.
    enumerated = read.type_by_types("BUDDY") is not None
    for name in _NAMES:
        exported, typed = found.values.get(name), read.type_by_types(name.upper())
        if exported is not None and typed is not None:
            if exported != typed:
                found.unsettled[name] = Unsettled(types=frozenset((exported, typed)))
        elif exported is None and enumerated and name != "buddy":
            continue  # what they do not have does not exist
        elif not told.get(name):
            search.settle(name)
    search.compare_free()
    return found


class _Search:
    """The search for the types that are not exported, under way."""

    def __init__(
        self,
        read: PageReader,
        found: PageTypes,
        flags: FlagBits,
        version: tuple[int, int, int] | None,
        witnesses: Witnesses,
    ) -> None:
        self._read, self._found, self._flags = read, found, flags
        self._version, self._witnesses = version, witnesses
        self._exported = dict(found.values)
        room = [era for era in TYPE_ERAS if self._has_room(era)]
        agreeing = [era for era in room if not self._differing(era)]
        timely = [era for era in agreeing if self._is_timely(era)]
        self._agrees = bool(timely)
        near = [era for era in room if self._is_timely(era) and len(self._differing(era)) == 1]
        self._eras = timely or agreeing + near

    def _differing(self, era: TypeEra) -> list[str]:
        return [n for n, value in self._exported.items() if era.values.get(n) != value]

    def _has_room(self, era: TypeEra) -> bool:
        """Tell whether an era's types are there for what the kernel has no flags for."""
        flags = self._flags
        if "slab" in flags.bits and "slab" not in flags.unsettled and "slab" in era.values:
            return False
        return "buddy" not in flags.bits or "buddy" not in era.values

    def _is_timely(self, era: TypeEra) -> bool:
        """Tell whether the kernel's flags, as far as they are known, were there at the time."""
        after = [each.since for each in TYPE_ERAS if each.since > era.since]
        for flags in self._flags.eras:
            until = [each.since for each in FLAG_ERAS if each.since > flags.since]
            if (not after or flags.since < after[0]) and (not until or era.since < until[0]):
                return True
        return not self._flags.eras

    def settle(self, name: str) -> None:
        """Find a value that is not exported, or doubt one that no era has so."""
        values = {era.values.get(name) for era in self._eras}
        given = self._exported.get(name)
        if given is not None:
            if not self._agrees and values - {given, None}:
                self._leave_open(name, {*values, given})
            return
        open_flag = self._flags.unsettled.get(name)
        if name == "buddy" and open_flag is None and self._by_release(values):
            return
        if len(values) == 1 and self._exported:
            (value,) = values
            if value is not None:
                why = "the page types of its time agree with all that are exported"
                self._take(name, value, Origin.DERIVED, why)
            return
        if values - {None} or open_flag is not None:
            self._leave_open(name, values)

    def _by_release(self, values: set[int | None]) -> bool:
        """Assume what marks free blocks by the release, if that is one of what it may be."""
        if self._version is None:
            return False
        known = [era.values.get("buddy") for era in TYPE_ERAS if era.since <= self._version]
        if not known or known[-1] is None or known[-1] not in values:
            return False
        seen = self._witnesses.types_seen
        if seen is not None and known[-1] not in seen:
            # Some page is free on any machine: where none has it, it is another one.
            return False
        why = f"as in kernels of the time of {'.'.join(map(str, self._version))}"
        self._take("buddy", known[-1], Origin.ASSUMED, why)
        return True

    def compare_free(self) -> None:
        """Go by the blocks on the free lists, where what marks them is something else."""
        seen, found = self._witnesses.free_type, self._found
        if seen is None:
            return
        if found.values.get("buddy") != seen:
            why = f"the page type of {self._witnesses.free_blocks} blocks on the free lists"
            self._take("buddy", seen, Origin.DERIVED, why)
        for unsettled in (found.unsettled, self._flags.unsettled):
            unsettled.pop("buddy", None)

    def _take(self, name: str, value: int, origin: Origin, why: str) -> None:
        self._read.derive(f"PAGE_{name.upper()}_MAPCOUNT_VALUE", value, why, origin)
        self._found.values[name] = value

    def _leave_open(self, name: str, values: set[int | None]) -> None:
        open_flag = self._flags.unsettled.get(name, Unsettled())
        types = frozenset(value for value in values if value is not None)
        self._found.unsettled[name] = Unsettled(open_flag.bits, types, any_type=not self._eras)
