"""A VRT of GDAL over the files of a collection: a band for each step, asset and band, mosaicked from chunks.

Paths are relative to the VRT, so that it is read at a local path as well as below /vsis3/ and the like. Pixels that no
file has are nodata.

References:
    GDAL's VRT driver page and its gdalvrt.xsd; GDAL opens sources when they are read (3.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

from affine import Affine

from georeader._collection.hrefs import relative_href
from georeader._export.plan.grid import overview_factors
from georeader.errors import GeoreferenceError
from georeader.window_utils import pixel_to_crs, regrid

if TYPE_CHECKING:
    import pystac

#: GDAL's names of data types by STAC's.
_DATA_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32", "int32": "Int32",
    "uint64": "UInt64", "int64": "Int64", "float16": "Float16", "float32": "Float32", "float64": "Float64",
    "cint16": "CInt16", "cint32": "CInt32", "cfloat32": "CFloat32", "cfloat64": "CFloat64",
}  # fmt: skip

#: Largest distance of a file's pixels from those of the grid, in pixels.
_TOLERANCE_PX = 0.01

#: Largest side of the smallest overview of most files; one that a file does not have is read from a finer one.
_SMALLEST_OVERVIEW_PX = 256

_COLOURS = {"red": "Red", "green": "Green", "blue": "Blue"}


class Grid(NamedTuple):
    """Rows and columns, and where they are."""

    height_px: int
    width_px: int
    transform: Affine
    crs: str | None  #: A code such as "EPSG:32630", or WKT 2.


class _Place(NamedTuple):
    """Where a file is in the index."""

    row: int
    column: int
    height_px: int
    width_px: int


@dataclass(frozen=True)
class _File:
    path: str  #: Of the item
    asset_key: str
    asset: pystac.Asset
    grid: Grid
    place: _Place


@dataclass
class _Band:
    """A band of the index, and the files that it is put together of."""

    description: str
    facts: Mapping[str, Any]  #: Of the raster extension
    name: str
    sources: list[tuple[str, int, _Place]] = field(default_factory=list)


def index_xml(
    items: Mapping[str, pystac.Item],
    root: str,
    *,
    steps: Mapping[str, str] | None = None,
    step_names: Sequence[str] | None = None,
    grid: Grid | None = None,
) -> bytes:
    """Return the VRT over items' assets.

    Args:
        items: Items by the paths of their JSON files; hrefs of assets are paths or URLs.
        root: The folder of the VRT.
        steps: Names of steps by the paths of items. Items of one step are put beside each other, in the same bands. By
            default items that lie at several places are one step, or one for each time.
        step_names: Names of all steps, in the order of the bands; one that has no items has bands of nodata alone. By
            default those in ``steps``.
        grid: The grid of the index; by default the smallest one that covers all files.

    Raises:
        GeoreferenceError: Files differ in their CRS or pixel size, or lie between the pixels of others; or two of one
            step lie at the same place.
    """
    files = list(_files(items, grid))
    steps = _steps(items, files) if steps is None else steps
    whole = grid or _covering(files)
    row, column = (0, 0) if grid else (min(one.place.row for one in files), min(one.place.column for one in files))
    placed = [(one, one.place._replace(row=one.place.row - row, column=one.place.column - column)) for one in files]
    height_px, width_px = max(one.place.height_px for one in files), max(one.place.width_px for one in files)
    # Without a list of overviews, GDAL warps from the full resolution.
    factors = overview_factors(height_px, width_px, _SMALLEST_OVERVIEW_PX, _SMALLEST_OVERVIEW_PX)
    bands = _bands(placed, steps, step_names or list(steps.values()), root)
    return _xml(whole, factors, bands).encode()


def _files(items: Mapping[str, pystac.Item], grid: Grid | None) -> Iterator[_File]:
    """Iterate over the files of all items, with their places relative to the grid, or to the first file."""
    for path, item in items.items():
        for key, asset in item.assets.items():
            fields = {**item.properties, **asset.extra_fields}
            if not fields.get("raster:bands") or not fields.get("proj:shape"):
                continue
            transform = Affine(*fields.get("proj:transform", Affine.identity())[:6])
            height_px, width_px = fields["proj:shape"]
            own = Grid(height_px, width_px, transform, fields.get("proj:code") or fields.get("proj:wkt2"))
            grid = grid or own
            yield _File(path, key, asset, own, _place(own, grid, asset.href))
    if grid is None:
        raise GeoreferenceError("no item has an asset with raster:bands and proj:shape; there is nothing to index")


def _place(own: Grid, grid: Grid, href: str) -> _Place:
    if own.crs != grid.crs:
        raise GeoreferenceError(
            f"{href!r} has the CRS {_short(own.crs)}, and the index {_short(grid.crs)}; pass index=False, or items of "
            "one CRS"
        )
    inverse = ~grid.transform
    corners = [(0, 0), (own.width_px, 0), (0, own.height_px)]
    (column, row), *others = [pixel_to_crs(inverse, *pixel_to_crs(own.transform, *corner)) for corner in corners]
    place = _Place(round(row), round(column), own.height_px, own.width_px)
    expected = [(place.column + across, place.row + down) for across, down in corners]
    found = [(column, row), *others]
    if max(abs(one - other) for pair in zip(found, expected, strict=True) for one, other in zip(*pair, strict=True)) > (
        _TOLERANCE_PX
    ):
        raise GeoreferenceError(
            f"{href!r} has the transform {tuple(own.transform[:6])}, whose pixels are not those of the index, "
            f"{tuple(grid.transform[:6])}; pass index=False, or items of one grid"
        )
    return place


def _covering(files: Sequence[_File]) -> Grid:
    """Return the smallest grid that covers all files."""
    places = [one.place for one in files]
    row, column = min(place.row for place in places), min(place.column for place in places)
    first = files[0]
    transform = regrid(first.grid.transform, column - first.place.column, row - first.place.row)
    corner = next((one.grid.transform for one in files if one.place[:2] == (row, column)), transform)
    height_px = max(place.row + place.height_px for place in places) - row
    width_px = max(place.column + place.width_px for place in places) - column
    return Grid(height_px, width_px, corner, first.grid.crs)


def _steps(items: Mapping[str, pystac.Item], files: Sequence[_File]) -> dict[str, str]:
    """Return the names of steps: of all items, of those of one time, or of each item."""
    places: dict[str, set[_Place]] = {path: set() for path in items}
    for one in files:
        places[one.path].add(one.place)
    if _are_apart(list(places.values())):
        return dict.fromkeys(items, "")
    times = time_names([_span_of(item) for item in items.values()])
    if len(set(times)) == len(times) or len({frozenset(one) for one in places.values()}) > 1:
        return dict(zip(items, times, strict=True))
    return {path: item.id for path, item in items.items()}


def _are_apart(places: Sequence[set[_Place]]) -> bool:
    return sum(map(len, places)) == len(set().union(*places))


def _span_of(item: pystac.Item) -> list[datetime | None]:
    common = item.common_metadata
    return [common.start_datetime, common.end_datetime] if item.datetime is None else [item.datetime]


def time_names(spans: Iterable[Sequence[datetime | None]]) -> list[str]:
    """Return times, or first and last times, as text: dates where all are at midnight.

    Example:
        >>> time_names([[datetime(2024, 5, 1)], [datetime(2024, 5, 2), datetime(2024, 5, 9)]])
        ['2024-05-01', '2024-05-02/2024-05-09']
        >>> time_names([[datetime(2024, 5, 1, 10, 30)]])
        ['2024-05-01T10:30:00Z']
    """
    spans = list(spans)
    are_dates = all(one is None or one.time() == time() for span in spans for one in span)
    return ["/".join(_as_text(one, are_dates) for one in span) for span in spans]


def _as_text(when: datetime | None, is_date: bool) -> str:
    if when is None:
        return ""
    return when.date().isoformat() if is_date else when.replace(tzinfo=None).isoformat() + "Z"


def _bands(
    placed: Sequence[tuple[_File, _Place]], steps: Mapping[str, str], step_names: Sequence[str], root: str
) -> list[_Band]:
    """Return the bands: by step, asset and number."""
    order = {name: number for number, name in enumerate(dict.fromkeys(step_names))}
    keys = {name: number for number, name in enumerate(dict.fromkeys(one.asset_key for one, _ in placed))}
    found: dict[tuple[int, int, int], _Band] = {}
    taken: set[tuple[tuple[int, int, int], tuple[int, ...]]] = set()
    for file, place in placed:
        step, fields = steps[file.path], file.asset.extra_fields
        bands, href = fields["raster:bands"], relative_href(file.asset.href, root)
        for number, facts in enumerate(bands, start=1):
            key = (order[step], keys[file.asset_key], number)
            name = _name_of(file, number, len(bands))
            band = found.setdefault(key, _Band(_described(step, name), facts, name))
            if (key, place[:2]) in taken:
                raise GeoreferenceError(
                    f"{file.asset.href!r} lies where another file of the step {step!r} does; pass index=False"
                )
            taken.add((key, place[:2]))
            band.sources.append((href, number, place))
    like = {key[1:]: band for key, band in found.items()}
    for missing in order.keys() - {steps[file.path] for file, _ in placed}:
        for rest, band in like.items():
            found[(order[missing], *rest)] = _Band(_described(missing, band.name), band.facts, band.name)
    return [found[key] for key in sorted(found)]


def _described(step: str, name: str) -> str:
    """Return the description of a band; a step may end with the band's name, as one of several labels."""
    return step if f" {step}".endswith(f" {name}") else f"{step} {name}".strip()


