"""Secrets planted in a whole machine: nothing of them is in its extract, stored or decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vmemmap
from extract.painted import memory_of
from oracles.simulated import event, spec_of
from vmemmap.extract.checker import check
from vmemmap.simulate import Machine
from vmemmap.simulate.crash.paint import PAINT, paint, painted_at

MACHINES: dict[str, dict[str, Any]] = {
    "2.6.35 4K big": {"release": "2.6.35", "page": 4096, "byte_order": "big"},
    "4.18": {"release": "4.18"},
    "6.1 hotplug": {"release": "6.1", "events": (event("add", 512, 64, 1),)},
    "6.12 radix 4K": {"release": "6.12", "mmu": "radix", "page": 4096},
}


def test_each_word_says_where_it_lies() -> None:
    data = paint(0x2000_0008, 64)
    words = [data[at : at + 8] for at in range(0, 64, 8)]
    assert [painted_at(word) for word in words] == list(range(0x2000_0008, 0x2000_0048, 8))
    assert all(PAINT.fullmatch(word) for word in words)
    assert painted_at(paint((32 << 40) - 8, 8)) == (32 << 40) - 8


ALWAYS = ("4.18", "6.12 radix 4K")
NAMES = [
    name if name in ALWAYS else pytest.param(name, marks=pytest.mark.full) for name in MACHINES
]


@pytest.mark.parametrize("name", NAMES)
def test_no_painted_word_comes_through(name: str, tmp_path: Path) -> None:
    more = dict(MACHINES[name])
    machine = Machine(spec_of(more.pop("release"), **more)).boot().run_events()
    machine.crash(tmp_path / "plain")
    machine.crash(tmp_path / "painted", paint=True)
    machine.write_symbols(tmp_path / "vmlinux")
    found: list[Any] = []
    for which in ("plain", "painted"):
        with vmemmap.open(tmp_path / which, vmlinux=tmp_path / "vmlinux") as core:
            found.append([(e.node, e.phys, e.virt) for e in core.backing])
            found.append(core.usage().kinds)
            core.extract(tmp_path / f"{which}.shared", classes=["dmesg"])
    # The paint changes nothing of the machine, and there is much of it.
    assert found[:2] == found[2:]
    assert (tmp_path / "painted").read_bytes().count(b"~AA") > 1_000_000
    out = tmp_path / "painted.shared"
    assert check(str(out)) == []
    assert out.read_bytes() == (tmp_path / "plain.shared").read_bytes()
    pages = memory_of(out)
    assert pages
    assert not [hex(phys) for phys, data in pages.items() if PAINT.search(data)]
    assert not PAINT.search(out.read_bytes())
