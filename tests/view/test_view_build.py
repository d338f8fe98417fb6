"""The page in the package is what its sources in page/ make, and is small enough to go with each wheel."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from places import ROOT
from servers.processes import need

STATIC = ROOT / "src" / "georeader" / "view" / "static"
PAGE = ROOT / "page"

#: What the page adds to a wheel, in bytes: without compression.
MOST_BYTES = 700_000


@pytest.mark.slow
def test_page_is_what_its_sources_make(tmp_path: Path) -> None:
    need("OpenLayers", None if (PAGE / "node_modules" / "ol").is_dir() else "`make page/node_modules` installs it")

    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=PAGE, check=True, timeout=120)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in STATIC.iterdir()
    }


def test_page_is_small() -> None:
    assert sum(path.stat().st_size for path in STATIC.iterdir()) < MOST_BYTES


def test_page_has_the_licence_of_each_package_in_it() -> None:
    text = (STATIC / "LICENSES.txt").read_text()

    for name, words in {
        "ol": "Redistribution and use in source and binary forms", "geotiff": "Permission is hereby granted",
        "lerc": "Apache License", "pako": "Permission is hereby granted", "zstddec": "Permission is hereby granted",
    }.items():  # fmt: skip
        (section,) = re.findall(rf"^{name} \d.*?(?=^-{{79}}$|\Z)", text, re.DOTALL | re.MULTILINE)
        assert words in section
    assert "Natural Earth" in text
    assert "Public domain" in text


def test_page_names_no_host_that_it_could_request() -> None:
    """Addresses in the bundle are names of CRSs and of XML namespaces, and one in an error message of geotiff.js."""
    found = set(re.findall(r"https?://[^\s\"'`)/]+", (STATIC / "app.js").read_text()))

    assert found <= {"http://www.opengis.net", "http://www.w3.org", "https://github.com"}
    assert not re.findall(r"https?://", (STATIC / "index.html").read_text() + (STATIC / "app.css").read_text())


def test_coastlines_lie_on_the_earth() -> None:
    content = json.loads((STATIC / "land.json").read_text())

    for line in content["lines"]:
        x = y = 0
        for step_x, step_y in zip(line[::2], line[1::2], strict=True):
            x, y = x + step_x, y + step_y
            assert abs(x * content["step_degrees"]) <= 180
            assert abs(y * content["step_degrees"]) <= 90


_COLOURS = """
import { COLORMAPS, colormap } from './src/colours.js';
console.log(JSON.stringify(Object.fromEntries(COLORMAPS.map((name) => [name, colormap(name)]))));
"""


#: From linear sRGB to XYZ of D65 (IEC 61966-2-1), and the white of D65.
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1, 1.089])


def cielab(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB of sRGB from 0 to 1: another space than the one that the page computes its colours in."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.slow
def test_colours_differ_by_even_steps() -> None:
    need("Node", None if shutil.which("node") else "install Node and npm")
    command = ["node", "--input-type=module", "--eval", _COLOURS]
    done = subprocess.run(command, cwd=PAGE, check=True, timeout=60, capture_output=True, text=True)

    for name, colours in json.loads(done.stdout).items():
        steps = np.linalg.norm(np.diff(cielab(np.array(colours)[::16] / 255), axis=0), axis=1)
        assert len(colours) == 256
        assert steps.min() > 0.6 * steps.mean(), name
        assert steps.max() < 1.4 * steps.mean(), name
