"""Real rasters, through a reader into a COG and back: nothing of them is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from georeader import RasterioReader, save_cog, save_tiled_geotiff

NAMES = [
    "landsat7_rgb_uint8.tif",
    "hillshade_uint8.tif",
    "landcover_palette_uint8.tif",
    "elevation_float64.tif",
    "reflectance_scaled_int16.tif",
    "rgb_alpha_uint8.tif",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_pixels_and_metadata_are_read_back(save: Any, name: str, shared_data: Path, tmp_path: Path) -> None:
    save(RasterioReader(shared_data / name), tmp_path / "out.tif")

    with rasterio.open(shared_data / name) as before, rasterio.open(tmp_path / "out.tif") as after:
        np.testing.assert_array_equal(after.read(), before.read())
        np.testing.assert_array_equal(after.read_masks(), before.read_masks())
        for fact in (
            "crs",
            "transform",
            "dtypes",
            "nodata",
            "descriptions",
            "scales",
            "offsets",
            "units",
            "colorinterp",
        ):
            assert getattr(after, fact) == getattr(before, fact), fact
        # How the overviews were made is each file's own.
        expected = {
            key: value
            for key, value in before.tags().items()
            if key not in ("OVERVIEW_RESAMPLING", "OVR_RESAMPLING_ALG")
        }
        assert after.tags() | expected == after.tags()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("codec", ["lzw", "zstd"])
def test_the_cog_is_valid(
    name: str, codec: str, shared_data: Path, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    save_cog(RasterioReader(shared_data / name), tmp_path / "out.tif", profile_arg={"compress": codec})

    good_cog(tmp_path / "out.tif")


def test_land_cover_keeps_its_colours_and_gains_no_class(shared_data: Path, tmp_path: Path) -> None:
    reader = RasterioReader(shared_data / "landcover_palette_uint8.tif")

    save_cog(reader, tmp_path / "out.tif")

    again = RasterioReader(tmp_path / "out.tif")
    assert again.attrs["colormap"] == reader.attrs["colormap"]
    classes = set(np.unique(reader.values))
    for level in range(len(again.overviews())):
        assert set(np.unique(again.reader_overview(level).values)) <= classes


def test_overviews_of_a_slanted_scene_keep_its_edge(shared_data: Path, tmp_path: Path) -> None:
    """Averages that counted nodata would darken the edge: no overview pixel is darker than all of its sources."""
    reader = RasterioReader(shared_data / "landsat7_rgb_uint8.tif", window_focus=Window(0, 0, 790, 718))

    save_cog(reader, tmp_path / "out.tif")

    blocks = reader.values.astype(int).reshape(3, 359, 2, 395, 2)
    lowest = np.where(blocks == 0, 256, blocks).min(axis=(2, 4))
    overview = RasterioReader(tmp_path / "out.tif").reader_overview(0).values
    assert ((overview == 0) == (lowest == 256)).all()
    assert (overview[overview > 0] >= lowest[overview > 0]).all()


def test_jpeg_turns_alpha_into_a_mask(shared_data: Path, tmp_path: Path, good_cog: Callable[[Path], None]) -> None:
    save_cog(
        RasterioReader(shared_data / "rgb_alpha_uint8.tif"), tmp_path / "out.tif", profile_arg={"compress": "jpeg"}
    )

    with rasterio.open(shared_data / "rgb_alpha_uint8.tif") as before, rasterio.open(tmp_path / "out.tif") as after:
        assert after.count == 3
        np.testing.assert_array_equal(after.dataset_mask() > 0, before.dataset_mask() > 0)
    good_cog(tmp_path / "out.tif")
