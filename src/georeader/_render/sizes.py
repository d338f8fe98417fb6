"""Size of a picture, the level of a pyramid that has enough pixels for it, and resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from georeader.window_utils import res

#: Pixels whose sides differ by no more than this share count as squares.
SQUARE_WITHIN = 0.01

#: Beyond this ratio of the sides, the transform is not one of the ground, and pixels are shown as squares.
MOST_OBLONG = 16.0

#: (rows, columns)
Shape = tuple[int, int]

#: (row, column, channel) of 8 bits, the last channel of which is alpha.
Picture = NDArray[np.uint8]


def picture_shape(shape: Shape, transform: Affine, max_side_px: int) -> Shape:
    """Return the size of the picture of a raster of some size.

    The picture has the raster's proportions in units of the CRS, in which pixels need not be squares. Where the raster
    fits, the finer of rows and columns are shown one to one; else the longer side is ``max_side_px``.

    Example:
        >>> picture_shape((2700, 5400), Affine(10, 0, 0, 0, -10, 0), 1024)
        (512, 1024)
        >>> picture_shape((100, 100), Affine(20, 0, 0, 0, -10, 0), 1024)
        (100, 200)
    """
    across, down = res(transform)
    oblong = across / down if across > 0 and down > 0 else 1.0
    if abs(oblong - 1) <= SQUARE_WITHIN or not 1 / MOST_OBLONG <= oblong <= MOST_OBLONG:
        oblong = 1.0
    rows, columns = shape[0] * max(1.0, 1 / oblong), shape[1] * max(1.0, oblong)
    scale = min(1.0, max_side_px / max(rows, columns, 1))
    return max(1, min(max_side_px, round(rows * scale))), max(1, min(max_side_px, round(columns * scale)))


def north_up(picture: Picture, transform: Affine) -> Picture:
    """Return the picture of a raster mirrored or turned by quarters, so that north is up and east to the right."""
    a, b, _, d, e, _ = transform[:6]
    if abs(b) + abs(d) > abs(a) + abs(e):
        picture, a, e = picture.swapaxes(0, 1), b, d
    picture = picture[:, ::-1] if a < 0 else picture
    return np.ascontiguousarray(picture[::-1] if e > 0 else picture)


def is_enough(level: Shape, shape: Shape, picture: Shape) -> bool:
    """Return whether a level has enough pixels for a picture: as many as the picture, or as the raster of ``shape``."""
    longer = max(picture)  # the shorter side may have been rounded up to one pixel more
    return all(
        has >= min(wanted, most) - (wanted < longer) for has, most, wanted in zip(level, shape, picture, strict=True)
    )


def best_level(shape: Shape, factors: Sequence[int], picture: Shape) -> int | None:
    """Return the position of the smallest overview that is enough for a picture; None if only the raster itself is."""
    # A malformed file may declare overviews larger than the raster: rasterio reports a factor of 0 or 1.
    sizes = {
        level: (-(-shape[0] // factor), -(-shape[1] // factor)) for level, factor in enumerate(factors) if factor > 1
    }
    enough = [level for level, size in sizes.items() if is_enough(size, shape, picture)]
    return min(enough, key=lambda level: sizes[level]) if enough else None


def halvings(level: Shape, shape: Shape, picture: Shape) -> tuple[Shape, ...]:
    """Return the size of a level, of half of it and so on, as long as they are enough for a picture of the raster.

    Example:
        >>> halvings((1001, 3000), (1001, 3000), (170, 512))
        ((1001, 3000), (501, 1500), (251, 750))
    """
    shapes = [level]
    while max(shapes[-1]) > 1 and is_enough(half := (-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)), shape, picture):
        shapes.append(half)
    return tuple(shapes)


def resize(picture: Picture, shape: Shape, *, picks: bool = False) -> Picture:
    """Return a picture resized to a number of rows and columns.

    A new pixel is the mean of the area that it covers, each colour weighted by its alpha; or with ``picks`` it is the
    pixel in the middle of that area, so that no new colour appears. Alpha is 0 where all of the area was transparent,
    and colours are then 0. Memory: about eight bytes for each number of the picture.
    """
    if picture.shape[:2] == tuple(shape):
        return picture
    if picks:
        rows, columns = (
            (2 * np.arange(new) + 1) * old // (2 * new) for old, new in zip(picture.shape[:2], shape, strict=True)
        )
        return np.asarray(picture[rows][:, columns])
    weighted = picture.astype(np.float32)
    weighted[..., :-1] *= weighted[..., -1:] / 255
    means = _mean(_mean(weighted, shape[0], axis=0), shape[1], axis=1)
    alpha = means[..., -1:]
    np.divide(means[..., :-1] * 255, alpha, out=means[..., :-1], where=alpha > 0)
    return np.rint(np.clip(means, 0, 255)).astype(np.uint8)


def _mean(values: NDArray[np.float32], new: int, *, axis: int) -> NDArray[np.float32]:
    """Return means along an axis over ``new`` equal parts of it, whose edges may lie within pixels."""
    old = values.shape[axis]
    if old == new:
        return values
    starts, stops = np.arange(new) * old / new, np.arange(1, new + 1) * old / new
    first = np.floor(starts).astype(int)
    total: NDArray[np.float32] = np.zeros((*values.shape[:axis], new, *values.shape[axis + 1 :]), np.float32)
    for tap in range(math.ceil(old / new) + 1):
        pixel = first + tap
        share = np.clip(np.minimum(stops, pixel + 1) - np.maximum(starts, pixel), 0, None) / (old / new)
        weights = share.astype(np.float32).reshape([new if at == axis else 1 for at in range(values.ndim)])
        total += values.take(np.minimum(pixel, old - 1), axis=axis) * weights
    return total
