"""Reads the types out of a vmlinux's debug information (DWARF), by means of pyelftools.

A kernel's debug information has hundreds of MiB, and describes most types thousands of times over:
once in each compilation unit that includes them. So only units that have what is wanted are read.
Which these are is found by searching the bytes for the references to a name, which is a guess; what
a unit defines is taken from pyelftools' reading of it, so that a wrong guess costs time only. How
much it may read for one answer is bounded in steps and not by the clock, so that the answer is the
same on every machine.

Source: the DWARF standard, versions 2 to 5.
"""

from __future__ import annotations

import inspect
import io
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, cast

from vmemmap.address import ByteOrder
from vmemmap.errors import DumpError, FactInvalid, FactMissing
from vmemmap.facts.elf_file import ElfFile
from vmemmap.facts.types.types import Form, RawMember, TypeNode, Types

_ANCHOR = "vmemmap_backing"
"""Of what is wanted this is defined in the fewest units, and they know all of the rest."""
_STEPS_MAX = 1 << 22
"""Reads of the file and attributes for one answer: the units of a 6.1 kernel take 100,000 at most,
and this some ten seconds."""
_PLACES_MAX = 16
"""In so many places the end of another name may be taken for the one that is wanted."""
_UNITS_TRIED = 12
_POINTER_BYTES = 8
_RECORDS = ("DW_TAG_structure_type", "DW_TAG_union_type")
_ALIASES = (
    *("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type"),
    "DW_TAG_atomic_type",
)
_PLUS_UCONST = 0x23


