"""Objects show themselves: addresses in hex, tables short with their count, HTML escaped."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import vmemmap
from builders.machine import Machine, build_machine
from vmemmap import Kind
from vmemmap.facts.fact import Fact, Facts, Origin
from vmemmap.frames import Columns, to_arrow, to_pandas, to_polars
from vmemmap.report import as_csv, as_json
from vmemmap.shown import ShortTable, escaped


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=24, page_size=65536, block_shift=16)


@pytest.fixture
def core(machine: Machine, tmp_path: Path) -> Iterator[vmemmap.Vmcore]:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    with vmemmap.open(path) as opened:
        yield opened


def test_addresses_are_in_hex_and_long_tables_short(core, machine: Machine) -> None:
    first = machine.entries[0]
    assert f"node={first.node:#x}, phys={first.phys:#x}, virt={first.virt:#x}" in repr(
        core.backing[0]
    )
    assert f"virt={first.virt:#x}, phys={first.phys:#x}" in repr(core.vtop(first.virt))
    text = repr(core.backing)
    assert text.startswith("BackingTable: 24 entries, blocks of 64 KiB, 1.5 MiB\n")
    assert len(text.splitlines()) < 15
    assert core.backing._repr_html_().count("<tr>") < 15
    assert machine.release in repr(core)
    assert f"<td>{machine.release}</td>" in core._repr_html_()
    order, bars = core.backing._repr_html_(), core.usage()._repr_html_()
    assert order.count("<svg") == 1 <= bars.count("<svg")
    assert f"{len(core.pages)} pages of 64 KiB" in repr(core.pages)
    assert "mmu = hash" in repr(core.facts)
    assert repr(core.usage()).startswith(f"Usage: {len(core.pages)} pages in ")
    page = core.pages[core.backing[0].pfn_start]
    assert f"phys={page.phys:#x}, virt={page.virt:#x}" in repr(page)
    checked = core.check()
    title, *more = repr(checked).splitlines()
    assert title == f"CheckReport: 24 entries, {len(checked.findings)} findings"
    assert [line.strip() for line in more[: len(checked.findings)]] == [*map(str, checked.findings)]
    many = core.vtop_many(np.array([first.virt, 1], dtype=np.uint64))
    assert repr(many).split() == [
        *["BulkTranslation:", "2", "addresses,", "1", "without", "a", "translation", "#", "phys"],
        *("0", f"{first.phys:#x}", "1", "-"),
    ]
    assert f"start={core.layout.regions[0].start:#x}" in repr(core.layout)
    with pytest.raises(TypeError, match=r"found \[1, 2\]; vtop_many\(\) takes many"):
        core.vtop([1, 2])


def test_what_a_dump_says_is_escaped_in_html() -> None:
    facts = Facts()
    facts.add(Fact("release", "<script>&", Origin.USER, "<b>"))
    html = facts._repr_html_()
    assert "<script>" not in html
    assert "<td>&lt;script&gt;&amp;</td>" in html
    assert "<b>" not in html
    assert "<i>" not in ShortTable("<i>", ("<i>",), 1, lambda _: ("<i>",)).as_html()


def test_kinds_are_words_and_in_arrays_numbers() -> None:
    for kind in Kind:
        assert str(kind) == f"{kind}" == kind.word
        assert kind == kind.word
        assert (kind != kind.word) is False
        assert kind != "nothing"
        assert np.array([kind.value], dtype=np.uint8) == kind
        assert f"{kind:d}" == str(kind.value)


def test_results_can_be_copied_and_sent(core, tmp_path: Path) -> None:
    """To other processes, as survey's and a notebook's are; what is still read from cannot."""
    core.backing.blocks.find(0)  # which it keeps
    found = (core.check(), core.usage(), core.backing[3], core.vtop(core.backing[3].virt))
    for each in (*found, core.extract(tmp_path / "out")):
        assert pickle.loads(pickle.dumps(each)) == each == copy.deepcopy(each)
    table = pickle.loads(pickle.dumps(core.backing))
    assert list(table) == list(core.backing) == list(copy.deepcopy(core.backing))
    assert table.entry_at(table[3].virt) == 3
    checked = core.check()
    assert checked != replace(checked, coverage=replace(checked.coverage, origin="another"))
    for each in (core, core.pages, core.source):
        with pytest.raises(TypeError, match="cannot be pickled, nor can what reads from it: hand"):
            pickle.dumps(each)


def test_what_prints_itself_fits_on_a_page(core, tmp_path: Path) -> None:
    made = core.report(tmp_path / "page.html")
    size = (tmp_path / "page.html").stat().st_size
    assert repr(made) == (
        f"<Report: {size / 1024:.2f} KiB of HTML without log, {len(made.findings)} findings>"
    )
    (tmp_path / "later").write_bytes((tmp_path / "vmcore").read_bytes())
    with vmemmap.open(tmp_path / "later") as later:
        found = core.compare(later)
    assert repr(found).endswith("later': 0 facts, 0 entries, 0 pages not alike>")


def test_errors_speak_of_what_was_given(core, tmp_path: Path) -> None:
    for wrong, said in (
        ({"assume": "mmu=hash"}, r"expected assumptions as a dict, as {'mmu': 'hash'}, found 'mmu"),
        ({"assume": {"kernel": 5}}, "kernel cannot be '5'; expected one of 1, 2"),
        ({"effort": 0}, "effort: expected 1 or more, found 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=said):
            vmemmap.open(core.source.path, **cast("Any", wrong))
    for ask, named in (
        (lambda: vmemmap.open(core.source.path, vmlinux=tmp_path / "none"), "the vmlinux: "),
        (lambda: core.filter(tmp_path / "none" / "out"), "the output: "),
    ):
        with pytest.raises(vmemmap.VmemmapError) as told:
            ask()
        assert told.value.__notes__[0].startswith(f"{named}{tmp_path}/none")
    for options, said in (
        ({"classes": "dmsg"}, "there is no class 'dmsg'"),
        ({"codec": "zst"}, "there is no codec 'zst': expected zstd, "),
    ):
        with pytest.raises(ValueError, match=said):
            core.extract(tmp_path / "out", **cast("Any", options))
    for refused, said in (
        (lambda: core.filter(5), "expected the path of the output, or several, or a stream"),
        (lambda: core.filter(io.StringIO()), "takes texts, not bytes: open it in binary mode"),
        (lambda: core.filter(tmp_path / "out", "31"), "expected a dump level as an integer"),
        (lambda: core.compare("later"), r"found 'later': vmemmap\.open\(\) gives one"),
    ):
        with pytest.raises(TypeError, match=said):
            refused()
    with pytest.raises(vmemmap.FactError):
        core.vtop("vmemap_list")
    for ask in (lambda: core.vtop(1.5), lambda: core.pages[1.5]):
        with pytest.raises(TypeError, match=r"1\.5"):
            ask()
    with pytest.raises(IndexError, match="no entry 24: the list has 24 entries"):
        core.backing[24]
    with pytest.raises(KeyError, match="there is no fact 'mu'"):
        core.facts["mu"]
    with pytest.raises(TypeError, match="found 5"):
        vmemmap.open(cast("Any", 5))
    with pytest.raises(vmemmap.UnreadableFile) as caught:
        vmemmap.open(tmp_path / "nothing here")
    assert "nothing here" in caught.value.__notes__[0]


def test_addresses_as_they_come(core, machine: Machine) -> None:
    symbol = machine.symbols["vmemmap_list"]
    assert core.vtop("vmemmap_list").virt == symbol
    assert core.vtop("vmemmap_list+0x8").virt == symbol + 8
    assert core.read("vmemmap_list", 8) == machine.read(symbol, 8)
    virt = [entry.virt + 8 for entry in machine.entries]
    expected = [entry.phys + 8 for entry in machine.entries]
    many = np.array(virt, dtype=np.uint64)
    for given in (many, many.astype(">u8"), virt):
        phys, mask = core.vtop_many(given)
        assert mask.all()
        assert phys.tolist() == expected
    with pytest.raises(ValueError, match=r"found int64 of shape \(24,\): addresses\.view"):
        core.vtop_many(many.view(np.int64))
    with pytest.raises(ValueError, match=r"found a list: np\.array"):
        core.vtop_many([1, -1])


def test_a_list_of_paths_is_a_split_dump(machine: Machine, tmp_path: Path) -> None:
    limit = machine.ram_end // machine.page_size
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, span in zip(paths, ((0, 20), (20, limit)), strict=True):
        path.write_bytes(machine.kdump(split=span, max_mapnr=limit))
    with vmemmap.open(paths) as core:
        assert len(core.backing) == len(machine.entries)


def test_none_is_null_in_every_kind_of_table() -> None:
    big = (1 << 64) - 2
    columns: Columns = {
        "virt": np.ma.array(np.array([1, big, 3], dtype=np.uint64), mask=[True, False, False]),
        "node": [0, None, 2],
        "name": ["a", None, "c"],
    }
    rows = {"virt": [None, big, 3], "node": [0, None, 2], "name": ["a", None, "c"]}
    tried = 0
    for make, values in (
        (to_arrow, lambda table: table.to_pydict()),
        (to_polars, lambda table: table.to_dict(as_series=False)),
        (to_pandas, lambda table: {n: table[n].astype(object).tolist() for n in table}),
    ):
        name = make.__name__.removeprefix("to_")
        if find_spec("pyarrow" if name == "arrow" else name) is None:
            with pytest.raises(ImportError, match=f"pip install {name}"):
                make(columns)
            continue
        table = make(columns)
        tried += 1
        found = values(table)
        assert {
            n: [None if v is None or str(v) == "<NA>" else v for v in found[n]] for n in found
        } == rows
    assert tried


def test_dir_has_what_is_public() -> None:
    assert {name for name in dir(vmemmap) if not name.startswith("__")} == set(vmemmap.__all__)


def test_a_name_that_is_no_text_is_one_in_every_form() -> None:
    """JSON of it would be refused by strict readers, and its bytes told as characters that are."""
    name = "gr\u00f6\u00dfe\udcff\n"
    assert escaped(name) == "gr\u00f6\u00dfe" + r"\xff\n"
    record = {"path": name, "files": [{"name": (name, "\U0001f600", 1)}]}
    shown = "gr\u00f6\u00dfe\\xff\n"
    expected = {"path": shown, "files": [{"name": [shown, "\U0001f600", 1]}]}
    for text in (as_json.dump(record), "".join(as_json.lines(as_json.LongRecord("r", [record])))):
        found = json.loads(text)
        assert found in (expected, {"r": [expected]})
        json.dumps(found, ensure_ascii=False).encode()
    assert list(as_csv.rows(["a"], [{"a": "\udcff"}])) == ["\\xff\n"]
