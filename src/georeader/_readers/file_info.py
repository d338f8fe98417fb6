"""Metadata of a raster file as one frozen value, read from an open rasterio dataset.

What rasterio has no call for is read from GDAL's description of a dataset as a virtual raster (VRT): attribute tables,
and the nodata of 64-bit integers, which rasterio rounds to a double. Category names become an
attribute table, since a GeoTIFF cannot hold them.
"""

from __future__ import annotations

import html
import mmap
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.rpc import RPC

from georeader._core.band_attrs import BAND_DEFAULTS, RESAMPLING_TAG, attribute_table
from georeader._core.dtypes import WIDE_DTYPES
from georeader._core.reporting import warn_at_caller
from georeader._resample.methods import recorded_resamplings
from georeader._storage.redaction import redact_url
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import BytesInMemory, read_directories
from georeader.abstract_reader import same_nodata
from georeader.errors import MetadataWarning, ReadError
from georeader.ground_control import GroundControlPoints, regrid_rpcs
from georeader.window_utils import regrid

#: GDAL's metadata domains whose content is read elsewhere: from pixels, by other calls, or from other files.
_OWN_DOMAINS = frozenset({
    "IMAGE_STRUCTURE", "SUBDATASETS", "RPC", "GEOLOCATION", "LocationInfo", "xml:VRT", "vrt_sources", "rio_overview",
    "TIFF", "FILE", "COLOR_TABLE",
})  # fmt: skip

_BAND = re.compile(r'<VRTRasterBand [^>]*\bband="(\d+)"[^>]*>(.*?)(?=<VRTRasterBand [^>]*\bband="|\Z)', re.DOTALL)
_TABLE = re.compile(r"<GDALRasterAttributeTable\b.*?</GDALRasterAttributeTable>", re.DOTALL)
_CATEGORIES = re.compile(r"<CategoryNames>(.*?)</CategoryNames>", re.DOTALL)
_CATEGORY = re.compile(r"<Category>(.*?)</Category>|<Category\s*/>", re.DOTALL)
_ITEM = re.compile(r'<Item\b[^>]*\bsample="(\d+)"[^>]*\brole="rat"[^>]*>(.*?)</Item>', re.DOTALL)
_NODATA = re.compile(r"<NoDataValue>\s*(-?\d+)\s*</NoDataValue>")

#: GDAL from this release on reads attribute tables inside a GeoTIFF.
_GDAL_READS_TABLES = (3, 12)


@dataclass(frozen=True)
class FileInfo:
    """Metadata of a raster file; sequences have one entry per band of the file, None where a band has none."""

    height_px: int
    width_px: int
    count: int
    dtypes: tuple[np.dtype[Any], ...]
    crs: CRS | None
    transform: Affine  #: pixel (column, row) to CRS (x, y)
    nodatavals: tuple[int | float | None, ...]  #: numbers that the dtype holds: int for integer bands, else float
    descriptions: tuple[str | None, ...]
    scales: tuple[float, ...]  #: physical value = stored value * scale + offset
    offsets: tuple[float, ...]
    units: tuple[str | None, ...]
    colorinterp: tuple[str, ...]  #: GDAL's names
    colormap: dict[int, tuple[int, int, int, int]] | None  #: of a one-band file
    photometric: str | None  #: "MINISWHITE" where the first band's smallest value is white
    nbits: int | None  #: bits of a sample where that is so and they are fewer than the dtype's
    tags: dict[str, str]  #: of the file, with the resampling of the overviews as OVERVIEW_RESAMPLING
    band_tags: tuple[dict[str, str], ...]  #: without the STATISTICS_... that GDAL derives from pixels
    gcps: GroundControlPoints | None
    rpcs: RPC | None
    has_mask: bool  #: one for the whole raster that is neither nodata nor alpha
    namespaces: dict[str, dict[str, str]]  #: tags of the file in other domains of GDAL's
    band_namespaces: tuple[dict[str, dict[str, str]], ...]
    attribute_tables: tuple[str | None, ...]  #: GDAL's XML of raster attribute tables or category names

    def attrs(self, indexes: Sequence[int]) -> dict[str, Any]:
        """Return metadata of bands, counted from 1, under the keys of `GeoTensor.attrs`; empty entries are left out."""
        attrs: dict[str, Any] = {}
        for key, default in BAND_DEFAULTS.items():
            chosen = [getattr(self, key)[index - 1] for index in indexes]
            if any(value != default for value in chosen):
                attrs[key] = deepcopy(chosen)
        has_first = list(indexes)[:1] == [1]
        as_a_whole = {
            "colormap": dict(self.colormap) if self.colormap is not None and list(indexes) == [1] else None,
            "photometric": self.photometric if has_first else None,
            "nbits": self.nbits if has_first else None,
            "tags": dict(self.tags) or None,
            "namespaces": deepcopy(self.namespaces) or None,
            "gcps": self.gcps,
            "rpcs": self.rpcs,
        }
        return attrs | {key: value for key, value in as_a_whole.items() if value is not None}


