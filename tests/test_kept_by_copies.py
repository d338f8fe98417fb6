"""What a copy keeps, or names where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import MetadataWarning

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def save_by_gdal(data: Any, path: Path, **arguments: Any) -> None:
    save_cog(data, path, engine="gdal", **arguments)


SAVES: dict[str, Callable[..., Any]] = {"cog": save_cog, "gdal": save_by_gdal, "tiled": save_tiled_geotiff}


@pytest.fixture
def rgba(rng: np.random.Generator) -> GeoTensor:
    values = rng.integers(1, 255, (4, 40, 50)).astype("uint8")
    values[3] = np.where(rng.random((40, 50)) < 0.3, 0, 255)
    interps = ["red", "green", "blue", "alpha"]
    return GeoTensor(values, **PLACE, fill_value_default=None, attrs={"colorinterp": interps})


SELECTIONS: dict[str, Callable[[GeoTensor, Path], Any]] = {
    "reader": lambda rgba, path: RasterioReader(path, indexes=[1, 2, 3]),
    "reader isel": lambda rgba, path: RasterioReader(path).isel({"band": [2, 1, 0], "y": slice(0, 40)}),
    "loaded": lambda rgba, path: RasterioReader(path, indexes=[1, 2, 3]).load(),
    "tensor": lambda rgba, path: rgba[:3],
    "tensor isel": lambda rgba, path: rgba.isel({"band": [0]}),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)
def test_alpha_that_is_not_selected_becomes_the_mask(
    select: Callable[..., Any], save: Callable[..., Any], rgba: GeoTensor, tmp_path: Path
) -> None:
    save_cog(rgba, tmp_path / "rgba.tif")

    save(select(rgba, tmp_path / "rgba.tif"), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert "alpha" not in [interp.name for interp in dataset.colorinterp]
        np.testing.assert_array_equal(dataset.read_masks(1) != 0, rgba.values[3] != 0)


@pytest.mark.parametrize("indexes", [[1, 2, 3, 4], [4]], ids=["all", "alpha alone"])
def test_selected_alpha_stays_a_band(indexes: list[int], rgba: GeoTensor, tmp_path: Path) -> None:
    save_cog(rgba, tmp_path / "rgba.tif")

    save_cog(RasterioReader(tmp_path / "rgba.tif", indexes=indexes), tmp_path / "out.tif")

    reader = RasterioReader(tmp_path / "out.tif")
    assert not reader.has_mask
    np.testing.assert_array_equal(reader.values, rgba.values[np.array(indexes) - 1])


def data_array(nodatavals: Any) -> xr.DataArray:
    coords = {"band": [1, 2], "y": np.arange(40.0)[::-1], "x": np.arange(50.0)}
    array = xr.DataArray(np.ones((2, 40, 50), "uint8"), dims=("band", "y", "x"), coords=coords)
    return array.assign_attrs(nodatavals=nodatavals)


@pytest.mark.parametrize("nodatavals", [(0, 255), [0.0, None], np.array([0, 255])], ids=["tuple", "None", "array"])
def test_nodata_of_single_bands_of_a_data_array_are_named(nodatavals: Any, tmp_path: Path) -> None:
    with pytest.warns(MetadataWarning, match=r"nodata is 0(\.0)? in band 1, but .* in band 2"):
        save_cog(data_array(nodatavals), tmp_path / "out.tif")


def test_a_selected_band_of_a_data_array_has_its_own_nodata(tmp_path: Path) -> None:
    save_cog(data_array((0, 255)).sel(band=2), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").nodata == 255
