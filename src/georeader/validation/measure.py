"""Measures a file: everything that can be known of it, and no judgement.

With `tile_checks` this is where the file is read; all else takes what they give it.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

import numpy as np

from georeader._storage.range_file import RangedObject
from georeader._tiff.directories import TagNumber
from georeader.validation.directories import Header, Read, read_directories, read_header
from georeader.validation.extents import TileTable, overlapping, structure_of, tile_table, touching
from georeader.validation.ghost_area import read_ghost
from georeader.validation.ifd_roles import roles_of
from georeader.validation.measurement import Directory, FaultLog, Ghost, Measurement
from georeader.validation.source import ByteSource
from georeader.validation.tag_values import MAX_TILES, TagReader, read_layout, read_tiles
from georeader.validation.tile_checks import Checked, check_tiles
from georeader.validation.tile_framing import frames_of
from georeader.validation.viewer import viewer_cost

#: Longer reads of the header do not go by blocks that are kept.
_DIRECT_BYTES = 2**20


class Tiles(Enum):
    """What is read of tiles."""

    UNREAD = "unread"
    FRAMED = "framed"  # leaders and trailers, where that costs little
    DECODED = "decoded"  # and all the rest


def measure(source: ByteSource, *, tiles: Tiles = Tiles.DECODED, has_external_overviews: bool = False) -> Measurement:
    """Measure a file.

    Args:
        source: The file.
        tiles: What is read of them.
        has_external_overviews: Passed on.

    Raises:
        ReadError: It can't be read.

    Memory: some megabytes, 50 bytes a tile, and tiles that are being decoded.
    """
    log = FaultLog()
    read = _reader_of(source)
    header = read_header(read, source.size_bytes, log)
    if header is None:
        return Measurement(source.size_bytes, faults=log.faults())
    ghost = read_ghost(read, header, log)
    directories = _read_all(read, header, log)
    table = _checkable(directories, ghost, header)
    measured = Measurement(
        size_bytes=source.size_bytes,
        version=header.version.name,
        byte_order="big-endian" if header.is_big_endian else "little-endian",
        header_bytes=header.version.header_bytes,
        ghost=ghost,
        directories=directories,
        has_external_overviews=has_external_overviews,
    )
    checked = Checked(None, has_checked_frames=False)
    if tiles is not Tiles.UNREAD:
        by_number = {one.number: one for one in directories}
        checked = check_tiles(source, table, by_number, frames_of(ghost), log, decode=tiles is Tiles.DECODED)
    return replace(
        measured,
        faults=log.faults(),
        viewer=viewer_cost(source.size_bytes, measured.header_bytes, directories, measured.images),
        tiles_decoded=checked.tiles_decoded,
        has_checked_frames=checked.has_checked_frames,
    )


def _reader_of(source: ByteSource) -> Read:
    """Give a reader of the header: by blocks that are kept, but for long arrays."""
    blocks = RangedObject(source.size_bytes, lambda start, stop: source.read_at(start, stop - start))

    def read(start: int, stop: int) -> bytes:
        return source.read_at(start, stop - start) if stop - start > _DIRECT_BYTES else blocks.read_range(start, stop)

    return read


def _read_all(read: Read, header: Header, log: FaultLog) -> tuple[Directory, ...]:
    """Read all directories, with where their tiles lie."""
    room = MAX_TILES
    parts = []
    for raw in read_directories(read, header, log):
        tags = TagReader(read, header, raw, log)
        subfile_type = tags.number(TagNumber.NEW_SUBFILE_TYPE, 0, range(2**32))
        layout = read_layout(tags, raw, header)
        places = None if layout is None else read_tiles(tags, layout, room, raw, log)
        room -= 0 if layout is None or places is None else layout.tile_count
        parts.append((raw, subfile_type, layout, places))
    sizes = [(kind, None if layout is None else (layout.width_px, layout.height_px)) for _, kind, layout, _ in parts]
    nothing = np.empty(0, np.uint64)
    return tuple(
        Directory(
            raw.number, raw.extent, role, subfile_type, layout, raw.outside(arrays=False), raw.outside(arrays=True),
            *((nothing, nothing) if places is None else places),
        )
        for (raw, subfile_type, layout, places), role in zip(parts, roles_of(sizes), strict=True)
    )  # fmt: skip


def _checkable(directories: tuple[Directory, ...], ghost: Ghost | None, header: Header) -> TileTable:
    """Give the tiles that lie inside the file, and apart from one another and from its structure."""
    table = tile_table(directories, header.size_bytes)
    structure = structure_of(directories, ghost, header.version.header_bytes, with_values=True)
    return table.chosen(~(overlapping(table) | touching(table.starts, table.ends, structure)))
