"""What people take for a vmcore and is none, as data: where a format shows itself, and the way on.

A row is a run of bytes at an offset of the file. The rows are tried in order, so that the more
telling of two comes first. Of raw disks, tar archives and texts the bytes alone tell too little;
``vmemmap.source.foreign`` looks closer.

Source: the formats' own documents, as file(1) has them in its Magdir; crash's netdump.c,
diskdump.c, xendump.h, vmware_vmss.h, lkcd_dump_v*.h; ppc64-diag's opal-dump-parse.h; libvirt's
qemu_saveimage.h; QEMU's migration/qemu-file.h.
"""

from __future__ import annotations

from dataclasses import dataclass

_UNIT = 512
DUMP_GUEST = (
    "a dump of the guest is made by virsh dump --memory-only DOMAIN FILE, or in QEMU's monitor by "
    "dump-guest-memory FILE"
)
ON_DISK = "a vmcore may lie on it as a file, mostly below /var/crash: mount it and name that"
IN_ARCHIVE = "a vmcore may be in it"
_DECRYPT = "decrypt it first"
_X86 = "no such dump is made on ppc64"


@dataclass(frozen=True, slots=True)
class Magic:
    """A format that is not read.

    Attributes:
        offset: Where its bytes are (bytes from the start of the file).
        start: The bytes.
        what: What the file is, as "the file is ...".
        advice: The way on, as a clause; may have ``{path}``.
    """

    offset: int
    start: bytes
    what: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Packing:
    """A format that packs one file.

    Attributes:
        start: Its first bytes.
        what: As for `Magic`.
        command: Unpacks a file whose name ends in *suffix*.
        suffix: What such names end in.
        pipe: Unpacks to the standard output, whatever the name.
    """

    start: bytes
    what: str
    command: str
    suffix: str
    pipe: str


PACKED = (
    Packing(b"\x28\xb5\x2f\xfd", "zstd-compressed", "zstd -d", ".zst", "zstd -dc"),
    Packing(b"\x1f\x8b", "gzip-compressed", "gunzip", ".gz", "gzip -dc"),
    Packing(b"\xfd7zXZ\0", "xz-compressed", "unxz", ".xz", "xz -dc"),
    Packing(b"BZh", "bzip2-compressed", "bunzip2", ".bz2", "bzip2 -dc"),
    Packing(b"\x04\x22\x4d\x18", "lz4-compressed", "unlz4", ".lz4", "lz4 -dc"),
    Packing(b"\x02\x21\x4c\x18", "lz4-compressed", "unlz4", ".lz4", "lz4 -dc"),
    Packing(b"\x89LZO\0\r\n\x1a\n", "lzop-compressed", "lzop -d", ".lzo", "lzop -dc"),
    Packing(b"LZIP", "lzip-compressed", "lzip -d", ".lz", "lzip -dc"),
    Packing(b"LRZI", "lrzip-compressed", "lrunzip", ".lrz", "lrunzip -o -"),
    Packing(b"\xff\x06\0\0sNaPpY", "snappy-compressed", "snzip -d", ".sz", "snzip -dc"),
    Packing(b"\x1f\x9d", "compressed (compress)", "uncompress", ".Z", "gzip -dc"),
    Packing(b"\x1f\xa0", "compressed (compress -H)", "uncompress", ".Z", "gzip -dc"),
    Packing(b"\x5d\0\0", "lzma-compressed", "unlzma", ".lzma", "xz --format=lzma -dc"),
)
"""Compressed files; one that is meant for a pipe can be piped into the command, too."""

