"""The project's own writer: one pass over the pixels, each tile made once and put where it belongs.

The order of work (`work_plan`) depends on the source. Pixels in memory: the pyramid is made first, block by block, and
its encoded tiles are kept until all sizes are known; then they are written, smallest overview first, and the full
resolution is encoded and written behind them as it comes. A source that streams: all levels are made at once, and the
encoded full resolution waits in a spool until the overviews are written; or where the file is sent in parts, goes off
at once. Either way the same bytes come out, and the header is written at the very end: until then it is no TIFF at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from georeader._codecs.tiles import EncodedTiles
from georeader._core.threads import InFlight, Task, Workers
from georeader._export.engine.assembler import CogAssembler, Written
from georeader._export.engine.block_tasks import BlockResult, encode_one, process_block
from georeader._export.engine.output_pixels import OutputPixels
from georeader._export.engine.pixel_buffer import PixelBuffer
from georeader._export.engine.pyramid_builder import PyramidBuilder
from georeader._export.engine.statistics_fold import StatisticsFold
from georeader._export.engine.tile_buffer import TileBuffer
from georeader._export.engine.window_reader import WindowReader
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.order_of_work import Order
from georeader._export.sinks.protocol import Sink
from georeader._export.statistics import BandStatistics
from georeader._tiff import cog_layout
from georeader._tiff.directories import Tag

#: Pixels that one thread encodes at a time, in bytes.
RUN_BYTES = 2**20


def write_raster(
    reader: WindowReader,
    plan: FilePlan,
    file: Sink,
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write a raster file.

    Args:
        reader: What goes into it, and how it is made; the bytes do not depend on the latter.
        plan: What the file is.
        file: Empty; the caller commits or removes it.
        progress: Is told how many tiles were finished since it was last called.

    Memory, beyond the source: what ``reader.work`` says.

    Raises:
        ReadError: The source can't be read; the message names the window.
        WriteError: A codec failed, a tile did not come back as it was, or the disk is full.
        OptionError: BIGTIFF=NO, and the file became too long.
        DtypeError: A pixel does not fit the file's dtype.
        GeoreferenceError: The CRS has no counterpart in a GeoTIFF.
    """
    work = reader.work
    threads = work.threads if work.threads > 1 else 0  # one thread: the caller's own
    with Workers(threads) as workers:
        cog_layout.check_size(plan.spec.encoding.bigtiff, plan.least_base_bytes)
        run = _Run(reader, plan, file, workers, progress)
        if work.order is Order.PYRAMID_FIRST:
            return run.pyramid_first()
        if work.order is Order.SPOOL_BASE:
            return run.spool_base()
        if work.order is Order.SEND_BASE:
            return run.send_base()
        return run.as_it_comes()


