"""What a command of ours has beyond Click's: arguments with a meaning, and examples at the end.

Click knows the help of arguments since 8.5 only, and distributions have 8.1.
"""

from __future__ import annotations

from typing import Any

import click


class Argument(click.Argument):
    """An argument that the help explains.

    Args:
        declarations: Its name in Python.
        help: What it means.
        metavar: What the help calls it.
        more: What else Click takes.
    """

    def __init__(
        self,
        declarations: list[str],
        *,
        help: str,  # noqa: A002 (as of an option)
        metavar: str,
        **more: Any,
    ) -> None:
        super().__init__(declarations, metavar=metavar, **more)
        self.help = help
        self.metavar: str = metavar


class Command(click.Command):
    """A command whose help has its arguments, and ends with its examples."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as Click does; an error names the command that it is of, whatever it is."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Leave them to `format_options`, which every Click calls."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, and then the options."""
        params = self.get_params(ctx)
        arguments = [
            (each.metavar, each.help or "") for each in params if isinstance(each, Argument)
        ]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl(arguments)
        options = [each for each in params if isinstance(each, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([row for each in options if (row := each.get_help_record(ctx))])

    @property
    def epilog(self) -> str | None:
        """The examples, for Click; they are loaded when somebody asks for the help."""
        from vmemmap.cli.examples import help_of

        return help_of(self.name or "")

    @epilog.setter
    def epilog(self, _given: str | None) -> None:
        """Take none from Click, which sets it for every command."""
