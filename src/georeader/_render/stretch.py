"""Numbers of any dtype to the 256 greys of a screen. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import OptionError

#: Between which percentiles of its valid pixels a band is stretched: outliers do not darken the rest.
PERCENTILES_DEFAULT = (2.0, 98.0)

#: The grey of a band whose valid pixels are all equal.
GREY_OF_ONE_VALUE = 128


def check_percentiles(percentiles: Any) -> tuple[float, float]:
    """Give (lower, upper) percentiles.

    Raises:
        OptionError: Not two numbers from 0 to 100, the first less than the second.
    """
    try:
        low, high = (float(one) for one in percentiles)
    except (TypeError, ValueError) as error:
        raise OptionError(f"percentiles={percentiles!r}; give two numbers, such as (2, 98)") from error
    if not 0 <= low < high <= 100:
        raise OptionError(f"percentiles={percentiles!r}; give two from 0 to 100, the lower one first")
    return low, high


def magnitude(values: NDArray[Any]) -> NDArray[Any]:
    """Give the absolute values of complex numbers, infinite where they are beyond the dtype; others as they are."""
    if values.dtype.kind != "c":
        return values
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(np.abs(values))


def stretch(
    values: NDArray[Any], is_valid: NDArray[np.bool_], percentiles: tuple[float, float] = PERCENTILES_DEFAULT
) -> NDArray[np.uint8]:
    """Spread the values between two percentiles over 0 to 255, linearly; what lies beyond becomes 0 or 255.

    The order of valid pixels is kept: of two, the larger is never darker. Percentiles are values of pixels (the nearest
    rank), so that 64-bit integers lose no digit. Where the two are equal, the range of all valid pixels is taken; where
    that has one value, too, it becomes `GREY_OF_ONE_VALUE`.

    Args:
        values: (row, column) of any real dtype but float16 and long double; never changed.
        is_valid: (row, column), True where pixels count: nowhere NaN or infinite.
        percentiles: (lower, upper), from 0 to 100.

    Returns:
        (row, column); 0 where pixels are not valid.

    Memory: some eight bytes a pixel, three times.

    Example:
        >>> stretch(np.array([[-1, 0, 50, 100, 999]]), np.array([[True, True, True, True, False]]), (0, 100))
        array([[  0,   3, 129, 255,   0]], dtype=uint8)
    """
    counted = values[is_valid]
    if not counted.size:
        return np.zeros(values.shape, np.uint8)
    ranks = [round(percentile / 100 * (counted.size - 1)) for percentile in percentiles]
    low, high = np.partition(counted, ranks)[ranks]
    if low == high:
        low, high = counted.min(), counted.max()
    if low == high:
        return np.where(is_valid, np.uint8(GREY_OF_ONE_VALUE), np.uint8(0))
    clipped = np.clip(np.where(is_valid, values, low), low, high)
    return np.rint(_share(clipped, low, high) * 255).astype(np.uint8)


def _share(values: NDArray[Any], low: Any, high: Any) -> NDArray[np.float64]:
    """Give how far values between two others lie on the way from the first to the second, from 0 to 1."""
    if values.dtype.kind in "iu":
        # Differences of 64-bit integers may need all 64 bits: modulo 2**64 they are right.
        above = values.astype(np.uint64) - np.asarray(low).astype(np.uint64)
        return above / float(int(high) - int(low))
    wide, first, last = values.astype(np.float64), float(low), float(high)
    if last - first == float("inf"):
        wide, first, last = wide / 2, first / 2, last / 2
    with np.errstate(under="ignore"):
        return (wide - first) / (last - first)
