"""An object in S3 or a store with its API, uploaded in one piece or in parts.

References:
    Amazon S3 API: PutObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload; Amazon
    S3 User Guide, "How to prevent object overwrites with conditional writes".
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from georeader._export.sinks.sidecars import remove_remote_sidecars
from georeader._export.sinks.spooled import CONTENT_TYPE
from georeader._storage.remote_errors import ADVICE, RemoteErrors
from georeader._storage.s3 import ABORT_ATTEMPTS, Caller, code_of, status_of
from georeader._tiff.checksum import crc32
from georeader.errors import DestinationError, ExistsError, WriteError

#: S3's limits.
MIN_PART_BYTES = 5 * 2**20
MAX_PARTS = 10_000

#: Metadata that mark a save's own object where it must not replace another's.
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


class S3Object:
    """A `PartStore`: an object to be written to a bucket of S3."""

    min_part_bytes = MIN_PART_BYTES
    max_parts = MAX_PARTS

    def __init__(
        self, caller: Caller, bucket: str, key: str, failures: RemoteErrors, *, overwrite: bool = True
    ) -> None:
        """Keep the arguments; no request is sent yet.

        Args:
            caller: Makes the requests.
            bucket: Its bucket.
            key: Its key.
            failures: Converts the errors of this object.
            overwrite: False: an object that is there already is an error.
        """
        self.name = failures.name
        self._caller = caller
        self._place = {"Bucket": bucket, "Key": key}
        self._failures = failures
        self._overwrite = overwrite
        self._save = secrets.token_hex(16)
        self._mark: dict[str, Any] = {} if overwrite else {"Metadata": {SAVE_NAME: self._save}}

    def check(self) -> None:
        """Check that the bucket exists, and that no object does where it may not be replaced.

        Raises:
            ExistsError: An object exists.
            DestinationError: There is no such bucket, or the store refuses the request.
        """

        def run() -> None:
            try:
                self._caller.call("head_bucket", Bucket=self._place["Bucket"])
            except Exception as error:
                if status_of(error) == 404 or isinstance(error, FileNotFoundError):
                    raise DestinationError(f"{self.name!r}: {ADVICE['bucket']} ({self._place['Bucket']!r})") from None
                if not 300 <= status_of(error) < 500:  # credentials may allow writing only
                    raise

        self._failures.call(run, "its bucket can't be looked at")
        if not self._overwrite and self._head() is not None:
            raise self._exists()

    def put(self, body: bytes) -> None:
        """Upload the object in one piece.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It can't be sent, or did not arrive as it was sent.
        """
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        answer = self._conditionally("put_object", digest, len(body), Body=body, ContentType=CONTENT_TYPE, **self._mark)
        self._check_sum(answer, body, "it")
        self._check_there(answer.get("ETag"), len(body))
        self._remove_sidecars()

    def begin(self) -> str:
        """Begin a multipart upload.

        Raises:
            DestinationError: The store refuses it.
            WriteError: The store's answer names no upload.
        """
        answer = self._call("create_multipart_upload", "no upload can be begun", ContentType=CONTENT_TYPE, **self._mark)
        upload = answer.get("UploadId")
        if not upload:
            raise WriteError(
                f"{self.name!r}: the store answered CreateMultipartUpload without an UploadId; check that the endpoint "
                f"{self._caller.endpoint!r} is one of S3's API"
            )
        return str(upload)

    def send(self, upload: str, number: int, body: bytes) -> dict[str, Any]:
        """Send a part.

        Raises:
            WriteError: It can't be sent, or did not arrive as it was sent.
        """
        answer = self._call(
            "upload_part", f"part {number} can't be sent", UploadId=upload, PartNumber=number, Body=body
        )
        self._check_sum(answer, body, f"part {number}")
        if not answer.get("ETag"):
            raise WriteError(f"{self.name!r}: part {number}: the store's answer has no ETag; check the endpoint")
        known = {name: answer[name] for name in ("ETag", "ChecksumCRC32") if answer.get(name)}
        return {"PartNumber": number} | known

    def _check_sum(self, answer: Mapping[str, Any], body: bytes, what: str) -> None:
        """Compare what the store says that it has with what was sent."""
        checksum = answer.get("ChecksumCRC32")
        if checksum is not None and checksum != _crc32(body):
            raise WriteError(f"{self.name!r}: {what} did not arrive as it was sent: its CRC-32 is {checksum}")

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        """Complete the object from its parts.

        Raises:
            DestinationError: The store refuses it; ExistsError where another has made it since.
            WriteError: It cannot be completed, or has another size.
        """
        ordered = [parts[number] for number in sorted(parts)]
        if not self._overwrite and self._head() is not None:  # some stores ignore the condition of the next request
            raise self._exists()
        begun = time.monotonic()
        answer = self._conditionally(
            "complete_multipart_upload",
            _etag_of(ordered),
            size_bytes,
            UploadId=upload,
            MultipartUpload={"Parts": ordered},
        )
        if not self._overwrite and not is_amazon(self._caller.endpoint):
            time.sleep(min(max(SETTLE_SECONDS, 2 * (time.monotonic() - begun)), MAX_SETTLE_SECONDS))
        self._check_there(answer.get("ETag") or _etag_of(ordered), size_bytes)
        self._remove_sidecars()

    def _remove_sidecars(self) -> None:
        """Remove the sidecars of an earlier object, which GDAL would read as part of this one."""
        bucket, key = self._place["Bucket"], self._place["Key"]
        folder, slash, name = key.rpartition("/")
        prefix = folder + slash

        def names() -> list[str]:
            stem = name.rpartition(".")[0] or name
            found = self._caller.call("list_objects_v2", Bucket=bucket, Prefix=prefix + stem, Delimiter="/")
            return [one["Key"].removeprefix(prefix) for one in found.get("Contents", ())]

        def remove(sidecar: str) -> None:
            self._caller.call("delete_object", Bucket=bucket, Key=prefix + sidecar)

        remove_remote_sidecars(self.name, name, names, remove, overwrite=self._overwrite)

    def abort(self, upload: str) -> None:
        """Abort an upload; one that does not exist is not an error.

        Raises:
            WriteError: The store refuses it.
        """

        def run() -> None:
            try:
                self._caller.call("abort_multipart_upload", UploadId=upload, **self._place)
            except Exception as error:
                if code_of(error) != "NoSuchUpload" and status_of(error) != 404:
                    raise

        self._failures.call(run, f"its upload {upload} can't be aborted", attempts=ABORT_ATTEMPTS)

    def _call(self, operation: str, doing: str, **arguments: Any) -> Any:
        return self._failures.call(lambda: self._caller.call(operation, **self._place, **arguments), doing)

    def _conditionally(self, operation: str, etag: str | None, size_bytes: int, **arguments: Any) -> Mapping[str, Any]:
        """Make the request that creates the object; on the condition that there is none, unless it may be replaced.

        A client may retry it. If the first answer was lost, the second attempt fails: then the object is checked.
        """

        def run() -> Mapping[str, Any]:
            condition = {} if self._overwrite else {"IfNoneMatch": "*"}
            try:
                answer: Mapping[str, Any] = self._caller.call(operation, **self._place, **arguments, **condition)
            except Exception as error:
                is_gone = code_of(error) == "NoSuchUpload" or status_of(error) in (404, 412)
                if is_gone and self._is_there(etag, size_bytes):
                    return {}
                if status_of(error) == 412:
                    raise self._exists() from None
                raise
            return answer

        return self._failures.call(run)

    def _is_there(self, etag: str | None, size_bytes: int) -> bool:
        """Return whether the object is this one: an earlier attempt made it, and its answer was lost."""
        found = self._head()
        if found is None or found.get("ContentLength") != size_bytes:
            return False
        return self._has_mark(found, etag) is True

    def _has_mark(self, found: Mapping[str, Any], etag: str | None) -> bool | None:
        """Return whether an object is this save's, by its metadata, or else by its ETag; None: unknown."""
        mark = found.get("Metadata", {}).get(SAVE_NAME)
        if mark is not None:
            return bool(mark == self._save)
        said = str(found.get("ETag", "")).strip('"')
        return said == etag.strip('"') if said and etag else None

    def _head(self) -> dict[str, Any] | None:
        """Return the object's metadata; None where there is none."""

        def run() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = self._caller.call("head_object", **self._place)
            except Exception as error:
                if status_of(error) == 404 or isinstance(error, FileNotFoundError):
                    return None
                raise
            return found

        return self._failures.call(run, "it can't be looked at")

    def _check_there(self, etag: str | None, size_bytes: int) -> None:
        """Compare what the store has with what was sent; the check is skipped for write-only credentials.

        Args:
            etag: Of what was sent, or None.
            size_bytes: Of what was sent.

        Raises:
            ExistsError: The object is another's that was put there meanwhile, and it may not be replaced.
            WriteError: It has another size.
        """

        def run() -> Mapping[str, Any]:
            try:
                found: Mapping[str, Any] = self._caller.call("head_object", **self._place)
            except Exception as error:
                if status_of(error) == 403 or isinstance(error, PermissionError):
                    return {}
                raise
            return found

        found = self._failures.call(run, "it was sent, but can't be looked at")
        if not self._overwrite and found and self._has_mark(found, etag) is False:
            raise self._exists()
        said = found.get("ContentLength")
        if said is not None and said != size_bytes:
            raise WriteError(f"{self.name!r}: size mismatch: sent {size_bytes} bytes, the store reports {said}")

    def _exists(self) -> ExistsError:
        return ExistsError(f"{self.name!r} {ADVICE['exists']}")


