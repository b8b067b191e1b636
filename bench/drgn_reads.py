"""Measures reads in drgn: through the plugin, beside drgn's own of the same bytes.

The struct pages of a hash kernel are read at their vmemmap addresses, which only the plugin
translates, and at their linear addresses, which drgn reads by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from builders.kernel_data import PAGE_OFFSET
from builders.machine import Machine, build_machine
from dumps import PAGE, like_kernel_memory
from rows import Row, Spent, Target, measure, spent

SIZES = (8, 64, 4096, 65536, 1 << 20)
PEER = "drgn's own"
_BYTES_A_ROUND = 1 << 24
_READS_A_ROUND = 10_000
_ROUNDS = 7
_TARGET = Target(1 / 1.2)


def bench_drgn(folder: Path) -> list[Row]:
    """Read struct pages in drgn both ways; nothing where drgn is not installed.

    What was read before, in pieces of each size and as an object's value; and all of the array for
    the first time, 64 bytes at a time.
    """
    try:
        import drgn  # noqa: F401 (whether it is there)
    except ImportError:
        return []
    machine = build_machine(blocks=2, block_shift=24, store="none")
    for block in machine.blocks:
        for into in range(0, machine.block_size, PAGE):
            machine.memory.write(block.phys + into, like_kernel_memory(into // PAGE))
    rows, path = [], folder / "drgn"
    for name, content in (("ELF", machine.elf()), ("zlib kdump", machine.kdump(codec="zlib"))):
        path.write_bytes(content)
        rows += _both_ways(path, machine, name)
    path.unlink()
    return rows


def _both_ways(path: Path, machine: Machine, container: str) -> list[Row]:
    import drgn

    virt = machine.blocks[0].virt
    linear = PAGE_OFFSET + machine.blocks[0].phys
    with _program(path) as prog:
        rows = [
            _row(
                f"drgn reads {size:,} bytes, {container}",
                lambda size=size: prog.read(virt, size),  # type: ignore[misc]
                lambda size=size: prog.read(linear, size),  # type: ignore[misc]
                max(1, min(_READS_A_ROUND, _BYTES_A_ROUND // size)),
            )
            for size in SIZES
        ]
        word = "unsigned long"
        rows.append(
            _row(
                f"drgn reads an object, {container}",
                lambda: drgn.Object(prog, word, address=virt).value_(),
                lambda: drgn.Object(prog, word, address=linear).value_(),
                _READS_A_ROUND,
            )
        )
    reads = machine.block_size // 64
    rows.append(
        measure(
            f"drgn reads {machine.block_size >> 20} MiB for the first time, {container}",
            "us a read",
            lambda: _first(path, virt, machine.block_size),
            peer=lambda: _first(path, linear, machine.block_size),
            peer_name=PEER,
            rounds=3,
            factor=1e6 / reads,
            target=_TARGET,
        )
    )
    return rows


@contextmanager
def _program(path: Path) -> Iterator[Any]:
    """A program with the plugin attached, however drgn finds its plugins."""
    import drgn

    from vmemmap.drgn_plugin import attach

    prog = drgn.Program()
    prog.set_core_dump(path)
    core = attach(prog).core
    assert core is not None
    yield prog
    del prog
    core.close()


def _row(work: str, plugin: Callable[[], object], plain: Callable[[], object], times: int) -> Row:
    def repeated(read: Callable[[], object]) -> Spent:
        def all_of_them() -> None:
            for _ in range(times):
                read()

        return spent(all_of_them)

    assert plain() == plugin()
    return measure(
        work,
        "us",
        lambda: repeated(plugin),
        peer=lambda: repeated(plain),
        peer_name=PEER,
        rounds=_ROUNDS,
        factor=1e6 / times,
        target=_TARGET,
    )


def _first(path: Path, start: int, size: int) -> Spent:
    """Read *size* bytes once, 64 at a time, in a new program."""
    with _program(path) as prog:

        def all_of_them() -> None:
            for address in range(start, start + size, 64):
                prog.read(address, 64)

        return spent(all_of_them)
