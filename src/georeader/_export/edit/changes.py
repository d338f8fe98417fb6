"""Changes of a file's metadata, as arguments and as they apply to a raster. Pure.

References:
    GDAL's raster data model, "Raster attribute table" (classes by their values) and "Category names".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from georeader._core.band_attrs import attribute_table, check_count, check_list
from georeader._core.dtypes import check_nodata
from georeader._core.sentinels import Unset
from georeader._export.plan.metadata import Metadata, check_tags, metadata_from_attrs, resolve_metadata
from georeader._export.plan.spec import ExportSpec
from georeader._export.statistics import BandSummary
from georeader.errors import GeoreferenceError, MetadataError, OptionError
from georeader.window_utils import normalise_crs, normalise_transform

#: Arguments of `georeader.edit_cog` that change something.
ARGUMENTS = (
    "tags", "descriptions", "nodata", "crs", "transform", "scales", "offsets", "units", "colormap", "colorinterp",
    "category_names", "statistics",
)  # fmt: skip

#: Arguments that are a value for each band, under the same names in `Metadata`.
_PER_BAND = ("descriptions", "scales", "offsets", "units", "colorinterp")


@dataclass(frozen=True)
class Changes:
    """The arguments of `georeader.edit_cog` that were passed; None removes.

    Those of metadata that files beside a raster hold have further names: rpcs, recorded_tags, namespaces (of the file,
    by domains), band_tags and band_namespaces (by band, from "0", and name or domain).
    """

    given: Mapping[str, Any]
    replace_tags: bool = False

    @classmethod
    def parse(cls, arguments: Mapping[str, Any], *, replace_tags: bool) -> Changes:
        """Return the changes among arguments, of which an `Unset` one is not passed."""
        given = {name: value for name, value in arguments.items() if not isinstance(value, Unset)}
        if not given:
            raise OptionError(f"nothing to change; pass one of {', '.join(ARGUMENTS)}")
        if replace_tags and not isinstance(given.get("tags"), Mapping):
            raise OptionError("replace_tags goes with tags, the mapping that replaces those of the file")
        if isinstance(given.get("tags"), Mapping):
            given["tags"] = _parsed_tags(given["tags"])
        elif given.get("tags") is not None:
            check_tags(given["tags"])  # which names what is to be passed
        return cls(given, replace_tags)

    def __contains__(self, name: str) -> bool:
        return name in self.given

    @property
    def names_of_tags(self) -> frozenset[str]:
        """Names of the tags that are set or removed by name, in lower case."""
        return frozenset(name.lower() for name in self.given.get("tags") or ())

    @property
    def moves(self) -> bool:
        """Whether the raster is placed anew, by its CRS, its transform, or what a pixel's place means."""
        return bool({"crs", "transform", "rpcs"} & self.given.keys()) or "area_or_point" in self.names_of_tags

    @property
    def recolours(self) -> bool:
        """Whether colour table or colour interpretations change."""
        return bool({"colormap", "colorinterp"} & self.given.keys())

    def applied(self, spec: ExportSpec) -> ExportSpec:
        """Return what a file will be."""
        metadata = self._metadata(spec.metadata, spec.count)
        if self.recolours:
            metadata = resolve_metadata(metadata, count=spec.count, dtype=spec.dtype)
            if self.given.get("colormap") is not None and metadata.colormap is None:
                raise MetadataError(
                    f"colormap: a TIFF has one for a single band of uint8 or uint16, not for {spec.dtype}"
                )
        spec = self._placed(replace(spec, metadata=metadata))
        if "nodata" in self:
            spec = replace(spec, nodata=check_nodata(self.given["nodata"], spec.dtype, "nodata"))
        return spec

    def statistics(self, count: int) -> tuple[BandSummary | None, ...]:
        """Return the statistics of each band that the file will have, where they change."""
        given = self.given["statistics"]
        if given is None:
            return (None,) * count
        check_list(given, "statistics")
        check_count(given, count, "statistics")
        return tuple(_summary(value, f"statistics[{band}]") for band, value in enumerate(given))

    def _metadata(self, metadata: Metadata, count: int) -> Metadata:
        attrs = {name: self.given[name] for name in (*_PER_BAND, "colormap") if name in self}
        parsed = metadata_from_attrs(attrs, count, named="{}")
        changes: dict[str, Any] = {name: getattr(parsed, name) for name in attrs}
        if "tags" in self:
            changes["tags"] = self._tags(metadata)
        if "category_names" in self:
            changes["attribute_tables"] = _tables(self.given["category_names"], count)
        if self.recolours:
            changes["photometric"] = None  # it follows from the colours
            if "colorinterp" not in self:
                changes["colorinterp"] = ()
            elif "colormap" not in self and "palette" not in parsed.colorinterp:
                changes["colormap"] = None
        return replace(metadata, **changes)

    def _tags(self, metadata: Metadata) -> tuple[tuple[str, str], ...]:
        given = self.given["tags"] or {}
        replaced = self.replace_tags or self.given["tags"] is None
        kept = {} if replaced else {key: text for key, text in metadata.tags if key.lower() not in self.names_of_tags}
        if replaced and "area_or_point" not in self.names_of_tags:
            kept = {key: text for key, text in metadata.tags if key == "AREA_OR_POINT"}
        return tuple((kept | {key: text for key, text in given.items() if text is not None}).items())

    def _placed(self, spec: ExportSpec) -> ExportSpec:
        metadata = spec.metadata
        if "transform" in self:
            if self.given["transform"] is None:
                raise GeoreferenceError("transform=None: a raster has one; pass six numbers, or an affine.Affine")
            crs = metadata.gcps.crs if metadata.gcps is not None else spec.crs
            transform = normalise_transform(self.given["transform"])
            spec = replace(spec, crs=crs, transform=transform, metadata=replace(metadata, gcps=None))
        if "crs" in self:
            crs, gcps = normalise_crs(self.given["crs"]), spec.metadata.gcps
            if gcps is None:
                return replace(spec, crs=crs)
            return replace(spec, metadata=replace(spec.metadata, gcps=replace(gcps, crs=crs)))
        return spec


