"""What happens to one machine: boot, memory in and out, dumps, crash, capture."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lab import initramfs, plant_program, qemu, results
from lab.matrix import Spec
from lab.packages import Kernel, Unpacked
from lab.results import Dump, Result

BOOT_SECONDS = 300
SCRIPT_SECONDS = 180
CAPTURE_BOOT_SECONDS = 240
CAPTURE_SECONDS = 900
DUMP_SECONDS = 300
SETTLE_SECONDS = 3
SPARSE_SECONDS = 120
QEMU_FORMATS = {"elf": "qemu.elf", "kdump-zlib": "qemu.kdump-zlib"}
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cast:
    """What a machine is made of: its description, its kernel and the tools in its guest."""

    spec: Spec
    kernel: Kernel
    tools: Unpacked

    @property
    def digest(self) -> str:
        """A digest of all that the machine's dumps depend on, the lab's own story included."""
        parts = [json.dumps([self.spec.table, self.kernel.versions, self.tools.versions])]
        modules = (qemu.__file__, plant_program.__file__, __file__)
        sources = (*qemu.GUEST_SCRIPTS.iterdir(), *map(Path, modules))
        parts += [path.read_text() for path in sorted(sources)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


async def play(cast: Cast, target: Path, say: Say) -> Result:
    """Run a machine to its end.

    Args:
        cast: The machine.
        target: The folder that it leaves everything in; what was there is replaced.
        say: Called with a line at each step.

    Raises:
        MachineFailed: It did not get there; its console and what it left are in *target*.
    """
    start = time.monotonic()
    shutil.rmtree(target, ignore_errors=True)
    share = target / "share"
    (share / "dumps").mkdir(parents=True)
    shutil.copyfile(cast.kernel.image, share / "vmlinux")
    init = initramfs.build(qemu.GUEST_SCRIPTS / "init", cast.tools.root, cast.kernel.modules)
    (share / "initrd.img").write_bytes(init)
    try:
        async with qemu.started(cast.spec, target) as machine:
            dumps = await _live(machine, cast.spec, target, say)
    finally:
        for path in (*(share / "dumps").iterdir(), *share.glob("guest")):
            path.rename(target / path.name)
        shutil.rmtree(share)
    for path in target.glob("*.elf"):
        _make_sparse(path)
    result = Result(
        name=cast.spec.name,
        digest=cast.digest,
        spec=cast.spec.table,
        release=cast.kernel.release,
        versions=cast.kernel.versions | cast.tools.versions,
        dumps=tuple(dumps),
        seconds=round(time.monotonic() - start, 1),
        vmlinux=str(cast.kernel.image),
        debug_vmlinux=str(cast.kernel.debug) if cast.kernel.debug else None,
        tools=str(cast.tools.root),
        folder=target,
    )
    result.save()
    return result


async def _live(machine: qemu.Qemu, spec: Spec, target: Path, say: Say) -> list[Dump]:
    dumps: list[Dump] = []
    await machine.up(BOOT_SECONDS)
    say("booted")
    await machine.run("guest", "load_capture", SCRIPT_SECONDS)
    await machine.run("guest", "workload", SCRIPT_SECONDS)
    for step in spec.memory:
        if step.action == "add":
            await machine.add_memory(step.name, step.mib, step.node, step.address)
        else:
            await machine.remove_memory(step.name)
        await asyncio.sleep(SETTLE_SECONDS)
        if spec.online:
            await machine.run("guest", "online", SCRIPT_SECONDS)
        say(f"memory {step.name}: {step.action}")
    if spec.reload:
        await machine.run("guest", "load_capture", SCRIPT_SECONDS)
    await machine.run("guest", "plant", SCRIPT_SECONDS)
    await machine.run("guest", "facts", SCRIPT_SECONDS)
    if "kcore" in spec.dumps:
        await machine.run("guest", "kcore", SCRIPT_SECONDS, MIB=str(spec.nodes[0]))
    if "qemu" in spec.dumps:
        await machine.run("guest", "moment", SCRIPT_SECONDS, MOMENT="live")
        if spec.script:
            await machine.run("guest", spec.script, SCRIPT_SECONDS)
        await machine.command("stop")
        for form, name in QEMU_FORMATS.items():
            await machine.dump(target / name, form, DUMP_SECONDS)
            dumps.append(Dump(name, "qemu", "live"))
            say(f"dumped by QEMU: {form}")
        await machine.command("cont")
    if "kdump" in spec.dumps:
        await machine.run("guest", "moment", SCRIPT_SECONDS, MOMENT="crash")
        await machine.crash(CAPTURE_BOOT_SECONDS)
        say("crashed; the capture kernel is up")
        if "capture" in spec.dumps:
            await machine.run("capture", "capture_facts", SCRIPT_SECONDS)
            await machine.dump(target / results.CAPTURE_DUMP, "elf", DUMP_SECONDS)
        ways = " ".join(spec.makedumpfile)
        await machine.run("capture", "capture", CAPTURE_SECONDS, WAYS=ways)
        dumps.append(Dump("vmcore.elf", "kernel", "crash"))
        for way in spec.makedumpfile:
            form, _, level = way.partition(":")
            dumps.append(Dump(f"vmcore.d{level}.{form}", "makedumpfile", "crash", int(level)))
        say("captured")
    return dumps


def _make_sparse(path: Path) -> None:
    # Most of a guest's memory is zero; without the tool the file only takes more room.
    if shutil.which("fallocate"):
        subprocess.run(["fallocate", "--dig-holes", path], check=False, timeout=SPARSE_SECONDS)


def kept(cast: Cast, target: Path) -> Result | None:
    """Give what a machine left earlier, if it was made of the same and is complete."""
    found = results.load(target)
    if found is None or found.digest != cast.digest:
        return None
    if not all(found.path(dump).exists() for dump in found.dumps):
        return None
    if cast.kernel.debug and found.debug_vmlinux is None:  # it was fetched since
        found = replace(found, debug_vmlinux=str(cast.kernel.debug))
        found.save()
    return found
