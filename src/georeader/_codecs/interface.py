"""What the rest of the engine sees of a codec."""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import zstandard
from numpy.typing import NDArray

from georeader.errors import ReadError, ShapeError, WriteError

#: (tag number, `TagType`, values): numerator and denominator of each rational, or one bytes object.
TagEntry: TypeAlias = tuple[int, int, tuple[Any, ...]]

#: What the libraries behind the codecs raise; imagecodecs' own errors are all RuntimeErrors.
_LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


class Scheme(Protocol):
    """A way to lay the pixels of a tile out as bytes. Several threads may use it at once."""

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Give the bytes of a tile (row, column, sample), which stays as it is."""

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Give the tile (row, column, sample) that a reader gets out of its bytes."""


@dataclass(frozen=True)
class TileCodec:
    """A codec with its options, for tiles of one dtype and number of samples; `tile_codec` makes it.

    Several threads may use it at once: nothing that one of them sees is written by another, and the libraries release
    the GIL while they work.

    Attributes:
        name: GDAL's name, in upper case.
        dtype: Of the samples, in native byte order.
        samples: Bands in one tile.
        compression_tag: Value of the tag Compression.
        scheme: How it is done.
        tags: What the directory needs besides the ordinary tags.
        photometric: Value that PhotometricInterpretation has to have, or None: any.
        is_lossy: Whether pixels may change.
    """

    name: str
    dtype: np.dtype[Any]
    samples: int
    compression_tag: int
    scheme: Scheme
    tags: tuple[TagEntry, ...] = ()
    photometric: int | None = None
    is_lossy: bool = False

    def encode(self, tile: NDArray[Any]) -> bytes:
        """Give the bytes of a tile. The same tile gives the same bytes, in any thread.

        Args:
            tile: (row, column, sample) of the codec's dtype and samples, best C-contiguous; of one sample, it may as
                well be cut out of a larger array. Never changed.

        Returns:
            A new bytes object. Meanwhile it takes up to three times the tile's bytes.

        Raises:
            ShapeError: The tile has another dtype or number of samples.
            WriteError: The encoder failed; its own error is the cause.

        Example:
            >>> from georeader._codecs import tile_codec
            >>> codec = tile_codec("PACKBITS", dtype="uint8")
            >>> codec.encode(np.zeros((1, 16, 1), dtype="uint8")).hex()
            'f100'
        """
        if tile.ndim != 3 or tile.shape[2] != self.samples or tile.dtype != self.dtype or not tile.size:
            raise ShapeError(
                f"a tile for {self._title} is (row, column, {self.samples}) of {self.dtype}, "
                f"not {tile.shape} of {tile.dtype}"
            )
        try:
            return self.scheme.encode(tile)
        except _LIBRARY_ERRORS as error:
            raise WriteError(f"{self._title} can't encode a tile of {tile.shape} {self.dtype}: {error}") from error

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """Give the tile that a reader gets out of these bytes.

        Args:
            data: What `encode` gave.
            shape: (row, column, sample) of the tile.

        Returns:
            A new array of that shape and the codec's dtype.

        Raises:
            ReadError: The bytes are no such tile; the decoder's own error is the cause.

        Example:
            >>> from georeader._codecs import tile_codec
            >>> codec = tile_codec("ZSTD", dtype="int16", predictor=2)
            >>> tile = np.array([[[-1], [300]]], dtype="int16")
            >>> codec.decode(codec.encode(tile), (1, 2, 1)).ravel().tolist()
            [-1, 300]
        """
        try:
            tile = self.scheme.decode(data, shape)
            if tile.dtype != self.dtype:
                raise ValueError(f"they are pixels of {tile.dtype}, not {self.dtype}")
            return tile.reshape(shape)
        except _LIBRARY_ERRORS as error:
            raise ReadError(f"{self._title} can't decode {len(data)} bytes as a tile of {shape}: {error}") from error

    @property
    def _title(self) -> str:
        return f"compress={self.name.lower()!r}"
