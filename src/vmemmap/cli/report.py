"""``vmemmap report``: a dump as one page that shows it, or what is different between two dumps."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmemmap.cli.command import Command
from vmemmap.cli.options import (
    Opening,
    format_option,
    reads_dump,
    refuse_to_replace,
    split_storage,
)
from vmemmap.cli.output import EXIT_FAULT, complain, emit, findings_code
from vmemmap.errors import VmemmapError
from vmemmap.report import report

if TYPE_CHECKING:
    from vmemmap.compare.comparison import Comparison
    from vmemmap.picture.report import Report

_DUMPS = (
    "The dump, or all members of a split dump; or two dumps of one machine, the earlier first, to "
    "see what is different. - for standard input; URLs as for all commands."
)


@dataclass(frozen=True, slots=True)
class _Member:
    """What the headers of a split dump's member say.

    Attributes:
        dump: What it has in common with the other members.
        begun: When it was begun; those of one dump can differ in it.
        pfns: Which pages it has: the first pfn, and the one after the last.
    """

    dump: bytes
    begun: bytes
    pfns: tuple[int, int]

    def overlaps(self, other: _Member) -> bool:
        """Tell whether both have a page, so that they are not of one dump."""
        return max(self.pfns[0], other.pfns[0]) < min(self.pfns[1], other.pfns[1])


def _two_dumps(words: list[str], storage: dict[str, str]) -> tuple[list[str], list[str]]:
    """Part the files of two dumps: members of a split one stand together.

    Raises:
        click.BadParameter: There are more than two, or both are one.
    """
    if len(words) == 1:
        return words, []
    members = [_member(word, storage) for word in words]
    dumps: dict[object, list[str]] = {}
    for number, (word, member) in enumerate(zip(words, members, strict=True)):
        own: object = number  # a dump by itself
        if member is not None:
            fellows = [other for other in members if other and other.dump == member.dump]
            # Two dumps of one machine, whose headers agree in all but the time.
            several = any(one.overlaps(other) for one, other in combinations(fellows, 2))
            own = (member.dump, member.begun if several else None)
        dumps.setdefault(own, []).append(word)
    if len(dumps) > 2:
        raise click.BadParameter(f"expected one dump, or two to compare; found {len(dumps)}")
    first, *later = dumps.values()
    if later and _is_same(first[0], later[0][0]):
        raise click.BadParameter(f"{first[0]} is given twice; expected two dumps, to compare them")
    return first, [word for files in later for word in files]


def _is_same(one: str, other: str) -> bool:
    """Tell whether two words name one dump, under whatever name a file has."""
    with suppress(OSError):  # no file of this machine, or none that is there
        return one == other or Path(one).samefile(other)
    return False


def _member(word: str, storage: dict[str, str]) -> _Member | None:
    """Look at a file's headers; None if it is no member of a split dump."""
    from vmemmap.source.detect import open_source
    from vmemmap.source.split import SplitSource

    with suppress(VmemmapError):  # told when the dump is opened
        if word != "-":
            source = open_source(word, storage=storage)
            try:
                if isinstance(source, SplitSource):
                    return _Member(source.identity, *source.only_member)
            finally:
                source.close()
    return None


@click.command("report", cls=Command)
@click.option(
    "--out",
    "-o",
    metavar="FILE",
    help="Write the page here, as HTML, over what is there if it is no dump. Of two dumps the "
    "difference is told without it, too.",
)
@format_option()
@reads_dump(rescue=True, arguments="DUMP... [LATER...]", meaning=_DUMPS, parts_dumps=True)
def command(dump: Opening, form: str, out: str | None) -> int:
    """Draw a dump: one page of HTML, below 1 MB, that any browser shows without a network.

    What crashed and whether the dump is whole, the memory map down to single pages, the list, free
    memory, what a smaller dump would leave out, the address space, the log and the facts. What
    cannot be had is told in its place (exit code 1, as for all findings). Of two dumps: facts that
    differ, list entries that came and went, pages of another kind, findings new and gone.
    """
    first, later = _two_dumps(dump.dumps, split_storage(dump.storage))
    if out is None and not later:
        raise click.UsageError("expected -o FILE, the page to write; only two dumps need none")
    if out is not None:
        refuse_to_replace(out, *dump.dumps, dump.vmcoreinfo, dump.vmlinux)
    made: Report | None = None
    compared: Comparison | None = None
    with ExitStack() as opened:
        core = opened.enter_context(replace(dump, dumps=first).with_vmlinux().open())
        if later:
            other = opened.enter_context(replace(dump, dumps=later).with_vmlinux().open())
            compared = core.compare(other)
            if out is not None:
                made = core.report(out, beside=other, found=compared)
        elif out is not None:
            made = core.report(out)
        record = report.record(out, made, compared)
        emit(
            form,
            record,
            text=report.lines(record),
            columns=report.columns(record),
            rows=report.rows(record),
        )
    for fault in () if made is None else made.faults:
        complain(dump.dumps[0], f"error: a fault of vmemmap itself, please report it: {fault}")
    if made is not None and made.faults:
        return EXIT_FAULT
    lacking = made is not None and any(section.reason for section in made.sections)
    lacking = lacking or (compared is not None and bool(compared.reasons))
    found = report.findings_of(made, compared)
    return int(lacking) or findings_code(found)
