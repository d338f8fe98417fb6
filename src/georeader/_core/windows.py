"""Windows: rectangles of whole pixels in a level's own rows and columns, and the pixels in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class PixelWindow(NamedTuple):
    """A rectangle of pixels, as half-open ranges of rows and columns: integers, unlike `rasterio.windows.Window`."""

    row_start: int
    row_stop: int
    column_start: int
    column_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.row_stop - self.row_start, self.column_stop - self.column_start

    @property
    def slices(self) -> tuple[slice, slice]:
        """The slices that cut this window out of the pixels of its whole level."""
        return slice(self.row_start, self.row_stop), slice(self.column_start, self.column_stop)

    def within(self, other: PixelWindow) -> tuple[slice, slice]:
        """Return the slices that cut this window out of another one's pixels."""
        return (
            slice(self.row_start - other.row_start, self.row_stop - other.row_start),
            slice(self.column_start - other.column_start, self.column_stop - other.column_start),
        )

    def intersection(self, other: PixelWindow) -> PixelWindow:
        """Return the pixels that two windows share; they share at least an edge.

        Example:
            >>> PixelWindow(0, 10, 0, 10).intersection(PixelWindow(5, 20, 8, 9))
            PixelWindow(row_start=5, row_stop=10, column_start=8, column_stop=9)
        """
        return PixelWindow(
            max(self.row_start, other.row_start),
            min(self.row_stop, other.row_stop),
            max(self.column_start, other.column_start),
            min(self.column_stop, other.column_stop),
        )


#: (row, column), True where a pixel is valid; None: everywhere.
Mask = NDArray[np.bool_] | None

#: (band, row, column) pixels, and their mask.
MaskedPixels = tuple[NDArray[Any], Mask]

#: Reads a window.
ReadWindow = Callable[[PixelWindow], MaskedPixels]