class Dwarf(Types):
    """The types that a vmlinux's debug information describes.

    Args:
        file: The vmlinux, which has to stay open.
        detail: Where it is, in words.

    Raises:
        FactInvalid: The debug information is damaged.
    """

    form = "DWARF"

    def __init__(self, file: ElfFile, detail: str) -> None:
        self.detail = detail
        self._order: ByteOrder = file.order
        self._steps_left = _STEPS_MAX
        self._named: dict[str, list[Any]] = {}
        self._enums: dict[str, list[Any]] = {}
        self._read_units: set[int] = set()
        self._searched: set[tuple[str, str]] = set()
        try:
            found = {name: file.find_debug(name) for name in _SECTIONS}
            self._data = {n: file.unpacked(s) for n, s in found.items() if s is not None}
        except DumpError as error:
            raise self._damage(str(error)) from error
        self._units = self._guarded(self._open)
        self._search(_ANCHOR)

    def _open(self) -> list[Any]:
        """Give all compilation units, of which only the headers are read."""
        from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

        # Each version has a parameter for every section that it knows.
        wanted = inspect.signature(DWARFInfo.__init__).parameters
        sections: dict[str, Any] = {name: None for name in wanted if name.endswith("_sec")}
        for name, data in self._data.items():
            sections[f"debug_{name}_sec"] = DebugSectionDescriptor(
                stream=cast(IO[bytes], _Window(data, self._spend)),
                name=name,
                global_offset=0,
                size=len(data),
                address=0,
            )
        config = DwarfConfig(
            little_endian=self._order == "little",
            machine_arch="64-bit PowerPC",
            default_address_size=_POINTER_BYTES,
        )
        return list(DWARFInfo(config=config, **sections).iter_CUs())

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise self._damage(f"it takes more than {_STEPS_MAX:,} steps to read")

    def _damage(self, why: str) -> FactInvalid:
        return FactInvalid(f"{self.detail} is damaged: {why}", name="types")

    def _guarded(self, ask: Any, *arguments: Any) -> Any:
        """Call what works on pyelftools, which lets any error through that damage can cause."""
        self._steps_left = _STEPS_MAX
        try:
            return ask(*arguments)
        except FactInvalid:
            raise
        except ImportError as error:
            raise FactMissing(
                f"{self.detail} is read with pyelftools, which is not installed: pip install "
                "pyelftools",
                name="types",
            ) from error
        except Exception as error:
            raise self._damage(f"{type(error).__name__}: {error}") from error

    def find(self, name: str) -> Any:
        """Give the struct, union or typedef of this name, or None."""
        return self._choose(self._named, name)

    def find_by_member(self, name: str, member: str) -> Any:
        """Give the struct of this name out of units that speak of one of its members, or None.

        Where a struct is only declared it has no members, so that a rare one leads to where it is
        defined.
        """
        self._search(member, name)
        return next(iter(self._named.get(name, [])), None)

    def _choose(self, table: Mapping[str, list[Any]], name: str) -> Any:
        if name not in table:
            self._search(name)
        rows = table.get(name, [])
        return rows[0] if rows else None

    def _search(self, name: str, wanted: str = "") -> None:
        """Read units that speak of *name*, until one defines it, or what is *wanted* instead."""
        wanted = wanted or name
        if (name, wanted) not in self._searched:
            self._searched.add((name, wanted))
            for unit in self._units_with(name):
                if unit.cu_offset not in self._read_units:
                    self._read_units.add(unit.cu_offset)
                    self._guarded(self._read_unit, unit)
                if wanted in self._named or wanted in self._enums:
                    return

    def _units_with(self, name: str) -> Iterator[Any]:
        """Yield a few of the units that speak of *name*, in order."""
        places = self._places(name)
        if not places:
            return
        if len(places) > _PLACES_MAX:  # a name so common that any of the first will have it
            yield from self._units[:_UNITS_TRIED]
            return
        patterns = (re.escape(at.to_bytes(4, self._order)) for at in places)
        offsets = [unit.cu_offset for unit in self._units]
        tried: set[int] = set()
        for hit in re.finditer(b"|".join(patterns), self._data["info"], re.DOTALL):
            row = bisect_right(offsets, hit.start()) - 1
            if row >= 0 and row not in tried:
                tried.add(row)
                yield self._units[row]
            if len(tried) >= _UNITS_TRIED:
                return

    def _places(self, name: str) -> list[int]:
        """Give where *name* is among the strings: by itself, else as the end of others."""
        strings = bytes(self._data.get("str", b""))
        wanted = name.encode() + b"\0"
        alone = 0 if strings.startswith(wanted) else strings.find(b"\0" + wanted) + 1
        if alone or strings.startswith(wanted):
            return [alone]
        return [hit.start() for hit in re.finditer(re.escape(wanted), strings)]

    def _read_unit(self, unit: Any) -> None:
        """Note what types a unit defines, without looking into them."""
        for die in self._children(unit.get_top_DIE()):
            label = die.attributes.get("DW_AT_name")
            if label is None or "DW_AT_declaration" in die.attributes:
                continue
            name = label.value.decode("utf-8", "surrogateescape")
            if die.tag in _RECORDS or die.tag == "DW_TAG_typedef":
                self._named.setdefault(name, []).append(die)
            elif die.tag == "DW_TAG_enumeration_type":
                self._enums.setdefault(name, []).append(die)

    def node(self, handle: Any) -> TypeNode:
        """Give what a type is made of."""
        node: TypeNode = self._guarded(self._node, handle)
        return node

    def _node(self, die: Any) -> TypeNode:
        if die.tag in _ALIASES:
            return TypeNode(Form.ALIAS, target=_type_of(die))
        if die.tag == "DW_TAG_array_type":
            count = 1
            for each in self._children(die):
                if each.tag == "DW_TAG_subrange_type":
                    count *= _length(each)
            return TypeNode(Form.ARRAY, target=_type_of(die), count=count)
        size = _number(die, "DW_AT_byte_size")
        if die.tag in _RECORDS:
            members = (each for each in self._children(die) if each.tag == "DW_TAG_member")
            return TypeNode(Form.RECORD, size or 0, members=tuple(map(self._member, members)))
        is_pointer = die.tag == "DW_TAG_pointer_type"
        return TypeNode(Form.OTHER, size or (_POINTER_BYTES if is_pointer else 0))

    def _member(self, die: Any) -> RawMember:
        label = die.attributes.get("DW_AT_name")
        name = "" if label is None else label.value.decode("utf-8", "surrogateescape")
        bits = _number(die, "DW_AT_bit_size") or 0
        at = _number(die, "DW_AT_data_bit_offset")
        if at is None:
            at = 8 * (_number(die, "DW_AT_data_member_location") or 0)
            left = _number(die, "DW_AT_bit_offset")
            if left is not None:
                # Until DWARF 3: counted from the highest bit of the word that the field is in.
                word = 8 * (_number(die, "DW_AT_byte_size") or 0)
                at += word - left - bits if self._order == "little" else left
        return RawMember(name, _type_of(die), at, bits)

    def enumerators(self, name: str) -> Mapping[str, int] | None:
        """Give name and value of each enumerator of ``enum name``, in order; None without it."""
        die = self._choose(self._enums, name)
        if die is None:
            return None
        found: dict[str, int] = self._guarded(self._enumerators, die)
        return found

    def _enumerators(self, die: Any) -> dict[str, int]:
        found = {}
        for each in self._children(die):
            if each.tag == "DW_TAG_enumerator":
                name = each.attributes["DW_AT_name"].value.decode("utf-8", "surrogateescape")
                found[name] = int(each.attributes["DW_AT_const_value"].value)
        return found

    def _children(self, die: Any) -> Iterator[Any]:
        """Yield what is directly inside an entry; each step goes forward, so that this ends."""
        if not die.has_children:
            return
        at = die.offset + die.size
        while True:
            child = die.cu.get_DIE_from_refaddr(at)
            if child.is_null():
                return
            yield child
            self._spend(_attributes(child))
            following = self._behind(child)
            if following <= at:
                raise self._damage(f"an entry at {at:#x} is followed by one at {following:#x}")
            at = following

    def _behind(self, die: Any) -> int:
        """Give where the entry after *die* and all that is inside it begins."""
        if not die.has_children:
            return int(die.offset + die.size)
        sibling = die.attributes.get("DW_AT_sibling")
        if sibling is not None:
            return int(die.get_DIE_from_attribute("DW_AT_sibling").offset)
        at, depth = die.offset + die.size, 1
        while depth:
            inner = die.cu.get_DIE_from_refaddr(at)
            depth += -1 if inner.is_null() else int(inner.has_children)
            at += max(inner.size, 1)
            self._spend(_attributes(inner))
        return int(at)


