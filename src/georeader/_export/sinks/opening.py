"""Choice of the sink for a destination: local or remote."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from georeader._export.sinks.local import LocalSink
from georeader._export.sinks.protocol import Sink
from georeader._export.sinks.spooled import SpooledSink, Target
from georeader._storage.destination import Destination, PathInNewFolder
from georeader._storage.redaction import (
    Redactor,
    redact_url,
    secrets_of_environment,
    secrets_of_options,
    secrets_of_url,
)
from georeader._storage.remote_errors import RemoteErrors
from georeader._storage.urls import Address, local_path_of, parse_address
from georeader.errors import DestinationError, NotSupportedError, OptionError

#: A scheme and a single slash: what pathlib makes of a URL.
_SHORTENED_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")


def open_sink(where: Destination) -> Sink:
    """Return the sink for a destination; nothing is written.

    Raises:
        DestinationError: It can't take a file; ExistsError where something is there that may not be replaced.
        NotSupportedError: It is one that is not supported.
        MissingExtraError: What it needs is not installed.
        OptionError: ``http_headers`` do not apply to it.
    """
    scratch = _scratch(where.dir_tmpfiles)
    where = _with_own_filesystem(where)
    if where.fs is None and _is_file_object(where.path):
        return _to_file_object(where, scratch)
    text = _text_of(where.path)
    address = parse_address(text)
    if where.http_headers is not None and (address is None or address.store != "http" or where.fs is not None):
        raise OptionError(f"http_headers go with http:// and https:// alone, without fs, not with {redact_url(text)!r}")
    if where.fs is not None:
        return _by_fs(text, address, where, scratch)
    local = text if address is None else local_path_of(address)
    if local is not None:
        return _local(local, where, scratch)
    return _remote(address or Address(text, text, "", ""), where, scratch)


def _with_own_filesystem(where: Destination) -> Destination:
    """Return the destination with the filesystem of its path: of fsspec's OpenFile, or universal_pathlib's UPath."""
    from georeader._storage.filesystems import is_filesystem

    own = getattr(where.path, "fs", None)
    if getattr(where.path, "compression", None) and is_filesystem(own):
        raise DestinationError(
            f"{redact_url(str(where.path.path))!r} is to be compressed; a TIFF compresses its tiles: open it as it is"
        )
    if where.fs is None and is_filesystem(own) and not _is_file_object(where.path):
        return replace(where, path=str(where.path.path), fs=own)
    return where


def _scratch(dir_tmpfiles: Any) -> Path | None:
    is_path = isinstance(dir_tmpfiles, (str, os.PathLike))
    if dir_tmpfiles is not None and not (is_path and Path(dir_tmpfiles).is_dir()):
        raise DestinationError(f"dir_tmpfiles={dir_tmpfiles!r} is not a folder; create it first")
    return None if dir_tmpfiles is None else Path(dir_tmpfiles).absolute()  # whatever the current folder later is


def _text_of(path: Any) -> str:
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise DestinationError(
            f"path_tiff_save={_shown(path)} is not a path; pass a str, an os.PathLike, or an object open for binary "
            "writing"
        ) from error
    text = os.fsdecode(text) if isinstance(text, bytes) else text
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise DestinationError(
            f"{redact_url(text)!r} is not UTF-8, which GDAL requires of names; rename the file or its folder"
        )
    if not text:
        raise DestinationError("path_tiff_save='' is empty; name a file, such as 'out.tif'")
    return text


def _shown(path: Any) -> str:
    """Return a text for a message: of a number or None its value, of anything else its type."""
    return repr(path) if path is None or isinstance(path, (int, float)) else f"a {type(path).__name__}"


def _local(text: str, where: Destination, scratch: Path | None) -> Sink:
    if _SHORTENED_URL.match(text):
        raise NotSupportedError(
            f"{redact_url(text)!r} looks like a URL, not like a local path; pathlib shortens '//' to '/', so pass URLs "
            "as str"
        )
    if text.startswith("/vsi"):
        raise NotSupportedError(
            f"{redact_url(text)!r} is one of GDAL's virtual paths, which can be read but not saved to; pass the URL, "
            "such as s3://bucket/key.tif"
        )
    return LocalSink(
        text,
        durable=where.durable,
        overwrite=where.overwrite,
        dir_tmpfiles=scratch,
        makes_folders=isinstance(where.path, PathInNewFolder),
    )


# Without fs.


def _remote(address: Address, where: Destination, scratch: Path | None) -> Sink:
    if address.store == "http":
        return _to_http(address, where, scratch)
    if address.store == "s3":
        return _to_s3(address, where, scratch)
    if address.store in ("gs", "az") and find_spec("obstore") is not None:
        return _to_obstore(address, where, scratch)
    return _to_fsspec_url(address, where, scratch)


def _to_http(address: Address, where: Destination, scratch: Path | None) -> Sink:
    from georeader._export.sinks.http_put import HttpPut, explain

    headers = _headers(where.http_headers)
    redactor = Redactor([*secrets_of_url(address.url), *headers.values()])
    failures = RemoteErrors(address.name, redactor, explain, client_retries=True)
    return _spooled(HttpPut(address.url, failures, overwrite=where.overwrite, headers=headers), scratch)


def _headers(http_headers: Any) -> dict[str, str]:
    if http_headers is None:
        return {}
    if not isinstance(http_headers, Mapping):
        raise OptionError(f"http_headers is a {type(http_headers).__name__}; pass a mapping of names to values")
    for name, value in http_headers.items():
        if not isinstance(name, str) or not isinstance(value, str) or re.search(r"[\r\n]", name + value):
            raise OptionError(f"http_headers[{name!r}] is not a line of text; pass str for names and values")
    return dict(http_headers)


def _to_s3(address: Address, where: Destination, scratch: Path | None) -> Sink:
    from georeader._export.sinks.multipart import SENDERS
    from georeader._storage.s3 import BotoCaller, boto_client, explain

    redactor = Redactor([*secrets_of_environment(), *secrets_of_url(address.url)])
    failures = RemoteErrors(address.name, redactor, explain, client_retries=True)
    client = failures.call(lambda: boto_client(address.name, SENDERS + 1), "no client can be made")
    return _to_s3_by(BotoCaller(client), address.bucket, address.key, failures, where, scratch)


def _to_s3_by(
    caller: Any, bucket: str, key: str, failures: RemoteErrors, where: Destination, scratch: Path | None
) -> Sink:
    from georeader._export.sinks.multipart import PartedSink
    from georeader._export.sinks.s3_parts import S3Object, wants_even_parts

    store = S3Object(caller, bucket, key, failures, overwrite=where.overwrite)
    if wants_even_parts(caller.endpoint):
        from georeader._export.sinks.multipart import EvenParts

        return _spooled(EvenParts(store), scratch)
    return PartedSink(store, dir_tmpfiles=scratch)


def _to_obstore(address: Address, where: Destination, scratch: Path | None) -> Sink:
    from georeader._export.sinks.obstore_put import ObstorePut
    from georeader._storage.obstores import explain, make_store

    failures = RemoteErrors(address.name, Redactor([*secrets_of_environment(), *secrets_of_url(address.url)]), explain)
    return _spooled(
        ObstorePut(
            lambda size_bytes: make_store(address, size_bytes), address.key, failures, overwrite=where.overwrite
        ),
        scratch,
    )


def _to_fsspec_url(address: Address, where: Destination, scratch: Path | None) -> Sink:
    from georeader._storage.filesystems import filesystem_of

    filesystem, path = filesystem_of(address)
    return _to_filesystem(filesystem, path, address.name, secrets_of_url(address.url), where, scratch)


# By fs, whatever the path begins with.


def _by_fs(text: str, address: Address | None, where: Destination, scratch: Path | None) -> Sink:
    from georeader._storage.filesystems import is_filesystem
    from georeader._storage.obstores import is_obstore

    if is_obstore(where.fs):
        return _to_given_store(text, address, where, scratch)
    if not is_filesystem(where.fs):
        raise DestinationError(
            f"fs is a {type(where.fs).__name__}; pass a filesystem of fsspec (fsspec.filesystem('s3', ...)) or a store "
            "of obstore"
        )
    strip = getattr(where.fs, "_strip_protocol", None)
    path = strip(text) if callable(strip) else text
    if not path or text.endswith("/") or str(path).endswith("/"):
        raise DestinationError(f"{redact_url(text)!r} is a folder; name a file in it, such as 'out.tif'")
    return _to_filesystem(where.fs, str(path), redact_url(text), secrets_of_url(text), where, scratch)


def _to_given_store(text: str, address: Address | None, where: Destination, scratch: Path | None) -> Sink:
    from georeader._export.sinks.obstore_put import ObstorePut
    from georeader._storage.obstores import explain, key_in

    key = key_in(where.fs, text, address)
    own = {name: getattr(where.fs, name, None) for name in ("config", "client_options")}
    failures = RemoteErrors(redact_url(text), Redactor([*secrets_of_options(own), *secrets_of_url(text)]), explain)
    return _spooled(ObstorePut(lambda _: where.fs, key, failures, overwrite=where.overwrite), scratch)


def _to_filesystem(
    filesystem: Any, path: str, name: str, secrets: tuple[str, ...], where: Destination, scratch: Path | None
) -> Sink:
    from fsspec.implementations.local import LocalFileSystem

    from georeader._storage.filesystems import explain, is_of

    if type(filesystem) is LocalFileSystem:
        return LocalSink(path, durable=where.durable, overwrite=where.overwrite, dir_tmpfiles=scratch)
    options = getattr(filesystem, "storage_options", None)
    failures = RemoteErrors(name, Redactor([*secrets, *secrets_of_options(options)]), explain)
    if is_of(filesystem, "s3fs"):
        from georeader._storage.s3 import S3fsCaller

        bucket, _, key = path.partition("/")
        if not bucket or not key:
            raise DestinationError(f"{name!r} names no object; such a path reads bucket/folder/out.tif")
        return _to_s3_by(S3fsCaller(filesystem), bucket, key, failures, where, scratch)
    from georeader._export.sinks.fsspec_put import FsspecPut

    return _spooled(FsspecPut(filesystem, path, failures, overwrite=where.overwrite), scratch)


# File objects.


def _is_file_object(path: Any) -> bool:
    return callable(getattr(path, "write", None)) and not isinstance(path, (str, bytes, os.PathLike))


def _to_file_object(where: Destination, scratch: Path | None) -> Sink:
    from georeader._export.sinks.file_object import FileObject

    if where.http_headers is not None:
        raise OptionError("http_headers go with http:// and https:// alone, not with a file object")
    return _spooled(FileObject(where.path), scratch)


def _spooled(target: Target, scratch: Path | None) -> Sink:
    return SpooledSink(target, dir_tmpfiles=scratch)
