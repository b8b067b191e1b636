"""Colours only where they are wanted, each with its word; ctrl-C never gives a traceback."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmemmap.cli import start
from vmemmap.report.palette import ROLE_OF_SEVERITY, paint, paint_severity


class Terminal(io.StringIO):
    """A stream that says of itself that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_each_severity_has_a_colour_of_its_own_and_its_word(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    codes = set()
    for word in ROLE_OF_SEVERITY:
        line = f"vmemmap: vmcore: {word}: list_cycle: it goes round"
        painted = paint_severity(line, Terminal())
        found = re.search(rf"\x1b\[([\d;]+)m{word}\x1b\[0m: list_cycle", painted)
        assert found is not None
        codes.add(found[1])
        assert re.sub(r"\x1b\[[\d;]*m", "", painted) == line
    assert len(codes) == len(ROLE_OF_SEVERITY)
    assert "\x1b" in paint("text", "heading", Terminal())
    assert paint("text", "heading", io.StringIO()) == "text"


@pytest.mark.parametrize(
    ("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", None), ("TERM", "")]
)
def test_who_wants_no_colours_gets_none(name: str, value: str | None, monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    assert paint("text", "error", Terminal()) == "text"
    assert paint_severity("error: x", Terminal()) == "error: x"


@pytest.mark.parametrize("module", ["click", "numpy"])
def test_ctrl_c_while_modules_are_loaded(module: str, tmp_path: Path) -> None:
    """A module that interrupts its own process as it is loaded, in place of a fast hand."""
    (tmp_path / f"{module}.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-m", "vmemmap", "list", "nothing"],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": path},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (ran.stdout, ran.stderr) == (b"", b"")
    assert ran.returncode in (-signal.SIGINT, 130)


def test_two_ctrl_c_at_once_are_one(monkeypatch) -> None:
    """The second would come while nothing but the end of the command is left."""
    monkeypatch.setattr(start, "_last", [float("-inf")])
    clock = iter([100.0, 100.05, 102.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt):
        start.interrupt(signal.SIGINT, None)
    start.interrupt(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        start.interrupt(signal.SIGINT, None)


def test_the_version_and_the_order_of_the_commands(run_vmemmap) -> None:
    assert run_vmemmap("-V").out == run_vmemmap("--version").out != ""
    text = run_vmemmap("--help").out
    places = [text.index(f"\n  {name} ") for name in ("info", "check", "usage", "filter", "demo")]
    assert places == sorted(places)
