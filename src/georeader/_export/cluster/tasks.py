"""What a worker does for a save: encode a block, gather a run, reduce pixels to overviews, send what waits.

Each function takes all that it needs, changes nothing outside, and returns the same each time, so that dask may run it
again.
"""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import accumulate, groupby, pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.tiles import EncodedTiles
from georeader._core.windows import Mask, PixelWindow
from georeader._export.cluster.targets import (
    IN_MEMORY,
    Delivered,
    KeepingTarget,
    KeptTiles,
    PartsTarget,
    RunTarget,
    SentPart,
    TileKeeper,
)
from georeader._export.engine.buffers import WindowPixels
from georeader._export.engine.pyramid_builder import BlockPlan, BlockResult, TileKey, TileStatistics, process_block
from georeader._export.output_pixels import OutputPixels
from georeader._export.plan.cluster_plan import ClusterPlan, RunKey, Stage
from georeader._export.plan.file_plan import plan_file
from georeader._export.plan.grid import BlockGrid
from georeader._export.plan.spec import ExportSpec
from georeader._export.sources.protocol import Source
from georeader._export.sources.read_once import Box, Place
from georeader._export.sources.sliced import HeldChunks, cuts_of
from georeader._export.statistics import BandStatistics, StatisticsFold
from georeader._tiff.checksum import crc32, crc32_combine
from georeader.errors import OptionError, TileError

#: For each chunk of an array: its place, the box of it that is there, and the chunk; or, in place of the chunk, a list
#: of boxes cut out of it, and the position of this one in the list.
ArrayParts: TypeAlias = Sequence[tuple[Place, Box, int | None, Any]]

Tile: TypeAlias = tuple[TileKey, EncodedTiles]

#: Pixels of the parts in which a worker encodes a block, one band: few enough for a processor's cache.
PART_PX = 2**20


def pickled(value: Any, given: str) -> bytes:
    """Return what a save sends to workers as bytes; raises OptionError where it cannot be pickled."""
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise OptionError(
            f"{given!r}: the source, or fs, cannot be pickled to be sent to workers: {error}; pass client=False, or "
            "objects that can be pickled"
        ) from error


@dataclass(frozen=True)
class Template:
    """What all tasks of a save have in common: the source without its pixels, the file, and where tiles go.

    It is pickled once, since unpickling it is a new source for each task.
    """

    pickled: bytes = field(repr=False)
    given: str  #: The destination in messages

    @classmethod
    def of(cls, source: Source, cluster: ClusterPlan, target: RunTarget, given: str, *, verify: bool) -> Template:
        """Pickle a source, of whose dask arrays the chunks are left out."""
        # Workers plan the file again: codecs have functions, which cannot be pickled.
        plain = replace(cluster, plan=None)  # type: ignore[arg-type]
        # Most tasks send nothing, and to unpickle a store's client takes longer than many a block.
        held = (source, cluster.plan.spec, verify, plain, target.keeper, pickled(target, given))
        return cls(pickled(held, given), given)

    def open(self) -> Job:
        """Return a job of its own."""
        source, spec, verify, plain, keeper, target = pickle.loads(self.pickled)  # noqa: S301  (pickled above)
        return Job(source, replace(plain, plan=plan_file(spec, verify=verify)), keeper, target)


@dataclass(frozen=True)
class Job:
    """The work on one file, in one task."""

    source: Source
    cluster: ClusterPlan
    keeper: TileKeeper
    pickled_target: bytes = field(repr=False)

    @property
    def target(self) -> RunTarget:
        """Where runs are delivered."""
        target: RunTarget = pickle.loads(self.pickled_target)  # noqa: S301  (pickled by `Template.of`)
        return target

    @property
    def spec(self) -> ExportSpec:
        """The file."""
        return self.cluster.plan.spec


class TileRow(NamedTuple):
    """Tiles of a strip that lie in one row of a level and plane, and one after the other in the strip's bytes."""

    first: TileKey
    sizes_bytes: NDArray[np.uint32]  #: (tile, part), without frames
    errors: tuple[float, ...]  #: The largest of each band; none if tiles are not verified
    size_bytes: int
    crc32: int


@dataclass(frozen=True)
class Strip:
    """The part of a block that belongs to one run."""

    rows: tuple[TileRow, ...]
    tiles: KeptTiles  #: Of all rows
    passed: WindowPixels | None = None
    statistics: tuple[TileStatistics, ...] = ()
    nan_bands: frozenset[int] = frozenset()

    def pieces(self) -> Iterator[tuple[TileRow, KeptTiles]]:
        """Iterate over rows and their bytes."""
        edges = accumulate((row.size_bytes for row in self.rows), initial=0)
        for row, (start, stop) in zip(self.rows, pairwise(edges), strict=True):
            yield row, self.tiles[start:stop]


