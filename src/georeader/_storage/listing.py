"""Objects of a store, or files of a filesystem, that match a pattern."""

from __future__ import annotations

import re
from importlib.util import find_spec

from georeader._storage import obstores, s3
from georeader._storage.filesystems import explain, filesystem_of
from georeader._storage.redaction import Redactor, secrets_of_environment, secrets_of_url
from georeader._storage.remote_errors import RemoteErrors
from georeader._storage.urls import Address
from georeader.errors import ReadError

_MAGIC = re.compile(r"[*?[]")


def has_magic(text: str) -> bool:
    """Return whether a name is a pattern: names have no "*", "?" and "[".

    Example:
        >>> has_magic("in/*.tif"), has_magic("in/a.tif")
        (True, False)
    """
    return _MAGIC.search(text) is not None


def urls_like(address: Address) -> list[str]:
    """Return the URLs that match a pattern, sorted: "*" stands for anything within a folder, a folder "**" for any.

    Args:
        address: Whose key, or path, is the pattern.

    Raises:
        ReadError: The store cannot be listed, as web servers cannot.
        MissingExtraError: No client of the store is installed.
    """
    if address.store == "http":
        raise ReadError(f"{address.name!r}: a web server does not list its files; name each file")
    redactor = Redactor([*secrets_of_environment(), *secrets_of_url(address.url)])
    if address.store == "s3" or (address.store in ("gs", "az") and find_spec("obstore") is not None):
        from fsspec.utils import glob_translate

        folder = _MAGIC.split(address.key, maxsplit=1)[0].rpartition("/")[0]
        keys = (
            s3.keys_below(address, folder and f"{folder}/")
            if address.store == "s3"
            else RemoteErrors(address.name, redactor, obstores.explain).read(lambda: _in_obstore(address, folder))
        )
        is_like = re.compile(glob_translate(address.key)).match
        return sorted(_url_of(address, key) for key in keys if is_like(key))
    filesystem, pattern = filesystem_of(address)
    errors = RemoteErrors(address.name, redactor, explain)
    found = errors.read(lambda: [str(name) for name in filesystem.glob(pattern)])
    if address.bucket:
        return sorted(_url_of(address, name.partition("/")[2]) for name in found)
    return sorted(map(filesystem.unstrip_protocol, found))


def _in_obstore(address: Address, folder: str) -> list[str]:
    import obstore

    pages = obstore.list(obstores.make_store(address), prefix=folder or None)
    return [found["path"] for page in pages for found in page]


def _url_of(address: Address, key: str) -> str:
    return address.url[: len(address.url) - len(address.key)] + key
