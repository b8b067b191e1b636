"""Debian's packages for ppc64el, downloaded and unpacked on a host of any architecture.

apt-get fetches them from the mirror that this host's own apt sources name, with package lists of
their own; they are unpacked into a folder. Nothing is installed and nothing else on the host
changes. Tests and the lab run the programs under qemu-user, or in a guest.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

ARCHITECTURE = "ppc64el"
EMULATORS = ("qemu-ppc64le-static", "qemu-ppc64le")
NEEDED = ("apt-get", "apt-cache", "dpkg-deb")
# Of what packages depend on only libraries are wanted: not perl, which one script uses.
LIBRARIES = ("lib", "zlib")
UPDATE_SECONDS = 300
DOWNLOAD_SECONDS = 1800


def cache_folder() -> Path:
    """Give the folder below which everything that is fetched is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmemmap"


def debuginfo_folder() -> Path:
    """Give the folder of kernels with debugging information; the tests look in the same place."""
    return cache_folder() / "debuginfo"


def host_mirror() -> str | None:
    """Give the address of the Debian archive in this host's apt sources."""
    rows = _output(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    ).splitlines()
    return next((row for row in rows if row.rstrip("/").endswith("/debian")), None)


class Apt:
    """apt-get and apt-cache for another architecture, with lists and a cache of their own.

    Args:
        folder: Where those are kept; made if it is not there.
        sources: The lines of its sources.list.

    Every method raises CalledProcessError if apt fails, and TimeoutExpired if it takes too long;
    `fetch` alone goes on without the packages that fail.
    """

    def __init__(self, folder: Path, sources: str) -> None:
        for name in ("lists/partial", "archives/partial", "debs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text(sources)
        (folder / "status").write_text("")
        self.debs = folder / "debs"
        settings = {
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Dir::Cache": folder,
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
        }
        self._options = [f"-o{name}={value}" for name, value in settings.items()]

    def update(self) -> None:
        """Fetch the package lists."""
        subprocess.run(
            ["apt-get", "-q", *self._options, "-oAPT::Update::Error-Mode=any", "update"],
            check=True,
            timeout=UPDATE_SECONDS,
        )

    def newest(self, prefix: str) -> list[str]:
        """Give the package whose name begins so and goes on with the highest version, if any."""
        names = self._cache("pkgnames", prefix).split()
        names.sort(key=lambda name: [int(word) for word in re.findall(r"\d+", name)])
        return names[-1:]

    def depends(self, package: str) -> list[str]:
        """Give the packages that one needs itself."""
        found = []
        for line in self._cache("depends", "--important", package).splitlines():
            kind, _, name = line.strip().lstrip("|").partition(": ")
            if kind in ("Depends", "PreDepends"):
                found.append(name)
        return found

    def closure(self, packages: Sequence[str], wanted: tuple[str, ...] = LIBRARIES) -> list[str]:
        """Give packages and all that they need, directly or not, whose names begin as *wanted*."""
        found, waiting = [*packages], [*packages]
        while waiting:
            for name in self.depends(waiting.pop()):
                if name.startswith(wanted) and name not in found:
                    found.append(name)
                    waiting.append(name)
        return found

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Download packages and give their files."""
        shutil.rmtree(self.debs)
        self.debs.mkdir()
        subprocess.run(
            ["apt-get", "-q", *self._options, "download", *packages],
            cwd=self.debs,
            check=True,
            timeout=DOWNLOAD_SECONDS,
        )
        return sorted(self.debs.glob("*.deb"))

    def fetch(self, packages: Sequence[str]) -> list[str]:
        """Download what can be had of packages, beside what `debs` has; give the names of the rest.

        A mirror's list can name a package that its pool has not got yet, or has no longer.
        """
        known = [name for name in packages if name in self._cache("pkgnames", name).split()]
        if known:
            subprocess.run(
                ["apt-get", "-q", *self._options, "download", *known],
                cwd=self.debs,
                check=False,
                timeout=DOWNLOAD_SECONDS,
            )
        return [name for name in packages if not any(self.debs.glob(f"{name}_*.deb"))]

    def _cache(self, *words: str) -> str:
        return _output(["apt-cache", *self._options, *words])


def make_links_relative(root: Path) -> None:
    """Make absolute links relative, so that they stay inside *root*; the loader is such a link."""
    for path in root.rglob("*"):
        if path.is_symlink() and path.readlink().is_absolute():
            inside = root / path.readlink().relative_to("/")
            path.unlink()
            path.symlink_to(os.path.relpath(inside, path.parent))


def unpack(packages: Sequence[Path], root: Path) -> None:
    """Unpack packages below *root*, which is made anew."""
    fresh = root.with_name(root.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, fresh], check=True)
    for name in ("lib", "lib64"):  # these links belong to a package that is not fetched
        if not (fresh / name).exists():
            (fresh / name).symlink_to(f"usr/{name}")
    make_links_relative(fresh)
    shutil.rmtree(root, ignore_errors=True)
    fresh.rename(root)


def extract_file(package: Path, names: tuple[str, ...], target: Path) -> str:
    """Take the first file that is called by one of *names* out of a package; give its SHA-256.

    Raises:
        ValueError: It is not in there.
    """
    fresh, digest = target.with_name(target.name + ".new"), hashlib.sha256()
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            members = (row for row in archive if row.isfile() and Path(row.name).name in names)
            member = next(members, None)
            content = archive.extractfile(member) if member else None
            if content is None:
                raise ValueError(f"there is no {names[0]} in {package.name}")
            with fresh.open("wb") as out:
                while part := content.read(1 << 20):
                    digest.update(part)
                    out.write(part)
        unpacking.kill()  # the rest, such as the modules, is not wanted
    fresh.rename(target)
    return digest.hexdigest()


def _output(command: Sequence[str]) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, timeout=UPDATE_SECONDS
    ).stdout
