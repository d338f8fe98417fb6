"""Zstandard, by python-zstandard: its contexts are kept, and it takes libtiff's parameters."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import zstandard
from numpy.typing import NDArray

from georeader._codecs.streams import as_bytes

#: Between saves each thread keeps one context, where tiles are no larger than this: then it takes 6 MB at most, at any
#: level. To make one anew takes as long as to plan a small file.
SPARED_TILE_BYTES = 2**20


@dataclass(frozen=True)
class Zstd:
    """libtiff's codec 50000: one zstd frame with its content size (RFC 8878).

    A level stands for other parameters with small data than with large. libtiff compresses as a stream of unknown
    length, which takes those of large data; so does this. With rasters they are smaller more often than not, and at
    the higher levels much faster.

    Attributes:
        level: 1 to 22.
        contexts: Each thread's compressor; tables of some hundred kilobytes (level 3) to some megabytes. What it
            compressed before does not show in what it compresses next.
    """

    level: int = 3
    contexts: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress."""
        content = as_bytes(rows)
        return self._compressor(len(content)).compress(content)

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size_bytes)

    def _compressor(self, size_bytes: int) -> zstandard.ZstdCompressor:
        compressor: zstandard.ZstdCompressor | None = getattr(self.contexts, "compressor", None)
        if compressor is None:
            compressor = _spare(self.level) if size_bytes <= SPARED_TILE_BYTES else _new(self.level)
            self.contexts.compressor = compressor
        return compressor


#: Of each thread, the context of its last save.
_SPARE = threading.local()


def _spare(level: int) -> zstandard.ZstdCompressor:
    """Give the context of this thread's last save, or a new one for this and the next."""
    known: tuple[int, zstandard.ZstdCompressor] | None = getattr(_SPARE, "known", None)
    if known is None or known[0] != level:
        known = _SPARE.known = (level, _new(level))
    return known[1]


def _new(level: int) -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_content_size=True)
    return zstandard.ZstdCompressor(compression_params=parameters)
