"""info, list and vtop as a user meets them, on synthetic machines with known answers."""

from __future__ import annotations

import csv
import io
import os
import subprocess
from pathlib import Path

import pytest

from builders.machine import Machine, build_machine


@pytest.fixture(scope="module", params=["little", "big"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return build_machine(byte_order=request.param, page_size=65536, block_shift=16, blocks=40)


@pytest.fixture
def dump(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    return path


def test_list_json_is_the_known_answer(run_vmemmap, machine, dump) -> None:
    ran = run_vmemmap("list", dump, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    pages = machine.block_size // 64
    assert ran.json["block_size"] == machine.block_size
    assert ran.json["findings"] == []
    assert ran.json["entries"] == [
        {
            "node": f"{entry.node:#x}",
            "phys": f"{entry.phys:#x}",
            "virt": f"{entry.virt:#x}",
            "pfn_start": (entry.virt - machine.vmemmap_base) // 64,
            "pfn_end": (entry.virt - machine.vmemmap_base) // 64 + pages,
        }
        for entry in machine.entries
    ]


def test_list_csv_has_the_same_rows_as_json(run_vmemmap, dump) -> None:
    rows = list(csv.DictReader(io.StringIO(run_vmemmap("list", dump, "-f", "csv").out)))
    entries = run_vmemmap("list", dump, "-f", "json").json["entries"]
    assert rows == [{key: str(value) for key, value in entry.items()} for entry in entries]


def test_list_text_has_a_line_for_each_entry_and_a_summary(run_vmemmap, machine, dump) -> None:
    lines = run_vmemmap("list", dump).out.splitlines()
    assert len(lines) == len(machine.entries) + 2
    for line, entry in zip(lines[1:], machine.entries, strict=False):
        assert f"{entry.virt:#x}" in line
        assert f"{entry.phys:#x}" in line
    assert lines[-1].startswith(f"{len(machine.entries)} entries, blocks of 64 KiB")


def test_list_crash_lines(run_vmemmap, machine, dump) -> None:
    expected = "".join(
        f"      vmemmap_list[{i}]: virt: {entry.virt:x}  phys: {entry.phys:x}\n"
        for i, entry in enumerate(machine.entries)
    )
    assert run_vmemmap("list", dump, "--format", "crash").out == expected


def test_info_json_has_every_member_of_the_contract(run_vmemmap, machine, dump) -> None:
    ran = run_vmemmap("info", dump, "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    info = ran.json
    assert info["dump"] | {"ranges": None, "warnings": None, "path": None} == {
        "format": "kdump",
        "container_byte_order": machine.byte_order,
        "memory_byte_order": machine.byte_order,
        "page_size": 65536,
        "dump_level": 31,
        "codec": "zlib",
        "header_version": 6,
        "incomplete": False,
        "extract": None,
        "ranges": None,
        "warnings": None,
        "path": None,
    }
    assert info["kernel"] == {
        "release": machine.release,
        "machine": "ppc64le" if machine.byte_order == "little" else "ppc64",
        "mmu": "hash",
        "page_size": 65536,
    }
    vmemmap = info["vmemmap"]
    assert vmemmap["base"] == f"{machine.vmemmap_base:#x}"
    assert vmemmap["block_size"] == machine.block_size
    assert vmemmap["entries"] == len(machine.entries)
    assert vmemmap["struct_page_size"] == 64
    assert vmemmap["bytes"] == len(machine.entries) * machine.block_size
    assert vmemmap["node_pages"] == len({entry.node >> 16 for entry in machine.entries})
    assert vmemmap["unused_slots"] == vmemmap["node_pages"] * 2730 - len(machine.entries)
    origins = {fact["name"]: fact["origin"] for fact in info["facts"]}
    assert origins["page_size"] == "vmcoreinfo"
    assert origins["block_size"] == "derived"
    assert set(origins.values()) <= {"vmcoreinfo", "kallsyms", "derived", "assumed", "user"}


def test_info_text_names_mmu_and_origin_of_each_fact(run_vmemmap, dump) -> None:
    text = run_vmemmap("info", dump).out
    assert "MMU         hash" in text
    facts = text.split("Facts, and where each comes from")[1].splitlines()
    for fact in run_vmemmap("info", dump, "-f", "json").json["facts"]:
        row = next(line for line in facts if line.startswith(f"  {fact['name']} "))
        assert fact["origin"] in row
        assert str(fact["value"]) in row


def test_vtop_json_gives_answers_and_reasons(run_vmemmap, machine, dump) -> None:
    block = machine.blocks[3]
    beyond = max(b.virt for b in machine.blocks) + machine.block_size
    ran = run_vmemmap(
        "vtop", dump, "-f", "json",
        f"{block.virt:x}", f"{block.virt + machine.block_size - 1:#x}", f"{beyond:#x}",
        "0xc000000000000010", "0xc008000000000000", "0x1000",
    )  # fmt: skip
    assert ran.code == 1
    first, last, outside, linear, vmalloc, user = ran.json
    assert first["phys"] == f"{block.phys:#x}"
    assert last["phys"] == f"{block.phys + machine.block_size - 1:#x}"
    assert first["method"] == last["method"] == "vmemmap_list"
    assert first["in_dump"] is True
    assert machine.entries[first["entry"]].virt == block.virt == int(first["block_virt"], 16)
    assert (linear["phys"], linear["method"]) == ("0x10", "linear")
    assert outside["error"] == "not_backed"
    assert "nearest below" in outside["reason"]
    assert vmalloc["error"] == "not_present"
    assert "pgd entry is 0x0" in vmalloc["reason"]
    assert user["error"] == "no_region"


def test_vtop_exit_code_is_zero_when_every_address_translates(run_vmemmap, machine, dump) -> None:
    ran = run_vmemmap("vtop", dump, f"{machine.blocks[0].virt:x}", "C000000000000000")
    assert ran.code == 0
    assert [line[:2] for line in ran.out.splitlines()] == ["vi", "0x", "  ", "0x"]


def test_vtop_csv(run_vmemmap, machine, dump) -> None:
    ran = run_vmemmap("vtop", dump, f"{machine.blocks[0].virt:x}", "0x12", "--format", "csv")
    good, bad = csv.DictReader(io.StringIO(ran.out))
    assert good["phys"] == f"{machine.blocks[0].phys:#x}"
    assert (good["in_dump"], good["error"]) == ("true", "")
    assert (bad["phys"], bad["error"]) == ("", "no_region")


def test_damaged_list_is_printed_as_far_as_it_goes(run_vmemmap, tmp_path) -> None:
    machine = build_machine(page_size=4096, block_shift=12, blocks=300)
    machine.poke_node(120, link=machine.entries[5].node)
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf())
    ran = run_vmemmap("list", path, "-f", "json")
    assert ran.code == 1
    assert len(ran.json["entries"]) == 121
    (finding,) = ran.json["findings"]
    assert (finding["code"], finding["severity"]) == ("list_cycle", "error")
    assert finding["node"] == f"{machine.entries[120].node:#x}"
    text = run_vmemmap("list", path)
    assert text.code == 1
    assert "list_cycle" in text.err
    assert len(text.err.splitlines()) == 1
    assert run_vmemmap("info", path).code == 1


def test_empty_list_on_radix_is_fine_and_explained(run_vmemmap, tmp_path) -> None:
    machine = build_machine(mmu="radix", release="6.12.0", blocks=4, block_shift=21)
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf())
    ran = run_vmemmap("list", path)
    assert ran.code == 0
    assert "radix" in ran.out
    assert run_vmemmap("list", path, "-f", "json").json["entries"] == []
    info = run_vmemmap("info", path, "-f", "json").json
    assert info["kernel"]["mmu"] == "radix"
    assert (info["vmemmap"]["entries"], info["vmemmap"]["block_size"]) == (0, None)
    block = machine.blocks[0]
    (row,) = run_vmemmap("vtop", path, f"{block.virt + 64:x}", "-f", "json").json
    assert (row["phys"], row["method"]) == (f"{block.phys + 64:#x}", "page_table")


def test_closed_pipe_is_no_error(dump: Path, vmemmap_script: Path) -> None:
    shell = f"'{vmemmap_script}' list '{dump}' --format crash | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_no_colour_in_a_pipe(dump: Path, vmemmap_script: Path) -> None:
    done = subprocess.run(
        [vmemmap_script, "info", dump], capture_output=True, check=True, env=dict(os.environ)
    )
    assert b"\x1b" not in done.stdout


def test_python_dash_m_works(run_vmemmap, vmemmap_script: Path) -> None:
    python = vmemmap_script.parent / "python"
    done = subprocess.run(
        [python, "-m", "vmemmap", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == run_vmemmap("--version").out
    assert done.stdout.startswith("vmemmap 0.")


@pytest.mark.parametrize("command", ["info", "list", "vtop"])
def test_every_command_has_help(run_vmemmap, command) -> None:
    ran = run_vmemmap(command, "--help")
    assert ran.code == 0
    assert "DUMP..." in ran.out
    assert "--format" in ran.out
    assert command in run_vmemmap("--help").out
