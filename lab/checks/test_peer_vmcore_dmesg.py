"""kexec-tools' vmcore-dmesg on a dump that has all pages: the same log, byte for byte."""

from __future__ import annotations

from collections.abc import Callable

from lab.checks import peer_run
from lab.checks.opened import Opened
from lab.results import Result

SECONDS = 60


def test_log_is_what_vmcore_dmesg_prints(
    machine: Result, whole: Opened, run_vmemmap: Callable[..., str]
) -> None:
    path = peer_run.readable(machine, whole.dump)
    program = peer_run.find(machine, "usr/sbin/vmcore-dmesg")
    said = peer_run.run(machine, [program, path], SECONDS)
    assert len(said.splitlines()) > 100, said[-300:]
    assert run_vmemmap("dmesg", machine.path(whole.dump)) == said
