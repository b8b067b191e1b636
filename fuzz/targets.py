"""What is fuzzed: one function a format, from any bytes to nothing, or to a finding.

Each does what a user's program does with a dump, and lets only `vmemmap.VmemmapError` be an answer
to bad input. Any other exception that leaves it is a finding, and so are `TooSlow`, `TooLarge` and
an `AssertionError` about two answers that contradict each other. It knows nothing of atheris.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import numpy as np

# The package imports the readers when a file asks for them, which is too late for instrumentation.
import vmemmap
import vmemmap.source.elf
import vmemmap.source.flattened
import vmemmap.source.kdump
import vmemmap.source.split
from builders.lzo1x import unpack
from builders.machine import build_machine
from builders.machine_state import Machine
from builders.notes import Notes, build_note
from builders.vmcoreinfo import vmcoreinfo_text
from vmemmap.facts.types.keys import value_by_types
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.report import as_json
from vmemmap.report import info as info_report
from vmemmap.source.base import PhysicalSource
from vmemmap.source.codecs import decoder, zlib_head

SECONDS_MAX = 10
"""The longest that any input may take."""
MEMORY_MAX_BYTES = 440 << 20
"""What an input may take on top of the interpreter and numpy, which have 60 MB: 500 in all."""
_ADDRESS_SPACE_BYTES = 1 << 30
"""A single allocation beyond this ends in a MemoryError; threads reserve some of it for nothing."""

_PAGE_OFFSET = 0xC000_0000_0000_0000
_U64_MAX = (1 << 64) - 1
_ADDRESSES = (
    *(0, 1 << 63, _PAGE_OFFSET - 1, _PAGE_OFFSET, _PAGE_OFFSET + 0x100000),
    *(_PAGE_OFFSET + (1 << 51) - 1, _PAGE_OFFSET + (1 << 51), 0xC008_0000_0000_0000),
    *(0xC00A_0000_0000_0000, 0xC00C_0000_0000_0000, 0xC003_F000_0000_0000, 0xD000_0000_0000_0000),
    *(0xF000_0000_0000_0000, 0xF000_0000_0001_0040, _U64_MAX - 7, _U64_MAX),
)


class TooSlow(BaseException):
    """An input took longer than `SECONDS_MAX`; no `except Exception` can swallow it."""


class TooLarge(Exception):
    """An input took more memory than `MEMORY_MAX_BYTES`."""


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Bound the time and the memory of what runs inside.

    Raises:
        TooSlow: It ran longer than `SECONDS_MAX`.
        TooLarge: It had more than `MEMORY_MAX_BYTES` more at its peak than before.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow(f"more than {SECONDS_MAX} s")

    Path("/proc/self/clear_refs").write_bytes(b"5")  # the peak starts anew
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    old_limit = resource.getrlimit(resource.RLIMIT_AS)
    room = pages * resource.getpagesize() + _ADDRESS_SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (room, old_limit[1]))
    old_handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_MAX)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old_handler)
        resource.setrlimit(resource.RLIMIT_AS, old_limit)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    if taken > MEMORY_MAX_BYTES:
        raise TooLarge(f"{taken >> 20} MiB, expected at most {MEMORY_MAX_BYTES >> 20}")


@contextlib.contextmanager
def in_file(data: bytes) -> Iterator[str]:
    """Give the path of a file with *data* in it, in memory where the system has such a place."""
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    fd, path = tempfile.mkstemp(prefix="vmemmap-fuzz-", dir=where)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        yield path
    finally:
        os.unlink(path)  # noqa: PTH108 (called for every input)


def exercise(data: bytes) -> None:
    """Do with a dump what users do; *data* is the whole file, of any format."""
    with limits(), in_file(data) as path:
        use_dump(path, talkative=zlib.crc32(data) % 8 == 0)


def exercise_split(data: bytes) -> None:
    """Open two members of a split dump: a big-endian u32 has the size of the first."""
    size = min(int.from_bytes(data[:4], "big"), len(data))
    with limits(), in_file(data[4 : 4 + size]) as one, in_file(data[4 + size :]) as other:
        use_dump(one, other, talkative=False)


def exercise_vmlinux(data: bytes) -> None:
    """Take symbols from *data* as a vmlinux."""
    with limits(), in_file(data) as path, contextlib.suppress(vmemmap.VmemmapError):
        symbols = SymbolFile(path)
        for name in ("vmemmap_list", "mmu_psize_defs", "swapper_pg_dir", "", "no_such"):
            symbols.find(name)
        for symbol in itertools.islice(symbols.table, 200):
            str(symbols.table.at(symbol.address))
        for key in ("SIZE(page)", "OFFSET(page._mapcount)", "NUMBER(PG_head_mask)"):
            value_by_types(symbols.types, key)


def exercise_vmcoreinfo(data: bytes) -> None:
    """Give *data* as the VMCOREINFO text of a sound machine."""
    with limits(), in_file(base_image(0).elf) as dump, in_file(data) as text:
        use_dump(dump, vmcoreinfo=text, talkative=zlib.crc32(data) % 8 == 0)


def exercise_list(data: bytes) -> None:
    """Overwrite parts of a sound machine's memory and VMCOREINFO, as *data* says, and use it.

    Byte 0 chooses the machine. Then come orders: what (1 byte), which (1), length n (1), n bytes;
    see `Image.change`.
    """
    if not data:
        return
    image = base_image(data[0] % BASES)
    elf = bytearray(image.elf)
    facts = dict(image.machine.vmcoreinfo)
    extra = b""
    at = 1
    while at + 3 <= len(data):
        what, which, size = data[at : at + 3]
        value = data[at + 3 : at + 3 + size]
        at += 3 + size
        if what % 8 == 7:
            extra += value + b"\n"
        else:
            image.change(elf, facts, what % 8, which, value)
    image.write_text(elf, facts, extra)
    exercise(bytes(elf))


def page_decoder(codec: str) -> Callable[[bytes], None]:
    """Give the target of one codec: byte 0 chooses the page size, the rest is a packed page."""
    decode = decoder(codec)

    def exercise_codec(data: bytes) -> None:
        page_bytes = (4096, 65536)[data[0] % 2] if data else 4096
        page = None
        with limits(), contextlib.suppress(ValueError):
            if codec == "zlib":
                with contextlib.suppress(ValueError):
                    _require(len(zlib_head(memoryview(data)[1:], 64)) == 64, "a head of 64 bytes")
            page = decode(memoryview(data)[1:], page_bytes)
            _require(len(page) == page_bytes, "a whole page")
        if codec == "lzo":
            _require(page == _lzo_as_documented(data[1:], page_bytes), "what the document says")

    return exercise_codec


def _lzo_as_documented(stream: bytes, page_bytes: int) -> bytes | None:
    try:
        page = unpack(stream, page_bytes)
    except ValueError:
        return None
    return page if len(page) == page_bytes else None


def use_dump(*paths: str, talkative: bool, vmcoreinfo: str | None = None) -> None:
    """Open a dump and ask it everything; *talkative* prints a report of it too."""
    try:
        core = vmemmap.open(*paths, vmcoreinfo=vmcoreinfo)
    except vmemmap.VmemmapError as error:
        str(error)
        return
    with core:
        for use in (use_source, use_facts, use_translation, use_symbols, use_log):
            with contextlib.suppress(vmemmap.VmemmapError):
                use(core)
        with contextlib.suppress(vmemmap.VmemmapError):
            record = info_report.record(core)
            as_json.dump(record)
            if talkative:
                "".join(info_report.lines(record))


def use_source(core: vmemmap.Vmcore) -> None:
    """Read at the borders of memory, and check that the answers about presence agree."""
    for loss in core.source.losses(everywhere=True):
        _require(str(loss).isprintable(), "a loss that is one line")
        lost = loss.first_phys
        _require(lost is None or not core.source.is_stored(lost), "that what is lost is not there")
    source = core.source
    source.is_incomplete()
    ranges = source.ranges().tolist()
    borders = {0, 4096, 1 << 51, _U64_MAX}
    for start, end in ranges[:6] + ranges[-3:]:
        _require(start < end, f"a range with something in it, found {start:#x} to {end:#x}")
        borders |= {start - 1, start, start + 4095, end - 1, end, end + 1}
    addresses = sorted(at for at in borders if 0 <= at <= _U64_MAX)
    present = source.present_many(np.array(addresses, dtype=np.uint64)).tolist()
    for address, claimed in zip(addresses, present, strict=True):
        source.is_ram(address)
        stored = source.is_present(address)  # a claim of the container need not be kept
        _require(claimed or not stored, f"no byte stored that is not claimed, at {address:#x}")
        _require(stored or not read(source, address, 1), f"nothing to read at {address:#x}")
        read(source, address, 5000)
    for start, _ in ranges[:2]:
        read(source, start, 70000)
        whole = read(source, start, 300000)  # by several threads
        for at in range(0, 300000 if whole is not None else 0, 20000):
            part = read(source, start + at, 20000)
            _require(whole is None or part == whole[at : at + 20000], f"one answer at {start:#x}")


def read(source: PhysicalSource, address: int, size: int) -> bytes | None:
    """Read, and check the size of the answer or the address that the error blames."""
    try:
        data = source.read(address, size)
    except vmemmap.ReadError as error:
        _require(
            address <= error.phys < address + size,
            f"an address from {address:#x} +{size} to blame, found {error.phys:#x}: {error!r}",
        )
        return None
    except vmemmap.CodecUnavailable:
        return None
    _require(len(data) == size, f"{size} bytes, found {len(data)}")
    return data


def use_facts(core: vmemmap.Vmcore) -> None:
    """Ask for every fact, the list and its findings."""
    for fact in core.facts.values():
        str(fact)
    for error in core.facts.missing.values():
        str(error)
    for name in ("mmu", "layout", "vmemmap_base", "backing", "findings"):
        with contextlib.suppress(vmemmap.VmemmapError):
            getattr(core, name)
    backing = core.backing
    for entry in (*backing[:40], *backing[-5:]):
        str(entry)
    for finding in core.findings:
        str(finding)


def use_symbols(core: vmemmap.Vmcore) -> None:
    """Look symbols up by name and by address, which must agree."""
    table = core.symbols
    for symbol in itertools.islice(table, 0, None, max(len(table) // 50, 1)):
        _require(symbol in table.find_all(symbol.name), f"{symbol} by its name")
        hit = core.symbolize(symbol.address)
        _require(hit is None or hit.offset == 0, f"{symbol} by its address, found {hit}")
    core.symbolize(_PAGE_OFFSET + 4)
    core.symbol("vmemmap_list")


def use_log(core: vmemmap.Vmcore) -> None:
    """Read the kernel's log."""
    log = core.dmesg()
    for record in log:
        _require(record.line.isascii(), "a line of ASCII")
    for finding in log.findings:
        str(finding)


