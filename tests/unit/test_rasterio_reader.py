"""RasterioReader on local files: attributes, reads, and file handles.

Every file is written by rasterio or tifffile, and every read is compared with theirs or with numpy.
"""

from __future__ import annotations

import gzip
import math
import os
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rasterio.windows import Window
from rasterio.windows import transform as rasterio_window_transform

from georeader import RasterioReader, save_cog
from georeader.errors import DtypeError, IndexingError, NodataError, ReadError

CRS = "EPSG:32630"
SIN_30, COS_30 = 0.5, math.sqrt(0.75)
NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
#: NORTH_UP, turned by 30 degrees about the first corner.
ROTATED = Affine(10 * COS_30, -10 * SIN_30, 500000, -10 * SIN_30, -10 * COS_30, 4000000)
SOUTH_UP = Affine(10, 0, 500000, 0, 10, 3990000)

#: Bands, rows, columns: no multiple of the 16 pixels of a tile, so that tiles are cut at two edges.
SHAPE = (3, 37, 53)
NODATA = 7
PIXELS = np.random.default_rng(1).integers(100, 60000, SHAPE).astype("uint16")

#: rasterio's own boundless reads use an operator that the newest affine is about to drop.
ignore_affine_in_rasterio = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

WriteRaster = Callable[..., Path]


def write_raster(
    path: Path, pixels: NDArray[Any], describe: Callable[[Any], None] | None = None, **profile: Any
) -> Path:
    count, height, width = pixels.shape
    defaults = {"driver": "GTiff", "dtype": pixels.dtype, "crs": CRS, "transform": NORTH_UP}
    with rasterio.open(path, "w", count=count, height=height, width=width, **(defaults | profile)) as dataset:
        dataset.write(pixels)
        if describe is not None:
            describe(dataset)
    return path


@pytest.fixture
def write(tmp_path: Path) -> WriteRaster:
    """Return a function (pixels, **profile) -> path of a GeoTIFF that rasterio wrote."""

    def one(pixels: NDArray[Any] = PIXELS, name: str = "raster.tif", **profile: Any) -> Path:
        return write_raster(tmp_path / name, pixels, **profile)

    return one


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiled bands of PIXELS on NORTH_UP."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return write_raster(path, PIXELS, nodata=NODATA, tiled=True, blockxsize=16, blockysize=16)


def describe_three_bands(dataset: Any) -> None:
    dataset.descriptions = ("blue", "green", "red")
    dataset.scales = (0.1, 0.2, 0.3)
    dataset.offsets = (1, 2, 3)
    dataset.units = ("m", "", "K")
    dataset.colorinterp = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    dataset.update_tags(SENSOR="MSI", ORBIT="51")


DESCRIBED_ATTRS = {
    "descriptions": ["blue", "green", "red"],
    "scales": [0.1, 0.2, 0.3],
    "offsets": [1.0, 2.0, 3.0],
    "units": ["m", None, "K"],
    "colorinterp": ["blue", "green", "red"],
    "tags": {"SENSOR": "MSI", "ORBIT": "51", "AREA_OR_POINT": "Area"},
}

#: A palindrome-free raster with three overviews, the last of a size that 8 does not divide.
PYRAMID_PIXELS = np.random.default_rng(2).integers(1, 1000, (3, 256, 300)).astype("uint16")


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyramid") / "pyramid.tif"
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    write_raster(path, PYRAMID_PIXELS, describe_three_bands, nodata=0, **tiles)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.nearest)
    return path


def write_vrt(path: Path, *bands: str) -> Path:
    """A VRT of 4 x 3 pixels without sources, for files that a GeoTIFF cannot represent."""
    path.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="3"><GeoTransform>0, 1, 0, 3, 0, -1</GeoTransform>'
        f"{''.join(bands)}</VRTDataset>"
    )
    return path


def vrt_band(number: int, dtype: str, nodata: str | None = None) -> str:
    inner = "" if nodata is None else f"<NoDataValue>{nodata}</NoDataValue>"
    return f'<VRTRasterBand dataType="{dtype}" band="{number}">{inner}</VRTRasterBand>'


def padded_reference(pixels: NDArray[Any], window: Window, fill: float) -> NDArray[Any]:
    """The pixels of a window, computed one margin at a time by numpy: no arithmetic in common with the reader."""
    margin = 200
    wide = np.pad(pixels, ((0, 0), (margin, margin), (margin, margin)), constant_values=fill)
    rows = slice(window.row_off + margin, window.row_off + margin + window.height)
    columns = slice(window.col_off + margin, window.col_off + margin + window.width)
    return wide[:, rows, columns]


#: Windows of up to 60 x 60 pixels, inside, across every edge, and fully outside of SHAPE.
windows = st.builds(
    Window,
    col_off=st.integers(-80, 110),
    row_off=st.integers(-80, 90),
    width=st.integers(1, 60),
    height=st.integers(1, 60),
)


def place(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file's grid by rasterio."""
    with rasterio.open(path) as dataset:
        return {
            "shape": dataset.shape,
            "transform": dataset.transform,
            "crs": dataset.crs,
            "bounds": tuple(dataset.bounds),
            "res": dataset.res,
        }


def build_overviews_beside(path: Path) -> None:
    """Put an overview of every second pixel into ``path``.ovr."""
    with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2], Resampling.nearest)


