"""Target for a path in a filesystem of fsspec, uploaded as a whole.

``with fs.open(path, "wb")`` publishes a partial file when it is left by an exception, in s3fs, adlfs and
obstore.fsspec among others, so it is not used here. Where `put_file` itself is built on it, or writes to the final
name, the file first gets another name beside it.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

from georeader._export.sinks.sidecars import remove_remote_sidecars
from georeader._export.sinks.spooled import CONTENT_TYPE, Finished
from georeader._storage.filesystems import is_atomic, is_of
from georeader._storage.remote_errors import ADVICE, RemoteErrors
from georeader.errors import ExistsError, WriteError


class FsspecPut:
    """A `Target`: a path in a filesystem of fsspec.

    A process that is killed leaves a file ``.<name>.<random>.part`` beside the destination where the filesystem is one
    of files (SFTP, FTP, SMB, HDFS, ...); object stores expire incomplete uploads.
    """

    def __init__(self, filesystem: Any, path: str, failures: RemoteErrors, *, overwrite: bool = True) -> None:
        """Keep the arguments; no request is sent yet.

        Args:
            filesystem: One of fsspec's.
            path: In it, without its protocol.
            failures: Of this file.
            overwrite: False: a file that is there already is an error.
        """
        self.name = failures.name
        self._filesystem = filesystem
        self._path = path
        self._failures = failures
        self._overwrite = overwrite

    def check(self) -> None:
        """Check that no file exists, where it may not be replaced.

        Raises:
            ExistsError: A file exists.
            DestinationError: The filesystem refuses the request.
        """
        if not self._overwrite and self._failures.call(self._exists_there, "it can't be looked at"):
            raise ExistsError(f"{self.name!r} {ADVICE['exists']}")

    def send(self, finished: Finished) -> None:
        """Upload the file.

        Raises:
            DestinationError: The filesystem refuses it.
            WriteError: It cannot be uploaded, or did not arrive as it was sent.
        """
        if is_of(self._filesystem, "fsspec.implementations.http"):
            self.check()
            self._failures.call(lambda: self._put_by_http(finished))
            self._check(finished)
            return
        if is_atomic(self._filesystem):
            self._put_whole(finished)
        else:
            self._put_and_rename(finished)
        self._check(finished)
        self._remove_sidecars()

    def _remove_sidecars(self) -> None:
        """Remove the sidecars of an earlier file, which GDAL would read as part of this one."""
        folder, slash, name = self._path.rpartition("/")

        def names() -> list[str]:
            self._forget()
            return [str(path).rpartition("/")[2] for path in self._filesystem.ls(folder or "", detail=False)]

        remove_remote_sidecars(
            self.name,
            name,
            names,
            lambda one: self._filesystem.rm_file(folder + slash + one),
            overwrite=self._overwrite,
        )

    def _put_whole(self, finished: Finished) -> None:
        try:
            self._failures.call(lambda: self._put_file(finished, self._path))
        except ExistsError:
            if not self._is_ours(finished):
                raise

    def _is_ours(self, finished: Finished) -> bool:
        """Return whether the object is this file: an earlier attempt made it, and its answer was lost."""
        self._forget()
        if not self._failures.call(lambda: self._filesystem.exists(self._path), "it can't be looked at"):
            return False
        info = self._failures.call(lambda: self._filesystem.info(self._path), "it can't be looked at")
        return info.get("size") == finished.size_bytes and _md5_of(info) == finished.md5

    def _exists_there(self) -> bool:
        self._forget()
        return bool(self._filesystem.exists(self._path))

    def _put_file(self, finished: Finished, path: str) -> None:
        options: dict[str, Any] = {} if self._overwrite else {"mode": "create"}
        if is_of(self._filesystem, "gcsfs"):
            options["content_type"] = CONTENT_TYPE
        elif is_of(self._filesystem, "adlfs"):
            options["content_settings"] = {"content_type": CONTENT_TYPE}
        self._filesystem.put_file(finished.path, path, **options)

    def _put_and_rename(self, finished: Finished) -> None:
        folder, slash, name = self._path.rpartition("/")
        beside = f"{folder}{slash}.{name[:20]}.{secrets.token_hex(4)}.part"
        try:
            self._failures.call(lambda: self._filesystem.put_file(finished.path, beside))
            self._compare(beside, finished)
            self.check()
            self._failures.call(lambda: self._filesystem.mv(beside, self._path), "it can't be given its name")
        except BaseException:
            with contextlib.suppress(Exception):  # what is raised already says more
                self._filesystem.rm_file(beside)
            raise

    def _put_by_http(self, finished: Finished) -> None:
        """Send one PUT with its length: fsspec's default is a POST in chunks, which few servers accept."""
        headers = getattr(self._filesystem, "kwargs", {}).get("headers") or {}
        sent = {"Content-Length": str(finished.size_bytes), "Content-Type": CONTENT_TYPE} | headers
        self._filesystem.put_file(
            finished.path, self._path, method="put", headers=sent, allow_redirects=False, raise_for_status=_refuse
        )

    def _check(self, finished: Finished) -> None:
        self._compare(self._path, finished)

    def _compare(self, path: str, finished: Finished) -> None:
        """Compare size and MD5 with what the filesystem reports; the check is skipped for write-only credentials."""

        def run() -> Mapping[str, Any] | None:
            self._forget()
            try:
                found: Mapping[str, Any] = self._filesystem.info(path)
            except Exception as error:
                if self._failures.explain(error).kind == "denied":
                    return None
                raise
            return found

        info = self._failures.call(run, "it was sent, but can't be looked at")
        if info is None:
            return
        size = info.get("size")
        if is_of(self._filesystem, "fsspec.implementations.http") and not size:
            return  # many servers report none
        if size is not None and int(size) != finished.size_bytes:
            raise WriteError(
                f"{self.name!r}: size mismatch: sent {finished.size_bytes} bytes, the store reports {size}"
            )
        said = _md5_of(info)
        if said is not None and said != finished.md5:
            raise WriteError(f"{self.name!r}: it did not arrive as it was sent: the store reports another MD5")

    def _forget(self) -> None:
        """Clear the filesystem's cache of folders, which may be older than the file."""
        forget = getattr(self._filesystem, "invalidate_cache", None)
        if callable(forget):
            forget()


def _md5_of(info: Mapping[str, Any]) -> bytes | None:
    """Return the MD5 that GCS and Azure report; None where there is none."""
    if isinstance(info.get("md5Hash"), str):
        return base64.b64decode(info["md5Hash"])
    settings = info.get("content_settings")
    get = getattr(settings, "get", None)  # Azure's is not a Mapping
    said = get("content_md5") if callable(get) else None
    return bytes(said) if said else None


class RefusedError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status} {reason}")
        self.status = status


async def _refuse(response: Any) -> None:
    """Raise for errors, and for redirects, which were not followed."""
    if response.status >= 300:
        raise RefusedError(response.status, str(response.reason))
