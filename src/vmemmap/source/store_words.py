"""What obstore fails with, in words of ours.

No error has the server's words or ours to it in full, since both can have secrets in them.
"""

from __future__ import annotations

import re

from vmemmap.source.urls import WEB, scheme_of

ODD_PARTS = "an empty part, a part . or .., or a control character"
FAULT = "obstore fails: is the region right, or another option?"
OTHER_BYTES = "the server gave other bytes than were asked for"
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
    ("requested range", OTHER_BYTES),
    ("unexpectedrange", OTHER_BYTES),
    ("content-length header missing", "the server does not say how long its answer is"),
    ("without location", "it is redirected, and not said where to"),
    ("invalid last modified", "the server says that it was changed on a date that is none"),
    ("parse(", "the server's answer is not HTTP, or has headers that are too long"),
)
_NO_CREDENTIALS = ("169.254.169.254", "TokenRequest", "MissingAccount")
"""What stands in errors of looking for credentials; the address is where clouds give them."""
_PANIC = "PanicException"
"""What obstore's faults are called in Python; they are no `Exception`."""
_ODD_KEY = ("Could not parse path", "empty path segment", "illegal character sequence")
_STATUS = re.compile(r"status code: (\d{3})")


def is_fault(error: BaseException) -> bool:
    """Tell whether an error is a fault in obstore itself."""
    return type(error).__name__ == _PANIC


def is_of_obstore(error: BaseException) -> bool:
    """Tell obstore's errors and faults from ctrl-C."""
    return isinstance(error, Exception) or is_fault(error)


def status_of(text: str) -> int:
    """Give the server's status that an error's text has; 0 if it has none."""
    found = _STATUS.search(text)
    return int(found[1]) if found else 0


def is_odd_key(text: str) -> bool:
    """Tell whether an error is about a key that obstore does not take."""
    return any(sign in text for sign in _ODD_KEY)


def lacks_credentials(text: str) -> bool:
    """Tell whether an error is of looking for credentials."""
    return any(sign in text for sign in _NO_CREDENTIALS)


def why_no_store(error: Exception) -> str:
    """Say why obstore knows no such store, or takes no such options."""
    if type(error).__name__ == "UnknownConfigurationKeyError":
        found = re.match(r"Configuration key: '([\w.]+)'", str(error))
        return f"obstore has no option {found[1]!r} here" if found else "an option is not known"
    text = str(error).lower()
    if "credential" in text or "service account" in text or "pem file" in text:
        return "the credentials are of no kind that its store takes"
    return "it is no address, or an option has a value that cannot be"


def access_hint(path: str) -> str:
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


def failure(text: str, status: int) -> str:
    """Say in words what failed on the way, by what obstore's text has, without quoting it."""
    lowered = text.lower()
    for sign, words in _FAILURES:
        if sign in lowered:
            return words
    return f"the server answers with status {status}" if status else "the request failed"
