"""Local paths of destinations, and their folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from georeader._storage.urls import local_path_of, parse_address
from georeader.errors import DestinationError


def local_path(path: str, fs: Any = None) -> str | None:
    """Return the path on this machine that a destination means; None for one elsewhere.

    Args:
        path: A path or a URL.
        fs: The filesystem that it is in. Local are fsspec's ``LocalFileSystem``, also within a ``DirFileSystem``, and
            obstore's ``LocalStore``.

    Raises:
        DestinationError: It is a URL without a host, bucket or key.

    Example:
        >>> local_path("out/a.tif"), local_path("file:///data/a%20b.tif"), local_path("s3://bucket/a.tif")
        ('out/a.tif', '/data/a b.tif', None)
    """
    if fs is None:
        address = parse_address(path)
        return path if address is None else local_path_of(address)
    kinds = {kind.__name__ for kind in type(fs).__mro__}
    if "DirFileSystem" in kinds:
        return local_path(f"{fs.path}/{path}", fs.fs)
    if "LocalFileSystem" in kinds:
        return str(fs._strip_protocol(path))
    if "LocalStore" in kinds:
        return os.path.join(fs.prefix or os.sep, path.lstrip("/"))
    return None


def make_folders(path: str, fs: Any = None) -> list[str]:
    """Make the folders of a local file that are missing; stores have none.

    Args:
        path: A path or a URL of a file.
        fs: The filesystem that it is in.

    Returns:
        The folders that were made, for `remove_empty_folders` in case the file cannot be written.

    Raises:
        DestinationError: They cannot be made; none remains.
    """
    local = local_path(path, fs)
    if local is None:
        return []
    parent = Path(local).absolute().parent
    missing = [str(folder) for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty_folders(missing)
        raise DestinationError(f"{path!r}: its folder cannot be made: {error}") from error
    return missing


def remove_empty_folders(folders: Iterable[str]) -> None:
    """Remove those of some local folders that are empty, the deepest first."""
    for folder in sorted(set(folders), key=len, reverse=True):
        with suppress(OSError):  # there is something in it, or it is gone
            Path(folder).rmdir()
