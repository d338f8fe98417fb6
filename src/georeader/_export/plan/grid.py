"""Levels, tiles and blocks of a file, as numbers. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from georeader._core.windows import PixelWindow


@dataclass(frozen=True)
class Level:
    """One resolution of a file.

    Attributes:
        number: 0 for the full resolution, 1 for the overview of half its size, and so on.
        height_px: Rows.
        width_px: Columns.
        tile_height_px: Rows of a tile.
        tile_width_px: Columns of a tile.
        planes: 1 where a tile holds all bands, the number of bands where it holds one.
    """

    number: int
    height_px: int
    width_px: int
    tile_height_px: int
    tile_width_px: int
    planes: int

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height_px, self.width_px

    @property
    def tiles_down(self) -> int:
        """Rows of tiles."""
        return math.ceil(self.height_px / self.tile_height_px)

    @property
    def tiles_across(self) -> int:
        """Columns of tiles."""
        return math.ceil(self.width_px / self.tile_width_px)

    @property
    def tile_count(self) -> int:
        """Number of tiles, those of all planes."""
        return self.planes * self.tiles_down * self.tiles_across


def pyramid_levels(
    shape: tuple[int, int], tile_shape: tuple[int, int], planes: int, factors: tuple[int, ...]
) -> tuple[Level, ...]:
    """Return the levels of a file, from the full resolution to the smallest overview.

    Args:
        shape: (rows, columns) at full resolution.
        tile_shape: (rows, columns) of a tile.
        planes: 1, or the number of bands where tiles hold one band each.
        factors: Decimation factors of the overviews: 2, 4, 8, ...

    Example:
        >>> [level.shape for level in pyramid_levels((700, 511), (256, 256), 1, (2, 4))]
        [(700, 511), (350, 256), (175, 128)]
    """
    return tuple(
        Level(number, *overview_shape(*shape, factor), *tile_shape, planes)
        for number, factor in enumerate((1, *factors))
    )


def overview_factors(height_px: int, width_px: int, tile_height_px: int, tile_width_px: int) -> tuple[int, ...]:
    """Return the decimation factors 2, 4, 8, ... down to the first level that fits in one tile.

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
    """Return an overview's (rows, columns): the last pixel of an odd side counts as a whole one.

    Example:
        >>> overview_shape(257, 3, 2)
        (129, 2)
    """
    return math.ceil(height_px / factor), math.ceil(width_px / factor)


def tile_grid(height_px: int, width_px: int, tile_height_px: int, tile_width_px: int) -> tuple[int, int]:
    """Return the number of tiles (down, across) that cover a level.

    Example:
        >>> tile_grid(1000, 777, 256, 256)
        (4, 4)
    """
    return math.ceil(height_px / tile_height_px), math.ceil(width_px / tile_width_px)


#: (row, column) of a block in its grid.
BlockIndex = tuple[int, int]


@dataclass(frozen=True)
class BlockGrid:
    """Blocks that cover a level, side by side from its first pixel; the last of a row or column may be smaller.

    Attributes:
        height_px: Rows of the level.
        width_px: Columns of the level.
        block_height_px: Rows of a block.
        block_width_px: Columns of a block.

    Example:
        >>> grid = BlockGrid(700, 500, 512, 256)
        >>> grid.window((1, 0)), list(grid.touched(PixelWindow(0, 512, 200, 300)))
        (PixelWindow(row_start=512, row_stop=700, column_start=0, column_stop=256), [(0, 0), (0, 1)])
    """

    height_px: int
    width_px: int
    block_height_px: int
    block_width_px: int

    @property
    def whole(self) -> PixelWindow:
        """The window of the whole level."""
        return PixelWindow(0, self.height_px, 0, self.width_px)

    def window(self, block: BlockIndex) -> PixelWindow:
        """Return the pixels of a block."""
        row, column = block
        top, left = row * self.block_height_px, column * self.block_width_px
        return PixelWindow(
            top,
            min(top + self.block_height_px, self.height_px),
            left,
            min(left + self.block_width_px, self.width_px),
        )

    def touched(self, window: PixelWindow) -> Iterator[BlockIndex]:
        """Iterate over the blocks that share pixels with a window, row by row."""
        for row in range(window.row_start // self.block_height_px, -(-window.row_stop // self.block_height_px)):
            for column in range(
                window.column_start // self.block_width_px, -(-window.column_stop // self.block_width_px)
            ):
                yield row, column

    def neighbours(self, block: BlockIndex) -> Iterator[BlockIndex]:
        """Iterate over a block and the up to eight around it."""
        row, column = block
        rows, columns = -(-self.height_px // self.block_height_px), -(-self.width_px // self.block_width_px)
        for other_row in range(max(0, row - 1), min(rows, row + 2)):
            for other_column in range(max(0, column - 1), min(columns, column + 2)):
                yield other_row, other_column
