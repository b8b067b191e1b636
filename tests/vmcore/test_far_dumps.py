"""Dumps on a web server: the same answers, and how much of the file they take.

The server counts for itself, and the machine's builder has the answers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from breadth import trying
from builders.big_list import node_image, spread_sections
from builders.byte_order import Order
from builders.flattened import build_flattened
from builders.huge_kdump import write_huge_kdump
from builders.kdump import build_kdump
from builders.kernel_data import PAGE_OFFSET
from builders.machine import build_machine
from builders.machine_state import Machine
from builders.printk import LocklessLog, Message
from range_server import Served, serving

pytest.importorskip("obstore", reason="obstore is absent: pip install 'vmemmap[remote]'")
TIB, GB, PAGE = 1 << 40, 10**9, 0x10000
BLOCKS = 128
"""Of 16 MiB, which describe 2 TiB of pages of 64 KiB."""


def huge_machine(order: Order) -> tuple[Machine, list[tuple[int, int, int]]]:
    """A machine of 2 TiB whose list, blocks and log lie high up, as boot places them.

    Returns:
        The machine; node, physical and virtual address of each entry, head first.
    """
    machine = build_machine(byte_order=order, blocks=1, block_shift=24, store="none")
    machine.drop(machine.entries[0].node)
    top = 2 * TIB - PAGE
    node = PAGE_OFFSET + top + 24 * np.arange(BLOCKS, dtype=np.uint64)
    phys = np.uint64(2 * TIB) - (np.arange(BLOCKS, dtype=np.uint64) + 2) * np.uint64(1 << 24)
    virt = np.uint64(machine.vmemmap_base) + np.arange(BLOCKS, dtype=np.uint64) * np.uint64(1 << 24)
    link = np.concatenate((np.zeros(1, np.uint64), node[:-1]))
    machine.poke(top, node_image(np.stack((link, phys, virt), axis=1), PAGE, order).tobytes())
    machine.poke_u64(machine.symbols["vmemmap_list"], int(node[-1]))
    spread_sections(machine, 2 * TIB // PAGE)
    log = LocklessLog(order, 12, 18)
    for number in range(3000):
        log.add(Message(b"message %d" % number, number * 10**6))
    log.install(machine, PAGE_OFFSET + 2 * TIB - (1 << 34))
    rows = zip(node.tolist(), phys.tolist(), virt.tolist(), strict=True)
    return machine, list(rows)[::-1]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as server:
        yield server


@pytest.mark.parametrize("order", ["little", pytest.param("big", marks=pytest.mark.full)])
def test_little_is_read_of_100_gb(order: Order, served: Served, run_vmemmap) -> None:
    """Each command by itself, as a user runs it: within 10 MiB and 40 requests."""
    machine, entries = huge_machine(order)
    write_huge_kdump(served.folder / "vmcore", machine, ram_bytes=2 * TIB, file_bytes=100 * GB)
    size = (served.folder / "vmcore").stat().st_size
    assert size > 99 * GB
    url = f"{served.url}/vmcore"
    addresses = [f"{virt:#x}" for _, _, virt in entries[::9]]
    for command, *more in (["info"], ["list"], ["vtop", *addresses], ["dmesg"]):
        with trying(command):
            served.forget()
            ran = run_vmemmap(command, url, *more, "--format", "json", "--stats")
            assert ran.code == 0, ran.err
            assert served.sent_bytes <= 10 << 20
            assert len(served.requests) <= 40
            assert {method for method, _, _ in served.requests} == {"GET"}
            # What is told is what the server saw.
            assert f"{len(served.requests)} requests, " in ran.err
            assert f"of {size / (1 << 30):.4g} GiB fetched" in ran.err
            if command == "list":
                found = [
                    tuple(int(entry[name], 16) for name in ("node", "phys", "virt"))
                    for entry in ran.json["entries"]
                ]
                assert found == entries
            elif command == "vtop":
                assert [int(row["phys"], 16) for row in ran.json] == [
                    phys for _, phys, _ in entries[::9]
                ]
            elif command == "dmesg":
                texts = [record["text"] for record in ran.json["records"]]
                assert texts == [f"message {number}" for number in range(3000)]


def forms(machine: Machine) -> dict[str, list[bytes]]:
    """A machine's dump in every container, as files."""
    pages = machine.kdump_pages()
    names = {"notes": machine.notes(machine.byte_order), "utsname": machine.utsname}
    middle = sorted(pages)[len(pages) // 2]
    end = max(pages) + 1
    kdump = machine.kdump()
    members = [
        build_kdump(pages, block_size=machine.page_size, split=part, **names)
        for part in ((0, middle), (middle, end))
    ]
    return {
        "elf": [machine.elf()],
        "kdump": [kdump],
        "flattened": [build_flattened(kdump)],
        "flattened elf": [build_flattened(machine.elf())],
        "split": members,
    }


ASKED: dict[str, Callable[[vmemmap.Vmcore], object]] = {
    "facts": lambda core: {fact.name: fact.value for fact in core.facts.values()},
    "list": lambda core: (core.backing.node.tolist(), core.backing.phys.tolist()),
    "vtop": lambda core: [core.vtop(virt).phys for virt in core.backing.virt.tolist()],
    "read": lambda core: core.read(int(core.backing.virt.min()), 3 * core.kernel.page_size.value),
    "findings": lambda core: [str(finding) for finding in core.check().findings],
    "usage": lambda core: core.usage().kinds,
    "ranges": lambda core: core.source.ranges().tolist(),
}


def test_every_container_answers_as_the_file_does(served: Served, tmp_path: Path) -> None:
    """At a URL, and as an object with read and seek."""
    machine = build_machine(byte_order="big", block_shift=16)
    for name, files in forms(machine).items():
        paths = [tmp_path / f"{name.replace(' ', '-')}-{n}" for n in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        urls = [f"{served.url}/{path.name}" for path in paths]
        objects = [io.BytesIO(data) for data in files]
        with vmemmap.open(*paths) as near:
            for far in (urls, objects):
                with vmemmap.open(*far) as core:
                    for question, ask in ASKED.items():
                        with trying((name, far, question)):
                            assert ask(core) == ask(near)
                    assert core.source.traffic is not None
            assert near.source.traffic is None
        assert all(file.read(1) is not None for file in objects), "the caller's file was closed"
