"""``vmemmap simulate``: a simulated machine, crashed into a vmcore whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmemmap.cli.command import Argument, Command
from vmemmap.cli.crash import CrashFiles, booted, crash, designs_of
from vmemmap.cli.options import (
    debug_option,
    format_option,
    refuse_to_replace,
    require_pyarrow,
    traceback_shown,
)
from vmemmap.cli.output import EXIT_UNREADABLE, EXIT_USAGE, complain, emit, emit_record, write
from vmemmap.cli.progress import progress_here
from vmemmap.errors import OutputError, SpecError, UnwritableFile
from vmemmap.report import designs as designs_report
from vmemmap.report import eras as eras_report
from vmemmap.report import simulate as report
from vmemmap.report import store_orders as orders_report
from vmemmap.report import trace as trace_report
from vmemmap.report.page_runs import is_parquet

if TYPE_CHECKING:
    from vmemmap.simulate import MachineSpec
    from vmemmap.vmcore import Vmcore


@click.command("simulate", cls=Command)
@click.argument(
    "spec",
    cls=Argument,
    metavar="[SPEC.toml]",
    required=False,
    help="The machine; without it, 4 GiB on one node. See --example.",
)
@click.option(
    "--out",
    "-o",
    metavar="FILE",
    help="Write the vmcore here; a simulated one that is there is replaced.",
)
@click.option(
    "--container",
    type=click.Choice(("elf", "kdump", "flattened")),
    default="elf",
    show_default=True,
    help="The form of the vmcore: as /proc/vmcore is, as makedumpfile writes it, or the stream of "
    "that.",
)
@click.option(
    "--codec",
    type=click.Choice(("zlib", "lzo", "snappy", "zstd", "none")),
    help="How pages are compressed, except in ELF.  [default: zlib]",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="Memory of a machine without SPEC.toml.  [default: 4G]",
)
@click.option(
    "--set",
    "changes",
    metavar="FIELD=VALUE",
    multiple=True,
    help="Override a field of the spec, such as kernel.page_size=4K; may be repeated.",
)
@click.option(
    "--vmlinux",
    metavar="FILE",
    help="Write the kernel's symbols here; readers of kernels before 3.13 need them.",
)
@click.option(
    "--debug-info",
    is_flag=True,
    help="Put types and variables into that vmlinux, too (DWARF): what drgn wants.",
)
@click.option(
    "--compare-designs",
    is_flag=True,
    help="Say what this machine's list costs in v1, v2 and v3 of the patch.",
)
@click.option(
    "--store-orders",
    is_flag=True,
    help="Say what a reader can meet of one more insertion on this machine under weak ordering.",
)
@click.option(
    "--trace",
    metavar="[EVENT]",
    is_flag=False,
    flag_value="boot",
    help="Tell step by step what the kernel does, with the list before and after each store: in "
    "its boot, in an event of the spec (by number), or in add:START:SIZE[:NODE] or "
    "remove:START:SIZE after all of them.",
)
@click.option(
    "--era",
    "eras",
    metavar="RELEASE",
    multiple=True,
    help="Trace this kernel; two are shown side by side.",
)
@click.option("--html", metavar="FILE", help="Write the trace here, as a page to step through.")
@click.option(
    "--explain-era",
    metavar="RELEASE",
    help="Print what the model holds for a kernel release, and how sure that is, and end.",
)
@click.option(
    "--damage",
    metavar="KIND",
    multiple=True,
    help="Break the list before the dump is written; may be repeated. See --list-damage.",
)
@click.option(
    "--paint",
    is_flag=True,
    help="Fill pages of processes, caches, slabs and free memory with words that say where they "
    "lie.",
)
@click.option(
    "--truth",
    metavar="FILE",
    help="Write here what each page of the vmcore is, and which dump levels leave it out: a line "
    "of JSON for each run of pages alike, or Parquet if it ends in .parquet.",
)
@click.option("--list-damage", is_flag=True, help="Print every kind of damage, and end.")
@click.option("--example", is_flag=True, help="Print a spec to start from, and end.")
@format_option()
@debug_option
def command(
    spec: str | None,
    out: str | None,
    container: str,
    codec: str | None,
    memory: str | None,
    changes: tuple[str, ...],
    vmlinux: str | None,
    debug_info: bool,
    compare_designs: bool,
    store_orders: bool,
    trace: str | None,
    eras: tuple[str, ...],
    html: str | None,
    explain_era: str | None,
    damage: tuple[str, ...],
    paint: bool,
    truth: str | None,
    list_damage: bool,
    example: bool,
    form: str,
    debug: bool,
) -> int:
    """Boot a simulated machine, hot-add and remove memory, crash it into a vmcore.

    The dump is as real kernels make them, for every release from 2.6.35 to 7.3, and what is printed
    is what a tool has to find in it.
    """
    if example:
        from vmemmap.simulate.spec.toml import EXAMPLE

        write([EXAMPLE])
        return 0
    if list_damage:
        kinds = report.damage_kinds()
        text = report.damage_lines(kinds)
        # As CSV there is no more to say than as text.
        emit("json" if form == "json" else "text", kinds, text=text, columns=(), rows=kinds)
        return 0
    if explain_era is None:
        no_dump = compare_designs or store_orders or trace is not None
        _check_files(spec, memory, (out, vmlinux, truth), no_dump)
    if (store_orders or trace is not None) and out is not None:
        option = "--store-orders" if store_orders else "--trace"
        raise click.BadParameter(f"{option} writes no vmcore; leave -o out")
    if trace is not None and spec is None and Path(trace).is_file():
        raise click.BadParameter(f"{trace} is taken for an event; write {trace} --trace")
    if trace is None and (eras or html):
        raise click.BadParameter("--era and --html go with --trace")
    if html is not None:
        refuse_to_replace(html, spec)
    if vmlinux is None and debug_info:
        raise click.BadParameter("--debug-info goes with --vmlinux FILE")
    if out is None and paint:
        raise click.BadParameter("--paint is for the vmcore: give -o FILE")
    if out is None and truth is not None:
        raise click.BadParameter("--truth is about the vmcore: give -o FILE")
    if truth is not None and is_parquet(truth):
        require_pyarrow()
    if out is None and container != "elf":
        raise click.BadParameter("--container is for the vmcore: give -o FILE")
    if codec is not None and container == "elf":
        raise click.BadParameter("--codec goes with --container kdump or flattened")
    try:
        with traceback_shown(debug):
            if explain_era is not None:
                _explain(explain_era, form)
                return 0
            machine = _machine(spec, memory, changes, small_blocks=bool(damage))
            if trace is not None:
                _print_traces(machine, trace, eras, html, form)
            elif store_orders:
                _print_store_orders(machine, form)
            elif out is None:
                _print_designs(machine, form)
            else:
                files = CrashFiles(*(out, container, codec or "zlib", vmlinux, debug_info, truth))
                crash(machine, files, damage, form, paint=paint, designs=compare_designs)
    except OutputError as error:
        name = error.path if isinstance(error, UnwritableFile) else spec or "simulate"
        complain(name, str(error))
        return EXIT_USAGE if isinstance(error, SpecError) else EXIT_UNREADABLE
    return 0


def _explain(release: str, form: str) -> None:
    from vmemmap.simulate.explain import explain_era

    record = eras_report.era(release, explain_era(release))
    emit(
        form,
        record,
        text=eras_report.era_lines(record),
        columns=eras_report.COLUMNS,
        rows=record["rows"],
    )


def _check_files(
    spec: str | None, memory: str | None, outputs: Sequence[str | None], no_dump: bool
) -> None:
    """Check that the files go together; the first of the outputs is the vmcore.

    Raises:
        click.BadParameter: They do not.
    """
    if outputs[0] is None and not no_dump:
        raise click.BadParameter(
            "give -o FILE for the vmcore, --trace, --compare-designs or --store-orders"
        )
    if spec is not None and memory is not None:
        raise click.BadParameter("--memory is for machines without SPEC.toml")
    written = [name for name in outputs if name is not None]
    for name in written:
        refuse_to_replace(name, spec, of_ours=_is_simulated if name == outputs[0] else None)
    if len({Path(name).absolute() for name in written}) < len(written):
        raise click.BadParameter("-o, --vmlinux and --truth: two of them name the same file")


def _is_simulated(core: Vmcore) -> bool:
    from vmemmap.simulate.memory.image import MADE_BY, TEXT_WORD

    with suppress(KeyError):
        return MADE_BY in str(core.system["version"].value)
    text = TEXT_WORD.to_bytes(8, "big")
    return core.read_phys(0, 8) in (text, text[::-1])  # damaged so that it does not say so


def _machine(
    path: str | None, memory: str | None, changes: tuple[str, ...], *, small_blocks: bool
) -> MachineSpec:
    """Read the spec, or make the small one, with the changes of the command line."""
    from dataclasses import replace

    from vmemmap.simulate.spec.toml import load_spec, parse_spec

    if path is not None:
        return load_spec(path, list(changes))
    size = (memory or "4G").replace("\\", "").replace('"', "")
    spec = parse_spec(f'[[memory]]\nstart = 0\nsize = "{size}"\n', list(changes))
    if small_blocks and spec.block_size is None:
        # More entries, so that one can be damaged among others.
        return replace(spec, block_size=min(spec.check().block_sizes(spec.boot_bytes)))
    return spec


def _print_designs(spec: MachineSpec, form: str) -> None:
    with progress_here() as progress:
        machine = booted(spec, progress)
        record = designs_of(machine, len(machine.walk()))
    emit(
        form,
        record,
        text=designs_report.design_lines(record),
        columns=designs_report.DESIGN_COLUMNS,
        rows=record["designs"],
    )


def _print_store_orders(spec: MachineSpec, form: str) -> None:
    from vmemmap.simulate.store_orders import Insertion

    with progress_here() as progress:
        machine = booted(spec, progress)
        if not machine.kernel.keeps_list:
            raise SpecError("kernel.mmu", "this kernel keeps no list on radix to insert into")
        record = orders_report.store_orders(Insertion(machine))
    emit(
        form,
        record,
        text=orders_report.store_orders_lines(record),
        columns=orders_report.COLUMNS,
        rows=[{**seen, "done": " ".join(seen["done"])} for seen in record["seen"]],
    )


def _print_traces(
    spec: MachineSpec, event: str, eras: tuple[str, ...], html: str | None, form: str
) -> None:
    from dataclasses import replace

    from vmemmap.simulate import Machine

    specs = [replace(spec, release=release) for release in eras] or [spec]
    with progress_here() as progress:
        made = []
        for number, each in enumerate(specs):
            progress("tracing", number, len(specs))
            made.append(Machine(each).trace(event))
    record = trace_report.traces(made)
    if html is not None:
        from vmemmap.report.trace_html import page
        from vmemmap.write.new_file import new_file

        with new_file(html) as file:
            file.write("".join(page(record)).encode())
    emit_record(form, trace_report, record)
