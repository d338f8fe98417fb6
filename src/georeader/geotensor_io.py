"""Raster files straight into memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rasterio.io import MemoryFile

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
        fs: An fsspec filesystem to read the bytes through.
        load_tags: Put the file's metadata into ``attrs["tags"]``.
        load_descriptions: Put the band descriptions into ``attrs["descriptions"]``.
        rio_env_options: GDAL configuration options for this reading.

    Returns:
        (band, row, column) in the file's dtype; ``fill_value_default`` is the file's nodata, or None.

    Raises:
        ReadError: The file can't be opened or read.
    """
    if fs is not None:
        with fs.open(os.fspath(path), "rb") as file:
            return load_bytes(
                file.read(),
                load_tags=load_tags,
                load_descriptions=load_descriptions,
                rio_env_options=rio_env_options,
            )
    tensor = RasterioReader(path, rio_env_options=rio_env_options).load()
    unwanted = [key for key, wanted in (("tags", load_tags), ("descriptions", load_descriptions)) if not wanted]
    return tensor.like(tensor, attrs={key: value for key, value in tensor.attrs.items() if key not in unwanted})


def load_bytes(bytes_read: bytes | bytearray | memoryview, **options: Any) -> GeoTensor:
    """Read a raster file whose bytes are in memory; takes the options of `load_file`.

    Raises:
        ReadError: The bytes are no raster that GDAL knows.
    """
    with MemoryFile(bytes(bytes_read)) as file:
        return load_file(file.name, **options)
