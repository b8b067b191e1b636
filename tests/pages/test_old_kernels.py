"""Real dumps of 2.6.35 and 4.9: the counts of a small independent reader, and the guest's own.

2.6.35 exports few numbers, and is big-endian with function descriptors (ELFv1). The dumps are cut
to metadata, and lie beside the repository.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vmemmap
from builders.struct_pages import FREE_HUGE_PAGE, StructPages
from containers.vmlinux_file import build_vmlinux
from pages.machines import Built, machine_of, pfns_of
from vmemmap import Kind
from vmemmap.vmcore import Vmcore

NAMES = ("be-2.6.35-4k-hash", "le-4.9-64k-hash")
RELEASES = ("2.6.32-754.el6.ppc64", "3.0.101", "4.4.0", "6.1.0", "nothing")


def opened(name: str, real_dump: Callable[[str], Path]) -> Vmcore:
    """Open one of the dumps, with its symbols."""
    core = vmemmap.open(
        real_dump(f"old/{name}.meta.elf.zst"), vmlinux=real_dump(f"old/symbols-{name}.elf")
    )
    core.source.vmcoreinfo = real_dump(f"old/{name}.vmcoreinfo.txt").read_bytes()
    return core


def of_release(name: str, real_dump: Callable[[str], Path], release: str) -> Vmcore:
    """Open one of the dumps as if it was of another release, which its vmlinux would deny."""
    with opened(name, real_dump) as core:
        lines = [line for line in core.vmcoreinfo_text.decode().splitlines() if "=" in line]
        known = {line.split("=")[0] for line in lines}
        lines += [
            f"SYMBOL({symbol})={core.kernel.symbol(symbol).value:x}"
            for symbol in ("node_data", "vmemmap_list", "mmu_vmemmap_psize", "mmu_psize_defs")
            if f"SYMBOL({symbol})" not in known
        ]
    lines += ["SIZE(vmemmap_backing)=24", "OFFSET(vmemmap_backing.list)=0"]
    lines += ["OFFSET(vmemmap_backing.phys)=8", "OFFSET(vmemmap_backing.virt_addr)=16"]
    if "SIZE(mmu_psize_def)" not in known:
        lines += ["SIZE(mmu_psize_def)=32", "OFFSET(mmu_psize_def.shift)=0"]
    changed = [line for line in lines if not line.startswith("OSRELEASE")]
    core = vmemmap.open(real_dump(f"old/{name}.meta.elf.zst"))
    core.source.vmcoreinfo = "\n".join([f"OSRELEASE={release}", *changed, ""]).encode()
    return core


@pytest.fixture(params=NAMES)
def said(request, truth) -> tuple[str, dict[str, Any]]:
    return request.param, json.loads(truth(f"{request.param}.truth.json"))


def test_the_counts_are_those_of_the_witness(said, real_dump) -> None:
    name, expected = said
    with opened(name, real_dump) as core:
        usage = core.usage()
        rows = np.concatenate(list(core.pages.scan(("kind",))))
    counts = expected["counts"]
    assert usage.pages == counts["pages"]
    assert usage.kinds["reserved"] == counts["reserved"]
    assert usage.kinds["anon"] == counts["anon"]
    assert usage.kinds["free"] == usage.free == counts["buddy_pages"]
    assert usage.free_blocks == tuple(expected["free_blocks"])
    assert usage.kinds["hugetlb"] == expected["hugetlb_pages"]
    assert usage.slab_tails is not None
    assert usage.kinds["slab"] - usage.slab_tails == counts["slab"]
    assert not usage.kinds["undecided"]
    assert not usage.damaged
    assert not (rows["kind"] == Kind.UNDECIDED).any()


@pytest.mark.parametrize("release", RELEASES)
def test_the_release_decides_nothing_that_pages_show(said, real_dump, release) -> None:
    """A distribution's release says nothing of what its kernel has."""
    name, expected = said
    with of_release(name, real_dump, release) as core:
        usage = core.usage()
    for kind, count in (
        ("free", expected["counts"]["buddy_pages"]),
        ("reserved", expected["counts"]["reserved"]),
        ("anon", expected["counts"]["anon"]),
    ):
        assert usage.kinds.get(kind) == count, kind


@pytest.mark.parametrize("release", ["2.6.35-1", "3.4.106", "3.10.35", "3.14.1"])
@pytest.mark.parametrize("byte_order", ["big", "little"])
def test_a_symbol_tells_huge_pages_before_3_16(tmp_path, release, byte_order) -> None:
    """VMCOREINFO does not have free_huge_page then; a vmlinux's symbol table does."""
    machine = machine_of(release, byte_order)
    pages = StructPages(machine, zone_bits=1)
    pages.clear(pfns_of(machine))
    at = pfns_of(machine)[0]
    pages.hugetlb(at + 128, 7)
    pages.kernel_compound(at + 32, 3)
    pages.free(at + 64, 5)
    built = Built(machine, pages, tmp_path / "vmcore").saved()
    vmlinux = tmp_path / "vmlinux"
    symbols = [(name, int(address), 8) for name, address in machine.symbols.items()]
    symbols.append(("free_huge_page", FREE_HUGE_PAGE, 24))
    vmlinux.write_bytes(build_vmlinux(symbols, order=byte_order))
    with built.open() as core:
        usage = core.usage()
        assert usage.untold == ("hugetlb",)
        (finding,) = (each for each in usage.findings if each.code == "hugetlb_unknown")
        assert "SYMBOL(free_huge_page)" in finding.message
    with vmemmap.open(built.path, vmlinux=vmlinux) as core:
        usage = core.usage()
        assert (usage.kinds["hugetlb"], usage.kinds["compound_tail"]) == (128, 7)
        assert usage.untold == ()
        facts = {fact.name: fact for fact in core.pages.layout.facts}
        assert facts["free_huge_page"].origin == "user"
        # makedumpfile has no vmlinux, and does not know of huge pages here.
        assert usage.makedumpfile[8] is not None
        assert usage.makedumpfile[8]["user"] == 0


def test_on_4_4_the_message_names_what_is_missing_there(tmp_path) -> None:
    machine = machine_of("4.4.155", "little")
    pages = StructPages(machine, zone_bits=1)
    pages.clear(pfns_of(machine))
    with Built(machine, pages, tmp_path / "vmcore").saved().open() as core:
        (finding,) = (each for each in core.usage().findings if each.code == "hugetlb_unknown")
    assert "HUGETLB_PAGE_DTOR" in finding.message
    assert "free_huge_page" not in finding.message
