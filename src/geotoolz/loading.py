"""What operators take, brought into memory, and what they know of where it came from."""

from __future__ import annotations

from collections.abc import Sequence
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
    tensor = raster.load() if is_lazy(raster) else None
    if not isinstance(tensor, GeoTensor):
        given = type(raster).__name__ if load is None else f"{type(raster).__name__} whose load() gives no GeoTensor"
        raise OptionError(f"{asked_by} takes a GeoTensor or a lazy reader, such as RasterioReader, not a {given}")
    name = getattr(raster, "name", None)
    return with_attrs(tensor, {SOURCE_KEY: name}) if isinstance(name, str) else tensor


class AttrsReader:
    """A lazy reader whose tensors get more in ``attrs``; everything else is the reader's own.

    So an operator can choose bands of it before it is read.
    """

    def __init__(self, reader: Any, more: dict[str, Any]) -> None:
        """Take a reader, and what to add."""
        self._reader = reader
        self._more = more

    def __getattr__(self, name: str) -> Any:
        if name == "_reader" or name.startswith("__"):  # while it is copied or unpickled it has none yet
            raise AttributeError(name)
        return getattr(self._reader, name)

    def __repr__(self) -> str:
        return repr(self._reader)

    def isel(self, *args: Any, **kwargs: Any) -> Any:
        """Select, as the reader does."""
        return noted(self._reader.isel(*args, **kwargs), self._more)

    def read_from_window(self, *args: Any, **kwargs: Any) -> Any:
        """Choose a window, as the reader does."""
        return noted(self._reader.read_from_window(*args, **kwargs), self._more)

    def load(self, *args: Any, **kwargs: Any) -> Any:
        """Read, as the reader does."""
        read = self._reader.load(*args, **kwargs)
        return with_attrs(read, self._more) if isinstance(read, GeoTensor) else read


def noted(raster: Any, more: dict[str, Any]) -> Any:
    """Give a raster with more in ``attrs``: a GeoTensor at once, a lazy reader when it is read."""
    return AttrsReader(raster, more) if is_lazy(raster) else with_attrs(raster, more)


def is_lazy(raster: Any) -> bool:
    """Tell whether something is a lazy reader."""
    return not isinstance(raster, (GeoTensor, type)) and callable(getattr(raster, "load", None))


def loaded_bands(raster: Any, bands: Sequence[int], asked_by: str) -> tuple[GeoTensor, Sequence[int]]:
    """Give a tensor that has some bands, and where they are in it: of a lazy reader only these are read.

    Args:
        raster: As `loaded` takes it, (band, row, column).
        bands: Counted from 0.
        asked_by: Name of the operator, for the message.
    """
    shape: tuple[int, ...] = tuple(getattr(raster, "shape", ())) if is_lazy(raster) else ()
    if len(shape) == 3 and max(bands) < shape[0] and callable(getattr(raster, "isel", None)):
        return loaded(raster.isel({"band": list(bands)}), asked_by), range(len(bands))
    return loaded(raster, asked_by), bands


def with_attrs(tensor: GeoTensor, more: dict[str, Any]) -> GeoTensor:
    """Give the same pixels, not copied, with more in ``attrs``."""
    return tensor.like(tensor.values, attrs={**tensor.attrs, **more})
