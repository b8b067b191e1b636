"""Extracts of real kernels before 6.1, in either byte order, against their witness.

Another reader counted in the dumps before they were extracts. 2.6.35 does not export its list: what
readelf says of its symbols is beside the extract.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from containers.vmlinux_file import build_vmlinux
from vmemmap import Vmcore
from vmemmap.extract.checker import check

OLD = Path(__file__).resolve().parent.parent / "corpus" / "old"
INFORMED = {"extract", "memory_not_in_dump", "struct_page_straddles"}
"""What is told of them, and is nothing wrong."""


@pytest.fixture(params=sorted(path.name for path in OLD.iterdir()))
def folder(request: pytest.FixtureRequest) -> Path:
    return OLD / str(request.param)


@pytest.fixture
def origin(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "origin.toml").read_text())


@pytest.fixture
def said(folder: Path) -> dict[str, Any]:
    """What the witness said."""
    found: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    return found


@pytest.fixture
def core(
    folder: Path, origin: dict[str, Any], corpus_dump: Callable[[str], Path], tmp_path: Path
) -> Iterator[Vmcore]:
    vmlinux = None
    if (folder / "symbols.txt").exists():
        rows = (line.split() for line in (folder / "symbols.txt").read_text().splitlines())
        symbols = [(name, int(address, 16), int(size)) for address, size, name in rows]
        vmlinux = tmp_path / "vmlinux"
        vmlinux.write_bytes(build_vmlinux(symbols, order=origin["memory_byte_order"]))
    with vmemmap.open(corpus_dump(f"old/{folder.name}"), vmlinux=vmlinux) as opened:
        yield opened


def test_the_list_and_the_page_tables(core: Vmcore, said: dict[str, Any]) -> None:
    table = core.backing
    entries = zip(table.node.tolist(), table.phys.tolist(), table.virt.tolist(), strict=True)
    assert [[hex(value) for value in entry] for entry in entries] == said["entries"]
    assert table.block_size == said["block_size"]
    assert hex(int(core.facts["vmemmap_base"].value)) == said["vmemmap_base"]
    assert len(said["vmalloc"]) > 8
    for virt, phys in said["vmalloc"]:
        assert hex(core.vtop(int(virt, 16)).phys) == phys, virt
    for _, phys, virt in said["entries"]:
        assert hex(core.vtop(int(virt, 16)).phys) == phys, virt


def test_the_pages(core: Vmcore, said: dict[str, Any]) -> None:
    usage, counts = core.usage(), said["counts"]
    assert usage.pages == counts["pages"]
    assert usage.kinds["reserved"] == counts["reserved"]
    assert usage.kinds["anon"] == counts["anon"]
    assert usage.kinds["hugetlb"] == said["hugetlb_pages"]
    assert usage.kinds["free"] == usage.free == counts["buddy_pages"]
    assert usage.free_blocks == tuple(said["free_blocks"])
    assert usage.slab_tails is not None
    assert usage.kinds["slab"] - usage.slab_tails == counts["slab"]


def test_the_sections_and_that_nothing_is_wrong(core: Vmcore, said: dict[str, Any]) -> None:
    report = core.check()
    assert report.coverage is not None
    assert report.coverage.counts.sections == said["sections"]
    assert report.coverage.counts.readable_pages == said["counts"]["pages"]
    assert {finding.code for finding in report.findings} <= INFORMED


def test_the_manifest_and_the_origin(
    folder: Path, core: Vmcore, origin: dict[str, Any], said: dict[str, Any]
) -> None:
    manifest = json.loads((folder / "dump.manifest.json").read_text())
    path = str(core.source.path)
    assert check(path, manifest) == []
    data = lzma.decompress((folder / "dump.xz").read_bytes())
    assert hashlib.sha256(data).hexdigest() == origin["sha256"]
    assert core.facts["release"].value == origin["kernel"] == said["release"]
    assert core.facts["page_size"].value == origin["page_size"] == said["page_size"]
    assert core.kernel.order == origin["memory_byte_order"]
    assert core.source.format == origin["container"]


def test_memory_of_boot_is_not_called_hot_added(core: Vmcore) -> None:
    """Memory is added by whole sections; the firmware's part of the last one was there at boot."""
    added = [f.phys for f in core.check().findings if f.code == "memory_not_in_dump"]
    section_bytes = core.page_model.sections.pages_per_section * core.page_model.array.page_size
    assert [phys for phys in added if phys is None or phys % section_bytes] == []
