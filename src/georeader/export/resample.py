"""2x2 pixels to one. Pure: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def average_2x2(values: NDArray[Any], is_valid: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Halve a raster by averaging the valid pixels of each 2x2 block.

    At an odd edge a block has the pixels that are there. Integers of 64 bits are exact, rounded half up.

    Args:
        values: (band, row, column), floating-point, complex or 64-bit integers.
        is_valid: Of the same shape; where the values count.

    Returns:
        ``(averages, is_valid)`` of half the size, rounded up. A pixel is valid where one of its block was; elsewhere
        its average is 0.
    """
    count = np.maximum(_block_sums(is_valid.astype(np.int64)), 1)
    counted = np.where(is_valid, values, values.dtype.type(0))
    if values.dtype.kind in "iu":
        result = _integer_means(counted, count)
    else:
        wide = np.result_type(values.dtype, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are numbers like any other
            result = (_block_sums(counted.astype(wide)) / count).astype(values.dtype)
    return result, _block_sums(is_valid.astype(np.int64)) > 0


def _block_sums(values: NDArray[Any]) -> NDArray[Any]:
    bands, rows, columns = values.shape
    padded = np.pad(values, ((0, 0), (0, rows % 2), (0, columns % 2)))
    blocks = padded.reshape(bands, (rows + 1) // 2, 2, (columns + 1) // 2, 2)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(blocks.sum(axis=(2, 4)))


def _integer_means(values: NDArray[Any], count: NDArray[np.int64]) -> NDArray[Any]:
    """Divide in two halves of 32 bits: four 64-bit integers have a sum of 66."""
    high = _block_sums((values >> 32).astype(np.int64))
    low = _block_sums((values & 0xFFFFFFFF).astype(np.int64))
    whole, rest = np.divmod(high, count)
    low_mean = (2 * ((rest << 32) + low) + count) // (2 * count)
    return np.asarray((whole.astype(values.dtype) << 32) + low_mean.astype(values.dtype))
