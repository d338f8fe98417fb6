"""PREDICTOR=AUTO, the default: what makes a few tiles smallest, the same on every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._export.plan.file_plan import ONE_IN, PLACES, sample_places
from georeader._export.plan.grid import Level

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def smooth(dtype: str, side_px: int = 600) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:side_px, 0:side_px]
    noise = np.random.default_rng(0).normal(0, 3, (side_px, side_px))
    return np.asarray(1000 + 300 * np.sin(rows / 90) * np.cos(columns / 70) + noise).astype(dtype)


def classes(dtype: str) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).choice([1, 7, 201], (600, 600), p=[0.8, 0.15, 0.05]).astype(dtype)


def predictor_of(path: Path) -> str:
    with rasterio.open(path) as dataset:
        return str(dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "1"))


@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
@pytest.mark.parametrize(("values", "expected"), [
    (smooth("uint16"), "2"), (smooth("int32"), "2"), (smooth("float32"), "3"), (smooth("float64"), "3"),
    (classes("uint8"), "1"),
])  # fmt: skip
def test_predictor_is_chosen_for_measurements_and_none_for_classes(
    values: np.ndarray[Any, Any], expected: str, interleave: str, tmp_path: Path
) -> None:
    tensor = GeoTensor(np.stack([values, values[::-1]]), **PLACE, fill_value_default=None)

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"compress": "deflate", "INTERLEAVE": interleave})

    assert predictor_of(tmp_path / "out.tif") == expected


@pytest.mark.parametrize(("asked", "expected"), [
    ("NO", "1"), (1, "1"), ("STANDARD", "2"), (2, "2"), ("FLOATING_POINT", "3"), (3, "3"), ("YES", "3"), ("auto", "3"),
])  # fmt: skip
def test_requested_predictor_is_used(asked: Any, expected: str, tmp_path: Path) -> None:
    tensor = GeoTensor(smooth("float32"), **PLACE, fill_value_default=None)

    save_tiled_geotiff(tensor, tmp_path / "out.tif", profile_arg={"compress": "zstd", "predictor": asked})

    assert predictor_of(tmp_path / "out.tif") == expected


@pytest.mark.parametrize("compress", ["none", "lzma", "packbits", "lerc"])
def test_no_predictor_for_codecs_without(compress: str, tmp_path: Path) -> None:
    tensor = GeoTensor(smooth("float32"), **PLACE, fill_value_default=None)

    save_tiled_geotiff(tensor, tmp_path / "out.tif", profile_arg={"compress": compress})

    assert predictor_of(tmp_path / "out.tif") == "1"


def test_no_predictor_for_overviews_in_a_codec_without(tmp_path: Path) -> None:
    tensor = GeoTensor(smooth("uint16"), **PLACE, fill_value_default=None)

    save_cog(tensor, tmp_path / "out.tif",
             profile_arg={"compress": "deflate", "predictor": 2, "OVERVIEW_COMPRESS": "lzma"})  # fmt: skip

    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        found = [(int(page.compression), int(page.predictor)) for page in file.pages]
    assert found == [(8, 2), (34925, 1), (34925, 1)]


def test_chosen_predictor_gives_the_smallest_file(tmp_path: Path) -> None:
    sizes = {}
    for predictor in ("AUTO", 1, 2, 3):
        receipt = save_cog(GeoTensor(smooth("float32", 1100), **PLACE, fill_value_default=None), tmp_path / "out.tif",
                           profile_arg={"compress": "deflate", "predictor": predictor})  # fmt: skip
        sizes[predictor] = receipt.size_bytes

    assert sizes["AUTO"] == min(sizes.values())


def test_empty_tiles_are_skipped(tmp_path: Path) -> None:
    """Most of the raster is nodata; what little there is decides."""
    values = np.zeros((1500, 1500), "uint16")
    values[600:900, 600:900] = smooth("uint16", 300)

    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), tmp_path / "out.tif", profile_arg={"compress": "zstd"})

    assert predictor_of(tmp_path / "out.tif") == "2"


@pytest.mark.parametrize(("height_px", "width_px"), [(1, 1), (512, 512), (300, 90_000), (10_980, 10_980)])
def test_sample_tiles_are_few_and_within_the_raster(height_px: int, width_px: int) -> None:
    level = Level(0, height_px, width_px, 256, 256, 1)

    places = sample_places(level)

    assert 1 <= len(places) <= min(PLACES**2, max(1, level.tile_count // ONE_IN))
    assert len(set(places)) == len(places)
    assert all(row < level.tiles_down and column < level.tiles_across for row, column in places)


@pytest.mark.parametrize("blank", [slice(200, 312), slice(0, 150), slice(362, 512)], ids=["middle", "top", "bottom"])
@pytest.mark.parametrize("compress", ["lzw", "zstd"])
def test_missing_pixels_in_a_tile_do_not_change_the_choice(blank: slice, compress: str, tmp_path: Path) -> None:
    """Rows of nodata with a single valid pixel: its neighbours decide."""
    values = smooth("uint16", 512)
    values[blank] = 0
    values[blank.start + 50, 100] = 777

    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), tmp_path / "out.tif",
             profile_arg={"compress": compress, "BLOCKSIZE": 512})  # fmt: skip

    assert predictor_of(tmp_path / "out.tif") == "2"
