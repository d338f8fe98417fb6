"""A destination as the caller passes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PathInNewFolder:
    """A path whose missing folders are made, but only when the file in them is whole.

    Attributes:
        path: A local path, or a URL, which has no folders to be made.
    """

    path: str

    def __fspath__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Destination:
    """What a caller passed to say where a file goes.

    Attributes:
        path: A path, a URL, or a file object.
        fs: A filesystem of fsspec, a store of obstore, or None.
        dir_tmpfiles: Folder for temporary files, or None.
        durable: Flush a local file to the disk.
        overwrite: Something that is there may be replaced.
        http_headers: For http(s), or None.
    """

    path: Any = field(repr=False)
    fs: Any = field(default=None, repr=False)
    dir_tmpfiles: Any = None
    durable: bool = False
    overwrite: bool = True
    http_headers: Any = field(default=None, repr=False)
