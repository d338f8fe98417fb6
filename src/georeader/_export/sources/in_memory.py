"""Pixels in memory: arrays, and objects that can only be loaded as a whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._arrays.pixel_attrs import split_mask
from georeader._core.windows import PixelWindow
from georeader._export.plan.order_of_work import SourceTraits
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources.described import attrs_of, check_mask, check_pixels, describe
from georeader._resample.pyramid import Mask
from georeader.geotensor import GeoTensor

#: (band, row, column) pixels and their (row, column) mask.
Loaded = tuple[NDArray[Any], Mask]


@dataclass
class ArraySource:
    """An array, or what gives one when it is first asked for.

    Attributes:
        name: What to call it in messages.
        spec: What it is.
        load: Gives all pixels and the mask; called once.
    """

    name: str
    spec: SourceSpec
    load: Callable[[], Loaded]
    traits: SourceTraits = field(default=SourceTraits(is_in_memory=True), init=False)
    _loaded: Loaded | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def read(self, region: PixelWindow, bands: range) -> Loaded:
        """Give a view of a window.

        Raises:
            Exception: What the object raises that has to be loaded first.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self.load()
        pixels, mask = self._loaded
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        return pixels[bands.start : bands.stop, rows, columns], None if mask is None else mask[rows, columns]

    def close(self) -> None:
        """Let go of the pixels."""
        self._loaded = None


def open_array(data: Any) -> ArraySource:
    """See an object with ``values`` or ``load()`` as a source that is held in memory.

    Where the object says its dtype, its pixels are loaded when the first of them is asked for. Memory: the whole
    raster, or nothing beyond the array that the object holds already.

    Raises:
        GeoreaderError: As `describe` does, and `check_pixels` of what was loaded.
    """
    dtype = getattr(data, "dtype", None)
    if dtype is None:
        pixels, mask = take(data)
        spec = describe(data, dtype=pixels.dtype, has_mask=mask is not None)
        loaded = check_pixels(data, spec, pixels, mask)
        return ArraySource(type(data).__name__, spec, lambda: loaded)
    spec = describe(data, dtype=dtype, has_mask=says_it_has_a_mask(data))
    return ArraySource(type(data).__name__, spec, lambda: check_pixels(data, spec, *take(data)))


def take(data: Any) -> Loaded:
    """Load an object's pixels and its mask, once."""
    own = getattr(data, "attrs", None)
    if isinstance(data, np.ndarray) and not isinstance(data, GeoTensor):
        values, said = data, None
    elif isinstance(data, GeoTensor) or not hasattr(data, "load"):
        values, said = data.values, own
    else:
        # A lazy reader's values may be read anew at each access; load() is what the protocol promises to do once.
        loaded = data.load()
        values, said = getattr(loaded, "values", loaded), getattr(loaded, "attrs", None)
    pixels, mask = split_mask(values)
    for attrs in (said, own):
        other = attrs.get("mask") if isinstance(attrs, Mapping) else None
        if other is not None:
            check_mask(other, pixels.shape[-2:])
            return pixels, other if mask is None else other & mask
    return pixels, mask


def says_it_has_a_mask(data: Any) -> bool:
    """Tell without reading: by what it says, and by pixels that are in memory already."""
    in_memory = getattr(data, "__dict__", {}).get("values")
    is_masked = isinstance(in_memory, np.ma.MaskedArray) and split_mask(in_memory)[1] is not None
    return attrs_of(data).get("mask") is not None or bool(getattr(data, "has_mask", False)) or is_masked
