"""A STAC item of a file that was saved: what catalogues ask of it, out of its receipt. Needs the extra ``stac``.

References:
    STAC 1.1.0, Item Specification; Projection Extension 2.0.0; Raster Extension 1.1.0; File Info Extension 2.1.0;
    multiformats' table of multicodecs (a CRC-32 is 0x0132).
"""

from __future__ import annotations

import datetime as datetime_
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from georeader.errors import OptionError
from georeader.export.receipt import Receipt
from georeader.extras import import_extra
from georeader.footprints import corners, footprint_in_wgs84
from georeader.remote.redaction import MASK
from georeader.window_utils import pixel_to_crs

if TYPE_CHECKING:
    import pystac

#: STAC's names of numpy's complex dtypes; the others are called alike.
_DATA_TYPES = {"complex64": "cfloat32", "complex128": "cfloat64"}

#: Before the digest: multicodec's number of a CRC-32, as a varint, and the digest's length (file:checksum).
_CRC32_MULTIHASH = "b20204"

#: Mean radius of the Earth (IUGG), in metres.
_EARTH_RADIUS_M = 6_371_008.8


def item_of(
    receipt: Receipt,
    *,
    id: str | None = None,  # noqa: A002  (as STAC and pystac call it)
    datetime: datetime_.datetime | None = None,
    asset_key: str = "data",
    href: str | None = None,
    properties: Mapping[str, Any] | None = None,
) -> pystac.Item:
    """Give a STAC item with one asset, the file, and the projection, raster and file extensions.

    The geometry is the outline of the grid in WGS 84 (longitude, latitude). Where it crosses the antimeridian it is cut
    into a MultiPolygon, and the west of its bounding box is larger than the east (RFC 7946, sections 3.1.9 and 5.2).
    It is null, and there is no bounding box, where the raster has no CRS (ground control points and RPCs alone are
    none), or one without a place on Earth: a local one, that of another planet, a full disk with corners in space.

    ``proj:code`` is the code of an authority, such as "EPSG:32630"; a CRS without one is told by ``proj:wkt2``.
    ``spatial_resolution`` is in metres, in a geographic CRS that of the middle of the raster. Of statistics, numbers
    that JSON does not have are left out.

    Args:
        receipt: What was saved.
        id: By default the file's name without its suffix.
        datetime: When the pixels were taken; by default when the file was finished, which is all a receipt knows. Pass
            ``properties`` with ``start_datetime`` and ``end_datetime`` for a span: then it is null.
        asset_key: Name of the file among the item's assets.
        href: Where readers find the file; by default ``receipt.path``, without the query of a signed URL.
        properties: Further properties; copied.

    Raises:
        MissingExtraError: pystac or antimeridian is not installed.
        OptionError: There is no default for ``id`` or ``href``: the file went to an object without a name, or its URL
            holds a secret in its midst; or ``datetime`` is no datetime, or stands among the properties.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, save_cog
        >>> tensor = GeoTensor(np.zeros((300, 300), "uint8"), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", 0)
        >>> item = item_of(save_cog(tensor, "zeros.tif"), properties={"platform": "sentinel-2a"})
        >>> item.geometry["type"], [round(degrees, 3) for degrees in item.bbox]
        ('Polygon', [-3.0, 36.118, -2.967, 36.145])
        >>> item.assets["data"].extra_fields["raster:bands"]
        [{'nodata': 0, 'data_type': 'uint8', 'spatial_resolution': 10.0}]
    """
    pystac = import_extra("pystac", extra="stac", purpose="Receipt.to_stac()")
    href = _href(receipt.path) if href is None else href
    told = _properties(properties, datetime)
    is_span = datetime is None and {"start_datetime", "end_datetime"} <= told.keys()
    crs = None if receipt.crs_wkt is None else CRS.from_wkt(receipt.crs_wkt)
    footprint = None if crs is None else footprint_in_wgs84(receipt.shape[1:], receipt.transform, crs)
    item = pystac.Item(
        id=_name(href) if id is None else id,
        geometry=footprint.geometry if footprint else None,
        bbox=footprint.bbox if footprint else None,
        datetime=None if is_span else datetime or receipt.finished,
        properties=told,
    )
    media_type = pystac.MediaType.COG if receipt.kind == "cog" else pystac.MediaType.GEOTIFF
    asset = pystac.Asset(href, media_type=media_type, roles=["data"])
    item.add_asset(asset_key, asset)
    _tell_projection(item, receipt, crs)
    _tell_file(asset, receipt)
    _tell_bands(asset, receipt, crs)
    return item  # type: ignore[no-any-return]


