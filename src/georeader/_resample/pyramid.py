"""Overviews, block by block: which pixels a block of an overview needs, and how they become one. Pure.

A block is a few tiles wide. From its pixels come the blocks of the next two levels, so that only one pixel in sixteen
has to be kept until the rest of the pyramid is made of them. Resampling methods that look beyond their own 2x2 pixels
get the margin that they need: the result does not depend on where blocks end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._resample.block import Margins, halve_mask
from georeader._resample.halving import halve, margin_px

Mask = NDArray[np.bool_] | None

#: Gives (band, row, column) pixels of a window and its (row, column) validity mask, where there is one.
ReadWindow = Callable[[PixelWindow], tuple[NDArray[Any], Mask]]


@dataclass(frozen=True)
class Reduction:
    """How pixels become those of the next overview.

    Attributes:
        methods: One of `METHODS` per band.
        nodata: Value of missing pixels, or None.
        alpha_band: Position of the band whose zeros make pixels of the other bands invalid, or None.
    """

    methods: tuple[str, ...]
    nodata: int | float | None
    alpha_band: int | None = None

    @property
    def margin_px(self) -> int:
        """Source pixels that a method looks at beyond a block, on each side."""
        return max(margin_px(method) for method in self.methods)

    def source_window(self, region: PixelWindow, source_shape: tuple[int, int]) -> PixelWindow:
        """Give the region of the level before that a region is made of, margins included.

        Args:
            region: Of the level that is to be made.
            source_shape: (rows, columns) of the level before.
        """
        margin = self.margin_px
        return PixelWindow(
            max(0, 2 * region.row_start - margin),
            min(source_shape[0], 2 * region.row_stop + margin),
            max(0, 2 * region.column_start - margin),
            min(source_shape[1], 2 * region.column_stop + margin),
        )

    def halve(
        self, pixels: NDArray[Any], mask: Mask, source: PixelWindow, region: PixelWindow, source_shape: tuple[int, int]
    ) -> tuple[NDArray[Any], Mask]:
        """Reduce by two.

        Args:
            pixels: (band, row, column) of ``source``.
            mask: (row, column) of ``source``, or None.
            source: What `source_window` gave for ``region``.
            region: Of the level that is to be made.
            source_shape: (rows, columns) of the level before.
        """
        margins = Margins(
            top_px=2 * region.row_start - source.row_start,
            bottom_px=source.row_stop - min(2 * region.row_stop, source_shape[0]),
            left_px=2 * region.column_start - source.column_start,
            right_px=source.column_stop - min(2 * region.column_stop, source_shape[1]),
        )
        reduced = np.empty((len(pixels), *region.shape), pixels.dtype)
        for band, method in enumerate(self.methods):
            is_valid, nodata = self.validity(pixels, mask, band)
            reduced[band] = halve(pixels[band], method, nodata=nodata, is_valid=is_valid, margins=margins)
        return reduced, None if mask is None else self._halve_mask(_core(mask, margins))

    def _halve_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A picked pixel is as valid as the one that it was picked from; others, as any that they are made of."""
        return mask[::2, ::2] if set(self.methods) == {"NEAREST"} else halve_mask(mask)

    def validity(self, pixels: NDArray[Any], mask: Mask, band: int) -> tuple[Mask, int | float | None]:
        """Give where a band's pixels count by mask and alpha, and its nodata.

        Args:
            pixels: (band, row, column).
            mask: (row, column), or None.
            band: From 0.
        """
        if self.alpha_band is None:
            return mask, self.nodata
        if band == self.alpha_band:
            return mask, None
        visible = pixels[self.alpha_band] != 0
        return visible if mask is None else mask & visible, self.nodata


def reduce_block(
    read: ReadWindow, reduction: Reduction, shapes: tuple[tuple[int, int], ...], region: PixelWindow
) -> tuple[NDArray[Any], Mask]:
    """Make a region of the last of some levels out of the first of them.

    Args:
        read: Gives pixels of the first level.
        reduction: How pixels are reduced.
        shapes: (rows, columns) of each level, from the first to the one that is wanted.
        region: Of the last level.

    Returns:
        (band, row, column) pixels, and the (row, column) mask where the first level has one.
    """
    if len(shapes) == 1:
        return read(region)
    source = reduction.source_window(region, shapes[-2])
    pixels, mask = reduce_block(read, reduction, shapes[:-1], source)
    return reduction.halve(pixels, mask, source, region, shapes[-2])


def reduce_twice(
    read: ReadWindow, reduction: Reduction, shapes: tuple[tuple[int, int], ...], region: PixelWindow
) -> list[tuple[PixelWindow, NDArray[Any], Mask]]:
    """Make the blocks of the next two levels, the first of them only once.

    Args:
        read: Gives pixels of the first level.
        reduction: How pixels are reduced.
        shapes: (rows, columns) of the first level and of the one or two that are wanted.
        region: Of the last of them.

    Returns:
        (region, pixels, mask) of each level that is wanted, from large to small.
    """
    if len(shapes) == 2:
        return [(region, *reduce_block(read, reduction, shapes, region))]
    source = reduction.source_window(region, shapes[1])
    pixels, mask = reduce_block(read, reduction, shapes[:2], source)
    smaller = reduction.halve(pixels, mask, source, region, shapes[1])
    core = PixelWindow(
        2 * region.row_start,
        min(2 * region.row_stop, shapes[1][0]),
        2 * region.column_start,
        min(2 * region.column_stop, shapes[1][1]),
    )
    rows, columns = core.within(source)
    return [(core, pixels[:, rows, columns], None if mask is None else mask[rows, columns]), (region, *smaller)]


def _core(mask: NDArray[np.bool_], margins: Margins) -> NDArray[np.bool_]:
    rows, columns = mask.shape
    return mask[margins.top_px : rows - margins.bottom_px, margins.left_px : columns - margins.right_px]
