"""Ground control points and rational polynomials: they move with the pixels, and are read back from a saved file.

What becomes of rational polynomials is compared with what GDAL computes by them.
"""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import RPCTransformer
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import GeoreferenceError, MetadataError, MetadataWarning
from georeader.ground_control import GroundControlPoints, as_control_points
from georeader.window_utils import pixel_to_crs

ROWS, COLUMNS = 300, 340
WGS84 = CRS.from_epsg(4326)
PIXELS = np.random.default_rng(3).integers(1, 200, (2, ROWS, COLUMNS)).astype("uint8")

#: (row, column, x, y, z) in degrees and metres: slightly turned, and none of them in a corner's place exactly.
CORNERS = [
    (0.0, 0.0, 10.0, 50.0, 7.5),
    (0.0, 340.0, 10.34, 50.02, 7.5),
    (300.0, 0.0, 9.98, 49.7, -3.25),
    (299.5, 340.0, 10.32, 49.72, 0.0),
    (150.25, 170.75, 10.16, 49.86, 1000.0),
]

POLYNOMIALS = RPC(
    height_off=100.0, height_scale=500.0, lat_off=49.85, lat_scale=0.2, long_off=10.2, long_scale=0.25,
    line_off=149.5, line_scale=160.0, samp_off=169.5, samp_scale=180.0,
    line_num_coeff=[0.01, 0.05, -1.0, 0.02, *[0.001] * 16], line_den_coeff=[1.0, 0.002, 0.001, *[0.0] * 17],
    samp_num_coeff=[-0.02, 1.0, 0.04, -0.03, *[0.0015] * 16], samp_den_coeff=[1.0, 0.0, 0.003, *[0.0] * 17],
    err_bias=0.5, err_rand=0.0,
)  # fmt: skip

#: Places on Earth, (longitude, latitude, height), where the polynomials are evaluated.
PLACES = [(10.1, 49.9, 0.0), (10.3, 49.8, 250.0), (10.2, 49.95, 900.0)]

saves = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
engines = pytest.mark.parametrize("engine", ["stream", "gdal"])


def control_points(crs: Any = WGS84) -> GroundControlPoints:
    points = [GroundControlPoint(row, column, x, y, z) for row, column, x, y, z in CORNERS]
    return GroundControlPoints(tuple(points), crs)


def facts(points: Any) -> list[tuple[float, ...]]:
    """(row, column, x, y, z) of each point, as a GeoTIFF keeps them."""
    return [(p.row, p.col, p.x, p.y, p.z) for p in points]


def write(path: Path, describe: Callable[[Any], None] | None = None, **place: Any) -> Path:
    count, height, width = PIXELS.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, **place) as dataset:
        if describe is not None:
            describe(dataset)
        dataset.write(PIXELS)
    return path


@pytest.fixture
def with_points(tmp_path: Path) -> Path:
    """A file with ground control points, written by rasterio."""
    return write(tmp_path / "points.tif", gcps=list(control_points().points), crs=WGS84)


@pytest.fixture
def with_polynomials(tmp_path: Path) -> Path:
    return write(tmp_path / "rpcs.tif", rpcs=POLYNOMIALS)


def tensor(**attrs: Any) -> GeoTensor:
    return GeoTensor(PIXELS, Affine.identity(), None, None, attrs=attrs)


def pixels_of(rpcs: RPC) -> list[tuple[float, float]]:
    """Where GDAL finds `PLACES`: (row, column) from the outer corner of the first pixel."""
    with RPCTransformer(rpcs) as transformer:
        rows, columns = transformer.rowcol(*zip(*PLACES, strict=True), op=lambda number: number)
    return list(zip(rows, columns, strict=True))


slices = st.builds(
    slice,
    st.none() | st.integers(-20, 20),
    st.none() | st.integers(-20, 20),
    st.sampled_from([None, 1, 2, 3, 7, -1, -2, -5]),
)


