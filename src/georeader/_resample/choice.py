"""NEAREST, MIN, MAX, MED, MODE and OR: one of the pixels of each 2x2 block, or their bits combined. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._resample.block import Block, core, corners, filled, valid_counts

Mask = NDArray[np.bool_] | None


def nearest(block: Block) -> NDArray[Any]:
    """Pick the top left pixel, whatever it is."""
    return core(block.values, block.margins)[0::2, 0::2].copy()


def minimum(block: Block) -> NDArray[Any]:
    """Pick the smallest valid pixel."""
    values, is_valid = block.whole_pairs()
    return _fold(np.minimum, _missing_as(_largest(values.dtype), values, is_valid))


def maximum(block: Block) -> NDArray[Any]:
    """Pick the largest valid pixel."""
    values, is_valid = block.whole_pairs()
    return _fold(np.maximum, _missing_as(_smallest(values.dtype), values, is_valid))


def bitwise_or(block: Block) -> NDArray[Any]:
    """Set each bit that a valid pixel has."""
    values, is_valid = block.whole_pairs()
    return _fold(np.bitwise_or, _missing_as(0, values, is_valid))


def median(block: Block) -> NDArray[Any]:
    """Pick the median of the valid pixels; of two in the middle the smaller, as GDAL's warper does."""
    values, is_valid = block.whole_pairs()
    a, b, c, d = corners(_missing_as(_largest(values.dtype), values, is_valid))
    low_top, high_top = np.minimum(a, b), np.maximum(a, b)
    low_bottom, high_bottom = np.minimum(c, d), np.maximum(c, d)
    second = np.minimum(np.maximum(low_top, low_bottom), np.minimum(high_top, high_bottom))
    if is_valid is None:
        return np.asarray(second)
    return np.asarray(np.where(valid_counts(is_valid) >= 3, second, np.minimum(low_top, low_bottom)))


def mode(block: Block) -> NDArray[Any]:
    """Pick the most frequent valid value; of two, the one that is there twice first, row by row, as GDAL does."""
    values, is_valid = block.whole_pairs()
    a, b, c, d = corners(values)
    if is_valid is None:
        repeated = np.where((d == b) | (d == c), d, a)
        repeated = np.where((c == a) | (c == b), c, repeated)
        return np.where(b == a, a, repeated)
    has_a, has_b, has_c, has_d = corners(is_valid)
    first = np.where(has_c, c, d)
    first = np.where(has_b, b, first)
    first = np.where(has_a, a, first)
    d_again = has_d & ((has_a & (d == a)) | (has_b & (d == b)) | (has_c & (d == c)))
    c_again = has_c & ((has_a & (c == a)) | (has_b & (c == b)))
    repeated = np.where(c_again, c, np.where(d_again, d, first))
    return np.where(has_a & has_b & (a == b), a, repeated)


def _missing_as(number: Any, values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    return values if is_valid is None else filled(values, is_valid, number)


def _fold(ufunc: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
    rows = ufunc(values[0::2], values[1::2])
    return np.asarray(ufunc(rows[:, 0::2], rows[:, 1::2]))


def _largest(dtype: np.dtype[Any]) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _smallest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
