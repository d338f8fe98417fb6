"""Who lies where: the one owner of offsets. Tiles are placed one after the other as they come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from georeader.export.file_layout import LEADER_BYTES, Directory, TileArrays
from georeader.export.tile_store import framed_bytes


class Placement:
    """Keeps the offset of every tile, and the position where the next one will lie.

    Example:
        >>> placement = Placement([Directory(0, False, (), 2)], 1000)
        >>> placement.place(0, False, np.array([[10], [0]], "uint32"))
        1000
        >>> placement.arrays()[0].offsets_bytes.tolist(), placement.end_bytes
        ([1004, 0], 1018)
    """

    def __init__(self, directories: Sequence[Directory], start_bytes: int) -> None:
        """Begin with nothing placed.

        Args:
            directories: Of the file, in its order.
            start_bytes: Where the first tile may lie.
        """
        self.end_bytes = start_bytes
        self._directories = directories
        self._arrays: dict[tuple[int, bool], _Growing] = {
            (directory.level, directory.is_mask): _Growing(directory.tile_count) for directory in directories
        }

    def place(self, level: int, is_mask: bool | None, sizes_bytes: NDArray[np.uint32]) -> int:
        """Place tiles at the end.

        Args:
            level: Number of their level.
            is_mask: Whether they are masks; None: tiles and their masks in turn.
            sizes_bytes: (tile, part), without frames; 0 for sparse ones. Following those placed before in the order
                of their plane; the second part of each is its mask.

        Returns:
            Where their first piece lies.
        """
        start_bytes = self.end_bytes
        steps_bytes = framed_bytes(sizes_bytes)
        ends_bytes = start_bytes + np.cumsum(steps_bytes.ravel()).reshape(steps_bytes.shape)
        offsets_bytes = np.where(sizes_bytes > 0, ends_bytes - steps_bytes + LEADER_BYTES, 0)
        for part in range(sizes_bytes.shape[1]):
            turn = bool(part) if is_mask is None else is_mask
            self._arrays[level, turn].add(offsets_bytes[:, part], sizes_bytes[:, part])
        if ends_bytes.size:
            self.end_bytes = int(ends_bytes[-1, -1])
        return start_bytes

    def arrays(self) -> list[TileArrays]:
        """Give the tile arrays of each directory, in their order."""
        grown = (self._arrays[directory.level, directory.is_mask] for directory in self._directories)
        return [TileArrays(array.offsets_bytes, array.sizes_bytes) for array in grown]


class _Growing:
    """The tile arrays of one directory, filled from the first tile to the last."""

    def __init__(self, tile_count: int) -> None:
        self.offsets_bytes = np.zeros(tile_count, np.int64)
        self.sizes_bytes = np.zeros(tile_count, np.uint32)
        self._count = 0

    def add(self, offsets_bytes: NDArray[np.int64], sizes_bytes: NDArray[np.uint32]) -> None:
        stop = self._count + len(sizes_bytes)
        self.offsets_bytes[self._count : stop] = offsets_bytes
        self.sizes_bytes[self._count : stop] = sizes_bytes
        self._count = stop
