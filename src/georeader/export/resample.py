"""2x2 pixels to one. Pure: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def average_2x2(values: NDArray[Any], is_valid: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Halve a raster by averaging the valid pixels of each 2x2 block.

    At an odd edge a block has the pixels that are there.

    Args:
        values: (band, row, column), floating-point or complex.
        is_valid: Of the same shape; where the values count.

    Returns:
        ``(averages, is_valid)`` of half the size, rounded up. A pixel is valid where one of its block was; elsewhere
        its average is 0.
    """
    bands, rows, columns = values.shape
    padding = ((0, 0), (0, rows % 2), (0, columns % 2))
    blocks = (bands, (rows + 1) // 2, 2, (columns + 1) // 2, 2)
    count = np.pad(is_valid, padding).reshape(blocks).sum(axis=(2, 4))
    wide = np.result_type(values.dtype, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are numbers like any other
        total = np.pad(np.where(is_valid, values, 0), padding).reshape(blocks).sum(axis=(2, 4), dtype=wide)
        return (total / np.maximum(count, 1)).astype(values.dtype), count > 0
