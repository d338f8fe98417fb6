"""profile_arg that was taken from a dataset: what is an option, what is ignored, and what must agree with the data."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from click.testing import CliRunner
from rasterio.io import MemoryFile
from rio_cogeo.profiles import cog_profiles

import geotoolz as gz
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.cli import main
from georeader.errors import OptionError

PLACE = {"crs": "EPSG:32630", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 4000000)}
HEIGHT_PX, WIDTH_PX = 60, 80

#: Driver and creation options of a dataset, and what of its profile is ignored.
STRIPS = {"blockxsize", "blockysize", "tiled"}
DATASETS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "striped": ("GTiff", {}, STRIPS),
    "striped, deflate": ("GTiff", {"compress": "deflate"}, STRIPS),
    "striped, band": ("GTiff", {"interleave": "band"}, STRIPS),
    "striped, cmyk": ("GTiff", {"photometric": "cmyk"}, {*STRIPS, "photometric"}),
    "tiled": ("GTiff", {"tiled": True, "blockxsize": 64, "blockysize": 32}, set()),
    "tiled, ycbcr": (
        "GTiff",
        {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "jpeg", "photometric": "ycbcr"},
        set(),
    ),
    "cog": ("COG", {}, set()),
    "png": ("PNG", {}, {*STRIPS, "driver"}),
    "jpeg": ("JPEG", {}, {*STRIPS, "driver", "photometric"}),
    "webp": ("WEBP", {}, {*STRIPS, "driver"}),
    "vrt": ("VRT", {}, {*STRIPS, "driver"}),
    "hfa": ("HFA", {}, {*STRIPS, "driver"}),
    "envi": ("ENVI", {}, {*STRIPS, "driver"}),
    "envi, lines": ("ENVI", {"INTERLEAVE": "BIL"}, {*STRIPS, "driver", "interleave"}),
    "bmp": ("BMP", {}, {*STRIPS, "driver"}),
}


def make_dataset(name: str, folder: Path) -> tuple[Path, dict[str, Any], set[str]]:
    """Write a dataset; return its path, its profile and which of its keys are to be ignored."""
    driver, options, ignored = DATASETS[name]
    count = 4 if options.get("photometric") == "cmyk" else 3
    pixels = np.random.default_rng(0).integers(1, 255, (count, HEIGHT_PX, WIDTH_PX), "uint8")
    path = folder / f"source{'.tif' if driver in ('GTiff', 'COG') else ''}"
    with MemoryFile() as file:
        with file.open(
            driver="GTiff", height=HEIGHT_PX, width=WIDTH_PX, count=count, dtype="uint8", **PLACE
        ) as dataset:
            dataset.write(pixels)
        with file.open() as dataset:
            plain = folder / "plain.tif"
            rasterio.shutil.copy(dataset, plain, driver="GTiff")
    rasterio.shutil.copy(plain, path, driver=driver, **options)
    with rasterio.open(path) as dataset:
        return path, dict(dataset.profile), ignored


@pytest.fixture
def striped(tmp_path: Path) -> tuple[GeoTensor, dict[str, Any]]:
    """Return pixels and the profile of a striped GeoTIFF with nodata 0."""
    with rasterio.open(
        tmp_path / "in.tif",
        "w",
        driver="GTiff",
        height=HEIGHT_PX,
        width=WIDTH_PX,
        count=1,
        dtype="uint16",
        nodata=0,
        **PLACE,
    ) as dataset:
        dataset.write(np.arange(HEIGHT_PX * WIDTH_PX, dtype="uint16").reshape(1, HEIGHT_PX, WIDTH_PX))
    with rasterio.open(tmp_path / "in.tif") as dataset:
        return RasterioReader(tmp_path / "in.tif").load(), dict(dataset.profile)


@pytest.mark.parametrize(("save", "engine"), [(save_cog, "stream"), (save_cog, "gdal"), (save_tiled_geotiff, "stream")])
@pytest.mark.filterwarnings("ignore:engine='gdal' leaves out ENVI:georeader.errors.MetadataWarning")
@pytest.mark.parametrize("name", DATASETS)
def test_profile_of_a_dataset_is_accepted_and_ignored_keys_are_logged(
    name: str, save: Any, engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, profile, ignored = make_dataset(name, tmp_path)

    with caplog.at_level(logging.INFO, "georeader"):
        save(path, tmp_path / "out.tif", profile_arg=profile, engine=engine)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        found = dataset.profile
    is_kept = "blockxsize" not in ignored
    assert found["blockxsize"] == (profile["blockxsize"] if is_kept else 256)
    assert found["compress"] == profile.get("compress", "lzw")
    lines = [record.getMessage() for record in caplog.records if "ignored" in record.getMessage()]
    assert len(lines) == (1 if ignored else 0)
    for key in profile:
        assert (f"{key}=" in "".join(lines)) == (key in ignored), key


@pytest.mark.parametrize("name", [*cog_profiles])
def test_profiles_of_rio_cogeo_are_accepted(name: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (3, HEIGHT_PX, WIDTH_PX), "uint8")
    tensor = GeoTensor(pixels, fill_value_default=None, **PLACE)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rio-cogeo's own, about codecs
        profile = cog_profiles.get(name)
    save_cog(tensor, tmp_path / "out.tif", profile_arg=profile)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.profile["blockxsize"], dataset.profile["blockysize"]) == (512, 512)
        assert dataset.compression.value.lower() == profile.get("compress", "lzw").lower()


@pytest.mark.parametrize(
    ("changes", "tile"),
    [
        ({"tiled": True, "blockxsize": 64, "blockysize": 32}, (64, 32)),
        ({"BLOCKSIZE": 128}, (128, 128)),
        ({"compress": "zstd"}, (256, 256)),
        ({"compress": "zstd", "photometric": "ycbcr"}, (256, 256)),
    ],
)
def test_options_override_the_profile_of_a_dataset(
    changes: dict[str, Any], tile: tuple[int, int], striped: Any, tmp_path: Path
) -> None:
    tensor, profile = striped

    save_cog(tensor, tmp_path / "out.tif", profile_arg=profile | changes)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert (dataset.profile["blockxsize"], dataset.profile["blockysize"]) == tile
        assert dataset.profile["compress"] == changes.get("compress", "lzw")


def test_blocksize_argument_overrides_the_strips_of_a_dataset(striped: Any, tmp_path: Path) -> None:
    tensor, profile = striped

    save_tiled_geotiff(tensor, tmp_path / "out.tif", profile_arg=profile, blocksize=64)

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.block_shapes == [(64, 64)]


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("width", 81),
        ("height", 61),
        ("count", 2),
        ("crs", "EPSG:4326"),
        ("crs", None),
        ("transform", rasterio.Affine(10, 0, 0, 0, -10, 0)),
        ("transform", rasterio.Affine.identity()),
        ("dtype", "uint8"),
        ("dtype", "float32"),
        ("nodata", 7),
        ("nodata", None),
    ],
)
def test_a_profile_of_another_raster_is_refused_by_its_key(
    save: Any, key: str, value: Any, striped: Any, tmp_path: Path
) -> None:
    tensor, profile = striped

    with pytest.raises(OptionError, match=rf"profile_arg\['{key}'\]"):
        save(tensor, tmp_path / "out.tif", profile_arg=profile | {key: value})
    assert not (tmp_path / "out.tif").exists()

    profile.pop(key)
    save(tensor, tmp_path / "out.tif", profile_arg=profile)


@pytest.mark.parametrize(
    "profile", [{"driver": "PNG"}, {"tiled": False}, {"driver": "GTif", "dtype": "uint16"}, {"blockysize": 1}]
)
def test_impossible_options_passed_explicitly_are_refused(
    profile: dict[str, Any], striped: Any, tmp_path: Path
) -> None:
    with pytest.raises(OptionError):
        save_cog(striped[0], tmp_path / "out.tif", profile_arg=profile)


def test_complex_integers_have_the_dtype_that_they_are_read_as(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 4, "width": 4, "count": 1, "dtype": "complex_int16", **PLACE}
    with rasterio.open(tmp_path / "in.tif", "w", **profile) as dataset:
        dataset.write(np.ones((1, 4, 4), "complex64"))
    with rasterio.open(tmp_path / "in.tif") as dataset:
        save_cog(dataset, tmp_path / "out.tif", profile_arg=dataset.profile)

    assert RasterioReader(tmp_path / "out.tif").dtype == np.complex64


def test_cog_writer_accepts_the_profile_of_a_dataset(striped: Any, tmp_path: Path) -> None:
    tensor, profile = striped

    with CogWriter(tmp_path / "out.tif", like=tmp_path / "in.tif", profile_arg=profile) as writer:
        writer.write(tensor)

    assert np.array_equal(RasterioReader(tmp_path / "out.tif").load().values, tensor.values)


def test_write_cog_accepts_the_profile_of_a_dataset(striped: Any, tmp_path: Path) -> None:
    tensor, profile = striped

    tensor.attrs["row"] = {"tile": "out"}
    gz.catalog_ops.WriteCOG(str(tmp_path / "{tile}.tif"), profile_arg=profile)(tensor)

    assert np.array_equal(RasterioReader(tmp_path / "out.tif").load().values, tensor.values)


def test_command_line_accepts_the_keys_of_a_dataset(striped: Any, tmp_path: Path) -> None:
    _, profile = striped
    pairs = [f"{key}={value}" for key, value in profile.items() if key not in ("transform", "nodata")]
    options = [word for pair in pairs for word in ("--profile", pair)]

    done = CliRunner().invoke(main, ["cog", str(tmp_path / "in.tif"), str(tmp_path / "out.tif"), *options])

    assert done.exit_code == 0, done.output
    assert RasterioReader(tmp_path / "out.tif").shape == (1, HEIGHT_PX, WIDTH_PX)
