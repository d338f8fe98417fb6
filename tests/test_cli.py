"""georeader cog and georeader tile: what they write, what they say, and how they end."""

from __future__ import annotations

import json
import os
import pty
import signal
import statistics
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
from georeader import RasterioReader, save_cog, save_tiled_geotiff


@pytest.fixture
def source(make_tensor: Any, tmp_path: Path) -> Path:
    """A raster of two bands."""
    save_tiled_geotiff(make_tensor((2, 600, 500), fill_value_default=0), tmp_path / "in.tif")
    return tmp_path / "in.tif"


# What is written.


@pytest.mark.parametrize(("command", "save"), [("cog", save_cog), ("tile", save_tiled_geotiff)])
def test_the_file_is_the_one_that_python_writes(
    command: str, save: Callable[..., Any], source: Path, tmp_path: Path
) -> None:
    done = run(command, source, tmp_path / "out.tif")
    save(str(source), tmp_path / "reference.tif")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "reference.tif").read_bytes()


def test_options_are_those_of_python(source: Path, tmp_path: Path) -> None:
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


def test_an_option_said_again_is_one_for_each_band(source: Path, tmp_path: Path) -> None:
    done = run("cog", source, tmp_path / "out.tif", "--profile", "RESAMPLING=min", "--profile", "RESAMPLING=max")

    assert done.exit_code == 0, done.output
    assert RasterioReader(tmp_path / "out.tif").tags()["OVR_RESAMPLING_ALG"] == "MIN,MAX"


def test_an_option_may_be_written_as_in_python(source: Path, tmp_path: Path) -> None:
    done = run(
        "cog", source, tmp_path / "out.tif", "--max_memory", "64MiB", "--no_overwrite", "--dir_tmpfiles", tmp_path
    )

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("said", "nodata"), [("none", None), ("12", 12), ("1e3", 1000)])
def test_nodata_is_a_number_or_none(said: str, nodata: float | None, source: Path, tmp_path: Path) -> None:
    assert run("cog", source, tmp_path / "out.tif", "--nodata", said).exit_code == 0

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.nodata == nodata


def test_the_side_of_a_tile_is_an_option_of_tile(source: Path, tmp_path: Path) -> None:
    assert run("tile", source, tmp_path / "out.tif", "--blocksize", "128").exit_code == 0

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.block_shapes == [(128, 128)] * 2


def test_what_is_there_can_be_kept(source: Path, tmp_path: Path) -> None:
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


# What is said.


def test_in_a_pipe_it_is_quiet(source: Path, tmp_path: Path) -> None:
    done = georeader("cog", source, tmp_path / "out.tif")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def on_a_terminal(*arguments: object) -> str:
    """Run it on a terminal of its own, and give what is seen there."""
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


def test_on_a_terminal_there_is_a_bar_and_a_line(source: Path, tmp_path: Path) -> None:
    seen = on_a_terminal("cog", source, tmp_path / "out.tif")

    assert "100%" in seen
    assert f"{tmp_path / 'out.tif'}: " in seen.replace("\r\n", "").replace("\n", "")


def test_a_bar_can_be_done_without(source: Path, tmp_path: Path) -> None:
    assert "100%" not in on_a_terminal("cog", source, tmp_path / "out.tif", "--no-progress")


def test_for_programs_there_is_a_line_of_json_for_each_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no raster")

    done = georeader("cog", source, tmp_path / "bad.tif", tmp_path / "out", "--json")
    good, bad = (json.loads(line) for line in done.stdout.splitlines())

    assert done.returncode == 1
    assert (good["source"], good["path"]) == (str(source), str(tmp_path / "out" / "in.tif"))
    assert good["size_bytes"] == (tmp_path / "out" / "in.tif").stat().st_size
    assert (bad["source"], bad["error"]["kind"]) == (str(tmp_path / "bad.tif"), "ReadError")


def test_warnings_are_lines(tmp_path: Path) -> None:
    (tmp_path / "in.vrt").write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8"><SRS>OGC:CRS84</SRS><GeoTransform>0, 1, 0, 8, 0, -1</GeoTransform>'
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )

    done = georeader("cog", tmp_path / "in.vrt", tmp_path / "out.tif")

    assert done.returncode == 0
    assert done.stderr == "Warning: the CRS 'OGC:CRS84' comes back from a GeoTIFF as 'EPSG:4326'\n"


# How it ends.


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["cog", "missing.tif", "out.tif"], 1, "missing.tif"),
        (["cog", "{source}", "in.tif/out.tif"], 1, "its folder can't be made"),
        (["cog", "{source}", "out.tif", "--profile", "compres=zstd"], 2, "did you mean"),
        (["cog", "{source}", "out.tif", "--profile", "compress"], 2, "no KEY=VALUE"),
        (["cog", "{source}", "out.tif", "--nodata", "many"], 2, "neither a number, nan nor none"),
        (["cog", "{source}", "out.tif", "--nodata", "1e9"], 1, "uint16"),
        (["cog", "{source}", "out.tif", "--engine", "fast"], 2, "fast"),
        (["cog", "{source}", "out.tif", "--max-memory", "much"], 2, "max_memory"),
        (["cog", "{source}"], 2, "Missing argument"),
        (["cog", "{source}", "out.tif", "--wibble"], 2, "No such option"),
        (["cog", "{source}", "-", "--json"], 2, "JSON goes to standard output, too"),
        (["cog", "{source}", "{source}", "-"], 2, "several sources go to a folder"),
        (["mosaic"], 2, "No such command"),
        (["cog", "*.jpg", "out/"], 1, "nothing is like '*.jpg'"),
    ],
)  # fmt: skip
def test_a_failure_is_1_and_a_misuse_is_2_with_a_line(
    arguments: list[str], code: int, says: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = run(*(argument.format(source=source) for argument in arguments))

    assert done.exit_code == code, done.output
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if "Error" in line] == done.stderr.splitlines()[-1:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif"]


def test_debug_shows_where(tmp_path: Path) -> None:
    done = run("cog", tmp_path / "missing.tif", tmp_path / "out.tif", "--debug")

    assert done.exit_code == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "georeader.errors.ReadError" in done.stderr


def test_what_nobody_thought_of_is_one_line_too(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("georeader.save.save_cog", lambda *_, **__: 1 / 0)

    done = run("cog", source, tmp_path / "out.tif")

    assert (done.exit_code, done.stderr) == (1, "Error: ZeroDivisionError: division by zero (--debug shows where)\n")


def test_one_that_fails_does_not_keep_the_others(source: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no raster")

    done = run("cog", tmp_path / "a.tif", source, tmp_path / "out")

    assert done.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.tif"]


def test_one_that_fails_leaves_no_folder_that_was_made_for_it(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no raster")

    failed = run("cog", tmp_path / "bad.tif", tmp_path / "new" / "sub" / "out.tif")
    mixed = run("cog", source, tmp_path / "bad.tif", tmp_path / "some")

    assert (failed.exit_code, mixed.exit_code) == (1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tif", "in.tif", "some"]
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["in.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal can't be sent to one process alone")
def test_an_interrupt_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
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


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        done = georeader("--help")
        seconds.append(time.perf_counter() - begun)
        assert done.returncode == 0

    assert statistics.median(seconds) < 0.3


def test_it_is_a_plugin_of_rio(source: Path, tmp_path: Path) -> None:
    rio = str(Path(sys.executable).with_name("rio"))
    done = subprocess.run(
        [rio, "georeader", "cog", str(source), str(tmp_path / "out.tif")], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert RasterioReader(tmp_path / "out.tif").overviews() == [2, 4]
