"""Target for a store of obstore, to which a file is sent as a whole.

obstore's `put` is atomic: the object appears whole or not at all, and an upload in parts that fails is aborted.
"""

from __future__ import annotations

import base64
import mmap
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from georeader._core.reporting import import_extra
from georeader._core.threads import Workers
from georeader._export.plan.traits import plan_parts
from georeader._export.sinks.spooled import RemoteObject
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader.errors import ExistsError, WriteError

#: Files up to this size go by one request, of which nothing can be left behind. In S3 and GCS it is larger: an
#: incomplete upload stays there until a lifecycle rule removes it, while Azure removes blocks by itself.
ONE_REQUEST_BYTES = 64 * 2**20
WITHOUT_PARTS_BYTES = 2**30

#: And where nothing may be overwritten, up to this: only one request can be bound to a condition (Azure's limit is the
#: smallest, 5000 MiB).
CONDITIONAL_BYTES = 5000 * 2**20

#: Metadata by which a save knows its own blob where it may not replace another's: Azure's ETags are not checksums.
SAVE_NAME = "georeader_save"

#: Parts that are under way at once.
SENDERS = 4

_MIN_PART_BYTES = 5 * 2**20
_MAX_PARTS = 10_000

#: Stores that keep no content type.
_WITHOUT_ATTRIBUTES = ("LocalStore", "MemoryStore", "HTTPStore")

#: Stores that do not replace an object on the condition of its version.
_WITHOUT_VERSIONS = ("LocalStore", "HTTPStore")


