"""What a dump is to be filtered into, checked to go together, and the files opened for it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vmemmap.errors import OutputTooLarge, UnwritableFile
from vmemmap.pages.exclusion_rules import LEVELS
from vmemmap.write.compress import CODECS
from vmemmap.write.flattened import FlattenedOutput
from vmemmap.write.new_file import new_file
from vmemmap.write.output import FileOutput, Output

Target = str | os.PathLike[str]
FORMS = ("kdump", "elf")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be written.

    Attributes:
        paths: The file; several are the members of a split dump, in the order of pfns.
        stream: Takes the dump in flattened form, instead of any file.
        levels: Dump levels, of which the first is taken whose output fits; None among them keeps
            all that there is.
        codec: How pages are compressed.
        form: ``kdump`` or ``elf``.
        flattened: The file is to be in flattened form.
        member: The number of the one member to write, from 0 on, and how many there are.
        max_bytes: How large an output may be.
        threads: How many threads compress.
        drop_struct_pages: Leave out struct pages, too, of which all pages are left out.
        verify: Read the output back, and compare every page that was kept.
    """

    paths: Sequence[Target] = ()
    stream: BinaryIO | None = None
    levels: Sequence[int | None] = (31,)
    codec: str = "zstd"
    form: str = "kdump"
    flattened: bool = False
    member: tuple[int, int] | None = None
    max_bytes: int | None = None
    threads: int = 1
    drop_struct_pages: bool = False
    verify: bool = False

    def check(self) -> None:
        """Check that all of this goes together.

        Raises:
            ValueError: It does not.
        """
        for level in self.levels:
            if level is not None and level not in LEVELS:
                raise ValueError(f"there is no dump level {level}: expected 0 to 31")
        if self.codec not in CODECS:
            raise ValueError(f"there is no codec {self.codec!r}: expected {', '.join(CODECS)}")
        if self.form not in FORMS:
            raise ValueError(f"there is no form {self.form!r}: expected {' or '.join(FORMS)}")
        if bool(self.paths) == (self.stream is not None) or not self.levels:
            raise ValueError("expected one output or more, or a stream, and at least one level")
        if self.stream is not None and len(self.levels) > 1:
            raise ValueError("what has gone into a stream cannot be taken back: give one level")
        check_names(self.paths)
        split = len(self.paths) > 1 or self.member is not None
        if split and (self.flattened or self.stream is not None or self.form == "elf"):
            raise ValueError("only plain kdump files are split")
        if self.member is not None:
            number, count = self.member
            if not 0 <= number < count or len(self.paths) != 1:
                raise ValueError("expected one output, for a member from 0 to their number less 1")
        if self.verify and self.stream is not None:
            raise ValueError("what has gone into a stream cannot be read back")
        if self.threads < 1:
            raise ValueError(f"expected 1 thread or more, found {self.threads}")


def check_names(names: Sequence[Target]) -> None:
    """Check that outputs have names, and each one of its own.

    Raises:
        ValueError: They have not: the second of one name would take the place of the first.
    """
    seen = set[str]()
    for name in names:
        if not os.fspath(name):
            raise ValueError("the name of an output is empty")
        place = os.path.realpath(name)
        if place in seen:
            raise ValueError(f"{os.fspath(name)} is named twice: every output is another file")
        seen.add(place)


@contextmanager
def opened(wanted: Wanted, source: str) -> Iterator[list[tuple[str, Output]]]:
    """Open what is wanted for writing; files take their names when all of them are whole.

    Args:
        wanted: What is wanted.
        source: The dump that is read, which is never written over.

    Yields:
        Each output with its name.

    Raises:
        UnwritableFile: One cannot be made, written or renamed.
    """
    if wanted.stream is not None:
        stream = FlattenedOutput(wanted.stream, wanted.max_bytes)
        try:
            yield [("-", stream)]
            stream.end()
        except BrokenPipeError as error:
            raise UnwritableFile("whoever read it has closed it", path="-") from error
        return
    with ExitStack() as stack:
        outputs: list[tuple[str, Output]] = []
        flat: list[FlattenedOutput] = []
        for path in [os.fspath(name) for name in wanted.paths]:
            with suppress(OSError):
                if Path(path).samefile(source):
                    raise UnwritableFile("is the dump that is read: name another", path=path)
            file = stack.enter_context(new_file(path))
            if wanted.flattened:
                flat.append(FlattenedOutput(file, wanted.max_bytes, path))
                outputs.append((path, flat[-1]))
            else:
                outputs.append((path, FileOutput(file, path, wanted.max_bytes)))
        yield outputs
        for one in flat:
            one.end()


def is_for_want_of_room(error: UnwritableFile) -> bool:
    """Tell whether a smaller output might have been written."""
    cause = error.__cause__
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return full or isinstance(error, OutputTooLarge)
