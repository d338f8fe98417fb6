"""The mean of the valid pixels of each 2x2 block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._resample.bits import filled
from georeader._resample.block import Block
from georeader._resample.pairs import corners, pair_sums, valid_counts

Mask = NDArray[np.bool_] | None

#: Four 64-bit integers below it have a sum of 64 bits.
_LARGEST_SUMMABLE = 1 << 61


def average(block: Block) -> NDArray[Any]:
    """Average 2x2 pixels: integers exactly, halves rounded away from zero as GDAL does."""
    return block_means(*block.whole_pairs())


def block_means(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    """Average the valid pixels of each 2x2 block.

    Args:
        values: (row, column) with even sides.
        is_valid: Of the same shape; None: all are.

    Returns:
        Means in the dtype of ``values``; any number where a block has no valid pixel.
    """
    kind, size = values.dtype.kind, values.dtype.itemsize
    if is_valid is not None:
        values = filled(values, is_valid, 0)
    if kind in "fc":
        return _float_means(values, is_valid)
    if size == 8:
        return _wide_means(values, is_valid)
    sums = pair_sums(values, np.dtype(f"{kind}{2 * size}"))
    if is_valid is None:
        return _quarters(sums).astype(values.dtype)
    counts = np.maximum(valid_counts(is_valid), 1)
    # A sum of four 16-bit integers has 18 bits, and a third is at least a sixth away from a half: single precision
    # rounds as exact division would. The same holds for 32 bits and double precision.
    means = np.divide(sums, counts, dtype=np.float32 if size <= 2 else np.float64)
    means += 0.5 if kind == "u" else np.copysign(means.dtype.type(0.5), means)
    return np.asarray(means.astype(values.dtype))


def _quarters(sums: NDArray[Any]) -> NDArray[Any]:
    """Divide by four in place, halves away from zero."""
    if sums.dtype.kind == "i":
        sums += sums >> (8 * sums.dtype.itemsize - 1)  # -1 where negative
    sums += 2
    sums >>= 2
    return sums


def _wide_means(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    """Average 64-bit integers: where four of them may have a sum of 66 bits, quotients and remainders are summed."""
    dtype = values.dtype
    counts: Any = dtype.type(4) if is_valid is None else np.maximum(valid_counts(is_valid), 1).astype(dtype)
    if max(-int(values.min()), int(values.max())) < _LARGEST_SUMMABLE:
        sums = pair_sums(values, dtype)
        if is_valid is None:
            return _quarters(sums)
        whole, rest = np.divmod(sums, counts)
    else:
        divided = [np.divmod(corner, counts) for corner in corners(values)]
        whole = np.add.reduce([quotient for quotient, _ in divided])
        rest = np.add.reduce([remainder for _, remainder in divided])
    twice = 2 * rest + counts
    if dtype.kind == "i":
        twice -= whole + rest // counts < 0  # the sum is negative: a half goes down
    return np.asarray(whole + twice // (2 * counts))


def _float_means(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    means = pair_sums(values, values.dtype)
    # Parts of complex numbers are divided apart: one that is infinite is no matter of the other.
    parts = means.view(means.real.dtype).reshape(*means.shape, -1)
    if is_valid is None:
        parts *= parts.dtype.type(0.25)
    else:
        parts /= np.maximum(valid_counts(is_valid), 1)[..., None]
    is_redone = ~np.isfinite(means)
    if is_redone.any():
        _redo_overflown(means, is_redone, values, is_valid)
    return means


def _redo_overflown(means: NDArray[Any], is_redone: NDArray[np.bool_], values: NDArray[Any], is_valid: Mask) -> None:
    """Average again, divided first, where a sum was larger than the dtype holds though the mean is not."""
    count: Any = 4 if is_valid is None else np.maximum(valid_counts(is_valid)[is_redone], 1)
    for part in ("real", "imag") if means.dtype.kind == "c" else ("real",):
        redone = [getattr(corner, part)[is_redone] for corner in corners(values)]
        a, b, c, d = (corner / count for corner in redone)
        means_again = (a + c) + (b + d)
        # Three thirds of the largest number may be rounded up to infinity.
        getattr(means, part)[is_redone] = np.clip(means_again, np.minimum.reduce(redone), np.maximum.reduce(redone))
