"""Answers of the proxy's own, in the words of servers and services that are ill, busy or of another opinion."""

from __future__ import annotations

import http
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from faults.exchange import Exchange
from faults.wire import Head


@dataclass(frozen=True)
class HttpDate:
    """A header's value: the date of so many seconds after it is sent."""

    in_seconds: float

    def __str__(self) -> str:
        # A date has whole seconds, and one that is rounded down would come too early.
        return formatdate(int(time.time() + self.in_seconds) + 1, usegmt=True)


@dataclass(frozen=True, eq=False)
class Answer:
    """Answers without the upstream, when the whole request was read.

    Attributes:
        status: Its number.
        reason: Words after it; "": the usual ones.
        headers: Values are made text when they are sent (`HttpDate`); Content-Length comes by itself.
        body: Not sent in answer to HEAD.
        name: Distinguishes it, in its str(), from another answer of the same status.
    """

    status: int
    reason: str = ""
    headers: Mapping[str, object] = field(default_factory=dict)
    body: bytes = b""
    name: str = ""

    def __str__(self) -> str:
        return f"answer-{self.status}-{self.name}".rstrip("-")

    def serve(self, exchange: Exchange) -> None:
        exchange.drop_body()
        self._say(exchange, self._head())

    def _say(self, exchange: Exchange, head: Head) -> None:
        exchange.begin_answer(head, b"" if exchange.method == "HEAD" else self.body)

    def _head(self) -> Head:
        reason = self.reason or http.HTTPStatus(self.status).phrase
        head = Head(f"HTTP/1.1 {self.status} {reason}\r\n\r\n".encode("latin-1"))
        length = {} if self.status in (204, 304) else {"Content-Length": len(self.body)}
        for name, value in {**length, **self.headers}.items():
            head = head.with_field(name, str(value))
        return head


@dataclass(frozen=True, eq=False)
class AnswerEarly(Answer):
    """Answers as soon as the request's head is read, and closes: what the client is still sending ends in a reset."""

    def __str__(self) -> str:
        return f"answer-early-{self.status}-{self.name}".rstrip("-")

    def serve(self, exchange: Exchange) -> None:
        self._say(exchange, self._head().with_field("Connection", "close"))


def s3_error(status: int, code: str, message: str = "", headers: Mapping[str, object] | None = None) -> Answer:
    """Return an error as S3 words it: ExpiredToken, AccessDenied, RequestTimeTooSkewed, SlowDown, NoSuchBucket, ..."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message or code}</Message>"
        "<RequestId>FAULT</RequestId><HostId>fault</HostId></Error>"
    )
    return Answer(status, "", {"Content-Type": "application/xml", **(headers or {})}, body.encode(), name=code)


def azure_error(status: int, code: str, message: str = "", headers: Mapping[str, object] | None = None) -> Answer:
    """Return an error as Azure's blob service words it: AuthenticationFailed, ServerBusy, ContainerNotFound, ..."""
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message or code}</Message></Error>'
    )
    own = {"Content-Type": "application/xml", "x-ms-error-code": code}
    return Answer(status, "", {**own, **(headers or {})}, body.encode(), name=code)


def gcs_error(status: int, reason: str, message: str = "", headers: Mapping[str, object] | None = None) -> Answer:
    """Return an error as Google's JSON API words it: rateLimitExceeded, authError, forbidden, notFound, ..."""
    text = message or reason
    error: dict[str, Any] = {"code": status, "message": text, "errors": [{"reason": reason, "message": text}]}
    body = json.dumps({"error": error}).encode()
    return Answer(status, "", {"Content-Type": "application/json", **(headers or {})}, body, name=reason)


def redirect(status: int, location: str) -> Answer:
    """Send the client elsewhere: 301, 302, 303, 307 or 308."""
    return Answer(status, headers={"Location": location}, name="redirect")
