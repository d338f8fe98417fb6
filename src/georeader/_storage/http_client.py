"""HTTP requests by urllib3, with the project's rule for retries.

References:
    RFC 9110 (HTTP semantics): PUT, section 9.3.4; redirects, section 15.4; Retry-After, section 10.2.3.
"""

from __future__ import annotations

import base64
import logging
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, LocationValueError, MaxRetryError

from georeader._core.reporting import linked_errors
from georeader._storage import remote_errors
from georeader._storage.remote_errors import (
    TRANSIENT_STATUS,
    Failure,
    failure_of_network,
    retry_after_seconds,
    wait_seconds,
)

#: How long to wait for a connection, and for every step of an answer.
TIMEOUT_SECONDS = 60.0

#: Bodies are sent in pieces of so many bytes.
PIECE_BYTES = 2**20

#: Of an answer's body, so much is read for its message.
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """The answer of a server."""

    status: int
    reason: str
    headers: Mapping[str, str]  #: Names in lower case.
    text: str  #: Beginning of the body.
    attempts: int  #: Number of times that the request was sent.


class GeoreaderRetry(urllib3.Retry):
    """Retries of transient errors, with the project's waits."""

    RETRY_AFTER_STATUS_CODES: frozenset[int] = frozenset()  # the list of statuses is complete without them

    def increment(self, *args: Any, **named: Any) -> Self:
        """Count an attempt; an error that is not transient is raised at once."""
        error = named.get("error")
        if error is not None and not explain(error).is_transient:
            raise error
        return super().increment(*args, **named)

    def get_backoff_time(self) -> float:
        """Return the random wait before the next attempt."""
        return wait_seconds(len(self.history))

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Return the wait that the server asks for, in seconds; at most the longest wait."""
        seconds = retry_after_seconds(response.headers.get("Retry-After"))
        return None if seconds is None else min(seconds, remote_errors.LONGEST_WAIT_SECONDS)


def _log_retries_as_info(record: logging.LogRecord) -> bool:
    """Lower urllib3's warnings of these retries to INFO: what another attempt may mend needs no attention."""
    if record.levelno == logging.WARNING and f"Retrying ({GeoreaderRetry.__name__}(" in record.getMessage():
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return logging.getLogger(record.name).isEnabledFor(logging.INFO)
    return True


logging.getLogger("urllib3.connectionpool").addFilter(_log_retries_as_info)


@contextmanager
def open_answer(
    method: str, url: str, headers: Mapping[str, str], body: IO[bytes] | None = None, *, attempts: int | None = None
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Send a request and open its answer; redirects are not followed.

    A user and password in the URL are sent as basic authentication. A body, whose length is in the headers, is sent
    from its beginning with each of the attempts (`remote_errors.ATTEMPTS` by default).
    """
    parts = urlsplit(requoted(url))
    sent = merged(
        {"User-Agent": "georeader-cog", "Accept-Encoding": urllib3.util.SKIP_HEADER}, basic_authorization(url), headers
    )
    place = parts.netloc.rpartition("@")[2]
    most = remote_errors.ATTEMPTS if attempts is None else attempts
    retries = GeoreaderRetry(most - 1, allowed_methods=None, status_forcelist=TRANSIENT_STATUS, raise_on_status=False)
    with _manager(parts, place) as manager:
        response = manager.urlopen(
            method, parts._replace(netloc=place, fragment="").geturl(), body=body, headers=sent, retries=retries,
            redirect=False, preload_content=False, decode_content=False,
        )  # fmt: skip
        try:
            yield response
        finally:
            response.close()


def request(method: str, url: str, headers: Mapping[str, str], body: IO[bytes] | None = None) -> Answer:
    """Send a request and return its answer; arguments are those of `open_answer`."""
    with open_answer(method, url, headers, body) as response:
        text = b""
        with suppress(OSError, HTTPError):
            text = response.read(_MESSAGE_BYTES)
        found = {name.lower(): value for name, value in response.headers.items()}
        attempts = 1 + (len(response.retries.history) if response.retries else 0)
        return Answer(response.status, response.reason or "", found, text.decode("utf-8", "replace"), attempts)


class RefusedError(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def explain(error: Exception) -> Failure:
    """Return what an error of a request means."""
    if isinstance(error, RefusedError):
        return error.failure
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return explain(error.reason)  # its own text has the URL
    # urllib3's errors have those of sockets and TLS as arguments, or as causes.
    linked: list[BaseException] = linked_errors(error)
    linked += [
        inner for step in linked for one in step.args if isinstance(one, Exception) for inner in linked_errors(one)
    ]
    found = next((failure for failure in map(failure_of_network, linked) if failure is not None), None)
    is_passing = isinstance(error, HTTPError) and not isinstance(error, (LocationParseError, LocationValueError))
    return found or Failure(str(error) or type(error).__name__, is_transient=is_passing)


def merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """Merge headers; later ones win, and case of names is ignored."""
    return dict({name.lower(): (name, value) for one in headers for name, value in one.items()}.values())


def basic_authorization(url: str) -> dict[str, str]:
    """Return the header for a user and password in a URL (RFC 7617)."""
    return _authorization(urlsplit(requoted(url)))


def requoted(url: str) -> str:
    """Return a URL with every character quoted that a request line cannot hold; quoted ones stay (RFC 3986)."""
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", url), safe="!#$%&'()*+,/:;=?@[]~")


def _manager(parts: SplitResult, place: str) -> urllib3.PoolManager:
    """Return a pool of connections, through the environment's proxy where there is one."""
    is_bypassed = urllib.request.proxy_bypass(parts.hostname or "") or urllib.request.proxy_bypass(place)
    proxy = None if is_bypassed else urllib.request.getproxies().get(parts.scheme)
    options: dict[str, Any] = {"timeout": TIMEOUT_SECONDS, "blocksize": PIECE_BYTES}
    if not proxy:
        return urllib3.PoolManager(**options)
    via = proxy if "://" in proxy else f"http://{proxy}"
    return urllib3.ProxyManager(via, proxy_headers=_authorization(urlsplit(via), "Proxy-Authorization"), **options)


def _authorization(parts: SplitResult, name: str = "Authorization") -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {name: f"Basic {base64.b64encode(pair.encode()).decode()}"}
