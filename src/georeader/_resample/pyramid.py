"""Overviews, block by block: the pixels that a block of an overview needs, and their reduction. Pure.

A block is a few tiles wide. Its pixels give the blocks of the next two levels, so that only one pixel in sixteen is
kept for the rest of the pyramid. Resampling methods that read beyond their 2x2 pixels get the margin that they need, so
that the result does not depend on the edges of blocks.
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
    """The reduction of pixels to the next overview.

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
        """Source pixels that a method reads beyond a block, on each side."""
        return max(margin_px(method) for method in self.methods)

    def source_window(self, window: PixelWindow, source_shape: tuple[int, int]) -> PixelWindow:
        """Return the window of the level before that a window is made of, margins included.

        Args:
            window: Of the level to be computed.
            source_shape: (rows, columns) of the level before.
        """
        margin = self.margin_px
        return PixelWindow(
            max(0, 2 * window.row_start - margin),
            min(source_shape[0], 2 * window.row_stop + margin),
            max(0, 2 * window.column_start - margin),
            min(source_shape[1], 2 * window.column_stop + margin),
        )

    def halve(
        self, pixels: NDArray[Any], mask: Mask, source: PixelWindow, window: PixelWindow, source_shape: tuple[int, int]
    ) -> tuple[NDArray[Any], Mask]:
        """Reduce by two.

        Args:
            pixels: (band, row, column) of ``source``.
            mask: (row, column) of ``source``, or None.
            source: Result of `source_window` for ``window``.
            window: Of the level to be computed.
            source_shape: (rows, columns) of the level before.
        """
        margins = Margins(
            top_px=2 * window.row_start - source.row_start,
            bottom_px=source.row_stop - min(2 * window.row_stop, source_shape[0]),
            left_px=2 * window.column_start - source.column_start,
            right_px=source.column_stop - min(2 * window.column_stop, source_shape[1]),
        )
        reduced = np.empty((len(pixels), *window.shape), pixels.dtype)
        for band, method in enumerate(self.methods):
            is_valid, nodata = self.validity(pixels, mask, band)
            reduced[band] = halve(pixels[band], method, nodata=nodata, is_valid=is_valid, margins=margins)
        return reduced, None if mask is None else self._halve_mask(_core(mask, margins))

    def _halve_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Halve a mask: a picked pixel is as valid as its source, others are valid if any of their sources is."""
        return mask[::2, ::2] if set(self.methods) == {"NEAREST"} else halve_mask(mask)

    def validity(self, pixels: NDArray[Any], mask: Mask, band: int) -> tuple[Mask, int | float | None]:
        """Return where a band's pixels count by mask and alpha, and its nodata.

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
    read: ReadWindow, reduction: Reduction, shapes: tuple[tuple[int, int], ...], window: PixelWindow
) -> tuple[NDArray[Any], Mask]:
    """Compute a window of the last of some levels from the first of them.

    Args:
        read: Returns pixels of the first level.
        reduction: The reduction from level to level.
        shapes: (rows, columns) of each level, from the first to the one to be computed.
        window: Of the last level.

    Returns:
        (band, row, column) pixels, and the (row, column) mask where the first level has one.
    """
    if len(shapes) == 1:
        return read(window)
    source = reduction.source_window(window, shapes[-2])
    pixels, mask = reduce_block(read, reduction, shapes[:-1], source)
    return reduction.halve(pixels, mask, source, window, shapes[-2])


def reduce_twice(
    read: ReadWindow, reduction: Reduction, shapes: tuple[tuple[int, int], ...], window: PixelWindow
) -> list[tuple[PixelWindow, NDArray[Any], Mask]]:
    """Compute the blocks of the next two levels, the first of them only once.

    Args:
        read: Returns pixels of the first level.
        reduction: The reduction from level to level.
        shapes: (rows, columns) of the first level and of the one or two to be computed.
        window: Of the last of them.

    Returns:
        (window, pixels, mask) of each computed level, from large to small.
    """
    if len(shapes) == 2:
        return [(window, *reduce_block(read, reduction, shapes, window))]
    source = reduction.source_window(window, shapes[1])
    pixels, mask = reduce_block(read, reduction, shapes[:2], source)
    smaller = reduction.halve(pixels, mask, source, window, shapes[1])
    core = PixelWindow(
        2 * window.row_start,
        min(2 * window.row_stop, shapes[1][0]),
        2 * window.column_start,
        min(2 * window.column_stop, shapes[1][1]),
    )
    rows, columns = core.within(source)
    return [(core, pixels[:, rows, columns], None if mask is None else mask[rows, columns]), (window, *smaller)]


def _core(mask: NDArray[np.bool_], margins: Margins) -> NDArray[np.bool_]:
    rows, columns = mask.shape
    return mask[margins.top_px : rows - margins.bottom_px, margins.left_px : columns - margins.right_px]
