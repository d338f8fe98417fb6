"""The part of a cube that a group of items shares, while one worker saves them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from georeader._cube.axes import arrays_of, edges_of
from georeader._cube.plan import GroupPlan, ItemPlan
from georeader._export.sinks.base import Scratch
from georeader._export.sources.shared_chunks import (
    ComputedChunks,
    SharedChunks,
    StoredChunks,
    are_linked,
    through,
)


class GroupPixels:
    """The parts of a cube that the items of a group are cut from."""

    def __init__(self, parts: Mapping[str, Any], group: GroupPlan) -> None:
        self._parts = parts
        self._box = group.box

    def cut(self, key: str, item: ItemPlan) -> Any:
        """Return what an asset of an item is made of."""
        part = self._parts[key]
        place = {
            dim: slice(0, its.stop - its.start) if isinstance(its, slice) else its - self._box[dim].start
            for dim, its in item.place.items()
        }
        return part.isel({dim: its for dim, its in place.items() if dim in part.dims})


@contextmanager
def open_group(parts: Mapping[str, Any], group: GroupPlan, scratch: Scratch) -> Iterator[GroupPixels]:
    """Cut a group out of a cube; what several of its files share is computed or read once while the block lasts."""
    own = cut_group(parts, group)
    with ExitStack() as stack:
        stack.callback(scratch.close)
        found = {}
        for kind, arrays in _shared(own, group).items():
            edges = [[edges_of(array, dim) or (0, array.sizes[dim]) for dim in array.dims] for array in arrays.values()]
            chunks = stack.enter_context(closing(kind(list(arrays.values()), edges, scratch.open_spool)))
            for (place, array), windows in zip(arrays.items(), chunks.windows, strict=True):
                found[place] = through(array, windows)
        yield GroupPixels({key: _replaced(key, part, found) for key, part in own.items()}, group)


def cut_group(parts: Mapping[str, Any], group: GroupPlan) -> dict[str, Any]:
    """Return what a group has of the parts of a cube."""
    return {
        key: part.isel({dim: cut for dim, cut in group.box.items() if dim in part.dims}) for key, part in parts.items()
    }


def shares_chunks(parts: Mapping[str, Any], group: GroupPlan) -> bool:
    """Return whether files of a group are made of the same chunks of dask."""
    return ComputedChunks in _shared(parts, group)


#: A DataArray's part of the cube, and its name in a Dataset.
_Place = tuple[str, Hashable]


def _shared(parts: Mapping[str, Any], group: GroupPlan) -> dict[type[SharedChunks], dict[_Place, Any]]:
    """Return the DataArrays whose chunks several files of a group are made of."""
    arrays = {(key, name): array for key, part in parts.items() for name, array in arrays_of(part).items()}
    computed = {place: array for place, array in arrays.items() if array.chunks is not None}
    stored = {
        place: array
        for place, array in arrays.items()
        if array.chunks is None and any(edges_of(array, dim) is not None for dim in array.dims)
    }
    if len(group.items) == 1:
        stored = {}
        computed = computed if len(parts) > 1 and are_linked(list(computed.values())) else {}
    found: dict[type[SharedChunks], dict[_Place, Any]] = {ComputedChunks: computed, StoredChunks: stored}
    return {kind: arrays for kind, arrays in found.items() if arrays}


def _replaced(key: str, part: Any, found: Mapping[_Place, Any]) -> Any:
    """Return a part with other DataArrays."""
    own = {name: array for (part_key, name), array in found.items() if part_key == key}
    if not own:
        return part
    return part.assign(own) if hasattr(part, "data_vars") else next(iter(own.values()))