@dataclass(frozen=True)
class RunPart:
    """Facts of the tiles of a run in one level and plane; their bytes are elsewhere."""

    key: RunKey
    sizes_bytes: NDArray[np.uint32]  #: (tile, part), without frames
    size_bytes: int
    crc32: int
    delivered: Delivered  #: Without the bytes that are kept, unless they pass through the client
    kept_bytes: int


@dataclass(frozen=True)
class RunFacts:
    """Facts of a run, for the client."""

    parts: tuple[RunPart, ...]
    tile_count: int
    errors: NDArray[np.float64]
    statistics: tuple[tuple[int, tuple[BandStatistics, ...]], ...]  #: Of each row of tiles
    nan_bands: frozenset[int]


@dataclass(frozen=True)
class Run:
    """The result of a run: facts, bytes that wait for their neighbours, and pixels of the next stage's level."""

    facts: RunFacts
    kept: Mapping[RunKey, bytes]
    passed: WindowPixels | None

    def __reduce__(self) -> Any:
        """Pickle bytes as arrays, as `Strip` does."""
        kept = {key: np.frombuffer(own, np.uint8) for key, own in self.kept.items()}
        return _unpickled_run, (self.facts, kept, self.passed)


def _unpickled_run(facts: RunFacts, kept: Mapping[RunKey, NDArray[np.uint8]], passed: WindowPixels | None) -> Run:
    """Return a run whose bytes are views of arrays."""
    views: Any = {key: own.data for key, own in kept.items()}
    return Run(facts, views, passed)


# The full resolution: blocks, then runs.


def encode_block(template: Template, bands: range, block: tuple[int, int], parts: Sequence[ArrayParts]) -> Any:
    """Encode the tiles of a block and of its first overview, and reduce its pixels to the second.

    ``parts`` has the chunks, or parts of them, of each dask array of the source. Returns a strip; several of them, one
    below the other, where a block belongs to several runs.
    """
    job = template.open()
    cluster, stage = job.cluster, stage_of(job.cluster, bands, 0)
    window = cluster.blocks.window(block)
    _hold(job, window, bands, parts)
    pixels = OutputPixels(job.source, job.spec)
    try:
        results = _process(block_plan(cluster, stage), partial(pixels.read, bands=bands), window)
    except TileError as error:
        raise TileError(f"{template.given!r}: {error}") from error
    finally:
        job.source.close()
    tiles = [pair for result in results for pair in result.tiles]
    passed = [result.passed[1] for result in results if result.passed is not None]
    statistics = [pair for result in results for pair in result.statistics]
    runs = stage.runs_of(window)
    kept = _keep(job, stage, {run: _of_run(stage, run, tiles) for run in runs})
    strips = tuple(
        Strip(
            *kept[run],
            join_pixels([part for part in passed if stage.holds(run, 4 * part.window.row_start)]),
            tuple(pair for pair in statistics if pair[0][0] in stage.tile_rows(stage.first, run)),
            frozenset(pixels.nan_bands),
        )
        for run in runs
    )
    return strips[0] if cluster.strips == 1 else strips


def _hold(job: Job, window: PixelWindow, bands: range, parts: Sequence[ArrayParts]) -> None:
    """Pass chunks, or parts of them, to the source's dask arrays."""
    cuts = cuts_of(job.source, window, read_bands(job.spec, bands))
    arrays = [cut.source.windows for cut in cuts if isinstance(cut.source.windows, HeldChunks)]
    for windows, own in zip(arrays, parts, strict=True):
        held = {}
        for place, box, at, value in own:
            held[tuple(place)] = tuple(box), windows.checked(place, value) if at is None else value[at]
        windows.hold(held)


def read_bands(spec: ExportSpec, bands: range) -> range:
    """Return the bands of the source that are read for bands of the file: a mask may depend on all."""
    if spec.mask in ("alpha", "nodata"):
        return range(spec.count + (spec.mask == "alpha"))
    return bands


def stage_of(cluster: ClusterPlan, bands: range, number: int) -> Stage:
    """Return a stage of a group of bands."""
    return next(group[number] for group in cluster.stages if group[0].bands == bands)


