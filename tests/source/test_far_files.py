"""Files read by ranges: what is fetched, what a server can do wrong, and no secret told."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from breadth import trying
from builders.flattened import build_flattened
from builders.machine import build_machine
from range_server import Served, serving
from vmemmap.source import object_store
from vmemmap.source.opening import open_bytes
from vmemmap.source.ranges import BLOCK_BYTES, CACHE_BYTES, WINDOW_BYTES
from vmemmap.source.urls import shown

pytest.importorskip("obstore", reason="obstore is absent: pip install 'vmemmap[remote]'")
SIZE = 20 * (1 << 20) + 12345


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(object_store, "PAUSE_SECONDS", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def content() -> bytes:
    return np.random.default_rng(1).bytes(SIZE)


@pytest.fixture
def served(tmp_path: Path, content: bytes) -> Iterator[Served]:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "file").write_bytes(content)
    (folder / "vmcore").write_bytes(build_machine().kdump())
    with serving(folder) as server:
        yield server


def kept_bytes(view: Any) -> int:
    return sum(map(len, view._blocks.values()))


def test_any_view_is_what_is_in_the_file(served: Served, content: bytes) -> None:
    """Across borders of blocks, pieces and windows, at random, at the end; in bounded memory."""
    view = open_bytes(f"{served.url}/file")
    borders = [0, BLOCK_BYTES, 2 << 20, WINDOW_BYTES, SIZE, SIZE + 5]
    near = [(border - 3, size) for border in borders[1:] for size in (1, 3, 4, 70_000)]
    rng = np.random.default_rng(2)
    sizes = (2 ** rng.integers(0, 25, 60)).tolist()
    some = zip(rng.integers(0, SIZE, 60).tolist(), sizes, strict=True)
    for offset, size in [(0, SIZE), (0, WINDOW_BYTES), *near, *some]:
        with trying((offset, size)):
            assert view.view(offset, size) == content[offset : offset + size]
            assert kept_bytes(view) <= CACHE_BYTES
    assert not len(view.view(SIZE, 1))
    assert not len(view.view(-1, 1))
    assert (view.holds(SIZE - 1, 1), view.holds(SIZE, 1)) == (True, False)
    view.close()
    with pytest.raises(ValueError, match="closed"):
        view.view(0, 1)


def test_what_lies_together_is_fetched_together(served: Served) -> None:
    view = open_bytes(f"{served.url}/file")
    served.forget()
    blocks = np.array([10, 11, 13, 60, 200])
    view.prefetch(blocks * BLOCK_BYTES, np.full(5, 100))
    assert sorted(asked for _, _, asked in served.requests) == sorted(
        f"bytes={start * BLOCK_BYTES}-{end * BLOCK_BYTES - 1}"
        for start, end in ((10, 14), (60, 61), (200, 201))
    )
    for block in blocks.tolist():
        view.view(block * BLOCK_BYTES, 100)
    assert len(served.requests) == 3


def test_reading_on_takes_ever_fewer_requests(served: Served) -> None:
    view = open_bytes(f"{served.url}/file")
    served.forget()
    for offset in range(4 << 20, 8 << 20, 4096):
        view.view(offset, 4096)
    assert len(served.requests) < 12  # 64 blocks, and 1024 reads
    assert served.sent_bytes <= 12 << 20


WRONG: dict[str, dict[str, Any]] = {
    "there is no such object": {"always": 404},
    "access is forbidden (status 403)": {"always": 403},
    "access is forbidden (status 401)": {"always": 401},
    "the server refuses it with status 400": {"always": 400},
    "the server answers with status 503 (tried 4 times)": {"always": 503},
    "gives no ranges, only the whole file": {"ranges": False},
    "broke off in the middle of an answer (tried 4 times)": {"breaks": 99},
    "gave other bytes than were asked for (tried 4 times)": {"more_bytes": 1 << 28},
    "does not say how long its answer is (tried 4 times)": {"lengths": False},
    "too slow: no whole answer in time (tried 4 times)": {"wait_seconds": 0.3},
}


@pytest.mark.parametrize("words", WRONG)
def test_a_server_that_fails_is_one_line(words: str, served: Served, run_vmemmap) -> None:
    """It is tried again a few times at most, and nothing secret is told."""
    vars(served).update(WRONG[words])
    url = f"{served.url.replace('//', '//user:hush@')}/vmcore?X-Amz-Signature=hush#hush"
    ran = run_vmemmap("info", url, "--storage", "timeout=100ms", "--debug")
    assert (ran.code, ran.out) == (3, "")
    told = ran.err.splitlines()
    assert words in told[-1]
    assert told[-1].startswith(f"vmemmap: {served.url}/vmcore?...: cannot read the dump: ")
    assert "hush" not in ran.err
    assert len(served.requests) == (4 if "tried" in words else 1)
    assert served.sent_bytes < 64 << 20


def test_what_fails_for_a_while_is_tried_again(served: Served, run_vmemmap) -> None:
    expected = run_vmemmap("list", served.folder / "vmcore").out
    for fault in ({"statuses": [500, 503, 429]}, {"breaks": 3}):
        served.forget()
        vars(served).update(fault)
        ran = run_vmemmap("list", f"{served.url}/vmcore", "--stats")
        assert (ran.code, ran.out) == (0, expected)
        assert ", 3 of them tried again, " in ran.err
        assert f"{len(served.requests)} requests, " in ran.err


@pytest.mark.parametrize("etags", [True, False])
def test_an_object_that_changes_is_an_error(etags: bool, served: Served) -> None:
    served.etags = etags
    view = open_bytes(f"{served.url}/file")
    path = served.folder / "file"
    path.write_bytes(bytes(SIZE))
    os.utime(path, (1e9, 1e9))
    with pytest.raises(vmemmap.UnreadableFile, match="it was changed while it was read"):
        view.view(5 << 20, 10)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9/vmcore", "nothing answers at that address"),
        ("https://no-such-host.invalid/vmcore", "the server's name is not known, or there is no"),
        ("ftp://127.0.0.1/vmcore", "ftp:// is not known here; expected s3://"),
        ("s3://bucket", "expected s3://BUCKET/KEY"),
    ],
)
def test_no_server_is_one_line(url: str, words: str, run_vmemmap) -> None:
    ran = run_vmemmap("info", url)
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
    assert words in ran.err


def test_an_empty_object_and_a_wrong_option(served: Served) -> None:
    (served.folder / "empty").write_bytes(b"")
    with pytest.raises(vmemmap.UnreadableFile, match="it is empty"):
        vmemmap.open(f"{served.url}/empty")
    for url in ("s3://bucket/key", f"{served.url}/vmcore"):
        with pytest.raises(vmemmap.UnreadableFile, match="no option 'nonsense'"):
            vmemmap.open(url, storage={"nonsense": "1"})
    # A list may have both; a web server has no region.
    with vmemmap.open(f"{served.url}/vmcore", storage={"region": "eu-west-1"}) as core:
        assert len(core.backing)


def test_signed_addresses_reach_the_server_whole(served: Served) -> None:
    served.needs = "token=a%2Fb"
    with vmemmap.open(f"{served.url}/vmcore?token=a%2Fb&x=1") as core:
        assert core.source.path == f"{served.url}/vmcore?..."
        assert len(core.backing)


def test_a_small_dump_is_fetched_once_whatever_it_is_asked(served: Served, run_vmemmap) -> None:
    name = "vm core+%41#1"
    (served.folder / "vmcore").rename(served.folder / name)
    url = f"{served.url}/vm%20core%2B%2541%231"
    for command in ("usage", "check"):
        served.forget()
        ran = run_vmemmap(command, url)
        assert ran.code in (0, 1), ran.err  # usage finds that struct pages are damaged
        assert len(served.requests) <= 4
        assert served.sent_bytes <= (served.folder / name).stat().st_size


@pytest.mark.parametrize(
    ("address", "is_shown"),
    [
        ("s3://key:secret@bucket/a b?x", "s3://bucket/a b?..."),
        (
            "abfss://box@account.dfs.core.windows.net/k",
            "abfss://box@account.dfs.core.windows.net/k",
        ),
        ("https://h/p#secret", "https://h/p"),
        ("a/b?c", "a/b?c"),
        (Path("x"), "x"),
        (io.BytesIO(), "<BytesIO>"),
    ],
)
def test_addresses_are_shown_without_secrets(address: object, is_shown: str) -> None:
    assert shown(address) == is_shown


def test_a_flattened_file_is_read_whole_once(served: Served, tmp_path: Path) -> None:
    """Then its index is at hand; of a file that changed it is not, nor a damaged one."""
    machine = build_machine(blocks=64, store="all")
    path = served.folder / "flat"
    path.write_bytes(build_flattened(machine.kdump()))
    url = f"{served.url}/flat"

    def fetched() -> int:
        served.forget()
        with vmemmap.open(url) as core:
            assert core.backing.node.tolist() == [entry.node for entry in machine.entries]
        return served.sent_bytes

    size = path.stat().st_size
    assert size <= fetched() < size * 1.3
    assert fetched() < size * 2 // 3
    (index,) = (tmp_path / "cache/vmemmap/flattened").iterdir()
    index.write_bytes(index.read_bytes()[:-20])
    assert fetched() >= size
    assert fetched() < size * 2 // 3
    os.utime(path, (1e9, 1e9))
    assert fetched() >= size


def test_of_a_file_that_cannot_be_told_from_another_nothing_is_kept(
    served: Served, tmp_path: Path
) -> None:
    served.etags = served.dates = False
    (served.folder / "flat").write_bytes(build_flattened(build_machine().kdump()))
    with vmemmap.open(f"{served.url}/flat") as core:
        assert len(core.backing)
    assert object_store.StoredObject(f"{served.url}/flat").version == ""
    assert not (tmp_path / "cache").exists()


def test_without_a_home_nothing_is_kept(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is nobody that it knows."""

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    (served.folder / "flat").write_bytes(build_flattened(build_machine().kdump()))
    with vmemmap.open(f"{served.url}/flat") as core:
        assert len(core.backing)