def open_descriptors(path: Path) -> list[str]:
    """The file descriptors of this process that point to ``path``."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if target == path:
            found.append(descriptor.name)
    return found


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[Affine, Path]:
    """PIXELS on three grids that differ in direction."""
    folder = tmp_path_factory.mktemp("places")
    transforms = (NORTH_UP, ROTATED, SOUTH_UP)
    return {one: write_raster(folder / f"{n}.tif", PIXELS, transform=one) for n, one in enumerate(transforms)}


class TestAttributes:
    def test_shape_is_bands_rows_columns(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        assert reader.shape == SHAPE
        assert (reader.count, reader.height, reader.width) == SHAPE

    def test_dtype_is_that_of_the_file(self, scene: Path) -> None:
        assert RasterioReader(scene).dtype == np.dtype("uint16")

    def test_georeference_is_that_of_rasterio(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        expected = place(scene)
        assert reader.transform == expected["transform"]
        assert reader.crs == expected["crs"]
        assert reader.bounds == expected["bounds"]
        assert reader.res == expected["res"]

    def test_str_and_pathlike_are_the_same(self, scene: Path) -> None:
        assert RasterioReader(str(scene)).path == RasterioReader(scene).path == str(scene)

    def test_a_raster_without_crs_has_none(self, write: WriteRaster) -> None:
        assert RasterioReader(write(crs=None)).crs is None

    def test_descriptions_name_each_band_or_none(self, write: WriteRaster) -> None:
        path = write(describe=lambda dataset: dataset.set_band_description(2, "green"))
        assert RasterioReader(path).descriptions == [None, "green", None]

    def test_tags_are_those_of_the_file(self, write: WriteRaster) -> None:
        path = write(describe=lambda dataset: dataset.update_tags(SENSOR="MSI"))
        assert RasterioReader(path).tags() == {"SENSOR": "MSI", "AREA_OR_POINT": "Area"}

    def test_tags_are_the_callers_own_copy(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        reader.tags()["SENSOR"] = "changed"
        assert "SENSOR" not in reader.tags()

    @pytest.mark.parametrize(
        "name", ["sp ace.tif", "ha#sh.tif", "que?stion.tif", "per%20cent.tif", "ünï.tif", "a+b!.tif"]
    )
    def test_special_characters_in_file_names_are_accepted(self, write: WriteRaster, name: str) -> None:
        assert np.array_equal(RasterioReader(write(name=name)).values, PIXELS)

    def test_repr_shows_path_and_bands(self, pyramid: Path) -> None:
        assert repr(RasterioReader(pyramid)) == (
            "RasterioReader 3 x 256 x 300 (band, row, column) uint16\n"
            "  crs      EPSG:32630\n"
            "  pixel    10 x 10\n"
            "  bounds   (500000, 3997440, 503000, 4000000)\n"
            "  no data  0\n"
            f"  path     {pyramid}\n"
            "  bands    blue, green, red"
        )

    def test_repr_leaves_out_bands_that_have_no_names(self, scene: Path) -> None:
        assert "bands" not in repr(RasterioReader(scene))


class TestNodata:
    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [
            ("uint8", 255),
            ("int8", -128),
            ("int16", -32768),
            ("uint16", 0),
            ("int32", -(2**31)),
            ("uint32", 2**32 - 1),
            ("int64", -9999),
        ],
    )
    def test_of_integer_bands_is_an_int(self, write: WriteRaster, dtype: str, nodata: int) -> None:
        reader = RasterioReader(write(np.ones((1, 3, 3), dtype), nodata=nodata))
        assert (reader.fill_value_default, type(reader.fill_value_default)) == (nodata, int)

    @pytest.mark.parametrize("nodata", [-9999.0, 0.0, float("inf"), -3.4028234663852886e38])
    def test_of_floating_point_bands_is_a_float(self, write: WriteRaster, nodata: float) -> None:
        reader = RasterioReader(write(np.ones((1, 3, 3), "float32"), nodata=nodata))
        assert (reader.fill_value_default, type(reader.fill_value_default)) == (nodata, float)

    def test_may_be_nan(self, write: WriteRaster) -> None:
        reader = RasterioReader(write(np.ones((1, 3, 3), "float64"), nodata=np.nan))
        assert np.isnan(reader.fill_value_default)

    @pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "complex64"])
    def test_is_none_where_the_file_has_none(self, write: WriteRaster, dtype: str) -> None:
        assert RasterioReader(write(np.ones((1, 3, 3), dtype))).fill_value_default is None

    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [
            ("int64", -(2**63)),
            ("int64", 2**63 - 1),
            ("int64", 2**53 + 1),
            ("uint64", 2**64 - 1),
            ("uint64", 2**53 + 1),
        ],
    )
    def test_of_64_bit_bands_keeps_every_digit(self, tmp_path: Path, dtype: str, nodata: int) -> None:
        # rasterio passes nodata on as a double: tifffile writes GDAL's tag without its help.
        path = tmp_path / "wide.tif"
        tifffile.imwrite(path, np.ones((4, 4), dtype), extratags=[(42113, "s", 0, str(nodata), True)])
        reader = RasterioReader(path)
        assert reader.nodata == nodata
        assert reader.read_from_window(Window(-1, 0, 1, 1)).values.item() == nodata

    @pytest.mark.parametrize("nodata", ["0.5", "300", "-9999", "nan"])
    def test_is_none_if_the_dtype_cannot_hold_it(self, tmp_path: Path, nodata: str) -> None:
        path = write_vrt(tmp_path / "odd.vrt", vrt_band(1, "Byte", nodata))
        assert RasterioReader(path).fill_value_default is None

    def test_is_that_of_the_selected_bands(self, tmp_path: Path) -> None:
        path = write_vrt(tmp_path / "two.vrt", vrt_band(1, "Byte", "1"), vrt_band(2, "Byte", "2"))
        assert RasterioReader(path, indexes=[2]).fill_value_default == 2

    def test_is_replaced_by_the_callers_fill_value(self, scene: Path) -> None:
        reader = RasterioReader(scene, fill_value_default=9)
        assert (reader.fill_value_default, reader.nodata) == (9, NODATA)
        assert reader.load().fill_value_default == 9
        assert np.all(reader.read_from_window(Window(-5, -5, 3, 3)).values == 9)

    def test_is_refused_if_the_dtype_cannot_hold_it(self, write: WriteRaster) -> None:
        path = write(np.ones((1, 3, 3), "uint8"))
        with pytest.raises(NodataError, match="fill_value_default=300 cannot be held by uint8"):
            RasterioReader(path, fill_value_default=300)

    def test_can_be_set_later(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        reader.fill_value_default = 11
        assert reader.read_from_window(Window(-1, 0, 1, 1)).load().fill_value_default == 11


class TestLoad:
    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_returns_every_pixel(self, write: WriteRaster, count: int) -> None:
        path = write(PIXELS[:count])
        assert np.array_equal(RasterioReader(path).load().values, PIXELS[:count])

    @pytest.mark.parametrize(
        "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
    )
    def test_has_the_dtype_of_the_file(self, write: WriteRaster, dtype: str) -> None:
        pixels = (PIXELS % 100).astype(dtype)
        loaded = RasterioReader(write(pixels)).load()
        assert loaded.dtype == np.dtype(dtype)
        assert np.array_equal(loaded.values, pixels)

    @pytest.mark.parametrize("dtype", ["complex64", "complex128"])
    def test_returns_complex_pixels(self, write: WriteRaster, dtype: str) -> None:
        pixels = (PIXELS + 1j * PIXELS[::-1]).astype(dtype)
        loaded = RasterioReader(write(pixels)).load()
        assert loaded.dtype == np.dtype(dtype)
        assert np.array_equal(loaded.values, pixels)

    def test_returns_complex_integers_as_complex64(self, write: WriteRaster) -> None:
        pixels = np.full((1, 3, 3), 2 - 3j, "complex64")
        reader = RasterioReader(write(pixels, dtype="complex_int16"))
        assert reader.dtype == np.dtype("complex64")
        assert np.array_equal(reader.load().values, pixels)

    def test_returns_bands_of_different_dtypes_in_a_common_one(self, tmp_path: Path) -> None:
        reader = RasterioReader(write_vrt(tmp_path / "mixed.vrt", vrt_band(1, "Byte"), vrt_band(2, "Float32", "5")))
        assert reader.dtype == reader.load().dtype == np.dtype("float32")
        assert reader.isel({"band": [0]}).dtype == reader.isel({"band": [0]}).load().dtype == np.dtype("uint8")

    def test_agrees_with_tifffile(self, scene: Path) -> None:
        # rasterio writes bands pixel by pixel: tifffile gives (row, column, band).
        assert np.array_equal(RasterioReader(scene).values, np.moveaxis(tifffile.imread(scene), -1, 0))

    def test_has_georeference_and_nodata(self, scene: Path) -> None:
        loaded = RasterioReader(scene).load()
        assert (loaded.transform, loaded.fill_value_default) == (NORTH_UP, NODATA)
        assert loaded.crs == place(scene)["crs"]

    def test_has_the_metadata_of_bands(self, pyramid: Path) -> None:
        assert RasterioReader(pyramid).load().attrs == DESCRIBED_ATTRS

    def test_has_no_keys_of_bands_without_metadata(self, write: WriteRaster) -> None:
        attrs = RasterioReader(write(photometric="MINISBLACK")).load().attrs
        assert attrs == {"colorinterp": ["gray", "undefined", "undefined"], "tags": {"AREA_OR_POINT": "Area"}}

    def test_carries_the_colour_table(self, write: WriteRaster) -> None:
        colours = {0: (0, 0, 0, 255), 1: (10, 20, 30, 255), 2: (40, 50, 60, 255)}
        path = write(
            np.ones((1, 3, 3), "uint8"), photometric="PALETTE", describe=lambda data: data.write_colormap(1, colours)
        )
        attrs = RasterioReader(path).load().attrs
        assert attrs["colorinterp"] == ["palette"]
        assert {value: attrs["colormap"][value] for value in colours} == colours

    def test_drops_the_colour_table_where_a_band_is_repeated(self, shared_data: Path) -> None:
        reader = RasterioReader(shared_data / "landcover_palette_uint8.tif", indexes=[1, 1])
        assert "colormap" not in reader.load().attrs

    def test_attrs_are_the_callers_own_copy(self, pyramid: Path) -> None:
        reader = RasterioReader(pyramid)
        reader.load().attrs["descriptions"][0] = "changed"
        reader.load().attrs["tags"]["SENSOR"] = "changed"
        assert reader.attrs == DESCRIBED_ATTRS

    def test_values_are_a_plain_array(self, scene: Path) -> None:
        assert type(RasterioReader(scene).values) is np.ndarray

    def test_values_are_read_anew_at_each_access(self, write: WriteRaster) -> None:
        path = write()
        reader = RasterioReader(path)
        before = reader.values
        with rasterio.open(path, "r+") as dataset:
            dataset.write(PIXELS + 1)
        assert np.array_equal(before, PIXELS)
        assert np.array_equal(reader.values, PIXELS + 1)


class TestWindows:
    @settings(max_examples=80, deadline=None)
    @given(window=windows)
    def test_any_window_has_its_size_and_is_filled_with_nodata_outside(self, scene: Path, window: Window) -> None:
        loaded = RasterioReader(scene).read_from_window(window).load()
        assert np.array_equal(loaded.values, padded_reference(PIXELS, window, NODATA))

    @ignore_affine_in_rasterio
    @settings(max_examples=50, deadline=None)
    @given(window=windows)
    def test_any_window_agrees_with_rasterio(self, scene: Path, window: Window) -> None:
        with rasterio.open(scene) as dataset:
            expected = dataset.read(window=window, boundless=True, fill_value=NODATA)
        assert np.array_equal(RasterioReader(scene).read(window), expected)

    @ignore_affine_in_rasterio
    @settings(max_examples=50, deadline=None)
    @given(window=windows, transform=st.sampled_from([NORTH_UP, ROTATED, SOUTH_UP]))
    def test_any_window_has_the_transform_of_rasterio(
        self, places: dict[Affine, Path], window: Window, transform: Affine
    ) -> None:
        part = RasterioReader(places[transform]).read_from_window(window)
        assert part.transform.almost_equals(rasterio_window_transform(window, transform), precision=1e-6)

    @settings(max_examples=60, deadline=None)
    @given(outer=windows, inner=windows)
    def test_a_window_of_a_window_is_relative_to_it(self, scene: Path, outer: Window, inner: Window) -> None:
        reader = RasterioReader(scene)
        nested = reader.read_from_window(outer).read_from_window(inner)
        direct = Window(outer.col_off + inner.col_off, outer.row_off + inner.row_off, inner.width, inner.height)
        assert nested.window_focus == direct
        assert np.array_equal(nested.values, reader.read_from_window(direct).values)

    @settings(max_examples=60, deadline=None)
    @given(window=windows)
    def test_without_boundless_a_window_is_cut_at_the_edge_or_refused(self, scene: Path, window: Window) -> None:
        rows = slice(max(window.row_off, 0), max(window.row_off + window.height, 0))
        columns = slice(max(window.col_off, 0), max(window.col_off + window.width, 0))
        expected = PIXELS[:, rows, columns]
        reader = RasterioReader(scene)
        if expected.size == 0:
            with pytest.raises(IndexingError, match="lies outside the raster of 37 x 53 pixels"):
                reader.read_from_window(window, boundless=False)
        else:
            assert np.array_equal(reader.read_from_window(window, boundless=False).values, expected)

    @pytest.mark.parametrize(
        ("window", "corner"),
        [
            (Window(-2, -3, 5, 5), (500000 - 20, 4000000 + 30)),
            (Window(50, 35, 5, 5), (500000 + 500, 4000000 - 350)),
            (Window(1000, -1000, 5, 5), (500000 + 10000, 4000000 + 10000)),
        ],
        ids=["over the first pixel", "over the last pixel", "far outside"],
    )
    def test_transform_follows_the_window(self, scene: Path, window: Window, corner: tuple[int, int]) -> None:
        loaded = RasterioReader(scene).read_from_window(window).load()
        assert (loaded.transform.c, loaded.transform.f) == corner

    def test_outside_is_zero_where_the_file_has_no_nodata(self, write: WriteRaster) -> None:
        part = RasterioReader(write()).read_from_window(Window(-4, 0, 4, 4)).load()
        assert part.fill_value_default is None
        assert not part.values.any()

    def test_outside_is_nan_where_nodata_is_nan(self, write: WriteRaster) -> None:
        path = write(PIXELS.astype("float32"), nodata=np.nan)
        assert np.isnan(RasterioReader(path).read(Window(60, 0, 3, 3))).all()

    def test_bounds_of_a_rotated_raster_hold_its_four_corners(self, write: WriteRaster) -> None:
        reader = RasterioReader(write(transform=ROTATED))
        a, b, c, d, e, f = ROTATED[:6]
        corners = np.array([(a * x + b * y + c, d * x + e * y + f) for x in (0, 53) for y in (0, 37)])
        assert reader.bounds == pytest.approx((*corners.min(axis=0), *corners.max(axis=0)))
        assert reader.res == pytest.approx((10, 10))

    def test_a_reader_of_a_window_leaves_the_first_reader_as_it_was(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        reader.read_from_window(Window(1, 2, 3, 4))
        assert reader.shape == SHAPE

    def test_set_window_changes_the_reader_itself(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        reader.set_window(Window(1, 2, 30, 40))
        reader.set_window(Window(4, 5, 6, 7))
        assert np.array_equal(reader.values, PIXELS[:, 7:14, 5:11])

    def test_set_window_can_count_from_the_file(self, scene: Path) -> None:
        reader = RasterioReader(scene, window_focus=Window(10, 10, 5, 5))
        reader.set_window(Window(1, 2, 3, 4), relative=False)
        assert np.array_equal(reader.values, PIXELS[:, 2:6, 1:4])

    def test_set_window_of_none_is_the_whole_file_again(self, scene: Path) -> None:
        reader = RasterioReader(scene, window_focus=Window(10, 10, 5, 5))
        reader.set_window(None)
        assert reader.shape == SHAPE

    def test_a_window_can_be_given_at_construction(self, scene: Path) -> None:
        reader = RasterioReader(scene, window_focus=Window(-1, 2, 3, 4))
        assert reader.window_focus == Window(-1, 2, 3, 4)
        assert np.array_equal(reader.values, padded_reference(PIXELS, Window(-1, 2, 3, 4), NODATA))

    def test_load_without_boundless_cuts_the_focus_at_the_edge(self, scene: Path) -> None:
        loaded = RasterioReader(scene, window_focus=Window(-5, -6, 20, 20)).load(boundless=False)
        assert loaded.transform == NORTH_UP
        assert np.array_equal(loaded.values, PIXELS[:, :14, :15])

    def test_a_window_between_pixels_is_refused(self, scene: Path) -> None:
        with pytest.raises(IndexingError, match="does not lie on whole pixels"):
            RasterioReader(scene).read_from_window(Window(0.5, 0, 4, 4))

    def test_window_of_whole_floats_is_accepted(self, scene: Path) -> None:
        assert RasterioReader(scene).read(Window(2.0, 3.0, 4.0, 5.0)).shape == (3, 5, 4)


class TestBands:
    @pytest.mark.parametrize("indexes", [[1], [2], [3, 1], [3, 2, 1], [2, 2]])
    def test_are_read_in_the_requested_order(self, scene: Path, indexes: list[int]) -> None:
        reader = RasterioReader(scene, indexes=indexes)
        assert reader.shape == (len(indexes), *SHAPE[1:])
        assert np.array_equal(reader.values, PIXELS[[index - 1 for index in indexes]])

    def test_are_read_with_their_metadata(self, pyramid: Path) -> None:
        reader = RasterioReader(pyramid, indexes=[3, 1])
        assert reader.descriptions == ["red", "blue"]
        assert reader.load().attrs == DESCRIBED_ATTRS | {
            "descriptions": ["red", "blue"],
            "scales": [0.3, 0.1],
            "offsets": [3.0, 1.0],
            "units": ["K", "m"],
            "colorinterp": ["red", "blue"],
        }

    def test_are_counted_among_those_in_focus(self, scene: Path) -> None:
        reader = RasterioReader(scene, indexes=[3, 1])
        reader.set_indexes([2])
        assert reader.indexes == [1]

    def test_can_be_counted_among_those_of_the_file(self, scene: Path) -> None:
        reader = RasterioReader(scene, indexes=[3, 1])
        reader.set_indexes([2], relative=False)
        assert reader.indexes == [2]

    @pytest.mark.parametrize("indexes", [(3, 1), np.array([3, 1]), range(3, 0, -2)], ids=["tuple", "array", "range"])
    def test_may_be_any_sequence(self, scene: Path, indexes: Any) -> None:
        reader = RasterioReader(scene)
        reader.set_indexes(indexes)
        assert reader.indexes == [3, 1]

    @pytest.mark.parametrize(
        ("indexes", "message"),
        [
            ([0], r"scene\.tif: bands \[0\] requested; there are 1 to 3"),
            ([1, 4, 9], r"bands \[4, 9\] requested; there are 1 to 3"),
            ([-1], r"bands \[-1\] requested"),
            ([], "bands none requested"),
        ],
    )
    def test_missing_ones_are_refused(self, scene: Path, indexes: list[int], message: str) -> None:
        with pytest.raises(IndexingError, match=message):
            RasterioReader(scene).set_indexes(indexes)

    def test_read_takes_bands_and_a_window_at_once(self, scene: Path) -> None:
        reader = RasterioReader(scene, indexes=[3, 2], window_focus=Window(10, 10, 20, 20))
        assert np.array_equal(reader.read(Window(1, 2, 3, 4), indexes=[2]), PIXELS[1:2, 12:16, 11:14])
        assert reader.indexes == [3, 2]

    def test_read_without_boundless_is_cut_at_the_edge(self, scene: Path) -> None:
        assert np.array_equal(RasterioReader(scene).read(Window(-1, -1, 3, 3), boundless=False), PIXELS[:, :2, :2])


ends = st.none() | st.integers(-70, 70)
slices = st.builds(slice, ends, ends)


class TestIsel:
    @pytest.mark.parametrize(
        ("band", "expected"),
        [
            ([0, 2], [1, 3]),
            ((2, 0), [3, 1]),
            (np.array([2, 0]), [3, 1]),
            ([-1], [3]),
            ([True, False, True], [1, 3]),
            (slice(1, None), [2, 3]),
            (slice(None, None, -1), [3, 2, 1]),
        ],
    )
    def test_takes_bands_as_numpy_does(self, scene: Path, band: Any, expected: list[int]) -> None:
        assert RasterioReader(scene).isel({"band": band}).indexes == expected

    def test_counts_bands_among_those_in_focus(self, scene: Path) -> None:
        assert RasterioReader(scene, indexes=[3, 1]).isel({"band": [1]}).indexes == [1]

    @settings(max_examples=60, deadline=None)
    @given(rows=slices, columns=slices)
    def test_without_boundless_slices_as_numpy_does(self, scene: Path, rows: slice, columns: slice) -> None:
        expected = PIXELS[:, rows, columns]
        reader = RasterioReader(scene)
        if expected.size == 0:
            with pytest.raises(IndexingError, match="selects no pixels"):
                reader.isel({"y": rows, "x": columns}, boundless=False)
        else:
            assert np.array_equal(reader.isel({"y": rows, "x": columns}, boundless=False).values, expected)

    def test_with_boundless_counts_from_the_first_pixel_on_both_sides(self, scene: Path) -> None:
        part = RasterioReader(scene).isel({"x": slice(-3, 5), "y": slice(30, 40)})
        assert part.window_focus == Window(-3, 30, 8, 10)

    def test_leaves_axes_that_are_not_named_whole(self, scene: Path) -> None:
        assert RasterioReader(scene).isel({"x": slice(2, 5)}).shape == (3, 37, 3)

    def test_explains_why_a_slice_to_minus_one_is_empty(self, scene: Path) -> None:
        with pytest.raises(IndexingError, match=r"axis 'y'.*selects no pixels.*boundless=False"):
            RasterioReader(scene).isel({"y": slice(0, -1)})

    @pytest.mark.parametrize(
        ("sel", "message"),
        [
            ({"time": 0}, "axis 'time' does not exist; a reader has band, y, x"),
            ({"y": 3}, r"axis 'y' takes slices of step one; load\(\) first for 3"),
            ({"x": slice(0, 10, 2)}, "axis 'x' takes slices of step one"),
            ({"band": 1}, r"axis 'band' takes a slice or a list, as in isel\(\{'band': \[1\]\}\)"),
            ({"band": "red"}, "axis 'band' takes a slice or a list"),
            ({"band": [7]}, r"scene\.tif: .*7.*band"),
            ({"band": slice(5, 9)}, "bands none requested"),
        ],
        ids=str,
    )
    def test_refuses_indices_that_a_window_cannot_express(self, scene: Path, sel: dict[str, Any], message: str) -> None:
        with pytest.raises(IndexingError, match=message):
            RasterioReader(scene).isel(sel)


class TestOverviews:
    def test_are_named_by_their_factors(self, pyramid: Path) -> None:
        assert RasterioReader(pyramid).overviews() == [2, 4, 8]

    def test_are_none_where_the_file_has_none(self, scene: Path) -> None:
        assert RasterioReader(scene).overviews() == []

    @pytest.mark.parametrize("level", [0, 1, 2])
    def test_readers_have_the_pixels_of_rasterio(self, pyramid: Path, level: int) -> None:
        with rasterio.open(pyramid, overview_level=level) as dataset:
            expected = dataset.read()
        assert np.array_equal(RasterioReader(pyramid).reader_overview(level).values, expected)

    @pytest.mark.parametrize(("level", "shape"), [(0, (3, 128, 150)), (1, (3, 64, 75)), (2, (3, 32, 38))])
    def test_readers_cover_the_whole_raster(self, pyramid: Path, level: int, shape: tuple[int, ...]) -> None:
        reader = RasterioReader(pyramid)
        overview = reader.reader_overview(level)
        assert overview.shape == shape
        assert overview.bounds == pytest.approx(reader.bounds)
        assert overview.transform.a == pytest.approx(3000 / shape[2])

    def test_readers_of_a_rotated_raster_keep_its_corners(self, tmp_path: Path) -> None:
        path = write_raster(tmp_path / "rotated.tif", PYRAMID_PIXELS, transform=ROTATED)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2], Resampling.nearest)
        reader = RasterioReader(path)
        a, b, c, d, e, f = ROTATED[:6]
        assert reader.reader_overview(0).transform.almost_equals(Affine(2 * a, 2 * b, c, 2 * d, 2 * e, f), 1e-6)
        assert reader.reader_overview(0).bounds == pytest.approx(reader.bounds)

    @pytest.mark.parametrize("level", [0, 1, 2])
    def test_readers_carry_all_metadata(self, pyramid: Path, level: int) -> None:
        overview = RasterioReader(pyramid).reader_overview(level)
        assert overview.load().attrs == DESCRIBED_ATTRS
        assert (overview.fill_value_default, overview.crs) == (0, RasterioReader(pyramid).crs)

    def test_readers_carry_the_colour_table(self, tmp_path: Path, shared_data: Path) -> None:
        path = tmp_path / "landcover.tif"
        path.write_bytes((shared_data / "landcover_palette_uint8.tif").read_bytes())
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2], Resampling.nearest)
        reader = RasterioReader(path)
        assert reader.reader_overview(0).attrs["colormap"] == reader.attrs["colormap"]

    def test_minus_one_selects_the_smallest(self, pyramid: Path) -> None:
        reader = RasterioReader(pyramid)
        assert reader.reader_overview(-1).shape == reader.reader_overview(2).shape
        assert RasterioReader(pyramid, overview_level=-1).shape == reader.reader_overview(2).shape

    def test_readers_of_overviews_have_further_overviews(self, pyramid: Path) -> None:
        overview = RasterioReader(pyramid).reader_overview(0)
        assert len(overview.overviews()) == 2
        assert overview.reader_overview(0).shape == (3, 64, 75)
        assert overview.reader_overview(-1).shape == (3, 32, 38)

    def test_readers_keep_bands_and_fill_value(self, pyramid: Path) -> None:
        overview = RasterioReader(pyramid, indexes=[3, 1], fill_value_default=5).reader_overview(1)
        assert (overview.indexes, overview.fill_value_default) == ([3, 1], 5)
        assert overview.descriptions == ["red", "blue"]

    def test_readers_of_a_raster_without_georeference_scale_its_pixels(self, tmp_path: Path) -> None:
        path = write_raster(tmp_path / "nowhere.tif", PYRAMID_PIXELS, crs=None, transform=None)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2], Resampling.nearest)
        assert RasterioReader(path).reader_overview(0).transform == Affine(2, 0, 0, 0, 2, 0)

    def test_readers_keep_the_options_for_gdal(self, pyramid: Path) -> None:
        reader = RasterioReader(pyramid, rio_env_options={"GDAL_GEOREF_SOURCES": "NONE"})
        assert reader.transform == Affine.identity()
        assert reader.reader_overview(0).rio_env_options == reader.rio_env_options

    def test_windows_are_counted_in_pixels_of_the_overview(self, pyramid: Path) -> None:
        overview = RasterioReader(pyramid, overview_level=1)
        part = overview.read_from_window(Window(70, 60, 10, 10))
        assert np.array_equal(part.values, padded_reference(overview.values, Window(70, 60, 10, 10), 0))
        assert (part.transform.c, part.transform.f) == (500000 + 70 * 40, 4000000 - 60 * 40)

    @pytest.mark.parametrize("level", [3, -4])
    def test_missing_ones_are_refused(self, pyramid: Path, level: int) -> None:
        message = rf"pyramid\.tif: overview {level} requested; there are 3"
        with pytest.raises(IndexingError, match=message):
            RasterioReader(pyramid).reader_overview(level)
        with pytest.raises(IndexingError, match=message):
            RasterioReader(pyramid, overview_level=level)

    def test_of_a_window_are_refused(self, pyramid: Path) -> None:
        part = RasterioReader(pyramid).read_from_window(Window(0, 0, 10, 10))
        with pytest.raises(IndexingError, match="take the overview first, then its window"):
            part.reader_overview(0)

    @pytest.mark.parametrize("band", [0, 4])
    def test_of_a_band_that_is_not_there_are_refused(self, pyramid: Path, band: int) -> None:
        with pytest.raises(IndexingError, match=rf"pyramid\.tif: bands \[{band}\] requested; there are 1 to 3"):
            RasterioReader(pyramid).overviews(band)

    def test_in_a_sidecar_are_found_by_path_and_by_file_url(self, write: WriteRaster) -> None:
        path = write(PYRAMID_PIXELS)
        build_overviews_beside(path)
        assert RasterioReader(path).overviews() == RasterioReader(path.as_uri()).overviews() == [2]


class TestBlockWindows:
    def test_are_those_of_the_file(self, scene: Path) -> None:
        with rasterio.open(scene) as dataset:
            assert RasterioReader(scene).block_windows() == list(dataset.block_windows(1))

    @settings(max_examples=40, deadline=None)
    @given(focus=windows)
    def test_pasted_together_give_the_window_in_focus(self, scene: Path, focus: Window) -> None:
        reader = RasterioReader(scene, window_focus=focus)
        pasted = np.full(reader.shape, NODATA, reader.dtype)
        times_written = np.zeros(reader.shape[1:], int)
        for _, tile in reader.block_windows():
            rows, columns = tile.toslices()
            pasted[:, rows, columns] = reader.read_from_window(tile).values
            times_written[rows, columns] += 1
        assert np.array_equal(pasted, reader.values)
        assert times_written.max(initial=0) <= 1

    def test_keep_their_position_in_the_file_and_are_cut_at_the_focus(self, scene: Path) -> None:
        reader = RasterioReader(scene, window_focus=Window(20, 10, 20, 10))
        assert reader.block_windows() == [
            ((0, 1), Window(0, 0, 12, 6)),
            ((0, 2), Window(12, 0, 8, 6)),
            ((1, 1), Window(0, 6, 12, 4)),
            ((1, 2), Window(12, 6, 8, 4)),
        ]

    def test_are_none_outside_the_raster(self, scene: Path) -> None:
        assert RasterioReader(scene, window_focus=Window(100, 100, 10, 10)).block_windows() == []

    def test_of_an_overview_are_those_of_its_tiles(self, pyramid: Path) -> None:
        overview = RasterioReader(pyramid, overview_level=2)
        assert sum(tile.width * tile.height for _, tile in overview.block_windows()) == 32 * 38

    def test_of_a_band_that_is_not_there_are_refused(self, scene: Path) -> None:
        with pytest.raises(IndexingError, match=r"scene\.tif: bands \[4\] requested; there are 1 to 3"):
            RasterioReader(scene).block_windows(4)


class TestLaziness:
    def test_windows_and_bands_are_chosen_without_the_file(self, write: WriteRaster) -> None:
        path = write()
        reader = RasterioReader(path)
        path.unlink()
        part = reader.read_from_window(Window(1, 2, 3, 4)).isel({"band": [2, 0], "x": slice(0, 2)})
        assert part.shape == (2, 4, 2)

    def test_missing_file_raises_at_reading(self, write: WriteRaster) -> None:
        path = write()
        reader = RasterioReader(path)
        path.unlink()
        with pytest.raises(ReadError, match="raster.tif"):
            reader.load()

    def test_replaced_file_raises_at_reading(self, write: WriteRaster) -> None:
        path = write()
        reader = RasterioReader(path)
        write(PIXELS[:, :20, :30])
        with pytest.raises(ReadError, match=r"raster\.tif: it has 3 x 20 x 30 .* now, and had 3 x"):
            reader.load()

    @pytest.mark.parametrize(
        "use",
        [
            lambda reader: reader.load(),
            lambda reader: reader.read_from_window(Window(-5, -5, 20, 20)).values,
            lambda reader: reader.overviews(),
            lambda reader: reader.block_windows(),
            lambda reader: reader.reader_overview(0).load(),
            repr,
        ],
        ids=["load", "window", "overviews", "block_windows", "reader_overview", "repr"],
    )
    def test_no_file_handle_is_kept(self, pyramid: Path, use: Callable[[RasterioReader], Any]) -> None:
        reader = RasterioReader(pyramid)
        assert open_descriptors(pyramid) == []
        use(reader)
        assert open_descriptors(pyramid) == []

    def test_open_descriptors_finds_an_open_dataset(self, pyramid: Path) -> None:
        with rasterio.open(pyramid):
            assert len(open_descriptors(pyramid)) == 1

    def test_no_file_handle_is_kept_where_reading_fails(self, cut_short: Path) -> None:
        reader = RasterioReader(cut_short)
        with pytest.raises(ReadError):
            reader.load()
        assert open_descriptors(cut_short) == []

    @pytest.fixture
    def cut_short(self, write: WriteRaster) -> Path:
        return cut(write(compress="deflate", tiled=True, blockxsize=16, blockysize=16))

    def test_a_reader_survives_pickling(self, scene: Path) -> None:
        reader = RasterioReader(scene, indexes=[3, 1], window_focus=Window(-2, 3, 10, 11), fill_value_default=9)
        pickled = pickle.dumps(reader)
        copy = pickle.loads(pickled)
        assert (copy.indexes, copy.window_focus, copy.fill_value_default) == ([3, 1], Window(-2, 3, 10, 11), 9)
        assert copy.transform == reader.transform
        assert np.array_equal(copy.values, reader.values)
        assert len(pickled) < PIXELS.nbytes

    def test_a_reader_can_be_shared_by_threads(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        wanted = [Window(column, row, 9, 8) for column in range(-5, 55, 6) for row in range(-5, 40, 6)]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(reader.read, wanted))
        for window, pixels in zip(wanted, results, strict=True):
            assert np.array_equal(pixels, padded_reference(PIXELS, window, NODATA))

    def test_a_copy_has_its_own_focus(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        copy = reader.copy()
        copy.set_indexes([2])
        copy.set_window(Window(0, 0, 2, 2))
        copy.fill_value_default = 3
        assert (reader.shape, reader.fill_value_default) == (SHAPE, NODATA)

    def test_a_copy_has_its_own_list_of_bands(self, scene: Path) -> None:
        reader = RasterioReader(scene)
        reader.copy().indexes.reverse()
        assert reader.indexes == [1, 2, 3]

    def test_options_for_gdal_hold_while_reading_only(self, write: WriteRaster) -> None:
        path = write(PYRAMID_PIXELS)
        build_overviews_beside(path)
        reader = RasterioReader(path, rio_env_options={"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"})
        assert reader.overviews() == []
        assert RasterioReader(path).overviews() == [2]


class TestVirtualPaths:
    def test_in_a_zip_archive(self, scene: Path, tmp_path: Path) -> None:
        archive = tmp_path / "archive.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.write(scene, "folder/scene.tif")
        reader = RasterioReader(f"/vsizip/{archive}/folder/scene.tif")
        assert np.array_equal(
            reader.read(Window(-3, 5, 20, 20)), padded_reference(PIXELS, Window(-3, 5, 20, 20), NODATA)
        )

    def test_in_a_zip_archive_by_url(self, scene: Path, tmp_path: Path) -> None:
        archive = tmp_path / "archive.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.write(scene, "scene.tif")
        assert np.array_equal(RasterioReader(f"zip://{archive}!scene.tif").values, PIXELS)

    def test_gzipped(self, scene: Path, tmp_path: Path) -> None:
        zipped = tmp_path / "scene.tif.gz"
        zipped.write_bytes(gzip.compress(scene.read_bytes()))
        assert np.array_equal(RasterioReader(f"/vsigzip/{zipped}").values, PIXELS)

    def test_in_memory(self, scene: Path) -> None:
        with MemoryFile(scene.read_bytes()) as file:
            assert file.name.startswith("/vsimem/")
            assert np.array_equal(RasterioReader(file.name).values, PIXELS)

    def test_by_file_url(self, scene: Path) -> None:
        assert np.array_equal(RasterioReader(scene.as_uri()).values, PIXELS)

    def test_that_is_missing_is_named(self, tmp_path: Path) -> None:
        path = f"/vsizip/{tmp_path}/none.zip/scene.tif"
        with pytest.raises(ReadError, match=path):
            RasterioReader(path)


def cut(path: Path) -> Path:
    """Leave the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def missing(folder: Path) -> Path:
    return folder / "missing.tif"


