"""A program that plants what a shell cannot: an extended attribute and a key.

It makes these system calls and ends; a bit of its exit status is set for each that fails. A few
instructions are all that takes, so they are written here, and no compiler is needed.

Source: Power ISA (addi, addis, ori, or, bc, sc), ELF-64 object file format, Linux
arch/powerpc/kernel/syscalls/syscall.tbl.
"""

from __future__ import annotations

import struct

MARK = "Plnt~{}~7Qx9"
"""What is planted of each kind; ``guest/plant.sh`` makes the same."""

_BASE = 0x1000_0000
_HEADERS = 64 + 56
_SETXATTR, _ADD_KEY, _EXIT = 209, 269, 1
_USER_KEYRING = -4
_NUMBER, _FIRST_ARGUMENT, _STATUS = 0, 3, 31
_SYSTEM_CALL, _SKIP_IF_DONE = 0x4400_0002, 0x4083_0008
_EM_PPC64 = 21


def build() -> bytes:
    """Build the program: an ELF file for ppc64le, linked statically."""
    xattr, key = (MARK.format(kind).encode() for kind in ("xattr", "key"))
    calls: list[tuple[int, list[int | bytes]]] = [
        (_SETXATTR, [b"/planted/cache\0", b"trusted.planted\0", xattr, len(xattr), 0]),
        (_ADD_KEY, [b"user\0", b"planted\0", key, len(key), _USER_KEYRING]),
    ]
    words_of_call = [2 + sum(1 + isinstance(a, bytes) for a in args) + 2 for _, args in calls]
    data_at = _BASE + _HEADERS + 4 * (1 + sum(words_of_call) + 3)
    code, data = [_load(_STATUS, 0)], b""
    for number, (call, arguments) in enumerate(calls):
        for register, argument in enumerate(arguments, _FIRST_ARGUMENT):
            if isinstance(argument, bytes):
                code += _load_address(register, data_at + len(data))
                data += argument
            else:
                code.append(_load(register, argument))
        code += [_load(_NUMBER, call), _SYSTEM_CALL, _SKIP_IF_DONE]
        code.append(14 << 26 | _STATUS << 21 | _STATUS << 16 | 1 << number)  # addi
    code += [31 << 26 | _STATUS << 21 | 3 << 16 | _STATUS << 11 | 444 << 1]  # or: mr r3, r31
    code += [_load(_NUMBER, _EXIT), _SYSTEM_CALL]
    content = struct.pack(f"<{len(code)}I", *code) + data
    size = _HEADERS + len(content)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, _EM_PPC64, 1, _BASE + _HEADERS, 64, 0, 2, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return header + segment + content


def _load(register: int, value: int) -> int:
    """Give the instruction that loads a small number (li)."""
    return 14 << 26 | register << 21 | value & 0xFFFF


def _load_address(register: int, value: int) -> list[int]:
    """Give those that load an address below 2 GiB (lis, ori)."""
    high = 15 << 26 | register << 21 | value >> 16
    return [high, 24 << 26 | register << 21 | register << 16 | value & 0xFFFF]
