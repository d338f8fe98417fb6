"""Paths and URLs as `georeader.save_cog` takes them: existence, content, folders, and texts without their secrets.

For programs that choose destinations themselves, as `geotoolz` does for the rows of a catalog. ``fs`` is always a
filesystem of fsspec or a store of obstore, or None: then credentials come from the environment.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from georeader._storage import s3
from georeader._storage.filesystems import environment_options
from georeader._storage.obstores import is_obstore, make_store
from georeader._storage.redaction import Redactor, redact_url, redacted_logs, secrets_of_filesystem, secrets_of_url
from georeader._storage.urls import local_path_of, parse_address
from georeader.errors import DestinationError, GeoreaderError, MissingExtraError, ReadError

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
    if fs is None and "://" not in path:
        return Path(path).is_file()
    secrets = (*secrets_of_filesystem(fs), *(http_headers or {}).values())
    with _named_errors(path, "cannot check whether it exists", secrets):
        try:
            return _exists_in_store(path, fs, http_headers)
        except FileNotFoundError:
            return False


def _exists_in_store(path: str, fs: Any, http_headers: Mapping[str, str] | None) -> bool:
    address = parse_address(path) if fs is None else None
    if address is not None and address.store == "s3" and find_spec("botocore") is not None:
        return s3.exists(address)
    if address is not None and address.store in ("gs", "az") and find_spec("obstore") is not None:
        fs, path = make_store(address), address.key
    if is_obstore(fs):
        fs.head(path)
        return True
    if fs is None:
        import fsspec  # 30 ms

        if address is not None and address.store == "http":
            options = {"client_kwargs": {"headers": dict(http_headers)}} if http_headers else {}
            fs = fsspec.filesystem(address.scheme, **options)
        else:
            fs, path = fsspec.core.url_to_fs(path, **environment_options(path))
    fs.invalidate_cache()
    return bool(fs.info(path).get("type") != "directory")


def read_bytes(path: str) -> bytes:
    """Read a whole file.

    Args:
        path: A path or a URL.

    Raises:
        ReadError: It cannot be read.
        MissingExtraError: No installed package reads the URL's scheme.
    """
    import fsspec  # 30 ms

    with _named_errors(path, "cannot be read"), fsspec.open(path, "rb", **environment_options(path)) as file:
        content: bytes = file.read()
    return content


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