def use_translation(core: vmemmap.Vmcore) -> None:
    """Translate addresses singly and in bulk, which must agree, and read across blocks."""
    addresses = set(_ADDRESSES)
    block = 0
    with contextlib.suppress(vmemmap.VmemmapError):
        block = core.backing.block_size
        for entry in (*core.backing[:12], *core.backing[-3:]):
            addresses |= {entry.virt + into for into in (-1, 0, 64, block - 1, block)}
            addresses |= {entry.node, entry.node + 4096}
    wanted = sorted(at for at in addresses if 0 <= at <= _U64_MAX)
    singly: dict[int, int] = {}
    for virt in wanted:
        with contextlib.suppress(vmemmap.VmemmapError):
            singly[virt] = core.vtop(virt).phys
    for virt in list(singly)[:12]:
        for first, size in ((virt, 16), (virt + max(block, 4096) - 8, 16), (virt, 70000)):
            with contextlib.suppress(vmemmap.VmemmapError):
                if 0 <= first <= _U64_MAX:
                    _require(len(core.read(first, size)) == size, f"{size} bytes at {first:#x}")
    phys, mask = core.vtop_many(np.array(wanted, dtype=np.uint64))
    for virt, bulk, found in zip(wanted, phys.tolist(), mask.tolist(), strict=True):
        expected = singly.get(virt)
        _require(
            (bulk if found else None) == expected,
            f"{virt:#x}: vtop gives {expected}, vtop_many {bulk if found else None}",
        )


