"""Access of rasterio to a raster: by GDAL's own network filesystems, or by a filesystem in Python.

GDAL reads S3, GCS, Azure, OSS and HTTP by itself. Environment variables of the clouds' tools that GDAL does not know
are passed to it as options. A filesystem passed as ``fs``, and URLs that only fsspec knows, are read through a
`RangeFile`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import rasterio
from affine import Affine, loadsw
from rasterio._path import SCHEMES
from rasterio.abc import FileContainer

from georeader._storage import s3
from georeader._storage.filesystems import filesystem_of, is_filesystem, is_of
from georeader._storage.http_client import requoted
from georeader._storage.obstores import azure_config, is_obstore, key_in, make_store
from georeader._storage.obstores import explain as explain_obstore
from georeader._storage.range_file import RangedObject, RangeFile
from georeader._storage.redaction import (
    Redactor,
    redact_url,
    redacted_logs,
    secrets_of_filesystem,
    secrets_of_options,
    secrets_of_url,
)
from georeader._storage.remote_errors import RemoteErrors, panics_as_errors
from georeader._storage.s3 import PAYER, pays_requests
from georeader._storage.urls import Address, local_path_of, parse_address
from georeader.errors import DestinationError, ReadError

#: Variables of obstore for GCS that GDAL does not know: with them, obstore reads.
_UNKNOWN_TO_GDAL = ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY",
                    "GOOGLE_BASE_URL", "GOOGLE_BEARER_TOKEN", "GOOGLE_SKIP_SIGNATURE")  # fmt: skip

#: Paths of other machines that GDAL opened in this process, the last ones: GDAL's caches hold parts of fewer.
_OPENED: dict[str, None] = {}
MOST_OPENED = 100_000

#: Longest world file, which has six numbers.
_WORLD_FILE_BYTES = 1024


@dataclass(frozen=True)
class RasterPath:
    """A raster that rasterio can open."""

    name: str  #: for messages, without secrets
    path: str = field(repr=False)  #: for rasterio
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)  #: GDAL configuration options for it
    container: _OneFile | None = field(default=None, repr=False)  #: opens it in Python; None if GDAL does
    redactor: Redactor = field(default_factory=Redactor, repr=False)  #: of the raster's secrets in GDAL's messages

    def open(self, **options: Any) -> Any:
        """Open the raster in rasterio."""
        if self.container is not None:
            self.container.check()
            options["opener"] = self.container
        elif "/vsi" in self.path or "://" in self.path:
            _note(self.path)
        return rasterio.open(self.path, **options)

    @property
    def was_opened(self) -> bool:
        """Whether GDAL has opened it over a network, so that it may hold parts of it."""
        return self.path in _OPENED

    def failure(self) -> ReadError | None:
        """Return the error of the last read in Python, which GDAL does not report; None if there is none."""
        return None if self.container is None else self.container.failure()


def _note(path: str) -> None:
    while len(_OPENED) >= MOST_OPENED:
        _OPENED.pop(next(iter(_OPENED)), None)
    _OPENED[path] = None


_Opened = tuple[str, Mapping[str, Any], "_OneFile | None"]


def raster_path(path: str | os.PathLike[str], fs: Any = None) -> RasterPath:
    """Return how a path or URL is opened, by ``fs`` of fsspec or obstore if it is passed; nothing is opened."""
    text = os.fsdecode(path)
    name = redact_url(text)
    try:
        address = parse_address(text)
        if fs is not None:
            opened = _by_fs(text, address, fs, name)
        else:
            # A local path is absolute if rasterio would take it for a URL, as ``s3:x.tif``.
            is_like_url = ":" in text and Path(text).exists()
            local = str(Path.cwd() / text) if is_like_url else text
            opened = (local, {}, None) if address is None else _by_url(address)
            # GDAL requires UTF-8; other bytes are lone surrogates in a path.
            if any(0xD800 <= ord(character) < 0xE000 for character in opened[0]):
                opened = _by_python(opened[0], name)
    except DestinationError as error:
        raise ReadError(str(error)) from error
    secrets = [*secrets_of_url(text), *secrets_of_filesystem(fs), *secrets_of_options(opened[1])]
    return RasterPath(name, *opened, Redactor(secrets))


def _by_url(address: Address) -> _Opened:
    if address.store == "s3":
        is_plain = not set(address.key) & set("?#%")
        path = f"s3://{address.bucket}/{address.key}" if is_plain else f"/vsis3/{address.bucket}/{address.key}"
        return path, _s3_options(), None
    if address.store == "gs":
        if any(os.environ.get(name) for name in _UNKNOWN_TO_GDAL) and find_spec("obstore") is not None:
            return _by_obstore(make_store(address), address.key, address.name)
        return f"/vsigs/{address.bucket}/{address.key}", {}, None
    if address.store == "az":
        return f"/vsiaz/{address.bucket}/{address.key}", _azure_options(address), None
    local = local_path_of(address)
    if local is not None:
        return local, {}, None
    if address.store == "http":
        return requoted(address.url), {}, None
    if address.store or address.scheme.partition("+")[0] in SCHEMES:
        return address.url, {}, None
    from fsspec.registry import known_implementations, registry

    if address.scheme and address.scheme not in {*known_implementations, *registry}:
        return address.url, {}, None  # rasterio raises the error
    return _by_filesystem(*filesystem_of(address), address.name)


def _by_fs(text: str, address: Address | None, fs: Any, name: str) -> _Opened:
    if is_obstore(fs):
        return _by_obstore(fs, key_in(fs, text, address), name)
    if not is_filesystem(fs):
        raise ReadError(
            f"{name}: fs is a {type(fs).__name__}; pass a filesystem of fsspec (fsspec.filesystem('s3', ...)) or a "
            "store of obstore"
        )
    strip = getattr(fs, "_strip_protocol", None)
    return _by_filesystem(fs, str(strip(text) if callable(strip) else text), name)


def _by_filesystem(filesystem: Any, path: str, name: str) -> _Opened:
    redactor = Redactor(secrets_of_filesystem(filesystem))
    # Filesystems that are not built on asyncio hold one connection, which threads must not share at once.
    turn = nullcontext() if getattr(filesystem, "async_impl", False) else threading.Lock()

    def open_it(path: str) -> RangedObject:
        with turn:
            size_bytes = int(filesystem.info(path)["size"])

        def fetch(start: int, stop: int) -> bytes:
            with turn, redacted_logs(redactor):
                found: bytes = filesystem.cat_file(path, start=start, end=stop)
            return found

        def version() -> str:
            with turn:
                filesystem.invalidate_cache()
                found = filesystem.info(path)
            return str(found.get("ETag") or sorted((str(name), str(value)) for name, value in found.items()))

        return RangedObject(size_bytes, fetch, version, _s3_place(filesystem, path))

    return contained(path, open_it, RemoteErrors(name, redactor))


def _s3_place(filesystem: Any, path: str) -> s3.ObjectPlace | None:
    if not is_of(filesystem, "s3fs"):
        return None
    bucket, _, key = path.partition("/")
    return s3.ObjectPlace(s3.endpoint_of_s3fs(filesystem), bucket, key)


def _by_python(path: str, name: str) -> _Opened:
    """Return the way to a local file whose name GDAL does not accept."""
    shown = redact_url(path)

    def open_it(given: str) -> RangedObject:
        if not given.startswith(shown):
            raise FileNotFoundError(given)
        real = path + given.removeprefix(shown)  # the raster, or a sidecar

        def fetch(start: int, stop: int) -> bytes:
            with open(real, "rb") as file:  # noqa: PTH123  (of the path as it is given)
                file.seek(start)
                return file.read(stop - start)

        with open(real, "rb") as file:  # noqa: PTH123
            return RangedObject(os.fstat(file.fileno()).st_size, fetch)

    return contained(shown, open_it, RemoteErrors(name, Redactor()))


def _by_obstore(store: Any, key: str, name: str) -> _Opened:
    import obstore

    def open_it(key: str) -> RangedObject:
        def fetch(start: int, stop: int) -> bytes:
            return bytes(obstore.get_range(store, key, start=start, end=stop))

        def version() -> str:
            found = obstore.head(store, key)
            return str(found.get("e_tag") or f"{found['size']}-{found['last_modified']}")

        return RangedObject(int(obstore.head(store, key)["size"]), fetch, version)

    return contained(key, open_it, RemoteErrors(name, Redactor(secrets_of_filesystem(store)), explain_obstore))


def contained(path: str, open_it: Callable[[str], RangedObject], failures: RemoteErrors) -> _Opened:
    """Return the way to a raster that Python opens by its path, as its sidecars."""
    container = _OneFile(path, open_it, failures)
    return container.path, {}, container


class _OneFile(FileContainer):  # type: ignore[misc]
    """A folder with one raster and its sidecars (``.aux.xml``, ``.msk``, a world file), opened when GDAL requests them.

    Any error counts as a missing sidecar: stores answer 403 for missing objects, too.
    """

    def __init__(self, path: str, open_it: Callable[[str], RangedObject], failures: RemoteErrors) -> None:
        self._folder, slash, self._base = path.rpartition("/")
        self._folder += slash
        self.path = f"/georeader/{self._base}"
        self._open_it = open_it
        self._failures = failures
        self._ranged: RangedObject | None = None
        self._beside: dict[str, RangedObject | None] = {}
        stem, _, extension = self._base.rpartition(".")
        self._world_file = f"{stem}.{extension[0]}{extension[-1]}w" if stem and len(extension) > 1 else None
        self._read_by_gdal = (f"{self._base}.aux.xml", f"{self._base}.msk")

    def check(self) -> None:
        """Open the raster once, since GDAL does not report the reason of a failure."""
        try:
            with redacted_logs(self._failures.redactor), panics_as_errors():
                self._ranged = self._open_it(self._folder + self._base) if self._ranged is None else self._ranged
        except Exception as error:  # noqa: BLE001  (clients raise anything; it is raised again below)
            caught = error
        else:
            return
        raise self._failures.read_error_of(caught) from self._failures.redactor.cause(caught)

    @property
    def place(self) -> s3.ObjectPlace | None:
        """The place of the raster, if it is in S3."""
        return None if self._ranged is None else self._ranged.place

    def version(self) -> str | None:
        """Return what differs once the raster is another one, asked for anew; None where that is unknown."""
        try:
            with redacted_logs(self._failures.redactor), panics_as_errors():
                return None if self._ranged is None else self._ranged.version()
        except Exception as error:  # noqa: BLE001  (clients raise anything; it is raised again below)
            caught = error
        raise self._failures.read_error_of(caught) from self._failures.redactor.cause(caught)

    def failure(self) -> ReadError | None:
        """Return the error of the last read, once; None if there is none."""
        error = None if self._ranged is None else self._ranged.error
        if self._ranged is None or error is None:
            return None
        self._ranged.error = None
        if not isinstance(error, Exception):
            raise error
        found = self._failures.read_error_of(error)
        found.__cause__ = self._failures.redactor.cause(error)
        return found

    def world_file(self) -> Affine | None:
        """Return the transform in the world file; None if there is none, or it is not one.

        Through rasterio's openers, GDAL sees text files as empty (observed with 1.4.4 and 1.5.2).
        """
        ranged = None if self._world_file is None else self._sidecar(self._world_file)
        if ranged is None:
            return None
        try:
            return loadsw(ranged.read_range(0, min(ranged.size_bytes, _WORLD_FILE_BYTES)).decode("ascii"))
        except Exception:  # noqa: BLE001  (clients raise anything; GDAL, too, ignores what is not a world file)
            return None

    def _sidecar(self, name: str) -> RangedObject | None:
        """Return an open sidecar; None if it does not exist."""
        if name not in (*self._read_by_gdal, self._world_file):
            return None
        if name not in self._beside:
            self._beside[name] = None
            try:
                self._beside[name] = self._open_it(self._folder + name)
            except BaseException as error:  # noqa: BLE001  (clients raise anything; GDAL would not survive Ctrl-C)
                if self._ranged is not None and not isinstance(error, Exception):
                    self._ranged.error = error
        return self._beside[name]

    def _file(self, path: str) -> RangedObject:
        name = path.rpartition("/")[2]
        found = self._ranged if name == self._base else self._sidecar(name)
        if found is None:
            raise FileNotFoundError(path)
        return found

    # The interface of rasterio's openers.

    def open(self, path: str, _mode: str = "r", **_options: Any) -> Any:
        """Open the raster or a sidecar."""
        return RangeFile(self._file(path))

    def isfile(self, path: str) -> bool:
        """Return whether a path is that of the raster or of a sidecar that GDAL reads."""
        name = path.rpartition("/")[2]
        return name == self._base or (name in self._read_by_gdal and self._sidecar(name) is not None)

    def isdir(self, _path: str) -> bool:
        """Return False: there are no folders."""
        return False

    def ls(self, _path: str) -> list[str]:
        """Return the path of the raster."""
        return [self.path]

    def mtime(self, _path: str) -> int:
        """Return 0: the time of modification is unknown."""
        return 0

    def rm(self, path: str) -> None:
        """Raise an error: files are not removed."""
        raise PermissionError(path)

    def size(self, path: str) -> int:
        """Return the length of a file in bytes."""
        return self._file(path).size_bytes


# Settings of the environment that GDAL does not know.


def _s3_options(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the endpoint of AWS_ENDPOINT_URL and the value of AWS_REQUEST_PAYER as options of GDAL."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    options: dict[str, Any] = {}
    if endpoint and not environment.get("AWS_S3_ENDPOINT"):
        parts = urlsplit(endpoint)
        options["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
        options["AWS_HTTPS"] = "NO" if parts.scheme == "http" else "YES"
        options["AWS_VIRTUAL_HOSTING"] = "FALSE"
    if "AWS_REQUEST_PAYER" in environment:
        options["AWS_REQUEST_PAYER"] = PAYER if pays_requests(environment) else ""
    return options


def _azure_options(address: Address) -> dict[str, Any]:
    """Return obstore's settings under GDAL's names."""
    config = azure_config(address.account)
    if config.get("endpoint") and config.get("account_name"):
        secret = f"AccountKey={config['account_key']}" if config.get("account_key") else ""
        secret = secret or (f"SharedAccessSignature={config['sas_key']}" if config.get("sas_key") else "")
        protocol = urlsplit(config["endpoint"]).scheme
        return {
            "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol={protocol};AccountName="
            f"{config['account_name']};{secret};BlobEndpoint={config['endpoint']}"
        }
    names = {"account_name": "AZURE_STORAGE_ACCOUNT", "account_key": "AZURE_STORAGE_ACCESS_KEY",
             "sas_key": "AZURE_STORAGE_SAS_TOKEN"}  # fmt: skip
    return {names[key]: value for key, value in config.items() if key in names}