MAGICS = (
    # Dumps of other kinds.
    Magic(
        0, b"LibvirtQemudSave",
        "a libvirt save image (virsh save, managedsave): a migration stream of QEMU behind a "
        "header",
        "start the guest from it (virsh restore {path}) and dump that: " + DUMP_GUEST,
    ),
    Magic(
        0, b"LibvirtQemudPart", "a libvirt save image that was never finished (virsh save)",
        DUMP_GUEST,
    ),
    Magic(
        0, b"QEVM",
        "a migration stream of QEMU, as virsh dump without --memory-only and savevm make it",
        "make it anew: " + DUMP_GUEST,
    ),
    Magic(0, b"DISKDUMP", "an old diskdump file, of kernels that had no vmemmap_list"),
    Magic(0, b"diskdump", "a diskdump partition, of kernels that had no vmemmap_list"),
    *(
        Magic(0, (b"\xa8\x19\x01\x73\x61\x8f\x23" + end)[::step], what)
        for step in (1, -1)
        for end, what in (
            (b"\xed", "an LKCD dump, of kernels that had no vmemmap_list"),
            (b"\xcd", "an LKCD dump of a running kernel, one that had no vmemmap_list"),
            (b"\xfd", "a stand-alone dump of s390 (zipl, zgetdump)"),
            (b"\xfe", "a multi-volume stand-alone dump of s390 (zipl, zgetdump)"),
        )
    ),
    Magic(0, b"sadu", "a sadump file, which exists for x86 only"),
    Magic(0, b"\xed\xeb\x0f\xf0", "a core of a Xen guest (xm dump-core)", _X86),
    Magic(0, b"\xee\xeb\x0f\xf0", "a core of a Xen guest (xm dump-core)", _X86),
    Magic(0, b"LinuxGuestRecord", "a saved Xen guest (xm save)", _X86),
    Magic(0, b"Xen saved domain", "a saved Xen guest (xl save)", _X86),
    Magic(0, b"LibxlFmt", "a saved Xen guest (xl save)", _X86),
    *(
        Magic(0, word * 2, "a suspended or saved VMware machine (vmss, vmsn)", _X86)
        for word in (b"\xd0\xbe", b"\xd2\xbe", b"\xd3\xbe", b"\xd1\xba", b"\xd2\xba")
    ),
    Magic(0, b"\x7fVirtualBox SavedState", "a saved VirtualBox machine", _X86),
    Magic(0, b"EMiL", "a memory image of LiME, which has no VMCOREINFO header", DUMP_GUEST),
    Magic(0, b"AVML", "a memory image of AVML, which has no VMCOREINFO header", DUMP_GUEST),
    Magic(
        0x40, b"SECTION",
        "a platform dump of Power firmware (SYSDUMP, FSPDUMP), which is not the kernel's memory",
        "opal-dump-parse reads it; the kernel's dump is the vmcore of kdump or fadump",
    ),
    Magic(0, b"PAGEDU64", "a crash dump of Windows"),
    Magic(0, b"PAGEDUMP", "a crash dump of Windows"),
    Magic(0, b"MDMP", "a minidump of Windows"),
    Magic(0, b"minidump FreeBSD/", "a minidump of a FreeBSD kernel"),
    Magic(0, b"FreeBSD Kernel Dump", "a dump of a FreeBSD kernel"),
    Magic(0, b"\xde\xfe\xc8\xed", "a crash dump of Solaris or illumos"),
    Magic(0, b"\xed\xc8\xfe\xde", "a crash dump of Solaris or illumos"),
    *(
        Magic(4, (0x0FEEDDB0 + n).to_bytes(4, "big"), "a core of an AIX process")
        for n in (0, 1, 2)
    ),
    # Disks and what is on them.
    Magic(0, b"QFI\xfb", "a disk image (qcow2 of QEMU)", f"{ON_DISK} (guestmount -a {{path}})"),
    Magic(0, b"QED\0", "a disk image (QED of QEMU)", ON_DISK),
    Magic(0, b"KDMV", "a disk image (VMDK of VMware)", ON_DISK),
    Magic(0, b"VMDK", "a disk image (VMDK of VMware)", ON_DISK),
    Magic(0, b"COWD", "a disk image (VMDK of VMware)", ON_DISK),
    Magic(0, b"# Disk DescriptorFile", "the description of a disk image (VMDK of VMware)"),
    Magic(0, b"conectix", "a disk image (VHD)", ON_DISK),
    Magic(0, b"vhdxfile", "a disk image (VHDX)", ON_DISK),
    Magic(0x40, b"\x7f\x10\xda\xbe", "a disk image (VDI of VirtualBox)", ON_DISK),
    Magic(0, b"WithoutFreeSpace", "a disk image (Parallels)", ON_DISK),
    Magic(0, b"WithouFreSpacExt", "a disk image (Parallels)", ON_DISK),
    Magic(_UNIT, b"EFI PART", "a raw disk with a GPT", ON_DISK),
    Magic(4096, b"EFI PART", "a raw disk with a GPT", ON_DISK),
    Magic(
        0, b"LUKS\xba\xbe", "an encrypted disk (LUKS)",
        f"{_DECRYPT}, with cryptsetup open {{path}} NAME, and mount what is in it",
    ),
    Magic(3, b"-FVE-FS-", "an encrypted disk (BitLocker)", _DECRYPT),
    Magic(_UNIT, b"LABELONE", "a physical volume of LVM", ON_DISK),
    Magic(0, b"XFSB", "a file system (XFS)", ON_DISK),
    Magic(0, b"hsqs", "a file system (SquashFS)", ON_DISK),
    Magic(0x10040, b"_BHRfS_M", "a file system (Btrfs)", ON_DISK),
    Magic(0x8001, b"CD001", "a file system (ISO 9660, as on a DVD)", ON_DISK),
    *(
        Magic(size - 10, word, what, advice)
        for size in (4096, 65536)
        for word, what, advice in (
            (b"SWAPSPACE2", "swap space", "a vmcore is never in it"),
            (b"S1SUSPEND\0", "swap space with a hibernated kernel", "that is no crash dump"),
        )
    ),
    # Archives and packages.
    Magic(0, b"PK\x03\x04", "a zip archive", f"{IN_ARCHIVE}; unpack it first: unzip {{path}}"),
    Magic(0, b"PK\x05\x06", "a zip archive with nothing in it"),
    Magic(0, b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", f"{IN_ARCHIVE}: 7z x {{path}}"),
    Magic(0, b"Rar!\x1a\x07", "a RAR archive", f"{IN_ARCHIVE}: unrar x {{path}}"),
    *(
        Magic(0, start, "a cpio archive, such as an initramfs", f"{IN_ARCHIVE}: cpio -idv")
        for start in (b"070701", b"070702", b"070707")
    ),
    Magic(
        0, b"\xed\xab\xee\xdb", "a package (RPM)",
        "kernel-debuginfo packages have the vmlinux, which goes to --vmlinux, and never a vmcore",
    ),
    Magic(
        0, b"!<arch>\ndebian", "a package (Debian archive)",
        "a -dbg package has the vmlinux, which goes to --vmlinux, and never a vmcore",
    ),
    Magic(0, b"!<arch>", "an archive (ar, or a Debian package)"),
    Magic(0, b"<bigaf>", "an archive (ar of AIX)"),
    # Encrypted files.
    Magic(0, b"-----BEGIN PGP MESSAGE", "encrypted (OpenPGP)", f"{_DECRYPT}: gpg -d {{path}}"),
    *(
        Magic(0, start, "encrypted (OpenPGP)", f"{_DECRYPT}: gpg -d {{path}}")
        for start in (
            *(b"\x8c\x0d\x04", b"\x84\x8c\x03", b"\x84\x5e\x03", b"\x85\x01\x8c\x03"),
            *(bytes((0x85, high, low, 3)) for high in (1, 2, 3, 4) for low in (0x0C, 0x0E)),
            *(b"\xc1\xc0\x4c\x03", b"\xc1\xc1\x4c\x03", b"\xc1\x5e\x03", b"\xc3\x0d\x04"),
        )
    ),
    Magic(0, b"age-encryption.org/", "encrypted (age)", f"{_DECRYPT}: age -d {{path}}"),
    Magic(0, b"-----BEGIN AGE", "encrypted (age)", f"{_DECRYPT}: age -d {{path}}"),
    Magic(0, b"Salted__", "encrypted (openssl enc)", f"{_DECRYPT}: openssl enc -d"),
    Magic(0, b"-----BEGIN PKCS7", "encrypted or signed (PKCS #7)", f"{_DECRYPT}: openssl smime"),
    # Other files of people who have vmcores.
    Magic(0, b"PERFILE2", "a recording of perf"),
    Magic(0, b"\x17\x08\x44tracing", "a recording of trace-cmd"),
    Magic(0, b"PAR1", "a Parquet file, such as vmemmap pages writes", "name the dump itself"),
    Magic(0, b"ARROW1", "an Arrow file, such as vmemmap pages writes", "name the dump itself"),
    Magic(0, b"\xd0\x0d\xfe\xed", "a device tree"),
    Magic(0, b"\x27\x05\x19\x56", "a boot image (U-Boot)"),
    Magic(0, b"%PDF-", "a PDF"),
    Magic(0, b"SQLite format 3\0", "a database (SQLite)"),
    Magic(0, b"\xcf\xfa\xed\xfe", "a program or core of macOS"),
)  # fmt: skip

TEXTS = (
    (b"OSRELEASE=", "a VMCOREINFO text", "name the dump, and this with --vmcoreinfo"),
    (b"version https://git-lfs", "a pointer of Git LFS to a file that was not fetched",
     "fetch the file itself: git lfs pull"),
    (b"/annex/objects/", "a pointer of git-annex to a file that was not fetched",
     "fetch the file itself: git annex get"),
    (b"<!doctype html", "a web page, such as a download that failed leaves",
     "download the file again"),
    (b"<html", "a web page, such as a download that failed leaves", "download the file again"),
    (b"<?xml", "an XML text", ""),
    (b"{", "a text (JSON, it seems)", ""),
    (b"#!", "a script", ""),
)  # fmt: skip
"""Beginnings of texts, in lower case where they may be either: what it is, and the way on."""
