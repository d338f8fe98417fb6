"""The wall: nothing but the codec, on tiles that are already cut, on as many threads as there are cores.

No writer that compresses the same tiles with the same library can be faster. Tiles and overviews are cut beforehand
with plain numpy, outside the time. `CodecAlone` gets the tiles with the predictor applied already; `CodecAndPredictor`
applies it within the time, as every writer has to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.settings import Place, Settings

Tile = NDArray[Any]
Encoder = Callable[[Tile], bytes]


class CodecAlone:
    """Compresses tiles and throws the bytes away; writes no file."""

    name = "codec"
    label = "codec alone (no file)"
    distributions: tuple[str, ...] = ("imagecodecs",)
    programs: tuple[str, ...] = ()
    writes_file = False
    predicts_within_the_time = False

    def available(self) -> str | None:
        """Return why it cannot run, or None."""
        return None if find_spec("imagecodecs") else "imagecodecs is not installed"

    def prepare(self, array: NDArray[Any], place: Place, settings: Settings) -> list[Tile]:
        """Cut tiles of all levels; apply the predictor unless that is part of the job."""
        if settings.tile_px is None or settings.resampling is None:
            raise NotImplementedError("the codec alone has no defaults of its own")
        tiles = [
            tile
            for level in pyramid(array, place.nodata, settings.tile_px, settings.resampling)
            for tile in cut(level, settings.tile_px, "edge" if settings.quality else "constant")
        ]
        if self.predicts_within_the_time:
            return tiles
        predict = predictor(settings.predictor)
        return [predict(tile) for tile in tiles]

    def write(self, prepared: list[Tile], place: Place, settings: Settings, path: str) -> int:
        """Compress the tiles, write none of them.

        Returns:
            How many bytes they take.
        """
        del place, path
        encode = encoder(settings)
        predict = predictor(settings.predictor)
        job = (lambda tile: encode(predict(tile))) if self.predicts_within_the_time else encode
        threads = usable_cores() if settings.threads in (None, "ALL_CPUS") else int(settings.threads)
        # All threads draw from one iterator: a future per tile would cost as much as the fastest codecs do.
        remaining = iter(prepared)
        with ThreadPoolExecutor(threads) as pool:
            return sum(pool.map(lambda _: sum(len(job(tile)) for tile in remaining), range(threads)))


class CodecAndPredictor(CodecAlone):
    """Predicts and compresses tiles."""

    name = "codec+predictor"
    label = "codec and predictor alone (no file)"
    predicts_within_the_time = True


def usable_cores() -> int:
    """Count the cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def encoder(settings: Settings) -> Encoder:
    """Return the function that compresses one tile as a TIFF holds it."""
    import imagecodecs as codecs

    level, quality = settings.level, settings.quality
    encoders: dict[str, Encoder] = {
        "lzw": codecs.lzw_encode,
        "deflate": lambda tile: codecs.deflate_encode(tile, level=level),
        "zstd": lambda tile: codecs.zstd_encode(tile, level=level),
        "jpeg": lambda tile: codecs.jpeg8_encode(
            tile, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
        ),
        "webp": lambda tile: codecs.webp_encode(tile, level=quality, lossless=False),
    }
    if settings.codec not in encoders:
        raise NotImplementedError(f"no {settings.codec} here: the wall is measured for {', '.join(encoders)}")
    return encoders[settings.codec]


def predictor(number: int | None) -> Callable[[Tile], Tile]:
    """Return TIFF's predictor 1, 2 or 3 for a (row, column, band) tile."""
    import imagecodecs as codecs

    if number == 2:
        return lambda tile: codecs.delta_encode(tile, axis=1)
    if number == 3:
        return lambda tile: codecs.floatpred_encode(tile, axis=1)
    return lambda tile: tile


def cut(level: NDArray[Any], tile_px: int, filling: Literal["constant", "edge"] = "constant") -> Iterator[Tile]:
    """Cut (band, row, column) into (row, column, band) tiles, as GDAL does.

    Args:
        level: The raster or one of its overviews.
        tile_px: Side of a tile.
        filling: What tiles at the edges are filled up with: zeros, or the last pixel, which suits lossy codecs.
    """
    _, height_px, width_px = level.shape
    for row in range(0, height_px, tile_px):
        for column in range(0, width_px, tile_px):
            part = level[:, row : row + tile_px, column : column + tile_px]
            missing = [(0, 0), *((0, tile_px - side) for side in part.shape[1:])]
            whole = np.pad(part, missing, mode=filling) if any(sum(pair) for pair in missing) else part
            yield np.ascontiguousarray(np.moveaxis(whole, 0, -1))


def pyramid(array: NDArray[Any], nodata: float | None, tile_px: int, resampling: str) -> Iterable[NDArray[Any]]:
    """Return the raster and its halves, until one fits into a tile.

    Overviews are picked, or averages of the valid pixels of 2 x 2: in size and kind what the writers compress.
    """
    levels = [array]
    while max(levels[-1].shape[1:]) > tile_px:
        levels.append(_halved(levels[-1], nodata, is_average=resampling == "average"))
    return levels


def _halved(level: NDArray[Any], nodata: float | None, *, is_average: bool) -> NDArray[Any]:
    if not is_average:
        return level[:, ::2, ::2]
    halved = np.empty((len(level), *((side + 1) // 2 for side in level.shape[1:])), level.dtype)
    for row in range(0, level.shape[1], 512):  # a strip at a time: sums are wider than pixels
        strip = level[:, row : row + 512]
        even = np.pad(strip, [(0, 0), *((0, side % 2) for side in strip.shape[1:])], mode="edge")
        is_valid = ~np.isnan(even) if nodata is not None and np.isnan(nodata) else even != nodata
        weights = is_valid.astype("float32")
        pixels = np.where(is_valid, even, 0).astype("float32")
        quads = [slice(None, None, 2), slice(1, None, 2)]
        count = sum(weights[:, a, b] for a in quads for b in quads)
        total = sum(pixels[:, a, b] for a in quads for b in quads)
        mean = total / np.maximum(count, 1)
        rounded = mean if level.dtype.kind == "f" else np.floor(mean + 0.5)
        filled = rounded if nodata is None else np.where(count > 0, rounded, nodata)
        halved[:, row // 2 : row // 2 + filled.shape[1]] = filled
    return halved
