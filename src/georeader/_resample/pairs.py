"""Two rows to one, two columns to one: the loops that every pixel goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pair_sums(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Sum each 2x2 block, rows first.

    Rows lie side by side in memory, so the first half of the additions runs in vector registers. The order also gives
    the same last digit as GDAL's vector code, which adds rows first as well.

    Args:
        values: (row, column) with even sides.
        dtype: To add in; wide enough for the sum.
    """
    rows = np.add(values[0::2], values[1::2], dtype=dtype)
    return np.asarray(rows[:, 0::2] + rows[:, 1::2])


def valid_counts(is_valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count the valid pixels of each 2x2 block of a (row, column) mask with even sides."""
    return pair_sums(is_valid.view(np.uint8), np.dtype(np.uint8))


def corners(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give views of the top left, top right, bottom left and bottom right pixels of each 2x2 block."""
    return values[0::2, 0::2], values[0::2, 1::2], values[1::2, 0::2], values[1::2, 1::2]


def halve_mask(is_valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Halve a validity mask: valid where any pixel of a 2x2 block is.

    At an odd edge a block has the pixels that are there.

    Args:
        is_valid: (row, column), never changed.

    Returns:
        (row, column) of half the size, rounded up.

    >>> halve_mask(np.array([[True, False, False], [False, False, False]]))
    array([[ True, False]])
    """
    rows, columns = is_valid.shape
    result = is_valid[0::2, 0::2].copy()
    result[:, : columns // 2] |= is_valid[0::2, 1::2]
    result[: rows // 2] |= is_valid[1::2, 0::2]
    result[: rows // 2, : columns // 2] |= is_valid[1::2, 1::2]
    return result
