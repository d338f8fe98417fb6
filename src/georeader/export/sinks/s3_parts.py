"""An object in S3, or in any store that speaks its language, of one piece or in parts.

References:
    Amazon S3 API: PutObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload, AbortMultipartUpload; Amazon
    S3 User Guide, "How to prevent object overwrites with conditional writes".
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from georeader.errors import DestinationError, ExistsError, GeoreaderError, WriteError
from georeader.export.checksum import crc32
from georeader.export.sinks.guardian import Guardian
from georeader.export.sinks.s3_orphans import orphans
from georeader.export.sinks.target import CONTENT_TYPE
from georeader.remote.failures import ADVICE, Failures
from georeader.remote.s3 import Caller, code_of, status_of

#: S3's limits.
MIN_PART_BYTES = 5 * 2**20
MAX_PARTS = 10_000

#: An upload is aborted so often, at most: somebody may be waiting.
ABORT_ATTEMPTS = 3

#: Stores whose parts have to be all of one size, but for the last.
_EVEN_PARTS_HOSTS = ("r2.cloudflarestorage.com",)

_LOG = logging.getLogger("georeader")

_MD5 = re.compile(r'^"?([0-9a-f]{32})"?$')


class S3Object:
    """A `PartStore`: an object that is to be, in a bucket of S3."""

    min_part_bytes = MIN_PART_BYTES
    max_parts = MAX_PARTS

    def __init__(self, caller: Caller, bucket: str, key: str, failures: Failures, *, overwrite: bool = True) -> None:
        """Say which object; nothing is asked yet.

        Args:
            caller: Makes the requests.
            bucket: Its bucket.
            key: Its key.
            failures: Of this object.
            overwrite: False: an object that is there already is an error.
        """
        self.name = failures.name
        self._caller = caller
        self._place = {"Bucket": bucket, "Key": key}
        self._failures = failures
        self._overwrite = overwrite

    def check(self) -> None:
        """Refuse a bucket that is not there; and an object that is, where it may not be replaced.

        Raises:
            ExistsError: It is there.
            DestinationError: There is no such bucket, or the store can't be asked.
        """

        def run() -> None:
            try:
                self._caller.call("head_bucket", Bucket=self._place["Bucket"])
            except Exception as error:
                if status_of(error) == 404 or isinstance(error, FileNotFoundError):
                    raise DestinationError(f"{self.name!r}: {ADVICE['bucket']} ({self._place['Bucket']!r})") from None
                if not 300 <= status_of(error) < 500:  # who may write to a bucket need not be allowed to look at it
                    raise

        self._failures.tried(run, "its bucket can't be looked at")
        if not self._overwrite and self._head() is not None:
            raise self._exists()

    def put(self, body: bytes) -> None:
        """Make the object of one piece.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It can't be sent, or did not arrive as it was sent.
        """
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        answer = self._conditionally("put_object", digest, len(body), Body=body, ContentType=CONTENT_TYPE)
        self._check_sum(answer, body, "it")
        self._check_size(len(body))

    def begin(self) -> str:
        """Begin an upload in parts.

        Raises:
            DestinationError: The store refuses it.
        """
        is_unheard = self._caller.tries_again

        def run() -> Any:
            nonlocal is_unheard
            try:
                return self._caller.call("create_multipart_upload", ContentType=CONTENT_TYPE, **self._place)
            except BaseException as error:
                is_unheard |= not isinstance(error, Exception) or not 300 <= status_of(error) < 500
                raise

        begun, upload = datetime.now(UTC), ""
        self._guardian = Guardian()
        if (recipe := self._caller.recipe()) is not None:
            self._guardian.look_for({"caller": recipe, "begun": begun.timestamp(), **self._place})
        try:
            upload = str(self._failures.tried(run, "no upload can be begun")["UploadId"])
        finally:
            is_clean = not is_unheard or self._tried_to_forget(upload, begun)
            if not upload:  # let go of, or left to go on trying
                self._guardian.__exit__(None if is_clean else WriteError, None, None)
        return upload

    def _tried_to_forget(self, upload: str, begun: datetime) -> bool:
        """Abort what an attempt began whose answer was lost; give whether the store could be asked for it."""
        try:
            self.forget_unheard(begun, datetime.now(UTC), heard=upload)
        except GeoreaderError as error:  # who may write need not be allowed to list: a lifecycle rule does it
            _LOG.warning(
                "%s: an upload may be left in the store that was begun by a request whose answer was lost: %s",
                self.name, error,
            )  # fmt: skip
            return False
        return True

    def forget_unheard(self, begun: datetime, ended: datetime, *, heard: str = "") -> int:
        """Abort uploads of this object that were begun within a time and have no part; give how many.

        Raises:
            GeoreaderError: They can't be: not everybody may list.
        """

        def run() -> list[str]:
            return list(orphans(self._caller.call, *self._place.values(), begun=begun, ended=ended, heard=heard))

        names = self._failures.tried(run, "its uploads can't be listed", attempts=ABORT_ATTEMPTS)
        for name in names:
            self.abort(name)
        return len(names)

    def guard(self, upload: str) -> AbstractContextManager[Any]:
        """Watch over an upload: should this process die, another one aborts it."""
        self._guardian.abort(self._caller.abort_url(self._place["Bucket"], self._place["Key"], upload))
        return self._guardian

    def send(self, upload: str, number: int, body: bytes) -> dict[str, Any]:
        """Send a part.

        Raises:
            WriteError: It can't be sent, or did not arrive as it was sent.
        """
        answer = self._call(
            "upload_part", f"part {number} can't be sent", UploadId=upload, PartNumber=number, Body=body
        )
        self._check_sum(answer, body, f"part {number}")
        known = {name: answer[name] for name in ("ETag", "ChecksumCRC32") if answer.get(name)}
        return {"PartNumber": number} | known

    def _check_sum(self, answer: Mapping[str, Any], body: bytes, what: str) -> None:
        """Compare what the store says that it has with what was sent."""
        checksum = answer.get("ChecksumCRC32")
        if checksum is not None and checksum != _crc32(body):
            raise WriteError(f"{self.name!r}: {what} did not arrive as it was sent: its CRC-32 is {checksum}")

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        """Make the object of its parts.

        Raises:
            DestinationError: The store refuses it; ExistsError where another has made it since.
            WriteError: It can't be made, or has another size.
        """
        ordered = [parts[number] for number in sorted(parts)]
        self._conditionally(
            "complete_multipart_upload",
            _etag_of(ordered),
            size_bytes,
            UploadId=upload,
            MultipartUpload={"Parts": ordered},
        )
        self._check_size(size_bytes)

    def abort(self, upload: str) -> None:
        """Forget an upload; one that is gone is fine.

        Raises:
            WriteError: The store does not.
        """

        def run() -> None:
            try:
                self._caller.call("abort_multipart_upload", UploadId=upload, **self._place)
            except Exception as error:
                if code_of(error) != "NoSuchUpload" and status_of(error) != 404:
                    raise

        self._failures.tried(run, f"its upload {upload} can't be aborted", attempts=ABORT_ATTEMPTS)

    def _call(self, operation: str, doing: str, **arguments: Any) -> Any:
        return self._failures.tried(lambda: self._caller.call(operation, **self._place, **arguments), doing)

    def _conditionally(self, operation: str, etag: str | None, size_bytes: int, **arguments: Any) -> Mapping[str, Any]:
        """Do what makes the object appear; only where none is, unless it may be replaced.

        An answer that was lost makes the second attempt fail where the first one did it: then the object is looked at.
        """
        tries = 0

        def run() -> Mapping[str, Any]:
            nonlocal tries
            tries += 1
            condition = {} if self._overwrite else {"IfNoneMatch": "*"}
            try:
                answer: Mapping[str, Any] = self._caller.call(operation, **self._place, **arguments, **condition)
            except Exception as error:
                is_gone = code_of(error) == "NoSuchUpload" or status_of(error) in (404, 412)
                if (tries > 1 or self._caller.tries_again) and is_gone and self._is_there(etag, size_bytes):
                    return {}
                if status_of(error) == 412:
                    raise self._exists() from None
                raise
            return answer

        return self._failures.tried(run)

    def _is_there(self, etag: str | None, size_bytes: int) -> bool:
        found = self._head()
        if found is None or int(found["ContentLength"]) != size_bytes:
            return False
        return etag is not None and str(found.get("ETag", "")).strip('"') == etag

    def _head(self) -> dict[str, Any] | None:
        """Look at the object; None where there is none."""

        def run() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = self._caller.call("head_object", **self._place)
            except Exception as error:
                if status_of(error) == 404 or isinstance(error, FileNotFoundError):
                    return None
                raise
            return found

        return self._failures.tried(run, "it can't be looked at")

    def _check_size(self, size_bytes: int) -> None:
        """Compare what the store has with what was sent; who may write but not read can't."""

        def run() -> int | None:
            try:
                return int(self._caller.call("head_object", **self._place)["ContentLength"])
            except Exception as error:
                if status_of(error) == 403 or isinstance(error, PermissionError):
                    return None
                raise

        found = self._failures.tried(run, "it was sent, but can't be looked at")
        if found is not None and found != size_bytes:
            raise WriteError(f"{self.name!r}: {size_bytes} bytes were sent, but the store tells of {found}")

    def _exists(self) -> ExistsError:
        return ExistsError(f"{self.name!r} {ADVICE['exists']}")


def wants_even_parts(endpoint: str) -> bool:
    """Tell whether a store takes parts of one size only, so that they can't be sent before the file is whole.

    Example:
        >>> wants_even_parts("https://me.r2.cloudflarestorage.com"), wants_even_parts("http://127.0.0.1:9000")
        (True, False)
    """
    return (urlsplit(endpoint).hostname or "").endswith(_EVEN_PARTS_HOSTS)


def _crc32(body: bytes) -> str:
    return base64.b64encode(crc32(body).to_bytes(4, "big")).decode()


def _etag_of(parts: list[dict[str, Any]]) -> str | None:
    """Give the ETag that S3 makes of those of parts; None where they are no MD5."""
    matches = [_MD5.match(str(part.get("ETag", ""))) for part in parts]
    digests = [bytes.fromhex(match[1]) for match in matches if match]
    if len(digests) < len(parts):
        return None
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(parts)}"
