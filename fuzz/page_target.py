"""The target of the pages layer: damaged struct pages, sections and VMCOREINFO of sound machines.

What is asked of them is the census, the scan, single pages and the check, which must agree. It
knows nothing of atheris; see ``targets.py`` for what a finding is.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
from fuzz.targets import TARGETS, Image, in_file, limits

# The package imports these when they are asked for, which is too late for instrumentation.
import vmemmap
import vmemmap.check.whole_dump
import vmemmap.pages.model
from builders.machine_state import Machine
from pages.machines import one_of_everything, pfns_of

RELEASES = ("3.10.35", "4.4.155", "4.18.0", "5.4.0", "6.1.0", "6.6.9", "6.12.107", "7.2.13")
BASES = 2 * len(RELEASES)
_LOOKED_AT = 24


@cache
def base_image(number: int) -> Image:
    """Give one of the sound machines: even ones are little-endian."""
    order = "big" if number % 2 else "little"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vmcore"
        machine = one_of_everything(path, RELEASES[number // 2], order).machine  # type: ignore[arg-type]
    return Image(machine, with_note=True, whole=True)


def prepare() -> None:
    """Build all machines, for which libFuzzer leaves no time later."""
    for number in range(BASES):
        base_image(number)


def exercise_pages(data: bytes) -> None:
    """Overwrite parts of a sound machine as *data* says, and ask what its pages are.

    Byte 0 chooses the machine. Then come orders: what (1 byte), which (2, big-endian), length n
    (1), n bytes; see `change`.
    """
    if not data:
        return
    image = base_image(data[0] % BASES)
    elf = bytearray(image.elf)
    facts = dict(image.machine.vmcoreinfo)
    at, end = 1, len(elf)
    while at + 4 <= len(data):
        what, which, size = struct.unpack_from(">BHB", data, at)
        value = data[at + 4 : at + 4 + size]
        at += 4 + size
        if what % 8 == 7 and value:
            end = len(elf) * (value[0] + 128) // 384  # the file is cut off
        else:
            change(image, elf, facts, what % 8, which, value)
    image.write_text(elf, facts, b"")
    with limits(), in_file(bytes(elf[:end])) as path, contextlib.suppress(vmemmap.VmemmapError):
        use_pages(path)


def change(
    image: Image, elf: bytearray, facts: dict[str, str], what: int, which: int, value: bytes
) -> None:
    """Overwrite one thing.

    Args:
        image: The machine.
        elf: The file.
        facts: VMCOREINFO by key.
        what: 0 to 3 bytes of a struct page, at the word that *what* and the first byte of *value*
            say; 4 a word of a section; 5 a key's value; 6 take a key out.
        which: Which page, section or key.
        value: What to write.
    """
    machine = image.machine
    if what < 4 and value:
        pfns = pfns_of(machine)
        # Mostly those that are something: they come first.
        pfn = pfns[which % (512 if which < 0xC000 else len(pfns))]
        into = value[0] % machine.struct_page_size
        image.put(elf, machine.page_virt(pfn) + into, value[1:])
    elif what == 4:
        image.put(elf, section_entry(machine, which) + which // 4096 * 8, value)
    elif what in (5, 6):
        key = list(machine.vmcoreinfo)[which % len(machine.vmcoreinfo)]
        facts.pop(key, None)
        if what == 5:
            facts[key] = value.decode("latin-1")


def section_entry(machine: Machine, which: int) -> int:
    """Give the address of a section's struct mem_section, which has 32 bytes."""
    root = int.from_bytes(machine.read(machine.symbols["mem_section"], 8), machine.byte_order)
    return root + 32 * machine.sections[which % len(machine.sections)]


def use_pages(path: str) -> None:
    """Ask for the census, the scan, single pages and the check; the first two must agree."""
    with vmemmap.open(path) as core:
        with contextlib.suppress(vmemmap.VmemmapError):
            report = core.check()
            for finding in report.findings:
                str(finding)
        usage = core.usage()
        rows = np.concatenate([*core.pages.scan(("pfn", "kind", "order", "head", "why"))])
        counted = Counter(vmemmap.Kind(kind).word for kind in rows["kind"].tolist())
        told = [*usage.kinds.items(), *usage.at_least.items()]
        known = {kind: count for kind, count in told if count}
        _require(usage.pages == len(rows) == sum(known.values()), f"{len(rows)} pages counted")
        _require(known == dict(counted), f"{dict(counted)} by the scan, found {known}")
        _require(bool((np.diff(rows["pfn"].astype(np.int64)) > 0).all()), "pfns in order")
        for damage in usage.damage[:_LOOKED_AT]:
            str(core.pages[damage.pfn])
        for row in rows[:: max(len(rows) // _LOOKED_AT, 1)]:
            page = core.pages[int(row["pfn"])]
            _require(usage.damaged > 0 or page.kind == row["kind"], f"{row}, found {page}")


def edit(what: int, which: int, value: bytes) -> bytes:
    """Give one order of `exercise_pages`, for seeds."""
    return struct.pack(">BHB", what, which, len(value)) + value


def seeds() -> list[tuple[str, bytes]]:
    """Make the inputs to begin with, by name."""
    made = []
    for number in range(BASES):
        base = bytes([number])
        made.append((f"{number}-none", base))
        made.append(
            (f"{number}-flags", base + edit(0, 3, b"\0" + b"\xff" * 8) + edit(7, 0, b"\xf0"))
        )
        made.append(
            (f"{number}-order", base + edit(1, 8, b"\x28" + bytes([0, 0, 0, 0, 0, 0, 0, 9])))
        )
        made.append(
            (f"{number}-section", base + edit(4, 2, bytes(8)) + edit(4, 0x1001, b"\xff" * 8))
        )
        made.append((f"{number}-key", base + edit(5, 20, b"64") + edit(6, 30, b"")))
    return made


def _require(good: bool, expected: str) -> None:
    if not good:
        raise AssertionError(f"expected {expected}")


TARGETS["pages"] = exercise_pages
