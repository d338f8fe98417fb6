"""Metadata of single bands: read, carried along with the bands, and written again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import MetadataError, MetadataWarning

TAGS: list[dict[str, str]] = [{"wavelength": "664.6 nm", "é ü": "ß"}, {}, {"wavelength": "832.8 nm", "a": "<b> & 'c'"}]

both = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
engines = pytest.mark.parametrize("engine", ["stream", "gdal"])

MakeTensor = Callable[..., GeoTensor]


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """A file of three bands with `TAGS`, written by rasterio."""
    path = tmp_path / "tagged.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 30, "width": 40, "dtype": "int16", "crs": 3857}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.arange(3 * 30 * 40, dtype="int16").reshape(3, 30, 40))
        for band, tags in enumerate(TAGS, start=1):
            dataset.update_tags(band, **tags)
    return path


def tags_of(path: Path) -> list[dict[str, str]]:
    """The tags of each band by rasterio."""
    with rasterio.open(path) as dataset:
        return [dataset.tags(band) for band in dataset.indexes]


def test_reader_has_the_tags_of_each_band(tagged: Path) -> None:
    assert RasterioReader(tagged).attrs["band_tags"] == TAGS
    assert RasterioReader(tagged).load().attrs["band_tags"] == TAGS


def test_reader_leaves_out_band_tags_if_there_are_none(tagged: Path) -> None:
    assert "band_tags" not in RasterioReader(tagged, indexes=[2]).attrs


def test_tags_are_a_copy_for_the_caller(tagged: Path) -> None:
    reader = RasterioReader(tagged)

    reader.attrs["band_tags"][0].clear()
    reader.load().attrs["band_tags"][2]["wavelength"] = "changed"

    assert reader.attrs["band_tags"] == TAGS


def test_tags_that_gdal_derives_from_the_pixels_are_not_read(tagged: Path) -> None:
    with rasterio.open(tagged, "r+") as dataset:
        dataset.update_tags(1, STATISTICS_MEAN="12", STATISTICS_VALID_PERCENT="100")

    assert RasterioReader(tagged).attrs["band_tags"] == TAGS


@pytest.mark.parametrize("bands", [[0], [2, 0], [1, 1, 2], slice(None, None, -1)])
def test_tags_follow_their_bands(bands: Any, tagged: Path) -> None:
    expected = TAGS[bands] if isinstance(bands, slice) else [TAGS[band] for band in bands]
    reader = RasterioReader(tagged)

    assert reader.isel({"band": bands}).attrs["band_tags"] == expected
    assert reader.load().isel({"band": bands}).attrs["band_tags"] == expected


def test_concatenated_bands_keep_their_tags(tagged: Path) -> None:
    tensor = RasterioReader(tagged).load()

    joined = GeoTensor.concatenate([tensor, tensor.like(tensor.values, attrs={})])

    assert joined.attrs["band_tags"] == [*TAGS, {}, {}, {}]


def test_bands_without_tags_do_not_share_one_dict(tagged: Path) -> None:
    tensor = RasterioReader(tagged).load()
    joined = GeoTensor.concatenate([tensor, tensor.like(tensor.values, attrs={})])

    joined.attrs["band_tags"][3]["new"] = "x"

    assert joined.attrs["band_tags"][4] == {}


def test_values_with_the_same_bands_keep_their_tags(tagged: Path) -> None:
    tensor = RasterioReader(tagged).load()

    assert (tensor * 2).attrs["band_tags"] == TAGS
    assert "band_tags" not in tensor.sum(axis=0).attrs


@both
@engines
def test_tags_of_bands_are_read_back(save: Any, engine: str, tagged: Path, tmp_path: Path) -> None:
    save(RasterioReader(tagged), tmp_path / "out.tif", engine=engine)

    assert tags_of(tmp_path / "out.tif") == TAGS


@both
@engines
def test_tags_of_bands_and_of_the_file_are_separate(
    save: Any, engine: str, make_tensor: MakeTensor, tmp_path: Path
) -> None:
    tensor = make_tensor((2, 20, 20), attrs={"band_tags": [{"key": "of band 1"}, {"other": "of band 2"}]})

    save(tensor, tmp_path / "out.tif", tags={"key": "of the file"}, engine=engine)

    assert tags_of(tmp_path / "out.tif") == [{"key": "of band 1"}, {"other": "of band 2"}]
    assert RasterioReader(tmp_path / "out.tif").tags()["key"] == "of the file"


@engines
def test_statistics_of_other_pixels_are_not_written(engine: str, make_tensor: MakeTensor, tmp_path: Path) -> None:
    stale = {"STATISTICS_MAXIMUM": "9", "statistics_mean": "5", "unit": "m"}

    save_cog(make_tensor((1, 20, 20), attrs={"band_tags": [stale]}), tmp_path / "out.tif", engine=engine)

    assert tags_of(tmp_path / "out.tif") == [{"unit": "m"}]


@engines
def test_new_statistics_are_written_beside_the_tags(engine: str, make_tensor: MakeTensor, tmp_path: Path) -> None:
    tensor = make_tensor((1, 20, 20), attrs={"band_tags": [{"STATISTICS_MAXIMUM": "999", "sensor": "x"}]})

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"STATISTICS": "YES"}, engine=engine)

    (found,) = tags_of(tmp_path / "out.tif")
    assert found["sensor"] == "x"
    assert float(found["STATISTICS_MAXIMUM"]) == tensor.values.max()


@pytest.mark.parametrize("key", ["TIFFTAG_WIBBLE", "AREA_OR_POINT", "OFFSET", "DESCRIPTION", "OVERVIEW_RESAMPLING"])
def test_reserved_keys_of_a_file_are_plain_tags_of_a_band(key: str, make_tensor: MakeTensor, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 20, 20), attrs={"band_tags": [{key: "x"}]}), tmp_path / "out.tif")

    assert tags_of(tmp_path / "out.tif") == [{key: "x"}]


@pytest.mark.parametrize("odd", [{"a:b": "x"}, {"empty": ""}, {"lead": " x"}, {"bidx": "1"}, {"good": "z"}])
def test_tags_that_a_geotiff_cannot_keep_are_named_in_a_warning(
    odd: dict[str, str], make_tensor: MakeTensor, tmp_path: Path
) -> None:
    (name,) = odd
    tensor = make_tensor((2, 20, 20), attrs={"band_tags": [{"good": "y"}, {"GOOD": "w", **odd}]})

    with pytest.warns(MetadataWarning, match=f"tags of the source .* left out: {name}") as caught:
        save_cog(tensor, tmp_path / "out.tif")

    assert caught[0].filename == __file__
    assert tags_of(tmp_path / "out.tif") == [{"good": "y"}, {"GOOD": "w"}]


def test_none_is_a_band_without_tags(make_tensor: MakeTensor, tmp_path: Path) -> None:
    save_cog(make_tensor((2, 20, 20), attrs={"band_tags": [None, {"a": "b"}]}), tmp_path / "out.tif")

    assert tags_of(tmp_path / "out.tif") == [{}, {"a": "b"}]


@pytest.mark.parametrize(
    ("band_tags", "message"),
    [
        ([{}], r"attrs\['band_tags'\] has 1 entries for 2 bands"),
        ({"a": "b"}, r"attrs\['band_tags'\] is a dict, not a list with one entry per band"),
        ([{}, "a=b"], r"attrs\['band_tags'\]\[1\] is a str; it should be a mapping"),
    ],
)
def test_tags_that_do_not_fit_the_bands_are_refused(
    band_tags: Any, message: str, make_tensor: MakeTensor, tmp_path: Path
) -> None:
    with pytest.raises(MetadataError, match=message):
        save_cog(make_tensor((2, 20, 20), attrs={"band_tags": band_tags}), tmp_path / "out.tif")

    assert list(tmp_path.iterdir()) == []


def test_load_file_without_tags_leaves_out_band_tags(tagged: Path) -> None:
    assert "band_tags" in GeoTensor.load_file(tagged).attrs
    assert "band_tags" not in GeoTensor.load_file(tagged, load_tags=False).attrs
