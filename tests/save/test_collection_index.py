"""The VRT over a collection: what GDAL reads through it is the cube, from several versions of GDAL and from stores."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine

from foreign.processes import DEBIAN_PYTHON, need
from georeader import GeoTensor, RasterioReader, save_cog
from georeader._collection.vrt import Grid, index_xml
from georeader.errors import GeoreferenceError
from georeader.stac import item_of
from saved_collections import FIRST_DAY, TRANSFORM, Cube
from servers.s3 import S3Server

CUBES = {
    "steps": {"steps": 3},
    "chunks": {"steps": 1, "chunk": (40, 50)},
    "a step is missing": {"missing": [(0, 0, 0)]},
    "steps and chunks": {"chunk": (50, 70)},
    "chunks are missing": {"chunk": (40, 70), "missing": [(1, 0, 1), (1, 2, 1), (0, 1, 0)]},
    "one band": {"variables": ["B04"], "is_array": True},
}
every_cube = pytest.mark.parametrize("kind", CUBES)


def names_of(cube: Cube) -> list[str]:
    return [f"{time:%Y-%m-%d} {name}" for time in cube.times for name in cube.values]


def assert_is_cube(path: str, cube: Cube) -> None:
    with rasterio.open(path) as dataset:
        assert list(dataset.descriptions) == names_of(cube)
        assert (dataset.crs, dataset.transform, dataset.shape) == ("EPSG:32630", TRANSFORM, cube.shape)
        bands = [(step, name) for step in range(len(cube.times)) for name in cube.values]
        for number, (step, name) in enumerate(bands, start=1):
            expected = cube.expected[name][step]
            found = dataset.read(number)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)


@every_cube
def test_rasterio_reads_the_cube(kind: str, tmp_path: Path) -> None:
    cube = Cube(**CUBES[kind])

    cube.save(str(tmp_path))

    assert_is_cube(str(tmp_path / "index.vrt"), cube)


def test_it_is_read_after_the_folder_was_moved(tmp_path: Path) -> None:
    cube = Cube()
    (tmp_path / "first").mkdir()
    cube.save(str(tmp_path / "first"))

    (tmp_path / "first").rename(tmp_path / "späte <Ärzte> & 'b'")

    assert_is_cube(str(tmp_path / "späte <Ärzte> & 'b'" / "index.vrt"), cube)


#: What gdalinfo prints, of each path: run by the interpreter that has Debian's GDAL.
GDALINFO = """
import json, sys
from osgeo import gdal
gdal.UseExceptions()
print(json.dumps([gdal.Info(path, format="json", computeChecksum=True) for path in sys.argv[1:]]))
"""


def gdalinfo(*paths: Path) -> list[dict[str, Any]]:
    need("Debian's GDAL")
    command = [DEBIAN_PYTHON, "-I", "-c", GDALINFO, *map(str, paths)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_gdalinfo_of_debian_reports_the_files_checksums(tmp_path: Path) -> None:
    cube = Cube()
    cube.save(str(tmp_path))
    files = [tmp_path / f"{time:%Y%m%d}_{name}.tif" for time in cube.times for name in cube.values]

    index, *singles = gdalinfo(tmp_path / "index.vrt", *files)

    assert [band["description"] for band in index["bands"]] == names_of(cube)
    assert [band["checksum"] for band in index["bands"]] == [one["bands"][0]["checksum"] for one in singles]
    assert [band["noDataValue"] for band in index["bands"]] == [0, "NaN"] * 2
    assert index["geoTransform"] == list(TRANSFORM.to_gdal())
    assert index["stac"]["proj:epsg"] == 32630


def test_it_is_read_in_s3(seaweed: S3Server, use_env: Callable[[dict[str, str]], None]) -> None:
    use_env(seaweed.env())
    cube, root = Cube(chunk=(40, 50), missing=[(1, 0, 0)]), seaweed.url(f"{secrets.token_hex(4)}/of may")

    cube.save(root)

    assert_is_cube(root.replace("s3://", "/vsis3/") + "/index.vrt", cube)
    reader = RasterioReader(f"{root}/index.vrt", indexes=[1])
    np.testing.assert_array_equal(reader.load().values[0], cube.expected["B04"][0])


@pytest.fixture
def make_item(tmp_path: Path) -> Callable[..., pystac.Item]:
    """Return a function that saves a raster, and returns its item; its JSON file is not written."""

    def make(
        name: str = "a", values: Any = None, *, crs: Any = "EPSG:32630", transform: Affine = TRANSFORM, **options: Any
    ) -> pystac.Item:
        values = np.arange(1, 601, dtype="uint16").reshape(1, 20, 30) if values is None else values
        days, attrs = options.pop("days", 0), options.pop("attrs", {})
        attrs = {"acquired": FIRST_DAY + timedelta(days=days)} | attrs
        tensor = GeoTensor(values, transform, crs, options.pop("nodata", 0), attrs)
        return item_of(save_cog(tensor, tmp_path / f"{name}.tif", options.pop("names", ["B04"]), **options))

    return make


def write_index(items: list[pystac.Item], folder: Path, **options: Any) -> Path:
    path = folder / "index.vrt"
    path.write_bytes(index_xml({str(folder / f"{item.id}.json"): item for item in items}, str(folder), **options))
    return path


class TestBands:
    @pytest.mark.filterwarnings("ignore::georeader.errors.FillValueWarning")
    @pytest.mark.parametrize(("dtype", "nodata"), [
        ("uint8", 255), ("int8", -1), ("int16", -32768), ("uint32", 0), ("int32", -1), ("int64", -(2**63)),
        ("uint64", 2**64 - 1), ("float32", -9999), ("float32", float(np.finfo("float32").min)), ("float64", np.nan),
        ("float64", np.inf), ("complex64", None), ("uint8", None),
    ])  # fmt: skip
    def test_dtypes_and_nodata_are_those_of_the_files(
        self, dtype: str, nodata: Any, make_item: Any, tmp_path: Path
    ) -> None:
        values = np.arange(600).reshape(1, 20, 30).astype(dtype)
        item = make_item(values=values, nodata=nodata)

        path = write_index([item], tmp_path)

        with rasterio.open(path) as index, rasterio.open(tmp_path / "a.tif") as file:
            assert (index.dtypes, index.nodatavals) == (file.dtypes, pytest.approx(file.nodatavals, nan_ok=True))
            np.testing.assert_array_equal(index.read(), values)

    def test_scales_offsets_units_and_names_are_those_of_the_files(self, make_item: Any, tmp_path: Path) -> None:
        attrs = {"units": ["K", "1 < 2"], "scales": [0.1, 2e-7], "offsets": [-273.15, 0]}
        item = make_item(values=np.ones((2, 20, 30), "int16"), names=["T & <b>", "Größe"], attrs=attrs)

        path = write_index([item], tmp_path)

        with rasterio.open(path) as index:
            assert index.descriptions == ("T & <b>", "Größe")
            assert index.units == ("K", "1 < 2")
            assert (index.scales, index.offsets) == ((0.1, 2e-7), (-273.15, 0))

    def test_bands_without_a_name_are_named_by_asset_and_number(self, make_item: Any, tmp_path: Path) -> None:
        one, two = make_item("a", names=None), make_item("b", np.ones((2, 20, 30), "uint8"), names=None, days=1)

        with rasterio.open(write_index([one, two], tmp_path)) as index:
            assert index.descriptions == ("2024-05-01 data", "2024-05-02 data 1", "2024-05-02 data 2")

    def test_colours_are_known_by_their_names(self, make_item: Any, tmp_path: Path) -> None:
        item = make_item(values=np.ones((4, 20, 30), "uint8"), names=["red", "Green", "blue", "nir"])

        with rasterio.open(write_index([item], tmp_path)) as index:
            assert [colour.name for colour in index.colorinterp] == ["red", "green", "blue", "gray"]

    def test_times_of_day_and_spans_are_in_the_names(self, make_item: Any, tmp_path: Path) -> None:
        span = {"start_datetime": "2024-06-01T00:00:00Z", "end_datetime": "2024-07-01T00:00:00Z"}
        items = [make_item("a", days=0.25), make_item("b", days=1)]
        items[1].datetime, items[1].properties = None, items[1].properties | span

        with rasterio.open(write_index(items, tmp_path)) as index:
            assert index.descriptions == ("2024-05-01T06:00:00Z B04", "2024-06-01T00:00:00Z/2024-07-01T00:00:00Z B04")

    def test_items_of_one_time_and_place_are_named_by_their_ids(self, make_item: Any, tmp_path: Path) -> None:
        with rasterio.open(write_index([make_item("z100"), make_item("z200")], tmp_path)) as index:
            assert index.descriptions == ("z100 B04", "z200 B04")

    def test_steps_that_are_passed_name_the_bands(self, make_item: Any, tmp_path: Path) -> None:
        beside = TRANSFORM @ Affine.translation(30, 0)
        items = [make_item("a"), make_item("b", transform=beside, days=9), make_item("c", transform=beside)]
        steps = {
            str(tmp_path / f"{name}.json"): step for name, step in zip("abc", ["10 m", "10 m", "20 m"], strict=True)
        }

        with rasterio.open(write_index(items, tmp_path, steps=steps)) as index:
            assert index.descriptions == ("10 m B04", "20 m B04")
            first, second = index.read()
        pixels = np.arange(1, 601).reshape(20, 30)
        np.testing.assert_array_equal(first, np.hstack([pixels, pixels]))
        np.testing.assert_array_equal(second, np.hstack([np.zeros_like(pixels), pixels]))

    def test_steps_without_items_are_nodata(self, make_item: Any, tmp_path: Path) -> None:
        steps = {str(tmp_path / "a.json"): "2"}

        with rasterio.open(write_index([make_item("a")], tmp_path, steps=steps, step_names=["1", "2", "2"])) as index:
            assert index.descriptions == ("1 B04", "2 B04")
            assert (index.read(1) == index.nodata).all()
            assert index.read(2).all()


@pytest.mark.parametrize("chunk", [(512, 512), (300, 500), None], ids=str)
def test_its_overviews_are_those_of_the_files(chunk: Any, tmp_path: Path) -> None:
    shape = (600, 1024)
    cube = Cube(["B04"], shape=shape, chunk=chunk, missing=[(1, 0, 0)])
    cube.save(str(tmp_path), profile_arg={"overview_resampling": "nearest"})

    with rasterio.open(tmp_path / "index.vrt") as index:
        factors = index.overviews(1)
        coarse = index.read(out_shape=(2, 300, 512))

    assert factors == ([2] if chunk else [2, 4])
    expected = cube.expected["B04"]
    if chunk != (300, 500):  # sides of chunks that are no multiples of 2
        sides = [expected[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        assert any((coarse == side).all() for side in sides)
    assert (coarse[1] == 0).mean() == pytest.approx((expected[1] == 0).mean(), abs=0.01)


class TestMasks:
    """Of files without nodata."""

    def test_masks_are_those_of_the_files(self, make_item: Any, tmp_path: Path) -> None:
        values = np.ma.masked_less(np.arange(600, dtype="uint8").reshape(1, 20, 30), 50)
        items = [make_item("a", values, nodata=None), make_item("b", values.filled(1), nodata=None, days=1)]

        with rasterio.open(tmp_path / "a.tif") as file, rasterio.open(write_index(items, tmp_path)) as index:
            assert index.nodatavals == (None, None)
            np.testing.assert_array_equal(index.read_masks(), np.stack([file.read_masks(1), np.full((20, 30), 255)]))
            np.testing.assert_array_equal(index.read(1, masked=True).filled(7), values[0].filled(7))

    def test_pixels_without_a_file_are_masked(self, make_item: Any, tmp_path: Path) -> None:
        item = make_item(values=np.ones((1, 20, 30), "uint8"), nodata=None)
        whole = Grid(40, 30, TRANSFORM, "EPSG:32630")

        with rasterio.open(write_index([item], tmp_path, grid=whole)) as index:
            assert (index.read_masks(1)[:20] == 255).all()
            assert not index.read_masks(1)[20:].any()

    def test_overviews_have_masks(self, make_item: Any, tmp_path: Path) -> None:
        values = np.ma.masked_array(np.ones((1, 600, 600), "uint8"), np.zeros((1, 600, 600), bool))
        values[:, :300] = np.ma.masked
        item = make_item(values=values, nodata=None)

        with rasterio.open(write_index([item], tmp_path)) as index:
            coarse = index.read_masks(1, out_shape=(150, 150))
        assert not coarse[:75].any()
        assert (coarse[75:] == 255).all()


class TestGrid:
    @pytest.mark.parametrize("transform", [
        TRANSFORM, Affine(10, 0, 500000.3, 0, 10, 100.7), TRANSFORM @ Affine.rotation(30),
        Affine(1 / 3, 0, -180, 0, -1 / 3, 90),
    ], ids=["north up", "south up", "rotated", "odd steps"])  # fmt: skip
    @pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")
    def test_chunks_are_put_together_in_any_orientation(
        self, transform: Affine, make_item: Any, tmp_path: Path
    ) -> None:
        values = np.arange(1, 2401, dtype="uint16").reshape(1, 40, 60)
        items = [
            make_item(
                f"{row}_{column}", values[:, row : row + 20, column : column + 30],
                transform=transform @ Affine.translation(column, row),
            )
            for row, column in [(20, 0), (0, 30), (20, 30), (0, 0)]
        ]  # fmt: skip

        with rasterio.open(write_index(items, tmp_path)) as index:
            assert index.transform.almost_equals(transform)
            np.testing.assert_array_equal(index.read(), values)

    def test_it_covers_the_whole_grid_that_is_passed(self, make_item: Any, tmp_path: Path) -> None:
        item = make_item(transform=TRANSFORM @ Affine.translation(30, 20))

        with rasterio.open(write_index([item], tmp_path, grid=Grid(60, 90, TRANSFORM, "EPSG:32630"))) as index:
            assert (index.shape, index.transform) == ((60, 90), TRANSFORM)
            found = index.read(1)
        assert np.count_nonzero(found) == np.count_nonzero(found[20:40, 30:60]) == 600

    def test_items_without_georeference_are_stacked(self, make_item: Any, tmp_path: Path) -> None:
        items = [make_item(name, crs=None, transform=Affine.identity(), days=day) for day, name in enumerate("ab")]

        text = write_index(items, tmp_path).read_text()

        assert "<SRS>" not in text
        assert "<GeoTransform>" not in text
        assert text.count("<VRTRasterBand") == 2

    @pytest.mark.filterwarnings("ignore:the CRS")
    def test_crs_without_a_code_is_that_of_the_files(self, make_item: Any, tmp_path: Path) -> None:
        crs = "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84"

        with rasterio.open(write_index([make_item(crs=crs)], tmp_path)) as index:
            assert index.crs == rasterio.CRS.from_string(crs)

    @pytest.mark.parametrize(("second", "message"), [
        ({"crs": "EPSG:32631"}, r"b\.tif' has the CRS EPSG:32631, and the index EPSG:32630; pass index=False"),
        ({"transform": TRANSFORM @ Affine.scale(2)}, r"b\.tif' has the transform .* not those of the index"),
        ({"transform": TRANSFORM @ Affine.translation(30.5, 0)}, "has the transform"),
        ({"transform": TRANSFORM @ Affine.rotation(1)}, "has the transform"),
    ])  # fmt: skip
    def test_items_of_several_grids_are_refused(
        self, second: dict[str, Any], message: str, make_item: Any, tmp_path: Path
    ) -> None:
        with pytest.raises(GeoreferenceError, match=message):
            write_index([make_item("a"), make_item("b", **second)], tmp_path)

    def test_files_of_one_step_at_one_place_are_refused(self, make_item: Any, tmp_path: Path) -> None:
        steps = {str(tmp_path / f"{name}.json"): "may" for name in "ab"}

        with pytest.raises(GeoreferenceError, match=r"b\.tif' lies where another file of the step 'may' does"):
            write_index([make_item("a"), make_item("b")], tmp_path, steps=steps)

    def test_items_without_rasters_are_refused(self, make_item: Any, tmp_path: Path) -> None:
        item = make_item()
        item.assets = {"page": pystac.Asset("page.html")}

        with pytest.raises(GeoreferenceError, match="no item has an asset with raster:bands and proj:shape"):
            write_index([item], tmp_path)


def test_sources_have_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    Cube().save(str(tmp_path / "root"))

    names = ElementTree.parse(tmp_path / "root" / "index.vrt").findall(".//SourceFilename")

    assert {name.get("relativeToVRT") for name in names} == {"1"}
    assert [name.text for name in names][:2] == ["20240501_B04.tif", "20240501_ndvi.tif"]
