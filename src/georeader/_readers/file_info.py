"""Metadata of a raster file as one frozen value, read from an open rasterio dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC

from georeader._core.band_attrs import RESAMPLING_TAG
from georeader._core.dtypes import WIDE_DTYPES
from georeader._core.reporting import warn_at_caller
from georeader._readers.gdal_xml import read_attribute_tables, read_int64_nodata
from georeader._resample.methods import recorded_resamplings
from georeader._storage.redaction import redact_url
from georeader.abstract_reader import same_nodata
from georeader.errors import MetadataWarning, ReadError
from georeader.ground_control import GroundControlPoints, regrid_rpcs
from georeader.window_utils import regrid

#: GDAL's metadata domains whose content is read elsewhere: from pixels, by other calls, or from other files.
_OWN_DOMAINS = frozenset({
    "IMAGE_STRUCTURE", "SUBDATASETS", "RPC", "GEOLOCATION", "LocationInfo", "xml:VRT", "vrt_sources", "rio_overview",
    "TIFF", "FILE", "COLOR_TABLE",
})  # fmt: skip


@dataclass(frozen=True)
class FileInfo:
    """Metadata of a raster file; sequences have one entry per band of the file.

    Attributes:
        height_px: Rows.
        width_px: Columns.
        count: Bands.
        dtypes: numpy dtype of each band.
        crs: CRS, or None.
        transform: Pixel (column, row) to CRS (x, y).
        nodatavals: nodata of each band, None where there is none or none that its dtype can hold: an int
            for integer bands, else a float.
        descriptions: Band names, None where there is none.
        scales: Physical value = stored value * scale + offset.
        offsets: See ``scales``.
        units: Unit names, None where there is none.
        colorinterp: GDAL's names of the colour interpretations.
        colormap: Colour table of a one-band file, or None.
        photometric: "MINISWHITE" where the first band's smallest value is white, else None.
        nbits: Bits of a sample where that is so and they are fewer than the dtype's, else None.
        tags: File-level metadata, with the resampling of the overviews as OVERVIEW_RESAMPLING.
        band_tags: Metadata of each band, without the STATISTICS_... that GDAL derives from its pixels.
        gcps: Ground control points, or None.
        rpcs: Rational polynomials, or None.
        has_mask: There is a mask for the whole raster that is neither nodata nor alpha.
        namespaces: File-level metadata of other domains of GDAL's.
        band_namespaces: Metadata of each band in other domains.
        attribute_tables: GDAL's XML of each band's raster attribute table or category names, or None.
    """

    height_px: int
    width_px: int
    count: int
    dtypes: tuple[np.dtype[Any], ...]
    crs: CRS | None
    transform: Affine
    nodatavals: tuple[int | float | None, ...]
    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    colorinterp: tuple[str, ...]
    colormap: dict[int, tuple[int, int, int, int]] | None
    photometric: str | None
    nbits: int | None
    tags: dict[str, str]
    band_tags: tuple[dict[str, str], ...]
    gcps: GroundControlPoints | None
    rpcs: RPC | None
    has_mask: bool
    namespaces: dict[str, dict[str, str]]
    band_namespaces: tuple[dict[str, dict[str, str]], ...]
    attribute_tables: tuple[str | None, ...]

    def attrs(self, indexes: Sequence[int]) -> dict[str, Any]:
        """Return the metadata of some bands under the keys of `band_attrs`, empty ones and the mask left out.

        Args:
            indexes: Bands, counted from 1.
        """
        per_band: dict[str, tuple[Sequence[Any], Any]] = {
            "descriptions": (self.descriptions, None),
            "scales": (self.scales, 1.0),
            "offsets": (self.offsets, 0.0),
            "units": (self.units, None),
            "colorinterp": (self.colorinterp, "undefined"),
            "band_tags": (tuple(dict(tags) for tags in self.band_tags), {}),
            "band_namespaces": (tuple(_copied(of_band) for of_band in self.band_namespaces), {}),
            "attribute_tables": (self.attribute_tables, None),
        }
        attrs: dict[str, Any] = {}
        for key, (values, default) in per_band.items():
            chosen = [values[index - 1] for index in indexes]
            if any(value != default for value in chosen):
                attrs[key] = chosen
        if self.colormap is not None and list(indexes) == [1]:
            attrs["colormap"] = dict(self.colormap)
        if self.photometric is not None and list(indexes)[:1] == [1]:
            attrs["photometric"] = self.photometric
            if self.nbits is not None:
                attrs["nbits"] = self.nbits
        if self.tags:
            attrs["tags"] = dict(self.tags)
        if self.namespaces:
            attrs["namespaces"] = _copied(self.namespaces)
        georeference = {"gcps": self.gcps, "rpcs": self.rpcs}
        return attrs | {key: value for key, value in georeference.items() if value is not None}


def _copied(namespaces: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {domain: dict(tags) for domain, tags in namespaces.items()}


def read_file_info(dataset: Any) -> FileInfo:
    """Read the metadata of an open rasterio dataset.

    Names that are not UTF-8 are left out with a `MetadataWarning`.

    Raises:
        ReadError: It has no bands: a container of rasters.
    """
    if not dataset.count:
        inner = "".join(f"\n  {name}" for name in dataset.subdatasets[:20])
        raise ReadError(
            f"{redact_url(dataset.name)} has no bands"
            + (f"; it is a container, of which one raster can be opened at a time:{inner}" if inner else "")
        )
    dtypes = read_dtypes(dataset)
    nothing = (None,) * dataset.count
    return FileInfo(
        height_px=dataset.height,
        width_px=dataset.width,
        count=dataset.count,
        dtypes=dtypes,
        crs=dataset.crs,
        transform=dataset.transform,
        nodatavals=_nodatavals_of(dataset, dtypes),
        descriptions=tuple(name or None for name in _read_text(dataset, "descriptions", nothing)),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        units=tuple(unit or None for unit in _read_text(dataset, "units", nothing)),
        colorinterp=tuple(interp.name for interp in dataset.colorinterp),
        colormap=_colormap_of(dataset),
        photometric=_photometric_of(dataset),
        nbits=_nbits_of(dataset),
        tags=_tags_of(dataset),
        band_tags=tuple(_band_tags_of(dataset, band) for band in dataset.indexes),
        gcps=_control_points_of(dataset),
        rpcs=_rational_polynomials_of(dataset),
        has_mask=_has_mask(dataset),
        namespaces=_namespaces_of(dataset),
        band_namespaces=tuple(_namespaces_of(dataset, band) for band in dataset.indexes),
        attribute_tables=read_attribute_tables(dataset),
    )


def read_dtypes(dataset: Any) -> tuple[np.dtype[Any], ...]:
    """Return the numpy dtype of each band; rasterio reads complex integers, which numpy does not have, as complex64."""
    return tuple(np.dtype("complex64" if name == "complex_int16" else name) for name in dataset.dtypes)


def warn_of_nodata(name: str, nodatavals: Sequence[Any]) -> None:
    """Warn if bands have different nodata, of which only that of the first is kept: a GeoTIFF has one for all.

    Args:
        name: Of the file.
        nodatavals: One per band.
    """
    first = nodatavals[0]
    others = [
        f"{value} in band {band}" for band, value in enumerate(nodatavals, start=1) if not same_nodata(value, first)
    ]
    if others:
        warn_at_caller(
            f"{name}: nodata is {first} in band 1, but {', '.join(others[:3])}: a GeoTIFF has one for all bands, so "
            "that the others' missing pixels become data. Give all bands one nodata first, or save them one by one",
            MetadataWarning,
        )


def _tags_of(dataset: Any) -> dict[str, str]:
    """Read the file's tags, and the resampling of its overviews where GDAL from 3.12 on records it."""
    tags = dict(_read_text(dataset, "tags", {}))
    noted = dataset.tags(ns="IMAGE_STRUCTURE").get(RESAMPLING_TAG)
    if noted and not recorded_resamplings(tags, dataset.count):
        tags[RESAMPLING_TAG] = noted
    return tags


