"""Blocks of one band with margins and missing pixels, and the loops over 2x2 pixels that all methods share. Pure.

Pixels are chosen by bitwise operations, not by `numpy.where`: that takes one branch per pixel, and where valid and
missing pixels mix at random, branch mispredictions make it twenty times as slow as an addition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask

#: Pixels of a strip: large enough that numpy's calls cost little, small enough for the CPU's cache.
STRIP_PX = 1 << 18


@dataclass(frozen=True)
class Margins:
    """Pixels around the core of a block, which are read but not halved.

    Those above and on the left are even, so that 2x2 pixels stay together. At the raster's edge a margin is 0, or as
    wide as there are pixels. Only the raster's last row or column may stand alone in the core.
    """

    top_px: int = 0
    bottom_px: int = 0
    left_px: int = 0
    right_px: int = 0

    def core(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return (row, column) pixels without their margins, as a view."""
        rows, columns = pixels.shape
        return pixels[self.top_px : rows - self.bottom_px, self.left_px : columns - self.right_px]


@dataclass(frozen=True)
class Block:
    """(row, column) pixels of one band, margins included, and their validity."""

    values: NDArray[Any]
    is_valid: Mask
    margins: Margins

    def whole_pairs(self) -> tuple[NDArray[Any], Mask]:
        """Return the core's values and validity with an even number of rows and columns.

        Where the raster ends in half a block, its last row or column is repeated, which changes neither the mean nor
        the mode nor the extremes.
        """
        is_valid = None if self.is_valid is None else _even_sided(self.margins.core(self.is_valid))
        return _even_sided(self.margins.core(self.values)), is_valid


def _even_sided(pixels: NDArray[Any]) -> NDArray[Any]:
    rows, columns = pixels.shape
    if rows % 2 == 0 and columns % 2 == 0:
        return pixels
    return np.pad(pixels, ((0, rows % 2), (0, columns % 2)), mode="edge")


