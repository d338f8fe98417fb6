"""Rasters that are warped while they are streamed: pixels, alpha and masks are those of GDAL's COG driver.

Both warp by an approximation that may be wrong by 0.125 pixels, in other pieces: nearest pixels differ where two are
almost as near, and others by what the raster changes over that distance.
"""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rasterio.warp
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window
from rio_cogeo import cog_info, cog_validate

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog
from georeader._export.engine.stream import traits_of
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import resolve_spec
from georeader._export.sources import open_source
from georeader._export.sources.warped import WarpedSource, on_target_grid
from georeader._storage.urls import Destination
from georeader.errors import OptionError
from georeader.ground_control import GroundControlPoints
from range_server import Server

WEB = {"TILING_SCHEME": "GoogleMapsCompatible"}
UTM: dict[str, Any] = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}

#: Most by which waves of this amplitude and length change over an eighth of a pixel, and its square for rounding.
WAVE, LENGTH_PX = 100, 23
TOLERANCE = 0.125 * 2**0.5 * WAVE / LENGTH_PX * 2 + 1


def waves(shape: tuple[int, int, int], dtype: str) -> NDArray[Any]:
    bands, rows, columns = np.indices(shape, sparse=True)
    values = 128 + WAVE * np.sin(columns / 31 + bands) * np.cos(rows / LENGTH_PX)
    return values.astype(dtype) if np.dtype(dtype).kind in "fc" else np.rint(values).astype(dtype)


def raster_file(
    path: Path,
    dtype: str = "uint8",
    bands: int = 1,
    *,
    missing: str = "",
    shape: tuple[int, int] = (500, 600),
    **place: Any,
) -> Path:
    """Write a raster; a hole of it is missing, by a number as nodata, by a mask or by alpha."""
    values = waves((bands, *shape), dtype)
    hole = np.s_[100:180, 200:330]
    nodata = float(missing) if missing not in ("", "mask", "alpha", "palette") else None
    if nodata is not None:
        values[:, *hole] = np.asarray(nodata).astype(dtype)
    valid = np.full(shape, 255, "uint8")
    valid[hole] = 0
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "dtype": dtype, "nodata": nodata} | UTM | place
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", count=bands + (missing == "alpha"), tiled=True, **profile) as file,
    ):
        file.write(values, list(range(1, bands + 1)))
        if missing == "mask":
            file.write_mask(valid)
        elif missing == "alpha":
            file.write(valid.astype(dtype), bands + 1)
            file.colorinterp = [*file.colorinterp[:bands], ColorInterp.alpha]
        elif missing == "palette":
            file.write_colormap(1, {value: (value, 255 - value, 9) for value in range(256)})
    return path


def by_gdal(source: Path, path: Path, options: dict[str, Any]) -> Path:
    with rasterio.open(source) as dataset:
        rasterio.shutil.copy(dataset, str(path), driver="COG", BLOCKSIZE=256, **options)
    return path


def found_pixels(dataset: Any) -> NDArray[np.bool_]:
    """Return which pixels are not missing; dataset_mask takes alpha in other dtypes than uint8 for opaque."""
    is_alpha = dataset.colorinterp[-1] is ColorInterp.alpha
    return np.asarray((dataset.read(dataset.count) if is_alpha else dataset.dataset_mask()) > 0)


def compare(found: Path, expected: Path, tolerance: float, ties: float) -> None:
    """Compare two files: grid, bands, missing pixels, and values save for a share of ties."""
    with rasterio.open(found) as one, rasterio.open(expected) as other:
        assert (one.transform, one.shape, one.count, one.crs) == (other.transform, other.shape, other.count, other.crs)
        assert one.colorinterp == other.colorinterp
        assert one.overviews(1) == other.overviews(1)
        np.testing.assert_equal(one.nodata, other.nodata)
        valid = found_pixels(one)
        same = valid == found_pixels(other)
        edge_px = 8 * sum(one.shape)
        assert (~same).sum() <= edge_px / 8, "missing pixels differ, not at edges alone"
        both = valid & same
        wide = "complex128" if np.dtype(one.dtypes[0]).kind == "c" else "float64"
        difference = np.abs(one.read().astype(wide) - other.read())[:, both]
    assert (difference > tolerance).mean() <= ties
    assert both.any()


