"""The order of work and what it may hold: one pure function, by tables and properties."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from georeader import GeoTensor
from georeader._export.plan.grid import longest, merge_edges, split_edges
from georeader._export.plan.order_of_work import ANY_PLACE, Order, Work, order_of_work, plan_work
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import resolve_spec
from georeader._export.plan.spec import ExportSpec
from georeader._export.plan.traits import Chunks, SinkTraits, SourceTraits, free_windows, regular_chunks
from georeader._export.sources import open_source
from georeader._storage.urls import Destination
from georeader.errors import OptionError

MIB = 2**20


def a_spec(shape: tuple[int, int, int], dtype: str = "uint16", kind: str = "cog", **profile_arg: Any) -> ExportSpec:
    """Describe a file; its pixels take no memory."""
    pixels = np.broadcast_to(np.zeros((), dtype), shape)
    source = open_source(GeoTensor(pixels, Affine(1, 0, 0, 0, -1, 0), "EPSG:3857", fill_value_default=None))
    request = SaveRequest.parse(
        kind,
        Destination("out.tif"),
        default_profile={"compress": "lzw", "BLOCKSIZE": 256},
        profile_arg={"predictor": 1} | profile_arg,
    )
    return resolve_spec(source.spec, request)


def stored(chunks: Chunks | None = None, **traits: Any) -> SourceTraits:
    return SourceTraits(**{"is_in_memory": False, "chunks": chunks, "concurrent_reads": 4, "pixel_bytes": 2} | traits)


def work(
    spec: ExportSpec, source: SourceTraits, limit_mib: float = 512, threads: int = 4, *, is_firm: bool = True
) -> Work:
    return plan_work(spec, source, threads=threads, max_memory_bytes=int(limit_mib * MIB), is_limit_firm=is_firm)


PARTS = SinkTraits(out_of_order_parts=True, min_part_bytes=5 * MIB, max_parts=10_000)


class TestOrder:
    @pytest.mark.parametrize(
        ("is_in_memory", "reads_twice", "sink", "order"),
        [
            (True, True, ANY_PLACE, Order.PYRAMID_FIRST),
            (True, False, ANY_PLACE, Order.PYRAMID_FIRST),
            (False, True, ANY_PLACE, Order.SPOOL_BASE),
            (False, False, ANY_PLACE, Order.IN_FILE_ORDER),
            (True, True, PARTS, Order.PYRAMID_FIRST),
            (True, False, PARTS, Order.PYRAMID_FIRST),
            (False, True, PARTS, Order.SEND_BASE),
            (False, False, PARTS, Order.IN_FILE_ORDER),
        ],
    )
    def test_order_depends_on_source_overviews_and_sink(
        self, is_in_memory: bool, reads_twice: bool, sink: SinkTraits, order: Order
    ) -> None:
        assert order_of_work(is_in_memory=is_in_memory, reads_twice=reads_twice, sink=sink) is order

    @pytest.mark.parametrize(
        ("shape", "kind", "profile_arg", "order"),
        [
            ((1, 2000, 2000), "cog", {}, Order.SPOOL_BASE),
            ((1, 200, 200), "cog", {}, Order.IN_FILE_ORDER),
            ((1, 2000, 2000), "cog", {"OVERVIEWS": "NONE"}, Order.IN_FILE_ORDER),
            ((1, 2000, 2000), "tiled", {}, Order.IN_FILE_ORDER),
            ((1, 200, 200), "cog", {"STATISTICS": "YES"}, Order.SPOOL_BASE),
        ],
        ids=str,
    )
    def test_full_resolution_waits_only_for_overviews_or_statistics(
        self, shape: tuple[int, int, int], kind: str, profile_arg: dict[str, Any], order: Order
    ) -> None:
        assert work(a_spec(shape, kind=kind, **profile_arg), stored()).order is order


class TestWindows:
    @pytest.mark.parametrize(
        ("chunk", "rows", "columns"),
        [
            ((1, 256, 256), 512, 2048),
            ((1, 512, 512), 512, 2048),
            ((1, 1, 20_000), 512, 20_000),
            ((1, 2048, 2048), 2048, 2048),
            ((1, 100, 100), 500, 2000),
        ],
        ids=str,
    )
    def test_windows_are_whole_chunks_about_as_large_as_a_block(
        self, chunk: tuple[int, int, int], rows: int, columns: int
    ) -> None:
        shape = (1, 20_000, 20_000)
        found = work(a_spec(shape), stored(regular_chunks(shape, chunk)))

        assert longest(found.row_edges_px) == rows
        assert longest(found.column_edges_px) == columns
        assert set(found.row_edges_px) <= set(regular_chunks(shape, chunk).row_edges_px)

    def test_chunk_is_read_in_whole_tiles_if_memory_is_small(self) -> None:
        shape = (1, 20_000, 20_000)
        found = work(a_spec(shape), stored(regular_chunks(shape, shape)), limit_mib=64)

        assert longest(found.row_edges_px) < 20_000
        assert all(edge % 256 == 0 for edge in found.row_edges_px[:-1])

    @pytest.mark.parametrize(
        ("dtype", "chunk_bands", "groups"),
        [("uint8", 1, 8), ("uint16", 1, 4), ("float64", 1, 1), ("uint16", 3, 3), ("uint16", 285, 285)],
    )
    def test_separate_bands_are_read_in_groups_of_whole_chunks(self, dtype: str, chunk_bands: int, groups: int) -> None:
        shape = (285, 600, 600)
        source = stored(regular_chunks(shape, (chunk_bands, 64, 600)), pixel_bytes=np.dtype(dtype).itemsize)
        found = work(a_spec(shape, dtype, INTERLEAVE="BAND"), source, 2048)

        assert max(map(len, found.band_groups)) == groups
        assert [band for group in found.band_groups for band in group] == list(range(285))

    def test_bands_of_one_chunk_form_several_blocks_if_band_interleaved(self) -> None:
        found = work(a_spec((285, 9000, 9000), INTERLEAVE="BAND"), stored(free_windows(285)))

        assert found.band_groups == (range(285),)
        assert found.block_bands == 4
        window_px = longest(found.row_edges_px) * longest(found.column_edges_px)
        assert window_px * 285 * 2 < 200 * MIB

    def test_bands_are_read_together_if_pixel_interleaved(self) -> None:
        assert work(a_spec((13, 600, 600)), stored()).band_groups == (range(13),)

    @given(st.sets(st.integers(1, 999), max_size=30), st.integers(1, 1200), st.integers(1, 300))
    def test_merged_edges_are_chunk_edges_within_the_limit(self, inner: set[int], most: int, align: int) -> None:
        edges = (0, *sorted(inner), 1000)
        merged = merge_edges(edges, most, align)

        assert set(merged) <= set(edges)
        assert (merged[0], merged[-1]) == (0, 1000)
        assert all(stop - start <= most or edges[edges.index(start) + 1] == stop for start, stop in pairwise(merged))

    @given(st.sets(st.integers(1, 999), max_size=30), st.integers(1, 1200), st.integers(1, 300))
    def test_split_edges_are_within_the_limit(self, inner: set[int], most: int, align: int) -> None:
        edges = (0, *sorted(inner), 1000)
        cut = split_edges(edges, most, align)

        assert set(edges) <= set(cut)
        assert list(cut) == sorted(set(cut))
        assert longest(cut) <= most


class TestMemory:
    @settings(deadline=None)
    @given(
        limit_mib=st.integers(8, 2048),
        tile_px=st.sampled_from([16, 64, 256, 512, 2048]),
        count=st.integers(1, 300),
        chunk_px=st.sampled_from([1, 64, 512, 5000]),
        threads=st.integers(1, 32),
        interleave=st.sampled_from(["PIXEL", "BAND"]),
    )
    def test_planned_memory_is_within_the_limit_or_refused(
        self, limit_mib: int, tile_px: int, count: int, chunk_px: int, threads: int, interleave: str
    ) -> None:
        shape = (count, 20_000, 20_000)
        plan = a_spec(shape, BLOCKSIZE=tile_px, INTERLEAVE=interleave)
        try:
            found = work(plan, stored(regular_chunks(shape, (1, chunk_px, chunk_px))), limit_mib, threads)
        except OptionError:
            return
        window_bytes = longest(found.row_edges_px) * longest(found.column_edges_px)
        window_bytes *= max(map(len, found.band_groups)) * 2

        held_bytes = found.held_pixels_bytes + found.held_tiles_bytes
        assert found.in_flight_bytes + window_bytes * (found.readers + 1) + held_bytes <= limit_mib * MIB
        assert 1 <= found.threads <= threads

    def test_blocks_shrink_before_threads_if_memory_is_small(self) -> None:
        plan = a_spec((4, 20_000, 20_000))
        plans = [work(plan, stored(), limit) for limit in (2048, 128, 64, 24)]

        areas = [each.block_height_px * each.block_width_px for each in plans]
        assert areas == sorted(areas, reverse=True)
        assert [each.threads for each in plans[:2]] == [4, 4]
        assert plans[-1].threads < 4

    def test_refused_limit_names_a_sufficient_one(self) -> None:
        plan = a_spec((285, 9000, 9000), "float32")
        with pytest.raises(OptionError, match="pass at least") as caught:
            work(plan, stored(pixel_bytes=4), 32)
        needed_bytes = int(str(caught.value).split("pass at least ")[1].split(",")[0])

        assert work(plan, stored(pixel_bytes=4), needed_bytes / MIB).threads == 1
        with pytest.raises(OptionError):
            work(plan, stored(pixel_bytes=4), 0.9 * needed_bytes / MIB)

    def test_plan_is_fast_for_many_threads_and_strips(self) -> None:
        """160,000 strips, 64 threads and little memory: each window is thought of once, not once for each crew."""
        shape = (4, 160_000, 20_000)
        plan, source = a_spec(shape), stored(regular_chunks(shape, (4, 1, 20_000)))
        begun = time.process_time()

        found = work(plan, source, 40, threads=64)

        assert time.process_time() - begun < 5
        assert found.threads == 1

    def test_default_limit_is_exceeded_if_a_tile_needs_more(self) -> None:
        plan = a_spec((285, 9000, 9000), "float32")

        assert work(plan, stored(pixel_bytes=4), 32, is_firm=False).threads == 1
