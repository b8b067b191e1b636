"""What every command prints as JSON is what its schema says: of real dumps, and of damaged ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from report.schemas import complaints

CORPUS = sorted(
    path.parent.name for path in (Path(__file__).parent.parent / "corpus").glob("*/*.xz")
)
REAL = (
    *("hash-64k-6.1/vmcore.d31.zlib", "radix-64k-6.1/vmcore.d31.zlib"),
    *("qemu-hash-64k-6.1/dump.kdump-zlib", "old/be-2.6.35-4k-hash.meta.elf.zst"),
    "old/le-4.9-64k-hash.meta.elf.zst",
)
ADDRESSES = (
    *("0xc00c000000000040", "0xf000000000000040", "0xc000000000001000", "0xc008000000010000"),
    *("0xc00c000003000040", "0xd000000000000000", "0x10"),
)
PAGES = ("0", "1", "64", "4097", "23552", "999999999", "0xc00c000000000040", "0xd000000000000000")
QUESTIONS = (
    ("info",),
    ("list",),
    ("vtop", *ADDRESSES),
    ("page", *PAGES),
    ("usage",),
    ("check",),
    ("dmesg",),
)
RESCUED = (("list",), ("vtop", *ADDRESSES), ("page", *PAGES), ("check",))
DAMAGE = (
    *("node_page_missing", "head_missing"),
    *(
        pytest.param(kind, marks=pytest.mark.full)
        for kind in ("stale_nodes", "virt_below", "hot_memory_missing")
    ),
)
"""Kinds after which the records differ most: rescued, lost, left out, unreadable."""


def ask_all(run_vmemmap, path: Path, questions, *options: str) -> dict[str, Any]:
    """Put questions to a dump; give the records, which have been held against their schemas."""
    records = {}
    for command, *arguments in questions:
        ran = run_vmemmap(command, path, *arguments, *options, "-f", "json")
        assert ran.code in (0, 1, 3), ran.err
        if ran.code != 3 or ran.out:
            assert not complaints(command, ran.json)
            records[command] = ran.json
    return records


@pytest.mark.parametrize("name", CORPUS)
def test_real_dumps_cut_to_metadata(run_vmemmap, corpus_dump, name) -> None:
    records = ask_all(run_vmemmap, corpus_dump(name), QUESTIONS)
    assert {"info", "list", "vtop"} <= set(records)


@pytest.mark.parametrize("name", REAL)
def test_real_dumps_of_full_size(run_vmemmap, real_dump, name) -> None:
    records = ask_all(run_vmemmap, real_dump(name), QUESTIONS)
    assert "info" in records
    assert name.startswith("old/") or set(records) == {command for command, *_ in QUESTIONS}


@pytest.fixture(scope="module")
def spec(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("spec") / "machine.toml"
    path.write_text(
        '[kernel]\nblock_size = "64K"\n'
        '[[memory]]\nnode = 0\nstart = 0\nsize = "1G"\n'
        '[[memory]]\nnode = 1\nstart = "2G"\nsize = "256M"\n'
        '[[event]]\nkind = "add"\nstart = "4G"\nsize = "256M"\nnode = 1\n'
        '[[event]]\nkind = "add"\nstart = "8G"\nsize = "256M"\nnode = 0\n'
        '[[event]]\nkind = "remove"\nstart = "4G"\nsize = "128M"\n'
        "[pages]\ncache = 100\nslab = 10\nhuge = 256\nhwpoison = 1\n"
    )
    return path


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_dumps(run_vmemmap, spec, tmp_path, kind) -> None:
    dump = tmp_path / "vmcore"
    made = run_vmemmap("simulate", spec, "-o", dump, "--damage", kind, "-f", "json")
    assert made.code == 0, made.err
    assert not complaints("simulate", made.json)
    found = ask_all(run_vmemmap, dump, QUESTIONS)
    rescued = ask_all(run_vmemmap, dump, RESCUED, "--rescue")
    # The members that not every record has are met at all.
    assert (found["info"]["vmemmap"] is None) is (kind == "head_missing")
    if kind == "node_page_missing":
        assert any("rescued" in row for row in rescued["list"]["entries"])
        assert any("rescued" in row for row in rescued["vtop"])
        assert rescued["check"]["coverage"]["listed"] is not None


@pytest.mark.parametrize(
    "options",
    [
        ["--compare-designs"],
        ["--list-damage"],
        ["-o", "DUMP", "--compare-designs"],
        ["--explain-era", "5.8.3"],
        ["--store-orders"],
    ],
)
def test_forms_of_simulate(run_vmemmap, tmp_path, options) -> None:
    dump = str(tmp_path / "vmcore")
    options = [dump if option == "DUMP" else option for option in options]
    ran = run_vmemmap("simulate", *options, "-f", "json")
    assert not complaints("simulate", ran.json)


def test_explanations(run_vmemmap) -> None:
    assert not complaints("explain", run_vmemmap("explain", "-f", "json").json)
    assert not complaints("explain", run_vmemmap("explain", "list_cycle", "-f", "json").json)
