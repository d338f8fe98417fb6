"""In which form a peer gets pixels: an array, a dask array, a file, pieces of an array, or made window by window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.lazy import LazyScene
from benchmarks.options import gtiff_options, raster_profile
from benchmarks.settings import Place, Settings

Form = Literal["array", "dask", "file", "pieces", "lazy"]

#: Side of dask's chunks.
CHUNK_PX = 2048

#: Side of the tiles of a file that is to be converted; those that are wanted are of another size.
FILE_TILE_PX = 512

#: Side of the windows, as of a tiled inference.
PIECE_PX = 1000


@dataclass(frozen=True)
class Given:
    """A raster, described in JSON, as a worker opens it.

    Attributes:
        form: In which the peer receives it.
        path: The pixels in numpy's format; for "file", the GeoTIFF.
        shape: (band, row, column) of a lazy scene, which has no path.
    """

    form: Form
    path: str = ""
    shape: tuple[int, ...] = ()

    def open(self, place: Place) -> Any:
        """Return the peer's input: an array of (band, row, column), a dask array, a path, `Pieces` or a `LazyScene`."""
        if self.form == "file":
            return self.path
        if self.form == "lazy":
            return self.scene(place)
        pixels = np.load(self.path) if self.path else self.scene(place).whole()
        if self.form == "dask":
            return dask_array(pixels)
        return Pieces(pixels) if self.form == "pieces" else pixels

    def scene(self, place: Place) -> LazyScene:
        """Return the lazy scene."""
        bands, rows, columns = self.shape
        return LazyScene((bands, rows, columns), place)


@dataclass(frozen=True)
class Pieces:
    """An array that arrives in squares, shuffled.

    Attributes:
        pixels: (band, row, column).
    """

    pixels: NDArray[Any]

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        """Return rows and columns of each piece; those at the edges are smaller."""
        _, height_px, width_px = self.pixels.shape
        corners = [(row, column) for row in range(0, height_px, PIECE_PX) for column in range(0, width_px, PIECE_PX)]
        for number in np.random.default_rng(0).permutation(len(corners)):
            row, column = corners[number]
            yield slice(row, min(row + PIECE_PX, height_px)), slice(column, min(column + PIECE_PX, width_px))


def dask_array(pixels: NDArray[Any], chunk_px: int = CHUNK_PX, *, bands_last: bool = False) -> Any:
    """Make a dask array of an array in memory, all bands in a chunk.

    Args:
        pixels: (band, row, column), or (row, column, band).
        chunk_px: Side of a chunk.
        bands_last: Which of the two.
    """
    from dask.array import from_array

    chunks = (chunk_px, chunk_px, pixels.shape[2]) if bands_last else (len(pixels), chunk_px, chunk_px)
    # A name, since dask would spend seconds to make one of all the pixels.
    return from_array(pixels, chunks=chunks, name=f"pixels-{id(pixels)}")


def save_tiled(path: str, scene: LazyScene, place: Place, settings: Settings) -> None:
    """Write a lazy scene as a tiled GeoTIFF by GDAL, by the codec that its COG will have.

    Args:
        path: Of the file.
        scene: What goes into it.
        place: Where it lies.
        settings: Of the COG.
    """
    import rasterio
    from rasterio.windows import Window

    tiles = {"tiled": True, "blockxsize": FILE_TILE_PX, "blockysize": FILE_TILE_PX, "BIGTIFF": "IF_SAFER"}
    _, height_px, width_px = scene.shape
    profile = {"driver": "GTiff"} | gtiff_options(settings) | tiles | raster_profile(scene, place)
    with rasterio.open(path, "w", **profile) as dataset:
        for row in range(0, height_px, FILE_TILE_PX):
            strip = scene[:, row : row + FILE_TILE_PX, :]
            dataset.write(strip, window=Window(0, row, width_px, strip.shape[1]))
