"""Reading of whole raster files into memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rasterio.io import MemoryFile

from georeader._storage.obstores import is_obstore, key_in
from georeader._storage.redaction import redact_url
from georeader._storage.urls import parse_address
from georeader.errors import ReadError
from georeader.rasterio_reader import RasterioReader

if TYPE_CHECKING:
    from georeader.geotensor import GeoTensor


def load_file(
    path: str | os.PathLike[str],
    *,
    fs: Any = None,
    load_tags: bool = True,
    load_descriptions: bool = True,
    rio_env_options: Mapping[str, Any] | None = None,
) -> GeoTensor:
    """Read a whole raster file.

    Args:
        path: What `RasterioReader` takes; with ``fs``, a path in that filesystem.
        fs: A filesystem of fsspec or a store of obstore to read the bytes through.
        load_tags: Put the file's metadata into ``attrs["tags"]``, and that of its bands into ``attrs["band_tags"]``.
        load_descriptions: Put the band descriptions into ``attrs["descriptions"]``.
        rio_env_options: GDAL configuration options for this reading.

    Returns:
        (band, row, column) in the file's dtype; ``fill_value_default`` is the file's nodata, or None.

    Raises:
        ReadError: The file can't be opened or read.
    """
    if fs is not None:
        options = {"load_tags": load_tags, "load_descriptions": load_descriptions, "rio_env_options": rio_env_options}
        given = os.fsdecode(path)
        name = redact_url(given)
        return _load_named_bytes(_read_bytes(given, fs), name, PurePath(name).name or None, **options)
    tensor = RasterioReader(path, rio_env_options=rio_env_options).load()
    choices = (("tags", load_tags), ("band_tags", load_tags), ("descriptions", load_descriptions))
    unwanted = [key for key, wanted in choices if not wanted]
    return tensor.like(tensor, attrs={key: value for key, value in tensor.attrs.items() if key not in unwanted})


def load_bytes(bytes_read: bytes | bytearray | memoryview, **options: Any) -> GeoTensor:
    """Read a raster file whose bytes are in memory; takes the options of `load_file`.

    Raises:
        ReadError: The bytes are no raster that GDAL knows.
    """
    content = bytes(bytes_read)
    return _load_named_bytes(content, f"the {len(content)} bytes given", None, **options)


def _read_bytes(path: str, fs: Any) -> bytes:
    try:
        if is_obstore(fs):
            return bytes(fs.get(key_in(fs, path, parse_address(path))).bytes())
        with fs.open(path, "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise ReadError(str(error) if path in str(error) else f"{path}: {error}") from error


def _load_named_bytes(content: bytes, name: str, filename: str | None, **options: Any) -> GeoTensor:
    """Load bytes that messages call ``name``: the file in GDAL's memory is nothing that the caller knows."""
    with MemoryFile(content, filename=filename) as file:
        try:
            return load_file(file.name, **options)
        except ReadError as error:
            in_memory = rf"'?(/vsimem/\S+/)?{re.escape(PurePath(file.name).name)}'?:?\s*"
            raise ReadError(f"{name}: {re.sub(in_memory, '', str(error))}") from error
