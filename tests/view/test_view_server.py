"""The server of `georeader.view`, asked as a browser does and as another page must not: no browser runs here."""

from __future__ import annotations

import gc
import http.client
import json
import os
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import numpy as np
import pytest
import rasterio
from affine import Affine

import georeader
from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._storage.range_file import BLOCK_BYTES
from georeader.errors import LayoutWarning, OptionError, ReadError
from georeader.view import _OPEN, View, view
from georeader.view.facts import frames_of
from georeader.view.land import land_lines
from range_server import Server

GRID = Affine(10, 0, 500000, 0, -10, 4000000)
PIXELS = np.random.default_rng(0).integers(1, 60000, (2, 600, 700)).astype("uint16")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(shown: View, path: str, method: str = "GET", **headers: str) -> Answer:
    """Send a request with a path as it is, below the token unless it begins with a slash."""
    place = urlsplit(shown.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        connection.putrequest(method, path if path.startswith("/") else place.path + path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def facts(shown: View, number: int = 0) -> dict:
    return json.loads(ask(shown, "files.json").body)["files"][number]


def save(path: Path, pixels: np.ndarray = PIXELS, **options: object) -> Path:
    arguments = {"profile_arg": {"compress": "deflate"}} | options
    save_cog(GeoTensor(pixels, GRID, "EPSG:32630", fill_value_default=0), path, **arguments)
    return path


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    (folder / "secret.txt").write_text("a secret")
    return save(folder / "scene.tif")


@pytest.fixture(scope="module")
def shown(cog: Path) -> Iterator[View]:
    with view(cog, open_browser=False) as running:
        yield running


# What is refused


@pytest.mark.parametrize(
    "path",
    [
        "/", "/files/0", "/files.json", "/TOKEN/files/0", "//", "/../files/0", "/%2e%2e/files/0",
        "http://127.0.0.1/files/0",
    ],
)  # fmt: skip
def test_path_without_the_token_is_refused(shown: View, path: str) -> None:
    answer = ask(shown, path if path.startswith("/") else f"/{path}")

    assert answer.status == 403
    assert b"scene" not in answer.body


def test_token_with_one_character_more_or_less_is_refused(shown: View) -> None:
    path = urlsplit(shown.url).path

    assert {ask(shown, f"{path[:-2]}/").status, ask(shown, f"{path[:-1]}x/").status, ask(shown, path[:-1]).status} == {
        403
    }


@pytest.mark.parametrize(
    "path",
    [
        "files/1", "files/-1", "files/00000000", "files/0/", "files/0/../../secret.txt", "files/secret.txt",
        "../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt", "secret.txt", "scene.tif", "/etc/passwd",
        "//etc/passwd", "static/land.json", "land.json", "index.html", "land/1", "app.js/..",
        "degrees/1?column=0&row=0", "\\..\\secret.txt",
    ],
)  # fmt: skip
def test_anything_but_the_named_files_is_refused(shown: View, path: str) -> None:
    answer = ask(shown, urlsplit(shown.url).path + path)

    assert answer.status == 404
    assert b"secret" not in answer.body
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "host", ["rebound.example", "rebound.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "[::1]:{port}"]
)
def test_name_that_is_not_the_servers_is_refused(shown: View, host: str) -> None:
    port = urlsplit(shown.url).port

    assert ask(shown, "files.json", Host=host.format(port=port)).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
def test_names_of_this_machine_are_answered(shown: View, host: str) -> None:
    assert ask(shown, "", Host=host.format(port=urlsplit(shown.url).port)).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is the loopback interface on Linux only")
def test_server_listens_on_one_address_of_the_loopback_interface_only(shown: View) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", urlsplit(shown.url).port or 0), timeout=5)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_refused(shown: View, method: str) -> None:
    assert ask(shown, "files/0", method).status == 501


@pytest.mark.parametrize("path", ["", "app.js", "files.json", "files/0", "land/0", "nothing", "/nothing"])
def test_every_answer_forbids_other_origins(shown: View, path: str) -> None:
    headers = ask(shown, path).headers

    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert not [name for name in headers if name.startswith("Access-Control")]


# Ranges


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=5-", 5, None), ("bytes=-7", -7, None),
        ("bytes=-99999999", 0, None), ("bytes=10-99999999", 10, None),
    ],
)  # fmt: skip
def test_range_is_that_of_the_file(shown: View, cog: Path, header: str, start: int, stop: int | None) -> None:
    content = cog.read_bytes()
    answer = ask(shown, "files/0", Range=header)

    assert (answer.status, answer.body) == (206, content[start:stop])
    first = len(content) - len(answer.body) if start < 0 else start
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.body) - 1}/{len(content)}"


