"""What the commands take alike, as decorators: the dump and how to open it, and the output's form.

A command is a function with ``@click.command("name", cls=Command)`` over them, and gives its exit
code.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmemmap.cli.command import Argument
from vmemmap.cli.output import (
    EXIT_UNREADABLE,
    complain,
    show_traffic,
    show_warnings,
    tell,
    write,
)
from vmemmap.cli.progress import ProgressBar, ProgressLines, progress_here
from vmemmap.errors import DumpError, UnwritableFile, VmemmapError
from vmemmap.source.urls import shown as shown_address

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

_CANNOT_READ = (
    "vmemmap: a file that is read has become shorter meanwhile, or its disk fails: nothing that "
    "was half written is left\n"
)

Command = Callable[..., int]
"""A command's function: options in, exit code out."""
Split = Callable[[list[str]], tuple[list[str], list[str]]]
"""Tells the dumps from what else the arguments are."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the command line says about the dump and how to open it."""

    dumps: list[str]
    vmcoreinfo: str | None = None
    vmlinux: str | None = None
    assume: Sequence[str] = ()
    rescue: bool = False
    effort: int = 1
    storage: Sequence[str] = ()
    stats: bool = False

    def with_vmlinux(self) -> Opening:
        """Give the same with the vmlinux of these dumps, where it is to be found by itself.

        Raises:
            click.BadParameter, FactError, DumpError: It cannot be; see `_found_vmlinux`.
        """
        return replace(self, vmlinux=_found_vmlinux(self)) if self.vmlinux == _FOUND else self

    @contextmanager
    def open(self, shown: ProgressBar | ProgressLines | None = None) -> Iterator[Vmcore]:
        """Open the dump, and show on stderr how far it is with whatever takes long.

        Args:
            shown: How else to show it.

        Raises:
            click.BadParameter: An assumption is none that can be made, or an option has no value.
            DumpError: As for `vmemmap.open`.
        """
        from vmemmap.source.file_view import end_at_bus_error
        from vmemmap.vmcore import open_vmcore

        end_at_bus_error(_CANNOT_READ, EXIT_UNREADABLE)
        with (
            shown or progress_here() as progress,
            open_vmcore(
                *self.dumps,
                vmcoreinfo=self.vmcoreinfo,
                vmlinux=self.vmlinux,
                progress=progress,
                assume=split_assumptions(self.assume),
                rescue=self.rescue,
                effort=self.effort,
                storage=split_storage(self.storage),
            ) as core,
        ):
            try:
                # What is wrong with the file goes before whatever follows from it.
                told = show_warnings(core)
                try:
                    yield core
                finally:
                    show_warnings(core, told)
            finally:
                if self.stats:
                    show_traffic(core)


_DUMPS = (
    "The vmcore, a file or a URL (s3, gs, az, https): ELF or kdump-compressed, flattened or not; "
    "several for a split dump."
)
_RESCUE = click.option(
    "--rescue",
    is_flag=True,
    help="Where the list is damaged, search the dump for what it lost, and use what is found.",
)
_EFFORT = click.option(
    "--effort",
    metavar="N",
    type=click.IntRange(1, 1024),
    default=1,
    help="How far --rescue looks, as a multiple of what is usual; rescue_limited says if it ended.",
)
_VMCOREINFO = click.option(
    "--vmcoreinfo", metavar="FILE", help="Take VMCOREINFO from this text file."
)
_VMLINUX = (
    "Take symbols and types that the dump lacks from this vmlinux: its symbol table, and its BTF "
    "or debug information; auto: the one with the dump's build ID that is on this machine."
)
_FOUND = "auto"
_ASSUME = click.option(
    "--assume",
    metavar="NAME=VALUE",
    multiple=True,
    help="Set a fact that the dump does not tell, or tells wrong: memory_byte_order, mmu, "
    "layout, page_table; or kernel=2: the second of the kernels found in memory. May be given "
    "several times; a wrong value lists the right ones.",
)
storage_option = click.option(
    "--storage",
    metavar="NAME=VALUE",
    multiple=True,
    help="An option for URLs, such as region=..., endpoint=..., skip_signature=true, timeout=90s; "
    "obstore has the names. May be given several times; secrets are better put in the environment.",
)
_STATS = click.option(
    "--stats", is_flag=True, help="Say on stderr how many requests a URL took, and how many bytes."
)
debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")


