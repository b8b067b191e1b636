"""How many page descriptors a kdump file has, told by the file itself and not by its bitmap.

Nothing in a header says so. But writers put the descriptors and the pages' data one behind the
other, and each page's data behind that of the page before it::

    descriptors  D0  D1  D2  ...  Dn | zeros, where pages share them | P0 P1 P2 ... Pn | end
                 |__ says where P0 is ______________________________|

So D0 says where the descriptors end, one page of zeros aside, and whether that is true is seen in
the last of them: going back from Dn, each page ends where the next one begins, and Pn ends where
the data does, but for those that share one of zeros. Of a file that is cut off among its pages Pn
ends behind the file. What is no such file, or is cut off before, gets no answer here; then the
bitmap is counted.

Source: makedumpfile.c, write_kdump_pages_cyclic(); QEMU dump/dump.c, write_dump_pages().
"""

from __future__ import annotations

from vmemmap.address import ByteOrder
from vmemmap.formats import kdump as layout
from vmemmap.source.file_view import ByteView

_LOOKED_AT = 512
"""So many of the last descriptors have to fit."""


def count_descriptors(
    view: ByteView, at: int, order: ByteOrder, block_size: int, data_end: int, most: int
) -> int | None:
    """Tell how many descriptors a file has.

    Args:
        view: The file.
        at: Where the descriptors begin.
        order: Of their fields.
        block_size: Bytes of a page.
        data_end: Where the data of pages ends, as the headers or the file's size have it.
        most: More there cannot be: as many pages are in the file's range.

    Returns:
        The number, or None if the file does not tell.
    """
    size = layout.DESCRIPTOR_BYTES
    first = view.view(at, size)
    if len(first) < size:
        return None
    begins = int(layout.descriptor_struct(order).unpack(first)[0])
    for zeros in (0, block_size):
        count, rest = divmod(begins - zeros - at, size)
        if 0 < count <= most and not rest:
            looked_at = min(count, _LOOKED_AT)
            rows = view.view(at + (count - looked_at) * size, looked_at * size)
            data = begins - zeros, data_end
            if len(rows) == looked_at * size and _fit(rows, order, block_size, data):
                return count
    return None


def _fit(rows: memoryview, order: ByteOrder, block_size: int, data: tuple[int, int]) -> bool:
    """Tell whether the last descriptors are those of pages whose data is there, to its end."""
    found = list(layout.descriptor_struct(order).iter_unpack(rows))
    end = max(data[1], *(offset + size for offset, size, *_ in found))  # behind a file that is cut
    last, shared, latest = end, (0, 0, 0), (0, 0, 0)
    for offset, size, flags, _ in reversed(found):
        page = offset, size, flags
        if page in ((0, 0, 0), shared, latest):
            continue  # it was lost when the file was written; or is full of zeros, as others are
        if not 0 < size <= block_size or flags not in (0, *layout.CODEC_OF_FLAG):
            return False
        if offset + size == last:
            last, latest = offset, page
        elif shared[1] and offset + size == shared[0] and sum(shared[:2]) == last:
            last = offset  # the zeros were written between these two
        elif shared[1] or offset < data[0] or offset + size > last:
            return False
        else:
            shared = page
    # Where memory ends in zeros, it is only these that have been seen.
    return last < end or shared[1] > 0