@pytest.mark.parametrize(("dtype", "bands", "missing"), [
    ("uint8", 1, ""), ("uint8", 3, "0"), ("uint8", 1, "mask"), ("uint8", 3, "alpha"), ("uint16", 1, "65535"),
    ("uint16", 2, ""), ("float32", 1, "nan"), ("float64", 2, "-9999"), ("uint32", 1, "mask"), ("int32", 1, "-1"),
])  # fmt: skip
@pytest.mark.parametrize("method", ["NEAREST", "BILINEAR", "CUBIC", "AVERAGE"])
@pytest.mark.covering(columns=lambda dtype, bands, missing, method: (dtype, bands, missing, method))
def test_pixels_and_missing_ones_are_gdals(dtype: str, bands: int, missing: str, method: str, tmp_path: Path) -> None:
    source = raster_file(tmp_path / "in.tif", dtype, bands, missing=missing)
    options = WEB | {"WARP_RESAMPLING": method}

    receipt = save_cog(source, tmp_path / "out.tif", profile_arg=options)

    assert receipt.engine == "stream"
    tolerance, ties = (0, 0.05) if method == "NEAREST" else (TOLERANCE, 0)
    compare(tmp_path / "out.tif", by_gdal(source, tmp_path / "gdal.tif", options), tolerance, ties)


@pytest.mark.parametrize(
    "name", ["south up", "rotated", "antimeridian", "world", "0 to 360 degrees", "pole", "full disk", "hemisphere"]
)
def test_raster_in_any_place_is_gdals(name: str, tmp_path: Path) -> None:
    places = {
        "south up": {"transform": Affine(10, 0, 500000, 0, 10, 4000000)},
        "rotated": {"transform": Affine(7, 3, 500000, 3, -7, 4000000)},
        "antimeridian": {"transform": Affine(0.01, 0, 177, 0, -0.01, 60), "crs": "EPSG:4326"},
        "world": {"transform": Affine(0.6, 0, -180, 0, -0.36, 90), "crs": "EPSG:4326"},
        "0 to 360 degrees": {"transform": Affine(0.6, 0, 0, 0, -0.36, 90), "crs": "EPSG:4326"},
        "pole": {"transform": Affine(1000, 0, -2000000, 0, -1000, 2000000), "crs": "EPSG:3413"},
        # Most of the corners are beside the Earth.
        "full disk": {"transform": Affine(22000, 0, -5500000, 0, -26000, 5500000), "crs": "+proj=geos +h=35785831"},
        "hemisphere": {"transform": Affine(26000, 0, -6400000, 0, -30000, 6400000), "crs": "+proj=ortho +lat_0=40"},
    }
    source = raster_file(tmp_path / "in.tif", missing="0", **places[name])
    options = WEB | {"WARP_RESAMPLING": "NEAREST"}

    save_cog(source, tmp_path / "out.tif", profile_arg=options)

    compare(tmp_path / "out.tif", by_gdal(source, tmp_path / "gdal.tif", options), 0, 0.05)


def test_ground_control_points_are_a_georeference(tmp_path: Path) -> None:
    values = waves((1, 400, 500), "uint8")
    whole = GeoTensor(values, **UTM, fill_value_default=0)
    places = [(row, column) for row in (0, 200, 400) for column in (0, 250, 500)]
    points = [GroundControlPoint(row, column, 500000 + 10 * column, 4000000 - 10 * row) for row, column in places]
    gcps = GroundControlPoints(tuple(points), "EPSG:32630")
    by_points = GeoTensor(values, Affine.identity(), None, fill_value_default=0, attrs={"gcps": gcps})

    for name, tensor in (("transform", whole), ("points", by_points)):
        save_cog(tensor, tmp_path / f"{name}.tif", profile_arg=WEB)

    compare(tmp_path / "points.tif", tmp_path / "transform.tif", 1, 0)


