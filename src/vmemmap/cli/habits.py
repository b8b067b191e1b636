"""What people type who come from crash, makedumpfile or drgn, and what they want to have typed.

Nothing here is accepted: what was meant is told, and typed by whoever meant it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

_ANYWHERE = {
    "--json": "--format json",
    "--csv": "--format csv",
    "-x": "--vmlinux FILE",
    "-i": "--vmcoreinfo FILE",
    "--dump-dmesg": "the command dmesg",
    "--mem-usage": "the command usage",
}
_OF_COMMAND = {
    ("drgn", "-c"): "the dump without an option before it",
    ("drgn", "--core"): "the dump without an option before it",
}


def option_meant(command: str, option: str) -> str | None:
    """Tell what somebody means by an option that other tools have; None if that is not known."""
    return _OF_COMMAND.get((command, option)) or _ANYWHERE.get(option)


def command_meant(name: str, behind: Sequence[str]) -> str | None:
    """Tell what somebody means by what stands where a command should.

    Args:
        name: What stands there.
        behind: What comes after it.
    """
    if name == "help":
        return shlex.join(["vmemmap", *behind[:1], "--help"])
    if os.path.exists(name):  # noqa: PTH110 (any text, also one that no path can be)
        return shlex.join(["vmemmap", "info", name])
    return None
