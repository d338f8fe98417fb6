"""xarray.DataArrays, in memory or lazy, and xarray.Datasets: variables of one shape and dtype, as bands."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from importlib import import_module
from itertools import accumulate, pairwise, starmap
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.data_array_attrs import MASK_ATTRS, MASK_COORDINATE, NODATA_ATTRS
from georeader._core.reporting import warn_at_caller
from georeader._core.sentinels import UNSET
from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.plan.grid import even_edges
from georeader._export.plan.metadata import Metadata, metadata_from_attrs
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks, SourceTraits
from georeader._export.sources.geodata import Declared, Subject, describe, source_of_pixels
from georeader._export.sources.packing import Opened, Packing, pack, packing_of
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.sliced import Axes, Cut, SlicedSource, Windows, cuts_of, windows_of
from georeader._export.sources.xarray_georeference import georeference_of, grid_mapping_name, spatial_dims
from georeader._export.sources.xarray_metadata import (
    FACTOR_NAMES,
    band_numbers,
    metadata_of,
    nodata_of,
    per_band,
    tags_of,
    title_of,
    with_set_nodata,
    without_encoding,
)
from georeader._export.spool import OpenSpool
from georeader.abstract_reader import same_nodata
from georeader.errors import DtypeError, GeoreferenceError, MetadataWarning, NodataError, ShapeError
from georeader.window_utils import compare_crs, same_transform

#: Threads that read windows of a lazy file: xarray's backends have locks where they need some.
_CONCURRENT_READS = 4

#: Georeferencing attributes of a Dataset, used for variables that have none.
_PLACE_ATTRS = ("crs", "transform", "resolution", "resolution_xy", "spec", "zarr_conventions")
_PLACE_PREFIXES = ("proj:", "spatial:")

#: Attributes by which a variable without dimensions is known as a grid mapping.
_GRID_MAPPING_ATTRS = ("grid_mapping_name", "crs_wkt", "spatial_ref", "GeoTransform")

#: Names of rioxarray for variables that are bands of a file: numbers, not names.
_NUMBERED = re.compile(r"band_\d+")

#: Metadata that a single variable has from `to_xarray`.
_ONLY_OF_ONE = (
    "colorinterp", "colormap", "photometric", "nbits", "namespaces", "band_namespaces", "attribute_tables", "acquired",
)  # fmt: skip

#: The dimension along variables that are laid one on the other.
_VARIABLE_DIM = "georeader_variable"


def open_data_array(
    array: Any, missing: Any = UNSET, *, may_read: bool = True, open_spool: OpenSpool | None = None
) -> Source:
    """Open an xarray.DataArray, of numpy, of dask or lazy, as a source, by rioxarray's conventions.

    Nothing is loaded but windows, and none of them stays in the DataArray. ``missing`` is the value of NaN in a file of
    integers, where the caller passes one (None: nothing); without ``may_read`` no pixel is read that is not in memory,
    and an encoding is taken as it is.
    """
    return pack(_open_values(with_set_nodata(array), missing, open_spool), missing, may_read=may_read)


def _open_values(array: Any, missing: Any, open_spool: OpenSpool | None) -> Opened:
    """Open a DataArray, and read how its values are to be stored; no pixel is read."""
    rows, columns = spatial_dims(array)
    if not array.size:
        raise ShapeError(f"data_save has the dimensions {dict(array.sizes)}, and no pixels")
    band, axes = _axes(array, rows, columns)
    count = axes.shape(array.shape)[0]
    packing = packing_of(array.encoding, array.dtype, count, band_numbers(array, band, count))
    if packing is not None and missing is not UNSET and (packing.fill is not None or packing.dtype.kind in "iu"):
        packing = replace(packing, fill=missing)
    attrs = metadata_of(array, band, count)
    place = georeference_of(array, rows, columns)
    attrs |= {"gcps": place.gcps, "rpcs": place.rpcs}
    bare = Declared(
        axes.shape(array.shape), place.transform, place.crs, without_encoding(attrs, array), nodata_of(array)
    )
    fill = bare.fill_value_default if packing is None or packing.fill is None else packing.fill
    declared = replace(bare, attrs=attrs, fill_value_default=fill)
    source = _open_pixels(array, axes, declared, _mask_of(array, rows, columns), open_spool)
    bare_spec = describe(bare, dtype=array.dtype, has_mask=source.spec.has_mask)
    return Opened(source, packing, bare_spec, (range(count),))


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


def _mask_of(array: Any, rows: Hashable, columns: Hashable) -> Any:
    """Return the (row, column) variable of the mask that `to_xarray` made a coordinate, or None."""
    found = array.coords.get(MASK_COORDINATE)
    if found is None or set(found.dims) != {rows, columns} or found.dtype != bool:
        return None
    is_mask = all(found.attrs.get(name) == value for name, value in MASK_ATTRS.items())
    return found.variable.transpose(rows, columns) if is_mask else None


def _open_pixels(array: Any, axes: Axes, declared: Declared, mask: Any, open_spool: OpenSpool | None) -> Source:
    """Open the values where they are: ``data`` and ``values`` of an array that reads a file would load it."""
    name, variable = title_of(array), array.variable
    if is_in_memory(array):
        spec = describe(declared, dtype=array.dtype, has_mask=mask is not None)
        return source_of_pixels(name, spec, axes.arrange(array.values), None if mask is None else mask[...].values)
    if array.chunks is not None:
        data = array.data if mask is None else _masked_chunks(array, axes, mask)
        windows = windows_of(data, axes.row, open_spool)
    else:  # each window is a new variable, so that the lazy one stays lazy

        def cut(key: Any) -> NDArray[Any]:
            pixels: NDArray[Any] = variable[key].values
            if mask is None:
                return pixels
            hidden = ~mask[key[axes.row], key[axes.column]].values
            return np.ma.MaskedArray(pixels, np.broadcast_to(axes.spread(hidden), pixels.shape))

        windows = Windows(cut, _preferred_edges(array), _CONCURRENT_READS, is_masked=mask is not None)
    spec = describe(declared, dtype=array.dtype, has_mask=windows.is_masked)
    return SlicedSource(name, spec, Subject.of(array), windows, axes)


def is_in_memory(array: Any) -> bool:
    """Return whether values are in memory: xarray's repr has values only of those, and loads none."""
    return array.chunks is None and repr(array.variable).partition("\n")[2].startswith("array(")


