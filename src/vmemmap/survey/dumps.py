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
from vmemmap.shown import as_utf8
from vmemmap.source.object_store import StoredObject
from vmemmap.source.stores import list_prefix
from vmemmap.source.urls import scheme_of, shown
from vmemmap.threads import all_at_once

_VERSION_SECONDS = 15
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class SurveyedDump:
    """A dump that a survey is to ask.

    Attributes:
        opened_as: What it is opened by; a signed URL has secrets, and is written nowhere.
        address: What it is called: the path, or the URL without secrets.
        version: Of its content, as far as that can be told without reading it; else empty.
        more: By what the other members of a split dump are opened; the first gives the address.
    """

    opened_as: str
    address: str
    version: str
    more: tuple[str, ...] = ()

    @property
    def members(self) -> list[str] | None:
        """What the members of a split dump are called, the first one too; None if it is none."""
        return [self.address, *map(_written, self.more)] if self.more else None


def find_dumps(
    sources: Iterable[str], storage: Mapping[str, Any] | None = None
) -> Iterator[SurveyedDump]:
    """Find the files that some words name, each once; a dump or a member of one, as far as is told.

    Args:
        sources: Of each kind: a file, also one that is not there; a folder, of which the files
            that begin as dumps do are taken, at any depth; a pattern with ``*``, ``?`` or ``[``;
            a URL; a prefix of a store, a URL that ends in ``/`` or ``*``; files and URLs with tabs
            between, the members of one dump; ``@FILE``, a list of these, one a line, where empty
            lines and those that begin with ``#`` do not count.
        storage: Options for URLs.

    Raises:
        DumpError: A list cannot be read, or a prefix not be listed.
    """
    found: dict[str, SurveyedDump] = {}
    words = list(_words(sources))
    versions = _versions(words, storage)
    for word in words:
        for dump in _of_word(word, storage, versions):
            found.setdefault(dump.address, dump)
    others = {name for dump in found.values() for name in (dump.members or ())[1:]}
    alone = [dump for dump in found.values() if dump.address not in others]
    yield from alone


def joined(members: list[SurveyedDump]) -> SurveyedDump:
    """Make one dump of its members, or of a dump alone."""
    first, *others = members
    if not others:
        return first
    versions = [member.version for member in members]
    return SurveyedDump(
        first.opened_as,
        first.address,
        " + ".join(versions) if all(versions) else "",
        tuple(member.opened_as for member in others),
    )


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


def _of_word(
    word: str, storage: Mapping[str, Any] | None, versions: Mapping[str, str]
) -> Iterator[SurveyedDump]:
    names = _names_in(word)
    if len(names) > 1:
        yield joined([_single(name, versions) for name in names])
    elif scheme_of(word) in ("", "file"):
        yield from map(_local, _paths(word))
    elif word.endswith(("/", "*")):
        for url, version in list_prefix(word.rstrip("*"), storage):
            yield SurveyedDump(url, shown(url), version)
    else:
        yield _single(word, versions)


def _names_in(word: str) -> list[str]:
    """Give the members that a word names with tabs between; one for most words."""
    return [name for name in word.split("\t") if name]


def _single(name: str, versions: Mapping[str, str]) -> SurveyedDump:
    """Give the dump, or the member of one, that a path or a URL names."""
    if scheme_of(name) in ("", "file"):
        return _local(name)
    return SurveyedDump(name, shown(name), versions[name])


def _versions(words: Iterable[str], storage: Mapping[str, Any] | None) -> dict[str, str]:
    """Ask for the versions of the objects that URLs name, many at a time.

    One that does not answer soon is left to whoever opens it, in time that is bounded, and has no
    version here.
    """

    def version_of(name: str) -> str:
        options = {"timeout": f"{_VERSION_SECONDS}s", **(storage or {})}
        try:
            return StoredObject(name, options, start_bytes=1, tries=1).version
        except DumpError:
            return ""

    words = [word for word in words if len(_names_in(word)) > 1 or not word.endswith(("/", "*"))]
    names = [name for word in words for name in _names_in(word)]
    far = [name for name in dict.fromkeys(names) if scheme_of(name) not in ("", "file")]
    return dict(zip(far, all_at_once(version_of, far, _AT_ONCE), strict=True))


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
    return SurveyedDump(_called(name), _written(name), version)


def _called(name: str) -> str:
    """Give what a file or a URL is called in rows."""
    return shown(name) if scheme_of(name) else str(Path(name).absolute())


def _written(name: str) -> str:
    """Give the same as a row can hold it: a file's name need not be a text."""
    return as_utf8(_called(name))
