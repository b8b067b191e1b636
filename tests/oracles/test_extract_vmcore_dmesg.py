"""vmcore-dmesg reads the log of an extract, and prints of it what `vmemmap dmesg` does.

It reads ELF only, and finds the log by VMCOREINFO.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vmemmap
from oracles.simulated import crash, spec_of
from oracles.test_vmcore_dmesg import ABSENT, said_of

pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
MACHINES: dict[str, dict[str, Any]] = {
    "3.4, characters": {"release": "3.4"},
    "4.18, records": {"release": "4.18", "byte_order": "big"},
    "6.1, lockless": {"release": "6.1", "page": 4096},
}


def lines_of(extract: Path, symbols: Path | None) -> list[str]:
    with vmemmap.open(extract, vmlinux=symbols) as core:
        return [record.line for record in core.dmesg()]


@pytest.mark.parametrize("name", MACHINES)
def test_of_simulated_machines(name: str, tmp_path: Path) -> None:
    more = dict(MACHINES[name])
    dump = crash(spec_of(more.pop("release"), **more), tmp_path / "vmcore")
    dump.machine.write_symbols(tmp_path / "vmlinux")
    with vmemmap.open(dump.path, vmlinux=tmp_path / "vmlinux") as core:
        core.extract(tmp_path / "shared", classes=["dmesg"], form="elf")
    said = said_of(tmp_path / "shared").splitlines()
    assert any("sysrq triggered crash" in line for line in said)
    lines = lines_of(tmp_path / "shared", tmp_path / "vmlinux")
    assert said == [part for line in lines for part in line.split("\n")]


@pytest.mark.parametrize("name", ["hash-64k-6.1", "radix-64k-6.1"])
def test_of_real_dumps(real_dump, name: str, tmp_path: Path) -> None:
    with vmemmap.open(real_dump(f"{name}/vmcore.d31.zlib")) as core:
        before = [(record.time_ns, len(record.data)) for record in core.dmesg()]
        core.extract(tmp_path / "shared", classes=["dmesg"], form="elf")
    said = said_of(tmp_path / "shared").splitlines()
    assert len(before) > 200
    lines = lines_of(tmp_path / "shared", None)
    assert said == [part for line in lines for part in line.split("\n")]
    with vmemmap.open(tmp_path / "shared") as extract:
        assert [(record.time_ns, len(record.data)) for record in extract.dmesg()] == before
