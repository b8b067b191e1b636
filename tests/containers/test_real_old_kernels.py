"""Real kernels of 2.6.35 and 4.9, dumped by QEMU: their VMCOREINFO lies in static arrays.

The truth beside the dumps (shared/truth) was read by another reader and by the guests themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.byte_order import Order
from builders.notes import build_note

DUMPS = {
    "be-2.6.35-4k-hash": ("data", 0x3C4AB0),
    "le-4.9-64k-hash": ("note", 0x4D6A70),
}
"""What the search finds and where: vmcoreinfo_data of the symbols, and vmcoreinfo_note."""


@pytest.fixture(scope="module", params=DUMPS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def dump(name: str, real_dump) -> Path:
    path: Path = real_dump(f"old/{name}.meta.elf.zst")
    return path


@pytest.fixture(scope="module")
def core(name: str, dump: Path, real_dump):
    symbols = real_dump(f"old/symbols-{name}.elf")
    # 4.9 exports the list; with its symbols the text would not be searched for.
    with vmemmap.open(dump, vmlinux=symbols if "2.6.35" in name else None) as opened:
        yield opened


@pytest.fixture(scope="module")
def expected(name: str, truth) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(truth(f"{name}.truth.json"))
    return content


def test_the_text_is_found_in_memory(name: str, dump: Path, expected: dict[str, Any]) -> None:
    form, phys = DUMPS[name]
    with vmemmap.open(dump) as core:
        fact = core.facts["vmcoreinfo"]
        assert fact.detail == f"not in the dump's headers; the kernel's {form} found at {phys:#x}"
        assert f"OSRELEASE={expected['release']}\n".encode() in core.vmcoreinfo_text
        assert (b"\nCRASHTIME=" in core.vmcoreinfo_text) is expected["crashed"]


def test_the_list(core: vmemmap.Vmcore, expected: dict[str, Any]) -> None:
    table = core.backing
    entries = zip(table.node.tolist(), table.phys.tolist(), table.virt.tolist(), strict=True)
    assert [[hex(value) for value in entry] for entry in entries] == expected["entries"]
    assert table.block_size == expected["block_size"]


def test_the_page_tables(core: vmemmap.Vmcore, expected: dict[str, Any]) -> None:
    assert len(expected["vmalloc"]) > 8
    for virt, phys in expected["vmalloc"]:
        assert hex(core.vtop(int(virt, 16)).phys) == phys, virt


def test_the_pages(core: vmemmap.Vmcore, expected: dict[str, Any]) -> None:
    usage, counts = core.usage(), expected["counts"]
    assert usage.pages == counts["pages"]
    assert usage.kinds["reserved"] == counts["reserved"]
    assert usage.kinds["anon"] == counts["anon"]
    assert usage.kinds["free"] == counts["buddy_pages"]
    assert usage.free_blocks == tuple(expected["free_blocks"])


def test_the_vmlinux_of_the_other_kernel(name: str, dump: Path, real_dump) -> None:
    (other,) = set(DUMPS) - {name}
    symbols = real_dump(f"old/symbols-{other}.elf")
    with (
        vmemmap.open(dump, vmlinux=symbols) as core,
        pytest.raises(vmemmap.FactConflict, match="is not the vmlinux of this dump's kernel: its"),
    ):
        _ = core.kernel


def test_a_stale_note_before_the_kernels_own(
    name: str, dump: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    """In the first page of the dump that has room: another release, and another build's symbols."""
    with vmemmap.open(dump) as core:
        text = core.vmcoreinfo_text
        at = core.source.file_offset(int(core.source.ranges()[0, 0]))
    assert at is not None
    own = dump.read_bytes()
    order: Order = "big" if expected["endian"] == ">" else "little"
    release = expected["release"].encode()
    for stale in (text.replace(release, b"3.2.0", 1), text.replace(b"=c0000000", b"=c0000001")):
        note = build_note(b"VMCOREINFO", stale, 0, order)
        path = tmp_path / "stale"
        path.write_bytes(own[:at] + note + own[at + len(note) :])
        with vmemmap.open(path) as core:
            assert core.vmcoreinfo_text == text
