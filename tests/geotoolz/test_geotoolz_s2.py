"""S2_L2A_NDVI: NDVI of an L2A stack without clouds, with provenance tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import georeader
from georeader import GeoTensor, RasterioReader, save_cog
from georeader.errors import MetadataError, OptionError, ShapeError
from geotoolz import BandError, Sequential
from geotoolz.catalog_ops import WriteCOG
from geotoolz.presets.s2 import S2_L2A_NDVI
from geotoolz_helpers import NAMES, stack_of

#: Blue, near infrared, SCL and red of four pixels: vegetation, a cloud, no data, vegetation in shadow.
STACK = ([1, 1, 1, 1], [4000, 4000, 0, 2000], [4, 9, 0, 4], [2000, 2000, 0, 1500])
INDEX = np.float32([2000 / 4000, np.nan, np.nan, 500 / 1500])


def l2a(names: Any = NAMES, **options: Any) -> GeoTensor:
    return stack_of(*STACK, **({} if names is None else {"descriptions": names}), **options)


def test_bands_are_found_by_name_and_clouds_are_masked() -> None:
    result = S2_L2A_NDVI()(l2a())

    np.testing.assert_array_equal(result.values[0, 0], INDEX)
    assert result.attrs["descriptions"] == ["NDVI"]
    assert (result.dtype, result.shape) == (np.float32, (1, 1, 4))
    assert np.isnan(result.fill_value_default)


@pytest.mark.parametrize(
    "names",
    [
        ["B2", "b8", "scl", "B4"],
        ["blue", "nir", "SCL", "Red"],
        ["B2, central wavelength 490 nm", "B8, central wavelength 842 nm", "SCL, Scene Classification", "B4, 665 nm"],
        [None, "B08", "SCL", " B04 "],
        ["B8A", "B08", "SCL", "B04"],
    ],
    ids=["short", "common", "GDAL's", "not all", "B8A is not B08"],
)
def test_band_names_are_found_in_all_spellings(names: list[str | None]) -> None:
    np.testing.assert_array_equal(S2_L2A_NDVI()(l2a(names)).values[0, 0], INDEX)


def test_bands_without_names_are_found_by_index() -> None:
    operator = S2_L2A_NDVI(red_idx=3, nir_idx=1, scl_idx=2)

    np.testing.assert_array_equal(operator(l2a(None)).values[0, 0], INDEX)
    np.testing.assert_array_equal(operator(l2a([None, "B08", None, None])).values[0, 0], INDEX)


def test_name_takes_precedence_over_index() -> None:
    operator = S2_L2A_NDVI(red_idx=0, nir_idx=0, scl_idx=0)

    np.testing.assert_array_equal(operator(l2a()).values[0, 0], INDEX)


def test_band_names_are_configurable() -> None:
    names = ["x", "near", "classes", "B05"]

    result = S2_L2A_NDVI(red="b5", nir="NEAR", scl="classes")(l2a(names))

    np.testing.assert_array_equal(result.values[0, 0], INDEX)


def test_offset_is_applied_and_configurable() -> None:
    without = S2_L2A_NDVI(boa_add_offset=0)(l2a()).values[0, 0]

    np.testing.assert_allclose(without, np.float32([2000 / 6000, np.nan, np.nan, 500 / 3500]))


def test_reflectances_below_zero_count_as_zero() -> None:
    result = S2_L2A_NDVI()(stack_of([900, 900, 1500], [1500, 800, 900], [4, 4, 4], descriptions=["B04", "B08", "SCL"]))

    np.testing.assert_array_equal(result.values[0, 0], np.float32([1, np.nan, -1]))


def test_zero_is_nodata_even_without_fill_value() -> None:
    result = S2_L2A_NDVI()(l2a(fill=None))

    np.testing.assert_array_equal(result.values[0, 0], INDEX)


def test_other_classes_can_be_masked() -> None:
    result = S2_L2A_NDVI(classes=(4,))(l2a())

    assert np.isfinite(result.values[0, 0]).tolist() == [False, True, False, False]


def test_only_three_bands_are_read_of_a_lazy_reader(tmp_path: Path) -> None:
    save_cog(l2a(), tmp_path / "l2a.tif")
    asked = []

    class Watched(RasterioReader):
        def load(self, boundless: bool = True) -> GeoTensor:
            asked.append(self.indexes)
            return super().load(boundless)

    result = S2_L2A_NDVI()(Watched(tmp_path / "l2a.tif"))

    np.testing.assert_array_equal(result.values[0, 0], INDEX)
    assert asked == [[4, 2, 3]]


def test_a_reader_that_can_only_load_is_loaded() -> None:
    class Loads:
        def load(self) -> GeoTensor:
            return l2a()

    np.testing.assert_array_equal(S2_L2A_NDVI()(Loads()).values[0, 0], INDEX)


def test_cog_is_saved_and_the_tensor_returned_with_a_path(tmp_path: Path, good_cog: Any) -> None:
    save_cog(l2a(), tmp_path / "l2a.tif", tags={"orbit": "R094"})
    operator = S2_L2A_NDVI(path=tmp_path / "ndvi.tif", profile_arg={"compress": "zstd"}, tags={"model": "v2"})

    result = operator(RasterioReader(tmp_path / "l2a.tif"))

    np.testing.assert_array_equal(result.values[0, 0], INDEX)
    good_cog(tmp_path / "ndvi.tif")
    with rasterio.open(tmp_path / "ndvi.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1)[0], INDEX)
        assert np.isnan(dataset.nodata)
        assert dataset.descriptions == ("NDVI",)
        assert dataset.compression.name == "zstd"
        tags = dataset.tags()
    config = json.loads(tags.pop("geotoolz_config"))
    assert config["boa_add_offset"] == -1000
    assert "path" not in config
    assert {key: tags[key] for key in tags if key not in ("AREA_OR_POINT", "OVERVIEW_RESAMPLING")} == {
        "geotoolz_operator": "S2_L2A_NDVI", "georeader_version": georeader.__version__, "boa_add_offset": "-1000",
        "source_bands": "B04=3, B08=1, SCL=2", "source": str(tmp_path / "l2a.tif"), "orbit": "R094", "model": "v2",
    }  # fmt: skip


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    S2_L2A_NDVI()(l2a())

    assert list(tmp_path.iterdir()) == []


def test_provenance_tags_are_saved_by_a_later_operator(tmp_path: Path) -> None:
    operator = Sequential([S2_L2A_NDVI(boa_add_offset=0), WriteCOG(str(tmp_path / "{tile}.tif"))])

    operator(l2a(row={"tile": "T1"}))

    assert RasterioReader(tmp_path / "T1.tif").tags()["boa_add_offset"] == "0"


@pytest.mark.parametrize(
    ("operator", "gt", "error", "message"),
    [
        (
            S2_L2A_NDVI(),
            l2a(None),
            MetadataError,
            "'B04' for the raster has no band descriptions; pass red=NAME or red_idx",
        ),
        (S2_L2A_NDVI(), l2a(["B02", "B08", "SCL", "B05"]), MetadataError, "no band 'B04' among .*B05"),
        (S2_L2A_NDVI(), l2a(["B04", "B08", "SCL", "b4"]), MetadataError, r"bands \[0, 3\] are all described as 'B04'"),
        (S2_L2A_NDVI(red_idx=9, nir_idx=1, scl_idx=2), l2a(None), BandError, "red_idx=9 is not there; .* 4 bands"),
        (S2_L2A_NDVI(red_idx=0, nir_idx=1, scl_idx=2), l2a(None)[0], ShapeError, "band, row, column"),
        (S2_L2A_NDVI(red_idx=0, nir_idx=0, scl_idx=2), l2a(None), MetadataError, "bands 0, 0 and 2; name three"),
        (S2_L2A_NDVI(red="B08"), l2a(), MetadataError, "bands 1, 1 and 2; name three"),
    ],
    ids=["no names", "not among the names", "twice", "no such index", "no bands", "one index twice", "one name twice"],
)
def test_bands_that_are_not_found_are_named(operator: Any, gt: GeoTensor, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        operator(gt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boa_add_offset": "-1000"}, "boa_add_offset"),
        ({"boa_add_offset": np.nan}, "boa_add_offset"),
        ({"red_idx": -1}, "red_idx"),
        ({"classes": ("cloud",)}, "classes"),
        ({"path": 7}, "path is a int"),
        ({"path": ""}, "path"),
        ({"tags": {"a": "b"}}, "saves nothing without path"),
        ({"path": "a.tif", "compress": "zstd"}, "does not take compress; .*profile_arg"),
    ],
)
def test_invalid_arguments_are_refused_at_construction(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        S2_L2A_NDVI(**arguments)
