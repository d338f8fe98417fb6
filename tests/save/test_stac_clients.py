"""STAC items in the clients that load them into xarray: odc-stac and stackstac."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pystac
import pytest
from affine import Affine

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._export.receipt.receipt import Receipt
from georeader.stac import item_of

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
TAKEN = datetime(2024, 5, 1, 10, 30, 31, tzinfo=UTC)
NAMES = ["B02", "B04", "B08"]

# The clients' own business.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::FutureWarning"
)


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(0).integers(1, 9000, (3, 60, 70)).astype("uint16")


def save(pixels: Any, path: Path, names: Any, function: Callable[..., Receipt] = save_cog) -> Receipt:
    tensor = GeoTensor(pixels, TRANSFORM, "EPSG:32630", fill_value_default=0, attrs={"acquired": TAKEN})
    return function(tensor, path, names)


def item_of_one_file(pixels: Any, folder: Path) -> pystac.Item:
    return save(pixels, folder / "scene.tif", NAMES).to_stac()


def item_of_tiles(pixels: Any, folder: Path) -> pystac.Item:
    return save(pixels, folder / "scene.tif", NAMES, save_tiled_geotiff).to_stac()


def item_of_files(pixels: Any, folder: Path) -> pystac.Item:
    files = [save(band, folder / f"{name}.tif", [name]) for name, band in zip(NAMES, pixels, strict=True)]
    return item_of(files, id="scene")


def item_read_again(pixels: Any, folder: Path) -> pystac.Item:
    """Go through JSON, as between a catalogue and its reader."""
    item = item_of_one_file(pixels, folder)
    item.save_object(dest_href=str(folder / "item.json"), include_self_link=False)
    return pystac.Item.from_file(str(folder / "item.json"))


ITEMS = [item_of_one_file, item_of_tiles, item_of_files, item_read_again]


@pytest.mark.parametrize("make", ITEMS)
@pytest.mark.parametrize("bands", [["B04"], ["B08", "B02"], NAMES], ids="-".join)
def test_odc_stac_finds_bands_by_their_names(make: Any, bands: list[str], pixels: Any, tmp_path: Path) -> None:
    loaded = odc.stac.load([make(pixels, tmp_path)], bands=bands)

    assert list(loaded.data_vars) == bands
    for name in bands:
        np.testing.assert_array_equal(loaded[name].values[0], pixels[NAMES.index(name)])
        assert loaded[name].dtype == "uint16"
        assert loaded[name].attrs["nodata"] == 0
    assert loaded.odc.geobox.transform == TRANSFORM
    assert loaded.odc.geobox.crs.to_epsg() == 32630
    assert loaded.time.values[0] == np.datetime64("2024-05-01T10:30:31")


def test_odc_stac_loads_a_file_of_one_band_by_default(pixels: Any, tmp_path: Path) -> None:
    loaded = odc.stac.load([save(pixels[0], tmp_path / "ndvi.tif", ["NDVI"]).to_stac()])

    np.testing.assert_array_equal(loaded["data"].values[0], pixels[0])


def test_odc_stac_finds_a_band_without_a_name_by_its_number(pixels: Any, tmp_path: Path) -> None:
    item = save(pixels, tmp_path / "scene.tif", ["B02", None, "B08"]).to_stac()

    loaded = odc.stac.load([item], bands=["band_2", "B08"])

    np.testing.assert_array_equal(loaded["band_2"].values[0], pixels[1])
    np.testing.assert_array_equal(loaded["B08"].values[0], pixels[2])


def test_odc_stac_loads_bands_of_several_resolutions(pixels: Any, tmp_path: Path) -> None:
    coarse = GeoTensor(
        pixels[0, ::10, ::10], TRANSFORM @ Affine.scale(10), 32630, fill_value_default=0, attrs={"acquired": TAKEN}
    )
    files = {"B04": save(pixels[1], tmp_path / "a.tif", ["B04"]), "B09": save_cog(coarse, tmp_path / "b.tif", ["B09"])}

    loaded = odc.stac.load([item_of(files, id="scene")], bands=["B04", "B09"], resolution=10, crs="EPSG:32630")

    np.testing.assert_array_equal(loaded["B04"].values[0], pixels[1])
    np.testing.assert_array_equal(loaded["B09"].values[0, ::10, ::10], coarse.values)


@pytest.fixture
def stacked() -> Callable[..., Any]:
    """Return a function that stacks an item by stackstac, which ignores proj:code: the grid has to be passed."""
    reason = "stackstac 0.5.1 needs pandas before 3, so that no extra has it: pip install 'stackstac>=0.5.1'"
    stackstac = pytest.importorskip("stackstac", minversion="0.5.1", reason=reason)
    return lambda item, bbox: stackstac.stack([item], epsg=32630, bounds=bbox, resolution=10)


def test_stackstac_opens_a_file_a_band(stacked: Any, pixels: Any, tmp_path: Path) -> None:
    item = item_of_files(pixels, tmp_path).to_dict()

    stack = stacked(item, item["properties"]["proj:bbox"])

    assert list(stack.band.values) == NAMES
    np.testing.assert_array_equal(stack.values[0], pixels)
    assert stack.attrs["transform"] == TRANSFORM
    assert stack.time.values[0] == np.datetime64("2024-05-01T10:30:31")


def test_stackstac_opens_a_file_of_one_band(stacked: Any, pixels: Any, tmp_path: Path) -> None:
    item = save(pixels[0], tmp_path / "ndvi.tif", ["NDVI"]).to_stac()

    stack = stacked(item, item.properties["proj:bbox"])

    np.testing.assert_array_equal(stack.values[0, 0], pixels[0])
