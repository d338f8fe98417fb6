"""NaN beside a numeric nodata: a warning by default, and an option that replaces it with nodata."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array
import numpy as np
import pytest
import rasterio
import tifffile
import xarray
from rasterio.windows import Window

from by_command import run
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import FillValueWarning, OptionError

PLACE = (rasterio.Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")
REPLACE = {"NAN_TO_NODATA": "YES"}


def pixels(dtype: str = "float32") -> np.ndarray[Any, Any]:
    """Return two bands of ones; the second has NaN in its last tile, which is not where a predictor is tried."""
    values = np.ones((2, 300, 300), dtype)
    values[1, 290:, 290:] = np.nan
    return values


def in_file(folder: Path) -> Path:
    path = folder / "in.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=300, height=300, count=2, dtype="float32", crs=PLACE[1], transform=PLACE[0],
        nodata=-9999,
    ) as dataset:  # fmt: skip
        dataset.write(pixels())
    return path


def data_array(values: Any) -> xarray.DataArray:
    array = xarray.DataArray(
        values,
        dims=("band", "y", "x"),
        coords={"y": 3999995 - 10.0 * np.arange(300), "x": 500005 + 10.0 * np.arange(300)},
    )
    return array.assign_coords(
        spatial_ref=xarray.DataArray(0, attrs={"crs_wkt": rasterio.CRS.from_epsg(32630).to_wkt()})
    )


class Counted:
    """A lazy object that counts the pixels read of it."""

    def __init__(self) -> None:
        self.shape, self.dtype = (2, 300, 300), np.dtype("float32")
        self.transform, self.crs, self.fill_value_default = *PLACE, None
        self.read_px = 0

    def read_from_window(self, window: Window) -> Any:
        rows, columns = window.toslices()
        part = pixels()[:, rows, columns]
        self.read_px += part.size
        return part


SOURCES: dict[str, Callable[[Path], Any]] = {
    "GeoTensor": lambda folder: GeoTensor(pixels(), *PLACE, None),
    "object": lambda folder: SimpleNamespace(
        shape=(2, 300, 300), values=pixels(), transform=PLACE[0], crs=PLACE[1], fill_value_default=None
    ),
    "lazy object": lambda folder: Counted(),
    "path": in_file,
    "reader": lambda folder: RasterioReader(in_file(folder)),
    "DataArray": lambda folder: data_array(pixels()),
    "dask": lambda folder: data_array(dask.array.from_array(pixels(), chunks=(1, 128, 128))),
}


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("source", SOURCES)
def test_nan_warns_and_names_the_band(source: str, engine: str, tmp_path: Path) -> None:
    with pytest.warns(FillValueWarning, match=r"NaN pixels in band 2 beside nodata=-9999") as caught:
        save_cog(SOURCES[source](tmp_path), tmp_path / "out.tif", nodata=-9999, engine=engine)

    assert caught[0].filename == __file__
    assert np.isnan(tifffile.imread(tmp_path / "out.tif")).sum() == 100


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("source", SOURCES)
def test_nan_is_written_as_nodata_on_request(source: str, engine: str, tmp_path: Path) -> None:
    data = SOURCES[source](tmp_path)

    save_cog(data, tmp_path / "out.tif", nodata=-9999, profile_arg=REPLACE, engine=engine)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), np.nan_to_num(pixels(), nan=-9999))
        assert dataset.read(2, masked=True).mask.sum() == 100
    if source == "GeoTensor":
        assert np.isnan(data.values).sum() == 100  # the caller's array is not changed


def test_each_pixel_is_read_once_during_the_search_for_nan(tmp_path: Path) -> None:
    counted = Counted()

    with pytest.warns(FillValueWarning):
        save_cog(counted, tmp_path / "out.tif", nodata=0, profile_arg={"predictor": 1})

    assert counted.read_px == 2 * 300 * 300


def test_a_tiled_file_warns_too(tmp_path: Path) -> None:
    with pytest.warns(FillValueWarning, match="band 2"):
        save_tiled_geotiff(GeoTensor(pixels(), *PLACE, -9999), tmp_path / "out.tif")


def test_the_nodata_of_the_source_warns_too(tmp_path: Path) -> None:
    with pytest.warns(FillValueWarning, match="band 2"):
        save_cog(in_file(tmp_path), tmp_path / "out.tif")


@pytest.mark.parametrize("profile_arg", [{}, REPLACE])
def test_a_writer_warns_or_replaces(profile_arg: dict[str, Any], tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CogWriter(
            tmp_path / "out.tif", shape=(2, 300, 300), dtype="float32", transform=PLACE[0], crs=PLACE[1], nodata=-9999,
            profile_arg=profile_arg,
        ) as writer:  # fmt: skip
            writer.write(pixels())

    assert [one.category for one in caught] == ([] if profile_arg else [FillValueWarning])
    assert np.isnan(tifffile.imread(tmp_path / "out.tif")).any() == (not profile_arg)


@pytest.mark.parametrize("by", ["save", "writer"])
def test_nan_becomes_nodata_in_a_file_of_integers(by: str, tmp_path: Path) -> None:
    if by == "save":
        tensor = GeoTensor(pixels(), *PLACE, None)
        save_cog(tensor, tmp_path / "out.tif", nodata=2**31 - 1, profile_arg={**REPLACE, "dtype": "int32"})
    else:
        with CogWriter(
            tmp_path / "out.tif", like=GeoTensor(pixels(), *PLACE, None), dtype="int32", nodata=2**31 - 1,
            profile_arg=REPLACE,
        ) as writer:  # fmt: skip
            writer.write(pixels())

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.read(2) == 2**31 - 1).sum() == 100


@pytest.mark.parametrize("dtype", ["float16", "float64", "complex64"])
def test_other_floating_point_numbers_warn_too(dtype: str, tmp_path: Path) -> None:
    with pytest.warns(FillValueWarning, match="band 2"):
        save_cog(GeoTensor(pixels(dtype), *PLACE, -1), tmp_path / "out.tif")


def test_an_aborted_warning_leaves_no_file(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FillValueWarning)
        with pytest.raises(FillValueWarning):
            save_cog(GeoTensor(pixels(), *PLACE, -1), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(lambda: GeoTensor(pixels(), *PLACE, np.nan), id="nodata is NaN"),
        pytest.param(lambda: GeoTensor(pixels(), *PLACE, None), id="no nodata"),
        pytest.param(lambda: GeoTensor(np.ones((2, 300, 300)), *PLACE, -1), id="no NaN"),
        pytest.param(
            lambda: GeoTensor(pixels(), *PLACE, -1, attrs={"mask": ~np.isnan(pixels()[1])}), id="NaN below a mask"
        ),
        pytest.param(lambda: GeoTensor(np.ones((2, 300, 300), "uint8"), *PLACE, 0), id="integers"),
    ],
)
def test_no_warning_if_no_nan_is_valid(tensor: Callable[[], GeoTensor], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FillValueWarning)
        save_cog(tensor(), tmp_path / "out.tif")

    assert (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("nodata", [None, np.nan])
def test_replacing_needs_a_numeric_nodata(nodata: float | None, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"NAN_TO_NODATA'\] replaces NaN by a numeric nodata, got nodata="):
        save_cog(GeoTensor(pixels(), *PLACE, nodata), tmp_path / "out.tif", profile_arg=REPLACE)


def test_the_command_line_replaces_nan(tmp_path: Path) -> None:
    done = run("cog", str(in_file(tmp_path)), str(tmp_path / "out.tif"), "--profile", "NAN_TO_NODATA=YES")

    assert done.exit_code == 0, done.output
    assert not np.isnan(tifffile.imread(tmp_path / "out.tif")).any()
