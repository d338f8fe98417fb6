"""AVERAGE and RMS: the mean, and the root of the mean square, of the valid pixels of each 2x2 block. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._resample.block import Block, corners, filled, pair_sums, rounded, valid_counts

Mask = NDArray[np.bool_] | None

Counts = NDArray[np.uint8] | int

#: Four 64-bit integers below it have a sum of 64 bits.
_LARGEST_SUMMABLE = 1 << 61

#: From here on roots in double precision may be wrong in the last digit before the point.
_DOUBLE_LIMIT = 2.0**40


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
    # Parts of complex numbers are divided separately, so that an infinite one does not affect the other.
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
    """Average again where a sum overflows the dtype and the mean does not: pixels are divided before they are added."""
    count: Any = 4 if is_valid is None else np.maximum(valid_counts(is_valid)[is_redone], 1)
    for part in ("real", "imag") if means.dtype.kind == "c" else ("real",):
        redone = [getattr(corner, part)[is_redone] for corner in corners(values)]
        a, b, c, d = (corner / count for corner in redone)
        means_again = (a + c) + (b + d)
        # Three thirds of the largest number may be rounded up to infinity.
        getattr(means, part)[is_redone] = np.clip(means_again, np.minimum.reduce(redone), np.maximum.reduce(redone))


def rms(block: Block) -> NDArray[Any]:
    """Compute the root mean square, rounded as GDAL rounds it, of real and imaginary parts separately.

    uint8 and uint16 give the integer whose square is closest to the mean square, all other integers the one closest
    to the root. int8 and int16 rasters without nodata and mask go through single precision in GDAL, and here, too:
    where a root lies within a few millionths of a half, that decides its last digit.
    """
    values, is_valid = block.whole_pairs()
    if values.dtype.kind != "c":
        return _real_rms(values, is_valid, block.may_miss)
    result = np.empty((values.shape[0] // 2, values.shape[1] // 2), values.dtype)
    result.real = _real_rms(values.real, is_valid, block.may_miss)
    result.imag = _real_rms(values.imag, is_valid, block.may_miss)
    return result


def _real_rms(values: NDArray[Any], is_valid: NDArray[np.bool_] | None, may_miss: bool) -> NDArray[Any]:
    counts: Counts = 4
    if is_valid is not None:
        values = filled(values, is_valid, 0)
        counts = np.maximum(valid_counts(is_valid), 1)
    dtype = values.dtype
    if dtype.name in ("uint8", "uint16"):
        return _closest_squares(values, counts).astype(dtype)
    if dtype.name in ("int8", "int16"):
        return rounded(_double_roots(values, counts).astype(np.float32) if may_miss else _single_roots(values), dtype)
    if dtype == np.float64:
        return _scaled_roots(values, counts)
    roots = _double_roots(values, counts)
    if dtype == np.float32:
        return roots.astype(dtype)
    result = rounded(roots, dtype)
    if dtype.itemsize == 8:
        _keep_all_digits(result, values, counts)
    return result


def _closest_squares(values: NDArray[Any], counts: Counts) -> NDArray[Any]:
    # Four squares of 8 bits fit in single, of 16 bits in double precision.
    wide = np.dtype(np.float32 if values.dtype.itemsize == 1 else np.float64)
    squares = values.astype(wide)
    np.square(squares, out=squares)
    means = pair_sums(squares, wide)
    means /= np.asarray(counts, wide)
    roots = np.floor(np.sqrt(means))
    roots += roots * roots + roots + wide.type(0.5) < means
    return np.asarray(roots)


def _double_roots(values: NDArray[Any], counts: Counts) -> NDArray[np.float64]:
    squares = values.astype(np.float64)
    np.square(squares, out=squares)
    return np.sqrt(pair_sums(squares, squares.dtype) / counts)


def _single_roots(values: NDArray[Any]) -> NDArray[np.float32]:
    """Follow GDAL's vector code for int8 and int16: it scales by the largest of three pixels, in single precision.

    Where these three are zero GDAL 3.12 and before give zero, whatever the fourth; here it is half the fourth.
    """
    a, b, c, d = (np.abs(corner.astype(np.float32)) for corner in corners(values))
    largest = np.maximum(np.maximum(a, b), c)
    scale = 1 / np.maximum(largest, 1)
    a, b, c, d = (np.square(corner * scale) for corner in (a, b, c, d))
    return np.asarray(np.maximum(largest, 1) * np.sqrt(((a + b) + (c + d)) * np.float32(0.25)))


def _scaled_roots(values: NDArray[np.float64], counts: Counts) -> NDArray[np.float64]:
    """Scale by the largest pixel, so that no square is out of a double's range."""
    magnitudes = [np.abs(corner) for corner in corners(values)]
    largest = np.maximum(np.maximum(*magnitudes[:2]), np.maximum(*magnitudes[2:]))
    largest[(largest == 0) | np.isinf(largest)] = 1
    squares = sum(np.square(magnitude / largest) for magnitude in magnitudes)
    return np.asarray(largest * np.sqrt(squares / counts))


def _keep_all_digits(result: NDArray[Any], values: NDArray[Any], counts: Counts) -> None:
    """Compute again what doubles round: in extended precision, and in integers where that may round, too."""
    wide = np.maximum.reduce([np.abs(corner.astype(np.float64)) for corner in corners(values)]) >= _DOUBLE_LIMIT
    if not wide.any():
        return
    pixels = [corner[wide] for corner in corners(values)]
    count = np.broadcast_to(np.asarray(counts), wide.shape)[wide]
    roots = np.sqrt(sum(np.square(pixel.astype(np.longdouble)) for pixel in pixels) / count)
    exact = rounded(roots.copy(), result.dtype)
    error = 4 * np.finfo(np.longdouble).eps * roots
    for place in np.flatnonzero(np.abs(roots - np.floor(roots) - 0.5) <= error + (error > 0.25)):
        squares = sum(int(pixel[place]) ** 2 for pixel in pixels)
        # Half of it, rounded up, is the root rounded to an integer: it is the integer part of twice the root.
        doubled = math.isqrt(4 * squares // int(count[place]))
        exact[place] = min((doubled + 1) // 2, np.iinfo(result.dtype).max)
    result[wide] = exact
