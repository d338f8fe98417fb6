"""Readers that no one here wrote agree on what save_cog wrote: pixels, windows, overviews and masks.

The files are in foreign/cases.py, the readers in foreign/readers.py and foreign/processes.py, and what a reader cannot
do in foreign/limits.py. `make test` installs most of them, .ci/run all.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from foreign.cases import CASES, ENGINES, JPEG_XL, TILE_SIDE_PX, WINDOW, Case
from foreign.limits import limit_of
from foreign.processes import need, read_by_debians_gdal, read_by_geotiff_js, run_tiffinfo
from foreign.readers import IN_PROCESS, Reading, read_by_rasterio

pytestmark = pytest.mark.slow

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_engine = pytest.mark.parametrize("engine", ENGINES)


class Library:
    """The files of all cases, each written at its first use, and the results of readers that start once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = cache(self._path)
        self.seen_by_rasterio = cache(self._seen_by_rasterio)
        self.answers_of_geotiff_js = cache(self._answers_of_geotiff_js)
        self.answers_of_debians_gdal = cache(self._answers_of_debians_gdal)

    def _path(self, case: Case, engine: str) -> Path:
        return case.save(self._subfolder(engine), engine)

    def _seen_by_rasterio(self, case: Case, engine: str) -> Reading:
        return read_by_rasterio(self.path(case, engine))

    def _answers_of_geotiff_js(self, engine: str) -> dict[str, Reading | str]:
        return self._answers(read_by_geotiff_js, engine)

    def _answers_of_debians_gdal(self, engine: str) -> dict[str, dict[str, Any]]:
        return self._answers(read_by_debians_gdal, engine)

    def _answers(self, read: Any, engine: str) -> dict[str, Any]:
        paths = [self.path(case, engine) for case in CASES]
        answers = read(paths, self._subfolder(f"{engine}-{read.__name__}"))
        return {case.name: answer for case, answer in zip(CASES, answers, strict=True)}

    def _subfolder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def read(self, reader: str, case: Case, engine: str) -> Reading | str:
        """Return what a reader reads, or the words in which it refuses."""
        if reader == "geotiff.js":
            return self.answers_of_geotiff_js(engine)[case.name]
        if reader == "Debian's GDAL":
            return self.answers_of_debians_gdal(engine)[case.name]["reading"]
        try:
            return IN_PROCESS[reader](self.path(case, engine))
        except (ValueError, RuntimeError, NotImplementedError) as error:
            return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("foreign"))


def assert_same(found: Reading | str, expected: Reading, *, is_lossy: bool) -> None:
    """Compare region by region. Decoders of lossy codecs round, and upsample chroma, differently."""
    assert not isinstance(found, str), found
    assert found.keys() == expected.keys()
    for name, pixels in expected.items():
        assert (found[name].dtype, found[name].shape) == (pixels.dtype, pixels.shape), name
        if not is_lossy or name == "mask":
            np.testing.assert_array_equal(found[name], pixels, err_msg=name)
            continue
        difference = np.abs(found[name].astype(float) - pixels)
        assert difference.max() <= 8, name
        assert difference.mean() <= 0.5, name


@pytest.mark.covering(columns=lambda reader, case, engine: ((reader, case.name), (reader, engine)))
@every_case
@every_engine
@pytest.mark.parametrize("reader", [*IN_PROCESS, "Debian's GDAL", "geotiff.js"])
def test_reader_agrees_with_rasterio(reader: str, case: Case, engine: str, library: Library) -> None:
    need(reader)
    expected = library.seen_by_rasterio(case, engine)
    found = library.read(reader, case, engine)

    limit = limit_of(reader, case)
    if limit is None:
        assert_same(found, expected, is_lossy=case.is_lossy)
        return
    with pytest.raises(AssertionError):
        assert_same(found, expected, is_lossy=case.is_lossy)
    pytest.skip(limit)


@every_case
@every_engine
def test_rasterio_reads_the_saved_values(case: Case, engine: str, library: Library) -> None:
    found, saved = library.seen_by_rasterio(case, engine), case.pixels()

    if case.is_lossy:
        is_seen = saved[-1] > 0 if case.holes == "alpha" else np.full(saved.shape[1:], True)
        bands = saved[: len(found["full"])]
        assert np.abs(found["full"].astype(float) - bands)[:, is_seen].mean() < 5
    else:
        np.testing.assert_array_equal(found["full"], saved)
    rows, columns = (slice(*side) for side in WINDOW)
    np.testing.assert_array_equal(found["window"], found["full"][:, rows, columns])


@every_case
def test_gdal_reports_the_cog_layout(case: Case, library: Library) -> None:
    with rasterio.open(library.path(case, "stream")) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"


@every_case
@every_engine
def test_rio_cogeo_finds_no_fault(case: Case, engine: str, library: Library) -> None:
    is_valid, errors, warnings = cog_validate(library.path(case, engine), strict=True, quiet=True)

    assert (is_valid, errors, warnings) == (True, [], [])


@every_case
@every_engine
def test_gdals_own_validator_finds_no_fault(case: Case, engine: str, library: Library) -> None:
    need("Debian's GDAL")

    assert library.answers_of_debians_gdal(engine)[case.name]["faults"] == []


@every_case
@every_engine
def test_libtiff_finds_no_fault(case: Case, engine: str, library: Library) -> None:
    need("tiffinfo")
    path = library.path(case, engine)
    # Tiles of no bytes are GDAL's own idea; and tiffinfo has no room for the colours of YCbCr that it decodes.
    is_decoded = "SPARSE_OK" not in case.options and not (case.codec == "jpeg" and case.bands > 1)

    found = run_tiffinfo(path, decode=is_decoded)

    limit = limit_of("tiffinfo", case)
    if limit is None:
        assert found == (0, [])
        return
    assert found[0] != 0
    pytest.skip(limit)


@pytest.mark.parametrize("case", JPEG_XL, ids=lambda case: case.name)
def test_tifffile_reads_the_saved_jpeg_xl(case: Case, tmp_path: Path) -> None:
    """The one reader here that has it: GDAL does where it is built with libjxl, which rasterio's wheels are not."""
    path = case.save(tmp_path, "stream")

    found = IN_PROCESS["tifffile"](path)

    np.testing.assert_array_equal(found["full"], case.pixels())
    assert found["smallest"].shape[-1] <= TILE_SIDE_PX
