"""What operators take, brought into memory, and what they know of where it came from."""

from __future__ import annotations

from typing import Any

from georeader import GeoTensor
from georeader.errors import OptionError

#: The key of ``attrs`` under which a catalog's row travels: a dict of field to value.
ROW_KEY = "row"

#: The key of ``attrs`` under which the name of the file that was read travels, without the secrets of a URL.
SOURCE_KEY = "source"


def loaded(raster: Any, asked_by: str) -> GeoTensor:
    """Give a GeoTensor: what is one as it is, a reader by its ``load()``.

    Args:
        raster: A GeoTensor, or a lazy reader, that is anything whose ``load()`` gives one.
        asked_by: Name of the operator, for the message.

    Returns:
        (band, row, column), or of as many axes as the raster has. The name of a reader that has one is noted in
        ``attrs["source"]``.

    Raises:
        OptionError: It is neither.
        ReadError: The reader can't read.
    """
    if isinstance(raster, GeoTensor):
        return raster
    load = getattr(raster, "load", None)
    tensor = load() if callable(load) and not isinstance(raster, type) else None
    if not isinstance(tensor, GeoTensor):
        given = type(raster).__name__ if load is None else f"{type(raster).__name__} whose load() gives no GeoTensor"
        raise OptionError(f"{asked_by} takes a GeoTensor or a lazy reader, such as RasterioReader, not a {given}")
    name = getattr(raster, "name", None)
    return with_attrs(tensor, {SOURCE_KEY: name}) if isinstance(name, str) else tensor


def with_attrs(tensor: GeoTensor, more: dict[str, Any]) -> GeoTensor:
    """Give the same pixels, not copied, with more in ``attrs``."""
    return tensor.like(tensor.values, attrs={**tensor.attrs, **more})
