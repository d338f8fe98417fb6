"""WebP in TIFF, by libwebp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WebpScheme:
    """libtiff's codec 50001: one WebP image a tile.

    libwebp leaves an alpha band out where all of it is 255. Readers that are asked for four bands fill it in again
    (libtiff since 4.4), and GDAL writes such tiles too.

    Attributes:
        quality: 1 to 100; without losses it is libwebp's effort.
        lossless: Keep every sample, colours below alpha 0 too.
    """

    quality: int
    lossless: bool

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress."""
        pixels = np.ascontiguousarray(tile)
        return bytes(imagecodecs.webp_encode(pixels, level=self.quality, lossless=self.lossless, method=4))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress."""
        pixels: NDArray[Any] = imagecodecs.webp_decode(data, hasalpha=shape[2] == 4)
        return pixels
