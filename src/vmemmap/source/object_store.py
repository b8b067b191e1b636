"""An object in a store or on a web server, read by ranges through obstore (``vmemmap[remote]``).

Every answer is held against the first one: an object that changes while it is read is an error, and
so is a server that gives another range than was asked for. What failed on the way is tried again, a
few times; what the server refuses is not. No error has the server's words or ours to it in full,
since both can have secrets in them.

Source: RFC 9110, sections 13.1 (If-Match) and 14 (ranges); obstore's documentation.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from vmemmap.errors import UnreadableFile
from vmemmap.source.file_view import empty, unreadable
from vmemmap.source.ranges import RangeReader, read_together
from vmemmap.source.traffic import Traffic
from vmemmap.source.urls import STORES, WEB, scheme_of, shown

START_BYTES = 256 << 10
"""How much the first request asks for: the headers of nearly every dump."""
TRIES = 4
PAUSE_SECONDS = 0.2
CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
_OF_CLIENT = {
    *("allow_http", "allow_invalid_certificates", "connect_timeout", "default_headers"),
    *("http1_only", "http2_only", "pool_idle_timeout", "pool_max_idle_per_host", "proxy_url"),
    *("proxy_ca_certificate", "proxy_excludes", "timeout", "user_agent"),
}
"""obstore's options that are the client's, and not of one kind of store."""
_PANIC = "PanicException"
"""What obstore's faults are called in Python; they are no `Exception`."""
_ODD_KEY = ("Could not parse path", "empty path segment", "illegal character sequence")
_ODD_PARTS = "an empty part, a part . or .., or a control character"
_HOST = re.compile(r"https?://[^\s/?#]+[^\s]*$", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d{3})")


class StoredObject(RangeReader):
    """An object at a URL.

    Args:
        url: Its address; see ``urls.py`` for the kinds there are.
        options: obstore's options by name: of the store (``region``, ``endpoint``,
            ``skip_signature``, ...) and of its client (``timeout``, ``proxy_url``, ...). They go
            before what the environment says.
        what: What it ought to be, for errors.
        start_bytes: How much the first request asks for.

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
    ) -> None:
        self.path, self._what = shown(url), what
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
        self.version = _version(self.size, self.etag, self.modified)
        self.identity = f"{self.path} {self.version}" if self.version else ""

    def read(self, start: int, end: int) -> bytes:
        """Read the bytes ``[start, end)``; see `RangeReader.read`."""
        return self._ask(start, end)

    def close(self) -> None:
        """Try nothing again from here on."""
        self._closed = True

    def _ask(self, start: int, end: int) -> bytes:
        """Ask for a range, again where that can help."""
        for number in range(TRIES):
            try:
                return self._ask_once(start, end, again=number > 0)
            except _Failed as failed:
                why = str(failed)
            if self._closed or number == TRIES - 1:
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
                raise _Failed(_OTHER_BYTES)
            data = _body(answer, wanted[1] - wanted[0])
        except (UnreadableFile, _Failed):
            raise
        except BaseException as error:
            if not _is_theirs(error):
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
        found = _STATUS.search(text)
        status = int(found[1]) if found else 0
        if isinstance(error, FileNotFoundError):
            hint = "it ends in /: survey takes what is under a prefix" * self.path.endswith("/")
            return unreadable(self.path, "there is no such object", hint, self._what)
        if kind == _PANIC:
            return unreadable(self.path, _FAULT, what=self._what)
        if any(sign in text for sign in _ODD_KEY):
            why = f"its key has {_ODD_PARTS}, which obstore does not take"
            return unreadable(self.path, why, "copy it to another key, or download it", self._what)
        if kind == "PreconditionError":
            return self._changed()
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            why = f"access is forbidden (status {status})" if status else "access is forbidden"
            return unreadable(self.path, why, _access_hint(self.path), self._what)
        if kind == "NotSupportedError":
            why = "the server gives no ranges, only the whole file"
            return unreadable(self.path, why, "download it, and name the file", self._what)
        if "BadScheme" in text:
            why, hint = "its store answers without TLS", "allow that with --storage allow_http=true"
            return unreadable(self.path, why, hint, self._what)
        if status == 416 or "object was only 0 bytes long" in text:
            return _NoSuchRange() if self.size < 0 else self._changed()
        if any(sign in text for sign in _NO_CREDENTIALS):
            hint = _access_hint(self.path)
            return unreadable(self.path, "no credentials were found", hint, self._what)
        if status and not (status >= 500 or status in (408, 429)):
            hint = "is the region or the endpoint right?" if status in (301, 307, 400) else ""
            why = f"the server refuses it with status {status}"
            return unreadable(self.path, why, hint, self._what)
        return _Failed(_failure(text, status))


def _is_theirs(error: BaseException) -> bool:
    """Tell obstore's errors and faults from ctrl-C."""
    return isinstance(error, Exception) or type(error).__name__ == _PANIC


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
        raise _Failed(_OTHER_BYTES)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class _Failed(Exception):
    """A request that may go better when it is made again."""


