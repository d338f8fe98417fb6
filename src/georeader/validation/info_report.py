"""Summary of a file, as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from georeader._core.jsonable import to_jsonable
from georeader.validation.formatting import bytes_text, count_text
from georeader.validation.measurement import Directory, Measurement, RoleKind

#: So many bands are told one by one.
BANDS_SHOWN = 8


@dataclass(frozen=True)
class Place:
    """Pixels and their place on Earth, as a reader gives them.

    Attributes:
        width_px: Columns.
        height_px: Rows.
        bands: Number of bands.
        dtype: Of the pixels.
        crs: Name of the CRS, or None.
        epsg: Its EPSG code, or None.
        pixel_size: (x, y) in units of the CRS.
        bounds: (left, bottom, right, top) in units of the CRS.
        nodata: Of the first band, or None.
        descriptions: Of each band, None where there is none.
        colours: Colour interpretation of each band.
        tags: Number of tags of the file.
        has_mask: It has a mask that is neither nodata nor alpha.
    """

    width_px: int
    height_px: int
    bands: int
    dtype: str
    crs: str | None
    epsg: int | None
    pixel_size: tuple[float, float]
    bounds: tuple[float, float, float, float]
    nodata: int | float | None
    descriptions: tuple[str | None, ...]
    colours: tuple[str, ...]
    tags: int
    has_mask: bool

    @property
    def has_alpha(self) -> bool:
        """Whether a band is the alpha of the others."""
        return "alpha" in self.colours


@dataclass(frozen=True)
class Info:
    """Pixels, georeferencing and layout of a file.

    Attributes:
        path: Of the file, without the secrets that a URL may hold.
        place: Pixels and georeferencing.
        measurement: The layout; its ``version`` is None where the file is not a TIFF.
    """

    path: str
    place: Place
    measurement: Measurement = field(repr=False)

    def __repr__(self) -> str:
        """Return one line: the path, the pixels, the CRS and the layout."""
        facts = _place_facts(self.place)
        return f"{self.path}: {facts['pixels']}, {facts['crs']}, {_layout_text(self.measurement)}"

    def __str__(self) -> str:
        """Return a table of pixels, georeference, layout and levels."""
        facts = {**_place_facts(self.place), "layout": _layout_text(self.measurement)}
        lines = [self.path, *(f"  {name:<9}{value}" for name, value in facts.items())]
        return "\n".join([*lines, *_level_table(self.measurement)])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values of JSON: numbers that are not finite are text, such as "nan" and "inf"."""
        found = {
            "path": self.path,
            **asdict(self.place),
            "has_alpha": self.place.has_alpha,
            "layout": self.measurement.to_dict(),
        }
        return {name: to_jsonable(value) for name, value in found.items()}


def _place_facts(place: Place) -> dict[str, str]:
    left, bottom, right, top = place.bounds
    invalid = ["mask"] if place.has_mask else []
    invalid += ["alpha band"] if place.has_alpha else []
    invalid += [] if place.nodata is None else [f"nodata {place.nodata:.17g}"]
    return {
        "pixels": f"{place.width_px} x {place.height_px}, {count_text(place.bands, 'band')} of {place.dtype}",
        "bands": _bands_text(place),
        "validity": " and ".join(invalid) or "all pixels are data",
        "crs": ", ".join(part for part in (f"EPSG:{place.epsg}" if place.epsg else "", place.crs) if part) or "none",
        "pixel": f"{place.pixel_size[0]:.10g} x {place.pixel_size[1]:.10g}",
        "bounds": f"({left:.10g}, {bottom:.10g}, {right:.10g}, {top:.10g})",
        "tags": str(place.tags),
    }


def _bands_text(place: Place) -> str:
    names = [
        f"{number} {name or colour}"
        for number, (name, colour) in enumerate(zip(place.descriptions, place.colours, strict=True), start=1)
    ]
    more = len(names) - BANDS_SHOWN
    return ", ".join(names[:BANDS_SHOWN]) + (f", and {more} more" if more > 0 else "")


def _layout_text(measurement: Measurement) -> str:
    if measurement.version is None:
        return f"{bytes_text(measurement.size_bytes)}, no TIFF"
    ghost = "GDAL's structural metadata" if measurement.ghost else "no structural metadata"
    return f"{measurement.version}, {measurement.byte_order}, {bytes_text(measurement.size_bytes)}, {ghost}"


def _level_table(measurement: Measurement) -> list[str]:
    rows = [("level", "pixels", "tile", "tiles", "bytes", "stored as")]
    leveled = [one for one in measurement.directories if one.role.level is not None]
    rows += [_level_row(one) for one in sorted(leveled, key=lambda one: (one.role.level, one.role.kind))]
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [_padded(row, widths) for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _level_row(directory: Directory) -> tuple[str, str, str, str, str, str]:
    level = str(directory.role.level) + (" mask" if directory.role.kind is RoleKind.MASK else "")
    layout, tiles = directory.layout, f"{len(directory.tile_offsets_bytes):,}"
    if layout is None:
        return level, "?", "?", tiles, "?", "?"
    sparse = len(directory.tile_offsets_bytes) - int(directory.present.sum())
    tile = f"{layout.tile_width_px} x {layout.tile_height_px}" + ("" if layout.is_tiled else " strips")
    stored = layout.compression_name.lower() + (f", predictor {layout.predictor}" if layout.predictor != 1 else "")
    stored += f", {layout.interleave} interleaved" if layout.samples > 1 else ""
    return (
        level,
        f"{layout.width_px} x {layout.height_px}",
        tile,
        tiles + (f" ({sparse:,} sparse)" if sparse else ""),
        bytes_text(directory.tiles_bytes),
        stored,
    )
