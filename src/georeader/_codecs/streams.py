"""Codecs for bytes: none, packbits, lzw, deflate, zstd, lzma. A predictor may precede them.

References:
    TIFF 6.0, sections 3, 9 (packbits) and 13 (LZW); Adobe Photoshop TIFF Technical Notes (2002), deflate in zlib's
    container; libtiff's codecs 50000 (zstd, RFC 8878) and 34925 (xz).
"""

from __future__ import annotations

import lzma
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import zstandard
from numpy.typing import NDArray

from georeader._codecs import lzw
from georeader._codecs.predictors import predict, unpredict

#: For tiles up to this size each thread keeps one zstd context between saves, of 6 MB at most at any level. Making one
#: takes as long as planning a small file.
SPARED_TILE_BYTES = 2**20

#: Dictionary size of each preset of xz.
_XZ_DICTIONARY_BYTES = tuple(2**power for power in (18, 20, 21, 22, 22, 23, 23, 24, 25, 26))

#: The level and zstd context of each thread's last save.
_SPARE = threading.local()


class Stream(NamedTuple):
    """Compression of the rows of a tile, and its inverse."""

    compress: Callable[[NDArray[Any]], bytes]  #: Of (row, anything), C-contiguous.
    decompress: Callable[[bytes, int], bytes]  #: Of the data, to that many bytes.


@dataclass(frozen=True)
class StreamScheme:
    """A predictor followed by a codec for bytes."""

    dtype: np.dtype[Any]
    predictor: int
    stream: Stream
    is_big_endian: bool = False  #: Byte order of what is compressed; bytes by significance have none.

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Predict, then compress."""
        rows = predict(tile, self.predictor)
        if self.is_big_endian:
            rows = rows.astype(rows.dtype.newbyteorder(">"), copy=False)
        return self.stream.compress(rows)

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress, then undo the predictor."""
        size_bytes = int(np.prod(shape)) * self.dtype.itemsize
        stored = self.stream.decompress(data, size_bytes)
        return unpredict(stored, shape, self.dtype, self.predictor, ">" if self.is_big_endian else "<")


@dataclass(frozen=True)
class ZstdEncoder:
    """One zstd frame with its content size.

    The parameters of a level depend on the size of the data. libtiff compresses a stream of unknown length, with the
    parameters for large data; so does this. For rasters the results are mostly smaller, and at the higher levels much
    faster.
    """

    level: int
    #: The compressor of each thread, of some hundred kilobytes (level 3) to some megabytes. Its output does not depend
    #: on what it compressed before.
    contexts: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def __call__(self, rows: NDArray[Any]) -> bytes:
        compressor: zstandard.ZstdCompressor | None = getattr(self.contexts, "compressor", None)
        if compressor is None:
            compressor = self.contexts.compressor = self._compressor(is_spared=rows.nbytes <= SPARED_TILE_BYTES)
        return compressor.compress(_bytes_of(rows))

    def _compressor(self, *, is_spared: bool) -> zstandard.ZstdCompressor:
        """Return the context of this thread's last save, or a new one."""
        level, compressor = getattr(_SPARE, "known", (None, None))
        if not is_spared or compressor is None or level != self.level:
            parameters = zstandard.ZstdCompressionParameters.from_level(self.level, write_content_size=True)
            compressor = zstandard.ZstdCompressor(compression_params=parameters)
        if is_spared:
            _SPARE.known = self.level, compressor
        return compressor


def _sized(decode: Callable[..., Any]) -> Callable[[bytes, int], bytes]:
    return lambda data, size_bytes: bytes(decode(data, out=size_bytes))


#: Codecs by GDAL's names, each with a level and the bytes of a sample.
STREAMS: Mapping[str, Callable[[int, int], Stream]] = {
    "NONE": lambda _, __: Stream(np.ndarray.tobytes, lambda data, size_bytes: data[:size_bytes]),
    "PACKBITS": lambda _, __: Stream(_packbits, _sized(imagecodecs.packbits_decode)),
    "LZW": lambda _, __: Stream(lambda rows: lzw.encode(_bytes_of(rows)), lzw.decode),
    "DEFLATE": lambda level, _: Stream(
        lambda rows: deflated(_bytes_of(rows), level), _sized(imagecodecs.deflate_decode)
    ),
    "ZSTD": lambda level, _: Stream(
        ZstdEncoder(level),
        lambda data, size_bytes: zstandard.ZstdDecompressor().decompress(data, max_output_size=size_bytes),
    ),
    "LZMA": lambda preset, sample_bytes: Stream(
        lambda rows: _xz(_bytes_of(rows), preset, sample_bytes),
        lambda data, size_bytes: lzma.decompress(data, format=lzma.FORMAT_XZ)[:size_bytes],
    ),
}


def _packbits(rows: NDArray[Any]) -> bytes:
    """Pack each row separately, so that no run crosses its end."""
    return bytes(imagecodecs.packbits_encode(rows.view(np.uint8), axis=-1))


def deflated(data: Any, level: int) -> bytes:
    """Compress by libdeflate at libtiff's level: for 6 to 9 it passes one more, to be as small as zlib."""
    return bytes(imagecodecs.deflate_encode(data, level=level + 1 if 6 <= level <= 9 else level))


def _xz(data: memoryview, preset: int, sample_bytes: int) -> bytes:
    """Compress to an xz stream without a checksum, of a delta filter over one sample and LZMA2."""
    # A dictionary larger than the tile does not help, and clearing its tables takes most of the time.
    dictionary_bytes = min(_XZ_DICTIONARY_BYTES[preset], max(4096, len(data)))
    filters = [
        {"id": lzma.FILTER_DELTA, "dist": sample_bytes},
        {"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary_bytes},
    ]
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=filters)


def _bytes_of(rows: NDArray[Any]) -> memoryview:
    """Return the bytes of a C-contiguous array without a copy."""
    return rows.data.cast("B")
