"""Clients that draw in a browser: OpenLayers and Leaflet. They are judged by what is drawn, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio import warp

from browser import Browser, BrowserError
from clients.files import File
from clients.kinds import PATCH_PX, SHAPE, WEB_MERCATOR, ZOOM
from clients.verdicts import RIGHT, Verdict, refusal
from foreign.processes import HERE as FOREIGN

HERE = Path(__file__).parent

#: How long a page may take for a file before it is taken to hang.
_PATIENCE_SECONDS = 60

#: The middle of each patch, as (column, row).
POINTS = [
    (column, row)
    for row in range(PATCH_PX // 2, SHAPE[0], PATCH_PX)
    for column in range(PATCH_PX // 2, SHAPE[1], PATCH_PX)
]


def serve_viewers(folder: Path) -> None:
    """Put the page of the viewers into a folder that is served."""
    for name in ("viewers.html", "viewers.js"):
        (folder / name).symlink_to(HERE / "web" / name)
    (folder / "modules").symlink_to(FOREIGN / "node" / "node_modules")


def _job(file: File, **more: Any) -> dict[str, Any]:
    kind = file.kind
    transform, crs = kind.place
    west, north = transform.c, transform.f
    east, south = west + SHAPE[1] * transform.a, north + SHAPE[0] * transform.e
    pixels = np.array([[column + 0.5, row + 0.5] for column, row in [*POINTS, (SHAPE[1] / 2, SHAPE[0] / 2)]])
    easts, norths = west + pixels[:, 0] * transform.a, north + pixels[:, 1] * transform.e
    longitudes, latitudes = warp.transform(crs, "EPSG:4326", easts, norths)
    *places, middle = map(list, zip(latitudes, longitudes, strict=True))
    return {
        "url": file.url,
        "range": kind.value_range,
        "isPicture": kind.colours in ("RGB", "palette"),
        "hasPalette": kind.colours == "palette",
        "hasAlpha": kind.holes == "alpha",
        "center": [(west + east) / 2, (south + north) / 2],
        "pixel": transform.a,
        "epsg": int(crs[5:]),
        "middle": middle,
        "zoom": ZOOM if kind.place is WEB_MERCATOR else ZOOM - 1,
        "places": places,
        "points": POINTS,
        **more,
    }


def show_in_openlayers(browser: Browser, page_url: str, files: Sequence[File], **settings: Any) -> list[Verdict]:
    """Show files; settings are those of the source: `nodata`."""
    jobs = [
        _job(
            file,
            bands=[1, 2, 3] if file.kind.colours == "bands" else None,
            convertToRGB=True if file.kind.colours in ("palette", "white") else "auto",
            **settings,
        )
        for file in files
    ]
    return _show(browser, page_url, "showInOpenLayers", jobs, files)


def show_in_leaflet(browser: Browser, page_url: str, files: Sequence[File]) -> list[Verdict]:
    return _show(browser, page_url, "showInLeaflet", list(map(_job, files)), files)


def _show(browser: Browser, page_url: str, function: str, jobs: list[Any], files: Sequence[File]) -> list[Verdict]:
    """Show files on one page, and on a new one after a file with which the page hangs."""
    found: list[Verdict] = []
    while len(found) < len(files):
        with browser.page(page_url) as page:
            for file, job in list(zip(files, jobs, strict=True))[len(found) :]:
                try:
                    answer = page.evaluate(
                        f"file => tryToShow({function}, file)", job, patience_seconds=_PATIENCE_SECONDS
                    )
                except BrowserError:
                    found.append(Verdict("refused", "the page hangs"))
                    break
                is_shown = "colours" in answer
                found.append(judge(file, answer["colours"]) if is_shown else _refusal(file, answer["error"]))
    return found


def _refusal(file: File, message: str) -> Verdict:
    return refusal(message.replace(file.url, "FILE"))


def judge(file: File, colours: list[list[int]]) -> Verdict:
    """Compare drawn colours, RGBA for each of `POINTS`, with those of the file."""
    columns, rows = np.array(POINTS).T
    expected = file.as_colours()[rows, columns]
    found = np.array(colours, float)
    seen, is_drawn = expected[:, 3] > 0, found[:, 3] > 127
    if not is_drawn.any():
        return Verdict("blank", "nothing is drawn")
    if (found[is_drawn] == found[is_drawn][0]).all():
        return Verdict("blank", f"every pixel is drawn in rgba{tuple(int(value) for value in found[is_drawn][0])}")
    compared = seen & is_drawn
    off = np.abs(found[compared, :3] - expected[compared, :3]).max(axis=1) > (6 + 2 * file.tolerance)
    if off.any():
        return Verdict("wrong", "other colours are drawn")
    if (hidden := (seen & ~is_drawn).mean()) > 0:
        return Verdict("holes", f"{hidden:.0%} of the pixels are hidden")
    if (~seen & is_drawn).any():
        red, green, blue = np.median(found[~seen & is_drawn], axis=0)[:3].astype(int)
        return Verdict("holes", f"missing pixels are drawn in rgb({red}, {green}, {blue})")
    return RIGHT


#: Name of a client -> how it shows all files.
IN_BROWSERS: dict[str, Callable[..., list[Verdict]]] = {
    "OpenLayers": show_in_openlayers,
    "Leaflet": show_in_leaflet,
}
