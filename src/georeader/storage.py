"""Paths and URLs as `georeader.save_cog` takes them: existence, content, folders, and texts without their secrets.

For programs that choose destinations themselves, as `geotoolz` does for the rows of a catalog. ``fs`` is always a
filesystem of fsspec or a store of obstore, or None: then credentials come from the environment.
"""

from __future__ import annotations

import mimetypes
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from georeader._storage import s3
from georeader._storage.filesystems import environment_options
from georeader._storage.folders import local_path, make_folders, remove_empty_folders
from georeader._storage.obstores import is_obstore, make_store
from georeader._storage.redaction import Redactor, redact_url, redacted_logs, secrets_of_filesystem, secrets_of_url
from georeader._storage.urls import CONTENT_TYPE, Destination, parse_address
from georeader.errors import GeoreaderError, MissingExtraError, OptionError, ReadError

__all__ = [
    "canonical_path",
    "exists",
    "link_target_outside",
    "local_path",
    "make_folders",
    "read_bytes",
    "redact_text",
    "redact_url",
    "remove_empty_folders",
    "write_bytes",
]


def exists(path: str, fs: Any = None, *, http_headers: Mapping[str, str] | None = None) -> bool:
    """Return whether there is a file, which a folder is not.

    Args:
        path: A path or a URL. An http(s) server must answer HEAD or GET.
        fs: The filesystem that it is in.
        http_headers: Sent with requests to an http(s) server.

    Raises:
        ReadError: The store cannot be reached, or denies access.
        MissingExtraError: No installed package reads the URL's scheme.

    Example:
        >>> exists("missing.tif")
        False
    """
    return find_file(path, fs, http_headers=http_headers) is not None


class FoundFile(NamedTuple):
    """A file that exists."""

    size_bytes: int | None  #: None where a web server does not report it


def find_file(path: str, fs: Any = None, *, http_headers: Mapping[str, str] | None = None) -> FoundFile | None:
    """Return the size of a file, None if there is none; arguments and errors are those of `exists`."""
    if fs is None and "://" not in path:
        return FoundFile(Path(path).stat().st_size) if Path(path).is_file() else None
    secrets = (*secrets_of_filesystem(fs), *(http_headers or {}).values())
    with _named_errors(path, "cannot check whether it exists", secrets):
        try:
            return _find_in_store(path, fs, http_headers)
        except FileNotFoundError:
            return None


def _find_in_store(path: str, fs: Any, http_headers: Mapping[str, str] | None) -> FoundFile | None:
    address = parse_address(path) if fs is None else None
    if address is not None and address.store == "s3" and find_spec("botocore") is not None:
        size_bytes = s3.size_of(address)
        return None if size_bytes is None else FoundFile(size_bytes)
    if address is not None and address.store in ("gs", "az") and find_spec("obstore") is not None:
        fs, path = make_store(address), address.key
    if is_obstore(fs):
        return FoundFile(fs.head(path)["size"])
    if fs is None:
        import fsspec  # 30 ms

        if address is not None and address.store == "http":
            options = {"client_kwargs": {"headers": dict(http_headers)}} if http_headers else {}
            fs = fsspec.filesystem(address.scheme, **options)
        else:
            fs, path = fsspec.core.url_to_fs(path, **environment_options(path))
    fs.invalidate_cache()
    info = fs.info(path)
    return None if info.get("type") == "directory" else FoundFile(info.get("size"))


def read_bytes(path: str, fs: Any = None, *, http_headers: Mapping[str, str] | None = None) -> bytes:
    """Read a whole file.

    Args:
        path: A path or a URL.
        fs: The filesystem that it is in.
        http_headers: Sent with requests to an http(s) server.

    Raises:
        ReadError: It cannot be read.
        MissingExtraError: No installed package reads the URL's scheme.
    """
    local = None if fs is None else local_path(path, fs)
    if local is None and (fs is not None or _has_client(path)):
        from georeader._readers.byte_source import open_bytes

        with open_bytes(path, fs) as file:
            return file.read_at(0, file.size_bytes)
    with _named_errors(path, "cannot be read", (http_headers or {}).values()):
        if local is not None:
            return Path(local).read_bytes()
        import fsspec  # 30 ms

        options = environment_options(path)
        if http_headers:
            options["client_kwargs"] = {"headers": dict(http_headers)}
        with fsspec.open(path, "rb", **options) as file:
            content: bytes = file.read()
    return content


def _has_client(path: str) -> bool:
    """Return whether a client other than fsspec's reads a URL."""
    address = parse_address(path)
    client = {"s3": "botocore", "gs": "obstore", "az": "obstore"}.get(address.store if address else "")
    return client is not None and find_spec(client) is not None


