"""Choice of the sink for a destination: local or remote."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from georeader._export.sinks.azure_blocks import azure_blocks, can_sign
from georeader._export.sinks.base import Sink
from georeader._export.sinks.fsspec_put import FsspecPut
from georeader._export.sinks.local import LocalSink
from georeader._export.sinks.multipart import SENDERS, EvenParts, PartedSink, PartObject
from georeader._export.sinks.obstore_put import ObstorePut
from georeader._export.sinks.s3_parts import S3Object, wants_even_parts
from georeader._export.sinks.spooled import FileObject, SpooledSink, Target
from georeader._storage import obstores, s3
from georeader._storage.filesystems import check_protocol, filesystem_of, is_filesystem, is_of
from georeader._storage.obstores import is_obstore, key_in, make_store
from georeader._storage.redaction import (
    Redactor,
    redact_url,
    secrets_of_environment,
    secrets_of_filesystem,
    secrets_of_url,
)
from georeader._storage.remote_errors import RemoteErrors
from georeader._storage.urls import Address, Destination, PathInNewFolder, local_path_of, parse_address
from georeader.errors import DestinationError, NotSupportedError, OptionError, WriteError

#: A scheme and a single slash: what pathlib makes of a URL.
_SHORTENED_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")


def open_sink(where: Destination, *, is_shared: bool = False) -> Sink:
    """Return the sink for a destination; nothing is written. Several processes may write to one that is shared.

    Raises DestinationError or NotSupportedError if it cannot take a file, ExistsError if it may not be replaced,
    MissingExtraError if a client is not installed, and OptionError if ``http_headers`` do not apply to it. In a dry run
    no store is asked; the sink then has a name and traits, and cannot be used.
    """
    where = _with_own_filesystem(replace(where, dir_tmpfiles=_scratch(where.dir_tmpfiles)))
    if where.fs is None and _is_file_object(where.path):
        if where.http_headers is not None:
            raise OptionError("http_headers go with http:// and https:// alone, not with a file object")
        return _spooled(FileObject(where.path), replace(where, is_dry_run=False))  # no request checks it
    text = _text_of(where.path)
    address = parse_address(text)
    if where.http_headers is not None and (address is None or address.store != "http" or where.fs is not None):
        raise OptionError(f"http_headers go with http:// and https:// alone, without fs, not with {redact_url(text)!r}")
    if is_shared and _is_azure(address, where):
        blocks = azure_blocks(_azure_target(text, address, where))
        if where.is_dry_run or can_sign(blocks.target):
            return _parted(blocks, where)
    if where.fs is not None:
        return _by_fs(text, address, where)
    local = text if address is None else local_path_of(address)
    if local is not None:
        return _local(local, where)
    return _remote(address or Address(text, text, "", ""), where)


def _scratch(dir_tmpfiles: Any) -> Path | None:
    is_path = isinstance(dir_tmpfiles, (str, os.PathLike))
    if dir_tmpfiles is not None and not (is_path and Path(dir_tmpfiles).is_dir()):
        raise DestinationError(f"dir_tmpfiles={dir_tmpfiles!r} is not a folder; create it first")
    # Absolute: the current folder may change.
    return None if dir_tmpfiles is None else Path(dir_tmpfiles).absolute()


def _with_own_filesystem(where: Destination) -> Destination:
    """Return the destination with the filesystem of its path: of fsspec's OpenFile, or universal_pathlib's UPath."""
    own = getattr(where.path, "fs", None)
    if not is_filesystem(own):
        return where
    if getattr(where.path, "compression", None):
        raise DestinationError(
            f"{redact_url(str(where.path.path))!r} is to be compressed; a TIFF compresses its tiles: open it as it is"
        )
    if where.fs is None and not _is_file_object(where.path):
        return replace(where, path=str(where.path.path), fs=own)
    return where


def _is_file_object(path: Any) -> bool:
    return callable(getattr(path, "write", None)) and not isinstance(path, (str, bytes, os.PathLike))


def _text_of(path: Any) -> str:
    try:
        text = os.fspath(path)
    except TypeError as error:
        shown = repr(path) if path is None or isinstance(path, (int, float)) else f"a {type(path).__name__}"
        raise DestinationError(
            f"path_tiff_save={shown} is not a path; pass a str, an os.PathLike, or an object open for binary writing"
        ) from error
    text = os.fsdecode(text) if isinstance(text, bytes) else text
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise DestinationError(
            f"{redact_url(text)!r} is not UTF-8, which GDAL requires of names; rename the file or its folder"
        )
    if not text:
        raise DestinationError("path_tiff_save='' is empty; name a file, such as 'out.tif'")
    return text


def _local(text: str, where: Destination) -> Sink:
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
        dir_tmpfiles=where.dir_tmpfiles,
        makes_folders=isinstance(where.path, PathInNewFolder),
        is_raster=where.is_raster,
    )


# Without fs.


def _remote(address: Address, where: Destination) -> Sink:
    secrets = secrets_of_url(address.url)
    redactor = Redactor([*secrets_of_environment(), *secrets])
    if address.store == "http":
        from georeader._export.sinks.http_put import HttpPut  # urllib3 takes 50 ms
        from georeader._storage.http_client import explain

        headers = _headers(where.http_headers)
        errors = RemoteErrors(address.name, Redactor([*secrets, *headers.values()]), explain, client_retries=True)
        return _spooled(HttpPut(errors, address.url, headers, **where.conditions), where)
    if address.store == "s3":
        return _to_s3(_s3_object(address, redactor, where), where)
    if address.store in ("gs", "az") and find_spec("obstore") is not None:
        return _spooled(_store_target(address, where), where)
    if where.is_dry_run:
        check_protocol(address)
        return _spooled(FsspecPut(RemoteErrors(address.name, redactor), None, address.url), where)
    filesystem, path = filesystem_of(address)
    return _to_filesystem(filesystem, path, address.name, secrets, where)


def _headers(http_headers: Any) -> dict[str, str]:
    if http_headers is None:
        return {}
    if not isinstance(http_headers, Mapping):
        raise OptionError(f"http_headers is a {type(http_headers).__name__}; pass a mapping of names to values")
    for name, value in http_headers.items():
        if not isinstance(name, str) or not isinstance(value, str) or re.search(r"[\r\n]", name + value):
            raise OptionError(f"http_headers[{name!r}] is not a line of text; pass str for names and values")
    return dict(http_headers)


def _s3_object(address: Address, redactor: Redactor, where: Destination) -> S3Object:
    errors = RemoteErrors(address.name, redactor, client_retries=True)
    if where.is_dry_run:  # a client of botocore asks for credentials when it is made
        s3.check_installed(address.name)
        return S3Object(errors, _refuse, s3.endpoint_of_environment(), address.bucket, address.key)
    client = errors.call(lambda: s3.boto_client(address.name, SENDERS + 1), "no client can be made")
    request = partial(s3.request_by_boto, client)
    endpoint = str(client.meta.endpoint_url)
    return S3Object(errors, request, endpoint, address.bucket, address.key, **where.conditions)


# By fs, for any scheme of the path.


def _by_fs(text: str, address: Address | None, where: Destination) -> Sink:
    if is_obstore(where.fs):
        return _spooled(_obstore_target(text, address, where), where)
    name, secrets = redact_url(text), secrets_of_url(text)
    if not is_filesystem(where.fs):
        raise DestinationError(
            f"fs is a {type(where.fs).__name__}; pass a filesystem of fsspec (fsspec.filesystem('s3', ...)) or a store "
            "of obstore"
        )
    strip = getattr(where.fs, "_strip_protocol", None)
    path = str(strip(text) if callable(strip) else text)
    if not path or text.endswith("/") or path.endswith("/"):
        raise DestinationError(f"{name!r} is a folder; name a file in it, such as 'out.tif'")
    return _to_filesystem(where.fs, path, name, secrets, where)


def _to_filesystem(filesystem: Any, path: str, name: str, secrets: tuple[str, ...], where: Destination) -> Sink:
    from fsspec.implementations.local import LocalFileSystem

    if type(filesystem) is LocalFileSystem:
        return LocalSink(
            path,
            durable=where.durable,
            overwrite=where.overwrite,
            dir_tmpfiles=where.dir_tmpfiles,
            is_raster=where.is_raster,
        )
    errors = RemoteErrors(name, Redactor([*secrets, *secrets_of_filesystem(filesystem)]))
    if is_of(filesystem, "s3fs"):
        return _to_s3(_s3_object_by_s3fs(errors, filesystem, path, where), where)
    return _spooled(FsspecPut(errors, filesystem, path, **where.conditions), where)


def _s3_object_by_s3fs(errors: RemoteErrors, filesystem: Any, path: str, where: Destination) -> S3Object:
    bucket, _, key = path.partition("/")
    if not bucket or not key:
        raise DestinationError(f"{errors.name!r} names no object; such a path reads bucket/folder/out.tif")
    request, endpoint = partial(s3.request_by_s3fs, filesystem), s3.endpoint_of_s3fs(filesystem)
    return S3Object(errors, request, endpoint, bucket, key, **where.conditions)


def _to_s3(store: S3Object, where: Destination) -> Sink:
    if wants_even_parts(store.endpoint):
        return _spooled(EvenParts(store), where)
    return _parted(store, where)


def _parted(store: PartObject, where: Destination) -> Sink:
    return PartedSink(
        store, dir_tmpfiles=where.dir_tmpfiles, reopen=partial(part_object, where), checks=not where.is_dry_run
    )


def _spooled(target: Target, where: Destination) -> Sink:
    return SpooledSink(target, dir_tmpfiles=where.dir_tmpfiles, checks=not where.is_dry_run)


def _refuse(operation: str, **_: Any) -> Any:
    raise WriteError(f"a dry run makes no request, such as {operation}")


#: Filesystems of fsspec and stores of obstore that are in the memory of a process.
_OF_ONE_PROCESS = ("MemoryFileSystem", "MemoryStore")


def is_in_order(where: Destination) -> bool:
    """Return whether one process must send the whole file: neither is it a local file, nor does it take parts."""
    where = _with_own_filesystem(where)
    if where.fs is None and _is_file_object(where.path):
        return False
    address = parse_address(_text_of(where.path))
    if where.fs is not None:
        from fsspec.implementations.local import LocalFileSystem

        is_local = type(where.fs) is LocalFileSystem or type(where.fs).__name__ in _OF_ONE_PROCESS
        return not is_local and not is_of(where.fs, "s3fs") and not _is_azure(address, where)
    if address is None or local_path_of(address) is not None or address.scheme == "memory":
        return False
    return address.store != "s3" and not _is_azure(address, where)


def _obstore_target(text: str, address: Address | None, where: Destination) -> ObstorePut:
    key = key_in(where.fs, text, address)
    redactor = Redactor([*secrets_of_url(text), *secrets_of_filesystem(where.fs)])
    errors = RemoteErrors(redact_url(text), redactor, obstores.explain)
    return ObstorePut(errors, lambda _: where.fs, key, **where.conditions)


def _store_target(address: Address, where: Destination) -> ObstorePut:
    redactor = Redactor([*secrets_of_environment(), *secrets_of_url(address.url)])
    errors = RemoteErrors(address.name, redactor, obstores.explain)
    return ObstorePut(errors, partial(make_store, address), address.key, **where.conditions)


def _is_azure(address: Address | None, where: Destination) -> bool:
    """Return whether a destination is a blob that obstore writes."""
    if where.fs is not None:
        return is_obstore(where.fs) and type(where.fs).__name__ == "AzureStore"
    return address is not None and address.store == "az" and find_spec("obstore") is not None


def _azure_target(text: str, address: Address | None, where: Destination) -> ObstorePut:
    """Return the target of a blob, by ``fs`` or by the environment."""
    if where.fs is not None:
        return _obstore_target(text, address, where)
    return _store_target(address or Address(text, text, "", ""), where)


def part_object(where: Destination) -> PartObject:
    """Return the store of a destination that takes parts, as another process opens it; nothing is checked.

    Raises MissingExtraError if its client is not installed here, and DestinationError if it cannot be made.
    """
    where = _with_own_filesystem(where)
    text = _text_of(where.path)
    secrets = secrets_of_url(text)
    if where.fs is None:
        address = parse_address(text)
        if address is not None and address.store == "s3":
            return _s3_object(address, Redactor([*secrets_of_environment(), *secrets]), where)
        if address is not None and _is_azure(address, where):
            return azure_blocks(_azure_target(text, address, where))
    elif _is_azure(None, where):
        return azure_blocks(_azure_target(text, parse_address(text), where))
    elif is_of(where.fs, "s3fs"):
        errors = RemoteErrors(redact_url(text), Redactor([*secrets, *secrets_of_filesystem(where.fs)]))
        path = str(where.fs._strip_protocol(text))
        return _s3_object_by_s3fs(errors, where.fs, path, where)
    raise NotSupportedError(f"{redact_url(text)!r} does not take parts in any order")
