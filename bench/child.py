"""Work in processes of its own, so that nothing is warm but the files, and peaks can be seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rows import Spent

COMMAND = (sys.executable, "-c", "from vmemmap.cli.main import run; run()")
"""The command, as its installed script starts it."""

# The peak of a process counts what its parent had when it was started: a small parent it must be.
_WATCH = """
import json, os, sys, time
null = os.open(os.devnull, os.O_RDWR)
begun = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)])
_, status, used = os.wait4(child, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - begun,
    used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""
_ALONE = {"OPENBLAS_NUM_THREADS": "1"}
"""Else numpy starts threads for linear algebra, which turn idly, and are counted, for some
hundredths of a second. The command sees to it likewise."""
_TOLD = """
import json, time
def clock():
    return time.perf_counter(), time.process_time()
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
def tell(begun, **more):
    wall, cpu = clock()
    print(json.dumps({"wall": wall - begun[0], "cpu": cpu - begun[1], "mib": peak()} | more))
"""


def run(*command: str | Path, expected: tuple[int, ...] = (0,)) -> Spent:
    """Run a command to its end, and tell what it took.

    Args:
        command: The program with its whole path, and its arguments.
        expected: Exit codes that are no failure.
    """
    line = [sys.executable, "-SE", "-c", _WATCH, *map(str, command)]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    code, wall, cpu, mib = json.loads(done.stdout)
    assert code in expected, f"{line[4:]} ended with {code}: {done.stderr}"
    return Spent(wall, cpu, mib)


def ask(code: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """Run a piece of Python that tells one JSON object.

    Args:
        code: It can use `clock`, `peak` and `tell`: ``tell(begun, pages=3)`` tells what has been
            spent since ``begun = clock()``, and what else is given.
        arguments: Its ``sys.argv[1:]``.
        environment: Variables for it.
    """
    line = [sys.executable, "-c", _TOLD + code, *map(str, arguments)]
    done = subprocess.run(
        line, check=False, capture_output=True, text=True, env=os.environ | _ALONE | environment
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def asked(code: str, *arguments: object) -> Spent:
    """Run a piece of Python that tells what it spent; as `ask`."""
    told = ask(code, *arguments)
    return Spent(told["wall"], told["cpu"], told["mib"])
