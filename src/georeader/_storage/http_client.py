"""One HTTP request with a body that is streamed, and its answer, by the standard library.

References:
    RFC 9110 (HTTP semantics): PUT, section 9.3.4; redirects, section 15.4; RFC 9112, section 9.6 (an answer may come
    before the body is sent).
"""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, unquote, urlsplit

#: How long to wait for a connection, and for every step of an answer.
TIMEOUT_SECONDS = 60.0

#: Of an answer's body, so much is read for its message.
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        status: Of HTTP.
        reason: Its phrase.
        headers: Names in lower case.
        text: The body's beginning.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    text: str


def request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Callable[[], Iterator[bytes]] | None = None,
) -> Answer:
    """Send one request; redirects are not followed.

    Args:
        method: "PUT", "HEAD", ...
        url: Of http or https; a user and password in it are sent as basic authentication.
        headers: With Content-Length where there is a body.
        body: Returns it, piece by piece.

    Raises:
        OSError: There is no connection, or it broke before an answer came.
        http.client.HTTPException: The answer is not HTTP.
    """
    parts = urlsplit(requoted(url))
    with connected(parts) as (connection, target, of_proxy):
        sent = merged({"User-Agent": "georeader-cog"} | of_proxy, basic_authorization(url), headers)
        has_host = any(name.lower() == "host" for name in sent)
        connection.putrequest(method, target, skip_accept_encoding=True, skip_host=has_host)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        broken = _send(connection, body) if body is not None else None
        if broken is None:
            return _answer(connection)
        try:
            return _answer(connection)
        except (OSError, http.client.HTTPException) as error:
            raise broken from error  # what ended the body says more than an answer that is missing


def merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """Give headers of which later ones win, however they are spelt.

    Example:
        >>> merged({"Content-Type": "a"}, {"content-type": "b"})
        {'content-type': 'b'}
    """
    found: dict[str, tuple[str, str]] = {}
    for one in headers:
        found |= {name.lower(): (name, value) for name, value in one.items()}
    return dict(found.values())


def basic_authorization(url: str) -> dict[str, str]:
    """Give the header that a user and password in a URL mean (RFC 7617)."""
    return _authorization(urlsplit(requoted(url)))


def requoted(url: str) -> str:
    """Give a URL in which nothing stands that a request line can't hold; what is encoded already stays (RFC 3986).

    Example:
        >>> requoted("http://host/a b/100%.tif?sig=x%2By")
        'http://host/a%20b/100%25.tif?sig=x%2By'
    """
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", url), safe="!#$%&'()*+,/:;=?@[]~")


def _send(connection: http.client.HTTPConnection, body: Callable[[], Iterator[bytes]]) -> OSError | None:
    """Send a body; a server that has heard enough hangs up, and may have said why."""
    for piece in body():
        try:
            connection.send(piece)
        except TimeoutError:
            raise
        except OSError as error:
            return error
    return None


def _answer(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    text = b""
    with suppress(OSError, http.client.HTTPException):
        text = response.read(_MESSAGE_BYTES)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, response.reason, headers, text.decode("utf-8", "replace"))


@contextmanager
def connected(parts: SplitResult) -> Iterator[tuple[http.client.HTTPConnection, str, dict[str, str]]]:
    """Connect, through the environment's proxy where there is one; give what stands in the request line, too.

    The third are headers for the proxy.
    """
    of_proxy: dict[str, str] = {}
    host, target = parts.hostname or "", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    place = parts.netloc.rpartition("@")[2]
    is_bypassed = urllib.request.proxy_bypass(host) or urllib.request.proxy_bypass(place)
    proxy = None if is_bypassed else urllib.request.getproxies().get(parts.scheme)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    via = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else parts
    port = via.port or (443 if via.scheme == "https" else 80)
    connection: http.client.HTTPConnection
    if context is not None:
        connection = http.client.HTTPSConnection(via.hostname or "", port, timeout=TIMEOUT_SECONDS, context=context)
        if proxy:
            connection.set_tunnel(host, parts.port or 443, headers=_authorization(via, "Proxy-Authorization"))
    else:
        connection = http.client.HTTPConnection(via.hostname or "", port, timeout=TIMEOUT_SECONDS)
        if proxy:
            target = f"http://{place}{target}"
            of_proxy = _authorization(via, "Proxy-Authorization")
    try:
        yield connection, target, of_proxy
    finally:
        connection.close()


def _authorization(parts: SplitResult, name: str = "Authorization") -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {name: f"Basic {base64.b64encode(pair.encode()).decode()}"}