def block_plan(cluster: ClusterPlan, stage: Stage) -> BlockPlan:
    """Return the work on the blocks of a stage."""
    plan = cluster.plan
    measures = stage.number == 0 and plan.spec.statistics
    return BlockPlan(plan, stage.bands, stage.first.number, 2, encodes_first=True, measures=measures)


def _process(block: BlockPlan, read: Any, window: PixelWindow) -> list[BlockResult]:
    """Encode a window in parts of a few tiles."""
    level = block.levels[0]
    height_px, unit_px = 2 * level.tile_height_px, 2 * level.tile_width_px
    width_px = max(1, PART_PX // (height_px * unit_px)) * unit_px
    grid = BlockGrid(*level.shape, height_px, width_px)
    return [process_block(block, read, grid.window(part).intersection(window)) for part in grid.touched(window)]


def _of_run(stage: Stage, run: int, tiles: Iterable[Tile]) -> list[Tile]:
    """Return the tiles of a run, in the order of the file."""
    rows = {level.number: stage.tile_rows(level, run) for level in stage.levels}
    return sorted((pair for pair in tiles if pair[0][2] in rows[pair[0][0]]), key=_key_of)


def _key_of(tile: Tile) -> TileKey:
    return tile[0]


def _keep(
    job: Job, stage: Stage, runs: Mapping[int, Sequence[Tile]]
) -> dict[int, tuple[tuple[TileRow, ...], KeptTiles]]:
    """Keep tiles of several runs, in the order of the file, until those around them are there, too."""
    keeper = IN_MEMORY if stage.is_inline else job.keeper
    kept = keeper.keep([[piece for _, tile in tiles for piece in tile.pieces] for tiles in runs.values()])
    return {run: (tuple(_rows(tiles)), own) for (run, tiles), own in zip(runs.items(), kept, strict=True)}


def _rows(tiles: Iterable[Tile]) -> Iterator[TileRow]:
    """Iterate over the rows of tiles."""
    for _, group in groupby(tiles, lambda pair: pair[0][:3]):
        own = list(group)
        pieces = [piece for _, tile in own for piece in tile.pieces]
        yield TileRow(
            own[0][0],
            np.array([tile.sizes_bytes for _, tile in own], np.uint32),
            tuple(np.max([tile.largest_errors for _, tile in own], axis=0).tolist()),
            sum(map(len, pieces)),
            reduce(lambda value, piece: crc32(piece, value), pieces, 0),
        )


def join_pixels(parts: Sequence[WindowPixels]) -> WindowPixels | None:
    """Return the pixels of several windows as one, which they cover."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    windows = [part.window for part in parts]
    whole = PixelWindow(
        min(window.row_start for window in windows),
        max(window.row_stop for window in windows),
        min(window.column_start for window in windows),
        max(window.column_stop for window in windows),
    )
    pixels = np.empty((len(parts[0].pixels), *whole.shape), parts[0].pixels.dtype)
    mask = None if parts[0].mask is None else np.empty(whole.shape, bool)
    for part in parts:
        rows, columns = part.window.within(whole)
        pixels[:, rows, columns] = part.pixels
        if mask is not None and part.mask is not None:
            mask[rows, columns] = part.mask
    return WindowPixels(whole, pixels, mask)


def gather_run(template: Template, bands: range, run: int, strips: Sequence[Strip]) -> Run:
    """Put the tiles of a run of the full resolution and of the first overview in order, and deliver them."""
    job = template.open()
    return _run(job, stage_of(job.cluster, bands, 0), run, strips)


# Overviews: a run at once.


def reduce_run(template: Template, bands: range, number: int, run: int, before: Sequence[Run]) -> Run:
    """Encode a run of overviews from the pixels that runs of the stage before have passed on, and deliver it."""
    job = template.open()
    stage = stage_of(job.cluster, bands, number)
    pixels = join_pixels([one.passed for one in before if one.passed is not None])
    if pixels is None:
        raise TileError(f"{template.given!r}: overview {stage.first.number} has no pixels to be made of")
    try:
        results = _process(block_plan(job.cluster, stage), pixels.cut, stage.window(run))
    except TileError as error:
        raise TileError(f"{template.given!r}: {error}") from error
    tiles = _of_run(stage, run, [pair for result in results for pair in result.tiles])
    passed = join_pixels([result.passed[1] for result in results if result.passed is not None])
    return _run(job, stage, run, [Strip(*_keep(job, stage, {run: tiles})[run], passed)])


def needed_rows(cluster: ClusterPlan, stage: Stage, run: int) -> PixelWindow:
    """Return the pixels of a stage's first level that a run needs, margins included."""
    window = stage.window(run)
    return window if len(stage.levels) == 1 and stage.passes is None else block_plan(cluster, stage).needed(window)


def _run(job: Job, stage: Stage, run: int, strips: Sequence[Strip]) -> Run:
    """Deliver the tiles of strips, and return what is known of them."""
    found = sorted((pair for strip in strips for pair in strip.pieces()), key=lambda pair: pair[0].first)
    rows: dict[RunKey, list[TileRow]] = {}
    pieces: dict[RunKey, list[KeptTiles]] = {}
    for row, kept in found:
        key = RunKey(row.first[0], row.first[1], run)
        rows.setdefault(key, []).append(row)
        pieces.setdefault(key, []).append(kept)
    delivered = deliver(job, stage, pieces)
    parts = [
        RunPart(
            key,
            sizes_bytes=np.concatenate([row.sizes_bytes for row in rows[key]]),
            size_bytes=sum(row.size_bytes for row in rows[key]),
            crc32=reduce(lambda value, row: crc32_combine(value, row.crc32, row.size_bytes), rows[key], 0),
            delivered=own if stage.is_inline else replace(own, kept=b""),
            kept_bytes=len(own.kept),
        )
        for key, own in delivered.items()
    ]
    facts = RunFacts(
        tuple(parts),
        sum(map(len, (part.sizes_bytes for part in parts))),
        _largest_errors(job.spec, rows),
        _joined_statistics(strips),
        frozenset[int]().union(*(strip.nan_bands for strip in strips)),
    )
    waiting = {key: own.kept for key, own in delivered.items()}
    return Run(facts, waiting, join_pixels([strip.passed for strip in strips if strip.passed is not None]))


def _largest_errors(spec: ExportSpec, rows: Mapping[RunKey, Sequence[TileRow]]) -> NDArray[np.float64]:
    """Return the largest error of each band at full resolution."""
    errors = np.zeros(spec.count)
    for key, own in rows.items():
        for row in own:
            if key.level == 0 and row.errors:
                bands = slice(None) if spec.planes == 1 else slice(key.plane, key.plane + 1)
                errors[bands] = np.maximum(errors[bands], row.errors)
    return errors


def _joined_statistics(strips: Sequence[Strip]) -> tuple[tuple[int, tuple[BandStatistics, ...]], ...]:
    """Return the statistics of each row of tiles."""
    folds: defaultdict[int, StatisticsFold] = defaultdict(StatisticsFold)
    for strip in strips:
        for place, found in strip.statistics:
            folds[place[0]].add(place, found)
    return tuple((row, folds[row].joined()) for row in sorted(folds))


def deliver(job: Job, stage: Stage, runs: Mapping[RunKey, Sequence[KeptTiles]]) -> dict[RunKey, Delivered]:
    """Deliver the bytes of runs, or keep them for the client."""
    target: RunTarget = KeepingTarget() if stage.is_inline else job.target
    numbers = job.cluster.first_numbers
    found = target.deliver([(numbers[key], pieces) for key, pieces in runs.items()])
    return dict(zip(runs, found, strict=True))


def facts_of(run: Run) -> RunFacts:
    """Return the facts of a run, without what stays on the worker."""
    return run.facts


def kept_of(run: Run, key: RunKey) -> bytes:
    """Return the bytes of a run that are kept."""
    return bytes(run.kept[key])


def send_joined(
    target: PartsTarget, number: int, head: bytes, keys: Sequence[RunKey], runs: Sequence[Run]
) -> tuple[SentPart, ...]:
    """Send what is kept of neighbouring runs, behind some bytes of the client, as one part."""
    pieces = [head, *(run.kept[key] for key, run in zip(keys, runs, strict=True))]
    return (target.send(number, pieces),) if any(pieces) else ()


def read_window(
    template: Template, window: PixelWindow, bands: range, parts: Sequence[ArrayParts]
) -> tuple[NDArray[Any], Mask]:
    """Read a window at full resolution, before the save begins."""
    job = template.open()
    _hold(job, window, bands, parts)
    try:
        return OutputPixels(job.source, job.spec).read(window, bands)
    finally:
        job.source.close()


def cut_edges(boxes: Sequence[Box], chunk: Any) -> list[Any]:
    """Return copies of small parts of a chunk, which blocks around it need."""
    return [chunk[tuple(box)].copy() for box in boxes]
