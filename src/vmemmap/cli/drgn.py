"""``vmemmap drgn``: any dump that we can read, in drgn's shell or under a script."""

from __future__ import annotations

import importlib.util
import logging
import os
import shlex
import sys
import traceback
from typing import TYPE_CHECKING

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, reads_dump
from vmemmap.cli.output import EXIT_USAGE, complain, show_findings, tell
from vmemmap.source.urls import scheme_of, shown

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

EXIT_FAILED = 1
"""The script raised, as Python itself would say it."""


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Tell dumps from the script: the first is a dump, and so is what begins like a kdump file.

    Only split kdump files have several members.
    """
    from vmemmap.formats import flattened, kdump

    end = 1
    while end < len(arguments):
        if scheme_of(arguments[end]):  # no script is read from there
            end += 1
            continue
        try:
            with open(arguments[end], "rb") as file:
                start = file.read(len(flattened.SIGNATURE))
        except OSError:
            break
        if not start.startswith((kdump.SIGNATURE, flattened.SIGNATURE)):
            break
        end += 1
    return arguments[:end], arguments[end:]


@click.command("drgn", cls=Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "--symbols",
    "-s",
    metavar="FILE",
    multiple=True,
    help="More debugging symbols, for instance of modules; may be given several times.",
)
@click.option("-e", "code", metavar="CODE", help="Run this instead of a script or the shell.")
@reads_dump(
    vmlinux_help="The kernel with its debugging symbols.",
    arguments="DUMP... [SCRIPT [ARG...]]",
    meaning="The vmcore (all members of a split dump), then a drgn script and its arguments.",
    split=split_arguments,
)
def command(
    dump: Opening,
    script: list[str],
    symbols: tuple[str, ...],
    code: str | None,
) -> int:
    """Open a dump in drgn, whatever kind it is, and start drgn's shell or run a script.

    drgn reads through vmemmap, so that the hash MMU, dumps of QEMU without VMCOREINFO, split and
    flattened ones work too. Memory that is not in the dump is a FaultError, never zeros. Beside
    prog there is core, the same dump as vmemmap.open() gives it.

    Exit codes: those of the script; 1 if it fails, 2 usage, 3 the dump cannot be read.
    """
    if importlib.util.find_spec("drgn") is None:
        tell("vmemmap: drgn is not installed: pip install 'vmemmap[drgn]'")
        return EXIT_USAGE
    files = [*([dump.vmlinux] if dump.vmlinux else []), *symbols]
    for name in files + script[: code is None]:
        if not os.path.isfile(name):  # noqa: PTH113 (no reason to import pathlib)
            hint = ""
            if name.startswith("-"):
                right = _options_first(script, [shown(name) for name in dump.dumps])
                hint = f": options come before the dump, as in {right}"
            raise click.BadParameter(f"there is no file {name}{hint}")
    logging.basicConfig(format="%(levelname)s: %(name)s: %(message)s")
    with dump.open() as core:
        return _run(core, files, script, code)


def _options_first(script: list[str], dumps: list[str]) -> str:
    """Give the command line with the options that stand behind the dump before it."""
    valued: set[str] = set()
    for option in click.get_current_context().command.params:
        valued.update([] if getattr(option, "is_flag", True) else option.opts)
    options, rest = ["vmemmap", "drgn"], list(script)
    while rest and rest[0].startswith("-"):
        options.append(rest.pop(0))
        if options[-1] in valued and rest:
            options.append(rest.pop(0))
    return shlex.join([*options, *dumps, *rest])


def _run(core: Vmcore, files: list[str], script: list[str], code: str | None) -> int:
    from vmemmap import drgn_plugin
    from vmemmap.drgn_plugin import session

    prog = drgn_plugin.open_program(core)
    show_findings(core.source.path, core.findings)
    missing = drgn_plugin.load_debug_info(prog, files)
    if missing is not None:
        how = "" if files else " (--vmlinux FILE; it comes with the kernel's debug package)"
        complain(core.source.path, f"warning: {missing}{how}")
    try:
        if code is not None:
            session.run_code(prog, core, code, "<string>", ["-e", *script])
        elif script:
            session.run_script(prog, core, script[0], script[1:])
        elif sys.stdin.isatty():
            session.run_shell(prog, core)
        else:
            session.run_code(prog, core, sys.stdin.read(), "<stdin>", [""])
    except BrokenPipeError:
        raise
    except Exception:
        # The script's own; told as Python tells it, not as an error of the dump.
        traceback.print_exc()
        return EXIT_FAILED
    return 0
