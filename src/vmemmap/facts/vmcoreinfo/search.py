"""VMCOREINFO found in the dumped memory itself, for dumps whose container carries none.

Up to 4.12 the kernel keeps the text, and an ELF note of it, in static arrays: anywhere in its
image, on no page's beginning. Later ones have each in pages of its own, anywhere in memory. So the
beginnings of all pages are looked at, which is quick, and low memory, where images lie, byte by
byte. What is found is judged in ``candidates``. Nothing goes by the clock, so that the answer is
the same on every machine.

Source: Linux kernel/kexec.c up to 4.4, kernel/kexec_core.c up to 4.12, kernel/vmcore_info.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vmemmap.address import ByteOrder, Run
from vmemmap.errors import ReadError
from vmemmap.facts.vmcoreinfo.candidates import (
    POINTERS,
    FoundText,
    best_first,
    is_valid,
    read_candidate,
    read_up_to_nul,
)
from vmemmap.facts.vmcoreinfo.text_starts import Seen, starts_anywhere, starts_on_pages
from vmemmap.linear_map import LinearMemory, linear_phys
from vmemmap.source.base import PHYS_END, PhysicalSource

_IMAGES_END = 256 << 20
"""A kernel's image lies below this; but of a capture kernel's only most do."""
_LOW_END = 4 << 30
"""A capture kernel's image lies below this."""
_TEXT_START = b"OSRELEASE="

Tell = Callable[[float], None]
"""Told how far a search has come, 0 to 1."""


@dataclass(frozen=True, slots=True)
class SearchEffort:
    """How far a search goes.

    Attributes:
        page_heads: Pages of which the beginnings are looked at in all of memory, of either size: as
            many as 4 TiB have of 64 KiB, and 256 GiB of 4 KiB. Low memory is looked at whole.
        candidates: Places that look like a text; an honest memory has a handful.
    """

    page_heads: int = 1 << 26
    candidates: int = 1024


DEFAULT_EFFORT = SearchEffort()


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found.

    Attributes:
        found: One text of each kernel, the one to go by first; see `best_first`.
        unseen: What was not looked at because the effort was spent, in words; empty if nothing.
    """

    found: tuple[FoundText, ...]
    unseen: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """A part of the search.

    Attributes:
        within: Physical addresses.
        unit_bytes: Look where pages of this size begin; 0 to look everywhere.
    """

    within: Run
    unit_bytes: int = 0


_IN_IMAGES = _Step(Run(0, _IMAGES_END))
_IN_CAPTURE_KERNELS = _Step(Run(_IMAGES_END, _LOW_END))
_STEPS = (
    _Step(Run(0, _LOW_END), 65536),
    _IN_IMAGES,
    _Step(Run(0, _LOW_END), 4096),
    _IN_CAPTURE_KERNELS,
    _Step(Run(0, PHYS_END), 65536),
    _Step(Run(0, PHYS_END), 4096),
)
"""The quickest and likeliest first. Those for low memory look at all of it."""
_LOW_STEPS = 4


def find_in_memory(
    source: PhysicalSource, tell: Tell = lambda _: None, effort: SearchEffort = DEFAULT_EFFORT
) -> Searched:
    """Search the dump's memory for the VMCOREINFO of the kernels in it.

    Args:
        source: The dump.
        tell: Told how far it has come.
        effort: How far to go.

    Returns:
        What the first steps found if it leaves no question, or else what all of them did. Where a
        kernel has not crashed there is no other. One that has may have a capture kernel beside it,
        and a capture kernel has the one that crashed.
    """
    search = _Search(source, effort)
    ranges = source.ranges()
    is_low = len(ranges) > 0 and int(ranges[-1, 1]) <= _LOW_END
    steps = _STEPS[:_LOW_STEPS] if is_low else _STEPS
    for number, step in enumerate(steps):
        for done in search.take(step):
            tell((number + done) / len(steps))
        best = search.best()
        if best and (search.settled or number >= _last_step(best[0])):
            return Searched(best)
    return Searched(search.best(), search.unseen)


class _Search:
    """A search under way.

    Attributes:
        settled: A text was found that leaves no question.
        unseen: What was left out so far, in words.
    """

    def __init__(self, source: PhysicalSource, effort: SearchEffort) -> None:
        self._source = source
        self._effort = effort
        self._tried: set[int] = set()
        self._found: list[FoundText] = []
        self.settled = False
        self.unseen = ""

    def best(self) -> tuple[FoundText, ...]:
        """Give one text of each kernel found so far."""
        return best_first(self._found)

    def take(self, step: _Step) -> Iterator[float]:
        """Take a step, until a text leaves no question; yields how far it has come, 0 to 1."""
        left = self._effort.page_heads
        for seen in self._look(step):
            for start in seen.starts:
                self._try(start)
                if self.settled:
                    return
            yield seen.done
            left -= seen.heads
            if left <= 0 and seen.done < 1 and step.within.end > _LOW_END:
                self.unseen = (
                    f"pages of {step.unit_bytes >> 10} KiB beyond the first "
                    f"{self._effort.page_heads}"
                )
                return

    def _look(self, step: _Step) -> Iterator[Seen]:
        if step.unit_bytes:
            return starts_on_pages(self._source, step.unit_bytes, step.within.end)
        return starts_anywhere(self._source, step.within)

    def _try(self, start: int) -> None:
        if start in self._tried:
            return
        if len(self._tried) >= self._effort.candidates:
            self.unseen = f"places that look like it beyond the first {self._effort.candidates}"
            return
        self._tried.add(start)
        text = read_candidate(self._source, start)
        if text is not None:
            self._found.append(text)
            self.settled = _leaves_no_question(text)


def find_by_symbols(source: PhysicalSource, vmcoreinfo_data: int) -> bytes | None:
    """Find the text where a vmlinux says that the kernel keeps it.

    Args:
        source: The dump.
        vmcoreinfo_data: Address of the symbol: the text itself up to 4.12, a pointer to it since.

    Returns:
        The text, or None if there is none that a kernel wrote.
    """
    orders: tuple[ByteOrder, ByteOrder] = ("little", "big")
    try:
        pointers = [LinearMemory(source, order).word(vmcoreinfo_data) for order in orders]
    except ReadError:
        return None
    for virt in (vmcoreinfo_data, *pointers):
        phys = linear_phys(virt)
        text = read_up_to_nul(source, phys) if phys is not None else b""
        if text.startswith(_TEXT_START) and is_valid(text):
            return text
    return None


def _leaves_no_question(text: FoundText) -> bool:
    """Tell whether a text is the note of the only kernel there is, and all that it names is there.

    Of another build with this release's name some of the pointers may lead to pointers by chance.
    """
    alone = not text.crash_time and not text.image_phys
    named = sum(f"SYMBOL({name})" in text.info for name in POINTERS)
    return text.form == "note" and alone and text.pointers == named > 1


def _last_step(text: FoundText) -> int:
    """Give the number of the step after which nothing better than this text is to be expected.

    Where it lies tells where its note does, and the text of its capture kernel, which is the same
    kernel or one of its time.
    """
    if text.agreement < 0 or text.image_phys:
        return len(_STEPS)
    page_size = text.info.page_size()
    if text.phys % page_size:
        return _STEPS.index(_IN_CAPTURE_KERNELS if text.crash_time else _IN_IMAGES)
    # A copy may lie on a page's beginning when the kernel's own does not.
    return max(_STEPS.index(_Step(Run(0, _LOW_END), page_size)), _STEPS.index(_IN_IMAGES))
