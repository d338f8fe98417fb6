"""Levels, tiles and blocks of a file, and edges of parts along an axis, as numbers. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

from georeader._core.windows import PixelWindow

#: (row, column) of a block in its grid.
BlockIndex = tuple[int, int]


@dataclass(frozen=True)
class BlockGrid:
    """Blocks that cover a level, side by side from its first pixel; the last of a row or column may be smaller."""

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
        top, left = block[0] * self.block_height_px, block[1] * self.block_width_px
        bottom, right = top + self.block_height_px, left + self.block_width_px
        return PixelWindow(top, min(bottom, self.height_px), left, min(right, self.width_px))

    def touched(self, window: PixelWindow) -> Iterator[BlockIndex]:
        """Iterate over the blocks that share pixels with a window, row by row."""
        rows = range(window.row_start // self.block_height_px, -(-window.row_stop // self.block_height_px))
        columns = range(window.column_start // self.block_width_px, -(-window.column_stop // self.block_width_px))
        return product(rows, columns)

    def neighbours(self, block: BlockIndex) -> Iterator[BlockIndex]:
        """Iterate over a block and the up to eight around it."""
        row, column = block
        rows, columns = -(-self.height_px // self.block_height_px), -(-self.width_px // self.block_width_px)
        return product(range(max(0, row - 1), min(rows, row + 2)), range(max(0, column - 1), min(columns, column + 2)))


@dataclass(frozen=True)
class Level:
    """One resolution of a file: 0 is the full resolution, 1 the overview of half its size, and so on."""

    number: int
    height_px: int
    width_px: int
    tile_height_px: int
    tile_width_px: int
    planes: int  #: 1 where a tile holds all bands, the number of bands where it holds one

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height_px, self.width_px

    @cached_property
    def tiles(self) -> BlockGrid:
        """The grid of the tiles."""
        return BlockGrid(*self.shape, self.tile_height_px, self.tile_width_px)

    @property
    def tiles_down(self) -> int:
        """Rows of tiles."""
        return math.ceil(self.height_px / self.tile_height_px)

    @property
    def tiles_across(self) -> int:
        """Columns of tiles."""
        return math.ceil(self.width_px / self.tile_width_px)

    @property
    def plane_tiles(self) -> int:
        """Number of tiles of one plane, or of the level's mask."""
        return self.tiles_down * self.tiles_across

    @property
    def tile_count(self) -> int:
        """Number of tiles, those of all planes."""
        return self.planes * self.plane_tiles


def overview_factors(height_px: int, width_px: int, tile_height_px: int, tile_width_px: int) -> tuple[int, ...]:
    """Return the decimation factors 2, 4, 8, ... down to the first level of which both sides fit in one tile."""
    factors = []
    factor = 1
    while math.ceil(height_px / factor) > tile_height_px or math.ceil(width_px / factor) > tile_width_px:
        factor *= 2
        factors.append(factor)
    return tuple(factors)


def overview_shape(height_px: int, width_px: int, factor: int) -> tuple[int, int]:
    """Return an overview's (rows, columns): the last pixel of an odd side counts as a whole one."""
    return math.ceil(height_px / factor), math.ceil(width_px / factor)


def merge_edges(edges_px: tuple[int, ...], most_px: int, align_px: int) -> tuple[int, ...]:
    """Return edges with parts joined up to a length, at multiples of ``align_px`` where possible; longer ones stay."""
    merged = [0]
    while merged[-1] != edges_px[-1]:
        first = bisect_right(edges_px, merged[-1])
        last = max(first + 1, bisect_right(edges_px, merged[-1] + most_px))
        reach = edges_px[first:last]
        is_end = reach[-1] == edges_px[-1]
        aligned = [] if is_end else [edge for edge in reach if edge % align_px == 0]
        merged.append(aligned[-1] if aligned else reach[-1])
    return tuple(merged)


def split_edges(edges_px: tuple[int, ...], most_px: int, align_px: int) -> tuple[int, ...]:
    """Return edges with long parts split, at multiples of ``align_px`` where ``most_px`` allows."""
    cut = [0]
    for edge in edges_px[1:]:
        while edge - cut[-1] > most_px:
            following = cut[-1] + most_px
            aligned = following // align_px * align_px
            cut.append(aligned if aligned > cut[-1] else following)
        cut.append(edge)
    return tuple(cut)


def grouped_edges(edges_px: tuple[int, ...], chunk_edges_px: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the edges of the windows along an axis, grouped by chunk; without chunks, each window is a group.

    Example:
        >>> grouped_edges((0, 100, 200, 300), (0, 200, 300)), grouped_edges((0, 200, 300), (0, 100, 200, 300))
        ([(0, 100, 200), (200, 300)], [(0, 200), (200, 300)])
    """
    borders = set(chunk_edges_px or edges_px)
    groups = [[edges_px[0]]]
    for edge in edges_px[1:]:
        groups[-1].append(edge)
        if edge in borders:
            groups.append([edge])
    return [tuple(group) for group in groups if len(group) > 1]


def longest(edges_px: tuple[int, ...]) -> int:
    """Return the length of the longest part between two edges."""
    return max(stop - start for start, stop in pairwise(edges_px))


def even_edges(size_px: int, part_px: int) -> tuple[int, ...]:
    """Return the edges of even parts of an axis."""
    return (*range(0, size_px, part_px), size_px)
