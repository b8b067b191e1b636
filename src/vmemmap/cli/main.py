"""The ``vmemmap`` command: its subcommands, usage errors, and what happens on ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from inspect import getdoc
from typing import Annotated

import typer
from typer import Abort

from vmemmap.cli.check import check
from vmemmap.cli.demo import demo
from vmemmap.cli.dmesg import dmesg
from vmemmap.cli.drgn import SCRIPT_ARGUMENTS, drgn
from vmemmap.cli.explain import explain
from vmemmap.cli.info import info
from vmemmap.cli.list import list_
from vmemmap.cli.options import EXIT_UNREADABLE, EXIT_USAGE
from vmemmap.cli.page import page
from vmemmap.cli.pages import pages
from vmemmap.cli.simulate import simulate
from vmemmap.cli.usage import usage
from vmemmap.cli.vtop import vtop

# Typer carries its command parser with it and exports this class alone; its base is what an
# unknown option, a missing argument and a bad value have in common.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="vmemmap",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from vmemmap import __version__

        typer.echo(f"vmemmap {__version__}")
        raise typer.Exit


def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Read the struct-page array of PowerPC64 Linux, and the list that backs it, from a dump.

    Or simulate a machine, and crash it into one.

    Exit codes: 0 fine, 1 findings, 2 usage, 3 the dump cannot be read.
    """


COMMANDS: dict[str, Callable[..., None]] = {
    "dmesg": dmesg,
    "drgn": drgn,
    "info": info,
    "list": list_,
    "vtop": vtop,
    "simulate": simulate,
    "demo": demo,
    "page": page,
    "usage": usage,
    "pages": pages,
    "check": check,
    "explain": explain,
}


def help_of(function: Callable[..., None]) -> str:
    """Give a docstring with each paragraph in one line, since Typer keeps the breaks of most."""
    paragraphs = (getdoc(function) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app.callback(help=help_of(main))(main)
for name, command in COMMANDS.items():
    app.command(
        name,
        help=help_of(command),
        context_settings=SCRIPT_ARGUMENTS if command is drgn else None,
    )(command)


def _one_line(error: Exception) -> str:
    """Give a usage error's message; Typer puts the option's name before it."""
    tell = getattr(error, "format_message", None)
    return " ".join(str(tell() if tell else error).split())


def run() -> None:
    """Run the command line; the entry point of the ``vmemmap`` script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for the rest of the process)
    # Being told to end is ending like any other: what was half written is taken away.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "vmemmap"
        if str(error):  # empty when the help was printed instead, for want of a command
            sys.stderr.write(f"vmemmap: {_one_line(error)} (see: {command} --help)\n")
        sys.exit(EXIT_USAGE)
    except SystemExit as error:
        # Whoever read our output has closed it, as `head` does. Typer and rich make an exit code
        # of that by themselves, 1, which here means findings.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except OSError as error:
        # Whatever concerns the dump is told by the command; this is our own output.
        sys.stderr.write(f"vmemmap: cannot write the output: {error.strerror}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains again at its exit
        sys.exit(EXIT_UNREADABLE)
    except (KeyboardInterrupt, Abort):
        sys.exit(130)
    sys.exit(code)
