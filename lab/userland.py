"""A userland of ppc64le as Debian ships it, in which the package is installed and run by qemu-user.

    python -m lab.userland          fetches it, and says where it is

pip of that userland installs our wheel, beside Debian's numpy and other libraries of the package;
only what Debian has not got comes as a wheel from the package index. Nothing is installed here.
The wheel is made on this machine: with a cross compiler, where there is one, or without the
compiled module, as it would be where there is no compiler at all.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from debian_packages import EMULATORS, cache_folder
from lab.packages import USERLAND, Packages, PackagesMissing

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("src", "compiled", "pyproject.toml", "README.md", "LICENSE")
COMPILER = "powerpc64le-linux-gnu-gcc"
COMPILER_PACKAGE = "gcc-powerpc64le-linux-gnu"  # of Debian
FROM_INDEX = ("cramjam",)
"""What Debian does not have."""
PLATFORM = "manylinux2014_ppc64le"
SECONDS = 600
QUESTIONS = (
    ("info",),
    ("list",),
    ("check",),
    ("vtop", "vmemmap_list", "0xc00c000000000040", "0xc000000000000000"),
    ("usage",),
)


class UserlandUnfit(Exception):
    """The package cannot be tried in it; the message says why."""


@dataclass(frozen=True, slots=True)
class Userland:
    """The unpacked packages.

    Attributes:
        root: Where they are.
    """

    root: Path

    def run(
        self, *words: object, path: Path | None = None, seconds: float = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python, whatever the result.

        Args:
            words: Python's arguments.
            path: A folder with more modules.
            seconds: How long it may take.

        Raises:
            subprocess.TimeoutExpired: It took longer.
        """
        libraries = self.root / "usr/lib/powerpc64le-linux-gnu"
        # Which library of linear algebra it is, is a link that the packages' own scripts make.
        more = {
            "LD_LIBRARY_PATH": f"{libraries}/blas:{libraries}/lapack",
            "PYTHONHOME": str(self.root / "usr"),
            "PYTHONPATH": str(path or ""),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        emulator = next(filter(None, map(shutil.which, EMULATORS)), None)
        command = [str(self.python()), *map(str, words)]
        if platform.machine() != "ppc64le":
            if emulator is None:
                raise UserlandUnfit("qemu-user is not installed")
            settings = [word for row in more.items() for word in ("-E", "=".join(row))]
            command = [emulator, "-L", str(self.root), *settings, *command]
            more = {}
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", **more},
        )

    def python(self) -> Path:
        """Give its Python."""
        return max((self.root / "usr/bin").glob("python3.[0-9]*"))

    def install(self, wheel: Path, target: Path) -> Path:
        """Let its pip install a wheel.

        Args:
            wheel: It.
            target: Where to; wheels from the index are kept in it, too.

        Returns:
            The folder with the modules.

        Raises:
            UserlandUnfit: A wheel cannot be had from the index.
            AssertionError: pip will not install ours.
        """
        wheels = target / "wheels"
        version = self.python().name.removeprefix("python")
        _index(["--python-version", version, "--platform", PLATFORM, *FROM_INDEX], wheels)
        # Debian's packages count as installed, so that pip tells if one of them is too old.
        done = self.run(
            *("-m", "pip", "--disable-pip-version-check", "install", "--no-index"),
            *("--find-links", wheels, "--prefix", target, wheel),
            seconds=2 * SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return next(target.glob("**/vmemmap/__init__.py")).parent.parent


def find() -> Userland:
    """Give what has been fetched.

    Raises:
        UserlandUnfit: Nothing has, or nothing runs it.
    """
    root = cache_folder() / "lab" / USERLAND / "root"
    if not root.exists():
        raise UserlandUnfit("a ppc64le userland is absent: make userland")
    if platform.machine() != "ppc64le" and not any(map(shutil.which, EMULATORS)):
        raise UserlandUnfit("qemu-user is absent: apt-get install qemu-user-static")
    return Userland(root)


def build_wheel(userland: Userland, target: Path, *, compiled: bool) -> Path:
    """Make the wheel for ppc64le.

    Args:
        userland: Whose Python it is for.
        target: The folder for it.
        compiled: With the compiled module.

    Raises:
        UserlandUnfit: There is no cross compiler.
    """
    compiler = shutil.which(COMPILER) if compiled else "/bin/false"
    if compiler is None:
        raise UserlandUnfit(f"no cross compiler: apt-get install {COMPILER_PACKAGE}")
    headers = userland.root / "usr/include"
    python = headers / userland.python().name
    settings = {
        "_PYTHON_HOST_PLATFORM": "linux-ppc64le",
        "CC": compiler,
        "LDSHARED": f"{compiler} -shared",
        "CFLAGS": f"-I{python} -I{headers}",
    }
    with TemporaryDirectory() as folder:
        for name in SOURCES:  # building leaves things beside them
            _copy(ROOT / name, Path(folder) / name)
        _pip(
            ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), folder],
            settings,
        )
    return next(target.glob("vmemmap-*_ppc64le.whl"))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy(source, target)


def _index(words: Sequence[str], target: Path) -> None:
    """Fetch wheels from the package index."""
    try:
        _pip(["download", "--no-deps", "--only-binary", ":all:", "--dest", str(target), *words], {})
    except subprocess.CalledProcessError as error:
        raise UserlandUnfit(f"no wheel of {', '.join(FROM_INDEX)}: {error.stderr[-300:]}") from None


def _pip(words: Sequence[str], settings: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **settings},
    )


def answers(userland: Userland, path: Path, dump: Path) -> Iterator[tuple[str, Any, Any]]:
    """Ask about a dump in the userland, and here.

    Args:
        userland: It.
        path: Where the package is installed for it.
        dump: The dump.

    Yields:
        The command, what the userland answered, and what the package here did: the records, and
        the exit codes with them.
    """
    for words in QUESTIONS:
        command = ["-m", "vmemmap", words[0], str(dump), *words[1:], "--format", "json"]
        there = userland.run(*command, path=path)
        here = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, check=False
        )
        yield " ".join(words), _record(there), _record(here)


def _record(ran: subprocess.CompletedProcess[str]) -> tuple[int, Any]:
    assert ran.stdout, ran.stderr
    record = json.loads(ran.stdout)
    if isinstance(record, dict):
        record.pop("package", None)  # which says if there is a compiled module
    return ran.returncode, record


def main() -> int:
    """Fetch the userland; give the exit code."""
    try:
        found = Packages(lambda text: print(text, flush=True)).userland()
    except PackagesMissing as error:
        print(f"lab.userland: {error}", file=sys.stderr)
        return 1
    print(f"{found.root}: Python and numpy {found.versions['python3-numpy']} of ppc64le")
    if not shutil.which(COMPILER):
        print(f"to try the compiled module in it, too: sudo apt-get install {COMPILER_PACKAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
