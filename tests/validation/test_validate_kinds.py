"""validate: files of other programs get the verdict of rio-cogeo, except where the table explains a difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from rio_cogeo import cog_translate, cog_validate
from rio_cogeo.profiles import cog_profiles

from georeader.validation import validate
from malformed import pixels

TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256}
INTERNAL_MASK = {"GDAL_TIFF_INTERNAL_MASK": "YES"}


@dataclass(frozen=True)
class Kind:
    """A GeoTIFF of GDAL's GTiff driver, and how it differs from the plainest one."""

    size: tuple[int, int] = (700, 900)
    bands: int = 3
    dtype: str = "uint8"
    profile: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    has_mask: bool = False
    has_overviews: bool = False
    change: Callable[[Any], None] | None = None
    values: Any = None

    def write(self, path: Path) -> Path:
        height, width = self.size
        profile = {"driver": "GTiff", "height": height, "width": width, "count": self.bands, "dtype": self.dtype,
                   "transform": Affine(10, 0, 5e5, 0, -10, 4e6), "crs": "EPSG:32630"} | self.profile  # fmt: skip
        values = pixels(self.bands, height, width, self.dtype) if self.values is None else self.values
        with rasterio.Env(**self.environment):
            with rasterio.open(path, "w", **profile) as dataset:
                dataset.write(values)
                if self.has_mask:
                    dataset.write_mask(values[0] > 50)
            if self.has_overviews:
                with rasterio.open(path, "r+") as dataset:
                    dataset.build_overviews([2, 4])
            if self.change:
                with rasterio.open(path, "r+") as dataset:
                    self.change(dataset)
        return path


def longer_tags(dataset: Any) -> None:
    dataset.update_tags(NOTE="x" * 500)


SMALL = {"size": (300, 300)}

#: What rio-cogeo is of one mind with us about.
KINDS = {
    "strips": Kind(),
    "small strips": Kind(**SMALL),
    "wide strips": Kind(size=(10, 2000)),
    "high strips": Kind(size=(2000, 10)),
    "tiles": Kind(profile=TILED),
    "small tiles": Kind(**SMALL, profile=TILED),
    "overviews added later": Kind(profile=TILED, has_overviews=True),
    "overviews of strips": Kind(has_overviews=True),
    "overviews beside it": Kind(profile=TILED, has_overviews=True, environment={"TIFF_USE_OVR": "YES"}),
    "mask and overviews added later": Kind(profile=TILED, has_mask=True, has_overviews=True, environment=INTERNAL_MASK),
    "big-endian": Kind(**SMALL, profile=TILED | {"ENDIANNESS": "BIG", "compress": "lzw"}, dtype="uint16"),
    "big-endian, overviews added later": Kind(profile=TILED | {"ENDIANNESS": "BIG"}, has_overviews=True),
    "big-endian BigTIFF": Kind(**SMALL, profile=TILED | {"ENDIANNESS": "BIG", "BIGTIFF": "YES", "compress": "zstd"}),
    "tags changed later": Kind(**SMALL, profile=TILED, change=longer_tags),
    "bands apart": Kind(**SMALL, profile=TILED | {"interleave": "band", "compress": "deflate"}),
    "YCbCr": Kind(**SMALL, profile=TILED | {"compress": "jpeg", "photometric": "ycbcr"}),
    "jpeg of four bands": Kind(**SMALL, bands=4, profile=TILED | {"compress": "jpeg"}),
    "strips of jpeg": Kind(**SMALL, profile={"compress": "jpeg", "blockysize": 16}),
    "strips of lzw whose last is shorter": Kind(**SMALL, profile={"compress": "lzw", "blockysize": 7}),
    "sparse": Kind(**SMALL, profile=TILED | {"SPARSE_OK": True}, values=np.zeros((3, 300, 300), "uint8")),
    "12 bits": Kind(**SMALL, dtype="uint16", profile=TILED | {"nbits": 12, "compress": "packbits"}),
    "1 bit": Kind(
        **SMALL, bands=1, profile=TILED | {"nbits": 1, "compress": "lzw"}, values=np.ones((1, 300, 300), "u1")
    ),
    "float16": Kind(**SMALL, dtype="float32", profile=TILED | {"nbits": 16, "compress": "deflate", "predictor": 3}),
    "lerc of five bands": Kind(**SMALL, bands=5, dtype="float32", profile=TILED | {"compress": "lerc_zstd"}),
}


def verdicts(path: Path) -> dict[str, tuple[bool, bool]]:
    """Verdicts of rio-cogeo and of validate, lenient and strict."""
    theirs = tuple(bool(cog_validate(path, strict=strict, quiet=True)[0]) for strict in (False, True))
    ours = tuple(validate(path, strict=strict).is_valid for strict in (False, True))
    return {"rio-cogeo": theirs, "ours": ours}


@pytest.mark.parametrize("name", KINDS)
def test_verdict_on_gdals_files_equals_rio_cogeos(tmp_path: Path, name: str) -> None:
    path = KINDS[name].write(tmp_path / "a.tif")

    found = verdicts(path)

    assert found["ours"] == found["rio-cogeo"], str(validate(path))


