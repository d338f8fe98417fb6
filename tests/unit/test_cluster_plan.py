"""The arithmetic of a save on a cluster: blocks, runs and numbers of parts, from numbers alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from georeader import GeoTensor
from georeader._codecs.tiles import largest_tile_bytes
from georeader._core.windows import PixelWindow
from georeader._export.plan.cluster_plan import (
    INLINE_BYTES,
    MOST_OBJECT_BYTES,
    MOST_PART_BYTES,
    PART_BYTES,
    ClusterPlan,
    RunKey,
    Stage,
    band_groups,
    cut_count,
    plan_cluster,
)
from georeader._export.plan.file_plan import FilePlan, plan_file
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import resolve_spec
from georeader._export.plan.traits import Chunks, SinkTraits, SourceTraits, regular_chunks
from georeader._export.sources import open_source
from georeader._storage.urls import Destination
from georeader.errors import OptionError

MIB = 2**20

#: Traits of the stores: Amazon S3, Azure's block blobs, and a shared folder.
S3 = SinkTraits(out_of_order_parts=True, min_part_bytes=5 * MIB, max_parts=10_000)
AZURE = SinkTraits(out_of_order_parts=True, max_parts=50_000)
FOLDER = SinkTraits()


def file_plan(
    shape: tuple[int, int, int], dtype: str = "uint16", *, has_mask: bool = False, **options: Any
) -> FilePlan:
    """Plan a file; its pixels take no memory."""
    pixels = np.broadcast_to(np.zeros((), dtype), shape)
    attrs = {"mask": np.broadcast_to(np.True_, shape[1:])} if has_mask else {}
    tensor = GeoTensor(pixels, Affine(1, 0, 0, 0, -1, 0), "EPSG:3857", fill_value_default=None, attrs=attrs)
    request = SaveRequest.parse(
        "cog",
        Destination("out.tif"),
        default_profile={"compress": "zstd", "BLOCKSIZE": 256},
        profile_arg=options if options.get("compress") in ("jpeg", "none") else {"predictor": 1} | options,
    )
    return plan_file(resolve_spec(open_source(tensor).spec, request))


def cluster_plan(plan: FilePlan, chunk: tuple[int, int, int] | None = None, sink: SinkTraits = S3) -> ClusterPlan:
    """Plan the tasks for a source with chunks of one size, or with none."""
    chunks = None if chunk is None else regular_chunks(plan.spec.shape, chunk)
    return plan_cluster(plan, SourceTraits(chunks=chunks), sink)


#: (shape, dtype, options of the file, chunk) of 10^12 samples.
HUGE: list[tuple[tuple[int, int, int], str, dict[str, Any], tuple[int, int, int]]] = [
    ((1, 1_000_000, 1_000_000), "uint8", {}, (1, 4096, 4096)),
    ((1, 1_000_000, 1_000_000), "uint16", {}, (1, 4096, 4096)),
    ((1, 1_000_000, 1_000_000), "uint16", {"compress": "lzw"}, (1, 1024, 16384)),
    ((1, 1_000_000, 1_000_000), "float64", {}, (1, 2048, 2048)),
    ((1, 1_000_000, 1_000_000), "complex128", {}, (1, 4096, 4096)),
    ((1, 1_000_000, 1_000_000), "uint16", {"BLOCKSIZE": 4096}, (1, 4096, 4096)),
    ((1, 1_000, 1_000_000_000), "uint8", {}, (1, 1_000, 4096)),
    ((1, 1_000_000_000, 1_000), "uint8", {}, (1, 4096, 1_000)),
    ((3, 577_000, 577_000), "uint8", {"compress": "jpeg"}, (3, 4096, 4096)),
    ((4, 500_000, 500_000), "uint16", {"INTERLEAVE": "BAND"}, (1, 4096, 4096)),
    ((100, 100_000, 100_000), "uint8", {"INTERLEAVE": "BAND"}, (1, 4096, 4096)),
    ((100, 100_000, 100_000), "float32", {"INTERLEAVE": "PIXEL", "BLOCKSIZE": 128}, (100, 1024, 1024)),
    ((2_500, 20_000, 20_000), "uint8", {"INTERLEAVE": "BAND", "OVERVIEW_COUNT": 2}, (1, 4096, 4096)),
    ((10_000, 10_000, 10_000), "uint8", {"INTERLEAVE": "BAND", "OVERVIEWS": "NONE"}, (1, 4096, 4096)),
]
HUGE_IDS = [f"{shape}-{dtype}-{options}" for shape, dtype, options, _ in HUGE]

#: Rasters of a few tiles, in any arrangement of bands, tiles, overviews and chunks.
SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 9_000), st.integers(17, 9_000))
OPTIONS = st.fixed_dictionaries({
    "INTERLEAVE": st.sampled_from(["PIXEL", "BAND"]),
    "BLOCKSIZE": st.sampled_from([64, 256, 512]),
    "compress": st.sampled_from(["zstd", "lzw", "none"]),
})  # fmt: skip
CHUNKS = st.none() | st.tuples(st.integers(1, 8), st.integers(100, 9_000), st.integers(100, 9_000))
SINKS = st.sampled_from([S3, AZURE, FOLDER])
DTYPES = st.sampled_from(["uint8", "int16", "float32", "complex128"])


@st.composite
def cluster_plans(draw: st.DrawFn) -> ClusterPlan:
    """Return plans of any file, source and sink."""
    plan = file_plan(draw(SHAPES), draw(DTYPES), has_mask=draw(st.booleans()), **draw(OPTIONS))
    return cluster_plan(plan, draw(CHUNKS), draw(SINKS))


def stored_runs(cluster: ClusterPlan) -> list[tuple[RunKey, Stage]]:
    """Return the runs whose tiles do not pass through the client, as they lie in the file."""
    return [(key, stage) for key, stage in cluster.in_file_order if not stage.is_inline]


def most_bytes(cluster: ClusterPlan, key: RunKey, stage: Stage) -> int:
    """Return the most bytes of a run."""
    return len(cluster.places_of(key, stage)) * cluster.plan.most_tile_bytes(key.level)


def sent_numbers(cluster: ClusterPlan, sizes_bytes: list[int]) -> list[int]:
    """Return the numbers of the parts that are sent for runs of these sizes, in the order of the file.

    Workers send a run that is long enough but for its start, which is sent with the short runs before it
    (`PartsTarget`, `PartsDelivery`). The part of the header comes first.
    """
    kept_bytes, numbers, waiting_bytes, is_first = cluster.kept_bytes, [1], 0, True
    for (key, _), size_bytes in zip(stored_runs(cluster), sizes_bytes, strict=True):
        number = cluster.first_numbers[key]
        is_long = size_bytes >= max(1, 2 * kept_bytes)
        waiting_bytes += kept_bytes if is_long else size_bytes
        if is_long or waiting_bytes >= cluster.part_bytes:
            numbers += [number] if waiting_bytes and not is_first else []
            waiting_bytes, is_first = 0, False
        if is_long:
            count = max(1, math.ceil((size_bytes - kept_bytes) / cluster.part_bytes))
            numbers += range(number + 1, number + 1 + count)
    return [*numbers, cluster.part_count] if waiting_bytes and not is_first else numbers


class TestParts:
    @pytest.mark.parametrize("sink", [S3, AZURE], ids=["s3", "azure"])
    @pytest.mark.parametrize(("shape", "dtype", "options", "chunk"), HUGE, ids=HUGE_IDS)
    def test_parts_of_a_million_million_samples_are_few_and_small_enough(
        self,
        shape: tuple[int, int, int],
        dtype: str,
        options: dict[str, Any],
        chunk: tuple[int, int, int],
        sink: SinkTraits,
    ) -> None:
        cluster = cluster_plan(file_plan(shape, dtype, **options), chunk, sink)

        numbers = sent_numbers(cluster, [most_bytes(cluster, *run) for run in stored_runs(cluster)])
        assert all(one < other for one, other in pairwise(numbers))
        assert numbers[-1] <= cluster.part_count <= (sink.max_parts or 0)
        assert cluster.part_bytes >= sink.min_part_bytes
        assert cluster.kept_bytes >= (5 * MIB if sink is S3 else 0)
        assert cluster.part_bytes + 2 * cluster.kept_bytes <= MOST_PART_BYTES

    @settings(max_examples=60)
    @given(cluster_plans(), st.data())
    def test_numbers_ascend_and_never_collide_for_runs_of_any_size(
        self, cluster: ClusterPlan, data: st.DataObject
    ) -> None:
        shares = st.sampled_from([0.0, 0.1, 0.5, 1.0])
        sizes_bytes = [int(data.draw(shares) * most_bytes(cluster, *run)) for run in stored_runs(cluster)[:40]]
        sizes_bytes += [most_bytes(cluster, *run) for run in stored_runs(cluster)[40:]]

        numbers = sent_numbers(cluster, sizes_bytes)
        assert all(one < other for one, other in pairwise(numbers))
        assert numbers[-1] <= cluster.part_count

    def test_short_runs_share_numbers_where_many_are_joined_to_one_part(self) -> None:
        cluster = cluster_plan(file_plan((50, 3_000, 3_000), "uint8", INTERLEAVE="BAND"), (1, 512, 512))

        short = [key for key, stage in stored_runs(cluster) if most_bytes(cluster, key, stage) < 2 * cluster.kept_bytes]
        assert len(short) > 50
        assert cluster.part_count < len(short) / 2

    def test_parts_grow_only_where_there_would_be_too_many(self) -> None:
        small, large = file_plan((1, 20_000, 20_000)), file_plan((1, 400_000, 400_000))

        assert cluster_plan(small).part_bytes == PART_BYTES
        assert cluster_plan(large).part_bytes > PART_BYTES
        assert cluster_plan(large, sink=FOLDER).part_bytes == PART_BYTES

    @pytest.mark.parametrize("sink", [S3, AZURE], ids=["s3", "azure"])
    def test_object_that_must_be_larger_than_5_tib_is_refused(self, sink: SinkTraits) -> None:
        plan = file_plan((1, 1_000_000, 1_000_000), "float64", compress="none")

        assert plan.least_base_bytes > MOST_OBJECT_BYTES
        with pytest.raises(OptionError, match="an object in a store at most 5497558138880; compress it"):
            cluster_plan(plan, sink=sink)

    def test_file_that_must_be_larger_than_5_tib_goes_to_a_folder(self) -> None:
        plan = file_plan((1, 1_000_000, 1_000_000), "float64", compress="none")

        assert cluster_plan(plan, sink=FOLDER).part_bytes == PART_BYTES

    @pytest.mark.parametrize(
        ("shape", "dtype", "options", "sink"),
        [
            ((1, 1_000_000, 1_000_000), "complex128", {"compress": "lzw"}, S3),
            ((1, 2_500_000, 2_500_000), "float64", {}, S3),
            ((1, 6_000_000, 6_000_000), "float64", {}, AZURE),
        ],
    )
    def test_more_parts_than_the_store_takes_are_refused(
        self, shape: tuple[int, int, int], dtype: str, options: dict[str, Any], sink: SinkTraits
    ) -> None:
        plan = file_plan(shape, dtype, **options)

        with pytest.raises(OptionError, match=rf"may have \d+ parts, and the store takes at most {sink.max_parts};"):
            cluster_plan(plan, (1, 4096, 4096), sink)


class TestRuns:
    @settings(max_examples=60)
    @given(cluster_plans())
    def test_runs_cover_each_tile_of_each_level_once_in_the_order_of_the_file(self, cluster: ClusterPlan) -> None:
        covered: list[tuple[int, int]] = []
        for key, stage in cluster.in_file_order:
            covered += [(key.level, place) for place in cluster.places_of(key, stage)]

        plan = cluster.plan
        expected = [(level.number, place) for level in reversed(plan.levels) for place in range(plan.positions(level))]
        assert covered == expected

    @settings(max_examples=60)
    @given(cluster_plans())
    def test_blocks_of_a_run_are_those_that_share_pixels_with_it(self, cluster: ClusterPlan) -> None:
        blocks = cluster.blocks
        for group in cluster.stages:
            stage = group[0]
            for block in blocks.touched(blocks.whole):
                window = blocks.window(block)
                runs = [run for run in range(stage.run_count) if min(stage.window(run).intersection(window).shape) > 0]
                assert list(stage.runs_of(window)) == runs
                for run in runs:
                    assert block in set(blocks.touched(stage.window(run)))

    @settings(max_examples=60)
    @given(cluster_plans())
    def test_tiles_of_overviews_are_of_one_block_where_blocks_are_whole_tiles_twice(self, cluster: ClusterPlan) -> None:
        level, blocks = cluster.plan.levels[0], cluster.blocks

        assert blocks.block_height_px % (2 * level.tile_height_px) == 0
        assert blocks.block_width_px % (2 * level.tile_width_px) == 0
        for group in cluster.stages:
            assert all(stage.run_height_px % (2 * level.tile_height_px) == 0 for stage in group)

    @pytest.mark.parametrize("width_px", [20_000, 60_000, 200_000])
    def test_block_belongs_to_as_many_runs_as_it_has_strips(self, width_px: int) -> None:
        cluster = cluster_plan(file_plan((1, 20_000, width_px), "float32"), (1, 4096, 4096))
        blocks = cluster.blocks

        counts = {len(cluster.stages[0][0].runs_of(blocks.window((row, 0)))) for row in range(4)}
        assert counts == {cluster.strips}
        assert (cluster.strips > 1) == (width_px > 40_000)

    def test_groups_of_fewer_bands_have_as_many_strips_as_the_largest_group(self) -> None:
        plan = file_plan((9, 20_000, 20_000), "uint8", INTERLEAVE="BAND")
        chunks = replace(regular_chunks(plan.spec.shape, (9, 4096, 4096)), band_edges=(0, 1, 9))
        cluster = plan_cluster(plan, SourceTraits(chunks=chunks), FOLDER)

        window = PixelWindow(0, 4096, 0, 4096)
        assert [len(group[0].bands) for group in cluster.stages] == [1, 8]
        assert {len(group[0].runs_of(window)) for group in cluster.stages} == {cluster.strips}
        assert cluster.strips > 1

    @settings(max_examples=60)
    @given(cluster_plans())
    def test_tiles_that_pass_through_the_client_are_the_first_of_the_file_and_few(self, cluster: ClusterPlan) -> None:
        is_inline = [stage.is_inline for _, stage in cluster.in_file_order]
        inline_bytes = sum(most_bytes(cluster, *run) for run in cluster.in_file_order if run[1].is_inline)

        assert is_inline == sorted(is_inline, reverse=True)
        assert inline_bytes <= 16 * INLINE_BYTES

    @pytest.mark.parametrize(
        ("edges", "dtype", "interleave", "groups"),
        [
            ((0, 4), "uint16", "PIXEL", [4]),
            ((0, 1, 2, 3, 4), "uint16", "BAND", [4]),
            ((0, 1, 2, 3, 4), "float64", "BAND", [1, 1, 1, 1]),
            ((0, 3, 4), "uint16", "BAND", [4]),
            ((0, 3, 4), "float32", "BAND", [3, 1]),
        ],
    )
    def test_bands_are_grouped_by_chunks_and_bytes(
        self, edges: tuple[int, ...], dtype: str, interleave: str, groups: list[int]
    ) -> None:
        plan = file_plan((4, 600, 600), dtype, INTERLEAVE=interleave)

        found = band_groups(plan.spec, SourceTraits(chunks=Chunks(edges, (0, 600), (0, 600))))
        assert list(map(len, found)) == groups


class TestBounds:
    @settings(max_examples=60)
    @given(cluster_plans())
    def test_bytes_of_all_runs_are_within_the_bound_of_the_file(self, cluster: ClusterPlan) -> None:
        plan = cluster.plan
        raw_bytes = sum(
            len(cluster.places_of(key, stage)) * largest_tile_bytes(plan.spec.encoding.codec, plan.spec.tile_bytes)
            for key, stage in cluster.in_file_order
            if key.plane < plan.spec.planes
        )

        assert raw_bytes <= plan.most_base_bytes + plan.most_head_bytes
        assert plan.least_base_bytes <= plan.most_base_bytes

    @settings(max_examples=60)
    @given(cluster_plans())
    def test_counts_of_tasks_are_those_of_blocks_and_runs(self, cluster: ClusterPlan) -> None:
        blocks = Counter(len(list(cluster.blocks.touched(cluster.blocks.whole))) for _ in cluster.stages)
        runs = len({(stage.bands, stage.number, key.run) for key, stage in cluster.in_file_order})

        assert cluster.block_count == sum(size * times for size, times in blocks.items())
        assert cluster.run_count == runs
        assert cluster.task_count >= cluster.block_count + 2 * runs + len(stored_runs(cluster))

    def test_memory_of_a_worker_is_that_of_a_block_or_of_a_run_of_all_planes(self) -> None:
        narrow = cluster_plan(file_plan((1, 4_000, 4_000), "uint16", OVERVIEWS="NONE"), (1, 4096, 4096))
        planes = cluster_plan(file_plan((4, 20_000, 60_000), "uint16", INTERLEAVE="BAND"), (4, 2048, 2048))

        first_runs = [run for run in planes.in_file_order if run[0].level <= 1 and run[0].run == 0]
        run_bytes = sum(most_bytes(planes, *run) for run in first_runs)
        assert narrow.worker_bytes >= 4 * 4096 * 4096 * 2
        assert planes.worker_bytes >= run_bytes


class TestCuts:
    @pytest.mark.parametrize(
        ("chunk_px", "resampling", "expected"),
        [(2048, "AVERAGE", 0), (1024, "AVERAGE", 0), (2048, "CUBIC", 10 * 10), (1000, "AVERAGE", 9 * 21 * 2 - 9 * 9)],
    )
    def test_chunks_at_the_edges_of_blocks_are_cut(self, chunk_px: int, resampling: str, expected: int) -> None:
        plan = file_plan((1, 20_480, 20_480), RESAMPLING=resampling)
        chunks = regular_chunks(plan.spec.shape, (1, chunk_px, chunk_px))
        cluster = plan_cluster(plan, SourceTraits(chunks=chunks), S3)

        assert cluster.blocks.block_height_px == 2048
        assert cut_count(cluster, chunks) == expected