class _Run:
    """One file in the making."""

    def __init__(
        self,
        reader: WindowReader,
        plan: FilePlan,
        file: Sink,
        workers: Workers,
        progress: Callable[[int], None],
    ) -> None:
        self.reader, self.plan, self.work = reader, plan, reader.work
        self.file, self.workers, self.progress = file, workers, progress
        self.pixel_store = PixelBuffer(self.work.held_pixels_bytes, file.open_spool)
        self.tile_store = TileBuffer(
            [plan.positions(level) for level in plan.levels],
            plan.parts,
            limit_bytes=self.work.held_tiles_bytes,
            open_spool=file.open_spool,
            is_framed=plan.spec.has_cog_layout,
        )
        self.statistics: defaultdict[int, StatisticsFold] = defaultdict(StatisticsFold)
        self._described: tuple[Tag, ...] | None = None
        self.errors = np.zeros(plan.spec.count)

    # The orders of work.

    def pyramid_first(self) -> Written:
        """Overviews first; then the full resolution, straight to its place."""
        base: Iterator[tuple[int, list[EncodedTiles]]] | None = None
        groups = self.work.band_groups if self.plan.spec.reads_twice else ()
        for bands in groups:
            cascade, in_flight = self._cascade(bands, encodes_base=False)
            for task in self._block_tasks(cascade):
                self._begin(task, cascade, in_flight)
            if bands == groups[-1]:
                self._describe()
                base = self._base()  # before the pyramid's last few blocks leave threads idle
            self._drain(cascade, in_flight)
        base = self._base() if base is None else base
        assembly = self._assembly()
        assembly.write_overviews(self.tile_store)
        for plane, tiles in base:
            assembly.write_tiles(plane, tiles)
            for tile in tiles:
                self._note_errors(plane, tile)
            self.progress(len(tiles))
        return self._finish(assembly)

    def spool_base(self) -> Written:
        """All levels at once, then the overviews, then the full resolution out of its spool."""
        self._describe()
        for bands in self.work.band_groups:
            self._stream(bands)
        assembly = self._assembly()
        assembly.write_overviews(self.tile_store)
        assembly.write_base(self.tile_store)
        return self._finish(assembly)

    def send_base(self) -> Written:
        """All levels at once, the full resolution off to its parts as it comes; then the overviews."""
        self._describe()
        assembly = CogAssembler(self.plan, self.file, self.workers)
        write = partial(assembly.write_base, self.tile_store)
        for bands in self.work.band_groups:
            self._stream(bands, write)
        self._lay_out(assembly)
        assembly.write_overviews(self.tile_store)
        return self._finish(assembly)

    def as_it_comes(self) -> Written:
        """The full resolution alone: each tile is written as soon as those before it are."""
        assembly = self._assembly()
        write = partial(assembly.write_base, self.tile_store)
        for bands in self.work.band_groups:
            self._stream(bands, write)
        return self._finish(assembly)

    # What they are made of.

    def _describe(self) -> None:
        """Ask GDAL while threads are busy, and before much is read: it may refuse the CRS."""
        self._described = descriptive_tags(self.plan.spec)

    def _stream(self, bands: range, then: Callable[[], None] = lambda: None) -> None:
        """Take all windows of some bands through the cascade."""
        cascade, in_flight = self._cascade(bands, encodes_base=True)
        for window in self.reader.windows(bands):
            for task in cascade.accept(0, bands, *window):
                self._begin(task, cascade, in_flight)
                then()
        self._drain(cascade, in_flight)
        then()

    def _cascade(self, bands: range, *, encodes_base: bool) -> tuple[PyramidBuilder, InFlight[BlockResult]]:
        cascade = PyramidBuilder(self.plan, self.work, bands, self.pixel_store, encodes_base=encodes_base)
        return cascade, InFlight(self.workers, self.work.in_flight_bytes)

    def _begin(self, task: Task[BlockResult], cascade: PyramidBuilder, in_flight: InFlight[BlockResult]) -> None:
        in_flight.add(task)
        while in_flight.is_full:
            self._take(cascade, in_flight)

    def _drain(self, cascade: PyramidBuilder, in_flight: InFlight[BlockResult]) -> None:
        while in_flight:
            self._take(cascade, in_flight)

    def _take(self, cascade: PyramidBuilder, in_flight: InFlight[BlockResult]) -> None:
        """Take what one block gave, and begin what it makes possible."""
        result = in_flight.take()
        for (level, plane, row, column), tile in result.tiles:
            shape = self.plan.levels[level]
            position = (plane * shape.tiles_down + row) * shape.tiles_across + column
            self.tile_store.put(level, position, tile)
            if level == 0:
                self._note_errors(plane, tile)
        for place, statistics in result.statistics:
            self.statistics[result.bands.start].add(place, statistics)
        self.progress(len(result.tiles))
        if result.passed is not None:
            level, region, pixels, mask = result.passed
            for task in cascade.accept(level, result.bands, region, pixels, mask):
                in_flight.add(task)

    def _block_tasks(self, cascade: PyramidBuilder) -> Iterator[Task[BlockResult]]:
        """Give the work at the full resolution of pixels in memory, which need not be passed on."""
        for bands in cascade.band_groups:
            block_plan, grid = cascade.base(bands)
            read = partial(self.reader.pixels.read, bands=bands)
            pixel_bytes = len(bands) * self.plan.spec.dtype.itemsize
            for block in grid.touched(grid.whole):
                region = grid.region(block)
                yield Task(
                    partial(process_block, block_plan, read, region), region.shape[0] * region.shape[1] * pixel_bytes
                )

    def _base(self) -> Iterator[tuple[int, list[EncodedTiles]]]:
        return self.workers.ordered(_base_tasks(self.plan, self.reader.pixels))

    def _assembly(self) -> CogAssembler:
        assembly = CogAssembler(self.plan, self.file, self.workers)
        self._lay_out(assembly)
        return assembly

    def _lay_out(self, assembly: CogAssembler) -> None:
        described = self._described
        if described is None or self.plan.spec.statistics:
            described = descriptive_tags(self.plan.spec, self._joined())
        overview_bytes = sum(self.tile_store.size_bytes(level.number) for level in self.plan.levels[1:])
        assembly.lay_out(described, overview_bytes)

    def _finish(self, assembly: CogAssembler) -> Written:
        statistics = tuple(band.summary for band in self._joined()) if self.plan.spec.statistics else None
        return assembly.finish(self._largest_errors(), statistics)

    def _joined(self) -> list[BandStatistics]:
        """Give what was measured of each band."""
        return [band for first in sorted(self.statistics) for band in self.statistics[first].joined()]

    def _note_errors(self, plane: int, tile: EncodedTiles) -> None:
        if tile.largest_errors:
            bands = slice(None) if self.plan.levels[0].planes == 1 else slice(plane, plane + 1)
            self.errors[bands] = np.maximum(self.errors[bands], tile.largest_errors)

    def _largest_errors(self) -> tuple[float, ...]:
        return tuple(self.errors.tolist()) if self.plan.verify else ()


def _base_tasks(plan: FilePlan, pixels: OutputPixels) -> Iterator[Task[tuple[int, list[EncodedTiles]]]]:
    """Cut the full resolution into runs of neighbouring tiles, in the order of the file."""
    level = plan.levels[0]
    run_tiles = plan.tiles_per_run(RUN_BYTES)
    for plane in range(plan.positions(level) // (level.tiles_down * level.tiles_across)):
        for row in range(level.tiles_down):
            for column in range(0, level.tiles_across, run_tiles):
                stop = min(column + run_tiles, level.tiles_across)
                run = partial(_encode_run, plan, pixels, plane, row, range(column, stop))
                yield Task(run, plan.spec.tile_bytes * (stop - column))


def _encode_run(
    plan: FilePlan, pixels: OutputPixels, plane: int, row: int, columns: Iterable[int]
) -> tuple[int, list[EncodedTiles]]:
    """Encode neighbouring tiles of the full resolution; give their plane with them."""
    level, encoder = plan.levels[0], plan.encoders[0]
    tiles = []
    for column in columns:
        region = plan.spec.tile_window(row, column)
        key = (0, plane, row, column)
        if plane == level.planes:
            tiles.append(encode_one(encoder, None, pixels.read_mask(region), key))
            continue
        bands = None if level.planes == 1 else range(plane, plane + 1)
        window, mask = pixels.read(region, bands)
        tiles.append(encode_one(encoder, window, mask if level.planes == 1 else None, key))
    return plane, tiles
