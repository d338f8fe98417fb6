"""Check of the tiles of a file, in file order: their leaders and trailers, and whether they decode.

References:
    GDAL's COG driver page, "Tile data leader and trailer".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from georeader._core.threads import Task, Workers, thread_count, usable_cpus
from georeader._tiff.cog_layout import LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.parser import Fault, FaultKind
from georeader.validation.decoders import WORK_BYTES_PER_BYTE, TileFault, check_encoded_size, check_tile
from georeader.validation.extents import TileTable
from georeader.validation.measurement import FaultLog, Frames, MeasuredDirectory
from georeader.validation.pixel_layout import PixelLayout
from georeader.validation.source import ByteSource

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


@dataclass(frozen=True)
class Checked:
    """Result of `check_tiles`.

    Attributes:
        tiles_decoded: Number of tiles that were decoded; None: decoding was not requested.
        has_checked_frames: Leaders and trailers were checked.
    """

    tiles_decoded: int | None
    has_checked_frames: bool


def check_tiles(
    source: ByteSource,
    table: TileTable,
    directories: Mapping[int, MeasuredDirectory],
    frames: Frames,
    log: FaultLog,
    *,
    decode: bool,
) -> Checked:
    """Check tiles.

    Leaders and trailers of a remote file are checked only if its tiles are read anyway.

    Args:
        source: The file.
        table: Tiles that lie inside the file and do not overlap.
        directories: By number.
        frames: Declared leaders and trailers.
        log: Collects faults.
        decode: Decode the tiles; False: read leaders and trailers only.

    Raises:
        ReadError: The file can't be read.

    Memory: `DECODING_BYTES` at most, by far less with tiles of a usual size.
    """
    if not decode and not (frames and source.is_local):
        return Checked(None, has_checked_frames=False)
    layouts = {number: one.layout for number, one in directories.items() if one.layout is not None}
    largest = max((layout.raw_bytes(layout.tile_height_px) for layout in layouts.values()), default=1)
    most = REMOTE_THREADS if not source.is_local else usable_cpus()
    most = max(1, min(most, DECODING_BYTES // min(4 * largest, DECODING_BYTES)))
    done = 0
    threads = thread_count(most, most, len(table))
    with Workers(threads, name="georeader-validate") as workers:
        checker = _Checker(source, table, layouts, frames, decode)
        for decoded, faults in workers.ordered(checker.tasks(log)):
            done += decoded
            log.add(*faults)
    return Checked(done if decode else None, bool(frames))


@dataclass(frozen=True)
class _Checker:
    source: ByteSource
    table: TileTable
    layouts: Mapping[int, PixelLayout]
    frames: Frames
    decode: bool

    def tasks(self, log: FaultLog) -> Iterator[Task[tuple[int, list[Fault]]]]:
        """Iterate over tasks: each checks tiles that lie together, and returns how many it decoded, and their faults.

        Faults of tiles that need not or must not be decoded are reported to ``log`` at once.
        """
        room = DECODED_BYTES + WORK_BYTES_PER_BYTE * self.source.size_bytes
        first = 0
        while first < len(self.table):
            last = self._together(first)
            wanted: list[int] = []
            largest = 0
            for number in range(first, last) if self.decode else ():
                verdict, raw_bytes = self._look(number, room)
                if verdict is None:
                    wanted.append(number)
                    largest, room = max(largest, raw_bytes), room - raw_bytes
                else:
                    log.add(self._fault(number, verdict.kind, verdict.detail))
            yield self._task(first, last, wanted, largest)
            first = last

    def _look(self, number: int, room: int) -> tuple[TileFault | None, int]:
        """Return the fault of a tile that shows before it is read, and the bytes that it decodes to."""
        layout, rows, length = self._layout(number)
        verdict, raw_bytes = _lenient(partial(check_encoded_size, length, layout), layout, rows), layout.raw_bytes(rows)
        if verdict is None and raw_bytes > room:
            verdict = TileFault(FaultKind.TILE_NOT_DECODED, "the file's tiles would decode to far more than it has")
        return verdict, raw_bytes

    def _task(self, first: int, last: int, wanted: list[int], raw_bytes: int) -> Task[tuple[int, list[Fault]]]:
        # Uncompressed tiles cannot fail to decode: large ones are not read.
        read = [number for number in wanted if self._layout(number)[0].compression_name != "NONE" or last > first + 1]
        span_bytes = int(self.table.ends[last - 1] - self.table.starts[first]) if read else 0
        return Task(lambda: (len(wanted), self._check(first, last, read)), span_bytes + raw_bytes)

    def _together(self, first: int) -> int:
        """Return the first tile that is not read together with a tile."""
        starts, ends = self.table.starts, self.table.ends
        most = LOCAL_READ_BYTES if self.source.is_local else REMOTE_READ_BYTES
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + most, side="right")))
        is_apart = starts[first + 1 : last] - ends[first : last - 1] > GAP_BYTES
        return first + 1 + int(np.argmax(is_apart)) if is_apart.any() else last

    def _check(self, first: int, last: int, wanted: list[int]) -> list[Fault]:
        """Decode tiles, and check the leaders and trailers of all of them."""
        faults: list[Fault] = []
        part = self._read(wanted)
        for number in wanted:
            layout, rows, length = self._layout(number)
            data = part.of(self.table.starts[number], length)
            verdict = _lenient(partial(check_tile, data, layout), layout, rows)
            if verdict is not None:
                faults.append(self._fault(number, verdict.kind, verdict.detail))
        if self.frames:
            for number in range(first, last):
                faults += self._check_frame(number, part)
        return faults

    def _layout(self, number: int) -> tuple[PixelLayout, int, int]:
        """Return the layout, the rows and the length of a tile."""
        layout = self.layouts[int(self.table.directories[number])]
        length = int(self.table.ends[number] - self.table.starts[number])
        return layout, layout.rows_of(int(self.table.tiles[number])), length

    def _read(self, wanted: list[int]) -> _Part:
        if not wanted:
            return _Part(self.source, 0, b"")
        begin = max(0, int(self.table.starts[wanted[0]]) - LEADER_BYTES)
        end = min(self.source.size_bytes, int(self.table.ends[wanted[-1]]) + TRAILER_BYTES)
        return _Part(self.source, begin, self.source.read_at(begin, end - begin))

    def _check_frame(self, number: int, part: _Part) -> Iterator[Fault]:
        start, end = int(self.table.starts[number]), int(self.table.ends[number])
        if self.frames.has_leader:
            said = int.from_bytes(part.of(start - LEADER_BYTES, LEADER_BYTES), "little")
            if said != end - start:
                detail = f"the four bytes before it say that it has {said} bytes, its directory says {end - start}"
                yield self._fault(number, FaultKind.TILE_LEADER, detail)
        if self.frames.has_trailer:
            repeated = min(TRAILER_BYTES, end - start)
            data = part.of(end - repeated, repeated + TRAILER_BYTES)
            if len(data) < repeated + TRAILER_BYTES:
                yield self._fault(number, FaultKind.TILE_TRAILER, "the file ends before the four bytes behind it")
            elif repeated == TRAILER_BYTES and data[:TRAILER_BYTES] != data[TRAILER_BYTES:]:
                yield self._fault(number, FaultKind.TILE_TRAILER, "the four bytes behind it are not its last four")

    def _fault(self, number: int, kind: FaultKind, detail: str) -> Fault:
        directory, tile = int(self.table.directories[number]), int(self.table.tiles[number])
        return Fault(kind, detail, directory, tile=tile, offset_bytes=int(self.table.starts[number]))


def _lenient(check: Callable[[int], TileFault | None], layout: PixelLayout, rows: int) -> TileFault | None:
    """Check a tile; the last strip may hold as many rows as the others, since readers accept that."""
    verdict = check(rows)
    if verdict is not None and rows < layout.tile_height_px and check(layout.tile_height_px) is None:
        return None
    return verdict


@dataclass(frozen=True)
class _Part:
    """Part of the file in memory; other bytes are read from the file."""

    source: ByteSource
    begin: int
    data: bytes

    def of(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return bytes; fewer where the file ends."""
        offset, length = max(0, int(offset_bytes)), int(length_bytes)
        length = min(length, self.source.size_bytes - offset)
        if self.begin <= offset and offset + length <= self.begin + len(self.data):
            return self.data[offset - self.begin : offset - self.begin + length]
        return self.source.read_at(offset, length)
