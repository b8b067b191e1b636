"""vmemmap for drgn: kernel memory that drgn cannot translate on ppc64, read through our library.

drgn finds this package by the entry point ``drgn.plugins`` and calls `drgn_prog_set` for every
program. Nothing else of vmemmap imports drgn, and drgn itself is not changed.

Source: drgn _drgn_util/plugins.py, docs/advanced_usage.rst (plugins).
"""

from __future__ import annotations

import drgn

from vmemmap.drgn_plugin.attaching import attach
from vmemmap.drgn_plugin.attachment import Attachment
from vmemmap.drgn_plugin.program import load_debug_info, open_program
from vmemmap.drgn_plugin.segments import logger

__all__ = ["Attachment", "attach", "drgn_prog_set", "load_debug_info", "open_program"]


def drgn_prog_set(prog: drgn.Program) -> None:
    """Do what `attach` does, as drgn's hook: whatever goes wrong is one line in the log."""
    try:
        attach(prog)
    except Exception as error:
        logger.warning("kernel memory beyond the linear map stays unreadable: %s", _one_line(error))


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
