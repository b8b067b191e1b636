"""``vmemmap extract``: a small dump that can be shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vmemmap.cli.options import Opening, format_option, reads_dump, refuse_to_replace
from vmemmap.cli.output import EXIT_FINDINGS, complain, emit, write
from vmemmap.report import extract as report

if TYPE_CHECKING:
    from vmemmap.source.base import PhysicalSource


def _print_classes(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        write(report.class_lines())
        context.exit()


@click.command("extract")
@click.option(
    "--out", "-o", metavar="FILE", help="Write the extract here, and its manifest beside it."
)
@click.option(
    "--verify", is_flag=True, help="DUMP is an extract: compare it with its manifest, all of it."
)
@click.option("--explain", metavar="PHYS", help="DUMP is an extract: say why a byte is in it.")
@click.option(
    "--list-classes",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_classes,
    help="Print what an extract shows and what each of it reveals, and end.",
)
@click.option(
    "--num-threads",
    metavar="N",
    type=click.IntRange(1, 256),
    default=1,
    help="How many threads compress.",
)
@format_option()
@reads_dump(rescue=True)
def command(
    dump: Opening, form: str, out: str | None, verify: bool, explain: str | None, num_threads: int
) -> int:
    """Write a small dump that can be shared: what is known of memory, nothing of what is in it.

    An allow-list: every byte is of a class (see --list-classes), and all others are zero or absent.
    The extract answers info, list, vtop, check, usage, page and pages as DUMP does. What it cannot
    answer is told.
    """
    if (out is not None) + (explain is not None) + verify != 1:
        raise click.UsageError("give one of -o FILE, --verify and --explain PHYS")
    if out is not None:
        refuse_to_replace(out, *dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    with dump.open() as core:
        if out is not None:
            made = report.record(out, core.extract(out, threads=num_threads))
            emit(
                form,
                made,
                text=report.lines(made),
                columns=report.COLUMNS,
                rows=report.rows(made),
            )
            return 0
        return _looked_at(core.source, explain)


def _looked_at(source: PhysicalSource, explain: str | None) -> int:
    """Compare an extract with its manifest, or say why one byte is in it."""
    from vmemmap.extract.manifest import read_manifest, verify

    manifest = read_manifest(source.path)
    if explain is not None:
        try:
            phys = int(explain, 16)
        except ValueError:
            raise click.BadParameter(f"{explain!r} is no physical address in hex") from None
        write(report.explained(manifest, phys))
        return 0
    found = verify(source, manifest)
    for line in found:
        complain(source.path, f"error: {line}")
    if not found:
        write([f"{source.path}: every byte is as its manifest says, and of a known class\n"])
    return EXIT_FINDINGS if found else 0
