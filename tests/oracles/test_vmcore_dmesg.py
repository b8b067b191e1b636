"""The kernel's log as vmcore-dmesg (kexec-tools) prints it: real dumps, and synthetic ones.

What it printed of the real dumps lies beside them. On synthetic ones of every era and byte order
the program itself runs (``python tools/fetch_peers.py`` fetches it), which vouches for the builders
as well.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.machine import Machine
from builders.printk import CharacterLog, LocklessLog, RecordLog
from kernel_log.logs import ORDERS, fill, machine_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ROOT = CACHE / "vmemmap" / "peers" / "root"
PROGRAM = ROOT / "usr/sbin/vmcore-dmesg"
EMULATOR = shutil.which("qemu-ppc64le-static") or shutil.which("qemu-ppc64le")
NATIVE = platform.machine() == "ppc64le"

ABSENT = "" if PROGRAM.exists() else "vmcore-dmesg is absent: python tools/fetch_peers.py"
if not (EMULATOR or NATIVE):
    ABSENT = "qemu-user is absent (python tools/fetch_peers.py says how to install it)"

REAL = (
    *(f"hash-64k-6.1/vmcore.d31.{form}" for form in ("zlib", "lzo", "snappy", "zstd", "elf.zst")),
    *(f"radix-64k-6.1/vmcore.d31.{form}" for form in ("zlib", "elf.zst")),
)


@pytest.mark.parametrize("name", REAL)
def test_real_dumps(name: str, real_dump, truth, run_vmemmap) -> None:
    ran = run_vmemmap("dmesg", real_dump(name))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == truth(f"{name.split('/')[0]}.vmcore-dmesg.txt")


def said_of(path: Path) -> str:
    """Give what vmcore-dmesg prints of a dump."""
    run = [] if NATIVE else [str(EMULATOR), "-L", str(ROOT)]
    done = subprocess.run(
        [*run, str(PROGRAM), str(path)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout.decode("latin-1")


LOGS: dict[str, Callable[..., CharacterLog | RecordLog | LocklessLog]] = {
    "characters": lambda order: CharacterLog(order, 14),
    "log": lambda order: RecordLog(order, 1 << 14, struct_name="log"),
    "printk_log": lambda order: RecordLog(order, 1 << 14),
    "with caller": lambda order: RecordLog(order, 1 << 14, with_caller=True),
    "lockless": lambda order: LocklessLog(order, 9, 14),
    "lockless, few descriptors": lambda order: LocklessLog(order, 4, 14),
    "lockless 7.2": lambda order: LocklessLog(order, 9, 14, info_bytes=112),
}


@pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("count", [40, 700])
def test_synthetic_dumps(order, name: str, count: int, tmp_path: Path, run_vmemmap) -> None:
    log = LOGS[name](order)
    fill(log, count)
    machine: Machine = machine_of(order, "6.1.0-50" if "lockless" in name else "4.18.0-80")
    log.install(machine)
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf())
    ran = run_vmemmap("dmesg", path)
    assert (ran.code, ran.err) == (0, "")
    said = said_of(path)
    if isinstance(log, RecordLog):
        # It prints the mark to go on at the start of the ring as if it were a record.
        said = said.replace("[    0.000000] \n", "", 1) if log.first_idx > log.next_idx else said
    if isinstance(log, CharacterLog):
        # It does not escape what is in a ring of characters.
        said = re.sub(r"[^\t-\r -~]", lambda match: f"\\x{ord(match[0]):02x}", said)
    assert ran.out == said
    assert len(ran.out.splitlines()) > 15
