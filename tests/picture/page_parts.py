"""A page taken apart without the package: its elements, its data, its policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import numpy as np

EMPTY = {"meta", "link", "br", "input", "img", "hr"}


@dataclass
class Element:
    """An element: its attributes and the text that stands in it directly."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """All elements of a page in their order, and what is not closed as it should be."""

    elements: list[Element] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in EMPTY:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.wrong.append(f"</{tag}> in {[each.tag for each in self._open[-3:]]}")
        else:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1].text += data

    def of(self, tag: str) -> list[Element]:
        """Give the elements of a name."""
        return [each for each in self.elements if each.tag == tag]

    def by_id(self, name: str) -> Element:
        """Give the element of an id."""
        (found,) = (each for each in self.elements if each.attributes.get("id") == name)
        return found

    @property
    def words(self) -> str:
        """All text but scripts and styles, with single blanks."""
        shown = (each.text for each in self.elements if each.tag not in ("script", "style"))
        return " ".join(" ".join(shown).split())

    @property
    def policy(self) -> str:
        """The content security policy."""
        (found,) = (m for m in self.of("meta") if "http-equiv" in m.attributes)
        return found.attributes["content"]

    @property
    def map(self) -> Any:
        """What the map is drawn from."""
        return json.loads(self.by_id("map-data").text)


def parse(html: str) -> Page:
    """Take a page apart."""
    page = Page()
    page.feed(html)
    page.close()
    return page


def unpacked(packed: Any) -> Any:
    """Unpack an array as the docstring of ``picture/packed.py`` draws it."""
    raw = zlib.decompress(base64.b64decode(packed["data"]), -15)
    planes = np.frombuffer(raw, np.uint8).reshape(packed["bytes"], packed["count"]).astype("u4")
    values = sum(plane << np.uint32(8 * turn) for turn, plane in enumerate(planes))
    if packed["grows"]:
        values = np.cumsum(values, dtype=f"u{packed['bytes']}")
    return values


@dataclass
class Block:
    """A block of the map: its first pfn, whether it is mixed, its words, and their pages."""

    first_pfn: int
    mixed: int
    words: list[int]
    pages: list[int]


def blocks_of(runs: Any) -> list[Block]:
    """Unpack a map's runs as the docstring of ``picture/packed_runs.py`` tells."""
    size, lengths = 1 << runs["shift"], iter(unpacked(runs["length"]).tolist())
    words = iter(unpacked(runs["word"]).tolist())
    numbers = [number for low, high in runs["ranges"] for number in range(low, high)]
    crowd, mixed = unpacked(runs["crowd"]).tolist(), unpacked(runs["mixed"]).tolist()
    found = []
    for number, count, how in zip(numbers, crowd, mixed, strict=True):
        pages = [next(lengths) for _ in range(count - 1)]
        pages.append(size - sum(pages))
        assert min(pages) > 0
        found.append(Block(number * size, how, [next(words) for _ in range(count)], pages))
    assert next(lengths, None) is next(words, None) is None
    return found


def words_of(runs: Any) -> dict[int, int]:
    """Give the word of each page in a block that is not mixed, by pfn."""
    found: dict[int, int] = {}
    for block in blocks_of(runs):
        pfn = block.first_pfn
        for word, pages in zip(block.words, block.pages, strict=True):
            if not block.mixed:
                found.update(dict.fromkeys(range(pfn, pfn + pages), word))
            pfn += pages
    return found


def hash_of(text: str) -> str:
    """Give what a policy calls a script or a style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def outside(page: Page) -> list[str]:
    """Give everything in a page that leads, or may lead, out of it."""
    found = [
        f"{each.tag} {name}={value[:60]}"
        for each in page.elements
        for name, value in each.attributes.items()
        if name in ("src", "srcset", "href", "xlink:href", "action", "data", "poster", "background")
        and not value.startswith(("#", "data:,"))
    ]
    found += [f"{e.tag} {n}" for e in page.elements for n in e.attributes if n.startswith("on")]
    for each in page.of("style"):
        found += re.findall(r"@import|url\((?!#)[^)]*\)", each.text)
    tags = {"iframe", "object", "embed", "base", "img", "audio", "video"}
    return found + [each.tag for each in page.elements if each.tag in tags]
