"""Spec of an object of the GeoData protocol, read without its pixels."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._arrays.pixel_attrs import check_bool
from georeader._export.plan.metadata import metadata_from_attrs
from georeader._export.plan.spec import SourceSpec, choose_georeference
from georeader._resample.methods import recorded_resamplings
from georeader._resample.pyramid import Mask
from georeader.abstract_reader import declared_nodata
from georeader.errors import DtypeError, GeoreferenceError, OptionError, ShapeError
from georeader.geotensor import GeoTensor
from georeader.window_utils import normalise_crs, normalise_transform

#: Attributes of a source that are looked up by name where its ``attrs`` do not have them.
_METADATA_ATTRIBUTES = (
    "descriptions", "scales", "offsets", "units", "colorinterp", "colormap", "photometric", "nbits", "tags",
    "band_tags", "gcps", "rpcs", "namespaces", "band_namespaces", "attribute_tables", "acquired",
)  # fmt: skip


def describe(data: Any, *, dtype: Any, has_mask: bool) -> SourceSpec:
    """Read the spec of a raster from an object's attributes.

    Args:
        data: With shape, transform and crs; perhaps fill_value_default, attrs and metadata by name.
        dtype: Of its pixels.
        has_mask: It has a validity mask.

    Raises:
        GeoreferenceError: It has no transform or CRS attribute, or unusable ones.
        ShapeError: It is empty, or neither (row, column) nor (band, row, column); or its mask is of another size.
        DtypeError: Its dtype is not a numpy dtype, or its mask is not bool.
        MetadataError: Its metadata do not fit its bands.
    """
    check_place(data)
    count, height_px, width_px = shape_of(data.shape)
    attrs = attrs_of(data)
    metadata, crs, transform = choose_georeference(
        metadata_from_attrs(attrs, count), normalise_crs(data.crs), normalise_transform(data.transform)
    )
    if attrs.get("mask") is not None:
        check_mask(attrs["mask"], (height_px, width_px))
    numbers = _dtype(dtype)
    return SourceSpec(
        count=count,
        height_px=height_px,
        width_px=width_px,
        dtype=numbers,
        crs=crs,
        transform=transform,
        fill_value=declared_nodata(data, numbers),
        # Objects other than GeoTensor have a fill value only if they declare one.
        fill_value_is_explicit=getattr(data, "fill_value_is_explicit", True),
        metadata=metadata,
        has_mask=has_mask,
        overview_resamplings=recorded_resamplings(attrs.get("tags"), count),
    )


def check_place(data: Any) -> None:
    """Raise an error if an object has no shape, transform or CRS.

    Raises:
        GeoreferenceError: An attribute is missing.
    """
    missing = [name for name in ("shape", "transform", "crs") if not hasattr(data, name)]
    if missing:
        raise GeoreferenceError(
            f"data_save is a {type(data).__name__} without {', '.join(missing)}; "
            "wrap the pixels as GeoTensor(values, transform, crs)"
        )


def shape_of(shape: Any) -> tuple[int, int, int]:
    """Return (bands, rows, columns) of a shape of two or three numbers.

    Raises:
        ShapeError: It is another one, or empty.
    """
    try:
        sides = tuple(operator.index(size) for size in shape)
    except TypeError as error:
        raise ShapeError(f"data_save.shape={shape!r} is not a tuple of integers") from error
    if len(sides) not in (2, 3):
        raise ShapeError(
            f"data_save of shape {sides} has {len(sides)} dimensions; save takes (row, column) or "
            "(band, row, column), so save each time step to its own file"
        )
    if 0 in sides:
        raise ShapeError(f"data_save of shape {sides} has no pixels")
    return (sides[0] if len(sides) == 3 else 1), sides[-2], sides[-1]


def attrs_of(data: Any) -> dict[str, Any]:
    """Return the metadata of an object: its attrs, then attributes of the same names."""
    own = getattr(data, "attrs", None)
    found = dict(own) if isinstance(own, Mapping) else {}
    for name in _METADATA_ATTRIBUTES:
        if name in found or isinstance(data, GeoTensor):
            continue
        value = getattr(data, name, None)
        if name == "tags" and callable(value):
            value = value()
        if value is not None and not callable(value):
            found[name] = value
    return found


def check_pixels(
    data: Any, spec: SourceSpec, pixels: NDArray[Any], mask: Mask, size: tuple[int, int] | None = None
) -> tuple[NDArray[Any], Mask]:
    """Check loaded pixels against the spec of their object.

    Args:
        data: The object.
        spec: Spec that its attributes declare.
        pixels: (row, column) or (band, row, column).
        mask: (row, column), or None.
        size: (rows, columns) of the window that was loaded; the whole raster by default.

    Returns:
        (band, row, column) pixels, and the mask: None where the spec has none.

    Raises:
        ShapeError: The pixels do not have the declared shape.
        DtypeError: They do not have the declared dtype.
        OptionError: They are masked, which the object does not declare.
    """
    name = type(data).__name__
    size = (spec.height_px, spec.width_px) if size is None else size
    if pixels.dtype.newbyteorder("=") != spec.dtype.newbyteorder("="):
        raise DtypeError(f"{name} says it is {spec.dtype}, but its pixels are {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[np.newaxis]
    if pixels.shape != (spec.count, *size):
        raise ShapeError(f"{name} says it is {tuple(data.shape)}, but its pixels are {pixels.shape}")
    if mask is not None:
        check_mask(mask, size)
        if not spec.has_mask:
            raise OptionError(
                f"{name} has masked pixels, but does not say so before they are loaded; give it an attribute "
                "has_mask = True, or its pixels as values.filled(nodata), and that nodata as fill_value_default"
            )
    elif spec.has_mask:
        mask = np.ones(size, dtype=bool)
    return pixels, mask


def check_mask(mask: Any, size: tuple[int, ...]) -> None:
    """Raise an error unless a mask is a bool array of the raster's rows and columns.

    Raises:
        ShapeError: It is of another size than the raster.
        DtypeError: It is not bool.
    """
    found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
    if not isinstance(mask, np.ndarray) or mask.shape != size:
        raise ShapeError(f"attrs['mask'] is {found}; a mask is a bool array of (row, column), here of {size}")
    check_bool(mask)


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        known: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"data_save.dtype={dtype!r} is not a numpy dtype") from error
    return known
