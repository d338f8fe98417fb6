"""The pyramid and the tile grid, as numbers alone: no pixels, no I/O."""

from __future__ import annotations

import math


def overview_factors(height_px: int, width_px: int, tile_height_px: int, tile_width_px: int) -> tuple[int, ...]:
    """Give the decimation factors 2, 4, 8, ... down to the first level that fits in one tile.

    Both sides count, so a strip of 16 x 5000 pixels gets a pyramid too. A raster that fits in one tile has none.

    Args:
        height_px: Rows at full resolution.
        width_px: Columns at full resolution.
        tile_height_px: Rows of a tile.
        tile_width_px: Columns of a tile.

    Example:
        >>> overview_factors(16, 5000, 256, 256)
        (2, 4, 8, 16, 32)
        >>> overview_factors(256, 256, 256, 256)
        ()
    """
    factors = []
    factor = 1
    while math.ceil(height_px / factor) > tile_height_px or math.ceil(width_px / factor) > tile_width_px:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def overview_shape(height_px: int, width_px: int, factor: int) -> tuple[int, int]:
    """Give an overview's (rows, columns): the last pixel of an odd side counts as a whole one.

    Example:
        >>> overview_shape(257, 3, 2)
        (129, 2)
    """
    return math.ceil(height_px / factor), math.ceil(width_px / factor)


def tile_grid(height_px: int, width_px: int, tile_height_px: int, tile_width_px: int) -> tuple[int, int]:
    """Give the number of tiles (down, across) that cover a level.

    Example:
        >>> tile_grid(1000, 777, 256, 256)
        (4, 4)
    """
    return math.ceil(height_px / tile_height_px), math.ceil(width_px / tile_width_px)
