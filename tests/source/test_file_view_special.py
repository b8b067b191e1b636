"""What is opened: missing, forbidden, and special files, which must neither hang nor be read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

import pytest

import vmemmap
from builders.elf_core import Segment, build_elf
from builders.flattened import build_flattened
from vmemmap.errors import UnreadableFile
from vmemmap.source.detect import open_source
from vmemmap.source.file_view import FileView, open_file


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    """End a test that waits for a pipe."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise AssertionError("opening took more than 20 seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def unreadable(path: str | Path, *words: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        open_source(path)
    message = str(caught.value)
    assert caught.value.path == str(path)
    assert message.startswith("cannot read the dump: ")
    assert [word for word in words if word not in message] == [], message


def mapped(path: Path) -> FileView:
    return FileView(open_file(path), str(path))


def test_missing(tmp_path: Path) -> None:
    unreadable(tmp_path / "vmcore", "there is no such file")
    unreadable("", "there is no such file")


def test_directory(tmp_path: Path) -> None:
    unreadable(tmp_path, "it is a directory", "name the file in it")


def test_directory_with_a_vmcore_in_it(tmp_path: Path) -> None:
    (tmp_path / "vmcore").write_bytes(b"x")
    (tmp_path / "dmesg.txt").write_bytes(b"x")
    unreadable(tmp_path, "it is a directory", f"did you mean {tmp_path / 'vmcore'}?")


def test_fifo_without_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    unreadable(path, "empty")


@pytest.mark.parametrize("flat", [False, True])
def test_dump_through_a_fifo(tmp_path: Path, flat: bool) -> None:
    """The writer is slow, and writes less than a pipe holds at a time."""
    path, page = tmp_path / "pipe", bytes(range(256)) * 256
    dump = build_elf([Segment(0x10000, page)])
    os.mkfifo(path)
    code = "import sys, time\nwith open(sys.argv[1], 'wb', 0) as pipe:\n"
    code += " for part in iter(lambda: sys.stdin.buffer.read(5000), b''):\n"
    code += "  pipe.write(part); time.sleep(0.001)\n"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        feeder = threading.Thread(
            target=feed, args=(writer.stdin, build_flattened(dump) if flat else dump)
        )
        feeder.start()
        reader = os.open(path, os.O_RDONLY)  # waits until the writer is there
        try:
            source = open_source(path)
        finally:
            os.close(reader)
        feeder.join()
    assert source.path == str(path)
    assert source.read(0x10000, len(page)) == page
    source.close()


def feed(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(data)
    pipe.close()


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_character_device(path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"there is no {path} here")
    unreadable(path, "not a regular file")


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        unreadable("socket")


def test_symbolic_links(tmp_path: Path) -> None:
    loop, good = tmp_path / "loop", tmp_path / "good"
    loop.symlink_to(loop)
    unreadable(loop)
    (tmp_path / "file").write_bytes(b"1234")
    good.symlink_to(tmp_path / "file")
    view = mapped(good)
    assert bytes(view.view(0, 4)) == b"1234"
    view.close()


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "file/below/a/file"])
def test_impossible_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    unreadable(path)


CHILD = """
import os, sys
from vmemmap.errors import UnreadableFile
from vmemmap.source.detect import open_source
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    open_source(sys.argv[1])
except UnreadableFile as error:
    print(error)
"""


def test_no_permission() -> None:
    """In a process that is surely not root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "vmcore"
        path.write_bytes(b"KDUMP   ")
        path.chmod(0)
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(path)],
            env=os.environ | {"PYTHONPATH": str(Path(vmemmap.__file__).parents[1])},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert "permission denied" in child.stdout, child.stdout + child.stderr
    assert "sudo" in child.stdout


def test_no_file_stays_open(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "good").write_bytes(b"x")
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(20):
        for name in ("empty", "pipe", "missing", "."):
            unreadable(tmp_path / name)
        mapped(tmp_path / "good").close()
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_bounds(tmp_path: Path) -> None:
    data = bytes(range(200))
    path = tmp_path / "file"
    path.write_bytes(data)
    file = mapped(path)
    assert file.size == 200
    for offset in (0, 1, 199, 200, 201, 1 << 40, 1 << 64):
        for size in (0, 1, 199, 200, 201, 1 << 40, 1 << 64):
            assert bytes(file.view(offset, size)) == data[offset : offset + size]
            assert file.holds(offset, size) is (offset + size <= 200)
    assert not file.holds(-1, 10)
    assert not file.holds(10, -1)
    with pytest.raises(TypeError):
        file.view(0, 1)[0] = 1
    file.close()
    file.close()
    with pytest.raises(ValueError):
        file.view(0, 1)


def test_views_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    file = mapped(path)
    part = file.view(2, 3)
    file.close()
    assert bytes(part) == b"234"
