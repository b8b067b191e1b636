"""What a kernel does with the list's nodes when memory is removed, by its release.

Distributions carry parts of newer kernels back, so a release proves little: it only decides how bad
a leftover is, never whether it is one.

Source: Linux arch/powerpc/mm/init_64.c, vmemmap_free(): missing or empty up to 3.16; since 3.17 it
unlinks the node and frees the block.
"""

from __future__ import annotations

import re

_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})", re.ASCII)
_FIRST_THAT_UNLINKS = (3, 17)


def may_leave_removed(release: str) -> bool:
    """Tell whether the kernel may leave the entries of removed memory in the list.

    Args:
        release: As ``uname -r`` prints it; an unknown one may.
    """
    match = _VERSION.match(release)
    return match is None or (int(match[1]), int(match[2])) < _FIRST_THAT_UNLINKS
