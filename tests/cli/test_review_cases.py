"""What a hostile review met, and must not meet again."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vmemmap
from builders.machine import Machine, build_machine
from builders.vmcoreinfo import vmcoreinfo_text


@pytest.fixture
def machine() -> Machine:
    return build_machine(page_size=65536, block_shift=16, blocks=12)


def written(tmp_path: Path, data: bytes, name: str = "vmcore") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def test_vmcoreinfo_of_another_kernel_is_refused(run_vmemmap, machine, tmp_path) -> None:
    dump = written(tmp_path, machine.elf())
    other = build_machine(release="6.12.0", blocks=12)
    text = written(tmp_path, vmcoreinfo_text(other.vmcoreinfo), "other.txt")
    ran = run_vmemmap("list", "--vmcoreinfo", text, dump)
    assert ran.code == 3
    assert "6.12.0" in ran.err
    assert machine.release in ran.err
    own = written(tmp_path, vmcoreinfo_text(machine.vmcoreinfo).replace(b"\n", b"\r\n"), "own.txt")
    assert run_vmemmap("list", "--vmcoreinfo", own, dump).code == 0


def test_empty_list_of_an_unknown_mmu_is_a_finding(run_vmemmap, machine, tmp_path) -> None:
    machine.poke_u64(machine.symbols["vmemmap_list"], 0)
    del machine.vmcoreinfo["SYMBOL(swapper_pg_dir)"]
    machine.sync_vmcoreinfo()
    ran = run_vmemmap("list", written(tmp_path, machine.elf()), "-f", "json")
    assert ran.code == 1
    (finding,) = ran.json["findings"]
    assert (finding["code"], finding["severity"]) == ("list_empty", "warning")


def test_vtop_on_a_damaged_list_says_so(run_vmemmap, machine, tmp_path) -> None:
    machine.poke_node(2, link=machine.entries[0].node + 4)
    dump = written(tmp_path, machine.elf())
    kept, lost = machine.entries[0], machine.entries[7]
    ran = run_vmemmap("vtop", dump, f"{lost.virt:#x}", "-f", "json")
    assert ran.code == 1
    assert "damaged (node_misaligned)" in ran.json[0]["reason"]
    assert "node_misaligned" in ran.err
    assert run_vmemmap("vtop", dump, f"{kept.virt:#x}").code == 1


def test_vtop_names_an_entry_that_is_not_used(run_vmemmap, machine, tmp_path) -> None:
    entry = machine.entries[4]
    machine.poke_node(4, phys=entry.phys + 1)
    ran = run_vmemmap("vtop", written(tmp_path, machine.elf()), f"{entry.virt:x}", "-f", "json")
    assert "entry 4 claims it, but is damaged" in ran.json[0]["reason"]


def test_a_file_called_like_a_number_is_a_file(run_vmemmap, machine, tmp_path, monkeypatch) -> None:
    limit = machine.ram_end // machine.page_size
    for name, span in (("a", (0, 20)), ("b", (20, limit))):
        written(tmp_path, machine.kdump(split=span, max_mapnr=limit), name)
    monkeypatch.chdir(tmp_path)
    entry = machine.entries[3]
    ran = run_vmemmap("vtop", "a", "b", f"{entry.virt:x}", "-f", "json")
    assert [row.get("phys") for row in ran.json] == [f"{entry.phys:#x}"]
    assert len(run_vmemmap("vtop", "a", "b", "0xb", "-f", "json").json) == 1


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_in_dump_is_false_for_what_was_cut_off(run_vmemmap, machine, tmp_path, kept) -> None:
    whole = machine.kdump(codec="raw", share_zero=False)
    last = max(block.phys for block in machine.blocks) + 0xC000_0000_0000_0000
    assert run_vmemmap("vtop", written(tmp_path, whole), f"{last:x}", "-f", "json").json[0][
        "in_dump"
    ]
    cut = written(tmp_path, whole[: int(len(whole) * kept)])
    ran = run_vmemmap("vtop", cut, f"{last:x}", "-f", "json")
    assert ran.json[0]["in_dump"] is False
    assert "cut off" in ran.err


def test_errors_survive_pickling() -> None:
    for error in (
        vmemmap.NotInDump("gone", phys=4096),
        vmemmap.NotBacked("none", virt=1, below=None, above=2),
        vmemmap.CorruptDump("x", file_offset=8, expected="1", found="2", path="p"),
        vmemmap.CodecUnavailable("lzo", "lzallright"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.__dict__) == (
            type(error),
            str(error),
            error.__dict__,
        )


@pytest.mark.parametrize("kind", ["elf", "kdump"])
def test_a_closed_dump_answers_nothing(machine, tmp_path, kind) -> None:
    data = machine.elf() if kind == "elf" else machine.kdump()
    core = vmemmap.open(written(tmp_path, data))
    virt = int(core.backing.virt[0])
    core.close()
    for ask in (lambda: core.vtop(virt), lambda: core.read(virt, 8), lambda: core.read_phys(0, 1)):
        with pytest.raises(ValueError, match="closed"):
            ask()


def test_only_whole_numbers_are_addresses(machine, tmp_path) -> None:
    with vmemmap.open(written(tmp_path, machine.elf())) as core:
        for ask in (lambda: core.vtop(1.5), lambda: core.read_phys(1.0, 1)):  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                ask()


@pytest.mark.parametrize("command", ["info", "list"])
def test_a_full_disk_is_one_line(machine, tmp_path, vmemmap_script: Path, command) -> None:
    dump = written(tmp_path, machine.elf())
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [vmemmap_script, command, dump],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["vmemmap: cannot write the output: No space left on device"]


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_outputs(machine, tmp_path, vmemmap_script: Path, closed) -> None:
    dump = written(tmp_path, machine.elf())
    shell = f"'{vmemmap_script}' info '{dump}' {closed}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    if closed == "2>&-":
        assert "vmemmap" in done.stdout


def test_debug_keeps_the_exit_code(tmp_path, vmemmap_script: Path) -> None:
    done = subprocess.run(
        [vmemmap_script, "info", "--debug", tmp_path / "none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("vmemmap: ")


def test_info_names_the_finding_that_explains_what_is_missing(
    run_vmemmap, machine, tmp_path
) -> None:
    machine.poke_u64(machine.symbols["vmemmap_list"], 0xC000_0000_0000_0001)
    ran = run_vmemmap("info", written(tmp_path, machine.elf()))
    assert ran.code == 3
    assert "node_misaligned" in ran.err


def test_info_lines_have_no_trailing_blanks(run_vmemmap, machine, tmp_path) -> None:
    out = run_vmemmap("info", written(tmp_path, machine.elf())).out
    assert all(line == line.rstrip() for line in out.splitlines())


@pytest.mark.parametrize("pfn", ["007", "pfn:007", "pfn:0x7", "7"])
def test_a_pfn_may_begin_with_zeros(run_vmemmap, machine, tmp_path, pfn) -> None:
    ran = run_vmemmap("page", written(tmp_path, machine.elf()), pfn, "-f", "json")
    assert ran.json[0]["pfn"] == 7


@pytest.mark.parametrize("arguments", ["--help", "simulate --example", "demo", "usage --help"])
def test_a_reader_that_leaves_is_no_finding(vmemmap_script, arguments) -> None:
    """Not only in commands that open a dump."""
    shell = f"'{vmemmap_script}' {arguments} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("name", ["vmcore", "other-name"])
def test_pages_never_replace_their_dump(run_vmemmap, machine, tmp_path, name) -> None:
    dump = written(tmp_path, machine.elf())
    (tmp_path / "other-name").symlink_to(dump)
    assert run_vmemmap("pages", dump, "-o", tmp_path / name).code == 2
    assert dump.read_bytes() == machine.elf()


@pytest.mark.parametrize(
    "command",
    [
        ("extract", "{}"),
        ("report", "{}"),
        ("pages", "{}", "-f", "csv"),
        ("read", "{}", "0x0"),
        ("simulate", "--memory", "64M"),
    ],
    ids=lambda words: words[0],
)
def test_no_command_replaces_another_dump(run_vmemmap, machine, tmp_path, command) -> None:
    """What was made by the same command is made anew; nobody can make a crash again."""
    dump, there = written(tmp_path, machine.elf()), tmp_path / "there"
    words = [word.format(dump) for word in command]
    for other in (machine.elf(), machine.kdump(), b"makedumpfile\0\0\0\0\1"):
        there.write_bytes(other)
        ran = run_vmemmap(*words, "-o", there)
        assert ran.code == 2
        assert ran.err.startswith(f"vmemmap: {there} is a dump, which would be lost: name another")
        assert there.read_bytes() == other
    there.write_bytes(b"anything else")
    assert run_vmemmap(*words, "-o", there).code != 2
    if command[0] in ("extract", "simulate"):
        first = there.stat().st_ino
        assert run_vmemmap(*words, "-o", there).code == 0
        assert there.stat().st_ino != first


@pytest.mark.parametrize(
    "command", [("filter", "-o", "-"), ("pages", "-f", "arrow"), ("read", "0x0", "-o", "-")]
)
def test_bytes_are_nothing_for_a_terminal_nor_for_a_closed_output(
    run_vmemmap, machine, tmp_path, monkeypatch, command
) -> None:
    pytest.importorskip("pyarrow")
    words = (command[0], written(tmp_path, machine.elf()), *command[1:])
    with monkeypatch.context() as patched:
        patched.setattr(sys.stdout, "isatty", lambda: True)
        ran = run_vmemmap(*words)
        assert (ran.code, ran.out) == (2, "")
        assert "is nothing for a terminal: redirect it, or give -o FILE" in ran.err
        with open(os.devnull, "w") as closed:  # as `run` has it then
            patched.setattr(sys, "stdout", closed)
            ran = run_vmemmap(*words)
        assert ran.code == 2
        assert ran.err.startswith("vmemmap: stdout is closed, and ")


def test_pages_never_replace_a_device(run_vmemmap, machine, tmp_path) -> None:
    pytest.importorskip("pyarrow")
    pipe = tmp_path / "pipe.parquet"
    os.mkfifo(pipe)
    ran = run_vmemmap("pages", written(tmp_path, machine.elf()), "-o", pipe)
    assert ran.code == 3
    assert ran.err.startswith(f"vmemmap: {pipe}: ")
    assert pipe.is_fifo()


def test_simulate_never_replaces_its_spec(run_vmemmap, tmp_path) -> None:
    spec = written(tmp_path, b'[[memory]]\nstart = 0\nsize = "256M"\n', "machine.toml")
    before = spec.read_bytes()
    assert run_vmemmap("simulate", spec, "-o", spec).code == 2
    out = tmp_path / "out"
    assert run_vmemmap("simulate", spec, "-o", out, "--vmlinux", spec).code == 2
    assert run_vmemmap("simulate", spec, "-o", out, "--vmlinux", out).code == 2
    assert spec.read_bytes() == before
    assert not out.exists()


def test_classes_that_cannot_be_known_are_null(run_vmemmap, tmp_path) -> None:
    dump, vmlinux = tmp_path / "vmcore", tmp_path / "vmlinux"
    kernel = ("--set", "kernel.release=2.6.35", "--set", "kernel.page_size=4K")
    made = run_vmemmap(
        *("simulate", "--memory", "256M", *kernel, "-o", dump, "--vmlinux", vmlinux, "-f", "json")
    )
    ran = run_vmemmap("usage", dump, "--vmlinux", vmlinux, "-f", "json")
    assert ran.code == 0
    assert ran.json["makedumpfile"].items() >= made.json["makedumpfile"].items()
    # Without the free lists makedumpfile cannot tell what is free on such a kernel, nor can we.
    with vmemmap.open(dump) as core:
        lines = core.vmcoreinfo_text.splitlines(keepends=True)
    text = tmp_path / "vmcoreinfo"
    text.write_bytes(b"".join(line for line in lines if b"zone.free_area" not in line))
    asked = ("usage", dump, "--vmlinux", vmlinux, "--vmcoreinfo", text)
    ran = run_vmemmap(*asked, "-f", "json")
    assert ran.code == 1
    names = ("zero", "cache", "cache_private", "user", "free", "hwpoison", "offline")
    assert ran.json["makedumpfile"] == dict.fromkeys(names)
    assert "cannot be known" in run_vmemmap(*asked).out


@pytest.mark.parametrize("release", ["3.13", "4.4"])
def test_huge_pages_that_nothing_marks_are_no_page_cache(run_vmemmap, tmp_path, release) -> None:
    dump = tmp_path / "vmcore"
    plan = [f"kernel.release={release}", "pages.huge=512", "pages.cache=40"]
    sets = [word for field in plan for word in ("--set", field)]
    run_vmemmap("simulate", "--memory", "512M", *sets, "-o", dump)
    ran = run_vmemmap("usage", dump, "-f", "json")
    kinds = ran.json["kinds"]
    assert (ran.code, kinds["cache"], kinds["hugetlb"]) == (0, 40, None)
    text = run_vmemmap("usage", dump)
    assert re.search(r"^  hugetlb +unknown$", text.out, re.MULTILINE)
    assert "info: hugetlb_unknown: " in text.err
    table = run_vmemmap("usage", dump, "-f", "csv").out
    assert re.search(r"^,*hugetlb,,$", table, re.MULTILINE)
    assert kinds["other"] + kinds["compound_tail"] >= 512


def test_huge_pages_are_told_by_the_address_of_their_destructor(run_vmemmap, tmp_path) -> None:
    """Before 3.16 VMCOREINFO does not have it, and a vmlinux has."""
    dump, vmlinux = tmp_path / "vmcore", tmp_path / "vmlinux"
    plan = ["kernel.release=3.0", "kernel.byte_order=big", "pages.huge=512", "pages.cache=40"]
    sets = [word for field in plan for word in ("--set", field)]
    run_vmemmap("simulate", "--memory", "512M", *sets, "-o", dump, "--vmlinux", vmlinux)
    kinds = run_vmemmap("usage", dump, "--vmlinux", vmlinux, "-f", "json").json["kinds"]
    assert (kinds["hugetlb"], kinds["cache"], kinds["compound_tail"]) == (512, 40, 0)


def test_drgn_options_after_the_dump_are_named(run_vmemmap, machine, tmp_path) -> None:
    pytest.importorskip("drgn")
    dump = written(tmp_path, machine.elf())
    ran = run_vmemmap("drgn", dump, "-e", "print(1)")
    assert ran.code == 2
    assert f"options come before the dump, as in vmemmap drgn -e 'print(1)' {dump} (" in ran.err
    ran = run_vmemmap("drgn", dump, "--vmlinux", "vmlinux", "script.py", "-x")
    assert f"as in vmemmap drgn --vmlinux vmlinux {dump} script.py -x (" in ran.err
