"""Templates filled in, and the page put together under a policy that lets nothing else in.

Whatever comes from a dump is data: the templates escape it, and so does `script_data`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vmemmap.picture.colours import style_sheet
from vmemmap.picture.sections import Section
from vmemmap.shown import as_utf8

SCRIPTS = ("unpack.js", "memory.js", "map.js", "page.js")
"""The scripts of the page of a dump, in the order in which they need each other."""
_MARKS = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_TURNING = {mark: f"\\u{mark:04x}" for mark in _MARKS}
"""Characters that turn the direction of the text around them, so that a name reads as another; they
are shown as Python writes them. Source: Unicode Standard Annex 9."""


def drawn(view: Any) -> dict[str, Any]:
    """Give a view's members by name, its picture as the markup that it is."""
    names = type(view).__slots__
    members = {name: getattr(view, name) for name in names}
    if "picture" in members:
        members["picture"] = Markup(members["picture"])
    return members


def script_data(record: Mapping[str, Any]) -> Markup:
    """Write data for the script; nothing in it can end the element that it stands in."""
    text = json.dumps(record, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("vmemmap.picture", "page"),
        autoescape=True,
        undefined=StrictUndefined,
    )


def fill(template: str, **values: Any) -> Markup:
    """Fill a template in; whatever is no markup yet is escaped."""
    return Markup(_environment().get_template(template).render(**values))


@cache
def _own(name: str) -> str:
    return files("vmemmap.picture.page").joinpath(name).read_text(encoding="utf-8")


def render_page(
    title: str,
    sections: Sequence[Section],
    data: Mapping[str, Mapping[str, Any]],
    *,
    above: str = "vmemmap report",
    scripts: Sequence[str] = SCRIPTS,
) -> str:
    """Put a page together, with a policy under which it can run its own script and nothing else.

    Args:
        title: Its title.
        sections: What is on it, in order.
        data: What its scripts read, by the id of the element that holds it.
        above: What stands above the title.
        scripts: The scripts, in the order in which they need each other.

    Source: W3C Content Security Policy Level 3.
    """
    from vmemmap import __version__

    style = _own("style.css") + style_sheet()
    script = "".join(_own(name) for name in scripts)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    page = str(
        fill(
            "page.html.j2",
            title=title,
            sections=sections,
            data=[(name, script_data(record)) for name, record in data.items()],
            above=above,
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            version=__version__,
        )
    )
    return as_utf8(page.translate(_TURNING))


def _hash(text: str) -> str:
    """Give the hash by which a policy allows a script or a style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
