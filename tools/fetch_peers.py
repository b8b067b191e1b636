"""Fetch makedumpfile, vmcore-dmesg and kallsyms for ppc64le, which tests run as peers.

makedumpfile (``tests/containers/test_same_bytes.py``) reads dumps of the machine it runs on only,
so the program for ppc64le is needed, and qemu-user to run it; vmcore-dmesg of kexec-tools
(``tests/oracles/test_vmcore_dmesg.py``) comes the same way, and so does the program with which the
kernel's build makes its symbol tables (``tests/oracles/test_kernel_kallsyms.py``). Debian's
packages and the libraries that they need are downloaded with apt-get (from the mirror that this
host's own apt sources name, with package lists of their own) and unpacked into a cache folder.
Nothing is installed and nothing else on the host changes.

With ``--debuginfo`` it fetches instead the debugging information of the kernel that the full-size
dumps are of, which ``tests/drgn_plugin`` needs: a package of 718 MB, of which vmlinux (269 MB) is
kept.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("makedumpfile", "kexec-tools")
NEWEST = "linux-kbuild-"  # the kernel's version is part of this package's name
ARCHITECTURE = "ppc64el"
SUITE = "trixie"  # the first whose makedumpfile has zstd; for kernels since 6.12 see --suite sid
EMULATORS = ("qemu-ppc64le-static", "qemu-ppc64le")
NEEDED = ("apt-get", "apt-cache", "dpkg-deb")
# Of what the packages depend on only libraries are wanted: not perl, which one script uses.
LIBRARIES = ("lib", "zlib")

KERNEL = "6.1.0-50-powerpc64le"
DEBUG_PACKAGE = f"linux-image-{KERNEL}-dbg"
DEBUG_VERSION = "6.1.176-1"
DEBUG_SUITE = "bookworm"
VMLINUX_SHA256 = "2d7f8684aaeabf6569cb8f246598132ba8142f171b698e49352194e2178be747"


def cache_folder() -> Path:
    """Give the folder of the peers; the test looks for it in the same place."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vmemmap" / "peers"


def debuginfo_folder() -> Path:
    """Give the folder of kernels with debugging information; the tests look in the same place."""
    return cache_folder().with_name("debuginfo")


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

    def newest(self, prefix: str) -> list[str]:
        """Give the package whose name begins so and goes on with the highest version, if any."""
        names = _output(["apt-cache", *self._options, "pkgnames", prefix]).split()
        names.sort(key=lambda name: [int(word) for word in re.findall(r"\d+", name)])
        return names[-1:]

    def closure(self, packages: Sequence[str]) -> list[str]:
        """Give packages and all libraries that they need, directly or not."""
        found, waiting = [*packages], [*packages]
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


def extract_vmlinux(package: Path, folder: Path) -> Path:
    """Take vmlinux out of a package of debugging information, and check that it is the one.

    Raises:
        ValueError: It is not in there, or another one.
    """
    wanted = f"vmlinux-{KERNEL}"
    fresh, digest = folder / f"{wanted}.new", hashlib.sha256()
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            members = (row for row in archive if row.isfile() and Path(row.name).name == wanted)
            member = next(members, None)
            content = archive.extractfile(member) if member else None
            if content is None:
                raise ValueError(f"there is no {wanted} in {package.name}")
            with fresh.open("wb") as out:
                while part := content.read(1 << 20):
                    digest.update(part)
                    out.write(part)
        unpacking.kill()  # the rest, the modules, is not wanted
    if digest.hexdigest() != VMLINUX_SHA256:
        raise ValueError(f"{fresh} has SHA-256 {digest.hexdigest()}; expected {VMLINUX_SHA256}")
    return fresh.rename(folder / wanted)


def fetch_debuginfo(mirror: str, suite: str) -> int:
    """Fetch the kernel's debugging information; give the exit code."""
    folder = debuginfo_folder()
    apt = Apt(folder / "apt", f"deb {mirror} {suite} main\n")
    try:
        apt.update()
        (package,) = apt.download([f"{DEBUG_PACKAGE}={DEBUG_VERSION}"])
        vmlinux = extract_vmlinux(package, folder)
    except subprocess.CalledProcessError as error:
        return _fail(f"{error.cmd[0]} failed; another --suite or --mirror may do")
    except ValueError as error:
        return _fail(str(error))
    shutil.rmtree(folder / "apt")
    print(f"{vmlinux} of {DEBUG_PACKAGE} {DEBUG_VERSION}")
    return 0


def main() -> int:
    """Fetch the peers; give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mirror", help="address of a Debian archive (default: as this host's)")
    parser.add_argument(
        "--suite", help=f"Debian suite (default: {SUITE}; with --debuginfo {DEBUG_SUITE})"
    )
    parser.add_argument(
        "--debuginfo", action="store_true", help=f"fetch vmlinux of {KERNEL} instead (718 MB)"
    )
    options = parser.parse_args()
    absent = [name for name in NEEDED if not shutil.which(name)]
    if absent:
        return _fail(f"{', '.join(absent)} not found; this needs a Debian or Ubuntu host")
    mirror = options.mirror or host_mirror()
    if mirror is None:
        return _fail("no Debian archive in this host's apt sources; name one with --mirror")
    if options.debuginfo:
        return fetch_debuginfo(mirror, options.suite or DEBUG_SUITE)
    folder, suite = cache_folder(), options.suite or SUITE
    apt = Apt(folder / "apt", f"deb {mirror} {suite} main\n")
    try:
        apt.update()
        wanted = (*PACKAGES, *apt.newest(NEWEST))
        packages = apt.closure(wanted)
        unpack(apt.download(packages), folder / "root")
    except subprocess.CalledProcessError as error:
        return _fail(f"{error.cmd[0]} failed; another --suite or --mirror may do")
    libraries = len(packages) - len(wanted)
    print(f"{', '.join(wanted)} and {libraries} libraries of {suite} are in {folder / 'root'}")
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