class TestReading:
    def test_returns_points_and_their_crs(self, with_points: Path) -> None:
        reader = RasterioReader(with_points)

        for gcps in (reader.attrs["gcps"], reader.load().attrs["gcps"]):
            assert (facts(gcps.points), gcps.crs) == (CORNERS, WGS84)
        assert reader.crs is None

    def test_returns_polynomials(self, with_polynomials: Path) -> None:
        with rasterio.open(with_polynomials) as dataset:
            expected = dataset.rpcs

        assert RasterioReader(with_polynomials).attrs["rpcs"] == expected
        assert RasterioReader(with_polynomials).load().attrs["rpcs"] == expected

    def test_has_neither_if_the_file_has_neither(self, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "a.tif", crs=3857, transform=Affine(10, 0, 5, 0, -10, 7)))

        assert {"gcps", "rpcs"}.isdisjoint(reader.attrs)

    def test_polynomials_in_a_text_file_beside_the_raster_are_read(self, tmp_path: Path) -> None:
        lines = []
        for name, value in POLYNOMIALS.to_gdal().items():
            numbers = value.split()
            unit = " pixels" if name.endswith("_OFF") else ""
            if len(numbers) == 1:
                lines.append(f"{name}: {value}{unit}")
            else:
                lines += [f"{name}_{position}: {number}" for position, number in enumerate(numbers, start=1)]
        path = write(tmp_path / "scene.tif")
        (tmp_path / "scene_RPC.TXT").write_text("\n".join(lines) + "\n")

        rpcs = RasterioReader(path).attrs["rpcs"]

        np.testing.assert_allclose(pixels_of(rpcs), pixels_of(POLYNOMIALS))

    def test_incomplete_polynomials_are_left_out_with_a_warning(self, tmp_path: Path) -> None:
        path = tmp_path / "half.vrt"
        path.write_text(
            '<VRTDataset rasterXSize="4" rasterYSize="3"><Metadata domain="RPC"><MDI key="LINE_OFF">1</MDI></Metadata>'
            '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
        )
        with pytest.warns(MetadataWarning, match=r"half\.vrt: rational polynomials .* incomplete"):
            reader = RasterioReader(path)
        assert "rpcs" not in reader.attrs

    def test_a_reader_survives_pickling(self, with_points: Path) -> None:
        reader = RasterioReader(with_points)

        assert pickle.loads(pickle.dumps(reader)).attrs == reader.attrs

    def test_attrs_are_a_copy(self, with_points: Path) -> None:
        reader = RasterioReader(with_points)

        reader.attrs["gcps"].points[0].row = 99

        assert reader.attrs["gcps"].points[0].row == 0

    def test_an_overviews_points_are_in_its_own_pixels(self, with_points: Path) -> None:
        save_cog(RasterioReader(with_points), with_points.with_name("cog.tif"))

        gcps = RasterioReader(with_points.with_name("cog.tif")).reader_overview(0).attrs["gcps"]

        expected = [(row / 2, column / 2, *place) for row, column, *place in CORNERS]
        np.testing.assert_allclose(facts(gcps.points), expected)

    def test_an_overviews_polynomials_are_in_its_own_pixels(self, with_polynomials: Path) -> None:
        save_cog(RasterioReader(with_polynomials), with_polynomials.with_name("cog.tif"))

        rpcs = RasterioReader(with_polynomials.with_name("cog.tif")).reader_overview(0).attrs["rpcs"]

        np.testing.assert_allclose(pixels_of(rpcs), np.array(pixels_of(POLYNOMIALS)) / 2, atol=1e-6)

    def test_reprs_show_points_and_polynomials(self, with_points: Path, with_polynomials: Path) -> None:
        assert "\n  gcps     5 ground control points in EPSG:4326" in repr(RasterioReader(with_points).load())
        assert "\n  rpcs     yes" in repr(RasterioReader(with_polynomials))


