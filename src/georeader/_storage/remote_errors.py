"""Conversion of errors of stores and networks to the project's errors: one line, without secrets."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from georeader._storage.log_redaction import redacted_logs
from georeader._storage.redaction import Redactor
from georeader._storage.retry import LASTING, PASSING, Verdict, retrying, verdict_of_status
from georeader.errors import DestinationError, ExistsError, GeoreaderError, ReadError, WriteError

Result = TypeVar("Result")

#: Meaning of a refusal, and what to do.
ADVICE = {
    "bucket": "the bucket (container) does not exist; create it first, or check its name and the endpoint",
    "missing": "there is no such object; check bucket, key and endpoint",
    "denied": "access is denied; these credentials may not do that there: check its policy, or pass others by fs",
    "credentials": "the store does not accept the credentials; check keys, tokens and account, or pass others by fs",
    "none": "no usable credentials are found; set the environment variables of the cloud, or pass a filesystem by fs",
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

#: Codes of transient errors, whatever their status.
_PASSING_CODES = frozenset({
    "slowdown", "internalerror", "requesttimeout", "throttling", "throttlingexception", "serviceunavailable",
    "requestlimitexceeded", "operationaborted", "conditionalrequestconflict", "serverbusy", "operationtimedout",
})  # fmt: skip

#: Texts of S3, GCS and Azure for expired credentials.
_EXPIRED = re.compile(r"expired|- Expiry \[", re.IGNORECASE)

#: Texts of Azure for credentials that it does not know.
_NOT_AUTHENTICATED = re.compile("failed to authenticate|AuthenticationFailed", re.IGNORECASE)

#: Longest text of a store in a message.
_DETAIL_CHARACTERS = 300

_UNREACHABLE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)


@dataclass(frozen=True)
class Failure:
    """The meaning of an error.

    Attributes:
        detail: Text of the store; it may hold secrets.
        kind: One of `ADVICE`, or None.
        verdict: Whether it is transient.
    """

    detail: str
    kind: str | None = None
    verdict: Verdict = LASTING


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raise a panic of a client written in Rust as OSError: PyO3's PanicException is not an Exception.

    Raises:
        OSError: The client panicked: without a thread for its runtime, for instance.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise OSError(f"the client stopped: {error}; allow this process more threads") from error


def failure_of_answer(
    status: int, code: str, detail: str, retry_after: str | None = None, *, text: str = ""
) -> Failure:
    """Return the meaning of an HTTP error.

    Args:
        status: HTTP status code.
        code: The store's error code; "" for none.
        detail: Text for messages.
        retry_after: Value of the Retry-After header.
        text: Further text of the store, which is not shown.
    """
    name = code.lower()
    kind = _CODES.get(name) or _STATUS.get(status) or ("redirect" if 300 <= status < 400 else None)
    if kind == "denied" and _NOT_AUTHENTICATED.search(f"{detail} {text}"):
        kind = "credentials"
    if kind in ("denied", "credentials") and _EXPIRED.search(f"{detail} {text}"):
        kind = "expired"
    verdict = verdict_of_status(status, retry_after)
    if name in _PASSING_CODES:
        verdict = Verdict(True, verdict.after_seconds)
    return Failure(detail, None if verdict.is_transient else kind, verdict)


def failure_of_network(error: BaseException) -> Failure | None:
    """Return the meaning of an error of sockets or TLS; None for any other."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(str(error), "certificate")
    if isinstance(error, (socket.gaierror, ConnectionRefusedError)) or getattr(error, "errno", None) in _UNREACHABLE:
        return Failure(str(error), "unreachable", PASSING)
    if isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
        return Failure(str(error) or type(error).__name__, None, PASSING)
    return None


class RemoteErrors:
    """Runs requests about one object, and converts what they raise to the project's errors."""

    def __init__(
        self, name: str, redactor: Redactor, explain: Callable[[Exception], Failure], *, client_retries: bool = False
    ) -> None:
        """Keep the arguments.

        Args:
            name: Of the object, without secrets.
            redactor: Knows the secrets that a store may repeat.
            explain: Returns what an error of this store's client means.
            client_retries: The client retries requests by the project's rule, so they are not retried here.
        """
        self.name = name
        self.redactor = redactor
        self.explain = explain
        self._client_retries = client_retries

    def call(
        self, run: Callable[[], Result], doing: str = "it can't be written", *, attempts: int | None = None
    ) -> Result:
        """Run a request that writes; transient errors are retried.

        Args:
            run: The request.
            doing: The message where the error says no more.
            attempts: `retry.ATTEMPTS` by default; without effect where the client retries.

        Raises:
            DestinationError: The store refuses it for good.
            WriteError: It failed.
        """
        return self._run(run, lambda error: self.error_of(error, doing), attempts)

    def read(self, run: Callable[[], Result]) -> Result:
        """Run a request that reads; transient errors are retried.

        Raises:
            ReadError: It failed.
        """
        return self._run(run, self.read_error_of, None)

    def _run(
        self, run: Callable[[], Result], convert: Callable[[Exception], GeoreaderError], attempts: int | None
    ) -> Result:
        attempts = 1 if self._client_retries else attempts
        try:
            with redacted_logs(self.redactor), panics_as_errors():
                return retrying(run, lambda error: self.explain(error).verdict, attempts=attempts)
        except GeoreaderError:
            raise
        except Exception as error:  # noqa: BLE001  (clients raise anything; it is raised again below)
            caught = error
        # Out here, so that the error has no context in which secrets could stand.
        raise convert(caught) from self.redactor.cause(caught)

    def error_of(self, error: Exception, doing: str = "it can't be written") -> GeoreaderError:
        """Return the project's error for a client's."""
        failure = self.explain(error)
        detail = self.redactor.clean(" ".join(failure.detail.split()))[:_DETAIL_CHARACTERS]
        if failure.kind == "exists":
            return ExistsError(f"{self.name!r} {ADVICE['exists']}")
        if failure.kind is None:
            return WriteError(f"{self.name!r}: {doing}: {detail}")
        return DestinationError(f"{self.name!r}: {ADVICE[failure.kind]} ({detail})")

    def read_error_of(self, error: Exception) -> ReadError:
        """Return the project's error for a client's that failed to read."""
        failure = self.explain(error)
        detail = self.redactor.clean(" ".join(failure.detail.split()))[:_DETAIL_CHARACTERS]
        said = f"{ADVICE[failure.kind]} ({detail})" if failure.kind else f"it can't be read: {detail}"
        return ReadError(f"{self.name}: {said}")
