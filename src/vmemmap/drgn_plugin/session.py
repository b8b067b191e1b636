"""What the ``drgn`` command does with a program: its shell, a script, or a line of code.

Each runs as it does under drgn itself, so that scripts need not know the difference.

Source: drgn drgn/cli.py.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import drgn
from drgn.cli import default_globals, run_interactive, version_header

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore


_CORE = "core: what vmemmap knows of this dump (core.backing, core.usage(), core.check(), ...)"


def run_shell(prog: drgn.Program, core: Vmcore) -> None:
    """Start drgn's shell, with ``core`` beside ``prog``, and wait for its end."""
    run_interactive(
        prog,
        banner_func=lambda banner: f"{version_header()}\n{banner}\n{_CORE}",
        globals_func=lambda names: {**names, "core": core},
    )


def run_script(prog: drgn.Program, core: Vmcore, script: str, arguments: Sequence[str]) -> None:
    """Run a script with ``prog`` and ``core`` as globals, and *arguments* in ``sys.argv``.

    Raises:
        BaseException: Whatever the script raises.
    """
    drgn.set_default_prog(prog)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    runpy.run_path(script, init_globals={"prog": prog, "core": core}, run_name="__main__")


def run_code(
    prog: drgn.Program, core: Vmcore, code: str, name: str, arguments: Sequence[str]
) -> None:
    """Run *code* with the names that drgn's shell has, and ``core``.

    Args:
        prog: The program.
        core: The dump, as the library has it.
        code: Python source.
        name: What to call it in tracebacks.
        arguments: For ``sys.argv``.

    Raises:
        BaseException: Whatever the code raises.
    """
    drgn.set_default_prog(prog)
    sys.argv = list(arguments)
    sys.path.insert(0, "")
    exec(compile(code, name, "exec"), {**default_globals(prog), "core": core})
