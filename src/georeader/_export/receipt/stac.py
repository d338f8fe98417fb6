"""STAC items of files that were saved, from their receipts. Needs the extra ``stac``.

References:
    STAC 1.1.0, Item Specification; Projection Extension 2.0.0; Raster Extension 1.1.0; Electro-Optical Extension 1.1.0;
    File Info Extension 2.1.0.
    RFC 7946 (GeoJSON), sections 3.1.6 (the direction of rings), 3.1.9 (cut at the antimeridian) and 5.2 (bounding boxes
    that cross it);
    multiformats' table of multicodecs (a CRC-32 is 0x0132).
"""

from __future__ import annotations

import datetime as datetime_
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from georeader._core.reporting import import_extra, warn_at_caller
from georeader._storage.redaction import MASK
from georeader.errors import MetadataWarning, OptionError
from georeader.window_utils import pixel_to_crs, transform_points

if TYPE_CHECKING:
    import pystac

    from georeader._export.receipt.receipt import Receipt

#: STAC's names of numpy's complex dtypes; those of other dtypes are equal.
_DATA_TYPES = {"complex64": "cfloat32", "complex128": "cfloat64"}

#: Before the digest: multicodec's number of a CRC-32, as a varint, and the digest's length (file:checksum).
_CRC32_MULTIHASH = "b20204"

#: Mean radius of the Earth (IUGG), in metres.
_EARTH_RADIUS_M = 6_371_008.8


#: Points on each side of the outline: straight lines of one CRS are curves in another.
_SIDE_POINTS = 64

#: Distance of a point from a straight line beyond which the outline gets a vertex there, in pixels.
_TOLERANCE_PX = 0.25


def build_item(
    receipts: Mapping[str, Receipt],
    *,
    id: str | None,  # noqa: A002  (as STAC and pystac call it)
    datetime: datetime_.datetime | None,
    href: str | Mapping[str, str] | None,
    properties: Mapping[str, Any] | None,
) -> pystac.Item:
    """Return a STAC item of receipts by the names of their assets; see `georeader.stac.item_of`."""
    pystac = _pystac("")
    files = _files(receipts, href)
    fields, time = _when([file.receipt for file in files], datetime, properties)
    footprint = _union_of([footprint for file in files if (footprint := file.footprint()) is not None])
    if id is None and len(files) > 1:
        raise OptionError(f"an item of {len(files)} files has no default id; pass id=")
    item = pystac.Item(
        id=name_of(files[0].href) if id is None else id,
        geometry=footprint.geometry if footprint else None,
        bbox=footprint.bbox if footprint else None,
        datetime=time,
        properties=fields,
    )
    for file in files:
        receipt = file.receipt
        media_type = pystac.MediaType.COG if receipt.kind == "cog" else pystac.MediaType.GEOTIFF
        asset = pystac.Asset(file.href, media_type=media_type, roles=["data"])
        item.add_asset(file.key, asset)
        asset.common_metadata.created = receipt.finished
        file_info = _pystac(".extensions.file").FileExtension.ext(asset, add_if_missing=True)
        checksum = receipt.checksum and _CRC32_MULTIHASH + receipt.checksum.removeprefix("crc32:")
        file_info.apply(size=receipt.size_bytes, checksum=checksum)
        _add_bands(asset, receipt, file.crs)
    _add_projection(item, files)
    return item  # type: ignore[no-any-return]


def _pystac(module: str) -> Any:
    return import_extra(f"pystac{module}", extra="stac", purpose="Receipt.to_stac()")


@dataclass(frozen=True)
class _File:
    """A receipt and its place in an item."""

    key: str
    href: str
    receipt: Receipt

    @cached_property
    def crs(self) -> CRS | None:
        wkt = self.receipt.crs_wkt
        return None if wkt is None else CRS.from_wkt(wkt)

    def footprint(self) -> _Footprint | None:
        shape, transform = self.receipt.shape[1:], self.receipt.transform
        return None if self.crs is None else _footprint_in_wgs84(shape, transform, self.crs)


def _files(named: Mapping[str, Receipt], href: Any) -> list[_File]:
    if isinstance(href, str) and len(named) > 1:
        raise OptionError(f"href={href!r} is one link for {len(named)} files; pass a mapping of assets' names to links")
    links = href if isinstance(href, Mapping) else {} if href is None else dict.fromkeys(named, href)
    unknown = [key for key in links if key not in named]
    if unknown:
        raise OptionError(f"href has links of {', '.join(map(repr, unknown))}; the assets are {', '.join(named)}")
    return [
        _File(key, links[key] if key in links else href_of(receipt.path), receipt) for key, receipt in named.items()
    ]


