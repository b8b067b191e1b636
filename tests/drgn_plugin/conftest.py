"""Programs of the real drgn over dumps, each with our plugin called once, by hand or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

drgn = pytest.importorskip("drgn", reason="drgn is not installed: pip install 'vmemmap[drgn]'")


@pytest.fixture(autouse=True)
def _plain_drgn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let drgn load no plugins and look at no variables, unless a test says so."""
    from _drgn_util import plugins

    monkeypatch.setattr(plugins, "_hooks", {"drgn_prog_set": []})
    for name in ("DRGN_PREFER_PGTABLE_READER", "DRGN_USE_LIBKDUMPFILE_FOR_ELF"):
        monkeypatch.delenv(name, raising=False)
    yield
    drgn.set_default_prog(None)


@pytest.fixture
def program() -> Callable[..., Any]:
    """Give a function from a dump to drgn's own program of it, without any plugin."""

    def open_(path: Path, **options: Any) -> Any:
        prog = drgn.Program(**options)
        prog.set_core_dump(path)
        return prog

    return open_


@pytest.fixture(scope="session")
def vmlinux() -> Path:
    """The kernel of the full-size 6.1 dumps, with its debugging information."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "vmemmap" / "debuginfo" / "vmlinux-6.1.0-50-powerpc64le"
    if not path.exists():
        pytest.skip(f"{path} is absent: python tools/fetch_peers.py --debuginfo")
    return path