class _NoSuchRange(Exception):
    """Not even the first byte is there."""


def open_store(
    url: str, options: Mapping[str, Any] | None = None, what: str = "the dump", path: str = ""
) -> tuple[Any, str]:
    """Open the store that a URL names; nothing is asked of it yet.

    Args:
        url: The address of an object or of a prefix.
        options: As for `StoredObject`.
        what: What it ought to be, for errors.
        path: What it is called in errors; the URL, without secrets, if empty.

    Returns:
        The store, and the key of the object in it.

    Raises:
        UnreadableFile: No store has such an address, an option is none, or obstore is missing.
    """
    path, scheme = path or shown(url), scheme_of(url)
    try:
        from obstore.store import HTTPStore, from_url
    except ImportError:
        why = f"reading {scheme}:// needs obstore, which is not installed"
        raise unreadable(path, why, "pip install 'vmemmap[remote]'", what) from None
    if scheme not in (*STORES, *WEB):
        known = ", ".join(f"{name}://" for name in (*STORES, *WEB))
        raise unreadable(path, f"{scheme}:// is not known here; expected {known}", what=what)
    client: dict[str, Any] = {
        "timeout": timedelta(seconds=ANSWER_SECONDS),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "user_agent": "vmemmap",
    }
    given = dict(options or {})
    client |= {name: _value(given.pop(name)) for name in list(given) if name in _OF_CLIENT}
    # Trying again is done here, where it is counted.
    more: dict[str, Any] = {"client_options": client, "retry_config": {"max_retries": 0}}
    try:
        if scheme in WEB:
            _check_known(given)
            client.setdefault("allow_http", scheme == "http")
            return HTTPStore.from_url(url, **more), ""
        place, _, key = url.partition("://")[2].partition("/")
        if not place or not key:
            raise unreadable(path, f"expected {scheme}://BUCKET/KEY", what=what)
        ends = _endpoints(scheme, given)
        if not all(urlsplit(end).scheme in WEB and _HOST.match(end) for end in ends):
            raise unreadable(path, "its endpoint is no address, as https://HOST is one", what=what)
        if any(urlsplit(end).scheme == "http" for end in ends):
            client.setdefault("allow_http", True)
        return from_url(f"{scheme}://{place}", **more, **given), key
    except UnreadableFile:
        raise
    except Exception as error:
        if any(sign in str(error) for sign in _NO_CREDENTIALS):
            hint = _access_hint(path)
            raise unreadable(path, "no credentials were found", hint, what) from None
        raise unreadable(path, _why_no_store(error), what=what) from None


def list_prefix(url: str, options: Mapping[str, Any] | None = None) -> Iterator[tuple[str, str]]:
    """List the objects whose keys begin as a URL says, at any depth.

    Args:
        url: The address of a bucket or of a folder in it; it ends in a slash.
        options: As for `StoredObject`.

    Yields:
        The URL and the version of each object that is not empty, by rising key as stores have it.

    Raises:
        UnreadableFile: It cannot be listed; a web server's folders never can.
    """
    path, scheme = shown(url), scheme_of(url)
    what = "the list of objects"
    if scheme in WEB:
        raise unreadable(path, "a web server has no list of its files", "name them", what)
    place, _, prefix = url.partition("://")[2].partition("/")
    if not place:
        raise unreadable(path, f"expected {scheme}://BUCKET/PREFIX/", what=what)
    store, _ = open_store(f"{scheme}://{place}/-", options, what, path)
    try:
        for found in store.list(prefix or None):
            for row in found:
                if row["size"]:
                    modified = row["last_modified"].timestamp()
                    version = _version(row["size"], row.get("e_tag"), modified)
                    yield f"{scheme}://{place}/{row['path']}", version
    except BaseException as error:
        if not _is_theirs(error):
            raise
        text = str(error)
        status = int(found[1]) if (found := _STATUS.search(text)) else 0
        if status in (401, 403) or any(sign in text for sign in _NO_CREDENTIALS):
            raise unreadable(path, "access is forbidden", _access_hint(path), what) from None
        why = "there is no such bucket" if status == 404 else _failure(text, status)
        hint = ""
        if type(error).__name__ == _PANIC:
            why = _FAULT
        elif any(sign in text for sign in _ODD_KEY):
            why = f"a key in it has {_ODD_PARTS}, which obstore does not take"
            hint = "name the dumps, or prefixes without that key"
        raise unreadable(path, why, hint, what) from None


