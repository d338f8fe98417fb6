"""Errors of stores and networks: their meaning, retries of transient ones, and the project's errors for all others.

References:
    AWS Architecture Blog, "Exponential Backoff And Jitter"; RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import errno
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from georeader._core.reporting import linked_errors
from georeader._storage.redaction import Redactor, redacted_logs
from georeader.errors import DestinationError, ExistsError, GeoreaderError, ReadError, WriteError

Result = TypeVar("Result")

#: Attempts of a request, at most.
ATTEMPTS = 6

#: Longest wait before the second attempt; it doubles with each.
FIRST_WAIT_SECONDS = 0.2

#: Longest wait before any attempt, also where a store says Retry-After.
LONGEST_WAIT_SECONDS = 20.0

#: Transient statuses; every other 4xx and 5xx is final.
TRANSIENT_STATUS = frozenset({429, 500, 502, 503, 504})

#: Meaning of a refusal, and what to do.
ADVICE = {
    "bucket": "the bucket (container) does not exist; create it first, or check its name and the endpoint",
    "missing": "there is no such object; check bucket, key and endpoint",
    "denied": "access is denied; these credentials may not do that there: check its policy, or pass others by fs",
    "credentials": "the store does not accept the credentials; check keys, tokens and account, or pass others by fs",
    "none": (
        "no usable credentials are found; set the environment variables of the cloud (AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_CONNECTION_STRING), or pass a filesystem "
        "by fs"
    ),
    "expired": "the credentials, or the signed URL, have expired; get new ones",
    "clock": "the store finds this machine's clock to be wrong; set it",
    "unreachable": "there is no way to the store; check the endpoint, its port, the network and the proxy",
    "certificate": "the server's certificate is not trusted; check the URL, or the certificates of this machine",
    "exists": "exists already, and overwrite=False; name another destination, or remove it",
    "static": (
        "the server takes no uploads at this URL (a static web page, perhaps); pass a presigned URL, a WebDAV "
        "URL, or the store's own (s3://bucket/key, gs://bucket/key, az://container/key)"
    ),
    "large": "the destination does not take a file of this size",
    "full": "the destination has no room left",
    "name": "the store does not take this name; check bucket and key",
    "folder": "the server has no such folder; create it first, or check the URL",
    "redirect": "the server sends elsewhere; pass the URL that it names, if you trust it",
}


@dataclass(frozen=True)
class Failure:
    """The meaning of an error."""

    detail: str  #: Text of the store; it may hold secrets.
    kind: str | None = None  #: One of `ADVICE`.
    is_transient: bool = False  #: Another attempt may succeed.
    after_seconds: float = 0.0  #: Shortest wait before it, as the store demands.


#: Error codes of S3, GCS and Azure, in lower case.
_CODES = {
    "nosuchbucket": "bucket", "containernotfound": "bucket", "nosuchkey": "missing", "blobnotfound": "missing",
    "accessdenied": "denied", "allaccessdisabled": "denied", "authorizationpermissionmismatch": "denied",
    "authorizationfailure": "denied", "insufficientaccountpermissions": "denied",
    "authorizationprotocolmismatch": "denied", "authorizationsourceipmismatch": "denied",
    "invalidaccesskeyid": "credentials", "signaturedoesnotmatch": "credentials", "invalidtoken": "credentials",
    "authenticationfailed": "credentials", "invalidsecurity": "credentials", "noauthenticationinformation": "none",
    "expiredtoken": "expired", "requestexpired": "expired", "expiredtokenexception": "expired",
    "requesttimetooskewed": "clock", "entitytoolarge": "large", "requestbodytoolarge": "large",
    "invalidbucketname": "name", "keytoolongerror": "name", "preconditionfailed": "exists",
    "blobalreadyexists": "exists", "invalidresourcename": "name", "outofrangeinput": "name",
}  # fmt: skip

_STATUS = {
    401: "credentials", 403: "denied", 404: "missing", 405: "static", 412: "exists", 413: "large", 501: "static",
    507: "full",
}  # fmt: skip

#: Codes of transient errors with any status.
_PASSING_CODES = frozenset({
    "slowdown", "internalerror", "requesttimeout", "throttling", "throttlingexception", "serviceunavailable",
    "requestlimitexceeded", "operationaborted", "conditionalrequestconflict", "serverbusy", "operationtimedout",
})  # fmt: skip

#: Meanings of clients' errors by their names, those of botocore, aiohttp, Azure's and fsspec; the detail is added.
_NAMES = {
    **dict.fromkeys((
        "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
        "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "NoAuthTokenError",
    ), Failure("", "none")),
    **dict.fromkeys((
        "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "ResponseStreamingError",
        "IncompleteReadError", "HTTPClientError", "ConnectionError", "ServiceRequestError", "ServiceResponseError",
        "ServiceRequestTimeoutError", "ServiceResponseTimeoutError", "ServerDisconnectedError", "ServerTimeoutError",
        "ClientOSError", "ClientPayloadError", "FSTimeoutError",
    ), Failure("", is_transient=True)),
    **dict.fromkeys(
        ("EndpointConnectionError", "ProxyConnectionError", "NoValidConnectionsError"),
        Failure("", "unreachable", is_transient=True),
    ),
    "SSLError": Failure("", "certificate"),
    "ParamValidationError": Failure("", "name"),
}  # fmt: skip

#: Errors of aiohttp for a connection that broke.
_RESETS = {"ServerDisconnectedError", "ClientOSError"}

#: Texts of asyncio and aiohttp for a host that is not found or does not answer.
_NO_WAY = re.compile("Cannot connect to host|Name or service not known|Connect call failed|nodename nor servname")

#: Texts of S3, GCS and Azure for expired credentials.
_EXPIRED = re.compile(r"expired|- Expiry \[", re.IGNORECASE)

#: Texts of Azure for credentials that it does not know.
_NOT_AUTHENTICATED = re.compile("failed to authenticate|AuthenticationFailed", re.IGNORECASE)

#: Code and message in the XML of an error; adlfs writes the code without XML.
_XML_CODE = re.compile(r"(?:ErrorCode:|<Code>)\s*([A-Za-z]+)")
_XML_MESSAGE = re.compile(r"<Message>\s*([^<]+?)\s*</Message>", re.DOTALL)

#: Longest text of a store in a message.
_DETAIL_CHARACTERS = 300

_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)


# Retries.


def retry_after_seconds(text: str | None) -> float | None:
    """Parse a Retry-After header, seconds or a date; None where it is neither."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def wait_seconds(attempt: int, after_seconds: float = 0.0) -> float:
    """Return the wait after an attempt, from 1 on: at random up to a limit that doubles, after what a store demands."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))
    return min(LONGEST_WAIT_SECONDS, after_seconds + random.random() * longest)  # noqa: S311  (no secret)


def retrying(
    run: Callable[[], Result],
    explain: Callable[[Exception], Failure],
    *,
    attempts: int | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> Result:
    """Call a function up to `ATTEMPTS` times, again after each transient error."""
    most = ATTEMPTS if attempts is None else attempts
    for attempt in range(1, most + 1):
        try:
            return run()
        except Exception as error:
            failure = explain(error)
            if not failure.is_transient or attempt == most:
                raise
            seconds = wait_seconds(attempt, failure.after_seconds)
        wait(seconds)  # out here, so that an interrupt of it has no context
    raise ValueError(f"attempts must be at least 1, got {most}")


# Meanings.


def code_and_message(text: str) -> tuple[str, str]:
    """Return the error code and the message in the body of an answer; "" for each that is not there."""
    code, message = _XML_CODE.search(text), _XML_MESSAGE.search(text)
    return code[1] if code else "", message[1] if message else ""


def failure_of_answer(
    status: int, code: str, detail: str, retry_after: str | None = None, *, text: str = "", is_store: bool = False
) -> Failure:
    """Return the meaning of an HTTP error with a store's error code ("" for none); only ``detail`` is shown.

    405 and 501 mean a static web page, unless the server is a store.
    """
    name = code.lower()
    kind = _CODES.get(name) or _STATUS.get(status) or ("redirect" if 300 <= status < 400 else None)
    if kind == "denied" and _NOT_AUTHENTICATED.search(f"{detail} {text}"):
        kind = "credentials"
    if kind in ("denied", "credentials") and _EXPIRED.search(f"{detail} {text}"):
        kind = "expired"
    if status in TRANSIENT_STATUS or name in _PASSING_CODES:
        return Failure(detail, None, True, retry_after_seconds(retry_after) or 0.0)
    return Failure(detail, None if is_store and kind == "static" else kind)


def failure_of_response(response: Mapping[str, Any]) -> Failure:
    """Return the meaning of an error that botocore has parsed."""
    said, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    detail = f"{status} {code}: {message}" if message else f"{status} {code}"
    retry_after = meta.get("HTTPHeaders", {}).get("retry-after")
    return failure_of_answer(status, code, detail, retry_after, is_store=True)


def failure_of_network(error: BaseException) -> Failure | None:
    """Return the meaning of an error of sockets or TLS; None for any other."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(str(error), "certificate")
    if isinstance(error, (socket.gaierror, ConnectionRefusedError)) or getattr(error, "errno", None) in _UNREACHABLE:
        return Failure(str(error), "unreachable", is_transient=True)
    if isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
        return Failure(str(error) or type(error).__name__, is_transient=True)
    return None


