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
    """Tiles of one level, masks included."""

    count: int  #: Number of them
    sparse_count: int  #: How many of them take no bytes
    size_bytes: int  #: Length of all of them, without frames


class OffsetAllocator:
    """Assigns offsets to tiles within two sections, the overviews and the full resolution.

    Where a section begins in the file may not be known while its tiles are placed: the header lies before both, and the
    overviews before the full resolution. `arrays` adds the beginnings once both are known.

    Example:
        >>> offsets = OffsetAllocator({(0, False): 2, (1, False): 1})
        >>> offsets.place(0, False, np.array([[10], [0]], "uint32")), offsets.place(1, False, np.array([[2]], "uint32"))
        (0, 0)
        >>> offsets.header_bytes = 1000
        >>> offsets.arrays([Directory(0, False, (), 2)])[0].offsets_bytes.tolist(), offsets.size_bytes
        ([1014, 0], 1028)
    """

    def __init__(self, tile_counts: Mapping[tuple[int, bool], int], *, is_framed: bool = True) -> None:
        """Prepare the offsets; nothing is placed yet."""
        self._leader_bytes, self._frame_bytes = LEADER_BYTES * is_framed, FRAME_BYTES * is_framed
        self.header_bytes = 0
        self.overviews_bytes = 0
        self.full_resolution_bytes = 0
        self._arrays: dict[tuple[int, bool], _Growing] = {key: _Growing(count) for key, count in tile_counts.items()}

    @property
    def size_bytes(self) -> int:
        """Length of the file so far."""
        return self.header_bytes + self.overviews_bytes + self.full_resolution_bytes

    def place(self, level: int, is_mask: bool | None, sizes_bytes: NDArray[np.uint32]) -> int:
        """Place tiles behind those of their section."""
        start_bytes = self.overviews_bytes if level else self.full_resolution_bytes
        steps_bytes = framed_bytes(sizes_bytes, self._frame_bytes)
        ends_bytes = start_bytes + np.cumsum(steps_bytes.ravel()).reshape(steps_bytes.shape)
        offsets_bytes = ends_bytes - steps_bytes + self._leader_bytes
        for part in range(sizes_bytes.shape[1]):
            turn = bool(part) if is_mask is None else is_mask
            self._arrays[level, turn].add(offsets_bytes[:, part], sizes_bytes[:, part])
        end_bytes = int(ends_bytes[-1, -1]) if ends_bytes.size else start_bytes
        if level:
            self.overviews_bytes = end_bytes
        else:
            self.full_resolution_bytes = end_bytes
        return start_bytes

    def tally(self, level: int) -> TileTally:
        """Count the tiles of a level that is placed, with those of its masks."""
        kinds = [self._arrays[key].sizes_bytes for key in ((level, False), (level, True)) if key in self._arrays]
        return TileTally(
            count=sum(map(len, kinds)),
            sparse_count=sum(int(np.count_nonzero(sizes_bytes == 0)) for sizes_bytes in kinds),
            size_bytes=sum(int(sizes_bytes.sum(dtype=np.int64)) for sizes_bytes in kinds),
        )

    def arrays(self, directories: Iterable[Directory]) -> list[TileArrays]:
        """Return the tile arrays of each directory, in their order, with offsets from the file's first byte.

        All overviews are placed, and the header's length is known.
        """
        return [self._array(directory) for directory in directories]

    def _array(self, directory: Directory) -> TileArrays:
        array = self._arrays[directory.level, directory.is_mask]
        start_bytes = self.header_bytes + (0 if directory.level else self.overviews_bytes)
        return TileArrays(np.where(array.sizes_bytes > 0, array.offsets_bytes + start_bytes, 0), array.sizes_bytes)


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
