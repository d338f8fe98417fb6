"""xarray.DataArrays, in memory or lazy."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from georeader._core.reporting import warn_at_caller
from georeader._core.sentinels import UNSET
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources.described import describe
from georeader._export.sources.geodata import MappedSource, source_of_pixels
from georeader._export.sources.packing import PackedSource, Packing, fitting, packing_of
from georeader._export.sources.protocol import Source
from georeader._export.sources.sliced import Axes, Key, SlicedSource, Windows, windows_of
from georeader._export.sources.xarray_georeference import georeference_of, spatial_dims
from georeader._export.sources.xarray_metadata import (
    band_numbers,
    metadata_of,
    nodata_of,
    title_of,
    with_set_nodata,
    without_encoding,
)
from georeader._export.spool import OpenSpool
from georeader.errors import MetadataWarning, ShapeError

#: Threads that read windows of a lazy file: xarray's backends have locks where they need some.
_CONCURRENT_READS = 4


@dataclass(frozen=True)
class _Seen:
    """Attributes of a DataArray under the names of the GeoData protocol."""

    shape: tuple[int, int, int]
    transform: Affine
    crs: CRS | None
    attrs: Mapping[str, Any]
    fill_value_default: Any
    fill_value_is_explicit: bool = True


def open_data_array(
    array: Any, missing: Any = UNSET, *, may_read: bool = True, open_spool: OpenSpool | None = None
) -> Source:
    """Open an xarray.DataArray as a source, by rioxarray's conventions.

    Rows and columns are dimensions named y and x, latitude and longitude, lat and lon, or those whose coordinates have
    CF's attributes for them; bands are a third one, in any order. CRS and transform come from the grid mapping
    coordinate (``spatial_ref``) and from the coordinates, which must be evenly spaced. Values that were decoded
    (``encoding``) are stored again as they were in their file: with its dtype, scale, offset and fill value. Without an
    encoding they are stored as they are, with the nodata, scale and offset of ``attrs``.

    An encoding that cannot hold the values does not apply: see `packing.fitting`.

    Nothing is loaded but windows, and none of them stays in the DataArray: its ``values`` are never touched.

    Args:
        array: Of numpy, of dask, or lazily opened from a file.
        missing: Value of NaN in a file of integers, where the caller passes one; None: nothing.
        may_read: False: no pixel is read that is not in memory, and an encoding is taken as it is.
        open_spool: As in `sliced.windows_of`.

    Raises:
        ShapeError: More than one dimension besides rows and columns; or chunks of a size not known.
        GeoreferenceError: It has no rows and columns, or coordinates that are not evenly spaced.
        MetadataError: Its metadata do not fit its bands.
        DtypeError: Its dtype is not a numpy dtype.
    """
    return pack(open_values(with_set_nodata(array), missing, open_spool), missing, may_read=may_read)


@dataclass(frozen=True)
class Opened:
    """A raster whose values are not packed yet.

    Attributes:
        source: Has the values; its spec has nodata, scales and offsets as they are to be stored.
        packing: How the values are stored; None: as they are, since they are not numbers.
        bare: The spec without nodata, scales and offsets of the encoding: of values that are stored as they are.
        parts: Bands that have one encoding.
    """

    source: Source
    packing: Packing | None
    bare: SourceSpec
    parts: tuple[range, ...]


def open_values(array: Any, missing: Any = UNSET, open_spool: OpenSpool | None = None) -> Opened:
    """Open a DataArray, and read how its values are to be stored; no pixel is read.

    Args:
        array: As in `open_data_array`.
        missing: As in `open_data_array`.
        open_spool: As in `open_data_array`.

    Raises:
        GeoreaderError: As `open_data_array`.
    """
    rows, columns = spatial_dims(array)
    if not array.size:
        raise ShapeError(f"data_save has the dimensions {dict(array.sizes)}, and no pixels")
    band, axes = _axes(array, rows, columns)
    count = axes.shape(array.shape)[0]
    packing = packing_of(array.encoding, array.dtype, count, band_numbers(array, band, count))
    if packing is not None and missing is not UNSET and (packing.fill is not None or packing.dtype.kind in "iu"):
        packing = replace(packing, fill=missing)
    seen = _see(array, rows, columns, axes, metadata_of(array, band, count), None if packing is None else packing.fill)
    source = _open_pixels(array, axes, seen, open_spool)
    bare = replace(seen, attrs=without_encoding(seen.attrs, array), fill_value_default=nodata_of(array))
    spec = describe(bare, dtype=array.dtype, has_mask=source.spec.has_mask)
    return Opened(source, packing, spec, (range(count),))


def pack(opened: Opened, missing: Any, *, may_read: bool) -> Source:
    """Return a source of what is stored: values in their encoding, or as they are where it cannot hold them.

    Args:
        opened: Has the values.
        missing: As in `open_data_array`.
        may_read: As in `open_data_array`.

    Raises:
        ReadError: Values that are checked cannot be read; the source is closed then.
    """
    try:
        return _pack(opened, missing, may_read=may_read)
    except BaseException:
        opened.source.close()
        raise


def _pack(opened: Opened, missing: Any, *, may_read: bool) -> Source:
    source, packing, dtype = opened.source, opened.packing, opened.source.spec.dtype
    if packing is None or not packing.changes(dtype):
        return source
    source, lost = fitting(source, packing, opened.parts, may_read=may_read)
    if lost is None:
        is_seen = source.traits.is_in_memory or isinstance(source, MappedSource)
        return PackedSource(source, packing, source.spec, checks=not is_seen)
    warn_at_caller(
        f"the encoding of {source.name} ({packing}) cannot hold its values, such as {lost!s}; they are saved as "
        f"{dtype}, without the encoding; pass array.drop_encoding() to save them so without a warning",
        MetadataWarning,
    )
    own = packing.unpacked(dtype, missing)
    fill = opened.bare.fill_value if own.fill is None else own.fill
    return PackedSource(source, own, replace(opened.bare, fill_value=fill))


def _see(array: Any, rows: Hashable, columns: Hashable, axes: Axes, attrs: dict[str, Any], fill: Any) -> _Seen:
    georeference = georeference_of(array, rows, columns)
    return _Seen(
        shape=axes.shape(array.shape),
        transform=georeference.transform,
        crs=georeference.crs,
        attrs=attrs | {"gcps": georeference.gcps, "rpcs": georeference.rpcs},
        fill_value_default=nodata_of(array) if fill is None else fill,
    )


def _axes(array: Any, rows: Hashable, columns: Hashable) -> tuple[Hashable | None, Axes]:
    """Return the dimension along bands, and the positions of all; other dimensions must have a length of one."""
    others = [dim for dim in array.dims if dim not in (rows, columns)]
    long = [dim for dim in others if array.sizes[dim] != 1]
    if len(long) > 1:
        raise ShapeError(
            f"data_save has the dimensions {dict(array.sizes)}; a GeoTIFF has bands besides rows and columns, so "
            f"select all others first, as in array.isel({{{long[0]!r}: 0}}), and save each to its own file"
        )
    bands = long or [dim for dim in others if dim == "band"] or others
    band = bands[0] if bands else None
    position = {dim: number for number, dim in enumerate(array.dims)}
    band_axis = None if band is None else position[band]
    return band, Axes(count=len(array.dims), band=band_axis, row=position[rows], column=position[columns])


def _open_pixels(array: Any, axes: Axes, seen: _Seen, open_spool: OpenSpool | None) -> Source:
    """Open the values where they are: ``data`` and ``values`` of an array that reads a file would load it."""
    name = title_of(array)
    if array.chunks is None and _is_in_memory(array):
        pixels = axes.arrange(array.values)
        return source_of_pixels(name, describe(seen, dtype=array.dtype, has_mask=False), pixels, None)
    if array.chunks is not None:
        windows, has_mask = windows_of(array.data, axes.row, open_spool)
    else:
        windows, has_mask = Windows(_cutter(array.variable), _preferred_edges(array), _CONCURRENT_READS), False
    spec = describe(seen, dtype=array.dtype, has_mask=has_mask)
    return SlicedSource(name, spec, array, windows, axes)


def _is_in_memory(array: Any) -> bool:
    """Return whether the values are in memory, without loading them; False if that is not known.

    xarray tells it by its representation alone: that has values only where they are in memory. To read an empty window
    instead fails in some backends.
    """
    lines = repr(array.variable).splitlines()
    return len(lines) > 1 and lines[1].startswith("array(")


def _cutter(variable: Any) -> Any:
    """Return a function that reads a window of a lazy variable, which stays lazy: each window is a new variable."""

    def cut(key: Key) -> Any:
        return variable[key].values

    return cut


def _preferred_edges(array: Any) -> list[tuple[int, ...]] | None:
    """Return the edges of the file's chunks, as if the array began at the edge of one; a selection may not."""
    preferred = array.encoding.get("preferred_chunks")
    if not isinstance(preferred, Mapping):
        return None
    edges = []
    for dim, size in array.sizes.items():
        chunk = int(np.ravel(preferred.get(dim, size))[0])
        edges.append((*range(0, size, chunk), size) if chunk > 0 else (0, size))
    return edges
