"""Who lies where: the one owner of offsets. Tiles are placed one after the other as they come."""

from __future__ import annotations

from collections.abc import Sequence

from georeader.export.file_layout import LEADER_BYTES, TRAILER_BYTES, Directory, TileArrays
from georeader.export.tiles import EncodedTiles


class Placement:
    """Keeps the offset of every tile, and the position where the next one will lie.

    Example:
        >>> placement = Placement([Directory(0, False, (), 2)], 1000)
        >>> placement.place(0, False, EncodedTiles((), (10, 0)))
        1000
        >>> placement.arrays()[0].offsets_bytes, placement.end_bytes
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
        self._has_masks = any(directory.is_mask for directory in directories)
        self._arrays: dict[tuple[int, bool], tuple[list[int], list[int]]] = {
            (directory.level, directory.is_mask): ([], []) for directory in directories
        }

    def place(self, level: int, is_mask: bool | None, tiles: EncodedTiles) -> int:
        """Place tiles at the end.

        Args:
            level: Number of their level.
            is_mask: Whether they are masks; None: tiles and their masks in turn.
            tiles: Following those placed before in the order of their plane.

        Returns:
            Where their first piece lies.
        """
        start_bytes = self.end_bytes
        for position, size_bytes in enumerate(tiles.sizes_bytes):
            turn = bool(position % 2) if is_mask is None else is_mask
            offsets_bytes, sizes_bytes = self._arrays[level, turn]
            offsets_bytes.append(self.end_bytes + LEADER_BYTES if size_bytes else 0)
            sizes_bytes.append(size_bytes)
            if size_bytes:
                self.end_bytes += LEADER_BYTES + size_bytes + TRAILER_BYTES
        return start_bytes

    def arrays(self) -> list[TileArrays]:
        """Give the tile arrays of each directory, in their order."""
        return [TileArrays(*self._arrays[directory.level, directory.is_mask]) for directory in self._directories]
