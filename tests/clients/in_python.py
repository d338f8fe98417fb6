"""Clients that run in this process: each raises `NotRightError`, or the client's own error, on a cell not right."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from clients.files import File
from clients.kinds import TILE_X, TILE_Y, WEB_MERCATOR, ZOOM
from clients.verdicts import RIGHT, NotRightError, Pixels, Verdict, check_equal, check_pixels, check_seen, refusal


class ForeignError(Exception):
    """An error of a client, by its own name and message."""


_TAKEN = datetime(2024, 5, 1, tzinfo=UTC)


def judge(client: Callable[[File], None], file: File) -> Verdict:
    """Return the verdict on a file: RIGHT if the client returns, else what it raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            client(file)
        except NotRightError as error:
            return error.verdict
        except ForeignError as error:
            return refusal(str(error))
        except (RasterioError, ValueError, RuntimeError, OSError, TypeError, LookupError, NotImplementedError) as error:
            return refusal(
                f"{type(error).__name__}: {error}".replace(str(file.path), "FILE").replace(file.path.name, "FILE")
            )
    return RIGHT


def _check_missing(what: str, pixels: Pixels, nodata: float | None, file: File) -> None:
    """Check missing pixels by nodata's value: what a client offers that gives plain arrays."""
    if file.kind.holes in ("", "alpha"):
        return
    if nodata is None:
        raise NotRightError("holes", f"{what}: no nodata value")
    band = pixels[0]
    check_seen(what, ~np.isnan(band) if np.isnan(nodata) else band != nodata, file.seen)


def open_by_rasterio(file: File) -> None:
    with rasterio.open(file.path) as dataset:
        check_pixels("full resolution", dataset.read(), file.kind.pixels, file.compared, 2 * file.tolerance)
        check_seen("full resolution", dataset.dataset_mask() > 0, file.seen)


def open_by_rio_tiler(file: File) -> None:
    from rio_tiler.io import Reader

    with Reader(str(file.path)) as reader:
        reader.info()
        images = {"full resolution": (reader.read(), np.s_[:, :])}
        if file.kind.place is WEB_MERCATOR:
            images |= {
                f"tile {x}, {y}": (reader.tile(TILE_X + x, TILE_Y + y, ZOOM), np.s_[y * 256 :, x * 256 :])
                for x in range(3)
                for y in range(2)
            }
        for what, (image, place) in images.items():
            _check_masked(what, image.array, place, file)
        if file.overviews:
            height_px, width_px = file.overviews[-1].shape[1:]
            preview = reader.preview(max_size=None, height=height_px, width=width_px).array
            expected = file.overviews[-1][: len(preview)]
            check_pixels("preview", preview.data, expected, _seen_by_mask(preview), file.tolerance)


def _seen_by_mask(found: Any) -> Pixels:
    """Return where a masked array has values, NaN being none."""
    return ~np.ma.getmaskarray(found)[0] & ~np.isnan(found.data[0])


def _check_masked(what: str, found: Any, place: Any, file: File) -> None:
    """Check a masked array that begins at a place and may reach beyond the raster."""
    expected, seen, compared = file.pixels[:, *place], file.seen[place], file.compared[place]
    if file.kind.holes == "alpha":
        expected = expected[: len(found)]
    height_px, width_px = min(found.shape[1], seen.shape[0]), min(found.shape[2], seen.shape[1])
    found = found[:, :height_px, :width_px]
    inside = np.s_[:height_px, :width_px]
    expected, seen, compared = expected[:, *inside], seen[inside], compared[inside]
    check_pixels(what, found.data, expected, compared, file.tolerance)
    check_seen(what, _seen_by_mask(found), seen)


def _item(file: File) -> Any:
    return file.receipt.to_stac(datetime=_TAKEN, href=str(file.path))


def open_by_odc_stac(file: File) -> None:
    import odc.stac

    names = [f"b{number + 1}" for number in range(file.kind.bands)] if file.kind.bands > 1 else None
    loaded = odc.stac.load([_item(file)], bands=names, chunks={"x": 256, "y": 256})
    arrays = list(loaded.compute().data_vars.values())
    pixels = np.stack([array.values[0] for array in arrays])
    check_pixels("full resolution", pixels, file.pixels, file.compared, file.tolerance)
    _check_missing("full resolution", pixels, arrays[0].attrs.get("nodata"), file)


