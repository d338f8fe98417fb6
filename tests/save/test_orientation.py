"""Transforms in another order, arrays with bands last, rasters without a CRS, and rows that run north."""

from __future__ import annotations

import base64
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from georeader import CogWriter, FakeGeoData, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import GeoreferenceError, LayoutWarning, OptionError
from georeader.preview import preview
from pictures import read_rgba

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
UTM = "EPSG:32630"
PIXELS = np.arange(6, dtype="uint8").reshape(2, 3) * 50

# Six numbers in GDAL's order.

GDAL_ORDER = [
    (500000, 10, 0, 4000000, 0, -10),
    (0, 10, 0, 4000000, 0, -10),
    (500000.0, 10.0, 0.0, 4000000.0, 0.0, 10.0),
    (-180, 0.5, 0, 90, 0, -0.5),
    [500000, 10, 0, 4000000, 0, -10],
    np.array([500000, 10, 0, 4000000, 0, -10.0]),
]


def into_array(transform: Any) -> Any:
    array = xarray.DataArray(PIXELS, dims=("y", "x"), attrs={"transform": tuple(transform)})
    return array.assign_coords(
        spatial_ref=xarray.DataArray(0, attrs={"crs_wkt": rasterio.CRS.from_epsg(32630).to_wkt()})
    )


ENTRIES = {
    "GeoTensor": lambda transform, path: GeoTensor(PIXELS, transform, UTM, 0),
    "like": lambda transform, path: GeoTensor(PIXELS, NORTH_UP, UTM, 0).like(PIXELS, transform=transform),
    "attribute": lambda transform, path: setattr(GeoTensor(PIXELS, NORTH_UP, UTM, 0), "transform", transform),
    "FakeGeoData": lambda transform, path: FakeGeoData(UTM, transform),
    "CogWriter": lambda transform, path: CogWriter(path, shape=(2, 3), dtype="uint8", transform=transform, crs=UTM),
    "CogWriter like": lambda transform, path: CogWriter(
        path, like=GeoTensor(PIXELS, NORTH_UP, UTM, 0), transform=transform
    ),
    "object": lambda transform, path: save_cog(
        SimpleNamespace(values=PIXELS, shape=PIXELS.shape, transform=transform, crs=UTM, fill_value_default=0), path
    ),
    "DataArray": lambda transform, path: save_cog(into_array(transform), path),
}


@pytest.mark.parametrize("transform", GDAL_ORDER, ids=str)
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_transform_in_gdals_order_is_refused(entry: str, transform: Any, tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceError, match=r"is in GDAL's order .* pass affine\.Affine\.from_gdal"):
        ENTRIES[entry](transform, tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


def test_a_profile_in_gdals_order_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is in GDAL's order"):
        save_cog(
            GeoTensor(PIXELS, NORTH_UP, UTM, 0), tmp_path / "out.tif",
            profile_arg={"transform": (500000, 10, 0, 4000000, 0, -10)},
        )  # fmt: skip


@pytest.mark.parametrize(
    "transform",
    [
        (10, 0, 500000, 0, -10, 4000000),
        (10, 0, 0, 0, -10, 0),
        (10, 0, 0, 0, 10, 0),
        (0, 10, 0, 10, 0, 0),
        (0, -10, 0, 10, 0, 5),
        (8, 6, 0, 6, -8, 0),
        (10, 0, 500000, 0, -10, 4000000, 0, 0, 1),
        Affine(0, 10, 0, 10, 0, -10),
    ],
)
def test_a_transform_in_affines_order_is_accepted(transform: Any) -> None:
    assert GeoTensor(PIXELS, transform, UTM).transform == Affine(*tuple(transform)[:6])


# Warnings.

SAVES = {"save_cog": save_cog, "save_tiled_geotiff": save_tiled_geotiff}


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("shape", [(512, 512, 3), (64, 300, 4), (300, 200, 1), (100, 100, 13)])
def test_an_array_with_bands_last_warns(save: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    tensor = GeoTensor(np.ones((22, 22, 1), "uint8"), NORTH_UP, UTM, 0)
    tensor = tensor if save == "save_tiled_geotiff" else GeoTensor(np.ones(shape, "uint8"), NORTH_UP, UTM, 0)

    with pytest.warns(LayoutWarning, match=r"is \(band, row, column\): \d+ bands of .* numpy\.moveaxis") as caught:
        SAVES[save](tensor, tmp_path / "out.tif", profile_arg={"compress": "none"})

    assert caught[0].filename == __file__


def test_a_writer_of_an_array_with_bands_last_warns(tmp_path: Path) -> None:
    with pytest.warns(LayoutWarning, match="512 bands of 512 x 3 pixels"):
        CogWriter(tmp_path / "out.tif", shape=(512, 512, 3), dtype="uint8", transform=NORTH_UP, crs=UTM)


@pytest.mark.parametrize("shape", [(3, 512, 512), (3, 512, 3), (13, 10, 10), (224, 5, 5), (1, 600, 1), (512, 3)])
def test_bands_first_do_not_warn(shape: tuple[int, ...], tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LayoutWarning)
        save_cog(GeoTensor(np.ones(shape, "uint8"), NORTH_UP, UTM, 0), tmp_path / "out.tif")

    assert (tmp_path / "out.tif").exists()


def no_crs(folder: Path) -> Path:
    with rasterio.open(
        folder / "in.tif", "w", driver="GTiff", width=3, height=2, count=1, dtype="uint8", transform=NORTH_UP
    ) as dataset:
        dataset.write(PIXELS, 1)
    return folder / "in.tif"


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(lambda folder: GeoTensor(PIXELS, NORTH_UP, None, 0), id="GeoTensor"),
        pytest.param(lambda folder: GeoTensor(PIXELS, Affine.identity(), None, 0), id="no place at all"),
        pytest.param(no_crs, id="path"),
        pytest.param(lambda folder: RasterioReader(no_crs(folder)), id="reader"),
    ],
)
def test_a_raster_without_a_crs_warns(save: str, data: Any, tmp_path: Path) -> None:
    raster = data(tmp_path)

    with pytest.warns(
        NotGeoreferencedWarning, match="has no CRS, so that maps cannot place the file; set it"
    ) as caught:
        SAVES[save](raster, tmp_path / "out.tif")

    assert __file__ in [one.filename for one in caught]


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize(
    "transform", [Affine(10, 0, 0, 0, 10, 0), Affine(-10, 0, 0, 0, 10, 0), Affine(9, 1, 0, 1, 9, 0)], ids=str
)
def test_rows_from_south_to_north_warn(save: str, transform: Affine, tmp_path: Path) -> None:
    with pytest.warns(LayoutWarning, match=r"rows run from south to north .* gt\.isel\(\{'y'"):
        SAVES[save](GeoTensor(PIXELS, transform, UTM, 0), tmp_path / "out.tif")


