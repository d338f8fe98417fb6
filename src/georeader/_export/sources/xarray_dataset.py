"""xarray.Datasets: variables of one shape and dtype, as bands."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import accumulate, pairwise, starmap
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.reporting import warn_at_caller
from georeader._core.sentinels import UNSET
from georeader._core.windows import PixelWindow
from georeader._export.plan.metadata import Metadata, metadata_from_attrs
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks, SourceTraits
from georeader._export.sources.data_array import Opened, open_values, pack
from georeader._export.sources.packing import Packing
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.sliced import Axes, SlicedSource, windows_of
from georeader._export.sources.xarray_georeference import grid_mapping_name, spatial_dims
from georeader._export.sources.xarray_metadata import NODATA_ATTRS, per_band, tags_of
from georeader._export.spool import OpenSpool
from georeader._resample.pyramid import Mask
from georeader.abstract_reader import same_nodata
from georeader.errors import DtypeError, GeoreferenceError, MetadataWarning, NodataError, ShapeError
from georeader.window_utils import compare_crs, same_transform

#: Georeferencing attributes of a Dataset, used for variables that have none.
_PLACE_ATTRS = ("crs", "transform", "resolution", "resolution_xy", "spec", "zarr_conventions")
_PLACE_PREFIXES = ("proj:", "spatial:")

#: Attributes by which a variable without dimensions is known as a grid mapping.
_GRID_MAPPING_ATTRS = ("grid_mapping_name", "crs_wkt", "spatial_ref", "GeoTransform")

#: Names that rioxarray gives variables which are bands of a file: numbers, not names.
_NUMBERED = re.compile(r"band_\d+")

#: The dimension along variables that are laid one on the other.
_VARIABLE_DIM = "georeader_variable"


@dataclass(frozen=True)
class _Band:
    """A variable, as a raster.

    Attributes:
        name: Of the variable.
        array: The variable.
        opened: Its values, and how they are stored.
    """

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


def open_xarray_dataset(
    dataset: Any, missing: Any = UNSET, *, may_read: bool = True, open_spool: OpenSpool | None = None
) -> Source:
    """Open an xarray.Dataset as a source, whose bands are its variables along rows and columns.

    Their names become descriptions; scales, offsets and units stay those of each; their other attributes become tags of
    the band, those of the Dataset tags of the file. Variables of dask are computed together, so that what they share is
    computed once.

    A single variable may have bands of its own, as a DataArray has.

    Args:
        dataset: Its variables may be of numpy, of dask, or lazily opened from a file.
        missing: As in `data_array.open_data_array`.
        may_read: As in `data_array.open_data_array`.
        open_spool: As in `data_array.open_data_array`.

    Raises:
        ShapeError: There are no variables along rows and columns, or they have several shapes, or one of several has
            more dimensions.
        DtypeError: They are stored as several dtypes.
        GeoreferenceError: They lie on several grids.
        MetadataError: An attribute does not fit its variable.
    """
    bands = [_Band(name, array, open_values(array, missing, open_spool)) for name, array in _rasters(dataset).items()]
    _check_shapes(bands)
    _check_dtypes(bands)
    _check_places(bands)
    nodata = None if missing is not UNSET else _common_nodata(bands)
    packing = _common_packing(bands, nodata if missing is UNSET else missing)
    spec = _spec(bands, dataset, nodata if missing is UNSET else missing)
    source: Source = _computed_together(bands, spec, open_spool) or _Bands([band.opened.source for band in bands], spec)
    if missing is UNSET and nodata is not None:
        source = _with_one_nodata(source, bands, nodata)
    bare = replace(spec, metadata=_metadata(bands, dataset, [band.opened.bare.metadata for band in bands]))
    edges = accumulate((band.spec.count for band in bands), initial=0)
    return pack(Opened(source, packing, bare, tuple(starmap(range, pairwise(edges)))), missing, may_read=may_read)


def _rasters(dataset: Any) -> dict[Hashable, Any]:
    """Return the variables along rows and columns, each with its georeferencing."""
    mappings = _grid_mappings(dataset)
    dataset = dataset.set_coords(mappings)
    place = {
        key: value
        for key, value in dataset.attrs.items()
        if key in _PLACE_ATTRS or str(key).startswith(_PLACE_PREFIXES)
    }
    found, left_out = {}, []
    for name, array in dataset.data_vars.items():
        if _has_space(array):
            found[name] = array
        else:
            left_out.append(name)
    if not found:
        dims = ", ".join(f"{name!r} {array.dims}" for name, array in dataset.data_vars.items()) or "none"
        raise ShapeError(
            f"data_save is an xarray.Dataset without a variable along rows and columns (its variables: {dims}); name "
            "these dimensions y and x, as in dataset.rename(rows='y', columns='x')"
        )
    bounds = {coord.attrs.get("bounds", coord.encoding.get("bounds")) for coord in dataset.coords.values()}
    lost = ", ".join(repr(name) for name in left_out if name not in bounds)
    if lost:
        warn_at_caller(f"variables of the Dataset without rows and columns are left out: {lost}", MetadataWarning)
    return {
        name: array.assign_attrs(place | _attrs_of_all(dataset, array, number, len(found)) | array.attrs)
        for number, (name, array) in enumerate(found.items(), start=1)
    }


def _attrs_of_all(dataset: Any, array: Any, number: int, count: int) -> dict[Any, Any]:
    """Return the attributes of a Dataset that describe a variable without its own: `to_dataset` leaves them there.

    Args:
        dataset: Has the attributes, with one entry for all variables or one for each.
        array: The variable.
        number: Of the variable, from 1.
        count: Variables.
    """
    found: dict[Any, Any] = {}
    for names in ((*NODATA_ATTRS, "nodatavals"), ("scale_factor", "scales"), ("add_offset", "offsets"), ("units",)):
        if any(place.get(name) is not None for place in (array.attrs, array.encoding) for name in names):
            continue
        for name in names:
            each = per_band(dataset.attrs.get(name), count, None)
            if each is not None:
                found[name] = [each[number - 1]]
    return found


def _grid_mappings(dataset: Any) -> list[Hashable]:
    """Return the variables that are grid mappings, which are coordinates if a file was opened so."""
    named = {grid_mapping_name(array) for array in dataset.data_vars.values()}
    return [
        name
        for name, array in dataset.data_vars.items()
        if not array.ndim and (name in named or any(attr in array.attrs for attr in _GRID_MAPPING_ATTRS))
    ]


def _has_space(array: Any) -> bool:
    try:
        spatial_dims(array)
    except (GeoreferenceError, ShapeError):
        return False
    return True


def _check_shapes(bands: Sequence[_Band]) -> None:
    deep = [band for band in bands if band.spec.count > 1]
    if deep and len(bands) > 1:
        name, sizes = deep[0].name, dict(deep[0].array.sizes)
        raise ShapeError(
            f"variable {name!r} of the Dataset has the dimensions {sizes}, and is one of {len(bands)}; several "
            f"variables must have rows and columns alone: select the rest first, as in dataset.isel(...), or save "
            f"dataset[{name!r}]"
        )
    shapes = {(band.spec.height_px, band.spec.width_px) for band in bands}
    if len(shapes) > 1:
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
    try:
        common = np.result_type(*(band.spec.dtype for band in bands))
        is_number = common.kind in "iufc"
    except TypeError:
        is_number = False
    advice = f"cast them, as in dataset.astype('{common}')" if is_number else "choose those of one dtype"
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
    """Return the value of missing pixels in all bands; None: no variable has one.

    Where they differ it is NaN, or in integers the first one.
    """
    declared = [band.spec.fill_value for band in bands if band.spec.fill_value is not None]
    if not declared:
        return None
    is_one = all(same_nodata(value, declared[0]) for value in declared)
    return declared[0] if is_one or bands[0].stored_dtype.kind not in "fc" else np.nan


def _common_packing(bands: Sequence[_Band], fill: Any) -> Packing | None:
    packings = [band.opened.packing for band in bands]
    if any(packing is None for packing in packings):
        return None
    known = [packing for packing in packings if packing is not None]
    counts = [band.spec.count for band in bands]
    return Packing(
        known[0].dtype,
        _factors([packing.scales for packing in known], counts, 1.0),
        _factors([packing.offsets for packing in known], counts, 0.0),
        fill if any(band.is_decoded for band in bands) else None,
        is_of_file=all(packing.is_of_file for packing in known),
    )


def _factors(each: Sequence[tuple[float, ...]], counts: Sequence[int], neutral: float) -> tuple[float, ...]:
    if not any(each):
        return ()
    return tuple(
        number for declared, count in zip(each, counts, strict=True) for number in declared or (neutral,) * count
    )


def _spec(bands: Sequence[_Band], dataset: Any, nodata: Any) -> SourceSpec:
    return replace(
        bands[0].spec,
        count=sum(band.spec.count for band in bands),
        dtype=np.result_type(*(band.spec.dtype for band in bands)),
        fill_value=nodata,
        metadata=_metadata(bands, dataset, [band.spec.metadata for band in bands]),
        has_mask=any(band.spec.has_mask for band in bands),
    )


def _metadata(bands: Sequence[_Band], dataset: Any, each: Sequence[Metadata]) -> Metadata:
    """Return the metadata of all variables as bands; ``each`` has scales and offsets."""
    counts = [band.spec.count for band in bands]
    tags = tags_of(dataset.attrs)
    attrs: dict[str, Any] = {
        "descriptions": [name for band in bands for name in _descriptions(band)],
        "units": [unit for band in bands for unit in band.spec.metadata.units or (None,) * band.spec.count],
        "scales": _factors([declared.scales for declared in each], counts, 1.0) or None,
        "offsets": _factors([declared.offsets for declared in each], counts, 0.0) or None,
    }
    own = [dict(band.spec.metadata.tags) for band in bands]
    points = [declared["AREA_OR_POINT"] for declared in own if "AREA_OR_POINT" in declared]
    attrs["tags"] = ({"AREA_OR_POINT": points[0]} if points else {}) | tags
    if len(bands) == 1:
        attrs["tags"] = own[0] | attrs["tags"]
        attrs["band_tags"] = [dict(declared) for declared in bands[0].spec.metadata.band_tags] or None
    else:
        attrs["band_tags"] = [
            _band_tags(band, declared, attrs["tags"]) for band, declared in zip(bands, own, strict=True)
        ]
    found = metadata_from_attrs({key: value for key, value in attrs.items() if value is not None}, sum(counts))
    return replace(found, gcps=bands[0].spec.metadata.gcps, rpcs=bands[0].spec.metadata.rpcs)


def _descriptions(band: _Band) -> Sequence[str | None]:
    """Return the name of a variable; that of each of its bands, where it has several."""
    if band.spec.count > 1:
        return band.spec.metadata.descriptions or (str(band.name),) * band.spec.count
    long_name = band.array.attrs.get("long_name")
    if isinstance(band.name, Integral):
        return [long_name if isinstance(long_name, str) else None]
    is_number = isinstance(long_name, str) and _NUMBERED.fullmatch(str(band.name)) is not None
    return [str(long_name) if is_number else str(band.name)]


def _band_tags(band: _Band, own: Mapping[str, str], of_file: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a variable that are not those of all, as tags."""
    tags = {key: value for key, value in own.items() if key != "AREA_OR_POINT" and of_file.get(key) != value}
    for declared in band.spec.metadata.band_tags:
        tags |= dict(declared)
    long_name = band.array.attrs.get("long_name")
    if isinstance(long_name, str) and [long_name] != list(_descriptions(band)):
        tags["long_name"] = long_name
    return tags