class TestMoving:
    @pytest.mark.parametrize("window", [Window(30, 20, 50, 40), Window(-7, -9, 400, 400), Window(400, 500, 3, 3)])
    @pytest.mark.parametrize("lazy", [True, False])
    def test_window_shifts_the_points(self, window: Window, lazy: bool, with_points: Path) -> None:
        raster: Any = RasterioReader(with_points) if lazy else RasterioReader(with_points).load()

        gcps = raster.read_from_window(window).load().attrs["gcps"]

        expected = [(row - window.row_off, column - window.col_off, *place) for row, column, *place in CORNERS]
        assert facts(gcps.points) == expected

    def test_clipped_window_shifts_from_its_own_corner(self, with_points: Path) -> None:
        cut = RasterioReader(with_points, window_focus=Window(-5, 10, 50, 50)).load(boundless=False)

        assert cut.shape == (2, 50, 45)
        assert facts(cut.attrs["gcps"].points)[0][:2] == (-10, 0)

    def test_windows_of_windows_add_up(self, with_points: Path) -> None:
        inner = RasterioReader(with_points).isel({"y": slice(10, 90), "x": slice(20, 80)}).isel({"y": slice(5, 9)})

        assert facts(inner.attrs["gcps"].points)[0][:2] == (-15, -20)

    @given(rows=slices, columns=slices)
    def test_slice_keeps_points_at_their_coordinates(self, rows: slice, columns: slice) -> None:
        whole = GeoTensor(PIXELS[:, :17, :19], Affine.identity(), None, None, attrs={"gcps": control_points()})

        part = whole[:, rows, columns]

        back = [pixel_to_crs(part.transform, point.col, point.row) for point in part.attrs["gcps"].points]
        np.testing.assert_allclose(back, [(column, row) for row, column, *_ in CORNERS])

    @given(rows=slices, columns=slices)
    def test_slice_keeps_polynomials_at_their_coordinates(self, rows: slice, columns: slice) -> None:
        whole = GeoTensor(PIXELS[:, :17, :19], Affine.identity(), None, None, attrs={"rpcs": POLYNOMIALS})

        part = whole[:, rows, columns]

        moved = part.attrs["rpcs"]
        back = [pixel_to_crs(part.transform, column, row) for row, column in pixels_of(moved)]
        np.testing.assert_allclose(back, [(column, row) for row, column in pixels_of(POLYNOMIALS)], atol=1e-6)
        assert min(moved.line_scale, moved.samp_scale) > 0

    def test_shift_by_whole_pixels_is_exact(self) -> None:
        moved = tensor(rpcs=POLYNOMIALS)[:, 100:, 50:].attrs["rpcs"]

        assert moved.to_dict() == POLYNOMIALS.to_dict() | {"line_off": 49.5, "samp_off": 119.5}

    def test_selection_does_not_change_the_first_tensor(self) -> None:
        whole = tensor(gcps=control_points(), rpcs=POLYNOMIALS)
        before = POLYNOMIALS.to_dict()

        _ = whole[:, 10:, ::-2]

        assert facts(whole.attrs["gcps"].points) == CORNERS
        assert whole.attrs["rpcs"].to_dict() == before

    def test_points_of_rasterios_class_are_shifted(self) -> None:
        points, crs = list(control_points().points), WGS84

        moved = tensor(gcps=(points, crs))[:, 10:].attrs["gcps"]

        assert (moved.points[0].row, moved.crs) == (-10, WGS84)

    @pytest.mark.parametrize("own", ["a user's own", 5, [], (1, 2), ([1], None), None])
    def test_other_values_of_gcps_are_unchanged(self, own: Any) -> None:
        assert tensor(gcps=own, rpcs=own)[:, 10:].attrs == {"gcps": own, "rpcs": own}
        assert as_control_points(own) is None

    def test_bands_and_arithmetic_keep_points_and_polynomials(self) -> None:
        whole = tensor(gcps=control_points(), rpcs=POLYNOMIALS)

        for result in (whole[[1]], whole + 1, whole.mean(axis=0), whole.squeeze(), whole.astype(float)):
            assert facts(result.attrs["gcps"].points) == CORNERS
            assert result.attrs["rpcs"] == POLYNOMIALS

    @pytest.mark.parametrize(
        "combine",
        [lambda a, b: a + b, lambda a, b: GeoTensor.stack([a, b]), lambda a, b: GeoTensor.concatenate([a, b])],
        ids=["arithmetic", "stack", "concatenate"],
    )
    def test_combining_rasters_with_different_points_drops_them(self, combine: Any) -> None:
        whole = tensor(gcps=control_points(), rpcs=POLYNOMIALS)
        other = whole.like(whole.values, attrs=whole[:, 1:].attrs)
        alike = whole.like(whole.values, attrs={"gcps": whole.attrs["gcps"].regrid(0, 0), "rpcs": POLYNOMIALS})

        assert {"gcps", "rpcs"}.isdisjoint(combine(whole, other).attrs)
        assert combine(whole, alike).attrs == whole.attrs

    def test_points_are_compared_by_value(self) -> None:
        gcps = control_points()

        assert gcps == pickle.loads(pickle.dumps(gcps))
        assert hash(gcps) == hash(gcps.regrid(0, 0))
        assert gcps != gcps.regrid(0, 1)
        assert gcps != GroundControlPoints(gcps.points, None)
        assert gcps != "points"


