"""Runs one fuzz target under atheris, and sums up what it found; see README.md.

The fuzzing itself is in a child process: it is started anew every few minutes, so that it takes up
changes of the sources, and after a crash that takes the process with it.
"""

# ruff: noqa: T201 (a harness prints its figures)

from __future__ import annotations

import argparse
import lzma
import random
import re
import struct
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

try:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ImportError:
    sys.exit("atheris is missing: python3 -m venv /tmp/fuzz-venv && /tmp/fuzz-venv/bin/pip install "
             "atheris numpy click rich zstandard cramjam isal lzallright")  # fmt: skip

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "tests")]
# The document's reader of LZO1X leads the fuzzer where the compiled one cannot.
with atheris.instrument_imports(include=["vmemmap", "builders.lzo1x"]):
    from fuzz import page_target, targets

CHILD_SECONDS = 240
MAX_BYTES = 1 << 18
MAX_BYTES_OF_TARGET = {
    "list": 1 << 12,
    "vmcoreinfo": 1 << 14,
    "zlib": 1 << 12,
    "lzo": 1 << 12,
    "pages": 1 << 11,
}
_PROGRESS = re.compile(rb"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")


def main() -> None:
    """Parse the command line and run a target."""
    parser = argparse.ArgumentParser(description="Fuzz one format of vmemmap.")
    parser.add_argument("--target", required=True, choices=sorted(targets.TARGETS))
    parser.add_argument("--seconds", type=int, default=300, help="for how long (default 300)")
    parser.add_argument(
        "--seed-dir",
        type=Path,
        help="inputs to begin with, and where new ones are kept (build/fuzz/TARGET/corpus)",
    )
    parser.add_argument("--replay", type=Path, nargs="+", help="only run these inputs, no fuzzing")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    out = ROOT / "build" / "fuzz" / options.target
    corpus = options.seed_dir or out / "corpus"
    for folder in (out, corpus):
        folder.mkdir(parents=True, exist_ok=True)
    if options.replay:
        sys.exit(replay(options.target, options.replay))
    if options.child:
        fuzz(options.target, options.seconds, corpus, out)
    else:
        supervise(options.target, options.seconds, corpus, out)


def replay(target: str, paths: list[Path]) -> int:
    """Run inputs once each and print what comes out; 1 if one of them is a finding."""
    found = 0
    for path in paths:
        start = time.monotonic()
        try:
            targets.TARGETS[target](path.read_bytes())
            answer = "good"
        except (Exception, targets.TooSlow) as error:
            found = 1
            answer = f"{key_of(error)}: {error}\n{traceback.format_exc(limit=-6)}"
        print(f"{path}: {time.monotonic() - start:.2f} s, {answer}")
    return found


@dataclass(slots=True)
class Totals:
    """What all children of a run did."""

    executions: int = 0
    coverage: int = 0
    features: int = 0
    hard: list[str] = field(default_factory=list)


def supervise(target: str, seconds: int, corpus: Path, out: Path) -> None:
    """Run children until the time is over, then print the sum."""
    for name, data in seeds(target):
        (corpus / f"seed-{name}").write_bytes(data)
    began, totals = time.monotonic(), Totals()
    before = set(out.glob("finding-*"))
    while (left := seconds - (time.monotonic() - began)) > 1:
        command = [sys.executable, __file__, "--child", "--target", target]
        command += ["--seconds", str(round(min(left, CHILD_SECONDS))), "--seed-dir", str(corpus)]
        child = subprocess.Popen(command, stderr=subprocess.PIPE)
        executions, tail = 0, b""
        for line in child.stderr or ():
            tail = (tail + line)[-4000:]
            if match := _PROGRESS.match(line):
                executions = int(match[1])
                totals.coverage = max(totals.coverage, int(match[2]))
                totals.features = max(totals.features, int(match[3]))
            elif line.startswith(b"FINDING"):
                print(line.decode().rstrip(), flush=True)
        totals.executions += executions
        if child.wait():
            totals.hard.append(f"a child ended with {child.returncode}: {tail.decode()[-600:]}")
            print(totals.hard[-1], flush=True)
            if executions == 0 and len(totals.hard) > 2:
                break
    print(f"{target}: {totals.executions} executions in {time.monotonic() - began:.0f} s, coverage "
          f"{totals.coverage} edges, {totals.features} features, {len(list(corpus.iterdir()))} "
          "inputs kept")  # fmt: skip
    found = sorted(set(out.glob("finding-*")) - before)
    for path in found:
        print(f"  {path.relative_to(ROOT)} ({path.stat().st_size} bytes)")
    print(f"  {len(found)} new findings, {len(totals.hard)} crashes of the process")


