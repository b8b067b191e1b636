"""Build the packages of distributions, with those of their tools that are here: ``make packages``.

    python tools/packages.py [archive] [deb] [rpm] [conda]

The source archive comes first, and the others are made from it: Debian's with dpkg-buildpackage,
held against lintian; an RPM with rpmbuild, held against rpmlint; conda's with rattler-build. What
they need to know of the version is `vmemmap.__version__` and put in here. Everything is left in
``build/packages``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from datetime import date
from email.utils import formatdate
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "packages"
SECONDS = 1800


class Unfit(Exception):
    """A package cannot be built here; the message says what is missing."""


def version() -> str:
    """Give the version, from the one place where it stands."""
    text = (ROOT / "src/vmemmap/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def build_archive() -> Path:
    """Make the source archive."""
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(FOLDER)!r})"
    _run([sys.executable, "-c", code], ROOT)
    return FOLDER / f"vmemmap-{version()}.tar.gz"


def build_deb(archive: Path) -> list[Path]:
    """Make Debian's source package and package, of which lintian finds nothing to say.

    Raises:
        Unfit: Tools or packages that it is built with are missing.
    """
    _need("dpkg-buildpackage", "dh", "lintian")
    folder = _fresh("deb")
    source = _unpack(archive, folder)
    shutil.copy(archive, folder / f"vmemmap_{version()}.orig.tar.gz")
    shutil.copytree(ROOT / "debian", source / "debian")
    control = (source / "debian/control").read_text(encoding="utf-8")
    maintainer = next(line for line in control.splitlines() if line.startswith("Maintainer: "))
    (source / "debian/changelog").write_text(
        f"vmemmap ({version()}-1) unstable; urgency=medium\n\n"
        f"  * New upstream release.\n\n"
        f" -- {maintainer.removeprefix('Maintainer: ')}  {formatdate()}\n"
    )
    missing = _output(["dpkg-checkbuilddeps"], source)
    if missing:
        raise Unfit(missing.strip().splitlines()[-1])
    _run(["dpkg-buildpackage", "-us", "-uc"], source)
    changes = [str(path) for path in folder.glob("*.changes")]
    _run(["lintian", "--fail-on", "error,warning", "--allow-root", *changes], folder)
    return sorted(folder.glob("*.deb"))


def build_rpm(archive: Path) -> list[Path]:
    """Make an RPM, of which rpmlint finds no error.

    Raises:
        Unfit: rpmbuild is missing, or what it takes debugging information out with.
    """
    _need("rpmbuild", "eu-strip")
    folder = _fresh("rpm")
    shutil.copy(archive, folder)
    spec = folder / "vmemmap.spec"
    template = (ROOT / "packaging/vmemmap.spec.in").read_text(encoding="utf-8")
    today = date.today().strftime("%a %b %d %Y")
    text = template.replace("@VERSION@", version()).replace("@DATE@", today)
    spec.write_text(text, encoding="utf-8")
    places = [f"--define=_topdir {folder}", f"--define=_sourcedir {folder}"]
    # Where rpm is not the system's own, it knows of no packages that are installed.
    foreign = [] if Path("/etc/redhat-release").exists() else ["--nodeps"]
    _run(["rpmbuild", "-ba", *foreign, *places, str(spec)], folder)
    made = sorted(folder.glob("**/*.rpm"))
    if shutil.which("rpmlint"):
        _run(
            ["rpmlint", "-c", str(ROOT / "packaging/rpmlint.toml"), str(spec), *map(str, made)],
            folder,
        )
    return made


def build_conda(archive: Path) -> list[Path]:
    """Make conda's package.

    Raises:
        Unfit: rattler-build is missing.
    """
    _need("rattler-build")
    folder = _fresh("conda")
    source = _unpack(archive, folder)
    recipe = source / "packaging" / "recipe.yaml"
    _run(["rattler-build", "build", "--recipe", str(recipe), "--output-dir", str(folder)], source)
    return sorted(folder.glob("**/*.conda"))


BUILDERS: dict[str, Callable[[Path], list[Path]]] = {
    "deb": build_deb,
    "rpm": build_rpm,
    "conda": build_conda,
}


def main() -> int:
    """Build what was asked for, or everything; give the exit code."""
    asked = sys.argv[1:] or ["archive", *BUILDERS]
    wrong = [name for name in asked if name not in ("archive", *BUILDERS)]
    if wrong:
        print(f"packages: there is no {wrong[0]}: one of archive, {', '.join(BUILDERS)}")
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = False
    try:
        archive = build_archive()
        print(f"archive: {archive}")
        for name in asked:
            if name != "archive":
                failed |= not _told(name, archive)
    except subprocess.CalledProcessError as error:
        print(f"packages: archive: {_end_of(error)}")
        return 1
    return int(failed)


def _told(name: str, archive: Path) -> bool:
    """Build one, and say what became of it; False if it failed."""
    try:
        made = BUILDERS[name](archive)
    except Unfit as error:
        print(f"{name}: not built: {error}")
    except subprocess.CalledProcessError as error:
        print(f"{name}: FAILED: {_end_of(error)}")
        return False
    else:
        print(f"{name}: {', '.join(map(str, made))}")
    return True


def _end_of(error: subprocess.CalledProcessError) -> str:
    log = FOLDER / "log"
    return f"{Path(error.cmd[0]).name} gave {error.returncode}; the end of {log}:\n{_tail(log)}"


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


def _need(*programs: str) -> None:
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        raise Unfit(f"{', '.join(missing)} not found")


def _fresh(name: str) -> Path:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / f"vmemmap-{version()}"


def _run(command: Sequence[str], folder: Path) -> None:
    with (FOLDER / "log").open("w") as log:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            env={**os.environ, "VMEMMAP_VERSION": version()},
        )


def _output(command: Sequence[str], folder: Path) -> str:
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    return ran.stdout + ran.stderr


if __name__ == "__main__":
    sys.exit(main())
