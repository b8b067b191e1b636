"""The ELF note by which an extract says that it is one. No I/O.

A page of an extract has the bytes of some classes; all others in it read as zero, whatever they
were. Nothing in the page itself says so, hence the note::

    name VMEMMAP, type 1, and lines of text:

    FORM=1
    VERSION=0.9.0                 of vmemmap, which made it
    CLASSES=kernel,list,nodes     what of the memory is in it
    ADDRESSES=hidden              or "shown"
    RESCUED=3                     blocks that were found without the list
    SCRUBBED=address,hostname     kinds of text that are other ones in the kernel's log

Other tools pass over notes that they do not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmemmap.formats.notes import Note

NAME = "VMEMMAP"
KIND = 1
FORM = "1"
_MAX_BYTES = 1 << 16
_WORD_MAX = 80


@dataclass(frozen=True, slots=True)
class ExtractNote:
    """What an extract says of itself.

    Attributes:
        version: Of the package that made it.
        classes: What of the memory is in it, by the names that `vmemmap extract --list-classes`
            explains.
        hidden_addresses: Addresses that no answer needs are not in it.
        rescued: Blocks whose struct pages are in it, and which were found without the list.
        scrubbed: Kinds of text that were replaced in the kernel's log.
    """

    version: str
    classes: tuple[str, ...]
    hidden_addresses: bool = False
    rescued: int = 0
    scrubbed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in one sentence."""
        classes = ", ".join(self.classes) or "none"
        hidden = "; addresses that no answer needs are left out" if self.hidden_addresses else ""
        scrubbed = "; the log is scrubbed" if "dmesg" in self.classes else ""
        return (
            f"an extract, made by vmemmap {self.version}, with the classes {classes}: every other "
            f"byte of its pages reads as zero, whatever it was{hidden}{scrubbed}"
        )


def encode_extract_note(note: ExtractNote) -> Note:
    """Put it as a note of a dump."""
    lines = {
        "FORM": FORM,
        "VERSION": note.version,
        "CLASSES": ",".join(note.classes),
        "ADDRESSES": "hidden" if note.hidden_addresses else "shown",
        "RESCUED": str(note.rescued),
        "SCRUBBED": ",".join(note.scrubbed),
    }
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    return Note(NAME, KIND, text.encode("ascii"))


def find_extract_note(notes: Iterable[Note]) -> ExtractNote | None:
    """Give what a dump says of itself if it is an extract, else None.

    A note of a later form, or one that is damaged, still says that much; what it lacks is empty.
    """
    for note in notes:
        if (note.name, note.kind) == (NAME, KIND):
            text = note.desc[:_MAX_BYTES].split(b"\0")[0].decode("ascii", "replace")
            lines = dict(line.partition("=")[::2] for line in text.splitlines())
            rescued = lines.get("RESCUED", "")
            return ExtractNote(
                version=_plain(lines.get("VERSION", "")) or "unknown",
                classes=_words(lines.get("CLASSES", "")),
                hidden_addresses=lines.get("ADDRESSES") == "hidden",
                rescued=int(rescued[:12]) if rescued.isascii() and rescued.isdigit() else 0,
                scrubbed=_words(lines.get("SCRUBBED", "")),
            )
    return None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in map(_plain, text.split(",")) if word)


def _plain(text: str) -> str:
    """Give a word that can go to a terminal."""
    return "".join(c for c in text if c.isprintable() and c.isascii())[:_WORD_MAX]
