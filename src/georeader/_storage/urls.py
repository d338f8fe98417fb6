"""Destinations as callers pass them, and the parsing of paths and URLs: local, or with store, bucket and key. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from georeader._storage.redaction import redact_url
from georeader.errors import DestinationError

#: Stores by the schemes of their URLs.
STORES = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az",
    "oss": "oss", "http": "http", "https": "http",
}  # fmt: skip

#: Media type of a file, for stores that keep one.
CONTENT_TYPE = "image/tiff"

_URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)$", re.DOTALL)

#: Account and suffix in an Azure host, such as "me.blob.core.windows.net".
_AZURE_HOST = re.compile(r"^(?P<account>[^.]+)\.(?:blob|dfs)\.(?P<suffix>.+)$")

#: RFC 3490 and RFC 5890 do not agree on these, and a file must not go to another's host.
_NAMES_TWO_HOSTS = frozenset("ßς\u200c\u200d")


@dataclass(frozen=True)
class PathInNewFolder:
    """A path whose missing folders are made, but only when the file in them is whole; URLs have no folders."""

    path: str

    def __fspath__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Destination:
    """The arguments of a save that say where the file goes, as the caller passed them."""

    path: Any = field(repr=False)  #: A path, a URL, or a file object.
    fs: Any = field(default=None, repr=False)  #: A filesystem of fsspec, or a store of obstore.
    dir_tmpfiles: Any = None
    durable: bool = False  #: Flush a local file to the disk.
    overwrite: bool = True
    http_headers: Any = field(default=None, repr=False)
    if_match: str | None = None  #: ETag of the object that is replaced, where only that one may be.
    is_dry_run: bool = False  #: No store and no server is asked, and no client of one is made.
    is_edit: bool = False  #: It is the same raster as before: files beside it that are named by its stem stay.
    is_raster: bool = True  #: Files beside it that GDAL would read as part of it are those of an earlier one.
    content_type: str = CONTENT_TYPE  #: For stores that keep one.

    @property
    def conditions(self) -> dict[str, Any]:
        """Arguments of `RemoteObject` about the object, and one that is there."""
        names = ("overwrite", "if_match", "is_edit", "is_raster", "content_type")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Address:
    """The place of an object."""

    url: str  #: As given, but for the host's name in ASCII; it may hold secrets, and its repr leaves it out.
    name: str  #: The URL without its secrets.
    store: str  #: "s3", "gs", "az", "oss", "http", or "" for any other.
    scheme: str  #: In lower case.
    bucket: str = ""  #: Bucket or container; "" for http and others.
    key: str = ""
    account: str | None = None  #: Azure's storage account, where the URL names it.

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


def parse_address(text: str) -> Address | None:
    """Parse a path, a URL, or a chain of URLs as fsspec takes it ("simplecache::s3://..."); None for a local path.

    Keys are taken to the letter: "?", "#" and "%" are part of them, but for http(s). A missing bucket or key, and an
    invalid host, are a DestinationError.
    """
    match = _URL.match(text)
    if match is None:
        return Address(text, redact_url(text), "", "") if "::" in text and "://" in text else None
    scheme, rest = match["scheme"].lower(), match["rest"]
    store = STORES.get(scheme, "")
    name = redact_url(text)
    if store in ("", "http"):
        if store and not rest.partition("/")[0]:
            raise DestinationError(f"{name!r} names no host; such a URL reads {scheme}://host/folder/out.tif")
        url = _with_ascii_host(text, name) if store else text
        if store and not _has_host_and_port(url):
            raise DestinationError(f"{name!r} is not a valid URL; check its host and port")
        return Address(url, name, store, scheme)
    bucket, _, key = rest.partition("/")
    account = None
    if store == "az" and "@" in bucket:
        bucket, _, host = bucket.partition("@")
        found = _AZURE_HOST.match(host)
        account = found["account"] if found else host
    if not bucket or not key or key.endswith("/"):
        kind = "container" if store == "az" else "bucket"
        raise DestinationError(f"{name!r} names no object; such a URL reads {scheme}://{kind}/folder/out.tif")
    return Address(text, name, store, scheme, bucket, key, account)


def _has_host_and_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # which refuses names that are too long
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _with_ascii_host(url: str, name: str) -> str:
    """Return a URL with its host's name in ASCII (RFC 3490)."""
    scheme, _, rest = url.partition("://")
    place, *path = re.split(r"(?=[/?#])", rest, maxsplit=1)
    user, at, place = place.rpartition("@")
    host, colon, port = place.partition(":")
    if host.isascii():
        return url
    refused = f"{name!r}: {host!r} cannot be encoded as a host name; write it as xn--...: "
    if set(host) & _NAMES_TWO_HOSTS:
        raise DestinationError(refused + "it has letters that make another host by another standard")
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError as error:
        raise DestinationError(f"{refused}{error}") from error
    return f"{scheme}://{user}{at}{ascii_host}{colon}{port}{''.join(path)}"


def local_path_of(address: Address) -> str | None:
    """Return the path of a file:// URL; None for any other."""
    if address.scheme not in ("file", "local"):
        return None
    rest = address.url.split("://", 1)[1]
    path = rest[len("localhost") :] if rest.startswith("localhost/") else rest
    return unquote(path) if address.scheme == "file" else path
