"""What a lossy codec would blur becomes a mask inside the file: alpha of a JPEG, nodata of every lossy codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags

from georeader import GeoTensor, save_cog
from georeader.errors import MetadataWarning, OptionError

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}
RGBA = {"colorinterp": ["red", "green", "blue", "alpha"]}

engines = pytest.mark.parametrize("engine", ["stream", "gdal"])


def picture(count: int, side_px: int = 600) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:side_px, 0:side_px]
    bands = [np.sin(rows / (40 + 9 * band)) * np.cos(columns / 50) for band in range(count)]
    return (127 + 100 * np.stack(bands)).astype("uint8")


def wedge(side_px: int = 600) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:side_px, 0:side_px]
    return np.asarray(rows + columns > 500)


def any_2x2(valid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    height, width = valid.shape
    return np.asarray(valid.reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3)))


@engines
@pytest.mark.parametrize("count", [1, 3])
def test_nodata_of_a_jpeg_becomes_a_mask(engine: str, count: int, tmp_path: Path, good_cog: Any) -> None:
    values = np.where(wedge(), picture(count), 0).astype("uint8")

    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), tmp_path / "out.tif", engine=engine,
             profile_arg={"compress": "jpeg", "QUALITY": 95})  # fmt: skip

    good_cog(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.nodata is None
        assert dataset.mask_flag_enums == ([MaskFlags.per_dataset],) * count
        assert np.array_equal(dataset.dataset_mask() > 0, (values != 0).any(axis=0))
        pixels = dataset.read()
    assert np.abs(pixels.astype(int) - values)[:, wedge()].mean() < 3


@engines
def test_the_mask_of_an_overview_is_valid_where_any_of_its_pixels_is(engine: str, tmp_path: Path) -> None:
    values = np.where(wedge(), picture(1) | 1, 0).astype("uint8")

    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), tmp_path / "out.tif", engine=engine,
             profile_arg={"compress": "jpeg"})  # fmt: skip

    with rasterio.open(tmp_path / "out.tif", overview_level=0) as overview:
        assert np.array_equal(overview.dataset_mask() > 0, any_2x2(wedge()))


@engines
def test_the_alpha_of_a_jpeg_becomes_a_mask(engine: str, tmp_path: Path, good_cog: Any) -> None:
    values = np.concatenate([picture(3), wedge()[np.newaxis] * np.uint8(255)])
    tensor = GeoTensor(values, **PLACE, fill_value_default=None, attrs={**RGBA, "descriptions": list("abcd")})

    save_cog(tensor, tmp_path / "out.tif", engine=engine, profile_arg={"compress": "jpeg", "QUALITY": 95})

    good_cog(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert dataset.descriptions == ("a", "b", "c")
        assert np.array_equal(dataset.dataset_mask() > 0, wedge())
        assert np.abs(dataset.read().astype(int) - values[:3]).mean() < 5


def test_masked_pixels_are_left_out_of_overviews(tmp_path: Path) -> None:
    values = np.full((3, 512, 512), 200, "uint8")
    values[:, ::2] = 0

    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), tmp_path / "out.tif",
             profile_arg={"compress": "jpeg", "QUALITY": 100})  # fmt: skip

    with rasterio.open(tmp_path / "out.tif", overview_level=0) as overview:
        assert overview.dataset_mask().min() == 255
        assert np.abs(overview.read().astype(int) - 200).max() <= 1


def test_masks_follow_tiles_and_the_ghost_area_declares_it(tmp_path: Path) -> None:
    values = np.where(wedge(), picture(3), 0).astype("uint8")

    save_cog(GeoTensor(values, **PLACE, fill_value_default=0), tmp_path / "out.tif", profile_arg={"compress": "jpeg"})

    content = (tmp_path / "out.tif").read_bytes()
    assert b"MASK_INTERLEAVED_WITH_IMAGERY=YES" in content[:300]
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        subfile_types = [int(page.subfiletype) for page in file.pages]
        image, mask = file.pages[0], file.pages[1]
        for offset, size, mask_offset in zip(image.dataoffsets, image.databytecounts, mask.dataoffsets, strict=True):
            assert offset + size + 8 == mask_offset
    assert subfile_types == [0, 4, 1, 1, 5, 5]


@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_masks_of_the_source_are_written_with_every_interleaving(
    interleave: str, tmp_path: Path, good_cog: Any
) -> None:
    tensor = GeoTensor(picture(2), **PLACE, fill_value_default=None, attrs={"mask": wedge()})

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"compress": "deflate", "INTERLEAVE": interleave})

    good_cog(tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert np.array_equal(dataset.read(), picture(2))
        assert np.array_equal(dataset.dataset_mask() > 0, wedge())
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_mask_of_the_source_takes_precedence_over_nodata_in_a_lossy_file(tmp_path: Path) -> None:
    tensor = GeoTensor(picture(3), **PLACE, fill_value_default=0, attrs={"mask": wedge()})

    with pytest.warns(MetadataWarning, match="nodata=0 is left out: the raster has a mask already"):
        save_cog(tensor, tmp_path / "out.tif", profile_arg={"compress": "jpeg"})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.nodata is None
        assert np.array_equal(dataset.dataset_mask() > 0, wedge())


def test_webp_keeps_alpha_as_a_band(tmp_path: Path) -> None:
    values = np.concatenate([picture(3), wedge()[np.newaxis] * np.uint8(255)])

    save_cog(GeoTensor(values, **PLACE, fill_value_default=None, attrs=RGBA), tmp_path / "out.tif",
             profile_arg={"compress": "webp", "WEBP_LOSSLESS": True})  # fmt: skip

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.colorinterp[3] is ColorInterp.alpha
        assert np.array_equal(dataset.read(), values)


@pytest.mark.parametrize(("count", "dtype", "attrs", "message"), [
    (4, "uint8", {}, "takes 1 or 3 bands, and a fourth that is alpha; here the fourth is 'undefined'.*webp"),
    (4, "uint8", {"colorinterp": ["alpha", "red", "green", "blue"]}, "here the fourth is 'blue'"),
    (2, "uint8", {}, "takes 1 or 3 or 4 bands, not 2; use lzw, deflate or zstd"),
    (3, "uint16", {}, "takes uint8 only, not uint16; use lzw, deflate or zstd"),
])  # fmt: skip
def test_rasters_that_jpeg_cannot_hold_are_refused_with_advice(
    count: int, dtype: str, attrs: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tensor = GeoTensor(picture(count).astype(dtype), **PLACE, fill_value_default=None, attrs=attrs)

    with pytest.raises(OptionError, match=message):
        save_cog(tensor, tmp_path / "out.tif", profile_arg={"compress": "jpeg"})

    assert list(tmp_path.iterdir()) == []