def wants_even_parts(endpoint: str) -> bool:
    """Return whether a store requires parts of one size, so that they cannot be sent before the file is complete.

    Example:
        >>> wants_even_parts("https://me.r2.cloudflarestorage.com"), wants_even_parts("http://127.0.0.1:9000")
        (True, False)
    """
    return (urlsplit(endpoint).hostname or "").endswith(_EVEN_PARTS_HOSTS)


def is_amazon(endpoint: str) -> bool:
    """Return whether an endpoint is Amazon S3's own; "" is.

    Example:
        >>> is_amazon("https://s3.eu-west-1.amazonaws.com"), is_amazon("http://127.0.0.1:9000")
        (True, False)
    """
    return not endpoint or (urlsplit(endpoint).hostname or "").endswith(_AMAZON_HOSTS)


def _crc32(body: bytes) -> str:
    return base64.b64encode(crc32(body).to_bytes(4, "big")).decode()


def _etag_of(parts: list[dict[str, Any]]) -> str | None:
    """Return the ETag that S3 computes from those of parts; None where they are not MD5."""
    matches = [_MD5.match(str(part.get("ETag", ""))) for part in parts]
    digests = [bytes.fromhex(match[1]) for match in matches if match]
    if len(digests) < len(parts):
        return None
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(parts)}"
