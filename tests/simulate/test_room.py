"""The space that a simulated dump needs is known before it is written, and told rightly."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from vmemmap.cli.demo import SPEC
from vmemmap.cli.demo import command as demo
from vmemmap.simulate import Machine
from vmemmap.simulate.spec.toml import parse_spec

SPECS = {
    "demo": SPEC,
    "users of 4 KiB": '[kernel]\npage_size = "4K"\n[[memory]]\nstart = 0\nsize = "1G"\n'
    "[pages]\nanonymous = 9000\ncache = 5000\n",
    "added memory not in the headers": '[kernel]\nrelease = "5.0.0"\n[[memory]]\nstart = 0\n'
    'size = "1G"\n[[event]]\nkind = "add"\nstart = "4G"\nsize = "1G"\n',
}


@pytest.mark.parametrize("name", SPECS)
def test_the_estimate_is_what_is_written(name: str) -> None:
    """Counted in blocks of 4 KiB, as most file systems give them for data between holes."""
    snapshot = Machine(parse_spec(SPECS[name], [])).boot().run_events().snapshot()
    blocks = {
        number
        for start, end in snapshot.ranges
        for phys, data in snapshot.contents(start, end)
        for number in range(phys >> 12, (phys + len(data) + 4095) >> 12)
    }
    written = len(blocks) << 12
    assert written * 0.99 <= snapshot.room <= written * 1.01


def test_demo_does_not_name_a_dump_that_it_did_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = SimpleNamespace(f_bavail=100, f_frsize=4096)
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: full)
    code = demo.main(["--keep", str(tmp_path)], standalone_mode=False)
    shown = capsys.readouterr()
    assert code == 3
    needed = Machine(parse_spec(SPEC, [])).boot().run_events().snapshot().room >> 20
    assert f"needs {needed} MiB on disk, and there are 0 MiB free" in shown.err
    assert f"The spec is in {tmp_path}" in shown.out
    assert "the dump" not in shown.out.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["machine.toml"]
