"""What was added to a drgn program, kept with the program itself."""

from __future__ import annotations

from dataclasses import dataclass

import drgn

from vmemmap.translate.regions import Region
from vmemmap.vmcore import Vmcore

_KEY = "vmemmap"
"""Where the program's cache has our `Attachment`."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What was added to a program.

    Attributes:
        core: The dump, open for as long as the program lives; None if nothing was added.
        regions: The parts of the kernel's address space that are read through `core`.
    """

    core: Vmcore | None
    regions: tuple[Region, ...]


NOTHING = Attachment(None, ())


def attachment_of(prog: drgn.Program) -> Attachment | None:
    """Give what was added to *prog*, or None if nobody has looked at it yet."""
    found = prog.cache.get(_KEY)
    return found if isinstance(found, Attachment) else None


def keep_with(prog: drgn.Program, attachment: Attachment) -> None:
    """Keep with *prog* what was added to it; with `NOTHING`, ``attach`` leaves it alone."""
    prog.cache[_KEY] = attachment
