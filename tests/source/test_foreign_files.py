"""What people take for a vmcore: each is named, with the way on, in one line.

The files are made by their own tools where those are at hand, else from the formats' documents;
none of the bytes here come from the package's table.
"""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from builders.elf_core import Segment, build_elf
from builders.kdump import build_kdump
from vmemmap.errors import DumpError, UnknownFormat, UnsupportedDump
from vmemmap.source.detect import open_source

PAGE = bytes(range(256)) * 16
KDUMP = build_kdump({1: PAGE}, block_size=4096)


def refusal(path: Path, data: bytes, kind: type[DumpError] = UnsupportedDump) -> str:
    """Write the bytes, open them, and give the one line that they are refused with."""
    path.write_bytes(data)
    with pytest.raises(DumpError) as caught:
        open_source(path)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert "\n" not in message
    return message


def at(offset: int, magic: bytes, size: int = 1 << 17) -> bytes:
    return (bytes(offset) + magic).ljust(size, b"\0")


def tar_of(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(KDUMP)
        archive.addfile(info, io.BytesIO(KDUMP))
    return out.getvalue()


def mbr() -> bytes:
    """One partition, type Linux, from sector 2048 on."""
    row = struct.pack("<B3sB3sII", 0x80, b"\x20\x21\0", 0x83, b"\xfe\xff\xff", 2048, 1 << 20)
    return (bytes(446) + row).ljust(510, b"\0") + b"\x55\xaa" + bytes(8192)


def libvirt_save() -> bytes:
    head = b"LibvirtQemudSave" + struct.pack("<IIIIII", 2, 4000, 1, 0, 0, 0)
    return head + bytes(4096) + b"QEVM" + bytes(4096)


FOREIGN = {
    "virsh save": (libvirt_save(), "libvirt save image", "virsh restore"),
    "migration": (b"QEVM\0\0\0\x03" + bytes(4096), "migration stream", "--memory-only"),
    "qcow2": (b"QFI\xfb\0\0\0\x03" + bytes(4096), "qcow2", "guestmount -a"),
    "vmdk": (b"KDMV\x01\0\0\0" + bytes(4096), "VMDK", "/var/crash"),
    "vhd": (b"conectix" + bytes(4096), "VHD", "/var/crash"),
    "vhdx": (b"vhdxfile" + bytes(4096), "VHDX", "/var/crash"),
    "gpt": (at(512, b"EFI PART"), "GPT", "/var/crash"),
    "mbr": (mbr(), "partition table (MBR)", "/var/crash"),
    "xfs": (b"XFSB\0\0\x10\0" + bytes(4096), "XFS", "/var/crash"),
    "iso": (at(0x8001, b"CD001\x01"), "ISO 9660", "/var/crash"),
    "lvm": (at(512, b"LABELONE"), "LVM", "/var/crash"),
    "luks": (b"LUKS\xba\xbe\0\x02" + bytes(4096), "LUKS", "cryptsetup open"),
    "swap 64K": (at(65526, b"SWAPSPACE2"), "swap space", "never in it"),
    "cpio": (b"070701000002E5000081A4" + bytes(200), "cpio", "cpio -idv"),
    "rpm": (b"\xed\xab\xee\xdb\x03\0\0\0" + bytes(200), "RPM", "--vmlinux"),
    "deb": (b"!<arch>\ndebian-binary   " + bytes(200), "Debian", "--vmlinux"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(200), "7-zip", "7z x"),
    "vmss": (struct.pack("<II", 0xBED2BED2, 8) + bytes(4096), "VMware", "ppc64"),
    "vmsn": (struct.pack("<II", 0xBAD1BAD1, 8) + bytes(4096), "VMware", "ppc64"),
    "xen": (struct.pack("<I", 0xF00FEBED) + bytes(4096), "Xen", "ppc64"),
    "s390": (struct.pack(">Q", 0xA8190173618F23FD) + bytes(4096), "s390", "expected"),
    "lkcd": (struct.pack("<Q", 0xA8190173618F23ED) + bytes(4096), "LKCD", "vmemmap_list"),
    "windows": (b"PAGEDU64" + bytes(8192), "Windows", "expected"),
    "lime": (b"EMiL\x01\0\0\0" + bytes(4096), "LiME", "--memory-only"),
    "perf.data": (b"PERFILE2" + bytes(200), "perf", "expected"),
    "pages.parquet": (b"PAR1" + bytes(200), "Parquet", "name the dump"),
    "tar": (tar_of("127.0.0.1-2026/vmcore"), "'127.0.0.1-2026/vmcore'", "tar -xf"),
    "sos": (tar_of("sosreport-host-2026/version.txt"), "sos report", "no dump"),
    "dtb": (b"\xd0\x0d\xfe\xed" + bytes(200), "device tree", "expected"),
    "sysdump": (at(0, b"FILE    ").replace(bytes(56), bytes(56), 1)[:64] + b"SECTION " + bytes(900),
                "platform dump", "opal-dump-parse"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_named_with_the_way_on(tmp_path: Path, kind: str) -> None:
    data, name, way_on = FOREIGN[kind]
    message = refusal(tmp_path / "file", data)
    assert name in message
    assert way_on in message
    assert "expected an ELF vmcore or a kdump file" in message


@pytest.mark.parametrize(
    ("data", "name", "way_on"),
    [
        (b"OSRELEASE=6.1.0\nPAGESIZE=65536\n", "a VMCOREINFO text", "--vmcoreinfo"),
        (b"[    0.000000] hash-mmu: Page sizes\n" * 9, "a kernel's log", "name the vmcore"),
        (b"c000000000000000 T _stext\n" * 9, "a list of symbols", "name the vmcore"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS", "git lfs pull"),
        (b"/annex/objects/SHA256E-s9--ab.kdump\n", "git-annex", "git annex get"),
        (b"<!DOCTYPE html>\n<title>404</title>", "a web page", "download"),
        ("nicht gefunden: Größe\n".encode(), "a text", "expected an ELF vmcore"),
        (bytes(1 << 16), "nothing but zeros", "never written"),
        (b"Welcome!\r\n\0" + KDUMP, "one may begin at 0xb", "tail -c +12"),
        (bytes(7) + b"\x91" + bytes(8000) + b"OSRELEASE=6.1.0-9\nPAGESIZE=65536\n" + bytes(5000),
         "memory without headers, it seems (kernel 6.1.0-9)", "dump-guest-memory"),
    ],
)  # fmt: skip
def test_what_is_no_format_of_its_own(tmp_path: Path, data: bytes, name: str, way_on: str) -> None:
    message = refusal(tmp_path / "file", data, UnknownFormat)
    assert message.startswith("this is no dump")
    assert name in message
    assert way_on in message


def test_the_advice_cuts_the_dump_out_of_what_surrounds_it(tmp_path: Path) -> None:
    message = refusal(tmp_path / "piped", b"Last login: ...\r\n" + KDUMP, UnknownFormat)
    command = message.split("try: ")[1].replace("NEWFILE", str(tmp_path / "new"))
    subprocess.run(command, shell=True, check=True)
    assert (tmp_path / "new").read_bytes() == KDUMP


@pytest.mark.parametrize(
    ("pack", "suffix", "command"),
    [(gzip.compress, ".gz", "gunzip"), (zstandard.ZstdCompressor().compress, ".zst", "zstd -d")],
)
def test_a_packed_file_says_what_is_inside(tmp_path: Path, pack, suffix, command) -> None:
    for inside, word in (
        (KDUMP, "with a kdump file inside"),
        (build_elf([Segment(0, PAGE)]), "with an ELF file inside"),
        (tar_of("sosreport-x/a"), "with an sos report"),
        (mbr(), "the file is"),
    ):
        message = refusal(tmp_path / f"a file{suffix}", pack(inside))
        assert word in message
        assert message.endswith(f"{command} '{tmp_path}/a file{suffix}'")
    message = refusal(tmp_path / "renamed", pack(KDUMP))
    assert f"-dc {tmp_path}/renamed > NEWFILE" in message


@pytest.mark.parametrize("cut", [2, 4, 5, 9, 20])
def test_a_packed_file_that_is_cut_off_is_still_named(tmp_path: Path, cut: int) -> None:
    assert "gzip-compressed" in refusal(tmp_path / "file.gz", gzip.compress(KDUMP)[:cut])


@pytest.mark.parametrize(
    ("tool", "command", "name"),
    [
        ("gpg", "gpg --batch --homedir {home} --passphrase x --pinentry-mode loopback"
         " -o {out} -c {source}", "encrypted (OpenPGP)"),
        ("lz4", "lz4 -q {source} {out}", "lz4-compressed"),
        ("mkfs.ext4", "truncate -s 8M {out} && mkfs.ext4 -q -F {out}", "ext2, ext3 or ext4"),
        ("openssl", "openssl enc -aes-256-cbc -pbkdf2 -pass pass:x -in {source} -out {out}",
         "encrypted (openssl enc)"),
        ("qemu-img", "qemu-img create -q -f vmdk {out} 8M", "VMDK"),
        ("xz", "xz -c --format=lzma {source} > {out}", "lzma-compressed"),
        ("tar", "tar -C {home} -cf {out} dump", "'dump'"),
    ],
)  # fmt: skip
def test_files_as_their_own_tools_make_them(tmp_path: Path, tool, command, name) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here to make such a file")
    source, out = tmp_path / "dump", tmp_path / "out"
    source.write_bytes(KDUMP)
    tmp_path.chmod(0o700)
    words = command.format(home=tmp_path, source=source, out=out)
    subprocess.run(words, shell=True, check=True, capture_output=True)
    assert name in refusal(out, out.read_bytes())
