"""A real kernel of 6.1: its debug information and its VMCOREINFO have to say the same.

The kernel made its VMCOREINFO from the same structs when it was built, so that each is a witness of
the other. With all that types can tell taken out of VMCOREINFO the answers stay what they were.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmemmap.facts.types.keys import may_tell, value_by_types
from vmemmap.facts.vmcoreinfo.text import Vmcoreinfo
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.source.detect import open_source
from vmemmap.vmcore import Vmcore

DUMPS = ("hash-64k-6.1/vmcore.d31.zlib", "radix-64k-6.1/vmcore.d31.zlib")
MACROS = {f"NUMBER(PAGE_{name}_MAPCOUNT_VALUE)" for name in ("BUDDY", "OFFLINE")}


@pytest.fixture(scope="module")
def vmlinux() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = base / "vmemmap" / "debuginfo" / "vmlinux-6.1.0-50-powerpc64le"
    if not path.exists():
        pytest.skip(f"{path} is absent: python tools/fetch_peers.py --debuginfo")
    return path


def text_of(dump: Path) -> bytes:
    source = open_source(dump)
    try:
        return source.vmcoreinfo or b""
    finally:
        source.close()


def answers(dump: Path, text: bytes, vmlinux: Path | None) -> dict[str, Any]:
    symbols = SymbolFile(vmlinux) if vmlinux else None
    with Vmcore(open_source(dump), text, symbols) as core:
        usage = core.usage()
        return {
            "kinds": usage.kinds,
            "zones": usage.zones,
            "unknown": usage.unknown,
            "pages": [
                (p.kind, p.flags, p.head, p.order) for p in map(core.pages.__getitem__, PFNS)
            ],
            "list": [(entry.node, entry.phys, entry.virt) for entry in core.backing],
            "log": [record.text for record in core.dmesg()],
        }


PFNS = range(0, 8192, 61)


@pytest.mark.parametrize("name", DUMPS)
def test_debug_information_says_what_vmcoreinfo_says(
    name: str, vmlinux: Path, real_dump: Callable[[str], Path]
) -> None:
    info, types = Vmcoreinfo(text_of(real_dump(name))), SymbolFile(vmlinux).types
    said = {key: value_by_types(types, key) for key in info if may_tell(key)}
    assert {key for key, value in said.items() if value is None} == MACROS
    assert {k: v for k, v in said.items() if v is not None} == {
        key: info.integer(key) for key in said if key not in MACROS
    }
    assert len(said) > 70


@pytest.mark.parametrize("name", DUMPS)
def test_types_replace_what_is_missing(
    name: str, vmlinux: Path, real_dump: Callable[[str], Path]
) -> None:
    dump = real_dump(name)
    text = text_of(dump)
    lines = text.split(b"\n")
    left = [s for s in lines if not may_tell(k := s.partition(b"=")[0].decode()) or k in MACROS]
    assert len(lines) - len(left) > 70
    whole = answers(dump, text, None)
    assert answers(dump, b"\n".join(left), vmlinux) == whole
