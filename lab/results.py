"""What a machine of the lab leaves behind, and where: a folder with ``machine.json``.

The story writes it, the checks read it; neither knows the other. Below the folder of a machine:

    machine.json            this record
    console.txt             all that the guest printed
    guest/                  what does not change: kallsyms, iomem, memory-blocks, modules, ...
    guest/live/  crash/     what does: zoneinfo, buddyinfo, meminfo, vmstat, dmesg, ... a moment
                            before QEMU dumped the running machine, and a moment before it crashed
    *.elf  *.zlib  ...      the dumps
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

RECORD = "machine.json"
Maker = Literal["kernel", "makedumpfile", "qemu"]
CAPTURE_DUMP = "capture.elf"
"""The memory while the capture kernel runs, whose own image was relocated."""
KCORE = "kcore"
"""The beginning of /proc/kcore, copied out."""
Moment = Literal["live", "crash"]


@dataclass(frozen=True, slots=True)
class Dump:
    """One dump of a machine.

    Attributes:
        file: Its name below the machine's folder.
        maker: The kernel's own /proc/vmcore, makedumpfile in the capture kernel, or QEMU.
        moment: Whether the machine was running (stopped by QEMU) or had crashed.
        level: makedumpfile's dump level; 0 where nothing is left out.
    """

    file: str
    maker: Maker
    moment: Moment
    level: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A machine that has run to its end.

    Attributes:
        name: As in matrix.toml.
        digest: Of all that it was made from; a machine with the same digest is not run again.
        spec: The machine, as in matrix.toml.
        release: The kernel's release.
        versions: Package name to version, of what ran in the guest.
        dumps: What it left.
        seconds: How long it took.
        vmlinux: The kernel's image with its symbol table (no debugging information).
        debug_vmlinux: The same with debugging information, or None if it was not fetched.
        tools: Where the packages with crash and makedumpfile for ppc64el are unpacked.
        folder: Where all this is; not part of the record.
    """

    name: str
    digest: str
    spec: dict[str, Any]
    release: str
    versions: dict[str, str]
    dumps: tuple[Dump, ...]
    seconds: float
    vmlinux: str
    debug_vmlinux: str | None
    tools: str
    folder: Path

    def path(self, dump: Dump) -> Path:
        """Give the file of a dump."""
        return self.folder / dump.file

    def has_guest(self, name: str) -> bool:
        """Tell if the guest left such a file, such as ``live/zoneinfo``."""
        return (self.folder / "guest" / name).exists()

    def guest(self, name: str) -> str:
        """Give what the guest said, such as ``iomem`` or ``crash/zoneinfo``."""
        return (self.folder / "guest" / name).read_text(errors="surrogateescape")

    def save(self) -> None:
        """Write the record; the last step, so a folder with a record is complete."""
        record = asdict(replace(self, folder=Path()))
        del record["folder"]
        fresh = self.folder / (RECORD + ".new")
        fresh.write_text(json.dumps(record, indent=2) + "\n")
        fresh.rename(self.folder / RECORD)


def load(folder: Path) -> Result | None:
    """Read the record in a machine's folder; None if it never ran to its end."""
    try:
        record = json.loads((folder / RECORD).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    record["dumps"] = tuple(Dump(**row) for row in record["dumps"])
    return Result(**record, folder=folder)


def load_all(folder: Path) -> list[Result]:
    """Read all that have run, by name."""
    found = (
        (load(path) for path in sorted(folder.iterdir()) if path.is_dir())
        if folder.is_dir()
        else ()
    )
    return [result for result in found if result is not None]