def _namespaces_of(dataset: Any, *band: int) -> dict[str, dict[str, str]]:
    """Read the tags of other domains than GDAL's default one, but for those that GDAL makes by itself."""
    found: dict[str, dict[str, str]] = {}
    for domain in dataset.tag_namespaces(*band):
        if domain in _OWN_DOMAINS or domain.startswith("DERIVED_"):
            continue
        try:
            tags = dict(dataset.tags(*band, ns=domain))
        except ValueError as error:  # not UTF-8, or JSON, which rasterio takes for key=value
            warn_at_caller(f"{redact_url(dataset.name)}: tags of {domain} are left out ({error})", MetadataWarning)
            continue
        if domain == "COLOR_PROFILE":
            tags = {key: value for key, value in tags.items() if key == "SOURCE_ICC_PROFILE"}
        if tags:
            found[domain] = tags
    return found


def read_resamplings(dataset: Any, tags: Mapping[str, Any], indexes: Sequence[int]) -> tuple[str, ...]:
    """Return the method of each band's overviews: by the file's tags, else by those that GDAL gives overviews.

    Args:
        dataset: The file, or one of its overviews.
        tags: Of the file.
        indexes: Bands, counted from 1.

    Returns:
        One per band, or nothing if none is recorded.
    """
    found = recorded_resamplings(tags, dataset.count)
    if not found:
        noted = [_noted_at_overview(dataset, band) for band in dataset.indexes]
        found = recorded_resamplings({RESAMPLING_TAG: ",".join(noted)}, dataset.count)
    return tuple(found[index - 1] for index in indexes) if found else ()


