"""What the workers of a cluster do for `cluster.py`: make the chunks of a scene, and measure their own memory."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forms import CHUNK_PX
from benchmarks.lazy import LazyScene
from benchmarks.measure import peak_memory_bytes, start_watching_memory
from benchmarks.objects import odc_array
from benchmarks.settings import Place

PLACE = Place(nodata=0)


@dataclass(frozen=True)
class SceneOnWorkers:
    """A scene of one band whose windows are made where they are read: it is pickled without its pixels."""

    height_px: int
    width_px: int

    dtype = np.dtype("uint16")
    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height_px, self.width_px

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[np.uint16]:
        """Make a window."""
        return self.lazy()[(slice(None), *key)][0]

    def lazy(self) -> LazyScene:
        """Return the same scene as (band, row, column), in this process."""
        return _lazy_scene(self.height_px, self.width_px)


@lru_cache(maxsize=4)
def _lazy_scene(height_px: int, width_px: int) -> LazyScene:
    return LazyScene((1, height_px, width_px), PLACE)


def scene_array(side_px: int, chunk_px: int = CHUNK_PX) -> Any:
    """Make a DataArray over dask, one task a chunk, that this project and odc-geo both take."""
    from dask.array import from_array

    scene = SceneOnWorkers(side_px, side_px)
    meta = np.empty((0, 0), scene.dtype)
    name = f"make-scene-{side_px}-{chunk_px}"
    pixels = from_array(scene, chunks=(chunk_px, chunk_px), name=name, meta=meta, inline_array=True)
    return odc_array(pixels, PLACE)


def begin_measurement() -> dict[str, float]:
    """Free what can be freed, reset the peak of this process, and return what `end_measurement` needs."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    held_bytes = start_watching_memory()
    return {"held_bytes": held_bytes, "cpu_seconds": _cpu_seconds()}


def end_measurement() -> dict[str, float]:
    """Return the peak since `begin_measurement`, and the processor time of this process."""
    return {"peak_bytes": peak_memory_bytes(), "cpu_seconds": _cpu_seconds()}


def _cpu_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system