def write_bytes(
    path: str | os.PathLike[str],
    content: bytes,
    fs: Any = None,
    *,
    http_headers: Mapping[str, str] | None = None,
    overwrite: bool = True,
) -> None:
    """Write a small file, which appears whole or not at all.

    Stores keep the media type of its suffix. Of a raster, such as a VRT, sidecars of an earlier file are removed.

    Args:
        path: A path or a URL, as `georeader.save_cog` takes it; a local folder must exist.
        content: All of the file; at least one byte.
        fs: The filesystem that it goes to.
        http_headers: Sent with requests to an http(s) server.
        overwrite: Whether an earlier file is replaced.

    Raises:
        DestinationError: Nothing can be written there.
        ExistsError: There is a file, and ``overwrite`` is False.
        WriteError: It cannot be written; an earlier file is as it was.
        MissingExtraError: No installed package writes to the URL's scheme.

    Example:
        >>> write_bytes("notes.txt", b"Summer scenes")
        >>> read_bytes("notes.txt")
        b'Summer scenes'
    """
    from georeader._export.sinks.opening import open_sink
    from georeader._export.sinks.sidecars import is_raster_name

    if not content:
        raise OptionError(f"{redact_url(os.fspath(path))!r}: content is empty; pass at least one byte")
    name = re.split(r"[?#]", os.fspath(path), maxsplit=1)[0]
    destination = Destination(
        path,
        fs,
        overwrite=overwrite,
        http_headers=http_headers,
        is_raster=is_raster_name(name),
        content_type=_media_type_of(name),
    )
    with open_sink(destination) as sink:
        sink.write_header(content)
        sink.commit()


def _media_type_of(name: str) -> str:
    known = {".parquet": "application/vnd.apache.parquet", ".vrt": "application/xml", ".tif": CONTENT_TYPE}
    return known.get(PurePath(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


@contextmanager
def _named_errors(path: str, problem: str, secrets: Iterable[str] = ()) -> Iterator[None]:
    """Raise what clients raise as errors of georeader that name the path; no message and no log has a secret."""
    name, redactor = redact_url(path), Redactor([*secrets_of_url(path), *secrets])
    try:
        with redacted_logs(redactor):
            yield
    except ImportError as error:
        raise MissingExtraError(f"{name!r}: no installed package reads it: {error}") from error
    except Exception as error:  # noqa: BLE001  (clients raise anything)
        reason = redactor.clean(str(error)) or type(error).__name__
        raise ReadError(f"{name!r}: {problem}: {reason}") from redactor.cause(error)


def redact_text(text: str, *urls: str) -> str:
    """Return a text without the secrets of some URLs, and without the queries and passwords of all URLs in it.

    Example:
        >>> redact_text("403 for https://host/a.tif?sig=abcd (bad abcd)", "https://host/a.tif?sig=abcd")
        '403 for https://host/a.tif?*** (bad ***)'
    """
    return Redactor(secret for url in urls for secret in secrets_of_url(url)).clean(text)


def canonical_path(path: str, fs: Any = None) -> str:
    """Return a text that is the same for all spellings of a destination, and differs for two destinations.

    For a local file it is the absolute path with links followed, in lower case on Windows and macOS, where most file
    systems ignore case. URLs and what is not a path are returned as they are.

    Example:
        >>> canonical_path("out/../a.tif") == canonical_path("a.tif"), canonical_path("s3://bucket/a.tif")
        (True, 's3://bucket/a.tif')
    """
    try:
        local = local_path(path, fs)
        if local is not None:
            return _resolve(local)
    except (GeoreaderError, ValueError):  # not a path: the reader or the save reports it
        pass
    return path if fs is None else f"fs:{path}"


def _resolve(path: str) -> str:
    absolute = os.path.normcase(os.path.realpath(path))
    return unicodedata.normalize("NFC", absolute).casefold() if sys.platform in ("win32", "darwin") else absolute


def link_target_outside(path: str, folder: str, fs: Any = None) -> str | None:
    """Return the file that a local path means, where links lead it out of a folder; else None.

    Args:
        path: A path or a URL; those of stores have no links.
        folder: A path or a URL; links in it are followed.
        fs: The filesystem that both are in.

    Raises:
        DestinationError: One is a URL without a host, bucket or key.
    """
    local = local_path(path, fs)
    if local is None:
        return None
    inner, outer = _resolve(local), _resolve(str(local_path(folder, fs)))
    try:
        is_inside = inner != outer and os.path.commonpath([inner, outer]) == outer
    except ValueError:  # on two drives
        is_inside = False
    return None if is_inside else os.path.realpath(local)