def _version(size: int, etag: str | None, modified: float) -> str:
    """Give what tells a content from another; a date of 0 is one that was not sent."""
    return f"{size} {etag or modified}" if etag or modified else ""


def _check_known(given: Mapping[str, Any]) -> None:
    """Make sure that options are of some store, though a web server takes none of them.

    A list of dumps may have both, and options are said once.
    """
    from obstore.exceptions import UnknownConfigurationKeyError
    from obstore.store import from_url

    def fault_of(url: str, name: str, value: Any) -> Exception | None:
        try:
            from_url(url, **{name: value})
        except Exception as error:
            return error  # one that is known may lack others
        return None

    for name, value in given.items():
        faults = [fault_of(url, name, value) for url in ("s3://-", "gs://-", "az://-")]
        if all(isinstance(fault, UnknownConfigurationKeyError) for fault in faults):
            raise faults[0] or AssertionError


def _endpoints(scheme: str, given: Mapping[str, Any]) -> list[str]:
    """Give the endpoints that the user names for a kind of store, or the environment does."""
    names = {
        "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        "s3a": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
        "gs": (),
    }
    of_kind = names.get(scheme, ("AZURE_STORAGE_ENDPOINT",))
    ends = [os.environ[name] for name in of_kind if name in os.environ]
    return ends + [
        str(value)
        for name, value in given.items()
        if name.lower().endswith(("endpoint", "endpoint_url", "base_url"))
    ]


def _value(text: Any) -> Any:
    """Give an option's value, which the command line has as a text, as obstore wants it."""
    return {"true": True, "false": False}.get(text.lower(), text) if isinstance(text, str) else text


def _why_no_store(error: Exception) -> str:
    if type(error).__name__ == "UnknownConfigurationKeyError":
        found = re.match(r"Configuration key: '([\w.]+)'", str(error))
        return f"obstore has no option {found[1]!r} here" if found else "an option is not known"
    text = str(error).lower()
    if "credential" in text or "service account" in text or "pem file" in text:
        return "the credentials are of no kind that its store takes"
    return "it is no address, or an option has a value that cannot be"


def _access_hint(path: str) -> str:
    """Say where credentials are looked for."""
    scheme = scheme_of(path)
    if scheme in WEB:
        return "a signed address may have run out"
    if scheme in ("s3", "s3a"):
        return (
            "credentials are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the like; a "
            "public bucket is read with --storage skip_signature=true"
        )
    if scheme == "gs":
        return (
            "credentials are taken from GOOGLE_APPLICATION_CREDENTIALS; a public bucket is read "
            "with --storage skip_signature=true"
        )
    return "credentials are taken from AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY, ..."


def _failure(text: str, status: int) -> str:
    """Say in words what failed on the way, by what obstore's text has, without quoting it."""
    lowered = text.lower()
    for sign, words in _FAILURES:
        if sign in lowered:
            return words
    return f"the server answers with status {status}" if status else "the request failed"


_FAULT = "obstore fails: is the region right, or another option?"
_OTHER_BYTES = "the server gave other bytes than were asked for"
_FAILURES = (
    ("dns error", "the server's name is not known, or there is no network"),
    ("connection refused", "nothing answers at that address"),
    ("network is unreachable", "there is no network"),
    ("certificate", "the server's certificate is not accepted"),
    ("operation timed out", "the server is too slow: no whole answer in time"),
    ("timedout", "the server is too slow: no whole answer in time"),
    ("incompletemessage", "the server broke off"),
    ("connection reset", "the server broke off"),
    ("connection closed", "the server broke off"),
    ("response body", "the server broke off in the middle of an answer"),
    ("following redirect", "it is redirected again and again"),
    ("content_range", "the server does not say which bytes it gave"),
    ("content-range", "the server does not say which bytes it gave"),
    ("requested range", _OTHER_BYTES),
    ("unexpectedrange", _OTHER_BYTES),
    ("content-length header missing", "the server does not say how long its answer is"),
    ("without location", "it is redirected, and not said where to"),
    ("invalid last modified", "the server says that it was changed on a date that is none"),
    ("parse(", "the server's answer is not HTTP, or has headers that are too long"),
)
_NO_CREDENTIALS = ("169.254.169.254", "TokenRequest", "MissingAccount")
"""What stands in errors of looking for credentials; the address is where clouds give them."""
