"""crash begins a session on an extract, and says of memory what it says of the whole dump.

Of processes, the time and the log it has nothing to say.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vmemmap
from oracles import crash_session, makedumpfile

pytestmark = [pytest.mark.full, *makedumpfile.needed, *crash_session.needed]

SAME = ("help -m", "kmem -i", "kmem -n", "kmem -f", "kmem -z", "kmem -v")
"""Commands that answer the same."""
OWN = re.compile(r" *(last_p\w+_read|pgd|pud|pmd|ptbl|machspec): ")
FLAGS = re.compile(r"[0-9a-f]+( \w+(,\w+)*)?$")
NOT_SHARED = ("DATE", "UPTIME", "TASKS", "NODENAME", "PANIC")
"""Lines of ``sys`` that are others."""


@pytest.mark.parametrize("machine", ["hash-64k-6.1", "radix-64k-6.1"])
def test_session_says_the_same_of_memory(machine: str, real_dump, tmp_path: Path) -> None:
    path, vmlinux = real_dump(f"{machine}/vmcore.d31.zlib"), crash_session.VMLINUX
    with vmemmap.open(path, vmlinux=vmlinux) as core:
        extracted = core.extract(tmp_path / "shared", classes=["crash"])
        assert not [why for why in extracted.missing if "crash" in why]
        base = int(core.facts["vmemmap_base"].value)
        size = int(core.facts["struct_page_size"].value)
        virts = [int(entry.virt) for entry in core.backing] or [base]
    virts += [base + size * pfn for pfn in (0, 1, 4096, 16384, 24575)]
    looked_up = [f"vtop {virt:x}" for virt in (*virts, 0xC000000000010000, 0xC0080000002D0000)]
    pages = [f"kmem -p {virt:x}" for virt in virts]
    commands = tmp_path / "commands"
    commands.write_text("\n".join([*SAME, *looked_up, *pages, "sys", "ps", "log", "q", ""]))
    whole = crash_session.answers(path, commands)
    shared = crash_session.answers(tmp_path / "shared", commands)
    for command in (*SAME, *looked_up):
        lines = [line for line in whole[command] if not OWN.match(line)]
        assert len(lines) > 2, command
        got = [line for line in shared[command] if not OWN.match(line)]
        if command.startswith("vtop"):  # the page's flags name its last processor's task, too
            lines, got = ([FLAGS.sub("", line) for line in one] for one in (lines, got))
        assert got == lines, command
    for command in pages:
        for one, other in zip(whole[command], shared[command], strict=True):
            assert other.split()[:2] == one.split()[:2]
    assert not shared["log"]
    names = {line.split()[-1] for line in whole["ps"][1:]}
    assert len(names) > 10
    assert not [line for line in shared["ps"] if line.split()[-1] in names]
    told = [line for line in whole["sys"] if line.split(":")[0].strip() in NOT_SHARED]
    assert len(told) == len(NOT_SHARED)
    assert not [line for line in told if line in shared["sys"]]
