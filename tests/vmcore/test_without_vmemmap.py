"""Kernels without a vmemmap: named as that, and what works without one works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.machine import build_machine

Run = Callable[..., Any]
OF_VMEMMAP = (b"vmemmap", b"mmu_psize_def")
OF_SECTIONS = (b"mem_section", b"SECTION", b"MAP_MASK")
LINEAR = 0xC000000000000000


def without(dump: bytes, *words: bytes, more: bytes = b"") -> bytes:
    """Make lines of every VMCOREINFO in a dump say nothing, and put one more into their place."""
    for line in set(dump[dump.index(b"OSRELEASE=") :].split(b"\0")[0].split(b"\n")):
        if any(word in line for word in words):
            kept = more if 0 < len(more) <= len(line) else b""
            more = b"" if kept else more
            dump = dump.replace(line + b"\n", kept.ljust(len(line), b"\n") + b"\n")
    assert not more
    return dump


MODELS = {
    "FLATMEM": ((*OF_VMEMMAP, *OF_SECTIONS, b"node_data"), b"SYMBOL(mem_map)=c0000001"),
    "DISCONTIGMEM": ((*OF_VMEMMAP, *OF_SECTIONS), b""),
    "SPARSEMEM without VMEMMAP": (OF_VMEMMAP, b""),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("container", ["elf", "kdump"])
def test_a_kernel_without_a_vmemmap(
    run_vmemmap: Run, tmp_path: Path, model: str, container: str
) -> None:
    machine = build_machine(blocks=6, release="6.1.0")
    path = tmp_path / "vmcore"
    words, more = MODELS[model]
    path.write_bytes(without(getattr(machine, container)(), *words, more=more))
    kernel_data = machine.symbols["init_uts_ns"]
    with vmemmap.open(path) as core:
        assert model in core.kernel.no_vmemmap
        assert core.vtop(kernel_data).phys == kernel_data - LINEAR
        assert not core.facts.keys() & {"vmemmap_list", "list_head", "vmemmap_base", "block_size"}
        assert not core.facts.missing.keys() & {"vmemmap_list", "list_head", "vmemmap_base"}
    for command in ("list", "check", "usage"):
        ran = run_vmemmap(command, path)
        assert (ran.code, ran.out) == (3, "")
        (line,) = ran.err.splitlines()
        assert "this kernel has no vmemmap" in line
        assert model in line
        assert "vtop" in line
    ran = run_vmemmap("vtop", path, f"{kernel_data:x}", "-f", "json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json[0]["method"] == "linear"
    ran = run_vmemmap("info", path, "-f", "json")
    assert "warning: this kernel has no vmemmap" in ran.err
    assert ran.json["kernel"]["release"] == "6.1.0"
    assert "vmemmap_list" not in {row["name"] for row in ran.json["missing"]}


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("3.12.0", OF_VMEMMAP),  # the list is there and not exported
        ("6.1.0", (b"SYMBOL(vmemmap_list)",)),  # a damaged VMCOREINFO: the rest is there
        ("6.1.0", (b"SYMBOL(vmemmap_list)", b"SYMBOL(mmu_vmemmap_psize)")),
    ],
)
def test_a_vmemmap_is_not_denied_for_want_of_one_key(tmp_path: Path, release: str, words) -> None:
    machine = build_machine(blocks=6, release=release, layout="f000")
    path = tmp_path / "vmcore"
    path.write_bytes(without(machine.elf(), *words))
    with vmemmap.open(path) as core:
        assert core.kernel.no_vmemmap == ""
        with pytest.raises(vmemmap.FactMissing, match="--vmlinux"):
            _ = core.backing