def _masked_chunks(array: Any, axes: Axes, mask: Any) -> Any:
    """Return the dask array of a DataArray with its mask, in the same chunks."""
    chunks = {array.dims[axis]: array.chunks[axis] for axis in (axes.row, axes.column)}
    dask_array = import_module("dask.array")
    hidden = ~mask.chunk(chunks).data
    return dask_array.ma.masked_array(array.data, dask_array.broadcast_to(axes.spread(hidden), array.shape))


def _preferred_edges(array: Any) -> list[tuple[int, ...]] | None:
    """Return the edges of the file's chunks, as if the array began at the edge of one; a selection may not."""
    preferred = array.encoding.get("preferred_chunks")
    if not isinstance(preferred, Mapping):
        return None
    chunks = [(size, int(np.ravel(preferred.get(dim, size))[0])) for dim, size in array.sizes.items()]
    return [even_edges(size, chunk) if chunk > 0 else (0, size) for size, chunk in chunks]


# Datasets.


@dataclass(frozen=True)
class _Band:
    """A variable of a Dataset, as a raster."""

    name: Hashable
    array: Any
    opened: Opened

    @property
    def spec(self) -> SourceSpec:
        """Spec of its values, with nodata, scales and offsets as they are to be stored."""
        return self.opened.source.spec

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Dtype that its values are stored as."""
        return self.spec.dtype if self.opened.packing is None else self.opened.packing.dtype

    @property
    def is_decoded(self) -> bool:
        """Whether its missing pixels are NaN, and become a number when they are stored."""
        packing = self.opened.packing
        return packing is not None and packing.fill is not None and self.spec.dtype.kind in "fc"


def open_dataset(
    dataset: Any, missing: Any = UNSET, *, may_read: bool = True, open_spool: OpenSpool | None = None
) -> Source:
    """Open an xarray.Dataset, as `open_data_array`; its variables along rows and columns are bands, with their names.

    Attributes of variables become tags of bands. A single variable may have bands of its own, as a DataArray has.
    """
    bands = [
        _Band(name, array, _open_values(array, missing, open_spool)) for name, array in rasters_of(dataset).items()
    ]
    _check_shapes(bands)
    _check_dtypes(bands)
    _check_places(bands)
    nodata = _common_nodata(bands) if missing is UNSET else missing
    metadata = _metadata(bands, dataset)
    counts = [band.spec.count for band in bands]
    spec = replace(
        bands[0].spec,
        count=sum(counts),
        dtype=np.result_type(*(band.spec.dtype for band in bands)),
        fill_value=nodata,
        metadata=_with_factors(metadata, bands, [band.spec.metadata for band in bands]),
        has_mask=any(band.spec.has_mask for band in bands),
    )
    source: Source = _computed_together(bands, spec, open_spool) or _Bands([band.opened.source for band in bands], spec)
    if missing is UNSET and nodata is not None:
        origins = [band for band in bands for _ in range(band.spec.count)]
        own = [nodata if band.is_decoded else band.spec.fill_value for band in origins]
        if not all(same_nodata(value, nodata) for value in own):
            source = _OneNodata(source, [band.name for band in origins], own, nodata)
    bare = replace(spec, metadata=_with_factors(metadata, bands, [band.opened.bare.metadata for band in bands]))
    parts = tuple(starmap(range, pairwise(accumulate(counts, initial=0))))
    return pack(Opened(source, _common_packing(bands, nodata), bare, parts), missing, may_read=may_read)


def rasters_of(dataset: Any) -> dict[Hashable, Any]:
    """Return the variables along rows and columns, each with its georeferencing."""
    named = {grid_mapping_name(array) for array in dataset.data_vars.values()}
    mappings = [  # which are coordinates if a file was opened so
        name
        for name, array in dataset.data_vars.items()
        if not array.ndim and (name in named or any(attr in array.attrs for attr in _GRID_MAPPING_ATTRS))
    ]
    dataset = dataset.set_coords(mappings)
    place = {
        key: value
        for key, value in dataset.attrs.items()
        if key in _PLACE_ATTRS or str(key).startswith(_PLACE_PREFIXES)
    }
    found = {}
    for name, array in dataset.data_vars.items():
        with suppress(GeoreferenceError, ShapeError):
            spatial_dims(array)
            found[name] = array
    if not found:
        dims = ", ".join(f"{name!r} {array.dims}" for name, array in dataset.data_vars.items()) or "none"
        raise ShapeError(
            f"data_save is an xarray.Dataset without a variable along rows and columns (its variables: {dims}); name "
            "these dimensions y and x, as in dataset.rename(rows='y', columns='x')"
        )
    bounds = {coord.attrs.get("bounds", coord.encoding.get("bounds")) for coord in dataset.coords.values()}
    lost = ", ".join(repr(name) for name in dataset.data_vars if name not in found and name not in bounds)
    if lost:
        warn_at_caller(f"variables of the Dataset without rows and columns are left out: {lost}", MetadataWarning)
    return {
        name: array.assign_attrs(place | _attrs_of_all(dataset, array, number, len(found)) | array.attrs)
        for number, (name, array) in enumerate(found.items())
    }


def _attrs_of_all(dataset: Any, array: Any, number: int, count: int) -> dict[Any, Any]:
    """Return the attributes that a Dataset has for a variable without its own, where `to_dataset` leaves them."""
    found: dict[Any, Any] = {}
    for names in ((*NODATA_ATTRS, "nodatavals"), *FACTOR_NAMES.values(), ("units",)):
        if any(place.get(name) is not None for place in (array.attrs, array.encoding) for name in names):
            continue
        for name in names:
            each = per_band(dataset.attrs.get(name), count, None)
            if each is not None:
                found[name] = [each[number]]
    return found


def _check_shapes(bands: Sequence[_Band]) -> None:
    deep = [band for band in bands if band.spec.count > 1]
    if deep and len(bands) > 1:
        name, sizes = deep[0].name, dict(deep[0].array.sizes)
        raise ShapeError(
            f"variable {name!r} of the Dataset has the dimensions {sizes}, and is one of {len(bands)}; several "
            f"variables must have rows and columns alone: select the rest first, as in dataset.isel(...), or save "
            f"dataset[{name!r}]"
        )
    if len({band.spec.shape[1:] for band in bands}) > 1:
        declared = ", ".join(f"{band.name!r} {band.spec.height_px} x {band.spec.width_px}" for band in bands)
        raise ShapeError(
            f"the variables of the Dataset have several shapes ({declared}); choose those of one, as in "
            f"dataset[[{bands[0].name!r}]], or resample them"
        )


def _check_dtypes(bands: Sequence[_Band]) -> None:
    if len({band.stored_dtype for band in bands}) == 1:
        return
    declared = ", ".join(
        f"{band.name!r} {band.stored_dtype}" + (" by its encoding" if band.stored_dtype != band.spec.dtype else "")
        for band in bands
    )
    advice = "choose those of one dtype"
    with suppress(TypeError):
        common = np.result_type(*(band.spec.dtype for band in bands))
        advice = f"cast them, as in dataset.astype('{common}')" if common.kind in "iufc" else advice
    raise DtypeError(
        f"the variables of the Dataset have several dtypes ({declared}), and a GeoTIFF has one; {advice}, or save "
        f"some of them, as in dataset[[{bands[0].name!r}]]"
    )


def _check_places(bands: Sequence[_Band]) -> None:
    first = bands[0].spec
    for band in bands[1:]:
        if not same_transform(band.spec.transform, first.transform) or not compare_crs(band.spec.crs, first.crs):
            raise GeoreferenceError(
                f"variable {band.name!r} of the Dataset lies elsewhere than {bands[0].name!r}: {band.spec.crs} "
                f"{tuple(band.spec.transform[:6])}, not {first.crs} {tuple(first.transform[:6])}; save them apart"
            )


def _common_nodata(bands: Sequence[_Band]) -> Any:
    """Return nodata for all bands, or None; where theirs differ it is NaN, or in integers the first one."""
    declared = [band.spec.fill_value for band in bands if band.spec.fill_value is not None]
    if not declared:
        return None
    is_one = all(same_nodata(value, declared[0]) for value in declared)
    return declared[0] if is_one or bands[0].stored_dtype.kind not in "fc" else np.nan


def _common_packing(bands: Sequence[_Band], fill: Any) -> Packing | None:
    packings = [band.opened.packing for band in bands if band.opened.packing is not None]
    if len(packings) < len(bands):
        return None
    return Packing(
        packings[0].dtype,
        _factors(bands, [packing.scales for packing in packings], 1.0),
        _factors(bands, [packing.offsets for packing in packings], 0.0),
        fill if any(band.is_decoded for band in bands) else None,
        is_of_file=all(packing.is_of_file for packing in packings),
    )


def _with_factors(metadata: Metadata, bands: Sequence[_Band], each: Sequence[Metadata]) -> Metadata:
    scales = _factors(bands, [declared.scales for declared in each], 1.0)
    return replace(metadata, scales=scales, offsets=_factors(bands, [declared.offsets for declared in each], 0.0))


def _factors(bands: Sequence[_Band], each: Sequence[tuple[float, ...]], neutral: float) -> tuple[float, ...]:
    """Return the factors of all variables, one after the other; none if no variable has some."""
    if not any(each):
        return ()
    pairs = zip(bands, each, strict=True)
    return tuple(number for band, declared in pairs for number in declared or (neutral,) * band.spec.count)


def _metadata(bands: Sequence[_Band], dataset: Any) -> Metadata:
    """Return the metadata of all variables as bands, without scales and offsets."""
    first = bands[0].spec.metadata
    points = [pair for band in bands for pair in band.spec.metadata.tags if pair[0] == "AREA_OR_POINT"]
    tags = dict(points[:1]) | tags_of(dataset.attrs)
    if len(bands) == 1:
        tags = dict(first.tags) | tags
        band_tags = [dict(declared) for declared in first.band_tags]
    else:
        band_tags = [_band_tags(band, tags) for band in bands]
    attrs = {
        "descriptions": [name for band in bands for name in _descriptions(band)],
        "units": [unit for band in bands for unit in band.spec.metadata.units or (None,) * band.spec.count],
        "tags": tags,
        "band_tags": band_tags or None,
    }
    found = metadata_from_attrs(attrs, sum(band.spec.count for band in bands))
    if len(bands) == 1:
        found = replace(found, **{name: getattr(first, name) for name in _ONLY_OF_ONE})
    return replace(found, gcps=first.gcps, rpcs=first.rpcs)


def _descriptions(band: _Band) -> Sequence[str | None]:
    """Return the name of a variable; that of each of its bands, where it has several."""
    if band.spec.count > 1:
        return band.spec.metadata.descriptions or (str(band.name),) * band.spec.count
    long_name = band.array.attrs.get("long_name")
    if isinstance(band.name, Integral):
        return [long_name if isinstance(long_name, str) else None]
    is_number = isinstance(long_name, str) and _NUMBERED.fullmatch(str(band.name)) is not None
    return [str(long_name) if is_number else str(band.name)]


def _band_tags(band: _Band, of_file: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a variable that are not those of all, as tags."""
    own = band.spec.metadata.tags
    tags = {key: value for key, value in own if key != "AREA_OR_POINT" and of_file.get(key) != value}
    for declared in band.spec.metadata.band_tags:
        tags |= dict(declared)
    long_name = band.array.attrs.get("long_name")
    if isinstance(long_name, str) and [long_name] != list(_descriptions(band)):
        tags["long_name"] = long_name
    return tags