def fuzz(target: str, seconds: int, corpus: Path, out: Path) -> None:
    """Fuzz in this process; every finding is saved, the smallest input for each place."""
    exercise, seen = targets.TARGETS[target], Counter[str]()
    if target == "pages":
        page_target.prepare()

    def test_one(data: bytes) -> None:
        try:
            exercise(data)
        except (Exception, targets.TooSlow) as error:
            key = key_of(error)
            seen[key] += 1
            if isinstance(error, targets.TooSlow) and seen[key] > 2:
                targets.SECONDS_MAX = 2  # no more time for what is known; replay uses all of it
            path = out / f"finding-{key}"
            if not path.exists():
                print(f"FINDING {path.name}: {str(error)[:200]}", file=sys.stderr, flush=True)
            if not path.exists() or len(data) < path.stat().st_size:
                path.write_bytes(data)
                path.with_name(f"stack-{key}").write_text(traceback.format_exc())

    limit = MAX_BYTES_OF_TARGET.get(target, MAX_BYTES)
    arguments = [
        *(sys.argv[0], f"-max_total_time={seconds}", f"-max_len={limit}", "-rss_limit_mb=3000"),
        *("-timeout=0", "-len_control=0", "-use_value_profile=0", f"-artifact_prefix={out}/"),
        *("-reload=0", "-print_final_stats=1", str(corpus)),
    ]
    options: dict[str, Callable[[bytes, int, int], bytes]] = {}
    if target in FIELDS:
        options["custom_mutator"] = mutator(FIELDS[target])
    atheris.Setup(arguments, test_one, **options)
    atheris.Fuzz()


def key_of(error: BaseException) -> str:
    """Name a finding by its kind and the line of the package nearest to it."""
    where = "nowhere"
    for frame, line in traceback.walk_tb(error.__traceback__):
        if "vmemmap/" in frame.f_code.co_filename or "targets.py" in frame.f_code.co_filename:
            name = Path(frame.f_code.co_filename)
            if isinstance(error, targets.TooSlow):  # it ends anywhere: name the outermost
                if name.name != "targets.py":
                    where = f"{name.parent.name}-{name.stem}-{frame.f_code.co_name}"
                    break
            elif name.name != "targets.py" or (
                isinstance(error, AssertionError) and frame.f_code.co_name != "_require"
            ):
                where = f"{name.parent.name}-{name.stem}-{line}"
    return f"{type(error).__name__}-{where}"


Field = tuple[int, int]
"""Where a field lies in a file, and how long it is; both in bytes."""


def mutator(fields_of: Callable[[bytes], list[Field]]) -> Callable[[bytes, int, int], bytes]:
    """Give a mutator that writes telling values into the fields of a format, now and then."""
    orders: tuple[Literal["little"], Literal["big"]] = ("little", "big")

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        fields = fields_of(data)
        if not fields or chance.random() < 0.3:
            return bytes(atheris.Mutate(data, max_size))
        out = bytearray(data)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
            at, size = chance.choice(fields)
            if at + size > len(out):
                continue
            order = chance.choice(orders)
            old = int.from_bytes(out[at : at + size], order)
            new = telling_value(chance, old, len(data), size) % (1 << 8 * size)
            if chance.random() < 0.15:  # the value of another field
                there, length = chance.choice(fields)
                new = int.from_bytes(out[there : there + length], order) % (1 << 8 * size)
            out[at : at + size] = new.to_bytes(size, order)
        if chance.random() < 0.05:
            del out[chance.randrange(len(out)) :]
        return bytes(out[:max_size])

    return mutate


