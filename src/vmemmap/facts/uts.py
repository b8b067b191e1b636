"""The dumped kernel's utsname, read without knowing the memory's byte order, which it reveals.

``init_uts_ns`` holds six 65-byte texts. Texts need no byte order, and the machine among them is
``ppc64le`` or ``ppc64``.
"""

from __future__ import annotations

from dataclasses import dataclass

from vmemmap.address import ByteOrder
from vmemmap.memory import Memory

FIELD_BYTES = 65
FIELDS = ("sysname", "nodename", "release", "version", "machine", "domainname")
_RELEASE, _MACHINE = FIELDS.index("release"), FIELDS.index("machine")

ORDER_OF_MACHINE: dict[str, ByteOrder] = {"ppc64le": "little", "ppc64": "big"}


@dataclass(frozen=True, slots=True)
class Utsname:
    """What ``uname`` printed on the dumped machine.

    Attributes:
        sysname: The first text.
        release: The third.
        machine: The fifth.
        raw: All six, 65 bytes each.
        phys: Physical address of the first of the texts, in the order of `FIELDS`.
    """

    sysname: str
    release: str
    machine: str
    raw: bytes = b""
    phys: int = 0


def find_utsname(memory: Memory, phys: int, offsets: tuple[int, ...]) -> Utsname | None:
    """Read the utsname inside ``init_uts_ns``.

    Args:
        memory: Physical memory.
        phys: Physical address of ``init_uts_ns``.
        offsets: Where in it the texts may start (bytes), to be tried in this order.

    Returns:
        The utsname at the first offset where sysname is Linux, or None.

    Raises:
        ReadError: The memory is not in the dump.
    """
    for offset in offsets:
        raw = memory.read(phys + offset, len(FIELDS) * FIELD_BYTES)
        texts = [
            raw[at : at + FIELD_BYTES].split(b"\0")[0].decode("latin-1")
            for at in range(0, len(raw), FIELD_BYTES)
        ]
        if texts[0] == "Linux":
            return Utsname(texts[0], texts[_RELEASE], texts[_MACHINE], raw, phys + offset)
    return None
