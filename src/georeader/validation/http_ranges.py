"""An HTTP server as a source of ranges.

References:
    RFC 9110, section 14 (range requests) and 15.4 (redirects).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3

from georeader._storage import http_client
from georeader._storage.http_client import basic_authorization, merged, open_answer
from georeader._storage.range_file import BLOCK_BYTES, RangedObject
from georeader._storage.redaction import Redactor, redact_url, secrets_of_url
from georeader._storage.remote_errors import Failure, RemoteErrors, failure_of_answer

#: Redirects are followed so often.
REDIRECTS = 5

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@dataclass(frozen=True)
class _Part:
    """What came: the bytes, and how many the whole has."""

    data: bytes
    whole_bytes: int


class _RefusedError(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


def open_ranges(url: str) -> RangedObject:
    """Open a URL to be read in ranges: one request, which gives its first `BLOCK_BYTES` as well.

    Args:
        url: Of http or https, with a user and password, or a signature, where it takes them.

    Raises:
        ReadError: The server refuses, can't be reached, or serves no ranges.
    """
    failures = RemoteErrors(redact_url(url), Redactor(secrets_of_url(url)), _explain)
    first = _fetch(url, failures, 0, BLOCK_BYTES)

    def fetch(start: int, stop: int) -> bytes:
        if stop <= len(first.data):
            return first.data[start:stop]
        return _fetch(url, failures, start, stop).data

    return RangedObject(first.whole_bytes, fetch)


def _fetch(url: str, errors: RemoteErrors, start: int, stop: int) -> _Part:
    return errors.read(lambda: _get(url, start, stop))


def _get(url: str, start: int, stop: int) -> _Part:
    headers = merged({"Accept-Encoding": "identity", "Range": f"bytes={start}-{stop - 1}"}, basic_authorization(url))
    url = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
    for _ in range(REDIRECTS):
        following = _ask(url, headers, stop - start)
        if isinstance(following, _Part):
            return following
        target = urljoin(url, following)
        if urlsplit(target).scheme not in ("http", "https"):
            break
        if urlsplit(target)[:2] != urlsplit(url)[:2]:  # credentials are sent to the first host only
            headers = {name: value for name, value in headers.items() if name != "Authorization"}
        url = target
    raise _RefusedError(Failure("it is redirected too often, or to what is no web server"))


def _ask(url: str, headers: dict[str, str], length_bytes: int) -> _Part | str:
    """Make one request; give where it leads, if that is elsewhere."""
    # The loop around this one covers the body, too.
    with open_answer("GET", url, headers, attempts=1) as response:
        location = response.headers.get("Location")
        if response.status in (301, 302, 303, 307, 308) and location:
            return location
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range") or "")
        if response.status == 416 and found:
            return _Part(b"", int(found[3]))
        if response.status == 206 and found:
            return _Part(response.read(length_bytes), int(found[3]))
        raise _RefusedError(_failure_of(response))


def _failure_of(response: urllib3.BaseHTTPResponse) -> Failure:
    if response.status in (200, 206):
        return Failure(
            "the server serves no ranges, so that no viewer reads parts of it; download the file, and pass that"
        )
    detail = f"HTTP {response.status} {response.reason}"
    return failure_of_answer(response.status, "", detail, response.headers.get("Retry-After"))


def _explain(error: Exception) -> Failure:
    if isinstance(error, _RefusedError):
        return error.failure
    return http_client.explain(error)