class _Bands:
    """Sources of one grid, whose bands follow one another."""

    def __init__(self, sources: Sequence[Source], spec: SourceSpec) -> None:
        """Wrap sources, and their common spec."""
        self._sources = list(sources)
        self.spec = spec
        self.name = "Dataset"
        traits = [source.traits for source in sources]
        self.traits = SourceTraits(
            is_in_memory=all(each.is_in_memory for each in traits),
            chunks=self._find_chunks(),
            concurrent_reads=min(each.concurrent_reads for each in traits),
            reader_bytes=sum(each.reader_bytes for each in traits),
            is_borrowed=any(each.is_borrowed for each in traits),
        )

    def _find_chunks(self) -> Chunks | None:
        """Return those of the first source that has some, and an edge between any two sources."""
        known = next((chunks for source in self._sources if (chunks := source.traits.chunks) is not None), None)
        if known is None or len(self._sources) == 1:
            return known
        edges = tuple(accumulate((source.spec.count for source in self._sources), initial=0))
        return Chunks(edges, known.row_edges_px, known.column_edges_px)

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window of some bands; the mask, where there is one, is that of all sources together.

        Raises:
            Exception: What a source raises.
        """
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        masks = []
        first = 0
        for source in self._sources:
            count = source.spec.count
            own = range(max(bands.start, first) - first, min(bands.stop, first + count) - first)
            if own or source.spec.has_mask:
                found, mask = source.read(region, own or range(count))
                masks.append(mask)
                if own:
                    start = first + own.start - bands.start
                    pixels[start : start + len(own)] = found
            first += count
        valid = [mask for mask in masks if mask is not None]
        return pixels, reduce(np.logical_and, valid) if valid else None

    def close(self) -> None:
        """Release the sources."""
        for source in self._sources:
            source.close()


def _computed_together(bands: Sequence[_Band], spec: SourceSpec, open_spool: OpenSpool | None) -> Source | None:
    """Return a source of the variables as one dask array; None if they are not all dask's.

    Tasks that several variables need are then of one graph.
    """
    arrays = [band.array for band in bands]
    if len(bands) == 1 or any(array.chunks is None for array in arrays):
        return None
    if len({array.dtype for array in arrays}) > 1:
        return None
    rows, columns = spatial_dims(arrays[0])
    if any(spatial_dims(array) != (rows, columns) for array in arrays):
        return None
    plain = [array.variable.squeeze([dim for dim in array.dims if dim not in (rows, columns)]) for array in arrays]
    stacked = type(plain[0]).concat([one.transpose(rows, columns) for one in plain], dim=_VARIABLE_DIM)
    windows, has_mask = windows_of(stacked.data, 1, open_spool)
    whole = replace(spec, has_mask=has_mask)
    return SlicedSource("Dataset", whole, stacked, windows, Axes(count=3, band=0, row=1, column=2))


class _OneNodata(SourceWrapper):
    """A source whose bands get one value for their missing pixels."""

    def __init__(self, source: Source, names: Sequence[Hashable], own: Sequence[Any], nodata: Any) -> None:
        """Wrap a source.

        Args:
            source: Has the bands.
            names: Of their variables.
            own: Their own nodata, or None.
            nodata: That of all.
        """
        super().__init__(source)
        self._names, self._own, self._nodata = list(names), list(own), nodata

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window.

        Raises:
            NodataError: A pixel that is not missing has the value of those that are.
            Exception: What the source raises.
        """
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


def _with_one_nodata(source: Source, bands: Sequence[_Band], nodata: Any) -> Source:
    """Return a source whose bands have one nodata, where some have another one, or none."""
    own = [nodata if band.is_decoded else band.spec.fill_value for band in bands for _ in range(band.spec.count)]
    if all(same_nodata(value, nodata) for value in own):
        return source
    return _OneNodata(source, [band.name for band in bands for _ in range(band.spec.count)], own, nodata)
