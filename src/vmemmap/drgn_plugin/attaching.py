"""Which memory segments a drgn program needs from us, and adding them.

drgn translates ppc64 addresses through the radix MMU's page tables only, and of compressed dumps it
leaves translation to libkdumpfile, which knows no ppc64 kernel after 5.1. Where drgn can translate,
nothing is added: not one read goes another way than without this plugin. Where it reads memory by
itself but cannot translate (uncompressed dumps of the hash MMU), addresses that nothing backs are
added too: drgn would try to translate them, and ask for debugging information that does not help.

Source: drgn libdrgn/arch_ppc64.c, libdrgn/kdump.c; libkdumpfile src/addrxlat/ppc64.c.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import drgn

from vmemmap.address import U64_MAX, Run
from vmemmap.drgn_plugin import helpers
from vmemmap.drgn_plugin.attachment import NOTHING, Attachment, attachment_of, keep_with
from vmemmap.drgn_plugin.segments import logger, virtual_reader
from vmemmap.facts.mmu import RADIX
from vmemmap.facts.vmlinux import SymbolFile
from vmemmap.formats import flattened, kdump
from vmemmap.linear_map import linear_virt
from vmemmap.source.detect import open_source
from vmemmap.translate.regions import Method, Region
from vmemmap.vmcore import Vmcore

LIBKDUMPFILE_FOR_ELF = "DRGN_USE_LIBKDUMPFILE_FOR_ELF"


def attach(prog: drgn.Program, vmlinux: str | os.PathLike[str] | None = None) -> Attachment:
    """Let a program read the kernel memory that drgn cannot translate.

    It is for scripts that run where the plugin is not installed or disabled; doing it twice is the
    same as doing it once.

    Args:
        prog: A program whose core dump has been set.
        vmlinux: The kernel, for what its VMCOREINFO does not say (before 3.13); see
            `vmemmap.open`.

    Returns:
        What was added: nothing where drgn can do it all, for other machines and for live kernels.

    Raises:
        TypeError: *prog* is no program of drgn's.
        VmemmapError: The dump cannot be read, or does not say what the translation needs.
    """
    if not isinstance(prog, drgn.Program):
        raise TypeError(f"expected a drgn.Program, found {prog!r}")
    done = attachment_of(prog)
    if done is not None:
        return done
    path = _dump_of(prog)
    if path is None:
        return NOTHING
    text = bytes(prog["VMCOREINFO"].string_())  # what drgn goes by, be it the user's own
    symbols = SymbolFile(vmlinux) if vmlinux is not None else None
    core = Vmcore(open_source(path), text, symbols)
    try:
        regions = _missing_regions(prog, core, path)
        if not regions:
            core.close()
            return NOTHING
        return add_virtual(prog, core, regions, _unbacked(core, regions, path))
    except BaseException:
        core.close()
        raise


def add_virtual(
    prog: drgn.Program, core: Vmcore, regions: tuple[Region, ...], unbacked: Iterable[Run] = ()
) -> Attachment:
    """Read *regions* of the program's address space through *core* from now on.

    Args:
        prog: The program.
        core: The dump, which has to stay open.
        regions: The regions.
        unbacked: Addresses that cannot be read, where *core* says why.

    Returns:
        What was added, which *prog* keeps.
    """
    read = virtual_reader(core)
    own = [Run(region.start, region.end) for region in regions]
    for run in (*unbacked, *own):
        prog.add_memory_segment(run.start, run.end - run.start, read, False)
    attachment = Attachment(core, regions)
    keep_with(prog, attachment)
    logger.debug("vmemmap reads %s", ", ".join(region.name for region in regions))
    if core.mmu.value != RADIX:
        helpers.install()
    return attachment


def _dump_of(prog: drgn.Program) -> str | None:
    """Give the program's dump, if it is one of a ppc64 Linux kernel."""
    flags, platform = prog.flags, prog.platform
    if not flags & drgn.ProgramFlags.IS_LINUX_KERNEL or flags & drgn.ProgramFlags.IS_LIVE:
        return None
    if platform is None or platform.arch != drgn.Architecture.PPC64:
        return None
    path: str | None = prog.core_dump_path
    return path


def _missing_regions(prog: drgn.Program, core: Vmcore, path: str) -> tuple[Region, ...]:
    """Give the regions in which drgn by itself reads nothing, or something else than is there."""
    if core.mmu.value == RADIX and not _translated_by_libkdumpfile(path):
        return ()
    regions = core.layout.regions
    if _reads_linear_map(prog, core):
        regions = tuple(region for region in regions if region.method is not Method.LINEAR)
    return regions


def _unbacked(core: Vmcore, regions: tuple[Region, ...], path: str) -> list[Run]:
    """Give the addresses that drgn would try to translate, which it cannot, and that are not ours.

    libkdumpfile has a reason of its own for each.
    """
    if _translated_by_libkdumpfile(path):
        return []
    taken = [(region.start, region.end) for region in regions]
    if all(region.method is not Method.LINEAR for region in regions):
        taken += [
            (linear_virt(start), linear_virt(end)) for start, end in core.source.ranges().tolist()
        ]
    return gaps_between(taken)


def gaps_between(taken: Iterable[tuple[int, int]]) -> list[Run]:
    """Give what ranges of addresses leave of all, in order."""
    gaps, at = [], 0
    for start, end in [*sorted(taken), (U64_MAX, U64_MAX)]:
        if at < start:
            gaps.append(Run(at, start))
        at = max(at, end)
    return gaps


def _translated_by_libkdumpfile(path: str) -> bool:
    """Tell whether drgn asks libkdumpfile for what is behind a virtual address of this dump."""
    if _is_set("DRGN_PREFER_PGTABLE_READER"):
        return False
    with open(path, "rb") as file:
        start = file.read(len(flattened.SIGNATURE))
    compressed = start.startswith((kdump.SIGNATURE, flattened.SIGNATURE))
    return compressed or _is_set(LIBKDUMPFILE_FOR_ELF)


def _is_set(variable: str) -> bool:
    """Tell whether a switch in the environment is on, as drgn reads it."""
    value = os.environ.get(variable, "")
    return value.strip().lstrip("+-0")[:1].isdigit()


def _reads_linear_map(prog: drgn.Program, core: Vmcore) -> bool:
    """Try whether drgn reads the linear map, in a place that every dump has.

    It does not in dumps without virtual addresses (QEMU's) of the hash MMU, and libkdumpfile does
    not with pages of 4 KiB.
    """
    virt = core.kernel.vmcoreinfo.symbol("swapper_pg_dir")
    try:
        return bool(prog.read(virt, 8) == core.read(virt, 8))
    except Exception:  # whatever kind it is, drgn cannot
        return False
