"""Plan of a save on a cluster: blocks, runs of tiles, parts of an upload. Pure.

A stage encodes two levels, and passes pixels of the level after them to the next stage. In the first stage a task
encodes a block, and another one gathers the tiles of a run: whole rows of tiles, which lie one after the other in the
file. The pixels of later stages are a sixteenth of those before, so that one task encodes a whole run.

References:
    Amazon S3 User Guide, "Multipart upload limits": parts of 5 MiB to 5 GiB, 10,000 parts, objects up to 5 TiB (raised
    to 50 TiB in 2025; the smaller number is kept for other stores of its API). Azure Storage, "Scalability and
    performance targets for Blob storage": 50,000 blocks of up to 4,000 MiB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from georeader._core.windows import PixelWindow
from georeader._export.plan.file_plan import FilePlan
from georeader._export.plan.grid import BlockGrid, Level, longest, merge_edges
from georeader._export.plan.spec import ExportSpec
from georeader._export.plan.traits import Chunks, SinkTraits, SourceTraits
from georeader.errors import OptionError

#: Pixels of a block, all bands that are read together, in bytes: several small chunks, or one large one.
BLOCK_BYTES = 8 * 2**20

#: A chunk up to this many times as large is a block by itself.
LARGE_CHUNK = 16

#: Pixels of a run, in bytes: its encoded tiles should make several parts of an upload.
RUN_BYTES = 32 * 2**20

#: Parts of a run, where a file has very many.
PARTS_OF_RUN = 6

#: Most bytes of a run, encoded: a wide row of blocks is divided into several runs.
MOST_RUN_BYTES = 512 * 2**20

#: Pixels of stages whose encoded tiles pass through the client, in bytes.
INLINE_BYTES = 4 * 2**20

#: Size of a part, unless a file would then have too many.
PART_BYTES = 16 * 2**20

#: Largest part, and largest object, of any store.
MOST_PART_BYTES = 4000 * 2**20
MOST_OBJECT_BYTES = 5 * 2**40

#: Parts are doubled so often, and then are of the largest size: a part of joined runs may be larger by twice what
#: is kept.
_DOUBLINGS = 8
_LARGEST_BYTES = 3900 * 2**20

#: Most bands' bytes of a pixel in a block, where tiles hold one band each.
GROUP_PIXEL_BYTES = 8


class RunKey(NamedTuple):
    """The tiles of some rows of one level and plane, which lie one after the other in the file."""

    level: int
    plane: int
    run: int


@dataclass(frozen=True)
class Stage:
    """Levels that are encoded together, for a group of bands."""

    number: int
    bands: range
    levels: tuple[Level, ...]  #: One or two
    run_height_px: int  #: Rows of a run, at the first of its levels
    passes: Level | None  #: Level whose pixels the next stage gets
    is_inline: bool  #: Its tiles pass through the client, with the header

    @property
    def first(self) -> Level:
        """The level of which the others are made."""
        return self.levels[0]

    @property
    def run_count(self) -> int:
        """Number of runs."""
        return math.ceil(self.first.height_px / self.run_height_px)

    def window(self, run: int) -> PixelWindow:
        """Return the pixels of a run, at the first level."""
        top_px = run * self.run_height_px
        return PixelWindow(top_px, min(top_px + self.run_height_px, self.first.height_px), 0, self.first.width_px)

    def holds(self, run: int, row_px: int) -> bool:
        """Return whether a row of the first level lies in a run."""
        return row_px // self.run_height_px == run

    def tile_rows(self, level: Level, run: int) -> range:
        """Return the rows of tiles of a run in one of the levels."""
        window, shrink = self.window(run), level.number - self.first.number
        step_px = level.tile_height_px << shrink
        return range(window.row_start // step_px, min(-(-window.row_stop // step_px), level.tiles_down))

    def runs_of(self, window: PixelWindow) -> range:
        """Return the runs that share rows with a window of the first level."""
        return range(window.row_start // self.run_height_px, -(-window.row_stop // self.run_height_px))


@dataclass(frozen=True)
class ClusterPlan:
    """The tasks of a save, as numbers."""

    plan: FilePlan
    stages: tuple[tuple[Stage, ...], ...]  #: Of each group of bands, from the full resolution on
    blocks: BlockGrid  #: Of the full resolution
    part_bytes: int  #: Of a part, about
    kept_bytes: int  #: Of the start of a run that waits for those before it: the smallest part; 0 where there is none
    has_files: bool  #: Encoded blocks are files until they are copied to their place, and no worker holds a run of them

    @property
    def strips(self) -> int:
        """Number of runs that a block belongs to."""
        return max(1, self.blocks.block_height_px // self.stages[0][0].run_height_px)

    def planes(self, stage: Stage) -> range:
        """Return the planes of tiles of a stage, and the one of the mask where it is separate."""
        level, spec = stage.first, self.plan.spec
        if level.planes == 1:
            return range(1)
        return range(stage.bands.start, stage.bands.stop + (spec.mask is not None))

    def places_of(self, key: RunKey, stage: Stage) -> range:
        """Return the positions of a run's tiles in its level, those of all planes one after the other."""
        level = self.plan.levels[key.level]
        rows = stage.tile_rows(level, key.run)
        first = key.plane * level.plane_tiles
        return range(first + rows.start * level.tiles_across, first + rows.stop * level.tiles_across)

    @cached_property
    def in_file_order(self) -> tuple[tuple[RunKey, Stage], ...]:
        """All runs, as they lie in the file: the smallest overview first."""
        by_level: dict[int, list[tuple[RunKey, Stage]]] = {level.number: [] for level in self.plan.levels}
        for group in self.stages:
            for stage in group:
                for level in stage.levels:
                    by_level[level.number] += [
                        (RunKey(level.number, plane, run), stage)
                        for plane in self.planes(stage)
                        for run in range(stage.run_count)
                    ]
        return tuple(pair for level in reversed(self.plan.levels) for pair in sorted(by_level[level.number], key=_key))

    @property
    def first_numbers(self) -> dict[RunKey, int]:
        """The number of the part that ends with a run's first bytes; its own parts have the numbers behind it.

        The part of the header has number 1. Numbers ascend in the order of the file, and no two parts share one.
        """
        return self._numbers[0]

    @property
    def part_count(self) -> int:
        """Upper bound of the numbers of parts: that of the last part."""
        return self._numbers[1]

    @cached_property
    def _numbers(self) -> tuple[dict[RunKey, int], int]:
        numbers, number, waiting_bytes = {}, 2, 0
        for key, stage in self.in_file_order:
            if stage.is_inline:
                numbers[key] = number
                continue
            most_bytes = self._most_bytes(key, stage)
            if most_bytes < 2 * self.kept_bytes:
                # Such runs wait as a whole until they are a part: between two parts lie as many bytes as one has.
                waiting_bytes += most_bytes
                numbers[key] = number + waiting_bytes // self.part_bytes
                continue
            number, waiting_bytes = self._behind(number, waiting_bytes), 0
            numbers[key] = number
            number += 1 + -(-most_bytes // self.part_bytes)
        return numbers, self._behind(number, waiting_bytes)

    def _behind(self, number: int, waiting_bytes: int) -> int:
        """Return the first number behind parts of runs that wait as a whole."""
        return number + waiting_bytes // self.part_bytes + 1 if waiting_bytes else number

    @property
    def block_count(self) -> int:
        """Number of blocks of the full resolution, of all groups of bands."""
        blocks = self.blocks
        down, across = (
            math.ceil(size / side)
            for size, side in (
                (blocks.height_px, blocks.block_height_px),
                (blocks.width_px, blocks.block_width_px),
            )
        )
        return len(self.stages) * down * across

    @property
    def run_count(self) -> int:
        """Number of tasks that gather or encode a run."""
        return sum(stage.run_count for group in self.stages for stage in group)

    @property
    def task_count(self) -> int:
        """Upper bound of the tasks that are added to those of the source, without `cut_count`.

        Where tiles are in files, each thread copies its share of them by one task more, which is not counted.
        """
        split = self.block_count * self.strips if self.strips > 1 else 0
        delivered = 0 if self.has_files else sum(not stage.is_inline for _, stage in self.in_file_order)
        return 1 + self.block_count + split + 2 * self.run_count + delivered + 2

    @property
    def worker_bytes(self) -> int:
        """Approximate memory of one task of a worker: a block with what it becomes, or a run with its parts."""
        spec, blocks = self.plan.spec, self.blocks
        bands = max(len(group[0].bands) for group in self.stages)
        block_bytes = blocks.block_height_px * blocks.block_width_px * bands * spec.dtype.itemsize
        runs_bytes = (self._run_bytes(stage) for group in self.stages for stage in group)
        return max(4 * block_bytes, *runs_bytes)

    def _run_bytes(self, stage: Stage) -> int:
        """Return the most memory of a run: all of its tiles, and those of one level and plane joined, and sent.

        Where its tiles are in files: the pixels that it passes on, in parts and joined.
        """
        if self.has_files and stage.number == 0:
            passed_px = stage.passes.width_px * (stage.run_height_px >> 2) if stage.passes is not None else 0
            return 2 * passed_px * len(stage.bands) * self.plan.spec.dtype.itemsize
        levels_bytes = [
            self._most_bytes(RunKey(level.number, plane, 0), stage)
            for level in stage.levels
            for plane in self.planes(stage)
        ]
        return sum(levels_bytes) + 2 * max(levels_bytes)

    def _most_bytes(self, key: RunKey, stage: Stage) -> int:
        return len(self.places_of(key, stage)) * self.plan.most_tile_bytes(key.level)


def _key(pair: tuple[RunKey, Stage]) -> RunKey:
    return pair[0]


def plan_cluster(plan: FilePlan, source: SourceTraits, sink: SinkTraits) -> ClusterPlan:
    """Plan the tasks of a save, with parts that the store takes.

    Raises:
        OptionError: The file may be larger than the store's largest object, or has more parts than the store takes.
    """
    groups = band_groups(plan.spec, source)
    blocks = _block_grid(plan, source.chunks, max(map(len, groups)))
    if sink.max_parts is not None and plan.least_base_bytes > MOST_OBJECT_BYTES:
        raise OptionError(
            f"the file has at least {plan.least_base_bytes} bytes, and an object in a store at most "
            f"{MOST_OBJECT_BYTES}; compress it, or save the raster in several parts"
        )
    for part_bytes, kept_bytes, run_bytes in _parts_to_try(sink):
        part_count = _least_parts(plan, part_bytes, kept_bytes)
        if sink.max_parts is not None and part_count > sink.max_parts:
            continue
        most_bytes = None if sink.is_shared_file else max(run_bytes, MOST_RUN_BYTES)
        stages = tuple(_stages(plan, bands, max(map(len, groups)), blocks, (run_bytes, most_bytes)) for bands in groups)
        found = ClusterPlan(plan, stages, blocks, part_bytes, kept_bytes, has_files=sink.is_shared_file)
        part_count = found.part_count
        if sink.max_parts is None or part_count <= sink.max_parts:
            return found
    raise OptionError(
        f"the file may have {part_count} parts, and the store takes at most {sink.max_parts}; compress it more, pass a "
        "larger BLOCKSIZE, or save the raster in several parts"
    )


def _least_parts(plan: FilePlan, part_bytes: int, kept_bytes: int) -> int:
    """Return a number of parts that is not too large, without the runs of which there may be very many."""
    planes = plan.spec.planes
    has_runs_for_parts = plan.most_base_bytes >= 2 * kept_bytes * planes
    return max(plan.most_base_bytes // part_bytes, 2 * planes if has_runs_for_parts else 0)


def _parts_to_try(sink: SinkTraits) -> Iterator[tuple[int, int, int]]:
    """Iterate over the bytes of a part, of the starts of runs that are kept, and of a run, the best ones first."""
    kept_bytes = 0 if sink.min_part_bytes <= 1 else sink.min_part_bytes
    parts_bytes = [PART_BYTES << doubled for doubled in range(_DOUBLINGS)]
    yield max(PART_BYTES, sink.min_part_bytes), kept_bytes, RUN_BYTES
    for part_bytes in (*parts_bytes, _LARGEST_BYTES):
        yield max(part_bytes, sink.min_part_bytes), kept_bytes, PARTS_OF_RUN * part_bytes
    # Very many short runs, as of a thousand bands: all of them wait on workers, to be joined to parts. A third of a
    # part is kept, so that one of joined runs may be larger by so much.
    for part_bytes in parts_bytes[:-1]:
        yield max(part_bytes, 3 * kept_bytes), max(part_bytes // 3, kept_bytes), RUN_BYTES


def band_groups(spec: ExportSpec, source: SourceTraits) -> tuple[range, ...]:
    """Return the bands that are read together: all, where a tile or a mask needs them all."""
    if spec.planes == 1 or spec.mask is not None or spec.alpha_band is not None:
        return (range(spec.count),)
    edges = tuple(range(spec.count + 1))
    if source.chunks is not None:
        edges = (*(edge for edge in source.chunks.band_edges if edge < spec.count), spec.count)
    most = max(1, GROUP_PIXEL_BYTES // spec.dtype.itemsize)
    return tuple(range(start, stop) for start, stop in pairwise(merge_edges(edges, most, 1)))


def _block_grid(plan: FilePlan, chunks: Chunks | None, bands: int) -> BlockGrid:
    """Return the blocks: whole chunks where those are whole tiles, about `BLOCK_BYTES` large."""
    level = plan.levels[0]
    pixel_bytes = bands * plan.spec.dtype.itemsize
    unit_height_px, unit_width_px = 2 * level.tile_height_px, 2 * level.tile_width_px
    height_px, width_px = unit_height_px, unit_width_px
    if chunks is not None and chunks.row_edges_px:
        height_px = _near(longest(chunks.row_edges_px), unit_height_px)
        width_px = _near(longest(chunks.column_edges_px), unit_width_px)
        while height_px * width_px * pixel_bytes > LARGE_CHUNK * BLOCK_BYTES and height_px > unit_height_px:
            height_px = _near(height_px // 2, unit_height_px)
        while height_px * width_px * pixel_bytes > LARGE_CHUNK * BLOCK_BYTES and width_px > unit_width_px:
            width_px = _near(width_px // 2, unit_width_px)
    while 4 * height_px * width_px * pixel_bytes <= BLOCK_BYTES:
        height_px, width_px = 2 * height_px, 2 * width_px
        if height_px >= level.height_px and width_px >= level.width_px:
            break
    return BlockGrid(*level.shape, height_px, width_px)


def _near(side_px: int, unit_px: int) -> int:
    return max(1, -(-side_px // unit_px)) * unit_px


def _stages(
    plan: FilePlan, bands: range, most_bands: int, blocks: BlockGrid, runs_bytes: tuple[int, int | None]
) -> tuple[Stage, ...]:
    """Return the stages of a group of bands; runs of all groups are of one height, that of the largest group.

    ``runs_bytes`` is the size of a run, and its largest; None for any.
    """
    stages = []
    pixel_bytes = most_bands * plan.spec.dtype.itemsize
    inline_bytes = INLINE_BYTES // max(1, plan.spec.count // most_bands)
    tile_px = plan.levels[0].tile_height_px * plan.levels[0].tile_width_px
    for number, first in enumerate(range(0, len(plan.levels), 2)):
        level = plan.levels[first]
        row_bytes = level.width_px * pixel_bytes
        unit_px = 2 * level.tile_height_px
        if number == 0:
            height_px = _run_height(blocks.block_height_px, unit_px, row_bytes, *runs_bytes)
        else:
            height_px = max(1, runs_bytes[0] // 2 // (row_bytes * unit_px)) * unit_px
        stages.append(
            Stage(
                number,
                bands,
                plan.levels[first : first + 2],
                height_px,
                plan.levels[first + 2] if first + 2 < len(plan.levels) else None,
                is_inline=level.plane_tiles * tile_px * pixel_bytes <= inline_bytes,
            )
        )
    return tuple(stages)


def _run_height(block_px: int, unit_px: int, row_bytes: int, run_bytes: int, most_bytes: int | None) -> int:
    """Return the rows of a run: whole rows of blocks, or an even share of one."""
    height_px = block_px
    while most_bytes is not None and height_px * row_bytes > most_bytes and height_px % (2 * unit_px) == 0:
        height_px //= 2
    return height_px if height_px < block_px else max(1, run_bytes // (row_bytes * block_px)) * block_px


def cut_count(cluster: ClusterPlan, chunks: Chunks) -> int:
    """Return an upper bound of the chunks of dask arrays of which small parts are cut for several blocks."""
    blocks, margin_px = cluster.blocks, _margin_px(cluster)
    rows = _within_one_block(chunks.row_edges_px, blocks.block_height_px, margin_px)
    columns = _within_one_block(chunks.column_edges_px, blocks.block_width_px, margin_px)
    all_rows, all_columns = len(chunks.row_edges_px) - 1, len(chunks.column_edges_px) - 1
    groups = len(cluster.stages) + len(chunks.band_edges) - 2  # a chunk that two groups share counts twice
    return groups * (all_rows * all_columns - rows * columns)


def _margin_px(cluster: ClusterPlan) -> int:
    """Return how far beyond itself a block reads the full resolution, for overviews by wide methods."""
    stage = cluster.stages[0][0]
    halvings = len(stage.levels) - 1 + (stage.passes is not None)
    return cluster.plan.reduction.margin_px * ((1 << halvings) - 1)


def _within_one_block(edges_px: tuple[int, ...], block_px: int, margin_px: int) -> int:
    """Return the number of chunks along an axis that only one block reads."""
    size_px = edges_px[-1]
    return sum(
        max(0, start - margin_px) // block_px == (min(size_px, stop + margin_px) - 1) // block_px
        for start, stop in pairwise(edges_px)
    )
