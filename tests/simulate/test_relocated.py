"""A kernel that runs elsewhere than where it was linked: what moves with it, and who follows.

On Book3S KERNELOFFSET is 0 all the same (ppc64-kernel.md 5.2), and the linear map does not move: a
physical address is a virtual one without its top nibble (section 3).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from simulate.machines import M, add, small_spec
from vmemmap.errors import FactConflict, SpecError
from vmemmap.simulate import Machine, MemoryRange, PagePlan

MEMORY = (MemoryRange(0, 0, 128 * M),)
AT = 0x3210000
VALUES = {"SYMBOL(vmemmap)"}
"""What has no place of its own: the value is printed, and not where it lies."""


def crashed(path: Path, release: str, load_address: int, **more: Any) -> dict[str, str]:
    """Crash a machine; give what its VMCOREINFO says."""
    plan = PagePlan(cache=40, anonymous=30, huge=0)
    spec = small_spec(release, MEMORY, pages=plan, load_address=load_address, **more)
    machine = Machine(spec).boot().run_events()
    snapshot = machine.crash(path / f"{load_address:x}")
    machine.write_symbols(path / "vmlinux", debug_info=True)
    lines = snapshot.vmcoreinfo.decode().splitlines()
    return dict(line.partition("=")[::2] for line in lines)


@pytest.mark.parametrize(
    ("release", "more"),
    [
        ("2.6.35", {"byte_order": "big", "page_size": 4096}),
        ("4.4", {}),
        ("5.10", {"mmu": "radix", "byte_order": "big"}),
        ("7.2", {"page_size": 4096}),
    ],
)
def test_all_of_a_kernel_moves_and_readers_follow(
    release: str, more: dict[str, Any], tmp_path: Path
) -> None:
    events = (add(1024 * M),)
    here = crashed(tmp_path, release, 0, events=events, **more)
    shutil.move(tmp_path / "vmlinux", tmp_path / "linked")
    there = crashed(tmp_path, release, AT, events=events, **more)
    assert (tmp_path / "vmlinux").read_bytes() == (tmp_path / "linked").read_bytes()
    boot_time = {"SYMBOL(mem_section)"} if release >= "4.15" or release[0] > "4" else set()
    for key, value in here.items():
        moves = key.startswith("SYMBOL(") and key not in VALUES | boot_time
        moved = int(there[key], 16) - int(value, 16) if moves else 0
        assert moved == (AT if moves else 0), key
        assert moves or there[key] == value or key in boot_time, key
    assert there.get("KERNELOFFSET", "0") == "0"
    answers = []
    for place in ("0", f"{AT:x}"):
        with vmemmap.open(tmp_path / place, vmlinux=tmp_path / "vmlinux") as core:
            usage, where = core.usage(), core.symbol("init_task").address
            found = (len(core.backing), usage.kinds["cache"], usage.kinds["anon"])
            problems = [one for one in core.check().findings if one.severity != "info"]
            answers.append((*found, where - int(place, 16), problems))
            assert core.read(where, 8) == core.read_phys(where & (1 << 60) - 1, 8)
            assert ("runs 0x3210000 bytes above" in str(core.facts["vmlinux"])) is (place != "0")
    assert answers[0] == answers[1]
    assert answers[0][1:3] == (40, 30)


@pytest.mark.parametrize("symbol", ["_stext", "swapper_pg_dir", "init_uts_ns"])
def test_a_vmlinux_that_moved_only_in_part_is_of_another_kernel(
    symbol: str, tmp_path: Path
) -> None:
    """All symbols that VMCOREINFO has are as far from the file's, or the file is not believed."""
    keys = crashed(tmp_path, "6.1", AT)
    keys[f"SYMBOL({symbol})"] = f"{int(keys[f'SYMBOL({symbol})'], 16) + 0x10004:x}"
    text = "".join(f"{key}={value}\n" for key, value in keys.items())
    (tmp_path / "text").write_text(text)
    files: Any = {"vmcoreinfo": tmp_path / "text", "vmlinux": tmp_path / "vmlinux"}
    other = pytest.raises(FactConflict, match="is not the vmlinux of this dump's kernel")
    with vmemmap.open(tmp_path / f"{AT:x}", **files) as core, other:
        core.symbol("init_task")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"load_address": 4096}, "no multiple of 64K"),
        ({"load_address": -65536}, "no multiple of 64K"),
        ({"load_address": 120 * M}, "no range of memory has all of"),
        (
            {"load_address": 64 * M, "crashkernel": 16 * M, "crashkernel_at": 80 * M},
            "kernel itself",
        ),
    ],
)
def test_where_no_kernel_can_be(more: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        small_spec("6.1", MEMORY, **more).check()
