"""The page of `georeader.view` in headless Chromium: what it shows, reads and requests.

Expected values are those of rasterio, which shares no code with the page.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from browser import Browser, Page, need_browser
from effort import IS_THOROUGH
from georeader import GeoTensor, save_cog
from georeader.errors import LayoutWarning
from georeader.view import View, view
from range_server import Server

pytestmark = pytest.mark.slow

GRID = Affine(10, 0, 500000, 0, -10, 4000000)
UTM = "EPSG:32630"

#: Size of the page: a map of 600 x 600 pixels, and its panel.
WIDTH_PX, HEIGHT_PX = 960, 600

#: How long something may take on a busy machine.
PATIENCE_SECONDS = 20


def wait(page: Page, condition: str) -> Any:
    """Return what an expression gives as soon as that is true."""
    return page.evaluate(
        f"""new Promise((resolve, reject) => {{
          const end = performance.now() + {1000 * PATIENCE_SECONDS};
          const check = () => {{
            const found = {condition};
            if (found) resolve(found);
            else if (performance.now() > end) reject(new Error(document.body.innerText));
            else setTimeout(check, 20);
          }};
          check();
        }})"""
    )


@contextmanager
def opened(browser: Browser, *data: Any, **options: Any) -> Iterator[tuple[Page, View]]:
    """Show rasters, and open the page until its map is complete."""
    with (
        view(*data, open_browser=False, **options) as shown,
        browser.page(width=WIDTH_PX, height=HEIGHT_PX) as page,
    ):
        page.open(shown.url)
        wait(page, "document.body.dataset.state === 'complete'")
        yield page, shown


def place(page: Page, x: float, y: float) -> list[float]:
    """Return where a coordinate of the map is in the page, in CSS pixels."""
    return page.evaluate("(x, y) => georeader.map.getPixelFromCoordinate([x, y])", x, y)


def clicked(page: Page, x: float, y: float) -> dict[str, Any]:
    """Click at a coordinate of the map, and return caption and rows of what it reads."""
    page.evaluate("document.querySelector('#clicked').hidden = true")
    page.click(*place(page, x, y))
    wait(page, "!document.querySelector('#clicked').hidden")
    return page.evaluate(
        "({caption: document.querySelector('#clicked caption').textContent, rows: "
        "[...document.querySelectorAll('#clicked tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))})"
    )


def change(page: Page, name: str, value: str) -> None:
    """Set an element of the panel."""
    script = """(name, value) => {
      const element = document.getElementById(name);
      element.value = value;
      element.dispatchEvent(new Event('change'));
    }"""
    page.evaluate(script, name, value)


def choose(page: Page, name: str, value: str) -> None:
    """Set an element of the panel, and wait until the map shows it."""
    page.evaluate("document.body.dataset.state = 'changed'")
    change(page, name, value)
    wait(page, "document.body.dataset.state === 'complete'")


def colour(page: Page, x: float, y: float) -> list[int]:
    """Return [red, green, blue, alpha] of the map's canvas at a coordinate."""
    script = """([x, y]) => {
      const context = document.querySelector('#map canvas').getContext('2d');
      return [...context.getImageData(Math.floor(x), Math.floor(y), 1, 1).data];
    }"""
    return page.evaluate(script, place(page, x, y))


