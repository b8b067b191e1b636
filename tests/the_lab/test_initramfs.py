"""The guest's initial file system: the archive as the kernel reads it, and what is put in it."""

from __future__ import annotations

import gzip
import lzma

from lab import initramfs


def entries(packed: bytes) -> dict[str, tuple[int, bytes]]:
    """Read a cpio archive (newc) as the kernel's documentation describes it."""
    data = gzip.decompress(packed)
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        assert at % 4 == 0
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size - 1].decode()
        start = -(-(at + 110 + name_size) // 4) * 4
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = (mode, data[start : start + size])
        at = -(-(start + size) // 4) * 4


def test_archive_has_files_links_and_their_folders() -> None:
    archive = initramfs.Archive()
    archive.file("init", b"#!/bin/sh\n")
    archive.file("a/b/c", b"x" * 5, 0o644)
    archive.file("a/b/d", b"")
    archive.link("lib64", "lib")
    found = entries(archive.packed())
    assert found == {
        "init": (0o100755, b"#!/bin/sh\n"),
        "a": (0o40755, b""),
        "a/b": (0o40755, b""),
        "a/b/c": (0o100644, b"xxxxx"),
        "a/b/d": (0o100755, b""),
        "lib64": (0o120777, b"lib"),
    }


def module(*needs: str) -> bytes:
    return b"\x7fELF...\0depends=" + ",".join(needs).encode() + b"\0vermagic=6\0"


def test_modules_come_after_what_they_need_and_libraries_with_the_programs(tmp_path) -> None:
    tools, modules = tmp_path / "tools", tmp_path / "modules"
    libraries = (tools / initramfs.LOADER).parent
    libraries.mkdir(parents=True)
    (tools / initramfs.LOADER).write_bytes(b"loader")
    (libraries / "libc.so.6").write_bytes(b"the C library\0ld64.so.2\0")
    (libraries / "libz.so.1").write_bytes(b"zlib\0libc.so.6\0")
    (libraries / "libX.so.3").write_bytes(b"nobody needs this")
    for program in initramfs.PROGRAMS:
        (tools / program).parent.mkdir(parents=True, exist_ok=True)
        (tools / program).write_bytes(b"program\0libz.so.1\0libnot_there.so.1\0")
    kernel = modules / "kernel" / "drivers"
    kernel.mkdir(parents=True)
    (kernel / "virtio_ring.ko").write_bytes(module())
    (kernel / "virtio.ko.xz").write_bytes(lzma.compress(module("virtio_ring")))
    (kernel / "virtio_pci.ko").write_bytes(module("virtio", "virtio_ring"))
    (kernel / "9p.ko").write_bytes(module("9pnet", "built-in"))
    (kernel / "9pnet.ko").write_bytes(module())
    (kernel / "unrelated.ko").write_bytes(module())
    init = tmp_path / "init"
    init.write_bytes(b"#!")
    found = entries(initramfs.build(init, tools, modules))
    order = found["modules/order"][1].decode().split("\n")
    assert order == ["virtio_ring.ko", "virtio.ko", "virtio_pci.ko", "9pnet.ko", "9p.ko"]
    assert found["modules/virtio.ko"][1] == module("virtio_ring")
    names = {name for name in found if name.startswith("lib/")}
    assert names == {"lib/ld64.so.2", "lib/libc.so.6", "lib/libz.so.1"}
    assert {f"bin/{name}" for name in ("busybox", "kexec", "makedumpfile")} <= found.keys()
