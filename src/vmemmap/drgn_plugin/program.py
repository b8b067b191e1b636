"""A dump as a drgn program with our reader underneath, for what drgn cannot open itself.

drgn is given a core that has only notes (``notes_core``), and memory as segments. Its
set_linux_kernel_custom() takes VMCOREINFO as well, but no registers: tasks that were running when
QEMU made a dump would have no stack.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import drgn

from vmemmap.address import U64_MAX
from vmemmap.drgn_plugin.attaching import LIBKDUMPFILE_FOR_ELF, add_virtual, gaps_between
from vmemmap.drgn_plugin.attachment import NOTHING, keep_with
from vmemmap.drgn_plugin.notes_core import open_notes_core
from vmemmap.drgn_plugin.segments import physical_reader
from vmemmap.errors import UnsupportedDump
from vmemmap.vmcore import Vmcore


def open_program(core: Vmcore) -> drgn.Program:
    """Make a program of an opened dump, whatever kind of dump it is.

    Args:
        core: The dump. It has to stay open for as long as the program is used.

    Returns:
        A program that knows the kernel but has no debugging information yet. Memory that is not in
        the dump is a FaultError; nothing is filled in.

    Raises:
        FactError: The dump does not say what is needed: its kernel's VMCOREINFO, layout or MMU.
        UnsupportedDump: drgn does not accept the kernel's VMCOREINFO.
    """
    regions = core.layout.regions
    prog = drgn.Program()
    keep_with(prog, NOTHING)  # so that the hook leaves it alone: we add to it ourselves
    notes = open_notes_core(core)
    try:
        with _no_libkdumpfile():
            prog.set_core_dump(notes)  # which takes the file over
    except Exception as error:  # of several kinds, some of them drgn's own
        raise UnsupportedDump(
            f"drgn does not accept the kernel's VMCOREINFO: {error}", path=core.source.path
        ) from error
    prog.add_memory_segment(0, U64_MAX, physical_reader(core), True)
    # Elsewhere drgn would look into page tables, which it can of the radix MMU alone and with
    # debugging information alone, and tell something else than a FaultError.
    add_virtual(prog, core, regions, gaps_between((r.start, r.end) for r in regions))
    return prog


@contextmanager
def _no_libkdumpfile() -> Iterator[None]:
    """Let drgn read an ELF file itself, whatever the user wants for others."""
    value = os.environ.pop(LIBKDUMPFILE_FOR_ELF, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[LIBKDUMPFILE_FOR_ELF] = value


def load_debug_info(prog: drgn.Program, files: Sequence[str]) -> str | None:
    """Load debugging information for the kernel and its modules.

    Args:
        prog: The program.
        files: Files to try first: vmlinux, modules. Then drgn looks where it always does.

    Returns:
        Why there is none for the kernel itself, in one line, or None if there is. What else is
        missing drgn has said in its log.
    """
    with suppress(drgn.MissingDebugInfoError):
        prog.load_debug_info(list(files), default=True)
    main = prog.main_module()
    if main.build_id is None:
        # Before 5.9 VMCOREINFO has no build ID to compare: the user's word counts.
        for file in files:
            if main.wants_debug_file():
                main.try_file(file, force=True)
    if not main.wants_debug_file():
        return None
    wanted = f"with the build ID {main.build_id.hex()}" if main.build_id else "of this kernel"
    if not files:
        return f"there are no debugging symbols: name the vmlinux {wanted} that has them"
    return f"no debugging symbols: none of {', '.join(files)} is a vmlinux {wanted} that has them"
