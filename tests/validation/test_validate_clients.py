"""validate: notes on what web clients do not read, held against geotiff.js, and without effect on the verdict."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from by_command import run
from foreign.processes import need, read_by_geotiff_js
from georeader import GeoTensor, save_cog
from georeader.validation import Measurement, Problem, Report, Severity, validate

SHAPE = (150, 205)


@dataclass(frozen=True)
class File:
    """A file, and the codes of its notes."""

    options: dict[str, Any]
    dtype: str = "uint8"
    bands: int = 3
    notes: tuple[str, ...] = ()

    def pixels(self) -> Any:
        return np.random.default_rng(0).integers(1, 9, (self.bands, *SHAPE)).astype(self.dtype)

    def write(self, path: Path) -> Path:
        place = Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630"
        tensor = GeoTensor(self.pixels(), *place, fill_value_default=None)
        save_cog(tensor, path, profile_arg={"BLOCKSIZE": 64, **self.options})
        return path


CODEC, DTYPE, PREDICTOR = (f"browser-{name}" for name in ("codec", "dtype", "predictor"))

FILES = {
    **{name: File({"compress": name}) for name in ("none", "lzw", "deflate", "zstd", "packbits", "jpeg")},
    **{name: File({"compress": name}) for name in ("lerc", "lerc_deflate", "lerc_zstd")},
    "lzma": File({"compress": "lzma"}, notes=(CODEC,)),
    "jxl": File({"compress": "jxl"}, notes=(CODEC,)),
    **{dtype: File({}, dtype, 1) for dtype in ("int8", "int16", "uint16", "int32", "uint32", "float32")},
    "float64": File({"predictor": 3}, "float64", 1),
    "int64": File({"predictor": 1}, "int64", 1, notes=(DTYPE,)),
    "uint64": File({"predictor": 1}, "uint64", 1, notes=(DTYPE,)),
    "complex64": File({}, "complex64", 1, notes=(DTYPE,)),
    "float64 predictor 2": File({"predictor": 2}, "float64", 1, notes=(PREDICTOR,)),
    "lzma int64": File({"compress": "lzma"}, "int64", 1, notes=(CODEC, DTYPE)),
    "12 bits": File({"NBITS": 12}, "uint16", 1),
    "28 bits": File({"NBITS": 28}, "uint32", 1),
    "27 bits": File({"NBITS": 27}, "uint32", 1, notes=(DTYPE,)),
    "30 bits": File({"NBITS": 30}, "uint32", 1, notes=(DTYPE,)),
}


@pytest.mark.parametrize("name", FILES)
def test_notes_name_what_geotiff_js_does_not_read(name: str, tmp_path: Path) -> None:
    report = validate(FILES[name].write(tmp_path / "a.tif"), strict=True)

    assert tuple(note.code for note in report.notes) == FILES[name].notes
    assert report.is_valid, str(report)


def test_geotiff_js_reads_all_files_without_notes_and_no_other(tmp_path: Path) -> None:
    need("geotiff.js")
    paths = [file.write(tmp_path / f"{name}.tif") for name, file in FILES.items()]

    readings = dict(zip(FILES, read_by_geotiff_js(paths, tmp_path), strict=True))

    is_read = {
        name: not isinstance(reading, str)
        and np.allclose(reading["full"], FILES[name].pixels(), atol=8 * (name == "jpeg"))
        for name, reading in readings.items()
    }
    assert is_read == {name: not file.notes for name, file in FILES.items()}


def test_note_names_levels_codec_and_remedy(tmp_path: Path) -> None:
    report = validate(File({"compress": "lzma", "OVERVIEW_COMPRESS": "DEFLATE"}).write(tmp_path / "a.tif"))

    assert [str(note) for note in report.notes] == [
        "note browser-codec: level 0: lzma is not decoded by geotiff.js, by which web maps read GeoTIFFs; for them "
        "save with deflate, lzw or zstd"
    ]


def test_report_lists_notes_apart_from_the_verdict() -> None:
    report = Report("a.tif", Measurement(5000), is_strict=True, notes=(Problem(Severity.NOTE, CODEC, "level 0: ..."),))

    assert report.is_valid
    assert str(report).splitlines() == [
        "a.tif is a valid Cloud Optimized GeoTIFF",
        "  4.88 KiB, no TIFF",
        "  note     browser-codec: level 0: ...",
    ]
    assert report.to_dict()["notes"] == [{"code": CODEC, "message": "level 0: ..."}]
    assert (report.errors, report.warnings, report.problems) == ((), (), ())


def test_command_line_shows_notes_and_succeeds(tmp_path: Path) -> None:
    path = FILES["lzma"].write(tmp_path / "a.tif")

    shown, as_json = run("validate", path, "--strict"), run("validate", path, "--json")

    assert (shown.exit_code, as_json.exit_code) == (0, 0)
    assert "note     browser-codec" in shown.output
    assert [note["code"] for note in json.loads(as_json.output)["notes"]] == [CODEC]
