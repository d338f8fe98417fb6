"""Target for an HTTP server: one PUT, as WebDAV, presigned URLs of S3 and GCS, and SAS URLs of Azure take it.

References:
    RFC 9110, section 9.3.4 (PUT) and 13.1.2 (If-None-Match); Azure Blob Storage REST API, "Put Blob"; Amazon S3 User
    Guide, "Uploading objects with presigned URLs".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qs, urljoin, urlsplit

from georeader._export.sinks.spooled import CONTENT_TYPE, Finished
from georeader._storage import http_client
from georeader._storage.http_client import Answer, basic_authorization, merged, request
from georeader._storage.redaction import redact_url
from georeader._storage.remote_errors import ADVICE, Failure, RemoteErrors, failure_of_answer
from georeader.errors import ExistsError, WriteError

#: Redirects within a host that are followed, at most.
REDIRECTS = 5

_AZURE_HOST = re.compile(r"\.blob\.(core\.|storage\.azure\.)", re.IGNORECASE)
_CODE = re.compile(r"<Code>\s*([A-Za-z]+)\s*</Code>")
_MESSAGE = re.compile(r"<Message>\s*([^<]+?)\s*</Message>", re.DOTALL)

#: Parameters of signed URLs; a signature may not allow further headers.
_SIGNATURES = {"signature", "x-amz-signature", "x-goog-signature", "sig"}


class RefusedError(Exception):
    """An answer other than 2xx."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.reason}")
        self.answer = answer


class HttpPut:
    """A `Target`: a URL of http or https."""

    def __init__(
        self, url: str, failures: RemoteErrors, *, overwrite: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        """Keep the arguments; no request is sent yet.

        Args:
            url: With its query.
            failures: Of this URL.
            overwrite: False: something that is there already is an error.
            headers: Sent with every request; they replace the project's own.
        """
        self.name = failures.name
        self._url = url
        self._failures = failures
        self._overwrite = overwrite
        self._given = dict(headers or {})
        query = {name.lower() for name in parse_qs(urlsplit(url).query, keep_blank_values=True)}
        self._attempts = 0
        self._is_signed = bool(query & _SIGNATURES)
        self._is_azure = bool(_AZURE_HOST.search(urlsplit(url).hostname or "")) or {"sig", "sv"} <= query

    def check(self) -> None:
        """Check that no file exists, where it may not be replaced and the server answers HEAD.

        Raises:
            ExistsError: A file exists.
        """
        if self._overwrite or self._is_signed:  # a URL that is signed for PUT is none for HEAD
            return
        answer = self._head(self._given, "it can't be looked at")
        if 200 <= answer.status < 300:
            raise ExistsError(f"{self.name!r} {ADVICE['exists']}")

    def send(self, finished: Finished) -> None:
        """Send the file.

        Raises:
            DestinationError: The server refuses it.
            WriteError: It can't be sent, or did not arrive as it was sent.
        """
        try:
            answer = self._failures.call(lambda: self._put(finished))
        except ExistsError:
            if self._attempts == 1 or not self._is_ours(finished):
                raise
            return
        self._check_sum(answer, finished)
        if not self._is_signed:
            self._check_size(finished)

    def _is_ours(self, finished: Finished) -> bool:
        """Return whether the object is this file: an earlier attempt made it, and its answer was lost.

        Known where the server reports a checksum, and the URL may be used for HEAD.
        """
        answer = self._head(self._given, "it can't be looked at")
        said = answer.headers.get("content-md5") or _goog_md5(answer.headers.get("x-goog-hash", ""))
        return 200 <= answer.status < 300 and said == base64.b64encode(finished.md5).decode()

    def _put(self, finished: Finished) -> Answer:
        url, headers = self._url, self._headers(finished.size_bytes)
        for _ in range(REDIRECTS):
            with finished.open() as body:
                answer = request("PUT", url, headers, body)
            self._attempts = answer.attempts
            if answer.status in (307, 308) and "location" in answer.headers:
                following = _within_host(url, answer.headers["location"])
                if following is not None:
                    url = following
                    continue
            break
        if not 200 <= answer.status < 300:
            raise RefusedError(answer)
        return answer

    def _head(self, headers: Mapping[str, str], doing: str) -> Answer:
        return self._failures.call(lambda: request("HEAD", self._url, headers), doing)

    def _headers(self, size_bytes: int) -> dict[str, str]:
        headers = {"Content-Length": str(size_bytes)}
        if self._is_azure:
            headers |= {"x-ms-blob-type": "BlockBlob", "Content-Type": CONTENT_TYPE}
        elif not self._is_signed:
            headers["Content-Type"] = CONTENT_TYPE
        if not self._overwrite:
            headers["If-None-Match"] = "*"
        return merged(headers, basic_authorization(self._url), self._given)  # after a redirect, too

    def _check_sum(self, answer: Answer, finished: Finished) -> None:
        """Compare a checksum that the server reports: Azure's, GCS's, or S3's ETag where that is an MD5."""
        said = answer.headers.get("content-md5") or _goog_md5(answer.headers.get("x-goog-hash", ""))
        etag = re.fullmatch(r'"?([0-9a-f]{32})"?', answer.headers.get("etag", ""))
        is_encrypted = any(name.startswith("x-amz-server-side-encryption") for name in answer.headers)
        if said is None and etag and "x-amz-request-id" in answer.headers and not is_encrypted:
            said = base64.b64encode(bytes.fromhex(etag[1])).decode()
        if said is not None and said != base64.b64encode(finished.md5).decode():
            raise WriteError(f"{self.name!r}: it did not arrive as it was sent: the server reports the MD5 {said}")

    def _check_size(self, finished: Finished) -> None:
        """Compare the size, where the server answers HEAD with one."""
        headers = self._given | {"Accept-Encoding": "identity"}
        answer = self._head(headers, "it was sent, but can't be looked at")
        said = answer.headers.get("content-length", "")
        if answer.status == 200 and said.isdigit() and int(said) != finished.size_bytes:
            raise WriteError(
                f"{self.name!r}: size mismatch: sent {finished.size_bytes} bytes, the server reports {said}"
            )


def explain(error: Exception) -> Failure:
    """Return what an error of a request means."""
    if isinstance(error, RefusedError):
        return _failure_of_answer(error.answer)
    return http_client.explain(error)


def _failure_of_answer(answer: Answer) -> Failure:
    code, message = _CODE.search(answer.text), _MESSAGE.search(answer.text)
    detail = f"HTTP {answer.status} {answer.reason}"
    if code:
        detail += f", {code[1]}"
    if message:
        detail += f": {message[1]}"
    if 300 <= answer.status < 400:
        elsewhere = redact_url(answer.headers.get("location", "")) or "nowhere"
        return Failure(f"{detail}, to {elsewhere}", "redirect")
    if answer.status in (404, 409) and not code:
        return Failure(detail, "folder")
    retry_after = answer.headers.get("retry-after")
    return failure_of_answer(answer.status, code[1] if code else "", detail, retry_after, text=answer.text)


def _within_host(url: str, location: str) -> str | None:
    """Return the target of a redirect within the host; None for another host."""
    try:
        following = urljoin(url, location)
        return following if _origin(urlsplit(following)) == _origin(urlsplit(url)) else None
    except ValueError:
        return None


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _goog_md5(text: str) -> str | None:
    found = re.search(r"md5=([A-Za-z0-9+/=]+)", text)
    return found[1] if found else None