_SECTIONS = ("info", "abbrev", "str", "line_str", "str_offsets", "addr")


class _Window(io.RawIOBase):
    """Bytes of a mapped file as the stream that pyelftools wants; nothing is copied but reads.

    Args:
        data: The bytes.
        spend: Told of each read; what it raises ends the reading.
    """

    def __init__(self, data: memoryview, spend: Callable[[int], None]) -> None:
        self._data = data
        self._spend = spend
        self._at = 0

    def read(self, size: int | None = -1) -> bytes:
        """Read up to *size* bytes."""
        self._spend(1)
        end = len(self._data) if size is None or size < 0 else self._at + size
        out = bytes(self._data[self._at : end])
        self._at += len(out)
        return out

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset."""
        base = (0, self._at, len(self._data))[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """Give the offset."""
        return self._at


def _attributes(die: Any) -> int:
    """Count the attributes of an entry, of which some take no bytes that are read."""
    if die.is_null():
        return 0
    declaration = die.cu.get_abbrev_table().get_abbrev(die.abbrev_code)
    return len(declaration["attr_spec"])


def _type_of(die: Any) -> Any:
    return die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None


def _number(die: Any, name: str) -> int | None:
    """Give an attribute that is a number, or one of the expressions that mean just a number."""
    attribute = die.attributes.get(name)
    if attribute is None:
        return None
    value = attribute.value
    if isinstance(value, int):
        return value
    if isinstance(value, list) and len(value) > 1 and value[0] == _PLUS_UCONST:
        return sum((int(byte) & 0x7F) << 7 * place for place, byte in enumerate(value[1:11]))
    raise ValueError(f"{name} is no number")


def _length(die: Any) -> int:
    count = _number(die, "DW_AT_count")
    if count is None:
        last = _number(die, "DW_AT_upper_bound")
        count = 0 if last is None else last + 1
    return max(count, 0)