def _when(
    receipts: Sequence[Receipt], datetime: Any, properties: Mapping[str, Any] | None
) -> tuple[dict[str, Any], datetime_.datetime | None]:
    """Return the properties and the datetime, null where they hold a span."""
    fields = _properties(properties, datetime)
    if datetime is not None:
        return fields, datetime
    if {"start_datetime", "end_datetime"} <= fields.keys():
        return fields, None
    times = sorted({receipt.acquired for receipt in receipts if receipt.acquired is not None})
    if len(times) > 1:
        as_text = _pystac(".utils").datetime_to_str
        return fields | {"start_datetime": as_text(times[0]), "end_datetime": as_text(times[-1])}, None
    if times:
        return fields, times[0]
    warn_at_caller(
        "the item's datetime is the time of the save, since neither tags nor attrs['acquired'] have an acquisition "
        "time; pass datetime= (save_collection: among properties), or properties with start_datetime and end_datetime",
        MetadataWarning,
    )
    return fields, max(receipt.finished for receipt in receipts)


def _properties(given: Mapping[str, Any] | None, datetime: Any) -> dict[str, Any]:
    """Return properties with times as text; check that the time is passed as ``datetime``."""
    fields = dict(given or {})
    if not isinstance(datetime, (datetime_.datetime, type(None))):
        raise OptionError(f"datetime={datetime!r} is a {type(datetime).__name__}; pass a datetime.datetime")
    if datetime is None and "datetime" in fields:
        raise OptionError("properties has a 'datetime'; pass datetime=, a datetime.datetime, instead")
    for name in ("start_datetime", "end_datetime"):
        if isinstance(fields.get(name), datetime_.datetime):
            fields[name] = _pystac(".utils").datetime_to_str(fields[name])
    return fields


def _add_projection(item: Any, files: Sequence[_File]) -> None:
    """Set the projection on the item where all files share it, else on each asset."""
    module = _pystac(".extensions.projection")
    module.ProjectionExtension.add_to(item)
    fields = {file.key: _projection(file.receipt, file.crs) for file in files}
    first = fields[files[0].key]
    common = {name: first[name] for name in first if all(one.get(name) == first[name] for one in fields.values())}
    item.properties |= common
    for key, own in fields.items():
        item.assets[key].extra_fields |= {name: value for name, value in own.items() if name not in common}


def _projection(receipt: Receipt, crs: CRS | None) -> dict[str, Any]:
    _, height_px, width_px = receipt.shape
    fields: dict[str, Any] = {"proj:shape": [height_px, width_px]}
    if crs is None and receipt.transform == Affine.identity():
        return fields  # the geometry is null
    ring = _corners((height_px, width_px), receipt.transform)
    xs, ys = zip(*ring, strict=True)
    fields["proj:transform"] = list(receipt.transform[:6])
    bbox = [min(xs), min(ys), max(xs), max(ys)]
    if all(map(math.isfinite, bbox)):  # corners of the largest possible pixels overflow
        fields["proj:bbox"] = bbox
        fields["proj:geometry"] = {"type": "Polygon", "coordinates": [[list(point) for point in ring]]}
    if crs is None:
        return fields
    authority = crs.to_authority(confidence_threshold=100)
    return fields | ({"proj:wkt2": receipt.crs_wkt} if authority is None else {"proj:code": ":".join(authority)})


def _add_bands(asset: Any, receipt: Receipt, crs: CRS | None) -> None:
    module = _pystac(".extensions.raster")
    resolution_m = _finite(_resolution_m(receipt, crs))
    bands = []
    for position in range(receipt.shape[0]):
        scale, offset = receipt.scales[position], receipt.offsets[position]
        statistics = None if receipt.statistics is None else astuple(receipt.statistics[position])
        bands.append(
            module.RasterBand.create(
                nodata=receipt.nodata if _finite(receipt.nodata) == receipt.nodata else str(receipt.nodata),
                data_type=_DATA_TYPES.get(receipt.dtype, receipt.dtype),
                spatial_resolution=resolution_m,
                statistics=None if statistics is None else module.Statistics.create(*map(_finite, statistics)),
                unit=receipt.units[position],
                scale=None if (scale, offset) == (1, 0) else scale,
                offset=None if (scale, offset) == (1, 0) else offset,
            )
        )
    module.RasterExtension.ext(asset, add_if_missing=True).bands = bands
    if any(receipt.descriptions):
        # STAC 1.1's own list of bands, by position the same as the extension's.
        asset.extra_fields["bands"] = [{"name": name} if name else {} for name in receipt.descriptions]
        # And that of the EO extension 1.1, by which odc-stac finds bands; each must have a name there.
        electro = _pystac(".extensions.eo")
        named = [name or f"band_{number}" for number, name in enumerate(receipt.descriptions, start=1)]
        electro.EOExtension.ext(asset, add_if_missing=True).bands = [electro.Band.create(name) for name in named]


def _finite(number: float | None) -> float | None:
    return number if number is None or math.isfinite(number) else None


def _resolution_m(receipt: Receipt, crs: CRS | None) -> float | None:
    """Return the side of a square as large as a pixel, in metres; None if the CRS has no length unit."""
    if crs is None:
        return None
    side = math.sqrt(abs(receipt.transform.determinant))
    try:
        if crs.is_projected:
            return side * float(crs.linear_units_factor[1])
        if not crs.is_geographic:
            return None
        radians = float(crs.units_factor[1])
    except CRSError:
        return None
    _, height_px, width_px = receipt.shape
    _, latitude = pixel_to_crs(receipt.transform, width_px / 2, height_px / 2)
    return side * radians * _EARTH_RADIUS_M * math.sqrt(max(math.cos(latitude * radians), 0.0))


