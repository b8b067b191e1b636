"""Dumps that come through a pipe: copied to a file without a name, or refused in words."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import vmemmap
from builders.flattened import build_flattened
from builders.machine import Machine, build_machine
from vmemmap.errors import CorruptDump, DumpError, UnknownFormat, UnreadableFile
from vmemmap.source.spool import CHUNK_BYTES, spool

Report = tuple[str, int, int | None]


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=10)


@pytest.fixture(scope="module")
def dumps(machine: Machine) -> dict[str, bytes]:
    kdump, elf = machine.kdump(), machine.elf()
    return {"kdump": kdump, "elf": elf, "flat": build_flattened(kdump, record_bytes=3000)}


@contextmanager
def pipe_of(data: bytes) -> Iterator[int]:
    """Give the reading end of a pipe into which a thread writes *data*."""
    reader, writer = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), open(writer, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield reader
    finally:
        os.close(reader)
        thread.join()


@contextmanager
def stdin_from(fd: int) -> Iterator[None]:
    """Let *fd* be the standard input, as a shell does."""
    kept = os.dup(0)
    os.dup2(fd, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def check(core: vmemmap.Vmcore, machine: Machine) -> None:
    table = core.backing
    columns = (table.node.tolist(), table.phys.tolist(), table.virt.tolist())
    assert [*zip(*columns, strict=True)] == [tuple(entry) for entry in machine.entries]
    for block in machine.blocks:
        assert core.read(block.virt + 3, 99) == machine.content(block.virt + 3, 99)


@pytest.mark.parametrize("form", ["kdump", "elf", "flat"])
def test_standard_input_from_a_pipe(machine: Machine, dumps: dict[str, bytes], form: str) -> None:
    told: list[Report] = []
    with pipe_of(dumps[form]) as reader, stdin_from(reader):
        core = vmemmap.open("-", progress=lambda *report: told.append(report))
    with core:
        assert core.source.path == "-"
        check(core, machine)
    size = len(dumps[form])
    assert told[-1] == ("copying the piped dump", size, size)
    done = [done for _, done, _ in told]
    assert done == sorted(done)
    assert {total for _, _, total in told[:-1]} == {None}


@pytest.mark.parametrize("form", ["kdump", "elf", "flat"])
@pytest.mark.parametrize("position", [0, 100])
def test_standard_input_from_a_file_is_not_copied(
    machine: Machine, dumps: dict[str, bytes], tmp_path: Path, form: str, position: int
) -> None:
    """Wherever in the file whoever had it before has stopped reading."""
    path = tmp_path / "dump"
    path.write_bytes(dumps[form])
    told: list[Report] = []
    with path.open("rb", buffering=0) as file:
        file.seek(position)
        with stdin_from(file.fileno()):
            core = vmemmap.open("-", progress=lambda *report: told.append(report))
        with core:
            check(core, machine)
    assert told == []


def test_process_substitution(machine: Machine, dumps: dict[str, bytes]) -> None:
    """The shell's <(command) is a path such as /dev/fd/63."""
    if not Path("/dev/fd").exists():
        pytest.skip("there is no /dev/fd here")
    with pipe_of(dumps["kdump"]) as reader, vmemmap.open(f"/dev/fd/{reader}") as core:
        check(core, machine)


def test_members_of_a_split_dump_from_pipes(machine: Machine) -> None:
    pages = machine.kdump_pages()
    middle, limit = 16, max(pages) + 1
    first, second = (machine.kdump(split=span) for span in ((0, middle), (middle, limit)))
    with (
        pipe_of(first) as one,
        pipe_of(second) as other,
        stdin_from(other),
        vmemmap.open("-", f"/dev/fd/{one}") as core,
    ):
        assert core.source.warnings == []
        check(core, machine)


def refused(data: bytes, kind: type[DumpError], match: str) -> None:
    with (
        pipe_of(data) as reader,
        stdin_from(reader),
        pytest.raises(kind, match=match) as caught,
    ):
        vmemmap.open("-")
    assert caught.value.path == "-"