@pytest.mark.parametrize("header", ["bytes=99999999-", "bytes=99999999-999999999", "bytes=-0"])
def test_range_outside_of_the_file_is_416(shown: View, cog: Path, header: str) -> None:
    answer = ask(shown, "files/0", Range=header)

    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["Content-Range"] == f"bytes */{cog.stat().st_size}"


@pytest.mark.parametrize("header", ["bytes=2-1", "bytes=0-1,5-6", "bytes=", "bytes=a-b", "lines=0-1", "bytes=0x1-2"])
def test_range_that_is_malformed_or_several_is_ignored(shown: View, cog: Path, header: str) -> None:
    answer = ask(shown, "files/0", Range=header)

    assert (answer.status, answer.body) == (200, cog.read_bytes())


def test_head_has_the_headers_of_get_and_no_body(shown: View, cog: Path) -> None:
    head, get = (ask(shown, "files/0", method, Range="bytes=10-19") for method in ("HEAD", "GET"))

    assert (head.status, head.body) == (206, b"")
    for name in ("Content-Length", "Content-Range", "ETag", "Accept-Ranges", "Content-Type"):
        assert head.headers[name] == get.headers[name]


def test_long_range_is_sent_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    save_tiled_geotiff(GeoTensor(np.ones((64, 64), "uint8"), GRID, 32630, nodata=0), path)
    with path.open("ab") as file:
        file.truncate(64 * 2**20)
    with view(path, open_browser=False) as running:
        place = urlsplit(running.url)
        tracemalloc.start()
        with closing(http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)) as connection:
            connection.request("GET", f"{place.path}files/0", headers={"Range": "bytes=1000-"})
            response = connection.getresponse()
            length_bytes = sum(iter(lambda: len(response.read(2**16)), 0))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert length_bytes == 64 * 2**20 - 1000
    assert peak_bytes < 8 * 2**20


def test_parts_of_a_file_are_named(shown: View) -> None:
    whole = facts(shown)
    header = ask(shown, "files/0", Range=f"bytes=0-{whole['header_bytes'] - 1}")
    last = ask(shown, "files/0", Range="bytes=-100")
    many = ask(shown, "files/0", Range="bytes=800000-1600000")

    assert header.headers["Georeader-Part"] == "header"
    assert last.headers["Georeader-Part"] == "level 0, tile row 2 column 2"
    assert many.headers["Georeader-Part"].startswith("level 0, tile row 0 column ")
    assert many.headers["Georeader-Part"].endswith(" more tiles")


# Files that change


