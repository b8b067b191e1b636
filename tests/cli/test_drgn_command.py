"""``vmemmap drgn``: what it runs, with which arguments, and how it ends."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.machine import Machine, build_machine

HAS_DRGN = importlib.util.find_spec("drgn") is not None
needs_drgn = pytest.mark.skipif(not HAS_DRGN, reason="drgn is not installed")


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=8)


@pytest.fixture
def dump(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "vmcore"
    path.write_bytes(machine.kdump())
    return path


@pytest.fixture
def run(vmemmap_script: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a function that runs ``vmemmap drgn`` as a process of its own."""

    def call(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vmemmap", "drgn", *map(str, arguments)]
        options.setdefault("input", "")
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, **options)

    return call


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "look.py"
    path.write_text(
        "import sys\n"
        "print(sys.argv[1:], __name__)\n"
        "address = int(sys.argv[1], 16)\n"
        "print(prog.read(address, 16).hex())\n"
    )
    return path


@needs_drgn
def test_a_script_gets_the_program_and_its_own_options(run, machine, dump, script) -> None:
    virt = machine.vmemmap_base + 0x10000 - 8
    done = run(dump, script, f"{virt:x}", "--debug", "-s")
    assert done.returncode == 0, done.stderr
    said, read = done.stdout.splitlines()
    assert said == f"{[f'{virt:x}', '--debug', '-s']} __main__"
    assert read == machine.content(virt, 16).hex()


@needs_drgn
def test_a_line_of_code_and_the_standard_input_have_the_shells_names(run, machine, dump) -> None:
    code = f"print(prog.read({machine.vmemmap_base:#x}, 8).hex(), Object is drgn.Object)"
    expected = f"{machine.content(machine.vmemmap_base, 8).hex()} True\n"
    assert run("-e", code, dump).stdout == expected
    assert run(dump, input=code).stdout == expected
    entries = f"{len(machine.entries)}\n"
    assert run("-e", "print(len(core.backing))", dump).stdout == entries


@needs_drgn
def test_the_members_of_a_split_dump(run, machine, tmp_path) -> None:
    pages = machine.kdump_pages()
    end = max(pages) + 1
    names = []
    for number, (start, stop) in enumerate(((0, end // 2), (end // 2, end))):
        names.append(tmp_path / f"member{number}")
        names[-1].write_bytes(machine.kdump(split=(start, stop)))
    code = f"print(prog.read({machine.blocks[-1].virt:#x}, 8).hex(), __import__('sys').argv)"
    done = run("-e", code, *names, "more")
    expected = machine.content(machine.blocks[-1].virt, 8).hex()
    assert done.stdout == f"{expected} ['-e', 'more']\n", done.stderr


@needs_drgn
@pytest.mark.parametrize(
    ("code", "exit_code", "last"),
    [
        ("import sys; sys.exit(7)", 7, None),
        ("raise OSError(2, 'of the script')", 1, "FileNotFoundError: [Errno 2] of the script"),
        ("prog.read(0xc00d000000000000, 8)", 1, None),
        ("import vmemmap; raise vmemmap.DumpError('mine')", 1, "vmemmap.errors.DumpError: mine"),
    ],
)
def test_how_a_script_ends_is_how_the_command_ends(run, dump, code, exit_code, last) -> None:
    done = run("-e", code, dump)
    assert done.returncode == exit_code
    if last:
        assert done.stderr.splitlines()[-1] == last


@needs_drgn
def test_output_into_a_closed_pipe_is_no_error(dump, tmp_path) -> None:
    code = "for i in range(100000): print(i)"
    line = f"'{sys.executable}' -m vmemmap drgn -e '{code}' '{dump}' | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "0\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@needs_drgn
def test_bad_input(run, dump, tmp_path) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(b"x" * 100)
    for arguments, code, said in (
        ((noise,), 3, "this is no dump"),
        ((tmp_path / "absent",), 3, "there is no such file"),
        ((dump, "absent.py"), 2, "there is no file absent.py"),
        (("-s", "absent.debug", dump), 2, "there is no file absent.debug"),
        (("--vmlinux", noise, dump), 3, "no vmlinux"),
        ((), 2, "DUMP"),
    ):
        done = run(*arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@needs_drgn
def test_a_vmcoreinfo_that_drgn_refuses_is_one_line(run, machine, dump, tmp_path) -> None:
    text = "".join(f"{key}={value}\n" for key, value in machine.vmcoreinfo.items())
    given = tmp_path / "vmcoreinfo"
    given.write_text(text.replace("KERNELOFFSET=", "KERNELOFFSET=none"))
    done = run("--vmcoreinfo", given, "-e", "1", dump)
    assert done.returncode == 3
    assert "drgn does not accept" in done.stderr
    assert "Traceback" not in done.stderr


@needs_drgn
def test_what_the_user_knows_better_goes_before_the_dump(run, machine, dump) -> None:
    code = f"print(prog.read({machine.vmemmap_base:#x}, 8).hex())"
    done = run("--assume", "layout=0xc00c", "-e", code, dump)
    assert done.stdout == f"{machine.content(machine.vmemmap_base, 8).hex()}\n", done.stderr
    assert run("--assume", "layout=0xf", "-e", code, dump).returncode != 0
    assert run("--assume", "layout=none", "-e", code, dump).returncode == 2


@needs_drgn
def test_findings_are_told_before_the_session(run, tmp_path) -> None:
    machine = build_machine(blocks=8)
    machine.poke_node(5, link=0x1234)
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf())
    done = run("-e", "print('on')", path)
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert "node" in done.stderr


def test_without_drgn_it_says_what_to_install(dump, monkeypatch, run_vmemmap) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: (name != "drgn" and real(name, *more)) or None,
    )
    ran = run_vmemmap("drgn", dump)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "vmemmap: drgn is not installed: pip install 'vmemmap[drgn]'\n"


@needs_drgn
def test_plain_drgn_finds_the_plugin(machine, tmp_path) -> None:
    """``drgn -c vmcore`` on a hash kernel, with nothing said about us."""
    (entry,) = importlib.metadata.entry_points(group="drgn.plugins", name="vmemmap")
    assert entry.value == "vmemmap.drgn_plugin"
    path = tmp_path / "vmcore"
    path.write_bytes(machine.elf())
    virt = machine.blocks[3].virt
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DRGN")}
    command = [
        Path(sys.executable).parent / "drgn",
        *("--no-default-symbols", "-c", path, "-e", f"print(prog.read({virt:#x}, 8).hex())"),
    ]

    def drgn(**more: str) -> subprocess.CompletedProcess[str]:
        env = environment | more
        return subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)

    done = drgn()
    assert (done.stdout, done.stderr) == (f"{machine.content(virt, 8).hex()}\n", "")
    assert drgn(DRGN_DISABLE_PLUGINS="vmemmap").returncode != 0
