"""Plain HTTP requests to servers, without a client of any cloud and without a proxy."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """Answer of a server, of any status."""

    status: int
    body: bytes
    headers: Message


def send_request(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Send one request; raises OSError where no server answers."""
    # Without a type of its own urllib would call a body a form's.
    typed = {"Content-Type": "application/octet-stream"} if body is not None else {}
    request = urllib.request.Request(url, data=body, headers=typed | (headers or {}), method=method)
    try:
        with _OPENER.open(request, timeout=30) as answer:
            return Answer(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), error.headers)
    except HTTPException as error:
        raise ConnectionError(str(error)) from error
