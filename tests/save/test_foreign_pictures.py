"""Clients that read only TIFF's own tags show the saved colours: Pillow, ImageMagick, geotiff.js' readRGB.

The files are in foreign/pictures.py. Each is compared with what should be seen, and with GDAL's own file of the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foreign.cases import ENGINES
from foreign.pictures import KINDS, PICTURES, Picture
from foreign.processes import need, view_by_geotiff_js, view_by_imagemagick
from foreign.readers import view_by_pillow

pytestmark = pytest.mark.slow

Seen = np.ndarray[Any, Any] | str

#: Who wrote a file: GDAL's own driver, or save_cog.
WRITERS = ("gdal's own", *ENGINES)


def _pillow(picture: Picture, writer: str) -> str | None:
    if picture.codec == "lerc":
        return "has no LERC"
    if picture.codec == "webp":
        return "is built without WebP in TIFF"
    if picture.kind == "white+alpha" or (picture.dtype == "uint16" and picture.kind in ("grey+alpha", "palette")):
        return "has no mode for these bands"
    if picture.kind == "white" and picture.dtype == "uint16":
        return "does not invert 16 bits"
    if picture.interleave == "band" and picture.kind == "grey+alpha":
        return "misreads grey and alpha that lie apart"
    is_apart = picture.codec == "none" and picture.interleave == "band"
    if is_apart and (picture.dtype == "uint16" or picture.kind == "RGB+other"):
        return "misreads uncompressed bands that lie apart, but for RGB and RGBA of 8 bits"
    return None


def _imagemagick(picture: Picture, writer: str) -> str | None:
    if picture.kind == "white+alpha":
        return "inverts alpha, too"
    if picture.kind == "grey+alpha" and picture.interleave == "band":
        return "misreads grey and alpha that lie apart"
    return None


def _geotiff_js(picture: Picture, writer: str) -> str | None:
    if picture.codec == "lzma":
        return "has no LZMA"
    if picture.codec == "webp":
        return "decodes WebP by the browser, which Node is not"
    is_in_mask = picture.codec == "lerc" and picture.dtype == "uint8" and picture.interleave == "pixel"
    if is_in_mask and "alpha" in KINDS[picture.kind] and writer != "stream":
        return "does not know alpha that GDAL stores as LERC's own mask"
    return None


#: Why a reader cannot show a picture of a writer, GDAL's own or not.
LIMITS: dict[str, Callable[[Picture, str], str | None]] = {
    "Pillow": _pillow,
    "ImageMagick": _imagemagick,
    "geotiff.js": _geotiff_js,
}


class Gallery:
    """The files of all pictures, and what each reader shows of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = cache(self._paths)
        self.shown = cache(self._shown)

    def _paths(self, writer: str) -> list[Path]:
        folder = self.folder / writer
        folder.mkdir()
        return [self._save(picture, folder / f"{picture.name}.tif", writer) for picture in PICTURES]

    def _save(self, picture: Picture, path: Path, writer: str) -> Path:
        return picture.save_by_gdal(path) if writer == "gdal's own" else picture.save(path, writer)

    def _shown(self, reader: str, writer: str) -> dict[str, Seen]:
        paths = self.paths(writer)
        folder = self.folder / f"{writer} {reader}"
        read = {"ImageMagick": view_by_imagemagick, "geotiff.js": view_by_geotiff_js}.get(reader)
        answers = [_see(path) for path in paths] if read is None else read(paths, folder)
        return {picture.name: answer for picture, answer in zip(PICTURES, answers, strict=True)}


def _see(path: Path) -> Seen:
    try:
        return view_by_pillow(path)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return Gallery(tmp_path_factory.mktemp("pictures"))


def assert_seen(found: Seen, picture: Picture, expected: np.ndarray[Any, Any]) -> None:
    """Compare colours where they are visible, and alpha where it was saved."""
    assert not isinstance(found, str), found
    channels = found if found.dtype == np.uint8 else found // 257  # geotiff.js gives 16 bits as they are
    difference = np.abs(channels[..., :3].astype(int) - expected[..., :3])[expected[..., 3] > 0]
    if picture.is_lossy:
        assert difference.mean() <= 4
    else:
        assert difference.max() <= 1  # geotiff.js counts to 256
    if channels.shape[2] == 4 and picture.codec != "jpeg" and picture.kind != "RGB+other":
        np.testing.assert_array_equal(channels[..., 3], expected[..., 3])


@pytest.mark.covering(
    columns=lambda picture, reader, engine: (picture.name, (reader, engine, picture.kind), (reader, picture.codec))
)
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
@pytest.mark.parametrize("reader", LIMITS)
@pytest.mark.parametrize("engine", ENGINES)
def test_viewers_show_the_saved_colours(engine: str, reader: str, picture: Picture, gallery: Gallery) -> None:
    need(reader)
    found = gallery.shown(reader, engine)[picture.name]

    limit = LIMITS[reader](picture, engine)
    if limit is None:
        assert_seen(found, picture, picture.seen())
        return
    with pytest.raises(AssertionError):
        assert_seen(found, picture, picture.seen())
    pytest.skip(f"{reader} {limit}")


@pytest.mark.covering(columns=lambda picture, reader: (picture.name, (reader, picture.kind), (reader, picture.codec)))
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
@pytest.mark.parametrize("reader", LIMITS)
def test_viewers_show_the_colours_of_gdals_file(reader: str, picture: Picture, gallery: Gallery) -> None:
    need(reader)
    limit = LIMITS[reader](picture, "gdal's own")
    if limit is not None:
        pytest.skip(f"{reader} {limit}")
    found, gdals = (gallery.shown(reader, writer)[picture.name] for writer in ("stream", "gdal's own"))

    assert not isinstance(found, str), found
    assert not isinstance(gdals, str), gdals
    assert found.shape == gdals.shape
    difference = np.abs(found.astype(int) - gdals)[picture.seen()[..., 3] > 0]
    assert difference.mean() <= 4 if picture.is_lossy else not difference.any()


def test_every_photometric_is_tested() -> None:
    assert {picture.kind for picture in PICTURES} == set(KINDS)
