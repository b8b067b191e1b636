"""The file that is being written: room on the disk is made ahead, and given back."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from vmemmap.errors import UnwritableFile
from vmemmap.pages.one_pass import compiled
from vmemmap.write.output import FileOutput

_MIB = 1 << 20


def test_room_is_made_ahead_and_given_back(tmp_path) -> None:
    with (tmp_path / "out").open("w+b") as file:
        output = FileOutput(file, "out")

        def on_disk() -> int:
            return os.fstat(file.fileno()).st_blocks * 512

        output.put(0, b"head")
        output.expect(1 * _MIB, 40 * _MIB)
        output.put(1 * _MIB, b"x" * (3 * _MIB))
        is_made = on_disk() >= 40 * _MIB
        assert is_made or compiled is None or not compiled.make_room(file.fileno(), 0, 1)
        assert os.fstat(file.fileno()).st_size == 4 * _MIB
        output.expect(4 * _MIB, 37 * _MIB)
        output.put(4 * _MIB, b"tail")
        output.expect(4 * _MIB + 4, 0)
        file.flush()
        os.fsync(file.fileno())
        assert on_disk() < 6 * _MIB
        assert os.fstat(file.fileno()).st_size == 4 * _MIB + 4
    data = (tmp_path / "out").read_bytes()
    assert data == (b"head".ljust(_MIB, b"\0") + b"x" * (3 * _MIB) + b"tail")


@pytest.mark.parametrize("limit", [None, 5 * _MIB])
def test_no_more_room_than_is_asked_for(tmp_path, monkeypatch, limit: int | None) -> None:
    asked = []

    def make_room(_file: int, offset: int, size: int) -> bool:
        asked.append((offset, size))
        return True

    with (tmp_path / "out").open("w+b") as file:
        output = FileOutput(file, "out", limit)
        monkeypatch.setattr(output, "_make_room", make_room)
        for done in range(0, 200 * _MIB, 2 * _MIB):
            output.expect(done, 200 * _MIB - done)
    ends = [offset + size for offset, size in asked]
    assert [offset for offset, _ in asked] == [0, *ends[:-1]]
    assert ends[-1] == (200 * _MIB if limit is None else limit)
    assert len(asked) < 10


def test_where_no_room_can_be_made_nobody_asks_again(tmp_path, monkeypatch) -> None:
    asked = []

    def make_room(*given: int) -> bool:
        asked.append(given)
        return False

    with (tmp_path / "out").open("w+b") as file:
        output = FileOutput(file, "out")
        monkeypatch.setattr(output, "_make_room", make_room)
        for done in range(0, 8 * _MIB, _MIB):
            output.expect(done, 8 * _MIB - done)
            output.put(done, b"x" * _MIB)
        output.expect(8 * _MIB, 0)
    assert len(asked) == 1
    assert (tmp_path / "out").read_bytes() == b"x" * (8 * _MIB)


@pytest.mark.parametrize("is_whole", [True, False])
def test_room_never_is_what_the_rest_of_the_file_lacks(
    tmp_path, monkeypatch, is_whole: bool
) -> None:
    """A disk of 10 MiB, and a file of 9: what lies before the pages is written after them."""
    taken = {"room": 0, "data": 0}
    real = os.pwrite

    def make_room(_file: int, offset: int, size: int) -> bool:
        taken["room"] = (10 if is_whole else 4) * _MIB - taken["data"]
        return is_whole

    def give_back(_file: int, _size: int) -> None:
        taken["room"] = 0

    def write(file: int, data: Any, offset: int) -> int:
        if offset >= _MIB and taken["room"]:
            taken["room"] -= len(data)
        elif sum(taken.values()) + len(data) > 10 * _MIB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken["data"] += len(data)
        return real(file, data, offset)

    monkeypatch.setattr(os, "ftruncate", give_back)
    monkeypatch.setattr(os, "pwrite", write)
    with (tmp_path / "out").open("w+b") as file:
        output = FileOutput(file, "out")
        monkeypatch.setattr(output, "_make_room", make_room)
        for done in range(_MIB, 9 * _MIB, _MIB):
            output.expect(done, 60 * _MIB)
            output.put(done, b"x" * _MIB)
            assert is_whole or not taken["room"]  # what was made in part is nobody's
        output.put(0, b"y" * _MIB)
        with pytest.raises(UnwritableFile, match="No space left on device"):
            output.put(9 * _MIB, b"z" * (2 * _MIB))
    assert (tmp_path / "out").read_bytes() == b"y" * _MIB + b"x" * (8 * _MIB)
