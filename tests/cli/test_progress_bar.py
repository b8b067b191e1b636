"""The progress bar is for a person at a terminal who waits; pipes and logs get nothing of it."""

from __future__ import annotations

import sys

import pytest

from vmemmap.cli.progress import ProgressBar, progress_here


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by two seconds each time it is asked."""
    seconds = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.monotonic", lambda: float(next(seconds)))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("terminal", [True, False])
def test_only_a_terminal_gets_a_bar(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressBar() as progress:
        for done in range(4):
            progress("reading", done, 4)
    said = capfd.readouterr()
    assert said.out == ""
    assert ("reading" in said.err) == terminal
    assert terminal or said.err == ""


def test_elsewhere_what_takes_long_is_told_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with progress_here() as progress:
        for second in range(100):
            now[0] = 1.0 + second
            progress("reading", second, 100)
        now[0] = 140.0
        progress("copying", 3 << 20, None)
    assert capsys.readouterr().err.splitlines() == [
        *("vmemmap: reading: 30%, 70 s left", "vmemmap: reading: 60%, 40 s left"),
        *("vmemmap: reading: 90%, 10 s left", "vmemmap: copying: 3 MiB"),
    ]
