"""Completion in the shell, as click does it: ``_VMEMMAP_COMPLETE=bash_source vmemmap`` prints how.

Files are completed where files are expected, and the codes that ``explain`` knows.
"""

from __future__ import annotations

from copy import copy

import click
from click.shell_completion import shell_complete

VARIABLE = "_VMEMMAP_COMPLETE"
"""The shell's function sets it to ``bash_complete``; whoever installs that, to ``bash_source``."""
_FILES = ("FILE", "OUT", "DIR")


class _Completing(click.Group):
    """The commands, their parameters told apart as far as completion needs it."""

    def __init__(self, commands: click.Group) -> None:
        super().__init__(commands.name, params=commands.params)
        self._commands = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._commands.list_commands(ctx)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        known = self._commands.get_command(ctx, name)
        if known is None:
            return None
        command = copy(known)  # the command itself stays as it is
        command.params = [copy(param) for param in known.params]
        for param in command.params:
            if name == "explain" and isinstance(param, click.Argument):
                from vmemmap.explanations import explanations

                param.type = click.Choice(list(explanations()))
            elif param.type is click.STRING and (
                isinstance(param, click.Argument) or param.metavar in _FILES
            ):
                param.type = click.Path()
        return command


def complete(commands: click.Group, asked: str) -> int:
    """Answer the shell.

    Args:
        commands: What the program has.
        asked: The variable's value: ``bash_source``, ``zsh_complete``, and so on.

    Returns:
        The exit code; 1 where nobody knows what was asked.
    """
    return shell_complete(_Completing(commands), {}, "vmemmap", VARIABLE, asked)
