"""Where pixels come from. A source answers two questions: what is your spec, and what are your pixels."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import DtypeError, GeoreferenceError, ShapeError
from georeader.export.metadata import metadata_from_attrs
from georeader.export.spec import SourceSpec
from georeader.geotensor import GeoTensor
from georeader.pixels import plain_pixels
from georeader.window_utils import normalise_crs, normalise_transform

#: Attributes of a source that are looked up by name where its ``attrs`` do not have them.
_METADATA_ATTRIBUTES = ("descriptions", "scales", "offsets", "units", "colorinterp", "colormap", "tags")


@dataclass(frozen=True)
class Source:
    """An object of the GeoData protocol, seen as (band, row, column) pixels.

    Attributes:
        data: The object.
        spec: What it is, known without reading its pixels where it says its dtype.
        loaded: Its pixels, where they had to be read to know the dtype.
    """

    data: Any
    spec: SourceSpec
    loaded: NDArray[Any] | None = None

    def read(self) -> NDArray[Any]:
        """Load all pixels, as (band, row, column); 2-D is one band.

        Memory: the whole raster, or nothing beyond the array that the object holds already.

        Raises:
            ShapeError: The pixels are not of the shape that the object said.
            DtypeError: Or not of its dtype.
        """
        pixels = plain_pixels(_values(self.data)) if self.loaded is None else self.loaded
        if pixels.dtype.newbyteorder("=") != self.spec.dtype.newbyteorder("="):
            raise DtypeError(
                f"{type(self.data).__name__} says it is {self.spec.dtype}, but its pixels are {pixels.dtype}"
            )
        if pixels.ndim == 2:
            pixels = pixels[np.newaxis]
        spec = self.spec
        if pixels.shape != (spec.count, spec.height_px, spec.width_px):
            raise ShapeError(
                f"{type(self.data).__name__} says it is {tuple(self.data.shape)}, but its pixels are {pixels.shape}"
            )
        return pixels


def open_source(data: Any) -> Source:
    """Look at an object and say what raster it is.

    Raises:
        GeoreferenceError: It has no transform or CRS attribute, or unusable ones.
        ShapeError: It is empty, or neither (row, column) nor (band, row, column).
        MetadataError: Its metadata do not fit its bands.
    """
    _check_protocol(data)
    count, height_px, width_px = _shape(data)
    attrs = _attrs(data)
    dtype = getattr(data, "dtype", None)
    loaded = plain_pixels(_values(data)) if dtype is None else None
    return Source(
        data=data,
        loaded=loaded,
        spec=SourceSpec(
            count=count,
            height_px=height_px,
            width_px=width_px,
            dtype=_dtype(dtype) if loaded is None else loaded.dtype,
            crs=normalise_crs(data.crs),
            transform=normalise_transform(data.transform),
            fill_value=getattr(data, "fill_value_default", None),
            fill_value_was_said=getattr(data, "fill_value_was_said", False),
            metadata=metadata_from_attrs(attrs, count),
        ),
    )


def _check_protocol(data: Any) -> None:
    if isinstance(data, (str, os.PathLike)):
        raise GeoreferenceError(f"data_save={str(data)!r} is a path; pass RasterioReader({str(data)!r})")
    missing = [name for name in ("shape", "transform", "crs") if not hasattr(data, name)]
    if missing:
        raise GeoreferenceError(
            f"data_save is a {type(data).__name__} without {', '.join(missing)}; "
            "wrap the pixels as GeoTensor(values, transform, crs)"
        )
    # The class first: a lazy reader's values are read when they are looked at.
    if not hasattr(type(data), "values") and not hasattr(data, "load") and not hasattr(data, "values"):
        raise GeoreferenceError(
            f"data_save is a {type(data).__name__} without pixels: it has neither 'values' nor 'load()'"
        )


def _shape(data: Any) -> tuple[int, int, int]:
    try:
        shape = tuple(operator.index(size) for size in data.shape)
    except TypeError as error:
        raise ShapeError(f"data_save.shape={data.shape!r} is no tuple of integers") from error
    if len(shape) not in (2, 3):
        raise ShapeError(
            f"data_save of shape {shape} has {len(shape)} dimensions; save takes (row, column) or "
            "(band, row, column), so save each time step to its own file"
        )
    if 0 in shape:
        raise ShapeError(f"data_save of shape {shape} has no pixels")
    count = shape[0] if len(shape) == 3 else 1
    return count, shape[-2], shape[-1]


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        known: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"data_save.dtype={dtype!r} is no numpy dtype") from error
    return known


def _values(data: Any) -> Any:
    if isinstance(data, GeoTensor):
        return data.values
    if not hasattr(data, "load"):
        return data.values
    # A lazy reader's values may be read anew at each access; load() is what the protocol promises to do once.
    loaded = data.load()
    return loaded.values if hasattr(loaded, "values") else loaded


def _attrs(data: Any) -> dict[str, Any]:
    """Gather metadata: the object's attrs first, then attributes of the same names."""
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
