"""A raster as GDAL reads it, with and without the files beside it, whose metadata go into its tags.

References:
    GDAL's raster data model and "Persistent auxiliary metadata" (.aux.xml); GDAL's GTiff driver page, "Georeferencing"
    (which of PAM, tags and world files comes first).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from affine import Affine

from georeader._core.band_attrs import RECORDING_TAGS
from georeader._core.reporting import held_warnings
from georeader._export.edit.changes import Changes
from georeader._export.edit.rewrite import Rewrite, plan_rewrite
from georeader._export.edit.tag_edits import edited_tags
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.metadata import STATISTICS_PREFIX, resolve_metadata
from georeader._export.plan.spec import ExportSpec
from georeader._export.sources.raster_file import open_dataset_source
from georeader._export.sources.stored_file import StoredFile
from georeader._readers.byte_source import ByteSource, as_raster
from georeader._readers.file_info import FileInfo, read_file_info
from georeader._readers.opening import RasterPath
from georeader._readers.raster_file import open_dataset
from georeader._tiff.directories import Tag
from georeader.errors import GeoreferenceError, NotSupportedError

#: GDAL options with which it reads every file beside a local raster; and beside any other, where it looks for each.
WITH_LISTED: Mapping[str, str] = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE", "GDAL_PAM_ENABLED": "YES"}
WITH_SOUGHT: Mapping[str, str] = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE", "GDAL_PAM_ENABLED": "YES"}

#: What GDAL reads under one name, that is one value of `FileInfo`.
_PLAIN = ("crs", "descriptions", "scales", "offsets", "units", "colorinterp")

#: Domains that are not metadata of a copy, but are lost with the file that holds them.
_LOCATING_DOMAINS = ("GEOLOCATION",)

#: Tags by which GDAL names a reader of files beside a raster.
_DERIVED_TAGS = ("METADATATYPE",)

#: Digits of a transform that are compared: that of pixels that are points is shifted by half a pixel.
_DIGITS = 12


@dataclass(frozen=True, eq=False)
class Reading:
    """A raster as GDAL reads it."""

    spec: ExportSpec
    facts: Mapping[str, Any]  #: All that is compared, by names; statistics are among the tags of bands.


def read_raster(path: RasterPath, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a raster's metadata."""
    with held_warnings(), open_dataset(path, options or {}) as dataset:  # of what an edit does not touch
        raster = open_dataset_source(dataset).spec
        info = read_file_info(dataset)
        metadata = resolve_metadata(raster.metadata, count=raster.count, dtype=raster.dtype)
        band_tags = tuple(
            dict(tags) | {key: text for key, text in dataset.tags(band).items() if key.startswith(STATISTICS_PREFIX)}
            for band, tags in zip(dataset.indexes, info.band_tags, strict=True)
        )
        masks = [[flag.name for flag in flags] for flags in dataset.mask_flag_enums]
        located = {domain: dataset.tags(ns=domain) for domain in _LOCATING_DOMAINS}
    spec = ExportSpec(
        kind="cog",
        count=raster.count,
        height_px=raster.height_px,
        width_px=raster.width_px,
        dtype=raster.dtype,
        crs=raster.crs,
        transform=raster.transform,
        nodata=raster.fill_value,
        metadata=metadata,
        encoding=Encoding("NONE", 256, 256, overviews="NONE"),
        resamplings=("NEAREST",) * raster.count,
        is_classes=raster.is_classes,
    )
    return Reading(spec, _facts(info) | {"band_tags": band_tags, "masks": masks, "other domains": located})


def _facts(info: FileInfo) -> dict[str, Any]:
    gcps, rpcs = info.gcps, info.rpcs
    points = () if gcps is None else tuple((one.row, one.col, one.x, one.y, one.z) for one in gcps.points)
    # GDAL leaves "Area" out for some georeferences.
    tags = {"AREA_OR_POINT": "Area", **info.tags}
    return {name: getattr(info, name) for name in _PLAIN} | {
        "tags": {name: text for name, text in tags.items() if name not in (*RECORDING_TAGS, *_DERIVED_TAGS)},
        "recorded_tags": {name: text for name, text in tags.items() if name in RECORDING_TAGS},
        "colormap": _colours(info),
        "transform": tuple(float(f"{number:.{_DIGITS}g}") for number in info.transform[:6]),
        "gcps": (points, None if gcps is None else gcps.crs),
        # Of an unknown error, the tag holds -1.
        "rpcs": None if rpcs is None else {"err_bias": -1, "err_rand": -1} | _known(rpcs.to_dict()),
        "nodata": tuple(map(repr, info.nodatavals)),  # NaN, too
        "namespaces": info.namespaces,
        "band_namespaces": info.band_namespaces,
        "category_names": info.attribute_tables,
    }


