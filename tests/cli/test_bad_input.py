"""What is not a dump, or not a whole one: one clear line on stderr, exit code 3, no traceback."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.machine import Machine, build_machine

COMMANDS = (["info"], ["list"], ["vtop"])


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(page_size=65536, block_shift=16, blocks=12)


def arguments(command: list[str], path: Path) -> list[str]:
    return [*command, str(path), *(["c00c000000000000"] if command == ["vtop"] else [])]


def expect_one_line(ran, path: Path, *words: str) -> None:
    assert ran.code == 3, (ran.code, ran.out, ran.err)
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith(f"vmemmap: {path}: "), lines[0]
    for word in words:
        assert word in lines[0], (word, lines[0])


def x86_core() -> bytes:
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return ident + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)


def ppc32_core() -> bytes:
    ident = b"\x7fELF\x01\x02\x01".ljust(16, b"\0")
    return ident + struct.pack(">HHIIIIIHHHHHH", 4, 20, 1, 0, 52, 0, 0, 52, 32, 0, 0, 0, 0) * 2


def ppc64_executable() -> bytes:
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, 21, 1, 0, 64, 0, 0, 64, 56, 0, 0, 0, 0)


NOT_DUMPS: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "empty": (lambda: b"", ("empty", "expected a vmcore")),
    "text": (lambda: b"hello, this is no dump\n", ("no dump", "expected", "found")),
    "one byte": (lambda: b"\x7f", ("no dump", "found 7f")),
    "zeros": (lambda: bytes(4096), ("no dump", "found 00 00")),
    "x86-64 core": (x86_core, ("x86-64", "expected PowerPC64")),
    "32-bit core": (ppc32_core, ("32-bit", "expected a 64-bit PowerPC64 core")),
    "vmlinux": (ppc64_executable, ("executable", "name the vmcore")),
    "ELF magic only": (lambda: b"\x7fELF", ("ELF header", "cut off")),
    "KDUMP magic only": (lambda: b"KDUMP   ", ("kdump header", "cut off")),
    "KDUMP garbage": (lambda: b"KDUMP   " + b"\xa5" * 5000, ("kdump header field", "expected")),
    "zstd": (lambda: b"\x28\xb5\x2f\xfd" + bytes(100), ("zstd", "unpack it first")),
    "gzip": (lambda: b"\x1f\x8b" + bytes(100), ("gzip", "unpack it first")),
    "flattened": (
        lambda: b"makedumpfile".ljust(16, b"\0") + bytes(5000),
        ("the flattened header", "expected type 1, found 0"),
    ),
    "diskdump": (lambda: b"DISKDUMP" + bytes(5000), ("diskdump",)),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("kind", NOT_DUMPS)
def test_not_a_dump(run_vmemmap, tmp_path, kind, command) -> None:
    make, words = NOT_DUMPS[kind]
    path = tmp_path / "file"
    path.write_bytes(make())
    expect_one_line(run_vmemmap(*arguments(command, path)), path, *words)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_missing_directory_pipe_device(run_vmemmap, tmp_path, command) -> None:
    def run(path: Path):
        return run_vmemmap(*arguments(command, path))

    expect_one_line(run(tmp_path / "none"), tmp_path / "none", "no such file")
    expect_one_line(run(tmp_path), tmp_path, "is a directory")
    (tmp_path / "vmcore").touch()
    expect_one_line(run(tmp_path), tmp_path, f"did you mean {tmp_path / 'vmcore'}?")
    expect_one_line(run(Path("/dev/zero")), Path("/dev/zero"), "not a regular file")


def test_no_permission(tmp_path: Path, vmemmap_script: Path) -> None:
    path = tmp_path / "vmcore"
    path.write_bytes(b"KDUMP   ")
    path.chmod(0)
    prefix: list[str] = []
    if os.geteuid() == 0:  # root may read anything; be nobody, who may not
        for folder in (tmp_path, *tmp_path.parents):
            if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
                folder.chmod(0o755)
        prefix = ["setpriv", "--reuid=65534", "--clear-groups"]
    done = subprocess.run(
        [*prefix, vmemmap_script, "info", path], capture_output=True, text=True, check=False
    )
    if done.returncode == 126 or "setpriv" in done.stderr or "vmemmap" not in done.stderr:
        pytest.skip(f"cannot become another user here: {done.stderr[:200]}")
    assert done.returncode == 3
    assert "permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("container", ["elf", "kdump"])
def test_truncated_anywhere(run_vmemmap, machine, tmp_path, container) -> None:
    """Every cut gives the right list, a list cut short with findings, or one clear line."""
    whole = machine.elf() if container == "elf" else machine.kdump()
    right = run_answer(run_vmemmap, tmp_path, whole)
    assert right.code == 0
    seen = set()
    cuts = [*range(0, 700, 97), *range(700, len(whole), max(1, len(whole) // 60)), len(whole) - 1]
    for cut in cuts:
        ran = run_answer(run_vmemmap, tmp_path, whole[:cut])
        seen.add(ran.code)
        assert "Traceback" not in ran.err
        if ran.code == 0:
            assert ran.json["entries"] == right.json["entries"]
        elif ran.code == 1:
            entries = ran.json["entries"]
            assert entries == right.json["entries"][: len(entries)]
            assert ran.json["findings"]
        else:
            path = tmp_path / "cut"
            last = ran.err.splitlines()[-1]
            assert ran.code == 3
            assert last.startswith(f"vmemmap: {path}: ")
    assert 3 in seen


def run_answer(run_vmemmap, tmp_path: Path, data: bytes):
    (tmp_path / "cut").write_bytes(data)
    return run_vmemmap("list", tmp_path / "cut", "-f", "json")


NEEDED_KEYS = (
    "PAGESIZE",
    "SYMBOL(vmemmap_list)",
    "SYMBOL(mmu_vmemmap_psize)",
    "SYMBOL(mmu_psize_defs)",
    "SIZE(vmemmap_backing)",
    "OFFSET(vmemmap_backing.list)",
    "OFFSET(vmemmap_backing.phys)",
    "OFFSET(vmemmap_backing.virt_addr)",
    "SIZE(mmu_psize_def)",
    "OFFSET(mmu_psize_def.shift)",
    "SIZE(page)",
)


def with_vmcoreinfo(tmp_path: Path, change: Callable[[Machine], object]) -> Path:
    machine = build_machine(page_size=65536, block_shift=16, blocks=12)
    change(machine)
    machine.sync_vmcoreinfo()
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf())
    return path


@pytest.mark.parametrize("key", NEEDED_KEYS)
def test_missing_key_is_named(run_vmemmap, tmp_path, key) -> None:
    path = with_vmcoreinfo(tmp_path, lambda m: m.vmcoreinfo.pop(key))
    for command in (["info"], ["list"]):
        expect_one_line(run_vmemmap(*arguments(command, path)), path, key, "VMCOREINFO")


@pytest.mark.parametrize("key", NEEDED_KEYS)
@pytest.mark.parametrize("value", ["", "garbage", "-1", "99999999999999999999", "1e5", "0x", " 8"])
def test_garbage_value_is_named(run_vmemmap, tmp_path, key, value) -> None:
    path = with_vmcoreinfo(tmp_path, lambda m: m.vmcoreinfo.update({key: value}))
    expect_one_line(run_vmemmap("list", path), path, key, "VMCOREINFO", "expected")


@pytest.mark.parametrize("value", ["0", "1", "4095", "8192", "16384", "4194304", "131072"])
def test_absurd_page_size(run_vmemmap, tmp_path, value) -> None:
    path = with_vmcoreinfo(tmp_path, lambda m: m.vmcoreinfo.update({"PAGESIZE": value}))
    expect_one_line(run_vmemmap("info", path), path, f"PAGESIZE={value}", "4096 or 65536")


def test_no_vmcoreinfo_at_all(run_vmemmap, tmp_path) -> None:
    path = tmp_path / "vmcore"
    bare = build_machine(page_size=65536, block_shift=16, blocks=12)
    for address in (bare.vmcoreinfo_data, bare.vmcoreinfo_note):  # the kernel's own copies
        bare.drop(address, bare.page_size)
    path.write_bytes(bare.elf(with_vmcoreinfo=False))
    ran = run_vmemmap("info", path, "-f", "json")
    expect_one_line(ran, path, "no VMCOREINFO")
    assert ran.json["dump"]["format"] == "elf"
    assert ran.json["kernel"]["release"] is None
    expect_one_line(run_vmemmap("list", path), path, "no VMCOREINFO")


def test_info_prints_what_it_can_when_a_key_is_missing(run_vmemmap, tmp_path) -> None:
    path = with_vmcoreinfo(tmp_path, lambda m: m.vmcoreinfo.pop("SYMBOL(vmemmap_list)"))
    ran = run_vmemmap("info", path, "-f", "json")
    assert ran.code == 3
    assert ran.json["kernel"]["page_size"] == 65536
    assert ran.json["vmemmap"] is None
    assert "vmemmap_list" in {row["name"] for row in ran.json["missing"]}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["info"], ["Missing argument"]),
        (["nonsense"], ["No such command 'nonsense'"]),
        (["list", "x", "--format", "yaml"], ["--format", "yaml"]),
        (["vtop", "x"], ["no address to translate"]),
        (["vtop", "x", "hel lo"], ["'hel lo' is no address"]),
        (["vtop", "x", "0x10000000000000000"], ["is no address"]),
        (["vtop", "x", "-5"], ["-5"]),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(run_vmemmap, typed, words) -> None:
    ran = run_vmemmap(*typed)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    for word in words:
        assert word in ran.err


def test_whole_dumps_are_not_read_together(run_vmemmap, machine, tmp_path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(machine.kdump())
    ran = run_vmemmap("info", tmp_path / "a", tmp_path / "b")
    expect_one_line(ran, tmp_path / "a", "not a member of a split dump")


def test_debug_shows_the_traceback(tmp_path: Path, vmemmap_script: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no dump")
    done = subprocess.run(
        [vmemmap_script, "info", path, "--debug"], capture_output=True, text=True, check=False
    )
    assert "Traceback" in done.stderr
    assert "UnknownFormat" in done.stderr


def test_what_the_file_says_cannot_write_to_the_terminal(run_vmemmap, tmp_path) -> None:
    evil = "\x1b[31m8\x07"
    path = with_vmcoreinfo(tmp_path, lambda m: m.vmcoreinfo.update({"SIZE(page)": evil}))
    ran = run_vmemmap("list", path)
    assert "\x1b" not in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("words", [("simulate", "x", "-f"), ("info", "--form"), ("list",)])
def test_wrong_use_names_the_help_of_the_command_it_is_of(run_vmemmap, words) -> None:
    ran = run_vmemmap(*words)
    assert ran.code == 2
    assert ran.err.rstrip().endswith(f" {words[0]} --help)")
