"""xarray.DataArrays, by rioxarray's conventions: what comes out, beside what rioxarray's own to_raster writes."""

from __future__ import annotations

import json
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

from by_rioxarray import BY_RIOXARRAY
from conftest import CRS, TRANSFORM
from data_arrays import WKT, FileSummary, a_file, centres, data_array, ramp, read_summary, saved, with_nan
from georeader import save_cog, save_tiled_geotiff
from georeader._export.sources import open_source
from georeader.errors import (
    DtypeError,
    GeoreferenceError,
    MetadataError,
    MetadataWarning,
    MissingExtraError,
    NodataError,
    ReadError,
    ShapeError,
)
from georeader.window_utils import regrid

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

xarray = pytest.importorskip("xarray", reason="xarray is not installed")

# Beside rioxarray.

HELD: dict[str, Callable[[], Any]] = {
    "as it is": lambda: data_array(ramp()),
    "a single band": lambda: data_array(ramp((60, 50))),
    "unsigned": lambda: data_array(ramp(dtype="uint8")),
    "complex": lambda: data_array(ramp(dtype="complex64")),
    "nodata": lambda: data_array(ramp(), attrs={"_FillValue": 7}),
    "NaN as nodata": lambda: data_array(ramp(dtype="float32"), attrs={"_FillValue": np.nan}),
    "nodata by other names": lambda: data_array(ramp(), attrs={"nodata": 9, "missing_value": 8}),
    "nodata of bands": lambda: data_array(ramp(), attrs={"nodatavals": (4, 4)}),
    "a name": lambda: data_array(ramp(), name="reflectance"),
    "a long name": lambda: data_array(ramp(), name="refl", attrs={"long_name": "reflectance"}),
    "long names": lambda: data_array(ramp(), name="refl", attrs={"long_name": ("red", "nir")}),
    "packed": lambda: data_array(ramp(), attrs={"scale_factor": 0.5, "add_offset": 3.0}),
    "packed by band": lambda: data_array(ramp(), attrs={"scales": (0.5, 2.0), "offsets": (0.0, 3.0)}),
    "south up": lambda: data_array(ramp(), Affine(10, 0, 500000, 0, 10, 4000000)),
    "east to west": lambda: data_array(ramp(), Affine(-10, 0, 500000, 0, -10, 4000000)),
    "a part": lambda: data_array(ramp()).isel(x=slice(10, 40), y=slice(3, 50)),
    "every other pixel": lambda: data_array(ramp()).isel(x=slice(1, None, 2), y=slice(None, None, 3)),
    "turned": lambda: data_array(ramp()).sortby("y"),
    "no stored transform": lambda: data_array(ramp()).drop_vars("spatial_ref"),
    "no coordinates": lambda: data_array(ramp()).drop_vars(["x", "y"]),
    "coordinates of single precision": lambda: data_array(ramp(), Affine(0.001, 0, 5, 0, -0.001, 40)).assign_coords(
        {
            name: values.astype("float32")
            for name, values in centres(Affine(0.001, 0, 5, 0, -0.001, 40), (60, 50)).items()
        }
    ),
    "NaN to be stored as a number": lambda: data_array(with_nan(), encoding={"_FillValue": -99.0}),
    "to be stored as integers": lambda: data_array(with_nan(), encoding={"_FillValue": -99, "dtype": "int16"}),
    "to be packed": lambda: data_array(
        with_nan() / 8, encoding={"_FillValue": -99, "dtype": "int16", "scale_factor": 0.25, "add_offset": 10.0}
    ),
    "to be packed without nodata": lambda: data_array(
        ramp(dtype="float64") / 8, encoding={"dtype": "uint16", "scale_factor": 0.125}
    ),
    "integers to be stored as others": lambda: data_array(ramp(), encoding={"dtype": "int32", "_FillValue": -1}),
}


def assert_same(found: FileSummary, expected: FileSummary) -> None:
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    for name in ("dtype", "scales", "offsets", "descriptions", "crs"):
        assert getattr(found, name) == getattr(expected, name), name
    np.testing.assert_equal(found.nodata, expected.nodata)
    assert found.transform.almost_equals(expected.transform, 1e-6)


