"""An object in S3 or a store with its API, uploaded in one piece or in parts.

References:
    Amazon S3 API: PutObject, CreateMultipartUpload, UploadPart, UploadPartCopy (5 MiB to 5 GiB, but the last part),
    CompleteMultipartUpload, AbortMultipartUpload; Amazon S3 User Guide, "How to prevent object overwrites with
    conditional writes".
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from georeader._export.sinks.spooled import RemoteObject
from georeader._storage.remote_errors import ADVICE
from georeader._storage.s3 import ABORT_ATTEMPTS, ObjectPlace, code_of, status_of
from georeader._tiff.checksum import crc32
from georeader.errors import DestinationError, WriteError

#: Metadata that mark a save's own object where it must not replace another's: ETags of copied parts are not always
#: their MD5.
SAVE_NAME = "georeader-save"

#: With overwrite=False, a store that may ignore the condition is checked for the winner after so long, or twice the
#: time that CompleteMultipartUpload took: writers that completed at the same moment have then finished.
SETTLE_SECONDS = 0.5
MAX_SETTLE_SECONDS = 10.0

#: Hosts of Amazon S3, which obeys the condition.
_AMAZON_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")

#: Stores whose parts must be of one size, except the last.
_EVEN_PARTS_HOSTS = ("r2.cloudflarestorage.com",)

_MD5 = re.compile(r'^"?([0-9a-f]{32})"?$')


@dataclass(repr=False, eq=False)
class S3Object(RemoteObject):
    """An object in a bucket of S3; ``request`` makes one by the name of an operation, such as "put_object"."""

    request: Callable[..., Any]
    endpoint: str  #: "" for Amazon's own.
    bucket: str
    key: str

    min_part_bytes = 5 * 2**20
    max_parts = 10_000

    def __post_init__(self) -> None:
        self._place = {"Bucket": self.bucket, "Key": self.key}
        self._save = secrets.token_hex(16)
        is_marked = not self.overwrite or self.if_match is not None
        self._attributes: dict[str, Any] = {"ContentType": self.content_type}
        self._attributes |= {"Metadata": {SAVE_NAME: self._save}} if is_marked else {}

    def check(self) -> None:
        """Check that the bucket exists, and that no object does where it may not be replaced."""

        def run() -> None:
            try:
                self.request("head_bucket", Bucket=self.bucket)
            except Exception as error:
                if _is_missing(error):
                    raise DestinationError(f"{self.name!r}: {ADVICE['bucket']} ({self.bucket!r})") from None
                if not 300 <= status_of(error) < 500:  # credentials may allow writing only
                    raise

        self.errors.call(run, "its bucket cannot be checked")
        if not self.overwrite and self._head() is not None:
            raise self.errors.exists()

    def put(self, body: bytes) -> None:
        """Upload the object in one piece."""
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        answer = self._conditionally("put_object", digest, len(body), Body=body, **self._attributes)
        self._check_sum(answer, body, "it")
        self._check_there(answer.get("ETag"), len(body))
        self._remove_earlier_sidecars()

    def begin(self) -> str:
        """Begin a multipart upload; return its id."""
        answer = self._call("create_multipart_upload", "no upload can be begun", **self._attributes)
        upload = answer.get("UploadId")
        if not upload:
            raise WriteError(
                f"{self.name!r}: the store answered CreateMultipartUpload without an UploadId; check that the endpoint "
                f"{self.endpoint!r} is one of S3's API"
            )
        return str(upload)

    def send(self, upload: str, number: int, body: bytes) -> dict[str, Any]:
        """Send a part."""
        doing = f"part {number} cannot be sent"
        answer = self._call("upload_part", doing, UploadId=upload, PartNumber=number, Body=body)
        self._check_sum(answer, body, f"part {number}")
        if not answer.get("ETag"):
            raise WriteError(f"{self.name!r}: part {number}: the store's answer has no ETag; check the endpoint")
        known = {name: answer[name] for name in ("ETag", "ChecksumCRC32") if answer.get(name)}
        return {"PartNumber": number} | known

    def copy(self, upload: str, number: int, source: ObjectPlace, etag: str, byte_range: tuple[int, int]) -> Any:
        """Have the store copy a range of an object, from its first byte to before its last, as a part."""
        start, stop = byte_range
        answer = self._call(
            "upload_part_copy",
            f"part {number} cannot be copied",
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": source.bucket, "Key": source.key},
            CopySourceRange=f"bytes={start}-{stop - 1}",
            CopySourceIfMatch=etag,
        )
        copied = answer.get("CopyPartResult", {}).get("ETag")
        if not copied:
            raise WriteError(f"{self.name!r}: part {number}: the store's answer has no ETag; check the endpoint")
        return {"PartNumber": number, "ETag": copied}

    def _check_sum(self, answer: Mapping[str, Any], body: bytes, what: str) -> None:
        """Compare the checksum that the store reports with that of what was sent."""
        checksum = answer.get("ChecksumCRC32")
        if checksum is not None and checksum != base64.b64encode(crc32(body).to_bytes(4, "big")).decode():
            raise WriteError(f"{self.name!r}: {what} did not arrive as it was sent: its CRC-32 is {checksum}")

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        """Complete the object from its parts."""
        ordered = [parts[number] for number in sorted(parts)]
        if not self.overwrite and self._head() is not None:  # some stores ignore the condition of the next request
            raise self.errors.exists()
        if self.if_match is not None and (self._head() or {}).get("ETag") != self.if_match:
            raise self.errors.exists()
        begun = time.monotonic()
        etag = _etag_of(ordered)
        answer = self._conditionally(
            "complete_multipart_upload", etag, size_bytes, UploadId=upload, MultipartUpload={"Parts": ordered}
        )
        if not self.overwrite and not is_amazon(self.endpoint):
            time.sleep(min(max(SETTLE_SECONDS, 2 * (time.monotonic() - begun)), MAX_SETTLE_SECONDS))
        self._check_there(answer.get("ETag") or etag, size_bytes)
        self._remove_earlier_sidecars()

    def _remove_earlier_sidecars(self) -> None:
        def paths_beside(prefix: str, stem: str) -> Iterable[str]:
            found = self.request("list_objects_v2", Bucket=self.bucket, Prefix=prefix + stem, Delimiter="/")
            return [one["Key"] for one in found.get("Contents", ())]

        self.remove_sidecars(
            self.key, paths_beside, lambda path: self.request("delete_object", Bucket=self.bucket, Key=path)
        )

    def abort(self, upload: str) -> None:
        """Abort an upload; one that does not exist is not an error."""
        self.errors.call_unless(
            lambda error: code_of(error) == "NoSuchUpload" or status_of(error) == 404,
            lambda: self.request("abort_multipart_upload", UploadId=upload, **self._place),
            f"its upload {upload} cannot be aborted",
            ABORT_ATTEMPTS,
        )

    def _call(self, operation: str, doing: str, **arguments: Any) -> Any:
        return self.errors.call(lambda: self.request(operation, **self._place, **arguments), doing)

    def _conditionally(self, operation: str, etag: str | None, size_bytes: int, **arguments: Any) -> Mapping[str, Any]:
        """Make the request that creates the object; on the condition that there is none, unless it may be replaced.

        A client may retry it. If the first answer was lost, the second attempt fails: then the object is checked.
        """

        def run() -> Mapping[str, Any]:
            condition = {} if self.overwrite else {"IfNoneMatch": "*"}
            condition |= {} if self.if_match is None else {"IfMatch": self.if_match}
            try:
                answer: Mapping[str, Any] = self.request(operation, **self._place, **arguments, **condition)
            except Exception as error:
                is_gone = code_of(error) == "NoSuchUpload" or status_of(error) in (404, 412)
                if is_gone and self._is_there(etag, size_bytes):
                    return {}
                if status_of(error) == 412:
                    raise self.errors.exists() from None
                raise
            return answer

        return self.errors.call(run)

    def _is_there(self, etag: str | None, size_bytes: int) -> bool:
        """Return whether the object is this one: an earlier attempt made it, and its answer was lost."""
        found = self._head()
        return found is not None and found.get("ContentLength") == size_bytes and self._has_mark(found, etag) is True

    def _has_mark(self, found: Mapping[str, Any], etag: str | None) -> bool | None:
        """Return whether an object is this save's, by its metadata, or else by its ETag; None: unknown."""
        mark = found.get("Metadata", {}).get(SAVE_NAME)
        if mark is not None:
            return bool(mark == self._save)
        said = str(found.get("ETag", "")).strip('"')
        return said == etag.strip('"') if said and etag else None

    def _head(self) -> dict[str, Any] | None:
        """Return the object's metadata; None where there is none."""
        return self.errors.call_unless(_is_missing, self._head_object, "it cannot be checked")

    def _head_object(self) -> dict[str, Any]:
        found: dict[str, Any] = self.request("head_object", **self._place)
        return found

    def _check_there(self, etag: str | None, size_bytes: int) -> None:
        """Compare what the store has with what was sent; the check is skipped for write-only credentials.

        Raises ExistsError if the object is another's that was put there meanwhile, and may not be replaced.
        """
        doing = "it was sent, but cannot be checked"
        found = self.errors.call_unless(_is_denied, self._head_object, doing) or {}
        if not self.overwrite and found and self._has_mark(found, etag) is False:
            raise self.errors.exists()
        self.errors.check_size(size_bytes, found.get("ContentLength"))


def wants_even_parts(endpoint: str) -> bool:
    """Return whether a store requires parts of one size, so that they cannot be sent before the file is complete."""
    return (urlsplit(endpoint).hostname or "").endswith(_EVEN_PARTS_HOSTS)


def is_amazon(endpoint: str) -> bool:
    """Return whether an endpoint is Amazon S3's own; "" is."""
    return not endpoint or (urlsplit(endpoint).hostname or "").endswith(_AMAZON_HOSTS)


def _is_missing(error: Exception) -> bool:
    return status_of(error) == 404 or isinstance(error, FileNotFoundError)


def _is_denied(error: Exception) -> bool:
    return status_of(error) == 403 or isinstance(error, PermissionError)


def _etag_of(parts: list[dict[str, Any]]) -> str | None:
    """Return the ETag that S3 computes from those of parts; None where they are not MD5."""
    matches = [_MD5.match(str(part.get("ETag", ""))) for part in parts]
    digests = [bytes.fromhex(match[1]) for match in matches if match]
    if len(digests) < len(parts):
        return None
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(parts)}"