@pytest.mark.parametrize(("dtype", "value"), [("int64", 2**62 + 1), ("uint64", 2**63 + 1), ("complex128", 1 / 3 + 3j)])
def test_nearest_keeps_every_digit_of_any_dtype(dtype: str, value: Any, tmp_path: Path) -> None:
    tensor = GeoTensor(np.full((1, 60, 60), value, dtype), **UTM, fill_value_default=None)

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"TARGET_SRS": "EPSG:4326", "WARP_RESAMPLING": "NEAREST"})

    values = RasterioReader(tmp_path / "out.tif").values
    assert (
        {tensor.values[0, 0, 0]} <= set(np.unique(values[0])) <= {tensor.values[0, 0, 0], tensor.values.dtype.type(0)}
    )


@pytest.mark.parametrize(("missing", "options", "count", "flags"), [
    ("", {}, 2, [MaskFlags.per_dataset, MaskFlags.alpha]),
    ("", {"ADD_ALPHA": "NO"}, 1, [MaskFlags.all_valid]),
    ("", {"compress": "jpeg"}, 1, [MaskFlags.per_dataset]),
    ("0", {}, 1, [MaskFlags.nodata]),
    ("0", {"compress": "jpeg"}, 1, [MaskFlags.per_dataset]),
    ("mask", {}, 2, [MaskFlags.per_dataset, MaskFlags.alpha]),
    ("mask", {"ADD_ALPHA": "NO"}, 1, [MaskFlags.per_dataset]),
    ("alpha", {}, 2, [MaskFlags.per_dataset, MaskFlags.alpha]),
    ("palette", {}, 1, [MaskFlags.per_dataset]),
])  # fmt: skip
def test_missing_pixels_are_alpha_or_a_mask_or_nodata(
    missing: str, options: dict[str, Any], count: int, flags: list[MaskFlags], tmp_path: Path
) -> None:
    source = raster_file(tmp_path / "in.tif", missing=missing, shape=(300, 300))

    save_cog(source, tmp_path / "out.tif", profile_arg=WEB | options)

    with rasterio.open(tmp_path / "out.tif") as file:
        assert (file.count, file.mask_flag_enums[0]) == (count, flags)
        assert (file.dataset_mask() == 0).any() == (options.get("ADD_ALPHA") != "NO" or missing == "mask")


@pytest.mark.parametrize(("arguments", "nodata"), [
    ({}, np.nan), ({"nodata": -1}, -1), ({"profile_arg": {"ADD_ALPHA": "YES"}}, None),
])  # fmt: skip
def test_missing_pixels_of_floating_point_numbers(arguments: dict[str, Any], nodata: Any, tmp_path: Path) -> None:
    values = waves((1, 300, 300), "float32")
    values[0, ::20, ::20] = np.nan
    tensor = GeoTensor(values, **UTM, fill_value_default=None)

    save_cog(tensor, tmp_path / "out.tif", **arguments | {"profile_arg": WEB | arguments.get("profile_arg", {})})

    with rasterio.open(tmp_path / "out.tif") as file:
        np.testing.assert_equal(file.nodata, nodata)
        assert file.count == (2 if nodata is None else 1)
        inside = file.read(1)[file.read_masks(1) > 0 if nodata is not None else file.read(2) > 0]
    assert 20 <= inside.min() <= inside.max() <= 236


