"""validate: problems of photometric interpretations, ExtraSamples and colour interpretations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from rasterio.enums import ColorInterp

from georeader import GeoTensor, save_cog
from georeader.validation import validate
from measured import codes_of, image

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def gdals_file(path: Path, photometric: str, interps: str, **options: Any) -> Path:
    """Return a file by GDAL whose tags differ from its bands' colour interpretations."""
    names = interps.split()
    layout = {"tiled": True, "blockxsize": 64, "blockysize": 64, "width": 100, "height": 80, "count": len(names)}
    profile = {"driver": "GTiff", "dtype": "uint8", "photometric": photometric, "ALPHA": "NO"}
    with rasterio.open(path, "w", **layout, **PLACE, **profile | options) as dataset:
        dataset.colorinterp = [ColorInterp[name] for name in names]
        dataset.write(np.ones((len(names), 80, 100), "uint8"))
    return path


def gdals_copy(path: Path, interps: str) -> Path:
    """Copy uint8 by GDAL, which declares three bands RGB for any interpretation."""
    gdals_file(path.with_name("source.tif"), "MINISBLACK", interps)
    rasterio.shutil.copy(path.with_name("source.tif"), path, driver="COG")
    return path


def codes(path: Path) -> set[str]:
    report = validate(path)
    assert report.is_valid
    return {problem.code for problem in report.warnings}


@pytest.mark.parametrize(
    ("photometric", "interps", "expected"),
    [
        ("RGB", "red green blue", set()),
        ("RGB", "red green blue alpha", set()),
        ("RGB", "undefined undefined undefined", set()),
        ("MINISBLACK", "gray alpha", set()),
        ("MINISBLACK", "blue green red", set()),
        ("MINISBLACK", "red", set()),
        ("MINISBLACK", "red green blue", {"photometric"}),
        ("MINISBLACK", "red green blue alpha", {"photometric"}),
        ("MINISWHITE", "red green blue", {"photometric"}),
    ],
)
def test_a_photometric_that_contradicts_the_interpretation_is_reported(
    photometric: str, interps: str, expected: set[str], tmp_path: Path
) -> None:
    path = gdals_file(tmp_path / "a.tif", photometric, interps)

    assert codes(path) == expected
    assert validate(path, strict=True).is_valid is not bool(expected)


@pytest.mark.parametrize("interps", ["blue green red", "gray undefined undefined"])
def test_rgb_that_gdal_declares_of_other_bands_is_reported(interps: str, tmp_path: Path) -> None:
    assert codes(gdals_copy(tmp_path / "a.tif", interps)) == {"photometric"}


def test_message_names_photometric_and_interpretation(tmp_path: Path) -> None:
    path = gdals_file(tmp_path / "a.tif", "MINISBLACK", "red green blue")

    (problem,) = validate(path).warnings

    assert "min-is-black, but bands 1 to 3 are red, green and blue in GDAL's metadata" in problem.message


def with_extra_samples(path: Path, photometric: str, samples: int, extra: tuple[int, ...]) -> Path:
    """Write a tiled file by tifffile, and change ExtraSamples in place."""
    count = {"rgb": 3, "minisblack": 1}[photometric]
    pixels = np.ones((80, 100, samples), "uint8")
    layout = {"tile": (64, 64), "photometric": photometric, "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(path, pixels, extrasamples=(0,) * (samples - count), **layout)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ExtraSamples"].overwrite(extra, dtype="H")
    return path


@pytest.mark.parametrize(
    ("photometric", "samples", "extra", "expected"),
    [
        ("rgb", 5, (0, 2), set()),
        ("rgb", 4, (1,), set()),
        ("minisblack", 3, (0, 0), set()),
        ("rgb", 4, (0, 0, 0), {"extra-samples"}),
        ("rgb", 5, (2,), {"extra-samples"}),
        ("minisblack", 3, (0,), {"extra-samples"}),
        ("minisblack", 2, (7,), {"extra-samples"}),
    ],
)
def test_extra_samples_that_contradict_tiff_are_reported(
    photometric: str, samples: int, extra: tuple[int, ...], expected: set[str], tmp_path: Path
) -> None:
    assert codes(with_extra_samples(tmp_path / "a.tif", photometric, samples, extra)) - {"ghost-unknown"} == expected


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"samples": 3, "photometric": 6, "extra_samples": ()}, set()),
        ({"samples": 3, "photometric": 6, "extra_samples": (0, 0)}, {"extra-samples"}),
        ({"samples": 1, "photometric": 2}, {"extra-samples"}),
        ({"samples": 4, "photometric": 5}, set()),
        ({"samples": 1, "photometric": 3, "interpretations": ((0, "gray"),)}, {"photometric"}),
        ({"samples": 1, "photometric": 3, "interpretations": ((0, "palette"), (9, "red"))}, set()),
        ({"samples": 2, "extra_samples": (0,), "interpretations": ((1, "alpha"),)}, {"photometric"}),
        ({"samples": 2, "extra_samples": (1,), "interpretations": ((1, "alpha"),)}, set()),
        ({"samples": 2, "extra_samples": (2,), "interpretations": ((1, "nir"),)}, {"photometric"}),
        ({"samples": 1, "photometric": None, "interpretations": ((0, "red"),)}, set()),
    ],
)
def test_colours_are_checked_by_tags_only(layout: dict[str, Any], expected: set[str]) -> None:
    assert codes_of(image(0, (300, 300), **layout)) == expected


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("compress", ["lzw", "jpeg", "webp"])
@pytest.mark.parametrize("interps", ["red green blue", "red green blue alpha", "gray undefined undefined"])
def test_saved_files_have_consistent_colours(interps: str, compress: str, engine: str, tmp_path: Path) -> None:
    names = interps.split()
    values = np.random.default_rng(0).integers(0, 99, (len(names), 300, 300)).astype("uint8")
    tensor = GeoTensor(values, *PLACE.values(), None, attrs={"colorinterp": names})
    save_cog(tensor, tmp_path / "a.tif", profile_arg={"compress": compress}, engine=engine)

    report = validate(tmp_path / "a.tif", strict=True)

    assert report.is_valid, report
