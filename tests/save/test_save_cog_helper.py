"""_save_cog: the write step for a ready array and a full profile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from georeader import RasterioReader
from georeader.errors import GeoreferenceError, OptionError, ShapeError
from georeader.save import _save_cog

PROFILE = {"crs": "EPSG:32630", "transform": Affine(10, 0, 500000, 0, -10, 4000000)}


def test_cog_is_written_with_the_profile(tmp_path: Path, good_cog: Callable[[Path], None]) -> None:
    values = np.random.default_rng(0).random((2, 600, 500), dtype="float32")
    profile = {**PROFILE, "nodata": -1, "compress": "zstd", "RESAMPLING": "nearest", "count": 2, "dtype": "float32"}
    before = dict(profile)

    _save_cog(values, str(tmp_path / "out.tif"), profile, descriptions=["a", "b"], tags={"k": "v"})

    reader = RasterioReader(tmp_path / "out.tif")
    np.testing.assert_array_equal(reader.values, values)
    assert reader.nodata == -1
    assert reader.descriptions == ["a", "b"]
    assert reader.tags() | {"k": "v", "OVERVIEW_RESAMPLING": "NEAREST"} == reader.tags()
    assert profile == before
    good_cog(tmp_path / "out.tif")


def test_nodata_is_none_without_nodata_in_the_profile(tmp_path: Path) -> None:
    _save_cog(np.zeros((1, 9, 9), "float32"), tmp_path / "out.tif", PROFILE)

    assert RasterioReader(tmp_path / "out.tif").nodata is None


@pytest.mark.parametrize(("missing", "message"), [("crs", "no crs; add"), ("transform", "no transform; add")])
def test_profile_without_georeference_is_refused(missing: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(GeoreferenceError, match=message):
        _save_cog(np.zeros((1, 9, 9)), tmp_path / "out.tif", {k: v for k, v in PROFILE.items() if k != missing})


def test_list_is_accepted_as_array(tmp_path: Path) -> None:
    _save_cog([[[1, 2], [3, 4]]], tmp_path / "out.tif", PROFILE)

    assert RasterioReader(tmp_path / "out.tif").values.tolist() == [[[1, 2], [3, 4]]]


def test_missing_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="profile is a NoneType; pass a mapping with 'crs' and 'transform'"):
        _save_cog(np.zeros((1, 9, 9)), tmp_path / "out.tif", None)


def test_arrays_without_three_dimensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"shape \(9, 9\); _save_cog takes \(band, row, column\)"):
        _save_cog(np.zeros((9, 9)), tmp_path / "out.tif", PROFILE)