def test_replaced_file_is_served_as_it_was_until_the_page_is_loaded_again(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    before = path.read_bytes()
    with view(path, open_browser=False) as running:
        tag = facts(running)["etag"]
        save(path, PIXELS[:, :300])
        kept = ask(running, "files/0", Range="bytes=0-999999999", If_Match=tag)
        new = facts(running)
        refused = ask(running, "files/0", Range="bytes=0-99", If_Match=tag)
        fresh = ask(running, "files/0", Range="bytes=0-99", If_Match=new["etag"])

    assert (kept.status, kept.body) == (206, before)
    assert (new["height"], new["size_bytes"]) == (300, path.stat().st_size)
    assert refused.status == 412
    assert b"reload the page" in refused.body
    assert (fresh.status, fresh.body) == (206, path.read_bytes()[:100])


def test_file_that_is_modified_in_place_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    with view(path, open_browser=False) as running:
        with path.open("r+b") as file:
            file.truncate(5000)

        assert ask(running, "files/0", Range="bytes=0-99").status == 412


def test_file_that_was_removed_is_named_when_the_page_is_loaded_again(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    with view(path, open_browser=False) as running:
        path.unlink()

        assert "No such file" in facts(running)["error"]


# Sources


def test_remote_file_is_passed_on_range_by_range(server: Server, cog: Path) -> None:
    url = server.put("scene.tif", cog.read_bytes())
    with view(url, open_browser=False) as running:
        before = server.bytes_sent()
        answer = ask(running, "files/0", Range="bytes=500000-500999")

    assert answer.body == cog.read_bytes()[500000:501000]
    assert 1000 <= server.bytes_sent() - before <= BLOCK_BYTES


def test_remote_file_that_fails_is_an_error_of_the_gateway(server: Server, cog: Path) -> None:
    url = server.put("scene.tif", cog.read_bytes())
    with view(url, open_browser=False) as running:
        server.configure("scene.tif", "status", "403")
        answer = ask(running, "files/0", Range="bytes=500000-500999")

    assert answer.status == 502
    assert b"403" in answer.body


@pytest.mark.parametrize("store", [pytest.param(name, marks=pytest.mark.thorough) for name in ("seaweed", "azurite")])
def test_object_in_a_store_is_read_with_the_credentials_of_the_environment(
    store: str, request: pytest.FixtureRequest, use_env: Callable[[dict[str, str]], None], cog: Path
) -> None:
    server = request.getfixturevalue(store)
    use_env(server.env())
    server.put("view/scene.tif", cog.read_bytes())
    with view(server.url("view/scene.tif"), open_browser=False) as running:
        answer = ask(running, "files/0", Range="bytes=500000-900000")

    assert answer.body == cog.read_bytes()[500000:900001]
    assert answer.headers["Georeader-Part"].startswith("level ")


def test_secrets_of_an_address_are_not_sent_to_the_browser(server: Server, cog: Path) -> None:
    url = server.put("scene.tif", cog.read_bytes()).replace("http://", "http://user:hidden-word@")
    with view(f"{url}?X-Amz-Signature=hidden-word", open_browser=False) as running:
        answers = [ask(running, path) for path in ("", "files.json", "land/0")]
        answers.append(ask(running, "files/0", Range="bytes=0-99"))

    assert [answer.status for answer in answers] == [200, 200, 200, 206]
    assert not [answer for answer in answers if b"hidden-word" in answer.body or "hidden-word" in str(answer.headers)]
    assert "hidden-word" not in repr(running)


def test_relative_path_is_opened_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.tif")
    monkeypatch.chdir(tmp_path)
    with view("a.tif", open_browser=False) as running:
        monkeypatch.chdir("/")
        save(tmp_path / "a.tif", PIXELS[:, :300])

        assert (facts(running)["error"], facts(running)["name"], facts(running)["height"]) == (None, "a.tif", 300)


def test_filesystem_of_fsspec_is_read(cog: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/view/scene.tif", cog.read_bytes())
    with view("/view/scene.tif", fs=memory, open_browser=False) as running:
        assert ask(running, "files/0", Range="bytes=1000-1999").body == cog.read_bytes()[1000:2000]


def test_raster_in_memory_is_saved_as_a_cog_that_goes_with_the_view(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    running = georeader.view(GeoTensor(PIXELS, GRID, 32630, nodata=0), open_browser=False)
    (path,) = tmp_path.glob("georeader-view-*/*.tif")
    with rasterio.open(path) as dataset:
        assert (dataset.read() == PIXELS).all()
    assert facts(running)["name"] == "GeoTensor (2, 600, 700)"

    running.close()
    running.close()

    assert list(tmp_path.iterdir()) == []


def test_view_that_is_not_kept_stays_open_until_it_is_closed(cog: Path) -> None:
    url = view(cog, open_browser=False).url
    gc.collect()
    (running,) = [one for one in _OPEN if one.url == url]

    assert ask(running, "").status == 200

    running.close()
    assert running not in _OPEN


def test_process_that_ends_removes_what_it_showed(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from georeader import GeoTensor, view;"
        "view(GeoTensor(np.ones((64, 64), 'uint8'), (1, 0, 0, 0, -1, 0), 3857, 0), open_browser=False)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux only")
def test_name_that_is_not_utf_8_is_served(tmp_path: Path, cog: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.tif"
    Path(os.fsdecode(path)).write_bytes(cog.read_bytes())
    with view(path, open_browser=False) as running:
        answers = [ask(running, "files/0", Range="bytes=0-9"), ask(running, "files/0", If_Match='"other"')]

    assert [answer.status for answer in answers] == [206, 412]


def is_open(path: Path) -> bool:
    descriptors = Path("/proc/self/fd")
    return any(one.exists() and one.samefile(path) for one in descriptors.iterdir()) if descriptors.exists() else False


def test_closed_view_answers_no_more_and_has_closed_its_files(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif")
    with view(path, open_browser=False) as running:
        assert is_open(path) or sys.platform != "linux"

    assert not is_open(path)
    assert repr(running) == "View(closed)"
    with pytest.raises(ConnectionRefusedError):
        ask(running, "")


def test_notebook_shows_the_page_in_a_frame_and_opens_no_browser(cog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    kernel = type("IPython", (), {"get_ipython": staticmethod(lambda: type("Shell", (), {"kernel": None})())})
    with view(cog) as elsewhere:
        monkeypatch.setitem(sys.modules, "IPython", kernel)
        with view(cog) as running:
            html = running._repr_html_()

    assert opened == [elsewhere.url]
    assert html.startswith(f'<iframe src="{running.url}"')


# Errors


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((), {}, OptionError, "nothing to show"),
        (("missing.tif",), {}, ReadError, "missing.tif"),
        (("text.tif",), {}, ReadError, "is not a TIFF"),
        (("/vsimem/a.tif",), {}, ReadError, "virtual filesystems"),
        (("a.tif",), {"port": 65536}, OptionError, "port=65536"),
        (("a.tif",), {"port": "taken"}, ReadError, "cannot be used"),
    ],
)
def test_errors_name_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple,
    options: dict,
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("a.tif"))
    Path("text.tif").write_text("not a raster")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if options.get("port") == "taken":
            options = {"port": taken.getsockname()[1]}
        with pytest.raises(error, match=message):
            view(*arguments, open_browser=False, **options)


def write(path: Path, pixels: np.ndarray, **profile: object) -> None:
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2],
               "dtype": pixels.dtype, "crs": "EPSG:32630", "transform": GRID} | profile  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels)


@pytest.mark.parametrize(
    ("shape", "dtype", "profile", "message"),
    [
        ((1, 600, 700), "uint8", {}, "not a good COG.*would have to read all of it.*georeader cog"),
        ((1, 64, 5000), "uint8", {"tiled": True}, "would have to read all of it"),
        ((1, 64, 64), "int64", {}, "int64 is not read by geotiff.js"),
        ((1, 64, 64), "complex64", {}, "complex64 is not read by geotiff.js"),
        ((1, 64, 64), "uint8", {"compress": "lzma", "tiled": True}, "lzma is not decoded by geotiff.js"),
    ],
)
def test_file_that_the_page_cannot_show_is_named_in_python_and_in_the_page(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, profile: dict, message: str
) -> None:
    write(tmp_path / "a.tif", np.zeros(shape, dtype), **profile)
    with pytest.warns(LayoutWarning, match=message):
        running = view(tmp_path / "a.tif", open_browser=False)
    with running:
        assert running.notes == (f"{tmp_path / 'a.tif'}: {facts(running)['error']}",)
        assert facts(running)["levels"] == []


def test_tiled_file_without_overviews_is_shown_with_a_note(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.zeros((1, 600, 700), "uint8"), tiled=True, blockxsize=256, blockysize=256)
    with pytest.warns(LayoutWarning, match="not a good COG"):
        running = view(tmp_path / "a.tif", open_browser=False)
    with running:
        assert facts(running)["error"] is None


@pytest.mark.parametrize(
    ("dtype", "nodata", "expected"),
    [
        ("float32", np.nan, "NaN"), ("float32", -3.4028234663852886e38, -3.4028234663852886e38),
        ("float32", 0.1, float(np.float32(0.1))), ("float64", 0.1, 0.1), ("float32", -np.inf, "-Infinity"),
        ("int16", -9999, -9999), ("uint8", None, None),
    ],
)  # fmt: skip
def test_nodata_is_the_number_that_pixels_have(
    tmp_path: Path, dtype: str, nodata: float | None, expected: object
) -> None:
    write(tmp_path / "a.tif", np.zeros((1, 64, 64), dtype), nodata=nodata)
    with view(tmp_path / "a.tif", open_browser=False) as running:
        assert facts(running)["nodata"] == expected


# Places


ROTATED = Affine(8, 6, 500000, 6, -8, 4000000)


@pytest.mark.parametrize(
    ("crs", "transform", "units", "left_top"),
    [
        ("EPSG:32630", GRID, "m", [500000, 4000000]),
        ("EPSG:4326", Affine(0.1, 0, 10, 0, -0.2, 50), "degrees", [10, 50]),
        ("EPSG:32630", ROTATED, "pixels", [0, 0]),
        ("EPSG:32630", Affine(10, 0, 500000, 0, 10, 4000000), "pixels", [0, 0]),
        (None, Affine.identity(), "pixels", [0, 0]),
    ],
)
def test_raster_lies_on_the_map_in_its_crs_or_in_pixels(
    tmp_path: Path, crs: str | None, transform: Affine, units: str, left_top: list[int]
) -> None:
    write(tmp_path / "a.tif", np.zeros((1, 64, 64), "uint8"), crs=crs, transform=transform)
    with view(tmp_path / "a.tif", open_browser=False) as running:
        found = facts(running)

    assert found["units"] == units
    assert [found["map"]["left"], found["map"]["top"]] == left_top
    assert found["transform"] == list(transform[:6])


def test_files_share_a_map_if_they_have_one_crs() -> None:
    georeferences = [("EPSG:32630", GRID), ("EPSG:32631", GRID), ("EPSG:32630", ROTATED), (32630, GRID), (None, GRID)]

    assert frames_of(georeferences) == [0, 1, 2, 0, 4]


def test_degrees_of_a_pixel_are_those_of_its_place(shown: View) -> None:
    expected = rasterio.warp.transform("EPSG:32630", "EPSG:4326", [500000 + 2500], [4000000 - 1000])

    found = json.loads(ask(shown, "degrees/0?column=250&row=100").body)

    assert found == pytest.approx([expected[0][0], expected[1][0]])


@pytest.mark.parametrize("query", ["", "?column=1", "?column=a&row=1", "?column=&row="])
def test_degrees_need_two_numbers(shown: View, query: str) -> None:
    assert ask(shown, f"degrees/0{query}").status == 400


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32630", Affine(1000, 0, 0, 0, -1000, 4500000)),
        ("EPSG:3857", Affine(1000, 0, -1500000, 0, -1000, 4800000)),
        ("EPSG:4326", Affine(0.01, 0, -10, 0, -0.01, 40)),
    ],
)
def test_coastlines_are_those_of_natural_earth_in_the_crs(crs: str, transform: Affine) -> None:
    """The strait of Gibraltar: a point of the coast is less than 60 km from 36 N 5.6 W, and inland Spain has none."""
    lines = land_lines(crs, transform, (500, 800), transform)
    points = np.array([point for line in lines for point in line])
    longitude, latitude = map(np.array, rasterio.warp.transform(crs, "EPSG:4326", points[:, 0], points[:, 1]))

    def distance(at_longitude: float, at_latitude: float) -> float:
        across = (longitude - at_longitude) * np.cos(np.radians(at_latitude))
        return float(np.hypot(across, latitude - at_latitude).min() * 111)

    assert distance(-5.6, 36.0) < 60
    assert distance(-4.0, 40.0) > 200


