"""``vmemmap extract``: a small dump that can be shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import Opening, format_option, reads_dump, refuse_to_replace
from vmemmap.cli.output import EXIT_FINDINGS, complain, emit_record, write
from vmemmap.errors import UnreadableFile
from vmemmap.extract.classes import OPTIONAL
from vmemmap.extract.manifest import manifest_path
from vmemmap.report import extract as report


def _print_classes(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        write(report.class_lines())
        context.exit()


@click.command("extract", cls=Command)
@click.option(
    "--out",
    "-o",
    metavar="FILE",
    help="Write the extract here, over one that is there, and its manifest beside it.",
)
@click.option(
    "--with",
    "classes",
    metavar="CLASS",
    multiple=True,
    type=click.Choice([shown.value for shown in OPTIONAL]),
    help="Put this into it, too: dmesg, the kernel's log, scrubbed; symbols; types; crash, what "
    "crash needs to begin a session. May be given several times.",
)
@click.option(
    "--hide-addresses",
    is_flag=True,
    help="Leave out the addresses that no answer needs; see docs/extract.md for what stays.",
)
@click.option("--elf", "-E", is_flag=True, help="Write ELF, which is not compressed.")
@click.option(
    "--verify", is_flag=True, help="DUMP is an extract: compare it with its manifest, all of it."
)
@click.option(
    "--explain",
    metavar="PHYS",
    help="DUMP is an extract: say why a byte is in it, given by its physical address, or as "
    "offset:0x1000 by where it is in the file.",
)
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
    dump: Opening,
    form: str,
    out: str | None,
    classes: tuple[str, ...],
    hide_addresses: bool,
    elf: bool,
    verify: bool,
    explain: str | None,
    num_threads: int,
) -> int:
    """Write a small dump that can be shared: what is known of memory, nothing of what is in it.

    An allow-list: every byte is of a class (see --list-classes), and all others are zero or absent.
    The extract answers info, list, vtop, check, usage, page and pages as DUMP does. What it cannot
    answer is told.
    """
    if (out is not None) + (explain is not None) + verify != 1:
        raise click.UsageError("give one of -o FILE, --verify and --explain PHYS")
    if out is None:
        if classes or hide_addresses or elf:
            raise click.UsageError("--with, --hide-addresses and --elf need -o FILE")
        if form != "text":
            raise click.UsageError("--verify and --explain answer in text: --format needs -o FILE")
        return _verify(dump.dumps) if verify else _explain(dump, explain or "")
    inputs = (*dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    refuse_to_replace(out, *inputs, of_ours=lambda there: there.extract_note is not None)
    refuse_to_replace(str(manifest_path(out)), *inputs, any_dump=True)
    if hide_addresses and {"symbols", "types", "crash"} & {*classes}:
        raise click.UsageError(
            "--with symbols, types and crash put addresses in, which --hide-addresses cannot hide"
        )
    with dump.open() as core:
        found = core.extract(
            out,
            classes=classes,
            hide_addresses=hide_addresses,
            form="elf" if elf else "kdump",
            threads=num_threads,
        )
        made = report.record(out, found)
        emit_record(form, report, made)
        return 0


def _verify(paths: Sequence[str]) -> int:
    """Compare extracts with their manifests, with a program that knows nothing of this package."""
    from vmemmap.extract.checker import check

    code = 0
    for path in paths:
        with _told(path):
            found = check(path)
        for line in found:
            complain(path, f"error: {line}")
        if found:
            code = EXIT_FINDINGS
        else:
            write([f"{path}: every byte is as its manifest says, and of a known class\n"])
    return code


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Tell in this package's errors what the checker, which has none of it, raises."""
    from vmemmap.extract.checker import Unusable

    try:
        yield
    except Unusable as error:
        raise UnreadableFile(f"cannot be compared: {error}", path=path) from None
    except OSError as error:
        where = str(error.filename or path)
        raise UnreadableFile(f"cannot be read: {error.strerror}", path=where) from error


def _explain(dump: Opening, where: str) -> int:
    """Say why a byte is in an extract."""
    from vmemmap.extract.checker import place_of
    from vmemmap.extract.manifest import read_manifest

    by_offset = where.startswith("offset:")
    try:
        at = int(where.removeprefix("offset:"), 16)
    except ValueError:
        at = -1
    if at < 0:
        raise click.BadParameter(f"{where!r} is no physical address in hex, and no offset:0x1000")
    path = dump.dumps[0]
    manifest = read_manifest(path)
    if by_offset:
        with _told(path):
            write(report.explained_offset(manifest, at, place_of(path, dict(manifest), at)))
    else:
        write(report.explained(manifest, at))
    return 0
