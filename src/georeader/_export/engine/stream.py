"""The streaming engine: one pass over the pixels, each tile encoded once.

The order of the levels (`order_of_work`) depends on source and sink, the bytes do not. The header is written last:
until then the file is not a TIFF.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._core.reporting import Advance
from georeader._core.threads import InFlight, Task, Workers, thread_count, usable_cpus
from georeader._core.windows import PixelWindow
from georeader._export.engine.assembler import CogAssembler
from georeader._export.engine.buffers import PixelBuffer, TileBuffer, WindowPixels
from georeader._export.engine.pyramid_builder import BlockResult, PyramidBuilder, encode_one, process_block
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.output_pixels import OutputPixels
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import grouped_edges
from georeader._export.plan.order_of_work import Order, Work, plan_work
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import ExportSpec
from georeader._export.plan.traits import SinkTraits, SourceTraits
from georeader._export.receipt.receipt import Written
from georeader._export.sinks.base import Sink
from georeader._export.sources.protocol import Source
from georeader._export.sources.stored_tiles import StoredTiles
from georeader._export.statistics import BandStatistics, StatisticsFold
from georeader._tiff import cog_layout
from georeader._tiff.directories import Tag
from georeader.errors import TileError

#: Pixels of neighbouring tiles that one task encodes, in bytes.
RUN_BYTES = 2**20

#: Share of ``max_memory`` for windows that were read to choose a predictor; beyond it they are spooled.
_KEPT_SHARE = 0.2


class StreamEngine(AbstractContextManager["StreamEngine"]):
    """Writes a source by this project's own code, window by window. Memory, beyond the source: what ``work`` plans.

    Threads of its own read the source in windows that suit it, for as long as the block lasts. The caller's thread only
    waits for them, so that it can be interrupted during a read.
    """

    def __init__(
        self, source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest, stored: StoredTiles | None = None
    ) -> None:
        self.stored = stored if spec.reused is not None else None
        self.work = stream_work(source, spec, sink.traits, request)
        self.pixels = OutputPixels(source, spec)
        self._sink = sink
        self._readers = Workers(self.work.readers, name="georeader-read")
        self._kept = PixelBuffer(int(_KEPT_SHARE * request.max_memory_bytes), sink.open_spool)
        self._lock = threading.Lock()

    def __enter__(self) -> StreamEngine:
        self._readers.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._readers.__exit__(*exception)

    def write(self, plan: FilePlan, advance: Advance) -> Written:
        """Write the file, whose bytes do not depend on the order of work."""
        threads = self.work.threads if self.work.threads > 1 else 0  # one thread: the caller's own
        try:
            with Workers(threads) as workers:
                cog_layout.check_size(plan.spec.encoding.bigtiff, plan.least_base_bytes)
                run = _Run(self, plan, self._sink, workers, advance)
                if self.stored is not None:
                    return run.take_over(self.stored)
                written = run.pyramid_first() if self.work.order is Order.PYRAMID_FIRST else run.stream()
        except TileError as error:
            raise TileError(f"{self._sink.given!r}: {error}") from error
        self.pixels.warn_of_nan()
        return written

    def windows(self, bands: range) -> Iterator[WindowPixels]:
        """Iterate over all windows of one of the ``work.band_groups``, row by row, each read once."""
        pixel_bytes = len(bands) * self.pixels.spec.dtype.itemsize
        tasks = (
            Task(partial(self._read, bands, window), math.prod(window.shape) * pixel_bytes)
            for window in self._windows()
        )
        return self._readers.ordered(tasks, self.work.read_ahead_bytes)

    def peek(self, window: PixelWindow, bands: slice) -> NDArray[Any]:
        """Return pixels of any window at full resolution before its turn, of all bands or those of one group.

        The windows that are read for it are kept until it is their turn.
        """
        wanted = range(self.pixels.spec.count)[bands]
        if self.pixels.source.traits.is_in_memory:
            return self.pixels.read(window, wanted)[0]
        group = next((group for group in self.work.band_groups if wanted.start in group), wanted)
        if wanted.stop > group.stop:
            group = wanted
        first = wanted.start - group.start
        result = np.empty((len(wanted), *window.shape), self.pixels.spec.dtype)
        for whole in self._windows():
            part = whole.intersection(window)
            if min(part.shape) > 0:
                chosen = self._keep(group, whole)[first : first + len(wanted)]
                result[:, *part.within(window)] = chosen[:, *part.within(whole)]
        return result

    def _keep(self, group: range, window: PixelWindow) -> NDArray[Any]:
        key = group, window
        if key not in self._kept:
            read = self._readers.submit(partial(self.pixels.read, window, group)).result()
            self._kept.put(key, WindowPixels(window, *read))
        return self._kept.look(key).pixels

    def _windows(self) -> Iterator[PixelWindow]:
        """Iterate over the windows, row by row; those that cut chunks follow chunk by chunk."""
        chunks = self.pixels.source.traits.chunks
        row_groups = grouped_edges(self.work.row_edges_px, () if chunks is None else chunks.row_edges_px)
        column_groups = grouped_edges(self.work.column_edges_px, () if chunks is None else chunks.column_edges_px)
        for row_edges, column_edges in product(row_groups, column_groups):
            for rows, columns in product(pairwise(row_edges), pairwise(column_edges)):
                yield PixelWindow(*rows, *columns)

    def _read(self, bands: range, window: PixelWindow) -> WindowPixels:
        with self._lock:  # several threads read, and the buffer is for one at a time
            if (bands, window) in self._kept:
                return self._kept.pop((bands, window))
        return WindowPixels(window, *self.pixels.read(window, bands))


def stream_work(source: Source, spec: ExportSpec, sink: SinkTraits, request: SaveRequest) -> Work:
    """Plan the work of a save; raises OptionError where it does not fit in ``max_memory``."""
    return plan_work(
        spec,
        traits_of(source),
        sink,
        threads=thread_count(spec.encoding.num_threads, usable_cpus(), spec.levels[0].tile_count),
        max_memory_bytes=request.max_memory_bytes,
        is_limit_firm=request.max_memory_is_explicit,
    )


def traits_of(source: Source) -> SourceTraits:
    """Return the traits of a source with the size of its pixels."""
    return replace(source.traits, pixel_bytes=source.spec.dtype.itemsize)


class _Run:
    """The write of one file."""

    def __init__(self, engine: StreamEngine, plan: FilePlan, sink: Sink, workers: Workers, advance: Advance) -> None:
        self.engine, self.plan, self.work = engine, plan, engine.work
        self.sink, self.workers, self.advance = sink, workers, advance
        self.pixel_buffer = PixelBuffer(self.work.held_pixels_bytes, sink.open_spool)
        self.tile_buffer = TileBuffer(
            [plan.positions(level) for level in plan.levels],
            1 + plan.masks_follow_tiles,
            limit_bytes=self.work.held_tiles_bytes,
            open_spool=sink.open_spool,
            is_framed=plan.spec.has_cog_layout,
        )
        self.in_flight: InFlight[BlockResult] = InFlight(workers, self.work.in_flight_bytes)
        self.statistics: defaultdict[int, StatisticsFold] = defaultdict(StatisticsFold)
        self.described: tuple[Tag, ...] | None = None
        self.errors = np.zeros(plan.spec.count)

    def pyramid_first(self) -> Written:
        """Write the overviews first, then the full resolution straight to its place."""
        base_tasks = _base_tasks(self.plan, self.engine.pixels)
        base: Iterator[tuple[int, list[EncodedTiles]]] | None = None
        groups = self.work.band_groups if self.plan.spec.reads_twice else ()
        for bands in groups:
            builder = PyramidBuilder(self.plan, self.work, bands, self.pixel_buffer, encodes_base=False)
            for task in self._block_tasks(builder):
                self._begin(task, builder)
            if bands == groups[-1]:
                self._describe()
                base = self.workers.ordered(base_tasks)  # before the last blocks of the pyramid leave threads idle
            self._drain(builder)
        base = self.workers.ordered(base_tasks) if base is None else base
        assembler = CogAssembler(self.plan, self.sink, self.workers)
        self._lay_out(assembler)
        assembler.write_overviews(self.tile_buffer)
        for plane, tiles in base:
            assembler.write_tiles(plane, tiles)
            for tile in tiles:
                self._note_errors(plane, tile)
            self.advance(len(tiles))
        return self._finish(assembler)

    def stream(self) -> Written:
        """Encode all levels at once; the full resolution is written as it comes, or spooled until the overviews are."""
        order = self.work.order
        self._describe()
        assembler = CogAssembler(self.plan, self.sink, self.workers)
        if order is Order.IN_FILE_ORDER:
            self._lay_out(assembler)
        for bands in self.work.band_groups:
            self._stream(bands, None if order is Order.SPOOL_BASE else assembler)
        if order is not Order.IN_FILE_ORDER:
            self._lay_out(assembler)
            assembler.write_overviews(self.tile_buffer)
        if order is Order.SPOOL_BASE:
            assembler.write_base(self.tile_buffer)
        return self._finish(assembler)

    def take_over(self, stored: StoredTiles) -> Written:
        """Write overviews, and the full resolution as it is stored."""
        for bands in self.work.band_groups if self.plan.spec.reads_twice else ():
            self._stream(bands, None, encodes_base=False)
        assembler = CogAssembler(self.plan, self.sink, self.workers)
        self._describe()
        self._lay_out(assembler)
        assembler.write_overviews(self.tile_buffer)
        for plane, tiles in self.workers.ordered(stored.runs(is_framed=self.plan.spec.has_cog_layout)):
            assembler.write_tiles(plane, tiles)
            self.advance(len(tiles))
        return self._finish(assembler)

    def _describe(self) -> None:
        """Read the tags from GDAL while threads are busy, and before much is read: it may refuse the CRS."""
        self.described = descriptive_tags(self.plan.spec)

    def _stream(self, bands: range, assembler: CogAssembler | None, *, encodes_base: bool = True) -> None:
        """Read all windows of some bands into the pyramid builder; an assembler writes the full resolution at once."""
        builder = PyramidBuilder(self.plan, self.work, bands, self.pixel_buffer, encodes_base=encodes_base)
        for window in self.engine.windows(bands):
            for task in builder.accept(0, bands, window):
                self._begin(task, builder)
                if assembler is not None:
                    assembler.write_base(self.tile_buffer)
        self._drain(builder)
        if assembler is not None:
            assembler.write_base(self.tile_buffer)

    def _begin(self, task: Task[BlockResult], builder: PyramidBuilder) -> None:
        self.in_flight.add(task)
        while self.in_flight.is_full:
            self._take(builder)

    def _drain(self, builder: PyramidBuilder) -> None:
        while self.in_flight:
            self._take(builder)

    def _take(self, builder: PyramidBuilder) -> None:
        """Store the result of one block, and start the blocks that it completes."""
        result = self.in_flight.take()
        for (level, plane, row, column), tile in result.tiles:
            shape = self.plan.levels[level]
            position = plane * shape.plane_tiles + row * shape.tiles_across + column
            self.tile_buffer.put(level, position, tile)
            if level == 0:
                self._note_errors(plane, tile)
        for place, statistics in result.statistics:
            self.statistics[result.bands.start].add(place, statistics)
        self.advance(len(result.tiles))
        if result.passed is not None:
            level, pixels = result.passed
            for task in builder.accept(level, result.bands, pixels):
                self.in_flight.add(task)

    def _block_tasks(self, builder: PyramidBuilder) -> Iterator[Task[BlockResult]]:
        """Iterate over the blocks of the full resolution of pixels in memory, which are not stored."""
        for bands in builder.band_groups:
            block_plan, grid = builder.base(bands)
            read = partial(self.engine.pixels.read, bands=bands)
            pixel_bytes = len(bands) * self.plan.spec.dtype.itemsize
            for block in grid.touched(grid.whole):
                window = grid.window(block)
                work = partial(process_block, block_plan, read, window)
                yield Task(work, math.prod(window.shape) * pixel_bytes)

    def _lay_out(self, assembler: CogAssembler) -> None:
        described = self.described
        if described is None or self.plan.spec.statistics:
            described = descriptive_tags(self.plan.spec, self._joined())
        overview_bytes = sum(self.tile_buffer.size_bytes(level.number) for level in self.plan.levels[1:])
        assembler.lay_out(described, overview_bytes)

    def _finish(self, assembler: CogAssembler) -> Written:
        statistics = tuple(band.summary for band in self._joined()) if self.plan.spec.statistics else None
        written = assembler.finish(tuple(self.errors.tolist()) if self.plan.encoders[0].verify else None, statistics)
        reused = self.plan.spec.reused
        return written if reused is None else replace(written, tiles_reused=reused.tile_count)

    def _joined(self) -> list[BandStatistics]:
        """Return the statistics of each band."""
        return [band for first in sorted(self.statistics) for band in self.statistics[first].joined()]

    def _note_errors(self, plane: int, tile: EncodedTiles) -> None:
        if tile.largest_errors:
            bands = slice(None) if self.plan.levels[0].planes == 1 else slice(plane, plane + 1)
            self.errors[bands] = np.maximum(self.errors[bands], tile.largest_errors)


def _base_tasks(plan: FilePlan, pixels: OutputPixels) -> Iterator[Task[tuple[int, list[EncodedTiles]]]]:
    """Iterate over runs of neighbouring tiles of the full resolution, in the order of the file."""
    level = plan.levels[0]
    run_tiles = 1 if level.tile_count <= 64 else max(1, RUN_BYTES // plan.spec.tile_bytes)
    for plane in range(plan.positions(level) // level.plane_tiles):
        for row in range(level.tiles_down):
            for column in range(0, level.tiles_across, run_tiles):
                stop = min(column + run_tiles, level.tiles_across)
                run = partial(_encode_run, plan, pixels, plane, row, range(column, stop))
                yield Task(run, plan.spec.tile_bytes * (stop - column))


def _encode_run(
    plan: FilePlan, pixels: OutputPixels, plane: int, row: int, columns: Iterable[int]
) -> tuple[int, list[EncodedTiles]]:
    """Encode neighbouring tiles of the full resolution; return their plane, too."""
    level, encoder = plan.levels[0], plan.encoders[0]
    tiles = []
    for column in columns:
        window = level.tiles.window((row, column))
        key = (0, plane, row, column)
        if plane == level.planes:
            tiles.append(encode_one(encoder, None, pixels.read(window)[1], key))
            continue
        bands = None if level.planes == 1 else range(plane, plane + 1)
        values, mask = pixels.read(window, bands)
        tiles.append(encode_one(encoder, values, mask if level.planes == 1 else None, key))
    return plane, tiles