def explain(error: Exception) -> Failure:
    """Return what an error of botocore, or of a filesystem of fsspec, means, with any client below it."""
    chain = [step for step in linked_errors(error) if isinstance(step, Exception)]
    for look in (_by_answer, _by_name):  # what a store answered says more than what was made of it
        for step in chain:
            found = look(step, str(step) or type(step).__name__)
            if found is not None:
                return found
    return Failure(str(error) or type(error).__name__)


def _by_answer(error: Exception, text: str) -> Failure | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return failure_of_response(response)
    status = next((value for name in ("status", "status_code", "code") if (value := _status(error, name))), 0)
    if not status:
        return None
    code = str(getattr(error, "error_code", None) or "").rpartition(".")[2] or code_and_message(text)[0]
    return failure_of_answer(status, code, f"{status} {text}", text=text)


def _status(error: Exception, name: str) -> int:
    try:
        number = int(getattr(error, name, 0))
    except (TypeError, ValueError):
        return 0
    return number if 300 <= number < 600 else 0


def _by_name(error: Exception, text: str) -> Failure | None:
    if _NO_WAY.search(text):
        return Failure(text, "unreachable", is_transient=True)
    causes = {type(one).__name__ for one in linked_errors(error)}
    if type(error).__name__ == "EndpointConnectionError" and causes & _RESETS:
        return None  # aiobotocore has no other name for it: the cause says more
    known = _NAMES.get(type(error).__name__)
    return replace(known, detail=text) if known else failure_of_network(error) or _of_system(error, text)