def directory(folder: Path) -> Path:
    (folder / "folder.tif").mkdir()
    return folder / "folder.tif"


def empty_file(folder: Path) -> Path:
    (folder / "empty.tif").touch()
    return folder / "empty.tif"


def text_file(folder: Path) -> Path:
    (folder / "text.tif").write_text("no raster at all\n" * 100)
    return folder / "text.tif"


def only_a_header(folder: Path) -> Path:
    path = write_raster(folder / "header.tif", PIXELS)
    path.write_bytes(path.read_bytes()[:6])
    return path


class TestUnreadableFiles:
    @pytest.mark.parametrize("make", [missing, directory, empty_file, text_file, only_a_header])
    def test_raise_an_error_with_path_and_cause(self, tmp_path: Path, make: Callable[[Path], Path]) -> None:
        path = make(tmp_path)
        with pytest.raises(ReadError, match=str(path)) as caught:
            RasterioReader(path)
        assert isinstance(caught.value.__cause__, rasterio.errors.RasterioIOError)
        assert isinstance(caught.value, OSError)

    @pytest.mark.parametrize("make", [missing, text_file])
    def test_raise_an_error_with_the_path_once(self, tmp_path: Path, make: Callable[[Path], Path]) -> None:
        path = make(tmp_path)
        with pytest.raises(ReadError) as caught:
            RasterioReader(path)
        assert str(caught.value).count(str(path)) == 1

    def test_a_truncated_file_is_an_error_where_its_pixels_are_missing(self, write: WriteRaster) -> None:
        path = cut(write(compress="deflate", tiled=True, blockxsize=16, blockysize=16))
        reader = RasterioReader(path)
        assert np.array_equal(reader.read(Window(0, 0, 16, 16)), PIXELS[:, :16, :16])
        with pytest.raises(ReadError, match=rf"{path}: .*(TIFF|Read)") as caught:
            reader.load()
        assert isinstance(caught.value.__cause__, rasterio.errors.RasterioIOError)

    def test_failed_read_has_the_message_of_gdal(self, write: WriteRaster) -> None:
        path = cut(write(compress="deflate", tiled=True, blockxsize=16, blockysize=16))
        with pytest.raises(ReadError, match="band 1: IReadBlock failed"):
            RasterioReader(path).load()

    def test_a_raster_that_points_to_a_missing_file(self, tmp_path: Path) -> None:
        source = "<SimpleSource><SourceFilename>gone.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        path = write_vrt(tmp_path / "mosaic.vrt", f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand>')
        with pytest.raises(ReadError, match="mosaic.vrt"):
            RasterioReader(path).load()

    def test_a_raster_without_bands(self, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match=r"nothing\.vrt"):
            RasterioReader(write_vrt(tmp_path / "nothing.vrt"))


