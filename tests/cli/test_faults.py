"""A fault of the package itself is told as one; a reader that leaves hides nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from breadth import singles
from builders.machine import Machine, build_machine

COMMANDS = {
    "info": ("vmemmap.report.info.record", []),
    "list": ("vmemmap.report.list.lines", []),
    "vtop": ("vmemmap.report.vtop.record", ["0x10"]),
    "page": ("vmemmap.report.page.record", ["1"]),
    "usage": ("vmemmap.report.usage.record", []),
    "check": ("vmemmap.report.check.record", []),
    "dmesg": ("vmemmap.vmcore.Vmcore.dmesg", []),
    "pages": ("vmemmap.report.pages.write_pages", ["-o", "OUT.parquet"]),
    "drgn": ("vmemmap.drgn_plugin.open_program", ["-e", "pass"]),
}
"""A function that each command that opens a dump calls, and what stands after the dump."""
WITHOUT_DUMP = {
    "simulate": ("vmemmap.simulate.Machine.boot", ["-o", "OUT.vmcore"]),
    "explain": ("vmemmap.report.explain.record", []),
    "demo": ("vmemmap.report.usage.record", []),
}


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=(0, 1, 4, 9), layout="c00c", page_size=65536, block_shift=16)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "vmcore"
    path.write_bytes(data)
    return path


@pytest.fixture
def ask(run_vmemmap, machine, tmp_path, monkeypatch):
    """Give a function that runs a command in which something is broken."""

    def call(command: str, error: Exception, *more: str):
        place, arguments = (COMMANDS | WITHOUT_DUMP)[command]
        if command == "drgn":
            pytest.importorskip("drgn")
        if command == "pages":
            pytest.importorskip("pyarrow")

        def broken(*_args, **_options):
            raise error

        monkeypatch.setattr(place, broken)
        words = [word.replace("OUT", str(tmp_path / "out")) for word in arguments]
        dump = [str(written(tmp_path, machine.elf()))] if command in COMMANDS else []
        if command == "drgn":
            words, dump = [*words, *more, *dump], []
        return run_vmemmap(command, *dump, *words, *(more if command != "drgn" else ()))

    return call


@pytest.mark.parametrize("command", [*COMMANDS, *WITHOUT_DUMP])
def test_a_fault_of_the_package_is_one_line_and_a_code_of_its_own(ask, command) -> None:
    ran = ask(command, TypeError("'NoneType' object\nis not subscriptable"))
    assert ran.code == 4
    (line,) = ran.err.splitlines()
    assert line.startswith("vmemmap: TypeError: 'NoneType' object?is not subscriptable: ")
    assert "a fault of vmemmap 0.1.0 itself" in line
    assert "report it" in line
    assert "--debug" in line


@pytest.mark.parametrize("command", [*COMMANDS, *WITHOUT_DUMP])
def test_the_traceback_of_a_fault_comes_with_debug(ask, command) -> None:
    ran = ask(command, KeyError("phys"), "--debug")
    assert ran.code == 4
    assert ran.err.startswith("Traceback (most recent call last):\n")
    assert "in broken\n" in ran.err
    assert ran.err.splitlines()[-1].startswith("vmemmap: KeyError: 'phys': this is a fault")


def test_what_a_signal_made_fail_and_want_of_memory_are_no_faults(ask) -> None:
    failed = SystemError("initialization failed")
    failed.__cause__ = SystemExit(143)
    ran = ask("info", failed)
    assert (ran.code, ran.err) == (143, "")
    ran = ask("info", MemoryError("Unable to allocate 1.50 MiB"))
    assert ran.code == 3
    assert ran.err.startswith("vmemmap: there is not enough memory")


def test_a_file_that_the_package_lacks_is_a_fault_not_the_output(ask) -> None:
    ran = ask("info", FileNotFoundError(2, "No such file or directory", "schemas/info.json"))
    assert ran.code == 4
    assert "cannot write the output" not in ran.err


def test_wrong_usage_has_no_traceback(run_vmemmap, machine, tmp_path) -> None:
    dump = written(tmp_path, machine.elf())
    ran = run_vmemmap("info", dump, "--debug", "--assume", "colour=blue")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """A dump with a list that goes round for ever, which every command about it calls an error."""
    machine = build_machine(page_size=4096, block_shift=12, blocks=300)
    machine.poke_node(120, link=machine.entries[5].node)
    return written(tmp_path_factory.mktemp("damaged"), machine.elf())


def run_unread(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command whose output nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [script, *map(str, arguments)],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)


@pytest.mark.parametrize(
    ("command", "form"), singles(product(("info", "list", "check", "usage"), ("text", "json")))
)
def test_a_reader_that_leaves_hides_no_finding(vmemmap_script, damaged, command, form) -> None:
    read = subprocess.run(
        [vmemmap_script, command, damaged, "-f", form],
        capture_output=True,
        text=True,
        check=False,
    )
    unread = run_unread(vmemmap_script, command, damaged, "-f", form)
    assert unread.returncode == read.returncode == 1
    assert unread.stderr == read.stderr


def test_a_reader_that_leaves_hides_no_address_without_translation(
    vmemmap_script, machine, tmp_path
) -> None:
    dump = written(tmp_path, machine.elf())
    assert run_unread(vmemmap_script, "vtop", dump, "0xd000000000000000").returncode == 1
    assert run_unread(vmemmap_script, "page", dump, "999999999999").returncode == 1
    assert run_unread(vmemmap_script, "vtop", dump, "0xc000000000000000").returncode == 0


def test_a_reader_that_leaves_hides_no_unreadable_dump(vmemmap_script, tmp_path) -> None:
    machine = build_machine(blocks=(0, 1))
    machine.poke_u64(machine.symbols["vmemmap_list"], 0xC000_0000_0000_0001)
    done = run_unread(vmemmap_script, "info", written(tmp_path, machine.elf()))
    assert done.returncode == 3
    assert "node_misaligned" in done.stderr


def test_errors_into_a_closed_pipe_keep_their_code(vmemmap_script, damaged, tmp_path) -> None:
    for arguments, code in ((f"list '{damaged}'", 1), (f"info '{tmp_path / 'none'}'", 3)):
        shell = f"'{vmemmap_script}' {arguments} 2>&1 | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (f"{code}\n", "")


def test_a_dump_may_be_written_to_a_name_that_is_no_text(vmemmap_script, tmp_path) -> None:
    """Its bytes are not UTF-8, so they cannot be printed as they are."""
    name = os.fsencode(tmp_path) + b"/b\xe4d\xff"
    done = subprocess.run(
        [os.fsencode(vmemmap_script), b"simulate", b"--memory", b"64M", b"-o", name],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Wrote " + os.fsencode(tmp_path) + rb"/b\xe4d\xff: ")


def test_memory_that_is_not_to_be_had_is_no_fault_of_the_package(vmemmap_script, tmp_path) -> None:
    dump = tmp_path / "vmcore"
    dump.write_bytes(build_machine().elf())
    with dump.open("r+b") as file:
        file.truncate(1 << 40)
    shell = f"ulimit -v 4000000; '{vmemmap_script}' info '{dump}'"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.endswith("ulimit -v leaves fewer addresses than mapping the file takes)\n")


HEAVY = ("numpy", "rich", "drgn", "pyarrow", "pydantic", "vmemmap.vmcore", "vmemmap.simulate")


@pytest.mark.parametrize(
    ("code", "also"),
    [
        ("import vmemmap.cli.main", ("vmemmap.cli.options", "vmemmap.cli.info", "vmemmap.report")),
        ("import vmemmap.cli.info", ("vmemmap.cli.list", "vmemmap.report.list")),
        (
            "import sys, vmemmap.cli.main as m; sys.argv[1:] = ['--help']; "
            "sys.stdout.write = lambda text: len(text); m._exit_code()",
            (),
        ),
    ],
)
def test_a_command_loads_only_what_it_needs(code, also) -> None:
    show = f"import sys; sys.stderr.write(repr([m for m in {HEAVY + also} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; {show}"], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]"
