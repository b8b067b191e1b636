"""Dumps on a web server: the same answers, and how much of the file they take.

The server counts for itself, and the machine's builder has the answers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vmemmap
from breadth import trying
from builders.byte_order import Order
from builders.flattened import build_flattened
from builders.huge_kdump import write_huge_kdump
from builders.huge_machine import MESSAGES, huge_machine
from builders.kdump import build_kdump
from builders.machine import build_machine
from builders.machine_state import Machine
from conftest import Ran
from range_server import Served, serving

pytest.importorskip("obstore", reason="obstore is absent: pip install 'vmemmap[remote]'")
TIB, GB = 1 << 40, 10**9


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_kept_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Asked:
    """Commands asked of a dump that a server has, and held against the machine's builder.

    Args:
        served: The server.
        machine: The machine, and its list.
        ram_bytes: Its memory.
        file_bytes: About how large the dump is.
    """

    def __init__(
        self,
        served: Served,
        run: Callable[..., Ran],
        machine: tuple[Machine, list[tuple[int, int, int]]],
        ram_bytes: int,
        file_bytes: int,
    ) -> None:
        self.served, self._run, self._entries = served, run, machine[1]
        path = served.folder / "vmcore"
        count = write_huge_kdump(path, machine[0], ram_bytes=ram_bytes, file_bytes=file_bytes)
        self.size, self.ram_bytes = path.stat().st_size, ram_bytes
        self.stored_bytes = count * machine[0].page_size
        self.ranges: list[list[str]] | None = None

    def ask(self, command: str, *options: str) -> tuple[int, int]:
        """Ask one command by itself, as a user runs it; give its requests and bytes."""
        served = self.served
        served.forget()
        addresses = [f"{virt:#x}" for _, _, virt in self._entries[::9]] * (command == "vtop")
        url = f"{served.url}/vmcore"
        ran = self._run(command, url, *addresses, *options, "--format", "json", "--stats")
        assert ran.code == 0, ran.err
        assert {method for method, _, _ in served.requests} == {"GET"}
        # What is told is what the server saw.
        assert f"{len(served.requests)} requests, " in ran.err
        assert f"of {self.size / (1 << 30):.4g} GiB fetched" in ran.err
        if command == "list":
            assert [
                tuple(int(entry[name], 16) for name in ("node", "phys", "virt"))
                for entry in ran.json["entries"]
            ] == self._entries
        elif command == "vtop":
            expected = [phys for _, phys, _ in self._entries[::9]]
            assert [int(row["phys"], 16) for row in ran.json] == expected
        elif command == "dmesg":
            texts = [record["text"] for record in ran.json["records"]]
            assert texts == [f"message {number}" for number in range(MESSAGES)]
        elif command == "info":
            dump, end = ran.json["dump"], f"{self.ram_bytes:#x}"
            self.ranges = dump["ranges"]
            assert self.ranges in (None, [["0x0", end]])
            if self.ranges is None:
                assert (dump["stored_bytes"], dump["memory_end"]) == (self.stored_bytes, end)
                assert "--ranges" in dump["ranges_missing"]
        return len(served.requests), served.sent_bytes


@pytest.mark.parametrize("order", ["little", pytest.param("big", marks=pytest.mark.full)])
def test_little_is_read_of_100_gb(order: Order, served: Served, run_vmemmap) -> None:
    """Each command by itself, as a user runs it: within 10 MiB and 40 requests."""
    machine = huge_machine(order, ram_bytes=2 * TIB)
    asked = Asked(served, run_vmemmap, machine, 2 * TIB, 100 * GB)
    assert asked.size > 99 * GB
    for command in ("info", "list", "vtop", "dmesg"):
        with trying(command):
            requests, size = asked.ask(command)
            assert (requests <= 40, size <= 10 << 20) == (True, True)
    assert asked.ranges is not None


SMALL, LARGE = 1 << 38, 2 * TIB


@pytest.mark.parametrize(
    ("place", "ram_bytes"),
    [
        ("middle", SMALL),
        pytest.param("top", SMALL, marks=pytest.mark.full),
        pytest.param("middle", LARGE, marks=pytest.mark.full),
        pytest.param("top", LARGE, marks=pytest.mark.full),
    ],
)
def test_of_small_pages_no_bitmap_is_fetched_whole(
    place: str, ram_bytes: int, served: Served, run_vmemmap
) -> None:
    """Not where what is wanted lies at either end of memory; elsewhere half of one, and once."""
    map_bytes = ram_bytes // 4096 // 8
    top = None if place == "top" else ram_bytes // 2
    machine = huge_machine("little", ram_bytes=ram_bytes, page_size=4096, top=top)
    asked = Asked(served, run_vmemmap, machine, ram_bytes, min(100 * GB, ram_bytes // 40))
    near_ends = 5 << 19 if ram_bytes == SMALL else 10 << 20
    first = near_ends + map_bytes // 2 * (place == "middle")
    for command, most in (("list", first), ("dmesg", near_ends), ("vtop", near_ends)):
        with trying(command):
            requests, size = asked.ask(command)
            assert (requests <= 40, size <= most) == (True, True)
    # The ranges of memory are all over the other map; that is fetched when it is asked for, once.
    assert asked.ask("info")[1] <= near_ends
    assert asked.ranges is None
    assert map_bytes < asked.ask("info", "--ranges")[1] <= map_bytes + near_ends
    for command in ("info", "list"):
        with trying(("again", command)):
            requests, size = asked.ask(command)
            assert (requests <= 40, size <= 5 << 19) == (True, True)
    assert asked.ranges is not None


def test_of_members_each_fetches_its_part_of_the_bitmap(served: Served, run_vmemmap) -> None:
    machine, entries = huge_machine("little", ram_bytes=SMALL, page_size=4096)
    end = SMALL // 4096
    middle = end // 2
    for name, part in (("a", (0, middle)), ("b", (middle, end))):
        path = served.folder / name
        write_huge_kdump(path, machine, ram_bytes=SMALL, file_bytes=SMALL // 20, split=part)
    served.forget()
    ran = run_vmemmap("list", f"{served.url}/b", f"{served.url}/a", "--format", "json")
    assert [int(entry["phys"], 16) for entry in ran.json["entries"]] == [row[1] for row in entries]
    assert served.sent_bytes <= 3 << 20 < end // 8


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