REAL_RASTERS = {
    "landsat7_rgb_uint8.tif": ((3, 718, 791), "uint8", 0),
    "hillshade_uint8.tif": ((1, 1024, 1024), "uint8", 255),
    "landcover_palette_uint8.tif": ((1, 706, 1066), "uint8", None),
    "elevation_float64.tif": ((1, 341, 316), "float64", None),
    "reflectance_scaled_int16.tif": ((1, 256, 256), "int16", -1000),
    "rgb_alpha_uint8.tif": ((4, 512, 512), "uint8", None),
}


class TestRealRasters:
    @pytest.mark.parametrize("name", REAL_RASTERS)
    def test_have_the_listed_shape_dtype_and_nodata(self, shared_data: Path, name: str) -> None:
        reader = RasterioReader(shared_data / name)
        assert (reader.shape, reader.dtype.name, reader.fill_value_default) == REAL_RASTERS[name]

    @pytest.mark.parametrize("name", REAL_RASTERS)
    def test_are_read_as_rasterio_reads_them(self, shared_data: Path, name: str) -> None:
        with rasterio.open(shared_data / name) as dataset:
            expected = dataset.read()
        loaded = RasterioReader(shared_data / name).load()
        np.testing.assert_array_equal(loaded.values, expected)

    @pytest.mark.parametrize("name", REAL_RASTERS)
    def test_have_the_bounds_of_rasterio(self, shared_data: Path, name: str) -> None:
        reader = RasterioReader(shared_data / name)
        expected = place(shared_data / name)
        assert (reader.transform, reader.crs) == (expected["transform"], expected["crs"])
        assert reader.bounds == pytest.approx(expected["bounds"], rel=1e-12)

    @ignore_affine_in_rasterio
    @pytest.mark.parametrize("name", REAL_RASTERS)
    def test_are_filled_beyond_their_edges_as_by_rasterio(self, shared_data: Path, name: str) -> None:
        window = Window(-30, 200, 90, 900)
        fill = REAL_RASTERS[name][2] or 0
        with rasterio.open(shared_data / name) as dataset:
            expected = dataset.read(window=window, boundless=True, fill_value=fill)
        np.testing.assert_array_equal(RasterioReader(shared_data / name).read(window), expected)

    def test_reflectance_has_scale_and_offset(self, shared_data: Path) -> None:
        attrs = RasterioReader(shared_data / "reflectance_scaled_int16.tif").load().attrs
        assert (attrs["scales"], attrs["offsets"], attrs["descriptions"]) == ([0.0001], [1000.0], ["Green"])

    def test_landcover_has_its_colours(self, shared_data: Path) -> None:
        path = shared_data / "landcover_palette_uint8.tif"
        with rasterio.open(path) as dataset:
            assert RasterioReader(path).load().attrs["colormap"] == dataset.colormap(1)

    def test_rgb_alpha_has_its_alpha_band(self, shared_data: Path) -> None:
        reader = RasterioReader(shared_data / "rgb_alpha_uint8.tif")
        assert reader.isel({"band": [3, 0]}).load().attrs["colorinterp"] == ["alpha", "red"]

    @ignore_affine_in_rasterio
    def test_window_is_saved_as_a_cog(self, shared_data: Path, tmp_path: Path) -> None:
        reader = RasterioReader(shared_data / "landsat7_rgb_uint8.tif")
        window = Window(300, 200, 64, 80)
        save_cog(reader.read_from_window(window), tmp_path / "part.tif")
        with rasterio.open(tmp_path / "part.tif") as written, rasterio.open(shared_data / reader.path) as whole:
            assert np.array_equal(written.read(), whole.read(window=window))
            assert written.transform == rasterio_window_transform(window, whole.transform)


