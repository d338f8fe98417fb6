"""Cubes that are saved as collections, and chunks of dask that count how often they are computed."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

xarray = pytest.importorskip("xarray", reason="xarray is not installed")

SHAPE = (4, 96, 80)

#: Labels of the steps of a cube.
DAYS = np.datetime64("2024-05-01", "ns") + np.arange(SHAPE[0]) * np.timedelta64(10, "D")

NAMES = ["20240501", "20240511", "20240521", "20240531"]

PIXELS = np.random.default_rng(0).integers(1, 4000, SHAPE).astype("uint16")


def cube_of(pixels: Any = PIXELS, **coords: Any) -> Any:
    """Return a (time, y, x) DataArray of 10 m pixels in UTM."""
    _, rows, columns = pixels.shape
    places = {"y": 3999995 - 10 * np.arange(float(rows)), "x": 500005 + 10 * np.arange(float(columns))}
    labels = {"time": DAYS[: len(pixels)]} | places
    return xarray.DataArray(pixels, labels | coords, ("time", "y", "x"), "B04", {"crs": "EPSG:32630"})


class Counted:
    """Dask arrays of a cube, each of whose chunks notes when it is computed."""

    def __init__(self) -> None:
        self.times: Counter[Any] = Counter()

    def cube(self, *chunks: int, pixels: NDArray[Any] = PIXELS) -> Any:
        """Return a cube of chunks."""
        dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
        array = dask_array.from_array(pixels, chunks=chunks)
        return cube_of(array.map_blocks(self._note, dtype=pixels.dtype, meta=array._meta))

    def _note(self, chunk: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
        self.times[str(block_info[0]["array-location"])] += 1
        return chunk


def read_pixels(path: str | Path) -> NDArray[Any]:
    """Return the pixels of a file, without the axis of a single band."""
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels[0] if len(pixels) == 1 else pixels


def dies_in_a_process(chunk: NDArray[Any], pid: int, block_info: Any = None) -> NDArray[Any]:
    """Return a chunk; that of the second step ends the process that computes it, unless it is the one of an id."""
    if os.getpid() != pid and block_info[0]["array-location"][0][0] == 1:
        os._exit(3)
    return chunk
