"""Place of a raster from the coordinates of its pixels' centres or corners. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from georeader.errors import GeoreferenceError
from georeader.window_utils import pixel_to_crs, regrid

#: How far a pixel may be misplaced along an axis, in pixels, for its coordinates to be evenly spaced.
EVEN_PX = 0.05

#: How far coordinates may lie from a stored transform, in pixels, for it to be theirs.
SAME_PX = 1e-3


class Axis(NamedTuple):
    """Where pixels lie along an axis.

    Attributes:
        start: Outer edge of the first pixel.
        step: From one pixel to the next; negative where coordinates fall.
    """

    start: float
    step: float


class Registration(NamedTuple):
    """The point of a stored grid's pixels that coordinates refer to.

    Attributes:
        point: "centre" or "corner" (that of the smallest row and column); "either": centres of pixels averaged from an
            even number of the grid's, or corners of every second, fourth... pixel of it.
        stride: Pixels of the grid from one coordinate to the next.
    """

    point: str
    stride: int


def registration_of(places: NDArray[Any], grid: Axis) -> Registration | None:
    """Return which point of a grid's pixels coordinates are; None where they are not on its centres or corners.

    Args:
        places: Evenly spaced coordinates along an axis.
        grid: Stored axis that they may be a selection of: a slice of it, with any step.

    Example:
        >>> grid = Axis(100.0, 10.0)
        >>> registration_of(np.array([120.0, 130.0]), grid), registration_of(np.array([125.0, 135.0]), grid)
        (Registration(point='corner', stride=1), Registration(point='centre', stride=1))
        >>> registration_of(np.array([110.0, 130.0]), grid), registration_of(np.array([111.0, 121.0]), grid)
        (Registration(point='either', stride=2), None)
    """
    if not places.size or places.dtype.kind not in "iuf":
        return None
    ends = (np.array([places[0], places[-1]], np.float64) - grid.start) / grid.step
    halves = 2 * ends
    allowed = 2 * (SAME_PX + _rounding(places) / abs(grid.step))
    # Where rounding exceeds an eighth of a pixel, centres and corners cannot be distinguished.
    if not np.isfinite(ends).all() or allowed > 0.25 or (np.abs(halves - np.rint(halves)) > allowed).any():
        return None
    first, last = (int(half) for half in np.rint(halves))
    stride, rest = divmod(abs(last - first), 2 * max(1, len(places) - 1))
    if rest:
        return None
    stride = stride or 1
    if first % 2:
        return Registration("centre", stride)
    is_middle = stride % 2 == 0 and (first // 2) % stride == stride // 2
    return Registration("either" if is_middle else "corner", stride)


def axis_of_centres(centres: NDArray[Any], stored: Axis | None, name: str) -> Axis:
    """Return where pixels lie.

    Args:
        centres: Coordinates of all pixels along an axis.
        stored: Where the pixels of a raster lie that these may be a part of. Where they are, its numbers are taken,
            which have not been rounded on their way through coordinates.
        name: Of the axis, for messages.

    Raises:
        GeoreferenceError: They are not numbers, not evenly spaced, or a single one without a stored axis.

    Example:
        >>> axis_of_centres(np.array([105.0, 115.0, 125.0]), None, "x")
        Axis(start=100.0, step=10.0)
        >>> axis_of_centres(np.array([0.25, 0.35, 0.45]), Axis(0.0, 0.1), "x").step
        0.1
    """
    if centres.dtype.kind not in "iuf" or not np.isfinite(centres).all():
        raise GeoreferenceError(
            f"the coordinates along {name!r} ({centres.dtype}) are not all finite numbers; give them in units of "
            "the CRS"
        )
    rounding = _rounding(centres)
    places = centres.astype(np.float64)
    if len(places) == 1:
        if stored is None:
            raise GeoreferenceError(
                f"there is one pixel along {name!r}, so that its coordinate does not tell how large it is; say so by "
                "array.rio.write_transform(affine.Affine(...))"
            )
        step = stored.step
    else:
        step = float(places[-1] - places[0]) / (len(places) - 1)
        _check_even(places, step, rounding, name)
    if stored is not None:
        before = round((places[0] - stored.start) / stored.step - 0.5)
        expected = [stored.start + (before + place + 0.5) * stored.step for place in (0, len(places) - 1)]
        allowed = SAME_PX * abs(stored.step) + rounding
        if max(abs(expected[0] - places[0]), abs(expected[1] - places[-1])) <= allowed:
            return Axis(stored.start + before * stored.step if before else stored.start, stored.step)
    return Axis(float(places[0]) - step / 2, step)


def shifted(transform: Affine, centres: Sequence[tuple[float, float]], last_row: int, last_column: int) -> Affine:
    """Move a transform by whole pixels, to where a part of its raster begins.

    Args:
        transform: Of the raster.
        centres: (x, y) of the part's first pixel, of the last one in its first row, and of the first in its last row.
        last_row: Its number in the part.
        last_column: The same.

    Raises:
        GeoreferenceError: The part is not on the raster's grid.
    """
    column, row = (round(place - 0.5) for place in pixel_to_crs(~transform, *centres[0]))
    moved = regrid(transform, column, row)
    for (x, y), place in zip(centres, ((0, 0), (last_column, 0), (0, last_row)), strict=True):
        found = pixel_to_crs(~moved, x, y)
        if max(abs(found[0] - place[0] - 0.5), abs(found[1] - place[1] - 0.5)) > EVEN_PX:
            raise GeoreferenceError(
                "the coordinates xc and yc do not lie on the grid of GeoTransform; write the transform that they have, "
                "by array.rio.write_transform(affine.Affine(...))"
            )
    return moved


def _check_even(places: NDArray[np.float64], step: float, rounding: float, name: str) -> None:
    misplaced = np.abs(places - (places[0] + step * np.arange(len(places))))
    if not step or bool((misplaced > EVEN_PX * abs(step) + rounding).any()):
        raise GeoreferenceError(
            f"the coordinates along {name!r} are not evenly spaced, but a GeoTIFF's pixels are all of one size; "
            f"resample them first, for instance by array.interp({{{name!r}: numpy.linspace(...)}})"
        )


def _rounding(centres: NDArray[Any]) -> float:
    """Return the error that rounding to the coordinates' dtype may cause."""
    if centres.dtype.kind != "f" or not centres.size:
        return 0.0
    return 2 * float(np.spacing(np.abs(centres).max()))