@pytest.fixture
def mixed_bands(tmp_path: Path) -> Path:
    """Return a VRT with a band of int64, 2**53 + 1 among its pixels, and one of float32."""
    for name, values in {"int64": [[2**53 + 1, 4]], "float32": [[0.5, 2]]}.items():
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", width=2, height=1, count=1, dtype=name) as to:
            to.write(np.array([values], name))
    bands = "".join(
        f'<VRTRasterBand dataType="{gdals}" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">{name}.tif'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for band, (name, gdals) in enumerate({"int64": "Int64", "float32": "Float32"}.items(), start=1)
    )
    path = tmp_path / "mixed.vrt"
    path.write_text(f'<VRTDataset rasterXSize="2" rasterYSize="1">{bands}</VRTDataset>')
    return path


def test_integers_beside_floating_point_bands_are_not_rounded(mixed_bands: Path) -> None:
    with pytest.raises(DtypeError, match=r"mixed\.vrt, band 1: .*9007199254740993.*float64"):
        RasterioReader(mixed_bands).load()


def test_bands_of_several_dtypes_are_read_one_at_a_time_and_together_where_they_fit(mixed_bands: Path) -> None:
    reader = RasterioReader(mixed_bands)

    assert reader.isel({"band": slice(0, 1)}).load().values.tolist() == [[[2**53 + 1, 4]]]
    assert reader.isel({"x": slice(1, 2)}).load().values.tolist() == [[[4.0]], [[2.0]]]