def requests(page: Page) -> list[tuple[int, int, str]]:
    """Return (offset, bytes, part) of the requests in the panel, in order."""
    rows = page.evaluate(
        "[...document.querySelectorAll('#log tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    return [(int(row[1].replace(",", "")), int(row[2].replace(",", "")), row[3]) for row in reversed(rows)]


def messages(page: Page) -> str:
    return page.evaluate("document.getElementById('messages').innerText")


def save(path: Path, pixels: np.ndarray, transform: Affine = GRID, crs: Any = UTM, **options: Any) -> Path:
    """Save a COG, without nodata unless it is passed."""
    arguments: dict[str, Any] = {"profile_arg": {"compress": "deflate"}} | options
    nodata = arguments.pop("nodata", None)
    save_cog(GeoTensor(pixels, transform, crs, fill_value_default=nodata), path, **arguments)
    return path


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bands of 1100 x 900 random pixels: no value stands for another one."""
    pixels = np.random.default_rng(0).integers(1, 60000, (3, 900, 1100)).astype("uint16")
    return save(tmp_path_factory.mktemp("noise") / "noise.tif", pixels)


@pytest.fixture(scope="module")
def opened_noise(request: pytest.FixtureRequest, noise: Path) -> Iterator[tuple[Page, View]]:
    """The page of that file; tests leave it as it is."""
    need_browser()
    with opened(request.getfixturevalue("running_chromium"), noise) as found:
        yield found


def test_click_reads_the_files_own_numbers_at_the_full_resolution_and_at_the_level_shown(
    opened_noise: tuple[Page, View], noise: Path
) -> None:
    page, _ = opened_noise
    found = clicked(page, 500000 + 10 * 700.4, 4000000 - 10 * 300.6)
    column, row = (int(re.search(rf"{name} (\d+)", found["caption"])[1]) for name in ("column", "row"))

    assert abs(column - 700) <= 1
    assert abs(row - 300) <= 1
    with rasterio.open(noise) as full, rasterio.open(noise, overview_level=0) as half:
        values, halves = full.read()[:, row, column], half.read()[:, row // 2, column // 2]
    assert found["rows"] == [
        [str(band), str(value), str(other)] for band, value, other in zip((1, 2, 3), values, halves, strict=True)
    ]
    assert page.errors == []


def test_click_names_the_place_in_the_crs_and_in_degrees(opened_noise: tuple[Page, View]) -> None:
    page, _ = opened_noise
    caption = clicked(page, 505000, 3996000)["caption"]
    x, y, latitude, longitude = map(
        float, re.search(r"; ([\d.]+), ([\d.]+); ([\d.]+)° N, ([\d.]+)° W", caption).groups()
    )
    degrees = rasterio.warp.transform(UTM, "EPSG:4326", [x], [y])

    assert (x, y) == pytest.approx((505000, 3996000), abs=20)
    assert (-longitude, latitude) == pytest.approx((degrees[0][0], degrees[1][0]), abs=1e-5)


def test_cursor_shows_level_place_and_value_without_a_request(opened_noise: tuple[Page, View], noise: Path) -> None:
    page, shown = opened_noise
    before = len(shown._server.records)
    page.move(*place(page, 505000, 3996000))
    wait(page, "document.getElementById('value').textContent")
    texts = {
        name: page.evaluate(f"document.getElementById('{name}').textContent")
        for name in ("level", "xy", "pixel", "value")
    }
    row, column = map(int, re.findall(r"\d+", texts["pixel"]))

    with rasterio.open(noise, overview_level=0) as half:
        expected = half.read()[:, row // 2, column // 2]
    assert texts["level"] == "overview 1, 550 x 450"
    assert texts["value"] == ", ".join(map(str, expected))
    assert [float(number) for number in texts["xy"].split(", ")] == pytest.approx([505000, 3996000], abs=20)
    assert len(shown._server.records) == before


def test_map_is_read_by_ranges_of_header_and_tiles_only(browser: Browser, noise: Path) -> None:
    with opened(browser, noise) as (page, shown):
        records = [(one.extent.offset_bytes, one.extent.length_bytes, one.part) for one in shown._server.records]

        assert sorted(requests(page)) == sorted(records)
    assert records[0][2].startswith("header")
    assert all(re.fullmatch(r"level [123], tile row \d column \d", part) for _, _, part in records[1:])
    assert sum(length for _, length, _ in records) < 0.35 * noise.stat().st_size
    assert len(set(records)) == len(records)


def test_canvas_shows_the_pixels_between_the_percentiles_as_greys(browser: Browser, tmp_path: Path) -> None:
    ramp = np.tile(np.arange(512, dtype="float32"), (512, 1))
    path = save(tmp_path / "ramp.tif", ramp[None])
    with opened(browser, path) as (page, _):
        greys = [colour(page, 500000 + 10 * column, 4000000 - 2500) for column in (3, 128, 256, 384, 508)]

    assert greys[0] == [0, 0, 0, 255]
    assert greys[4] == [255, 255, 255, 255]
    assert [red for red, *_ in greys] == sorted({red for red, *_ in greys})
    assert all(red == green == blue for red, green, blue, _ in greys)


def test_other_bands_stretches_and_colours_take_no_request(browser: Browser, noise: Path) -> None:
    with opened(browser, noise) as (page, shown):
        before, place_xy = len(shown._server.records), (505200, 3995000)
        seen = {"rgb": colour(page, *place_xy)}
        for name, value in (("bands", "1"), ("stretch", "stored"), ("colormap", "sea")):
            choose(page, name, value)
            seen[value] = colour(page, *place_xy)

        assert len(shown._server.records) == before
    assert seen["1"][0] == seen["1"][1] == seen["1"][2]
    assert seen["stored"] == [255, 255, 255, 255]
    assert len(set(map(tuple, seen.values()))) == 4


def test_typed_limits_are_those_of_black_and_white(browser: Browser, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.full((1, 64, 64), 7.5, "float32"))
    with opened(browser, path) as (page, _):
        page.evaluate("document.getElementById('high').value = 10")
        choose(page, "low", "5")

        assert colour(page, 500000 + 300, 4000000 - 300) == [128, 128, 128, 255]


def test_two_files_of_one_crs_lie_side_by_side_at_the_divider(browser: Browser, tmp_path: Path) -> None:
    left = save(tmp_path / "left.tif", np.full((1, 100, 100), 1, "uint8"))
    right = save(tmp_path / "right.tif", np.full((1, 100, 100), 2, "uint8"))
    with opened(browser, left, right) as (page, _):
        for side in ("left", "right"):  # black on the left, white on the right
            change(page, "side", side)
            page.evaluate("document.getElementById('high').value = 2")
            choose(page, "low", "1")
        y = 4000000 - 500
        halves = [colour(page, x, y)[0] for x in (500200, 500800)]
        values = [clicked(page, x, y)["rows"][0][1] for x in (500200, 500800)]
        page.evaluate("document.getElementById('swipe').value = 900")
        page.evaluate("document.getElementById('swipe').dispatchEvent(new Event('input'))")
        page.evaluate("georeader.map.renderSync()")
        moved = colour(page, 500800, y - 200)[0]

    assert halves == [0, 255]
    assert values == ["1", "2"]
    assert moved == 0


@pytest.mark.thorough
def test_file_of_another_crs_is_not_beside_and_can_be_chosen(browser: Browser, tmp_path: Path) -> None:
    first = save(tmp_path / "first.tif", np.full((1, 100, 100), 1, "uint8"))
    second = save(tmp_path / "second.tif", np.full((1, 100, 100), 2, "uint8"), Affine(0.1, 0, 0, 0, -0.1, 50), 4326)
    with opened(browser, first, second) as (page, _):
        text = messages(page)
        choose(page, "left", "1")
        value = clicked(page, 5, 45)["rows"][0][1]

    assert "second.tif: it is in another CRS than first.tif" in text
    assert value == "2"


# Kinds of files


def show_each(browser: Browser, paths: list[Path], read: Callable[[Page, int], Any]) -> list[Any]:
    """Show files on one page, one after the other."""
    found = []
    with opened(browser, *paths) as (page, _):
        for number in range(len(paths)):
            if number:
                choose(page, "left", str(number))
            change(page, "right", "")
            page.evaluate("georeader.map.renderSync()")
            found.append(read(page, number))
        assert page.errors == []
        assert messages(page) == ""
    return found


def value_of(page: Page, x: float, y: float) -> list[str]:
    return [row[1] for row in clicked(page, x, y)["rows"]]


#: Of float32. The first ones are read in each run of the tests.
PROFILES = [
    {"compress": "lzw"}, {"compress": "deflate", "interleave": "band"}, {"compress": "zstd", "BIGTIFF": "YES"},
    {"compress": "lerc"}, {"compress": "lerc_zstd"}, {"compress": "lerc_deflate"}, {"compress": "packbits"},
    {"compress": "none"}, {"compress": "zstd", "predictor": 3}, {"compress": "lzw", "predictor": 2},
    {"compress": "deflate", "blocksize": 512}, {"compress": "deflate", "blocksize": 64, "interleave": "band"},
]  # fmt: skip


def test_values_of_every_codec_and_layout_are_those_of_the_file(browser: Browser, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).normal(size=(2, 300, 300)).astype("float32")
    profiles = PROFILES if IS_THOROUGH else PROFILES[:4]
    paths = [save(tmp_path / f"{number}.tif", pixels, profile_arg=one) for number, one in enumerate(profiles)]
    found = show_each(browser, paths, lambda page, _: clicked(page, 500000 + 1505, 4000000 - 1005))

    for reading in found:
        row, column = map(int, re.search(r"row (\d+), column (\d+)", reading["caption"]).groups())
        assert [np.float32(text) for _, text, _ in reading["rows"]] == pixels[:, row, column].tolist()


@pytest.mark.parametrize("codec", ["jpeg", pytest.param("webp", marks=pytest.mark.thorough)])
def test_lossy_colours_are_those_that_gdal_decodes(browser: Browser, tmp_path: Path, codec: str) -> None:
    pixels = np.repeat(np.array([200, 120, 40], "uint8"), 300 * 300).reshape(3, 300, 300)
    path = save(tmp_path / "a.tif", pixels, profile_arg={"compress": codec})
    with rasterio.open(path) as dataset:
        expected = dataset.read()[:, 100, 150]
    ((values, shown),) = show_each(
        browser, [path], lambda page, _: (value_of(page, 501505, 3998995), colour(page, 501005, 3998500))
    )

    assert np.array(values, int) == pytest.approx(expected, abs=1)
    assert shown[:3] == pytest.approx(expected, abs=1)


DTYPES = {"int8": -5, "uint32": 2**32 - 2, "float32": 0.1, "float64": 0.1, "uint8": 250, "int16": -30000,
          "uint16": 65000, "int32": -(2**31) + 3}  # fmt: skip


def test_values_of_every_dtype_are_exact(browser: Browser, tmp_path: Path) -> None:
    values = dict(list(DTYPES.items())[: None if IS_THOROUGH else 3])
    paths = [save(tmp_path / f"{name}.tif", np.full((1, 64, 64), value, name)) for name, value in values.items()]

    found = show_each(browser, paths, lambda page, _: value_of(page, 500300, 3999700))

    assert found == [[str(value)] for value in values.values()]


def test_missing_pixels_are_named_and_transparent(browser: Browser, tmp_path: Path) -> None:
    pixels = np.arange(64 * 64, dtype="float32").reshape(1, 64, 64)
    nan, number = pixels.copy(), pixels.copy()
    nan[:, :, 32:] = np.nan
    number[:, :, 32:] = -9999
    masked = np.ma.masked_array(pixels, np.broadcast_to(np.arange(64) >= 32, pixels.shape))
    paths = [
        save(tmp_path / "nan_nodata.tif", nan, nodata=np.nan),
        save(tmp_path / "number.tif", number, nodata=-9999),
        save(tmp_path / "mask.tif", masked),
    ]

    found = show_each(
        browser, paths, lambda page, _: (value_of(page, 500500, 3999700)[0], colour(page, 500450, 3999500))
    )

    assert [text for text, _ in found][:2] == ["NaN (nodata)", "-9999 (nodata)"]
    assert found[2][0].endswith("(masked)")
    assert all(shown == [0, 0, 0, 0] for _, shown in found)


@pytest.mark.thorough
def test_alpha_band_is_the_alpha_of_the_picture(browser: Browser, tmp_path: Path) -> None:
    pixels = np.repeat(np.array([200, 120, 40, 255], "uint8"), 64 * 64).reshape(4, 64, 64)
    pixels[3, :, 32:] = 0
    tensor = GeoTensor(pixels, GRID, UTM, None, attrs={"colorinterp": ["red", "green", "blue", "alpha"]})
    save_cog(tensor, tmp_path / "a.tif")
    with opened(browser, tmp_path / "a.tif") as (page, _):
        assert colour(page, 500100, 3999700) == [200, 120, 40, 255]
        assert colour(page, 500500, 3999700) == [0, 0, 0, 0]


@pytest.mark.thorough
def test_sparse_tile_has_the_value_that_gdal_reads(browser: Browser, tmp_path: Path) -> None:
    pixels = np.full((1, 600, 600), np.nan, "float32")
    pixels[:, :200, :200] = 5
    profile = {"compress": "deflate", "SPARSE_OK": "TRUE", "dtype": "float32"}
    path = save(tmp_path / "a.tif", pixels, nodata=np.nan, profile_arg=profile)
    with opened(browser, path) as (page, _):
        assert value_of(page, 505000, 3995000) == ["NaN (nodata)"]


def test_colour_table_of_the_file_is_shown(browser: Browser, tmp_path: Path) -> None:
    classes = np.zeros((1, 64, 64), "uint8")
    classes[:, :, 32:] = 7
    tensor = GeoTensor(classes, GRID, UTM, None, attrs={"colormap": {0: (10, 20, 30, 255), 7: (200, 100, 0, 255)}})
    save_cog(tensor, tmp_path / "a.tif")
    with opened(browser, tmp_path / "a.tif") as (page, _):
        assert colour(page, 500100, 3999700) == [10, 20, 30, 255]
        assert colour(page, 500500, 3999700) == [200, 100, 0, 255]


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (Affine(8, 6, 500000, 6, -8, 4000000), UTM),
        (Affine(0.01, 0, -10, 0, -0.03, 50), "EPSG:4326"),
        pytest.param(Affine(10, 0, 500000, 0, 10, 3000000), UTM, marks=pytest.mark.thorough),
        pytest.param(Affine(10, 0, 500000, 0, -30, 4000000), UTM, marks=pytest.mark.thorough),
        pytest.param(Affine.identity(), None, marks=pytest.mark.thorough),
    ],
    ids=["rotated", "degrees", "south up", "pixels of 10 x 30 m", "no georeference"],
)
@pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")
def test_value_and_coordinates_are_right_whatever_the_georeference(
    browser: Browser, tmp_path: Path, transform: Affine, crs: str | None
) -> None:
    pixels = np.arange(700 * 600, dtype="int32").reshape(1, 700, 600)
    path = save(tmp_path / "a.tif", pixels, transform, crs)
    with opened(browser, path) as (page, _):
        place_on_map = page.evaluate("georeader.shown.left.facts.map")
        x = place_on_map["left"] + 400.5 * place_on_map["pixel_x"]
        y = place_on_map["top"] - 200.5 * place_on_map["pixel_y"]
        found, text = clicked(page, x, y), messages(page)
    row, column = map(int, re.search(r"row (\d+), column (\d+)", found["caption"]).groups())
    shown_x, shown_y = map(float, re.search(r"; (-?[\d.]+), (-?[\d.]+)", found["caption"]).groups())

    assert (row, column) == pytest.approx((200, 400), abs=1)
    assert found["rows"][0][1] == str(pixels[0, row, column])
    assert ("rows and columns run" in text) == (place_on_map["left"] == 0)
    assert ~transform @ (shown_x, shown_y) == pytest.approx((column + 0.5, row + 0.5), abs=0.6)


def test_page_breaks_none_of_the_rules_that_it_is_served_with(browser: Browser, noise: Path) -> None:
    with opened(browser, noise) as (page, _):
        page.evaluate(
            "{ window.broken = []; addEventListener('securitypolicyviolation', e => broken.push(e.blockedURI)) }"
        )
        choose(page, "colormap", "grey")
        clicked(page, 505000, 3996000)
        page.evaluate("fetch('http://localhost:1/').catch(() => null)")
        wait(page, "broken.length")

        assert page.evaluate("broken") == ["http://localhost:1/"]


def test_coastlines_are_drawn_behind_the_raster(browser: Browser, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.full((1, 64, 64), np.nan, "float32"), Affine(1, 0, -40, 0, -1, 70), 4326)
    with opened(browser, path) as (page, _):
        wait(page, "georeader.map.getLayers().item(0).getSource().getFeatures().length")
        page.evaluate("georeader.map.renderSync()")
        drawn = page.evaluate(
            "(() => { const canvas = document.querySelector('#map canvas');"
            " return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data"
            ".filter((value, index) => index % 4 === 3 && value > 0).length })()"
        )

    assert 500 < drawn < 50000


def test_remote_file_is_shown(browser: Browser, server: Server, noise: Path) -> None:
    url = server.put("noise.tif", noise.read_bytes())
    with opened(browser, url) as (page, _):
        found = clicked(page, 505000, 3996000)
        row, column = map(int, re.search(r"row (\d+), column (\d+)", found["caption"]).groups())

    with rasterio.open(noise) as dataset:
        assert [value for _, value, _ in found["rows"]] == [str(value) for value in dataset.read()[:, row, column]]
    assert server.bytes_sent() < 0.6 * noise.stat().st_size


# Limits of the page


@pytest.mark.thorough
def test_names_in_a_file_are_shown_as_text(browser: Browser, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='run'><script>document.title='run'</script>"
    path = save(tmp_path / "<b>a.tif", np.ones((1, 64, 64), "uint8"), descriptions=[name])
    with opened(browser, path) as (page, _):
        (row,) = clicked(page, 500300, 3999700)["rows"]

        assert row[0] == f"1 {name}"
        assert page.evaluate("document.title") == "<b>a.tif"
        assert page.evaluate("document.querySelectorAll('img, b').length") == 0


def test_page_may_read_nothing_but_what_is_named(opened_noise: tuple[Page, View]) -> None:
    page, _ = opened_noise
    status = "(url) => fetch(url).then((answer) => answer.status, () => 'blocked')"

    assert page.evaluate(status, "/etc/passwd") == 403
    assert page.evaluate(status, "files/1") == 404
    assert page.evaluate(status, "http://localhost:1/") == "blocked"
    assert page.evaluate("fetch('http://localhost:1/').catch((error) => document.title)") == "noise.tif"


def test_file_that_is_not_a_cog_is_named_in_the_page(browser: Browser, tmp_path: Path) -> None:
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": 600,
        "width": 700,
        "dtype": "uint8",
        "crs": UTM,
        "transform": GRID,
    }
    with rasterio.open(tmp_path / "striped.tif", "w", **profile) as dataset:
        dataset.write(np.ones((1, 600, 700), "uint8"))
    with pytest.warns(LayoutWarning, match="not a good COG"):
        shown = view(tmp_path / "striped.tif", open_browser=False)
    with shown, browser.page(shown.url, width=WIDTH_PX, height=HEIGHT_PX) as page:
        wait(page, "document.querySelector('#messages li.error')")
        text = messages(page)

        assert "not a good COG" in text
        assert "georeader cog" in text
        assert page.errors == []
    assert not shown._server.records


def test_file_that_changes_is_named_until_the_page_is_loaded_again(browser: Browser, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", np.random.default_rng(0).integers(0, 99, (1, 900, 900)).astype("uint8"))
    with opened(browser, path) as (page, shown):
        content = bytearray(path.read_bytes())
        path.write_bytes(content[: len(content) // 2])
        page.evaluate("georeader.map.getView().setZoom(georeader.map.getView().getZoom() + 4)")
        wait(page, "document.querySelector('#messages li.error')")
        text = messages(page)
        save(path, np.full((1, 64, 64), 5, "uint8"))
        page.open(shown.url)
        wait(page, "document.body.dataset.state === 'complete'")
        value = value_of(page, 500300, 3999700)

    assert "a.tif changed since the page was loaded; reload the page" in text
    assert value == ["5"]


@pytest.mark.thorough
def test_page_has_a_frame_in_a_notebook_of_this_machine(browser: Browser, server: Server, noise: Path) -> None:
    with view(noise, open_browser=False) as shown:
        url = server.put("notebook.html", f"<!doctype html>{shown._repr_html_()}".encode())
        with browser.page(url, width=WIDTH_PX, height=HEIGHT_PX):
            for _ in range(200):
                if shown._server.records:
                    break
                time.sleep(0.05)

        assert json.dumps([one.part for one in shown._server.records][:1]).startswith('["header')
