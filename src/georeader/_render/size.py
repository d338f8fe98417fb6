"""Size of a picture, and the level of a pyramid that has enough pixels for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from georeader.window_utils import res

#: Pixels whose sides differ by no more than this are taken for squares.
SQUARE_WITHIN = 0.01

#: And beyond this ratio a transform is no matter of the ground: pixels are shown as they are.
MOST_OBLONG = 16.0

#: (rows, columns)
Shape = tuple[int, int]


def picture_shape(shape: Shape, transform: Affine, max_side_px: int) -> Shape:
    """Give the (rows, columns) of the picture of a raster.

    It has the raster's proportions on the ground, whose pixels need not be squares (in units of the CRS); is as large
    as the raster where that fits, and then the finer of rows and columns are shown one to one; and else its longer side
    is ``max_side_px``.

    Args:
        shape: (rows, columns) of the raster.
        transform: Of the raster.
        max_side_px: Longest side that the picture may have.

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


def north_up(picture: NDArray[np.uint8], transform: Affine) -> NDArray[np.uint8]:
    """Return a picture mirrored or rotated by quarter turns, so that north is up and east to the right.

    Args:
        picture: (row, column, channel), of a raster with this transform.
        transform: Of the raster.

    Example:
        >>> north_up(np.array([[[1], [2]], [[3], [4]]], "uint8"), Affine(10, 0, 0, 0, 10, 0))[..., 0].tolist()
        [[3, 4], [1, 2]]
    """
    a, b, _, d, e, _ = transform[:6]
    if abs(b) + abs(d) > abs(a) + abs(e):
        picture, a, e = picture.swapaxes(0, 1), b, d
    picture = picture[:, ::-1] if a < 0 else picture
    return np.ascontiguousarray(picture[::-1] if e > 0 else picture)


def is_enough(level: Shape, shape: Shape, picture: Shape) -> bool:
    """Tell whether a level has enough pixels for a picture: as many as it, or as the raster itself.

    Args:
        level: Its (rows, columns).
        shape: (rows, columns) of the raster.
        picture: (rows, columns) of the picture. Its shorter side may have been rounded up to one pixel more.
    """
    longer = max(picture)
    return all(
        has >= min(wanted, most) - (wanted < longer) for has, most, wanted in zip(level, shape, picture, strict=True)
    )


def best_level(shape: Shape, factors: Sequence[int], picture: Shape) -> int | None:
    """Return the position of the smallest overview that is enough for a picture; None: only the raster itself is.

    Args:
        shape: (rows, columns) of the raster.
        factors: Decimation factors of its overviews.
        picture: (rows, columns) of the picture.

    Example:
        >>> best_level((2700, 5400), [2, 4, 8], (512, 1024)), best_level((600, 600), [2], (600, 600))
        (1, None)
    """
    # A malformed file may declare overviews larger than the raster: rasterio gives them a factor of 0 or 1.
    sizes = {
        level: (-(-shape[0] // factor), -(-shape[1] // factor)) for level, factor in enumerate(factors) if factor > 1
    }
    enough = [level for level, size in sizes.items() if is_enough(size, shape, picture)]
    return min(enough, key=lambda level: sizes[level]) if enough else None


def halvings(level: Shape, shape: Shape, picture: Shape) -> tuple[Shape, ...]:
    """Give the (rows, columns) of a level, of half of it and so on, as long as they are enough for a picture.

    Args:
        level: Its (rows, columns).
        shape: (rows, columns) of the raster.
        picture: (rows, columns) of the picture.

    Example:
        >>> halvings((1001, 3000), (1001, 3000), (170, 512))
        ((1001, 3000), (501, 1500), (251, 750))
    """
    shapes = [level]
    while max(shapes[-1]) > 1 and is_enough(half := (-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)), shape, picture):
        shapes.append(half)
    return tuple(shapes)
