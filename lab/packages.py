"""The packages the lab needs: kernels, what runs in the guest, and the peers.

All come from Debian by name, for ppc64el, and are unpacked below the user's cache folder, beside a
record of their versions and checksums. What is there is used again without asking the network;
``--update`` asks it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from debian_packages import (
    LIBRARIES,
    Apt,
    cache_folder,
    debuginfo_folder,
    extract_file,
    host_mirror,
    unpack,
)

TOOLS_SUITE = "sid"
"""The makedumpfile of older suites does not understand the kernels of newer ones."""
TOOLS = ("busybox-static", "kexec-tools", "makedumpfile", "crash")
META = "linux-image-powerpc64le"
USERLAND_SUITE = "bookworm"
"""The oldest that has a Python for this package, and the oldest numpy, so that newer ones serve."""
USERLAND = f"userland-{USERLAND_SUITE}"
PYTHON = ("python3", "python3-pip")
PYTHON_LIBRARIES = ("numpy", "click", "rich", "jinja2", "pyelftools", "zstandard", "lzo")
PYTHON_HEADERS = ("libpython3-dev", "libpython3.")
Say = Callable[[str], None]


class PackagesMissing(Exception):
    """What is needed cannot be had; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Packages that are unpacked together.

    Attributes:
        root: Where.
        versions: Package name to version.
    """

    root: Path
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel.

    Attributes:
        release: As uname -r prints it.
        image: The ELF image, with its symbol table.
        modules: The folder of its modules.
        debug: The image with debugging information, or None.
        versions: Package name to version.
    """

    release: str
    image: Path
    modules: Path
    debug: Path | None
    versions: dict[str, str]


class Packages:
    """Fetches what is not there yet.

    Args:
        say: Called with a line whenever something takes long.
        update: Look for newer versions of what is there.
    """

    def __init__(self, say: Say, *, update: bool = False) -> None:
        self._say = say
        self._update = update
        self._folder = cache_folder() / "lab"
        self._apts: dict[str, Apt] = {}

    def tools(self) -> Unpacked:
        """Give the tools; the guest and qemu-user run the same programs.

        Raises:
            PackagesMissing: They are not there and cannot be fetched.
        """
        return self._unpacked("tools", TOOLS_SUITE, lambda apt: apt.closure(TOOLS, LIBRARIES))

    def userland(self) -> Unpacked:
        """Give Python, the libraries that the package needs, and the headers for its own module.

        Raises:
            PackagesMissing: They are not there and cannot be fetched.
        """
        return self._unpacked(USERLAND, USERLAND_SUITE, _wanted_of_userland)

    def kernel(self, name: str, *, debug: bool) -> Kernel:
        """Give a kernel.

        Args:
            name: ``SUITE`` or ``SUITE-FLAVOUR``, such as ``trixie-64k``.
            debug: With its debugging information (a download of 700 MB to 1 GB).

        Raises:
            PackagesMissing: It is not there and cannot be fetched.
        """
        suite, _, flavour = name.partition("-")
        meta = f"{META}-{flavour}" if flavour else META
        found = self._unpacked(
            f"kernel-{name}",
            suite,
            lambda apt: apt.closure([meta], ("linux-image-", "linux-binary-", "linux-modules-")),
        )
        # Newer packages keep the image beside the modules.
        images = [*found.root.glob("boot/vmlinux-*"), *found.root.glob("usr/lib/modules/*/vmlinuz")]
        modules = next(iter(sorted(found.root.glob("**/modules/*/kernel"))), None)
        if not images or modules is None:
            raise PackagesMissing(f"no image or no modules in {', '.join(found.versions)}")
        release = modules.parent.name
        vmlinux = debuginfo_folder() / f"vmlinux-{release}"
        if debug and not vmlinux.exists():
            self._fetch_debug(suite, f"linux-image-{release}-dbg", vmlinux)
        there = vmlinux if debug and vmlinux.exists() else None
        return Kernel(release, images[0], modules.parent, there, found.versions)

    def _unpacked(self, name: str, suite: str, wanted: Callable[[Apt], list[str]]) -> Unpacked:
        folder = self._folder / name
        record = folder / "packages.json"
        if record.exists() and not self._update:
            return Unpacked(folder / "root", _versions(json.loads(record.read_text())))
        try:
            apt = self._apt(suite)
            names = wanted(apt)
            self._say(f"downloading {len(names)} packages of {suite} ({name})")
            files = apt.download(names)
            rows = [_described(path) for path in files]
            unpack(files, folder / "root")
        except (OSError, SubprocessError) as error:
            raise PackagesMissing(f"{name}: {error}") from error
        fresh = record.with_name("packages.json.new")
        fresh.write_text(json.dumps({"suite": suite, "packages": rows}, indent=2) + "\n")
        fresh.rename(record)
        for path in files:
            path.unlink()
        return Unpacked(folder / "root", _versions(json.loads(record.read_text())))

    def _fetch_debug(self, suite: str, package: str, vmlinux: Path) -> None:
        self._say(f"downloading {package}, about 1 GB, of which vmlinux is kept")
        try:
            apt = self._apt(suite)
            (path,) = apt.download([package])
            vmlinux.parent.mkdir(parents=True, exist_ok=True)
            row = _described(path)
            # Newer packages call it by the second name.
            row["vmlinux_sha256"] = extract_file(path, (vmlinux.name, "vmlinux"), vmlinux)
            Path(f"{vmlinux}.json").write_text(json.dumps(row, indent=2) + "\n")
            path.unlink()
        except (OSError, SubprocessError, ValueError) as error:
            self._say(f"{package}: {error}; crash will not be run")

    def _apt(self, suite: str) -> Apt:
        if suite not in self._apts:
            mirror = host_mirror()
            if mirror is None:
                raise PackagesMissing("no Debian archive in this host's apt sources")
            self._say(f"fetching the package lists of {suite}")
            apt = Apt(self._folder / "apt" / suite, f"deb {mirror} {suite} main\n")
            apt.update()
            self._apts[suite] = apt
        return self._apts[suite]


def _wanted_of_userland(apt: Apt) -> list[str]:
    names = [*PYTHON, *(f"python3-{name}" for name in PYTHON_LIBRARIES)]
    headers = apt.closure(PYTHON_HEADERS[:1], PYTHON_HEADERS[1:])
    return [
        *apt.closure(names, (*LIBRARIES, "python3")),
        *(name for name in headers if name.endswith("-dev")),
    ]


def _described(path: Path) -> dict[str, str]:
    # NAME_VERSION_ARCHITECTURE.deb, as apt-get download names it; a colon is written %3a.
    name, version, _ = path.name.split("_", 2)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": name, "version": version.replace("%3a", ":"), "sha256": digest}


def _versions(record: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["version"] for row in record["packages"]}
