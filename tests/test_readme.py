"""README.md and docs/ do not lie: transcripts are what the commands print, Python code runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import vmemmap
from vmemmap.cli.demo import SPEC
from vmemmap.simulate import Machine, parse_spec

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DEMO = "build/demo/vmcore"
PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if page.parent.name != "made"  # by `make docs`, from the package
}
SLOW = ("docs/anywhere.md",)
"""Its code reads a dump of 2 GiB into memory as a whole."""
CONSOLE = [
    pytest.param(block, id=f"{name}-{block.split()[2]}")
    for name, text in PAGES.items()
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
]
PYTHON = [
    pytest.param(block, id=name, marks=(pytest.mark.full,) if name in SLOW else ())
    for name, text in PAGES.items()
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
]


@pytest.fixture(scope="module")
def demo_dump(tmp_path_factory) -> str:
    """The dump that `make demo` leaves."""
    path = tmp_path_factory.mktemp("demo") / "vmcore"
    Machine(parse_spec(SPEC)).boot().run_events().crash(path)
    return str(path)


@pytest.mark.parametrize("block", CONSOLE)
def test_transcript_is_what_the_command_prints(run_vmemmap, demo_dump, block) -> None:
    command, *shown = block.splitlines()
    arguments = shlex.split(command.removeprefix("$ vmemmap ").replace(DEMO, demo_dump))
    out = run_vmemmap(*arguments).out.replace(demo_dump, DEMO)
    printed = [line.rstrip() for line in out.splitlines()]
    if "..." in shown:
        cut = shown.index("...")
        after = len(shown) - cut - 1
        assert shown[:cut] == printed[:cut]
        assert shown[cut + 1 :] == printed[len(printed) - after :]
    else:
        assert shown == printed


@pytest.mark.parametrize("code", PYTHON)
def test_python_code_runs(demo_dump, tmp_path, monkeypatch, code) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "machine.toml").write_text(SPEC)
    (tmp_path / "vmcore").symlink_to(demo_dump)
    exec(code.replace(DEMO, demo_dump), {"vmemmap": vmemmap})


def test_there_is_something_to_check() -> None:
    shown = {
        name: re.findall(r"```console\n\$ vmemmap (\w+)", text) for name, text in PAGES.items()
    }
    assert shown["README.md"] == ["list"]
    assert shown["docs/tutorials/tour.md"] == [
        *("info", "list", "vtop", "usage", "filter", "check", "report", "page")
    ]
    assert len(README.splitlines()) <= 120, "a first page, and not the documentation"
    assert {param.id for param in PYTHON} >= {"README.md", "docs/tutorials/first-answer.md"}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_to_a_file_leads_somewhere(name) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGES[name]):
        if not target.startswith(("https://", "made/", "../made/")):
            assert ((ROOT / name).parent / target).read_text().strip(), target


def test_every_folder_that_is_named_is_there() -> None:
    for folder in re.findall(
        r"`(\w+)/`", "".join(PAGES[n] for n in ("README.md", "docs/status.md"))
    ):
        assert any((ROOT / folder).iterdir()), folder