@pytest.mark.parametrize("driver", [
    {"driver": "COG"},
    {"driver": "COG", "BIGTIFF": "YES", "COMPRESS": "LZW"},
    {"driver": "COG", "COMPRESS": "JPEG", "BLOCKSIZE": 256},
    {"driver": "COG", "COMPRESS": "DEFLATE", "OVERVIEW_COMPRESS": "LZW"},
    {"driver": "GTiff", "COPY_SRC_OVERVIEWS": "YES", "TILED": "YES", "COMPRESS": "LZW"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["overviews added later", "mask and overviews added later", "big-endian, overviews added later"]
)
def test_gdals_copies_are_valid(tmp_path: Path, name: str, driver: dict[str, str]) -> None:
    rasterio.shutil.copy(KINDS[name].write(tmp_path / "a.tif"), tmp_path / "b.tif", **driver)
    assert verdicts(tmp_path / "b.tif") == {"rio-cogeo": (True, True), "ours": (True, True)}


PROFILES = ["jpeg", "webp", "zstd", "lzw", "deflate", "packbits", "lzma", "lerc", "lerc_deflate", "lerc_zstd", "raw"]


@pytest.mark.filterwarnings(
    "ignore:Non-standard compression", "ignore:Use `@` matmul"
)  # rio-cogeo's and rasterio's own
@pytest.mark.parametrize("profile", PROFILES)
def test_rio_cogeos_files_are_valid(tmp_path: Path, profile: str) -> None:
    source = KINDS["tiles"].write(tmp_path / "a.tif")
    cog_translate(source, tmp_path / "b.tif", cog_profiles.get(profile), quiet=True)
    assert verdicts(tmp_path / "b.tif") == {"rio-cogeo": (True, True), "ours": (True, True)}


def test_cog_changed_in_place_has_an_invalid_layout(tmp_path: Path) -> None:
    rasterio.shutil.copy(KINDS["tiles"].write(tmp_path / "a.tif"), tmp_path / "b.tif", driver="COG")
    with rasterio.open(tmp_path / "b.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        noise = np.random.default_rng(0).integers(0, 255, (3, 512, 512), "uint8")  # takes more room than what was there
        dataset.write(noise, window=((0, 512), (0, 512)))

    assert verdicts(tmp_path / "b.tif") == {"rio-cogeo": (False, False), "ours": (False, False)}
    assert "ghost-edition" in {problem.code for problem in validate(tmp_path / "b.tif").errors}


# Where we are of another mind.


def test_tile_as_wide_as_the_raster_is_valid_unlike_for_rio_cogeo(tmp_path: Path) -> None:
    path = Kind(bands=1, size=(1024, 1024), profile=TILED | {"blockxsize": 1024, "blockysize": 1024}).write(
        tmp_path / "a.tif"
    )

    found = verdicts(path)

    assert (found["rio-cogeo"][0], found["ours"][0]) == (False, True)


def test_mask_directory_after_the_pixels_is_a_warning(tmp_path: Path) -> None:
    path = Kind(**SMALL, profile=TILED, has_mask=True, environment=INTERNAL_MASK).write(tmp_path / "a.tif")

    assert verdicts(path) == {"rio-cogeo": (True, True), "ours": (True, False)}
    assert [problem.code for problem in validate(path).warnings] == ["directory-after-data"]


def test_codec_without_a_decoder_is_a_warning(tmp_path: Path) -> None:
    path = Kind(**SMALL, bands=1, profile={"nbits": 1, "compress": "ccittfax4"},
                values=pixels(1, 300, 300) % 2).write(tmp_path / "a.tif")  # fmt: skip

    assert verdicts(path) == {"rio-cogeo": (True, True), "ours": (True, False)}
    assert {problem.code for problem in validate(path).warnings} == {"tile-not-decoded"}
    assert validate(path).measurement.tiles_decoded == 0


def test_pages_other_than_overviews_are_a_warning(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(3, 100, 100), photometric="minisblack", metadata=None)
    assert "directory-stray" in {problem.code for problem in validate(tmp_path / "a.tif").warnings}


@pytest.mark.parametrize("compression", ["jpegxl", "lzw", "zlib", "zstd", "lerc", "webp", "jpeg", "lzma", "packbits"])
def test_tiles_of_tifffile_decode(tmp_path: Path, compression: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(3, 300, 300).transpose(1, 2, 0), tile=(128, 128), photometric="rgb",
                     compression=compression)  # fmt: skip

    report = validate(tmp_path / "a.tif")

    assert report.measurement.tiles_decoded == 9
    assert not {"tile-decode", "tile-size", "tile-not-decoded"} & {problem.code for problem in report.problems}


def test_tiles_of_jpeg_2000_are_not_decoded(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels(3, 128, 128).transpose(1, 2, 0), tile=(128, 128), photometric="rgb",
                     compression="jpeg2000")  # fmt: skip
    assert {problem.code for problem in validate(tmp_path / "a.tif").warnings} == {"tile-not-decoded"}
