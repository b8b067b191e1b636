"""A kernel's release as three numbers, to tell which of two kernels is older.

Distributions carry parts of newer kernels back, so a release proves little. It decides between
equal evidence, and how much a leftover weighs; whether something is there is asked of the dump.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NUMBERS = re.compile(r"(\d{1,3})\.(\d{1,4})(?:\.(\d{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Release:
    """A release, compared by its numbers: ``Release("5.3") <= release``.

    Attributes:
        text: As ``uname -r`` prints it, such as ``6.1.0-50-powerpc64le``.
        numbers: The first three numbers in it, where a missing third one is 0; None if it does not
            begin with a version.
    """

    text: str
    numbers: tuple[int, int, int] | None = field(init=False)

    def __post_init__(self) -> None:
        found = _NUMBERS.match(self.text)
        numbers = (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
        object.__setattr__(self, "numbers", numbers)

    @property
    def is_known(self) -> bool:
        """It has numbers. One that has none is neither older nor newer than another."""
        return self.numbers is not None

    def __le__(self, other: Release) -> bool:
        return self._compared() <= other._compared()

    def __lt__(self, other: Release) -> bool:
        return self._compared() < other._compared()

    def _compared(self) -> tuple[int, int, int]:
        if self.numbers is None:
            raise ValueError(f"the release {self.text!r} cannot be compared: ask is_known before")
        return self.numbers


UNKNOWN = Release("")
"""The release of a kernel that does not tell it."""
