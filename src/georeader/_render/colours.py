"""Conversion of pixels to colours: a stretch of numbers, a colour table of classes, or 8-bit colours unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.band_attrs import Colormap
from georeader._core.windows import Mask
from georeader._render.colormaps import Ramp
from georeader._resample.block import find_valid
from georeader.errors import OptionError

#: Percentiles of a band's valid pixels that become black and white: outliers do not darken the rest.
PERCENTILES_DEFAULT = (2.0, 98.0)

#: The grey of a band whose valid pixels are all equal.
GREY_OF_ONE_VALUE = 128


@dataclass(frozen=True)
class Colouring:
    """Rules that convert pixels to colours."""

    nodata: int | float | None = None
    colormap: Colormap | None = None
    is_mask: bool = False  #: Pixels are 0 and 1, shown black and white.
    are_colours: bool = False  #: Pixels are 8-bit colours, shown unchanged unless ``percentiles`` are set.
    inverted: int | None = None  #: Position of the band whose smallest value is white (MINISWHITE).
    has_alpha: bool = False  #: The last band is the alpha of the others.
    percentiles: tuple[float, float] | None = None  #: Of the stretch; None: the default.
    ramp: Ramp | None = None  #: Of a picture of one band, in place of greys and of the colour table.


def colour(pixels: NDArray[Any], mask: Mask, rules: Colouring) -> NDArray[np.uint8]:
    """Convert (band, row, column) pixels of one or three bands, and alpha, to (row, column, channel) of 8 bits.

    The channels are grey and alpha, or red, green, blue and alpha. A pixel is transparent where it is masked, where its
    alpha is 0, where it is missing (nodata, NaN, infinite) in all of its bands, and where the colour table does not
    have it; its colours are then 0.
    """
    bands, alpha = (pixels[:-1], pixels[-1]) if rules.has_alpha else (pixels, None)
    if alpha is not None and alpha.dtype != np.uint8:
        alpha = np.where(alpha != 0, np.uint8(255), np.uint8(0))  # the opaque value of other dtypes has no standard
    valid = [_valid(band, _visible(mask, alpha), rules.nodata) for band in bands]
    if rules.ramp is not None:
        picture = _on_ramp(bands[0], valid[0], rules, rules.ramp)
        if alpha is not None:
            picture[..., -1] = picture[..., -1].astype(np.uint16) * alpha // 255
    elif rules.colormap is not None:
        picture = _look_up(bands[0], rules.colormap)
    else:
        picture = np.empty((*pixels.shape[1:], len(bands) + 1), np.uint8)
        picture[..., -1] = 255 if alpha is None else alpha
        for channel, (band, is_valid) in enumerate(zip(bands, valid, strict=True)):
            levels = _levels(band, is_valid, rules)
            picture[..., channel] = 255 - levels if channel == rules.inverted else levels
    picture[~np.logical_or.reduce(valid)] = 0
    picture[picture[..., -1] == 0] = 0
    return picture


def _visible(mask: Mask, alpha: NDArray[Any] | None) -> Mask:
    if alpha is None:
        return mask
    return alpha > 0 if mask is None else mask & (alpha > 0)


def _valid(band: NDArray[Any], mask: Mask, nodata: Any) -> NDArray[np.bool_]:
    found = find_valid(band, None if nodata is None else band.dtype.type(nodata), mask)
    valid = np.ones(band.shape, bool) if found is None else found
    return valid & np.isfinite(magnitude(band)) if band.dtype.kind in "fc" else valid


def _levels(band: NDArray[Any], is_valid: NDArray[np.bool_], rules: Colouring) -> NDArray[Any]:
    if rules.is_mask:
        return np.where(band != 0, np.uint8(255), np.uint8(0))
    if rules.are_colours and rules.percentiles is None:
        return band
    return stretch(magnitude(band), is_valid, rules.percentiles or PERCENTILES_DEFAULT)


def _on_ramp(band: NDArray[Any], is_valid: NDArray[np.bool_], rules: Colouring, ramp: Ramp) -> NDArray[np.uint8]:
    if ramp.is_qualitative and band.dtype.kind in "biu":
        return ramp.of_classes(band)
    return ramp.of_levels(_levels(band, is_valid, rules))


def _look_up(band: NDArray[Any], colormap: Colormap) -> NDArray[np.uint8]:
    """Return the colours of a colour table; values that it does not have are transparent."""
    largest = np.iinfo(band.dtype).max if band.dtype.kind in "iu" else 2**53  # floats are not exact beyond
    entries = [(value, rgba) for value, rgba in colormap if value <= largest]
    if not entries:
        return np.zeros((*band.shape, 4), np.uint8)
    values = np.array([value for value, _ in entries], band.dtype)
    colours = np.array([rgba for _, rgba in entries], np.uint8)
    position = np.minimum(np.searchsorted(values, band), len(values) - 1)
    picture: NDArray[np.uint8] = colours[position]
    picture[values[position] != band] = 0
    return picture


def check_percentiles(percentiles: Any) -> tuple[float, float]:
    """Check that percentiles are two numbers from 0 to 100, the first less than the second."""
    try:
        low, high = (float(one) for one in percentiles)
    except (TypeError, ValueError) as error:
        raise OptionError(f"percentiles={percentiles!r}; pass two numbers, such as (2, 98)") from error
    if not 0 <= low < high <= 100:
        raise OptionError(f"percentiles={percentiles!r}; pass two from 0 to 100, the lower one first")
    return low, high


def magnitude(values: NDArray[Any]) -> NDArray[Any]:
    """Return the absolute values of complex numbers, infinite where they exceed the dtype; others unchanged."""
    if values.dtype.kind != "c":
        return values
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.asarray(np.abs(values))


def limits(counted: NDArray[Any], percentiles: tuple[float, float]) -> tuple[Any, Any] | None:
    """Return the values that become 0 and 255, as `stretch` explains; None without any values."""
    if not counted.size:
        return None
    ranks = [round(percentile / 100 * (counted.size - 1)) for percentile in percentiles]
    low, high = np.partition(counted, ranks)[ranks]
    return (counted.min(), counted.max()) if low == high else (low, high)


def limits_of_picture(pixels: NDArray[Any], mask: Mask, rules: Colouring) -> tuple[Any, Any] | None:
    """Return the values of the first and last colour of a picture of one band that `colour` returns."""
    alpha = pixels[-1] if rules.has_alpha else None
    is_valid = _valid(pixels[0], _visible(mask, alpha), rules.nodata)
    return limits(magnitude(pixels[0])[is_valid], rules.percentiles or PERCENTILES_DEFAULT)


def stretch(
    values: NDArray[Any], is_valid: NDArray[np.bool_], percentiles: tuple[float, float] = PERCENTILES_DEFAULT
) -> NDArray[np.uint8]:
    """Convert the values between two percentiles to 0 to 255, linearly; values beyond become 0 or 255.

    The order of valid pixels, of which none is NaN or infinite, is kept: of two, the larger is never darker. Others
    become 0. Percentiles are values of pixels (the nearest rank), so that 64-bit integers lose no digit. Where the two
    are equal, the range of all valid pixels is taken; if that is a single value, pixels become `GREY_OF_ONE_VALUE`.
    Memory: about eight bytes a pixel, three times.
    """
    found = limits(values[is_valid], percentiles)
    if found is None:
        return np.zeros(values.shape, np.uint8)
    low, high = found
    if low == high:
        return np.where(is_valid, np.uint8(GREY_OF_ONE_VALUE), np.uint8(0))
    clipped = np.clip(np.where(is_valid, values, low), low, high)
    return np.rint(share(clipped, low, high) * 255).astype(np.uint8)


def share(values: NDArray[Any], low: Any, high: Any) -> NDArray[np.float64]:
    """Return the position of values between two others, from 0 at the first to 1 at the second."""
    if values.dtype.kind in "iu":
        # Differences of 64-bit integers may need all 64 bits: modulo 2**64 they are right.
        above = values.astype(np.uint64) - np.asarray(low).astype(np.uint64)
        return above / float(int(high) - int(low))
    wide, first, last = values.astype(np.float64), float(low), float(high)
    if last - first == float("inf"):
        wide, first, last = wide / 2, first / 2, last / 2
    with np.errstate(under="ignore"):
        return (wide - first) / (last - first)
