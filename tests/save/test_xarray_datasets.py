"""xarray.Datasets: variables of one shape and dtype become bands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from by_rioxarray import BY_RIOXARRAY
from conftest import CRS, TRANSFORM
from data_arrays import WKT, a_file, centres, data_array, ramp, read_summary, saved, with_nan
from georeader import CogWriter, save_cog, save_tiled_geotiff
from georeader._export.sources import open_source
from georeader.errors import DtypeError, GeoreferenceError, MetadataWarning, NodataError, ShapeError
from georeader.preview import preview
from places import ROOT

xarray = pytest.importorskip("xarray", reason="xarray is not installed")


def variable(dtype: str = "int16", start: int = 0, **more: Any) -> Any:
    """Return a (60, 50) DataArray without a name."""
    return data_array(ramp((60, 50), dtype) + np.dtype(dtype).type(start), **more)


def red_and_nir(dtype: str = "int16") -> Any:
    """Return a Dataset of two variables, with attributes of their own."""
    red = variable(dtype, attrs={"scale_factor": 0.5, "units": "1", "long_name": "red light", "gain": "low"})
    nir = variable(dtype, 7, attrs={"add_offset": 3.0, "units": "m", "gain": "high"})
    return xarray.Dataset({"red": red, "nir": nir}, attrs={"title": "a scene"})


def pixels_of(dataset: Any) -> Any:
    return np.stack([np.asarray(dataset[name]) for name in dataset.data_vars])


SAVES: dict[str, Callable[[Any, Path], Any]] = {
    "save_cog": save_cog,
    "gdal": lambda data, path: save_cog(data, path, engine="gdal"),
    "save_tiled_geotiff": save_tiled_geotiff,
    "tiled, by bands": lambda data, path: save_tiled_geotiff(data, path, profile_arg={"INTERLEAVE": "BAND"}),
}

KINDS: dict[str, Callable[[Any], Any]] = {
    "numpy": lambda dataset: dataset,
    "dask": lambda dataset: dataset.chunk({"y": 20}),
    "dask and numpy": lambda dataset: dataset.assign(red=dataset.red.chunk({"y": 20})),
    "chunks that differ": lambda dataset: dataset.assign(
        red=dataset.red.chunk({"y": 20}), nir=dataset.nir.chunk({"x": 30})
    ),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_variables_become_bands_with_their_attributes(
    kind: Callable[[Any], Any], save: Callable[[Any, Path], Any], tmp_path: Path
) -> None:
    if kind is not KINDS["numpy"]:
        pytest.importorskip("dask.array", reason="dask is not installed")
    dataset = kind(red_and_nir())

    save(dataset, tmp_path / "out.tif")

    found = read_summary(tmp_path / "out.tif")
    np.testing.assert_array_equal(found.pixels, pixels_of(dataset))
    assert (found.dtype, found.nodata, found.descriptions) == ("int16", None, ("red", "nir"))
    assert (found.scales, found.offsets) == ((0.5, 1.0), (0.0, 3.0))
    assert (found.transform, found.crs) == (TRANSFORM, rasterio.CRS.from_user_input(CRS))
    with rasterio.open(tmp_path / "out.tif") as file:
        assert file.units == ("1", "m")
        assert file.tags()["title"] == "a scene"
        assert file.tags(1)["gain"] == "low"
        assert file.tags(1)["long_name"] == "red light"
        assert file.tags(2)["gain"] == "high"


def test_dataset_is_not_changed(tmp_path: Path) -> None:
    dataset = red_and_nir()
    before = dataset.copy(deep=True)

    save_cog(dataset, tmp_path / "out.tif")

    xarray.testing.assert_identical(dataset, before)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "complex64", "bool"])
def test_variables_of_every_geotiff_dtype_are_saved(dtype: str, tmp_path: Path) -> None:
    dataset = xarray.Dataset({"red": variable(dtype), "nir": variable(dtype)})

    np.testing.assert_array_equal(saved(dataset, tmp_path).pixels, pixels_of(dataset))


@BY_RIOXARRAY
@pytest.mark.parametrize(
    "options", [{}, {"masked": True}, {"mask_and_scale": True}, {"mask_and_scale": True, "chunks": True}], ids=str
)
def test_file_opened_as_variables_is_saved_unchanged(options: dict[str, Any], tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    path = a_file(tmp_path / "in.tif", scales=(0.1, 0.5, 2.0), offsets=(5.0, 0.0, -3.0))
    with rasterio.open(path, "r+") as file:
        file.update_tags(2, gain="high")

    found = saved(rioxarray.open_rasterio(path, band_as_variable=True, **options), tmp_path)

    expected = read_summary(path)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    for name in ("dtype", "nodata", "scales", "offsets", "descriptions", "crs", "transform"):
        assert getattr(found, name) == getattr(expected, name), name
    with rasterio.open(tmp_path / "saved.tif") as file:
        assert file.tags(2)["gain"] == "high"
        assert file.tags()["mission"] == "S2"


ATTRS: dict[str, dict[str, Any]] = {
    "nodata and tags": {"_FillValue": 7, "mission": "S2"},
    "one scale": {"scale_factor": 0.5, "add_offset": 3.0, "units": "m"},
    "scales of bands": {"scales": (0.5, 2.0), "offsets": (0.0, 3.0), "units": ("m", "s"), "nodatavals": (7, 7)},
}


@pytest.mark.parametrize("attrs", ATTRS.values(), ids=ATTRS)
@pytest.mark.parametrize("names", [["red", "nir"], [1, 2]], ids=str)
def test_an_array_made_into_variables_is_saved_as_the_array_is(names: Any, attrs: Any, tmp_path: Path) -> None:
    array = data_array(ramp(), coords={"band": names}, attrs=attrs)
    save_cog(array, tmp_path / "array.tif")

    save_cog(array.to_dataset(dim="band"), tmp_path / "dataset.tif")

    assert (tmp_path / "dataset.tif").read_bytes() == (tmp_path / "array.tif").read_bytes()


# Values that are packed.


def packed(**more: Any) -> dict[str, Any]:
    return {"dtype": "int16", "_FillValue": -99, "scale_factor": 0.25, "preferred_chunks": {}} | more


def two_packed() -> Any:
    values = with_nan()[0]
    red = data_array(values * np.float32(0.25), encoding=packed())
    nir = data_array(values * np.float32(0.5) + 10, encoding=packed(scale_factor=0.5, add_offset=10.0))
    return xarray.Dataset({"red": red, "nir": nir})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_variable_is_stored_in_its_encoding(kind: Callable[[Any], Any], tmp_path: Path) -> None:
    if kind is not KINDS["numpy"]:
        pytest.importorskip("dask.array", reason="dask is not installed")

    found = saved(kind(two_packed()), tmp_path)

    assert (found.dtype, found.nodata) == ("int16", -99)
    assert (found.scales, found.offsets) == ((0.25, 0.5), (0.0, 10.0))
    np.testing.assert_array_equal(found.pixels, np.stack([np.nan_to_num(with_nan()[0], nan=-99)] * 2))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_variables_are_saved_as_they_are_if_one_does_not_fit_its_encoding(
    kind: Callable[[Any], Any], tmp_path: Path
) -> None:
    if kind is not KINDS["numpy"]:
        pytest.importorskip("dask.array", reason="dask is not installed")
    dataset = two_packed()
    dataset["nir"][:] = dataset["nir"] / 3
    dataset = kind(dataset)

    with pytest.warns(MetadataWarning, match=r"the encoding of Dataset .*saved as float32"):
        found = saved(dataset, tmp_path)

    assert (found.dtype, found.scales, found.offsets) == ("float32", (1.0, 1.0), (0.0, 0.0))
    assert np.isnan(found.nodata)
    np.testing.assert_array_equal(found.pixels, pixels_of(dataset))


def test_nodata_argument_applies_to_all_variables(tmp_path: Path) -> None:
    dataset = two_packed()
    dataset["nir"].encoding["_FillValue"] = -5

    save_cog(dataset, tmp_path / "out.tif", nodata=-7)

    found = read_summary(tmp_path / "out.tif")
    assert found.nodata == -7
    np.testing.assert_array_equal(found.pixels == -7, np.stack([np.isnan(with_nan()[0])] * 2))


# One nodata for all.


def with_nodata(red: Any, nir: Any, dtype: str = "int16") -> Any:
    """Return two variables, of which the first has its nodata in row 0, the second in row 1."""
    bands = {}
    for row, (name, nodata) in enumerate({"red": red, "nir": nir}.items()):
        pixels = ramp((60, 50), dtype)
        attrs = {}
        if nodata is not None:
            pixels[row] = nodata
            attrs["_FillValue"] = nodata
        bands[name] = data_array(pixels, attrs=attrs)
    return xarray.Dataset(bands)


@pytest.mark.parametrize("chunks", [None, {"y": 20}], ids=["numpy", "dask"])
@pytest.mark.parametrize(
    ("red", "nir", "dtype", "nodata"),
    [
        (-1, -1, "int16", -1),
        (-1, -2, "int16", -1),
        (-1, None, "int16", -1),
        (None, -2, "int16", -2),
        (-1.0, -2.0, "float32", np.nan),
        (-1.0, np.nan, "float32", np.nan),
        (np.nan, np.nan, "float32", np.nan),
    ],
    ids=str,
)
def test_missing_pixels_of_all_variables_are_missing(
    red: Any, nir: Any, dtype: str, nodata: Any, chunks: Any, tmp_path: Path
) -> None:
    dataset = with_nodata(red, nir, dtype)
    if chunks:
        pytest.importorskip("dask.array", reason="dask is not installed")
        dataset = dataset.chunk(chunks)

    found = saved(dataset, tmp_path)

    np.testing.assert_equal(found.nodata, nodata)
    with rasterio.open(tmp_path / "saved.tif") as file:
        masks = file.read_masks() != 0
    missing = np.zeros((2, 60, 50), bool)
    missing[0, 0], missing[1, 1] = red is not None, nir is not None
    np.testing.assert_array_equal(masks, ~missing)
    np.testing.assert_array_equal(found.pixels[~missing], pixels_of(dataset)[~missing])


@pytest.mark.parametrize("other", [-2, None], ids=str)
def test_a_value_that_is_the_nodata_of_another_variable_is_refused(other: Any, tmp_path: Path) -> None:
    dataset = with_nodata(-1, other)
    dataset["nir"][30, 30] = -1

    with pytest.raises(NodataError, match=r"variable 'nir' has pixels of -1, .*pass a nodata="):
        save_cog(dataset, tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


# What is in a Dataset beside rasters.


def test_grid_mappings_among_the_variables_are_found(tmp_path: Path) -> None:
    dataset = red_and_nir().reset_coords("spatial_ref")
    assert "spatial_ref" in dataset.data_vars

    assert saved(dataset, tmp_path).crs == rasterio.CRS.from_user_input(CRS)


def test_a_grid_mapping_of_another_name_is_found(tmp_path: Path) -> None:
    dataset = red_and_nir().rename(spatial_ref="utm").reset_coords("utm")
    for name in ("red", "nir"):
        dataset[name].attrs["grid_mapping"] = "utm: x y"

    assert saved(dataset, tmp_path).crs == rasterio.CRS.from_user_input(CRS)


def test_a_georeference_in_the_attributes_of_the_dataset_is_that_of_its_variables(tmp_path: Path) -> None:
    dataset = red_and_nir().drop_vars(["spatial_ref", "x", "y"]).assign_attrs(crs=CRS, transform=tuple(TRANSFORM)[:6])

    found = saved(dataset, tmp_path)

    assert (found.crs, found.transform) == (rasterio.CRS.from_user_input(CRS), TRANSFORM)


def test_variables_without_rows_and_columns_are_named_and_left_out(tmp_path: Path) -> None:
    dataset = red_and_nir().assign(
        cloud_percent=3.0, sun=("angle", [1.0, 2.0]), x_bnds=(("x", "bnds"), np.zeros((50, 2)))
    )
    dataset["x"].attrs["bounds"] = "x_bnds"

    with pytest.warns(MetadataWarning, match="left out: 'cloud_percent', 'sun'$"):
        assert saved(dataset, tmp_path).descriptions == ("red", "nir")


@pytest.mark.parametrize("engine", ["h5netcdf", "zarr"])
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")  # of zarr's own format, by zarr
def test_a_dataset_of_a_file_is_saved_as_it_is_stored_and_stays_lazy(engine: str, chunks: Any, tmp_path: Path) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    written = two_packed().assign(time=np.datetime64("2024-01-01", "ns"))
    for name in ("red", "nir"):
        written[name].encoding.pop("preferred_chunks")
        written[name].encoding["grid_mapping"] = "spatial_ref"
    path = tmp_path / f"in.{engine}"
    if engine == "zarr":
        written.to_zarr(path)
    else:
        written.to_netcdf(path, engine=engine)

    with xarray.open_dataset(path, engine=engine, chunks=chunks) as dataset:
        names = tuple(name for name in dataset.data_vars if name in ("red", "nir"))  # zarr sorts them
        with pytest.warns(MetadataWarning, match="left out: 'time'"):
            found = saved(dataset, tmp_path)
        is_lazy = not dataset["red"].variable._in_memory

    assert is_lazy
    assert (found.dtype, found.descriptions, found.crs) == ("int16", names, rasterio.CRS.from_wkt(WKT))
    assert found.scales == tuple({"red": 0.25, "nir": 0.5}[name] for name in names)
    np.testing.assert_array_equal(found.pixels, np.stack([np.nan_to_num(with_nan()[0], nan=-99)] * 2))


@pytest.mark.parametrize("encoding", [{}, {"dtype": "int16", "_FillValue": -1}], ids=["as they are", "packed"])
def test_shared_tasks_of_variables_are_computed_once(encoding: dict[str, Any], tmp_path: Path) -> None:
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    counts = np.zeros(7, int)

    def read(block_info: Any = None) -> Any:
        (start, stop), _ = block_info[None]["array-location"]
        counts[start // 100] += 1
        return ramp((700, 300), "float32")[start:stop]

    shared = dask_array.map_blocks(read, chunks=((100,) * 7, (300,)), dtype="float32", meta=np.empty((0, 0), "float32"))
    coords = centres(TRANSFORM, (700, 300))
    dataset = xarray.Dataset({name: (("y", "x"), shared * factor) for name, factor in (("a", 1), ("b", 2))}, coords)
    for name in ("a", "b"):
        dataset[name].encoding = encoding

    found = saved(dataset, tmp_path)

    np.testing.assert_array_equal(found.pixels, np.stack([ramp((700, 300), "float32") * factor for factor in (1, 2)]))
    assert counts.tolist() == [1] * 7


# Dimensions beside rows and columns.


def test_a_single_variable_has_its_own_bands(tmp_path: Path) -> None:
    times = np.array(["2024-01-01", "2024-01-11"], "M8[ns]")
    array = data_array(ramp()).rename(band="time").assign_coords(time=times)

    found = saved(array.to_dataset(name="ndvi"), tmp_path)

    np.testing.assert_array_equal(found.pixels, ramp())
    assert found.descriptions == ("2024-01-01", "2024-01-11")


def test_dimensions_of_length_one_are_dropped(tmp_path: Path) -> None:
    dataset = red_and_nir()
    dataset["nir"] = dataset["nir"].expand_dims(time=1).transpose("x", "time", "y")

    np.testing.assert_array_equal(saved(dataset, tmp_path).pixels, pixels_of(red_and_nir()))


def test_several_variables_with_bands_are_refused(tmp_path: Path) -> None:
    dataset = red_and_nir().expand_dims(time=3)

    with pytest.raises(ShapeError, match=r"'red' .*'time': 3.*one of 2.*isel.*dataset\['red'\]"):
        save_cog(dataset, tmp_path / "out.tif")


# What is refused.


def other_grid(array: Any) -> Any:
    """Return an array on dimensions of its own that follow CF's names."""
    return array.rename(y="latitude", x="longitude")


BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "several dtypes": (
        lambda: red_and_nir().assign(ndvi=variable("float32")),
        DtypeError,
        r"'red' int16, 'nir' int16, 'ndvi' float32.*dataset\.astype\('float32'\)",
    ),
    "integers of several sizes": (
        lambda: red_and_nir().assign(classes=variable("uint16")),
        DtypeError,
        r"'classes' uint16.*dataset\.astype\('int32'\)",
    ),
    "a mask beside numbers": (
        lambda: red_and_nir().assign(mask=variable() > 3),
        DtypeError,
        r"'mask' bool.*dataset\.astype\('int16'\)",
    ),
    "several encodings": (
        lambda: two_packed().assign(qa=data_array(with_nan()[0], encoding=packed(dtype="uint8", _FillValue=0))),
        DtypeError,
        r"'red' int16 by its encoding, .*'qa' uint8 by its encoding.*dataset\.astype\('float32'\)",
    ),
    "words": (
        lambda: red_and_nir().assign(names=(("y", "x"), np.full((60, 50), "a"))),
        DtypeError,
        r"'names' <U1.*choose those of one dtype",
    ),
    "several shapes": (
        lambda: red_and_nir().assign(coarse=other_grid(data_array(ramp((30, 25))))),
        ShapeError,
        r"'red' 60 x 50, .*'coarse' 30 x 25",
    ),
    "several places": (
        lambda: red_and_nir().assign(other=other_grid(data_array(ramp((60, 50)), Affine(10, 0, 0, 0, -10, 0)))),
        GeoreferenceError,
        "'other' of the Dataset lies elsewhere than 'red'",
    ),
    "no variables": (lambda: xarray.Dataset(), ShapeError, "without a variable along rows and columns.*none"),
    "no rows and columns": (
        lambda: xarray.Dataset({"sun": ("angle", [1.0, 2.0])}),
        ShapeError,
        r"'sun' \('angle',\).*dataset\.rename",
    ),
    "no pixels": (lambda: red_and_nir().isel(x=slice(0, 0)), ShapeError, "no pixels"),
}


