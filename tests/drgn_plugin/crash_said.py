"""Recipe: puts what crash printed of a dump in order, as ``crash_said_<dump>.json``.

    crash -i COMMANDS vmlinux vmcore > LOG      with COMMANDS: ps, foreach bt, kmem -s, mod
    python crash_said.py LOG > crash_said_<dump>.json

The two files here are of crash 9.0.2 (Debian's ppc64el binary under qemu-user) with the kernel's
own debugging information, on ``vmcore.d31.zlib`` of the full-size dumps.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

_TASK = re.compile(r"PID: (\d+)\s+TASK: (\w+)\s+CPU: \d+\s+COMMAND: \"(.*)\"")
_FRAME = re.compile(r" *#\d+ \[\w+\] (\S+) at \w+")
_CACHE = re.compile(r"(c\w{15})\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+\d+k\s+(\S+)")
_MODULE = re.compile(r"(c\w{15})\s+(\S+)\s+(c\w{15})\s+(\d+)\s+\(not loaded\)")


def in_order(log: str) -> dict[str, Any]:
    """Give tasks with their functions, innermost first; slab caches; modules."""
    tasks: list[dict[str, Any]] = []
    caches: list[dict[str, Any]] = []
    modules: dict[str, dict[str, str]] = {}
    for line in log.splitlines():
        if match := _TASK.fullmatch(line.strip()):
            pid, task, command = match.groups()
            tasks.append({"pid": int(pid), "task": task, "comm": command, "functions": []})
        elif match := _FRAME.match(line):
            tasks[-1]["functions"].append(match[1])
        elif match := _CACHE.match(line):
            row = {"cache": match[1], "allocated": int(match[3]), "name": match[6]}
            caches.append(row)
        elif match := _MODULE.match(line):
            modules[match[1]] = {"module": match[1], "name": match[2], "base": match[3]}
    return {"tasks": tasks, "caches": caches, "modules": list(modules.values())}


if __name__ == "__main__":
    said = in_order(Path(sys.argv[1]).read_text())
    rows = ",\n ".join(
        f'"{key}": [\n  ' + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        for key, value in said.items()
    )
    sys.stdout.write(f"{{\n {rows}\n}}\n")
