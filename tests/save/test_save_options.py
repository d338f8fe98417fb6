"""profile_arg: every spelling arrives in the file, and nothing that would be ignored passes unseen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from georeader import GeoTensor, RasterioReader, save, save_cog, save_tiled_geotiff
from georeader.errors import NodataError, OptionError

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")


def picture(dtype: str = "uint8", count: int = 1, size: tuple[int, int] = (600, 500)) -> GeoTensor:
    values = np.random.default_rng(3).integers(0, 7, (count, *size)).astype(dtype)
    return GeoTensor(values, *PLACE, fill_value_default=None)


def facts(path: Path) -> dict[str, Any]:
    with rasterio.open(path) as dataset:
        return {
            "compress": dataset.compression.value.lower() if dataset.compression else None,
            "tile": dataset.block_shapes[0],
            "interleave": dataset.interleaving.value.lower(),
            "overviews": dataset.overviews(1),
            "nodata": dataset.nodata,
            "dtype": dataset.dtypes[0],
            "predictor": dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR"),
            "bigtiff": path.read_bytes()[2] == 43,
        }


@pytest.mark.parametrize(
    ("profile_arg", "expected"),
    [
        ({}, {"compress": "lzw", "tile": (256, 256), "interleave": "pixel", "overviews": [2, 4]}),
        ({"compress": "ZSTD"}, {"compress": "zstd"}),
        ({"COMPRESS": "deflate"}, {"compress": "deflate"}),
        ({"Compress": None}, {"compress": None}),
        ({"compress": "none"}, {"compress": None}),
        ({"compress": "lzma", "LEVEL": 1}, {"compress": "lzma"}),
        ({"BLOCKSIZE": 512}, {"tile": (512, 512), "overviews": [2]}),
        ({"blockxsize": 128, "blockysize": 128}, {"tile": (128, 128), "overviews": [2, 4, 8]}),
        ({"blockxsize": "512"}, {"tile": (256, 512)}),
        ({"blocksize": 64}, {"tile": (64, 64), "overviews": [2, 4, 8, 16]}),
        ({"INTERLEAVE": "band"}, {"interleave": "band"}),
        ({"predictor": 2}, {"predictor": "2"}),
        ({"PREDICTOR": "2"}, {"predictor": "2"}),
        ({"predictor": "standard"}, {"predictor": "2"}),
        ({"predictor": True}, {"predictor": "2"}),
        ({"predictor": 1}, {"predictor": None}),
        ({"dtype": "float32", "predictor": "FLOATING_POINT"}, {"predictor": "3", "dtype": "float32"}),
        ({"dtype": "float64", "predictor": 3}, {"predictor": "3"}),
        ({"BIGTIFF": "YES"}, {"bigtiff": True}),
        ({"bigtiff": "no"}, {"bigtiff": False}),
        ({"OVERVIEWS": "NONE"}, {"overviews": []}),
        ({"OVERVIEWS": "IGNORE_EXISTING"}, {"overviews": [2, 4]}),
        ({"OVERVIEW_COUNT": 1}, {"overviews": [2]}),
        ({"nodata": 6}, {"nodata": 6}),
        ({"NODATA": None}, {"nodata": None}),
        ({"dtype": "int16"}, {"dtype": "int16"}),
        ({"COPY_SRC_OVERVIEWS": "YES", "TILED": True}, {"overviews": [2, 4]}),
        ({"driver": "GTiff", "count": 2, "height": 600, "width": 500, "crs": "EPSG:32630"}, {"overviews": [2, 4]}),
        ({"transform": PLACE[0], "driver": "COG"}, {"overviews": [2, 4]}),
    ],
)
def test_option_of_save_cog_is_applied(
    profile_arg: dict[str, Any], expected: dict[str, Any], tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    given = dict(profile_arg)

    save_cog(picture(count=2), tmp_path / "out.tif", profile_arg=profile_arg)

    found = facts(tmp_path / "out.tif")
    assert {key: found[key] for key in expected} == expected
    assert profile_arg == given
    if "OVERVIEWS" not in profile_arg:
        good_cog(tmp_path / "out.tif")


@pytest.mark.parametrize(
    ("profile_arg", "expected"),
    [
        ({}, {"compress": "lzw", "tile": (256, 256), "overviews": []}),
        ({"compress": "zstd", "ZSTD_LEVEL": 3, "PREDICTOR": 2}, {"compress": "zstd", "predictor": "2"}),
        ({"compress": "deflate", "ZLEVEL": "9"}, {"compress": "deflate"}),
        ({"BLOCKSIZE": 128}, {"tile": (128, 128)}),
        ({"INTERLEAVE": "BAND"}, {"interleave": "band"}),
        ({"RESAMPLING": "nearest", "OVERVIEWS": "AUTO"}, {"overviews": []}),
    ],
)
def test_option_of_save_tiled_geotiff_is_applied(
    profile_arg: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    save_tiled_geotiff(picture(count=2), tmp_path / "out.tif", profile_arg=profile_arg)

    found = facts(tmp_path / "out.tif")
    assert {key: found[key] for key in expected} == expected


LEVELS = [("deflate", "LEVEL"), ("deflate", "ZLEVEL"), ("zstd", "LEVEL"), ("zstd", "ZSTD_LEVEL"), ("lzma", "LEVEL"),
          ("lzma", "LZMA_PRESET")]  # fmt: skip


@pytest.mark.parametrize(("codec", "key"), LEVELS)
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_a_level_reaches_the_codec_by_each_of_its_names(save: Any, codec: str, key: str, tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:700, 0:700]
    smooth = ((np.sin(rows / 30) + np.cos(columns / 17)) * 9000).astype("int32") // 7
    tensor = GeoTensor(smooth, *PLACE, fill_value_default=None)

    for level in (1, 9):
        save(tensor, tmp_path / f"{level}.tif", profile_arg={"compress": codec, key: level})

    assert (tmp_path / "9.tif").stat().st_size < (tmp_path / "1.tif").stat().st_size


@pytest.mark.parametrize(("codec", "key"), [("jpeg", "QUALITY"), ("jpeg", "JPEG_QUALITY"), ("webp", "WEBP_LEVEL")])
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_a_quality_reaches_the_codec_by_each_of_its_names(save: Any, codec: str, key: str, tmp_path: Path) -> None:
    for quality in (20, 95):
        save(picture(count=3), tmp_path / f"{quality}.tif", profile_arg={"compress": codec, key: quality})

    assert (tmp_path / "20.tif").stat().st_size < (tmp_path / "95.tif").stat().st_size


@pytest.mark.parametrize("profile_arg", [{"WEBP_LOSSLESS": True}, {"QUALITY": 100}])
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_webp_can_be_lossless(save: Any, profile_arg: dict[str, Any], tmp_path: Path) -> None:
    tensor = picture(count=3)

    save(tensor, tmp_path / "out.tif", profile_arg={"compress": "webp", **profile_arg})

    np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, tensor.values)


@pytest.mark.parametrize(
    ("dtype", "count", "profile_arg"),
    [
        ("uint8", 1, {"TILING_SCHEME": "GoogleMapsCompatible", "ZOOM_LEVEL": 11, "WARP_RESAMPLING": "nearest"}),
        ("uint8", 1, {"TILING_SCHEME": "GoogleMapsCompatible", "ZOOM_LEVEL_STRATEGY": "upper", "ALIGNED_LEVELS": 2}),
        ("uint8", 1, {"TARGET_SRS": "EPSG:4326", "ADD_ALPHA": False}),
        ("uint8", 1, {"TARGET_SRS": "EPSG:32630", "EXTENT": (500000, 3999000, 501000, 4000000), "RES": 20}),
        ("uint8", 1, {"TILING_SCHEME": "CUSTOM"}),
        ("uint8", 1, {"STATISTICS": "YES"}),
        ("uint8", 3, {"OVERVIEW_COMPRESS": "jpeg", "OVERVIEW_QUALITY": 50}),
        ("uint8", 1, {"OVERVIEW_COMPRESS": "deflate", "OVERVIEW_PREDICTOR": 2}),
        ("float32", 1, {"compress": "lerc", "MAX_Z_ERROR": 0.1, "MAX_Z_ERROR_OVERVIEW": 0.5}),
        ("uint8", 1, {"NBITS": 4}),
        ("float32", 1, {"NBITS": 16}),
        ("uint8", 1, {"SPARSE_OK": True}),
        ("uint8", 1, {"GEOTIFF_VERSION": "1.1"}),
        ("uint8", 1, {"BIGTIFF": "IF_NEEDED", "NUM_THREADS": "2"}),
        ("uint8", 1, {"BLOCKSIZE": 16}),
        ("uint8", 3, {"compress": "webp", "QUALITY": 50}),
        ("uint8", 3, {"compress": "jpeg", "QUALITY": 50}),
        ("int16", 2, {"compress": "zstd", "LEVEL": 22, "INTERLEAVE": "BAND"}),
        ("uint16", 1, {"compress": "deflate", "LEVEL": 12, "predictor": 2}),
        ("uint16", 1, {"compress": "lzma", "LEVEL": 0}),
    ],
)
def test_gdal_accepts_every_accepted_option(
    dtype: str, count: int, profile_arg: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """GDAL logs "ignored" and "not supported" where an option has no effect: silence means that it took it."""
    with caplog.at_level(logging.WARNING, logger="rasterio"):
        save_cog(picture(dtype, count), tmp_path / "out.tif", profile_arg=profile_arg, engine="gdal")

    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_tiling_scheme_is_written_by_both_engines(
    engine: Any, tmp_path: Path, good_cog: Callable[[Path], None]
) -> None:
    save_cog(picture(), tmp_path / "out.tif", engine=engine, profile_arg={"TILING_SCHEME": "GoogleMapsCompatible"})

    reader = RasterioReader(tmp_path / "out.tif")
    assert reader.crs.to_epsg() == 3857
    assert reader.height % 256 == 0
    assert reader.width % 256 == 0
    good_cog(tmp_path / "out.tif")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_statistics_are_exact_and_all_overviews_are_written(
    dtype: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    values = (rng.normal(size=(2, 600, 700)) * 20 + 100).astype(dtype)
    values[:, :50] = 0
    tensor = GeoTensor(values, *PLACE, fill_value_default=0, attrs={})

    save_cog(tensor, tmp_path / "out.tif", profile_arg={"STATISTICS": "YES"})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        tags = dataset.tags(2)
        assert dataset.overviews(1) == [2, 4]
    valid = values[1][values[1] != 0].astype("float64")
    expected = {"MINIMUM": valid.min(), "MAXIMUM": valid.max(), "MEAN": valid.mean(), "STDDEV": valid.std()}
    found = {name: float(tags[f"STATISTICS_{name}"]) for name in expected}
    assert found == pytest.approx(expected, rel=1e-10)
    assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(100 * valid.size / values[1].size, abs=0.01)


@pytest.mark.parametrize(
    ("profile_arg", "message"),
    [
        ({"compres": "lzw"}, r"'compres'\] is unknown; did you mean 'COMPRESS'\? allowed: ADD_ALPHA, .*ZSTD_LEVEL"),
        ({"wibble": 1}, r"'wibble'\] is unknown; allowed: ADD_ALPHA"),
        ({7: 1}, r"\[7\] is unknown"),
        ({"compress": "zip"}, r"\['compress'\]='zip' is invalid; allowed: LZW, DEFLATE, ZSTD"),
        ({"compress": ["lzw"]}, "is invalid; allowed: LZW"),
        ({"BLOCKSIZE": 250}, r"\['BLOCKSIZE'\]=250 is invalid; allowed: a multiple of 16"),
        ({"blockysize": 1}, "allowed: a multiple of 16"),
        ({"blockxsize": 256.5}, "allowed: a multiple of 16"),
        ({"BLOCKSIZE": 256, "blockxsize": 512}, "says both BLOCKSIZE=256 and blockxsize=512; keep one"),
        ({"compress": "zstd", "COMPRESS": "lzw"}, "says both compress='ZSTD' and COMPRESS='LZW'; keep one"),
        (
            {"predictor": 4},
            r"\['predictor'\]=4 is invalid; allowed: NO, YES, STANDARD, FLOATING_POINT, AUTO, 1, 2, 3",
        ),
        ({"STATISTICS": "YES", "dtype": "complex64"}, "'STATISTICS'.* is for real numbers, not complex64"),
        ({"predictor": 3}, r"predictor 3 \(FLOATING_POINT\) is for float32 and float64, not uint8"),
        ({"compress": "lzma", "predictor": 2}, "predictor=STANDARD has no meaning with compress='lzma'"),
        ({"LEVEL": 5}, r"\['LEVEL'\] has no meaning with compress='lzw'; it goes with deflate"),
        ({"compress": "zstd", "ZLEVEL": 6}, r"\['ZLEVEL'\] has no meaning with compress='zstd'; it goes with deflate"),
        ({"compress": "zstd", "LEVEL": 23}, "is invalid"),
        ({"compress": "deflate", "ZLEVEL": 13}, r"=13 is invalid with compress='deflate'; allowed: 1 to 12"),
        ({"compress": "lzma", "LEVEL": 10}, "allowed: 0 to 9"),
        ({"compress": "zstd", "LEVEL": 3, "ZSTD_LEVEL": 4}, "says both LEVEL=3 and ZSTD_LEVEL=4"),
        ({"QUALITY": 80}, r"\['QUALITY'\] has no meaning with compress='lzw'; it goes with jpeg, webp"),
        ({"compress": "webp", "QUALITY": 101}, "allowed: an integer from 1 to 100"),
        ({"compress": "lzw", "MAX_Z_ERROR": 1}, "it goes with lerc"),
        ({"compress": "lerc", "MAX_Z_ERROR": -1}, "allowed: a number of at least 0"),
        ({"compress": "webp"}, "compress='webp' takes 3 or 4 bands, not 2"),
        ({"compress": "jpeg"}, "compress='jpeg' takes 1 or 3 or 4 bands, not 2"),
        ({"compress": "jpeg", "dtype": "uint16"}, "compress='jpeg' takes uint8 only, not uint16"),
        ({"compress": "lerc", "dtype": "int64"}, "compress='lerc' takes int8, .* only, not int64"),
        ({"dtype": "complex128", "predictor": 2}, "predictor 2 .* not complex128"),
        ({"compress": "jpeg", "INTERLEAVE": "BAND", "count": 2}, "takes 1 or 3 or 4 bands"),
        ({"BIGTIFF": "MAYBE"}, "allowed: YES, NO, IF_NEEDED, IF_SAFER"),
        ({"TILED": False}, "always tiled"),
        ({"INTERLEAVE": "LINE"}, "allowed: PIXEL, BAND"),
        ({"RESAMPLING": "best"}, "allowed: NEAREST, AVERAGE, BILINEAR"),
        ({"OVERVIEWS": "FORCE_USE_EXISTING"}, "allowed: AUTO, IGNORE_EXISTING, NONE"),
        ({"OVERVIEW_COUNT": -1}, "allowed: an integer from 0"),
        ({"NUM_THREADS": 0}, "allowed: ALL_CPUS or an integer from 1 to 1024"),
        ({"NUM_THREADS": True}, "allowed: ALL_CPUS"),
        ({"count": 3}, r"\['count'\]=3, but the data has 2"),
        ({"width": 12}, r"\['width'\]=12, but the data has 500"),
        ({"driver": "PNG"}, "'PNG'; allowed: COG, GTiff"),
        ({"crs": "EPSG:4326"}, "is not the data's CRS"),
        ({"transform": Affine(1, 0, 0, 0, -1, 0)}, "is not the data's"),
        ({"RES": 20}, r"\['RES'\] has a meaning only together with EXTENT"),
        ({"EXTENT": (0, 0, 1, 1)}, "only together with TARGET_SRS"),
        ({"EXTENT": (0, 0, 1), "TARGET_SRS": "EPSG:4326"}, "allowed: 4 numbers"),
        ({"TARGET_SRS": "nonsense"}, r"\['TARGET_SRS'\]='nonsense' is invalid; allowed: an EPSG code"),
        ({"ZOOM_LEVEL": 3}, "only together with TILING_SCHEME"),
        ({"WARP_RESAMPLING": "cubic"}, "only together with TILING_SCHEME or TARGET_SRS"),
        ({"OVERVIEW_QUALITY": 3}, "only with overviews in jpeg or webp"),
        ({"NBITS": 9}, "NBITS'.=9 is invalid with uint8; allowed: uint8: 1 to 7"),
        ({"NBITS": 2}, "holds values up to 3; data or nodata reach 6"),
        ({"PHOTOMETRIC": "RGB"}, "'photometric'.='RGB': red, green and blue take three bands, got 2"),
        ({"NBITS": 4, "compress": "lerc"}, "'NBITS'. goes with lzw, deflate, zstd, lzma and none, without a predictor"),
        ({"NBITS": 4, "predictor": 2}, "without a predictor"),
        ({"OVERVIEW_COMPRESS": "jpeg"}, "compress='jpeg' takes 1 or 3 or 4 bands, not 2"),
        ({"OVERVIEW_COMPRESS": "webp", "dtype": "float32"}, "compress='webp' takes uint8 only"),
        ({"OVERVIEW_COMPRESS": "lerc"}, "cannot mix lerc with another codec"),
        ({"OVERVIEW_PREDICTOR": 3}, r"predictor 3 \(FLOATING_POINT\) is for float32 and float64"),
        ({"OVERVIEWS": "NONE", "OVERVIEW_COUNT": 2}, "both OVERVIEWS=NONE and OVERVIEW_COUNT; keep one"),
        ({"OVERVIEW_COUNT": 11}, "a single pixel after 10 halvings; allowed: 0 to 10"),
        ({"BLOCKSIZE": 2**40}, "allowed: a multiple of 16 up to 16384"),
        (
            {"dtype": "complex64", "RESAMPLING": "cubic"},
            "CUBIC is not for complex64; allowed there: NEAREST",
        ),
        ({"dtype": "complex64", "predictor": "YES"}, "predictor 2 .* not complex64"),
        ({"count": np.array([2, 2])}, "but the data has 2"),
        ({"blockxsize": 512, "TILING_SCHEME": "GoogleMapsCompatible"}, "goes with square tiles, got 512 x 256"),
        ("zstd", "profile_arg='zstd' is not a preset; did you mean {'compress': 'zstd'}"),
        (3, "profile_arg is a int; pass a mapping such as {'compress': 'zstd'}, or a preset: web, visual"),
    ],
)
def test_invalid_options_are_refused_and_nothing_is_written(
    profile_arg: Any, message: str, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    with pytest.raises(OptionError, match=message):
        save_cog(picture(count=2), tmp_path / "out.tif", profile_arg=profile_arg)

    assert contents(tmp_path) == {}


def test_an_option_of_the_cog_driver_is_refused_by_save_tiled_geotiff(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'TILING_SCHEME'\] is for save_cog only; allowed here: BIGTIFF"):
        save_tiled_geotiff(picture(), tmp_path / "out.tif", profile_arg={"TILING_SCHEME": "GoogleMapsCompatible"})


def test_profile_is_an_older_name_of_profile_arg(tmp_path: Path) -> None:
    save_cog(picture(), tmp_path / "out.tif", profile={"compress": "zstd"})

    assert facts(tmp_path / "out.tif")["compress"] == "zstd"


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_both_names_of_the_profile_at_once_are_an_error(save: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="two names of one argument"):
        save(picture(), tmp_path / "out.tif", profile_arg={"compress": "zstd"}, profile={"compress": "zstd"})


def test_a_rasterio_profile_of_a_tiled_file_is_a_valid_profile_arg(tmp_path: Path) -> None:
    save_tiled_geotiff(picture("int16", 2), tmp_path / "first.tif", profile_arg={"compress": "zstd", "nodata": 5})
    with rasterio.open(tmp_path / "first.tif") as dataset:
        profile = dict(dataset.profile)

    save_cog(picture("int16", 2), tmp_path / "second.tif", profile_arg=profile)

    assert facts(tmp_path / "second.tif") | {"overviews": []} == facts(tmp_path / "first.tif")


@pytest.mark.parametrize("method", [Resampling.nearest, "Cubic_Spline", "CUBICSPLINE", "mode", "gauss", "rms"])
def test_resampling_accepts_gdals_and_rasterios_names(method: Any, tmp_path: Path) -> None:
    save_cog(picture(), tmp_path / "out.tif", profile_arg={"OVERVIEW_RESAMPLING": method})

    name = getattr(method, "name", method).upper().replace("CUBIC_SPLINE", "CUBICSPLINE")
    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == name


class TestConstants:
    def test_changing_the_block_size_changes_the_default(self, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setattr(save, "BLOCKSIZE_DEFAULT", 128)

        save_cog(picture(), tmp_path / "cog.tif")
        save_tiled_geotiff(picture(), tmp_path / "tiled.tif")

        assert facts(tmp_path / "cog.tif")["tile"] == facts(tmp_path / "tiled.tif")["tile"] == (128, 128)

    def test_changing_an_entry_of_the_profile_changes_the_default(self, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "compress", "zstd")
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "ZSTD_LEVEL", 3)
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "blockxsize", 512)
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "blockysize", 512)

        save_cog(picture(), tmp_path / "out.tif")
        save_cog(picture(), tmp_path / "lzw.tif", profile_arg={"compress": "lzw"})

        assert facts(tmp_path / "out.tif")["compress"] == "zstd"
        assert facts(tmp_path / "out.tif")["tile"] == (512, 512)
        assert facts(tmp_path / "lzw.tif")["compress"] == "lzw"

    def test_blocksize_argument_overrides_the_constants(self, tmp_path: Path) -> None:
        save_tiled_geotiff(picture(), tmp_path / "out.tif", blocksize=64)

        assert facts(tmp_path / "out.tif")["tile"] == (64, 64)

    @pytest.mark.parametrize("key", ["BLOCKSIZE", "blockxsize"])
    def test_a_blocksize_that_contradicts_the_profile_is_refused(self, key: str, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match=rf"blocksize=512 and profile_arg\['{key}'\]=128 contradict; keep one"):
            save_tiled_geotiff(picture(), tmp_path / "out.tif", profile_arg={key: 128}, blocksize=512)

        save_tiled_geotiff(picture(), tmp_path / "out.tif", profile_arg={key: 512}, blocksize=512)
        assert facts(tmp_path / "out.tif")["tile"] == (512, 512)

    def test_nodata_and_dtype_of_the_default_profile_are_used(self, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "nodata", 7)
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "dtype", "int16")

        save_cog(picture(), tmp_path / "out.tif")

        assert facts(tmp_path / "out.tif")["nodata"] == 7
        assert facts(tmp_path / "out.tif")["dtype"] == "int16"

        save_cog(picture(), tmp_path / "out.tif", nodata=4)
        assert facts(tmp_path / "out.tif")["nodata"] == 4

    def test_a_default_predictor_is_dropped_with_another_codec(self, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "predictor", 2)

        save_cog(picture(), tmp_path / "out.tif", profile_arg={"compress": "jpeg"})

        assert facts(tmp_path / "out.tif")["compress"] == "jpeg"

    def test_blocksize_not_divisible_by_16_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="^blocksize=100 is invalid; allowed: a multiple of 16"):
            save_tiled_geotiff(picture(), tmp_path / "out.tif", blocksize=100)


def test_dtype_converts_values_that_fit_and_refuses_others(tmp_path: Path) -> None:
    fits = GeoTensor(np.array([[0.4, 1.6], [254.6, 3.0]]), *PLACE, fill_value_default=None)
    save_cog(fits, tmp_path / "out.tif", profile_arg={"dtype": "uint8"})
    np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, [[[0, 2], [255, 3]]])

    for too_much in (256.0, -1.0, np.nan, np.inf):
        tensor = GeoTensor(np.array([[too_much, 1.0]]), *PLACE, fill_value_default=None)
        with pytest.raises(TypeError, match=r"cannot be saved as uint8 \(0 to 255\)"):
            save_cog(tensor, tmp_path / "never.tif", profile_arg={"dtype": "uint8"})
    assert not (tmp_path / "never.tif").exists()


def test_two_nodata_that_differ_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="contradict; keep one"):
        save_cog(picture(), tmp_path / "out.tif", profile_arg={"nodata": 3}, nodata=4)
    with pytest.raises(NodataError, match=r"profile_arg\['nodata'\]=300 cannot be held by uint8"):
        save_cog(picture(), tmp_path / "out.tif", profile_arg={"nodata": 300})


@pytest.mark.parametrize(("value", "dtype"), [(2**24 + 1, "float32"), (2**53 + 1, "float64"), (2**63 - 1, "float32")])
def test_integers_that_a_float_would_round_are_refused(value: int, dtype: str, tmp_path: Path) -> None:
    tensor = GeoTensor(np.array([[1, value]], "int64"), *PLACE, fill_value_default=None)

    with pytest.raises(TypeError, match=f"1 pixels, such as {value}, cannot be saved as {dtype} unchanged"):
        save_cog(tensor, tmp_path / "out.tif", profile_arg={"dtype": dtype})


def test_a_warp_picks_its_method_by_resampling_and_not_by_that_of_the_overviews(tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice([0, 200], (600, 600)).astype("uint8")
    classes = GeoTensor(values, *PLACE, fill_value_default=None, attrs={"colormap": {0: (0, 0, 0), 200: (9, 9, 9)}})
    profile = {"TARGET_SRS": "EPSG:4326", "ADD_ALPHA": False, "OVERVIEW_RESAMPLING": "average"}

    save_cog(classes, tmp_path / "out.tif", profile_arg=profile)

    assert set(np.unique(RasterioReader(tmp_path / "out.tif").values)) == {0, 200}


@pytest.mark.parametrize(
    "configuration",
    [
        {"COMPRESS_OVERVIEW": "JPEG"},
        {"PREDICTOR_OVERVIEW": "3"},
        {"USE_RRD": "YES"},
        {"TIFF_USE_OVR": "YES"},
        {"GTIFF_POINT_GEO_IGNORE": "TRUE"},
        {"GDAL_TIFF_ENDIANNESS": "BIG"},
    ],
    ids=str,
)
def test_gdal_configuration_of_the_caller_is_ignored(configuration: dict[str, str], tmp_path: Path) -> None:
    tensor = GeoTensor(picture("float32").values, *PLACE, attrs={"tags": {"AREA_OR_POINT": "Point"}})
    save_cog(tensor, tmp_path / "expected.tif", nodata=-1)

    with rasterio.Env(**configuration):
        save_cog(tensor, tmp_path / "out.tif", nodata=-1)

    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "expected.tif").read_bytes()
