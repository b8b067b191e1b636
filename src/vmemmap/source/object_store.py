"""An object in a store or on a web server, read by ranges through obstore (``vmemmap[remote]``).

Every answer is held against the first one: an object that changes while it is read is an error, and
so is a server that gives another range than was asked for. What failed on the way is tried again, a
few times; what the server refuses is not.

Source: RFC 9110, sections 13.1 (If-Match) and 14 (ranges); obstore's documentation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from vmemmap.errors import UnreadableFile
from vmemmap.source.file_view import empty, unreadable
from vmemmap.source.ranges import RangeReader, read_together
from vmemmap.source.store_words import (
    FAULT,
    ODD_PARTS,
    OTHER_BYTES,
    access_hint,
    failure,
    is_fault,
    is_odd_key,
    is_of_obstore,
    lacks_credentials,
    status_of,
)
from vmemmap.source.stores import open_store, version_of
from vmemmap.source.traffic import Traffic
from vmemmap.source.urls import shown

START_BYTES = 256 << 10
"""How much the first request asks for: the headers of nearly every dump."""
TRIES = 4
PAUSE_SECONDS = 0.2


class StoredObject(RangeReader):
    """An object at a URL.

    Args:
        url: Its address; see ``urls.py`` for the kinds there are.
        options: obstore's options by name: of the store (``region``, ``endpoint``,
            ``skip_signature``, ...) and of its client (``timeout``, ``proxy_url``, ...). They go
            before what the environment says.
        what: What it ought to be, for errors.
        start_bytes: How much the first request asks for.
        tries: How often a request is made that fails on the way.

    Attributes:
        etag: What the server calls this version of the object; None if it does not say.
        modified: When it was last changed, in seconds since 1970.
        version: What tells this content of the object from any other; empty if the server sends
            neither a tag nor a date.

    Raises:
        UnreadableFile: It cannot be had; says why. Or obstore is not installed.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        what: str = "the dump",
        start_bytes: int = START_BYTES,
        tries: int = TRIES,
    ) -> None:
        self.path, self._what, self._tries = shown(url), what, tries
        self.traffic = Traffic()
        self.etag: str | None = None
        self.modified = 0.0
        self.size = -1
        self._store, self._key = open_store(url, options, what)
        self._closed = False
        try:
            (self.start,) = read_together(self, [(0, start_bytes)])
        except _NoSuchRange:
            raise empty(self.path, what) from None
        if self.size == 0:
            raise empty(self.path, what)
        self.traffic.file_bytes = self.size
        self.version = version_of(self.size, self.etag, self.modified)
        self.identity = f"{self.path} {self.version}" if self.version else ""

    def read(self, start: int, end: int) -> bytes:
        """Read the bytes ``[start, end)``; see `RangeReader.read`."""
        return self._ask(start, end)

    def close(self) -> None:
        """Try nothing again from here on."""
        self._closed = True

    def _ask(self, start: int, end: int) -> bytes:
        """Ask for a range, again where that can help."""
        for number in range(self._tries):
            try:
                return self._ask_once(start, end, again=number > 0)
            except _Failed as failed:
                why = str(failed)
            if self._closed or number == self._tries - 1:
                break
            time.sleep(PAUSE_SECONDS * 2**number)
        raise unreadable(self.path, f"{why} (tried {number + 1} times)", what=self._what)

    def _ask_once(self, start: int, end: int, *, again: bool) -> bytes:
        data = b""
        options: dict[str, Any] = {"range": (start, end)}
        if self.etag is not None and not self.etag.startswith("W/"):  # If-Match takes no weak ones
            options["if_match"] = self.etag
        try:
            answer = self._store.get(self._key, options=options)
            self._check(answer.meta)
            wanted = (start, min(end, self.size))
            if tuple(answer.range) != wanted:
                raise _Failed(OTHER_BYTES)
            data = _body(answer, wanted[1] - wanted[0])
        except (UnreadableFile, _Failed):
            raise
        except BaseException as error:
            if not is_of_obstore(error):
                raise
            raise self._in_words(error) from None
        finally:
            self.traffic.count(len(data), again=again)
        return data

    def _check(self, meta: Mapping[str, Any]) -> None:
        """Hold an answer against the first one."""
        if self.size < 0:
            self.size, self.etag = int(meta["size"]), meta.get("e_tag")
            self.modified = meta["last_modified"].timestamp()
        elif (meta["size"], meta.get("e_tag")) != (self.size, self.etag) or (
            self.etag is None and meta["last_modified"].timestamp() != self.modified
        ):
            raise self._changed()

    def _changed(self) -> UnreadableFile:
        why = "it was changed while it was read"
        return unreadable(self.path, why, "open it again", self._what)

    def _in_words(self, error: BaseException) -> Exception:
        """Give an error of obstore's as one of ours, without what it quotes."""
        kind, text = type(error).__name__, str(error)
        status = status_of(text)
        if isinstance(error, FileNotFoundError):
            hint = "it ends in /: survey takes what is under a prefix" * self.path.endswith("/")
            return unreadable(self.path, "there is no such object", hint, self._what)
        if is_fault(error):
            return unreadable(self.path, FAULT, what=self._what)
        if is_odd_key(text):
            why = f"its key has {ODD_PARTS}, which obstore does not take"
            return unreadable(self.path, why, "copy it to another key, or download it", self._what)
        if kind == "PreconditionError":
            return self._changed()
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            why = f"access is forbidden (status {status})" if status else "access is forbidden"
            return unreadable(self.path, why, access_hint(self.path), self._what)
        if kind == "NotSupportedError":
            why = "the server gives no ranges, only the whole file"
            return unreadable(self.path, why, "download it, and name the file", self._what)
        if "BadScheme" in text:
            why, hint = "its store answers without TLS", "allow that with --storage allow_http=true"
            return unreadable(self.path, why, hint, self._what)
        if status == 416 or "object was only 0 bytes long" in text:
            return _NoSuchRange() if self.size < 0 else self._changed()
        if lacks_credentials(text):
            hint = access_hint(self.path)
            return unreadable(self.path, "no credentials were found", hint, self._what)
        if status and not (status >= 500 or status in (408, 429)):
            hint = "is the region or the endpoint right?" if status in (301, 307, 400) else ""
            why = f"the server refuses it with status {status}"
            return unreadable(self.path, why, hint, self._what)
        return _Failed(failure(text, status))


def _body(answer: Any, size: int) -> bytes:
    """Take the bytes of an answer, and no more of them than it should have.

    Raises:
        _Failed: It has more, or fewer, whatever its headers say.
    """
    parts, length = [], 0
    for part in answer.stream(min_chunk_size=max(size, 1)):
        parts.append(bytes(part))
        length += len(part)
        if length > size:
            break
    if length != size:
        raise _Failed(OTHER_BYTES)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _Failed(Exception):
    """A request that may go better when it is made again."""


class _NoSuchRange(Exception):
    """Not even the first byte is there."""
