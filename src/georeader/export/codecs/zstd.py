"""Zstandard, by python-zstandard: its contexts are kept, and it takes libtiff's parameters."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import zstandard
from numpy.typing import NDArray

from georeader.export.codecs.streams import as_bytes


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
        return self._compressor().compress(as_bytes(rows))

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size_bytes)

    def _compressor(self) -> zstandard.ZstdCompressor:
        compressor: zstandard.ZstdCompressor | None = getattr(self.contexts, "compressor", None)
        if compressor is None:
            parameters = zstandard.ZstdCompressionParameters.from_level(self.level, write_content_size=True)
            compressor = zstandard.ZstdCompressor(compression_params=parameters)
            self.contexts.compressor = compressor
        return compressor