def test_coastlines_go_on_beyond_180_degrees_with_the_raster() -> None:
    grid = Affine(1, 0, 0, 0, -1, 90)
    points = np.array([point for line in land_lines("EPSG:4326", grid, (180, 360), grid) for point in line])

    assert points[:, 0].max() > 350


def test_coastlines_of_a_rotated_raster_are_in_its_pixels() -> None:
    turned = Affine(800, 600, 0, 600, -800, 4000000)
    to_pixels = Affine(1, 0, 0, 0, -1, 0)
    (x, y) = land_lines("EPSG:32630", turned, (500, 800), to_pixels)[0][0]
    plain = land_lines("EPSG:32630", turned, (500, 800), turned)[0][0]

    assert turned @ (x, -y) == pytest.approx(plain)


def test_raster_that_reaches_beyond_the_earth_has_coastlines_and_no_degrees_there(tmp_path: Path) -> None:
    gt = GeoTensor(
        PIXELS[:, :500, :500], (22_000, 0, -5.5e6, 0, -22_000, 5.5e6), "+proj=geos +h=35785831 +lon_0=0.5", 0
    )
    save_cog(gt, tmp_path / "disk.tif")

    with view(tmp_path / "disk.tif", open_browser=False) as shown:
        beside, centre = (ask(shown, f"degrees/0?column={px}&row={px}") for px in (1, 250))
        land = ask(shown, "land/0")

    assert (beside.status, centre.status, land.status) == (404, 200, 200)
    assert json.loads(centre.body) == pytest.approx([0.5, 0], abs=0.1)
    assert len(json.loads(land.body)) > 20
