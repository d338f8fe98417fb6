"""HTTP requests by urllib3, with the project's rule for retries.

References:
    RFC 9110 (HTTP semantics): PUT, section 9.3.4; redirects, section 15.4; Retry-After, section 10.2.3.
"""

from __future__ import annotations

import base64
import random
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
from georeader._storage import retry
from georeader._storage.remote_errors import Failure, failure_of_network
from georeader._storage.retry import LASTING, PASSING, TRANSIENT_STATUS, retry_after_seconds, wait_seconds

#: How long to wait for a connection, and for every step of an answer.
TIMEOUT_SECONDS = 60.0

#: Bodies are sent in pieces of so many bytes.
PIECE_BYTES = 2**20

#: Of an answer's body, so much is read for its message.
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """The answer of a server.

    Attributes:
        status: HTTP status code.
        reason: Its phrase.
        headers: Names in lower case.
        text: Beginning of the body.
        attempts: Number of times that the request was sent.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    text: str
    attempts: int


class _Retries(urllib3.Retry):
    """Retries of `retry`: its number of attempts, its waits, and only of transient errors."""

    RETRY_AFTER_STATUS_CODES: frozenset[int] = frozenset()  # the list of statuses is complete without them

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        *rest: Any,
        **named: Any,
    ) -> Self:
        """Count an attempt; an error that is not transient is raised at once."""
        if error is not None and not explain(error).verdict.is_transient:
            raise error
        return super().increment(method, url, response, error, *rest, **named)

    def get_backoff_time(self) -> float:
        """Return the random wait before the next attempt."""
        return wait_seconds(len(self.history), PASSING, random.random())  # noqa: S311  (no secret)

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        """Return the wait that the server asks for, in seconds; at most the longest wait."""
        seconds = retry_after_seconds(response.headers.get("Retry-After"))
        return None if seconds is None else min(seconds, retry.LONGEST_WAIT_SECONDS)


@contextmanager
def open_answer(
    method: str, url: str, headers: Mapping[str, str], body: IO[bytes] | None = None, *, attempts: int | None = None
) -> Iterator[urllib3.BaseHTTPResponse]:
    """Send a request and open its answer; redirects are not followed.

    Args:
        method: "PUT", "HEAD", ...
        url: Of http or https; a user and password in it are sent as basic authentication.
        headers: With Content-Length where there is a body.
        body: A file, which is sent from its beginning with each attempt.
        attempts: `retry.ATTEMPTS` by default.

    Raises:
        HTTPError: There is no connection, or it broke before an answer came.
    """
    parts = urlsplit(requoted(url))
    sent = merged(
        {"User-Agent": "georeader-cog", "Accept-Encoding": urllib3.util.SKIP_HEADER}, basic_authorization(url), headers
    )
    place = parts.netloc.rpartition("@")[2]
    most = retry.ATTEMPTS if attempts is None else attempts
    retries = _Retries(most - 1, allowed_methods=None, status_forcelist=TRANSIENT_STATUS, raise_on_status=False)
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
    """Send a request and return its answer; arguments and errors are those of `open_answer`."""
    with open_answer(method, url, headers, body) as response:
        text = b""
        with suppress(OSError, HTTPError):
            text = response.read(_MESSAGE_BYTES)
        found = {name.lower(): value for name, value in response.headers.items()}
        attempts = 1 + (len(response.retries.history) if response.retries else 0)
        return Answer(response.status, response.reason or "", found, text.decode("utf-8", "replace"), attempts)


def explain(error: Exception) -> Failure:
    """Return what an error of a request means."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return explain(error.reason)  # its own text has the URL
    # urllib3's errors have those of sockets and TLS as arguments, or as causes.
    linked: list[BaseException] = linked_errors(error)
    linked += [
        inner for step in linked for one in step.args if isinstance(one, Exception) for inner in linked_errors(one)
    ]
    found = next((failure for failure in map(failure_of_network, linked) if failure is not None), None)
    is_passing = isinstance(error, HTTPError) and not isinstance(error, (LocationParseError, LocationValueError))
    return found or Failure(str(error) or type(error).__name__, None, PASSING if is_passing else LASTING)


def merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """Merge headers; later ones win, whatever the case of their names.

    Example:
        >>> merged({"Content-Type": "a"}, {"content-type": "b"})
        {'content-type': 'b'}
    """
    found: dict[str, tuple[str, str]] = {}
    for one in headers:
        found |= {name.lower(): (name, value) for name, value in one.items()}
    return dict(found.values())


def basic_authorization(url: str) -> dict[str, str]:
    """Return the header for a user and password in a URL (RFC 7617)."""
    return _authorization(urlsplit(requoted(url)))


def requoted(url: str) -> str:
    """Return a URL with every character quoted that a request line cannot hold; quoted ones stay (RFC 3986).

    Example:
        >>> requoted("http://host/a b/100%.tif?sig=x%2By")
        'http://host/a%20b/100%25.tif?sig=x%2By'
    """
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
