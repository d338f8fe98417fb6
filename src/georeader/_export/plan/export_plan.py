"""Plan of an export as the caller sees it: what a save will write, how, and what that takes. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from georeader._codecs.predictors import predictor_candidates
from georeader._codecs.registry import PREDICTORS
from georeader._export.plan.cluster_plan import INLINE_BYTES, ClusterPlan, cut_count
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import Level
from georeader._export.plan.spec import ExportSpec
from georeader._export.plan.traits import Chunks, SinkTraits, plan_parts
from georeader._tiff.cog_layout import possible_versions
from georeader._tiff.directories import BIG

#: Bytes of a graph on its way to the scheduler (measured with dask 2026.8, within a factor of two): of a task of the
#: save, of a chunk that it refers to, of a chunk that is cut for its neighbours, and of a task of the source.
_TASK_BYTES, _CHUNK_BYTES, _CUT_BYTES, _SOURCE_TASK_BYTES = 110, 75, 150, 75

#: Memory of the process that makes a graph: of a task, of a chunk, and of a tile, whose size and offset it holds.
_HELD_TASK_BYTES, _HELD_CHUNK_BYTES, _HELD_TILE_BYTES = 800, 700, 54

#: Overhead of a task: "somewhere between 200us and 1ms" (Dask's documentation, "Best Practices").
TASK_SECONDS = (200e-6, 1e-3)

#: How the bytes of a file come from a cluster's workers to its destination.
ROUTES = {
    "parts": "workers send them to the store",
    "files": "workers write files beside the destination, and copy them to their places",
    "uploader": "workers pass them to one process, which sends them in order",
}


@dataclass(frozen=True)
class PlannedLevel:
    """One resolution of a planned file.

    Attributes:
        factor: Decimation factor: 1 for the full resolution.
        width_px: Columns.
        height_px: Rows.
        tile_count: Tiles, those of its validity mask included, if it has one.
    """

    factor: int
    width_px: int
    height_px: int
    tile_count: int


@dataclass(frozen=True)
class PlannedCluster:
    """The work of a planned export on a cluster.

    Attributes:
        workers: Number of workers that was planned for.
        block_height_px: Rows of a block, which one task encodes.
        block_width_px: Columns of a block.
        block_count: Blocks, for all groups of bands that are read together.
        run_height_px: Rows of the full resolution in a run. Chunks of as many rows need the fewest tasks.
        run_count: Runs of tiles, which lie one after the other in the file; one task gathers each.
        task_count: Upper bound of the tasks that are added to those of the source.
        source_task_count: Tasks of the source's dask arrays, before dask optimises them; 0 for a file.
        source_chunk_count: Chunks of the source's dask arrays; 0 for a file.
        graph_bytes: Approximate size of the graph on its way to the scheduler.
        worker_bytes: Approximate upper bound of the memory of one task of a worker.
        route: How bytes come to the destination: "parts" (workers send them to the store), "files" (workers write into
            a folder that they share), or "uploader" (one process sends them in order).
    """

    workers: int
    block_height_px: int
    block_width_px: int
    block_count: int
    run_height_px: int
    run_count: int
    task_count: int
    source_task_count: int
    source_chunk_count: int
    graph_bytes: int
    worker_bytes: int
    route: str

    def __repr__(self) -> str:
        """Return one line: blocks, tasks and route."""
        return (
            f"PlannedCluster({self.workers} workers: {self.block_count:,} blocks of {self.block_width_px} x "
            f"{self.block_height_px} pixels, {self.task_count:,} tasks, by {self.route})"
        )

    @property
    def tasks_per_chunk(self) -> float | None:
        """Tasks of the whole graph for each chunk of the source; None for a file."""
        all_tasks = self.task_count + self.source_task_count
        return all_tasks / self.source_chunk_count if self.source_chunk_count else None

    @property
    def scheduler_seconds(self) -> tuple[float, float]:
        """Least and most time that the scheduler takes for all tasks, at 200 microseconds to 1 millisecond each."""
        all_tasks = self.task_count + self.source_task_count
        return all_tasks * TASK_SECONDS[0], all_tasks * TASK_SECONDS[1]


@dataclass(frozen=True, repr=False)
class ExportPlan:
    """What a save will write, how, and what that takes; `georeader.plan_export` returns it.

    ``str()`` is a table of a few lines, ``repr()`` a single line.

    Attributes:
        path: The destination, without secrets.
        kind: "cog" or "tiled".
        shape: (band, row, column).
        dtype: Name of the dtype in the file.
        levels: Full resolution and overviews. Empty where GDAL's engine warps the raster.
        tile_height_px: Rows of a tile.
        tile_width_px: Columns of a tile.
        interleave: "PIXEL" or "BAND".
        codec: Such as "ZSTD".
        predictor: Such as "STANDARD"; "AUTO" where the save chooses it from pixels.
        least_bytes: Lower bound of the file's size, where one is known.
        most_bytes: Upper bound of the file's size; None where GDAL's engine warps the raster.
        bigtiff: "yes", "no", or "depends on the size".
        engine: "stream", "gdal" or "cluster".
        memory_bytes: Approximate memory of this process, beyond the source.
        part_count: Upper bound of the parts of the upload; None where there are none.
        part_bytes: Size of a part, about.
        cluster: The work on a cluster; None for a save in this process.
    """

    path: str
    kind: str
    shape: tuple[int, int, int]
    dtype: str
    levels: tuple[PlannedLevel, ...]
    tile_height_px: int
    tile_width_px: int
    interleave: str
    codec: str
    predictor: str
    least_bytes: int | None
    most_bytes: int | None
    bigtiff: str
    engine: str
    memory_bytes: int
    part_count: int | None
    part_bytes: int | None
    cluster: PlannedCluster | None

    @property
    def tile_count(self) -> int:
        """Tiles of all levels, those of masks included."""
        return sum(level.tile_count for level in self.levels)

    def to_dict(self) -> dict[str, Any]:
        """Return all facts as plain values, which JSON takes."""
        return asdict(self)

    def __repr__(self) -> str:
        """Return one line."""
        size = "" if self.most_bytes is None else f", at most {_bytes_text(self.most_bytes)}"
        bands, height_px, width_px = self.shape
        return f"<ExportPlan {self.path!r}: {bands} x {height_px} x {width_px} {self.dtype} by {self.engine}{size}>"

    def __str__(self) -> str:
        """Return a table of a few lines."""
        rows = [*self._file_rows(), *self._work_rows()]
        width = max(len(name) for name, _ in rows)
        return "\n".join([self.path, *(f"  {name:<{width}}  {text}" for name, text in rows)])

    def _file_rows(self) -> list[tuple[str, str]]:
        bands, height_px, width_px = self.shape
        tiles = f"tiles of {self.tile_height_px} x {self.tile_width_px}, interleaved by {self.interleave.lower()}"
        ends = (*self.levels[:1], *self.levels[1:][-1:])
        shown = " to ".join(f"{level.height_px} x {level.width_px}" for level in ends)
        levels = f"{len(self.levels)}, {shown}, {self.tile_count:,} tiles"
        least = "" if self.least_bytes is None else f"at least {_bytes_text(self.least_bytes)}, "
        most = "not known before GDAL has warped it" if self.most_bytes is None else _bytes_text(self.most_bytes)
        chosen = " (from pixels)" if self.predictor == "AUTO" else ""
        return [
            ("raster", f"{bands} x {height_px} x {width_px} {self.dtype}, {tiles}"),
            ("levels", levels if self.levels else "not known before GDAL has warped it"),
            ("codec", f"{self.codec.lower()}, predictor {self.predictor.lower()}{chosen}"),
            ("size", f"{least}{'' if self.most_bytes is None else 'at most '}{most}; BigTIFF: {self.bigtiff}"),
        ]

    def _work_rows(self) -> list[tuple[str, str]]:
        cluster = self.cluster
        count, part_bytes = self.part_count, self.part_bytes
        rows = [] if count is None else [("parts", f"at most {count:,} of {_bytes_text(part_bytes or 0)}")]
        memory = f"about {_bytes_text(self.memory_bytes)} in this process"
        if cluster is None:
            return [("engine", self.engine), ("memory", memory), *rows]
        seconds = " to ".join(map(_seconds_text, cluster.scheduler_seconds))
        ratio = cluster.tasks_per_chunk
        source = f" to {cluster.source_task_count:,} of the source, {ratio:.1f} in all for each chunk" if ratio else ""
        return [
            ("engine", f"{self.engine}, {cluster.workers:,} workers"),
            ("memory", f"{memory}, up to {_bytes_text(cluster.worker_bytes)} for a task of a worker"),
            (
                "work",
                f"{cluster.block_count:,} blocks of {cluster.block_height_px} x {cluster.block_width_px}, "
                f"{cluster.run_count:,} runs, the first ones of {cluster.run_height_px} rows",
            ),
            ("tasks", f"at most {cluster.task_count:,} added{source}"),
            ("graph", f"about {_bytes_text(cluster.graph_bytes)}; the scheduler takes {seconds} s for it"),
            ("bytes", ROUTES[cluster.route]),
            *rows,
        ]


@dataclass(frozen=True)
class PlannedSource:
    """The dask arrays of a source, as numbers."""

    task_count: int = 0
    chunks: Chunks | None = None  #: None: no chunk is a task

    @property
    def chunk_count(self) -> int:
        """Number of chunks that are tasks."""
        chunks = self.chunks
        if chunks is None:
            return 0
        edges = (chunks.band_edges, chunks.row_edges_px, chunks.column_edges_px)
        counts = [len(axis) - 1 for axis in edges]
        return counts[0] * counts[1] * counts[2]


def plan_of_cluster(cluster: ClusterPlan, source: PlannedSource, *, workers: int, route: str) -> PlannedCluster:
    """Return the numbers of a plan for a cluster."""
    cuts = 0 if source.chunks is None else cut_count(cluster, source.chunks)
    tasks = cluster.task_count + cuts
    return PlannedCluster(
        workers=workers,
        block_height_px=cluster.blocks.block_height_px,
        block_width_px=cluster.blocks.block_width_px,
        block_count=cluster.block_count,
        run_height_px=cluster.stages[0][0].run_height_px,
        run_count=cluster.run_count,
        task_count=tasks,
        source_task_count=source.task_count,
        source_chunk_count=source.chunk_count,
        graph_bytes=_TASK_BYTES * tasks
        + _CHUNK_BYTES * source.chunk_count
        + _CUT_BYTES * cuts
        + _SOURCE_TASK_BYTES * source.task_count,
        worker_bytes=cluster.worker_bytes,
        route=route,
    )


def client_bytes(plan: FilePlan, cluster: PlannedCluster) -> int:
    """Return the approximate memory of the process that makes a graph, with sizes of tiles and small overviews."""
    graph_bytes = _HELD_TASK_BYTES * cluster.task_count + _HELD_CHUNK_BYTES * cluster.source_chunk_count
    return 2 * INLINE_BYTES + graph_bytes + cluster.graph_bytes + _HELD_TILE_BYTES * plan.place_count


def parts_of(plan: FilePlan, sink: SinkTraits, cluster: ClusterPlan | None) -> tuple[int | None, int | None]:
    """Return the upper bound of the number of parts, and the size of one; None where a sink takes no parts."""
    if sink.max_parts is None:
        return None, None
    if cluster is not None:
        return cluster.part_count, cluster.part_bytes
    parts = plan_parts(
        plan.most_head_bytes, plan.most_base_bytes, min_part_bytes=sink.min_part_bytes, max_parts=sink.max_parts
    )
    return parts.first_tail_number + -(-plan.most_base_bytes // parts.part_bytes), parts.part_bytes


def predictor_of(spec: ExportSpec) -> str:
    """Return the predictor, "AUTO" while several are possible, of which the save chooses one by its pixels."""
    if spec.encoding.predictor != "AUTO":
        return spec.encoding.predictor
    candidates = predictor_candidates(spec.encoding.codec, spec.dtype)
    names = [name for name, number in PREDICTORS.items() if number in candidates]
    return names[0] if len(names) == 1 else "AUTO"


def levels_of(plan: FilePlan) -> tuple[PlannedLevel, ...]:
    """Return the levels of a file."""
    return tuple(_planned(plan, factor, level) for factor, level in zip(_factors(plan), plan.levels, strict=True))


def _factors(plan: FilePlan) -> tuple[int, ...]:
    return (1, *plan.spec.overview_factors)


def _planned(plan: FilePlan, factor: int, level: Level) -> PlannedLevel:
    counts = plan.tile_counts
    tile_count = counts[level.number, False] + counts.get((level.number, True), 0)
    return PlannedLevel(factor, level.width_px, level.height_px, tile_count)


def bigtiff_of(plan: FilePlan) -> str:
    """Return "yes", "no" or "depends on the size"; raises OptionError where BIGTIFF=NO cannot be."""
    most_bytes = plan.most_base_bytes + plan.most_head_bytes
    versions = possible_versions(plan.spec.encoding.bigtiff, plan.least_base_bytes, most_bytes)
    if len(versions) > 1:
        return "depends on the size"
    return "yes" if versions[0] is BIG else "no"


def _seconds_text(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1g}"


def _bytes_text(size_bytes: int) -> str:
    """Return a size in the largest unit that leaves a digit before the point.

    Example:
        >>> _bytes_text(900), _bytes_text(16 * 2**20), _bytes_text(2_750_000_000_000)
        ('900 bytes', '16 MiB', '2.5 TiB')
    """
    size, units = float(size_bytes), ("bytes", "KiB", "MiB", "GiB", "TiB")
    at = 0
    while size >= 1024 and at + 1 < len(units):
        size, at = size / 1024, at + 1
    return f"{size:.0f} {units[at]}" if size >= 10 or at == 0 else f"{size:.1f} {units[at]}"
