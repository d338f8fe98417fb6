"""georeader cog and georeader tile: files, output and exit codes."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from by_command import GEOREADER, georeader, run
from georeader import RasterioReader, plan_export, save_cog, save_tiled_geotiff
from georeader._codecs.registry import CODECS, PREDICTOR_CHOICES
from georeader._resample.methods import METHODS
from georeader.cli.commands import PROFILE_OPTIONS

pytestmark = pytest.mark.slow


@pytest.fixture
def source(make_tensor: Any, tmp_path: Path) -> Path:
    """A raster of two bands."""
    save_tiled_geotiff(make_tensor((2, 600, 500), fill_value_default=0), tmp_path / "in.tif")
    return tmp_path / "in.tif"


# What is written.


@pytest.mark.parametrize(("command", "save"), [("cog", save_cog), ("tile", save_tiled_geotiff)])
def test_bytes_equal_those_of_the_python_call(
    command: str, save: Callable[..., Any], source: Path, tmp_path: Path
) -> None:
    done = run(command, source, tmp_path / "out.tif")
    save(str(source), tmp_path / "reference.tif")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "reference.tif").read_bytes()


def test_options_equal_the_python_arguments(source: Path, tmp_path: Path) -> None:
    said = ["--profile", "compress=deflate", "--profile", "LEVEL=9", "--profile", "predictor=2", "--nodata", "7",
            "--descriptions", "red", "--descriptions", "near infrared", "--tags", "model=v2", "--tags", "rule=a=b",
            "--engine", "stream", "--verify", "--durable", "--max-memory", "64MiB",
            "--dir-tmpfiles", tmp_path]  # fmt: skip

    done = run("cog", source, tmp_path / "out.tif", *said)
    save_cog(
        str(source), tmp_path / "reference.tif", ["red", "near infrared"], {"model": "v2", "rule": "a=b"},
        {"compress": "deflate", "level": 9, "predictor": 2}, nodata=7,
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "reference.tif").read_bytes()


@pytest.mark.parametrize(
    ("typed", "profile"),
    [
        (["--compress", "deflate", "--level", "9"], {"compress": "deflate", "level": 9}),
        (["--compress", "ZSTD", "--predictor", "2"], {"compress": "zstd", "predictor": 2}),
        (["--predictor", "standard"], {"predictor": "standard"}),
        (["--blocksize", "128"], {"blocksize": 128}),
        (["--resampling", "mode"], {"resampling": "mode"}),
        (["--resampling", "min", "--resampling", "max"], {"resampling": ["min", "max"]}),
        (["--compress", "lerc", "--profile", "MAX_Z_ERROR=2"], {"compress": "lerc", "MAX_Z_ERROR": 2}),
        (["--compress", "lerc_deflate", "--level", "1"], {"compress": "lerc_deflate", "level": 1}),
        (["--compress", "none", "--profile", "BIGTIFF=YES"], {"compress": "none", "BIGTIFF": "YES"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize(("command", "save"), [("cog", save_cog), ("tile", save_tiled_geotiff)])
def test_codec_tiles_and_overviews_have_options(
    command: str, save: Callable[..., Any], typed: list[str], profile: dict[str, Any], source: Path, tmp_path: Path
) -> None:
    done = run(command, source, tmp_path / "out.tif", *typed)
    save(str(source), tmp_path / "reference.tif", profile_arg=profile)

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "reference.tif").read_bytes()


def test_quality_is_an_option(make_tensor: Any, tmp_path: Path) -> None:
    save_tiled_geotiff(make_tensor((3, 300, 300), "uint8"), tmp_path / "in.tif")

    done = run("cog", tmp_path / "in.tif", tmp_path / "out.tif", "--compress", "jpeg", "--quality", "30")
    save_cog(str(tmp_path / "in.tif"), tmp_path / "reference.tif", profile_arg={"compress": "jpeg", "quality": 30})

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "reference.tif").read_bytes()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--compress", "zstd", "--profile", "compress=lzma"], "--compress and --profile compress set the same option"),
        (["--compress", "zstd", "--profile", "COMPRESS=zstd"], "--compress and --profile COMPRESS set"),
        (["--compress", "zstd", "--level", "3", "--profile", "ZSTD_LEVEL=9"], "--level and --profile ZSTD_LEVEL set"),
        (["--compress", "jpeg", "--quality", "3", "--profile", "JPEG_QUALITY=9"], "--quality and --profile JPEG_QUA"),
        (["--blocksize", "128", "--profile", "BLOCKXSIZE=256"], "--blocksize and --profile BLOCKXSIZE set"),
        (["--blocksize", "128", "--profile", "BLOCKYSIZE=256"], "both --blocksize 128 and --profile BLOCKYSIZE=256"),
        (["--resampling", "min", "--profile", "resampling=max"], "--resampling and --profile resampling set"),
        (["--nodata", "none", "--profile", "nodata=7"], "--nodata and --profile nodata set"),
        (["--nodata", "3", "--profile", "NODATA=7"], "--nodata and --profile NODATA set"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.parametrize("command", ["cog", "tile"])
def test_conflicting_options_are_refused(
    command: str, typed: list[str], expected: str, source: Path, tmp_path: Path
) -> None:
    done = run(command, source, tmp_path / "out.tif", *typed)

    assert done.exit_code == 2, done.output
    assert expected in done.stderr
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--nodata", "300000"], "Error: --nodata 300000 cannot be held by uint16"),
        (["--profile", "dtype=int8", "--nodata", "200"], "Error: --nodata 200 cannot be held by int8"),
        (["--profile", "dtype=wibble"], "Error: --profile dtype=wibble is not a numpy dtype"),
        (["--descriptions", "a"], "Error: --descriptions has 1 entries for 2 bands"),
        (["--tags", "a\x07b=c"], "Error: --tags"),
        (["--level", "9"], "Error: --level has no meaning with --compress lzw"),
        (["--compress", "zstd", "--level", "99"], "Error: --level 99 is invalid"),
        (["--compress", "zstd", "--profile", "level=99"], "Error: --profile level=99 is invalid"),
        (["--blocksize", "7"], "Error: --blocksize 7 is invalid"),
        (["--profile", "blocksize=7"], "Error: --profile blocksize=7 is invalid"),
        (["--compress", "webp"], "Error: --compress webp takes uint8 only"),
        (["--profile", "compress=webp"], "Error: --profile compress=webp takes uint8 only"),
        (["--predictor", "3"], "Error: --predictor 3 (FLOATING_POINT) is for float32 and float64"),
        (["--resampling", "min", "--resampling", "max", "--resampling", "or"], "Error: --resampling lists 3 methods"),
        (["--engine", "stream", "--profile", "NBITS=12"], "Error: --engine stream does not write --profile NBITS"),
        (["--max-memory", "1KiB"], "--max-memory"),
        (["--http-headers", "a=b"], "Error: --http-headers go with http://"),
        (["--profile", "wibble=1"], "Error: --profile wibble is unknown"),
        (["--compress", "wibble"], "Invalid value for '--compress': 'wibble' is not one of 'lzw', 'deflate', 'zstd'"),
        (["--resampling", "wibble"], "Invalid value for '--resampling'"),
        (["--predictor", "4"], "Invalid value for '--predictor'"),
        (["--quality", "high"], "Invalid value for '--quality'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misuse_exits_with_2_and_names_the_typed_option(
    typed: list[str], expected: str, source: Path, tmp_path: Path
) -> None:
    done = run("cog", source, tmp_path / "out.tif", *typed)

    assert done.exit_code == 2, done.output
    assert expected in done.stderr
    assert "profile_arg" not in done.stderr
    assert not (tmp_path / "out.tif").exists()


def test_existing_file_exits_with_1_and_names_the_option(source: Path, tmp_path: Path) -> None:
    done = run("cog", source, source, "--no-overwrite", "--json")

    assert done.exit_code == 1
    assert "exists already, and --no-overwrite; name another" in done.stderr
    assert "--no-overwrite" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize("command", ["cog", "tile"])
def test_help_names_codecs_and_methods(command: str) -> None:
    text = run(command, "--help").stdout

    assert all(f"{name.lower()}" in text for name in (*CODECS, *METHODS, *PREDICTOR_CHOICES))
    assert all(f"--{name} " in text for name in PROFILE_OPTIONS)


def test_repeated_profile_option_has_one_value_for_each_band(source: Path, tmp_path: Path) -> None:
    done = run("cog", source, tmp_path / "out.tif", "--profile", "RESAMPLING=min", "--profile", "RESAMPLING=max")

    assert done.exit_code == 0, done.output
    assert RasterioReader(tmp_path / "out.tif").tags()["OVERVIEW_RESAMPLING"] == "MIN,MAX"


def test_options_may_have_underscores(source: Path, tmp_path: Path) -> None:
    done = run(
        "cog", source, tmp_path / "out.tif", "--max_memory", "64MiB", "--no_overwrite", "--dir_tmpfiles", tmp_path
    )

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("said", "nodata"), [("none", None), ("12", 12), ("1e3", 1000)])
def test_nodata_is_a_number_or_none(said: str, nodata: float | None, source: Path, tmp_path: Path) -> None:
    assert run("cog", source, tmp_path / "out.tif", "--nodata", said).exit_code == 0

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.nodata == nodata


def test_blocksize_is_an_option_of_tile(source: Path, tmp_path: Path) -> None:
    assert run("tile", source, tmp_path / "out.tif", "--blocksize", "128").exit_code == 0

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.block_shapes == [(128, 128)] * 2


def test_existing_files_can_be_kept(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"the earlier file")

    done = run("cog", source, tmp_path / "out.tif", "--no-overwrite")

    assert done.exit_code == 1
    assert (tmp_path / "out.tif").read_bytes() == b"the earlier file"


def test_urls_are_destinations_too(source: Path, seaweed: Any, use_env: Any) -> None:
    use_env(seaweed.env())

    done = run("cog", source, seaweed.url("cli/out.tif"))

    assert done.exit_code == 0, done.output
    with rasterio.MemoryFile(seaweed.get("cli/out.tif")) as file, file.open() as dataset:
        assert dataset.overviews(1) == [2, 4]


def test_standard_output_is_a_destination(source: Path, tmp_path: Path) -> None:
    done = subprocess.run([GEOREADER, "cog", source, "-"], capture_output=True, check=True)
    save_cog(str(source), tmp_path / "reference.tif")

    assert done.stdout == (tmp_path / "reference.tif").read_bytes()


# Output.


def test_nothing_is_printed_in_a_pipe(source: Path, tmp_path: Path) -> None:
    done = georeader("cog", source, tmp_path / "out.tif")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def on_a_terminal(*arguments: object) -> str:
    """Run it on a pseudo-terminal, and return the output."""
    ours, its = pty.openpty()
    with subprocess.Popen([GEOREADER, *map(str, arguments)], stdout=its, stderr=its, stdin=its) as process:
        os.close(its)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # the other end is closed
            pass
        assert process.wait(20) == 0, seen
    os.close(ours)
    return seen.decode()


def test_bar_and_line_are_printed_on_a_terminal(source: Path, tmp_path: Path) -> None:
    seen = on_a_terminal("cog", source, tmp_path / "out.tif")

    assert "100%" in seen
    assert f"{tmp_path / 'out.tif'}: " in seen.replace("\r\n", "").replace("\n", "")


def test_no_progress_hides_the_bar(source: Path, tmp_path: Path) -> None:
    assert "100%" not in on_a_terminal("cog", source, tmp_path / "out.tif", "--no-progress")


def test_json_prints_one_line_for_each_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no raster")

    done = georeader("cog", source, tmp_path / "bad.tif", tmp_path / "out", "--json")
    good, bad = (json.loads(line) for line in done.stdout.splitlines())

    assert done.returncode == 1
    assert (good["source"], good["path"]) == (str(source), str(tmp_path / "out" / "in.tif"))
    assert good["size_bytes"] == (tmp_path / "out" / "in.tif").stat().st_size
    assert (bad["source"], bad["error"]["kind"]) == (str(tmp_path / "bad.tif"), "ReadError")


@pytest.mark.parametrize(("command", "kind"), [("cog", "cog"), ("tile", "tiled")])
def test_dry_run_prints_the_plan_and_writes_nothing(command: str, kind: str, source: Path, tmp_path: Path) -> None:
    done = run(command, source, tmp_path / "new" / "out.tif", "--dry-run", "--compress", "zstd", "--blocksize", "128")
    (tmp_path / "new").mkdir()
    options: Any = {"compress": "zstd", "blocksize": 128}
    plan = plan_export(str(source), tmp_path / "new" / "out.tif", kind=kind, profile_arg=options)

    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{plan}\n", "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in.tif", "new"]


def test_dry_run_requests_nothing_of_a_store(source: Path) -> None:
    done = run("cog", source, "s3://bucket-that-does-not-exist/out.tif", "--dry-run")

    assert done.exit_code == 0
    assert "parts" in done.stdout


def test_dry_run_of_several_files_prints_a_line_of_json_for_each(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no raster")

    done = run("cog", source, tmp_path / "bad.tif", tmp_path / "out", "--dry-run", "--json")
    good, bad = (json.loads(line) for line in done.stdout.splitlines())

    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "1 planned, 1 failed")
    assert (good["path"], good["shape"], good["levels"][0]["tile_count"]) == (
        str(tmp_path / "out" / "in.tif"), [2, 600, 500], 6,
    )  # fmt: skip
    assert bad["error"]["kind"] == "ReadError"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("typed", "code", "expected"),
    [
        (["--compress", "jpeg"], 2, "Error: "),
        (["--nodata", "300000"], 2, "Error: --nodata 300000 cannot be held by uint16"),
        (["--engine", "stream", "--profile", "NBITS=4"], 2, "--profile NBITS"),
    ],
)
def test_dry_run_refuses_what_the_save_refuses(
    typed: list[str], code: int, expected: str, source: Path, tmp_path: Path
) -> None:
    planned = run("cog", source, tmp_path / "out.tif", "--dry-run", *typed)
    saved = run("cog", source, tmp_path / "out.tif", *typed)

    assert (planned.exit_code, planned.stderr) == (saved.exit_code, saved.stderr)
    assert planned.exit_code == code
    assert expected in planned.stderr


def test_warnings_are_printed_as_lines(tmp_path: Path) -> None:
    (tmp_path / "in.vrt").write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>OGC:CRS84</SRS><GeoTransform>0, 1, 0, 8, 0, -1</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )

    done = georeader("cog", tmp_path / "in.vrt", tmp_path / "out.tif")

    assert done.returncode == 0
    assert done.stderr == "Warning: the CRS 'OGC:CRS84' comes back from a GeoTIFF as 'EPSG:4326'\n"


# How it ends.


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["cog", "missing.tif", "out.tif"], 1, "missing.tif"),
        (["cog", "{source}", "in.tif/out.tif"], 1, "its folder cannot be made"),
        (["cog", "{source}", "out.tif", "--profile", "compres=zstd"], 2, "did you mean"),
        (["cog", "{source}", "out.tif", "--profile", "compress"], 2, "is not KEY=VALUE"),
        (["cog", "{source}", "out.tif", "--nodata", "many"], 2, "neither a number, nan nor none"),
        (["cog", "{source}", "out.tif", "--nodata", "1e9"], 2, "--nodata 1000000000.0 cannot be held by uint16"),
        (["cog", "{source}", "out.tif", "--engine", "fast"], 2, "fast"),
        (["cog", "{source}", "out.tif", "--max-memory", "much"], 2, "--max-memory much"),
        (["cog", "{source}"], 2, "Missing argument"),
        (["cog", "{source}", "out.tif", "--wibble"], 2, "No such option"),
        (["cog", "{source}", "-", "--json"], 2, "JSON goes to standard output, too"),
        (["cog", "{source}", "{source}", "-"], 2, "- is standard output, which takes one file"),
        (["mosaic"], 2, "No such command"),
        (["cog", "*.jpg", "out/"], 1, "nothing matches '*.jpg'"),
    ],
)  # fmt: skip
def test_failure_exits_with_1_and_misuse_with_2(
    arguments: list[str], code: int, expected: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run(*(argument.format(source=source) for argument in arguments))

    assert done.exit_code == code, done.output
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if "Error" in line] == done.stderr.splitlines()[-1:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif"]


def test_debug_prints_the_traceback(tmp_path: Path) -> None:
    done = run("cog", tmp_path / "missing.tif", tmp_path / "out.tif", "--debug")

    assert done.exit_code == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "georeader.errors.ReadError" in done.stderr


def test_unexpected_error_is_printed_as_one_line(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("georeader.save.save_cog", lambda *_, **__: 1 / 0)

    done = run("cog", source, tmp_path / "out.tif")

    assert (done.exit_code, done.stderr) == (1, "Error: ZeroDivisionError: division by zero (--debug shows where)\n")


@pytest.mark.parametrize("command", ["cog", "tile"])
@pytest.mark.parametrize(
    ("names", "code", "summary"),
    [
        (["in.tif", "b.tif"], 0, "2 saved\n"),
        (["bad.tif", "in.tif"], 1, "1 saved, 1 failed\n"),
        (["in.tif", "b.tif", "*.png"], 1, "2 saved, 1 failed\n"),
        (["*.png", "bad.tif"], 1, "0 saved, 2 failed\n"),
        (["missing.tif", "?.tif"], 1, "1 saved, 1 failed\n"),
    ],
    ids=str,
)
def test_batch_prints_a_summary_and_continues_after_a_failure(
    command: str, names: list[str], code: int, summary: str, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "b.tif").write_bytes(source.read_bytes())
    (tmp_path / "bad.tif").write_bytes(b"no raster")

    done = run(command, *(tmp_path / name for name in names), tmp_path / "out")

    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.endswith(summary)
    assert len(list((tmp_path / "out").glob("*"))) == int(summary[0])


def test_single_file_has_no_summary(source: Path, tmp_path: Path) -> None:
    saved = run("cog", source, tmp_path / "out" / "in.tif")
    missed = run("cog", tmp_path / "*.png", tmp_path / "out")

    assert (saved.exit_code, saved.stderr) == (0, "")
    assert (missed.exit_code, len(missed.stderr.splitlines())) == (1, 1)


def test_a_nodata_that_some_files_cannot_hold_is_a_misuse_and_the_others_are_saved(
    make_tensor: Any, source: Path, tmp_path: Path
) -> None:
    save_tiled_geotiff(make_tensor((1, 30, 30), "uint8"), tmp_path / "small.tif")

    done = run("cog", tmp_path / "small.tif", source, tmp_path / "out", "--nodata", "300")

    assert done.exit_code == 2
    assert done.stderr.endswith("1 saved, 1 failed\n")


def test_several_sources_and_a_destination_like_a_raster_are_a_misuse(source: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tif").write_bytes(source.read_bytes())

    done = run("cog", source, tmp_path / "b.tif", tmp_path / "o.tif")

    assert done.exit_code == 2
    assert "o.tif' is named like a file" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tif", "in.tif"]


def test_failing_save_removes_the_folder_that_was_made_for_it(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no raster")

    failed = run("cog", tmp_path / "bad.tif", tmp_path / "new" / "sub" / "out.tif")
    mixed = run("cog", source, tmp_path / "bad.tif", tmp_path / "some")

    assert (failed.exit_code, mixed.exit_code) == (1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tif", "in.tif", "some"]
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["in.tif"]


def redirected(command: str, redirection: str) -> tuple[int, str]:
    """Run a command line in a shell; return its exit code and standard error."""
    done = subprocess.run(
        ["bash", "-c", f"{GEOREADER} {command} {redirection}"], stderr=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, done.stderr


CLOSED = "Error: standard output is closed; redirect it to a file, or to /dev/null\n"
FULL = "Error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "redirection", "code", "errors"),
    [
        ("cog {in} {out}", ">&-", 0, ""),
        ("cog {in} {out}", "<&- >&- 2>&-", 0, ""),
        ("cog {in} -", ">&-", 1, CLOSED),
        ("cog {in} {out} --json", ">&-", 1, CLOSED),
        ("validate {in} --json", ">/dev/full", 1, FULL),
        *(
            pytest.param(*row, marks=pytest.mark.thorough)
            for row in (
                ("cog {in} {out}", "2>&-", 0, ""),
                ("info {in}", ">&-", 1, CLOSED),
                ("validate {in}", ">&-", 1, CLOSED),
                ("preview {in} -o -", ">&-", 1, CLOSED),
                ("info {in}", ">/dev/full", 1, FULL),
            )
        ),
    ],
)
def test_closed_or_full_standard_streams_are_reported(
    command: str, redirection: str, code: int, errors: str, source: Path, tmp_path: Path
) -> None:
    save_cog(str(source), tmp_path / "reference.tif")

    found = redirected(command.replace("{in}", str(source)).replace("{out}", str(tmp_path / "out.tif")), redirection)

    assert found == (code, errors)
    if "{out}" in command:
        assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "reference.tif").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to one process alone")
def test_interrupt_exits_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "width": 12000, "height": 12000, "count": 1, "dtype": "uint16", "tiled": True,
               "SPARSE_OK": True, "crs": "EPSG:32630", "transform": (10, 0, 500000, 0, -10, 4000000)}  # fmt: skip
    with rasterio.open(tmp_path / "in.tif", "w", **profile) as dataset:
        pixels = np.random.default_rng(0).integers(0, 9999, (1, 2000, 12000), "uint16")
        dataset.write(pixels, window=((0, 2000), (0, 12000)))

    with subprocess.Popen(
        [GEOREADER, "cog", tmp_path / "in.tif", tmp_path / "out.tif", "--profile", "compress=lzma"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        time.sleep(2.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (130, "Interrupted.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


def test_help_takes_less_than_300_ms_of_cpu() -> None:
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert georeader("cog", "--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(seconds) < 0.3


def test_help_does_not_import_raster_libraries() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from georeader.cli import main\n"
        "for command in ([], ['cog'], ['tile'], ['validate'], ['info'], ['preview']):\n"
        "    assert CliRunner().invoke(main, [*command, '--help']).exit_code == 0\n"
        "print(*sys.modules)"
    )

    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"numpy", "rasterio", "fsspec", "imagecodecs", "asyncio"} & set(modules)


def test_package_runs_as_a_module(source: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "georeader", "cog", source, tmp_path / "out.tif", "--compress", "nope"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    save = subprocess.run([sys.executable, "-m", "georeader", "cog", source, tmp_path / "out.tif"], check=False)

    assert done.returncode == 2
    assert done.stderr.startswith("Usage: python -m georeader cog ")
    assert (save.returncode, RasterioReader(tmp_path / "out.tif").overviews()) == (0, [2, 4])


def test_interrupted_batch_prints_a_summary(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.tif").write_bytes(source.read_bytes())

    def interrupted(path: str, *arguments: Any, **options: Any) -> Any:
        if path.endswith("b.tif"):
            raise KeyboardInterrupt
        return save_cog(path, *arguments, **options)

    monkeypatch.setattr("georeader.save.save_cog", interrupted)

    done = run("cog", tmp_path / "[abc].tif", tmp_path / "out")

    assert (done.exit_code, done.stderr) == (130, "1 saved, 2 not begun or interrupted\nInterrupted.\n")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


@pytest.mark.parametrize(
    ("typed", "code", "expected"),
    [
        (["--compress", "zstd"], 0, ""),
        (["--compress", "zstd", "--profile", "compress=lzma"], 2, "--compress and --profile compress set the same"),
        (["--nodata", "300000"], 2, "Error: --nodata 300000 cannot be held by uint16"),
    ],
    ids=["zstd", "contradiction", "nodata"],
)
def test_options_are_the_same_in_rio(typed: list[str], code: int, expected: str, source: Path, tmp_path: Path) -> None:
    rio = str(Path(sys.executable).with_name("rio"))
    command = [rio, "georeader", "cog", str(source), str(tmp_path / "out.tif"), *typed]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == code, done.stderr
    assert expected in done.stderr
    assert (tmp_path / "out.tif").exists() == (code == 0)


def test_command_is_a_plugin_of_rio(source: Path, tmp_path: Path) -> None:
    rio = str(Path(sys.executable).with_name("rio"))
    done = subprocess.run(
        [rio, "georeader", "cog", str(source), str(tmp_path / "out.tif")], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert RasterioReader(tmp_path / "out.tif").overviews() == [2, 4]
