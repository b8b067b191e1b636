"""``vmemmap simulate -o``: a machine crashed into the files asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from vmemmap.cli.output import emit
from vmemmap.cli.progress import ProgressBar, ProgressLines, progress_here
from vmemmap.report import designs as designs_report
from vmemmap.report import simulate as report

if TYPE_CHECKING:
    from vmemmap.simulate import Machine, MachineSpec


class CrashFiles(NamedTuple):
    """The files to be written.

    Attributes:
        vmcore: The dump.
        container: Its form: elf, kdump or flattened.
        codec: How its pages are compressed where they are.
        vmlinux: The kernel's symbols; None for no such file.
        debug_info: Types and variables are to be in that, too.
        truth: What every page is; None for no such file.
    """

    vmcore: str
    container: str
    codec: str
    vmlinux: str | None
    debug_info: bool
    truth: str | None


def crash(
    spec: MachineSpec,
    files: CrashFiles,
    damage: Sequence[str],
    form: str,
    *,
    paint: bool,
    designs: bool,
) -> None:
    """Boot a machine, run its events, crash it, and print what is in the dump.

    Args:
        spec: The machine.
        files: What is written.
        damage: How the list is broken before.
        form: Of what is printed.
        paint: Memory without structures of the kernel's is filled with words.
        designs: What the list costs in the designs of the patch is printed, too.
    """
    from vmemmap.simulate.crash.answers import list_answers
    from vmemmap.simulate.crash.damage import apply_damage
    from vmemmap.simulate.crash.known_pages import known_pages
    from vmemmap.simulate.crash.vmcore import write_vmcore
    from vmemmap.write.new_file import new_file

    # The file of the truth is made first, so that its name is known to do.
    with (
        progress_here() as progress,
        new_file(files.truth) if files.truth else nullcontext() as truth,
    ):
        machine = booted(spec, progress)
        if files.vmlinux is not None:
            machine.write_symbols(files.vmlinux, debug_info=files.debug_info)
        snapshot = machine.snapshot()
        snapshot.painted = paint
        found = list_answers(snapshot.machine)  # of the list as it was before any damage
        harms = [apply_damage(snapshot, name) for name in damage]
        write_vmcore(snapshot, files.vmcore, progress, files.container, files.codec)
        record = report.record(machine, snapshot, files.vmcore, found, harms)
        if truth is not None and files.truth is not None:
            report.write_truth(truth, known_pages(snapshot, progress), files.truth)
            record["truth"] = files.truth
        if designs:
            costs = designs_of(machine, found.entries)
            record["blocks"], record["designs"] = costs["blocks"], costs["designs"]
    emit(
        form,
        record,
        text=report.lines(record),
        columns=designs_report.DESIGN_COLUMNS if designs else report.PAGE_COLUMNS,
        rows=record["designs"] if designs else report.rows(record),
    )


def booted(spec: MachineSpec, progress: ProgressBar | ProgressLines) -> Machine:
    """Boot a machine, and run the events of its spec."""
    from vmemmap.simulate import Machine

    return Machine(spec).boot().run_events(progress)


def designs_of(machine: Machine, blocks: int) -> designs_report.DesignsRecord:
    """Measure what the designs cost for so many blocks."""
    from vmemmap.simulate.designs import compare_designs

    return designs_report.designs(blocks, compare_designs(blocks, machine.spec.byte_order))