def reads_dump(
    *,
    rescue: bool = False,
    vmlinux_help: str = _VMLINUX,
    arguments: str = "DUMP...",
    meaning: str = _DUMPS,
    split: Split | None = None,
    parts_dumps: bool = False,
) -> Callable[[Command], Command]:
    """Give a command the dump and the options to open it, as an `Opening`: its first argument.

    What is wrong with the dump is told in one line, and makes the exit code 3.

    Args:
        rescue: Whether it has --rescue, and --effort with it.
        vmlinux_help: What the help says of --vmlinux.
        arguments: What the help calls the arguments.
        meaning: What it says of them.
        split: Given all arguments, tells the dumps from others, which the command then gets as its
            second argument.
        parts_dumps: The command itself parts what is given into several dumps, of which each has a
            vmlinux of its own; see `Opening.with_vmlinux`.
    """

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def command(
            words: tuple[str, ...],
            vmcoreinfo: str | None,
            vmlinux: str | None,
            assume: tuple[str, ...],
            storage: tuple[str, ...],
            stats: bool,
            debug: bool,
            rescue: bool = False,
            effort: int = 1,
            **more: Any,
        ) -> int:
            dumps, others = split(list(words)) if split else (list(words), [])
            opening = Opening(dumps, vmcoreinfo, vmlinux, assume, rescue, effort, storage, stats)
            given = [others] if split else []
            try:
                with traceback_shown(debug):
                    if not parts_dumps:
                        opening = opening.with_vmlinux()
                    return function(opening, *given, **more)
            except VmemmapError as error:
                path = error.path if isinstance(error, (DumpError, UnwritableFile)) else None
                complain(path or shown_address(dumps[0]), str(error))
                return EXIT_UNREADABLE

        taken = click.argument(
            "words",
            cls=Argument,
            metavar=arguments,
            help=meaning,
            nargs=-1,
            required=True,
            type=str,
        )
        kernel = click.option("--vmlinux", metavar="FILE", help=vmlinux_help)
        options = [_RESCUE, _EFFORT] * rescue + [_VMCOREINFO, kernel, _ASSUME]
        options += [storage_option, _STATS, debug_option]
        for option in reversed([taken, *options]):
            command = option(command)
        return command

    return decorate


def _found_vmlinux(opening: Opening) -> str:
    """Look for the vmlinux of a dump, and say which one it is.

    Raises:
        click.BadParameter: The dump is a pipe, which is read but once.
        FactError: There is none here, or the dump has no build ID.
        DumpError: As for `vmemmap.open`.
    """
    import os

    from vmemmap.facts.find_vmlinux import find_vmlinux
    from vmemmap.vmcore import open_vmcore

    if "-" in opening.dumps:
        raise click.BadParameter(
            f"--vmlinux {_FOUND} reads the dump twice, and a pipe is read once"
        )
    with open_vmcore(
        *opening.dumps,
        vmcoreinfo=opening.vmcoreinfo,
        assume=split_assumptions(opening.assume),
        storage=split_storage(opening.storage),
    ) as core:
        if "build_id" in core.system.missing:
            raise core.system.missing["build_id"]
        build_id = str(core.system["build_id"].value)
        found = find_vmlinux(build_id, core.kernel.release.value, os.environ)
    tell(f"vmemmap: using {found}, which has the build ID of this dump's kernel")
    return str(found)


def format_option(
    *more: str, help_text: str = "Text for people, JSON or CSV for programs.", short: bool = True
) -> Callable[[Command], Command]:
    """Give a command --format, whose value it gets as *form*, and --schema, which needs no dump.

    Args:
        more: The forms that it has besides text, JSON and CSV.
        help_text: What the help says of them.
        short: Whether --format is also -f.
    """

    def decorate(function: Command) -> Command:
        form = click.option(
            "--format",
            *(["-f"] if short else []),
            "form",
            type=click.Choice(["text", "json", "csv", *more]),
            default="text",
            show_default=True,
            help=help_text,
        )
        schema = click.option(
            "--schema",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_schema,
            help="Print the JSON Schema of what --format json prints, and end.",
        )
        return form(schema(function))

    return decorate


