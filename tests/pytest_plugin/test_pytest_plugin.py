"""The pytest plugin, in the suite of a tool that is not ours: run by pytest's own pytester."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

pytest_plugins = "pytester"
ROOT = Path(__file__).resolve().parents[2]
# Also where the package is installed, the module under test is the one that is imported here.
OPTIONS = ("-p", "no:vmemmap", "-p", "vmemmap.pytest_plugin", "-p", "no:cacheprovider", "-q")

SUITE = """
import subprocess
import pytest
from elftools.elf.elffile import ELFFile
from vmemmap.simulate import HotplugEvent

pytestmark = pytest.mark.vmemmap(memory="64M")

def test_plain(vmcore):
    with open(vmcore, "rb") as file:
        elf = ELFFile(file)
        loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        assert elf.get_machine_arch() == "64-bit PowerPC"
        assert elf.little_endian
        assert [s["p_memsz"] for s in loads] == [64 << 20]

@pytest.mark.vmemmap(era="2.6.35", byte_order="big", page_size="4K", cpus=3,
                     events=[HotplugEvent("add", 1 << 30, 16 << 20)])
def test_old(vmcore):
    with open(vmcore, "rb") as file:
        elf = ELFFile(file)
        notes = [n for s in elf.iter_segments() if s["p_type"] == "PT_NOTE" for n in s.iter_notes()]
        assert not elf.little_endian
        assert sum(n["n_type"] == "NT_PRSTATUS" for n in notes) == 3
        # The entries by the bytes of the file: the head is a symbol, a node three words.
        loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        assert len(loads) == 2
    with open(vmcore.vmlinux, "rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        (head,) = [s["st_value"] for s in table.iter_symbols() if s.name == "vmemmap_list"]
    def word(virt):
        for s in loads:
            if s["p_vaddr"] <= virt < s["p_vaddr"] + s["p_memsz"]:
                with open(vmcore, "rb") as file:
                    file.seek(s["p_offset"] + virt - s["p_vaddr"])
                    return int.from_bytes(file.read(8), "big")
    found, node = [], word(head)
    while node:
        found.append((node, word(node + 8), word(node + 16)))
        node = word(node)
    assert found == [tuple(entry) for entry in vmcore.entries]
    assert len(found) == vmcore.list.entries >= 2

@pytest.mark.vmemmap(memory="1G", damage="cycle_self", pages={"cache": 30, "vmalloc": 0})
def test_damaged(vmcore):
    (harm,) = vmcore.damage
    assert harm.findings == ("list_cycle",)
    assert vmcore.pages.cache == vmcore.makedumpfile["cache"] == 30
    cache = [run for run in vmcore.known_pages if run.makedumpfile == "cache"]
    assert sum(run.pfn_end - run.pfn_start for run in cache) == 30

PACKED = [{"container": "kdump"}, {"container": "flattened", "codec": "none"}]

@pytest.mark.parametrize("vmcore", PACKED, indirect=True)
def test_containers(vmcore):
    with open(vmcore, "rb") as file:
        assert file.read(8) in (b"KDUMP   ", b"makedump")

@pytest.mark.vmemmap("machine.toml", byte_order="big")
def test_spec(vmemmap_machine):
    assert vmemmap_machine.kernel.release == "5.4.1"
    assert vmemmap_machine.kernel.byte_order == "big"
    assert vmemmap_machine.add_memory("1G", "16M").word == "done"
"""
WRONG = """
import pytest

@pytest.mark.vmemmap(relese="6.1")
def test_field(vmcore): pass

@pytest.mark.vmemmap(era="9.9")
def test_era(vmemmap_machine): pass

@pytest.mark.vmemmap(damage="rust")
def test_damage(vmcore): pass

@pytest.mark.vmemmap(container="tar")
def test_container(vmcore): pass

@pytest.mark.vmemmap("nowhere.toml")
def test_spec(vmcore): pass
"""


def test_a_suite_gets_dumps_with_known_answers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.makefile(
        ".toml", machine='[kernel]\nrelease = "5.4.1"\n[[memory]]\nstart = 0\nsize = "64M"\n'
    )
    ran = pytester.runpytest_subprocess(*OPTIONS, "--strict-markers", "-W", "error")
    ran.assert_outcomes(passed=6)
    assert not list(pytester.path.rglob("vmcore"))


def test_a_mark_that_cannot_be_says_why(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(WRONG)
    ran = pytester.runpytest_subprocess(*OPTIONS)
    ran.assert_outcomes(errors=5)
    for why in (
        "a machine has no field 'relese'; did you mean release?",
        "9.9 is outside 2.6.35 to",
        "'rust' is none of",
        "there is no container 'tar'",
        "cannot be read: No such file",
    ):
        ran.stdout.fnmatch_lines([f"*@pytest.mark.vmemmap: *{why.replace('[', '[[]')}*"])


def test_pytest_finds_it_and_loads_nothing_else_with_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = project["entry-points"]["pytest11"]["vmemmap"]
    assert hasattr(import_module(name), "vmcore")
    code = f"import pytest, sys; before = set(sys.modules); import {name}; " + (
        "print(*sorted(m for m in set(sys.modules) - before if m[0] != '_'))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) == {"vmemmap", name}
