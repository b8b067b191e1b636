"""Fetch makedumpfile for ppc64le, which tests in ``containers`` and ``oracles`` run as a peer.

makedumpfile reads dumps of the machine it runs on only, so the program for ppc64le is needed, and
qemu-user to run it. Debian's package and the libraries that it needs are downloaded with apt-get
(from the mirror that this host's own apt sources name, with package lists of their own) and
unpacked into a cache folder. Nothing is installed and nothing else on the host changes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "makedumpfile"
ARCHITECTURE = "ppc64el"
SUITE = "sid"  # trixie's 1.7.6 does not know the page types of 6.12; 1.7.7 and later do
EMULATORS = ("qemu-ppc64le-static", "qemu-ppc64le")
NEEDED = ("apt-get", "apt-cache", "dpkg-deb")
# Of what the packages depend on only libraries are wanted: not perl, which one script uses.
LIBRARIES = ("lib", "zlib")


def cache_folder() -> Path:
    """Give the folder of the peers; the test looks for it in the same place."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vmemmap" / "peers"


def host_mirror() -> str | None:
    """Give the address of the Debian archive in this host's apt sources."""
    rows = _output(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    ).splitlines()
    return next((row for row in rows if row.rstrip("/").endswith("/debian")), None)


class Apt:
    """apt-get and apt-cache for another architecture, with lists and a cache of their own."""

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
        subprocess.run(["apt-get", "-q", *self._options, "update"], check=True)

    def closure(self, package: str) -> list[str]:
        """Give a package and all libraries that it needs, directly or not."""
        found, waiting = [package], [package]
        while waiting:
            text = _output(["apt-cache", *self._options, "depends", "--important", waiting.pop()])
            for line in text.splitlines():
                kind, _, name = line.strip().lstrip("|").partition(": ")
                wanted = kind in ("Depends", "PreDepends") and name.startswith(LIBRARIES)
                if wanted and name not in found:
                    found.append(name)
                    waiting.append(name)
        return found

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Download packages and give their files."""
        shutil.rmtree(self.debs)
        self.debs.mkdir()
        subprocess.run(
            ["apt-get", "-q", *self._options, "download", *packages], cwd=self.debs, check=True
        )
        return sorted(self.debs.glob("*.deb"))


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
    fresh.mkdir()
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, fresh], check=True)
    for name in ("lib", "lib64"):  # these links belong to a package that is not fetched
        if not (fresh / name).exists():
            (fresh / name).symlink_to(f"usr/{name}")
    make_links_relative(fresh)
    shutil.rmtree(root, ignore_errors=True)
    fresh.rename(root)


def main() -> int:
    """Fetch the peers; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", help="address of a Debian archive (default: as this host's)")
    parser.add_argument("--suite", default=SUITE, help=f"Debian suite (default: {SUITE})")
    options = parser.parse_args()
    absent = [name for name in NEEDED if not shutil.which(name)]
    if absent:
        return _fail(f"{', '.join(absent)} not found; this needs a Debian or Ubuntu host")
    mirror = options.mirror or host_mirror()
    if mirror is None:
        return _fail("no Debian archive in this host's apt sources; name one with --mirror")
    folder = cache_folder()
    apt = Apt(folder / "apt", f"deb {mirror} {options.suite} main\n")
    try:
        apt.update()
        packages = apt.closure(PACKAGE)
        unpack(apt.download(packages), folder / "root")
    except subprocess.CalledProcessError as error:
        return _fail(f"{error.cmd[0]} failed; another --suite or --mirror may do")
    print(
        f"{PACKAGE} and {len(packages) - 1} libraries of {options.suite} are in {folder / 'root'}"
    )
    if not any(shutil.which(name) for name in EMULATORS):
        print("to run it, qemu-user is needed: sudo apt-get install qemu-user-static")
    return 0


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _fail(message: str) -> int:
    print(f"fetch_peers: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
