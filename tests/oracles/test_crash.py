"""What crash said of real dumps, against what vmemmap says: on the fixtures and the full dumps.

The expected values are crash's own output (``tests/corpus/expect.py`` put it in order), so these
tests are the second witness for list, vtop and read.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
FIXTURES = sorted(path.parent.name for path in CORPUS.glob("*/origin.toml"))
FULL = (
    ("hash-64k-6.1/vmcore.d31.zlib", "hash-64k-6.1"),
    ("hash-64k-6.1/vmcore.d31.lzo", "hash-64k-6.1"),
    ("hash-64k-6.1/vmcore.d31.snappy", "hash-64k-6.1"),
    ("hash-64k-6.1/vmcore.d31.zstd", "hash-64k-6.1"),
    ("hash-64k-6.1/vmcore.d31.elf.zst", "hash-64k-6.1"),
    ("radix-64k-6.1/vmcore.d31.zlib", "radix-64k-6.1"),
    ("radix-64k-6.1/vmcore.d31.elf.zst", "radix-64k-6.1"),
)


def expected(name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((CORPUS / name / "expected.json").read_text())
    return said


def check_against_crash(path: Path, said: dict[str, Any], run_vmemmap) -> int:
    """Compare everything that crash said; give how many words of memory could be compared."""
    ran = run_vmemmap("list", path, "--format", "crash")
    assert ran.code == 0, ran.err
    if said["entries"]:
        assert len(ran.out.splitlines()) == said["entries"]
        assert hashlib.sha256(ran.out.encode()).hexdigest() == said["list_sha256"]
        assert said["list_lines"] in (None, ran.out.splitlines(keepends=True))
    else:
        assert ran.out == ""
    compared = left_out = 0
    with vmemmap.open(path) as core:
        assert core.facts["vmemmap_base"].shown == f"0x{said['base']}"
        if said["entries"]:
            assert core.backing.block_size == said["block_size"]
        for virt, phys in said["vtop"].items():
            try:
                found: str | None = f"{core.vtop(int(virt, 16)).phys:x}"
            except vmemmap.ReadError:
                left_out += 1  # a page table that the fixture leaves out
                continue
            except vmemmap.TranslateError:
                found = None
            assert found == phys, virt
        virts = np.array([int(virt, 16) for virt in said["vtop"]], dtype=np.uint64)
        phys_many, mask = core.vtop_many(virts)
        for virt, phys, ok in zip(said["vtop"].values(), phys_many.tolist(), mask, strict=True):
            assert not ok or f"{phys:x}" == virt
        assert int(mask.sum()) >= sum(1 for phys in said["vtop"].values() if phys) - left_out
        for virt, word in said["words"].items():
            try:
                raw = core.read(int(virt, 16), 8)
            except vmemmap.ReadError:
                continue  # a page that the fixture leaves out
            assert f"{int.from_bytes(raw, core.kernel.order):016x}" == word, virt
            compared += 1
    return compared


@pytest.mark.parametrize("name", FIXTURES)
def test_fixture_agrees_with_crash(corpus_dump, run_vmemmap, name) -> None:
    compared = check_against_crash(corpus_dump(name), expected(name), run_vmemmap)
    assert compared >= 8


@pytest.mark.parametrize(("dump", "fixture"), FULL)
def test_full_dump_agrees_with_crash(real_dump, same_machine, run_vmemmap, dump, fixture) -> None:
    same_machine(fixture, dump)
    said = expected(fixture)
    compared = check_against_crash(real_dump(dump), said, run_vmemmap)
    assert compared >= len(said["words"]) - 4  # some words lie in memory that is not in the dump


@pytest.mark.parametrize("machine", ["hash-64k-6.1", "radix-64k-6.1"])
def test_list_equals_the_shared_crash_output(real_dump, truth, run_vmemmap, machine) -> None:
    lines = [line for line in truth(f"{machine}.crash.txt").splitlines() if "vmemmap_list[" in line]
    ran = run_vmemmap("list", real_dump(f"{machine}/vmcore.d31.zlib"), "--format", "crash")
    assert ran.out == "".join(line + "\n" for line in lines)


@pytest.mark.parametrize("name", [n for n in FIXTURES if n.startswith("hash-64k-6.1")])
def test_nodes_are_where_crash_read_them(corpus_dump, name) -> None:
    """Each node that crash's raw read shows holds the phys and virt_addr that we list for it."""
    words = {int(at, 16): int(word, 16) for at, word in expected(name)["words"].items()}
    with vmemmap.open(corpus_dump(name)) as core:
        following = int(core.facts["list_head"].value)
        for entry in core.backing:
            assert entry.node == following
            assert words[entry.node + 8] == entry.phys
            assert words[entry.node + 16] == entry.virt
            following = words[entry.node]
        assert following == 0


@pytest.mark.parametrize("name", FIXTURES)
def test_fixture_is_what_its_origin_says(corpus_dump, run_vmemmap, name) -> None:
    folder = CORPUS / name
    origin = tomllib.loads((folder / "origin.toml").read_text())
    path = corpus_dump(name)
    assert (folder / "dump.xz").stat().st_size < 1 << 20
    assert hashlib.sha256(path.read_bytes()).hexdigest() == origin["sha256"]
    assert origin["witness"]["tool"]
    info = run_vmemmap("info", path, "-f", "json").json
    assert info["kernel"]["mmu"] == origin["mmu"]
    assert info["kernel"]["page_size"] == origin["page_size"]
    assert info["kernel"]["release"] == origin["kernel"].split()[0]
    assert info["dump"]["memory_byte_order"] == origin["memory_byte_order"]
    assert info["dump"]["format"] == origin["container"]
