"""A guest's initial file system, as a cpio archive: busybox, kexec, makedumpfile and modules.

No tool of the host is needed, and the same archive serves the capture kernel. Source: the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst (newc).
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lab import plant_program

PROGRAMS = ("usr/bin/busybox", "usr/sbin/kexec", "usr/bin/makedumpfile")
MODULES = ("virtio_pci", "9pnet_virtio", "9p")
LOADER = "usr/lib/powerpc64le-linux-gnu/ld64.so.2"
_NEEDED = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")
_LIBRARY = re.compile(r"\.so(\.\d+)*$")
_FILE, _FOLDER, _LINK = 0o100000, 0o040000, 0o120000


class Archive:
    """A cpio archive (newc) in memory; folders are added as they are needed."""

    def __init__(self) -> None:
        self._out = io.BytesIO()
        self._seen: set[str] = set()

    def file(self, name: str, content: bytes, mode: int = 0o755) -> None:
        """Add a file."""
        self._add(name, _FILE | mode, content)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, _LINK | 0o777, target.encode())

    def packed(self) -> bytes:
        """Give the archive, gzip-compressed."""
        self._entry("TRAILER!!!", 0, b"")
        return gzip.compress(self._out.getvalue(), 6, mtime=0)

    def _add(self, name: str, mode: int, content: bytes) -> None:
        for parent in reversed(PurePosixPath(name).parents):
            if str(parent) != "." and str(parent) not in self._seen:
                self._seen.add(str(parent))
                self._entry(str(parent), _FOLDER | 0o755, b"")
        self._seen.add(name)
        self._entry(name, mode, content)

    def _entry(self, name: str, mode: int, content: bytes) -> None:
        number = len(self._seen) + 1
        links = 2 if mode & _FOLDER and not mode & _FILE else 1
        fields = (number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        self._out.write(b"070701" + b"".join(b"%08x" % field for field in fields))
        self._out.write(name.encode() + b"\0")
        self._pad()
        self._out.write(content)
        self._pad()

    def _pad(self) -> None:
        self._out.write(bytes(-self._out.tell() % 4))


def build(init: Path, tools: Path, modules: Path) -> bytes:
    """Build the archive.

    Args:
        init: The first process.
        tools: Where the tools' packages are unpacked.
        modules: The folder of the kernel's modules.
    """
    archive = Archive()
    archive.file("init", init.read_bytes())
    for program in PROGRAMS:
        archive.file(f"bin/{Path(program).name}", (tools / program).read_bytes())
    archive.file("bin/plant", plant_program.build())
    archive.link("lib64", "lib")
    for name, content in _libraries(tools):
        archive.file(f"lib/{name}", content)
    order = []
    for name, content in _modules(modules):
        order.append(f"{name}.ko")
        archive.file(f"modules/{name}.ko", content, 0o644)
    archive.file("modules/order", "\n".join(order).encode(), 0o644)
    return archive.packed()


def _libraries(tools: Path) -> Iterator[tuple[str, bytes]]:
    """Give each library that the programs name, by the name they call it."""
    folder = (tools / LOADER).parent
    there = {path.name: path for path in folder.iterdir() if _LIBRARY.search(path.name)}
    waiting = [(tools / program).read_bytes() for program in PROGRAMS]
    done = {Path(LOADER).name}
    yield Path(LOADER).name, (tools / LOADER).read_bytes()
    while waiting:
        content = waiting.pop()
        # The names stand in the program's string table; a name too many does no harm.
        for name in {word.decode() for word in re.findall(rb"[\w.+-]+\.so(?:\.\d+)+", content)}:
            if name in there and name not in done:
                done.add(name)
                waiting.append(there[name].read_bytes())
                yield name, waiting[-1]


def _modules(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Give the modules in the order in which they can be loaded; what is built in is left out."""
    there = {
        path.name.split(".")[0].replace("-", "_"): path for path in folder.glob("kernel/**/*.ko*")
    }
    done: set[str] = set()

    def with_needs(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name not in there:
            return
        done.add(name)
        content = _unpacked(there[name])
        found = _NEEDED.search(content)
        for need in (found[1].decode() if found else "").split(","):
            yield from with_needs(need.replace("-", "_"))
        yield name, content

    for name in MODULES:
        yield from with_needs(name)


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
