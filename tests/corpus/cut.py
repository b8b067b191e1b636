"""Cut a real dump down to metadata: the recipe of the fixtures in this folder.

    python tests/corpus/cut.py VMCORE OUT.xz [--blocks all|some] [--vtop ADDRESS ...]
    python tests/corpus/cut.py VMCORE OUT.xz --log

Of all memory pages it keeps only those that `info`, `list` and the given `vtop` addresses read
(kernel variables, list nodes, page tables), the struct-page blocks, and the roots of mem_section.
The container, its headers and notes, and the bytes of the kept pages stay as they were; every other
page is marked as excluded, the way makedumpfile does it. No user page is among what is kept. With
--log it keeps the kernel's log, and what is needed to find it.

Which pages those are is asked of vmemmap itself, so a fixture is no witness of that; what is
expected of it comes from another tool, see ``expect.py`` and each ``origin.toml``.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import struct
from pathlib import Path

import numpy as np

import vmemmap
from vmemmap.formats import elf64
from vmemmap.formats import kdump as kdump_layout

LINEAR_MASK = (1 << 60) - 1
PAGE = 4096
"""Pages are chosen in this unit; a container with bigger ones keeps the whole of each touched."""


def recorded_pages(core: vmemmap.Vmcore) -> set[int]:
    """Give a set that takes in the physical page number (4 KiB units) of all that is read."""
    kept: set[int] = set()
    read = core.source.read

    def recorded(address: int, size: int) -> bytes:
        kept.update(range(address // PAGE, (address + size - 1) // PAGE + 1))
        return read(address, size)

    core.source.read = recorded  # type: ignore[method-assign]
    return kept


def pages_of_log(core: vmemmap.Vmcore) -> set[int]:
    """Give the pages that the kernel's log needs."""
    kept = recorded_pages(core)
    log = core.dmesg()
    assert len(list(log)) > 0
    assert not log.findings
    return kept


