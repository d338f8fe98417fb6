"""Reader of a source's windows, ahead on threads, each once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import pairwise, product
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.threads import Task, Workers
from georeader._core.windows import PixelWindow
from georeader._export.engine.pixel_buffer import BufferedBlock, PixelBuffer
from georeader._export.output_pixels import OutputPixels
from georeader._export.plan.grid import grouped_edges
from georeader._export.plan.order_of_work import Work
from georeader._resample.pyramid import Mask

#: A window, its pixels and its mask.
ReadPixels = tuple[PixelWindow, NDArray[Any], Mask]


class WindowReader(AbstractContextManager["WindowReader"]):
    """Reads a source in windows that suit it, on threads of its own for as long as the block lasts.

    The caller's thread only waits for them, so that it can be interrupted during a read.
    """

    def __init__(self, pixels: OutputPixels, work: Work, kept: PixelBuffer | None = None) -> None:
        """Prepare the reads; nothing is read yet."""
        self.pixels = pixels
        self.work = work
        self._kept = kept
        self._lock = threading.Lock()
        self._threads = Workers(work.readers, name="georeader-read")

    def __enter__(self) -> WindowReader:
        self._threads.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.__exit__(kind, error, trace)

    def windows(self, bands: range) -> Iterator[ReadPixels]:
        """Iterate over all windows of some bands, row by row."""
        return self._threads.ordered(self._tasks(bands), self.work.read_ahead_bytes)

    def peek(self, window: PixelWindow, bands: slice) -> tuple[NDArray[Any], Mask]:
        """Return the pixels of any window before its turn, and keep the windows that are read for it."""
        wanted = range(self.pixels.spec.count)[bands]
        if self.pixels.source.traits.is_in_memory:
            return self.pixels.read(window, wanted)
        group = next((group for group in self.work.band_groups if wanted.start in group), wanted)
        if wanted.stop > group.stop:
            group = wanted
        result = np.empty((len(wanted), *window.shape), self.pixels.spec.dtype)
        for whole in self._windows():
            part = whole.intersection(window)
            if part.shape[0] > 0 and part.shape[1] > 0:
                pixels, _ = self._keep(group, whole)
                shift = wanted.start - group.start
                chosen = pixels[shift : shift + len(wanted)]
                result[:, *part.within(window)] = chosen[:, *part.within(whole)]
        return result, None

    def _keep(self, group: range, window: PixelWindow) -> tuple[NDArray[Any], Mask]:
        key = group, window
        if self._kept is not None and key in self._kept:
            held = self._kept.look(key)
            return held.pixels, held.mask
        run = partial(self.pixels.read, window, group)
        read = self._threads.submit(run).result() if self._threads.threads else run()
        if self._kept is not None:
            self._kept.put(key, BufferedBlock(*read, missing_px=0))
        return read

    def _windows(self) -> Iterator[PixelWindow]:
        """Iterate over the windows, row by row; those that cut chunks follow chunk by chunk."""
        chunks = self.pixels.source.traits.chunks
        row_groups = grouped_edges(self.work.row_edges_px, () if chunks is None else chunks.row_edges_px)
        column_groups = grouped_edges(self.work.column_edges_px, () if chunks is None else chunks.column_edges_px)
        for row_edges, column_edges in product(row_groups, column_groups):
            for rows, columns in product(pairwise(row_edges), pairwise(column_edges)):
                yield PixelWindow(*rows, *columns)

    def _tasks(self, bands: range) -> Iterator[Task[ReadPixels]]:
        pixel_bytes = len(bands) * self.pixels.spec.dtype.itemsize
        for window in self._windows():
            yield Task(partial(self._read, bands, window), window.shape[0] * window.shape[1] * pixel_bytes)

    def _read(self, bands: range, window: PixelWindow) -> ReadPixels:
        held = self._take(bands, window)
        return window, *(self.pixels.read(window, bands) if held is None else (held.pixels, held.mask))

    def _take(self, bands: range, window: PixelWindow) -> BufferedBlock | None:
        """Remove and return a window that was kept; None if it was not."""
        if self._kept is None:
            return None
        with self._lock:  # several threads read, and the buffer is for one at a time
            return self._kept.pop((bands, window)) if (bands, window) in self._kept else None
