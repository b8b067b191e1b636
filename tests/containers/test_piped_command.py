"""The command with a dump from a pipe, in a process of its own, as from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vmemmap
from builders.flattened import build_flattened
from builders.machine import Machine, build_machine
from builders.vmcoreinfo import vmcoreinfo_text

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(vmemmap.__file__).parents[1])}
COMMAND = f"{sys.executable} -m vmemmap"


@pytest.fixture(scope="module")
def machine() -> Machine:
    return build_machine(blocks=12)


@pytest.fixture(scope="module")
def folder(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("piped")
    (path / "kdump").write_bytes(machine.kdump())
    (path / "flat").write_bytes(build_flattened(machine.kdump(), record_bytes=5000))
    (path / "elf").write_bytes(machine.elf(with_vmcoreinfo=False))
    (path / "text").write_bytes(vmcoreinfo_text(machine.vmcoreinfo))
    (path / "empty").write_bytes(b"")
    return path


def full(*values: str) -> Any:
    """A line that make test leaves out: test_piped_dumps.py has its case without a shell."""
    return pytest.param(*values, marks=pytest.mark.full)


def shell(folder: Path, script: str) -> tuple[int, str, str]:
    """Run a shell line; ``vmemmap`` in it is this package."""
    done = subprocess.run(
        ["sh", "-c", f'vmemmap() {{ {COMMAND} "$@"; }}\n{script}'],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def crash_lines(machine: Machine) -> str:
    return "".join(
        f"      vmemmap_list[{at}]: virt: {entry.virt:x}  phys: {entry.phys:x}\n"
        for at, entry in enumerate(machine.entries)
    )


@pytest.mark.parametrize(
    "script",
    [
        "cat kdump | vmemmap list - -f crash",
        full("cat flat | vmemmap list -f crash -"),
        full("cat elf | vmemmap list - -f crash"),
        "cat elf | vmemmap list - -f crash --vmcoreinfo text",
        "vmemmap list - -f crash < flat",
        full("vmemmap list - -f crash < elf"),
        full("(sleep 0.3; cat kdump) | vmemmap list - -f crash"),
        "(head -c 5 flat; sleep 0.3; tail -c +6 flat) | vmemmap list - -f crash",
        full("cat kdump | vmemmap list /dev/stdin -f crash"),
        "rm -f fifo; mkfifo fifo; exec 3<>fifo; cat kdump >fifo & "
        "sleep 0.1; exec 4<fifo 3<&-; vmemmap list - -f crash <&4",
    ],
)
def test_the_list_from_a_pipe(folder: Path, machine: Machine, script: str) -> None:
    """And nothing on stderr, where a progress bar goes only to a terminal."""
    assert shell(folder, script) == (0, crash_lines(machine), "")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("vmemmap list - < /dev/null", "not a regular file"),
        (": | vmemmap list -", "it is empty"),
        full("vmemmap list - < empty", "it is empty"),
        full("echo hello, world | vmemmap list -", "this is no dump"),
        ("head -c 200 kdump | vmemmap list -", "cut off"),
        full("cat kdump | vmemmap list - -", "-: "),
        ("vmemmap list - <&-", "-: cannot read the dump"),
        ("ulimit -f 8; cat kdump | vmemmap list -", "TMPDIR"),
    ],
)
def test_one_line_and_exit_code_3(folder: Path, script: str, words: str) -> None:
    code, out, err = shell(folder, script)
    assert (code, out) == (3, ""), err
    assert err.startswith("vmemmap: -: ")
    assert words in err
    assert err.count("\n") == 1


def test_info_of_a_piped_dump(folder: Path) -> None:
    code, out, err = shell(folder, "cat flat | vmemmap info -")
    assert (code, err) == (0, "")
    assert "hash" in out
    code, out, err = shell(folder, "head -c -16 flat | vmemmap info -f json -")
    assert code == 0
    assert '"incomplete": true' in out
    assert "vmemmap: -: warning: the flattened dump has no end mark" in err


def test_nothing_is_left_behind(folder: Path) -> None:
    (folder / "tmp").mkdir()
    script = "cat kdump | TMPDIR=$PWD/tmp vmemmap list - >/dev/null; ls -A tmp"
    assert shell(folder, script) == (0, "", "")
    script = "cat kdump | TMPDIR=$PWD/tmp vmemmap list - | head -1 >/dev/null; ls -A tmp"
    assert shell(folder, script) == (0, "", "")


def test_an_unusable_tmpdir_is_passed_over(folder: Path, machine: Machine) -> None:
    """As everywhere in Python: the next usable temporary folder is taken."""
    script = "cat kdump | TMPDIR=/nowhere/at/all vmemmap list - -f crash"
    assert shell(folder, script) == (0, crash_lines(machine), "")