def open_by_stackstac(file: File) -> None:
    import stackstac

    item = _item(file)
    resolution = file.kind.place[0].a
    stack = stackstac.stack(
        [item],
        epsg=int(file.kind.place[1][5:]),
        bounds=item.properties["proj:bbox"],
        resolution=resolution,
        chunksize=256,
    )
    values = stack.values[0]
    check_equal("the number of bands", len(values), file.kind.bands)
    check_pixels("full resolution", values, file.as_physical(), file.compared, file.tolerance or 1e-9)
    if file.kind.holes:
        check_seen("full resolution", ~np.isnan(values[0]), file.seen)


def open_by_rioxarray(file: File) -> None:
    import rioxarray

    with rioxarray.open_rasterio(file.path, chunks={"x": 256, "y": 256}) as array:
        check_pixels("chunks", array.values, file.pixels, file.compared, file.tolerance)
        check_equal("the CRS", array.rio.crs.to_string(), file.kind.place[1])
    for level, overview in enumerate(file.overviews):
        with rioxarray.open_rasterio(file.path, overview_level=level) as array:
            check_pixels(f"overview {level}", array.values, overview)
    with rioxarray.open_rasterio(file.path, mask_and_scale=True) as array:
        values = array.values
    check_pixels(
        "mask_and_scale", values, file.as_physical().astype(values.dtype), file.compared, file.tolerance or 1e-3
    )
    if file.kind.holes not in ("", "alpha"):
        check_seen("mask_and_scale", ~np.isnan(values[0]), file.seen)


def open_by_async_geotiff(file: File) -> None:
    _LOOP.run(_judge_panics(file))


#: One for all files: tasks that are left when a read fails end in it.
_LOOP = asyncio.Runner()


async def _judge_panics(file: File) -> None:
    """Turn a panic of Rust, whose class cannot be imported, into an error of this process."""
    (result,) = await asyncio.gather(_open_by_async_geotiff(file), return_exceptions=True)
    if isinstance(result, NotRightError):
        raise result
    if isinstance(result, Exception):
        raise ForeignError(f"{type(result).__name__}: {result}") from result


async def _open_by_async_geotiff(file: File) -> None:
    from async_geotiff import GeoTIFF
    from async_tiff.store import LocalStore

    geotiff = await GeoTIFF.open(file.path.name, store=LocalStore(file.path.parent))
    check_equal("the CRS", geotiff.crs.to_epsg(), int(file.kind.place[1][5:]))
    array = (await geotiff.read()).as_masked()
    check_pixels("full resolution", array.data, file.pixels, file.compared, file.tolerance)
    if file.kind.holes not in ("", "alpha"):
        check_seen("full resolution", _seen_by_mask(array), file.seen)
    for level, overview in enumerate(file.overviews):
        found = (await geotiff.overviews[level].read()).as_masked()
        check_pixels(
            f"overview {level}",
            found.data,
            overview,
            _seen_by_mask(found) & file.compared_in(overview.shape[1:]),
            5 * file.tolerance,
        )


def open_by_pillow(file: File) -> None:
    from PIL import Image

    with Image.open(file.path) as image:
        found = np.asarray(image)
    found = found[np.newaxis] if found.ndim == 2 else np.moveaxis(found, -1, 0)
    expected = file.pixels
    if file.kind.colours == "white":
        expected = 255 - expected
    check_pixels("the picture", found, expected, file.compared, file.tolerance)


#: Name of a client -> how it opens a file.
IN_PYTHON: dict[str, Callable[[File], None]] = {
    "rasterio": open_by_rasterio,
    "rioxarray": open_by_rioxarray,
    "rio-tiler": open_by_rio_tiler,
    "odc-stac": open_by_odc_stac,
    "stackstac": open_by_stackstac,
    "async-geotiff": open_by_async_geotiff,
    "Pillow": open_by_pillow,
}