def _require(good: bool, expected: str) -> None:
    if not good:
        raise AssertionError(f"expected {expected}")


class Image:
    """A sound machine as an ELF file whose parts can be found and overwritten.

    Args:
        machine: The machine; what a reader never looks at is dropped from its memory.
        with_note: Whether the file has VMCOREINFO in its notes; else it is found in memory.
        whole: Keep all of its memory.
    """

    _TEXT_ROOM = 8192

    def __init__(self, machine: Machine, with_note: bool, whole: bool = False) -> None:
        if not whole:
            slim(machine)
        self.machine = machine
        text = vmcoreinfo_text(machine.vmcoreinfo)
        padded = text.ljust(self._TEXT_ROOM, b"\0")
        note = build_note(b"VMCOREINFO", padded, 0, machine.byte_order)
        self.elf = machine.elf(notes=Notes(note, 24, len(padded)) if with_note else Notes())
        # The text of the note, or of the copies in memory: each is overwritten alike.
        starts = list(_places(self.elf, b"OSRELEASE="))
        self._texts = starts[:1] if with_note else starts
        self._where = {seg: self.elf.find(b"".join(self._pages(seg))) for seg in self._runs()}

    def _runs(self) -> list[tuple[int, int]]:
        return [(run.start, run.stop) for run in self.machine.memory.ram_runs()]

    def _pages(self, run: tuple[int, int]) -> list[bytes | bytearray]:
        return [self.machine.pages[pfn] for pfn in range(*run)]

    def offset_of(self, address: int) -> int:
        """Give the file offset of a kernel address of the machine."""
        page = self.machine.page_size
        phys = self.machine.phys_of(address)
        for (start, end), at in self._where.items():
            if start * page <= phys < end * page:
                return at + phys - start * page
        raise KeyError(hex(address))

    def change(
        self, elf: bytearray, facts: dict[str, str], what: int, which: int, value: bytes
    ) -> None:
        """Overwrite one thing.

        Args:
            elf: The file.
            facts: VMCOREINFO by key.
            what: 0 a key's value; 1 take a key out; 2 the head; 3 a u64 of a node; 4 a node's link
                to another node; 5 sizes of pages and which of them is used; 6 the root table.
            which: Which key, node or place.
            value: What to write.
        """
        machine, symbols = self.machine, self.machine.symbols
        keys = list(machine.vmcoreinfo)
        nodes = [entry.node for entry in machine.entries]
        if what == 0:
            facts[keys[which % len(keys)]] = value.decode("latin-1")
        elif what == 1:
            facts.pop(keys[which % len(keys)], None)
        elif what == 2:
            self.put(elf, symbols["vmemmap_list"], value[:8])
        elif what == 3 and nodes:
            self.put(elf, nodes[which % len(nodes)] + which // 64 * 8 % 24, value[:24])
        elif what == 4 and nodes and value:
            target = nodes[value[0] % len(nodes)] + int.from_bytes(value[1:2], "big", signed=True)
            self.put(elf, nodes[which % len(nodes)], target.to_bytes(8, machine.byte_order))
        elif what == 5:
            start = symbols["mmu_psize_defs"] if which % 2 else symbols["mmu_vmemmap_psize"]
            self.put(elf, start + which // 2, value)
        elif what == 6:
            self.put(elf, symbols["swapper_pg_dir"] + which * 8, value)

    def write_text(self, elf: bytearray, facts: dict[str, str], extra: bytes) -> None:
        """Put the text of *facts*, and *extra* after it, where the file has VMCOREINFO."""
        lines = b"".join(f"{key}={value}\n".encode("latin-1") for key, value in facts.items())
        for at in self._texts:
            elf[at : at + 4000] = (lines + extra)[:4000].ljust(4000, b"\0")

    def put(self, elf: bytearray, address: int, value: bytes) -> None:
        """Write at a kernel address of the machine, if the file has it."""
        try:
            at = self.offset_of(address)
        except KeyError:
            return
        elf[at : at + len(value)] = value[: len(elf) - at]


def slim(machine: Machine) -> None:
    """Leave out of a machine's memory what no reader of the list looks at, to make small files."""
    page = machine.page_size
    keep: set[int] = set()
    for address, size in (
        (machine.symbols["init_uts_ns"], 0x2000),
        (machine.symbols["swapper_pg_dir"], 0x10000 if machine.mmu == "radix" else 4096),
        *((address, page) for address in machine.node_pages),
        *((block.virt, 2 * page) for block in machine.blocks[:2]),
    ):
        phys = machine.phys_of(address)
        keep |= set(range(phys // page, (phys + size - 1) // page + 1))
    keep |= {machine.vmcoreinfo_data // page, machine.vmcoreinfo_note // page}
    if machine.mmu == "radix":  # the tables lie behind the blocks
        used = max(block.phys for block in machine.blocks) if machine.blocks else 0
        keep |= {pfn for pfn in machine.pages if pfn * page > used and any(machine.pages[pfn])}
    for pfn in [pfn for pfn in machine.pages if pfn not in keep]:
        machine.drop(pfn * page)


BASES = 8


@cache
def base_image(number: int) -> Image:
    """Give one of the sound machines that `exercise_list` damages."""
    machine = (
        lambda: build_machine(page_size=4096, block_shift=16, blocks=8, store="none"),
        lambda: build_machine(
            page_size=4096, block_shift=16, blocks=8, store="none", byte_order="big"
        ),
        lambda: build_machine(page_size=65536, block_shift=24, blocks=4, node_order="shuffled"),
        lambda: build_machine(page_size=4096, block_shift=21, blocks=4, store="none", mmu="radix"),
        lambda: build_machine(
            page_size=4096, block_shift=21, blocks=4, store="none", mmu="radix", release="6.8.0"
        ),
        lambda: build_machine(page_size=4096, block_shift=12, blocks=20, hot_removed=3),
    )[number % 6]()
    return Image(machine, with_note=number < 6)


def _places(data: bytes, wanted: bytes) -> Iterator[int]:
    at = data.find(wanted)
    while at >= 0:
        yield at
        at = data.find(wanted, at + 1)


def edit(what: int, which: int, value: bytes | int) -> bytes:
    """Give one order of `exercise_list`, for seeds."""
    data = struct.pack("<Q", value) if isinstance(value, int) else value
    return bytes((what, which, len(data))) + data


TARGETS: dict[str, Callable[[bytes], None]] = {
    "kdump": exercise,
    "elf": exercise,
    "flattened": exercise,
    "split": exercise_split,
    "vmcoreinfo": exercise_vmcoreinfo,
    "list": exercise_list,
    "vmlinux": exercise_vmlinux,
    "zlib": page_decoder("zlib"),
    "lzo": page_decoder("lzo"),
    "snappy": page_decoder("snappy"),
    "zstd": page_decoder("zstd"),
}
