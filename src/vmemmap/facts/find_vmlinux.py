"""Where the vmlinux of a dumped kernel lies on this machine: looked for by its build ID.

The places are those of distributions' debug packages, and of debuginfod's cache; nothing is asked
of the net. A file that is found by the kernel's release counts only if it has that build ID.

Source: debuginfod_find_debuginfo(3), for the cache; GDB's manual, "Separate Debug Files".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vmemmap.errors import FactMissing, VmemmapError
from vmemmap.facts.elf_file import ElfFile
from vmemmap.facts.vmlinux import find_build_id
from vmemmap.source.opening import open_bytes


def find_vmlinux(
    build_id: str, release: str, environment: Mapping[str, str], root: Path = Path("/")
) -> Path:
    """Give the vmlinux with a build ID.

    Args:
        build_id: In hex, as VMCOREINFO has it.
        release: The kernel's release, as uname gives it.
        environment: The environment, for where debuginfod keeps its cache.
        root: Where the file system begins.

    Raises:
        FactMissing: There is none; says where it was looked for.
    """
    places = [*_places(build_id, release, environment, root)]
    for place in places:
        if place.is_file() and build_id_of(place) == build_id:
            return place
    raise FactMissing(
        f"no vmlinux with the build ID {build_id} is here: it was looked for as "
        + ", ".join(map(str, places)),
        name="vmlinux",
    )


def build_id_of(path: Path) -> str | None:
    """Read the build ID of an ELF file; None where it has none, or is no ELF file of PowerPC64."""
    try:
        view = open_bytes(path, "the vmlinux")
    except VmemmapError:
        return None  # whatever it is, it is not the file that is looked for
    try:
        return find_build_id(ElfFile(view)) or None
    except VmemmapError:
        return None
    finally:
        view.close()


def _places(
    build_id: str, release: str, environment: Mapping[str, str], root: Path
) -> Iterator[Path]:
    """Yield where it may lie, the surest first."""
    debug = root / "usr/lib/debug"
    yield debug / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    cache = environment.get("DEBUGINFOD_CACHE_PATH")
    if cache is None:
        home = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '/root')}/.cache"
        cache = f"{home}/debuginfod_client"
    yield Path(cache) / build_id / "debuginfo"
    if "/" in release or release in ("", ".", ".."):
        return  # it comes from the dump, and names no file then
    yield debug / "boot" / f"vmlinux-{release}"
    yield debug / "lib/modules" / release / "vmlinux"
    yield root / "boot" / f"vmlinux-{release}"
    yield root / "lib/modules" / release / "build/vmlinux"
