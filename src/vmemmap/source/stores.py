"""The stores that URLs name, opened through obstore, and their objects listed.

Source: obstore's documentation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from vmemmap.errors import UnreadableFile
from vmemmap.source.file_view import unreadable
from vmemmap.source.store_words import (
    FAULT,
    ODD_PARTS,
    access_hint,
    failure,
    is_fault,
    is_odd_key,
    is_of_obstore,
    lacks_credentials,
    status_of,
    why_no_store,
)
from vmemmap.source.urls import STORES, WEB, scheme_of, shown

CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
_OF_CLIENT = {
    *("allow_http", "allow_invalid_certificates", "connect_timeout", "default_headers"),
    *("http1_only", "http2_only", "pool_idle_timeout", "pool_max_idle_per_host", "proxy_url"),
    *("proxy_ca_certificate", "proxy_excludes", "timeout", "user_agent"),
}
"""obstore's options that are the client's, and not of one kind of store."""
_HOST = re.compile(r"https?://[^\s/?#]+[^\s]*$", re.IGNORECASE)


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
        if lacks_credentials(str(error)):
            hint = access_hint(path)
            raise unreadable(path, "no credentials were found", hint, what) from None
        raise unreadable(path, why_no_store(error), what=what) from None


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
                    version = version_of(row["size"], row.get("e_tag"), modified)
                    yield f"{scheme}://{place}/{row['path']}", version
    except BaseException as error:
        if not is_of_obstore(error):
            raise
        text = str(error)
        status = status_of(text)
        if status in (401, 403) or lacks_credentials(text):
            raise unreadable(path, "access is forbidden", access_hint(path), what) from None
        why = "there is no such bucket" if status == 404 else failure(text, status)
        hint = ""
        if is_fault(error):
            why = FAULT
        elif is_odd_key(text):
            why = f"a key in it has {ODD_PARTS}, which obstore does not take"
            hint = "name the dumps, or prefixes without that key"
        raise unreadable(path, why, hint, what) from None


def version_of(size: int, etag: str | None, modified: float) -> str:
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
