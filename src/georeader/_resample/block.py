"""Blocks of one band with their margins, and the loops over 2x2 pixels that all methods share. Pure.

Pixels are chosen by bitwise operations, not by `numpy.where`: that takes one branch per pixel, and where valid and
missing pixels mix at random, branch mispredictions make it twenty times as slow as an addition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import OptionError, ShapeError

#: Pixels of a strip: large enough that numpy's calls cost little, small enough for the CPU's cache.
STRIP_PX = 1 << 17


@dataclass(frozen=True)
class Margins:
    """Pixels around the core of a block, which are read but not halved.

    Those above and on the left are even, so that 2x2 pixels stay together. At the raster's edge a margin is 0, or as
    wide as there are pixels.

    Attributes:
        top_px: Rows above the core.
        bottom_px: Rows below it.
        left_px: Columns left of it.
        right_px: Columns right of it.
    """

    top_px: int = 0
    bottom_px: int = 0
    left_px: int = 0
    right_px: int = 0


@dataclass(frozen=True)
class Block:
    """Pixels with their validity.

    Attributes:
        values: (row, column) of one band, margins included.
        is_valid: (row, column), True where a pixel counts; None where all do.
        margins: The part of ``values`` around the core.
        may_miss: Whether the raster has a nodata or a mask, though perhaps not in this block.
    """

    values: NDArray[Any]
    is_valid: NDArray[np.bool_] | None
    margins: Margins
    may_miss: bool

    def whole_pairs(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the core's values and validity with an even number of rows and columns.

        Where the raster ends in half a block, its last row or column is repeated, which changes neither the mean nor
        the mode nor the extremes.
        """
        return even_sided(core(self.values, self.margins)), (
            None if self.is_valid is None else even_sided(core(self.is_valid, self.margins))
        )


def core(pixels: NDArray[Any], margins: Margins) -> NDArray[Any]:
    """Return (row, column) pixels without their margins, as a view."""
    rows, columns = pixels.shape
    return pixels[margins.top_px : rows - margins.bottom_px, margins.left_px : columns - margins.right_px]


def even_sided(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (row, column) pixels as they are if both sides are even, else with the last row or column repeated."""
    rows, columns = pixels.shape
    if rows % 2 == 0 and columns % 2 == 0:
        return pixels
    return np.pad(pixels, ((0, rows % 2), (0, columns % 2)), mode="edge")


def check_margins(shape: tuple[int, int], margins: Margins) -> tuple[int, int]:
    """Return the (rows, columns) of the core.

    Raises:
        OptionError: A margin is negative, or odd above or on the left, or stands beyond a core with an odd side.
        ShapeError: The margins leave no core.
    """
    sides = (margins.top_px, margins.bottom_px, margins.left_px, margins.right_px)
    if min(sides) < 0 or margins.top_px % 2 or margins.left_px % 2:
        raise OptionError(f"{margins}: no side may be negative, and top and left are even: 2x2 pixels stay together")
    rows, columns = shape[0] - margins.top_px - margins.bottom_px, shape[1] - margins.left_px - margins.right_px
    if rows < 1 or columns < 1:
        raise ShapeError(f"{margins} leave nothing of values of {shape[0]} x {shape[1]} (row, column) pixels")
    if (rows % 2 and margins.bottom_px) or (columns % 2 and margins.right_px):
        raise OptionError(
            f"a core of {rows} x {columns} (row, column) pixels has an odd side with a margin beyond it; only the "
            "raster's last row or column can stand alone"
        )
    return rows, columns


def strips(shape: tuple[int, int], margins: Margins, reach_px: int) -> Iterator[tuple[slice, Margins]]:
    """Iterate over strips of whole rows of a block, each with the margins that a method needs.

    Args:
        shape: (rows, columns) of the block, margins included.
        margins: Of the block.
        reach_px: Pixels that a method reads beyond 2x2 pixels; even.

    Yields:
        Rows of the block, and the margins of the pixels in them.
    """
    rows = shape[0] - margins.bottom_px
    step = max(2, STRIP_PX // shape[1] // 2 * 2)
    for start in range(margins.top_px, rows, step):
        stop = min(start + step, rows)
        first, last = max(0, start - reach_px), min(shape[0], stop + reach_px)
        yield slice(first, last), Margins(start - first, last - stop, margins.left_px, margins.right_px)


def pair_sums(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Sum each 2x2 block, rows first.

    Rows are contiguous in memory, so that the first half of the additions is vectorised. The order also gives the same
    last digit as GDAL's vector code, which adds rows first, too.

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
    """Return views of the top left, top right, bottom left and bottom right pixels of each 2x2 block."""
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


def filled(values: NDArray[Any], is_kept: NDArray[np.bool_], fill: Any) -> NDArray[Any]:
    """Return ``values`` where ``is_kept``, else ``fill``: a new array of the same dtype.

    Args:
        values: Of any shape; integers, floating-point or complex numbers in native byte order.
        is_kept: Of the same shape.
        fill: A number that the dtype holds.

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
    """Round finite numbers to integers, halves away from zero, within the range of ``dtype``.

    Args:
        numbers: Floating-point; changed.
        dtype: Of integers.

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
