"""PG_* bits of ``page.flags`` by kernel era: names for people, and numbers that are not exported.

VMCOREINFO exports a few of the numbers. The era is the row below in which all of those agree; where
none does, the kernel is a vendor's, and may be any variation of a row that agrees. Which of several
it is, is decided in ``flag_bits.py``. Bits that belong to no known row stay without a name, and are
never guessed: what follows hwpoison depends on the configuration.

Source: Linux include/linux/page-flags.h of the versions named at each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_LAST = "__NR_PAGEFLAGS"
_BITS_MAX = 32
_UNKNOWN = "unknown"
"""A vendor's flag, of whatever name."""
_OLD = "locked error referenced uptodate dirty lru active slab owner_priv_1 arch_1 reserved"


@dataclass(frozen=True, slots=True)
class FlagEra:
    """The flag bits of one range of kernels.

    Attributes:
        since: The first release with this table (major, minor, patch).
        names: Name by bit number, from bit 0 on.
        swapcache: The name of the bit that PG_swapcache shares, or itself where it has its own.
    """

    since: tuple[int, int, int]
    names: tuple[str, ...]
    swapcache: str = "owner_priv_1"

    def number(self, name: str) -> int | None:
        """Give the bit number of a flag, or None if this era has no such flag."""
        wanted = self.swapcache if name == "swapcache" else name
        return self.names.index(wanted) if wanted in self.names else None


def _era(since: tuple[int, int, int], names: str, swapcache: str = "owner_priv_1") -> FlagEra:
    return FlagEra(since, tuple(names.split()), swapcache)


FLAG_ERAS = (
    _era(
        (2, 6, 35),
        f"{_OLD} private private_2 writeback head tail swapcache mappedtodisk reclaim buddy "
        "swapbacked unevictable mlocked hwpoison",
        "swapcache",
    ),
    _era(
        (2, 6, 38),
        f"{_OLD} private private_2 writeback head tail swapcache mappedtodisk reclaim swapbacked "
        "unevictable mlocked hwpoison",
        "swapcache",
    ),
    _era(
        (4, 4, 0),
        f"{_OLD} private private_2 writeback head swapcache mappedtodisk reclaim swapbacked "
        "unevictable mlocked hwpoison",
        "swapcache",
    ),
    _era(
        (4, 10, 0),
        "locked error referenced uptodate dirty lru active waiters slab owner_priv_1 arch_1 "
        "reserved private private_2 writeback head mappedtodisk reclaim swapbacked unevictable "
        "mlocked hwpoison",
    ),
    _era(
        (4, 20, 0),
        "locked referenced uptodate dirty lru active workingset waiters error slab owner_priv_1 "
        "arch_1 reserved private private_2 writeback head mappedtodisk reclaim swapbacked "
        "unevictable mlocked hwpoison",
    ),
    _era(
        (6, 6, 0),
        "locked writeback referenced uptodate dirty lru head waiters active workingset error slab "
        "owner_priv_1 arch_1 reserved private private_2 mappedtodisk reclaim swapbacked "
        "unevictable mlocked hwpoison",
    ),
    _era(
        (6, 10, 0),
        "locked writeback referenced uptodate dirty lru head waiters active workingset error "
        "owner_priv_1 arch_1 reserved private private_2 mappedtodisk reclaim swapbacked "
        "unevictable mlocked hwpoison",
    ),
    _era(
        (6, 12, 0),
        "locked writeback referenced uptodate dirty lru head waiters active workingset "
        "owner_priv_1 owner_2 arch_1 reserved private private_2 reclaim swapbacked unevictable "
        "mlocked hwpoison",
    ),
    _era(
        (6, 14, 0),
        "locked writeback referenced uptodate dirty lru head waiters active workingset "
        "owner_priv_1 owner_2 arch_1 reserved private private_2 reclaim swapbacked unevictable "
        "dropbehind mlocked hwpoison",
    ),
)


def era_by_types(flags: Mapping[str, int]) -> FlagEra:
    """Make the row of a kernel whose ``enum pageflags`` is known.

    Args:
        flags: Name (``PG_lru``) to bit number, in the order of the enum: up to ``__NR_PAGEFLAGS``
            each bit's own name, behind it other names for the same bits.
    """
    own: dict[int, str] = {}
    for name, bit in flags.items():
        if name == _LAST:
            break
        if name.startswith("PG_") and 0 <= bit < _BITS_MAX:
            own.setdefault(bit, name.removeprefix("PG_"))
    names = tuple(own.get(bit, f"bit_{bit}") for bit in range(max(own, default=-1) + 1))
    swapcache = flags.get("PG_swapcache", -1)
    return FlagEra((0, 0, 0), names, own.get(swapcache, "swapcache"))


def agreeing_eras(exported: Mapping[str, int]) -> list[FlagEra]:
    """Give the eras whose numbers are those that the kernel exports, oldest first.

    Args:
        exported: Flag name (``lru``, ``swapcache``) to bit number, as VMCOREINFO has them.
    """
    return [era for era in FLAG_ERAS if exported and not _differing(era, exported)]


def neighbouring_eras(exported: Mapping[str, int]) -> list[FlagEra]:
    """Give what else a kernel can have whose numbers are those of no era: variations of the eras.

    A vendor's kernel has a flag or two more than the era that it was made from, or one less, at any
    place. And of a damaged VMCOREINFO one number may be wrong; then the era is as it stands.

    Args:
        exported: As for `agreeing_eras`.
    """
    found: dict[tuple[tuple[str, ...], str], FlagEra] = {}
    for era in FLAG_ERAS:
        if len(_differing(era, exported)) == 1:
            found[era.names, era.swapcache] = era
        for names in _variations(era.names):
            other = FlagEra(era.since, names, era.swapcache)
            if not _differing(other, exported):
                found[names, era.swapcache] = other
    return list(found.values())


def era_of_release(version: tuple[int, int, int] | None) -> FlagEra | None:
    """Give the era that a release belongs to by its number, or None."""
    older = [era for era in FLAG_ERAS if version is not None and era.since <= version]
    return older[-1] if older else None


def differs_in(era: FlagEra, exported: Mapping[str, int], name: str) -> bool:
    """Tell whether one flag is all that an era has otherwise than the kernel, and still has."""
    return _differing(era, exported) == [name] and era.number(name) is not None


def _differing(era: FlagEra, exported: Mapping[str, int]) -> list[str]:
    return [name for name, bit in exported.items() if era.number(name) != bit]


def _variations(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the names with one or two unknown ones among them, and with one of them left out."""
    for at in range(1, len(names) + 1):
        one = (*names[:at], _UNKNOWN, *names[at:])
        yield one
        for second in range(at, len(names) + 1):
            yield (*one[: second + 1], _UNKNOWN, *one[second + 1 :])
        yield (*names[:at], *names[at + 1 :])