def _print_schema(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.resources import files

        schema = files("vmemmap.report.schemas") / f"{context.command.name}.json"
        write([schema.read_text(encoding="utf-8")])
        context.exit()


@contextmanager
def traceback_shown(asked: bool) -> Iterator[None]:
    """Show the traceback of an error if asked for; wrong usage and a closed pipe have none."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception:
        if asked:
            traceback.print_exc()
        raise


def split_assumptions(given: Sequence[str]) -> dict[str, str]:
    """Take the values of ``--assume`` apart, and check them.

    Raises:
        click.BadParameter: One is no NAME=VALUE, or none that can be made.
    """
    from vmemmap.facts.assumptions import check_assumptions
    from vmemmap.translate.assumable import ASSUMABLE

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(
                f"--assume {text!r}: expected NAME=VALUE, as in layout={ASSUMABLE['layout'][0]}"
            )
        found[name] = value
    try:
        check_assumptions(found, ASSUMABLE)
    except ValueError as error:
        raise click.BadParameter(f"--assume: {error}") from None
    return found


def split_storage(given: Sequence[str]) -> dict[str, str]:
    """Take the values of ``--storage`` apart.

    Raises:
        click.BadParameter: One is no NAME=VALUE; it is not repeated, since it may be secret.
    """
    if not all("=" in text for text in given):
        raise click.BadParameter("--storage: expected NAME=VALUE, as in region=eu-west-1")
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def refuse_to_replace(
    output: str,
    *inputs: str | None,
    any_dump: bool = False,
    of_ours: Callable[[Vmcore], bool] | None = None,
) -> None:
    """Check that an output file has a name, and is no pipe, no file that is read, and no dump.

    Args:
        output: The file that is to be written.
        inputs: What is read; None for none.
        any_dump: It may replace another dump, which cannot be had again.
        of_ours: Tells of a dump that the same command makes another like it.

    Raises:
        click.BadParameter: It is, under whatever name.
    """
    if not output:
        raise click.BadParameter("the output has no name")
    if output == "-":
        raise click.BadParameter("the output is a file, which no pipe can be: name one")
    for name in inputs:
        with suppress(OSError):
            if name is not None and Path(name).samefile(output):
                raise click.BadParameter(f"{output} would replace what is read: name another file")
    if not any_dump:
        _spare_dump(output, of_ours)


def check_stdout(what: str) -> None:
    """Check that stdout takes bytes: a terminal would take some for commands.

    Raises:
        click.UsageError: It is a terminal, or was closed by whoever started us.
    """
    if getattr(sys.stdout, "name", None) == os.devnull:  # see `main.run`
        raise click.UsageError(f"stdout is closed, and {what} would go there")
    if sys.stdout.isatty():
        raise click.UsageError(f"{what} is nothing for a terminal: redirect it, or give -o FILE")


def _spare_dump(output: str, of_ours: Callable[[Vmcore], bool] | None) -> None:
    from vmemmap.source.detect import begins_like_a_dump

    if not Path(output).is_file() or not begins_like_a_dump(output):
        return
    if of_ours is not None:
        import vmemmap

        with suppress(VmemmapError), vmemmap.open(output) as core:
            if of_ours(core):
                return
    raise click.BadParameter(
        f"{output} is a dump, which would be lost: name another file, or remove it first"
    )


def require_pyarrow() -> None:
    """Say what to install where pyarrow is missing, before long work.

    Raises:
        click.BadParameter: It is missing.
    """
    from vmemmap.errors import OutputError
    from vmemmap.report.as_arrow import require_pyarrow

    try:
        require_pyarrow()
    except OutputError as error:
        raise click.BadParameter(str(error)) from None
