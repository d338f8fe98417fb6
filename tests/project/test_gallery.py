"""The notebooks of the gallery run, and what they show on the site is what they print and draw."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import ImageChops

from notebooks import GALLERY, execute, pictures, texts, warnings
from places import ROOT
from servers.processes import need

#: Notebooks that start a server, and the packages of others that the extra `gallery` does not install.
SERVERS = {"cloud_round_trip", "reading_by_ranges"}
NEEDS = {"sentinel2_ndvi": "nrt", "dask_cube": "nrt", "cloud_round_trip": "moto"}

NOTEBOOKS = sorted(GALLERY.glob("*.ipynb"))
PARAMETERS = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.server] if path.stem in SERVERS else []) for path in NOTEBOOKS
]


def what_is_missing(package: str) -> str | None:
    """Return how to install a package where it is not installed."""
    installed = any(importlib.metadata.packages_distributions().get(package, []))
    return None if installed else "it comes with georeader-cog[test] and requirements/no-deps.txt"


@pytest.mark.filterwarnings("ignore:Proactor event loop:RuntimeWarning")  # of pyzmq on Windows
@pytest.mark.parametrize("path", PARAMETERS)
def test_notebook_prints_and_draws_what_is_stored(path: Path, tmp_path: Path) -> None:
    if package := NEEDS.get(path.stem):
        need(package, what_is_missing(package))
    stored = nbformat.read(path, as_version=4)

    fresh = execute(path, tmp_path)

    assert warnings(fresh) == []
    assert texts(fresh) == texts(stored)
    drawn, shown = pictures(fresh), pictures(stored)
    assert [picture.size for picture in drawn] == [picture.size for picture in shown]
    assert len(shown) > 1
    for one, other in zip(drawn, shown, strict=True):  # those that are stored have fewer colours
        assert np.asarray(ImageChops.difference(one, other)).mean() < 6


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_notebook_is_small_and_names_no_machine(path: Path) -> None:
    written = path.read_text()

    assert len(written) < 250_000
    assert path.with_suffix(".png").stat().st_size < 30_000
    assert not re.search(r"/(home|root|tmp|work|Users)/|127\.0\.0\.1:\d|0x[0-9a-f]{8}", written)


def test_gallery_is_in_the_index_and_in_the_navigation() -> None:
    index, navigation = (GALLERY / "index.md").read_text(), (ROOT / "mkdocs.yml").read_text()

    assert len(NOTEBOOKS) == 6
    for path in NOTEBOOKS:
        assert f"]({path.name})" in index
        assert f"]({path.stem}.png)" in index
        assert f"gallery/{path.stem}.md\n" in navigation
