"""The parts of an extract that need no dump: the header's texts, pieces, tables, the manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vmemmap
from oracles.simulated import crash, spec_of
from vmemmap.extract.checker import check
from vmemmap.extract.classes import CLASS_TEXTS, Shown
from vmemmap.extract.header import shared_vmcoreinfo
from vmemmap.extract.image import Image
from vmemmap.extract.manifest import find_run, manifest_path, read_manifest
from vmemmap.formats.extract_note import find_extract_note
from vmemmap.formats.notes import Note
from vmemmap.source.detect import open_source

Runs = dict[str, list[dict[str, int | str]]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extract of a small machine."""
    folder = tmp_path_factory.mktemp("shared")
    dump = crash(spec_of("6.1"), folder / "vmcore")
    with vmemmap.open(dump.path) as core:
        core.extract(folder / "shared")
    return folder / "shared"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"OSRELEASE=6.1.0-50-powerpc64le", True),
        (b"PAGESIZE=65536", True),
        (b"SYMBOL(vmemmap_list)=c000000001234568", True),
        (b"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129", True),
        (b"OFFSET(list_head.next)=0", True),
        (b"BUILD-ID=0123456789abcdef", True),
        (b"CRASHTIME=1700000000", False),
        (b"OSRELEASE=6.1.0 root=/dev/sda password", False),
        (b"HOSTNAME=db7.example.com", False),
        (b"SYMBOL(secret)=hunter2", False),
        (b"NUMBER(x)=" + b"1" * 40, False),
        (b"\xff\xfe", False),
    ],
)
def test_lines_of_vmcoreinfo(line: bytes, kept: bool) -> None:
    text, gone = shared_vmcoreinfo(b"PAGESIZE=4096\n" + line + b"\n")
    assert text == b"PAGESIZE=4096\n" + (line + b"\n" if kept else b"")
    assert len(gone) == (not kept)


def test_what_stands_behind_the_text_of_vmcoreinfo_is_none_of_it() -> None:
    assert shared_vmcoreinfo(b"PAGESIZE=4096\n\0SIZE(page)=64\n")[0] == b"PAGESIZE=4096\n"


def test_pieces_are_cut_and_joined() -> None:
    image = Image()
    for phys, data, shown in (
        (16, b"cdef", Shown.LIST),
        (8, b"abcdefgh", Shown.LIST),
        (18, b"ef\0y", Shown.NODES),
        (21, b"y", Shown.NODES),
        (40, b"z", Shown.NODES),
        (60, b"", Shown.NODES),
    ):
        image.add(phys, data, shown)
    found = [(piece.phys, piece.data, piece.shown) for piece in image.pieces]
    assert found == [
        (8, b"abcdefghcdef", Shown.LIST),
        (20, b"\0y", Shown.NODES),
        (40, b"z", Shown.NODES),
    ]
    assert [(p.phys, p.data) for p in image.within(10, 21)] == [(10, b"cdefghcdef"), (20, b"\0")]
    assert image.pages(16).tolist() == [[0, 3]]


def test_pieces_that_overlap_show_what_either_does() -> None:
    image = Image()
    image.add(0, b"ab\0\0e", Shown.LIST)
    image.add(2, b"cd\0f", Shown.NODES)
    image.add(3, b"\0\0\0g", Shown.AREAS)
    image.add(0, b"\0\0\0\0\0", Shown.AREAS)
    assert b"".join(piece.data for piece in image.pieces) == b"abcdefg"
    assert [piece.phys for piece in image.pieces] == [0, 5, 6]


def test_the_header_has_no_names_and_no_times(shared: Path) -> None:
    raw = shared.read_bytes()
    sysname, nodename, release, version, machine, domainname = (
        raw[12 + at * 65 : 12 + at * 65 + 65].rstrip(b"\0") for at in range(6)
    )
    assert (sysname, machine) == (b"Linux", b"ppc64le")
    assert release.startswith(b"6.1")
    assert (nodename, version, domainname) == (b"", b"", b"")
    assert raw[408:424] == bytes(16)  # the timestamp, behind padding to a multiple of 8
    source = open_source(shared)
    assert [note.name for note in source.notes] == ["VMCOREINFO", "VMEMMAP"]
    assert b"CRASHTIME" not in raw


