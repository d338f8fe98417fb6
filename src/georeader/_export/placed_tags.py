"""Where a raster lies, in a GeoTIFF's tags: the numbers of one transform laid over those of another. Pure.

Rasters by the thousand differ in where they lie and in little else. So what GDAL says of one of them is said of all,
but for six numbers, which are laid into GDAL's own tags.

References:
    OGC 19-008r4 (GeoTIFF 1.1), section 7.4 and annex B.6: ModelPixelScaleTag and ModelTiepointTag where rows lie along
    x and the first row is the northernmost, ModelTransformationTag else; and section 7.1.2.1 (GTRasterTypeGeoKey):
    of rasters whose pixels are points they tell the middle of the first pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from affine import Affine

from georeader._tiff.directories import Tag, TagNumber, make_tag

#: Places of which GDAL is asked: a raster that lies as usual, and one that does not; it takes sides of 1 for no place.
NORTH_UP = Affine(2, 0, 0, 0, -2, 0)
OTHERWISE = Affine(0, 2, 0, 2, 0, 0)


def place_like(transform: Affine) -> Affine | None:
    """Give the transform whose tags are those of ``transform`` but for its numbers; None: it has none, or is no place.

    Example:
        >>> place_like(Affine(10, 0, 500000, 0, -10, 4000000)) == NORTH_UP
        True
    """
    if transform[:6] == (1, 0, 0, 0, 1, 0):  # which GDAL can't tell from none
        return None
    return NORTH_UP if transform.b == transform.d == 0 and transform.e < 0 else OTHERWISE


def with_transform(tags: tuple[Tag, ...], transform: Affine) -> tuple[Tag, ...]:
    """Give the tags of a raster at another place.

    Args:
        tags: What GDAL says of the raster at `place_like` of the transform.
        transform: Pixel (column, row) to CRS (x, y).

    Example:
        >>> from georeader._tiff.directories import TagType
        >>> at_reference = make_tag(TagNumber.MODEL_TIEPOINT, TagType.DOUBLE, 0, 0, 0, 1.0, -1.0, 0)
        >>> with_transform((at_reference,), Affine(10, 0, 500000, 0, -10, 4000000))[0].values
        (0.0, 0.0, 0.0, 500005.0, 3999995.0, 0.0)
    """
    return tuple(_LAID[tag.number](tag, transform) if tag.number in _LAID else tag for tag in tags)


def _scale(tag: Tag, transform: Affine) -> Tag:
    return _with(tag, {0: transform.a, 1: abs(transform.e)})


def _tiepoint(tag: Tag, transform: Affine) -> Tag:
    is_middle = tag.values[3] != NORTH_UP.c
    return _with(tag, dict(zip((3, 4), _origin(transform, is_middle=is_middle), strict=True)))


def _transformation(tag: Tag, transform: Affine) -> Tag:
    x, y = _origin(transform, is_middle=tag.values[3] != OTHERWISE.c)
    return _with(tag, {0: transform.a, 1: transform.b, 3: x, 4: transform.d, 5: transform.e, 7: y})


def _origin(transform: Affine, *, is_middle: bool) -> tuple[float, float]:
    """Give x and y of the first pixel's corner, or of its middle, added up in GDAL's order."""
    a, b, c, d, e, f = transform[:6]
    return (c + (a * 0.5 + b * 0.5), f + (d * 0.5 + e * 0.5)) if is_middle else (c, f)


def _with(tag: Tag, numbers: dict[int, float]) -> Tag:
    return make_tag(tag.number, tag.type, *(numbers.get(place, old) for place, old in enumerate(tag.values)))


_LAID: Mapping[int, Callable[[Tag, Affine], Tag]] = {
    TagNumber.MODEL_PIXEL_SCALE: _scale,
    TagNumber.MODEL_TIEPOINT: _tiepoint,
    TagNumber.MODEL_TRANSFORMATION: _transformation,
}