@dataclass(repr=False, eq=False)
class ObstorePut(RemoteObject):
    """A `Target`: an object in a store of obstore, which ``make_store`` returns for bodies of so many bytes."""

    make_store: Callable[[int], Any]
    key: str

    def __post_init__(self) -> None:
        self._save = secrets.token_hex(16)
        self._etag = ""
        self._obstore = import_extra("obstore", extra="cloud", purpose=repr(self.name))

    def check(self) -> None:
        """Check the store, and that no object exists where it may not be replaced."""
        store = self.errors.call(lambda: self.make_store(0), "there is no such store", attempts=1)
        if not self.overwrite and self._head(store) is not None:
            raise self.errors.exists()

    def send(self, file: TemporaryFile) -> None:
        """Send the file, and compare what the store reports with it."""
        store = self.make_store(0)
        limit_bytes = ONE_REQUEST_BYTES if _is_azure(store) else WITHOUT_PARTS_BYTES
        if file.size_bytes <= (CONDITIONAL_BYTES if self._is_conditional else limit_bytes):
            self._at_once(file)
        elif not self.overwrite and self._head(store) is not None:
            raise self.errors.exists()
        else:
            self._in_parts(file)
        self.check_sent(file.size_bytes)

    def check_sent(self, size_bytes: int) -> None:
        """Compare what the store reports with what was sent, and remove sidecars of an earlier object."""
        store = self.make_store(0)
        found = self._head(store)
        if found is not None:
            etag = _etag_of(found)
            if not self.overwrite and self._etag and etag and etag != self._etag:
                raise self.errors.exists()  # another has replaced it, in a store that ignores the condition
            self.errors.check_size(size_bytes, found["size"])

        def paths_beside(prefix: str, stem: str) -> Iterable[str]:
            # The first page behind the name without its extension: a folder may hold any number of objects.
            folder = prefix.removesuffix("/") or None
            pages = self._obstore.list(store, folder, offset=prefix + stem, chunk_size=1000)
            paths = [str(one["path"]) for one in next(iter(pages), [])]
            return [path for path in paths if "/" not in path.removeprefix(prefix)]

        self.remove_sidecars(self.key, paths_beside, lambda path: self._obstore.delete(store, path))

    def _at_once(self, file: TemporaryFile) -> None:
        """Send it by one request, out of the pages of the disk's cache."""
        store = self.make_store(file.size_bytes)
        mode = self._mode(store)
        own = {SAVE_NAME: self._save} if _is_azure(store) and self._is_conditional else {}
        with Path(file.path).open("rb") as body:
            mapped = mmap.mmap(body.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last reference
        try:
            self._on_a_thread(lambda: self._put(store, mapped, own, mode=mode, use_multipart=False))
        except ExistsError:
            if not self._is_ours(store, file):
                raise

    @property
    def _is_conditional(self) -> bool:
        return not self.overwrite or self.if_match is not None

    def _mode(self, store: Any) -> Any:
        """Return the condition of a request: that no object exists, or only the version with an ETag."""
        if self.if_match is None or type(store).__name__ in _WITHOUT_VERSIONS:
            return "overwrite" if self.overwrite else "create"
        found = self._head(store)
        if found is None or found.get("e_tag") != self.if_match:
            raise self.errors.exists()
        return {name: found[name] for name in ("e_tag", "version") if found.get(name)}

    def _is_ours(self, store: Any, file: TemporaryFile) -> bool:
        """Return whether an object is this file: an earlier attempt made it, and its answer was lost."""
        found = self._head(store)
        if found is None or found["size"] != file.size_bytes:
            return False
        if not _is_azure(store):
            return _etag_of(found) == base64.b64decode(file.md5).hex()
        return self.has_mark(self._save, file.size_bytes)

    def has_mark(self, save: str, size_bytes: int) -> bool:
        """Return whether a blob in Azure has the mark of a save in its metadata, and its length."""
        store = self.make_store(0)
        found = self._head(store)
        if found is None or found["size"] != size_bytes:
            return False
        there = self.errors.call(lambda: self._obstore.get(store, self.key, options={"head": True}))
        return bool(there.attributes.get(SAVE_NAME) == save)

    def _in_parts(self, file: TemporaryFile) -> None:
        plan = plan_parts(0, file.size_bytes, min_part_bytes=_MIN_PART_BYTES, max_parts=_MAX_PARTS)
        store = self.make_store(plan.part_bytes)
        given_up = threading.Event()

        def pieces() -> Iterator[bytes]:
            for piece in file.pieces(plan.part_bytes):
                if given_up.is_set():  # an error here has obstore abort the upload
                    raise WriteError(f"{self.name!r}: the upload was given up")
                yield piece

        options: dict[str, Any] = {"use_multipart": True, "chunk_size": plan.part_bytes, "max_concurrency": SENDERS}
        earlier = self._head(store)
        try:
            self._on_a_thread(lambda: self._put(store, pieces(), {}, **options), given_up)
        except WriteError:
            # The answer to the request that makes the object may have been lost; the next one is then refused.
            found = self._head(store)
            if found is None or found["size"] != file.size_bytes or _version_of(found) == _version_of(earlier):
                raise

    def _on_a_thread(self, put: Callable[[], None], given_up: threading.Event | None = None) -> None:
        """Upload on a thread, since Ctrl-C does not interrupt obstore, but the wait for a thread."""
        with Workers(1, name="georeader-upload") as workers:
            try:
                workers.submit(lambda: self.errors.call(put)).result()
            except BaseException:
                if given_up is not None:
                    given_up.set()
                raise

    def _put(self, store: Any, body: Any, own: Mapping[str, str], **options: Any) -> None:
        content = {} if type(store).__name__ in _WITHOUT_ATTRIBUTES else {"Content-Type": self.content_type}
        self._etag = _etag_of(self._obstore.put(store, self.key, body, attributes={**content, **own}, **options))

    def _head(self, store: Any) -> Any:
        """Return the object's metadata; None where there is none, or for write-only credentials."""
        return self.errors.call_unless(
            lambda error: isinstance(error, FileNotFoundError) or self.errors.is_denied(error),
            lambda: self._obstore.head(store, self.key),
            "it cannot be checked",
        )


def _is_azure(store: Any) -> bool:
    return type(store).__name__ == "AzureStore"


def _etag_of(found: Mapping[str, Any]) -> str:
    return str(found.get("e_tag") or "").strip('"')


def _version_of(found: Any) -> Any:
    """Return what distinguishes an object from the one before it."""
    return None if found is None else (found.get("e_tag"), found.get("version"), found.get("last_modified"))