@pytest.mark.parametrize(("make", "error", "message"), BAD.values(), ids=BAD)
def test_a_dataset_without_rasters_is_refused(
    make: Callable[[], Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_cog(make(), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["several dtypes", "integers of several sizes", "a mask beside numbers"])
def test_cast_named_in_the_message_is_saved(name: str, tmp_path: Path) -> None:
    dataset = BAD[name][0]()
    with pytest.raises(DtypeError) as refused:
        save_cog(dataset, tmp_path / "out.tif")
    dtype = str(refused.value).partition("astype('")[2].partition("'")[0]

    np.testing.assert_array_equal(saved(dataset.astype(dtype), tmp_path).pixels, pixels_of(dataset).astype(dtype))


# Other entry points.


def test_a_writer_like_a_dataset_has_its_grid_and_names(tmp_path: Path) -> None:
    dataset = red_and_nir()

    with CogWriter(tmp_path / "out.tif", like=dataset) as writer:
        writer.write(pixels_of(dataset))

    found = read_summary(tmp_path / "out.tif")
    assert (found.transform, found.descriptions, found.scales) == (TRANSFORM, ("red", "nir"), (0.5, 1.0))


def test_writer_accepts_variables_of_a_dataset_as_a_window(tmp_path: Path) -> None:
    dataset = red_and_nir()

    with CogWriter(tmp_path / "out.tif", like=dataset) as writer:
        for band, name in enumerate(dataset.data_vars, start=1):
            writer.write(dataset[name], indexes=band)

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, pixels_of(dataset))


def test_writer_refuses_a_dataset_as_a_window(tmp_path: Path) -> None:
    dataset = red_and_nir()

    with (
        pytest.raises(ShapeError, match="is not an array: .*DataArray"),
        CogWriter(tmp_path / "out.tif", like=dataset) as writer,
    ):
        writer.write(dataset)

    assert list(tmp_path.iterdir()) == []


def test_the_examples_of_the_documentation_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    for example in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "xarray.md").read_text(), re.DOTALL):
        exec(compile(example, "xarray.md", "exec"), names)

    assert read_summary(tmp_path / "scene.tif").scales == (0.0001, 0.0001)


@pytest.mark.parametrize("chunks", [None, {"y": 20}], ids=["numpy", "dask"])
def test_a_preview_of_a_dataset_is_that_of_its_bands(chunks: Any) -> None:
    dataset = xarray.Dataset(
        {name: variable("uint8", start) for name, start in (("red", 0), ("green", 9), ("blue", 99))}
    )
    if chunks:
        pytest.importorskip("dask.array", reason="dask is not installed")
    array = dataset.to_dataarray(dim="band")

    assert preview(dataset.chunk(chunks or {}) if chunks else dataset) == preview(array)


def test_a_dataset_in_memory_is_not_copied_and_one_of_dask_has_its_chunks() -> None:
    pytest.importorskip("dask.array", reason="dask is not installed")

    assert open_source(red_and_nir()).traits.is_in_memory
    chunks = open_source(red_and_nir().chunk({"y": 20})).traits.chunks
    assert chunks is not None
    assert (chunks.band_edges, chunks.row_edges_px) == ((0, 1, 2), (0, 20, 40, 60))
