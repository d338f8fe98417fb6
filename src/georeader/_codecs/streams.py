"""Codecs for bytes, which know nothing of pixels: none, deflate, packbits, lzma. Predictors stand before them."""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from georeader._codecs.predictors import predict, unpredict


class Stream(Protocol):
    """Rows of a tile to compressed bytes, and back."""

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress the bytes of (row, anything), which is C-contiguous."""

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Give the ``size_bytes`` bytes back."""


@dataclass(frozen=True)
class StreamScheme:
    """A codec for bytes behind a predictor.

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
        """Copy them."""
        return rows.tobytes()

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Give them as they are."""
        return data[:size_bytes]


@dataclass(frozen=True)
class Packbits:
    """TIFF 6.0, section 9: each row is packed on its own, so that no run goes on over its end."""

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
        level: 1 to 12, as libtiff counts: for 6 to 9 it asks libdeflate for one more, to be as small as zlib.
    """

    level: int = 6

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress."""
        return deflated(as_bytes(rows), self.level)

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return bytes(imagecodecs.deflate_decode(data, out=size_bytes))


#: Bytes of dictionary that each preset of xz asks for.
_LZMA_DICTIONARY_BYTES = tuple(2**power for power in (18, 20, 21, 22, 22, 23, 23, 24, 25, 26))


@dataclass(frozen=True)
class Lzma:
    """libtiff's codec 34925: an xz stream without a checksum, of a delta filter and LZMA2.

    The delta filter's distance is one sample: 1 to 8 bytes, which libtiff's writer means too, though it takes 1 where
    it does not know the dtype yet. Readers find the distance in the stream.

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
        # A dictionary larger than the tile finds no more, and its tables take most of the time to clear.
        dictionary_bytes = min(_LZMA_DICTIONARY_BYTES[self.preset], max(4096, size_bytes))
        return [
            {"id": lzma.FILTER_DELTA, "dist": self.sample_bytes},
            {"id": lzma.FILTER_LZMA2, "preset": self.preset, "dict_size": dictionary_bytes},
        ]


def as_bytes(rows: NDArray[Any]) -> Any:
    """Give the bytes of a C-contiguous array without a copy, as a memoryview."""
    return rows.data.cast("B")


def deflated(data: Any, level: int) -> bytes:
    """Compress by libdeflate, in zlib's container, at libtiff's level."""
    return bytes(imagecodecs.deflate_encode(data, level=level + 1 if 6 <= level <= 9 else level))
