"""Sources of a file's bytes: the local disk, a store, a filesystem of fsspec, or an HTTP server."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, BinaryIO, Protocol

from georeader._readers.opening import RasterPath, raster_path
from georeader._storage import s3
from georeader._storage.filesystems import filesystem_of
from georeader._storage.obstores import make_store
from georeader._storage.range_file import RangedObject
from georeader._storage.redaction import redact_url
from georeader._storage.urls import Address, local_path_of, parse_address
from georeader.errors import DestinationError, ReadError
from georeader.validation.http_ranges import open_ranges


class ByteSource(Protocol):
    """Bytes that are read in ranges, from any thread.

    Attributes:
        size_bytes: Length of the file.
        is_local: Small reads are cheap.
    """

    size_bytes: int
    is_local: bool

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return exactly ``length_bytes`` bytes from an offset on; all of them lie inside.

        Raises:
            ReadError: They can't be read.
        """


class LocalBytes:
    """A `ByteSource`: a local file, open until the block ends.

    Attributes:
        path: Path of the file.
    """

    is_local = True

    def __init__(self, file: BinaryIO, path: str, name: str) -> None:
        """Wrap a file that is open for reading, unbuffered.

        Args:
            file: The file.
            path: Path of the file.
            name: Name in messages.
        """
        self.path = path
        self._file = file
        self._name = name
        self._turn = threading.Lock()
        self.size_bytes = os.fstat(file.fileno()).st_size

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return bytes.

        Raises:
            ReadError: They cannot be read, or the file was truncated meanwhile.
        """
        try:
            data = self._read(offset_bytes, length_bytes)
        except OSError as error:
            raise ReadError(f"{self._name}: byte {offset_bytes} can't be read: {error.strerror or error}") from error
        return _whole(data, offset_bytes, length_bytes, self._name)

    def _read(self, offset_bytes: int, length_bytes: int) -> bytes:
        pieces: list[bytes] = []
        missing = length_bytes
        while missing:
            piece = self._read_once(offset_bytes + length_bytes - missing, missing)
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_once(self, offset_bytes: int, length_bytes: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), length_bytes, offset_bytes)
        with self._turn:
            self._file.seek(offset_bytes)
            return self._file.read(length_bytes)


class RemoteBytes:
    """A `ByteSource`: a remote object read by a `RangedObject`."""

    is_local = False

    def __init__(self, ranged: RangedObject, name: str) -> None:
        """Wrap the object.

        Args:
            ranged: The object.
            name: Name in messages.
        """
        self._ranged = ranged
        self._name = name
        self.size_bytes = ranged.size_bytes

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return bytes.

        Raises:
            ReadError: They can't be read.
        """
        try:
            return self._ranged.read_range(offset_bytes, offset_bytes + length_bytes)
        except ReadError:
            raise
        except OSError as error:
            raise ReadError(f"{self._name}: {error}") from error


class ContainedBytes:
    """A `ByteSource`: an object that `georeader._readers.opening` opens for GDAL."""

    is_local = False

    def __init__(self, path: RasterPath) -> None:
        """Open the object.

        Raises:
            ReadError: It cannot be opened.
        """
        if path.container is None:
            raise ReadError(f"{path.name} is nothing that can be read in ranges; pass fs, a filesystem of fsspec")
        self._path = path
        self._container = path.container
        self._container.check()
        self.size_bytes = self._container.size(self._container.path)

    def read_at(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Return bytes.

        Raises:
            ReadError: They can't be read.
        """
        file = self._container.open(self._container.path)
        file.seek(offset_bytes)
        data = bytes(file.read(length_bytes))
        failure = self._path.failure() if len(data) != length_bytes else None
        if failure is not None:
            raise failure
        return _whole(data, offset_bytes, length_bytes, self._path.name)


@contextmanager
def open_bytes(path: str | os.PathLike[str], fs: Any = None) -> Iterator[ByteSource]:
    """Open a file to be read in ranges.

    Args:
        path: Local path, or URL, as `georeader.RasterioReader` takes it; paths of GDAL's virtual filesystems are not.
        fs: A filesystem of fsspec or a store of obstore, taken whatever the path begins with; or None.

    Raises:
        ReadError: There is no such file, or it can't be read.
        MissingExtraError: What the URL needs is not installed.
    """
    text = os.fsdecode(path)
    remote, local = _source_or_path(text, fs)
    if remote is not None:
        yield remote
        return
    name = redact_url(text)
    with _open_local(local, name) as file:
        yield LocalBytes(file, local, name)


def _source_or_path(text: str, fs: Any) -> tuple[ByteSource | None, str]:
    """Return the source of a remote file, or else a local path."""
    try:
        address = parse_address(text)
        if fs is None and address is None:
            return None, text
        local = local_path_of(address) if fs is None and address is not None else None
        return (_open_remote(text, address, fs), "") if local is None else (None, local)
    except DestinationError as error:
        raise ReadError(str(error)) from error


def _open_remote(text: str, address: Address | None, fs: Any) -> ByteSource:
    if fs is not None or address is None:
        return ContainedBytes(raster_path(text, fs))
    if address.store == "http":
        return RemoteBytes(open_ranges(address.url), address.name)
    if address.store == "s3":
        return RemoteBytes(s3.open_ranges(address), address.name)
    if address.store in ("gs", "az") and find_spec("obstore") is not None:
        return ContainedBytes(raster_path(text, make_store(address)))
    return ContainedBytes(raster_path(text, filesystem_of(address)[0]))


def _open_local(path: str, name: str) -> BinaryIO:
    if path.startswith("/vsi"):
        raise ReadError(f"{name} is a path of GDAL's virtual filesystems; pass the file's own path or URL")
    try:
        # Checked first: opening a pipe would wait for a writer.
        mode = os.stat(path).st_mode  # noqa: PTH116  (of the path as it is given)
        if not stat.S_ISREG(mode):
            raise ReadError(f"{name} is {'a folder' if stat.S_ISDIR(mode) else 'no file'}; name a file")
        return open(path, "rb", buffering=0)  # noqa: PTH123  (the caller closes it)
    except (OSError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"{name}: it can't be opened: {getattr(error, 'strerror', None) or error}") from error


def _whole(data: bytes, offset_bytes: int, length_bytes: int, name: str) -> bytes:
    if len(data) != length_bytes:
        raise ReadError(
            f"{name}: {len(data)} bytes came of {length_bytes} from byte {offset_bytes}: it changed while it was read"
        )
    return data