def read_file_info(dataset: Any) -> FileInfo:
    """Read the metadata of an open rasterio dataset; names that are not UTF-8 are left out with a warning."""
    if not dataset.count:
        inner = "".join(f"\n  {name}" for name in dataset.subdatasets[:20])
        raise ReadError(
            f"{redact_url(dataset.name)} has no bands"
            + (f"; it is a container, of which one raster can be opened at a time:{inner}" if inner else "")
        )
    dtypes = read_dtypes(dataset)
    nothing = (None,) * dataset.count
    points, points_crs = dataset.gcps
    colorinterp, colormap = tuple(interp.name for interp in dataset.colorinterp), _colormap_of(dataset)
    scales, offsets = tuple(dataset.scales), tuple(dataset.offsets)
    descriptions, units = (_read_text(dataset, name, nothing) for name in ("descriptions", "units"))
    # Last: GDAL looks for the first tile of a WebP file, and rasterio raises what that reports in the next call.
    photometric, nbits = _white_is_zero_of(dataset)
    return FileInfo(
        height_px=dataset.height,
        width_px=dataset.width,
        count=dataset.count,
        dtypes=dtypes,
        crs=dataset.crs,
        transform=dataset.transform,
        nodatavals=_nodatavals_of(dataset, dtypes),
        descriptions=tuple(name or None for name in descriptions),
        scales=scales,
        offsets=offsets,
        units=tuple(unit or None for unit in units),
        colorinterp=colorinterp,
        colormap=colormap,
        photometric=photometric,
        nbits=nbits,
        tags=_tags_of(dataset),
        band_tags=tuple(
            {key: value for key, value in tags.items() if not key.upper().startswith("STATISTICS_")}
            for tags in (_read_text(dataset, "tags", {}, band) for band in dataset.indexes)
        ),
        gcps=GroundControlPoints(tuple(points), points_crs) if points else None,
        rpcs=_rational_polynomials_of(dataset),
        has_mask=_has_mask(dataset),
        namespaces=_namespaces_of(dataset),
        band_namespaces=tuple(_namespaces_of(dataset, band) for band in dataset.indexes),
        attribute_tables=_attribute_tables_of(dataset),
    )


def read_dtypes(dataset: Any) -> tuple[np.dtype[Any], ...]:
    """Return the numpy dtype of each band; rasterio reads complex integers, which numpy does not have, as complex64."""
    return tuple(np.dtype("complex64" if name == "complex_int16" else name) for name in dataset.dtypes)


def warn_of_nodata(name: str, nodatavals: Sequence[Any]) -> None:
    """Warn if the bands of a file have different nodata, of which only that of the first is kept."""
    first = nodatavals[0]
    others = [
        f"{value} in band {band}" for band, value in enumerate(nodatavals, start=1) if not same_nodata(value, first)
    ]
    if others:
        warn_at_caller(
            f"{name}: nodata is {first} in band 1, but {', '.join(others[:3])}: a GeoTIFF has one for all bands, so "
            "that the others' missing pixels become data; set one nodata for all bands first, or save them one by one",
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
    """Return the method of the overviews of bands, counted from 1; nothing if none is recorded.

    It is that of the file's tags, else the RESAMPLING that GDAL notes at each overview; the dataset is the file or one
    of its overviews.
    """
    found = recorded_resamplings(tags, dataset.count)
    if not found:
        noted = []
        for band in dataset.indexes:
            of_overview = dataset.get_tag_item("RESAMPLING", bidx=band, ovr=0) if dataset.overviews(band) else None
            noted.append(str(of_overview or dataset.tags(band).get("RESAMPLING") or ""))
        found = recorded_resamplings({RESAMPLING_TAG: ",".join(noted)}, dataset.count)
    return tuple(found[index - 1] for index in indexes) if found else ()


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
            "rasterio's read_masks() returns them",
            MetadataWarning,
        )
    found = {flag for of_band in flags for flag in of_band}
    return MaskFlags.per_dataset in found and MaskFlags.alpha not in found


