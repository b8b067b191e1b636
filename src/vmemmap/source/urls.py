"""Tells addresses in object storage and on web servers from files, and shows them without secrets.

It opens nothing; ``stores.py`` does.
"""

from __future__ import annotations

import os
import re

STORES = ("s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss")
WEB = ("http", "https")
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://([^/?#]*)([^?#]*)(\??)")


def scheme_of(path: object) -> str:
    """Give the scheme of a URL, in lower case; an empty text for whatever is none."""
    found = _URL.match(path) if isinstance(path, str) else None
    return found[1].lower() if found else ""


def shown(path: object) -> str:
    """Give what a dump is called wherever that is written.

    A URL's user, password, query and fragment are left out: signed URLs have their secrets there.
    """
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        return os.fsdecode(path) if isinstance(path, bytes) else _name_of(path)
    found = _URL.match(path)
    if found is None:
        return path
    scheme, host, rest, query = found.groups()
    if not scheme.lower().startswith("abfs"):  # which has the container before the @
        host = host.rpartition("@")[2]
    return f"{scheme}://{host}{rest}{'?...' if query else ''}"


def _name_of(thing: object) -> str:
    """Name an object that is read from: by its own name if it has one, else by its type."""
    for attribute in ("full_name", "path", "name"):
        name = getattr(thing, attribute, None)
        if isinstance(name, str) and name:
            return shown(name)
    return f"<{type(thing).__name__}>"
