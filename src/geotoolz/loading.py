"""Loading of the rasters that operators take, and their entries in ``attrs``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from georeader import GeoTensor
from georeader.errors import OptionError

#: The key of ``attrs`` under which a catalog's row travels: a dict of field to value.
ROW_KEY = "row"

#: The key of ``attrs`` under which the name of the file that was read travels, without the secrets of a URL.
SOURCE_KEY = "source"


def load_raster(raster: Any, caller: str) -> GeoTensor:
    """Return a GeoTensor: the raster itself, or what the ``load()`` of a lazy reader returns.

    Args:
        raster: A GeoTensor, or a lazy reader, that is anything whose ``load()`` returns one.
        caller: Name of the operator, for the message.

    Returns:
        (band, row, column), or of as many axes as the raster has. The name of a reader that has one is noted in
        ``attrs["source"]``.

    Raises:
        OptionError: It is neither.
        ReadError: The reader cannot read.
    """
    if isinstance(raster, GeoTensor):
        return raster
    load = getattr(raster, "load", None)
    tensor = raster.load() if is_lazy(raster) else None
    if not isinstance(tensor, GeoTensor):
        given = type(raster).__name__ if load is None else f"{type(raster).__name__} whose load() returns no GeoTensor"
        raise OptionError(f"{caller} takes a GeoTensor or a lazy reader, such as RasterioReader, not a {given}")
    name = getattr(raster, "name", None)
    return with_attrs(tensor, {SOURCE_KEY: name}) if isinstance(name, str) else tensor


class AttrsReader:
    """Lazy reader whose tensors get more in ``attrs``; everything else is the wrapped reader's.

    An operator can select bands of it before it is read.
    """

    def __init__(self, reader: Any, more: dict[str, Any]) -> None:
        """Wrap a reader."""
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


def with_more_attrs(raster: Any, more: dict[str, Any]) -> Any:
    """Return a raster with more in ``attrs``: of a GeoTensor at once, of a lazy reader when it is read."""
    return AttrsReader(raster, more) if is_lazy(raster) else with_attrs(raster, more)


def is_lazy(raster: Any) -> bool:
    """Return whether something is a lazy reader."""
    return not isinstance(raster, (GeoTensor, type)) and callable(getattr(raster, "load", None))


def load_bands(raster: Any, bands: Sequence[int], caller: str) -> tuple[GeoTensor, Sequence[int]]:
    """Return a tensor with some bands, and their positions in it; of a lazy reader only these are read.

    Args:
        raster: As `load_raster` takes it, (band, row, column).
        bands: Counted from 0.
        caller: Name of the operator, for the message.
    """
    shape: tuple[int, ...] = tuple(getattr(raster, "shape", ())) if is_lazy(raster) else ()
    if len(shape) == 3 and max(bands) < shape[0] and callable(getattr(raster, "isel", None)):
        return load_raster(raster.isel({"band": list(bands)}), caller), range(len(bands))
    return load_raster(raster, caller), bands


def with_attrs(tensor: GeoTensor, more: dict[str, Any]) -> GeoTensor:
    """Return the same pixels, not copied, with more in ``attrs``."""
    return tensor.like(tensor.values, attrs={**tensor.attrs, **more})
