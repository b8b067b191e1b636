"""Fetch makedumpfile, vmcore-dmesg and kallsyms for ppc64le, which tests run as peers.

makedumpfile (``tests/containers/test_same_bytes.py``) reads dumps of the machine it runs on only,
so the program for ppc64le is needed, and qemu-user to run it; vmcore-dmesg of kexec-tools
(``tests/oracles/test_vmcore_dmesg.py``) comes the same way, and so does the program with which the
kernel's build makes its symbol tables (``tests/oracles/test_kernel_kallsyms.py``). Debian's
packages and the libraries that they need are unpacked into a cache folder; nothing is installed.

With ``--debuginfo`` it fetches instead the debugging information of the kernel that the full-size
dumps are of, which ``tests/drgn_plugin`` needs: a package of 718 MB, of which vmlinux (269 MB) is
kept.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from debian_packages import (
    EMULATORS,
    NEEDED,
    Apt,
    cache_folder,
    debuginfo_folder,
    extract_file,
    host_mirror,
    unpack,
)

PACKAGES = ("makedumpfile", "kexec-tools")
NEWEST = "linux-kbuild-"  # the kernel's version is part of this package's name
SUITE = "trixie"  # the first whose makedumpfile has zstd; for kernels since 6.12 see --suite sid
OTHER_SUITES = ("sid", "bookworm")  # a later library serves as well, an earlier one perhaps

KERNEL = "6.1.0-50-powerpc64le"
DEBUG_PACKAGE = f"linux-image-{KERNEL}-dbg"
DEBUG_VERSION = "6.1.176-1"
DEBUG_SUITE = "bookworm"
VMLINUX_SHA256 = "2d7f8684aaeabf6569cb8f246598132ba8142f171b698e49352194e2178be747"


def peers_folder() -> Path:
    """Give the folder of the peers; the test looks for it in the same place."""
    return cache_folder() / "peers"


def fetch_debuginfo(mirror: str, suite: str) -> int:
    """Fetch the kernel's debugging information; give the exit code."""
    folder = debuginfo_folder()
    apt = Apt(folder / "apt", f"deb {mirror} {suite} main\n")
    try:
        apt.update()
        (package,) = apt.download([f"{DEBUG_PACKAGE}={DEBUG_VERSION}"])
        vmlinux = folder / f"vmlinux-{KERNEL}"
        found = extract_file(package, (vmlinux.name,), vmlinux)
        if found != VMLINUX_SHA256:
            vmlinux.unlink()
            raise ValueError(f"{vmlinux.name} has SHA-256 {found}; expected {VMLINUX_SHA256}")
    except subprocess.SubprocessError as error:
        return _fail(f"{error}; another --suite or --mirror may do")
    except ValueError as error:
        return _fail(str(error))
    shutil.rmtree(folder / "apt")
    print(f"{vmlinux} of {DEBUG_PACKAGE} {DEBUG_VERSION}")
    return 0


def fetch_programs(folder: Path, mirror: str, suite: str) -> list[str]:
    """Fetch the programs and what they need, and unpack them.

    What the mirror's list names and its pool does not have comes from a later or an earlier suite;
    that is said.

    Args:
        folder: Where everything is kept.
        mirror: Address of a Debian archive.
        suite: Debian's suite.

    Returns:
        The packages of programs that are there now.

    Raises:
        LookupError: A package cannot be had from any suite; what was there before stays.
    """
    first = Apt(folder / "apt", f"deb {mirror} {suite} main\n")
    first.update()
    wanted = [*PACKAGES, *first.newest(NEWEST)]
    packages = first.closure(wanted)
    for path in first.debs.iterdir():
        path.unlink()
    missing = first.fetch(packages)
    if missing:
        _say(f"{mirror} has no {', '.join(missing)} as its list of {suite} says; the list again")
        first.update()
        missing = first.fetch(missing)
    debs = [*first.debs.glob("*.deb")]
    for other in OTHER_SUITES:
        if not missing or other == suite:
            continue
        apt = Apt(folder / f"apt-{other}", f"deb {mirror} {other} main\n")
        try:
            apt.update()
        except subprocess.SubprocessError as error:
            _say(f"{other} cannot be asked instead: {error}")
            continue
        for path in apt.debs.iterdir():
            path.unlink()
        # Another kernel's program makes other tables, and has another name anyway.
        still = apt.fetch(missing)
        debs += apt.debs.glob("*.deb")
        if len(still) < len(missing):
            _say(f"{', '.join(sorted({*missing} - {*still}))}: taken from {other} instead")
        missing = still
    if optional := [name for name in missing if name.startswith(NEWEST)]:
        _say(f"without {', '.join(optional)}: the tests of kallsyms are skipped")
    if needed := [name for name in missing if name not in optional]:
        raise LookupError(f"no {', '.join(needed)} of any suite at {mirror}")
    unpack(sorted(debs), folder / "root")
    return [name for name in wanted if name not in missing]


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
    folder, suite = peers_folder(), options.suite or SUITE
    try:
        names = fetch_programs(folder, mirror, suite)
    except (subprocess.SubprocessError, LookupError) as error:
        return _fail(f"{error}; another --suite or --mirror may do")
    print(f"{', '.join(names)} of {suite}, and their libraries, are in {folder / 'root'}")
    if not any(shutil.which(name) for name in EMULATORS):
        print("to run it, qemu-user is needed: sudo apt-get install qemu-user-static")
    return 0


def _say(message: str) -> None:
    print(f"fetch_peers: {message}", flush=True)


def _fail(message: str) -> int:
    print(f"fetch_peers: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
