"""validate: good files are valid, and the report shows it as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader.errors import ReadError
from georeader.validation import Measurement, Problem, Report, Severity, validate

Make = Callable[..., GeoTensor]

CODECS = ["none", "lzw", "deflate", "zstd", "lzma", "packbits", "jpeg", "webp", "lerc", "lerc_deflate", "lerc_zstd"]


def masked(make_tensor: Make, shape: tuple[int, ...], dtype: str) -> GeoTensor:
    return make_tensor(shape, dtype, attrs={"mask": np.random.default_rng(1).random(shape[-2:]) > 0.3})


@pytest.mark.parametrize("has_mask", [False, True], ids=["", "mask"])
@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("codec", CODECS)
def test_files_of_both_engines_are_valid_for_every_codec(
    make_tensor: Make, tmp_path: Path, codec: str, engine: str, has_mask: bool
) -> None:
    make = masked if has_mask else (lambda make, *arguments: make(*arguments))
    save_cog(make(make_tensor, (3, 300, 530), "uint8"), tmp_path / "a.tif", engine=engine,
             profile_arg={"compress": codec, "BLOCKSIZE": 128})  # fmt: skip

    report = validate(tmp_path / "a.tif", strict=True)

    assert cog_validate(tmp_path / "a.tif", strict=True, quiet=True)[0]
    assert report.is_valid, str(report)
    assert report.measurement.tiles_decoded == sum(
        len(one.tile_offsets_bytes) for one in report.measurement.directories
    )


@pytest.mark.parametrize(
    ("dtype", "bands", "profile"),
    [
        ("uint8", 3, {"compress": "jxl"}),  # rasterio's GDAL cannot read it
        ("float32", 1, {"compress": "deflate", "predictor": 3}),
        ("int16", 3, {"compress": "lzw", "predictor": 2, "INTERLEAVE": "BAND"}),
        ("complex64", 1, {"compress": "zstd"}),
        ("float64", 2, {"compress": "lerc", "MAX_Z_ERROR": 0.1}),
        ("uint16", 2, {"BIGTIFF": "YES"}),
        ("bool", 1, {"compress": "deflate"}),
        ("uint8", 3, {"compress": "deflate", "OVERVIEW_COMPRESS": "JPEG", "engine": "gdal"}),
        ("uint16", 1, {"compress": "lzw", "NBITS": 12, "engine": "gdal"}),
        ("uint8", 1, {"OVERVIEWS": "NONE", "BLOCKSIZE": 512}),
    ],
)
def test_other_dtypes_and_layouts_are_valid(
    make_tensor: Make, tmp_path: Path, dtype: str, bands: int, profile: dict[str, Any]
) -> None:
    engine = profile.pop("engine", "stream")
    tensor = make_tensor((bands, 500, 300), dtype)
    save_cog(tensor, tmp_path / "a.tif", engine=engine, profile_arg={"BLOCKSIZE": 128} | profile)

    report = validate(tmp_path / "a.tif", strict=True)

    assert report.is_valid, str(report)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3000), (1, 3000, 3), (2, 100, 90), (1, 1024, 1024)])
def test_rasters_of_all_shapes_are_valid(make_tensor: Make, tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_cog(make_tensor(shape), tmp_path / "a.tif")
    assert validate(tmp_path / "a.tif", strict=True)


@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_a_mask_in_a_bigtiff_is_valid(make_tensor: Make, tmp_path: Path, engine: str, interleave: str) -> None:
    save_cog(masked(make_tensor, (2, 300, 300), "uint16"), tmp_path / "a.tif", engine=engine,
             profile_arg={"BIGTIFF": "YES", "INTERLEAVE": interleave, "BLOCKSIZE": 128})  # fmt: skip
    assert validate(tmp_path / "a.tif", strict=True)


def test_sparse_tiles_are_valid_and_counted(make_tensor: Make, tmp_path: Path) -> None:
    tensor = make_tensor((1, 600, 600), "uint8", fill_value_default=0)
    tensor.values[:, :, 256:] = 0
    save_cog(tensor, tmp_path / "a.tif", profile_arg={"SPARSE_OK": "YES"})

    report = validate(tmp_path / "a.tif", strict=True)

    assert report.is_valid, str(report)
    assert report.to_dict()["measurement"]["directories"][0]["tiles_sparse"] == 6
    assert report.measurement.tiles_decoded is not None
    assert report.measurement.tiles_decoded < sum(len(one.tile_offsets_bytes) for one in report.measurement.directories)


def test_an_alpha_band_is_valid(make_tensor: Make, tmp_path: Path) -> None:
    colours = [ColorInterp.red.name, ColorInterp.green.name, ColorInterp.blue.name, ColorInterp.alpha.name]
    save_cog(make_tensor((4, 300, 300), "uint8", attrs={"colorinterp": colours}), tmp_path / "a.tif",
             profile_arg={"compress": "webp"})  # fmt: skip
    assert validate(tmp_path / "a.tif", strict=True)


def test_raster_without_overviews_is_valid_unless_strict(make_tensor: Make, tmp_path: Path) -> None:
    save_tiled_geotiff(make_tensor((1, 600, 600)), tmp_path / "a.tif")

    lenient, strict = validate(tmp_path / "a.tif"), validate(tmp_path / "a.tif", strict=True)

    assert (lenient.is_valid, strict.is_valid) == (True, False)
    assert [problem.code for problem in lenient.warnings] == ["overviews-missing"]
    assert lenient.errors == strict.errors == ()


def test_the_report_of_a_good_file_is_three_lines(make_tensor: Make, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    save_cog(make_tensor((1, 600, 500), "uint8"), "a.tif", profile_arg={"compress": "none"})

    assert str(validate("a.tif")).splitlines() == [
        "a.tif is a valid Cloud Optimized GeoTIFF",
        "  classic TIFF, 577 KiB, 500 x 600 pixels of 1 x uint8, none, 2 overviews, 9 tiles, 9 decoded",
        "  a viewer opens it by 1 request (16 KiB), and shows 250 x 300 pixels of it by 1 more request (144 KiB)",
    ]


def test_report_of_an_invalid_file_lists_one_fault_a_line() -> None:
    problems = (
        Problem(Severity.ERROR, "tile-overlap", "level 0, ..."),
        Problem(Severity.WARNING, "tag-type", "IFD 1 ..."),
    )

    report = Report("a.tif", Measurement(5000), problems)

    assert str(report).splitlines() == [
        "a.tif is NOT a valid Cloud Optimized GeoTIFF: 1 error, 1 warning",
        "  4.88 KiB, no TIFF",
        "  error    tile-overlap: level 0, ...",
        "  warning  tag-type: IFD 1 ...",
    ]


def test_strict_report_counts_warnings() -> None:
    warned = (Problem(Severity.WARNING, "tag-type", "IFD 1 ..."),)
    assert "is NOT a valid" in str(Report("a.tif", Measurement(0), warned, is_strict=True)).splitlines()[0]
    assert str(Report("a.tif", Measurement(0), warned)).splitlines()[0].endswith("GeoTIFF: 1 warning")


def test_report_round_trips_through_json(make_tensor: Make, tmp_path: Path) -> None:
    save_cog(masked(make_tensor, (1, 600, 500), "uint8"), tmp_path / "a.tif")

    report = validate(tmp_path / "a.tif").to_dict()

    assert json.loads(json.dumps(report)) == report
    assert (report["path"], report["is_valid"], report["errors"]) == (str(tmp_path / "a.tif"), True, [])
    assert report["measurement"]["viewer"]["open_requests"] == 1
    assert [(one["role"], one["level"]) for one in report["measurement"]["directories"]] == [
        ("image", 0), ("mask", 0), ("image", 1), ("image", 2), ("mask", 1), ("mask", 2)
    ]  # fmt: skip


def test_only_leaders_and_trailers_are_read_without_decoding(make_tensor: Make, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 600, 500), "uint8"), tmp_path / "a.tif", profile_arg={"compress": "lzw"})

    measurement = validate(tmp_path / "a.tif", decode=False).measurement

    assert (measurement.tiles_decoded, measurement.has_checked_frames) == (None, True)


def test_missing_file_or_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"none\.tif.*No such file"):
        validate(tmp_path / "none.tif")
    with pytest.raises(ReadError, match="is a folder"):
        validate(tmp_path)
    with pytest.raises(ReadError, match="is not a regular file"):
        validate("/dev/zero")
    with pytest.raises(ReadError, match="virtual filesystems"):
        validate("/vsizip/a.zip/a.tif")
    with pytest.raises(ReadError, match="cannot be opened"):
        validate("a\0b.tif")


@pytest.mark.parametrize(
    "content", [b"", b"I", b"II*\0", b"\x89PNG\r\n\x1a\n", b"x" * 5000, b"MM\0*\0\0\0\0", bytes(100)]
)
def test_file_that_is_not_a_tiff_has_one_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)

    report = validate(tmp_path / "a.tif")

    assert len(report.errors) == 1
    assert report.errors[0].code in ("not-a-tiff", "directory-missing")
    assert not report.warnings
    assert not report.is_valid
