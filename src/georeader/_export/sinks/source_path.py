"""Check that a source is not a sidecar of its destination, which the save would remove."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeGuard

from rasterio.vrt import WarpedVRT

from georeader._export.sinks.sidecars import sidecars_among
from georeader._storage.destination import Destination
from georeader._storage.redaction import redact_url
from georeader._storage.urls import local_path_of, parse_address
from georeader.errors import DestinationError


def check_source_stays(data: Any, where: Destination) -> None:
    """Check that a source is not a sidecar of its destination, as ``a.tif.ovr`` is of ``a.tif``.

    A save removes the sidecars of the earlier file, since GDAL reads them as part of the new one.

    Args:
        data: What `georeader.save_cog` takes; anything that does not name a file is accepted.
        where: The destination.

    Raises:
        DestinationError: The source is a sidecar of the destination.
    """
    for source, fs in _paths_of(data):
        if not _is_path(where.path) or (fs is not where.fs and fs != where.fs):
            continue
        destination = os.fsdecode(where.path)
        if any(_is_sidecar(one, other) for one in _names_of(source) for other in _names_of(destination)):
            raise DestinationError(
                f"{redact_url(destination)!r}: its source {redact_url(source)!r} is a sidecar of it: GDAL reads it as "
                "part of the destination, and a save removes it; save to another name or folder"
            )


def _paths_of(data: Any) -> Iterable[tuple[str, Any]]:
    """Return (path, filesystem) of the files that an object reads, where it names them."""
    while isinstance(data, WarpedVRT):
        data = data.src_dataset
    variables = getattr(data, "data_vars", None)  # of an xarray.Dataset
    parts = [data] if variables is None else [data, *variables.values()]
    for part in parts:
        encoding = getattr(part, "encoding", None)
        if isinstance(encoding, dict):  # xarray's objects name the file that they were opened from
            found, fs = encoding.get("source"), None
        else:
            found, fs = _path_of(part), getattr(part, "fs", None)
        if _is_path(found):
            yield os.fsdecode(found), fs


def _path_of(data: Any) -> Any:
    """Return the path of a path, of a RasterioReader or of a rasterio dataset."""
    return data if _is_path(data) else getattr(data, "path", getattr(data, "name", None))


def _is_path(value: Any) -> TypeGuard[str | bytes | os.PathLike[str]]:
    return isinstance(value, (str, bytes, os.PathLike))


def _names_of(path: str) -> set[tuple[str, str]]:
    """Return (folder, name) of a path, and of what it links to; none of an invalid path, which is refused elsewhere."""
    try:
        return _places_of(path)
    except (OSError, ValueError):
        return set()


def _places_of(path: str) -> set[tuple[str, str]]:
    address = parse_address(path)
    local = path if address is None else local_path_of(address)
    if local is None:
        folder, _, name = path.rpartition("/")
        return {(folder, name)}
    absolute = os.path.abspath(local)  # noqa: PTH100  (a link stays)
    beside = os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute)  # noqa: PTH119, PTH120
    real_folder, real_name = os.path.split(os.path.realpath(absolute))
    return {beside, (real_folder, real_name)}


def _is_sidecar(source: tuple[str, str], destination: tuple[str, str]) -> bool:
    return source[0] == destination[0] and bool(sidecars_among([source[1]], destination[1]).own)
