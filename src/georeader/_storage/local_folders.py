"""Folders of local destinations: where a path lies once links are followed, and the folders that are made for it."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from georeader._storage.urls import local_path_of, parse_address
from georeader.errors import DestinationError


def local_path(path: str, fs: Any = None) -> str | None:
    """Return the path on this machine that a destination means; None for one elsewhere.

    Args:
        path: A path or a URL.
        fs: The filesystem of fsspec or store of obstore that it is in, or None. Local are those of fsspec's
            ``LocalFileSystem``, also within a ``DirFileSystem``, and obstore's ``LocalStore``.

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


def resolved(path: str) -> str:
    """Return the absolute path of a local file, with links followed: the same for all paths of one file.

    It is in lower case on Windows and macOS, where most file systems ignore case.
    """
    absolute = os.path.normcase(os.path.realpath(path))
    return unicodedata.normalize("NFC", absolute).casefold() if sys.platform in ("win32", "darwin") else absolute


def lies_in(path: str, folder: str) -> bool:
    """Return whether a local path lies below a folder, with the links of both followed."""
    inner, outer = resolved(path), resolved(folder)
    try:
        return inner != outer and os.path.commonpath([inner, outer]) == outer
    except ValueError:  # on two drives
        return False


@contextmanager
def folders_made(path: str, fs: Any = None, *, keeps: list[str] | None = None) -> Iterator[None]:
    """Make the folders of a local destination that are missing; those of stores need not be made.

    Folders that were made and are empty are removed when the block fails.

    Args:
        path: A path or URL of a file.
        fs: As in `local_path`.
        keeps: None, or a list that the folders are added to instead when the block fails by an `Exception`: other
            files may be on their way into them. `remove_empty` takes it.

    Raises:
        DestinationError: They can't be made.
    """
    local = local_path(path, fs)
    made = [] if local is None else _missing(Path(local).absolute().parent)
    try:
        if local is not None:
            Path(local).absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(map(str, made))
        raise DestinationError(f"{path!r}: its folder can't be made: {error}") from error
    try:
        yield
    except BaseException as error:
        if keeps is not None and isinstance(error, Exception):
            keeps += map(str, made)
        else:
            remove_empty(map(str, made))
        raise


def remove_empty(folders: Iterable[str]) -> None:
    """Remove those of some folders that are empty, the deepest first."""
    for folder in sorted(set(folders), key=len, reverse=True):
        with suppress(OSError):  # there is something in it, or it is gone
            Path(folder).rmdir()


def _missing(folder: Path) -> list[Path]:
    return [one for one in (folder, *folder.parents) if not one.exists()]
