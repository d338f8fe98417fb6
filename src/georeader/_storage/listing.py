"""Objects of a store, or files of a filesystem, that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from georeader._core.optional_imports import import_extra
from georeader._storage.filesystems import explain as explain_filesystem
from georeader._storage.filesystems import filesystem_of
from georeader._storage.log_redaction import redacted_logs
from georeader._storage.obstores import explain, make_store
from georeader._storage.redaction import Redactor, secrets_of_url
from georeader._storage.remote_errors import RemoteErrors
from georeader._storage.retry import retrying
from georeader._storage.urls import Address
from georeader.errors import ReadError

_MAGIC = re.compile(r"[*?[]")


def has_magic(text: str) -> bool:
    """Tell whether a name is a pattern: "*", "?" and "[" are no part of one.

    Example:
        >>> has_magic("in/*.tif"), has_magic("in/a.tif")
        (True, False)
    """
    return _MAGIC.search(text) is not None


def urls_like(address: Address) -> list[str]:
    """Give the URLs that a pattern names, sorted: "*" stands for anything within a folder, a folder "**" for any.

    Args:
        address: Whose key, or path, is the pattern.

    Raises:
        ReadError: The store can't be asked; or it is a web server, which tells nobody what it has.
        MissingExtraError: Nothing that is installed knows the store.
    """
    if address.store == "http":
        raise ReadError(f"{address.name!r}: a web server does not tell what it has; name each file")
    if address.store in ("s3", "gs", "az"):
        return _in_store(address)
    filesystem, pattern = filesystem_of(address)
    failures = RemoteErrors(address.name, Redactor(secrets_of_url(address.url)), explain_filesystem)
    found = _listed(lambda: list(filesystem.glob(pattern)), failures)
    return sorted(filesystem.unstrip_protocol(str(name)) for name in found)


def _in_store(address: Address) -> list[str]:
    obstore: Any = import_extra("obstore", extra="cloud", purpose=f"listing {address.name!r}")
    from fsspec.utils import glob_translate

    failures = RemoteErrors(address.name, Redactor(secrets_of_url(address.url)), explain)
    folder = _MAGIC.split(address.key, maxsplit=1)[0].rpartition("/")[0]

    def keys() -> list[str]:
        store = make_store(address)
        return [found["path"] for page in obstore.list(store, prefix=folder or None) for found in page]

    is_like = re.compile(glob_translate(address.key)).match
    start = address.url[: len(address.url) - len(address.key)]
    return sorted(start + key for key in _listed(keys, failures) if is_like(key))


def _listed(run: Callable[[], list[str]], failures: RemoteErrors) -> list[str]:
    try:
        with redacted_logs(failures.redactor):
            return retrying(run, lambda error: failures.explain(error).verdict)
    except Exception as error:  # noqa: BLE001  (clients raise anything; it is raised again below)
        caught = error
    # Out here, so that the error has no context in which secrets could stand.
    raise failures.read_error_of(caught) from failures.redactor.cause(caught)
