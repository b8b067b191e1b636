"""``vmemmap filter``: a dump without the pages that are not wanted."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from click.core import ParameterSource

from vmemmap.cli.command import Command
from vmemmap.cli.options import (
    Opening,
    check_stdout,
    format_option,
    reads_dump,
    refuse_to_replace,
    require_pyarrow,
)
from vmemmap.cli.output import EXIT_FINDINGS, complain, emit, tell
from vmemmap.cli.progress import progress_here
from vmemmap.report import filter as report
from vmemmap.report.page_runs import is_parquet
from vmemmap.source.urls import shown

if TYPE_CHECKING:
    from vmemmap.vmcore import Vmcore

_CODECS = ("zstd", "zlib", "lzo", "snappy", "none")
_LETTERS = {"c": "zlib", "l": "lzo", "p": "snappy", "z": "zstd"}


def _codec_flags(function: Any) -> Any:
    """Give a command makedumpfile's letters for codecs, each a flag with the codec's name."""
    for letter, codec in reversed(_LETTERS.items()):
        function = click.option(
            f"-{letter}", codec, is_flag=True, help=f"Short for --codec {codec}."
        )(function)
    return function


@click.command("filter", cls=Command)
@click.option(
    "--out",
    "-o",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="Write the dump here; - is the standard output, in flattened form. With --split once for "
    "each member.",
)
@click.option(
    "--level",
    "-d",
    "levels",
    metavar="N,...",
    default="31",
    show_default=True,
    help="What goes, as a sum: 1 zeros, 2 page cache, 4 that with private data, 8 memory of "
    "processes, 16 free. Of several levels the first whose output fits.",
)
@click.option(
    "--codec", type=click.Choice(_CODECS), help="How pages are compressed.  [default: zstd]"
)
@_codec_flags
@click.option("--elf", "-E", is_flag=True, help="Write ELF, in which nothing is compressed.")
@click.option(
    "--flattened", "-F", is_flag=True, help="Write the flattened form, to stdout without -o."
)
@click.option("--force", "-f", is_flag=True, help="Replace files that are there.")
@click.option("--split", is_flag=True, help="Split the dump into as many members as there are -o.")
@click.option(
    "--member", metavar="I/N", help="Write only member I (from 1) of a dump split into N."
)
@click.option(
    "--reassemble", is_flag=True, help="Join the members of a split dump, all named, into one."
)
@click.option(
    "--drop-struct-pages",
    is_flag=True,
    help="Leave out struct pages, too, if all pages that they describe are left out.",
)
@click.option("--max-size", metavar="SIZE", help="How large the output may be, such as 2G.")
@click.option(
    "--num-threads",
    metavar="N",
    type=click.IntRange(1, 256),
    help="How many threads compress.  [default: one for each processor]",
)
@click.option("--verify", is_flag=True, help="Read the output back, and compare every page.")
@click.option(
    "--manifest",
    metavar="FILE",
    help="Write what was kept and what went, by runs: Parquet if it ends so, else JSON lines.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write no dump, but --manifest if given; say how large the dump would be.",
)
@click.option("--show-stats", is_flag=True, help="Say what became of the pages, by class.")
@format_option(short=False)
@reads_dump(rescue=True)
def command(
    dump: Opening,
    outputs: tuple[str, ...],
    levels: str,
    codec: str | None,
    elf: bool,
    flattened: bool,
    force: bool,
    split: bool,
    member: str | None,
    reassemble: bool,
    drop_struct_pages: bool,
    max_size: str | None,
    num_threads: int | None,
    verify: bool,
    manifest: str | None,
    dry_run: bool,
    show_stats: bool,
    form: str,
    **letters: bool,
) -> int:
    """Write a smaller dump: without free pages, page cache, memory of processes, zeros.

    The levels are makedumpfile's; 0 converts a dump. What cannot be classified is kept and told
    (exit code 1), and so are pages that cannot be read.
    """
    codecs = {name for name, asked in letters.items() if asked} | ({codec} if codec else set())
    if len(codecs) > 1 or (elf and codecs):
        raise click.UsageError("give one codec; --elf has none")
    codec = next(iter(codecs), None)
    if flattened and not outputs:
        outputs = ("-",)
    if not outputs and not dry_run:
        raise click.UsageError("give -o FILE for the output, or --dry-run" + _meant(dump.dumps))
    if (len(outputs) > 1 and not split) or (split and len(outputs) < 2):
        raise click.UsageError("--split goes with two -o or more, one for each member")
    if manifest and drop_struct_pages:
        raise click.UsageError("the manifest is without what --drop-struct-pages does: give one")
    if manifest and is_parquet(manifest):
        require_pyarrow()
    written = (*outputs, *([] if manifest is None else [manifest]))
    _check_names(written)
    for name in written:
        _check_output(name, force, dump)
    given = click.get_current_context().get_parameter_source("levels")
    if reassemble and given is not ParameterSource.DEFAULT:
        raise click.UsageError("--reassemble keeps all that there is; without it -d joins, too")
    arguments: dict[str, Any] = {
        "level": None if reassemble else _levels(levels),
        "codec": codec or (None if reassemble else "zstd"),
        "form": "elf" if elf else "kdump",
        "flattened": flattened,
        "member": _member(member, outputs),
        "max_bytes": _size(max_size),
        "threads": num_threads,
        "drop_struct_pages": drop_struct_pages,
        "verify": verify,
    }
    with dump.open(progress_here(rates=True)) as core, _manifest(manifest) as runs:
        try:
            made = (
                _estimated(core, dump.dumps, arguments)
                if dry_run
                else _filtered(core, outputs, arguments)
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        if manifest and runs:
            report.write_manifest(runs, core.kept(made["level"]), parquet=is_parquet(manifest))
        text = list(report.lines(made, stats=show_stats))
        if "-" in outputs:
            for line in "".join(text).splitlines():
                tell(line)
        else:
            emit(form, made, text=text, columns=report.COLUMNS, rows=report.rows(made))
        for note in report.notes(made):
            complain(core.source.path, f"warning: {note}")
        bad = made["warnings"] or made["unclassified"] or made["lost"] or made["partial"]
        return EXIT_FINDINGS if bad else 0


def _filtered(
    core: Vmcore, outputs: tuple[str, ...], arguments: dict[str, Any]
) -> report.FilterRecord:
    if outputs == ("-",):
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as stream:
            return report.record(core.filter(stream, **arguments | {"flattened": False}))
    return report.record(core.filter(list(outputs), **arguments))


def _estimated(
    core: Vmcore, dumps: Sequence[str], arguments: dict[str, Any]
) -> report.FilterRecord:
    """Give what would be written at the first level that fits, or at the last."""
    if arguments["level"] is None:
        raise click.UsageError("--dry-run does not go with --reassemble")
    limit = arguments["max_bytes"]
    if limit is not None and arguments["form"] == "elf":
        raise click.UsageError("--max-size counts the holes of an ELF file, --dry-run does not")
    found = None
    for level in arguments["level"]:
        found = core.filter_estimate(
            level,
            arguments["codec"],
            form=arguments["form"],
            drop_struct_pages=arguments["drop_struct_pages"],
        )
        if limit is None or found.size_bytes <= limit:
            break
    assert found is not None
    return report.estimate_record(found, _on_disk(dumps))


def _on_disk(names: Sequence[str]) -> int | None:
    """Give what files take on disk; None if one of them is no file."""
    size = 0
    for name in names:
        try:
            status = Path(name).stat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        size += status.st_blocks * 512
    return size


def _meant(dumps: Sequence[str]) -> str:
    """Show how to name an output that stands where makedumpfile has it, behind the dumps."""
    *first, last = dumps
    if not first or "://" in last or os.path.exists(last):  # noqa: PTH110 (any text)
        return ""
    return f", as in {shlex.join(['vmemmap', 'filter', *map(shown, first), '-o', last])}"


def _check_output(name: str, force: bool, dump: Opening) -> None:
    """Check that an output is no input, and not there yet unless it may be replaced."""
    if name == "-":
        check_stdout("a dump")
        return
    refuse_to_replace(name, *dump.dumps, dump.vmcoreinfo, dump.vmlinux, any_dump=True)
    if Path(name).exists() and not force:
        raise click.BadParameter(f"{name} is there already: give --force to replace it")


def _levels(text: str) -> list[int]:
    try:
        return [int(level) for level in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"--level {text!r}: expected numbers from 0 to 31, with commas between"
        ) from None


def _check_names(names: Sequence[str]) -> None:
    from vmemmap.filter.wanted import check_names

    try:
        check_names(names)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _member(text: str | None, outputs: Sequence[str]) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not slash or not number.isdecimal() or not count.isdecimal():
        raise click.BadParameter(f"--member {text!r}: expected I/N, as in 2/4")
    if not 1 <= int(number) <= int(count):
        raise click.BadParameter(f"--member {text}: expected a member from 1 to {int(count)}")
    if len(outputs) > 1:
        raise click.UsageError("--member writes one file: give one -o, and no --split")
    return int(number) - 1, int(count)


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    from vmemmap.simulate.spec.toml import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise click.BadParameter(f"--max-size: {error}") from None


def _manifest(path: str | None) -> AbstractContextManager[BinaryIO | None]:
    """Open the manifest, before the work, so that its name is known to do."""
    from vmemmap.write.new_file import new_file

    return new_file(path) if path else nullcontext()