def wanted_pages(core: vmemmap.Vmcore, blocks: str, addresses: list[int]) -> set[int]:
    """Give the physical page numbers (4 KiB units) that the fixture has to hold."""
    kept = recorded_pages(core)
    core.facts.items()
    core.kernel.read_root_entry()  # also where it was not needed to tell the MMU
    for address in addresses:
        try:
            hit = core.vtop(address)
            if hit.region == "vmemmap" and hit.in_dump:
                core.read(address, 1)  # a page of struct pages
        except vmemmap.TranslateError:
            continue  # what was read on the way is recorded all the same
    page_size = int(core.facts["page_size"].value)
    roots_at = core.kernel.vmcoreinfo.symbol("mem_section") & LINEAR_MASK
    word = "<u8" if core.kernel.order == "little" else ">u8"
    for root in np.frombuffer(core.read_phys(roots_at, page_size), word).tolist():
        if root:
            core.read_phys(root & LINEAR_MASK, page_size)
    count = len(core.backing)
    chosen = set(range(count))
    if blocks == "some":
        chosen &= {0, 1, 2, count // 2, count // 2 + 1, count - 2, count - 1}
    for i in chosen:
        core.read_phys(int(core.backing.phys[i]), core.backing.block_size)
    return kept


def cut_kdump(data: bytes, kept: set[int]) -> bytes:
    """Cut a kdump-compressed file."""
    order = "little" if data[8] else "big"
    main = kdump_layout.decode_main(data, order)  # type: ignore[arg-type]
    block = main.block_size
    sub = kdump_layout.decode_sub(data[block:], main)
    map_bytes = main.bitmap_blocks // 2 * block
    stored_at = (1 + main.sub_hdr_size_blocks) * block + map_bytes
    descriptors_at = stored_at + map_bytes
    descriptor = kdump_layout.descriptor_struct(main.order)
    stored = np.frombuffer(data, np.uint8, map_bytes, stored_at)
    present = np.flatnonzero(np.unpackbits(stored, bitorder="little")[: sub.max_mapnr])
    wanted = {page * PAGE // block for page in kept}
    keep = [(rank, pfn) for rank, pfn in enumerate(present.tolist()) if pfn in wanted]
    new_map = np.zeros(map_bytes * 8, np.uint8)
    new_map[[pfn for _, pfn in keep]] = 1
    head = data[:stored_at] + np.packbits(new_map, bitorder="little").tobytes()
    offset = descriptors_at + len(keep) * kdump_layout.DESCRIPTOR_BYTES
    table, pages, placed = b"", b"", dict[int, int]()
    for rank, _ in keep:
        old, size, flags, unused = descriptor.unpack_from(data, descriptors_at + rank * 24)
        if old not in placed:
            placed[old] = offset + len(pages)
            pages += data[old : old + size]
        table += descriptor.pack(placed[old], size, flags, unused)
    return head + table + pages


def cut_elf(data: bytes, kept: set[int]) -> bytes:
    """Cut an ELF file: each kept run becomes a segment that goes on, without bytes, to the next."""
    order = elf64.container_order(data)
    assert order is not None
    header = elf64.decode_header(data, order)
    dtype = elf64.program_header_dtype(order)
    headers = np.frombuffer(data, dtype, header.e_phnum, header.e_phoff)
    segments: list[tuple[np.void, int, bytes]] = []
    for old in headers:
        offset, filesz = int(old["p_offset"]), int(old["p_filesz"])
        if old["p_type"] != elf64.PT_LOAD:
            segments.append((old.copy(), filesz, data[offset : offset + filesz]))
            continue
        start, end = int(old["p_paddr"]), int(old["p_paddr"]) + int(old["p_memsz"])
        pages = sorted(p for p in kept if start <= p * PAGE < start + filesz)
        starts = [p for p in pages if p - 1 not in pages or p * PAGE == start]
        borders = [start] if not starts or starts[0] * PAGE > start else []
        borders += [max(p * PAGE, start) for p in starts]
        for begin, following in zip(borders, [*borders[1:], end], strict=True):
            stop = begin
            while stop // PAGE in kept and stop < min(following, start + filesz):
                stop = (stop // PAGE + 1) * PAGE
            new = old.copy()
            new["p_paddr"] = begin
            new["p_vaddr"] = int(old["p_vaddr"]) + begin - start
            new["p_memsz"] = following - begin
            stored = data[offset + begin - start : offset + stop - start]
            segments.append((new, len(stored), stored))
    ehdr = bytearray(data[: elf64.HEADER_BYTES])
    mark = "<" if order == "little" else ">"
    struct.pack_into(mark + "QQ", ehdr, 32, elf64.HEADER_BYTES, 0)  # QEMU has sections before
    struct.pack_into(mark + "HHHH", ehdr, 56, len(segments), 0, 0, 0)
    table, body = b"", b""
    offset = 65536
    assert elf64.HEADER_BYTES + len(segments) * 56 <= offset
    for new, size, stored in segments:
        new["p_offset"], new["p_filesz"] = (offset + len(body) if size else 0), size
        table += new.tobytes()
        body += stored
    return (bytes(ehdr) + table).ljust(offset, b"\0") + body


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vmcore", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--blocks", choices=("all", "some"), default="all")
    parser.add_argument("--vtop", nargs="*", default=[], type=lambda text: int(text, 16))
    parser.add_argument("--log", action="store_true")
    options = parser.parse_args()
    with vmemmap.open(options.vmcore) as core:
        if options.log:
            kept = pages_of_log(core)
        else:
            kept = wanted_pages(core, options.blocks, options.vtop)
        cut = cut_elf if core.source.format == "elf" else cut_kdump
    small = cut(options.vmcore.read_bytes(), kept)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(lzma.compress(small, preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(kept)} pages of 4 KiB, {len(small)} bytes, {options.out.stat().st_size} packed")
    print("sha256", hashlib.sha256(small).hexdigest())


if __name__ == "__main__":
    main()
