"""How much work a call does, in a measure that is the same on every machine and however busy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any


def lines_of(ask: Callable[[], Any]) -> int:
    """Count the lines of Python that a call runs, each as often as it runs.

    What numpy does in one line counts as one: a loop over a million elements shows, a million
    elements in one operation do not. It takes some ten times as long as the call alone.
    """
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        ask()
    finally:
        sys.settrace(before)
    return count


def calls_into(folder: str, ask: Callable[[], Any]) -> int:
    """Count the calls of the package's functions in a folder that a call makes, all told.

    Args:
        folder: Its name within the package: ``source`` for reads of the dump.
        ask: The call.
    """
    part, count = f"/vmemmap/{folder}/", 0

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call" and part in frame.f_code.co_filename

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        ask()
    finally:
        sys.setprofile(before)
    return count


def instructions_in(name: str, code: str, *arguments: object, folder: Path) -> int:
    """Count the instructions that a piece of Python runs in one loaded object, by callgrind.

    Args:
        name: Of the object's file, without its suffixes.
        code: The Python, run by itself under valgrind: a good five seconds for a start alone.
        arguments: Its ``sys.argv[1:]``.
        folder: For what callgrind writes.

    Source:
        Callgrind's format: https://valgrind.org/docs/manual/cl-format.html
    """
    out = folder / "callgrind"
    line = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        sys.executable,
        "-c",
        code,
    ]
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [*line, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return _own_cost(out.read_text(), name + ".")


def _own_cost(profile: str, name: str) -> int:
    """Add up what callgrind's profile has as the own cost of lines in one object."""
    objects: dict[str, str] = {}
    here, cost, called = False, 0, False
    for line in profile.splitlines():
        if line.startswith(("ob=", "cob=")):
            number, _, path = line.partition("=")[2].partition(" ")
            objects.setdefault(number, path)
            if line.startswith("ob="):
                here = Path(objects[number]).name.startswith(name)
        elif line.startswith("calls="):
            called = True  # the next line is the cost of what was called, and stands there again
        elif line[:1] in "0123456789+-*" and line:
            cost += int(line.split()[1]) if here and not called else 0
            called = False
    return cost
