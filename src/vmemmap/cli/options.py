"""What the commands share: arguments, output formats, exit codes, and how an error is told.

Exit codes: 0 fine, 1 findings, 2 usage, 3 the dump cannot be read.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmemmap.cli.progress import ProgressBar

if TYPE_CHECKING:
    from vmemmap.findings import Finding
    from vmemmap.vmcore import Vmcore

EXIT_FINDINGS = 1
EXIT_USAGE = 2
EXIT_UNREADABLE = 3


class Format(StrEnum):
    """How a command prints its records."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


class ListFormat(StrEnum):
    """How `vmemmap list` prints the list."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    CRASH = "crash"


Dumps = Annotated[
    list[str],
    typer.Argument(
        metavar="DUMP...",
        help="The vmcore: ELF or kdump-compressed, flattened or not; several for a split dump.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="Text for people, JSON or CSV for programs.")
]
VmcoreinfoOption = Annotated[
    str | None,
    typer.Option("--vmcoreinfo", metavar="FILE", help="Take VMCOREINFO from this text file."),
]
VmlinuxOption = Annotated[
    str | None,
    typer.Option(
        "--vmlinux",
        metavar="FILE",
        help="Take symbols and types that the dump lacks from this vmlinux: its symbol table, and "
        "its BTF or debug information.",
    ),
]
AssumeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--assume",
        metavar="NAME=VALUE",
        help="Set a fact that the dump does not tell, or tells wrong: memory_byte_order, mmu, "
        "layout, page_table. May be given several times; a wrong value lists the right ones.",
    ),
]
RescueOption = Annotated[
    bool,
    typer.Option(
        "--rescue",
        help="Where the list is damaged, search the dump for what it lost, and use what is found.",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclass(frozen=True, slots=True)
class Opening:
    """What the command line says about the dump and how to open it."""

    dumps: list[str]
    vmcoreinfo: str | None
    vmlinux: str | None
    debug: bool
    assume: list[str] | None = None
    rescue: bool = False


def with_dump(opening: Opening, command: Callable[[Vmcore], int]) -> None:
    """Open the dump, run a command on it, and turn what happens into an exit code.

    Args:
        opening: The files named on the command line, and the options that go with them.
        command: What to do; gives the exit code.

    Raises:
        typer.Exit: Always.
        typer.BadParameter: An assumption is none that can be made.
    """
    from vmemmap.errors import DumpError, UnwritableFile, VmemmapError
    from vmemmap.progress import no_progress
    from vmemmap.vmcore import open_vmcore

    try:
        with (
            ProgressBar() as progress,
            open_vmcore(
                *opening.dumps,
                vmcoreinfo=opening.vmcoreinfo,
                vmlinux=opening.vmlinux,
                progress=progress if sys.stderr.isatty() else no_progress,
                assume=split_assumptions(opening.assume or []),
                rescue=opening.rescue,
            ) as core,
        ):
            code = command(core)
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has closed it (as `head` does); that is no error. Python would
        # complain once more when it flushes stdout at exit, so stdout goes nowhere from here on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except VmemmapError as error:
        if opening.debug:
            traceback.print_exc()
        path = error.path if isinstance(error, (DumpError, UnwritableFile)) else None
        complain(path or opening.dumps[0], str(error))
        raise typer.Exit(EXIT_UNREADABLE) from None
    raise typer.Exit(code)


def split_assumptions(given: list[str]) -> dict[str, str]:
    """Take the values of ``--assume`` apart, and check them.

    Raises:
        typer.BadParameter: One is no NAME=VALUE, or none that can be made.
    """
    from vmemmap.facts.assumptions import check_assumptions
    from vmemmap.translate.assumable import ASSUMABLE

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(
                f"--assume {text!r}: expected NAME=VALUE, as in layout={ASSUMABLE['layout'][0]}"
            )
        found[name] = value
    try:
        check_assumptions(found, ASSUMABLE)
    except ValueError as error:
        raise typer.BadParameter(f"--assume: {error}") from None
    return found


def refuse_to_replace(output: str, *inputs: str | None) -> None:
    """Check that an output file is none of the files that are read for it, nor a pipe.

    Raises:
        typer.BadParameter: It is, under whatever name.
    """
    if output == "-":
        raise typer.BadParameter("the output is a file, which no pipe can be: name one")
    for name in inputs:
        with suppress(OSError):
            if name is not None and Path(name).samefile(output):
                raise typer.BadParameter(f"{output} would replace what is read: name another file")


def complain(path: str, message: str) -> None:
    """Write one line about a file to stderr; whatever the message holds stays one line."""
    line = "".join(c if c.isprintable() else "?" for c in f"{path}: {message}")
    sys.stderr.write(f"vmemmap: {line}\n")


def show_warnings(core: Vmcore) -> None:
    """Write what is odd in the container to stderr."""
    core.source.is_incomplete()  # looks for a cut-off end, and warns of it
    for warning in core.source.warnings:
        complain(core.source.path, f"warning: {warning}")


def show_findings(core: Vmcore) -> None:
    """Write what is wrong with the list to stderr."""
    for finding in core.findings:
        complain(core.source.path, f"{finding.severity}: {finding.code}: {finding.message}")


def findings_code(findings: Iterable[Finding]) -> int:
    """Give the exit code for findings: 1 if any is worse than information."""
    from vmemmap.findings import Severity

    return EXIT_FINDINGS if any(f.severity is not Severity.INFO for f in findings) else 0


def hex_or_none(value: int | None) -> str | None:
    """Give an address in the JSON form."""
    return None if value is None else f"{value:#x}"


def finding_record(finding: Finding) -> dict[str, str | None]:
    """Give a finding in the JSON form of the ``check`` command."""
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "node": hex_or_none(finding.node),
        "virt": hex_or_none(finding.virt),
        "phys": hex_or_none(finding.phys),
        "message": finding.message,
    }
