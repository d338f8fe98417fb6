"""Foreign readers that run in this process: each returns its reading of a file.

What a reader is asked for is the same for all: a mapping of "full", "window" (`cases.WINDOW` of the full resolution)
and "smallest" (the smallest overview) to arrays of (band, row, column), and "mask" to the internal mask of the full
resolution, (row, column) with 0 where pixels are missing, where the file has one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from foreign.cases import WINDOW

Reading = dict[str, np.ndarray[Any, Any]]

_ROWS, _COLUMNS = slice(*WINDOW[0]), slice(*WINDOW[1])

#: NewSubfileType (TIFF 6.0, section 8): bit 2 says "transparency mask".
_MASK = 4


def read_by_rasterio(path: Path) -> Reading:
    """GDAL as rasterio brings it."""
    with rasterio.open(path) as dataset:
        found = {"full": dataset.read(), "window": dataset.read(window=Window.from_slices(_ROWS, _COLUMNS))}
        if MaskFlags.per_dataset in dataset.mask_flag_enums[0] and MaskFlags.alpha not in dataset.mask_flag_enums[0]:
            found["mask"] = dataset.dataset_mask()
        levels = len(dataset.overviews(1))
    with rasterio.open(path, **({"overview_level": levels - 1} if levels else {})) as dataset:
        return found | {"smallest": dataset.read()}


def read_by_tifffile(path: Path) -> Reading:
    """tifffile, with imagecodecs."""
    with tifffile.TiffFile(path) as file:
        images = [page for page in file.pages if not page.subfiletype & _MASK]
        masks = [page for page in file.pages if page.subfiletype & _MASK]
        found = {"full": _bands_first(images[0]), "smallest": _bands_first(images[-1]), "window": _tiles(images[0])}
        return found | ({"mask": masks[0].asarray().astype("uint8") * 255} if masks else {})


def _bands_first(page: Any) -> np.ndarray[Any, Any]:
    pixels = page.asarray()
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    return pixels if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE else np.moveaxis(pixels, -1, 0)


def _tiles(page: Any) -> np.ndarray[Any, Any]:
    """Return the window from the tiles that it touches and no others."""
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    pasted = np.full((page.samplesperpixel, page.imagelength, page.imagewidth), page.nodata, page.dtype)
    across, down = -(-page.imagewidth // page.tilewidth), -(-page.imagelength // page.tilelength)
    for index, (offset_bytes, size_bytes) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        row, column = index // across % down * page.tilelength, index % across * page.tilewidth
        touched = row < _ROWS.stop and row + page.tilelength > _ROWS.start
        if not size_bytes or not (touched and column < _COLUMNS.stop and column + page.tilewidth > _COLUMNS.start):
            continue
        page.parent.filehandle.seek(offset_bytes)
        content = page.parent.filehandle.read(size_bytes)
        tile, _, (_, height_px, width_px, _) = page.decode(content, index, jpegtables=page.jpegtables)
        bands = slice(index // (across * down), index // (across * down) + 1) if separate else slice(None)
        part = pasted[bands, row : row + height_px, column : column + width_px]
        part[:] = np.moveaxis(tile[0], -1, 0)[:, : part.shape[1], : part.shape[2]]
    return pasted[:, _ROWS, _COLUMNS]


def read_by_async_tiff(path: Path) -> Reading:
    """async-tiff, from a local store."""
    return asyncio.run(_read_by_async_tiff(path))


async def _read_by_async_tiff(path: Path) -> Reading:
    from async_tiff import TIFF
    from async_tiff.store import LocalStore

    file = await TIFF.open(path.name, store=LocalStore(path.parent))
    images = [level for level, ifd in enumerate(file.ifds) if not (ifd.new_subfile_type or 0) & _MASK]
    masks = [level for level, ifd in enumerate(file.ifds) if (ifd.new_subfile_type or 0) & _MASK]
    found = {
        "full": await _paste(file, images[0], (0, file.ifds[0].image_height), (0, file.ifds[0].image_width)),
        "window": (await _paste(file, images[0], *WINDOW))[:, _ROWS, _COLUMNS],
        "smallest": await _paste(file, images[-1], (0, 10**9), (0, 10**9)),
    }
    if masks:
        found["mask"] = (await _paste(file, masks[0], (0, 10**9), (0, 10**9)))[0] * 255
    return found


async def _paste(file: Any, level: int, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Return a level with the tiles that touch rows and columns, each (first, end), pasted in.

    Tiles of no bytes are left out: async-tiff would fetch and decode what it finds at their offset, which is 0.
    """
    from async_tiff.enums import PlanarConfiguration

    ifd = file.ifds[level]
    across, down = ifd.tile_count
    wanted = [
        (x, y)
        for y in range(rows[0] // ifd.tile_height, min(down, -(-rows[1] // ifd.tile_height)))
        for x in range(columns[0] // ifd.tile_width, min(across, -(-columns[1] // ifd.tile_width)))
        if ifd.tile_byte_counts[y * across + x]
    ]
    pasted = None
    for (x, y), tile in zip(wanted, await file.fetch_tiles(wanted, level), strict=True):
        pixels = np.asarray(await tile.decode())
        if ifd.planar_configuration == PlanarConfiguration.Chunky:
            pixels = np.moveaxis(pixels, -1, 0)
        if pasted is None:
            missing = np.array(ifd.gdal_nodata or 0).astype(pixels.dtype)
            pasted = np.full((len(pixels), down * ifd.tile_height, across * ifd.tile_width), missing)
        row, column = y * ifd.tile_height, x * ifd.tile_width
        pasted[:, row : row + pixels.shape[1], column : column + pixels.shape[2]] = pixels
    return pasted[:, : ifd.image_height, : ifd.image_width]


def view_by_pillow(path: Path) -> np.ndarray[Any, Any]:
    """Pillow: (row, column, channel) of 8-bit red, green, blue and alpha.

    Raises:
        OSError: Pillow does not identify the file (PIL.UnidentifiedImageError), or cannot decode it.
        ValueError: It cannot decode it.
    """
    from PIL import Image

    with Image.open(path) as image:
        if not image.mode.startswith("I;16"):
            return np.asarray(image.convert("RGBA"))
        grey = np.asarray(image)[..., np.newaxis] // 257
    return np.concatenate([grey, grey, grey, np.full_like(grey, 255)], axis=-1).astype("uint8")


IN_PROCESS = {"tifffile": read_by_tifffile, "async-tiff": read_by_async_tiff}
