"""What docs/web.md advises for web maps, drawn in the browser."""

from __future__ import annotations

import pytest

from browser import Browser
from clients.files import File
from clients.in_browsers import IN_BROWSERS, serve_viewers
from clients.kinds import Kind
from clients.verdicts import RIGHT, Verdict
from foreign.processes import need
from range_server import Server

pytestmark = [pytest.mark.slow]


def draw(client: str, kind: Kind, browser: Browser, server: Server, **settings: object) -> Verdict:
    need(client)
    if not (server.folder / "viewers.html").exists():
        serve_viewers(server.folder)
    path = server.folder / kind.file_name
    file = File(kind, path, f"{server.base}/{path.name}", kind.save(path))
    return IN_BROWSERS[client](browser, f"{server.base}/viewers.html", [file], **settings)[0]


@pytest.mark.parametrize("tile_side_px", [256, 512])
def test_openlayers_hides_nodata_that_its_source_names(tile_side_px: int, browser: Browser, server: Server) -> None:
    kind = Kind("lzw", "uint8", 3, {"BLOCKSIZE": tile_side_px}, colours="RGB", holes="0")

    assert draw("OpenLayers", kind, browser, server, nodata=0) == RIGHT


@pytest.mark.parametrize(("overviews", "word"), [("AUTO", "right"), ("NONE", "holes")])
def test_openlayers_finds_nodata_of_as_many_bands_as_there_are_levels(
    overviews: str, word: str, browser: Browser, server: Server
) -> None:
    kind = Kind("lzw", "uint8", 3, {"OVERVIEWS": overviews}, colours="RGB", holes="0")

    assert draw("OpenLayers", kind, browser, server).word == word


@pytest.mark.parametrize(("photometric", "word"), [("YCBCR", "wrong"), ("RGB", "right")])
def test_leaflet_draws_jpeg_that_is_stored_as_rgb(
    photometric: str, word: str, browser: Browser, server: Server
) -> None:
    kind = Kind("jpeg", "uint8", 3, {"photometric": photometric}, colours="RGB")

    assert draw("Leaflet", kind, browser, server).word == word