def at_overview(info: FileInfo, overview: Any) -> FileInfo:
    """Return the metadata of a file's overview, open in rasterio, of which GDAL itself reports only a part."""
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
    wide = None
    if any(dtype.name in WIDE_DTYPES for dtype in dtypes):
        found = _NODATA.search(_described_by_gdal(dataset))
        wide = int(found[1]) if found else None
    return tuple(_exact_nodata(nodata, dtype, wide) for nodata, dtype in zip(dataset.nodatavals, dtypes, strict=True))


def _exact_nodata(nodata: float | None, dtype: np.dtype[Any], wide: int | None) -> int | float | None:
    """Return a band's nodata as a number of its dtype; None if no pixel can have that value.

    In a band of 64-bit integers it is ``wide``, that of the first band, if rasterio reports that one as a double: None
    beyond the range of the dtype.
    """
    if wide is not None and dtype.name in WIDE_DTYPES:
        limits = np.iinfo(dtype)
        if nodata == (float(wide) if limits.min <= float(wide) <= limits.max else None):
            return wide
    if nodata is None or dtype.kind not in "iu":
        return nodata
    return int(nodata) if float(nodata).is_integer() else None


def _colormap_of(dataset: Any) -> dict[int, tuple[int, int, int, int]] | None:
    if dataset.count != 1 or dataset.colorinterp[0] is not ColorInterp.palette:
        return None
    return {int(value): tuple(colour) for value, colour in dataset.colormap(1).items()}


def _white_is_zero_of(dataset: Any) -> tuple[str | None, int | None]:
    """Return "MINISWHITE" where a grey band's smallest value is white, and the bits of its samples if fewer."""
    origin = getattr(dataset, "src_dataset", dataset)  # a WarpedVRT does not report it for its source
    if origin.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") != "YES":
        return None, None
    bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return "MINISWHITE", int(bits) if bits.isdigit() else None


# Attribute tables, as GDAL's XML.


def _attribute_tables_of(dataset: Any) -> tuple[str | None, ...]:
    """Return the attribute table of each band, None where there is none."""
    tables: dict[int, str] = {}
    is_local = os.path.exists(dataset.name)  # noqa: PTH110
    if dataset.driver == "GTiff" and "?" in dataset.name and not is_local:
        # To list the files of a dataset, GDAL derives the name of a sidecar, which fails for a signed URL.
        return (None,) * len(dataset.indexes)
    is_described = dataset.driver != "GTiff" or any(name.endswith(".aux.xml") for name in dataset.files)
    if not is_described:
        # GDAL before 3.12 ignores those in the first directory of a GeoTIFF.
        items = _ITEM.findall(_metadata_text(Path(dataset.name)))
        tables = {int(sample) + 1: table[0] for sample, item in items if (table := _TABLE.search(item))}
        gdal = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])
        is_described = gdal >= _GDAL_READS_TABLES and not is_local
    if is_described:
        try:
            bands = _BAND.findall(_described_by_gdal(dataset))
        except (RasterioError, CPLE_BaseError, SystemError):
            bands = []
        found = {int(band): _table_of(band, described) for band, described in bands}
        tables = {band: table for band, table in found.items() if table is not None}
    return tuple(tables.get(band) for band in dataset.indexes)


def _described_by_gdal(dataset: Any) -> str:
    """Return GDAL's description of a dataset as a virtual raster."""
    with MemoryFile(ext=".vrt") as description:
        rasterio.shutil.copy(dataset, description.name, driver="VRT")
        return str(description.read().decode("utf-8", "replace"))


def _table_of(band: str, described: str) -> str | None:
    table, categories = _TABLE.search(described), _CATEGORIES.search(described)
    names = [html.unescape(name) for name in _CATEGORY.findall(categories[1])] if categories else []
    if table is None:
        return attribute_table(dict(enumerate(names))) if any(names) else None
    lost = [name for name in names if name and f">{escape(name)}<" not in table[0]]
    if lost:
        warn_at_caller(
            f"category names of band {band} are left out, since it has an attribute table without them: "
            f"{', '.join(lost[:3])}",
            MetadataWarning,
        )
    return table[0]


def _metadata_text(path: Path) -> str:
    """Return GDAL's metadata in the first directory of a TIFF; empty if there are none, or no such file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            first = next(read_directories(BytesInMemory(data)))
            entry = first.entries.get(TagNumber.GDAL_METADATA)
            return "" if entry is None else entry.data().rstrip(b"\0").decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