@BY_RIOXARRAY
@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_an_array_in_memory_is_saved_as_rioxarray_does_it(make: Callable[[], Any], tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    make().rio.to_raster(tmp_path / "expected.tif")

    assert_same(saved(make(), tmp_path), read_summary(tmp_path / "expected.tif"))


OPENED: dict[str, dict[str, Any]] = {
    "stored": {},
    "masked": {"masked": True},
    "unpacked": {"mask_and_scale": True},
    "chunks": {"chunks": {"x": 20, "y": 30}},
    "unpacked chunks": {"mask_and_scale": True, "chunks": True},
}

PARTS: dict[str, Callable[[Any], Any]] = {
    "all": lambda array: array,
    "a window": lambda array: array.isel(x=slice(10, 40), y=slice(3, 50)),
    "some rows": lambda array: array.isel(y=slice(3, None, 2)),
    "upside down": lambda array: array.sortby("y"),
}


@BY_RIOXARRAY
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("options", OPENED.values(), ids=OPENED)
def test_an_opened_file_is_saved_as_rioxarray_does_it(
    options: dict[str, Any], part: Callable[[Any], Any], tmp_path: Path
) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    path = a_file(tmp_path / "in.tif")
    part(rioxarray.open_rasterio(path, **options)).rio.to_raster(tmp_path / "expected.tif")

    found = saved(part(rioxarray.open_rasterio(path, **options)), tmp_path)

    assert_same(found, read_summary(tmp_path / "expected.tif"))
    assert found.pixels.dtype == "int16"


def test_transforms_keep_their_digits_where_coordinates_have_rounded_them(tmp_path: Path) -> None:
    transform = Affine(0.1, 0, -3.3, 0, -0.1, 41.7)

    found = saved(data_array(ramp(), transform).isel(x=slice(7, 40)), tmp_path)

    assert found.transform == Affine(0.1, 0, -3.3 + 7 * 0.1, 0, -0.1, 41.7)


# Where we differ from rioxarray, and why.


@pytest.mark.parametrize("dims", [("y", "x", "band"), ("x", "band", "y"), ("x", "y", "band")], ids=str)
def test_dimensions_are_accepted_in_any_order(dims: tuple[str, ...], tmp_path: Path) -> None:
    array = data_array(ramp()).transpose(*dims)

    found = saved(array, tmp_path)

    np.testing.assert_array_equal(found.pixels, ramp())
    assert array.dims == dims


def test_dimensions_of_length_one_are_dropped(tmp_path: Path) -> None:
    array = data_array(ramp()).expand_dims(time=1).expand_dims("level", axis=3)

    np.testing.assert_array_equal(saved(array, tmp_path).pixels, ramp())


def test_names_along_the_bands_are_kept(tmp_path: Path) -> None:
    array = data_array(ramp(), coords={"band": ["red", "nir"]}, name="reflectance")

    assert saved(array, tmp_path).descriptions == ("red", "nir")
    assert saved(array.sel(band="nir"), tmp_path).descriptions == ("nir",)


@BY_RIOXARRAY
@pytest.mark.parametrize(("bands", "names"), [([3, 1], ("red", "blue")), ([2], ("green",)), (2, ("green",))])
def test_attributes_of_bands_follow_their_selection(bands: Any, names: tuple[str, ...], tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    array = rioxarray.open_rasterio(a_file(tmp_path / "in.tif"))

    assert saved(array.sel(band=bands), tmp_path).descriptions == names


def test_attributes_of_another_length_are_left_out(tmp_path: Path) -> None:
    array = data_array(ramp(), attrs={"long_name": ("a", "b", "c")}, name="reflectance")

    with pytest.warns(MetadataWarning, match="long_name: not one entry for each of the 2 bands"):
        assert saved(array, tmp_path).descriptions == ("reflectance", "reflectance")


def test_units_are_those_of_the_bands(tmp_path: Path) -> None:
    save_cog(data_array(ramp(), attrs={"units": "m"}), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.units == ("m", "m")
        assert "units" not in dataset.tags()


def test_attributes_without_a_geotiff_field_become_tags(tmp_path: Path) -> None:
    attrs = {
        "_FillValue": -1, "scale_factor": 0.5, "long_name": "refl", "grid_mapping": "spatial_ref", "STATISTICS_MEAN": 3,
        "comment": "", "AREA_OR_POINT": "Point", "cloud": np.float32(0.5), "numbers": np.arange(3), "window": (1, 2),
    }  # fmt: skip

    save_tiled_geotiff(data_array(ramp(), attrs=attrs), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        expected = {"AREA_OR_POINT": "Point", "cloud": "0.5", "numbers": "[0, 1, 2]", "window": "(1, 2)"}
        assert dataset.tags() == expected


def test_tags_of_bands_are_kept(tmp_path: Path) -> None:
    save_cog(data_array(ramp(), attrs={"band_tags": [{"gain": "1"}, {"gain": "2"}]}), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert [dataset.tags(band)["gain"] for band in (1, 2)] == ["1", "2"]


@BY_RIOXARRAY
def test_scales_that_differ_by_band_are_undone_by_band(tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    scales, offsets = (0.1, 0.5, 2.0), (5.0, 0.0, -3.0)
    path = a_file(tmp_path / "in.tif", scales=scales, offsets=offsets)
    with pytest.warns(UserWarning, match="differ across bands"):
        array = rioxarray.open_rasterio(path, mask_and_scale=True)

    for bands in ([1, 2, 3], [3, 1], [2]):
        found = saved(array.sel(band=bands), tmp_path)
        np.testing.assert_array_equal(found.pixels, ramp((3, 60, 50))[np.array(bands) - 1])
        assert found.scales == tuple(scales[band - 1] for band in bands)


def test_a_missing_value_that_was_decoded_is_declared_as_nodata(tmp_path: Path) -> None:
    found = saved(data_array(with_nan(), encoding={"missing_value": -99.0, "dtype": "int16"}), tmp_path)

    assert found.nodata == -99
    assert (found.pixels[:, 5:9, 3:30] == -99).all()


def test_a_negative_fill_value_of_unsigned_integers_is_unsigned(tmp_path: Path) -> None:
    encoding = {"dtype": "int8", "_Unsigned": "true", "_FillValue": np.int8(-1)}
    pixels = np.array([[0.0, 200.0, np.nan]] * 3, "float32")

    found = saved(data_array(pixels, encoding=encoding), tmp_path)

    assert (found.dtype, found.nodata) == ("uint8", 255)
    np.testing.assert_array_equal(found.pixels[0, 0], [0, 200, 255])


@pytest.mark.parametrize("engine", ["h5netcdf", "zarr"])
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")  # of zarr's own format, by zarr
def test_files_of_netcdf_and_zarr_are_saved_as_they_are_stored(engine: str, chunks: Any, tmp_path: Path) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    if chunks is not None:
        pytest.importorskip("dask.array", reason="dask is not installed")
    packing = {"dtype": "int16", "_FillValue": -99, "scale_factor": 0.25, "add_offset": 10.0}
    array = data_array(with_nan() * 0.25 + 10, name="height", attrs={"units": "m"})
    array.encoding = packing | {"grid_mapping": "spatial_ref"}
    path = tmp_path / f"in.{engine}"
    if engine == "zarr":
        array.to_dataset().to_zarr(path)
    else:
        array.to_dataset().to_netcdf(path, engine=engine)

    with xarray.open_dataset(path, engine=engine, chunks=chunks, decode_coords="all") as dataset:
        found = saved(dataset["height"], tmp_path)
        still_lazy = not dataset["height"]._in_memory

    assert still_lazy
    assert (found.dtype, found.nodata, found.scales[0], found.offsets[0]) == ("int16", -99, 0.25, 10.0)
    np.testing.assert_array_equal(found.pixels, np.nan_to_num(with_nan(), nan=-99))
    assert (found.crs, found.transform, found.descriptions) == (rasterio.CRS.from_wkt(WKT), TRANSFORM, ("height",) * 2)


# Laziness.


class NotAsAWhole(xarray.backends.BackendArray):
    """A lazy file of which windows may be read, and never all of it."""

    def __init__(self, pixels: NDArray[Any], fails_at_row: int | None = None) -> None:
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.fails_at_row = fails_at_row
        self.most_px = 0
        self.reads = np.zeros(pixels.shape, int)
        self._pixels = pixels

    def __getitem__(self, key: Any) -> Any:
        indexing = xarray.core.indexing
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: Any) -> NDArray[Any]:
        cut = self._pixels[key]
        rows = range(*key[1].indices(self.shape[1]))
        if self.fails_at_row in rows:
            raise OSError("the line is dead")
        self.reads[key] += 1
        self.most_px = max(self.most_px, cut.size)
        return cut


def lazily(backend: NotAsAWhole, **more: Any) -> Any:
    indexing = xarray.core.indexing
    lazy = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(indexing.LazilyIndexedArray(backend)))
    array = data_array(backend._pixels, **more)
    return array.copy(data=lazy)


def test_a_lazy_array_is_read_by_windows_and_stays_lazy(tmp_path: Path) -> None:
    backend = NotAsAWhole(ramp((1, 1500, 1400)))
    array = lazily(backend, encoding={"preferred_chunks": {"y": 300, "x": 500}})

    save_cog(array, tmp_path / "out.tif", max_memory="48MiB")

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, backend._pixels)
    assert not array._in_memory
    assert backend.most_px < backend.reads.size
    assert (backend.reads.min(), backend.reads.max()) == (1, 1)


def test_an_array_that_was_loaded_is_in_memory(tmp_path: Path) -> None:
    array = lazily(NotAsAWhole(ramp()))
    array.load()

    source = open_source(array)

    assert source.traits.is_in_memory
    np.testing.assert_array_equal(saved(array, tmp_path).pixels, ramp())


@pytest.mark.parametrize("row", [0, 299])
def test_an_error_of_a_lazy_array_names_the_window_and_leaves_nothing(row: int, tmp_path: Path) -> None:
    array = lazily(NotAsAWhole(ramp((1, 300, 200)), fails_at_row=row), name="height")

    with pytest.raises(ReadError, match=r"DataArray 'height': rows \d+ to \d+, .*the line is dead"):
        save_cog(array, tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


def test_dask_array_is_not_loaded(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")
    array = data_array(ramp()).chunk({"y": 20})

    np.testing.assert_array_equal(saved(array, tmp_path).pixels, ramp())

    assert array.chunks is not None


@pytest.mark.parametrize(
    ("preferred", "rows"),
    [
        ({"y": 20, "x": 50}, (0, 20, 40, 60)),
        ({"y": (20, 20, 20), "x": (50,)}, (0, 20, 40, 60)),
        ({}, (0, 60)),
        (None, None),
    ],
)
def test_the_chunks_of_a_file_are_known(preferred: Any, rows: Any) -> None:
    found = open_source(lazily(NotAsAWhole(ramp()), encoding={"preferred_chunks": preferred})).traits.chunks

    assert found is None if rows is None else found.row_edges_px == rows


def test_mapped_array_is_recognised(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "pixels", "int16", "w+", shape=(2, 60, 50))
    mapped[:] = ramp()

    array = data_array(mapped)

    assert not open_source(array).traits.is_in_memory
    np.testing.assert_array_equal(saved(array, tmp_path).pixels, ramp())


@pytest.mark.filterwarnings("ignore:.*NaN pixels in bands 1, 2 beside nodata:georeader.errors.FillValueWarning")
@pytest.mark.parametrize(
    "encoding", [{}, {"dtype": "int16", "_FillValue": -99, "scale_factor": 0.5}], ids=["raw", "packed"]
)
def test_array_of_the_caller_is_not_changed(encoding: dict[str, Any], tmp_path: Path) -> None:
    attrs = {"long_name": ["a", "b"], "units": "m", "nodatavals": (np.nan, np.nan)}
    array = data_array(with_nan(), attrs=attrs, encoding=encoding)
    before = array.copy(deep=True)
    before.encoding = dict(encoding)

    saved(array, tmp_path)

    xarray.testing.assert_identical(array, before)
    assert array.encoding == before.encoding


def test_a_later_save_follows_changed_attributes(tmp_path: Path) -> None:
    array = data_array(ramp(), attrs={"nodatavals": (5, 5)})
    assert saved(array, tmp_path).nodata == 5

    array.attrs["_FillValue"] = 7
    array.coords["spatial_ref"].attrs["spatial_ref"] = rasterio.CRS.from_epsg(32631).to_wkt()

    found = saved(array, tmp_path)
    assert (found.nodata, found.crs.to_epsg()) == (7, 32631)


@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_pixels_are_freed_with_their_array_after_a_save(kind: str, tmp_path: Path) -> None:
    class Pixels(np.ndarray):
        """An array that takes weak references."""

    pixels = ramp((60, 50)).view(Pixels)
    freed = weakref.ref(pixels)
    array = data_array(np.frombuffer(memoryview(pixels), "int16").reshape(60, 50))
    del pixels

    saved(array if kind == "DataArray" else array.to_dataset(name="red"), tmp_path)
    assert freed() is not None
    del array

    assert freed() is None  # without a garbage collection


@pytest.mark.parametrize("kind", ["DataArray", "Dataset"])
def test_an_error_names_the_extra_where_rioxarray_is_missing(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    array = data_array(ramp((60, 50)))

    with pytest.raises(MissingExtraError, match=rf"xarray\.{kind} needs rioxarray: pip install .*extra 'xarray'"):
        save_cog(array if kind == "DataArray" else array.to_dataset(name="red"), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


# Where it lies.


@pytest.mark.parametrize(
    ("dims", "attrs"),
    [
        (("y", "x"), ({}, {})),
        (("latitude", "longitude"), ({}, {})),
        (("lat", "lon"), ({}, {})),
        (("row", "col"), ({"axis": "Y"}, {"axis": "x"})),
        (("n", "e"), ({"standard_name": "projection_y_coordinate"}, {"standard_name": "projection_x_coordinate"})),
    ],
    ids=str,
)
def test_rows_and_columns_are_known_by_name_or_attributes(dims: Any, attrs: Any, tmp_path: Path) -> None:
    array = data_array(ramp((60, 50))).rename(dict(zip(("y", "x"), dims, strict=True)))
    for dim, own in zip(dims, attrs, strict=True):
        array[dim].attrs.update(own)

    found = saved(array.transpose(), tmp_path)

    np.testing.assert_array_equal(found.pixels[0], ramp((60, 50)))
    assert found.transform == TRANSFORM


@BY_RIOXARRAY
def test_dimensions_and_nodata_set_on_rioxarrays_accessor_are_used(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    array = data_array(ramp((60, 50))).rename(y="down", x="across")
    array.rio.set_spatial_dims("across", "down", inplace=True)
    array.rio.set_nodata(7)

    found = saved(array, tmp_path)

    assert (found.transform, found.nodata) == (TRANSFORM, 7)


def test_unknown_dimensions_are_refused(tmp_path: Path) -> None:
    array = xarray.DataArray(ramp((60, 50)), dims=("down", "across"))

    with pytest.raises(GeoreferenceError, match=r"none of the dimensions \('down', 'across'\) are known .* rename"):
        save_cog(array, tmp_path / "out.tif")


IRREGULAR = {
    "uneven": (np.array([0.0, 1.0, 2.0, 4.0]), "not evenly spaced"),
    "all the same": (np.array([1.0, 1.0, 1.0, 1.0]), "not evenly spaced"),
    "with a gap": (np.array([0.0, 1.0, np.nan, 3.0]), "not all finite"),
    "times": (np.array(["2020-01-01"] * 4, "datetime64[ns]"), "not all finite"),
}


@pytest.mark.parametrize(("places", "message"), IRREGULAR.values(), ids=IRREGULAR)
def test_coordinates_without_a_transform_are_refused(places: Any, message: str, tmp_path: Path) -> None:
    array = data_array(ramp((4, 50))).assign_coords(y=places)

    with pytest.raises(GeoreferenceError, match=rf"coordinates along 'y'.*{message}"):
        save_cog(array, tmp_path / "out.tif")


def test_an_array_without_a_georeference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceError, match="no coordinates along 'y' and no transform"):
        save_cog(xarray.DataArray(ramp((4, 5)), dims=("y", "x")), tmp_path / "out.tif")


def test_a_single_row_has_the_size_of_the_stored_transform(tmp_path: Path) -> None:
    row = data_array(ramp()).isel(y=[4])

    assert saved(row, tmp_path).transform == Affine(10, 0, 500000, 0, -10, 4000000 - 40)
    with pytest.raises(GeoreferenceError, match="one pixel along 'y'"):
        save_cog(row.drop_vars("spatial_ref"), tmp_path / "out.tif")


def test_a_rotated_raster_keeps_its_transform_and_a_part_of_it_moves_it(tmp_path: Path) -> None:
    turned = Affine(8, 6, 500000, 6, -8, 4000000)
    rows, columns = np.mgrid[0.5:60, 0.5:50]
    place = {"xc": 8 * columns + 6 * rows + 500000, "yc": 6 * columns - 8 * rows + 4000000}
    array = data_array(ramp(), turned).drop_vars(["x", "y"])
    array = array.assign_coords({name: (("y", "x"), values) for name, values in place.items()})

    assert saved(array, tmp_path).transform == turned
    part = saved(array.isel(y=slice(5, 30), x=slice(20, None)), tmp_path)
    assert part.transform.almost_equals(regrid(turned, column=20, row=5))
    with pytest.raises(GeoreferenceError, match="xc and yc do not lie on the grid of GeoTransform"):
        save_cog(array.isel(y=slice(None, None, 2)), tmp_path / "out.tif")


GRID_MAPPINGS: dict[str, Callable[[Any], Any]] = {
    "spatial_ref": lambda array: array,
    "only crs_wkt": lambda array: array.assign_coords(spatial_ref=((), 0, {"crs_wkt": WKT})),
    "another name, in encoding": lambda array: named(array.rename(spatial_ref="utm"), "encoding", "utm"),
    "another name, in attrs": lambda array: named(array.rename(spatial_ref="utm"), "attrs", "utm"),
    "with its axes": lambda array: named(array.rename(spatial_ref="utm"), "attrs", "utm: x y"),
    "an attribute crs": lambda array: array.drop_vars("spatial_ref").assign_attrs(crs=CRS),
    "zarr's convention": lambda array: array.drop_vars("spatial_ref").assign_attrs(
        {"zarr_conventions": [{"name": "proj:"}], "proj:code": CRS}
    ),
}


def named(array: Any, where: str, name: str) -> Any:
    getattr(array, where)["grid_mapping"] = name
    return array


@pytest.mark.parametrize("change", GRID_MAPPINGS.values(), ids=GRID_MAPPINGS)
def test_the_crs_is_found_where_it_may_be(change: Callable[[Any], Any], tmp_path: Path) -> None:
    assert saved(change(data_array(ramp())), tmp_path).crs == rasterio.CRS.from_user_input(CRS)


def test_a_crs_given_by_parameters_is_read_by_pyproj(tmp_path: Path) -> None:
    pyproj = pytest.importorskip("pyproj", reason="pyproj is not installed")
    attrs = pyproj.CRS(CRS).to_cf()
    del attrs["crs_wkt"]

    found = saved(data_array(ramp()).assign_coords(spatial_ref=((), 0, attrs)), tmp_path)

    assert found.crs.to_dict() == rasterio.CRS.from_user_input(CRS).to_dict()


def test_an_array_without_a_crs_has_none(tmp_path: Path) -> None:
    assert saved(data_array(ramp()).drop_vars("spatial_ref"), tmp_path).crs is None


def test_a_missing_grid_mapping_is_warned_of(tmp_path: Path) -> None:
    array = named(data_array(ramp()).drop_vars("spatial_ref"), "attrs", "crs")

    with pytest.warns(MetadataWarning, match="grid mapping 'crs' is none of its coordinates.*decode_coords='all'"):
        assert saved(array, tmp_path).crs is None


@BY_RIOXARRAY
def test_control_points_and_polynomials_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    points = [GroundControlPoint(row, column, 10 + column, 50 - row, 3.0) for row in (0, 60) for column in (0, 50)]
    array = xarray.DataArray(ramp(), dims=("band", "y", "x")).rio.write_gcps(points, CRS)

    save_cog(array, tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        found, crs = dataset.gcps
        assert [(p.row, p.col, p.x, p.y, p.z) for p in found] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
        assert crs == rasterio.CRS.from_user_input(CRS)


def test_rational_polynomials_are_kept(tmp_path: Path) -> None:
    numbers = {f"{name}_{part}": 1.5 for name in ("height", "lat", "long", "line", "samp") for part in ("off", "scale")}
    numbers |= {f"{name}_{part}_coeff": [0.5] * 20 for name in ("line", "samp") for part in ("num", "den")}
    rpcs = RPC(**numbers, err_bias=2.0, err_rand=3.0)
    place = ((), 0, {"rpcs": json.dumps(rpcs.to_dict())})

    save_cog(xarray.DataArray(ramp(), dims=("band", "y", "x"), coords={"spatial_ref": place}), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.rpcs.to_dict() == rpcs.to_dict()


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"GeoTransform": "1 2 three"}, "GeoTransform='1 2 three' of the grid mapping is not six numbers"),
        ({"spatial_ref": "a sphere, somewhere"}, "is not a CRS that PROJ knows"),
        ({"gcps": "[]"}, "are not rioxarray's GeoJSON"),
        ({"rpcs": "{}"}, "are not rioxarray's JSON"),
        ({"grid_mapping_name": "flat_as_a_pancake"}, "flat_as_a_pancake.*crs_wkt"),
    ],
    ids=str,
)
def test_an_invalid_grid_mapping_is_refused(attrs: dict[str, str], message: str, tmp_path: Path) -> None:
    array = data_array(ramp()).assign_coords(spatial_ref=((), 0, attrs))

    with pytest.raises(GeoreferenceError, match=message):
        save_cog(array, tmp_path / "out.tif")


# What is refused.


def test_more_than_one_dimension_beside_rows_and_columns_is_refused(tmp_path: Path) -> None:
    array = data_array(ramp()).expand_dims(time=3)

    with pytest.raises(ShapeError, match=r"'time': 3.*array\.isel\({'time': 0}\)"):
        save_cog(array, tmp_path / "out.tif")


BAD_ENCODINGS = {
    "NaN, and nothing to store it as": (
        {"dtype": "int16"},
        DtypeError,
        r"NaN.*encoding has the dtype int16.*drop_encoding",
    ),
    "numbers too large": ({"dtype": "uint8", "_FillValue": 0}, DtypeError, "cannot be saved as uint8"),
    "nodata too large": ({"dtype": "uint8", "_FillValue": -9999}, NodataError, "-9999.* cannot be held by uint8"),
    "a scale of zero": ({"dtype": "int16", "scale_factor": 0.0}, MetadataError, "scale_factor.*is 0"),
    "a scale in words": ({"dtype": "int16", "scale_factor": "half"}, MetadataError, "is not a number"),
    "scales of other bands": ({"dtype": "int16", "scales": (1, 2, 3)}, MetadataError, "for 2 bands"),
}


@pytest.mark.parametrize(("encoding", "error", "message"), BAD_ENCODINGS.values(), ids=BAD_ENCODINGS)
def test_an_encoding_that_cannot_hold_the_values_is_refused(
    encoding: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_cog(data_array(with_nan(), encoding=encoding), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


def test_encoding_of_other_types_is_ignored(tmp_path: Path) -> None:
    pixels = ramp((60, 50)) > 500

    found = saved(data_array(pixels, encoding={"dtype": "int8", "_FillValue": 3}), tmp_path)

    np.testing.assert_array_equal(found.pixels[0], pixels)
    assert found.dtype == "uint8"


# What the caller says of missing pixels.


@pytest.mark.parametrize("how", [{"nodata": -7}, {"profile_arg": {"NoData": -7}}], ids=["nodata", "profile_arg"])
def test_nan_becomes_the_nodata_argument(how: dict[str, Any], tmp_path: Path) -> None:
    array = data_array(with_nan(), encoding={"_FillValue": -1, "dtype": "int16"})

    save_cog(array, tmp_path / "out.tif", **how)

    found = read_summary(tmp_path / "out.tif")
    assert found.nodata == -7
    np.testing.assert_array_equal(found.pixels == -7, np.isnan(with_nan()))
    assert not (found.pixels == -1).any()


def test_nan_in_integers_without_nodata_is_refused(tmp_path: Path) -> None:
    array = data_array(with_nan(), encoding={"_FillValue": -1, "dtype": "int16"})

    with pytest.raises(DtypeError, match="pixels of NaN"):
        save_cog(array, tmp_path / "out.tif", profile_arg={"nodata": None})


@pytest.mark.parametrize("names", [("Y", "X"), ("Latitude", "Longitude"), ("LAT", "LON")], ids=str)
def test_names_of_dimensions_may_be_in_capitals(names: tuple[str, str], tmp_path: Path) -> None:
    array = data_array(ramp()).rename(dict(zip(("y", "x"), names, strict=True)))

    np.testing.assert_array_equal(saved(array, tmp_path).pixels, ramp())


@pytest.mark.parametrize("part", [{"x": slice(0, 0)}, {"y": slice(0, 0)}, {"x": 0, "y": 0}, {"x": 3}], ids=str)
def test_an_array_without_rows_and_columns_is_refused(part: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises((ShapeError, GeoreferenceError), match="no pixels|rows and columns"):
        save_cog(data_array(ramp()).isel(part), tmp_path / "out.tif")
