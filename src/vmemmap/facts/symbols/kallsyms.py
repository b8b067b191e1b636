"""The kernel's own symbol table, kallsyms, read from the dump: no vmlinux is needed.

VMCOREINFO says where its parts are (since 6.0, and in some distributions' older kernels). It does
not say how long names are stored nor how addresses are, and both changed; so each way that can be
meant is tried, and the one that puts the symbols of VMCOREINFO where VMCOREINFO has them is taken.

::

    kallsyms_num_syms     u32: how many
    kallsyms_names        for each: its length, then so many tokens, one byte each
    kallsyms_token_index  256 u16: where in token_table each token's text starts
    kallsyms_token_table  256 texts, NUL-terminated
    kallsyms_offsets      for each name an int32, from which its address follows; rising addresses

A name's first character is the letter that nm prints. Modules are not in these tables.

Source: Linux kernel/kallsyms.c, scripts/kallsyms.c, kernel/vmcore_info.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmemmap.address import U64_MAX, numpy_prefix
from vmemmap.errors import FactInvalid, FactMissing
from vmemmap.facts.fact import Fact, Origin
from vmemmap.facts.symbols.table import SymbolTable, rows_of_name
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.linear_map import LinearMemory

_SYMBOLS_MAX = 1 << 20
"""Kernels have up to 200,000."""
_TEXT_MAX_BYTES = 32 << 20
_STORED_MAX_BYTES = 16 << 20
"""What all names may take, as text and as stored; those of 180,000 symbols take 5 and 3 MiB."""
_STORED_BYTES_A_NAME = 64
"""More than names take on average (15), for a limit where nothing follows the names."""
_TOKEN_MAX = 1024
_TABLES_ABOVE = ("kallsyms_token_table", "kallsyms_token_index", "kallsyms_offsets")
_SEPARATOR, _NOTHING = 256, 257
"""Tokens of our own: the NUL before each name, and the second byte of a long length."""
_AT_A_TIME = 1 << 17
_WITNESSES = ("_stext", "swapper_pg_dir", "init_uts_ns", "vmemmap_list", "prb")
"""Symbols whose address VMCOREINFO has too; kernels without CONFIG_KALLSYMS_ALL have not all."""
_KINDS = b"ABCDGINPRSTUVWabcdginprstuvw?-"


@dataclass(frozen=True, slots=True)
class _Names:
    """The decoded names by one reading of their lengths.

    Attributes:
        text: Each name with its kind before it, NUL before and behind.
        at: Where each name starts, behind its kind.
        kind: The kinds.
        how: The reading in words, where there is another.
        is_only: No length is above 127, so that the other reading gives the same.
        stored_bytes: How many bytes all names take as they are stored.
    """

    text: bytes
    at: NDArray[np.intp]
    kind: bytes
    how: str
    is_only: bool
    stored_bytes: int


def read_kallsyms(info: Vmcoreinfo, memory: LinearMemory) -> SymbolTable:
    """Read the kernel's symbol table.

    Args:
        info: The parsed VMCOREINFO.
        memory: The kernel's data.

    Returns:
        Every symbol of the kernel's image that kallsyms has. About 0.1 s for 100,000.

    Raises:
        FactMissing: VMCOREINFO does not say where it is, or it is not in the dump.
        FactInvalid: What is there is no symbol table, or one that contradicts VMCOREINFO.
    """
    if "SYMBOL(kallsyms_names)" not in info:
        raise FactMissing(
            "VMCOREINFO has no SYMBOL(kallsyms_names) (kernels before 6.0 do not say where their "
            "symbols are: name the kernel with --vmlinux)",
            name="SYMBOL(kallsyms_names)",
        )
    return _Reader(info, memory).table()


def kallsyms_parts(info: Vmcoreinfo, memory: LinearMemory) -> list[tuple[int, int]]:
    """Say where the kernel's symbol table lies: virtual address and size of each part of it.

    Args:
        info: The parsed VMCOREINFO.
        memory: The kernel's data.

    Raises:
        FactError: As for `read_kallsyms`; of what cannot be read no part is known.
    """
    reader = _Reader(info, memory)
    reader.table()
    return reader.parts


class _Reader:
    """Reads the table.

    Attributes:
        parts: Where it lies, once it was read.
    """

    def __init__(self, info: Vmcoreinfo, memory: LinearMemory) -> None:
        self.parts: list[tuple[int, int]] = []
        self._info = info
        self._memory = memory
        self._prefix = numpy_prefix(memory.order)
        self._count = self._number("kallsyms_num_syms", 4)
        if not 1 <= self._count <= _SYMBOLS_MAX:
            raise FactInvalid(
                f"kallsyms_num_syms is {self._count}; expected 1 to {_SYMBOLS_MAX}",
                name="kallsyms_num_syms",
            )

    def table(self) -> SymbolTable:
        """Give the table by the reading that agrees best with VMCOREINFO."""
        stored, tokens = self._stored_names(), self._tokens()
        addresses = list(self._addresses())
        best: tuple[_Names, NDArray[np.uint64], str] | None = None
        most, why = 0, "no way to read it puts the symbols where VMCOREINFO has them"
        for wide in (True, False):
            try:
                names = _decode(stored, self._count, tokens, wide)
            except FactInvalid as error:
                why = str(error)
                continue
            witnesses = {name: rows_of_name(names.text, names.at, name) for name in _WITNESSES}
            for address, how in addresses:
                agreed = self._agreement(address, witnesses)
                if agreed > most and (np.diff(address.view(np.int64)) >= 0).all():
                    best, most = (names, address, how), agreed
            if names.is_only:
                break
        if best is None:
            raise FactInvalid(f"the kernel's symbol table is damaged: {why}", name="kallsyms")
        names, address, how = best
        self.parts += [
            (self._info.symbol("kallsyms_names"), names.stored_bytes),
            (self._info.symbol("kallsyms_num_syms"), 4),
        ]
        return SymbolTable(
            names.text,
            names.at,
            address,
            np.zeros_like(address),
            names.kind,
            Fact("symbols", self._count, Origin.KALLSYMS, how + names.how),
        )

    def _agreement(
        self, address: NDArray[np.uint64], witnesses: dict[str, NDArray[np.intp]]
    ) -> int:
        """Count the symbols that are where VMCOREINFO has them; 0 if _stext is not."""
        agreed = 0
        for name, rows in witnesses.items():
            if f"SYMBOL({name})" in self._info:
                agrees = bool((address[rows] == self._info.symbol(name)).any())
                agreed += agrees
                if name == "_stext" and not agrees:
                    return 0
        return agreed

    def _read(self, name: str, size: int) -> bytes:
        return self._memory.content(name, self._info.symbol(name), size)

    def _number(self, name: str, width: int) -> int:
        return self._memory.number(name, self._info.symbol(name), width)

    def _stored_names(self) -> bytes:
        """Read the stored names, and what may lie between them and the next table."""
        start = self._info.symbol("kallsyms_names")
        size = min(self._count * _STORED_BYTES_A_NAME, _STORED_MAX_BYTES)
        for name in _TABLES_ABOVE:
            if f"SYMBOL({name})" in self._info and self._info.symbol(name) > start:
                size = min(size, self._info.symbol(name) - start)
        return self._read("kallsyms_names", size)

    def _tokens(self) -> list[bytes]:
        """Give the 256 tokens' texts, and our own two."""
        index = np.frombuffer(self._read("kallsyms_token_index", 512), dtype=self._prefix + "u2")
        text = self._read("kallsyms_token_table", int(index.max()) + _TOKEN_MAX)
        tokens = [text[start : text.find(b"\0", start)] for start in index.tolist()]
        table = self._info.symbol("kallsyms_token_table")
        self.parts.append((self._info.symbol("kallsyms_token_index"), 512))
        self.parts += [
            (table + start, len(token) + 1)
            for start, token in zip(index.tolist(), tokens, strict=True)
        ]
        if b"\0" not in text[int(index.max()) :]:
            raise FactInvalid(
                f"kallsyms_token_table: the last token is longer than {_TOKEN_MAX} bytes",
                name="kallsyms_token_table",
            )
        return [*tokens, b"\0", b""]

    def _addresses(self) -> Iterator[tuple[NDArray[np.uint64], str]]:
        """Give the addresses in each way that they can be stored, and the way in words."""
        if "SYMBOL(kallsyms_offsets)" in self._info:
            stored = self._read("kallsyms_offsets", 4 * self._count)
            self.parts.append((self._info.symbol("kallsyms_offsets"), 4 * self._count))
            value = np.frombuffer(stored, dtype=self._prefix + "i4").astype(np.int64)
            if "SYMBOL(kallsyms_relative_base)" in self._info:
                base = self._number("kallsyms_relative_base", 8)
                self.parts.append((self._info.symbol("kallsyms_relative_base"), 8))
                unsigned = (value & 0xFFFF_FFFF).view(np.uint64)
                yield np.uint64(base) + unsigned, f"addresses relative to {base:#x}"
                # With CONFIG_KALLSYMS_ABSOLUTE_PERCPU (until 6.14) only negative ones are.
                below = np.uint64((base - 1) & U64_MAX) - value.view(np.uint64)
                yield np.where(value < 0, below, unsigned), f"absolute or relative to {base:#x}"
            # Since v7.0 an entry is relative to its own place.
            first = np.uint64(self._info.symbol("kallsyms_offsets"))
            places = first + np.arange(0, 4 * self._count, 4, dtype=np.uint64)
            yield places + value.view(np.uint64), "addresses relative to their own place"
        else:
            stored = self._read("kallsyms_addresses", 8 * self._count)
            self.parts.append((self._info.symbol("kallsyms_addresses"), 8 * self._count))
            yield np.frombuffer(stored, dtype=self._prefix + "u8").astype(np.uint64), "addresses"