def test_flipping_as_advised_silences_the_warning(tmp_path: Path) -> None:
    gt = GeoTensor(PIXELS, Affine(10, 0, 0, 0, 10, 0), UTM, 0)

    with warnings.catch_warnings():
        warnings.simplefilter("error", LayoutWarning)
        save_cog(gt.isel({"y": slice(None, None, -1)}), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.transform == Affine(10, 0, 0, 0, -10, 20)
        np.testing.assert_array_equal(dataset.read(1), PIXELS[::-1])


@pytest.mark.parametrize(
    "transform",
    [NORTH_UP, Affine(-10, 0, 0, 0, -10, 0), Affine(0, 10, 0, 10, 0, 0), Affine(8, 6, 0, 6, -8, 0)],
    ids=str,
)
def test_other_directions_do_not_warn(transform: Affine, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_cog(GeoTensor(PIXELS, transform, UTM, 0), tmp_path / "out.tif")

    assert (tmp_path / "out.tif").exists()


# Pictures: north is up for any direction of rows and columns.


def greys(png: bytes) -> np.ndarray[Any, Any]:
    return read_rgba(png)[..., 0]


def north_up_ramp() -> np.ndarray[Any, Any]:
    """Return (row, column) pixels of which each has another grey, north up."""
    return np.arange(12, dtype="uint8").reshape(3, 4) * 20


ORIENTATIONS = {
    "north up": (lambda pixels: pixels, Affine(10, 0, 0, 0, -10, 0)),
    "south up": (lambda pixels: pixels[::-1], Affine(10, 0, 0, 0, 10, 0)),
    "columns flipped": (lambda pixels: pixels[:, ::-1], Affine(-10, 0, 0, 0, -10, 0)),
    "turned by 180": (lambda pixels: pixels[::-1, ::-1], Affine(-10, 0, 0, 0, 10, 0)),
    "turned by 90": (lambda pixels: np.rot90(pixels, -1), Affine(0, 10, 0, 10, 0, 0)),
    "turned by 270": (lambda pixels: np.rot90(pixels), Affine(0, -10, 0, -10, 0, 0)),
    "transposed": (lambda pixels: pixels.T, Affine(0, 10, 0, -10, 0, 0)),
    "turned a little": (lambda pixels: pixels, Affine(9, 3, 0, 3, -9, 0)),
    "no CRS, pixels counted": (lambda pixels: pixels, Affine.identity()),
}


@pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")
@pytest.mark.parametrize("seen", ["GeoTensor", "file", "overview", "notebook"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_preview_has_north_up(orientation: str, seen: str, tmp_path: Path) -> None:
    turn, transform = ORIENTATIONS[orientation]
    crs = None if orientation.startswith("no CRS") else UTM
    times = 200 if seen == "overview" else 1
    pixels = turn(north_up_ramp().repeat(times, axis=0).repeat(times, axis=1))
    gt = GeoTensor(np.stack([pixels] * 3), transform, crs, None)  # three bands of uint8: shown without a stretch
    if seen == "GeoTensor":
        png = preview(gt)
    elif seen == "notebook":
        png = base64.b64decode(re.search('base64,([^"]+)', gt._repr_html_())[1])  # type: ignore[index]
    else:
        save_cog(gt, tmp_path / "in.tif", profile_arg={"blocksize": 256})
        png = preview(tmp_path / "in.tif", max_side_px=400)

    shown = greys(png)
    step = shown.shape[0] // 3
    np.testing.assert_array_equal(shown[step // 2 :: step, step // 2 :: step], north_up_ramp())