def _parsed_tags(given: Mapping[Any, Any]) -> dict[str, str | None]:
    checked = check_tags({key: value for key, value in given.items() if value is not None})
    removed = [key for key, value in given.items() if value is None]
    for key in removed:
        if not isinstance(key, str):
            raise MetadataError(f"tags[{key!r}]: a key is text")
        if key.lower() in map(str.lower, checked):
            raise MetadataError(f"tags both removes and sets {key!r}; GDAL's keys ignore case, so keep one")
    return {**checked, **dict.fromkeys(removed)}


def _summary(value: Any, where: str) -> BandSummary | None:
    if value is None or isinstance(value, BandSummary):
        return value
    if not isinstance(value, Mapping):
        raise MetadataError(f"{where} is a {type(value).__name__}; pass a BandSummary, a mapping of its names, or None")
    try:
        known = {"valid_percent": 100.0, **{str(name): float(number) for name, number in value.items()}}
        return BandSummary(**known)
    except (TypeError, ValueError) as error:
        names = ", ".join(BandSummary.__dataclass_fields__)
        raise MetadataError(f"{where}={value!r} is not numbers by the names {names}") from error


def _tables(given: Any, count: int) -> tuple[str | None, ...]:
    """Return the attribute table of each band from names of its classes."""
    if given is None:
        return ()
    is_of_one = isinstance(given, Mapping) or (isinstance(given, Sequence) and all(map(_is_name, given)) and count == 1)
    per_band = [given] if is_of_one else given
    check_list(per_band, "category_names")
    check_count(per_band, count, "category_names")
    return tuple(_table(names, f"category_names[{band}]") for band, names in enumerate(per_band))


def _is_name(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _table(given: Any, where: str) -> str | None:
    """Return GDAL's XML of the attribute table that names values: by a mapping, or of 0, 1, 2, ... by a sequence."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        check_list(given, where)
        given = {value: name for value, name in enumerate(given) if name}
    for value, name in given.items():
        if isinstance(value, bool) or not hasattr(value, "__index__") or not isinstance(name, str):
            raise MetadataError(f"{where}: {value!r}: {name!r} must be an integer and its name")
    return attribute_table({int(value): name for value, name in sorted(given.items())})
