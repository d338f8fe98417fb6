"""S3 by botocore: its clients, built as AWS's own tools build them, and their errors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from georeader._core.reporting import import_extra, linked_errors
from georeader._storage import remote_errors
from georeader._storage.range_file import RangedObject
from georeader._storage.redaction import Redactor, secrets_of_environment, secrets_of_url
from georeader._storage.remote_errors import RemoteErrors
from georeader._storage.urls import Address

#: How long to wait for a connection, and for an answer that does not come.
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0

#: An upload is aborted so often, at most: the caller may be waiting.
ABORT_ATTEMPTS = 3

#: Connections for reading.
READERS = 4

#: Where neither the environment nor a profile names a region.
REGION_DEFAULT = "us-east-1"

#: The value that S3 expects where the requester pays, and its header.
PAYER, PAYER_HEADER = "requester", "x-amz-request-payer"


@dataclass(frozen=True)
class ObjectPlace:
    """The place of an object, to which its store can be referred."""

    endpoint: str  #: "" for Amazon's own.
    bucket: str
    key: str


# Clients.


def request_by_boto(client: Any, operation: str, **arguments: Any) -> Any:
    """Make a request, such as "put_object", by a client of botocore or boto3; it may retry it."""
    return getattr(client, operation)(**arguments)


def request_by_s3fs(filesystem: Any, operation: str, **arguments: Any) -> Any:
    """Make a request by a filesystem of s3fs, with its own settings; it may retry it.

    s3fs drops the parameter for the payer where an operation does not have it.
    """
    return filesystem.call_s3(operation, {"RequestPayer": PAYER} if pays_requests() else {}, **arguments)


def endpoint_of_s3fs(filesystem: Any) -> str:
    """Return the endpoint of a filesystem of s3fs; "" for Amazon's own."""
    named = getattr(filesystem, "endpoint_url", None)
    return str(named or (filesystem.client_kwargs or {}).get("endpoint_url") or "")


def endpoint_of_environment(environment: Mapping[str, str] = os.environ) -> str:
    """Return the endpoint that environment variables name; "" for Amazon's own, or that of a profile."""
    return environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""


def check_installed(name: str) -> None:
    """Raise MissingExtraError unless botocore is installed; no client is made."""
    import_extra("botocore", extra="cloud", purpose=repr(name))


def is_unsigned() -> bool:
    """Return whether AWS_NO_SIGN_REQUEST asks for requests without a signature; values are read as GDAL does."""
    return _is_true(os.environ.get("AWS_NO_SIGN_REQUEST", ""))


def pays_requests(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether AWS_REQUEST_PAYER says that the requester pays, as for GDAL: "requester", or any true value."""
    return _is_true(environment.get("AWS_REQUEST_PAYER", ""))


def _is_true(text: str) -> bool:
    return text.strip().lower() not in ("", "no", "false", "off", "0")


def boto_client(name: str, connections: int, *, retries: bool = True) -> Any:
    """Build a client from the environment, profiles and endpoints, as the AWS CLI does, for so many connections.

    It retries requests by the project's rule, unless the caller does, since botocore does not retry what fails while an
    answer's body is read.
    """
    botocore, sessions, configs, loaders = (
        import_extra(module, extra="cloud", purpose=repr(name))
        for module in ("botocore", "botocore.session", "botocore.config", "botocore.loaders")
    )
    signature = {"signature_version": botocore.UNSIGNED} if is_unsigned() else {}
    config = configs.Config(
        # None of its own: `_seconds_to_retry` decides. The legacy mode would raise at once.
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        **signature,
    )
    session = sessions.Session()
    session.register_component("data_loader", _cached_loader(loaders))
    region = session.get_config_variable("region") or os.environ.get("AWS_REGION") or REGION_DEFAULT
    client = session.create_client("s3", region_name=region, config=config)
    if retries:
        client.meta.events.register("needs-retry.s3", _seconds_to_retry)
    if pays_requests():
        client.meta.events.register("before-sign.s3", _add_payer)
    return client


@cache
def _cached_loader(loaders: Any) -> Any:
    """Return botocore's descriptions of services, which take longer to read than a small file takes to be written."""
    return loaders.create_loader()


def _add_payer(request: Any, **_: Any) -> None:
    request.headers[PAYER_HEADER] = PAYER


def _seconds_to_retry(
    response: tuple[Any, dict[str, Any]] | None,
    attempts: int,
    caught_exception: Exception | None,
    operation: Any = None,
    **_: Any,
) -> float | None:
    """Return botocore's wait before the next attempt, or None for no further attempt: by the project's rule.

    botocore's own modes ignore Retry-After, and count attempts and waits in other ways.
    """
    if caught_exception is not None:
        failure = remote_errors.explain(caught_exception)
    elif response is not None and "Error" in response[1]:
        failure = remote_errors.failure_of_response(response[1])
    else:
        return None
    most = ABORT_ATTEMPTS if getattr(operation, "name", "") == "AbortMultipartUpload" else remote_errors.ATTEMPTS
    if attempts >= most or not failure.is_transient:
        return None
    return remote_errors.wait_seconds(attempts, failure.after_seconds)


# Reading.


def open_ranges(address: Address) -> RangedObject:
    """Open an object in "s3" to be read in ranges; raises ReadError."""
    client, errors = _reading(address)
    place = {"Bucket": address.bucket, "Key": address.key}

    def fetch(start: int, stop: int) -> bytes:
        byte_range = f"bytes={start}-{stop - 1}"
        body: bytes = errors.read(lambda: client.get_object(**place, Range=byte_range)["Body"].read())
        return body

    def version() -> str | None:
        etag: str | None = errors.read(lambda: client.head_object(**place)).get("ETag")
        return etag

    size_bytes = int(errors.read(lambda: client.head_object(**place))["ContentLength"])
    own_place = ObjectPlace(str(client.meta.endpoint_url), address.bucket, address.key)
    return RangedObject(size_bytes, fetch, version, own_place)


def size_of(address: Address) -> int | None:
    """Return the size of an object in bytes, None if it does not exist; raises ReadError."""
    client, errors = _reading(address)

    def run() -> int | None:
        try:
            return int(client.head_object(Bucket=address.bucket, Key=address.key)["ContentLength"])
        except Exception as error:
            if status_of(error) == 404:
                return None
            raise

    return errors.read(run)


def keys_below(address: Address, prefix: str) -> list[str]:
    """Return the keys of an address's bucket that begin with a prefix; raises ReadError."""
    client, errors = _reading(address)
    pages = client.get_paginator("list_objects_v2")

    def run() -> list[str]:
        found = pages.paginate(Bucket=address.bucket, Prefix=prefix)
        return [one["Key"] for page in found for one in page.get("Contents", ())]

    return errors.read(run)


def _reading(address: Address) -> tuple[Any, RemoteErrors]:
    """Return a client, and the errors of an object that it reads."""
    redactor = Redactor([*secrets_of_environment(), *secrets_of_url(address.url)])
    errors = RemoteErrors(address.name, redactor)
    return errors.read(lambda: boto_client(address.name, READERS, retries=False)), errors


# Errors.


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error of botocore or s3fs; 0 where it has none."""
    return int(_response_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: Exception) -> str:
    """Return S3's code of an error; "" where it has none."""
    return str(_response_of(error).get("Error", {}).get("Code", ""))


def _response_of(error: Exception) -> dict[str, Any]:
    found = (getattr(step, "response", None) for step in linked_errors(error))
    return next((one for one in found if isinstance(one, dict)), {})
