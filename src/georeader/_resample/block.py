"""A block of one band, with the pixels around it that a method may look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import OptionError, ShapeError

#: Pixels worked on at a time: large enough that numpy's calls cost little, small enough for the processor's cache.
STRIP_PX = 1 << 17


@dataclass(frozen=True)
class Margins:
    """Pixels around the core of a block that are there to be looked at, not to be halved.

    Those above and on the left are even, so that 2x2 pixels stay together. At the raster's own edge a margin is 0 or as
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
    """Pixels and what is known of their validity.

    Attributes:
        values: (row, column) of one band, margins included.
        is_valid: (row, column), True where a pixel counts; None where all do.
        margins: What of ``values`` is not core.
        may_miss: Whether the raster has a nodata or a mask, though perhaps not in this block.
    """

    values: NDArray[Any]
    is_valid: NDArray[np.bool_] | None
    margins: Margins
    may_miss: bool

    def whole_pairs(self) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Give the core's values and validity with an even number of rows and columns.

        Where the raster ends in half a block, its last row or column is repeated: that changes neither mean nor
        mode nor extremes.
        """
        return even_sided(core(self.values, self.margins)), (
            None if self.is_valid is None else even_sided(core(self.is_valid, self.margins))
        )


def core(pixels: NDArray[Any], margins: Margins) -> NDArray[Any]:
    """Give (row, column) pixels without their margins, as a view."""
    rows, columns = pixels.shape
    return pixels[margins.top_px : rows - margins.bottom_px, margins.left_px : columns - margins.right_px]


def even_sided(pixels: NDArray[Any]) -> NDArray[Any]:
    """Give (row, column) pixels as they are if both sides are even, else with the last row or column twice."""
    rows, columns = pixels.shape
    if rows % 2 == 0 and columns % 2 == 0:
        return pixels
    return np.pad(pixels, ((0, rows % 2), (0, columns % 2)), mode="edge")


def check_margins(shape: tuple[int, int], margins: Margins) -> tuple[int, int]:
    """Give the (rows, columns) of the core.

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
    """Cut a block into strips of whole rows, each with the context that a method needs.

    Args:
        shape: (rows, columns) of the block, margins included.
        margins: Of the block.
        reach_px: How far a method looks beyond 2x2 pixels; even.

    Yields:
        Rows of the block, and the margins of the pixels in them.
    """
    rows = shape[0] - margins.bottom_px
    step = max(2, STRIP_PX // shape[1] // 2 * 2)
    for start in range(margins.top_px, rows, step):
        stop = min(start + step, rows)
        first, last = max(0, start - reach_px), min(shape[0], stop + reach_px)
        yield slice(first, last), Margins(start - first, last - stop, margins.left_px, margins.right_px)
