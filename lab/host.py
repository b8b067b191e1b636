"""What the lab needs of the host: QEMU's programs, which it installs when it may."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from debian_packages import EMULATORS, NEEDED
from lab.qemu import PROGRAM

PACKAGES = ("qemu-system-ppc", "qemu-user-static")
INSTALL_SECONDS = 900
MIB_AT_ONCE = 5000
MIB_KEPT = 600


class HostUnfit(Exception):
    """The lab cannot run here; the message says why and what to type."""


def prepare(folder: Path, machines: int, say: Callable[[str], None]) -> None:
    """Make sure that QEMU is there, installing it if this is root on a Debian host, and room.

    Args:
        folder: Where the machines leave their dumps.
        machines: How many there will be.
        say: Called with a line before what takes long.

    Raises:
        HostUnfit: It is not there and cannot be installed from here.
    """
    absent = [name for name in NEEDED if not shutil.which(name)]
    if absent:
        raise HostUnfit(f"{', '.join(absent)} not found; the lab needs a Debian or Ubuntu host")
    folder.mkdir(parents=True, exist_ok=True)
    room, needed = shutil.disk_usage(folder).free >> 20, MIB_AT_ONCE + MIB_KEPT * machines
    if room < needed:
        raise HostUnfit(f"{folder} has {room} MiB free; {machines} machines need up to {needed}")
    if _has_qemu():
        return
    command = ["apt-get", "-q", "-y", "install", "--no-install-recommends", *PACKAGES]
    if os.geteuid() != 0:
        raise HostUnfit(f"QEMU is needed: sudo {' '.join(command)}")
    say(f"installing {' and '.join(PACKAGES)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        for words in (["apt-get", "-q", "update"], command):
            subprocess.run(
                words,
                check=True,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=INSTALL_SECONDS,
            )
    except subprocess.SubprocessError as error:
        raise HostUnfit(f"QEMU cannot be installed: {error}") from error
    if not _has_qemu():
        raise HostUnfit(f"{PROGRAM} is not on the path, though {PACKAGES[0]} is installed")


def _has_qemu() -> bool:
    return bool(shutil.which(PROGRAM)) and any(shutil.which(name) for name in EMULATORS)
