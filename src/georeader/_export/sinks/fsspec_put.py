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
from dataclasses import dataclass
from typing import Any

from georeader._export.sinks.spooled import RemoteObject
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader._storage.filesystems import is_of
from georeader.errors import ExistsError

#: Packages whose `put_file` makes an object appear whole or not at all; all others get a name that is then changed.
ATOMIC_PACKAGES = ("s3fs", "gcsfs", "adlfs", "obstore")


@dataclass(repr=False, eq=False)
class FsspecPut(RemoteObject):
    """A `Target`: a path, without its protocol, in a filesystem of fsspec.

    A process that is killed leaves a file ``.<name>.<random>.part`` beside the destination where the filesystem is one
    of files (SFTP, FTP, SMB, HDFS, ...); object stores expire incomplete uploads.
    """

    filesystem: Any
    path: str

    def check(self) -> None:
        """Check that no file exists, where it may not be replaced."""
        if not self.overwrite and self._exists():
            raise self.errors.exists()

    def send(self, file: TemporaryFile) -> None:
        """Upload the file."""
        if self._is_http:
            self.check()
            self.errors.call(lambda: self._put_by_http(file))
            self._compare(self.path, file)
            return
        if any(is_of(self.filesystem, package) for package in ATOMIC_PACKAGES):
            self._put_whole(file)
        else:
            self._put_and_rename(file)
        self._compare(self.path, file)
        self.remove_sidecars(
            self.path,
            lambda prefix, _: self._fresh().ls(prefix.removesuffix("/"), detail=False),
            lambda path: self.filesystem.rm_file(path),
        )

    @property
    def _is_http(self) -> bool:
        return is_of(self.filesystem, "fsspec.implementations.http")

    def _put_whole(self, file: TemporaryFile) -> None:
        options: dict[str, Any] = {} if self.overwrite else {"mode": "create"}
        if is_of(self.filesystem, "gcsfs"):
            options["content_type"] = self.content_type
        elif is_of(self.filesystem, "adlfs"):
            options["content_settings"] = {"content_type": self.content_type}
        try:
            self.errors.call(lambda: self.filesystem.put_file(file.path, self.path, **options))
        except ExistsError:
            if not self._is_ours(file):
                raise

    def _is_ours(self, file: TemporaryFile) -> bool:
        """Return whether the object is this file: an earlier attempt made it, and its answer was lost."""
        if not self._exists():
            return False
        info = self.errors.call(lambda: self.filesystem.info(self.path), "it cannot be checked")
        return info.get("size") == file.size_bytes and _md5_of(info) == file.md5

    def _put_and_rename(self, file: TemporaryFile) -> None:
        folder, slash, name = self.path.rpartition("/")
        beside = f"{folder}{slash}.{name[:20]}.{secrets.token_hex(4)}.part"
        try:
            self.errors.call(lambda: self.filesystem.put_file(file.path, beside))
            self._compare(beside, file)
            self.check()
            self.errors.call(lambda: self.filesystem.mv(beside, self.path), "it cannot be renamed")
        except BaseException:
            with contextlib.suppress(Exception):  # what is raised already says more
                self.filesystem.rm_file(beside)
            raise

    def _put_by_http(self, file: TemporaryFile) -> None:
        """Send one PUT with its length: fsspec's default is a POST in chunks, which few servers accept."""
        headers = getattr(self.filesystem, "kwargs", {}).get("headers") or {}
        sent = {"Content-Length": str(file.size_bytes), "Content-Type": self.content_type} | headers
        self.filesystem.put_file(
            file.path, self.path, method="put", headers=sent, allow_redirects=False, raise_for_status=_refuse
        )

    def _compare(self, path: str, file: TemporaryFile) -> None:
        """Compare size and MD5 with what the filesystem reports; the check is skipped for write-only credentials."""
        doing = "it was sent, but cannot be checked"
        info = self.errors.call_unless(self.errors.is_denied, lambda: self._fresh().info(path), doing) or {}
        size = info.get("size")
        if self._is_http and not size:
            return  # many servers report none
        self.errors.check_size(file.size_bytes, None if size is None else int(size))
        self.check_md5(_md5_of(info), file)

    def _exists(self) -> bool:
        return self.errors.call(lambda: bool(self._fresh().exists(self.path)), "it cannot be checked")

    def _fresh(self) -> Any:
        """Return the filesystem without its cache of folders, which may be older than the file."""
        forget = getattr(self.filesystem, "invalidate_cache", None)
        if callable(forget):
            forget()
        return self.filesystem


def _md5_of(info: Mapping[str, Any]) -> str | None:
    """Return the MD5 that GCS and Azure report, in base64; None where there is none."""
    if isinstance(info.get("md5Hash"), str):
        return str(info["md5Hash"])
    get = getattr(info.get("content_settings"), "get", None)  # Azure's is not a Mapping
    said = get("content_md5") if callable(get) else None
    return base64.b64encode(said).decode() if said else None


class RefusedError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status} {reason}")
        self.status = status


async def _refuse(response: Any) -> None:
    """Raise for errors, and for redirects, which were not followed."""
    if response.status >= 300:
        raise RefusedError(response.status, str(response.reason))
