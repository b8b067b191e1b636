"""The kernel's log in an extract: read as before, and without what names somebody or something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vmemmap
from oracles.simulated import crash, spec_of
from vmemmap.extract.checker import check
from vmemmap.extract.scrub import Scrubber
from vmemmap.simulate.crash import snapshot
from vmemmap.simulate.crash.dmesg import dmesg
from vmemmap.simulate.crash.printk import Message
from vmemmap.source.detect import open_source

SECRETS = {
    "db7.payroll.example.com": "NFS: server {} not responding, still trying",
    "db7x": "systemd-less: nfs: server {} not responding",
    "10.23.45.67": "IPv4: martian source {} from 8.8.8.8, on dev eth0",
    "fe80::5054:ff:fe12:3456%eth0": "IPv6: ADDRCONF: {} is a duplicate",
    "2001:db8:1:2:3:4:5:6": "TCP: peer {}:443 shrunk window",
    "52:54:00:12:34:56": "ibmveth 30000002 (unnamed): MAC {} set",
    "5254.0012.3456": "bnx2x: perm addr {}",
    "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:1d:4a:90": "ib0: hw address {}",
    "3f1b2c4d-5e6f-4a7b-8c9d-0e1f2a3b4c5d": "XFS (sda2): Mounting V5 Filesystem {}",
    "600507680C8084B4F000000000000123": "scsi 2:0:0:1: naa.{}",
    "YL10JF98R1AB": "usb 1-1: SerialNumber: {}",
    "S3Z9NB0K512345": "nvme nvme0: model X, serial {}",
    "Bobs iPhone": "usb 1-1: Product: {}",
    "alice@build.corp": "Linux version 6.1.0 ({}) (gcc 12)",
    "root@cafe": "Linux version 6.1.0 ({}) (gcc 12)",
    "mysqld": "Out of memory: Killed process 4711 ({}) total-vm:12kB",
    "payrolld": "CPU: 3 PID: 99 Comm: {} Kdump: loaded Not tainted 6.1.0",
    "hrcalc": "{}[812]: segfault (11) at 0 nip 0 lr 0 code 1",
    "batchjob": "INFO: task {}:4242 blocked for more than 120 seconds.",
    "spooler": "watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [{}:77]",
    "worker/9": "[   1234]  1000  1234    18000     1200    90112        0             0 {}",
    "7f7f7f7f41424344": "GPR08: fffffefff7c7d2d8 {} 0000000000000000 0000000000000000",
    "68 75 6e 74 65 72 32 21": "00000010: {} 00 00 00 00 00 00 00 00  hunter2!........",
    "hunter2!": "00000010: 68 75 6e 74 65 72 32 21 00 00 00 00 00 00 00 00  {}........",
    "/home/alice/plan.txt": "process ran {} with executable stack",
    "payroll-vg": "device-mapper: table: /dev/mapper/{}: linear",
    "iqn.2003-01.org.example:disk7"[4:]: "scsi host3: target iqn.{}",
    "\\\\fs1\\pay$": "CIFS: VFS: {} cannot connect",
    "https://intra.corp/x?token=abc": "firmware from {}",
    "s3cr3t disk": "EXT4-fs (sdb1): label '{}' is odd",
    "2026-11-22T08:22:49": "rtc0: setting system clock to {} UTC (1795335769)",
    "1795335769": "rtc0: setting system clock to 2026-11-22T08:22:49 UTC ({})",
    "exe=/bin/evil": "audit: type=1400 audit(1.2:3): apparmor=DENIED {}",
    "eyJhbGciOiJIUzI1NiIsInR5": "trusted: blob {} loaded",
    "drophog": "{} (4711): drop_caches: 3",
    "stackhog": "{} (4711) used greatest stack depth: 1234 bytes left",
    "pagehog": "{}: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP)",
    "memhog": "{} invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0",
    "waithog": "task:{}       state:D stack:    0 pid: 4711 ppid:     1 flags:0x00040080",
    "badhog": "BUG: Bad page state in process {}  pfn:12345",
    "dirhog": "EXT4-fs error (device dm-0): ext4_lookup:1785: inode #13: comm {}: deleted inode",
    "mounthog": "BTRFS: device label x devid 1 transid 5 /dev/sda1 scanned by {} (312)",
    "payrolldata": "BTRFS: device label {} devid 1 transid 5 /dev/sda1 scanned by m (312)",
    "loghog": "printk: {}: 12 output lines suppressed due to ratelimiting",
    "1042": "CPU: 3 UID: {} PID: 4711 Comm: a Not tainted 6.12.0 #1",
    "vioscorp": "ibmvscsi 30000003: partner initialization complete; host partition {} (1), OS 3",
    "vioscorp2": "ibmvfc 30000004: Host partition: {}, device: vfchost0 max sectors 2048",
    "78AB123": "ibmvfc 30000004: device: vfchost0 U9009.22A.{}-V1-C5",
    "br-payroll": "IPv6: ADDRCONF(NETDEV_CHANGE): {}: link becomes ready",
    "dmz-link": "mlx5_core 0000:01:00.0 {}: renamed from eth0",
    "enx525400123456": "device {} entered promiscuous mode",
    "vip-hr": "docker0: port 1({}) entered blocking state",
    "corpwall": "{}: IN=eth0 OUT= SRC=10.0.0.1 DST=10.0.0.2 LEN=40",
    "hrcluster:hrdata": "GFS2: fsid={}.0: Joined cluster",
    "6875746572323121": "list_del corruption. prev->next should be c0000000fff, but was {}",
    "6875746572323122": "BUG: Unable to handle kernel data access on read at 0x{}",
}
CMDLINE = (
    "Kernel command line: BOOT_IMAGE=/vmlinuz root=UUID=beef crashkernel=512M ds=nocloud;h=zork99"
    " vault=Tr0ub4dor quiet"
)
KEPT = (
    "hash-mmu: Initializing hash mmu with SLB",
    "pci 0000:00:01.0: BAR 1 [mem 0x200080000000-0x200080000fff]: assigned",
    "Memory: 1024K/1048576K available (14144K kernel code, 2304K rwdata)",
    "Unable to handle kernel data access on write at 0xc00a000000000000",
    "NIP [c0000000000a1b2c] vmemmap_populate+0x1c/0x2a0",
    "PCI host bridge /pci@800000020000000  ranges:",
    "smp: Brought up 1 node, 1 CPU",
    "clocksource: timebase: mask: 0xffffffffffffffff max_cycles: 0x761537d007",
    "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
    "ibmveth 30000002 enP2p1s0: renamed from eth0",
    "device eth0 entered promiscuous mode",
    "docker0: port 1(veth12ab34c) entered blocking state",
    "bond0: (slave eth1): Enslaving as an active interface with an up link",
)


@pytest.mark.parametrize("secret", SECRETS)
def test_what_names_somebody_goes(secret: str) -> None:
    line = SECRETS[secret].format(secret).encode()
    scrubbed = Scrubber([b"db7x.lan"]).scrub(line)
    assert len(scrubbed) == len(line)
    assert secret.encode() not in scrubbed
    assert not [word for word in secret.encode().split() if len(word) > 3 and word in scrubbed]


@pytest.mark.parametrize("line", KEPT)
def test_what_names_nobody_stays(line: str) -> None:
    scrubber = Scrubber([b"db7x.lan"])
    assert scrubber.scrub(line.encode()) == line.encode()
    assert not scrubber.counts


def test_values_of_the_command_line_go_wherever_they_are() -> None:
    scrubber = Scrubber()
    scrubber.learn(CMDLINE.encode())
    line = scrubber.scrub(CMDLINE.encode())
    assert b"crashkernel=512M" in line
    assert b" quiet" in line
    for secret in (b"vmlinuz", b"beef", b"nocloud", b"zork99", b"Tr0ub4dor"):
        assert secret not in line
    again = scrubber.scrub(b"vault: opened with Tr0ub4dor")
    assert again.startswith(b"vault: opened with value")
    assert b"Tr0ub4dor" not in again


def test_the_same_name_is_replaced_by_the_same_word() -> None:
    scrubber = Scrubber([b"db7x.lan"])
    one = scrubber.scrub(b"eth0: 10.0.0.1 and 10.0.0.2 of db7x.lan")
    other = scrubber.scrub(b"eth1: 10.0.0.2 of db7x")
    first, second = one.split()[1], one.split()[3]
    assert first != second
    assert other.split()[1] == second
    assert one.split()[-1].startswith(b"host")
    assert scrubber.counts == {"ipv4": 3, "host": 2}


def test_what_processes_logged_goes_as_a_whole() -> None:
    assert b"harmless" not in Scrubber().scrub(b"a harmless line", of_kernel=False)


def test_a_line_made_to_be_slow_is_not() -> None:
    for part in (b"a", b"a.", b"ab ", b"1:", b"::", b"'", b"/", b"-", b"aA1", b"0 ", b"[x:1]"):
        line = (b"server " + part * 8000)[:16000]
        assert len(Scrubber().scrub(line)) == len(line)


MACHINES: dict[str, dict[str, Any]] = {
    "characters": {"release": "3.4", "byte_order": "big"},
    "records": {"release": "4.18", "page": 4096},
    "lockless": {"release": "6.1"},
    "lockless big": {"release": "6.12", "byte_order": "big", "page": 4096},
}


@pytest.mark.parametrize("name", MACHINES)
def test_of_every_form(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of an extract has the records of the dump, each with its text scrubbed."""
    said = dmesg

    def planted(machine: Any) -> list[Message]:
        texts = [*(text.format(secret) for secret, text in SECRETS.items()), CMDLINE]
        messages = said(machine)
        last = messages[-1].time_ns
        return messages + [Message(last + 1, 6, text) for text in texts]

    monkeypatch.setattr(snapshot, "dmesg", planted)
    more = dict(MACHINES[name])
    dump = crash(spec_of(more.pop("release"), **more), tmp_path / "vmcore")
    dump.machine.write_symbols(tmp_path / "vmlinux")
    out = tmp_path / "shared"
    with vmemmap.open(dump.path, vmlinux=tmp_path / "vmlinux") as core:
        before = [(r.time_ns, r.level, r.caller, r.seq, len(r.data)) for r in core.dmesg()]
        texts = {record.data for record in core.dmesg()}
        made = core.extract(out, classes=["dmesg"])
    assert made.scrubbed
    assert check(str(out)) == []
    with vmemmap.open(out, vmlinux=tmp_path / "vmlinux") as extract:
        log = extract.dmesg()
        after = [(r.time_ns, r.level, r.caller, r.seq, len(r.data)) for r in log]
        same = texts & {record.data for record in extract.dmesg()}
        assert log.findings == ()
        assert extract.extract_note is not None
        assert "dmesg" in extract.extract_note.classes
    assert after == before
    assert b"Kernel panic - not syncing: sysrq triggered crash" in same
    assert len(same) >= 4
    source = open_source(out)
    for start, end in source.ranges().tolist():
        for low, high in source.present_runs(start, end).tolist():
            memory = source.read(low, high - low)
            for secret in SECRETS:
                assert secret.encode() not in memory, secret
            assert b"Tr0ub4dor" not in memory
