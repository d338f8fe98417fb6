"""Target for an HTTP server: one PUT, as WebDAV, presigned URLs of S3 and GCS, and SAS URLs of Azure take it.

References:
    RFC 9110, section 9.3.4 (PUT) and 13.1.2 (If-None-Match); Azure Blob Storage REST API, "Put Blob"; Amazon S3 User
    Guide, "Uploading objects with presigned URLs".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from georeader._export.sinks.spooled import RemoteObject
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader._storage.http_client import Answer, RefusedError, basic_authorization, merged, request
from georeader._storage.redaction import redact_url
from georeader._storage.remote_errors import Failure, code_and_message, failure_of_answer
from georeader.errors import ExistsError

#: Redirects within a host that are followed, at most.
REDIRECTS = 5

_AZURE_HOST = re.compile(r"\.blob\.(core\.|storage\.azure\.)", re.IGNORECASE)

#: Parameters of signed URLs; a signature may not allow further headers.
_SIGNATURES = {"signature", "x-amz-signature", "x-goog-signature", "sig"}


@dataclass(repr=False, eq=False)
class HttpPut(RemoteObject):
    """A `Target`: a URL of http or https; ``headers`` are sent with every request and replace the project's own."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        query = {name.lower() for name in parse_qs(parts.query, keep_blank_values=True)}
        self._attempts = 0
        self._is_signed = bool(query & _SIGNATURES)
        self._is_azure = bool(_AZURE_HOST.search(parts.hostname or "")) or {"sig", "sv"} <= query

    def check(self) -> None:
        """Check that no file exists, where it may not be replaced and the server answers HEAD."""
        if self.overwrite or self._is_signed:  # a URL that is signed for PUT is not for HEAD
            return
        if 200 <= self._head("it cannot be checked").status < 300:
            raise self.errors.exists()

    def send(self, file: TemporaryFile) -> None:
        """Send the file, and compare what the server reports with it."""
        try:
            answer = self.errors.call(lambda: self._put(file))
        except ExistsError:
            if self._attempts == 1 or not self._is_ours(file):
                raise
            return
        self.check_md5(_md5_of(answer, with_etag=True), file)
        if not self._is_signed:
            answer = self._head("it was sent, but cannot be checked")
            said = answer.headers.get("content-length", "")
            self.errors.check_size(file.size_bytes, int(said) if answer.status == 200 and said.isdigit() else None)

    def _is_ours(self, file: TemporaryFile) -> bool:
        """Return whether the object is this file: an earlier attempt made it, and its answer was lost.

        Known where the server reports a checksum, and the URL may be used for HEAD.
        """
        answer = self._head("it cannot be checked")
        return 200 <= answer.status < 300 and _md5_of(answer) == file.md5

    def _put(self, file: TemporaryFile) -> Answer:
        url, headers = self.url, self._headers(file.size_bytes)
        for _ in range(REDIRECTS):
            with Path(file.path).open("rb") as body:
                answer = request("PUT", url, headers, body)
            self._attempts = answer.attempts
            following = _within_host(url, answer.headers.get("location")) if answer.status in (307, 308) else None
            if following is None:
                break
            url = following
        if not 200 <= answer.status < 300:
            raise RefusedError(failure_of(answer))
        return answer

    def _head(self, doing: str) -> Answer:
        headers = {**self.headers, "Accept-Encoding": "identity"}  # for the length of the file itself
        return self.errors.call(lambda: request("HEAD", self.url, headers), doing)

    def _headers(self, size_bytes: int) -> dict[str, str]:
        headers = {"Content-Length": str(size_bytes)}
        if self._is_azure:
            headers |= {"x-ms-blob-type": "BlockBlob", "Content-Type": self.content_type}
        elif not self._is_signed:
            headers["Content-Type"] = self.content_type
        if not self.overwrite:
            headers["If-None-Match"] = "*"
        if self.if_match is not None and not self._is_signed:
            headers["If-Match"] = self.if_match
        return merged(headers, basic_authorization(self.url), self.headers)  # after a redirect, too


def _md5_of(answer: Answer, *, with_etag: bool = False) -> str | None:
    """Return the MD5 that a server reports, in base64: Azure's, GCS's, or S3's ETag where that is an MD5."""
    goog = re.search(r"md5=([A-Za-z0-9+/=]+)", answer.headers.get("x-goog-hash", ""))
    said = answer.headers.get("content-md5") or (goog[1] if goog else None)
    etag = re.fullmatch(r'"?([0-9a-f]{32})"?', answer.headers.get("etag", ""))
    is_encrypted = any(name.startswith("x-amz-server-side-encryption") for name in answer.headers)
    if said is None and with_etag and etag and "x-amz-request-id" in answer.headers and not is_encrypted:
        return base64.b64encode(bytes.fromhex(etag[1])).decode()
    return said


def failure_of(answer: Answer) -> Failure:
    """Return what an answer of refusal means."""
    code, message = code_and_message(answer.text)
    detail = f"HTTP {answer.status} {answer.reason}"
    if code:
        detail += f", {code}"
    if message:
        detail += f": {message}"
    if 300 <= answer.status < 400:
        elsewhere = redact_url(answer.headers.get("location", "")) or "nowhere"
        return Failure(f"{detail}, to {elsewhere}", "redirect")
    if answer.status in (404, 409) and not code:
        return Failure(detail, "folder")
    return failure_of_answer(answer.status, code, detail, answer.headers.get("retry-after"), text=answer.text)


def _within_host(url: str, location: str | None) -> str | None:
    """Return the target of a redirect within the host; None for another host."""
    try:
        following = urljoin(url, location or "")
        is_within = location is not None and _origin(urlsplit(following)) == _origin(urlsplit(url))
    except ValueError:
        return None
    return following if is_within else None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
