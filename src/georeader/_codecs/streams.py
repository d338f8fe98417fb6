"""Codecs for bytes: none, packbits, deflate, zstd, lzma. A predictor may precede them."""

from __future__ import annotations

import lzma
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import imagecodecs
import numpy as np
import zstandard
from numpy.typing import NDArray

from georeader._codecs.predictors import predict, unpredict


class Stream(Protocol):
    """Compression of the rows of a tile."""

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress the bytes of (row, anything), which is C-contiguous."""

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Return the ``size_bytes`` bytes."""


@dataclass(frozen=True)
class StreamScheme:
    """A predictor followed by a codec for bytes.

    Attributes:
        dtype: Of the samples.
        predictor: 1, 2 or 3.
        stream: The codec.
    """

    dtype: np.dtype[Any]
    predictor: int
    stream: Stream

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Predict, then compress."""
        return self.stream.compress(predict(tile, self.predictor))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress, then undo the predictor."""
        size_bytes = int(np.prod(shape)) * self.dtype.itemsize
        return unpredict(self.stream.decompress(data, size_bytes), shape, self.dtype, self.predictor)


@dataclass(frozen=True)
class Uncompressed:
    """TIFF 6.0, section 3: bytes as they are."""

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Copy."""
        return rows.tobytes()

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Return them as they are."""
        return data[:size_bytes]


@dataclass(frozen=True)
class Packbits:
    """TIFF 6.0, section 9: each row is packed separately, so that no run crosses its end."""

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress."""
        return bytes(imagecodecs.packbits_encode(rows.view(np.uint8), axis=-1))

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return bytes(imagecodecs.packbits_decode(data, out=size_bytes))


@dataclass(frozen=True)
class Deflate:
    """Adobe Photoshop TIFF Technical Notes (2002): deflate in zlib's container, by libdeflate.

    Attributes:
        level: 1 to 12, libtiff's: for 6 to 9 it passes libdeflate one more, to be as small as zlib.
    """

    level: int = 6

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress."""
        return deflated(as_bytes(rows), self.level)

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return bytes(imagecodecs.deflate_decode(data, out=size_bytes))


#: For tiles up to this size each thread keeps one context between saves, of 6 MB at most at any level. Making one takes
#: as long as planning a small file.
SPARED_TILE_BYTES = 2**20


@dataclass(frozen=True)
class Zstd:
    """libtiff's codec 50000: one zstd frame with its content size (RFC 8878).

    The parameters of a level depend on the size of the data. libtiff compresses a stream of unknown length, with the
    parameters for large data; so does this. For rasters the results are mostly smaller, and at the higher levels much
    faster.

    Attributes:
        level: 1 to 22.
        contexts: The compressor of each thread, of some hundred kilobytes (level 3) to some megabytes. Its output does
            not depend on what it compressed before.
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


#: The context of each thread's last save.
_SPARE = threading.local()


def _spare(level: int) -> zstandard.ZstdCompressor:
    """Return the context of this thread's last save, or a new one for this and the next."""
    known: tuple[int, zstandard.ZstdCompressor] | None = getattr(_SPARE, "known", None)
    if known is None or known[0] != level:
        known = _SPARE.known = (level, _new(level))
    return known[1]


def _new(level: int) -> zstandard.ZstdCompressor:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, write_content_size=True)
    return zstandard.ZstdCompressor(compression_params=parameters)


#: Dictionary size of each preset of xz.
_LZMA_DICTIONARY_BYTES = tuple(2**power for power in (18, 20, 21, 22, 22, 23, 23, 24, 25, 26))


@dataclass(frozen=True)
class Lzma:
    """libtiff's codec 34925: an xz stream without a checksum, of a delta filter and LZMA2.

    The delta filter's distance is one sample: 1 to 8 bytes, as in libtiff, which takes 1 where it does not know the
    dtype yet. Readers find the distance in the stream.

    Attributes:
        preset: 0 to 9, xz's.
        sample_bytes: Length of a sample.
    """

    preset: int
    sample_bytes: int

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress."""
        return lzma.compress(
            as_bytes(rows), format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=self._filters(rows.nbytes)
        )

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return lzma.decompress(data, format=lzma.FORMAT_XZ)[:size_bytes]

    def _filters(self, size_bytes: int) -> list[Mapping[str, Any]]:
        # A dictionary larger than the tile does not help, and clearing its tables takes most of the time.
        dictionary_bytes = min(_LZMA_DICTIONARY_BYTES[self.preset], max(4096, size_bytes))
        return [
            {"id": lzma.FILTER_DELTA, "dist": self.sample_bytes},
            {"id": lzma.FILTER_LZMA2, "preset": self.preset, "dict_size": dictionary_bytes},
        ]


def as_bytes(rows: NDArray[Any]) -> Any:
    """Return the bytes of a C-contiguous array as a memoryview, without a copy."""
    return rows.data.cast("B")


def deflated(data: Any, level: int) -> bytes:
    """Compress by libdeflate, in zlib's container, at libtiff's level."""
    return bytes(imagecodecs.deflate_encode(data, level=level + 1 if 6 <= level <= 9 else level))
