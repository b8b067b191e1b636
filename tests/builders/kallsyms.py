"""Builds the kernel's symbol tables as they lie in memory, in every form that kernels have used.

Written from ppc64-kernel.md 6.1 to 6.3. Which texts become tokens is a choice of this builder
alone: single characters stand for themselves, free codes for frequent pieces of names.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from .byte_order import Order, prefix, u32, u64
from .kernel_data import PAGE_OFFSET
from .machine_state import Machine

KernelSymbol = tuple[str, str, int]
"""Kind, name and address."""
Lengths = Literal["byte", "two bytes"]
Addresses = Literal["relative", "percpu", "place", "absolute"]

KEYS = (
    *("kallsyms_num_syms", "kallsyms_relative_base", "kallsyms_names", "kallsyms_token_table"),
    *("kallsyms_token_index", "kallsyms_offsets", "kallsyms_addresses"),
)


def install_kallsyms(
    machine: Machine,
    symbols: Sequence[KernelSymbol],
    *,
    at: int = PAGE_OFFSET + 0x4000_0010,
    lengths: Lengths = "two bytes",
    addresses: Addresses = "relative",
    base: int = PAGE_OFFSET,
    offsets_first: bool = True,
) -> dict[str, int]:
    """Write the tables into a machine's memory and VMCOREINFO; give where each part is.

    Args:
        machine: Gets new pages; what it said of kallsyms before is forgotten.
        symbols: Sorted by address here, otherwise as given.
        at: Linear-map address of the first table.
        lengths: How a name's length is stored.
        addresses: ``relative``: unsigned, to *base*. ``percpu``: absolute, or below *base*.
            ``place``: signed, to the entry itself. ``absolute``: 64 bits.
        base: kallsyms_relative_base.
        offsets_first: The order in the image until 6.1; else that of later kernels.
    """
    order = machine.byte_order
    ordered = sorted(symbols, key=lambda symbol: symbol[2])
    index, table, codes = _tokens([kind + name for kind, name, _ in ordered])
    names = b"".join(_stored(kind + name, codes, lengths) for kind, name, _ in ordered)
    values = [address for _, _, address in ordered]
    parts = {
        "kallsyms_num_syms": u32(len(ordered), order),
        "kallsyms_names": names,
        "markers": b"\xee" * 40,
        "kallsyms_token_table": table,
        "kallsyms_token_index": struct.pack(f"{prefix(order)}256H", *index),
    }
    if addresses == "absolute":
        where = {"kallsyms_addresses": b"".join(u64(value, order) for value in values)}
    else:
        where = {"kallsyms_offsets": bytes(4 * len(values))}
        if addresses != "place":
            where["kallsyms_relative_base"] = u64(base, order)
    parts = where | parts if offsets_first else parts | where
    places = {}
    for name, content in parts.items():
        places[name] = at
        machine.poke(at, content)
        at += -(-len(content) // 8) * 8 + 8
    if addresses != "absolute":
        offsets = _offsets(values, addresses, base, places["kallsyms_offsets"], order)
        machine.poke(places["kallsyms_offsets"], offsets)
    for key in KEYS:
        machine.vmcoreinfo.pop(f"SYMBOL({key})", None)
        if key in places:
            machine.vmcoreinfo[f"SYMBOL({key})"] = format(places[key], "x")
    machine.sync_vmcoreinfo()
    return places


def _offsets(
    values: Sequence[int], addresses: Addresses, base: int, place: int, order: Order
) -> bytes:
    if addresses == "relative":
        return b"".join(u32(value - base, order) for value in values)
    if addresses == "percpu":
        below = [value if value < base else base - 1 - value for value in values]
    else:
        below = [value - (place + 4 * row) for row, value in enumerate(values)]
    return struct.pack(f"{prefix(order)}{len(below)}i", *below)


def _tokens(texts: Sequence[str]) -> tuple[list[int], bytes, dict[str, int]]:
    """Return the index, the token table, and the code of each token's text."""
    used = {ord(letter) for letter in set("".join(texts))}
    pieces = Counter(text[at : at + 4] for text in texts for at in range(1, len(text) - 3))
    free = [code for code in range(256) if code not in used]
    codes = {chr(code): code for code in used}
    codes |= {piece: code for (piece, _), code in zip(pieces.most_common(), free, strict=False)}
    by_code = {code: text for text, code in codes.items()}
    index, table = [], b""
    for code in range(256):
        index.append(len(table))
        table += by_code.get(code, "").encode() + b"\0"
    return index, table, codes


def _stored(text: str, codes: dict[str, int], lengths: Lengths) -> bytes:
    """Return a name's length and tokens; pieces of four characters where there are any."""
    tokens, at = [], 0
    while at < len(text):
        piece = text[at : at + 4] if at and text[at : at + 4] in codes else text[at]
        tokens.append(codes[piece])
        at += len(piece)
    count = len(tokens)
    if lengths == "byte" or count < 128:
        return bytes([count, *tokens])
    return bytes([count & 127 | 128, count >> 7, *tokens])
