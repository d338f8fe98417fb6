"""bool DataArrays: what a comparison keeps of the array that was compared, and what it must not keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from by_rioxarray import BY_RIOXARRAY
from data_arrays import a_file, data_array, ramp, read_summary
from georeader import CogWriter, save_cog, save_tiled_geotiff
from georeader.preview import preview

xarray = pytest.importorskip("xarray", reason="xarray is not installed")

MEASURE = {"scale_factor": 0.5, "add_offset": 3.0, "units": "m", "long_name": ("red", "nir")}

NODATA: dict[str, dict[str, Any]] = {
    "zero": {"_FillValue": 0},
    "what uint8 does not hold": {"_FillValue": -9999},
    "by another name": {"nodata": 0},
    "of bands": {"nodatavals": (0, 0)},
}

MASKS: dict[str, Callable[[Any], Any]] = {
    "greater": lambda array: array > 500,
    "equal": lambda array: array == 3,
    "isnull": lambda array: array.isnull(),
    "notnull": lambda array: array.notnull(),
    "isin": lambda array: array.isin([3, 4]),
    "not": lambda array: ~(array > 500),
    "and": lambda array: (array > 500) & (array < 700),
    "cast": lambda array: (array - 1).astype(bool),
}

SAVES: dict[str, Callable[[Any, Path], Any]] = {
    "save_cog": save_cog,
    "gdal": lambda array, path: save_cog(array, path, engine="gdal"),
    "save_tiled_geotiff": save_tiled_geotiff,
}


@pytest.fixture(autouse=True)
def _keep_attrs() -> Any:
    """Keep attributes as xarray does by default since 2025.11."""
    with xarray.set_options(keep_attrs=True):
        yield


def assert_is_plain_mask(path: Path, mask: Any) -> None:
    found = read_summary(path)
    assert (found.dtype, found.nodata, found.scales, found.offsets) == ("uint8", None, (1.0, 1.0), (0.0, 0.0))
    np.testing.assert_array_equal(found.pixels, np.asarray(mask))
    with rasterio.open(path) as dataset:
        assert dataset.units == (None, None)
        assert (dataset.read_masks() == 255).all()


@pytest.mark.parametrize("make", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("nodata", NODATA.values(), ids=NODATA)
def test_a_comparison_keeps_no_nodata_scale_offset_or_unit(
    make: Callable[[Any], Any], nodata: dict[str, Any], tmp_path: Path
) -> None:
    array = data_array(ramp(), attrs=MEASURE | nodata)
    mask = make(array)
    mask.attrs = dict(array.attrs)  # whichever of these xarray keeps them for

    save_cog(mask, tmp_path / "out.tif")

    assert_is_plain_mask(tmp_path / "out.tif", mask)


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("chunks", [None, {"y": 20}], ids=["numpy", "dask"])
def test_a_comparison_is_saved_alike_by_every_function(
    save: Callable[[Any, Path], Any], chunks: Any, tmp_path: Path
) -> None:
    array = data_array(ramp(), attrs=MEASURE | {"_FillValue": 0})
    if chunks:
        pytest.importorskip("dask.array", reason="dask is not installed")
        array = array.chunk(chunks)
    mask = array > 500

    save(mask, tmp_path / "out.tif")

    assert_is_plain_mask(tmp_path / "out.tif", mask)
    assert read_summary(tmp_path / "out.tif").descriptions == ("red", "nir")


@BY_RIOXARRAY
@pytest.mark.parametrize("options", [{}, {"masked": True}, {"mask_and_scale": True}, {"chunks": True}], ids=str)
def test_a_comparison_of_an_opened_file_is_a_plain_mask(options: dict[str, Any], tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    mask = rioxarray.open_rasterio(a_file(tmp_path / "in.tif", ramp(), nodata=0), **options) > 500

    save_cog(mask, tmp_path / "out.tif")

    assert_is_plain_mask(tmp_path / "out.tif", mask)


def test_an_encoding_of_a_bool_array_is_not_that_of_its_values(tmp_path: Path) -> None:
    mask = data_array(ramp() > 500, encoding={"scale_factor": 0.1, "add_offset": 2.0, "_FillValue": 0, "dtype": "int8"})

    save_cog(mask, tmp_path / "out.tif")

    assert_is_plain_mask(tmp_path / "out.tif", mask)


def test_nodata_argument_is_declared_for_a_mask(tmp_path: Path) -> None:
    save_cog(data_array(ramp() > 500, attrs={"_FillValue": 0}), tmp_path / "out.tif", nodata=255)

    assert read_summary(tmp_path / "out.tif").nodata == 255


def test_a_preview_of_a_comparison_has_no_transparent_pixels() -> None:
    mask = data_array(ramp((60, 50)), attrs={"_FillValue": 0}) > 500

    assert preview(mask) == preview(data_array(mask.values))


def test_a_writer_like_a_comparison_has_no_nodata(tmp_path: Path) -> None:
    mask = data_array(ramp(), attrs=MEASURE | {"_FillValue": -9999}) > 500

    with CogWriter(tmp_path / "out.tif", like=mask) as writer:
        writer.write(mask.values)

    assert_is_plain_mask(tmp_path / "out.tif", mask)
