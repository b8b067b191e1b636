"""The commands read and ptov: what builders put into memory, and what real dumps' witnesses say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from builders.machine import Machine, build_machine

LINEAR = 0xC000_0000_0000_0000


@pytest.fixture(scope="module", params=["little", "big"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return build_machine(
        byte_order=request.param, blocks=(0, 1, 4), layout="c00c", page_size=65536, block_shift=16
    )


@pytest.fixture
def dump(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    return path


def test_bytes_and_words(run_vmemmap, machine: Machine, dump: Path) -> None:
    at = machine.symbols["vmemmap_list"]
    data = machine.read(at, 40)
    ran = run_vmemmap("read", dump, "vmemmap_list", 40, "-f", "json")
    assert ran.code == 0
    assert ran.json["pieces"] == [{"start": f"{at:#x}", "end": f"{at + 40:#x}", "data": data.hex()}]
    assert (ran.json["symbol"], ran.json["space"]) == ("vmemmap_list", "virtual")
    physical = run_vmemmap("read", dump, f"{at - LINEAR:#x}", "0x28", "-f", "json").json
    assert physical["pieces"][0]["data"] == data.hex()
    assert physical["space"] == "physical"
    heading, *lines = run_vmemmap("read", dump, f"{at:x}", 40).out.splitlines()
    assert heading == f"virtual {at:#x}, 40 bytes"
    assert "".join(line[20:59].replace(" ", "") for line in lines) == data.hex()
    heading, *lines = run_vmemmap("read", dump, f"{at:x}", 40, "-w", 8).out.splitlines()
    shown = [int(word, 16) for line in lines for word in line[20:53].split()]
    assert shown == [
        int.from_bytes(data[at : at + 8], machine.byte_order) for at in range(0, 40, 8)
    ]
    assert all(len(line) <= 80 for line in lines)


def test_across_two_blocks_of_the_vmemmap_into_a_file(run_vmemmap, machine, dump) -> None:
    first, second = machine.blocks[:2]
    out = dump.parent / "out"
    ran = run_vmemmap("read", dump, f"{first.virt + 65536 - 100:#x}", 200, "-o", out)
    assert ran.code == 0
    expected = machine.read(first.phys + 65536 - 100 + LINEAR, 100)
    assert out.read_bytes() == expected + machine.read(second.phys + LINEAR, 100)


def test_what_is_missing_is_told_in_its_place_and_never_zero(run_vmemmap, tmp_path: Path) -> None:
    machine = build_machine(blocks=(0, 1, 2), page_size=65536, block_shift=16)
    first, second, third = machine.blocks
    machine.exclude(second.phys, 65536)
    dump, out = tmp_path / "vmcore", tmp_path / "out"
    dump.write_bytes(machine.kdump())
    words = ("read", dump, f"{first.virt + 65536 - 16:#x}", 65536 + 32)
    ran = run_vmemmap(*words, "-f", "json")
    assert ran.code == 1
    before, gone, behind = ran.json["pieces"]
    assert before["data"] == machine.read(first.phys + 65536 - 16 + LINEAR, 16).hex()
    assert (gone["start"], gone["end"]) == (f"{second.virt:#x}", f"{third.virt:#x}")
    assert "data" not in gone
    assert gone["error"] == "excluded"
    assert behind["data"] == machine.read(third.phys + LINEAR, 16).hex()
    text = run_vmemmap(*words)
    assert text.code == 1
    assert f"{gone['start']} - {gone['end']}: " in text.out
    assert "0000 0000 0000 0000 0000 0000 0000 0000" not in text.out
    out.write_bytes(b"before")
    ran = run_vmemmap(*words, "-o", out)
    assert (ran.code, out.read_bytes()) == (1, b"before")
    assert "nothing is written" in ran.err
    unbacked = run_vmemmap("read", dump, f"{third.virt + 65536:#x}", "-f", "json").json["pieces"]
    assert [piece["error"] for piece in unbacked] == ["not_backed"]


@pytest.mark.parametrize(
    "words",
    [
        *[(), ("4096",), ("0x10", "0x"), ("0x10", "12Q"), ("0x10", "1", "2"), ("0x10", "-5")],
        *[("0x10", "1T"), ("0xffffffffffffff00", "512"), ("pfn:x",), ("nothing_of_this_name",)],
    ],
)
@pytest.mark.parametrize("command", ["read", "ptov"])
def test_wrong_words_are_one_line(command, words, run_vmemmap, dump) -> None:
    if command == "ptov" and len(words) > 1 and words[0] == "0xffffffffffffff00":
        words = ("512",)
    ran = run_vmemmap(command, dump, *words)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1


def test_ptov_is_the_way_back_of_vtop(run_vmemmap, machine: Machine, dump: Path) -> None:
    for block in machine.blocks:
        (row,) = run_vmemmap("ptov", dump, f"{block.phys + 8:#x}", "-f", "json").json
        assert (row["in_dump"], row["pfn"]) == (True, block.phys >> 16)
        assert [(each["method"], each["virt"]) for each in row["virtual"]] == [
            ("linear", f"{LINEAR + block.phys + 8:#x}"),
            ("vmemmap_list", f"{block.virt + 8:#x}"),
        ]
        (page,) = run_vmemmap("ptov", dump, f"pfn:{block.phys >> 16}", "-f", "json").json
        assert page["virtual"][1]["virt"] == f"{block.virt:#x}"
    text = run_vmemmap("ptov", dump, f"{machine.blocks[0].phys:#x}").out
    assert all(len(line) <= 80 for line in text.splitlines())


def test_what_one_command_prints_the_next_takes(run_vmemmap, machine: Machine, dump: Path) -> None:
    """list, then page of its pfns, then read and ptov of what page prints."""
    for line in run_vmemmap("list", dump).out.splitlines()[1:-1]:
        _, node, virt, phys, start, _, _ = line.split()
        page = run_vmemmap("page", dump, start)
        assert page.out.startswith(f"pfn {start}, physical ")
        struct_page = re.search(r"struct page +(0x[0-9a-f]+), physical (0x[0-9a-f]+)", page.out)
        assert struct_page is not None
        assert struct_page[1] == virt
        assert run_vmemmap("vtop", dump, struct_page[1]).out.split()[7] == struct_page[2]
        for address in (node, virt, phys):
            assert run_vmemmap("read", dump, address, 16).code == 0, address
        page = run_vmemmap("read", dump, f"pfn:{start}", 16)
        assert page.out.startswith(f"physical {int(start) << 16:#x}, 16 bytes")
        assert run_vmemmap("ptov", dump, phys).code == 0


def test_a_struct_page_as_crash_reads_it(run_vmemmap, real_dump, truth) -> None:
    """`rd` of crash, in words, beside ours; what it shows there of a list's block."""
    said = truth("hash-64k-6.1.crash-vtop.txt")
    found = re.findall(r"^(c[0-9a-f]{15}):  ([0-9a-f]{16}) ([0-9a-f]{16})", said, re.MULTILINE)
    assert found
    dump = real_dump("hash-64k-6.1/vmcore.d31.lzo")
    for address, *words in found:
        ran = run_vmemmap("read", dump, address, 16, "-w", 8)
        if ran.code == 0:  # crash had the unfiltered dump
            assert ran.out.splitlines()[1].split()[1:3] == words
    assert ran.code == 0


def test_bytes_to_a_pipe_that_closes(vmemmap_script, machine: Machine, dump: Path) -> None:
    at = machine.blocks[0].virt
    command = f"{vmemmap_script} read {dump} {at:#x} 128K -o - | head -c 3 | wc -c"
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (ran.stdout.strip(), ran.stderr) == ("3", "")
