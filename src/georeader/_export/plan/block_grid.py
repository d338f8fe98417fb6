"""Blocks: the pieces into which a level is cut for the work, as numbers alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from georeader._core.windows import PixelWindow

#: (row, column) of a block in its grid.
BlockIndex = tuple[int, int]


@dataclass(frozen=True)
class BlockGrid:
    """Blocks that cover a level, side by side from its first pixel; the last of a row or column may be smaller.

    Attributes:
        height_px: Rows of the level.
        width_px: Columns of the level.
        cell_height_px: Rows of a block.
        cell_width_px: Columns of a block.

    Example:
        >>> grid = BlockGrid(700, 500, 512, 256)
        >>> grid.region((1, 0)), list(grid.touched(PixelWindow(0, 512, 200, 300)))
        (PixelWindow(row_start=512, row_stop=700, column_start=0, column_stop=256), [(0, 0), (0, 1)])
    """

    height_px: int
    width_px: int
    block_height_px: int
    block_width_px: int

    @property
    def whole(self) -> PixelWindow:
        """The level itself."""
        return PixelWindow(0, self.height_px, 0, self.width_px)

    def region(self, block: BlockIndex) -> PixelWindow:
        """Give the pixels of a block."""
        row, column = block
        top, left = row * self.block_height_px, column * self.block_width_px
        return PixelWindow(
            top,
            min(top + self.block_height_px, self.height_px),
            left,
            min(left + self.block_width_px, self.width_px),
        )

    def touched(self, region: PixelWindow) -> Iterator[BlockIndex]:
        """Give the blocks that have pixels of a region, row by row."""
        for row in range(region.row_start // self.block_height_px, -(-region.row_stop // self.block_height_px)):
            for column in range(
                region.column_start // self.block_width_px, -(-region.column_stop // self.block_width_px)
            ):
                yield row, column

    def neighbours(self, block: BlockIndex) -> Iterator[BlockIndex]:
        """Give a block and the up to eight around it."""
        row, column = block
        rows, columns = -(-self.height_px // self.block_height_px), -(-self.width_px // self.block_width_px)
        for other_row in range(max(0, row - 1), min(rows, row + 2)):
            for other_column in range(max(0, column - 1), min(columns, column + 2)):
                yield other_row, other_column
