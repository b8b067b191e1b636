"""What an extract says of the kernel and the machine outside memory: VMCOREINFO, line by line.

Lines whose form is known go over, all others do not; among those is CRASHTIME.

Source: Linux kernel/vmcore_info.c.
"""

from __future__ import annotations

import re

_LINES = re.compile(
    rb"(?:SYMBOL|SIZE|OFFSET|LENGTH|NUMBER)\([A-Za-z0-9_.]{1,80}\)=-?[0-9a-fA-Fx]{1,20}"
    rb"|(?:PAGESIZE|KERNELOFFSET)=[0-9a-fA-Fx]{1,18}"
    rb"|OSRELEASE=[A-Za-z0-9._+~-]{1,64}"
    rb"|BUILD-ID=[0-9a-f]{0,64}"
)


def shared_vmcoreinfo(text: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Keep of VMCOREINFO what has a known form.

    Args:
        text: VMCOREINFO as it stands.

    Returns:
        The text to share, and the keys of the lines that it lacks.
    """
    kept, gone = [], []
    for line in text.split(b"\0")[0].split(b"\n"):
        if _LINES.fullmatch(line):
            kept.append(line)
        elif line:
            gone.append(line.partition(b"=")[0][:40].decode("ascii", "replace"))
    return b"".join(line + b"\n" for line in kept), tuple(gone)