class _Bands:
    """Sources of one grid, whose bands follow one another."""

    name = "Dataset"

    def __init__(self, sources: Sequence[Source], spec: SourceSpec) -> None:
        self.sources, self.spec = sources, spec
        traits = [source.traits for source in sources]
        # Those of the first source that has some, and an edge between any two sources.
        chunks = next((each.chunks for each in traits if each.chunks is not None), None)
        if chunks is not None and len(sources) > 1:
            edges = tuple(accumulate((source.spec.count for source in sources), initial=0))
            chunks = Chunks(edges, chunks.row_edges_px, chunks.column_edges_px)
        self.traits = SourceTraits(
            is_in_memory=all(each.is_in_memory for each in traits),
            chunks=chunks,
            concurrent_reads=min(each.concurrent_reads for each in traits),
            reader_bytes=sum(each.reader_bytes for each in traits),
        )

    def _shares(self, bands: range) -> Iterator[tuple[Source, range, int]]:
        """Iterate over the sources that are read for some bands, with their own bands and the position of the first."""
        first = 0
        for source in self.sources:
            count = source.spec.count
            own = range(max(bands.start, first) - first, min(bands.stop, first + count) - first)
            if own or source.spec.has_mask:
                yield source, own, first + own.start - bands.start
            first += count

    def cuts(self, region: PixelWindow, bands: range) -> list[Cut]:
        """Return the boxes of the arrays that `read` needs."""
        return [
            cut
            for source, own, _ in self._shares(bands)
            for cut in cuts_of(source, region, own or range(source.spec.count))
        ]

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window of some bands; the mask, where there is one, is that of all sources together."""
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        masks = []
        for source, own, start in self._shares(bands):
            found, mask = source.read(region, own or range(source.spec.count))
            masks.append(mask)
            if own:
                pixels[start : start + len(own)] = found
        valid = [mask for mask in masks if mask is not None]
        return pixels, reduce(np.logical_and, valid) if valid else None

    def close(self) -> None:
        """Release the sources."""
        for source in self.sources:
            source.close()


def _computed_together(bands: Sequence[_Band], spec: SourceSpec, open_spool: OpenSpool | None) -> Source | None:
    """Return variables as one dask array, so that tasks they share run once; None if not all are dask's."""
    arrays = [band.array for band in bands]
    if len(bands) == 1 or any(array.chunks is None for array in arrays) or len({array.dtype for array in arrays}) > 1:
        return None
    if spec.has_mask:
        return None
    rows, columns = spatial_dims(arrays[0])
    if any(spatial_dims(array) != (rows, columns) for array in arrays):
        return None
    plain = [array.variable.squeeze([dim for dim in array.dims if dim not in (rows, columns)]) for array in arrays]
    stacked = type(plain[0]).concat([one.transpose(rows, columns) for one in plain], dim=_VARIABLE_DIM)
    windows = windows_of(stacked.data, 1, open_spool)
    whole = replace(spec, has_mask=windows.is_masked)
    return SlicedSource("Dataset", whole, Subject.of(stacked), windows, Axes(count=3, band=0, row=1, column=2))


class _OneNodata(SourceWrapper):
    """A source whose bands get one value for their missing pixels."""

    def __init__(self, source: Source, names: Sequence[Hashable], own: Sequence[Any], nodata: Any) -> None:
        super().__init__(source)
        self._names, self._own, self._nodata = names, own, nodata

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window; a pixel that has the common nodata but is not missing in its own variable is refused."""
        pixels, mask = self.source.read(region, bands)
        changed = np.array(pixels)
        for position, band in enumerate(bands):
            own = self._own[band]
            if same_nodata(own, self._nodata):
                continue
            if (changed[position] == self._nodata).any():
                raise NodataError(
                    f"variable {self._names[band]!r} has pixels of {self._nodata}, which is the nodata of others; a "
                    "GeoTIFF has one for all bands: pass a nodata= that no variable has"
                )
            if own is not None:
                changed[position][changed[position] == own] = self._nodata
        return changed, mask
