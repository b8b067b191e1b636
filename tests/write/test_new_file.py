"""An output file is whole or not there."""

from __future__ import annotations

import errno
import inspect
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vmemmap.errors import UnwritableFile
from vmemmap.pages.one_pass import compiled
from vmemmap.write.new_file import new_file, new_files


def names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def start_and_raise(target, error) -> None:
    with new_file(target) as file:
        file.write(b"half")
        raise error


def test_file_appears_only_when_it_is_whole(tmp_path) -> None:
    target = tmp_path / "out"
    with new_file(target) as file:
        file.write(b"abc")
        assert not target.exists()
    assert target.read_bytes() == b"abc"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_interrupted_write_leaves_nothing(tmp_path, error) -> None:
    with pytest.raises(error):
        start_and_raise(tmp_path / "out", error)
    assert names(tmp_path) == []


def test_interrupted_write_leaves_the_old_file(tmp_path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        start_and_raise(target, KeyboardInterrupt)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_whole_file_replaces_the_old_one(tmp_path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old and longer")
    with new_file(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_a_link_is_replaced_and_not_what_it_names(tmp_path) -> None:
    target, link, loop = tmp_path / "other", tmp_path / "link", tmp_path / "loop"
    target.write_bytes(b"kept")
    link.symlink_to(target)
    loop.symlink_to("loop")
    for path in (link, loop):
        with new_file(path) as file:
            file.write(b"new")
        assert (path.is_symlink(), path.read_bytes()) == (False, b"new")
    assert target.read_bytes() == b"kept"


def test_full_disk_is_an_error_that_names_the_file(tmp_path) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(UnwritableFile, match="No space left") as caught:
        start_and_raise(tmp_path / "out", error)
    assert caught.value.path == str(tmp_path / "out")
    assert names(tmp_path) == []


@pytest.mark.parametrize("what", ["folder", "device", "missing folder"])
def test_what_is_no_file_is_not_replaced(tmp_path, what) -> None:
    path = {
        "folder": tmp_path,
        "device": "/dev/null",
        "missing folder": tmp_path / "no" / "out",
    }[what]
    with pytest.raises(UnwritableFile), new_file(path):
        pytest.fail("there is nothing to write to")


def test_rights_are_those_of_any_new_file(tmp_path) -> None:
    mask = os.umask(0o027)
    try:
        with new_file(tmp_path / "out"):
            pass
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def interrupted_after(lines: int, path: Path) -> bool:
    """Write a file, and interrupt that after so many lines of its own; tell whether it was.

    What takes the temporary file away is not interrupted: signals wait for it.
    """
    left = lines
    source, first = inspect.getsourcelines(inspect.unwrap(new_file))
    cleaning = first + source.index("    finally:\n")

    def count(frame, event, _argument):
        nonlocal left
        if frame.f_code.co_filename != inspect.getsourcefile(inspect.unwrap(new_file)):
            return None
        if event == "line":
            left -= frame.f_lineno < cleaning
            if left < 0 and frame.f_lineno < cleaning:
                raise KeyboardInterrupt
        return count

    sys.settrace(count)
    try:
        with new_file(path) as file:
            file.write(b"content")
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_write_interrupted_at_any_line_leaves_nothing_half_written(tmp_path) -> None:
    lines = 0
    while interrupted_after(lines, tmp_path / "out"):
        left = [path.name for path in tmp_path.iterdir()]
        assert left in ([], ["out"]), lines
        if left:
            assert (tmp_path / "out").read_bytes() == b"content"
            (tmp_path / "out").unlink()
        lines += 1
    assert lines > 8


CUT_WHILE_MAPPED = """
import mmap, os
from vmemmap.source.file_view import end_at_bus_error
from vmemmap.write.new_file import new_file

end_at_bus_error("it has become shorter\\n", 3)
with open("read", "r+b") as file, mmap.mmap(file.fileno(), 0) as data:
    with new_file("whole") as out:
        out.write(b"whole")
    with new_file("half") as out:
        out.write(b"half")
        os.truncate("read", 0)
        data[8192]
"""


@pytest.mark.skipif(compiled is None, reason="there is no compiled module")
def test_a_file_that_is_cut_while_it_is_read_leaves_nothing_half_written(tmp_path) -> None:
    """No handler of Python's runs before the page is touched again, for ever."""
    (tmp_path / "read").write_bytes(bytes(16384))
    ran = subprocess.run(
        [sys.executable, "-c", CUT_WHILE_MAPPED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (3, "it has become shorter\n")
    assert names(tmp_path) == ["read", "whole"]


def test_files_that_belong_together_appear_together(tmp_path, monkeypatch) -> None:
    """Being interrupted between the two waits for the second, and the first named comes first."""
    renamed, replace = [], Path.replace

    def replace_and_interrupt(part, target):
        replace(part, target)
        renamed.append(target.name)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Path, "replace", replace_and_interrupt)

    def write() -> None:
        with new_files(tmp_path / "dump", tmp_path / "manifest") as (dump, manifest):
            dump.write(b"d")
            manifest.write(b"m")

    with pytest.raises(KeyboardInterrupt):
        write()
    assert renamed == ["dump", "manifest"]
    assert [(tmp_path / name).read_bytes() for name in renamed] == [b"d", b"m"]
    assert names(tmp_path) == ["dump", "manifest"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
