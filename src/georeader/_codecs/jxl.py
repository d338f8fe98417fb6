"""JPEG XL in TIFF, by libjxl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class JxlScheme:
    """GDAL's codec 50002: one JPEG XL image a tile (ISO/IEC 18181).

    Attributes:
        effort: 1 to 9.
        distance: Largest difference that may be seen, in Butteraugli's unit; None keeps every sample.
    """

    effort: int
    distance: float | None

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress, in the calling thread alone: the same bytes each time."""
        pixels = np.ascontiguousarray(tile[:, :, 0] if tile.shape[2] == 1 else tile)
        loss = {"lossless": True} if self.distance is None else {"lossless": False, "distance": self.distance}
        return bytes(imagecodecs.jpegxl_encode(pixels, effort=self.effort, usecontainer=False, numthreads=1, **loss))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress."""
        pixels: NDArray[Any] = imagecodecs.jpegxl_decode(data, numthreads=1)
        return pixels.reshape(shape)
