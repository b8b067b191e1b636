"""The ``vmemmap`` command: its subcommands, usage errors, and what happens on ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import FrameType

import click
from click.exceptions import Exit

from vmemmap import __version__
from vmemmap.cli.output import EXIT_FAULT, EXIT_UNREADABLE, EXIT_USAGE, silence, tell

COMMANDS = (
    *("info", "check", "explain", "dmesg", "usage", "report", "list", "vtop", "ptov", "page"),
    *("pages", "read", "drgn", "filter", "extract", "survey", "simulate", "demo"),
)
"""The commands, each one the ``command`` of the module of its name, as one comes to use them: what
is this dump, is it sound, what happened, where is the memory; then what to look into, then what to
make of it."""
_Handler = Callable[[int, FrameType | None], object]
_WIDEST = 120
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


class _Commands(click.Group):
    """The commands, whose modules are imported when they are asked for."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        if name != "drgn":  # whose scripts may use numpy for anything
            # It would start threads for linear algebra as it is loaded, which nothing here does.
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        command = import_module(f"vmemmap.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            from vmemmap.cli.habits import command_meant

            near = get_close_matches(name, COMMANDS)
            near = near or [meant for meant in [command_meant(name, args[1:])] if meant]
            meant = ", ".join(f"'{close}'" for close in near)
            hint = f" Did you mean {meant}?" if near else ""
            raise click.UsageError(f"No such command '{name}'.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the first paragraph of each command's help, all of it; Click would cut it off."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, " ".join((command.help or "").split("\n\n")[0].split()))
                    for name in COMMANDS
                    if (command := self.get_command(ctx, name))
                ]
            )


@click.group(
    "vmemmap",
    cls=_Commands,
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": _WIDEST,
        # Some commands have --out and some --output; each takes both.
        "token_normalize_func": lambda name: "out" if name == "output" else name,
    },
)
@click.version_option(
    __version__, "-V", "--version", message="vmemmap %(version)s", help="Print the version."
)
@click.pass_context
def vmemmap(ctx: click.Context) -> None:
    """Read the struct-page array of PowerPC64 Linux, and the list that backs it, from a dump.

    Or simulate a machine, and crash it into one.

    Exit codes: 0 fine, 1 findings, 2 usage, 3 the dump cannot be read, 4 a fault of vmemmap itself.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(EXIT_USAGE)


def run(interrupt: _Handler = signal.default_int_handler) -> None:
    """Run the command line, for the ``vmemmap`` script.

    Args:
        interrupt: Answers ctrl-C.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for the rest of the process)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be a text
    # Nearly all that modules make stays to the end. Python would look through it for garbage again
    # and again, which is a fifth of the time that a short command takes.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    code = _exit_code(interrupt)
    gc.freeze()
    sys.exit(code)


def _exit_code(interrupt: _Handler = signal.default_int_handler) -> int:
    """Run the command line and tell what went wrong; the commands tell what concerns the dump."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as it is while modules are loaded
            signal.signal(signal.SIGINT, interrupt)
        if asked := os.environ.get("_VMEMMAP_COMPLETE"):
            from vmemmap.cli.completion import complete  # for the shell alone

            return complete(vmemmap, asked)
        with vmemmap.make_context(_program(), sys.argv[1:]) as ctx:
            code = vmemmap.invoke(ctx)
            assert isinstance(code, int)
            return code
    except Exit as end:
        return end.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "vmemmap"
        tell(f"vmemmap: {_in_words(error)} (see: {command} --help)")
        return EXIT_USAGE
    except BrokenPipeError:  # of the help, or of what a drgn script prints
        silence(sys.stdout)
        return 0
    except KeyboardInterrupt:
        return 130
    except MemoryError as error:
        why = f" ({error})" if str(error) else ""
        tell(f"vmemmap: there is not enough memory, or ulimit -v is too low{why}")
        return EXIT_UNREADABLE
    except Exception as error:
        if (code := _ended_by_signal(error)) is not None:
            return code
        # Whatever concerns files is told by the command; an error without one is of our own output.
        if isinstance(error, OSError) and error.filename is None:
            tell(f"vmemmap: cannot write the output: {error.strerror}")
            silence(sys.stdout)
            return EXIT_UNREADABLE
        tell(
            f"vmemmap: {type(error).__name__}: {error}: this is a fault of vmemmap {__version__} "
            "itself; please report it to whoever gave it to you, with this line, the command, and "
            "what the same command prints with --debug"
        )
        return EXIT_FAULT


def _ended_by_signal(error: BaseException) -> int | None:
    """Give the exit code of a signal that came while a module was loaded, which made it fail."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, KeyboardInterrupt):
            return 130
        if isinstance(at, SystemExit) and isinstance(at.code, int):
            return at.code
        at = at.__cause__ or at.__context__
    return None


def _program() -> str:
    """Give the command as the user typed it."""
    as_module = Path(sys.argv[0]).name == "__main__.py"
    return "python -m vmemmap" if as_module else "vmemmap"


def _in_words(error: click.UsageError) -> str:
    """Give a usage error's message in one line."""
    if isinstance(error, click.NoSuchOption):
        from vmemmap.cli.habits import option_meant

        command = (error.ctx and error.ctx.info_name) or ""
        near = ", ".join(sorted(error.possibilities or ()))
        hint = f" (Possible options: {near})" if near else ""
        if meant := option_meant(command, error.option_name):
            hint = f"; here it is {meant}"
        elif command not in COMMANDS:
            hint = "; options come behind the command"
        return f"No such option: {error.option_name}{hint}"
    if isinstance(error, click.BadParameter) and error.param is None and not error.param_hint:
        return " ".join(error.message.split())  # Click would put "Invalid value" before it
    return " ".join(error.format_message().split())