def href_of(path: str) -> str:
    """Return a path as a link, without the mask of a secret."""
    href = re.sub(r"[?#]\*\*\*$", "", path).replace(f"//{MASK}@", "//")
    if href.startswith("<") or MASK in href:
        raise OptionError(f"{path!r} is not a link that readers can follow; pass href=, such as the file's public URL")
    return href


def name_of(href: str) -> str:
    """Return a file's name without its suffix."""
    name = re.split(r"[/\\]", re.split(r"[?#]", href, maxsplit=1)[0])[-1]
    stem = name.rpartition(".")[0] or name
    if not stem:
        raise OptionError(f"href={href!r} ends in no name; pass id=")
    return stem


# Footprints: densified, cut at the antimeridian, around a pole if need be.


@dataclass(frozen=True)
class _Footprint:
    """The outline of a grid in WGS 84."""

    geometry: dict[str, Any]  #: GeoJSON Polygon or MultiPolygon
    bbox: list[float]  #: [west, south, east, north], degrees; west > east across the antimeridian


def _corners(shape: tuple[int, int], transform: Affine, side_points: int = 1) -> list[tuple[float, float]]:
    """Return the outline of a grid in its CRS, closed and counterclockwise."""
    height_px, width_px = shape
    ends = [(0, 0), (0, height_px), (width_px, height_px), (width_px, 0)]
    if transform.determinant > 0:  # south up: the other way around
        ends.reverse()
    points = [
        (column + (next_column - column) * step / side_points, row + (next_row - row) * step / side_points)
        for (column, row), (next_column, next_row) in zip(ends, [*ends[1:], ends[0]], strict=True)
        for step in range(side_points)
    ]
    return [pixel_to_crs(transform, *point) for point in [*points, points[0]]]


def _footprint_in_wgs84(shape: tuple[int, int], transform: Affine, crs: CRS) -> _Footprint | None:
    """Return the outline of a grid in WGS 84; None if it is not on Earth."""
    antimeridian = import_extra("antimeridian", extra="stac", purpose="a footprint in WGS 84")
    shapely = import_extra("shapely", extra="stac", purpose="a footprint in WGS 84")
    if crs.to_wkt().startswith("GEOCCS"):  # its x and y are two of three coordinates
        return None
    ring = _in_wgs84(_corners(shape, transform, _SIDE_POINTS), crs)
    if ring is None:
        return None
    try:
        geometry = antimeridian.fix_polygon(shapely.Polygon(ring))
    except ValueError:  # an outline without an area, of pixels of some 1e-324
        return None
    if not geometry.is_valid:  # parts that touch, of a grid around the whole Earth
        geometry = shapely.union_all(shapely.get_parts(geometry))
    pixel_degrees = math.sqrt(geometry.area / (shape[0] * shape[1]))
    geometry = shapely.simplify(geometry, _TOLERANCE_PX * pixel_degrees)
    geometry = shapely.orient_polygons(geometry)
    return _Footprint(json.loads(shapely.to_geojson(geometry)), [float(edge) for edge in antimeridian.bbox(geometry)])


def _union_of(footprints: Sequence[_Footprint]) -> _Footprint | None:
    """Return the common footprint of several grids; None if there are none."""
    distinct = [one for place, one in enumerate(footprints) if one not in footprints[:place]]
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    shapely = import_extra("shapely", extra="stac", purpose="a footprint in WGS 84")
    parts = [shapely.from_geojson(json.dumps(footprint.geometry)) for footprint in distinct]
    geometry = shapely.orient_polygons(shapely.union_all(parts))
    south, north = min(one.bbox[1] for one in distinct), max(one.bbox[3] for one in distinct)
    west, east = widest([(one.bbox[0], one.bbox[2]) for one in distinct])
    return _Footprint(json.loads(shapely.to_geojson(geometry)), [west, south, east, north])


def widest(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return (west, east) of several spans; across the antimeridian where one of them crosses it."""
    if all(west <= east for west, east in spans):
        return min(west for west, _ in spans), max(east for _, east in spans)
    # Counted from Greenwich eastwards: those of the western hemisphere come after the antimeridian.
    turned = [
        (west + 360 if west < 0 else west, east + 360 if east <= 0 or west > east else east) for west, east in spans
    ]
    west, east = min(west for west, _ in turned), max(east for _, east in turned)
    return (-180.0, 180.0) if east - west >= 360 else (west, east - 360)


def _in_wgs84(ring: list[tuple[float, float]], crs: CRS) -> list[tuple[float, float]] | None:
    """Return points as (longitude, latitude); None if one of them cannot be transformed."""
    longitudes, latitudes = transform_points(crs, "EPSG:4326", *np.transpose(ring))
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None
    # Grids whose pixels are centred on the poles reach half a pixel beyond them.
    return [(x, min(max(y, -90.0), 90.0)) for x, y in zip(longitudes, latitudes, strict=True)]