def _known(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: number for name, number in numbers.items() if number is not None}


def _colours(info: FileInfo) -> dict[int, tuple[int, ...]] | None:
    """Return a colour table as a TIFF holds it: all values have a colour there, and nodata are transparent."""
    if info.colormap is None:
        return None
    nodata = info.nodatavals[0]
    colours = {value: colour[:3] if value == nodata else colour for value, colour in info.colormap.items()}
    return {value: colour for value, colour in colours.items() if colour not in ((0, 0, 0), (0, 0, 0, 255))}


def described_by_gdal(spec: ExportSpec, changes: Changes) -> tuple[Tag, ...]:
    """Return GDAL's tags of a raster; without its place where that does not change, which GDAL might not express."""
    if not changes.moves:
        metadata = replace(spec.metadata, gcps=None, rpcs=None)
        spec = replace(spec, crs=None, transform=Affine(2, 0, 0, 0, -2, 0), metadata=metadata)
    return descriptive_tags(spec, warns="crs" in changes)


def with_metadata_beside(
    source: ByteSource, stored: StoredFile, bare: Reading, whole: Reading, names: Sequence[str]
) -> StoredFile:
    """Return a stored file whose tags hold what GDAL reads with the files beside it, and not without them.

    NotSupportedError is raised for what GDAL would not read of the tags as it does of those files.
    """
    changes = _differences(bare, whole)
    if not changes.given:
        return stored
    metadata = whole.spec.metadata
    metadata = replace(
        metadata,
        tags=(*metadata.tags, *whole.facts["recorded_tags"].items()),
        band_tags=tuple(tuple(tags.items()) for tags in whole.facts["band_tags"]),
    )
    try:
        described = described_by_gdal(replace(whole.spec, metadata=metadata), changes)
    except GeoreferenceError as error:
        raise NotSupportedError(f"{source.name}, with {', '.join(names)}: {error}") from error
    of_overviews = Changes({name: value for name, value in changes.given.items() if name != "nodata"})
    edited = replace(
        stored,
        images=tuple(
            replace(image, tags=edited_tags(image, described, of_overviews if image.level else changes))
            for image in stored.images
        ),
    )
    found = read_raster(as_raster(_header_of(source, plan_rewrite(edited)))).facts
    # GDAL before 3.12 reads no attribute tables in a GeoTIFF.
    lost = [name for name, value in whole.facts.items() if name != "category_names" and found[name] != value]
    if lost:
        raise NotSupportedError(
            f"{source.name}: {', '.join(lost)} in {', '.join(names)} cannot be stored in a GeoTIFF as GDAL reads it "
            "there; save_cog(path, out) takes over what can be"
        )
    return edited


def _differences(bare: Reading, whole: Reading) -> Changes:
    """Return what GDAL reads otherwise with the files beside a raster, as changes of its tags."""
    old, new = bare.facts, whole.facts
    given = {name: new[name] for name in new if old[name] != new[name]}
    if "tags" in given:
        given["tags"] = {name: new["tags"].get(name) for name in _keys_that_differ(old["tags"], new["tags"])}
    if "gcps" in given:
        given |= {"crs": whole.spec.crs, "transform": whole.spec.transform}
    if "namespaces" in given:
        given["namespaces"] = frozenset(_keys_that_differ(old["namespaces"], new["namespaces"]))
    for name in ("band_tags", "band_namespaces"):
        if name in given:
            bands = enumerate(zip(old[name], new[name], strict=True))
            given[name] = frozenset((str(band), key) for band, pair in bands for key in _keys_that_differ(*pair))
    return Changes(given)


def _keys_that_differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    return (key for key in {**old, **new} if old.get(key) != new.get(key))


def _header_of(source: ByteSource, rewrite: Rewrite) -> ByteSource:
    """Return the file that is planned, of which the header can be read, and tiles where they are one range."""
    header, whole = rewrite.header, rewrite.stored.data_range_bytes

    def fetch(offset_bytes: int, length_bytes: int) -> bytes:
        found = header[offset_bytes : offset_bytes + length_bytes]
        rest_bytes = length_bytes - len(found)
        if whole is None or not rest_bytes:
            return found.ljust(length_bytes, b"\0")
        return found + source.read_at(whole[0] + offset_bytes + len(found) - len(header), rest_bytes)

    return ByteSource(source.name, rewrite.size_bytes, fetch)
