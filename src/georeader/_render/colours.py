"""Colours of pixels: a stretch for numbers, a colour table for classes, none for 8-bit pictures. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._export.plan.metadata import Colormap
from georeader._render.stretch import PERCENTILES_DEFAULT, magnitude, stretch
from georeader._resample.missing import find_valid, nodata_of


@dataclass(frozen=True)
class Colouring:
    """Rules that convert pixels to colours.

    Attributes:
        nodata: Value of missing pixels, or None.
        colormap: ((pixel value, (red, green, blue, alpha)), ...), or None.
        is_mask: They are 0 and 1, shown black and white.
        are_finished: They are 8-bit colours, shown as they are unless ``percentiles`` are given.
        inverted: Position of the band whose smallest value is white (MINISWHITE), or None.
        has_alpha: The last band says where the others are visible.
        percentiles: Of the stretch; None: the default.
    """

    nodata: int | float | None = None
    colormap: Colormap | None = None
    is_mask: bool = False
    are_finished: bool = False
    inverted: int | None = None
    has_alpha: bool = False
    percentiles: tuple[float, float] | None = None


def colour(pixels: NDArray[Any], mask: NDArray[np.bool_] | None, how: Colouring) -> NDArray[np.uint8]:
    """Convert pixels to colours.

    A pixel is transparent where it is masked, where its alpha is 0, where it is missing (nodata, NaN, infinite) in all
    of its bands, and where the colour table does not have it.

    Args:
        pixels: (band, row, column) of one or three bands, and alpha.
        mask: (row, column), True where pixels are valid; None: everywhere.
        how: See `Colouring`.

    Returns:
        (row, column, channel) of grey and alpha, or of red, green, blue and alpha. Colours are 0 where alpha is.
    """
    bands, alpha = (pixels[:-1], _opacity(pixels[-1])) if how.has_alpha else (pixels, None)
    visible = mask if alpha is None else (alpha > 0 if mask is None else mask & (alpha > 0))
    valid = [_valid(band, visible, how.nodata) for band in bands]
    if how.colormap is not None:
        picture = _look_up(bands[0], how.colormap)
    else:
        picture = np.empty((*pixels.shape[1:], len(bands) + 1), np.uint8)
        picture[..., -1] = 255 if alpha is None else alpha
        for channel, (band, is_valid) in enumerate(zip(bands, valid, strict=True)):
            levels = _levels(band, is_valid, how)
            picture[..., channel] = 255 - levels if channel == how.inverted else levels
    picture[~np.logical_or.reduce(valid)] = 0
    picture[picture[..., -1] == 0] = 0
    return picture


def _opacity(alpha: NDArray[Any]) -> NDArray[np.uint8]:
    """Give an alpha band in 8 bits. What is opaque in others is not agreed on: all but 0 is."""
    return alpha if alpha.dtype == np.uint8 else np.where(alpha != 0, np.uint8(255), np.uint8(0))


def _valid(band: NDArray[Any], mask: NDArray[np.bool_] | None, nodata: Any) -> NDArray[np.bool_]:
    found = find_valid(band, nodata_of(nodata, band.dtype), mask)
    valid = np.ones(band.shape, bool) if found is None else found
    return valid & np.isfinite(magnitude(band)) if band.dtype.kind in "fc" else valid


def _levels(band: NDArray[Any], is_valid: NDArray[np.bool_], how: Colouring) -> NDArray[Any]:
    if how.is_mask:
        return np.where(band != 0, np.uint8(255), np.uint8(0))
    if how.are_finished and how.percentiles is None:
        return band
    return stretch(magnitude(band), is_valid, how.percentiles or PERCENTILES_DEFAULT)


def _look_up(band: NDArray[Any], colormap: Colormap) -> NDArray[np.uint8]:
    """Give the colours of a table; values that it does not have are transparent."""
    largest = np.iinfo(band.dtype).max if band.dtype.kind in "iu" else 2**53  # floats have gaps beyond
    held = [(value, rgba) for value, rgba in colormap if value <= largest]
    values = np.array([value for value, _ in held], band.dtype)
    colours = np.array([rgba for _, rgba in held], np.uint8)
    if not held:
        return np.zeros((*band.shape, 4), np.uint8)
    place = np.minimum(np.searchsorted(values, band), len(values) - 1)
    picture: NDArray[np.uint8] = colours[place]
    picture[values[place] != band] = 0
    return picture
