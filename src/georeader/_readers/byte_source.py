"""Sources of a file's bytes: the local disk, a store, a filesystem of fsspec, or an HTTP server.

References:
    RFC 9110, section 14 (range requests) and 15.4 (redirects).
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import urllib3

from georeader._readers.opening import RasterPath, contained, raster_path
from georeader._storage import http_client, s3
from georeader._storage.filesystems import filesystem_of
from georeader._storage.http_client import RefusedError, basic_authorization, merged, open_answer
from georeader._storage.obstores import make_store
from georeader._storage.range_file import BLOCK_BYTES, RangedObject
from georeader._storage.redaction import Redactor, redact_url, secrets_of_url
from georeader._storage.remote_errors import Failure, RemoteErrors, failure_of_answer
from georeader._storage.urls import Address, local_path_of, parse_address
from georeader.errors import DestinationError, ReadError

#: Redirects are followed so often.
REDIRECTS = 5

_CONTENT_RANGE = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


@dataclass(frozen=True)
class ByteSource:
    """Bytes of a file that are read in ranges, from any thread."""

    name: str  #: In messages.
    size_bytes: int
    fetch: Callable[[int, int], bytes]  #: Returns bytes from an offset on: so many, or fewer where the file ends.
    #: Returns what differs once the file is another one, such as its ETag; None where nothing of the kind is known.
    version: Callable[[], str | None] = field(default=lambda: None, repr=False)
    descriptor: int | None = None  #: Of a file that is open on a local disk.
    place: s3.ObjectPlace | None = None  #: Of an object in S3.
    has_external_overviews: bool = False  #: An .ovr file lies beside it; a remote file is not searched for one.

    @property
    def is_local(self) -> bool:
        """Whether small reads are cheap."""
        return self.descriptor is not None

    def read_at(self, offset_bytes: int, length_bytes: int, /) -> bytes:
        """Return exactly ``length_bytes`` bytes from an offset on; all of them lie inside the file.

        ReadError is raised if they cannot be read, or the file was truncated meanwhile.
        """
        try:
            data = self.fetch(offset_bytes, length_bytes)
        except ReadError:
            raise
        except OSError as error:
            raise ReadError(f"{self.name}: byte {offset_bytes} cannot be read: {error.strerror or error}") from error
        if len(data) != length_bytes:
            raise ReadError(
                f"{self.name}: {len(data)} bytes came of {length_bytes} from byte {offset_bytes}: it changed while it "
                "was read"
            )
        return data


@contextmanager
def open_bytes(path: str | os.PathLike[str], fs: Any = None) -> Iterator[ByteSource]:
    """Open a file to be read in ranges; arguments and errors are those of `georeader.validation.validate`."""
    text = os.fsdecode(path)
    found = _remote_or_path(text, fs)
    if isinstance(found, ByteSource):
        yield found
        return
    name = redact_url(text)
    with _open_local(found, name) as file:
        yield ByteSource(
            name,
            os.fstat(file.fileno()).st_size,
            _local_fetch(file),
            partial(_local_version, found),
            file.fileno(),
            has_external_overviews=os.path.exists(f"{found}.ovr"),  # noqa: PTH110  (false for a name that is too long)
        )


def as_raster(source: ByteSource, beside: Mapping[str, ByteSource] | None = None) -> RasterPath:
    """Return a file as rasterio can open it: by the same reads, with those files beside it, by suffixes, alone."""
    files = {"scene.tif": source} | {f"scene.tif{suffix}": file for suffix, file in (beside or {}).items()}

    def open_it(path: str) -> RangedObject:
        if path not in files:
            raise FileNotFoundError(path)
        file = files[path]
        return RangedObject(file.size_bytes, lambda start, stop: file.read_at(start, stop - start))

    return RasterPath(source.name, *contained("scene.tif", open_it, RemoteErrors(source.name, Redactor())))


def _remote_or_path(text: str, fs: Any) -> ByteSource | str:
    """Open a remote file; or return the path of a local one."""
    try:
        address = parse_address(text)
        if fs is not None:
            return _contained(raster_path(text, fs))
        if address is None:
            return text
        local = local_path_of(address)
        return _open_remote(text, address) if local is None else local
    except DestinationError as error:
        raise ReadError(str(error)) from error


def _open_remote(text: str, address: Address) -> ByteSource:
    if address.store in ("http", "s3"):
        ranged = _http_ranges(address.url) if address.store == "http" else s3.open_ranges(address)
        return ByteSource(
            address.name,
            ranged.size_bytes,
            lambda offset, length: ranged.read_range(offset, offset + length),
            ranged.version,
            place=ranged.place,
        )
    has_store = address.store in ("gs", "az") and find_spec("obstore") is not None
    return _contained(raster_path(text, make_store(address) if has_store else filesystem_of(address)[0]))


def _contained(path: RasterPath) -> ByteSource:
    """Open an object that `georeader._readers.opening` opens for GDAL."""
    container = path.container
    if container is None:
        raise ReadError(f"{path.name} cannot be read in ranges; pass fs, a filesystem of fsspec")
    container.check()

    def fetch(offset_bytes: int, length_bytes: int) -> bytes:
        file = container.open(container.path)
        file.seek(offset_bytes)
        data = bytes(file.read(length_bytes))
        failure = path.failure() if len(data) != length_bytes else None
        if failure is not None:
            raise failure
        return data

    return ByteSource(path.name, container.size(container.path), fetch, container.version, place=container.place)


def _open_local(path: str, name: str) -> BinaryIO:
    if path.startswith("/vsi"):
        raise ReadError(f"{name} is a path of GDAL's virtual filesystems; pass the file's own path or URL")
    try:
        # Checked first: opening a pipe would wait for a writer.
        mode = os.stat(path).st_mode  # noqa: PTH116  (of the path as it is given)
        if stat.S_ISREG(mode):
            return open(path, "rb", buffering=0)  # noqa: PTH123  (the caller closes it)
    except (OSError, ValueError) as error:
        raise ReadError(f"{name}: it cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    raise ReadError(f"{name} is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}; name a file")


def _local_version(path: str) -> str | None:
    """Return what the system has on a file without reading it, which differs for another file; None without one."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _local_fetch(file: BinaryIO) -> Callable[[int, int], bytes]:
    turn = threading.Lock()

    def read_once(offset_bytes: int, length_bytes: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(file.fileno(), length_bytes, offset_bytes)
        with turn:
            file.seek(offset_bytes)
            return file.read(length_bytes)

    def fetch(offset_bytes: int, length_bytes: int) -> bytes:
        pieces: list[bytes] = []
        missing = length_bytes
        while missing and (piece := read_once(offset_bytes + length_bytes - missing, missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    return fetch


def _http_ranges(url: str) -> RangedObject:
    """Open a URL to be read in ranges: one request, which returns its first `BLOCK_BYTES` as well."""
    errors = RemoteErrors(redact_url(url), Redactor(secrets_of_url(url)), http_client.explain)
    first, size_bytes, _ = errors.read(lambda: _get(url, 0, BLOCK_BYTES))

    def fetch(start: int, stop: int) -> bytes:
        return first[start:stop] if stop <= len(first) else errors.read(lambda: _get(url, start, stop))[0]

    return RangedObject(size_bytes, fetch, lambda: errors.read(lambda: _get(url, 0, 1))[2])


def _get(url: str, start: int, stop: int) -> tuple[bytes, int, str | None]:
    """Return a range, the length of the whole, and its ETag or time if it has one; redirects are followed."""
    headers = merged({"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}"}, basic_authorization(url))
    url = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
    for _ in range(REDIRECTS):
        # The loop around this one covers the body, too.
        with open_answer("GET", url, headers, attempts=1) as response:
            location = response.headers.get("Location")
            if not (response.status in (301, 302, 303, 307, 308) and location):
                return _range_of(response, stop - start)
        target = urljoin(url, location)
        if urlsplit(target).scheme not in ("http", "https"):
            break
        if urlsplit(target)[:2] != urlsplit(url)[:2]:  # credentials are sent to the first host only
            headers.pop("Authorization", None)
        url = target
    raise RefusedError(Failure("it is redirected too often, or to something other than a web server"))


def _range_of(response: urllib3.BaseHTTPResponse, length_bytes: int) -> tuple[bytes, int, str | None]:
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range") or "")
    if found and response.status in (206, 416):
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        return response.read(length_bytes) if response.status == 206 else b"", int(found[1]), version
    if response.status in (200, 206):
        detail = "the server serves no ranges, so that no viewer reads parts of it; download the file, and pass that"
        raise RefusedError(Failure(detail))
    detail = f"HTTP {response.status} {response.reason}"
    raise RefusedError(failure_of_answer(response.status, "", detail, response.headers.get("Retry-After")))
