"""Overviews: one band reduced by two, and blocks of a raster reduced level by level. Pure.

A block is a few tiles wide. Its pixels are reduced to blocks of the next two levels, so that only one pixel in sixteen
is kept for the rest of the pyramid. Methods that read beyond their 2x2 pixels get the margin that they need, so that
the result does not depend on the edges of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask, PixelWindow, ReadWindow
from georeader._resample.aggregates import CHOICES, COMPUTED, rms
from georeader._resample.block import Block, Margins, filled, find_valid, halve_mask, kept_apart, strips
from georeader._resample.kernels import KERNELS, convolve

_NO_MARGINS = Margins()


def margin_px(method: str) -> int:
    """Return how many source pixels a method reads beyond 2x2 pixels, on each side, rounded up to an even number.

    >>> margin_px("AVERAGE"), margin_px("BILINEAR"), margin_px("LANCZOS")
    (0, 2, 6)
    """
    return KERNELS[method].margin_px if method in KERNELS else 0


def halve(
    values: NDArray[Any],
    method: str,
    *,
    nodata: int | float | None = None,
    is_valid: Mask = None,
    margins: Margins = _NO_MARGINS,
) -> NDArray[Any]:
    """Reduce (row, column) values of one band by two, by one of `METHODS`: each 2x2 pixels become one.

    A pixel is missing if it is nodata, NaN (in either part of a complex number) or not valid. Missing pixels do not
    count, and a result is missing only where all of its 2x2 pixels are; it is then nodata, or NaN where there is no
    nodata, or 0 for integers. A valid result that happens to equal nodata becomes the number beside it. NEAREST alone
    picks its pixel, missing or not.

    At an odd edge a block has the pixels that are there, and kernels scale their weights. Sides are rounded up. With
    ``margins`` a raster is reduced block by block with the same result as in one go. ``values`` may be any view in
    native byte order. Memory: the result and a few times a strip of some 260,000 pixels.

    >>> halve(np.array([[1, 2, 9], [4, 0, 0]], "uint8"), "AVERAGE", nodata=0)
    array([[2, 9]], dtype=uint8)
    """
    core = margins.core(values)
    if method == "NEAREST":
        return core[0::2, 0::2].copy()
    result = np.empty(((core.shape[0] + 1) // 2, (core.shape[1] + 1) // 2), values.dtype)
    may_miss = nodata is not None or is_valid is not None
    done = 0
    with np.errstate(all="ignore"):  # infinities and NaN are numbers like any other; overflows are found and redone
        scalar = None if nodata is None else values.dtype.type(nodata)
        for part, around in strips(values.shape, margins, margin_px(method)):
            found = find_valid(values[part], scalar, None if is_valid is None else is_valid[part])
            strip = _reduced(Block(values[part], found, around), method, scalar, may_miss=may_miss)
            result[done : done + len(strip)] = strip
            done += len(strip)
    return result


def _reduced(block: Block, method: str, nodata: Any, *, may_miss: bool) -> NDArray[Any]:
    dtype = block.values.dtype
    has_valid = None if block.is_valid is None else halve_mask(block.margins.core(block.is_valid))
    fill = dtype.type(np.nan if dtype.kind in "fc" else 0) if nodata is None else nodata
    if has_valid is not None and not has_valid.any():
        return np.full(has_valid.shape, fill)
    if method in CHOICES:
        result = CHOICES[method](*block.whole_pairs())
    elif method in KERNELS:
        result = kept_apart(convolve(block, KERNELS[method]), nodata)
    elif method == "RMS":
        result = kept_apart(rms(*block.whole_pairs(), may_miss=may_miss), nodata)
    else:
        result = kept_apart(COMPUTED[method](*block.whole_pairs()), nodata)
    return result if has_valid is None or has_valid.all() else filled(result, has_valid, fill)


@dataclass(frozen=True)
class Reduction:
    """The reduction of (band, row, column) pixels to the next overview."""

    methods: tuple[str, ...]  #: One of `METHODS` per band.
    nodata: int | float | None
    alpha_band: int | None = None  #: Position of the band whose zeros make pixels of the other bands invalid.

    @property
    def margin_px(self) -> int:
        """Source pixels that a method reads beyond a block, on each side."""
        return max(margin_px(method) for method in self.methods)

    def source_window(self, window: PixelWindow, source_shape: tuple[int, int]) -> PixelWindow:
        """Return the window of the level before, of ``source_shape``, that a window is made of, margins included."""
        return _doubled(window, source_shape, self.margin_px)

    def halve(
        self, pixels: NDArray[Any], mask: Mask, source: PixelWindow, window: PixelWindow, source_shape: tuple[int, int]
    ) -> tuple[NDArray[Any], Mask]:
        """Reduce pixels and mask of ``source``, the `source_window` of ``window``, by two."""
        core = _doubled(window, source_shape)
        margins = Margins(
            top_px=core.row_start - source.row_start,
            bottom_px=source.row_stop - core.row_stop,
            left_px=core.column_start - source.column_start,
            right_px=source.column_stop - core.column_stop,
        )
        reduced = np.empty((len(pixels), *window.shape), pixels.dtype)
        for band, method in enumerate(self.methods):
            is_valid, nodata = self.validity(pixels, mask, band)
            reduced[band] = halve(pixels[band], method, nodata=nodata, is_valid=is_valid, margins=margins)
        if mask is None:
            return reduced, None
        # A picked pixel is as valid as its source, others are valid if any of their sources is.
        valid = margins.core(mask)
        return reduced, valid[::2, ::2] if set(self.methods) == {"NEAREST"} else halve_mask(valid)

    def validity(self, pixels: NDArray[Any], mask: Mask, band: int) -> tuple[Mask, int | float | None]:
        """Return where a band, counted from 0, has pixels that count by mask and alpha, and its nodata."""
        if self.alpha_band is None:
            return mask, self.nodata
        if band == self.alpha_band:
            return mask, None
        visible = pixels[self.alpha_band] != 0
        return visible if mask is None else mask & visible, self.nodata


def _doubled(window: PixelWindow, shape: tuple[int, int], margin_px: int = 0) -> PixelWindow:
    """Return the pixels of the level before, of (rows, columns), that a window is made of, with a margin."""
    return PixelWindow(
        max(0, 2 * window.row_start - margin_px),
        min(shape[0], 2 * window.row_stop + margin_px),
        max(0, 2 * window.column_start - margin_px),
        min(shape[1], 2 * window.column_stop + margin_px),
    )


def reduce_block(
    read: ReadWindow, reduction: Reduction, shapes: tuple[tuple[int, int], ...], window: PixelWindow
) -> tuple[NDArray[Any], Mask]:
    """Compute a window of the last of some levels, whose (rows, columns) are ``shapes``, from the first of them."""
    if len(shapes) == 1:
        return read(window)
    source = reduction.source_window(window, shapes[-2])
    pixels, mask = reduce_block(read, reduction, shapes[:-1], source)
    return reduction.halve(pixels, mask, source, window, shapes[-2])


def reduce_twice(
    read: ReadWindow, reduction: Reduction, shapes: tuple[tuple[int, int], ...], window: PixelWindow
) -> list[tuple[PixelWindow, NDArray[Any], Mask]]:
    """Compute the blocks of the next one or two levels, the first of them only once.

    ``shapes`` are (rows, columns) of the first level and of those to be computed, ``window`` is of the last of them.
    Returns (window, pixels, mask) of each computed level, from large to small.
    """
    if len(shapes) == 2:
        return [(window, *reduce_block(read, reduction, shapes, window))]
    source = reduction.source_window(window, shapes[1])
    pixels, mask = reduce_block(read, reduction, shapes[:2], source)
    smaller = reduction.halve(pixels, mask, source, window, shapes[1])
    core = _doubled(window, shapes[1])
    rows, columns = core.within(source)
    return [(core, pixels[:, rows, columns], None if mask is None else mask[rows, columns]), (window, *smaller)]
