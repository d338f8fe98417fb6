"""Clients that are programs: geotiff.js and @cogeotiff/core under Node, Debian's GDAL, ImageMagick, titiler's server.

Each starts once for all files.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import urllib3

from clients.files import File
from clients.kinds import SHAPE, TILE_X, TILE_Y, WEB_MERCATOR, ZOOM
from clients.verdicts import RIGHT, NotRightError, Verdict, check_equal, check_pixels, check_seen, refusal
from foreign.processes import HERE as FOREIGN
from foreign.processes import Reading, read_by_debians_gdal, read_by_geotiff_js, view_by_imagemagick
from servers.processes import Plan, running

Verdicts = list[Verdict]

#: Web Mercator tiles that titiler is asked for, (column, row) from the raster's first: the hole lies in both.
_TILES = [(0, 0), (1, 1)]


def _judge_each(judge: Callable[[File, Any], None], files: Sequence[File], answers: Sequence[Any]) -> Verdicts:
    found = []
    for file, answer in zip(files, answers, strict=True):
        if isinstance(answer, str):
            found.append(refusal(answer.replace(str(file.path), "FILE").replace(file.path.name, "FILE")))
            continue
        try:
            judge(file, answer)
        except NotRightError as error:
            found.append(error.verdict)
        else:
            found.append(RIGHT)
    return found


def _judge_reading(file: File, reading: Reading) -> None:
    """Check arrays of a reader that leaves the meaning of nodata to its caller."""
    check_pixels("full resolution", reading["full"], file.pixels, file.compared, file.tolerance)
    if file.kind.nodata is not None:
        band = reading["full"][0]
        check_seen(
            "full resolution", ~np.isnan(band) if np.isnan(file.kind.nodata) else band != file.kind.nodata, file.seen
        )
    if file.kind.holes == "mask":
        if "mask" not in reading:
            raise NotRightError("holes", "no mask")
        check_seen("the mask", reading["mask"] > 0, file.seen)
    if file.overviews:
        smallest = file.overviews[-1]
        check_pixels(
            "the smallest overview",
            reading["smallest"],
            smallest,
            file.compared_in(smallest.shape[1:]),
            5 * file.tolerance,
        )


def open_by_geotiff_js(files: Sequence[File], folder: Path) -> Verdicts:
    return _judge_each(_judge_reading, files, read_by_geotiff_js([file.path for file in files], folder))


def open_by_debians_gdal(files: Sequence[File], folder: Path) -> Verdicts:
    answers = [answer["reading"] for answer in read_by_debians_gdal([file.path for file in files], folder)]
    return _judge_each(_judge_reading, files, answers)


def _judge_picture(file: File, picture: Any) -> None:
    """Check a picture of 8 bits, as a program for photographs has it: unsigned numbers from black to white."""
    kind, found = file.kind, np.moveaxis(picture, -1, 0)
    top = np.iinfo(kind.dtype).max if kind.dtype.startswith("uint") else 1
    expected = file.as_colours() if kind.dtype == "uint8" else np.moveaxis(file.pixels * (255 / top), 0, -1)
    expected = (
        np.moveaxis(expected, -1, 0)[:3] if len(expected[0, 0]) > 2 else expected[..., 0][np.newaxis].repeat(3, 0)
    )
    check_pixels("the picture", found[:3], np.nan_to_num(expected), file.compared, file.tolerance or 1)
    if kind.holes == "alpha":
        check_seen("the picture", found[3] > 0, file.seen)


def open_by_imagemagick(files: Sequence[File], folder: Path) -> Verdicts:
    """Open all in one process, and alone what follows a file at which that ends."""
    answers = view_by_imagemagick([file.path for file in files], folder, SHAPE)
    for number, (file, answer) in enumerate(zip(files, answers, strict=True)):
        if isinstance(answer, str):
            (alone,) = view_by_imagemagick([file.path], folder / str(number), SHAPE)
            answers[number] = alone if not isinstance(alone, str) else _imagemagicks_error(alone)
    return _judge_each(_judge_picture, files, answers)


def _imagemagicks_error(said: str) -> str:
    lines = [line for line in said.splitlines() if " error" in line or "no images" in line]
    return re.sub(r"^[\w.-]+: | @ .*", "", lines[0]) if lines else said


def open_by_cogeotiff(files: Sequence[File], folder: Path) -> Verdicts:
    """Check the facts of each image and the bytes of each tile: pixels are for the caller to decode."""
    job = json.dumps({"files": [file.url for file in files]})
    done = subprocess.run(
        ["node", str(FOREIGN / "node" / "cogeotiff.mjs")],
        input=job,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return _judge_each(_judge_images, files, [answer.get("error") or answer["images"] for answer in answers])


def _judge_images(file: File, images: list[dict[str, Any]]) -> None:
    first, transform = images[0], file.kind.place[0]
    check_equal("the EPSG code", first["epsg"], int(file.kind.place[1][5:]))
    check_equal("the origin", list(map(float, first["origin"])), [transform.c, transform.f])
    check_equal("the resolution", list(map(float, first["resolution"])), [transform.a, transform.e])
    nodata = None if first["noData"] is None else float(first["noData"])
    check_equal("nodata", nodata, file.kind.nodata)
    with tifffile.TiffFile(file.path) as tiff:
        check_equal("the number of images", len(images), len(tiff.pages))
        for page, image in zip(tiff.pages, images, strict=True):
            check_equal("the size", image["size"], [page.imagewidth, page.imagelength])
            check_equal("the tiles of an image", image["tiles"], _hashes(page)[: len(image["tiles"])])


def _hashes(page: Any) -> list[str | None]:
    """Return a hash for each tile, as @cogeotiff/core hands it out: in JPEG with the tables of the image."""
    found: list[str | None] = []
    for offset_bytes, size_bytes in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset_bytes)
        content = page.parent.filehandle.read(size_bytes)
        if page.jpegtables is not None:
            content = page.jpegtables[:-2] + content[2:]
        found.append(hashlib.sha1(content).hexdigest() if size_bytes else None)
    return found


@contextmanager
def _running_titiler() -> Iterator[str]:
    def command(ports: list[int], folder: Path) -> list[str]:
        options = ["--host", "127.0.0.1", "--port", str(ports[0]), "--log-level", "error"]
        return [sys.executable, "-m", "uvicorn", "titiler_app:app", "--app-dir", str(Path(__file__).parent), *options]

    def is_up(ports: list[int]) -> bool:
        try:
            return urllib3.request("GET", f"http://127.0.0.1:{ports[0]}/", retries=False).status == 404
        except urllib3.exceptions.HTTPError:
            return False

    with running(Plan("titiler", 1, command, is_up, variables={"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"})) as (
        ports,
        _,
    ):
        yield f"http://127.0.0.1:{ports[0]}"


def open_by_titiler(files: Sequence[File], folder: Path) -> Verdicts:
    with _running_titiler() as base:
        pool = urllib3.PoolManager(retries=False, headers={"Connection": "close"})
        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(lambda file: _judge_endpoints(file, base, pool), files))


def _judge_endpoints(file: File, base: str, pool: urllib3.PoolManager) -> Verdict:
    def ask(path: str, **query: Any) -> bytes:
        response = pool.request("GET", f"{base}{path}", fields={"url": file.url, **query})
        if response.status != 200:
            detail = json.loads(response.data)["detail"]
            raise NotRightError("refused", f"status {response.status}: {detail}".replace(file.path.name, "FILE"))
        return response.data

    try:
        info = json.loads(ask("/info"))
        check_equal("the dtype", info["dtype"], file.kind.dtype)
        arrays = {"full resolution": (ask("/preview.npy", max_size=max(SHAPE)), np.s_[:, :])}
        if file.kind.place is WEB_MERCATOR:
            for x, y in _TILES:
                content = ask(f"/tiles/WebMercatorQuad/{ZOOM}/{TILE_X + x}/{TILE_Y + y}.npy")
                arrays[f"tile {x}, {y}"] = (content, np.s_[y * 256 :, x * 256 :])
        for what, (content, place) in arrays.items():
            _check_array(what, np.load(io.BytesIO(content)), place, file)
    except NotRightError as error:
        return error.verdict
    return RIGHT


def _check_array(what: str, array: Any, place: Any, file: File) -> None:
    """Check an array of titiler, whose last band is the mask; it may reach beyond the raster."""
    pixels, mask = array[:-1], array[-1] > 0  # 0 and 255, stretched to the range of the dtype
    seen, compared = file.seen[place], file.compared[place]
    colours = np.moveaxis(file.as_colours(), -1, 0)
    expected = (colours if file.kind.colours in ("palette", "white") else file.pixels)[: len(pixels), *place]
    inside = np.s_[: min(len(mask), len(seen)), : min(len(mask[0]), len(seen[0]))]
    check_pixels(what, pixels[:, *inside], expected[:, *inside], compared[inside], file.tolerance)
    check_seen(what, mask[inside], seen[inside])


#: Name of a client -> how it opens all files, with a folder of its own.
IN_PROGRAMS: dict[str, Callable[[Sequence[File], Path], Verdicts]] = {
    "titiler": open_by_titiler,
    "geotiff.js": open_by_geotiff_js,
    "@cogeotiff/core": open_by_cogeotiff,
    "Debian's GDAL": open_by_debians_gdal,
    "ImageMagick": open_by_imagemagick,
}