def _noted_at_overview(dataset: Any, band: int) -> str:
    """Read a band's RESAMPLING, which GDAL notes at each overview."""
    has_overviews = bool(dataset.overviews(band))
    noted = dataset.get_tag_item("RESAMPLING", bidx=band, ovr=0) if has_overviews else None
    return str(noted or dataset.tags(band).get("RESAMPLING") or "")


def _band_tags_of(dataset: Any, band: int) -> dict[str, str]:
    tags = _read_text(dataset, "tags", {}, band)
    return {key: value for key, value in tags.items() if not key.upper().startswith("STATISTICS_")}


def _control_points_of(dataset: Any) -> GroundControlPoints | None:
    points, crs = dataset.gcps
    return GroundControlPoints(tuple(points), crs) if points else None


def _rational_polynomials_of(dataset: Any) -> RPC | None:
    try:
        return dataset.rpcs
    except (KeyError, ValueError, IndexError) as error:
        warn_at_caller(
            f"{redact_url(dataset.name)}: rational polynomials (RPCs) are left out, since they are incomplete "
            f"({error!r})",
            MetadataWarning,
        )
        return None


def _has_mask(dataset: Any) -> bool:
    """Return whether a dataset has a mask of its own; masks of single bands, which no GeoTIFF has, are not read."""
    try:
        flags = dataset.mask_flag_enums
    except CPLE_BaseError:
        return False  # the file is truncated: reading its pixels raises the error
    if any(not of_band for of_band in flags):
        warn_at_caller(
            f"{redact_url(dataset.name)}: masks of single bands are not read, so masked pixels come as data; "
            "rasterio's read_masks() gives them",
            MetadataWarning,
        )
    found = {flag for of_band in flags for flag in of_band}
    return MaskFlags.per_dataset in found and MaskFlags.alpha not in found


def at_overview(info: FileInfo, overview: Any) -> FileInfo:
    """Return the metadata of a file's overview, of which GDAL itself reports only a part.

    Args:
        info: Metadata of the whole file.
        overview: The overview, open in rasterio.
    """
    columns, rows = info.width_px / overview.width, info.height_px / overview.height
    # Computed, since rasterio returns unset memory for overviews of rasters without a georeference.
    transform = regrid(info.transform, 0, 0, columns, rows)
    return replace(
        info,
        height_px=overview.height,
        width_px=overview.width,
        transform=transform,
        gcps=None if info.gcps is None else info.gcps.regrid(0, 0, columns, rows),
        rpcs=None if info.rpcs is None else regrid_rpcs(info.rpcs, 0, 0, columns, rows),
    )


def _read_text(dataset: Any, name: str, default: Any, *arguments: int) -> Any:
    try:
        value = getattr(dataset, name)
        return value(*arguments) if callable(value) else value
    except UnicodeDecodeError as error:
        of_band = "".join(f" of band {band}" for band in arguments)
        warn_at_caller(
            f"{redact_url(dataset.name)}: {name}{of_band} are left out, since they are not UTF-8 ({error})",
            MetadataWarning,
        )
        return default


def _nodatavals_of(dataset: Any, dtypes: Sequence[np.dtype[Any]]) -> tuple[int | float | None, ...]:
    wide = read_int64_nodata(dataset) if any(dtype.name in WIDE_DTYPES for dtype in dtypes) else None
    return tuple(
        wide if dtype.name in WIDE_DTYPES and nodata == _as_double(wide, dtype) else _held_by(nodata, dtype)
        for nodata, dtype in zip(dataset.nodatavals, dtypes, strict=True)
    )


def _as_double(nodata: int | None, dtype: np.dtype[Any]) -> float | None:
    """Return a 64-bit nodata as rasterio reports it: None if the double lies beyond the dtype's range."""
    if nodata is None:
        return None
    limits = np.iinfo(dtype)
    return float(nodata) if limits.min <= float(nodata) <= limits.max else None


def _held_by(nodata: float | None, dtype: np.dtype[Any]) -> int | float | None:
    """Return nodata as a number of the dtype; None if no pixel can have that value."""
    if nodata is None or dtype.kind not in "iu":
        return nodata
    return int(nodata) if float(nodata).is_integer() else None


def _colormap_of(dataset: Any) -> dict[int, tuple[int, int, int, int]] | None:
    if dataset.count != 1 or dataset.colorinterp[0] is not ColorInterp.palette:
        return None
    return {int(value): tuple(colour) for value, colour in dataset.colormap(1).items()}


def _photometric_of(dataset: Any) -> str | None:
    """Return "MINISWHITE" where a grey band's smallest value is white, which colour interpretations do not show."""
    origin = getattr(dataset, "src_dataset", dataset)  # a WarpedVRT does not report it for its source
    return "MINISWHITE" if origin.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES" else None


def _nbits_of(dataset: Any) -> int | None:
    """Return the bits of a sample, which decide how bright a MINISWHITE raster is shown."""
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(bits) if bits.isdigit() and _photometric_of(dataset) else None
