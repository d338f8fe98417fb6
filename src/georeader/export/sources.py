"""Where pixels come from. A source answers two questions: what is your spec, and what are your pixels."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import DtypeError, GeoreferenceError, OptionError, ShapeError
from georeader.export.metadata import metadata_from_attrs
from georeader.export.source_place import settle_place
from georeader.export.spec import SourceSpec
from georeader.geotensor import GeoTensor
from georeader.pixels import split_mask
from georeader.window_utils import normalise_crs, normalise_transform

#: Attributes of a source that are looked up by name where its ``attrs`` do not have them.
_METADATA_ATTRIBUTES = (
    "descriptions", "scales", "offsets", "units", "colorinterp", "colormap", "tags", "band_tags", "gcps", "rpcs",
)  # fmt: skip

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Source:
    """An object of the GeoData protocol, seen as (band, row, column) pixels and a (row, column) mask.

    Attributes:
        data: The object.
        spec: What it is, known without reading its pixels where it says its dtype.
    """

    data: Any
    spec: SourceSpec
    #: What was loaded: "mask" is kept, "pixels" only until they are asked for.
    _held: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def read(self) -> NDArray[Any]:
        """Load all pixels, as (band, row, column); 2-D is one band.

        Memory: the whole raster, or nothing beyond the array that the object holds already.

        Raises:
            ShapeError: The pixels are not of the shape that the object said.
            DtypeError: Or not of its dtype.
            OptionError: They are masked, which the object did not say, or not all bands alike.
        """
        if "pixels" not in self._held:
            self._load()
        pixels: NDArray[Any] = self._held.pop("pixels")
        return pixels

    def read_mask(self) -> Mask | None:
        """Give the mask, (row, column), True where the pixels are valid; None where the source has none.

        It comes with the pixels: what is loaded for the one is kept for the other.

        Raises:
            GeoreaderError: As `read`.
        """
        if "mask" not in self._held:
            self._load()
        return self.mask

    @property
    def mask(self) -> Mask | None:
        """The mask, once `read` or `read_mask` have loaded it; None before, and where there is none."""
        mask: Mask | None = self._held.get("mask")
        return mask

    def _load(self) -> None:
        self._hold(*_take(self.data))

    def _hold(self, pixels: NDArray[Any], mask: Mask | None) -> None:
        """Check what was loaded against what the object said of itself."""
        spec, name = self.spec, type(self.data).__name__
        if pixels.dtype.newbyteorder("=") != spec.dtype.newbyteorder("="):
            raise DtypeError(f"{name} says it is {spec.dtype}, but its pixels are {pixels.dtype}")
        if pixels.ndim == 2:
            pixels = pixels[np.newaxis]
        size = (spec.height_px, spec.width_px)
        if pixels.shape != (spec.count, *size):
            raise ShapeError(f"{name} says it is {tuple(self.data.shape)}, but its pixels are {pixels.shape}")
        if mask is not None:
            _check_mask(mask, size)
            if not spec.has_mask:
                raise OptionError(
                    f"{name} has masked pixels, but does not say so before they are loaded; give it an attribute "
                    "has_mask = True, or its pixels as values.filled(nodata), and that nodata as fill_value_default"
                )
        elif spec.has_mask:
            mask = np.ones(size, dtype=bool)
        self._held.update(pixels=pixels, mask=mask)


def open_source(data: Any) -> Source:
    """Look at an object and say what raster it is.

    Raises:
        GeoreferenceError: It has no transform or CRS attribute, or unusable ones.
        ShapeError: It is empty, or neither (row, column) nor (band, row, column); or its mask is of another size.
        DtypeError: It has a dtype that is none, or a mask that is not bool.
        MetadataError: Its metadata do not fit its bands.
    """
    _check_protocol(data)
    count, height_px, width_px = _shape(data)
    attrs = _attrs(data)
    dtype = getattr(data, "dtype", None)
    loaded = _take(data) if dtype is None else None
    metadata, crs, transform = settle_place(
        metadata_from_attrs(attrs, count), normalise_crs(data.crs), normalise_transform(data.transform)
    )
    if attrs.get("mask") is not None:
        _check_mask(attrs["mask"], (height_px, width_px))
    spec = SourceSpec(
        count=count,
        height_px=height_px,
        width_px=width_px,
        dtype=_dtype(dtype) if loaded is None else loaded[0].dtype,
        crs=crs,
        transform=transform,
        fill_value=getattr(data, "fill_value_default", None),
        fill_value_was_said=getattr(data, "fill_value_was_said", False),
        metadata=metadata,
        has_mask=_says_it_has_a_mask(data, attrs) if loaded is None else loaded[1] is not None,
    )
    source = Source(data, spec)
    if loaded is not None:
        source._hold(*loaded)
    return source


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


def _take(data: Any) -> tuple[NDArray[Any], Mask | None]:
    """Load an object's pixels and its mask, once."""
    own = getattr(data, "attrs", None)
    if isinstance(data, GeoTensor) or not hasattr(data, "load"):
        values, said = data.values, own
    else:
        # A lazy reader's values may be read anew at each access; load() is what the protocol promises to do once.
        loaded = data.load()
        values, said = getattr(loaded, "values", loaded), getattr(loaded, "attrs", None)
    pixels, mask = split_mask(values)
    for attrs in (said, own):
        other = attrs.get("mask") if isinstance(attrs, Mapping) else None
        if other is not None:
            _check_mask(other, pixels.shape[-2:])
            return pixels, other if mask is None else other & mask
    return pixels, mask


def _says_it_has_a_mask(data: Any, attrs: Mapping[str, Any]) -> bool:
    """Tell without reading: by what it says, and by pixels that are in memory already."""
    in_memory = getattr(data, "__dict__", {}).get("values")
    is_masked = isinstance(in_memory, np.ma.MaskedArray) and split_mask(in_memory)[1] is not None
    return attrs.get("mask") is not None or bool(getattr(data, "has_mask", False)) or is_masked


def _check_mask(mask: Any, size: tuple[int, ...]) -> None:
    found = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
    if not isinstance(mask, np.ndarray) or mask.shape != size:
        raise ShapeError(f"attrs['mask'] is {found}; a mask is a bool array of (row, column), here of {size}")
    if mask.dtype != bool:
        raise DtypeError(f"attrs['mask'] is {found}; give a bool array, True where pixels are valid, as in mask != 0")


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
