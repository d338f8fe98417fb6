"""Readers that no one here wrote and that are programs: geotiff.js under Node, Debian's GDAL, libtiff's tiffinfo."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreign.cases import SHAPE, WINDOW

Reading = dict[str, np.ndarray[Any, Any]]

HERE = Path(__file__).parent

#: Debian's own interpreter: the one that python3-gdal is installed for.
DEBIAN_PYTHON = "/usr/bin/python3"

#: Readers and viewers that run under Node or in a browser -> their npm packages.
_NODE_PACKAGES = {
    "geotiff.js": "geotiff",
    "@cogeotiff/core": "@cogeotiff/core",
    "OpenLayers": "ol",
    "Leaflet": "georaster-layer-for-leaflet",
}

#: Tags that libtiff itself does not know (it says so and goes on): GeoTIFF's and GDAL's.
_TAGS_OF_OTHERS = {33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50844}


def need(reader: str) -> None:
    """Skip the test where a reader is not installed; fail it where all have to be (GEOREADER_REQUIRE_READERS)."""
    missing = _what_is_missing(reader)
    if missing is None:
        return
    message = f"{reader} is not on this machine: {missing}"
    if os.environ.get("GEOREADER_REQUIRE_READERS"):
        pytest.fail(message)
    pytest.skip(message)


@cache
def _what_is_missing(reader: str) -> str | None:
    """Return how to install a reader that is missing; None: it is installed."""
    if reader in _NODE_PACKAGES:
        if shutil.which("node") is None:
            return "install Node and npm, and say `make test` again"
        installed = (HERE / "node" / "node_modules" / _NODE_PACKAGES[reader]).is_dir()
        return None if installed else "`make tests/support/foreign/node/node_modules` installs it"
    if reader == "tiffinfo":
        return None if shutil.which("tiffinfo") else "on Debian: apt-get install libtiff-tools"
    if reader == "Debian's GDAL":
        return None if _debian_has_gdal() else "on Debian: apt-get install python3-gdal"
    if reader == "ImageMagick":
        return None if _imagemagick() else "on Debian: apt-get install imagemagick"
    reader = {"Pillow": "PIL", "odc-stac": "odc.stac", "titiler": "titiler.core"}.get(reader, reader)
    module = reader.replace("-", "_")
    return None if importlib.util.find_spec(module) else "it comes with georeader-cog[test]"


def _imagemagick() -> str | None:
    """Return ImageMagick's program: version 7's, Debian's own name for that of version 6, or the usual one."""
    return next(filter(None, map(shutil.which, ("magick", "convert-im6.q16"))), None)


def _debian_has_gdal() -> bool:
    if not Path(DEBIAN_PYTHON).exists():
        return False
    question = [DEBIAN_PYTHON, "-I", "-c", "import osgeo.gdal_array, osgeo_utils.samples"]
    return subprocess.run(question, capture_output=True, check=False, env=_plain_environment()).returncode == 0


def _plain_environment() -> dict[str, str]:
    """What a program of the system may see: none of this environment's GDAL and PROJ settings."""
    names = ("GDAL_", "PROJ_", "CPL_", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(names)}


def read_by_geotiff_js(paths: Sequence[Path], folder: Path) -> list[Reading | str]:
    """Return for each file what geotiff.js reads, or the words in which it refuses. Node starts once."""
    answers = _read_by_program(["node", str(HERE / "node" / "read.mjs")], paths, folder)
    return [answer.get("error") or _raw_regions(answer["regions"]) for answer in answers]


def view_by_geotiff_js(paths: Sequence[Path], folder: Path) -> list[np.ndarray[Any, Any] | str]:
    """Return for each file what geotiff.js' readRGB shows, (row, column, channel) of 8 or 16 bits, or its error."""
    folder.mkdir(exist_ok=True)
    answers = _read_by_program(["node", str(HERE / "node" / "look.mjs")], paths, folder)
    return [
        answer.get("error") or np.moveaxis(_raw_regions({"full": answer["picture"]})["full"], 0, -1)
        for answer in answers
    ]


def view_by_imagemagick(
    paths: Sequence[Path], folder: Path, size: tuple[int, int] = SHAPE
) -> list[np.ndarray[Any, Any] | str]:
    """Return for each file of a size what ImageMagick shows, (row, column, RGBA) of 8 bits, or why it refuses.

    One process takes all of them; it goes on after a file that it cannot read.
    """
    program = _imagemagick()
    assert program is not None
    folder.mkdir(exist_ok=True)
    targets = [folder / f"{number}.rgba" for number in range(len(paths))]
    each = [
        ["(", f"{path}[0]", "-depth", "8", "-write", f"rgba:{target}", "+delete", ")"]
        for path, target in zip(paths, targets, strict=True)
    ]
    command = [program, *(word for words in each for word in words), "null:"]
    said = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stderr
    shape = (*size, 4)
    return [np.fromfile(file, "uint8").reshape(shape) if file.exists() else said[-500:] for file in targets]


def _raw_regions(regions: dict[str, Any]) -> Reading:
    found = {name: np.fromfile(one["file"], one["dtype"]).reshape(one["shape"]) for name, one in regions.items()}
    if "mask" in found:
        found["mask"] = found["mask"][0] * np.uint8(255)
    return found


def read_by_debians_gdal(paths: Sequence[Path], folder: Path) -> list[dict[str, Any]]:
    """Return for each file "faults" of GDAL's validator, and "reading". Debian's Python starts once."""
    answers = _read_by_program([DEBIAN_PYTHON, "-I", str(HERE / "debian_gdal.py")], paths, folder)
    return [
        {
            "faults": answer.get("faults", []),
            "reading": answer.get("error") or {name: np.load(file) for name, file in answer["regions"].items()},
        }
        for answer in answers
    ]


def _read_by_program(command: list[str], paths: Sequence[Path], folder: Path) -> list[dict[str, Any]]:
    """Run a program on files, which answers line by line; again after a file on which it crashes or never ends."""
    answers: list[dict[str, Any]] = []
    while len(answers) < len(paths):
        left = [str(path) for path in paths[len(answers) :]]
        part = folder / str(len(answers))
        part.mkdir()
        job = json.dumps({"window": WINDOW, "files": left, "folder": str(part)})
        lines, fault = _run(command, job)
        answers += [json.loads(line) for line in lines]
        if len(lines) < len(left):
            answers.append({"error": f"{command[0]} did not come back from it: {fault}", "faults": [fault]})
    return answers


def _run(command: list[str], job: str) -> tuple[list[str], str]:
    """Return the lines that a program prints, and why it ended early, if it did."""
    # Files, since what a program had printed before it was stopped is lost in a pipe.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        try:
            ended = subprocess.run(
                command, input=job, stdout=printed, stderr=complaints, text=True, check=False,
                env=_plain_environment(), timeout=60,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            ended = "a timeout"
        printed.seek(0)
        complaints.seek(0)
        return [line for line in printed if line.endswith("\n")], f"{ended}: {complaints.read()[-2000:]}"


def run_tiffinfo(path: Path, *, decode: bool) -> tuple[int, list[str]]:
    """Return libtiff's exit status, and its messages, without those about tags that it cannot know."""
    command = ["tiffinfo", *(["-D"] if decode else []), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return done.returncode, [line for line in done.stderr.splitlines() if not _names_a_tag_of_others(line)]


def _names_a_tag_of_others(line: str) -> bool:
    found = re.search(r"Warning, Unknown field with tag (\d+)", line)
    return found is not None and int(found[1]) in _TAGS_OF_OTHERS