def _decode(stored: bytes, count: int, tokens: list[bytes], wide: bool) -> _Names:
    """Decode the names.

    Args:
        stored: The stored names and something behind them.
        count: How many there are.
        tokens: The texts of the 256 tokens, and of `_SEPARATOR` and `_NOTHING`.
        wide: A length above 127 takes two bytes.

    Raises:
        FactInvalid: That gives no names.
    """
    # Since Linux commit 73bbb94466fd ("kallsyms: support "big" kernel symbols") (in v6.1) a length
    # above 127 takes two bytes.
    heads, end = _walk_lengths(stored, count, wide)
    ids = np.frombuffer(stored, dtype=np.uint8)[:end].astype(np.uint16)
    is_long = ids[heads] > 127
    if wide:
        ids[heads[is_long] + 1] = _NOTHING
    ids[heads] = _SEPARATOR
    length = np.array([len(token) for token in tokens], dtype=np.int32)
    ends = np.cumsum(length[ids], dtype=np.intp)
    if int(ends[-1]) > _TEXT_MAX_BYTES:
        raise FactInvalid(
            f"kallsyms_names: the names take {int(ends[-1])} bytes; expected at most "
            f"{_TEXT_MAX_BYTES}",
            name="kallsyms_names",
        )
    at = ends[heads] + 1
    text = _join(ids, tokens, length) + b"\0"
    letters = np.frombuffer(text, dtype=np.uint8)
    kind = letters[at - 1].tobytes()
    if kind.translate(None, _KINDS) or not letters[at].all():
        raise FactInvalid("kallsyms_names: what is stored is no names", name="kallsyms_names")
    if not is_long.any():
        return _Names(text, at, kind, "", True, end)
    how = f", lengths of names in {'one or two bytes' if wide else 'one byte'}"
    return _Names(text, at, kind, how, False, end)


