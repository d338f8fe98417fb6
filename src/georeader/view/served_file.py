"""Files that the server passes on by ranges: local ones, and remote ones by the project's own range reading."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from georeader._readers.byte_source import ByteSource, open_bytes
from georeader._readers.measurement import Extent, Measurement, TileTable, structure_of, tile_table, touching
from georeader._storage.redaction import redact_url
from georeader._storage.urls import local_path_of, parse_address
from georeader.errors import ReadError
from georeader.rasterio_reader import RasterioReader
from georeader.validation.measure import Tiles, measure
from georeader.view.facts import facts_of

#: Parts of a range that are named; of more, the number is.
_NAMED_TILES = 2


class PartNames:
    """Names of ranges of a file: its header, and tiles of its levels and masks."""

    def __init__(self, measured: Measurement) -> None:
        self._directories = {one.number: one for one in measured.directories}
        self._structure = structure_of(measured, with_values=True)
        self._tiles = tile_table(measured.directories, measured.size_bytes)

    def name(self, extent: Extent) -> str:
        """Return the name of a range, such as "header" or "overview 2, tile row 3 column 4"."""
        start, stop = np.array([extent.offset_bytes]), np.array([extent.end_bytes])
        names = ["header"] if touching(start, stop, self._structure)[0] else []
        first, last = np.searchsorted(self._tiles.ends, extent.offset_bytes, side="right"), len(self._tiles)
        last = int(np.searchsorted(self._tiles.starts, extent.end_bytes, side="left"))
        names += [
            self._tile_name(self._tiles, tile) for tile in range(int(first), min(last, int(first) + _NAMED_TILES))
        ]
        more = last - int(first) - _NAMED_TILES
        return ", ".join([*names, f"{more} more tiles"] if more > 0 else names) or "between tiles"

    def _tile_name(self, table: TileTable, tile: int) -> str:
        directory = self._directories[int(table.directories[tile])]
        return directory.tile_title(int(table.tiles[tile]))


@dataclass
class OpenFile:
    """A file as it was when it was opened."""

    source: ByteSource
    etag: str
    reader: RasterioReader
    facts: dict[str, Any]
    parts: PartNames
    path: str | None  #: Of a local file.
    state: tuple[int, ...] | None  #: Of a local file, when it was opened.
    _resources: ExitStack = field(repr=False)
    _users: int = 0
    _is_retired: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def in_use(self) -> Iterator[OpenFile]:
        """Keep the file open while the block lasts, also if it is retired meanwhile."""
        with self._lock:
            self._users += 1
        try:
            yield self
        finally:
            with self._lock:
                self._users -= 1
                is_last = self._is_retired and self._users == 0
            if is_last:
                self._resources.close()

    def retire(self) -> None:
        """Close the file as soon as no request reads it."""
        with self._lock:
            is_last = not self._is_retired and self._users == 0
            self._is_retired = True
        if is_last:
            self._resources.close()

    @property
    def is_current(self) -> bool:
        """Whether the path still leads to this file, unchanged; True for a remote file."""
        return self.path is None or _state_of(self.path) == self.state

    @property
    def was_modified(self) -> bool:
        """Whether the file itself was written to, rather than replaced by another one: its bytes are lost."""
        if self.path is None or self.state is None:
            return False
        now = _state_of(self.path)
        return now is not None and now != self.state and now[:2] == self.state[:2]


def _state_of(path: str) -> tuple[int, ...] | None:
    """Return device, inode, size and time of modification of a local file; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  (of the path as it is given)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def open_file(path: str, name: str, fs: Any = None) -> OpenFile:
    """Open a TIFF to be served, under a name for the page.

    Raises:
        ReadError: There is no such file, it cannot be read, or it is not a TIFF.
    """
    shown = redact_url(path)
    local = _local_path(path) if fs is None else None
    state = None if local is None else _state_of(local)
    with ExitStack() as resources:
        source = resources.enter_context(open_bytes(path, fs))
        measured = measure(source, tiles=Tiles.UNREAD)
        if measured.version is None:
            raise ReadError(f"{shown} is not a TIFF; save it as one first: georeader cog SRC DST")
        reader = RasterioReader(path, fs=fs)
        facts = facts_of(reader, measured, name)
        if local is not None and _state_of(local) != state:
            raise ReadError(f"{shown}: it changed while it was opened; open it again when it is complete")
        etag = f'"{secrets.token_hex(8)}"' if state is None else f'"{"-".join(format(one, "x") for one in state)}"'
        kept = resources.pop_all()
    return OpenFile(source, etag, reader, facts, PartNames(measured), local, state, kept)


def _local_path(path: str) -> str | None:
    address = parse_address(path)
    local = path if address is None else local_path_of(address)
    return None if local is None else os.path.abspath(local)  # noqa: PTH100  (links are not resolved)


class ServedFile:
    """A named file; it is opened anew when the page is loaded after the file was replaced."""

    def __init__(self, path: str, name: str | None = None, fs: Any = None) -> None:
        # An absolute path: the process may change its folder before the page is loaded again.
        self._path = (_local_path(path) if fs is None else None) or path
        self._name, self._fs = redact_url(path) if name is None else name, fs
        self._open = open_file(path, self._name, fs)
        self._lock = threading.Lock()

    @property
    def opened(self) -> OpenFile:
        """The file as it was opened last."""
        return self._open

    def refresh(self) -> OpenFile:
        """Open the file anew if it was replaced or modified.

        Raises:
            ReadError: It cannot be opened any more.
        """
        with self._lock:
            if not self._open.is_current:
                before, self._open = self._open, open_file(self._path, self._name, self._fs)
                before.retire()
            return self._open

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._open.retire()
