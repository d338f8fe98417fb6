"""What a cube is split along: labels of dimensions, variables of a Dataset, chunks of the grid. No pixel is read."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from georeader._core.reporting import held_warnings
from georeader._export.plan.grid import even_edges
from georeader._export.sources.xarray_georeference import georeference_of, spatial_dims, values_of
from georeader._export.sources.xarray_metadata import label_text
from georeader._export.sources.xarray_source import is_in_memory, rasters_of
from georeader.errors import GeoreferenceError, OptionError

VARIABLE, CHUNK = "variable", "chunk"

#: Name of the asset where an item is one file.
ONLY_ASSET = "data"


@dataclass(frozen=True)
class Cube:
    """A cube and what it is split along."""

    parts: Mapping[str, Any]  #: DataArrays, or one Dataset, by the asset that each becomes
    label_dims: tuple[Hashable, ...]  #: in the order in which items are numbered
    is_by_variable: bool
    row_edges_px: tuple[int, ...] = ()  #: of the chunks that become files; empty: the grid is not split
    column_edges_px: tuple[int, ...] = ()

    @cached_property
    def arrays(self) -> list[Any]:
        """All DataArrays."""
        return [array for part in self.parts.values() for array in arrays_of(part).values()]

    @property
    def spatial_dims(self) -> tuple[Hashable, Hashable]:
        """The dimensions along rows and columns."""
        return spatial_dims(self.arrays[0])

    @property
    def coords(self) -> Any:
        """The coordinates of all parts."""
        return next(iter(self.parts.values())).coords


def arrays_of(part: Any) -> dict[Hashable, Any]:
    """Return the DataArrays of one file: the variables of a Dataset along rows and columns, or the DataArray."""
    if not hasattr(part, "data_vars"):
        return {part.name: part}
    with held_warnings():  # which the saves give
        return {name: part[name] for name in rasters_of(part)}


def parse_cube(cube: Any, dim: Any, chunk_px: Any) -> Cube:
    """Check what a cube is to be split along.

    Raises:
        OptionError: Something is not a dimension with labels, or chunks that are not the cube's.
    """
    names = _names(dim)
    by_variable = VARIABLE in names and VARIABLE not in cube.dims
    by_chunk = CHUNK in names and CHUNK not in cube.dims
    labels = tuple(
        name for name in names if not (by_variable and name == VARIABLE) and not (by_chunk and name == CHUNK)
    )
    is_dataset = hasattr(cube, "data_vars")
    if by_variable and not is_dataset:
        raise OptionError("dim='variable' is for a Dataset; pass cube.to_dataset(dim=...), or the name of a dimension")
    parts = {str(name): array for name, array in rasters_of(cube).items()} if by_variable else {ONLY_ASSET: cube}
    found = Cube(parts, labels, by_variable)
    _check_labels(found)
    if not by_chunk:
        if chunk_px is not None:
            raise OptionError(f"chunk_px={chunk_px!r} is for dim='chunk'; add 'chunk' to dim, or leave it out")
        return found
    rows, columns = _chunk_edges(found, chunk_px)
    return Cube(parts, labels, by_variable, rows, columns)


def _names(dim: Any) -> tuple[Any, ...]:
    names = tuple(dim) if isinstance(dim, (list, tuple)) else (dim,)
    if not names or not all(isinstance(name, str) for name in names):
        raise OptionError(f"dim={dim!r} is not a name; pass a dimension, 'variable', 'chunk', or a list of these")
    if len(set(names)) < len(names):
        raise OptionError(f"dim={dim!r} has one name twice; keep one of them")
    return names


def _check_labels(cube: Cube) -> None:
    for dim in cube.label_dims:
        for array in cube.arrays:
            if dim not in array.dims:
                what = f"variable {array.name!r}" if len(cube.arrays) > 1 else "the cube"
                remedy = "name one of these, 'variable' or 'chunk', or leave that variable out"
                if dim in cube.coords and not cube.coords[dim].dims:
                    remedy = f"pass cube.expand_dims({dim!r})"
                raise OptionError(
                    f"dim={dim!r} is not a dimension of {what}, which has {tuple(map(str, array.dims))}; {remedy}"
                )
        if dim in cube.spatial_dims:
            raise OptionError(f"dim={dim!r} is along rows or columns; pass 'chunk' to split the grid")
        if dim not in cube.coords:
            raise OptionError(
                f"dim={dim!r} has no labels, which name its files; add them, as in cube.assign_coords({dim}=[...])"
            )


# Chunks of the grid.


def _chunk_edges(cube: Cube, chunk_px: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the edges of the chunks along rows and columns."""
    array = cube.arrays[0]
    for dim in cube.spatial_dims:
        if dim not in array.coords:
            raise OptionError(
                f"dim='chunk' needs coordinates along {dim!r}, by which a part of the grid has its place; add them, as "
                "rioxarray does when it opens a file"
            )
    place = georeference_of(array, *cube.spatial_dims)
    if place.gcps is not None or place.rpcs is not None:
        raise GeoreferenceError(
            "dim='chunk': ground control points and RPCs are those of the whole grid; warp it first"
        )
    given = (None, None) if chunk_px is None else _pair(chunk_px)
    own = [common_edges(cube.arrays, dim) for dim in cube.spatial_dims]
    rows, columns = (
        _edges(dim, cube.arrays[0].sizes[dim], edges, side_px)
        for dim, edges, side_px in zip(cube.spatial_dims, own, given, strict=True)
    )
    return rows, columns


