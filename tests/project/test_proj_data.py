"""PROJ data that cannot be used, and EPSG codes of every kind of integer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from georeader import CogWriter, GeoTensor, compare_crs, rasterio_crs, save_cog
from georeader.window_utils import describe_crs

PLACE = ((10, 0, 500000, 0, -10, 4000000), "EPSG:32632")

#: What PROJ says of each kind of broken data.
BROKEN = {
    "empty folder": "Cannot find proj.db",
    "no folder": "Cannot find proj.db",
    "not a database": "file is not a database",
}


def broken_env(kind: str, folder: Path) -> dict[str, str]:
    data = folder / "proj"
    if kind != "no folder":
        data.mkdir()
    if kind == "not a database":
        (data / "proj.db").write_text("not a database")
    return {**os.environ, "PROJ_DATA": str(data), "PROJ_LIB": str(data)}


def python(code: str, env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    begin = "import numpy as np, warnings\nfrom georeader import *\nwarnings.simplefilter('error')\n"
    return subprocess.run(
        [sys.executable, "-c", begin + code], env=env, cwd=folder, capture_output=True, text=True, check=False
    )


def in_file(folder: Path) -> None:
    save_cog(GeoTensor(np.ones((1, 4, 4), "uint8"), *PLACE, 0), folder / "in.tif")


@pytest.mark.covering(columns=lambda kind, crs: (kind, crs))
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("crs", ["32632", "'EPSG:32632'", "np.int64(32632)"])
def test_message_has_the_cause(kind: str, crs: str, tmp_path: Path) -> None:
    done = python(f"rasterio_crs({crs})", broken_env(kind, tmp_path), tmp_path)

    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("georeader.errors.GeoreferenceError: crs=")
    assert BROKEN[kind] in last
    assert "unset PROJ_DATA and PROJ_LIB" in last


COPIES = {
    "path": "save_cog('in.tif', 'out.tif')",
    "gdal": "save_cog('in.tif', 'out.tif', engine='gdal')",
    "tiled": "save_tiled_geotiff('in.tif', 'out.tif')",
    "reader": "save_cog(RasterioReader('in.tif'), 'out.tif')",
    "loaded": "save_cog(RasterioReader('in.tif').load(), 'out.tif')",
    "dataset": "import rasterio; save_cog(rasterio.open('in.tif'), 'out.tif')",
    "like": "CogWriter('out.tif', like='in.tif')",
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_that_loses_the_epsg_code_warns(copy: str, tmp_path: Path) -> None:
    in_file(tmp_path)

    done = python(COPIES[copy], broken_env("empty folder", tmp_path), tmp_path)

    assert "MetadataWarning: the file gets the CRS without an EPSG code, if it has one: " in done.stderr
    assert "Cannot find proj.db" in done.stderr


def test_the_command_line_warns_of_a_lost_epsg_code(tmp_path: Path) -> None:
    in_file(tmp_path)
    command = [sys.executable, "-c", "from georeader.cli import main; main()", "cog", "in.tif", "out.tif"]

    done = subprocess.run(
        command, env=broken_env("empty folder", tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "without an EPSG code" in done.stderr


def test_reader_warns_why_there_is_no_epsg_code(tmp_path: Path) -> None:
    in_file(tmp_path)

    done = python("print(RasterioReader('in.tif'))", broken_env("empty folder", tmp_path), tmp_path)

    assert "WGS 84 / UTM zone 32N (no EPSG code: PROJ cannot use its database)" in done.stdout, done.stderr


def test_a_crs_without_an_epsg_code_does_not_warn(tmp_path: Path) -> None:
    crs = "+proj=laea +lat_0=12.5 +lon_0=7 +datum=WGS84"

    save_cog(GeoTensor(np.ones((1, 4, 4), "uint8"), PLACE[0], crs, 0), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.crs.to_epsg() is None


@pytest.mark.parametrize("code", [np.int64(32632), np.uint16(32632), np.int32(32632), np.array(32632), 32632])
def test_every_integer_is_an_epsg_code(code: Any, tmp_path: Path) -> None:
    assert rasterio_crs(code).to_epsg() == 32632
    assert compare_crs(code, "EPSG:32632")
    assert describe_crs(code) == "EPSG:32632"
    tensor = GeoTensor(np.ones((1, 4, 4), "uint8"), PLACE[0], code, 0)
    save_cog(tensor, tmp_path / "a.tif", profile_arg={"crs": code})
    with CogWriter(tmp_path / "b.tif", shape=(4, 4), dtype="uint8", transform=PLACE[0], crs=code) as writer:
        writer.write(np.ones((4, 4), "uint8"))
    save_cog(tensor, tmp_path / "c.tif", profile_arg={"TARGET_SRS": code})

    for name in ("a.tif", "b.tif", "c.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            assert dataset.crs.to_epsg() == 32632
