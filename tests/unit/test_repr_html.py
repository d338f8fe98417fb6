"""What a notebook shows of a GeoTensor and of a RasterioReader."""

from __future__ import annotations

import base64
import html
import itertools
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._render import picture
from georeader.validation import info, validate
from pictures import read_png, read_rgba
from range_server import Server

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"


def tensor(values: Any, *, nodata: Any = None, **attrs: Any) -> GeoTensor:
    return GeoTensor(np.asarray(values), TRANSFORM, CRS, nodata, attrs=attrs)


def picture_of(raster: Any) -> bytes:
    """Return the PNG in an HTML repr."""
    (found,) = re.findall(r'src="data:image/png;base64,([^"]+)"', raster._repr_html_())
    return base64.b64decode(found)


class Balance(HTMLParser):
    """Notes the tags that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open += [] if tag == "img" else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def text_of(raster: Any) -> str:
    """Return the text of a page, after a check that it is well-formed HTML."""
    parser = Balance()
    parser.feed(raster._repr_html_())
    assert parser.open == []
    return parser.text


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        *itertools.product(["uint8", "float32"], [(3, 700, 900), (700, 900), (1, 30, 40)]),
        ("bool", (700, 900)),
        ("bool", (1, 30, 40)),
    ],
)
def test_a_reader_and_a_tensor_show_the_same_picture(
    dtype: str, shape: tuple[int, ...], tmp_path: Path, rng: np.random.Generator
) -> None:
    data = tensor(rng.integers(0, 4, shape).astype(dtype), nodata=None if dtype == "bool" else 3)
    save_cog(data, tmp_path / "out.tif", profile_arg={"BLOCKSIZE": 128})

    png = picture_of(RasterioReader(tmp_path / "out.tif"))

    assert png == picture_of(data)
    assert png == picture_of(RasterioReader(tmp_path / "out.tif").load())
    assert read_png(png).shape[:2] == ((299, 384) if shape[-1] == 900 else (30, 40))


def test_the_text_is_the_repr() -> None:
    data = tensor(np.zeros((1, 5, 5)))

    assert text_of(data) == repr(data)


def test_html_in_names_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "<b>&amp;.tif"
    save_cog(tensor(np.zeros((1, 5, 5)), descriptions=["<script>alert('x')</script>"]), path)
    reader = RasterioReader(path)

    assert text_of(reader) == repr(reader)
    assert "<script>" not in reader._repr_html_()


@pytest.mark.parametrize("look", [validate, info, RasterioReader])
def test_html_of_a_file_is_its_text_monospaced(look: Any, tmp_path: Path) -> None:
    path = tmp_path / "<b>&amp;.tif"
    save_cog(tensor(np.zeros((1, 5, 5)), descriptions=["<i>"]), path)

    shown = look(path)

    assert text_of(shown) == (repr(shown) if look is RasterioReader else str(shown))
    assert '<pre style="font-family: monospace' in shown._repr_html_()


def test_html_of_an_invalid_file_has_the_problems(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no raster")

    assert "error    not-a-tiff: " in text_of(validate(tmp_path / "a.tif"))


def test_small_picture_is_enlarged_without_smoothing() -> None:
    shown = tensor(np.arange(20).reshape(4, 5))._repr_html_()

    assert '<img width="125" height="100" style="image-rendering: pixelated"' in shown


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tensor(np.zeros((2, 1, 5, 5))), "a picture shows one time"),
        (tensor(np.zeros((1, 0, 5))), "has no pixels"),
        (tensor(np.zeros((0, 5, 5))), "has no pixels"),
        (tensor(np.zeros((5, 5), "datetime64[s]")), "no GeoTIFF counterpart"),
        (tensor(np.zeros((1, 5, 5)), descriptions=["a", "b"]), "2 entries for 1 bands"),
        (GeoTensor(np.zeros((5, 5)), TRANSFORM, "EPSG:1"), "EPSG:1"),
    ],
    ids=["times", "no rows", "no bands", "dates", "wrong metadata", "an unknown CRS"],
)
def test_raster_without_picture_is_shown_as_text_with_the_reason(data: GeoTensor, reason: str) -> None:
    assert "<img" not in data._repr_html_()
    assert text_of(data).startswith(repr(data) + "no picture: ")
    assert reason in text_of(data).removeprefix(repr(data))


def test_raster_without_georeference_is_shown_without_warning(tmp_path: Path) -> None:
    profile = {"driver": "GTiff", "height": 2, "width": 3, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "out.tif", "w", **profile) as dataset:
        dataset.write(np.arange(6, dtype="uint8").reshape(1, 2, 3))
    reader = RasterioReader(tmp_path / "out.tif")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png = picture_of(reader)

    assert read_png(png)[..., 0].tolist() == [[0, 51, 102], [153, 204, 255]]


@pytest.mark.parametrize("window", [Window(0, 0, 0, 0), Window(0, 0, 0, 900), Window(9, 9, 900, 0)])
def test_a_window_without_pixels_is_shown_as_text(window: Window, tmp_path: Path) -> None:
    save_cog(tensor(np.zeros((900, 900), "uint8")), tmp_path / "out.tif")
    reader = RasterioReader(tmp_path / "out.tif", window_focus=window)

    assert "has no pixels" in text_of(reader).removeprefix(repr(reader))


def test_tensor_without_georeference_is_shown_as_text() -> None:
    lost = np.zeros((2, 3)).view(GeoTensor)

    assert text_of(lost) == repr(lost)


def test_missing_file_is_shown_as_text_with_the_reason(tmp_path: Path) -> None:
    save_cog(tensor(np.zeros((1, 5, 5))), tmp_path / "out.tif")
    reader = RasterioReader(tmp_path / "out.tif")
    (tmp_path / "out.tif").unlink()

    assert text_of(reader).startswith(repr(reader) + "no picture: ")
    assert "out.tif" in text_of(reader).removeprefix(repr(reader))


def test_failing_server_is_shown_as_text_without_the_secret_of_the_url(server: Server, tmp_path: Path) -> None:
    save_cog(tensor(np.random.default_rng(0).random((1, 900, 900))), tmp_path / "out.tif")
    url = server.put("out.tif", (tmp_path / "out.tif").read_bytes())
    reader = RasterioReader(f"{url}?token=hunter22")
    assert "hunter22" not in reader._repr_html_()
    other = RasterioReader(f"{server.put('other.tif', (tmp_path / 'out.tif').read_bytes())}?token=hunter23")
    server.configure("other.tif", "status", "403")

    shown = other._repr_html_()

    assert "no picture" in shown
    assert "hunter23" not in shown


def test_a_large_file_without_overviews_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiled_geotiff(tensor(np.zeros((2, 100, 100), "uint16")), tmp_path / "flat.tif")
    reader = RasterioReader(tmp_path / "flat.tif")
    assert "<img" in reader._repr_html_()

    monkeypatch.setattr(picture, "NOTEBOOK_READ_BYTES", 100 * 100 * 2 - 1)

    assert "<img" not in reader._repr_html_()
    assert f"{html.escape(str(tmp_path))}/flat.tif: it has no overview" in reader._repr_html_()


def test_large_array_is_thinned_by_rows_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((900, 900), "uint8")
    values[::3, ::3] = 100
    values[0, 0] = 50
    monkeypatch.setattr(picture, "NOTEBOOK_PIXELS_PX", 300 * 300)

    greys = read_rgba(picture_of(tensor(values)))[..., 0]

    assert greys.shape == (300, 300)
    assert set(np.unique(greys)) == {0, 255}
    assert (greys == 0).sum() == 1
