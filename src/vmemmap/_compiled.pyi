from collections.abc import Callable
from typing import Any

KINDS: int
COUNTS: int
ORDERS: int

_Word = tuple[int, int, int]

class Pass:
    def __init__(
        self,
        *,
        size: int,
        swap: bool,
        places: tuple[int, int, int, int, int],
        masks: tuple[int, int, int, int, int, int],
        order: _Word,
        dtor: _Word,
        dtor_value: int,
        orders: int,
        max_order: int,
        kinds: tuple[int, int, int, int],
        base: int,
        ranges: Any,
        end_pfn: int,
        huge_seen: int,
        events: bool,
        wide: bool,
        learn: Callable[[int, int, int], tuple[int, int, int, int]],
        reach: Callable[[int], tuple[int, int]],
    ) -> None: ...
    def go(
        self,
        data: Any,
        spans: Any,
        stretches: Any,
        status: Any,
        kinds: Any = None,
        orders: Any = None,
        heads: Any = None,
        first: int = 0,
        runs: bool = False,
    ) -> None: ...
    def counts(self) -> bytes: ...
    def heads(self) -> int: ...
    def events(self) -> bytes: ...
    def runs(self) -> bytes: ...

class Lender:
    def __init__(self, missed: Callable[[int, int], Any], shift: int) -> None: ...
    def read(self, address: int, count: int, offset: int = 0, physical: bool = False, /) -> Any: ...
    def keep(self, start: int, data: Any, address: int, /) -> None: ...
    def forget(self) -> None: ...

def copy(
    data: Any,
    spans: Any,
    size: int,
    swap: bool,
    stretches: Any,
    out: Any,
    item: int,
    members: Any,
    /,
) -> bool: ...
def zero_pages(data: Any, spans: Any, page: int, out: Any, file: int = -1, /) -> bool: ...
def end_at_bus_error(message: bytes, code: int, /) -> None: ...
def remove_at_bus_error(path: bytes, whether: bool, /) -> bool: ...
def lzo1x_compress(data: Any, /) -> bytes: ...
def lzo1x_compress_pages(data: Any, offsets: Any, page: int, /) -> tuple[bytearray, bytes]: ...
def lzo1x_decompress(data: Any, size: int, /) -> bytes: ...
def lzo1x_decompress_into(data: Any, out: Any, /) -> None: ...
def lzo1x_decompress_pages(data: Any, places: Any, page: int, out: Any, /) -> bytes: ...
def make_room(fd: int, offset: int, size: int, /) -> bool: ...
def pack_pages(
    source: Any, offset: Any, size: Any, form: Any, page: int, codec: int, out: Any, /
) -> int: ...
