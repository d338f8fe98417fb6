"""Cache of open datasets, for the duration of a block of code.

A `georeader.RasterioReader` opens its file for each read, which for small files takes as long as reading the pixels.
Inside of the block a file stays open, in this thread, for its next read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import rasterio

from georeader._readers.opening import RasterPath

#: Number of files that stay open; the least recently read one is closed for the next.
FILES_KEPT = 8

#: Suffixes of the sidecars that GDAL reads beside a GeoTIFF.
_BESIDE = (".aux.xml", ".ovr", ".msk")


class _Kept:
    """Open datasets that are not being read, by the arguments that they were opened with."""

    def __init__(self) -> None:
        self._datasets: dict[Any, Any] = {}
        self._owner: tuple[int, int] | None = _this_thread()

    @property
    def is_mine(self) -> bool:
        """Whether this thread is in the block: a forked process shares its position in a file with the other one."""
        return self._owner == _this_thread()

    def take(self, key: Any) -> Any:
        """Return a dataset, which the caller then owns, or None."""
        return self._datasets.pop(key, None)

    def put(self, key: Any, dataset: Any) -> None:
        """Add a dataset; another one of the same key is closed, and the oldest of too many."""
        self._close(key)
        self._datasets[key] = dataset
        if len(self._datasets) > FILES_KEPT:
            self._close(next(iter(self._datasets)))

    def close(self) -> None:
        """Close all; a task that continues after the block keeps nothing open."""
        self._owner = None
        for key in tuple(self._datasets):
            self._close(key)

    def _close(self, key: Any) -> None:
        dataset = self._datasets.pop(key, None)
        if dataset is not None:
            dataset.close()


_KEPT: ContextVar[_Kept | None] = ContextVar("georeader_kept_open", default=None)


@contextmanager
def files_kept_open() -> Iterator[None]:
    """Open each GeoTIFF that this thread reads by `georeader.RasterioReader` once, and close it after the block.

    Saves time in many reads of few files, and in reads of many small files, which are opened once instead of twice. It
    applies to files on local disks alone. All others are opened for each read, and so is a file that was replaced or
    written to meanwhile (except through a memory map), or in whose folder a file appeared. At most `FILES_KEPT` files
    stay open. Other threads, and processes forked in the block, are not affected; nested blocks are one block. On
    Windows, where an open file cannot be replaced, no file stays open.

    Memory: the blocks of each file in GDAL's cache (GDAL_CACHEMAX).

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, RasterioReader, files_kept_open, save_cog
        >>> for number in range(3):
        ...     chip = GeoTensor(np.full((1, 64, 64), number, "uint8"), (10, 0, 640 * number, 0, -10, 0), 3857, None)
        ...     _ = save_cog(chip, f"chip-{number}.tif")
        >>> with files_kept_open():
        ...     [int(RasterioReader(f"chip-{number}.tif").load().max()) for number in range(3)]
        [0, 1, 2]
    """
    around = _KEPT.get()
    if around is not None and around.is_mine:
        yield
        return
    kept = _Kept()
    token = _KEPT.set(kept)
    with ExitStack() as stack:
        stack.callback(kept.close)
        stack.callback(_KEPT.reset, token)
        stack.enter_context(rasterio.Env())  # one for all files: it takes a tenth of the time of opening a file
        yield


@contextmanager
def opened(path: RasterPath, options: Mapping[str, Any], overview_level: int | None) -> Iterator[Any]:
    """Open a file in rasterio, or take it from the cache; after the block it is closed, or kept.

    Args:
        path: Of the file.
        options: GDAL configuration options, already in effect.
        overview_level: Open this overview of it.

    Raises:
        RasterioError: The file cannot be opened.
    """
    level = {} if overview_level is None else {"overview_level": overview_level}
    kept = _KEPT.get()
    if kept is None or not kept.is_mine or path.container is not None:
        with path.open(**level) as dataset:
            yield dataset
        return
    state = _state_of(path.path)
    key = (path.path, repr(options), overview_level, state)
    dataset = kept.take(key) or path.open(**level)
    try:
        yield dataset
    except BaseException:
        dataset.close()
        raise
    if state is not None and dataset.driver == "GTiff" and kept.is_mine:
        kept.put(key, dataset)
    else:
        dataset.close()


def _this_thread() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _state_of(path: str) -> tuple[Any, ...] | None:
    """Return values that change if a local file or its sidecars are replaced or written to; None for other files.

    The folder's own time changes if files appear in it or are removed; the ctime of a file cannot be set back.
    """
    if os.name == "nt":
        return None
    try:
        states = [os.stat(path), os.stat(os.path.dirname(path) or ".")]  # noqa: PTH116, PTH120
    except (OSError, ValueError):  # one of GDAL's paths, mostly
        return None
    beside = map(_stat, (path + suffix for suffix in _BESIDE))
    return tuple((one.st_dev, one.st_ino, one.st_size, one.st_ctime_ns) for one in (*states, *filter(None, beside)))


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116
    except OSError:
        return None
