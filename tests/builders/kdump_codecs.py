"""Page codecs of the kdump format, compressing side; each library is imported when first used.

Reference: dump-formats.md 1.5: zlib stream, LZO1X, raw (unframed) snappy, one zstd frame with its
content size.
"""

from __future__ import annotations

import importlib
import zlib
from typing import Literal

Codec = Literal["raw", "zlib", "lzo", "snappy", "zstd"]

CODEC_FLAGS: dict[Codec, int] = {"raw": 0, "zlib": 0x1, "lzo": 0x2, "snappy": 0x4, "zstd": 0x20}
CODEC_MODULES: dict[Codec, str] = {"lzo": "lzallright", "snappy": "cramjam", "zstd": "zstandard"}


def compress(codec: Codec, page: bytes) -> bytes:
    """Return *page* packed by *codec*; for ``"raw"`` the page itself."""
    if codec == "raw":
        return page
    if codec == "zlib":
        return zlib.compress(page, 1)
    library = importlib.import_module(CODEC_MODULES[codec])
    if codec == "lzo":
        return bytes(library.LZOCompressor().compress(page))
    if codec == "snappy":
        return bytes(library.snappy.compress_raw(page))
    return bytes(library.ZstdCompressor(level=1).compress(page))
