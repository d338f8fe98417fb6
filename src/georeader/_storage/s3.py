"""S3 by botocore: its clients, built as AWS's own tools build them, and their errors."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from georeader._core.reporting import import_extra, linked_errors
from georeader._storage import retry
from georeader._storage.range_file import RangedObject
from georeader._storage.redaction import Redactor, secrets_of_environment, secrets_of_url
from georeader._storage.remote_errors import Failure, RemoteErrors, failure_of_answer, failure_of_network
from georeader._storage.retry import PASSING
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

#: Classes of botocore's errors for missing credentials.
_NO_CREDENTIALS = (
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError",
)  # fmt: skip
_PASSING = ("ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "ResponseStreamingError",
            "IncompleteReadError", "HTTPClientError", "ConnectionError")  # fmt: skip


class Caller(Protocol):
    """A client that makes requests by the names of S3's operations; it may retry them.

    Attributes:
        endpoint: Where they go; "" for Amazon's own.
    """

    endpoint: str

    def call(self, operation: str, **arguments: Any) -> Any:
        """Make a request, such as "put_object"."""
        ...


class BotoCaller:
    """Requests by a client of botocore, or boto3."""

    def __init__(self, client: Any) -> None:
        """Keep the client."""
        self._client = client
        self.endpoint = str(client.meta.endpoint_url)

    def call(self, operation: str, **arguments: Any) -> Any:
        """Make a request."""
        return getattr(self._client, operation)(**arguments)


class S3fsCaller:
    """Requests by a filesystem of s3fs, with its own settings."""

    def __init__(self, filesystem: Any) -> None:
        """Keep an s3fs.S3FileSystem."""
        self._filesystem = filesystem
        named = getattr(filesystem, "endpoint_url", None) or (filesystem.client_kwargs or {}).get("endpoint_url")
        self.endpoint = str(named or "")

    def call(self, operation: str, **arguments: Any) -> Any:
        """Make a request."""
        # s3fs drops the parameter where an operation does not have it.
        payer = {"RequestPayer": PAYER} if pays_requests() else {}
        return self._filesystem.call_s3(operation, payer, **arguments)


def is_unsigned(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether AWS_NO_SIGN_REQUEST asks for requests without a signature; values are read as GDAL does.

    Example:
        >>> is_unsigned({"AWS_NO_SIGN_REQUEST": "YES"}), is_unsigned({"AWS_NO_SIGN_REQUEST": "no"}), is_unsigned({})
        (True, False, False)
    """
    return _is_true(environment.get("AWS_NO_SIGN_REQUEST", ""))