def test_an_extract_says_that_it_is_one(shared: Path, run_vmemmap) -> None:
    ran = run_vmemmap("info", shared)
    assert "made by vmemmap " in ran.out
    assert "reads as zero, whatever it was" in " ".join(ran.out.split())
    said = run_vmemmap("info", shared, "-f", "json").json["dump"]["extract"]
    assert {"list", "struct_pages"} < {*said["classes"]}
    assert (said["hidden_addresses"], said["rescued"], said["scrubbed"]) == (False, 0, [])
    assert "info: extract: this is an extract" in run_vmemmap("check", shared).out
    with vmemmap.open(shared.with_name("vmcore")) as core:
        assert core.extract_note is None


def test_an_extract_says_that_it_leaves_out_what_it_lacks(shared: Path) -> None:
    with vmemmap.open(shared) as core:
        with pytest.raises(vmemmap.FactMissing, match="nothing of the kernel's log"):
            core.dmesg()
        for name in ("node_name", "cpus", "crash_time"):
            assert str(core.system.missing[name]) == "an extract leaves it out"


def test_a_note_that_is_damaged_still_says_so() -> None:
    for text in (b"", b"\xff\x1b[31m=\n", b"RESCUED=" + b"9" * 5000, b"CLASSES=\x1b,,a,\nVERSION"):
        note = find_extract_note([Note("VMEMMAP", 1, text)])
        assert note is not None
        assert str(note).isprintable()
    assert find_extract_note([Note("VMEMMAP", 2, b""), Note("CORE", 1, b"")]) is None


def test_the_machine_has_names_that_do_not_come_through(shared: Path) -> None:
    """The simulated utsname has a node name; so the test before can fail."""
    with vmemmap.open(shared.with_name("vmcore")) as core:
        uts = core.kernel.utsname
        assert uts is not None
        name = core.read_phys(uts.phys + 65, 65).rstrip(b"\0")
        assert name
        page = uts.phys // 65536 * 65536
    with vmemmap.open(shared) as core:
        assert name not in core.read_phys(page, 65536)
        assert core.read_phys(uts.phys + 65, 65) == bytes(65)


def test_every_class_is_described() -> None:
    assert set(CLASS_TEXTS) == set(Shown)


def changed(edit: Callable[[Runs], None], shared: Path) -> list[str]:
    """Check an extract against its manifest with something changed in that."""
    manifest = json.loads(manifest_path(shared).read_bytes())
    edit(manifest)
    return check(str(shared), manifest)


def test_verify_finds_what_is_shown_and_in_no_run(shared: Path) -> None:
    assert changed(lambda manifest: None, shared) == []

    def shorter(manifest: Runs) -> None:
        run = next(r for r in manifest["runs"] if r["shown"] == "list" and int(r["size"]) > 8)
        run["size"] = int(run["size"]) - 8

    found = changed(shorter, shared)
    assert any("are others" in line for line in found)
    assert any("is shown and in no run" in line for line in found)


def test_verify_finds_pages_that_nothing_names(shared: Path) -> None:
    def without(manifest: Runs) -> None:
        manifest["runs"] = [run for run in manifest["runs"] if run["shown"] != "struct_pages"]

    assert any("that the manifest does not name" in line for line in changed(without, shared))


def test_verify_finds_a_class_that_is_none(shared: Path) -> None:
    def other(manifest: Runs) -> None:
        manifest["runs"][0]["shown"] = "user_pages"

    assert any("is of no known class: 'user_pages'" in line for line in changed(other, shared))


def test_verify_finds_another_vmcoreinfo(shared: Path) -> None:
    def other(manifest: Runs) -> None:
        manifest["vmcoreinfo_sha256"] = "0" * 64  # type: ignore[assignment]

    assert changed(other, shared) == ["VMCOREINFO is another one"]


def test_runs_are_found(shared: Path) -> None:
    manifest = read_manifest(shared)
    for run in manifest["runs"]:
        assert find_run(manifest, run["phys"]) == run
        assert find_run(manifest, run["phys"] + run["size"] - 1) == run
    ends = {run["phys"] + run["size"] for run in manifest["runs"]}
    free = ends - {run["phys"] for run in manifest["runs"]}
    assert all(find_run(manifest, phys) is None for phys in free)
    assert np.all(np.diff([run["phys"] for run in manifest["runs"]]) > 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"version": 2}',
        '{"version": 1, "runs": 5}',
        "\xff",
        '{"version":1}',
    ],
)
def test_a_manifest_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    manifest_path(tmp_path / "x").write_text(text)
    with pytest.raises(vmemmap.UnreadableFile, match=r"is of version 2|is no manifest") as error:
        read_manifest(tmp_path / "x")
    assert error.value.path == str(manifest_path(tmp_path / "x"))


def test_no_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(vmemmap.UnreadableFile, match="cannot be read: No such file"):
        read_manifest(tmp_path / "x")
