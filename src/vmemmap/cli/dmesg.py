"""``vmemmap dmesg``: the kernel's log, from printk's ring buffer in the dump."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump
from vmemmap.cli.output import complain, emit, findings_code, show_findings
from vmemmap.report import dmesg as report

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore


@click.command("dmesg", cls=Command)
@format_option()
@click.option(
    "--level",
    "-l",
    metavar="LIST",
    help="Only these levels: emerg, alert, crit, err, warn, notice, info, debug, or 0-7.",
)
@click.option(
    "--ctime",
    "-T",
    is_flag=True,
    help="Show the date of each message (UTC, to about a second), from the time of the crash.",
)
@click.option("--caller", is_flag=True, help="Show who printed each: T123 a task, C3 a processor.")
@reads_dump()
def command(dump: Opening, form: str, level: str | None, ctime: bool, caller: bool) -> int:
    """Print the kernel's log, oldest message first; as text just as vmcore-dmesg prints it.

    Of a damaged log what can be read is printed, and what is wrong is named (exit code 1).
    """
    wanted = levels(level) if level is not None else None
    with dump.open() as core:
        log = core.dmesg()
        chosen = [message for message in log if wanted is None or message.level in wanted]
        show_findings(core.source.path, log.findings)
        booted = _boot_time(core) if ctime else None
        text = report.lines(chosen)
        if ctime or caller:
            text = report.decorated_lines(chosen, booted, callers=caller)
        if caller and not any(message.caller for message in chosen):
            complain(core.source.path, "warning: this kernel does not record who printed a message")
        emit(
            form,
            report.record(log, chosen),
            text=text,
            columns=report.COLUMNS,
            rows=report.rows(chosen),
        )
        return findings_code(log.findings)


def _boot_time(core: Vmcore) -> float:
    """Tell when the kernel booted, seconds since 1970.

    Raises:
        FactError: The dump does not tell when it crashed, or how long it ran.
    """
    facts = core.system
    for name in ("crash_time", "uptime"):
        if name in facts.missing:
            raise facts.missing[name]
    return float(int(facts["crash_time"].value) - int(facts["uptime"].value))


def levels(text: str) -> frozenset[int]:
    """Read a list of levels such as ``err,warn`` or ``3,4``.

    Raises:
        click.BadParameter: One of them is no level.
    """
    from vmemmap.kernel_log.record import LEVELS

    numbers = {name: number for number, name in enumerate(LEVELS)}
    numbers |= {str(number): number for number in range(len(LEVELS))}
    found = set()
    for word in text.split(","):
        if word not in numbers:
            raise click.BadParameter(
                f"{word!r} is no level: expected {', '.join(LEVELS)}, or 0 to 7",
                param_hint="--level",
            )
        found.add(numbers[word])
    return frozenset(found)
