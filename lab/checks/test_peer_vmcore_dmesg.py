"""kexec-tools' vmcore-dmesg on a dump that has all pages: the same log, byte for byte."""

from __future__ import annotations

from collections.abc import Callable

from lab.checks import peer_run
from lab.checks.guest_kernel import log_text
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
    ours = run_vmemmap("dmesg", machine.path(whole.dump))
    if not next(iter(whole.core.dmesg())).seq:
        assert ours == said
        return
    # Of the one message whose text lies at the seam of the ring, vmcore-dmesg prints that of the
    # next; the guest's own /dev/kmsg (``test_guest_log``) has what we print.
    rows = list(zip(ours.splitlines(), said.splitlines(), strict=True))
    wrong = [at for at, (our, their) in enumerate(rows) if our != their]
    assert len(wrong) <= 1
    for at in wrong:
        assert log_text(rows[at][1]) == log_text(rows[at + 1][0])
