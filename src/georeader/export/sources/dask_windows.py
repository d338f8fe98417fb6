"""Windows of a dask array."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate, product
from math import prod
from typing import Any

import numpy as np

from georeader.errors import DtypeError, ShapeError
from georeader.export.dtypes import convert_pixels
from georeader.export.sources.axes import Key
from georeader.export.sources.dask_graph import KEPT_BYTES, ChunkGraph, find_scheduler
from georeader.export.sources.kept_results import KeptResults

#: Tasks that are held at once; of an array that has more, some rows of chunks are looked at a time.
MOST_TASKS = 20_000

#: Windows are read from top to bottom: those of several readers lie in so many neighbouring parts.
_GRAPHS_HELD = 2


@dataclass(frozen=True)
class _Cut:
    """A part of a chunk along one axis.

    Attributes:
        chunk: Position of the chunk.
        source: Where the part lies in the chunk.
        target: Where it lies in the window.
        is_whole: The part is the chunk.
    """

    chunk: int
    source: slice
    target: slice
    is_whole: bool


class DaskWindows:
    """Computes windows of a dask array; many may be asked for at once, each pixel once.

    Memory: the chunks that a window touches and the window, for each thread that reads; results that several chunks
    need, or windows that part a chunk, up to `dask_graph.KEPT_BYTES`; and some 2 KiB for each of up to
    2 x `MOST_TASKS` tasks.
    """

    def __init__(self, array: Any, row_axis: int) -> None:
        """Look at an array; its tasks are looked at when the first window is read.

        Args:
            array: A dask array.
            row_axis: Axis along which windows come one after the other.
        """
        self.edges = chunk_edges(array)
        self._array = _without_empty_chunks(array)
        self._row_axis = row_axis
        self._scheduler = find_scheduler()
        self.concurrent_reads = self._scheduler.concurrent
        self._rows_at_once = _rows_at_once(array, row_axis)
        self._kept = KeptResults(KEPT_BYTES)
        self._graphs: OrderedDict[int, ChunkGraph] = OrderedDict()
        self._unread: dict[Any, int] = {}
        self._lock = threading.Lock()

    def read(self, key: Key) -> Any:
        """Compute a window.

        Args:
            key: A slice along each axis.

        Returns:
            An array of numpy, masked where the dask array is.

        Raises:
            Exception: What a task raised.
            DtypeError: A chunk is of another kind than the array says.
            ShapeError: Or of another shape.
        """
        parts = list(product(*(_cuts(edges, cut) for edges, cut in zip(self.edges, key, strict=True))))
        shape = tuple(cut.stop - cut.start for cut in key)
        if len(parts) == 1 and all(cut.is_whole for cut in parts[0]):
            return self._checked(parts[0], self._compute(parts)[0])
        empty = np.ma.empty if is_masked(self._array) else np.empty
        window = empty(shape, self._array.dtype)
        for part, chunk in zip(parts, self._compute(parts), strict=True):
            pixels = self._checked(part, chunk)
            window[tuple(cut.target for cut in part)] = pixels[tuple(cut.source for cut in part)]
        return window

    def close(self) -> None:
        """Let go of the tasks and of what was kept."""
        with self._lock:
            self._graphs.clear()
            self._unread.clear()
        self._kept.clear()

    def _compute(self, parts: list[tuple[_Cut, ...]]) -> list[Any]:
        """Compute the chunks of a window: those that it takes as a whole at once, and the others to be kept."""
        chunks: list[Any] = [None] * len(parts)
        whole: dict[int, list[int]] = {}
        for position, part in enumerate(parts):
            number = part[self._row_axis].chunk // self._rows_at_once
            if all(cut.is_whole for cut in part):
                whole.setdefault(number, []).append(position)
            else:
                chunks[position] = self._compute_part(number, part)
        for number, positions in whole.items():
            graph = self._graph(number)
            names = [graph.name(self._place(number, parts[position])) for position in positions]
            for position, chunk in zip(positions, graph.compute(names), strict=True):
                chunks[position] = chunk
        return chunks

    def _compute_part(self, number: int, part: tuple[_Cut, ...]) -> Any:
        """Compute a chunk of which other windows take the rest."""
        graph = self._graph(number)
        name = graph.name(self._place(number, part))
        size_px = prod(self._shape(part))
        chunk = graph.compute_and_keep(name, size_px * self._array.dtype.itemsize)
        read_px = prod(cut.source.stop - cut.source.start for cut in part)
        with self._lock:
            unread_px = self._unread.pop(name, size_px) - read_px
            if unread_px > 0:
                self._unread[name] = unread_px
        if unread_px <= 0:
            graph.forget(name)
        return chunk

    def _graph(self, number: int) -> ChunkGraph:
        """Give the tasks of some rows of chunks."""
        with self._lock:
            if number not in self._graphs:
                while len(self._graphs) >= _GRAPHS_HELD:
                    self._graphs.popitem(last=False)
                self._graphs[number] = ChunkGraph(self._rows(number), self._scheduler, self._kept)
            self._graphs.move_to_end(number)
            return self._graphs[number]

    def _rows(self, number: int) -> Any:
        edges = self.edges[self._row_axis]
        first = number * self._rows_at_once
        last = min(first + self._rows_at_once, len(edges) - 1)
        if (first, last) == (0, len(edges) - 1):
            return self._array
        return self._array[(slice(None),) * self._row_axis + (slice(edges[first], edges[last]),)]

    def _place(self, number: int, part: tuple[_Cut, ...]) -> tuple[int, ...]:
        """Give the position of a chunk among those of its graph."""
        first = number * self._rows_at_once
        return tuple(cut.chunk - first if axis == self._row_axis else cut.chunk for axis, cut in enumerate(part))

    def _shape(self, part: tuple[_Cut, ...]) -> tuple[int, ...]:
        """Give the shape of a chunk, as the array says it."""
        return tuple(edges[cut.chunk + 1] - edges[cut.chunk] for edges, cut in zip(self.edges, part, strict=True))

    def _checked(self, part: tuple[_Cut, ...], chunk: Any) -> Any:
        """Check a chunk against what the array says: dask takes a function's word for what it gives."""
        expected = self._shape(part)
        pixels = np.asanyarray(chunk)
        where = f"chunk {tuple(cut.chunk for cut in part)} of the dask array"
        if pixels.shape != expected:
            raise ShapeError(f"{where} is of {pixels.shape}, but the array says it is of {expected}")
        if pixels.dtype == self._array.dtype:
            return pixels
        if pixels.dtype.kind in "fc" and self._array.dtype.kind not in "fc":
            raise DtypeError(
                f"{where} is {pixels.dtype}, but the array says it is {self._array.dtype}; say dtype= where it is made"
            )
        return convert_pixels(pixels, self._array.dtype)