def pays_requests(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether AWS_REQUEST_PAYER says that the requester pays, as for GDAL: "requester", or any true value.

    Example:
        >>> pays_requests({"AWS_REQUEST_PAYER": "requester"}), pays_requests({"AWS_REQUEST_PAYER": "false"})
        (True, False)
    """
    return _is_true(environment.get("AWS_REQUEST_PAYER", ""))


def _is_true(text: str) -> bool:
    return text.strip().lower() not in ("", "no", "false", "off", "0")


def _add_payer(request: Any, **_: Any) -> None:
    request.headers[PAYER_HEADER] = PAYER


def boto_client(name: str, connections: int, *, retries: bool = True) -> Any:
    """Build a client from the environment, profiles and endpoints, as the AWS CLI does.

    Args:
        name: Of the object, in messages.
        connections: Requests that may be under way at once.
        retries: Retry requests by the rule of `retry`. False where the caller does, since botocore does not retry what
            fails while an answer's body is read.

    Raises:
        MissingExtraError: botocore is not installed.
        Exception: What botocore raises on a profile that is not there.
    """
    sessions = import_extra("botocore.session", extra="cloud", purpose=repr(name))
    botocore = import_extra("botocore", extra="cloud", purpose=repr(name))
    signature = {"signature_version": botocore.UNSIGNED} if is_unsigned() else {}
    config = import_extra("botocore.config", extra="cloud", purpose=repr(name)).Config(
        # None of its own: `_seconds_to_retry` decides. The legacy mode would raise at once.
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        **signature,
    )
    session = sessions.Session()
    session.register_component("data_loader", _data_loader())
    region = session.get_config_variable("region") or os.environ.get("AWS_REGION") or REGION_DEFAULT
    client = session.create_client("s3", region_name=region, config=config)
    if retries:
        client.meta.events.register("needs-retry.s3", _seconds_to_retry)
    if pays_requests():
        client.meta.events.register("before-sign.s3", _add_payer)
    return client


def _seconds_to_retry(
    response: tuple[Any, dict[str, Any]] | None,
    attempts: int,
    caught_exception: Exception | None,
    operation: Any = None,
    **_: Any,
) -> float | None:
    """Return botocore's wait before the next attempt, or None for no further attempt: by the rule of `retry`.

    botocore's own modes ignore Retry-After, and count attempts and waits in other ways.
    """
    if caught_exception is not None:
        failure = explain(caught_exception)
    elif response is not None and "Error" in response[1]:
        failure = _failure_of_response(response[1])
    else:
        return None
    most = ABORT_ATTEMPTS if getattr(operation, "name", "") == "AbortMultipartUpload" else retry.ATTEMPTS
    if attempts >= most or not failure.verdict.is_transient:
        return None
    return retry.wait_seconds(attempts, failure.verdict, random.random())  # noqa: S311  (no secret)


def open_ranges(address: Address) -> RangedObject:
    """Open an object to be read in ranges.

    Args:
        address: In "s3".

    Raises:
        MissingExtraError: botocore is not installed.
        ReadError: There is no such object, or it cannot be read.
    """
    client, errors = _reading(address)
    place = {"Bucket": address.bucket, "Key": address.key}

    def fetch(start: int, stop: int) -> bytes:
        def run() -> bytes:
            body: bytes = client.get_object(**place, Range=f"bytes={start}-{stop - 1}")["Body"].read()
            return body

        return errors.read(run)

    return RangedObject(int(errors.read(lambda: client.head_object(**place))["ContentLength"]), fetch)


def exists(address: Address) -> bool:
    """Return whether an object exists; arguments and errors are those of `open_ranges`."""
    client, errors = _reading(address)

    def run() -> bool:
        try:
            client.head_object(Bucket=address.bucket, Key=address.key)
        except Exception as error:
            if status_of(error) == 404:
                return False
            raise
        return True

    return errors.read(run)


def keys_below(address: Address, prefix: str) -> list[str]:
    """Return the keys of a bucket that begin with a prefix; errors are those of `open_ranges`."""
    client, errors = _reading(address)
    pages = client.get_paginator("list_objects_v2")

    def run() -> list[str]:
        found = pages.paginate(Bucket=address.bucket, Prefix=prefix)
        return [one["Key"] for page in found for one in page.get("Contents", ())]

    return errors.read(run)


def _reading(address: Address) -> tuple[Any, RemoteErrors]:
    """Return a client, and the errors of an object that it reads."""
    redactor = Redactor([*secrets_of_environment(), *secrets_of_url(address.url)])
    errors = RemoteErrors(address.name, redactor, explain)
    return errors.read(lambda: boto_client(address.name, READERS, retries=False)), errors


@cache
def _data_loader() -> Any:
    """Return botocore's descriptions of services, which take longer to read than a small file takes to be written."""
    return import_extra("botocore.loaders", extra="cloud", purpose="writing to s3://").create_loader()


def explain(error: Exception) -> Failure:
    """Return what an error of botocore, or of s3fs, means."""
    for step in linked_errors(error):
        name = type(step).__name__
        response = getattr(step, "response", None)
        if isinstance(response, dict):
            return _failure_of_response(response)
        if name in _NO_CREDENTIALS:
            return Failure(str(step), "none")
        if name == "SSLError":
            return Failure(str(step), "certificate")
        if name in ("EndpointConnectionError", "ProxyConnectionError"):
            return Failure(str(step), "unreachable", PASSING)
        if name in _PASSING:
            return Failure(str(step), None, PASSING)
        if name == "ParamValidationError":
            return Failure(str(step), "name")
        found = failure_of_network(step)
        if found is not None:
            return found
    return Failure(str(error) or type(error).__name__)


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error of botocore or s3fs; 0 where it has none."""
    found = (getattr(step, "response", None) for step in linked_errors(error))
    response = next((one for one in found if isinstance(one, dict)), {})
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: Exception) -> str:
    """Return S3's code of an error; "" where it has none."""
    found = (getattr(step, "response", None) for step in linked_errors(error))
    response = next((one for one in found if isinstance(one, dict)), {})
    return str(response.get("Error", {}).get("Code", ""))


def _failure_of_response(response: dict[str, Any]) -> Failure:
    said = response.get("Error", {})
    meta = response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    headers = meta.get("HTTPHeaders", {})
    detail = f"{status} {code}: {message}" if message else f"{status} {code}"
    failure = failure_of_answer(status, code, detail, headers.get("retry-after"))
    if failure.kind == "static":  # that advice is for web pages
        return Failure(detail, None, failure.verdict)
    return failure