class TestSaving:
    @saves
    @engines
    @pytest.mark.parametrize("point", ["Area", "Point"])
    def test_points_are_read_back(self, save: Any, engine: str, point: str, tmp_path: Path) -> None:
        source = tensor(gcps=control_points(), tags={"AREA_OR_POINT": point})

        save(source, tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            points, crs = dataset.gcps
            assert facts(points) == CORNERS
            assert (crs, dataset.crs, dataset.transform) == (WGS84, None, Affine.identity())
            assert dataset.tags()["AREA_OR_POINT"] == point
        np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, PIXELS)

    @saves
    @engines
    def test_points_of_a_file_are_copied(self, save: Any, engine: str, with_points: Path, tmp_path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", NotGeoreferencedWarning)
            save(RasterioReader(with_points), tmp_path / "out.tif", engine=engine)

        assert RasterioReader(tmp_path / "out.tif").attrs["gcps"] == RasterioReader(with_points).attrs["gcps"]

    @engines
    def test_points_of_a_file_with_point_pixels_are_copied(self, engine: str, tmp_path: Path) -> None:
        path = write(
            tmp_path / "in.tif",
            lambda dataset: dataset.update_tags(AREA_OR_POINT="Point"),
            gcps=list(control_points().points),
            crs=WGS84,
        )

        save_cog(RasterioReader(path), tmp_path / "out.tif", engine=engine)

        assert RasterioReader(tmp_path / "out.tif").attrs["gcps"] == RasterioReader(path).attrs["gcps"]

    @engines
    @pytest.mark.parametrize("lazy", [True, False])
    def test_a_window_is_saved_with_its_points(
        self, engine: str, lazy: bool, with_points: Path, tmp_path: Path
    ) -> None:
        part = RasterioReader(with_points).isel({"y": slice(20, 120), "x": slice(30, 90)})

        save_cog(part if lazy else part.load(), tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            expected = [(row - 20, column - 30, *place) for row, column, *place in CORNERS]
            assert facts(dataset.gcps[0]) == expected
            assert dataset.transform == Affine.identity()

    @engines
    def test_points_without_a_crs_are_read_back(self, engine: str, tmp_path: Path) -> None:
        save_cog(tensor(gcps=control_points(None)), tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (facts(dataset.gcps[0]), dataset.gcps[1]) == (CORNERS, None)

    @pytest.mark.parametrize("points_crs", [None, "EPSG:4326", 4326])
    def test_the_rasters_crs_is_that_of_its_points(self, points_crs: Any, tmp_path: Path) -> None:
        source = GeoTensor(PIXELS, Affine.identity(), "EPSG:4326", None, {"gcps": control_points(points_crs)})

        save_cog(source, tmp_path / "out.tif")

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (len(dataset.gcps[0]), dataset.gcps[1]) == (5, WGS84)

    def test_points_are_taken_from_an_attribute_too(self, tmp_path: Path) -> None:
        class Scene:
            shape, values, transform, crs, fill_value_default = PIXELS.shape, PIXELS, Affine.identity(), None, None
            gcps = (list(control_points().points), WGS84)
            rpcs = None

        save_cog(Scene(), tmp_path / "out.tif")

        assert facts(RasterioReader(tmp_path / "out.tif").attrs["gcps"].points) == CORNERS

    def test_transform_has_precedence_over_points_with_a_warning(self, make_tensor: Any, tmp_path: Path) -> None:
        source = make_tensor(attrs={"gcps": control_points()})

        with pytest.warns(MetadataWarning, match="5 ground control points are left out: .* or a transform") as caught:
            save_cog(source, tmp_path / "out.tif")

        assert caught[0].filename == __file__
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.gcps[0], dataset.transform) == ([], source.transform)

    @engines
    @pytest.mark.parametrize(("count", "fits"), [(10922, True), (10923, False)])
    def test_more_points_than_a_tiff_holds_are_left_out_with_a_warning(
        self, engine: str, count: int, fits: bool, tmp_path: Path
    ) -> None:
        many = GroundControlPoints(tuple(GroundControlPoint(n % 30, n / 40, n, n) for n in range(count)), WGS84)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MetadataWarning)
            save_tiled_geotiff(tensor(gcps=many), tmp_path / "out.tif", engine=engine)

        messages = [str(one.message) for one in caught if one.category is MetadataWarning]
        assert messages == (
            [] if fits else ["the 10923 ground control points are left out: a GeoTIFF has at most 10922"]
        )
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert len(dataset.gcps[0]) == (count if fits else 0)

    def test_points_and_raster_in_different_crs_are_refused(self, tmp_path: Path) -> None:
        source = GeoTensor(PIXELS, Affine.identity(), "EPSG:32630", None, {"gcps": control_points()})

        with pytest.raises(GeoreferenceError, match="points are in EPSG:4326, the raster in EPSG:32630"):
            save_cog(source, tmp_path / "out.tif")

        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("attrs", "message"),
        [
            ({"gcps": [1, 2]}, r"attrs\['gcps'\] is a list; pass georeader.ground_control.GroundControlPoints"),
            ({"gcps": ([GroundControlPoint(0, 0, math.nan, 1)], None)}, r"attrs\['gcps'\]: point 0 .* finite"),
            ({"rpcs": {"LINE_OFF": 1}}, r"attrs\['rpcs'\] is a dict; pass a rasterio.rpc.RPC"),
            ({"rpcs": RPC(**POLYNOMIALS.to_dict() | {"line_off": math.inf})}, r"attrs\['rpcs'\].line_off=inf"),
            ({"rpcs": RPC(**POLYNOMIALS.to_dict() | {"samp_num_coeff": [1.0]})}, "samp_num_coeff.*20 finite numbers"),
        ],
    )
    def test_points_without_geotiff_counterpart_are_refused(self, attrs: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises(MetadataError, match=message):
            save_cog(tensor(**attrs), tmp_path / "out.tif")

        assert list(tmp_path.iterdir()) == []

    @saves
    @engines
    def test_polynomials_are_read_back(self, save: Any, engine: str, tmp_path: Path) -> None:
        save(tensor(rpcs=POLYNOMIALS), tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert dataset.rpcs == POLYNOMIALS
            assert (dataset.crs, dataset.transform) == (None, Affine.identity())

    @engines
    def test_polynomials_are_written_beside_a_transform(self, engine: str, make_tensor: Any, tmp_path: Path) -> None:
        source = make_tensor(attrs={"rpcs": POLYNOMIALS})

        save_cog(source, tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.rpcs, dataset.transform) == (POLYNOMIALS, source.transform)

    @engines
    def test_points_and_polynomials_are_read_back_together(self, engine: str, tmp_path: Path) -> None:
        save_cog(tensor(gcps=control_points(), rpcs=POLYNOMIALS), tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (facts(dataset.gcps[0]), dataset.rpcs) == (CORNERS, POLYNOMIALS)

    @engines
    def test_a_window_is_saved_with_its_polynomials(self, engine: str, with_polynomials: Path, tmp_path: Path) -> None:
        part = RasterioReader(with_polynomials).isel({"y": slice(20, 120), "x": slice(30, 90)})

        save_cog(part, tmp_path / "out.tif", engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert dataset.transform == Affine.identity()
            np.testing.assert_allclose(pixels_of(dataset.rpcs), np.array(pixels_of(POLYNOMIALS)) - [20, 30], atol=1e-6)

    def test_pixels_in_a_whole_geotiff_are_the_same_with_overviews_beside_them(
        self, with_points: Path, tmp_path: Path
    ) -> None:
        whole = RasterioReader(with_points).load()

        save_cog(whole.astype("int64"), tmp_path / "out.tif", engine="gdal")

        reader = RasterioReader(tmp_path / "out.tif")
        assert reader.overviews() == [2]
        assert reader.attrs["gcps"] == whole.attrs["gcps"]