def _of_system(error: Exception, text: str) -> Failure | None:
    if isinstance(error, FileExistsError):
        return Failure(text, "exists")
    if isinstance(error, PermissionError) or text.startswith("Forbidden"):
        return Failure(text, "denied")
    if isinstance(error, FileNotFoundError):
        return Failure(text, "bucket" if re.search("container|bucket", text, re.IGNORECASE) else "folder")
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return Failure(text, "full")
    return None


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a panic of a client written in Rust as OSError: PyO3's PanicException is not an Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise OSError(f"the client stopped: {error}; allow this process more threads") from error


@dataclass(frozen=True)
class RemoteErrors:
    """Runs requests about one object, and converts what they raise to the project's errors."""

    name: str  #: Of the object, without secrets.
    redactor: Redactor
    explain: Callable[[Exception], Failure] = explain  #: Returns what an error of the client means.
    client_retries: bool = False  #: The client retries requests by the project's rule, so they are not retried here.

    def call(
        self, run: Callable[[], Result], doing: str = "it cannot be written", *, attempts: int | None = None
    ) -> Result:
        """Run a request that writes, as `doing` says; raises DestinationError for a refusal, else WriteError."""
        return self._run(run, lambda error: self.error_of(error, doing), attempts)

    def call_unless(
        self, is_fine: Callable[[Exception], bool], run: Callable[[], Result], doing: str, attempts: int | None = None
    ) -> Result | None:
        """Run a request as `call` does; after an error that is fine, return None."""

        def attempt() -> Result | None:
            try:
                return run()
            except Exception as error:
                if is_fine(error):
                    return None
                raise

        return self.call(attempt, doing, attempts=attempts)

    def is_denied(self, error: Exception) -> bool:
        """Return whether a store denies access, as it does a read for write-only credentials."""
        return self.explain(error).kind == "denied"

    def read(self, run: Callable[[], Result]) -> Result:
        """Run a request that reads; raises ReadError."""
        return self._run(run, self.read_error_of, None)

    def _run(
        self, run: Callable[[], Result], convert: Callable[[Exception], GeoreaderError], attempts: int | None
    ) -> Result:
        attempts = 1 if self.client_retries else attempts
        try:
            with redacted_logs(self.redactor), panics_as_errors():
                return retrying(run, self.explain, attempts=attempts)
        except GeoreaderError:
            raise
        except Exception as error:  # noqa: BLE001  (clients raise anything; it is raised again below)
            caught = error
        # Out here, so that the error has no context in which secrets could stand.
        raise convert(caught) from self.redactor.cause(caught)

    def error_of(self, error: Exception, doing: str = "it cannot be written") -> GeoreaderError:
        """Return the project's error for a client's that failed to write."""
        kind, detail = self._meaning_of(error)
        if kind == "exists":
            return self.exists()
        if kind is None:
            return WriteError(f"{self.name!r}: {doing}: {detail}")
        return DestinationError(f"{self.name!r}: {ADVICE[kind]} ({detail})")

    def read_error_of(self, error: Exception) -> ReadError:
        """Return the project's error for a client's that failed to read."""
        kind, detail = self._meaning_of(error)
        return ReadError(f"{self.name}: {f'{ADVICE[kind]} ({detail})' if kind else f'it cannot be read: {detail}'}")

    def _meaning_of(self, error: Exception) -> tuple[str | None, str]:
        """Return the kind of an error, and its text in one line without secrets."""
        failure = self.explain(error)
        return failure.kind, self.redactor.clean(" ".join(failure.detail.split()))[:_DETAIL_CHARACTERS]

    def exists(self) -> ExistsError:
        """Return the error for an object that may not be replaced."""
        return ExistsError(f"{self.name!r} {ADVICE['exists']}")

    def check_size(self, sent_bytes: int, reported_bytes: int | None) -> None:
        """Compare the size that the store reports, if it does, with what was sent."""
        if reported_bytes is not None and reported_bytes != sent_bytes:
            raise WriteError(
                f"{self.name!r}: size mismatch: sent {sent_bytes} bytes, the store reports {reported_bytes}"
            )
