"""The checker that goes with an extract: alone, and on files that were changed."""

from __future__ import annotations

import ast
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from oracles.simulated import crash, spec_of
from vmemmap.extract import checker
from vmemmap.extract.classes import Shown
from vmemmap.extract.manifest import manifest_path

ALONE = Path(checker.__file__)


@pytest.fixture(scope="module", params=["kdump", "elf"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extract in each form."""
    folder = tmp_path_factory.mktemp("shared")
    dump = crash(spec_of("6.1", byte_order="big"), folder / "vmcore")
    with vmemmap.open(dump.path) as core:
        core.extract(folder / "shared", form=request.param, codec="zlib", classes=["dmesg"])
    return folder / "shared"


def test_it_needs_nothing_of_the_package(shared: Path, tmp_path: Path) -> None:
    tree = ast.walk(ast.parse(ALONE.read_text()))
    names = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    assert names <= {*sys.stdlib_module_names, "zstandard"}
    program = tmp_path / "checker.py"
    shutil.copy(ALONE, program)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program), str(shared)], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"every byte is as its manifest says" in done.stdout


def test_it_knows_the_same_classes() -> None:
    assert {shown.value for shown in Shown} == checker.CLASSES


def changed(shared: Path, folder: Path, change: Callable[[bytearray], object]) -> list[str]:
    """Check an extract with something changed in the file."""
    data = bytearray(shared.read_bytes())
    change(data)
    out = folder / "changed"
    out.write_bytes(data)
    shutil.copy(manifest_path(shared), manifest_path(out))
    return checker.check(str(out))


def is_elf(shared: Path) -> bool:
    return shared.read_bytes()[:4] == b"\x7fELF"


def test_what_is_left_at_the_end_is_found(shared: Path, tmp_path: Path) -> None:
    found = changed(shared, tmp_path, lambda data: data.extend(b"secret"))
    assert found == [f"the file has bytes of no meaning from {shared.stat().st_size:#x} on"]


def test_what_is_between_the_parts_is_found(shared: Path, tmp_path: Path) -> None:
    at = 0x300 if is_elf(shared) else 480  # behind the headers
    found = changed(shared, tmp_path, lambda data: data.__setitem__(slice(at, at + 4), b"pass"))
    assert any("bytes of no meaning" in line or "is another one" in line for line in found)


def test_names_and_times_in_the_header_are_found(shared: Path, tmp_path: Path) -> None:
    if is_elf(shared):
        pytest.skip("an ELF header has neither")

    def name_and_time(data: bytearray) -> None:
        data[12 + 65 : 12 + 65 + 3] = b"db7"
        struct.pack_into(">q", data, 408, 1_700_000_000)

    found = changed(shared, tmp_path, name_and_time)
    assert any("the node's name" in line for line in found)
    assert any("the time of the crash" in line for line in found)


def test_a_note_of_anything_else_is_found(shared: Path, tmp_path: Path) -> None:
    def other(data: bytearray) -> None:
        at = data.index(b"VMEMMAP\0")
        data[at : at + 7] = b"CORE\0\0\0"

    found = changed(shared, tmp_path, other)
    assert "there is a note CORE (0x1)" in found
    assert "there is no note VMEMMAP" in found


@pytest.mark.parametrize("at", [0, 4, 16, 428, 440, 0x1040, 0x10040, 0x30000])
def test_whatever_is_changed_ends_in_a_word_and_no_traceback(
    shared: Path, tmp_path: Path, at: int
) -> None:
    def noise(data: bytearray) -> None:
        data[at : at + 40] = bytes(range(201, 241))

    with suppress(checker.Unusable):
        assert changed(shared, tmp_path, noise)


@pytest.mark.parametrize("size", [0, 8, 500, 0x10000, 0x20000])
def test_a_file_that_is_cut_off_is_named(shared: Path, tmp_path: Path, size: int) -> None:
    with pytest.raises(checker.Unusable, match=r"it ends at|it is neither|no version|no byte"):
        changed(shared, tmp_path, lambda data: data.__delitem__(slice(size, None)))


STRANGE: list[dict[str, Any]] = [
    {"page_size": 65536, **more}
    for more in (
        {"runs": 5},
        {"runs": [], "classes": "list"},
        {"runs": [], "version": 2},
        {"runs": [{"phys": float("inf"), "size": 1, "shown": "list", "sha256": ""}]},
    )
]


@pytest.mark.parametrize("run", [5, {}, {"phys": -1, "size": 2, "shown": "", "sha256": ""}])
def test_a_manifest_that_is_none_is_named(shared: Path, run: object) -> None:
    manifests: list[dict[str, Any]] = [
        *({"page_size": 65536, "runs": [run]}, {"page_size": 7}, {}),
        *STRANGE,
    ]
    for manifest in manifests:
        with pytest.raises(checker.Unusable, match="the manifest"):
            checker.check(str(shared), manifest)


def test_the_command_says_where_a_byte_comes_from(shared: Path, run_vmemmap) -> None:
    ran = run_vmemmap("extract", shared, "--explain", "offset:0")
    assert (ran.code, ran.out) == (0, "0x0: the header\n")
    pages = [
        run_vmemmap("extract", shared, "--explain", f"offset:{at:#x}").out
        for at in range(shared.stat().st_size - 400, shared.stat().st_size, 399)
    ]
    assert any("in the data of the page at 0x" in text for text in pages)
    ran = run_vmemmap("extract", shared, "--explain", "offset:-1")
    assert ran.code == 2


def test_bitmaps_of_more_than_a_machine_has_are_neither_read_nor_written(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_elf(shared):
        pytest.skip("ELF has no bitmaps")
    with pytest.raises(checker.Unusable, match="its bitmaps have"):
        changed(shared, tmp_path, lambda data: struct.pack_into(">I", data, 436, 1 << 31))
    monkeypatch.setattr("vmemmap.extract.extract.BITMAP_MAX", 16)
    with vmemmap.open(shared) as core, pytest.raises(vmemmap.UnwritableFile, match="--elf"):
        core.extract(tmp_path / "out")
    assert not [*tmp_path.glob("out*")]
