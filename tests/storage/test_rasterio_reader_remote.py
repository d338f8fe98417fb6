"""RasterioReader over HTTP, from a real server on 127.0.0.1 that serves ranges and records requests."""

from __future__ import annotations

import pickle
import re
import socket
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader
from georeader._readers.raster_file import default_options
from georeader.errors import ReadError
from range_server import Server, beside

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
NODATA = 7

#: Noise, so that compression does not hide how much is fetched: 8 MB in the file.
PIXELS = np.random.default_rng(4).integers(100, 60000, (1, 2048, 2048)).astype("uint16")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A tiled, described GeoTIFF of PIXELS with overviews."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 2048, "width": 2048, "dtype": "uint16", "nodata": NODATA}
    tiles = {"tiled": True, "blockxsize": 256, "blockysize": 256, "crs": "EPSG:32630", "transform": TRANSFORM}
    with rasterio.open(path, "w", **profile, **tiles) as dataset:
        dataset.set_band_description(1, "red")
        dataset.update_tags(SENSOR="MSI")
        dataset.write(PIXELS)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8], Resampling.nearest)
    return path.read_bytes()


def sockets() -> int:
    """How many sockets this process holds."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += str(descriptor.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


class TestReading:
    def test_returns_every_pixel(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        assert np.array_equal(reader.load().values, PIXELS)

    def test_has_georeference_nodata_and_metadata(self, server: Server, scene: bytes) -> None:
        url = server.put("scene.tif", scene)
        reader = RasterioReader(url)
        assert (reader.path, reader.shape, reader.transform) == (url, PIXELS.shape, TRANSFORM)
        assert (reader.crs.to_epsg(), reader.fill_value_default) == (32630, NODATA)
        assert (reader.descriptions, reader.tags()["SENSOR"]) == (["red"], "MSI")

    @pytest.mark.parametrize(
        ("window", "inside", "placed"),
        [
            (Window(600, 700, 50, 60), np.s_[700:760, 600:650], np.s_[:, :]),
            (Window(-10, -20, 50, 60), np.s_[:40, :40], np.s_[20:, 10:]),
            (Window(2040, 2030, 50, 60), np.s_[2030:, 2040:], np.s_[:18, :8]),
        ],
        ids=["inside", "over the first pixel", "over the last pixel"],
    )
    def test_returns_any_window(self, server: Server, scene: bytes, window: Window, inside: Any, placed: Any) -> None:
        expected = np.full((60, 50), NODATA, "uint16")
        expected[placed] = PIXELS[0][inside]
        reader = RasterioReader(server.put("scene.tif", scene))
        assert np.array_equal(reader.read_from_window(window).values[0], expected)

    def test_a_window_fetches_a_small_part_of_the_file(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        reader.read_from_window(Window(300, 300, 20, 20)).load()
        assert 0 < server.bytes_sent() < len(scene) / 10

    def test_construction_fetches_the_header_only(self, server: Server, scene: bytes) -> None:
        RasterioReader(server.put("scene.tif", scene))
        assert 0 < server.bytes_sent() < 100_000

    def test_a_window_outside_the_raster_fetches_nothing(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        before = server.bytes_sent()
        assert np.all(reader.read_from_window(Window(-300, -300, 20, 20)).values == NODATA)
        assert server.bytes_sent() == before

    def test_requests_only_the_file_and_its_sidecars(self, server: Server, scene: bytes) -> None:
        RasterioReader(server.put("scene.tif", scene)).load()
        assert server.asked() == {"scene.tif", "scene.tif.aux.xml", "scene.tif.msk", "scene.tif.MSK"}

    def test_an_overview_is_read_from_the_pyramid(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        overview = reader.reader_overview(-1)
        assert np.array_equal(overview.values[0], PIXELS[0, ::8, ::8])
        assert server.bytes_sent() < len(scene) / 10

    def test_tiles_pasted_together_give_the_window_in_focus(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene), window_focus=Window(200, 100, 500, 300))
        pasted = np.zeros(reader.shape, reader.dtype)
        for _, tile in reader.block_windows():
            rows, columns = tile.toslices()
            pasted[:, rows, columns] = reader.read_from_window(tile).values
        assert np.array_equal(pasted, PIXELS[:, 100:400, 200:700])

    def test_a_pickled_reader_reads_the_same(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene), window_focus=Window(5, 6, 7, 8))
        assert np.array_equal(pickle.loads(pickle.dumps(reader)).values, PIXELS[:, 6:14, 5:12])

    def test_a_reader_can_be_shared_by_threads(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        corners = [(row, column) for row in range(0, 2000, 500) for column in range(0, 2000, 500)]
        with ThreadPoolExecutor(6) as pool:
            parts = list(pool.map(lambda corner: reader.read(Window(corner[1], corner[0], 30, 20)), corners))
        for (row, column), part in zip(corners, parts, strict=True):
            assert np.array_equal(part, PIXELS[:, row : row + 20, column : column + 30])

    def test_connections_are_closed(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        reader.read(Window(0, 0, 10, 10))
        before = sockets()
        for row in range(0, 2000, 200):
            reader.read(Window(0, row, 10, 10))
        assert sockets() <= before + 1

    def test_load_file_takes_a_url(self, server: Server, scene: bytes) -> None:
        assert np.array_equal(GeoTensor.load_file(server.put("scene.tif", scene)).values, PIXELS)


class TestPaths:
    def test_vsicurl_path_is_read(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader("/vsicurl/" + server.put("scene.tif", scene))
        assert np.array_equal(reader.read(Window(1, 2, 3, 4)), PIXELS[:, 2:6, 1:4])

    def test_url_with_a_query_is_read(self, server: Server, scene: bytes) -> None:
        url = server.put("scene.tif", scene) + "?token=a%2Fb&expires=1"
        assert np.array_equal(RasterioReader(url).read(Window(1, 2, 3, 4)), PIXELS[:, 2:6, 1:4])
        assert server.asked() == {"scene.tif?token=a%2Fb&expires=1"}

    @pytest.mark.parametrize("form", ["/vsizip//vsicurl/{url}/inner/scene.tif", "zip+{url}!inner/scene.tif"])
    def test_file_in_a_remote_zip_archive_is_read(
        self, server: Server, scene: bytes, tmp_path: Path, form: str
    ) -> None:
        archive = tmp_path / "archive.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("inner/scene.tif", scene)
        reader = RasterioReader(form.format(url=server.put("archive.zip", archive.read_bytes())))
        assert np.array_equal(reader.read(Window(1, 2, 3, 4)), PIXELS[:, 2:6, 1:4])
        assert server.bytes_sent() < len(scene) / 10

    def test_server_without_ranges_is_read(self, server: Server, scene: bytes) -> None:
        server.configure("scene.tif", "no-ranges")
        reader = RasterioReader("/vsicurl_streaming/" + server.put("scene.tif", scene))
        assert np.array_equal(reader.read(Window(1, 2, 3, 4)), PIXELS[:, 2:6, 1:4])

    def test_server_that_refuses_head_is_read_with_gdals_option(self, server: Server, scene: bytes) -> None:
        server.configure("scene.tif", "no-head")
        options = {"CPL_VSIL_CURL_USE_HEAD": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
        reader = RasterioReader(server.put("scene.tif", scene), rio_env_options=options)
        assert np.array_equal(reader.read(Window(1, 2, 3, 4)), PIXELS[:, 2:6, 1:4])

    def test_options_are_used_by_the_reader_and_its_windows_only(self, server: Server, scene: bytes) -> None:
        options = {"GDAL_HTTP_HEADERS": "Authorization: Bearer secret", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
        reader = RasterioReader(server.put("mine.tif", scene), rio_env_options=options)
        pickle.loads(pickle.dumps(reader)).read_from_window(Window(900, 900, 10, 10)).load()
        RasterioReader(server.put("public.tif", scene)).read(Window(900, 900, 10, 10))
        sent = {(Path(one["target"]).name, one["headers"].get("Authorization")) for one in server.requests()}
        assert {one for one in sent if one[0].endswith(".tif")} == {("mine.tif", "Bearer secret"), ("public.tif", None)}

    @pytest.mark.parametrize(
        ("path", "is_remote"),
        [
            ("http://host/a.tif", True),
            ("https://host/a.tif", True),
            ("s3://bucket/a.tif", True),
            ("zip+https://host/a.zip!b.tif", True),
            ("/vsicurl/http://host/a.tif", True),
            ("/vsis3/bucket/a.tif", True),
            ("/vsizip//vsicurl/http://host/a.zip/b.tif", True),
            ("/data/a.tif", False),
            ("a.tif", False),
            ("file:///data/a.tif", False),
            ("zip:///data/a.zip!b.tif", False),
            ("/vsizip/a.zip/b.tif", False),
            ("/vsimem/a.tif", False),
        ],
    )
    def test_folder_listing_is_disabled_for_remote_paths_by_default(self, path: str, is_remote: bool) -> None:
        assert ("GDAL_DISABLE_READDIR_ON_OPEN" in default_options(path)) is is_remote


def address_without_server() -> str:
    """An address at which no server listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/scene.tif"


