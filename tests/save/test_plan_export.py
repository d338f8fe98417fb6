"""plan_export: a dry run whose numbers are those of the save, and which computes, requests and writes nothing."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from georeader import ExportPlan, GeoTensor, RasterioReader, plan_export, save_cog, save_tiled_geotiff
from georeader._export.sources.warped import WarpedSource
from georeader.errors import (
    DestinationError,
    DtypeError,
    ExistsError,
    GeoreaderError,
    MissingExtraError,
    NodataError,
    NotSupportedError,
    OptionError,
)

MakeTensor = Callable[..., GeoTensor]

PLACE = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:32630"}


class Lazy:
    """A dask-backed raster of the GeoData protocol."""

    def __init__(self, values: Any) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.dims = ("band", "y", "x")[-values.ndim :]
        self.transform, self.crs, self.fill_value_default, self.attrs = PLACE["transform"], PLACE["crs"], None, {}


def chunked(shape: tuple[int, ...], chunks: Any = 4096, dtype: str = "uint16") -> Lazy:
    """Return a raster whose chunks raise an error when they are computed."""
    array = pytest.importorskip("dask.array")
    return Lazy(
        array.zeros(shape, chunks=chunks, dtype=dtype).map_blocks(_computed, dtype=dtype, meta=np.empty(0, dtype))
    )


def _computed(_: Any) -> Any:
    raise AssertionError("a chunk was computed")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections and name look-ups, and remove credentials."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a dry run made a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
    ):
        monkeypatch.delenv(name, raising=False)


class TestNumbers:
    @pytest.mark.parametrize(
        ("compress", "interleave"),
        [("jpeg", "PIXEL"), *((codec, order) for codec in ("none", "lzw", "zstd") for order in ("PIXEL", "BAND"))],
    )
    @pytest.mark.parametrize("has_mask", [False, True])
    def test_levels_tiles_and_bounds_are_those_of_the_file(
        self, interleave: str, compress: str, has_mask: bool, make_tensor: MakeTensor, tmp_path: Path
    ) -> None:
        attrs = {"mask": np.arange(700 * 601).reshape(700, 601) % 7 > 0} if has_mask else {}
        tensor = make_tensor((3, 700, 601), "uint8", attrs=attrs)
        options: Any = {"compress": compress, "INTERLEAVE": interleave, "BLOCKSIZE": 128}

        plan = plan_export(tensor, tmp_path / "out.tif", profile_arg=options)
        receipt = save_cog(tensor, tmp_path / "out.tif", profile_arg=options)

        planned = [(level.factor, level.width_px, level.height_px, level.tile_count) for level in plan.levels]
        assert planned == [(one.factor, one.width_px, one.height_px, one.tile_count) for one in receipt.levels]
        assert plan.most_bytes is not None
        assert (plan.least_bytes or 0) <= receipt.size_bytes <= plan.most_bytes
        assert (plan.least_bytes is not None) == (compress == "none")
        assert (plan.shape, plan.dtype, plan.engine) == ((3, 700, 601), "uint8", "stream")

    @pytest.mark.parametrize(
        ("options", "kind", "expected"),
        [
            ({}, "cog", "no"),
            ({"BIGTIFF": "YES"}, "cog", "yes"),
            ({"BIGTIFF": "YES"}, "tiled", "yes"),
            ({"BIGTIFF": "NO"}, "cog", "no"),
        ],
    )
    def test_bigtiff_is_that_of_the_file(
        self, options: Any, kind: str, expected: str, make_tensor: MakeTensor, tmp_path: Path
    ) -> None:
        save = save_cog if kind == "cog" else save_tiled_geotiff
        tensor = make_tensor((1, 300, 300))

        plan = plan_export(tensor, tmp_path / "out.tif", kind=kind, profile_arg=options)
        save(tensor, tmp_path / "out.tif", profile_arg=options)

        assert plan.bigtiff == expected
        assert (tmp_path / "out.tif").read_bytes()[2] == (43 if expected == "yes" else 42)

    @pytest.mark.parametrize(
        ("compress", "side_px", "expected"),
        [("zstd", 100_000, "depends on the size"), ("none", 100_000, "yes"), ("none", 10_000, "no")],
    )
    def test_bigtiff_depends_on_the_size_where_only_a_bound_is_known(
        self, compress: str, side_px: int, expected: str
    ) -> None:
        plan = plan_export(chunked((side_px, side_px)), "out.tif", profile_arg={"compress": compress})

        assert plan.bigtiff == expected

    def test_predictor_that_the_save_chooses_from_pixels_stays_auto(self, make_tensor: MakeTensor) -> None:
        tensor = make_tensor((1, 300, 300))

        chosen = plan_export(tensor, "out.tif", profile_arg={"compress": "zstd"})
        passed = plan_export(tensor, "out.tif", profile_arg={"compress": "zstd", "predictor": 2})
        without = plan_export(tensor, "out.tif", profile_arg={"compress": "packbits"})

        assert [plan.predictor for plan in (chosen, passed, without)] == ["AUTO", "STANDARD", "NO"]
        assert "predictor auto (from pixels)" in str(chosen)

    def test_memory_of_a_stream_is_within_the_limit(self, tmp_path: Path, make_tensor: MakeTensor) -> None:
        save_tiled_geotiff(make_tensor((1, 900, 900)), tmp_path / "in.tif")

        small, large = (
            plan_export(str(tmp_path / "in.tif"), tmp_path / "out.tif", max_memory=limit) for limit in ("48MiB", "1GiB")
        )

        assert 0 < small.memory_bytes <= 48 * 2**20 < large.memory_bytes <= 2**30

    def test_size_of_a_raster_that_gdals_engine_warps_is_not_known(self, make_tensor: MakeTensor) -> None:
        profile: Any = {"TILING_SCHEME": "GoogleMapsCompatible"}

        plan = plan_export(make_tensor((1, 300, 300)), "out.tif", engine="gdal", profile_arg=profile)

        assert (plan.engine, plan.levels, plan.most_bytes) == ("gdal", (), None)
        assert "not known before GDAL has warped it" in str(plan)

    def test_parts_of_a_stream_are_those_that_the_store_takes(self, no_network: None) -> None:
        plan = plan_export(chunked((400_000, 400_000)), "s3://bucket/out.tif", client=False)

        assert plan.engine == "stream"
        assert plan.part_count is not None
        assert plan.part_bytes is not None
        assert plan.part_count <= 10_000
        assert plan.part_bytes >= 5 * 2**20


def test_plan_of_a_warp_locates_few_blocks_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    located, part = [], WarpedSource._part
    monkeypatch.setattr(WarpedSource, "_part", lambda self, window: located.append(window) or part(self, window))

    plan = plan_export(chunked((100_000, 100_000)), "out.tif", profile_arg={"TILING_SCHEME": "GoogleMapsCompatible"})

    assert plan.shape[1] > 90_000
    assert 1 <= len(located) <= 25


class TestClusters:
    @pytest.mark.parametrize(
        ("destination", "route", "has_parts"),
        [
            ("s3://bucket/out.tif", "parts", True),
            ("az://container/out.tif", "parts", True),
            ("gs://bucket/out.tif", "uploader", False),
            ("https://server.invalid/out.tif", "uploader", False),
            ("memory://out.tif", "uploader", False),
            ("out.tif", "files", False),
        ],
    )
    def test_route_of_the_bytes_depends_on_the_destination(
        self, destination: str, route: str, has_parts: bool, no_network: None
    ) -> None:
        plan = plan_export(chunked((20_000, 20_000)), destination, workers=4)

        assert plan.engine == "cluster"
        assert plan.cluster is not None
        assert (plan.cluster.route, plan.cluster.workers) == (route, 4)
        assert (plan.part_count is not None) == has_parts

    @pytest.mark.parametrize(
        ("shape", "chunks", "options"),
        [
            ((65_536, 65_536), 1024, {}),
            ((65_536, 65_536), 4096, {}),
            ((32_768, 65_536), 1000, {}),
            ((65_536, 65_536), 4096, {"RESAMPLING": "CUBIC"}),
            ((100_000, 100_000), (1024, 16_384), {}),
            ((4, 20_000, 40_000), (1, 4096, 4096), {"INTERLEAVE": "BAND"}),
        ],
    )
    def test_tasks_and_bytes_of_the_graph_bound_and_approximate_those_of_the_save(
        self, shape: tuple[int, ...], chunks: Any, options: Any
    ) -> None:
        raster = chunked(shape, chunks)
        plan = plan_export(raster, "out.tif", profile_arg={"compress": "zstd", "predictor": 1, **options}, workers=2)

        cluster, (count, size_bytes) = plan.cluster, graph_of_save(raster, options)
        assert cluster is not None
        assert count <= cluster.task_count <= 2 * count + 50
        assert size_bytes / 2 <= cluster.graph_bytes <= 2.5 * size_bytes
        assert cluster.source_chunk_count == np.prod([len(axis) for axis in raster.values.chunks])
        assert cluster.source_task_count == len(raster.values.__dask_graph__())

    def test_current_or_passed_client_plans_for_its_workers(self, cluster: Any) -> None:
        client = cluster(2)

        planned = plan_export(chunked((9_000, 9_000)), "out.tif", client=client)
        without = plan_export(chunked((9_000, 9_000)), "out.tif", client=False)

        assert planned.cluster is not None
        assert planned.cluster.workers == 2
        assert without.cluster is None

    def test_file_is_planned_for_workers_that_open_it(self, make_tensor: MakeTensor, tmp_path: Path) -> None:
        save_cog(make_tensor((1, 600, 600)), tmp_path / "in.tif")

        plan = plan_export(RasterioReader(str(tmp_path / "in.tif")), tmp_path / "out.tif", workers=3)

        assert plan.cluster is not None
        assert (plan.cluster.source_task_count, plan.cluster.tasks_per_chunk) == (0, None)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({"workers": 0}, "workers=0 is not a number of workers"),
            ({"workers": True}, "workers=True is not a number of workers"),
            ({"workers": "4"}, "workers='4' is not a number of workers"),
            ({"workers": 2, "client": False}, "workers and client exclude each other"),
            ({"workers": 2, "engine": "gdal"}, "leave out workers"),
            ({"kind": "png"}, "kind='png' is unknown; allowed: cog, tiled"),
        ],
    )
    def test_arguments_that_contradict_are_refused(self, arguments: dict[str, Any], expected: str) -> None:
        with pytest.raises(OptionError, match=expected):
            plan_export(chunked((600, 600)), "out.tif", **arguments)

    def test_pixels_in_memory_are_refused_for_workers(self, make_tensor: MakeTensor) -> None:
        with pytest.raises(OptionError, match="workers goes with arrays of dask, paths and RasterioReaders"):
            plan_export(make_tensor(), "out.tif", workers=2)

    def test_object_that_must_be_too_large_for_a_store_is_refused(self, no_network: None) -> None:
        huge = chunked((1_000_000, 1_000_000), dtype="float64")

        with pytest.raises(OptionError, match="an object in a store at most 5497558138880"):
            plan_export(huge, "s3://bucket/out.tif", profile_arg={"compress": "none"}, workers=1000)


class TestChecks:
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"profile_arg": {"compress": "nope"}}, OptionError),
            ({"profile_arg": {"RESAMPLING": "nope"}}, OptionError),
            ({"profile_arg": {"dtype": "complex_int16x"}}, GeoreaderError),
            ({"nodata": 1e9}, NodataError),
            ({"descriptions": ["a"]}, GeoreaderError),
            ({"tags": 3}, GeoreaderError),
            ({"max_memory": 10}, OptionError),
            ({"engine": "nope"}, OptionError),
            ({"engine": "gdal", "verify": True}, OptionError),
            ({"http_headers": {"a": "b"}}, OptionError),
            ({"client": 3}, OptionError),
            ({"dir_tmpfiles": "missing"}, DestinationError),
            ({"profile_arg": {"compress": "jpeg"}}, DtypeError),
        ],
        ids=str,
    )
    def test_bad_input_is_refused_with_the_error_of_the_save(
        self, arguments: dict[str, Any], error: type[Exception], make_tensor: MakeTensor, tmp_path: Path
    ) -> None:
        tensor = make_tensor((2, 40, 50), "int16")

        with pytest.raises(GeoreaderError) as of_save:
            save_cog(tensor, tmp_path / "out.tif", **arguments)
        with pytest.raises(GeoreaderError) as of_plan:
            plan_export(tensor, tmp_path / "out.tif", **arguments)

        assert (type(of_plan.value), str(of_plan.value)) == (type(of_save.value), str(of_save.value))

    @pytest.mark.parametrize(
        ("destination", "error"),
        [
            ("missing/out.tif", DestinationError),
            ("", DestinationError),
            ("s3:/bucket/out.tif", NotSupportedError),
            ("/vsimem/out.tif", NotSupportedError),
            ("s3://bucket", DestinationError),
            ("nope://bucket/out.tif", DestinationError),
            ("https:///out.tif", DestinationError),
            (None, DestinationError),
            (io.StringIO, DestinationError),
        ],
    )
    def test_bad_destination_is_refused_with_the_error_of_the_save(
        self, destination: Any, error: type[Exception], make_tensor: MakeTensor, no_network: None
    ) -> None:
        destination = destination() if callable(destination) else destination
        with pytest.raises(error) as of_save:
            save_cog(make_tensor(), destination)
        with pytest.raises(error) as of_plan:
            plan_export(make_tensor(), destination)

        assert str(of_plan.value) == str(of_save.value)

    def test_existing_file_is_refused_if_it_may_not_be_replaced(self, make_tensor: MakeTensor, tmp_path: Path) -> None:
        (tmp_path / "out.tif").write_bytes(b"earlier")

        with pytest.raises(ExistsError, match="out.tif"):
            plan_export(make_tensor(), tmp_path / "out.tif", overwrite=False)
        plan_export(make_tensor(), tmp_path / "out.tif")
        assert (tmp_path / "out.tif").read_bytes() == b"earlier"

    def test_source_that_the_save_would_remove_is_refused(self, make_tensor: MakeTensor, tmp_path: Path) -> None:
        save_cog(make_tensor(), tmp_path / "out.tif.ovr")

        with pytest.raises(DestinationError, match="is a sidecar of it"):
            plan_export(str(tmp_path / "out.tif.ovr"), tmp_path / "out.tif")

    def test_warnings_are_those_of_the_save(self, make_tensor: MakeTensor, tmp_path: Path) -> None:
        with pytest.warns(NotGeoreferencedWarning, match="has no CRS"):
            plan_export(make_tensor(crs=None), tmp_path / "out.tif")

    def test_missing_package_of_a_protocol_is_named(
        self, make_tensor: MakeTensor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fsspec = pytest.importorskip("fsspec")

        def is_missing(_: str) -> Any:
            raise ImportError("install the package of it")

        monkeypatch.setattr(fsspec, "get_filesystem_class", is_missing)
        with pytest.raises(MissingExtraError, match="knows oss://; pip install ossfs"):
            plan_export(make_tensor(), "oss://bucket/out.tif")


class TestNothingIsDone:
    @pytest.mark.parametrize(
        "destination", ["out.tif", "s3://bucket/out.tif", "gs://bucket/out.tif", "https://a.invalid/b"]
    )
    @pytest.mark.parametrize("workers", [None, 4])
    @pytest.mark.usefixtures("no_network")
    def test_no_chunk_is_computed_and_no_file_is_written(
        self, destination: str, workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        plan = plan_export(chunked((3, 5_000, 5_000)), destination, workers=workers, overwrite=workers is None)

        assert isinstance(plan, ExportPlan)
        assert list(tmp_path.iterdir()) == []

    def test_file_object_is_not_written(self, make_tensor: MakeTensor) -> None:
        target = io.BytesIO(b"earlier")

        plan_export(make_tensor(), target)

        assert target.getvalue() == b"earlier"

    def test_file_that_was_opened_is_closed(self, make_tensor: MakeTensor, tmp_path: Path) -> None:
        save_cog(make_tensor(), tmp_path / "in.tif")
        before = sorted(map(str, Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else []

        plan_export(str(tmp_path / "in.tif"), tmp_path / "out.tif")

        after = sorted(map(str, Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else []
        assert len(after) == len(before)

    def test_dataset_of_the_caller_stays_open(self, make_tensor: MakeTensor, tmp_path: Path) -> None:
        save_cog(make_tensor(), tmp_path / "in.tif")

        with rasterio.open(tmp_path / "in.tif") as dataset:
            plan_export(dataset, tmp_path / "out.tif")
            assert not dataset.closed


class TestTexts:
    def test_str_has_aligned_lines_and_repr_has_one(self, no_network: None) -> None:
        plan = plan_export(
            chunked((20_000, 20_000)), "s3://bucket/out.tif", profile_arg={"compress": "zstd"}, workers=2
        )

        first, *lines = str(plan).splitlines()
        assert first == "s3://bucket/out.tif"
        assert [line.split()[0] for line in lines] == [
            "raster", "levels", "codec", "size", "engine", "memory", "work", "tasks", "graph", "bytes", "parts",
        ]  # fmt: skip
        assert {line[:10].rstrip() == f"  {line.split()[0]}" for line in lines} == {True}
        assert {line[10] != " " for line in lines} == {True}
        assert repr(plan) == "<ExportPlan 's3://bucket/out.tif': 1 x 20000 x 20000 uint16 by cluster, at most 1.1 GiB>"

    def test_secrets_are_not_shown(self, make_tensor: MakeTensor, no_network: None) -> None:
        plan = plan_export(make_tensor(), "https://user:secret@server.invalid/out.tif?sig=token")

        assert "secret" not in f"{plan}{plan!r}{plan.to_dict()}"
        assert "token" not in f"{plan}{plan!r}{plan.to_dict()}"

    def test_plan_is_frozen(self, make_tensor: MakeTensor) -> None:
        plan: Any = plan_export(make_tensor(), "out.tif")

        with pytest.raises(AttributeError, match="cannot assign"):
            plan.engine = "gdal"


def graph_of_save(raster: Lazy, options: Any) -> tuple[int, int]:
    """Return the number of tasks that a save adds, and the bytes of its whole graph as the client sends it."""
    pytest.importorskip("distributed")
    from distributed.protocol import ToPickle
    from distributed.protocol.core import dumps

    from georeader._export.cluster.graph import Chunks, SaveGraph
    from georeader._export.cluster.targets import KeepingTarget
    from georeader._export.cluster.tasks import Template
    from georeader._export.plan.cluster_plan import plan_cluster
    from georeader._export.plan.file_plan import plan_file
    from georeader._export.plan.request import SaveRequest
    from georeader._export.plan.resolve import resolve_spec
    from georeader._export.sinks.local import LocalSink
    from georeader._export.sources import open_source
    from georeader._storage.urls import Destination

    source = open_source(raster)
    profile = {"compress": "zstd", "BLOCKSIZE": 256}
    request = SaveRequest.parse(
        "cog", Destination("out.tif"), default_profile=profile, profile_arg={"predictor": 1, **options}
    )
    spec = resolve_spec(source.spec, request)
    cluster = plan_cluster(plan_file(spec), source.traits, LocalSink.traits)
    graph = SaveGraph(cluster, source, Chunks.of(source, spec.count), "0123456789abcdef")
    graph.add(Template.of(source, cluster, KeepingTarget(), "out.tif", verify=False))
    source.close()
    frames = dumps({"graph": ToPickle(graph.collected("save"))})
    return len(graph.tasks), sum(memoryview(frame).nbytes for frame in frames)
