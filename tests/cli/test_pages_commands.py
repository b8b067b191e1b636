"""The commands page, usage and pages: their forms, exit codes and complaints."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

from pages.machines import one_of_everything


@pytest.fixture
def built(tmp_path):
    return one_of_everything(tmp_path / "vmcore", "6.1.0", "little")


def test_usage_forms(built, run_vmemmap) -> None:
    ran = run_vmemmap("usage", built.path, "--format", "json")
    assert ran.code == 0
    record = ran.json
    assert record["pages"] == sum(record["kinds"].values())
    assert record["makedumpfile"].keys() == {
        "zero", "cache", "cache_private", "user", "free", "hwpoison", "offline"
    }  # fmt: skip
    assert record["makedumpfile"]["zero"] is None
    assert [row["level"] for row in record["makedumpfile_levels"]] == list(range(32))
    assert record["nodes"][0]["node"] == 0
    assert sum(zone["pages"] for zone in record["nodes"][0]["zones"]) == record["pages"]
    text = run_vmemmap("usage", built.path)
    assert f"{record['pages']} pages of 64 KiB" in text.out
    assert "slab" in text.out
    rows = list(csv.DictReader(io.StringIO(run_vmemmap("usage", built.path, "-f", "csv").out)))
    counted = {row["kind"]: int(row["pages"]) for row in rows if not row["node"]}
    assert counted == record["kinds"]


def test_usage_counts_zero_pages_on_demand(built, run_vmemmap) -> None:
    record = run_vmemmap("usage", built.path, "-f", "json", "--zero").json
    pages = built.machine.pages
    gone: set[int] = set()
    with built.open() as core:
        exclusions, array = core.page_model.exclusions, core.pages
        for found in array.each(lambda scanned: exclusions.taken(scanned, 31)):
            for _, first, end in found:
                gone.update(range(first, end))
    zero = [pfn for pfn, page in pages.items() if pfn not in gone and not any(page)]
    assert record["makedumpfile"]["zero"] == len(zero) > 0


def test_usage_tells_of_damage_and_of_what_is_unknown(built, run_vmemmap) -> None:
    built.pages.poke_number(built.pages.machine.sections[0] * 256 + 8, 40, 8, 99)
    built.machine.exclude(built.machine.blocks[1].phys, 65536)
    built.saved()
    ran = run_vmemmap("usage", built.path, "-f", "json")
    assert ran.code == 1
    assert "free_order" in ran.err
    assert "1024 excluded" in ran.err
    assert ran.json["unknown"] == {"excluded": 1024}
    assert ran.json["damage"][0]["code"] == "free_order"


def test_page_forms(built, run_vmemmap) -> None:
    pfn = next(pfn for pfn, kind in built.pages.kinds.items() if kind == "anon")
    ran = run_vmemmap("page", built.path, pfn, f"pfn:{pfn:#x}", f"{pfn << 16:#x}", "-f", "json")
    assert ran.code == 0
    first, *others = ran.json
    assert others == [first, first]
    assert first["pfn"] == pfn
    assert first["phys"] == f"{pfn << 16:#x}"
    assert first["kind"] == "anon"
    assert first["flags"] == ["lru", "swapbacked"]
    assert int(first["virt"], 16) == built.machine.page_virt(pfn)
    text = run_vmemmap("page", built.path, pfn)
    assert "anon" in text.out
    assert "lru swapbacked" in text.out
    (row,) = csv.DictReader(io.StringIO(run_vmemmap("page", built.path, pfn, "-f", "csv").out))
    assert row["flags"] == "lru|swapbacked"


def test_page_that_is_not_there(built, run_vmemmap) -> None:
    ran = run_vmemmap("page", built.path, 1 << 30, "0xd000000000000000", "-f", "json")
    assert ran.code == 1
    assert ran.json[0]["kind"] == "absent"
    assert "mem_section" in ran.json[0]["reason"]
    assert ran.json[1]["error"] in ("no_such_page", "not_backed", "no_region")
    assert ran.json[1]["reason"]


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("0xc00c000000000000000",), ("beef",)])
def test_page_usage_errors(built, run_vmemmap, arguments) -> None:
    ran = run_vmemmap("page", built.path, *arguments)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1


def test_pages_to_parquet(built, run_vmemmap, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    built.machine.exclude(built.machine.blocks[1].phys, 65536)
    built.saved()
    out = tmp_path / "pages.parquet"
    out.write_text("what was there before")
    ran = run_vmemmap("pages", built.path, "-o", out)
    assert ran.code == 1  # some are unknown
    table = parquet.read_table(out).to_pydict()
    group = parquet.ParquetFile(out).metadata.row_group(0).to_dict()
    columns = {column["path_in_schema"]: column for column in group["columns"]}
    assert "DELTA_BINARY_PACKED" in columns["pfn"]["encodings"]
    assert columns["pfn"]["statistics"]["min"] == min(table["pfn"])
    assert columns["kind"]["statistics"] is None, "words have no order that means anything"
    with built.open() as core:
        usage = core.usage()
    assert len(table["pfn"]) == usage.pages
    assert {k: table["kind"].count(k) for k in usage.kinds} == usage.kinds
    unknown = [
        flags
        for flags, kind in zip(table["flags"], table["kind"], strict=True)
        if kind == "unknown"
    ]
    assert unknown == [None] * 1024
    assert table["why"].count("excluded") == 1024
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages.parquet", "vmcore"]
    ran = run_vmemmap(
        "pages", built.path, "-o", tmp_path / "no" / "where.parquet", "--fields", "pfn"
    )
    assert ran.code == 3
    assert ran.err.startswith(f"vmemmap: {tmp_path}")
    arrow = pytest.importorskip("pyarrow")
    small = tmp_path / "few.arrow"
    assert run_vmemmap("pages", built.path, "-o", small, "--fields", "kind,pfn").code == 1
    with arrow.ipc.open_file(small) as file:
        assert file.schema.names == ["pfn", "kind"]
    assert run_vmemmap("pages", built.path, "-o", small, "--fields", "colour").code == 2


@pytest.mark.parametrize("name", ["x.feather", "x.arrow", "x.ARROW", "x.Feather"])
def test_pages_to_arrow(built, run_vmemmap, tmp_path, name) -> None:
    feather = pytest.importorskip("pyarrow.feather")
    out = tmp_path / name
    assert run_vmemmap("pages", built.path, "-o", out, "--fields", "pfn,kind").code == 0
    table = feather.read_table(out)
    assert table.column_names == ["pfn", "kind"]
    with built.open() as core:
        assert table["pfn"].to_pylist() == [
            pfn for chunk in core.pages.scan(("pfn",)) for pfn in chunk["pfn"].tolist()
        ]


def test_pages_to_parquet_in_capitals(built, run_vmemmap, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "x.PARQUET"
    assert run_vmemmap("pages", built.path, "-o", out, "--fields", "pfn").code == 0
    assert parquet.read_table(out).column_names == ["pfn"]


def test_pages_says_what_to_install(built, run_vmemmap, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = run_vmemmap("pages", built.path, "-o", tmp_path / "out.parquet")
    assert ran.code == 2
    assert "pip install 'vmemmap[parquet]'" in ran.err
    assert not (tmp_path / "out").exists()


def test_pages_into_a_file_of_another_kind(run_vmemmap, tmp_path) -> None:
    built = one_of_everything(tmp_path / "vmcore", "6.1.0", "little")
    ran = run_vmemmap("pages", built.path, "-o", tmp_path / "out.txt")
    assert ran.code == 2
    assert "name it .parquet or .arrow" in ran.err
    assert not (tmp_path / "out.txt").exists()


def test_some_pages_as_csv_and_json_lines(built, run_vmemmap, tmp_path) -> None:
    def asked(*options: object) -> str:
        ran = run_vmemmap("pages", built.path, *options)
        assert ran.code == 0
        out: str = ran.out
        return out

    kinds = built.pages.kinds
    slab = sorted(pfn for pfn, kind in kinds.items() if kind == "slab")
    lines = asked("--kind", "slab", "--node", 0, "-f", "jsonl").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["pfn"] for row in rows] == slab
    assert {row["kind"] for row in rows} == {"slab"}
    with built.open() as core:
        for row in rows[:3]:
            page = core.pages[row["pfn"]]
            assert (int(row["flags"], 16), row["refcount"]) == (page.flags_raw, page.refcount)
    pfn = slab[0]
    text = asked("--range", f"{pfn}-pfn:{pfn + 2:#x}", "--fields", "kind,pfn,head")
    heading, *found = csv.reader(io.StringIO(text))
    assert heading == ["pfn", "kind", "head"]
    assert [row[0] for row in found] == [str(pfn), str(pfn + 1)]
    assert asked("--kind", "slab", "--node", 77, "--fields", "pfn") == "pfn\n"
    out = tmp_path / "slab.CSV"
    assert asked("--kind", "slab", "--fields", "pfn", "-o", out) == ""
    assert out.read_text().split() == ["pfn", *map(str, slab)]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_a_table_of_some_to_a_pipe(built, vmemmap_script, form: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for kind in ("anon", "hwpoison", "device"):
        command = f"{vmemmap_script} pages {built.path} --kind {kind} --fields pfn -f {form} | cat"
        ran = subprocess.run(command, shell=True, capture_output=True, check=True)
        data = io.BytesIO(ran.stdout)
        # Who reads a stream need not know where it ends, as who reads a file does.
        is_arrow = form == "arrow"
        table = arrow.ipc.open_stream(data).read_all() if is_arrow else parquet.read_table(data)
        pfns = sorted(pfn for pfn, word in built.pages.kinds.items() if word == kind)
        assert table.to_pydict() == {"pfn": pfns}


@pytest.mark.parametrize(
    "options", [("--kind", "slob"), ("--range", "5"), ("--range", "9-9"), ("--range", "0x1-2")]
)
def test_what_chooses_nothing_is_one_line(built, run_vmemmap, options) -> None:
    ran = run_vmemmap("pages", built.path, *options)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1