class TestFailures:
    @pytest.mark.parametrize("status", [403, 404, 500, 503])
    def test_an_http_error_is_named_with_its_url(self, server: Server, scene: bytes, status: int) -> None:
        url = server.put("scene.tif", scene)
        server.configure("scene.tif", "status", str(status))
        with pytest.raises(ReadError, match=rf"{re.escape(url)}.*{status}") as caught:
            RasterioReader(url)
        assert isinstance(caught.value.__cause__, RasterioIOError)

    def test_unreachable_server_is_named(self, server: Server) -> None:
        url = address_without_server()
        with pytest.raises(ReadError, match=re.escape(url)) as caught:
            RasterioReader(url)
        assert isinstance(caught.value.__cause__, RasterioIOError)

    def test_invalid_content_is_named(self, server: Server) -> None:
        url = server.put("page.tif", b"<html>Please log in</html>" * 100)
        with pytest.raises(ReadError, match=re.escape(url)):
            RasterioReader(url)

    def test_a_truncated_file_is_an_error_where_its_pixels_are_missing(self, server: Server, scene: bytes) -> None:
        url = server.put("cut.tif", scene[: len(scene) // 4])
        reader = RasterioReader(url)
        assert np.array_equal(reader.read(Window(0, 0, 20, 20)), PIXELS[:, :20, :20])
        with pytest.raises(ReadError, match=re.escape(url)):
            reader.load()

    def test_server_that_stops_between_two_reads_raises(self, server: Server, scene: bytes) -> None:
        url = server.put("scene.tif", scene)
        reader = RasterioReader(url)
        server.configure("scene.tif", "status", "503")
        with pytest.raises(ReadError, match=re.escape(url)):
            reader.read(Window(1000, 1000, 600, 600))

    def test_reader_continues_after_a_failure(self, server: Server, scene: bytes) -> None:
        reader = RasterioReader(server.put("scene.tif", scene))
        server.configure("scene.tif", "status", "503")
        with pytest.raises(ReadError):
            reader.read(Window(1000, 1000, 600, 600))
        beside(server.folder / "scene.tif", "status").unlink()
        assert np.array_equal(reader.read(Window(1000, 1000, 600, 600)), PIXELS[:, 1000:1600, 1000:1600])