def test_an_empty_pipe() -> None:
    refused(b"", UnreadableFile, "empty")


@pytest.mark.parametrize("size", [1, 15, 4096, 3 << 20])
def test_garbage_through_a_pipe(size: int) -> None:
    refused((b"garbage!" * (size // 8 + 1))[:size], UnknownFormat, "no dump")


def test_a_pipe_that_ends_early(dumps: dict[str, bytes]) -> None:
    refused(dumps["kdump"][:300], CorruptDump, "cut off")
    refused(dumps["elf"][:40], CorruptDump, "cut off")
    refused(dumps["flat"][:4096], CorruptDump, "cut off")


def test_a_closed_standard_input() -> None:
    kept = os.dup(0)
    os.close(0)
    try:
        with pytest.raises(UnreadableFile) as caught:
            vmemmap.open("-")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert caught.value.path == "-"


def full() -> io.FileIO:
    return io.FileIO("/dev/full", "r+")


@pytest.mark.parametrize("size", [1, 100, 8191, 8193, 70_000, 3 << 20])
def test_no_room_for_the_copy(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Even if what does not fit is less than any buffer, written as late as possible."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")

    def unbuffered_or_not(*args: object, buffering: int = -1, **options: object) -> object:
        return full() if buffering == 0 else io.BufferedRandom(full())

    monkeypatch.setattr(tempfile, "TemporaryFile", unbuffered_or_not)
    refused(b"x" * size, UnreadableFile, "(?i)no space left on device.*TMPDIR")


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError(2)])
def test_no_place_for_the_copy(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    refused(b"x" * 100, UnreadableFile, "TMPDIR")


def test_tmpdir_says_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dumps: dict[str, bytes]
) -> None:
    """And nothing stays there, not even while the dump is open."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    seen: list[str] = []

    def look(what: str, done: int, total: int | None) -> None:
        for file in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                seen.extend([str(file.readlink())] * file.readlink().is_relative_to(tmp_path))

    with pipe_of(dumps["kdump"]) as reader, stdin_from(reader):
        core = vmemmap.open("-", progress=look)
    assert seen
    assert list(tmp_path.iterdir()) == []
    core.close()


def test_nothing_stays_open(dumps: dict[str, bytes]) -> None:
    def count() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    def raise_in_the_middle(what: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    before = count()
    for data in (dumps["kdump"], dumps["flat"], b"", b"garbage"):
        with pipe_of(data) as reader, stdin_from(reader), suppress(DumpError):
            vmemmap.open("-").close()
        with pipe_of(data) as reader, stdin_from(reader), suppress(KeyboardInterrupt):
            vmemmap.open("-", progress=raise_in_the_middle)
    assert count() == before


def test_a_large_copy_is_whole() -> None:
    """More than a few chunks, of uneven length."""
    data = bytes(range(251)) * (3 * CHUNK_BYTES // 250)
    with pipe_of(data) as reader:
        copy = spool(reader, "pipe")
    try:
        assert os.pread(copy, len(data) + 1, 0) == data
        assert os.fstat(copy).st_nlink == 0
    finally:
        os.close(copy)


def test_a_slow_writer(dumps: dict[str, bytes], machine: Machine) -> None:
    """A pipe that was set not to block is still read to its end."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    data = dumps["flat"]
    gates = [threading.Event() for _ in range(3)]

    def feed() -> None:
        with open(writer, "wb", buffering=0) as pipe:
            for at, gate in enumerate(gates):
                gate.wait(0.05)
                part = data[at * len(data) // 3 : (at + 1) * len(data) // 3]
                while part:
                    part = part[pipe.write(part) :]

    thread = threading.Thread(target=feed)
    thread.start()
    read: Callable[[], vmemmap.Vmcore] = lambda: vmemmap.open(f"/dev/fd/{reader}")  # noqa: E731
    with read() as core:
        check(core, machine)
    os.close(reader)
    thread.join()
