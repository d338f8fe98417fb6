"""Checks whether a file exists: on the disk for local paths, else by fsspec or obstore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from georeader._storage.filesystems import environment_options
from georeader._storage.log_redaction import redacted_logs
from georeader._storage.obstores import make_store
from georeader._storage.redaction import Redactor, redact_url, secrets_of_options, secrets_of_url
from georeader._storage.urls import parse_address
from georeader.errors import MissingExtraError, ReadError
from geotoolz.operator import Output


def is_there(output: Output) -> bool:
    """Return whether a file exists.

    Args:
        output: Its path. An http(s) server must answer HEAD or GET.

    Raises:
        ReadError: The store cannot be reached, or denies access.
        MissingExtraError: Nothing that is installed knows the URL's scheme.
    """
    if output.fs is None and "://" not in output.path:
        return Path(output.path).is_file()
    name = redact_url(output.path)
    options = getattr(output.fs, "storage_options", None) or getattr(output.fs, "config", None)
    headers = output.http_headers or {}
    redactor = Redactor([*secrets_of_url(output.path), *secrets_of_options(options), *headers.values()])
    try:
        with redacted_logs(redactor):
            return _asked(output)
    except ImportError as error:
        raise MissingExtraError(f"{name!r}: skip_existing needs what reads it by fsspec: {error}") from error
    except Exception as error:  # noqa: BLE001  (clients raise anything, and all of it means: no answer)
        raise ReadError(f"{name!r}: cannot check whether it exists: {redactor.clean(str(error))}") from redactor.cause(
            error
        )


def _asked(output: Output) -> bool:
    try:
        if output.fs is not None and callable(getattr(output.fs, "head", None)) and not hasattr(output.fs, "info"):
            output.fs.head(output.path)  # a store of obstore
            return True
        filesystem, path = _filesystem(output)
        if filesystem is None:
            return _is_in_store(output.path)
        filesystem.invalidate_cache()
        return bool(filesystem.info(path).get("type") != "directory")
    except FileNotFoundError:
        return False


def _is_in_store(url: str) -> bool:
    """Return whether an object exists, by obstore, where fsspec has no filesystem for its scheme."""
    address = parse_address(url)
    if address is None or address.store not in ("s3", "gs", "az"):
        raise ImportError(f"fsspec has nothing for {redact_url(url)}")
    make_store(address).head(address.key)
    return True


def _filesystem(output: Output) -> tuple[Any, str]:
    if output.fs is not None:
        return output.fs, output.path
    import fsspec  # 30 ms, which nobody should wait for who asks no store

    scheme = output.path.partition("://")[0].lower()
    if scheme in ("http", "https"):
        options = {"client_kwargs": {"headers": dict(output.http_headers)}} if output.http_headers else {}
        return fsspec.filesystem(scheme, **options), output.path
    try:
        filesystem, path = fsspec.core.url_to_fs(output.path, **environment_options(output.path))
    except ImportError:
        return None, output.path
    return filesystem, path
