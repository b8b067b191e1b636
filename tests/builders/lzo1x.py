"""LZO1X streams, composed instruction by instruction and read one byte at a time.

Slow, and short enough to be held against the document line by line.

Reference: Linux Documentation/staging/lzo.rst, version 0 of the stream.
"""

from __future__ import annotations

END = b"\x11\0\0"


def literals(data: bytes, *, first: bool = False) -> bytes:
    """Return the instruction for some literals: from 4 on, or as the stream's first, 1 to 238."""
    count = len(data)
    if first:
        return bytes([17 + count]) + data
    return _with_length(0, 15, count - 3) + data


def two(back: int, behind: bytes = b"") -> bytes:
    """Return a copy of 2 bytes from 1 to 1024 back; it must stand behind 1 to 3 literals."""
    return _short(0, back - 1, 2, behind)


def three(back: int, behind: bytes = b"") -> bytes:
    """Return a copy of 3 bytes from 2049 to 3072 back; it must stand behind 4 literals or more."""
    return _short(0, back - 2049, 2, behind)


def near(length: int, back: int, behind: bytes = b"") -> bytes:
    """Return a copy of 3 to 8 bytes from 1 to 2048 back, and up to 3 literals behind it."""
    return _short((length - 1) << 5, back - 1, 3, behind)


def middle(length: int, back: int, behind: bytes = b"") -> bytes:
    """Return a copy of 3 bytes or more from 1 to 16384 back, and up to 3 literals behind it."""
    return _with_length(32, 31, length - 2) + _distance(back - 1, behind)


def far(length: int, back: int, behind: bytes = b"") -> bytes:
    """Return a copy of 3 bytes or more from 16385 to 49151 back, and up to 3 literals behind it."""
    beyond = back - 16384
    return _with_length(16 | beyond >> 14 << 3, 7, length - 2) + _distance(beyond, behind)


def unpack(stream: bytes, most: int) -> bytes:
    """Return what a stream has.

    Args:
        stream: The stream, which must end with its end mark.
        most: How many bytes it may have.

    Raises:
        ValueError: It is damaged, or longer.
    """
    reader = _Reader(stream, most)
    try:
        reader.run()
    except IndexError:
        raise ValueError("the stream ends too early") from None
    if reader.at != len(stream):
        raise ValueError("the stream goes on")
    return bytes(reader.out)


def copies(stream: bytes) -> list[tuple[int, int]]:
    """Return how far back each copy of a sound stream reaches, and how many bytes it has."""
    reader = _Reader(stream, 1 << 20)
    reader.run()
    return reader.copies


class _Reader:
    def __init__(self, stream: bytes, most: int) -> None:
        self.stream, self.most, self.at = stream, most, 0
        self.out = bytearray()
        self.copies: list[tuple[int, int]] = []

    def run(self) -> None:
        state = 0
        if self.stream[0] > 17:
            count = self.byte() - 17
            self.literals(count)
            state = min(count, 4)
        while True:
            code = self.byte()
            if code < 16 and state == 0:
                self.literals(3 + self.length(code, 15))
                state = 4
                continue
            if code < 16:
                distance = (self.byte() << 2) + (code >> 2) + (2049 if state == 4 else 1)
                length, state = (3 if state == 4 else 2), code & 3
            elif code < 32:
                length = 2 + self.length(code & 7, 7)
                pair = self.byte() | self.byte() << 8
                distance = 16384 + ((code & 8) << 11) + (pair >> 2)
                state = pair & 3
                if distance == 16384:
                    return
            elif code < 64:
                length = 2 + self.length(code & 31, 31)
                pair = self.byte() | self.byte() << 8
                distance, state = (pair >> 2) + 1, pair & 3
            else:
                length = 3 + (code >> 5 & 1) if code < 128 else 5 + (code >> 5 & 3)
                distance, state = (self.byte() << 3) + (code >> 2 & 7) + 1, code & 3
            self.copy(distance, length)
            self.literals(state)

    def byte(self) -> int:
        self.at += 1
        return self.stream[self.at - 1]

    def length(self, bits: int, largest: int) -> int:
        if bits:
            return bits
        while (byte := self.byte()) == 0:
            largest += 255
        return largest + byte

    def copy(self, distance: int, length: int) -> None:
        if distance > len(self.out):
            raise ValueError("a copy from before the first byte")
        self.has_room(length)
        self.copies.append((distance, length))
        start = len(self.out) - distance
        piece = self.out[start : start + length]
        # What is longer than its distance goes on with what it has written itself.
        self.out += (piece * (length // len(piece) + 1))[:length]

    def literals(self, count: int) -> None:
        if self.at + count > len(self.stream):
            raise ValueError("literals beyond the end")
        self.has_room(count)
        self.out += self.stream[self.at : self.at + count]
        self.at += count

    def has_room(self, count: int) -> None:
        if len(self.out) + count > self.most:
            raise ValueError(f"more than {self.most} bytes")


def _with_length(code: int, largest: int, value: int) -> bytes:
    if value <= largest:
        return bytes([code | value])
    zeros, rest = divmod(value - largest - 1, 255)
    return bytes([code]) + bytes(zeros) + bytes([rest + 1])


def _short(code: int, distance: int, bits: int, behind: bytes) -> bytes:
    low = distance & ((1 << bits) - 1)
    return bytes([code | low << 2 | len(behind), distance >> bits]) + behind


def _distance(distance: int, behind: bytes) -> bytes:
    return ((distance & 0x3FFF) << 2 | len(behind)).to_bytes(2, "little") + behind