def strips(shape: tuple[int, ...], margins: Margins, reach_px: int) -> Iterator[tuple[slice, Margins]]:
    """Iterate over strips of whole rows, each with the margins of a method that reads ``reach_px`` (even) further."""
    rows = shape[0] - margins.bottom_px
    step = max(2, STRIP_PX // shape[1] // 2 * 2)
    for start in range(margins.top_px, rows, step):
        stop = min(start + step, rows)
        first, last = max(0, start - reach_px), min(shape[0], stop + reach_px)
        yield slice(first, last), Margins(start - first, last - stop, margins.left_px, margins.right_px)


def pair_sums(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Sum each 2x2 block of values with even sides, in a dtype that is wide enough for the sum.

    Rows are added first: they are contiguous in memory, so that the first half of the additions is vectorised, and the
    order gives the same last digit as GDAL's vector code.
    """
    rows = np.add(values[0::2], values[1::2], dtype=dtype)
    return np.asarray(rows[:, 0::2] + rows[:, 1::2])


def valid_counts(is_valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Count the valid pixels of each 2x2 block of a (row, column) mask with even sides."""
    counts = is_valid.view(np.uint8)
    rows = np.add(counts[0::2], counts[1::2], order="C")
    # Two neighbours as one number, whose upper byte becomes their sum: contiguous operations take half the time.
    return ((rows.view(np.uint16) * np.uint16(0x0101)) >> 8).astype(np.uint8)


def corners(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return views of the top left, top right, bottom left and bottom right pixels of each 2x2 block."""
    return values[0::2, 0::2], values[0::2, 1::2], values[1::2, 0::2], values[1::2, 1::2]


def by_parts(reduce: Callable[[NDArray[Any]], NDArray[Any]], values: NDArray[Any]) -> NDArray[Any]:
    """Reduce real and imaginary parts separately."""
    if values.dtype.kind != "c":
        return reduce(values)
    real = reduce(values.real)
    result = np.empty(real.shape, values.dtype)
    result.real, result.imag = real, reduce(values.imag)
    return result


def halve_mask(is_valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Halve a (row, column) validity mask: valid where any pixel of a 2x2 block is; sides are rounded up.

    >>> halve_mask(np.array([[True, False, False], [False, False, False]]))
    array([[ True, False]])
    """
    pairs = _even_sided(is_valid)
    rows = np.bitwise_or(pairs[0::2], pairs[1::2], order="C")
    # Two neighbours as one number: one contiguous comparison is several times as fast as an operation on columns.
    return np.asarray(rows.view(np.uint16) != 0)


def filled(values: NDArray[Any], is_kept: NDArray[np.bool_], fill: Any) -> NDArray[Any]:
    """Return ``values`` where ``is_kept``, else a number that the dtype holds: a new array of the same dtype.

    >>> filled(np.array([1.5, np.nan, 3.0]), np.array([True, False, True]), -1)
    array([ 1.5, -1. ,  3. ])
    """
    if values.dtype.itemsize > 8:
        return np.where(is_kept, values, values.dtype.type(fill))
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    ones = np.negative(is_kept.astype(unsigned))
    kept = np.bitwise_and(values.view(unsigned), ones)
    pattern = np.array(fill, values.dtype).view(unsigned)
    if pattern:
        np.invert(ones, out=ones)
        ones &= pattern
        kept |= ones
    return np.asarray(kept.view(values.dtype))


def rounded(numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round finite numbers, which are changed, to integers, halves away from zero, within the range of ``dtype``.

    >>> rounded(np.array([-2.5, 0.5, 300.0]), np.dtype("int8"))
    array([ -3,   1, 127], dtype=int8)
    """
    limits = np.iinfo(dtype)
    low, high = numbers.dtype.type(limits.min), numbers.dtype.type(limits.max)
    if int(high) > limits.max:  # rounded up on its way here
        high = np.nextafter(high, low)
    numbers += 0.5 if limits.min == 0 else np.copysign(numbers.dtype.type(0.5), numbers)
    np.clip(numbers, low, high, out=numbers)
    return numbers.astype(dtype)


def find_valid(values: NDArray[Any], nodata: Any, is_valid: Mask) -> Mask:
    """Find the pixels that count: not nodata (a scalar of the dtype, or None), not NaN in any part, not masked out."""
    found = None if is_valid is None or is_valid.all() else is_valid
    if nodata is not None and nodata == nodata and _may_hold(values, nodata):
        found = _without(values == nodata, found)
    if values.dtype.kind in "fc":
        found = _without(np.isnan(values), found)
    return found


def _may_hold(values: NDArray[Any], number: Any) -> bool:
    """Return whether a number is in the range of the values, which rules most nodata out quickly."""
    return values.dtype.kind not in "iu" or (bool(values.min() <= number) and bool(number <= values.max()))


def _without(is_missing: NDArray[np.bool_], found: Mask) -> Mask:
    if not is_missing.any():
        return found
    np.logical_not(is_missing, out=is_missing)
    return is_missing if found is None else np.logical_and(is_missing, found, out=is_missing)


def kept_apart(values: NDArray[Any], nodata: Any) -> NDArray[Any]:
    """Return valid results, with those that equal nodata, a scalar or None, moved to the number beside it."""
    if nodata is None or nodata != nodata:
        return values
    differs = values != nodata
    return values if differs.all() else filled(values, differs, beside(nodata))


def beside(nodata: Any) -> Any:
    """Return the number next to a numpy scalar: the one above, or below the largest.

    The rule is GDAL's (``GDALGetNoDataReplacementValue``), save that 64-bit integers keep all their digits.

    >>> beside(np.uint8(255)), beside(np.int16(-1))
    (np.uint8(254), np.int16(0))
    """
    dtype = nodata.dtype
    if dtype.kind in "iu":
        return dtype.type(int(nodata) + (-1 if nodata == np.iinfo(dtype).max else 1))
    part = nodata.real
    largest = np.finfo(part.dtype).max
    return dtype.type(np.nextafter(part, part.dtype.type(0) if part >= largest else largest))
