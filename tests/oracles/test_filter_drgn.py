"""drgn opens what ``filter`` writes, in every form, and finds the same bytes in it."""

from __future__ import annotations

from itertools import product

import pytest

import vmemmap
from breadth import singles
from filter.kdump_table import read_table
from oracles.simulated import crash, spec_of

drgn = pytest.importorskip("drgn", reason="drgn is not installed")


@pytest.fixture(autouse=True)
def without_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """This package's own drgn plugin must not answer in drgn's place, nor one loaded before."""
    from _drgn_util import plugins

    monkeypatch.setattr(plugins, "_hooks", {"drgn_prog_set": []})


FORMS = ("zstd", "zlib", "lzo", "snappy", "none", "elf", "flat")


@pytest.mark.parametrize(("form", "order"), singles(product(FORMS, ["little", "big"])))
def test_drgn_reads_the_same_bytes(tmp_path, order: str, form: str) -> None:
    dump = crash(
        spec_of("6.1.0", memory=((0, 0, 112), (1, 128, 64)), mmu="radix", byte_order=order),
        tmp_path / "vmcore",
    )
    page = dump.machine.kernel.page_size
    made = tmp_path / "made"
    with vmemmap.open(dump.path) as core:
        core.filter(tmp_path / "table", 30, "none")
        core.filter(
            *(made, 30, form if form in FORMS[:5] else "zstd"),
            form="elf" if form == "elf" else "kdump",
            flattened=form == "flat",
        )
        program = drgn.Program()
        program.set_core_dump(made)
        assert program.flags & drgn.ProgramFlags.IS_LINUX_KERNEL
        little = bool(program.platform.flags & drgn.PlatformFlags.IS_LITTLE_ENDIAN)
        assert little == (order == "little")
        for pfn in read_table(tmp_path / "table").kept[::5].tolist():
            expected = core.read_phys(pfn * page, page)
            assert program.read(pfn * page, page, physical=True) == expected, hex(pfn)