def _walk_lengths(stored: bytes, count: int, wide: bool) -> tuple[NDArray[np.intp], int]:
    """Go from name to name; give where each one's length stands, and where the last one ends."""
    at = 0
    heads = [0] * count
    try:
        for row in range(count):
            heads[row] = at
            length = stored[at]
            if length > 127 and wide:
                length = (length & 127) + (stored[at + 1] << 7) + 1
            at += length + 1
    except IndexError:
        at = len(stored) + 1
    if at > len(stored):
        raise FactInvalid(
            f"kallsyms_names: {count} names do not end within {len(stored)} bytes",
            name="kallsyms_names",
        )
    return np.array(heads, dtype=np.intp), at


def _join(ids: NDArray[np.uint16], tokens: list[bytes], length: NDArray[np.int32]) -> bytes:
    """Put the tokens' texts in a row; as much at a time as caches hold."""
    table = np.frombuffer(b"".join(tokens), dtype=np.uint8)
    start = np.cumsum(length) - length
    parts = []
    for first in range(0, len(ids), _AT_A_TIME):
        part = ids[first : first + _AT_A_TIME]
        sizes = length[part]
        ends = np.cumsum(sizes)
        source = np.repeat(start[part] - (ends - sizes), sizes)
        source += np.arange(len(source))
        parts.append(table[source].tobytes())
    return b"".join(parts)
