"""Methods that read only the 2x2 pixels themselves: means, and a choice or combination of pixels. Pure.

All take (row, column) values with even sides and their validity. Where a block has no valid pixel, any number is
returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask
from georeader._resample.block import by_parts, corners, filled, pair_sums, rounded, valid_counts

Counts = NDArray[np.uint8] | int

#: Four 64-bit integers below it have a sum of 64 bits.
_LARGEST_SUMMABLE = 1 << 61

#: From here on roots in double precision may be wrong in the last digit before the point.
_DOUBLE_LIMIT = 2.0**40


def average(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    """Average 2x2 pixels: integers exactly, halves rounded away from zero as GDAL does."""
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


def rms(values: NDArray[Any], is_valid: Mask, *, may_miss: bool) -> NDArray[Any]:
    """Compute the root mean square, rounded as GDAL rounds it, of real and imaginary parts separately.

    uint8 and uint16 become the integer whose square is closest to the mean square, all other integers the one closest
    to the root. int8 and int16 rasters that have neither nodata nor mask (``may_miss``), even outside of this block, go
    through single precision in GDAL, and here, too: where a root lies within a few millionths of a half, that decides
    its last digit.
    """
    return by_parts(lambda part: _real_rms(part, is_valid, may_miss), values)


def _real_rms(values: NDArray[Any], is_valid: Mask, may_miss: bool) -> NDArray[Any]:
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

    Where these three are zero GDAL up to 3.12 returns zero for any fourth; here it is half the fourth.
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


def _minimum(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    return _fold(np.minimum, values, is_valid, _limits(values.dtype)[1])


def _maximum(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    return _fold(np.maximum, values, is_valid, _limits(values.dtype)[0])


def _bitwise_or(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    """Set each bit that a valid pixel has."""
    return _fold(np.bitwise_or, values, is_valid, 0)


def _fold(ufunc: np.ufunc, values: NDArray[Any], is_valid: Mask, neutral: Any) -> NDArray[Any]:
    values = values if is_valid is None else filled(values, is_valid, neutral)
    rows = ufunc(values[0::2], values[1::2])
    return np.asarray(ufunc(rows[:, 0::2], rows[:, 1::2]))


def _limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    return (-np.inf, np.inf) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)


def _median(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    """Pick the median of the valid pixels; of two in the middle the smaller, as GDAL's warper does."""
    a, b, c, d = corners(values if is_valid is None else filled(values, is_valid, _limits(values.dtype)[1]))
    low_top, high_top = np.minimum(a, b), np.maximum(a, b)
    low_bottom, high_bottom = np.minimum(c, d), np.maximum(c, d)
    second = np.minimum(np.maximum(low_top, low_bottom), np.minimum(high_top, high_bottom))
    if is_valid is None:
        return np.asarray(second)
    return np.asarray(np.where(valid_counts(is_valid) >= 3, second, np.minimum(low_top, low_bottom)))


def _mode(values: NDArray[Any], is_valid: Mask) -> NDArray[Any]:
    """Pick the most frequent valid value; of two, the one that is there twice first, row by row, as GDAL does."""
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


#: Methods whose results are values of valid pixels.
CHOICES: Mapping[str, Callable[[NDArray[Any], Mask], NDArray[Any]]] = {
    "MODE": _mode,
    "MIN": _minimum,
    "MAX": _maximum,
    "MED": _median,
}

#: Methods whose results may be other values; RMS is another, with one argument more.
COMPUTED: Mapping[str, Callable[[NDArray[Any], Mask], NDArray[Any]]] = {"AVERAGE": average, "OR": _bitwise_or}
