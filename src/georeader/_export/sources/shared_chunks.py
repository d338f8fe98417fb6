"""Chunks of a cube that several saves take parts of: each is computed or read once for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from georeader._export.plan.grid import longest
from georeader._export.sources.read_once import Box, CutChunks, Place, shape_of_box
from georeader._export.sources.sliced import LEAST_KEPT_BYTES, ChunkedWindows, find_scheduler
from georeader._export.spool import OpenSpool
from georeader.errors import DtypeError


class _Windows(ChunkedWindows):
    """Windows of one of the arrays."""

    def __init__(self, owner: SharedChunks, number: int, edges: list[tuple[int, ...]], dtype: np.dtype[Any]) -> None:
        super().__init__(edges, dtype, is_masked=False)
        self._owner, self._number = owner, number

    def _pieces(self, wanted: Mapping[Place, Box]) -> dict[Place, Any]:
        found = self._owner.get({(self._number, *place): box for place, box in wanted.items()})
        return {place[1:]: piece for place, piece in found.items()}

    def close(self) -> None:
        """Do nothing: the owner drops what is held."""


class SharedChunks(ABC):
    """Chunks of several DataArrays, each held in memory or in a spool until windows have taken all of its pixels.

    Several threads may read at once. Memory: the chunks that windows being read touch, and the larger of one chunk and
    `LEAST_KEPT_BYTES`; others wait in the spool.
    """

    def __init__(self, arrays: Sequence[Any], edges: Sequence[list[tuple[int, ...]]], open_spool: OpenSpool) -> None:
        self.windows = [
            _Windows(self, number, its_edges, array.dtype)
            for number, (array, its_edges) in enumerate(zip(arrays, edges, strict=True))
        ]
        pixel_bytes = max(array.dtype.itemsize for array in arrays)
        longest_px = max(prod(map(longest, its_edges)) for its_edges in edges)
        self._linked: list[list[int]] = [[] for _ in arrays]
        self._chunks = CutChunks(
            max(LEAST_KEPT_BYTES, longest_px * pixel_bytes), self._shape, pixel_bytes, open_spool, self._together
        )

    def get(self, wanted: Mapping[Place, Box]) -> dict[Place, Any]:
        """Return the pixels of boxes in chunks; a place is the number of an array and that in its chunks."""
        return self._chunks.get(wanted, self._compute)

    def close(self) -> None:
        """Drop what is held."""
        self._chunks.clear()

    def _shape(self, place: Place) -> tuple[int, ...]:
        return shape_of_box(self.windows[place[0]].box(place[1:]))

    def _together(self, place: Place) -> list[Place]:
        return [(number, *place[1:]) for number in self._linked[place[0]]]

    @abstractmethod
    def _compute(self, places: list[Place]) -> list[Any]:
        """Compute or read chunks."""


class StoredChunks(SharedChunks):
    """Chunks of the files of lazy DataArrays."""

    def __init__(self, arrays: Sequence[Any], edges: Sequence[list[tuple[int, ...]]], open_spool: OpenSpool) -> None:
        super().__init__(arrays, edges, open_spool)
        self._variables = [array.variable for array in arrays]

    def _compute(self, places: list[Place]) -> list[Any]:
        # Each box is a new variable, so that the lazy one stays lazy.
        return [self._variables[number][self.windows[number].box(tuple(place))].values for number, *place in places]


class ComputedChunks(SharedChunks):
    """Chunks of dask's arrays. Those at one place of arrays that have tasks in common are computed together."""

    def __init__(self, arrays: Sequence[Any], edges: Sequence[list[tuple[int, ...]]], open_spool: OpenSpool) -> None:
        super().__init__(arrays, edges, open_spool)
        sizes = [tuple(tuple(stop - start for start, stop in pairwise(axis)) for axis in own) for own in edges]
        found = [array.data.rechunk(own) for array, own in zip(arrays, sizes, strict=True)]  # without empty chunks
        self._linked = _linked(found, edges)
        self._scheduler = find_scheduler(found[0])
        # Dask would fuse a task that several arrays have in common into those of each.
        culled = [
            _culled(array) if links else import_module("dask").optimize(array)[0]
            for array, links in zip(found, self._linked, strict=True)
        ]
        self._blocks = [array.to_delayed(optimize_graph=False) for array in culled]

    def _compute(self, places: list[Place]) -> list[Any]:
        blocks = [self._blocks[number][tuple(place)] for number, *place in places]
        computed = import_module("dask").compute(*blocks, scheduler=self._scheduler.get)
        return [self._checked(place, chunk) for place, chunk in zip(places, computed, strict=True)]

    def _checked(self, place: Place, chunk: Any) -> Any:
        if isinstance(chunk, np.ma.MaskedArray):
            raise DtypeError(
                f"chunk {place[1:]} of the dask array is one of numpy's masked arrays, which the array does not "
                "declare; fill what is masked"
            )
        return self.windows[place[0]].checked(place[1:], chunk)


def _linked(arrays: Sequence[Any], edges: Sequence[list[tuple[int, ...]]]) -> list[list[int]]:
    """Return for each dask array the others of the same chunks that have tasks in common with it."""
    layers = [set(array.__dask_graph__().layers) for array in arrays]
    return [
        [
            other
            for other in range(len(arrays))
            if other != number and edges[other] == edges[number] and layers[other] & layers[number]
        ]
        for number in range(len(arrays))
    ]


def _culled(array: Any) -> Any:
    """Return a dask array with the tasks that it needs alone, as they are."""
    keys = set(import_module("dask.core").flatten(array.__dask_keys__()))
    graph = dict(array.__dask_graph__().cull(keys))
    return import_module("dask.array").Array(graph, array.name, array.chunks, dtype=array.dtype, meta=array._meta)


def are_linked(arrays: Sequence[Any]) -> bool:
    """Return whether some of several DataArrays of dask have tasks in common."""
    return any(_linked([array.data for array in arrays], [list(array.chunks) for array in arrays]))


def through(array: Any, windows: ChunkedWindows) -> Any:
    """Return a DataArray with the labels, attributes and encoding of another one, whose pixels windows read."""
    from georeader._arrays.lazy_xarray import LazyBoxes, lazy

    pixels = lazy(LazyBoxes(partial(_cut, windows), array.shape, array.dtype), is_cached=False)
    found = array.copy(deep=False, data=pixels)
    sizes: dict[Hashable, int] = {dim: longest(edges) for dim, edges in zip(array.dims, windows.edges, strict=True)}
    found.encoding = {**array.encoding, "preferred_chunks": sizes}
    return found


def _cut(windows: ChunkedWindows, box: Box) -> Any:
    return windows.cut(box)