def test_band_names_and_the_rest_of_the_metadata_stay(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((2, 300, 300), attrs={"scales": [0.1, 0.2], "units": ["m", None], "tags": {"mission": "S2"}})

    receipt = save_cog(tensor, tmp_path / "out.tif", ["a", "b"], profile_arg=WEB)

    reader = RasterioReader(tmp_path / "out.tif")
    assert receipt.descriptions == ("a", "b", None)
    assert reader.attrs["scales"] == [0.1, 0.2, 1.0]
    assert reader.tags()["mission"] == "S2"


def test_bytes_do_not_depend_on_threads_and_memory(tmp_path: Path) -> None:
    source = raster_file(tmp_path / "in.tif", "uint16", 2, missing="0", shape=(700, 900))
    ways = [{"NUM_THREADS": 1}, {"NUM_THREADS": 3}, {"NUM_THREADS": 2, "max_memory": "96MiB"}]

    found = []
    for way in ways:
        limit = {"max_memory": way.pop("max_memory")} if "max_memory" in way else {}
        save_cog(source, tmp_path / "out.tif", profile_arg=WEB | way, **limit)
        found.append((tmp_path / "out.tif").read_bytes())

    assert found[0] == found[1] == found[2]


def test_all_of_a_raster_is_transformed_in_one_way(tmp_path: Path) -> None:
    # Of ED50 to WGS 84, PROJ takes another transformation, by more than a pixel, for rasters beside 10.85 degrees east.
    ed50 = {"crs": "EPSG:4230", "transform": Affine(1e-5, 0, 10.81, 0, -1e-5, 60)}
    source = raster_file(tmp_path / "in.tif", shape=(500, 6000), **ed50)
    options = {"TARGET_SRS": "EPSG:4326", "WARP_RESAMPLING": "CUBIC"}

    save_cog(source, tmp_path / "out.tif", profile_arg=options)

    compare(tmp_path / "out.tif", by_gdal(source, tmp_path / "gdal.tif", options), TOLERANCE, 0)


@pytest.mark.parametrize(("longitude", "latitude", "width_px"), [(10.845, 60, 3000), (3.37, 55, 8192)])
@pytest.mark.parametrize("method", ["NEAREST", "CUBIC"])
def test_small_pixels_have_no_seams_where_a_transformation_depends_on_the_extent(
    method: str, longitude: float, latitude: float, width_px: int, tmp_path: Path
) -> None:
    """PROJ's transformation of single points is another one than of the raster, by many pixels of a decimetre."""
    place = {"crs": "EPSG:4230", "transform": Affine(1e-6, 0, longitude, 0, -1e-6, latitude)}
    source = raster_file(tmp_path / "in.tif", shape=(64, width_px), missing="0", **place)
    options = {"TARGET_SRS": "EPSG:4326", "WARP_RESAMPLING": method}

    save_cog(source, tmp_path / "out.tif", profile_arg=options)

    by_gdal(source, tmp_path / "gdal.tif", options)
    compare(tmp_path / "out.tif", tmp_path / "gdal.tif", TOLERANCE, 0.001)
    with rasterio.open(tmp_path / "out.tif") as ours, rasterio.open(tmp_path / "gdal.tif") as theirs:
        assert (found_pixels(ours) != found_pixels(theirs)).sum() <= 8


@pytest.mark.parametrize(("crs", "transform", "expected"), [
    ("EPSG:4326", Affine(0.1, 0, 10, 0, -0.1, 50), "10.000000,40.000000,20.000000,50.000000"),
    ("EPSG:4326", Affine(0.1, 0, 175, 0, -0.1, 5), "175.000000,-5.000000,-175.000000,5.000000"),
    ("EPSG:4326", Affine(0.1, 0, 190, 0, -0.1, 5), "-170.000000,-5.000000,-160.000000,5.000000"),
    ("EPSG:3413", Affine(40000, 0, -2000000, 0, -40000, 2000000), None),  # it has the pole inside
    ("EPSG:4326", Affine(3.6, 0, -180, 0, -0.1, 5), None),
], ids=["east", "across the antimeridian", "beyond it", "pole", "world"])  # fmt: skip
def test_transformation_is_that_of_the_extent_of_the_raster(
    crs: str, transform: Affine, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []

    def reproject(*arrays: Any, **options: Any) -> None:
        passed.append(options.get("AREA_OF_INTEREST"))
        rasterio.warp.reproject(*arrays, **options)

    monkeypatch.setattr("georeader._export.sources.warped.reproject", reproject)
    source = raster_file(tmp_path / "in.tif", shape=(100, 100), missing="0", crs=crs, transform=transform)

    save_cog(source, tmp_path / "out.tif", profile_arg={"TARGET_SRS": "EPSG:3857"})

    assert set(passed) == {expected}


class TestSources:
    """A raster is warped from any source, to the same pixels."""

    @pytest.fixture
    def expected(self, tmp_path: Path) -> bytes:
        tensor = GeoTensor(waves((2, 700, 900), "uint16"), **UTM, fill_value_default=0)
        save_cog(tensor, tmp_path / "array.tif", profile_arg=WEB | {"PREDICTOR": 2})
        return (tmp_path / "array.tif").read_bytes()

    def test_dask(self, expected: bytes, tmp_path: Path) -> None:
        da = pytest.importorskip("dask.array")

        class Lazy:
            shape, dtype, fill_value_default = (2, 700, 900), np.dtype("uint16"), 0
            transform, crs = UTM["transform"], UTM["crs"]
            values = da.from_array(waves((2, 700, 900), "uint16"), chunks=(1, 256, 300))

        save_cog(Lazy(), tmp_path / "out.tif", profile_arg=WEB | {"PREDICTOR": 2})

        assert (tmp_path / "out.tif").read_bytes() == expected

    @pytest.mark.parametrize("chunks", [(1, 256, 300), (2, 700, 150), (1, 128, 900)])
    def test_dask_computes_each_chunk_once(self, chunks: tuple[int, int, int], expected: bytes, tmp_path: Path) -> None:
        da = pytest.importorskip("dask.array")
        values, computed, lock = waves((2, 700, 900), "uint16"), collections.Counter[Any](), threading.Lock()

        def block(block_info: Any = None) -> NDArray[Any]:
            place = tuple(slice(*axis) for axis in block_info[None]["array-location"])
            with lock:
                computed[str(place)] += 1
            return values[place]

        class Lazy:
            shape, dtype, fill_value_default = (2, 700, 900), np.dtype("uint16"), 0
            transform, crs = UTM["transform"], UTM["crs"]

        Lazy.values = da.map_blocks(
            block,
            chunks=da.core.normalize_chunks(chunks, values.shape),
            dtype="uint16",
            meta=np.empty((0, 0, 0), "uint16"),
        )

        save_cog(Lazy(), tmp_path / "out.tif", profile_arg=WEB | {"PREDICTOR": 2})

        assert (tmp_path / "out.tif").read_bytes() == expected
        assert set(computed.values()) == {1}

    def test_remote_file_of_which_only_what_is_needed_is_read(
        self, server: Server, expected: bytes, tmp_path: Path
    ) -> None:
        source = raster_file(tmp_path / "in.tif", "uint16", 2, missing="0", shape=(700, 900))
        tensor = GeoTensor(waves((2, 700, 900), "uint16"), **UTM, fill_value_default=0)
        save_cog(tensor, source, profile_arg={"compress": "none", "OVERVIEWS": "NONE"})
        url = server.put("in.tif", source.read_bytes())

        save_cog(url, tmp_path / "out.tif", profile_arg=WEB | {"PREDICTOR": 2, "RESAMPLING": "average"})
        whole_bytes = server.bytes_sent()
        extent = {"TARGET_SRS": "EPSG:32630", "EXTENT": "500100,3998900,501100,3999900"}
        save_cog(url, tmp_path / "part.tif", profile_arg=extent)

        assert RasterioReader(tmp_path / "out.tif").shape == RasterioReader(tmp_path / "array.tif").shape
        assert server.bytes_sent() - whole_bytes < 0.5 * source.stat().st_size

    def test_windows_of_a_writer(self, expected: bytes, tmp_path: Path) -> None:
        values = waves((2, 700, 900), "uint16")
        options: Any = WEB | {"PREDICTOR": 2}

        with CogWriter(
            tmp_path / "out.tif", shape=values.shape, dtype="uint16", nodata=0, profile_arg=options, **UTM
        ) as w:
            for row in range(0, 700, 100):
                w.write(values[:, row : row + 100], Window(0, row, 900, 100))

        assert (tmp_path / "out.tif").read_bytes() == expected


class Recorded:
    """A raster whose windows are recorded."""

    dtype, fill_value_default = np.dtype("uint8"), 0
    transform, crs = UTM["transform"], UTM["crs"]

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.windows = shape, []

    def read_from_window(self, window: Window) -> GeoTensor:
        self.windows.append(window)
        shape = 1, int(window.height), int(window.width)
        return GeoTensor(np.ones(shape, "uint8"), **UTM, fill_value_default=0)


def warped(data: Any, options: dict[str, Any]) -> WarpedSource:
    request = SaveRequest.parse("cog", Destination("out.tif"), default_profile={"blockxsize": 256, "blockysize": 256},
                                profile_arg=options)  # fmt: skip
    source = open_source(data)
    found = on_target_grid(source, resolve_spec(source.spec, request))
    assert isinstance(found, WarpedSource)
    return found


@pytest.mark.parametrize("zoom_level", [13, 10, 6])
def test_window_reads_no_more_than_its_traits_say(zoom_level: int) -> None:
    data = Recorded((1, 3000, 3000))

    source = warped(data, WEB | {"ZOOM_LEVEL": zoom_level, "WARP_RESAMPLING": "AVERAGE"})
    for block in source.blocks.touched(source.blocks.whole):
        source.read(source.blocks.window(block), range(1))

    read_px = [window.width * window.height for window in data.windows]
    assert 4 * max(read_px) <= traits_of(source).reader_bytes
    assert sum(read_px) <= 1.5 * 3000**2


def test_too_little_memory_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    data = Recorded((1, 6000, 6000))

    with pytest.raises(OptionError, match="max_memory=4194304 bytes is too little"):
        save_cog(data, tmp_path / "out.tif", profile_arg=WEB | {"ZOOM_LEVEL": 8}, max_memory="4MiB")

    assert (data.windows, list(tmp_path.iterdir())) == ([], [])


def test_file_is_web_optimized_for_rio_cogeo(
    tmp_path: Path, good_cog: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    source = raster_file(tmp_path / "in.tif", bands=3, shape=(900, 1000))

    with caplog.at_level(logging.WARNING):
        save_cog(source, tmp_path / "out.tif", profile_arg=WEB | {"ALIGNED_LEVELS": 2})

    info = cog_info(tmp_path / "out.tif")
    assert cog_validate(tmp_path / "out.tif", strict=True, quiet=True)[0]
    good_cog(tmp_path / "out.tif")
    assert (info.GEO.MinZoom, info.GEO.MaxZoom) == (11, 14)
    assert info.Tags["Tiling Scheme"] == {"NAME": "GoogleMapsCompatible", "ZOOM_LEVEL": "14", "ALIGNED_LEVELS": "2"}
    assert caplog.records == []


@pytest.mark.parametrize("method", ["AVERAGE", "MODE", "MAX", "LANCZOS"])
def test_zoomed_out_pixels_are_made_of_all_pixels_below_them(method: str, tmp_path: Path) -> None:
    source = raster_file(tmp_path / "in.tif", shape=(1000, 1200), missing="0")
    options = WEB | {"WARP_RESAMPLING": method, "ZOOM_LEVEL": 11}

    save_cog(source, tmp_path / "out.tif", profile_arg=options)

    compare(tmp_path / "out.tif", by_gdal(source, tmp_path / "gdal.tif", options), 12, 0.02)


def test_workers_of_a_cluster_warp_a_file(cluster: Callable[..., Any], tmp_path: Path) -> None:
    source = raster_file(tmp_path / "in.tif", "uint16", 2, missing="0", shape=(700, 900))
    save_cog(source, tmp_path / "here.tif", profile_arg=WEB)

    receipt = save_cog(source, tmp_path / "out.tif", profile_arg=WEB, client=cluster(2))

    assert receipt.engine == "cluster"
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()
