"""Assignment of file offsets to tiles, one after the other as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from georeader._export.engine.tile_buffer import framed_bytes
from georeader._tiff.cog_layout import FRAME_BYTES, LEADER_BYTES, Directory, TileArrays


@dataclass(frozen=True)
class TileTally:
    """Tiles of one level, masks included.

    Attributes:
        count: Number of them.
        sparse_count: How many of them take no bytes.
        size_bytes: Length of all of them, without frames.
    """

    count: int
    sparse_count: int
    size_bytes: int


class OffsetAllocator:
    """Keeps the offset of every tile, and where the next one will lie: of the overviews, and of the full resolution.

    Where the full resolution begins may not be known while its tiles are placed: then they count from an origin of its
    own, and `arrays` gives their real offsets once the overviews, which lie before them, are placed.

    Example:
        >>> placement = OffsetAllocator({(0, False): 2}, head_start_bytes=0, base_start_bytes=10**9)
        >>> placement.place(0, False, np.array([[10], [0]], "uint32"))
        1000000000
        >>> placement.head_end_bytes = 1000
        >>> placement.arrays([Directory(0, False, (), 2)])[0].offsets_bytes.tolist(), placement.size_bytes
        ([1004, 0], 1018)
    """

    def __init__(
        self,
        tile_counts: Mapping[tuple[int, bool], int],
        *,
        head_start_bytes: int,
        base_start_bytes: int,
        is_framed: bool = True,
    ) -> None:
        """Prepare the offsets; nothing is placed yet.

        Args:
            tile_counts: Of each level, and (True) of its masks.
            head_start_bytes: Where the first overview tile may lie.
            base_start_bytes: Where the first tile of the full resolution lies, or its origin.
            is_framed: Each tile has a leader and a trailer.
        """
        self._leader_bytes, self._frame_bytes = LEADER_BYTES * is_framed, FRAME_BYTES * is_framed
        self.head_end_bytes = head_start_bytes
        self._base_start_bytes = base_start_bytes
        self._base_end_bytes = base_start_bytes
        self._arrays: dict[tuple[int, bool], _Growing] = {key: _Growing(count) for key, count in tile_counts.items()}

    @property
    def size_bytes(self) -> int:
        """Length of the file so far."""
        return self.head_end_bytes + self._base_end_bytes - self._base_start_bytes

    def place(self, level: int, is_mask: bool | None, sizes_bytes: NDArray[np.uint32]) -> int:
        """Place tiles behind those of their kind: overviews, or the full resolution.

        Args:
            level: Number of their level.
            is_mask: Whether they are masks; None: tiles and their masks in turn.
            sizes_bytes: (tile, part), without frames; 0 for sparse ones. Following those placed before in the order
                of their plane; the second part of each is its mask.

        Returns:
            Where their first piece lies.
        """
        start_bytes = self.head_end_bytes if level else self._base_end_bytes
        steps_bytes = framed_bytes(sizes_bytes, self._frame_bytes)
        ends_bytes = start_bytes + np.cumsum(steps_bytes.ravel()).reshape(steps_bytes.shape)
        offsets_bytes = np.where(sizes_bytes > 0, ends_bytes - steps_bytes + self._leader_bytes, 0)
        for part in range(sizes_bytes.shape[1]):
            turn = bool(part) if is_mask is None else is_mask
            self._arrays[level, turn].add(offsets_bytes[:, part], sizes_bytes[:, part])
        end_bytes = int(ends_bytes[-1, -1]) if ends_bytes.size else start_bytes
        if level:
            self.head_end_bytes = end_bytes
        else:
            self._base_end_bytes = end_bytes
        return start_bytes

    @property
    def sections(self) -> tuple[range, ...]:
        """The file from its first byte to its last, as offsets that `place` gave: one range, or head and base."""
        if self.head_end_bytes == self._base_start_bytes:
            return (range(self._base_end_bytes),)
        return range(self.head_end_bytes), range(self._base_start_bytes, self._base_end_bytes)

    def tally(self, level: int) -> TileTally:
        """Count the tiles of a level that is placed, with those of its masks."""
        kinds = [self._arrays[key].sizes_bytes for key in ((level, False), (level, True)) if key in self._arrays]
        return TileTally(
            count=sum(map(len, kinds)),
            sparse_count=sum(int(np.count_nonzero(sizes_bytes == 0)) for sizes_bytes in kinds),
            size_bytes=sum(int(sizes_bytes.sum(dtype=np.int64)) for sizes_bytes in kinds),
        )

    def arrays(self, directories: Iterable[Directory]) -> list[TileArrays]:
        """Give the tile arrays of each directory, in their order; all overviews are placed."""
        return [self._array(directory) for directory in directories]

    def _array(self, directory: Directory) -> TileArrays:
        array = self._arrays[directory.level, directory.is_mask]
        shift_bytes = 0 if directory.level else self.head_end_bytes - self._base_start_bytes
        return TileArrays(np.where(array.sizes_bytes > 0, array.offsets_bytes + shift_bytes, 0), array.sizes_bytes)


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
