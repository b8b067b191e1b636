"""The model's tables of counters and page flags beside what real kernels' compilers wrote.

The tables say only what the model counts: each name that they have must have the kernel's number.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from vmemmap.simulate.crash.counters import node_states
from vmemmap.simulate.kernel import Kernel
from vmemmap.simulate.mm import stat_items
from vmemmap.simulate.mm.page_layout import flag_numbers

drgn = pytest.importorskip("drgn", reason="drgn is not installed: pip install drgn")
pytestmark = pytest.mark.full

VMLINUXES = {
    "6.1.0-50-powerpc64le": "6.1.0",
    "7.3-powerpc64le": "7.3",
}


@pytest.fixture(scope="module", params=VMLINUXES)
def real(request: pytest.FixtureRequest) -> tuple[Kernel, Any]:
    """The model's kernel of a release, and drgn with the debugging information of a real one."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "vmemmap" / "debuginfo" / f"vmlinux-{request.param}"
    if not path.exists():
        pytest.skip(f"{path} is absent: python tools/fetch_peers.py --debuginfo")
    program = drgn.Program()
    module = program.extra_module("vmlinux", create=True)
    module.address_ranges = [(0, (1 << 64) - 1)]
    module.try_file(path, force=True)
    return Kernel.of(VMLINUXES[request.param], 65536, "little", "hash"), program


def enum_of(program: Any, name: str) -> dict[str, int]:
    return {each.name: each.value for each in program.type(f"enum {name}").enumerators}


def test_counters_have_the_numbers_of_the_kernel(real: tuple[Kernel, Any]) -> None:
    kernel, program = real
    for enum, table in (
        ("zone_stat_item", stat_items.ZONE_ITEMS),
        ("node_stat_item", stat_items.NODE_ITEMS),
    ):
        mine, kernels = stat_items.numbers_of(kernel.at(table)), enum_of(program, enum)
        assert mine == {name: kernels.get(name) for name in mine}
    mine, kernels = node_states(kernel), enum_of(program, "node_states")
    assert mine == {name: kernels.get(name) for name in mine}


def test_flags_have_the_numbers_of_the_kernel(real: tuple[Kernel, Any]) -> None:
    """But for how many there are: what follows hwpoison depends on the configuration."""
    kernel, program = real
    mine, kernels = flag_numbers(kernel), enum_of(program, "pageflags")
    del mine["__NR_PAGEFLAGS"]
    assert mine == {name: kernels.get(name) for name in mine}