def _pair(chunk_px: Any) -> tuple[int, int]:
    sides = chunk_px if isinstance(chunk_px, (list, tuple)) else (chunk_px, chunk_px)
    is_valid = len(sides) == 2 and all(
        hasattr(side, "__index__") and not isinstance(side, bool) and side > 0 for side in sides
    )
    if not is_valid:
        raise OptionError(f"chunk_px={chunk_px!r} is not a size; pass a number of pixels, or (rows, columns)")
    return int(sides[0]), int(sides[1])


def _edges(dim: Hashable, size_px: int, own: tuple[int, ...] | None, side_px: int | None) -> tuple[int, ...]:
    if side_px is None:
        if own is None:
            raise OptionError(
                "dim='chunk': the cube has no chunks that all of its variables share; pass chunk_px=(rows, columns)"
            )
        return own
    edges = even_edges(size_px, side_px)
    cut = [edge for edge in edges if own is not None and edge not in own]
    if cut:
        raise OptionError(
            f"chunk_px cuts chunks of the cube along {dim!r} at {cut[0]}, which would be computed for several files; "
            f"pass a multiple of their size, or cube.chunk({{{dim!r}: {side_px}}})"
        )
    return edges


def common_edges(arrays: Sequence[Any], dim: Hashable) -> tuple[int, ...] | None:
    """Return the edges along a dimension at which no chunk of any array is cut; None where none has chunks."""
    known = [set(edges) for array in arrays if (edges := edges_of(array, dim)) is not None]
    return tuple(sorted(set.intersection(*known))) if known else None


def edges_of(array: Any, dim: Hashable) -> tuple[int, ...] | None:
    """Return the edges of the chunks of a DataArray of dask, or of a lazy one's file; None if there are none."""
    if array.chunks is not None:
        return tuple(accumulate((size for size in array.chunksizes[dim] if size), initial=0))
    preferred = array.encoding.get("preferred_chunks")
    if is_in_memory(array) or not isinstance(preferred, Mapping) or dim not in preferred:
        return None
    size_px = int(np.ravel(preferred[dim])[0])
    return even_edges(array.sizes[dim], size_px) if size_px > 0 else None


# Labels.


def labels_along(cube: Cube, dim: Hashable) -> list[dict[str, Any]]:
    """Return the labels of each step along a dimension: its coordinate, and others along it alone."""
    names = [dim, *(name for name, coord in cube.coords.items() if coord.dims == (dim,) and name != dim)]
    columns = {str(name): values_of(cube, name) for name in names}
    count = cube.arrays[0].sizes[dim]
    return [{name: as_python(values[step]) for name, values in columns.items()} for step in range(count)]


def scalar_labels(cube: Cube) -> dict[str, Any]:
    """Return the coordinates without a dimension."""
    return {str(name): as_python(values_of(cube, name)[()]) for name, coord in cube.coords.items() if not coord.dims}


def other_times(cube: Cube) -> list[datetime]:
    """Return the times along the only dimension of times that is not split, in order; empty without one."""
    dims = [dim for dim in cube.arrays[0].dims if dim not in cube.label_dims and dim in cube.coords]
    found = [[as_time(as_python(label)) for label in values_of(cube, dim)] for dim in dims]
    of_times = [sorted(filter(None, times)) for times in found if times and None not in times]
    return of_times[0] if len(of_times) == 1 else []


def as_python(label: Any) -> Any:
    """Return a label for templates: a duration as text, a time of cftime as a datetime where that has the day."""
    if isinstance(label, (np.timedelta64, timedelta)):
        return label_text(np.timedelta64(label))
    if isinstance(label, np.generic) and not isinstance(label, np.datetime64):
        return label.item()
    if hasattr(label, "calendar") and hasattr(label, "timetuple"):
        try:
            return datetime.fromisoformat(label.isoformat())
        except ValueError:
            return label
    return label


def as_time(label: Any) -> datetime | None:
    """Return a label as a time in UTC; None if it is not one."""
    if isinstance(label, np.datetime64):
        label = None if np.isnat(label) else label.astype("datetime64[us]").item()
    if not isinstance(label, datetime):
        return None
    return label.replace(tzinfo=UTC) if label.tzinfo is None else label.astimezone(UTC)


def windows_along(edges_px: Iterable[int]) -> list[slice]:
    """Return the pixels of each chunk."""
    return [slice(start, stop) for start, stop in pairwise(edges_px)]