def telling_value(chance: random.Random, old: int, file_bytes: int, size: int) -> int:
    """Choose a value near one of the borders at which readers go wrong."""
    near = chance.choice((-65536, -4096, -24, -8, -2, -1, 0, 1, 2, 8, 24, 4096, 65536))
    base = chance.choice((old, old, old, file_bytes, 0, 1 << chance.randrange(64), -1, old * 2))
    if chance.random() < 0.2:
        return chance.getrandbits(8 * size)
    if chance.random() < 0.2:
        return old ^ (1 << chance.randrange(8 * size))
    return base + near


def kdump_fields(data: bytes, at: int = 0) -> list[Field]:
    """Give the fields of a kdump file: headers, the bitmaps' words, descriptors, notes."""
    fields = [(8, 4), *((offset, 4) for offset in range(424, 464, 4))] * 3
    order = "<" if data[428:432] in (b"\0\x10\0\0", b"\0\0\1\0") else ">"
    if len(data) < 464:
        return fields
    block, sub_blocks, map_blocks = struct.unpack_from(order + "IiI", data, 428)
    if block not in (4096, 65536):
        return fields
    sub = block
    fields += [(sub + offset, 4) for offset in (8, 12, 16, 20, 32, 48, 64)] * 3
    fields += [(sub + offset, 8) for offset in (0, 24, 40, 56, 72, 80, 88, 96)] * 3
    fields += [(sub + 104 + offset, 4) for offset in range(0, 60, 4)]
    maps = (1 + sub_blocks) * block
    fields += [(maps + offset, 8) for offset in range(0, 256, 8)]
    fields += [(maps + map_blocks // 2 * block + offset, 8) for offset in range(0, 256, 8)]
    table = maps + map_blocks * block
    for descriptor in range(table, min(table + 24 * 40, len(data)), 24):
        fields += [(descriptor, 8), (descriptor + 8, 4), (descriptor + 12, 4)]
    return [(offset + at, size) for offset, size in fields if 0 <= offset < len(data)]


def elf_fields(data: bytes, at: int = 0) -> list[Field]:
    """Give the fields of an ELF file: its header, the program headers, the notes' sizes."""
    fields = [(4, 1), (5, 1), *((offset, 2) for offset in (16, 18, *range(52, 64, 2)))]
    fields += [(20, 4), (24, 8), (32, 8), (40, 8)]
    if len(data) < 64:
        return fields
    order = "<" if data[18:20] == b"\x15\0" else ">"
    (table,) = struct.unpack_from(order + "Q", data, 32)
    (count,) = struct.unpack_from(order + "H", data, 56)
    for header in range(table, min(table + 56 * min(count, 40), len(data) - 56), 56):
        fields += [(header, 4), *((header + offset, 8) for offset in range(8, 56, 8))]
        if struct.unpack_from(order + "I", data, header)[0] == 4:
            (notes,) = struct.unpack_from(order + "Q", data, header + 8)
            fields += [(notes + offset, 4) for offset in range(0, 24, 4)]
    return [(offset + at, size) for offset, size in fields if 0 <= offset < len(data)]


def vmlinux_fields(data: bytes) -> list[Field]:
    """Give the fields of a vmlinux: its header and the section headers."""
    fields = elf_fields(data)
    if len(data) >= 64:
        (table,) = struct.unpack_from("<Q" if data[18:20] == b"\x15\0" else ">Q", data, 40)
        for header in range(table, min(table + 64 * 8, len(data) - 63), 64):
            fields += [(header + at, 4) for at in (0, 4, 40, 44)]
            fields += [(header + at, 8) for at in (8, 16, 24, 32, 48, 56)]
    return fields


def flattened_fields(data: bytes) -> list[Field]:
    """Give the fields of a flattened file: its records, and of the dump inside a first record."""
    fields: list[Field] = [(16, 8), (24, 8)]
    at = 4096
    while at + 16 <= len(data) and len(fields) < 100:
        target, size = struct.unpack_from(">qq", data, at)
        fields += [(at, 8), (at + 8, 8)]
        inner = data[at + 16 : at + 16 + max(min(size, 1 << 20), 0)]
        if target == 0 and inner.startswith(b"KDUMP"):
            fields += kdump_fields(inner, at + 16)
        elif target == 0 and inner.startswith(b"\x7fELF"):
            fields += elf_fields(inner, at + 16)
        if size <= 0:
            break
        at += 16 + size
    return fields


def split_fields(data: bytes) -> list[Field]:
    """Give the fields of two members of a split dump."""
    size = int.from_bytes(data[:4], "big")
    return kdump_fields(data[4 : 4 + size], 4) + kdump_fields(data[4 + size :], 4 + size)


FIELDS: dict[str, Callable[[bytes], list[Field]]] = {
    "kdump": kdump_fields,
    "elf": elf_fields,
    "vmlinux": vmlinux_fields,
    "flattened": flattened_fields,
    "split": split_fields,
}


def seeds(target: str) -> Iterator[tuple[str, bytes]]:
    """Make the inputs to begin with, by name."""
    from builders.flattened import build_flattened
    from builders.kdump_codecs import compress
    from builders.vmcoreinfo import vmcoreinfo_text

    if target == "pages":
        yield from page_target.seeds()
        return
    images = [targets.base_image(number) for number in range(targets.BASES)]
    if target in ("kdump", "split"):
        yield from kdump_seeds() if target == "kdump" else split_seeds()
    elif target == "elf":
        yield from elf_seeds()
    elif target == "vmlinux":
        from builders.btf import STRUCT, UNION, BtfBuilder
        from containers.vmlinux_file import SHT_PROGBITS, build_vmlinux

        symbols = [
            ("vmemmap_list", 0xC000000001000000, 8),
            ("mmu_psize_defs", 0xC000000001000100, 88),
        ]
        yield "little", build_vmlinux(symbols)
        yield "big", build_vmlinux([*symbols, ("psize_defs", 1, 2)], order="big", merge_tails=True)
        types = BtfBuilder("big")
        word = types.integer("unsigned long", 8)
        inner = types.composite(UNION, "", 8, [("_mapcount", word, 0)])
        types.composite(STRUCT, "page", 64, [("flags", word, 0), ("", inner, 64)])
        types.enum("pageflags", {"PG_lru": 5, "PG_head": 6})
        extra = {".BTF": (SHT_PROGBITS, types.build())}
        yield "types", build_vmlinux(symbols, order="big", extra=extra)
    elif target == "flattened":
        for number in (0, 1, 3):
            machine = images[number].machine
            kdump, elf = machine.kdump(), machine.elf()
            for name, dump in (("kdump", kdump), ("elf", elf)):
                yield f"{name}-{number}", build_flattened(dump)
                yield f"{name}-{number}-cut", build_flattened(dump, skip_zero=True, end_mark=False)
                whole = build_flattened(dump, shuffle_seed=None, record_bytes=1 << 20)
                yield f"{name}-{number}-whole", whole
        many = dict(kdump_seeds())["many-pages"]
        yield "many-pages", build_flattened(many, shuffle_seed=None, record_bytes=600)
        yield "many-pages-cut", build_flattened(many, record_bytes=600, end_mark=False)
    elif target == "vmcoreinfo":
        for number, image in enumerate(images):
            yield str(number), vmcoreinfo_text(image.machine.vmcoreinfo)
    elif target == "list":
        for number, image in enumerate(images):
            keys = list(image.machine.vmcoreinfo)
            base, edit = bytes([number]), targets.edit
            yield f"{number}-none", base
            yield f"{number}-head", base + edit(2, 0, 0xC000_0000_0010_0000)
            yield f"{number}-node", base + edit(3, 1, 0xC000_0000_0010_0008) + edit(4, 2, b"\1\0")
            yield f"{number}-sizes", base + edit(5, 0, b"\3\0\0\0") + edit(5, 1, b"\x10" * 8)
            for which, key in enumerate(keys):
                yield f"{number}-key-{which}", base + edit(0, which, b"4096") + edit(1, which, b"")
                old = image.machine.vmcoreinfo[key].encode()
                yield f"{number}-same-{which}", base + edit(0, which, old)
            yield f"{number}-root", base + edit(6, 0, bytes(8)) + edit(7, 0, b"KEY=1")
    else:
        for size, choice in ((4096, b"\0"), (65536, b"\1")):
            for name, page in (("zero", bytes(size)), ("text", (b"vmemmap " * size)[:size])):
                yield f"{size}-{name}", choice + compress(target, page)  # type: ignore[arg-type]
            few = bytes(random.Random(1).choices(range(9), k=size))
            yield f"{size}-few", choice + compress(target, few)  # type: ignore[arg-type]


def kdump_seeds() -> Iterator[tuple[str, bytes]]:
    """Make kdump files: every version, codec and order, and the small real ones."""
    from builders.kdump import build_kdump

    for number in (0, 1, 3, 4, 5, 6):
        machine = targets.base_image(number).machine
        noted = number < 6
        yield f"machine-{number}", machine.kdump(with_vmcoreinfo=noted)
        for codec in ("raw", "lzo", "snappy", "zstd") if number in (0, 1) else ():
            yield f"machine-{number}-{codec}", machine.kdump(codec=codec)
    machine = targets.base_image(0).machine
    for version in range(6):
        yield f"version-{version}", machine.kdump(version=version)
    yield "single-bitmap", machine.kdump(single_bitmap=True)
    yield "block-64k", machine.kdump(block_size=65536)
    pages = {pfn: bytes([pfn % 7]) * 4096 for pfn in range(100)}
    yield "many-pages", build_kdump(pages, block_size=4096, codec="lzo")
    for path in sorted((ROOT / "tests" / "corpus").glob("*/dump.xz")):
        data = lzma.decompress(path.read_bytes())
        if data.startswith(b"KDUMP") and len(data) <= MAX_BYTES:
            yield path.parent.name, data


def split_seeds() -> Iterator[tuple[str, bytes]]:
    """Make split dumps of two members."""
    machine = targets.base_image(0).machine
    end = max(machine.pages) + 1
    for name, border, other in (("half", end // 2, end // 2), ("hole", 0x101, 0x103), ("e", 0, 0)):
        one = machine.kdump(split=(0, border))
        yield name, struct.pack(">I", len(one)) + one + machine.kdump(split=(other, end))
        yield (
            name + "-5",
            struct.pack(">I", len(one)) + one + machine.kdump(split=(other, end), version=5),
        )


def elf_seeds() -> Iterator[tuple[str, bytes]]:
    """Make ELF files: orders, headers as QEMU writes them, PN_XNUM, overlapping segments."""
    from builders.elf_core import Segment, build_elf

    for number in (0, 1, 3, 4, 5, 6, 7):
        yield f"machine-{number}", bytes(targets.base_image(number).elf)
    machine = targets.base_image(0).machine
    yield "order", machine.elf(order="big", align=1)
    yield "qemu", machine.elf(order="big", sections="qemu", align=1, with_vmcoreinfo=False)
    yield "xnum", machine.elf(xnum=True, align=1)
    yield "tiny", build_elf([Segment(0, b"x" * 64, 128), Segment(32, b"y" * 64)], align=1)
    notes = machine.notes()
    yield "notes-only", build_elf([], notes, align=1)


if __name__ == "__main__":
    main()