def _properties(given: Mapping[str, Any] | None, datetime: Any) -> dict[str, Any]:
    """Give properties as JSON has them, and see that the time is said where it is heard."""
    told = dict(given or {})
    if not isinstance(datetime, (datetime_.datetime, type(None))):
        raise OptionError(f"datetime={datetime!r} is a {type(datetime).__name__}; pass a datetime.datetime")
    if datetime is None and "datetime" in told:
        raise OptionError("properties has a 'datetime'; pass datetime=, a datetime.datetime, instead")
    for name in ("start_datetime", "end_datetime"):
        if isinstance(told.get(name), datetime_.datetime):
            told[name] = import_extra("pystac.utils", extra="stac", purpose="a span").datetime_to_str(told[name])
    return told


def _tell_projection(item: Any, receipt: Receipt, crs: CRS | None) -> None:
    module = import_extra("pystac.extensions.projection", extra="stac", purpose="Receipt.to_stac()")
    extension = module.ProjectionExtension.ext(item, add_if_missing=True)
    _, height_px, width_px = receipt.shape
    extension.shape = [height_px, width_px]
    if crs is None and receipt.transform == Affine.identity():
        return  # which says that there is no place
    ring = corners((height_px, width_px), receipt.transform)
    xs, ys = zip(*ring, strict=True)
    extension.transform = list(receipt.transform[:6])
    bbox = [min(xs), min(ys), max(xs), max(ys)]
    if all(map(math.isfinite, bbox)):  # corners of the largest pixels that there can be overflow
        extension.bbox = bbox
        extension.geometry = {"type": "Polygon", "coordinates": [[list(point) for point in ring]]}
    if crs is None:
        return
    authority = crs.to_authority(confidence_threshold=100)
    if authority is None:
        extension.wkt2 = receipt.crs_wkt
    else:
        extension.code = ":".join(authority)


def _tell_file(asset: Any, receipt: Receipt) -> None:
    module = import_extra("pystac.extensions.file", extra="stac", purpose="Receipt.to_stac()")
    digest = receipt.checksum.removeprefix("crc32:")
    extension = module.FileExtension.ext(asset, add_if_missing=True)
    extension.apply(size=receipt.size_bytes, checksum=_CRC32_MULTIHASH + digest)


def _tell_bands(asset: Any, receipt: Receipt, crs: CRS | None) -> None:
    module = import_extra("pystac.extensions.raster", extra="stac", purpose="Receipt.to_stac()")
    resolution_m = _finite(_resolution_m(receipt, crs))
    bands = []
    for position in range(receipt.shape[0]):
        scale, offset = receipt.scales[position], receipt.offsets[position]
        bands.append(
            module.RasterBand.create(
                nodata=_as_json(receipt.nodata),
                data_type=_DATA_TYPES.get(receipt.dtype, receipt.dtype),
                spatial_resolution=resolution_m,
                statistics=_statistics(module, receipt, position),
                unit=receipt.units[position],
                scale=None if (scale, offset) == (1, 0) else scale,
                offset=None if (scale, offset) == (1, 0) else offset,
            )
        )
    module.RasterExtension.ext(asset, add_if_missing=True).bands = bands
    if any(receipt.descriptions):
        # STAC 1.1's own list of bands, by position the same as the extension's.
        asset.extra_fields["bands"] = [{"name": name} if name else {} for name in receipt.descriptions]


def _statistics(module: Any, receipt: Receipt, position: int) -> Any:
    if receipt.statistics is None:
        return None
    told = receipt.statistics[position]
    numbers = (told.minimum, told.maximum, told.mean, told.standard_deviation, told.valid_percent)
    return module.Statistics.create(*(_finite(number) for number in numbers))


def _finite(number: float | None) -> float | None:
    return number if number is None or math.isfinite(number) else None


def _as_json(nodata: int | float | None) -> int | float | str | None:
    return nodata if _finite(nodata) is not None else None if nodata is None else str(nodata)


def _resolution_m(receipt: Receipt, crs: CRS | None) -> float | None:
    """Give the side of a square as large as a pixel, in metres; None where the CRS does not know metres."""
    side = math.sqrt(abs(receipt.transform.determinant))
    if crs is None:
        return None
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


def _href(path: str) -> str:
    """Give a path as a link, without what stands for a secret."""
    href = re.sub(r"[?#]\*\*\*$", "", path).replace(f"//{MASK}@", "//")
    if href.startswith("<") or MASK in href:
        raise OptionError(f"{path!r} is no link that readers could follow; pass href=, such as the file's public URL")
    return href


def _name(href: str) -> str:
    """Give a file's name without its suffix."""
    name = re.split(r"[/\\]", re.split(r"[?#]", href, maxsplit=1)[0])[-1]
    stem = name.rpartition(".")[0] or name
    if not stem:
        raise OptionError(f"href={href!r} ends in no name; pass id=")
    return stem
