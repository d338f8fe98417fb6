"""`Report` and `Info`: what `validate` and `info` return, as text and as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from georeader._core.reporting import preformatted, to_jsonable
from georeader._readers.measurement import MeasuredDirectory, Measurement, RoleKind
from georeader.validation.histogram import BandHistogram
from georeader.validation.problems import LAYOUT_CODES, OVERVIEW_CODES, Problem, Severity

#: Number of bands that are listed.
BANDS_SHOWN = 8


@dataclass(frozen=True)
class Report:
    """A report on whether a file is a good Cloud Optimized GeoTIFF.

    Attributes:
        path: Of the file, without the secrets that a URL may hold.
        measurement: Measurement of the file.
        problems: Errors first, then warnings.
        is_strict: Warnings count as errors.
        notes: What web clients do not read; it has no effect on the verdict.

    Example:
        >>> report = Report("a.tif", Measurement(0), (Problem(Severity.ERROR, "not-a-tiff", "it is empty"),))
        >>> print(report)
        a.tif is NOT a valid Cloud Optimized GeoTIFF: 1 error
          0 bytes, no TIFF
          error    not-a-tiff: it is empty
        >>> report.is_valid, bool(report)
        (False, False)
    """

    path: str
    measurement: Measurement
    problems: tuple[Problem, ...] = ()
    is_strict: bool = False
    notes: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that make the file invalid."""
        return tuple(one for one in self.problems if one.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that readers tolerate."""
        return tuple(one for one in self.problems if one.severity is Severity.WARNING)

    @property
    def is_valid(self) -> bool:
        """Whether there are no errors, and in strict mode no warnings."""
        return not (self.problems if self.is_strict else self.errors)

    @property
    def advice(self) -> str | None:
        """The call that mends the file without encoding its tiles anew; None where there is none, or no problem."""
        base = self.measurement.images[0].layout if self.measurement.images else None
        mended = LAYOUT_CODES | OVERVIEW_CODES
        is_mended = any(one.code in mended for one in self.problems) and all(one.code in mended for one in self.errors)
        if base is None or not base.is_tiled or not is_mended:
            return None
        return f"georeader.repack({self.path!r}, out) makes a valid file of it, whose tiles are not encoded anew"

    def __bool__(self) -> bool:
        return self.is_valid

    def __repr__(self) -> str:
        """Return one line: the path and the verdict."""
        return self._verdict()

    def __str__(self) -> str:
        """Return the verdict, the layout and each problem and note, a line each."""
        lines = [self._verdict(), f"  {_measured_text(self.measurement)}"]
        viewer = self.measurement.viewer
        if viewer is not None:
            opening = f"{count_text(viewer.open_requests, 'request')} ({bytes_text(viewer.open_bytes)})"
            size = f"{viewer.thumbnail_width_px} x {viewer.thumbnail_height_px} pixels"
            more = f"{count_text(viewer.thumbnail_requests, 'more request')} ({bytes_text(viewer.thumbnail_bytes)})"
            lines.append(f"  a viewer opens it by {opening}, and shows {size} of it by {more}")
        lines += [
            f"  {problem.severity.value:<9}{problem.code}: {problem.message}"
            for problem in (*self.problems, *self.notes)
        ]
        lines += [] if self.advice is None else [f"  {'advice':<9}{self.advice}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the text of `str` for notebooks, escaped and monospaced."""
        return f"<div>{preformatted(str(self))}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values of JSON."""
        return {
            "path": self.path,
            "is_valid": self.is_valid,
            "is_strict": self.is_strict,
            "errors": [{"code": one.code, "message": one.message} for one in self.errors],
            "warnings": [{"code": one.code, "message": one.message} for one in self.warnings],
            "advice": self.advice,
            "notes": [{"code": one.code, "message": one.message} for one in self.notes],
            "measurement": self.measurement.to_dict(),
        }

    def _verdict(self) -> str:
        counts = {"error": len(self.errors), "warning": len(self.warnings)}
        said = ", ".join(count_text(count, name) for name, count in counts.items() if count)
        is_not = "is" if self.is_valid else "is NOT"
        strict = " (warnings count)" if self.is_strict and self.warnings and not self.errors else ""
        return f"{self.path} {is_not} a valid Cloud Optimized GeoTIFF{': ' + said if said else ''}{strict}"


def _measured_text(measurement: Measurement) -> str:
    if measurement.version is None:
        return f"{bytes_text(measurement.size_bytes)}, no TIFF"
    tiles = sum(len(one.tile_offsets_bytes) for one in measurement.directories)
    base = measurement.images[0].layout if measurement.images else None
    parts = [f"{measurement.version}, {bytes_text(measurement.size_bytes)}"]
    if base is not None:
        parts.append(f"{base.width_px} x {base.height_px} pixels of {base.samples} x {base.kind_name}")
        parts.append(base.compression_name.lower())
    parts.append(count_text(len(measurement.images) - 1, "overview") if measurement.images else "no image")
    decoded = measurement.tiles_decoded
    parts.append(count_text(tiles, "tile") + (", not decoded" if decoded is None else f", {decoded} decoded"))
    return ", ".join(parts)


@dataclass(frozen=True)
class RasterFacts:
    """Pixels and georeference of a raster, as a reader has them."""

    width_px: int
    height_px: int
    bands: int
    dtype: str
    crs: str | None  #: Its name.
    epsg: int | None
    pixel_size: tuple[float, float]  #: (x, y) in units of the CRS.
    bounds: tuple[float, float, float, float]  #: (left, bottom, right, top) in units of the CRS.
    nodata: int | float | None  #: Of the first band.
    descriptions: tuple[str | None, ...]  #: Of each band.
    colours: tuple[str, ...]  #: Colour interpretation of each band.
    tags: int  #: Number of tags of the file.
    has_mask: bool  #: It has a mask that is neither nodata nor alpha.

    def __repr__(self) -> str:
        """Return one line: the pixels and the CRS."""
        facts = _place_facts(self)
        return f"RasterFacts({facts['pixels']}, {facts['crs']})"

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
        histograms: Of the bands, if they were requested.
    """

    path: str
    place: RasterFacts
    measurement: Measurement = field(repr=False)
    histograms: tuple[BandHistogram, ...] = ()

    def __repr__(self) -> str:
        """Return one line: the path, the pixels, the CRS and the layout."""
        facts = _place_facts(self.place)
        return f"{self.path}: {facts['pixels']}, {facts['crs']}, {_layout_text(self.measurement)}"

    def __str__(self) -> str:
        """Return a table of pixels, georeference, layout and levels, and histograms."""
        facts = {**_place_facts(self.place), "layout": _layout_text(self.measurement)}
        lines = [self.path, *(f"  {name:<9}{value}" for name, value in facts.items())]
        histograms = [f"  {line}" for one in self.histograms for line in str(one).splitlines()]
        return "\n".join([*lines, *_level_table(self.measurement), *histograms])

    def _repr_html_(self) -> str:
        """Return the table of `str` for notebooks, escaped and monospaced."""
        return f"<div>{preformatted(str(self))}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values of JSON: numbers that are not finite are text, such as "nan" and "inf"."""
        found = {
            "path": self.path,
            **asdict(self.place),
            "has_alpha": self.place.has_alpha,
            "layout": self.measurement.to_dict(),
        }
        if self.histograms:
            found["histograms"] = [asdict(one) for one in self.histograms]
        return {name: to_jsonable(value) for name, value in found.items()}


def _place_facts(place: RasterFacts) -> dict[str, str]:
    left, bottom, right, top = place.bounds
    invalid = ["mask"] if place.has_mask else []
    invalid += ["alpha band"] if place.has_alpha else []
    invalid += [] if place.nodata is None else [f"nodata {place.nodata:.17g}"]
    named = enumerate(zip(place.descriptions, place.colours, strict=True), start=1)
    bands = [f"{number} {name or colour}" for number, (name, colour) in named]
    if len(bands) > BANDS_SHOWN:
        bands[BANDS_SHOWN:] = [f"and {len(bands) - BANDS_SHOWN} more"]
    return {
        "pixels": f"{place.width_px} x {place.height_px}, {count_text(place.bands, 'band')} of {place.dtype}",
        "bands": ", ".join(bands),
        "validity": " and ".join(invalid) or "all pixels are data",
        "crs": ", ".join(part for part in (f"EPSG:{place.epsg}" if place.epsg else "", place.crs) if part) or "none",
        "pixel": f"{place.pixel_size[0]:.10g} x {place.pixel_size[1]:.10g}",
        "bounds": f"({left:.10g}, {bottom:.10g}, {right:.10g}, {top:.10g})",
        "tags": str(place.tags),
    }


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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _level_row(directory: MeasuredDirectory) -> tuple[str, str, str, str, str, str]:
    level = str(directory.role.level) + (" mask" if directory.role.kind is RoleKind.MASK else "")
    layout, tiles = directory.layout, f"{len(directory.tile_offsets_bytes):,}"
    if layout is None:
        return level, "?", "?", tiles, "?", "?"
    tiles += f" ({directory.sparse_count:,} sparse)" if directory.sparse_count else ""
    tile = f"{layout.tile_width_px} x {layout.tile_height_px}" + ("" if layout.is_tiled else " strips")
    stored = layout.compression_name.lower() + (f", predictor {layout.predictor}" if layout.predictor != 1 else "")
    stored += f", {layout.interleave} interleaved" if layout.samples > 1 else ""
    return level, f"{layout.width_px} x {layout.height_px}", tile, tiles, bytes_text(directory.tiles_bytes), stored


def bytes_text(size_bytes: int) -> str:
    """Return a size in a suitable unit.

    Example:
        >>> bytes_text(812), bytes_text(16384), bytes_text(3 * 2**30)
        ('812 bytes', '16 KiB', '3 GiB')
    """
    size, unit = float(size_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def count_text(count: int, one: str) -> str:
    """Return a number of things as text, such as "1 tile" or "12,000 tiles"."""
    return f"{count:,} {one if count == 1 else one + 's'}"
