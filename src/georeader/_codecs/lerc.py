"""LERC in TIFF: values within a given error of what they were, and a mask of those that are NaN.

References:
    Esri's LERC specification, version 2.4; libtiff's codec 34887, whose choices of masks this follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

#: LercParameters holds the version of the format and the codec that follows.
VERSION = 4
FOLLOWING_CODECS = {"LERC": 0, "LERC_DEFLATE": 1, "LERC_ZSTD": 2}


@dataclass(frozen=True)
class LercScheme:
    """libtiff's codec 34887.

    NaN is not stored as a value: where all bands of a pixel are NaN, one mask says so; where only some are, bands are
    laid out one after the other, each with a mask. NaNs come back as NaN, though without the bits that they may carry.

    Attributes:
        max_z_error: Largest error; 0: none. Below 1, integers are exact.
        compress: What follows LERC.
        decompress: Its way back.
    """

    max_z_error: float
    compress: Callable[[bytes], bytes] = bytes
    decompress: Callable[[bytes], bytes] = bytes

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress."""
        pixels, masks, planar = _with_masks(np.ascontiguousarray(tile))
        # Given room, the encoder need not run twice to find out how much it takes. It leaves the bits that fill up
        # the last word as it finds them: room of zeros makes them the same each time.
        room = bytearray(4096 + pixels.nbytes + pixels.nbytes // 3 + (0 if masks is None else masks.nbytes // 4))
        blob = imagecodecs.lerc_encode(
            pixels, level=self.max_z_error, masks=masks, version=VERSION, planar=planar, out=room
        )
        return self.compress(bytes(blob))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress, with NaN where a mask says so."""
        pixels, is_valid = imagecodecs.lerc_decode(self.decompress(data), masks=True)
        if pixels.shape == (shape[2], *shape[:2]) and shape[2] > 1 and is_valid is not None and is_valid.ndim == 3:
            pixels, is_valid = np.moveaxis(pixels, 0, 2), np.moveaxis(is_valid, 0, 2)
        tile: NDArray[Any] = np.array(pixels).reshape(shape)
        if is_valid is not None:
            tile[~is_valid] = np.nan
        return tile


def _with_masks(tile: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None, bool]:
    """Give pixels, masks of those that are numbers, and whether bands come one after the other."""
    squeezed = tile[:, :, 0] if tile.shape[2] == 1 else tile
    if tile.dtype.kind != "f":
        return squeezed, None, False
    is_nan = np.isnan(tile)
    if not is_nan.any():
        return squeezed, None, False
    is_empty = is_nan.all(axis=2)
    if np.array_equal(is_empty, is_nan.any(axis=2)):
        return squeezed, ~is_empty, False
    return np.ascontiguousarray(np.moveaxis(tile, 2, 0)), np.ascontiguousarray(~np.moveaxis(is_nan, 2, 0)), True