def _name_of(file: _File, number: int, count: int) -> str:
    names = file.asset.extra_fields.get("bands") or [{}] * count
    name = names[number - 1].get("name")
    return name or (file.asset_key if count == 1 else f"{file.asset_key} {number}")


def _xml(grid: Grid, factors: Sequence[int], bands: Sequence[_Band]) -> str:
    a, b, c, d, e, f = grid.transform[:6]
    lines = [f'<VRTDataset rasterXSize="{grid.width_px}" rasterYSize="{grid.height_px}">']
    if grid.crs is not None:
        lines.append(f"  <SRS>{escape(grid.crs)}</SRS>")
    if grid.transform != Affine.identity():
        lines.append(f"  <GeoTransform>{', '.join(repr(float(one)) for one in (c, a, b, f, d, e))}</GeoTransform>")
    if factors:
        lines.append(f"  <OverviewList>{' '.join(map(str, factors))}</OverviewList>")
    for number, band in enumerate(bands, start=1):
        lines += _band_xml(number, band)
    return "\n".join([*lines, "</VRTDataset>", ""])


def _band_xml(number: int, band: _Band) -> Iterator[str]:
    facts = band.facts
    dtype = facts.get("data_type")
    if dtype not in _DATA_TYPES:
        raise GeoreferenceError(f"band {band.description!r} has the data type {dtype!r}, which GDAL does not have")
    yield f'  <VRTRasterBand dataType="{_DATA_TYPES[dtype]}" band="{number}">'
    elements = {
        "Description": band.description,
        "UnitType": facts.get("unit"),
        "Offset": facts.get("offset"),
        "Scale": facts.get("scale"),
        "NoDataValue": facts.get("nodata"),
        "ColorInterp": _COLOURS.get(band.name.lower(), "Gray"),
    }
    for name, value in elements.items():
        if value is not None:
            yield f"    <{name}>{escape(str(value))}</{name}>"
    yield from _sources_xml(band, "")
    if facts.get("nodata") is None:  # pixels may be missing by the mask in a file, or since there is no file
        yield '    <MaskBand><VRTRasterBand dataType="Byte">'
        yield from _sources_xml(band, "mask,")
        yield "    </VRTRasterBand></MaskBand>"
    yield "  </VRTRasterBand>"


def _sources_xml(band: _Band, mask: str) -> Iterator[str]:
    for href, source_band, place in band.sources:
        is_relative = int(href.startswith("."))
        width_px, height_px = f'xSize="{place.width_px}"', f'ySize="{place.height_px}"'
        yield "    <SimpleSource>"
        yield f'      <SourceFilename relativeToVRT="{is_relative}">{escape(href.removeprefix("./"))}</SourceFilename>'
        yield f"      <SourceBand>{mask}{source_band}</SourceBand>"
        yield f'      <SrcRect xOff="0" yOff="0" {width_px} {height_px}/>'
        yield f'      <DstRect xOff="{place.column}" yOff="{place.row}" {width_px} {height_px}/>'
        yield "    </SimpleSource>"


def _short(crs: str | None) -> str:
    return "none" if crs is None else crs.partition(",")[0]