class Odd(io.BytesIO):
    """A file that does as many remote ones do: short reads, and a seek that gives nothing."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 1000))

    def seek(self, offset: int, whence: int = 0, /) -> int:
        super().seek(offset, whence)
        return None  # type: ignore[return-value]


def test_objects_that_can_be_read(served: Served, tmp_path: Path) -> None:
    import gzip

    data = (served.folder / "vmcore").read_bytes()
    packed = tmp_path / "vmcore.gz"
    packed.write_bytes(gzip.compress(data))
    with vmemmap.open(served.folder / "vmcore") as core:
        expected = core.backing.node.tolist()
    with (served.folder / "vmcore").open("rb") as plain, gzip.open(packed) as unpacked:
        for file in (io.BytesIO(data), Odd(data), plain, unpacked):
            with trying(file), vmemmap.open(file) as core:
                assert core.backing.node.tolist() == expected
            assert not file.closed


def test_objects_that_cannot() -> None:
    cases: tuple[tuple[Any, type[Exception], str], ...] = (
        (io.BytesIO(), vmemmap.UnreadableFile, "it is empty"),
        (io.StringIO("text"), vmemmap.UnreadableFile, "open it in binary mode"),
        (io.BytesIO(b"no dump"), vmemmap.UnknownFormat, "this is no dump"),
        (7, TypeError, "an object with read and seek, or a list of these, found 7"),
    )
    for thing, error, words in cases:
        with trying(thing), pytest.raises(error, match=words):
            vmemmap.open(thing)
