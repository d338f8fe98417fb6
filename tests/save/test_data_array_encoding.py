"""Encodings that the values have outgrown: values with fractions are saved as they are, all others as in their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from by_rioxarray import BY_RIOXARRAY
from data_arrays import a_file, data_array, ramp, read_summary, with_nan
from georeader import CogWriter, save_cog, save_tiled_geotiff
from georeader._core.windows import PixelWindow
from georeader._export.sources import open_source
from georeader._export.sources.read_once import AheadSource, boxes_ahead, size_px
from georeader.errors import DtypeError, MetadataWarning, ReadError
from georeader.preview import preview

xarray = pytest.importorskip("xarray", reason="xarray is not installed")

SAVED_AS_THEY_ARE = r"the encoding of DataArray.* \(int16.*cannot hold its values, such as .*saved as float32"


def opened(folder: Path, **options: Any) -> Any:
    """Return a packed int16 file of three bands with a missing pixel, as rioxarray opens it."""
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    pixels = ramp((3, 60, 50))
    pixels[:, 3, 4] = -1
    return rioxarray.open_rasterio(a_file(folder / "in.tif", pixels), **options)


READERS: dict[str, dict[str, Any]] = {
    "masked": {"masked": True},
    "mask_and_scale": {"mask_and_scale": True},
    "masked chunks": {"masked": True, "chunks": {"x": 20, "y": 30}},
    "mask_and_scale chunks": {"mask_and_scale": True, "chunks": True},
}


def divided(array: Any) -> Any:
    array /= 1000
    return array


def assigned(array: Any) -> Any:
    array[:] = array / 1000
    return array


def reprojected(array: Any) -> Any:
    from rasterio.enums import Resampling

    return array.compute().rio.reproject(array.rio.crs, resolution=7, resampling=Resampling.bilinear)


#: What changes values and leaves the encoding.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "divided in place": divided,
    "copied with other data": lambda array: array.copy(data=array.data / 1000),
    "assigned": assigned,
    "resampled": reprojected,
}

SAVES: dict[str, Callable[[Any, Path], Any]] = {
    "save_cog": save_cog,
    "gdal": lambda array, path: save_cog(array, path, engine="gdal"),
    "save_tiled_geotiff": save_tiled_geotiff,
}


def assert_saved_as_it_is(path: Path, values: Any) -> None:
    found = read_summary(path)
    assert found.dtype == "float32"
    assert np.isnan(found.nodata)
    assert found.offsets == (0.0,) * 3 or found.offsets == (5.0,) * 3  # those that rioxarray left in attrs
    np.testing.assert_array_equal(found.pixels, values)


@BY_RIOXARRAY
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("options", READERS.values(), ids=READERS)
def test_values_with_fractions_are_saved_in_their_own_dtype(
    options: dict[str, Any], change: Callable[[Any], Any], tmp_path: Path
) -> None:
    array = change(opened(tmp_path, **options))
    assert array.encoding["dtype"] == "int16"

    with pytest.warns(MetadataWarning, match=SAVED_AS_THEY_ARE):
        save_cog(array, tmp_path / "out.tif")

    assert_saved_as_it_is(tmp_path / "out.tif", array.values)
    if "mask_and_scale" in options:
        assert read_summary(tmp_path / "out.tif").scales == (1.0,) * 3


@BY_RIOXARRAY
@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_every_function_saves_them_in_their_own_dtype(save: Callable[[Any, Path], Any], tmp_path: Path) -> None:
    array = divided(opened(tmp_path, masked=True))

    with pytest.warns(MetadataWarning, match=SAVED_AS_THEY_ARE):
        save(array, tmp_path / "out.tif")

    assert_saved_as_it_is(tmp_path / "out.tif", array.values)


@BY_RIOXARRAY
@pytest.mark.parametrize("options", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "change",
    [lambda array: array, lambda array: array.copy(data=array.data), lambda array: array.isel(x=slice(3, 40))],
    ids=["untouched", "copied", "cut"],
)
def test_an_array_that_fits_its_encoding_is_saved_in_it(
    options: dict[str, Any], change: Callable[[Any], Any], tmp_path: Path
) -> None:
    array = change(opened(tmp_path, **options))

    save_cog(array, tmp_path / "out.tif")

    found, source = read_summary(tmp_path / "out.tif"), read_summary(tmp_path / "in.tif")
    assert (found.dtype, found.nodata, found.scales, found.offsets) == ("int16", -1, source.scales, source.offsets)
    columns = slice(3, 40) if found.pixels.shape[2] == 37 else slice(None)
    np.testing.assert_array_equal(found.pixels, source.pixels[:, :, columns])


@BY_RIOXARRAY
def test_integers_at_other_pixels_are_saved_in_the_encoding(tmp_path: Path) -> None:
    array = opened(tmp_path, masked=True)
    array[:] = array[:, ::-1].values

    save_cog(array, tmp_path / "out.tif")

    assert read_summary(tmp_path / "out.tif").dtype == "int16"


@BY_RIOXARRAY
def test_value_equal_to_nodata_is_not_stored_in_the_encoding(tmp_path: Path) -> None:
    array = opened(tmp_path, masked=True)
    array -= 2  # 1 becomes -1, the nodata

    with pytest.warns(MetadataWarning, match=r"such as -1\.0"):
        save_cog(array, tmp_path / "out.tif")

    assert_saved_as_it_is(tmp_path / "out.tif", array.values)


@BY_RIOXARRAY
def test_nan_becomes_the_nodata_of_the_caller(tmp_path: Path) -> None:
    array = divided(opened(tmp_path, masked=True))

    with pytest.warns(MetadataWarning, match=SAVED_AS_THEY_ARE):
        save_cog(array, tmp_path / "out.tif", nodata=-7)

    found = read_summary(tmp_path / "out.tif")
    assert found.nodata == -7
    np.testing.assert_array_equal(found.pixels, np.nan_to_num(array.values, nan=-7))


@BY_RIOXARRAY
def test_drop_encoding_saves_the_same_without_a_warning(tmp_path: Path) -> None:
    array = divided(opened(tmp_path, masked=True)).drop_encoding()

    save_cog(array, tmp_path / "out.tif", nodata=np.nan)

    assert_saved_as_it_is(tmp_path / "out.tif", array.values)


@pytest.mark.parametrize("engine", ["h5netcdf", "zarr"])
@pytest.mark.parametrize("chunks", [None, {}], ids=["numpy", "dask"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")  # of zarr's own format, by zarr
def test_values_of_netcdf_and_zarr_that_were_changed_are_saved_as_they_are(
    engine: str, chunks: Any, tmp_path: Path
) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    array = data_array(with_nan() * 0.25 + 10, name="height")
    array.encoding = {"dtype": "int16", "_FillValue": -99, "scale_factor": 0.25, "add_offset": 10.0}
    path = tmp_path / f"in.{engine}"
    if engine == "zarr":
        array.to_dataset().to_zarr(path)
    else:
        array.to_dataset().to_netcdf(path, engine=engine)

    with xarray.open_dataset(path, engine=engine, chunks=chunks) as dataset:
        height = dataset["height"]
        height /= 1000
        with pytest.warns(MetadataWarning, match="DataArray 'height'.*scale 0.25, offset 10"):
            save_cog(height, tmp_path / "out.tif")

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, height.values)


# Encodings that were set for a file to come.


@pytest.mark.parametrize("encoding", [{"dtype": "int16"}, {"dtype": "uint8", "_FillValue": 255}], ids=str)
def test_an_integer_dtype_without_a_scale_does_not_round_fractions(encoding: dict[str, Any], tmp_path: Path) -> None:
    array = data_array(ramp(dtype="float64") / 1000, encoding=encoding)

    with pytest.warns(MetadataWarning, match="saved as float64"):
        save_cog(array, tmp_path / "out.tif")

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, array.values)


def test_a_scale_set_by_the_caller_rounds_values(tmp_path: Path) -> None:
    encoding = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1}
    array = data_array(ramp(dtype="float32") / 999, encoding=encoding)

    save_cog(array, tmp_path / "out.tif")

    found = read_summary(tmp_path / "out.tif")
    assert (found.dtype, found.scales[0]) == ("int16", 0.01)
    np.testing.assert_array_equal(found.pixels, np.rint(array.values / np.float32(0.01)))


# Arrays that are computed.


def counted(pixels: Any, chunk: int) -> tuple[Any, np.ndarray[Any, Any]]:
    """Return a dask array of chunks of some rows, and how often each was computed."""
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    counts = np.zeros(-(-pixels.shape[-2] // chunk), int)

    def compute(block_info: Any = None) -> Any:
        _, (start, stop), _ = block_info[None]["array-location"]
        counts[start // chunk] += 1
        return pixels[:, start:stop]

    chunks = (
        (pixels.shape[0],),
        tuple(np.diff([*range(0, pixels.shape[1], chunk), pixels.shape[1]])),
        pixels.shape[2:],
    )
    return dask_array.map_blocks(compute, chunks=chunks, dtype=pixels.dtype, meta=pixels[:0, :0, :0]), counts


ENCODING = {"dtype": "int16", "_FillValue": -1, "preferred_chunks": {}}


@pytest.mark.parametrize("stale", [False, True], ids=["fits", "stale"])
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_each_chunk_is_computed_once(stale: bool, save: Any, tmp_path: Path) -> None:
    pixels = ramp((2, 700, 300), "float32") / (1000 if stale else 1)
    lazy, counts = counted(pixels, 100)
    array = data_array(lazy, encoding=ENCODING, name="lazy")

    if stale:
        with pytest.warns(MetadataWarning, match="saved as float32"):
            save(array, tmp_path / "out.tif")
    else:
        save(array, tmp_path / "out.tif")

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, pixels)
    assert counts.tolist() == [1] * 7


def test_further_chunks_are_checked_after_chunks_of_one_value(tmp_path: Path) -> None:
    pixels = ramp((2, 700, 300), "float32") / 1000
    pixels[:, :300] = np.nan
    pixels[:, 300:310] = 0
    lazy, counts = counted(pixels, 100)

    with pytest.warns(MetadataWarning, match="saved as float32"):
        save_cog(data_array(lazy, encoding=ENCODING), tmp_path / "out.tif")

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, pixels)
    assert counts.tolist() == [1] * 7


def test_a_lazy_array_that_fits_in_part_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    pixels = ramp((2, 700, 300), "float32")
    pixels[:, 650] += 0.25
    lazy, _ = counted(pixels, 100)

    message = r"rows \d+ to \d+.*the array's encoding \(int16\) cannot hold .*drop_encoding"
    with pytest.raises(DtypeError, match=message):
        save_cog(data_array(lazy, encoding=ENCODING), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


def test_a_task_that_fails_during_the_check_names_the_window(tmp_path: Path) -> None:
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")

    def fail(block: Any) -> Any:
        raise OSError("the line is dead")

    lazy = dask_array.ones((2, 60, 50), chunks=(2, 20, 50), dtype="float32").map_blocks(fail, dtype="float32")

    with pytest.raises(ReadError, match=r"rows 0 to 20, .*the line is dead"):
        save_cog(data_array(lazy, encoding=ENCODING), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


def test_a_writer_like_a_lazy_array_reads_no_pixel(tmp_path: Path) -> None:
    lazy, counts = counted(ramp((2, 700, 300), "float32"), 100)

    with CogWriter(tmp_path / "out.tif", like=data_array(lazy, encoding=ENCODING)) as writer:
        writer.write(ramp((2, 700, 300)))

    assert not counts.any()
    assert read_summary(tmp_path / "out.tif").dtype == "int16"


def test_a_writer_like_an_array_has_the_dtype_that_the_array_is_saved_in(tmp_path: Path) -> None:
    array = data_array(ramp(dtype="float32") / 1000, encoding=ENCODING)

    with pytest.warns(MetadataWarning), CogWriter(tmp_path / "out.tif", like=array) as writer:
        writer.write(array.values)

    np.testing.assert_array_equal(read_summary(tmp_path / "out.tif").pixels, array.values)


@pytest.mark.parametrize("chunks", [None, {"y": 20}], ids=["numpy", "dask"])
def test_a_preview_shows_the_values(chunks: Any) -> None:
    if chunks:
        pytest.importorskip("dask.array", reason="dask is not installed")
    array = data_array(ramp((60, 50), "float32") / 1000, encoding=ENCODING).chunk(chunks or {})

    assert preview(array if chunks else array.compute()) == preview(array.drop_encoding())


# Boxes that were read ahead.


def test_windows_are_assembled_from_boxes_read_ahead_and_new_reads() -> None:
    pixels = ramp((3, 60, 50), "float32")
    box = (slice(1, 2), slice(20, 40), slice(10, 30))

    for bands in (range(3), range(1, 2), range(1)):
        for region in (
            PixelWindow(0, 60, 0, 50),
            PixelWindow(25, 30, 12, 20),
            PixelWindow(0, 25, 0, 15),
            PixelWindow(40, 60, 0, 50),
        ):
            source = AheadSource(open_source(data_array(pixels)))
            source.read_ahead(box)
            rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)

            found, mask = source.read(region, bands)

            assert mask is None
            np.testing.assert_array_equal(found, pixels[bands.start : bands.stop, rows, columns])


def test_box_is_released_after_its_last_read() -> None:
    source = AheadSource(open_source(data_array(ramp((3, 60, 50)))))
    source.read_ahead((slice(0, 3), slice(20, 40), slice(0, 50)))

    source.read(PixelWindow(0, 30, 0, 50), range(3))
    assert len(source._held) == 1
    source.read(PixelWindow(30, 60, 0, 50), range(3))

    assert source._held == []


def test_boxes_are_chunks_and_not_larger_than_allowed() -> None:
    source = open_source(data_array(counted(ramp((2, 700, 300)), 100)[0]))

    spec, chunks = source.spec, source.traits.chunks
    assert [rows for _, rows, _ in boxes_ahead(spec, chunks, 2, 2**20)] == [
        slice(0, 100), slice(300, 400), slice(600, 700)
    ]  # fmt: skip
    assert [size_px(box) for box in boxes_ahead(spec, chunks, 2, 1000)] == [600] * 3
    assert [rows for _, rows, _ in boxes_ahead(spec, None, 2, 2**20)] == [slice(0, 512), slice(512, 700)]
