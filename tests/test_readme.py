"""README.md does not lie: its transcripts are what the commands print, its Python code runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vmemmap.cli.demo import SPEC
from vmemmap.simulate import Machine, parse_spec

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DEMO = "build/demo/vmcore"
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def demo_dump(tmp_path_factory) -> str:
    """The dump that `make demo` leaves."""
    path = tmp_path_factory.mktemp("demo") / "vmcore"
    Machine(parse_spec(SPEC)).boot().run_events().crash(path)
    return str(path)


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.split()[2])
def test_transcript_is_what_the_command_prints(run_vmemmap, demo_dump, block) -> None:
    command, *shown = block.splitlines()
    arguments = shlex.split(command.removeprefix("$ vmemmap ").replace(DEMO, demo_dump))
    out = run_vmemmap(*arguments).out.replace(demo_dump, DEMO)
    printed = [line.rstrip() for line in out.splitlines()]
    if "..." in shown:
        cut = shown.index("...")
        after = len(shown) - cut - 1
        assert shown[:cut] == printed[:cut]
        assert shown[cut + 1 :] == printed[-after:]
    else:
        assert shown == printed


def test_python_code_runs(demo_dump, capsys) -> None:
    for code in PYTHON:
        exec(code.replace(DEMO, demo_dump), {})
    assert capsys.readouterr().out.startswith("mmu = hash (derived: ")


def test_there_is_something_to_check() -> None:
    assert [block.split()[2] for block in CONSOLE] == [
        *("info", "list", "vtop", "usage", "filter", "check", "page")
    ]
    assert PYTHON


def test_every_link_to_a_file_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).read_text().strip(), target
    for folder in re.findall(r"`(\w+)/`", README):
        assert any((ROOT / folder).iterdir()), folder