def is_masked(array: Any) -> bool:
    """Tell whether the chunks of a dask array are masked."""
    return isinstance(getattr(array, "_meta", None), np.ma.MaskedArray)


def chunk_edges(array: Any) -> list[tuple[int, ...]]:
    """Give the edges of a dask array's chunks along each axis.

    Raises:
        ShapeError: They are not known.
    """
    sizes = [size for axis in array.chunks for size in axis]
    if any(size != size for size in sizes):
        raise ShapeError(
            f"the dask array of shape {array.shape} does not know how large its chunks are; call its "
            "compute_chunk_sizes() first, or cut it by slices where it was cut by a condition"
        )
    return [tuple(accumulate((int(size) for size in axis if size), initial=0)) for axis in array.chunks]


def _without_empty_chunks(array: Any) -> Any:
    if all(size for axis in array.chunks for size in axis):
        return array
    return array.rechunk(tuple(tuple(size for size in axis if size) for axis in array.chunks))


def _rows_at_once(array: Any, row_axis: int) -> int:
    """Say how many rows of chunks have no more than `MOST_TASKS` tasks."""
    rows = len(array.chunks[row_axis])
    return max(1, rows * MOST_TASKS // max(MOST_TASKS, len(array.__dask_graph__())))


def _cuts(edges: tuple[int, ...], cut: slice) -> list[_Cut]:
    """Part a slice by chunks."""
    cuts = []
    chunk = bisect_right(edges, cut.start) - 1
    while edges[chunk] < cut.stop:
        start, stop = max(edges[chunk], cut.start), min(edges[chunk + 1], cut.stop)
        cuts.append(
            _Cut(
                chunk,
                slice(start - edges[chunk], stop - edges[chunk]),
                slice(start - cut.start, stop - cut.start),
                stop - start == edges[chunk + 1] - edges[chunk],
            )
        )
        chunk += 1
        if chunk + 1 == len(edges):
            break
    return cuts
