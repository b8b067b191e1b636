"""The examples at the end of every help text work, and stand there as they were tried."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from vmemmap.cli.demo import SPEC
from vmemmap.cli.examples import EXAMPLES
from vmemmap.cli.main import COMMANDS
from vmemmap.simulate import Machine, parse_spec

NEEDS = {"drgn": "drgn", "pages": "pyarrow", "survey": "pyarrow"}
SLOW = {"demo"}


@pytest.fixture
def folder(tmp_path: Path, once: Callable, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `vmemmap demo --keep` leaves, and the current one."""

    def crash(path: Path) -> None:
        Machine(parse_spec(SPEC)).boot().run_events().crash(path)

    # A dump of its own: a copy would fill the holes of a file of 4 GiB.
    for name, made in (("vmcore", "demo"), ("before", "demo"), ("after", "demo-after")):
        (tmp_path / name).symlink_to(once(made, crash))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [pytest.param(name, marks=[pytest.mark.full] * (name in SLOW)) for name in EXAMPLES],
)
def test_the_help_ends_with_two_that_work(command: str, run_vmemmap, folder: Path) -> None:
    text = run_vmemmap(command, "--help").out
    for words, meaning in EXAMPLES[command]:
        assert words.split()[0] == command
        assert f"  vmemmap {words}\n" in text
        assert meaning in text
    assert text.rstrip().endswith(EXAMPLES[command][-1][1])
    if command in NEEDS and find_spec(NEEDS[command]) is None:
        pytest.skip(f"{NEEDS[command]} is not installed")
    for words, _ in EXAMPLES[command]:
        ran = run_vmemmap(*shlex.split(words))
        assert ran.code == 0, ran.err


def test_every_command_has_examples() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
