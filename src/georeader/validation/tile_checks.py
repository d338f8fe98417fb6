"""Check of the tiles of a file, in file order: whether they decode, and their leaders and trailers.

GDAL's COG driver page documents those ("Tile data leader and trailer").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from georeader._core.threads import Task, Workers, thread_count, usable_cpus
from georeader._readers.byte_source import ByteSource
from georeader._readers.measurement import FaultLog, Measurement, TileTable, frame_bytes
from georeader._readers.pixel_layout import PixelLayout
from georeader._tiff.cog_layout import LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.parser import Fault, FaultKind
from georeader.validation.decoders import WORK_BYTES_PER_BYTE, check_encoded_size, check_tile

#: Tiles that are close together are read at once, up to this size: of local and of remote files ...
LOCAL_READ_BYTES, REMOTE_READ_BYTES = 2**20, 2**22

#: ... if the gaps between them are no larger than this.
GAP_BYTES = 2**16

#: Parallel requests for a remote file.
REMOTE_THREADS = 6

#: Decoded tiles of all threads together; fewer threads work on large tiles.
DECODING_BYTES = 2**29

#: Limit of decoded bytes, to which `WORK_BYTES_PER_BYTE` are added for each byte of the file.
DECODED_BYTES = 2**32


def check_tiles(
    source: ByteSource, table: TileTable, measurement: Measurement, log: FaultLog, *, decode: bool
) -> tuple[int | None, bool]:
    """Check tiles that lie inside the file and do not overlap; faults go to ``log``.

    Leaders and trailers of a remote file are checked only if its tiles are read anyway. Returned are the number of
    tiles that were decoded, None where ``decode`` is False, and whether leaders and trailers were checked. Memory:
    `DECODING_BYTES` at most, by far less with tiles of a usual size.
    """
    frames = frame_bytes(measurement)
    if not decode and not (any(frames) and source.is_local):
        return None, False
    layouts = {one.number: one.layout for one in measurement.directories if one.layout is not None}
    largest = max((layout.raw_bytes(layout.tile_height_px) for layout in layouts.values()), default=1)
    most = usable_cpus() if source.is_local else REMOTE_THREADS
    most = max(1, min(most, DECODING_BYTES // min(4 * largest, DECODING_BYTES)))
    decoded = 0
    with Workers(thread_count(most, most, len(table)), name="georeader-validate") as workers:
        for count, faults in workers.ordered(_Checker(source, table, layouts, frames, decode).tasks(log)):
            decoded += count
            log.add(*faults)
    return decoded if decode else None, any(frames)


@dataclass(frozen=True)
class _Tile:
    directory: int
    number: int
    start: int
    end: int
    layout: PixelLayout
    rows: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    @property
    def raw_bytes(self) -> int:
        return self.layout.raw_bytes(self.rows)

    def lenient(self, check: Callable[[PixelLayout, int], Fault | None]) -> Fault | None:
        """Check the tile; the last strip may hold as many rows as the others, since readers accept that."""
        fault = check(self.layout, self.rows)
        full_rows = self.layout.tile_height_px
        if fault is None or (self.rows < full_rows and check(self.layout, full_rows) is None):
            return None
        return self.placed(fault)

    def placed(self, fault: Fault) -> Fault:
        return replace(fault, directory=self.directory, tile=self.number, offset_bytes=self.start)


@dataclass(frozen=True)
class _Checker:
    source: ByteSource
    table: TileTable
    layouts: Mapping[int, PixelLayout]
    frames: tuple[int, int]
    decode: bool

    def tasks(self, log: FaultLog) -> Iterator[Task[tuple[int, list[Fault]]]]:
        """Iterate over tasks: each checks tiles that lie together, and returns how many it decoded, and their faults.

        Faults of tiles that need not or must not be decoded go to ``log`` at once.
        """
        bytes_left = DECODED_BYTES + WORK_BYTES_PER_BYTE * self.source.size_bytes
        first = 0
        while first < len(self.table):
            last = self._together(first)
            tiles = [self._tile(position) for position in range(first, last)]
            wanted: list[_Tile] = []
            for tile in tiles if self.decode else ():
                fault = self._fault_before_reading(tile, bytes_left)
                if fault is None:
                    wanted.append(tile)
                    bytes_left -= tile.raw_bytes
                else:
                    log.add(fault)
            # Uncompressed tiles cannot fail to decode: large ones are not read.
            read = [tile for tile in wanted if tile.layout.compression_name != "NONE" or len(tiles) > 1]
            task_bytes = max((tile.raw_bytes for tile in wanted), default=0)
            task_bytes += tiles[-1].end - tiles[0].start if read else 0
            yield Task(partial(self._check, tiles, read, len(wanted)), task_bytes)
            first = last

    def _together(self, first: int) -> int:
        """Return the first tile that is not read together with a tile."""
        starts, ends = self.table.starts, self.table.ends
        most = LOCAL_READ_BYTES if self.source.is_local else REMOTE_READ_BYTES
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + most, side="right")))
        is_apart = starts[first + 1 : last] - ends[first : last - 1] > GAP_BYTES
        return first + 1 + int(np.argmax(is_apart)) if is_apart.any() else last

    def _tile(self, position: int) -> _Tile:
        table = self.table
        directory, number = int(table.directories[position]), int(table.tiles[position])
        layout = self.layouts[directory]
        start, end = int(table.starts[position]), int(table.ends[position])
        return _Tile(directory, number, start, end, layout, layout.rows_of(number))

    def _fault_before_reading(self, tile: _Tile, bytes_left: int) -> Fault | None:
        fault = tile.lenient(partial(check_encoded_size, tile.size_bytes))
        if fault is None and tile.raw_bytes > bytes_left:
            detail = "the file's tiles would decode to far more than it has"
            fault = tile.placed(Fault(FaultKind.TILE_NOT_DECODED, detail))
        return fault

    def _check(self, tiles: list[_Tile], read: list[_Tile], decoded: int) -> tuple[int, list[Fault]]:
        """Decode the tiles to be read, and check the leaders and trailers of all of them."""
        begin, part = 0, b""
        if read:
            begin = max(0, read[0].start - LEADER_BYTES)
            part = self.source.read_at(begin, min(self.source.size_bytes, read[-1].end + TRAILER_BYTES) - begin)

        def bytes_at(offset: int, length: int) -> bytes:
            """Return bytes of the file; fewer where it ends."""
            offset = max(0, offset)
            length = min(length, self.source.size_bytes - offset)
            if begin <= offset and offset + length <= begin + len(part):
                return part[offset - begin : offset - begin + length]
            return self.source.read_at(offset, length)

        found = [tile.lenient(partial(check_tile, bytes_at(tile.start, tile.size_bytes))) for tile in read]
        faults = [fault for fault in found if fault is not None]
        faults += [tile.placed(fault) for tile in tiles for fault in self._frame_faults(tile, bytes_at)]
        return decoded, faults

    def _frame_faults(self, tile: _Tile, bytes_at: Callable[[int, int], bytes]) -> Iterator[Fault]:
        has_leader, has_trailer = self.frames
        if has_leader:
            said = int.from_bytes(bytes_at(tile.start - LEADER_BYTES, LEADER_BYTES), "little")
            if said != tile.size_bytes:
                detail = f"the four bytes before it say that it has {said} bytes, its directory says {tile.size_bytes}"
                yield Fault(FaultKind.TILE_LEADER, detail)
        if has_trailer:
            repeated = min(TRAILER_BYTES, tile.size_bytes)
            data = bytes_at(tile.end - repeated, repeated + TRAILER_BYTES)
            if len(data) < repeated + TRAILER_BYTES:
                yield Fault(FaultKind.TILE_TRAILER, "the file ends before the four bytes behind it")
            elif repeated == TRAILER_BYTES and data[:TRAILER_BYTES] != data[TRAILER_BYTES:]:
                yield Fault(FaultKind.TILE_TRAILER, "the four bytes behind it are not its last four")
