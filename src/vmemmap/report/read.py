"""The record of ``vmemmap read``: memory as it is in the dump, a piece at a time.

What is not in the dump is a piece of its own, with the reason; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NotRequired, TypedDict

from vmemmap.errors import FactError, ReadError, TranslateError
from vmemmap.report.as_json import LongRecord
from vmemmap.report.members import HexAddress, hex_address
from vmemmap.report.palette import paint
from vmemmap.report.text import plain, wrapped

if TYPE_CHECKING:
    from vmemmap.address import ByteOrder
    from vmemmap.vmcore import Vmcore

COLUMNS = ("start", "end", "data", "error", "reason")
PIECE_BYTES = 4096
"""The smallest page: what is missing is missing by pages."""
_LINE_BYTES = 16
WORDS = (1, 2, 4, 8)


class PieceRecord(TypedDict):
    """A part of what was asked for.

    Attributes:
        start: Address of its first byte.
        end: The address after the last.
        data: Its bytes in hex, two digits each, as they are in memory.
        error: Only where they cannot be had: a stable word, as `vtop` has them, or why they are
            not in the dump.
        reason: The same in words.
    """

    start: HexAddress
    end: HexAddress
    data: NotRequired[str]
    error: NotRequired[str]
    reason: NotRequired[str]


class ReadRecord(TypedDict):
    """Memory as it is in the dump.

    Attributes:
        address: Where it begins.
        space: What kind of address that is: virtual or physical.
        symbol: The symbol that was named, with the offset; null where none was.
        size: How many bytes were asked for.
        byte_order: Order of the bytes in the kernel's words.
        pieces: The bytes, in order, without a gap.
    """

    address: HexAddress
    space: str
    symbol: str | None
    size: int
    byte_order: str
    pieces: list[PieceRecord]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to read.

    Attributes:
        address: Where it begins (bytes).
        size: How much (bytes).
        is_physical: Whether the address is a physical one.
        symbol: The symbol that was named, or None.
    """

    address: int
    size: int
    is_physical: bool
    symbol: str | None = None


class Reading:
    """Goes through memory piece by piece, and counts what cannot be had.

    Args:
        core: The dump.
        wanted: What to read.

    Attributes:
        missing_bytes: Bytes that could not be had so far.
    """

    def __init__(self, core: Vmcore, wanted: Wanted) -> None:
        self._core, self._wanted = core, wanted
        self.missing_bytes = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, a piece at a time.

        Raises:
            TranslateError, ReadError: At the first that cannot be had.
        """
        for start, size in self._steps(1 << 20):
            yield self._read(start, size)

    def pieces(self) -> Iterator[PieceRecord]:
        """Yield the pieces; those in a row that cannot be had for one reason are one."""
        gap: PieceRecord | None = None
        for start, size in self._steps(PIECE_BYTES):
            try:
                data = self._read(start, size)
            except (TranslateError, ReadError, FactError) as error:
                self.missing_bytes += size
                why = _code(error)
                if gap is not None and gap["error"] == why:
                    gap["end"] = hex_address(start + size)
                    continue
                if gap is not None:
                    yield gap
                gap = {
                    "start": hex_address(start),
                    "end": hex_address(start + size),
                    "error": why,
                    "reason": str(error),
                }
                continue
            if gap is not None:
                yield gap
                gap = None
            yield {
                "start": hex_address(start),
                "end": hex_address(start + size),
                "data": data.hex(),
            }
        if gap is not None:
            yield gap

    def record(self) -> LongRecord:
        """Make the record, a `ReadRecord`; its pieces are read as they are written."""
        wanted = self._wanted
        head = {
            "address": hex_address(wanted.address),
            "space": "physical" if wanted.is_physical else "virtual",
            "symbol": wanted.symbol,
            "size": wanted.size,
            "byte_order": self._core.kernel.order,
        }
        return LongRecord("pieces", self.pieces(), head=head)

    def lines(self, word_bytes: int) -> Iterator[str]:
        """Give the bytes 16 a line, in words of the kernel's byte order, and as characters."""
        wanted = self._wanted
        space = "physical" if wanted.is_physical else "virtual"
        named = f" ({plain(wanted.symbol)})" if wanted.symbol else ""
        yield paint(f"{space} {wanted.address:#x}{named}, {wanted.size} bytes", "heading") + "\n"
        order = self._core.kernel.order
        for piece in self.pieces():
            if "data" not in piece:
                reason = f"{piece['start']} - {piece['end']}: {plain(piece['reason'])}"
                yield from wrapped(reason, "  ")
                continue
            data, start = bytes.fromhex(piece["data"]), int(piece["start"], 16)
            for at in range(0, len(data), _LINE_BYTES):
                yield _line(start + at, data[at : at + _LINE_BYTES], word_bytes, order)

    def _steps(self, step: int) -> Iterator[tuple[int, int]]:
        """Yield what to read together: starts and sizes, cut at multiples of *step*."""
        at, end = self._wanted.address, self._wanted.address + self._wanted.size
        while at < end:
            size = min(step - at % step, end - at)
            yield at, size
            at += size

    def _read(self, start: int, size: int) -> bytes:
        read = self._core.read_phys if self._wanted.is_physical else self._core.read
        return read(start, size)


def _code(error: TranslateError | ReadError | FactError) -> str:
    if isinstance(error, FactError):
        return "fact_missing"
    return str(error.code)


def _line(address: int, data: bytes, word_bytes: int, order: ByteOrder) -> str:
    """Give a line of the hex dump: address, words, characters; 80 columns at most."""
    if word_bytes == 1:  # in pairs, so that 16 of them fit
        words = [data[at : at + 2].hex() for at in range(0, len(data), 2)]
        width = _LINE_BYTES // 2 * 5 - 1
    else:
        words = [
            f"{int.from_bytes(data[at : at + word_bytes], order):0{2 * word_bytes}x}"
            if at + word_bytes <= len(data)
            else data[at:].hex() + ".."  # part of a word has no value
            for at in range(0, len(data), word_bytes)
        ]
        width = _LINE_BYTES // word_bytes * (2 * word_bytes + 1) - 1
    shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return f"{address:#018x}  {' '.join(words):{width}}  {shown}\n"
