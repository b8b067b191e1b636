"""Which dumps a survey is of: paths, globs, folders, URLs, prefixes and lists of them.

Each gets a version, which tells whether it has been asked already: the size, and when it was
changed or the ETag of an object. Nothing of a dump is read here but, in a folder, the first bytes.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmemmap.errors import DumpError
from vmemmap.formats import elf64, flattened, kdump
from vmemmap.source.object_store import StoredObject, list_prefix
from vmemmap.source.urls import scheme_of, shown


@dataclass(frozen=True, slots=True)
class SurveyedDump:
    """A dump that a survey is to ask.

    Attributes:
        opened_as: What it is opened by; a signed URL has secrets, and is written nowhere.
        address: What it is called: the path, or the URL without secrets.
        version: Of its content, as far as that can be told without reading it; else empty.
    """

    opened_as: str
    address: str
    version: str


def find_dumps(
    sources: Iterable[str], storage: Mapping[str, Any] | None = None
) -> Iterator[SurveyedDump]:
    """Find the dumps that some words name, each once.

    Args:
        sources: Of each kind: a file, also one that is not there; a folder, of which the files
            that begin as dumps do are taken, at any depth; a pattern with ``*``, ``?`` or ``[``;
            a URL; a prefix of a store, a URL that ends in ``/`` or ``*``; ``@FILE``, a list of
            these, one a line, where empty lines and those that begin with ``#`` do not count.
        storage: Options for URLs.

    Raises:
        DumpError: A list cannot be read, or a prefix not be listed.
    """
    seen: set[str] = set()
    for word in _words(sources):
        for dump in _of_word(word, storage):
            if dump.address not in seen:
                seen.add(dump.address)
                yield dump


def _words(sources: Iterable[str]) -> Iterator[str]:
    for source in sources:
        if not source.startswith("@"):
            yield source
            continue
        try:
            text = Path(source[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise DumpError(f"cannot read the list of dumps: {why}", path=source[1:]) from error
        lines = (line.strip() for line in text.splitlines())
        yield from (line for line in lines if line and not line.startswith("#"))


def _of_word(word: str, storage: Mapping[str, Any] | None) -> Iterator[SurveyedDump]:
    if scheme_of(word) == "file" or not scheme_of(word):
        yield from map(_local, _paths(word))
    elif word.endswith(("/", "*")):
        for url, version in list_prefix(word.rstrip("*"), storage):
            yield SurveyedDump(url, shown(url), version)
    else:
        try:
            version = StoredObject(word, storage, start_bytes=1).version
        except DumpError:
            version = ""  # whoever opens it says why
        yield SurveyedDump(word, shown(word), version)


def _paths(word: str) -> Iterator[str]:
    path = Path(word)
    if path.is_dir():
        yield from (str(inside) for inside in sorted(path.rglob("*")) if _is_dump(inside))
    elif not path.exists() and glob.has_magic(word):
        names = glob.glob(word, recursive=True)  # noqa: PTH207 (a pattern may have any folder in it)
        yield from sorted(name for name in names if not Path(name).is_dir())
    else:
        yield word


def _is_dump(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(18)
    except OSError:
        return False
    if start.startswith(elf64.MAGIC):  # a core, and no program or vmlinux, in either byte order
        return start[16:18] in (b"\4\0", b"\0\4")
    return start.startswith((kdump.SIGNATURE, flattened.SIGNATURE))


def _local(name: str) -> SurveyedDump:
    path = Path(name)
    try:
        status = path.stat()
        version = f"{status.st_size} {status.st_mtime_ns}"
    except OSError:
        version = ""
    if not scheme_of(name):
        name = str(path.absolute())
    return SurveyedDump(name, name, version)
