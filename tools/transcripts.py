"""Put into README.md and docs/ what the commands print now.

    PYTHONPATH=src .venv/bin/python tools/transcripts.py

Look at the difference before you commit it: a transcript that has changed is something that users
see. A block keeps as many lines before and after its ``...`` as it has; without one it is shown
whole. `tests/test_readme.py` holds the same files.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from vmemmap.cli.demo import SPEC
from vmemmap.simulate import Machine, parse_spec

ROOT = Path(__file__).resolve().parent.parent
DUMP = ROOT / "build" / "demo" / "vmcore"
_BLOCK = re.compile(r"(?<=```console\n)\$ vmemmap (.*?)\n(.*?)(?=```)", re.DOTALL)


def printed(command: str) -> list[str]:
    """Run a command in the repository's folder and give the lines that it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "vmemmap", *shlex.split(command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,  # a finding is no fault of the transcript
    )
    return [line.rstrip() for line in ran.stdout.splitlines()]


def renewed(block: re.Match[str]) -> str:
    """Give a transcript anew, cut where it was cut."""
    shown, lines = block[2].splitlines(), printed(block[1])
    if "..." in shown:
        cut = shown.index("...")
        after = len(shown) - cut - 1
        lines = [*lines[:cut], "...", *lines[len(lines) - after :]]
    return "\n".join([f"$ vmemmap {block[1]}", *lines, ""])


def renew() -> None:
    """Renew all transcripts, on the dump that `make demo` leaves."""
    DUMP.parent.mkdir(parents=True, exist_ok=True)
    Machine(parse_spec(SPEC)).boot().run_events().crash(DUMP)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        new = _BLOCK.sub(renewed, text)
        if new != text:
            page.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}: transcripts renewed\n")


if __name__ == "__main__":
    renew()
