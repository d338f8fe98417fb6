"""RESAMPLING of save_cog: one method, or one per band, and its overviews."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from georeader import GeoTensor, save_cog
from georeader.errors import OptionError

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def tensor(values: np.ndarray[Any, Any], **kwargs: Any) -> GeoTensor:
    return GeoTensor(values, **PLACE, **{"fill_value_default": None, **kwargs})


def overview(path: Path, level: int = 0) -> np.ndarray[Any, Any]:
    with rasterio.open(path, overview_level=level) as dataset:
        return np.asarray(dataset.read())


def blocks(band: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(row, column, the four pixels of each 2x2 block)."""
    height, width = band.shape
    return band.reshape(height // 2, 2, width // 2, 2).swapaxes(1, 2).reshape(height // 2, width // 2, 4)


OF_A_BLOCK = {
    "MIN": lambda four: four.min(axis=2),
    "MAX": lambda four: four.max(axis=2),
    "OR": lambda four: np.bitwise_or.reduce(four, axis=2),
    "NEAREST": lambda four: four[..., 0],
    "AVERAGE": lambda four: (four.sum(axis=2, dtype=int) + 2) // 4,
}


@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_each_band_has_its_own_method(interleave: str, rng: np.random.Generator, tmp_path: Path) -> None:
    values = rng.integers(0, 256, (5, 1024, 768)).astype("uint8")
    methods = list(OF_A_BLOCK)

    save_cog(tensor(values), tmp_path / "out.tif", profile_arg={"RESAMPLING": methods, "INTERLEAVE": interleave})

    for band, method in enumerate(methods):
        once = OF_A_BLOCK[method](blocks(values[band]))
        assert np.array_equal(overview(tmp_path / "out.tif")[band], once), method
        twice = OF_A_BLOCK[method](blocks(once))
        assert np.array_equal(overview(tmp_path / "out.tif", 1)[band], twice), method
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags()["OVERVIEW_RESAMPLING"] == "MIN,MAX,OR,NEAREST,AVERAGE"


def test_median_is_one_of_the_two_middle_values(rng: np.random.Generator, tmp_path: Path) -> None:
    values = rng.normal(size=(512, 512)).astype("float32")

    save_cog(tensor(values), tmp_path / "out.tif", profile_arg={"OVERVIEW_RESAMPLING": "med"})

    four = np.sort(blocks(values), axis=2)
    found = overview(tmp_path / "out.tif")[0]
    assert np.logical_or(found == four[..., 1], found == four[..., 2]).all()


@pytest.mark.parametrize("method", ["bilinear", "cubic", "cubicspline", "lanczos", "gauss"])
def test_bytes_do_not_depend_on_the_block_size(
    method: str, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from georeader._export.plan import order_of_work as module

    values = rng.integers(0, 10_000, (1, 1100, 900)).astype("uint16")
    for name, block_px in (("small.tif", 64 * 64), ("large.tif", 2**22)):
        monkeypatch.setattr(module, "BLOCK_PX", block_px)
        save_cog(tensor(values, fill_value_default=0), tmp_path / name,
                 profile_arg={"RESAMPLING": method, "BLOCKSIZE": 16, "predictor": 2})  # fmt: skip

    assert (tmp_path / "small.tif").read_bytes() == (tmp_path / "large.tif").read_bytes()


def test_overviews_of_colours_leave_out_transparent_pixels(tmp_path: Path) -> None:
    values = np.zeros((4, 512, 512), "uint8")
    values[:3, ::2] = 90
    values[3, ::2] = 255

    save_cog(tensor(values, attrs={"colorinterp": ["red", "green", "blue", "alpha"]}), tmp_path / "out.tif")

    red, _, _, alpha = overview(tmp_path / "out.tif")
    assert np.unique(red) == [90]
    assert np.unique(alpha) == [128]


@pytest.mark.parametrize(("dtype", "method", "message"), [
    ("uint8", ["average", "mode"], "lists 2 methods for 3 bands; pass one per band"),
    ("uint8", [], "is invalid; allowed: NEAREST.*or a list with one of them per band"),
    ("uint8", ["average", "mode", "best"], "is invalid; allowed: NEAREST"),
    ("float32", "or", "RESAMPLING=OR joins the bits of integers, which float32 does not have"),
    ("complex64", "max", "RESAMPLING=MAX is not for complex64"),
])  # fmt: skip
def test_invalid_methods_are_refused(dtype: str, method: Any, message: str, make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        save_cog(make_tensor((3, 20, 20), dtype), tmp_path / "out.tif", profile_arg={"RESAMPLING": method})

    assert list(tmp_path.iterdir()) == []
