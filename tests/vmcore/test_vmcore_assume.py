"""Facts given by the user: they go before the dump's, are shown as the user's, and are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

import vmemmap
from builders.machine import Machine, build_machine
from translate.eras import Mapped, mapped
from vmemmap.errors import FactConflict, FactError, NotPresent


@pytest.fixture(scope="module")
def old() -> Mapped:
    """A kernel that exports no list, and here no areas: nothing tells its layout."""
    return mapped(65536, "2.6.35-22", "f000", "hash-64k-2.6.35", byte_order="big")


def written(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    return path


def test_a_layout_opens_a_kernel_that_tells_none(old: Mapped, tmp_path: Path) -> None:
    path = written(old.machine, tmp_path)
    with vmemmap.open(path) as core, pytest.raises(FactError):
        core.vtop(old.areas[0])
    with vmemmap.open(path, assume={"layout": "0xf"}) as core:
        for virt, phys in old.pages.items():
            assert core.vtop(virt + 3).phys == phys + 3
        assert core.facts["layout"].origin == "user"
        table = core.facts["page_table"]
        assert table.origin == "assumed"
        assert table.detail.endswith(", and so would hash-64k-3.7: decided by the release")
        with pytest.raises(FactError, match="vmemmap_list"):
            core.vtop(0xF000000000000000)


def test_known_areas_tell_the_layout_of_a_kernel_without_a_list(tmp_path: Path) -> None:
    built = mapped(4096, "2.6.35-22", "f000", "hash-4k-2.6.35", byte_order="big")
    built.machine.list_areas(built.areas)
    with vmemmap.open(written(built.machine, tmp_path)) as core:
        assert core.layout.name == "0xf"
        assert "areas in vmlist" in core.facts["layout"].detail
        for virt, phys in built.pages.items():
            assert core.vtop(virt).phys == phys


def test_an_error_names_a_format_that_may_be_another(old: Mapped, tmp_path: Path) -> None:
    virt = 0xD000_0FFF_FFFF_0000
    path = written(old.machine, tmp_path)
    assert virt not in old.pages
    for word, given in (("is assumed", {}), ("was given", {"page_table": "hash-64k-3.7"})):
        with vmemmap.open(path, assume={"layout": "0xf", **given}) as core:
            form = core.page_table.value
            with pytest.raises(vmemmap.NotPresent, match=f", read as {form}, which {word}$"):
                core.vtop(virt)
    sure = mapped(65536, "4.18.0-80", "f000", "hash-64k-4.17")
    sure.machine.list_areas(sure.areas)
    with vmemmap.open(written(sure.machine, tmp_path)) as core:
        assert core.page_table.origin == "derived"
        with pytest.raises(vmemmap.NotPresent) as caught:
            core.vtop(virt)
    assert "read as" not in str(caught.value)


def test_a_page_table_is_used_as_given(tmp_path: Path) -> None:
    built = mapped(65536, "4.18.0-80", "f000", "hash-64k-4.17")
    path = written(built.machine, tmp_path)
    virt = max(built.pages)
    with vmemmap.open(path) as core:
        assert core.vtop(virt).phys == built.pages[virt]
    with vmemmap.open(path, assume={"page_table": "hash-64k-4.12"}) as core:
        fact = core.facts["page_table"]
        assert (fact.value, fact.origin) == ("hash-64k-4.12", "user")
        assert fact.detail.startswith("given by the user")
        with pytest.raises(NotPresent):
            core.vtop(virt)


def test_the_mmu_and_the_byte_order(tmp_path: Path) -> None:
    machine = build_machine(blocks=4, mmu="hash", release="6.12.0")
    path = written(machine, tmp_path)
    with vmemmap.open(path, assume={"mmu": "radix"}) as core:
        assert (core.mmu.value, core.mmu.origin) == ("radix", "user")
        assert core.page_table.value == "radix-64k-4.11"
    with vmemmap.open(path, assume={"memory_byte_order": "big"}) as core:
        assert core.kernel.order == "big"
        assert core.kernel.memory_byte_order.origin == "user"
    with vmemmap.open(path, assume={}) as core:
        assert core.kernel.order == "little"


def test_a_page_table_of_another_mmu_or_page_size(tmp_path: Path) -> None:
    path = written(build_machine(blocks=4), tmp_path)
    for name in ("hash-4k-4.11", "radix-64k-4.11"):
        with vmemmap.open(path, assume={"page_table": name}) as core:
            with pytest.raises(FactConflict, match=f"page_table={name} was given") as caught:
                core.vtop(0xC008000000000000)
            assert "hash-64k-4.17" in str(caught.value)
            assert core.vtop(core.backing.virt[0]).method == "vmemmap_list"


@pytest.mark.parametrize(
    ("assume", "words"),
    [
        ({"layuot": "0xf"}, "kernel, layout, memory_byte_order, mmu, page_table"),
        ({"mmu": "book3e"}, "hash, radix"),
        ({"page_table": "hash"}, "hash-64k-4.17"),
        ({"layout": "book3e 0x8000"}, "0xc00c"),
    ],
)
def test_what_cannot_be_assumed(
    assume: dict[str, str], words: str, tmp_path: Path, run_vmemmap
) -> None:
    path = written(build_machine(blocks=2), tmp_path)
    with pytest.raises(ValueError, match=r"expected one of") as caught:
        vmemmap.open(path, assume=assume)
    assert words in str(caught.value)
    ((name, value),) = assume.items()
    for command in (["info", path], ["list", path], ["vtop", path, "c000000000000000"]):
        ran = run_vmemmap(*command, "--assume", f"{name}={value}")
        assert (ran.code, ran.out) == (2, "")
        assert words in ran.err
        assert len(ran.err.splitlines()) == 1


def test_on_the_command_line(tmp_path: Path, run_vmemmap) -> None:
    path = written(build_machine(blocks=2), tmp_path)
    ran = run_vmemmap("info", path, "--assume", "page_table", "-f", "json")
    assert (ran.code, ran.out) == (2, "")
    assert "NAME=VALUE" in ran.err
    ran = run_vmemmap(
        "info", path, "--assume", "page_table=hash-64k-4.17", "--assume", "mmu=hash", "-f", "json"
    )
    assert (ran.code, ran.err) == (0, "")
    origins = {fact["name"]: fact["origin"] for fact in ran.json["facts"]}
    assert origins["page_table"] == origins["mmu"] == "user"
    ran = run_vmemmap("vtop", path, "c008000000000000", "--assume", "page_table=radix-4k-4.7")
    assert ran.code == 3
    assert "page_table=radix-4k-4.7 was given" in ran.err


def test_a_layout_that_fits_no_entry_gives_no_pfns(tmp_path: Path, run_vmemmap) -> None:
    """They are unknown, which is not the same as a block without pages at pfn 0."""
    machine = build_machine(layout="c00c")
    path = tmp_path / "dump"
    path.write_bytes(machine.elf())
    ran = run_vmemmap("list", path, "--assume", "layout=0xf", "-f", "json")
    assert {(row["pfn_start"], row["pfn_end"]) for row in ran.json["entries"]} == {(None, None)}
    text = run_vmemmap("list", path, "--assume", "layout=0xf")
    assert text.code == 1
    assert text.out.count(" unknown\n") == len(machine.entries)
    assert "outside the vmemmap region, 0xf000000000000000 to 0xf002000000000000" in text.err
    with vmemmap.open(path, assume={"layout": "0xf"}) as core:
        assert {(entry.pfn_start, entry.pfn_end) for entry in core.backing} == {(None, None)}
