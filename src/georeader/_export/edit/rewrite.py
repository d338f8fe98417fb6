"""A stored file with another header: the plan, and how it is written. Tiles are copied as they are encoded.

Where they stand as in a COG already, they are copied as one range of bytes, within the system or the store where it
can. Else each is read, and written in its place between a leader and a trailer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from georeader._core.reporting import Advance
from georeader._core.threads import Task, Workers
from georeader._export.plan.traits import SectionSizes
from georeader._export.sinks.base import Sink
from georeader._export.sinks.temporary_file import BLOCK_BYTES
from georeader._export.sources.stored_file import StoredFile, TileOrder, read_tiles
from georeader._readers.byte_source import ByteSource
from georeader._tiff.checksum import crc32, crc32_combine
from georeader._tiff.cog_layout import (
    FRAME_BYTES,
    LEADER_BYTES,
    Directory,
    HeaderLayout,
    TileArrays,
    framed,
    ghost_area,
)
from georeader._tiff.directories import BIG, CLASSIC

#: Of smaller files, blocks that may be shared are not worth the zeros that fill the header.
LEAST_SHARED_BYTES = 4 * 2**20

#: Tiles that are copied one by one are gathered until so many bytes are worth a write.
BATCH_BYTES = 4 * 2**20

#: Threads that read them, and the memory of what they have read.
READERS, AHEAD_BYTES = 4, 32 * 2**20

#: Longest header beyond the tile arrays; only for the choice between offsets of 32 and 64 bits.
_SPARE_BYTES = 2**24


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A file to be written: its header, and the tiles of a stored file."""

    header: bytes
    stored: StoredFile
    tiles_bytes: int  #: Length of what follows the header.

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return len(self.header) + self.tiles_bytes

    @property
    def copies_whole_range(self) -> bool:
        """Whether the tiles are copied as one range of bytes."""
        return self.stored.data_range_bytes is not None


def plan_rewrite(stored: StoredFile) -> Rewrite:
    """Plan the file with the tags of ``stored``, which may have been edited, and its tiles."""
    order = stored.order
    whole = stored.data_range_bytes
    tiles_bytes = int(order.sizes_bytes.sum()) + FRAME_BYTES * len(order) if whole is None else whole[1] - whole[0]
    layout = _layout(stored, tiles_bytes)
    header_bytes = layout.size_bytes
    if whole is not None and tiles_bytes >= LEAST_SHARED_BYTES:
        header_bytes += (whole[0] - header_bytes) % BLOCK_BYTES
    if whole is None:
        steps = order.sizes_bytes + FRAME_BYTES
        starts = header_bytes + LEADER_BYTES + np.cumsum(steps) - steps
    else:
        starts = order.starts_bytes + (header_bytes - whole[0])
    header = layout.pack(_arrays(stored, starts)).ljust(header_bytes, b"\0")
    return Rewrite(header, stored, tiles_bytes)


def _layout(stored: StoredFile, tiles_bytes: int) -> HeaderLayout:
    """Return the layout of the header: BigTIFF where the file is one, or becomes too long for anything else."""
    directories = tuple(
        Directory(image.level, image.is_mask, image.tags, len(image.sizes_bytes)) for image in stored.images
    )
    ghost = ghost_area(is_band_interleaved=stored.planes > 1, masks_follow_tiles=stored.masks_follow_tiles)
    most_bytes = tiles_bytes + _SPARE_BYTES + 24 * sum(directory.tile_count for directory in directories)
    classic = HeaderLayout(CLASSIC, ghost, directories, most_bytes, stored.is_big_endian)
    is_too_long = classic.size_bytes + BLOCK_BYTES + tiles_bytes > CLASSIC.max_file_bytes
    if not stored.is_bigtiff and not is_too_long:
        return classic
    return HeaderLayout(BIG, ghost, directories, most_bytes, stored.is_big_endian)


def _arrays(stored: StoredFile, starts_bytes: NDArray[np.int64]) -> list[TileArrays]:
    order = stored.order
    arrays = []
    for number, image in enumerate(stored.images):
        offsets_bytes = np.zeros(len(image.sizes_bytes), np.int64)
        own = order.images == number
        offsets_bytes[order.tiles[own]] = starts_bytes[own]
        arrays.append(TileArrays(offsets_bytes, image.sizes_bytes))
    return arrays


def write_rewrite(rewrite: Rewrite, sources: Sequence[ByteSource], sink: Sink, advance: Advance) -> int | None:
    """Write a file of tiles of these files; return its CRC-32, or None where some did not pass through this process."""
    stored = rewrite.stored
    if stored.data_range_bytes is not None:
        start_bytes, _ = stored.data_range_bytes
        checksum = sink.write_copy(rewrite.header, sources[0], start_bytes, rewrite.tiles_bytes)
        advance(len(stored.order))
        return checksum
    sink.begin(SectionSizes(len(rewrite.header), 0, rewrite.tiles_bytes))
    checksum, position = 0, 0
    with Workers(READERS, name="georeader-read") as workers:
        for pieces in workers.ordered(_reads(stored.order, sources), AHEAD_BYTES):
            sink.write_full_resolution(position, *pieces)
            position += sum(map(len, pieces))
            checksum = reduce(lambda so_far, piece: crc32(piece, so_far), pieces, checksum)
            advance(len(pieces) // 3)
    sink.write_header(rewrite.header)
    return crc32_combine(crc32(rewrite.header), checksum, position)


def _reads(order: TileOrder, sources: Sequence[ByteSource]) -> Iterator[Task[list[bytes]]]:
    """Iterate over tasks that each read some tiles of a file and frame them."""
    batches = np.cumsum(order.sizes_bytes) // BATCH_BYTES
    for (_, file), group in groupby(range(len(order)), key=lambda tile: (batches[tile], order.files[tile])):
        chosen = list(group)
        starts, sizes = order.starts_bytes[chosen], order.sizes_bytes[chosen]
        yield Task(partial(_read_framed, sources[file], starts, sizes), int(sizes.sum()))


def _read_framed(source: ByteSource, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[bytes]:
    """Read tiles, and return each between its leader and its trailer."""
    return [piece for tile in read_tiles(source, starts, sizes) for piece in framed(tile)]
