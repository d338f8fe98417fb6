"""Which axes of an array are bands, rows and columns. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from georeader._core.windows import PixelWindow
from georeader._export.plan.chunks import Chunks

#: One slice for each axis of an array, of step one.
Key = tuple[slice, ...]


@dataclass(frozen=True)
class Axes:
    """The axes of an array, in any order; those that are none of the three have a length of one.

    Attributes:
        count: Axes of the array.
        band: Position of the axis along bands; None: there is a single band.
        row: Position of the axis along rows.
        column: Position of the axis along columns.

    Example:
        >>> bands_last = Axes(count=3, band=2, row=0, column=1)
        >>> bands_last.key(PixelWindow(0, 10, 20, 30), range(1, 2))
        (slice(0, 10, None), slice(20, 30, None), slice(1, 2, None))
    """

    count: int
    band: int | None
    row: int
    column: int

    def shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Give (bands, rows, columns) of an array's shape."""
        return (1 if self.band is None else shape[self.band]), shape[self.row], shape[self.column]

    def key(self, region: PixelWindow, bands: range) -> Key:
        """Give what cuts a window out of the array."""
        cuts = [slice(0, 1)] * self.count
        cuts[self.row] = slice(region.row_start, region.row_stop)
        cuts[self.column] = slice(region.column_start, region.column_stop)
        if self.band is not None:
            cuts[self.band] = slice(bands.start, bands.stop)
        return tuple(cuts)

    def arrange(self, pixels: Any) -> Any:
        """Give what was cut as (band, row, column): a view of it.

        Args:
            pixels: Of numpy, masked or not, with all axes of the array.
        """
        named = [axis for axis in (self.band, self.row, self.column) if axis is not None]
        others = [axis for axis in range(self.count) if axis not in named]
        return pixels.transpose(*others, *named).reshape(self.shape(pixels.shape))

    def chunks(self, edges: Sequence[tuple[int, ...]]) -> Chunks:
        """Give the chunks of the raster.

        Args:
            edges: Of the array's chunks along each axis, from 0 to its length.
        """
        return Chunks((0, 1) if self.band is None else edges[self.band], edges[self.row], edges[self.column])


def axes_of_shape(shape: Sequence[int]) -> Axes:
    """Give the axes of a (row, column) or (band, row, column) array."""
    if len(shape) == 2:
        return Axes(count=2, band=None, row=0, column=1)
    return Axes(count=3, band=0, row=1, column=2)
