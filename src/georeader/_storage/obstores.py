"""Stores of obstore: built from the environment as each cloud's tools read it, and their errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from georeader._core.reporting import import_extra
from georeader._storage import remote_errors
from georeader._storage.redaction import redact_url
from georeader._storage.remote_errors import (
    Failure,
    code_and_message,
    failure_of_answer,
    failure_of_network,
)
from georeader._storage.urls import Address
from georeader.errors import DestinationError

#: How long to wait for a connection.
CONNECT_SECONDS = 10

#: A request, its body included, may take so long, and beside it a second for so many bytes.
REQUEST_SECONDS = 60
BYTES_PER_SECOND = 100_000

#: No upload is tried for longer: credentials are not renewed in between.
RETRY_SECONDS = 180

_STATUS = re.compile(r"status(?: code)?:? (\d{3})")
_TRIED_AGAIN = re.compile(r"after [1-9]\d* retries, max_retries")

#: Signs of errors of the connection; "kind: ConnectionReset" is not "kind: Connect".
_UNREACHABLE = re.compile(r"kind: Connect\b")
_INTERRUPTED = re.compile("kind: Timeout|kind: Request|kind: Interrupted|error sending request")

#: Azure's settings, as obstore calls them, and the variables in which its tools look for them.
_AZURE_VARIABLES = {
    "account_name": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"),
    "account_key": ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCESS_KEY"),
    "sas_key": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
    "endpoint": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_AZURE_PAIRS = {
    "accountname": "account_name", "accountkey": "account_key", "sharedaccesssignature": "sas_key",
    "blobendpoint": "endpoint",
}  # fmt: skip


def is_obstore(store: Any) -> bool:
    """Return whether something is a store of obstore, without importing obstore."""
    return any(
        kind.__module__.partition(".")[0] == "obstore" and kind.__name__.endswith("Store")
        for kind in type(store).__mro__
    ) and not hasattr(store, "put_file")


def make_store(address: Address, size_bytes: int = 0) -> Any:
    """Build the store of an address in "gs" or "az"; the timeout grows with the largest body of one request."""
    stores = import_extra("obstore.store", extra="cloud", purpose=f"{address.scheme}://")
    is_azure = address.store == "az"
    make = stores.AzureStore if is_azure else stores.GCSStore
    settings = azure_config(address.account) if is_azure else {}
    seconds = REQUEST_SECONDS + size_bytes // BYTES_PER_SECOND
    return make(
        address.bucket,
        config=settings,
        client_options={
            "allow_http": _is_plain_http(settings),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=seconds),
        },
        retry_config=_retries(seconds),
    )


def _retries(seconds: float) -> dict[str, Any]:
    return {
        "max_retries": remote_errors.ATTEMPTS - 1,
        "retry_timeout": timedelta(seconds=max(RETRY_SECONDS, seconds)),
        "backoff": {
            "init_backoff": timedelta(seconds=remote_errors.FIRST_WAIT_SECONDS),
            "max_backoff": timedelta(seconds=remote_errors.LONGEST_WAIT_SECONDS),
            "base": 2,
        },
    }


def key_in(store: Any, text: str, address: Address | None) -> str:
    """Return the key of a path, which may be a URL, in a store that the caller passed.

    A store is bound to its bucket: another bucket is a DestinationError, as is a path that names no object.
    """
    key = text.lstrip("/")
    if address is not None:
        key = address.key or address.url.split("://", 1)[-1]
        if address.store == "http":
            key = address.url.split("://", 1)[1].partition("/")[2]
    config = getattr(store, "config", None) or {}
    bucket = config.get("bucket") or config.get("container_name")
    if address is not None and address.bucket and bucket and bucket != address.bucket:
        raise DestinationError(
            f"{redact_url(text)!r} names the bucket {address.bucket!r}, but fs is a store of {bucket!r}; pass that "
            "one's, or the key alone"
        )
    if not key or key.endswith("/"):
        raise DestinationError(f"{redact_url(text)!r} names no object; name one, such as 'folder/out.tif'")
    return key


def keys_below(address: Address, folder: str) -> list[str]:
    """Return the keys in a folder of an address's bucket, and in all folders in it."""
    import obstore

    return [found["path"] for page in obstore.list(make_store(address), prefix=folder or None) for found in page]


def azure_config(account: str | None, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return Azure's settings, from a connection string, single variables, and the account in a URL."""
    text = environment.get("AZURE_STORAGE_CONNECTION_STRING", "")
    pairs = {name.strip().lower(): value for name, _, value in (part.partition("=") for part in text.split(";"))}
    found = {setting: pairs[name] for name, setting in _AZURE_PAIRS.items() if name in pairs}
    for setting, names in _AZURE_VARIABLES.items():
        value = next((environment[name] for name in names if environment.get(name)), None)
        if value is not None:
            found[setting] = value
    return found if account is None else found | {"account_name": account}


def _is_plain_http(settings: Mapping[str, Any]) -> bool:
    """Return whether the environment's endpoint is plain http, which obstore has to be allowed."""
    endpoints = (settings.get("endpoint"), os.environ.get("GOOGLE_BASE_URL"))
    switches = ("AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP", "AZURE_STORAGE_USE_EMULATOR")
    is_plain = any(str(endpoint or "").lower().startswith("http://") for endpoint in endpoints)
    return is_plain or any(os.environ.get(name, "").lower() == "true" for name in switches)


def explain(error: Exception) -> Failure:
    """Return what an error of obstore means; it has a text, but no fields.

    A request that obstore has retried is not retried again. obstore does not retry conditional requests, and those that
    begin an upload.
    """
    failure = _explain(error)
    return replace(failure, is_transient=False) if _TRIED_AGAIN.search(str(error)) else failure


def _explain(error: Exception) -> Failure:
    text = str(error).partition("\n\nDebug source:")[0]
    kind = type(error).__name__
    if kind in ("AlreadyExistsError", "PreconditionError"):
        return Failure(text, "exists")
    if isinstance(error, ValueError) or kind == "InvalidPathError":
        return Failure(text, "name")
    if re.search(r"Account must be specified|Invalid Access Key|169\.254\.169\.254|metadata\.google\.internal", text):
        return Failure(text, "none")
    status = _STATUS.search(text)
    if status is None:
        return _without_answer(error, text)
    code, message = code_and_message(text)
    detail = f"{status[1]} {code}: {message}" if message else text.partition("\n")[0]
    return failure_of_answer(int(status[1]), code, detail, text=text, is_store=True)


def _without_answer(error: Exception, text: str) -> Failure:
    if _UNREACHABLE.search(str(error)):
        return Failure(text, "unreachable", is_transient=True)
    if _INTERRUPTED.search(str(error)):
        return Failure(text, is_transient=True)
    if isinstance(error, FileNotFoundError):
        return Failure(text, "missing")
    if isinstance(error, PermissionError) or type(error).__name__ == "PermissionDeniedError":
        return Failure(text, "denied")
    return failure_of_network(error) or Failure(text)
