"""Rasters as operators take them: lazy readers, entries of ``attrs``, and bands by index or by name."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from georeader import GeoTensor
from georeader.errors import OptionError, ShapeError
from geotoolz.errors import BandError

#: Key of ``attrs`` for a catalog's row, a dict of field to value.
ROW_KEY = "row"

#: Key of ``attrs`` for the name of the file that was read, without the secrets of a URL.
SOURCE_KEY = "source"

#: Common names (STAC's eo extension) of Sentinel-2's bands at 10 m.
COMMON_NAMES = {"b2": "blue", "b3": "green", "b4": "red", "b8": "nir"}

_NUMBERED = re.compile(r"b0*(\d+)(a?)$")


def is_lazy(raster: Any) -> bool:
    """Return whether something is a lazy reader: anything that can ``load()``."""
    return not isinstance(raster, (GeoTensor, type)) and callable(getattr(raster, "load", None))


def load_raster(raster: Any, caller: str) -> GeoTensor:
    """Return a GeoTensor, or what a lazy reader loads, with the reader's name in ``attrs["source"]``."""
    if isinstance(raster, GeoTensor):
        return raster
    tensor = raster.load() if is_lazy(raster) else None
    if not isinstance(tensor, GeoTensor):
        kind = type(raster).__name__
        given = kind if getattr(raster, "load", None) is None else f"{kind} whose load() returns no GeoTensor"
        raise OptionError(f"{caller} takes a GeoTensor or a lazy reader, such as RasterioReader, not a {given}")
    name = getattr(raster, "name", None)
    return with_attrs(tensor, {SOURCE_KEY: name}) if isinstance(name, str) else tensor


def load_bands(raster: Any, bands: Sequence[int], caller: str) -> tuple[GeoTensor, Sequence[int]]:
    """Return a tensor with some bands, and their positions in it; of a lazy reader only these are read."""
    shape: tuple[int, ...] = tuple(getattr(raster, "shape", ())) if is_lazy(raster) else ()
    if len(shape) == 3 and max(bands) < shape[0] and callable(getattr(raster, "isel", None)):
        return load_raster(raster.isel({"band": list(bands)}), caller), range(len(bands))
    return load_raster(raster, caller), bands


def with_attrs(tensor: GeoTensor, more: dict[str, Any]) -> GeoTensor:
    """Return the same pixels, not copied, with more in ``attrs``."""
    return tensor.like(tensor.values, attrs={**tensor.attrs, **more})


def with_more_attrs(raster: Any, more: dict[str, Any]) -> Any:
    """Return a raster with more in ``attrs``: of a GeoTensor at once, of a lazy reader when it is read."""
    return AttrsReader(raster, more) if is_lazy(raster) else with_attrs(raster, more)


class AttrsReader:
    """Lazy reader whose tensors get more in ``attrs``; everything else is the wrapped reader's."""

    def __init__(self, reader: Any, more: dict[str, Any]) -> None:
        self._reader = reader
        self._more = more

    def __getattr__(self, name: str) -> Any:
        if name == "_reader" or name.startswith("__"):  # while it is copied or unpickled it has none yet
            raise AttributeError(name)
        return getattr(self._reader, name)

    def __repr__(self) -> str:
        return repr(self._reader)

    def isel(self, *args: Any, **kwargs: Any) -> Any:
        """Return a selection."""
        return with_more_attrs(self._reader.isel(*args, **kwargs), self._more)

    def read_from_window(self, *args: Any, **kwargs: Any) -> Any:
        """Return a window."""
        return with_more_attrs(self._reader.read_from_window(*args, **kwargs), self._more)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """Read the pixels."""
        read = self._reader.load(*args, **kwargs)
        return with_attrs(read, self._more) if isinstance(read, GeoTensor) else read


def band_index(value: Any, name: str) -> int:
    """Check an argument that is a band's index, counted from 0, and return it as int."""
    try:
        index = operator.index(value)
    except TypeError as error:
        raise OptionError(f"{name}={value!r} is not a band's index; pass an integer, counted from 0") from error
    if index < 0 or isinstance(value, bool):
        raise OptionError(f"{name}={value!r} is not a band's index; bands are counted from 0")
    return index


def check_bands(gt: GeoTensor, indexes: Mapping[str, int], caller: str) -> None:
    """Check that a raster is (band, row, column) with these bands: name of the argument to index."""
    if gt.ndim != 3:
        raise ShapeError(f"{caller} takes (band, row, column), not an array of shape {tuple(gt.shape)}")
    for name, index in indexes.items():
        if index >= gt.count:
            bands = "1 band, band 0" if gt.count == 1 else f"{gt.count} bands, 0 to {gt.count - 1}"
            raise BandError(f"{caller}: {name}={index} is not there; the raster has {bands}")


def find_band(wanted: str, descriptions: Sequence[str | None]) -> list[int]:
    """Return the bands whose whole description is a name; if there are none, those whose description begins with it.

    Case does not matter, nor leading zeros of a number; a description may go on after the name, as in GDAL's "B4,
    central wavelength 665 nm"; "red" is found for "B04", and the other way round.

    Example:
        >>> find_band("B04", ["B02", "b4", None]), find_band("nir", ["B08 (10 m)"]), find_band("SCL", ["B04"])
        ([1], [0], [])
    """
    name = _plain_name(wanted)
    numbers = {common: number for number, common in COMMON_NAMES.items()}
    names = {name, COMMON_NAMES.get(name, name), numbers.get(name, name)}
    present = [(band, text) for band, text in enumerate(descriptions) if text]
    whole = [band for band, text in present if _plain_name(text) in names]
    return whole or [band for band, text in present if _plain_name(re.split(r"[\s,;:(]", text.strip())[0]) in names]


def _plain_name(text: str) -> str:
    name = text.strip().casefold()
    numbered = _NUMBERED.match(name)
    return f"b{numbered[1]}{numbered[2]}" if numbered else name
