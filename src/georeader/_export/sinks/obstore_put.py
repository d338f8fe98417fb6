"""Target for a store of obstore, to which a file is sent as a whole.

obstore's `put` is atomic: the object appears whole or not at all, and an upload in parts that fails is aborted.
"""

from __future__ import annotations

import mmap
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from georeader._core.reporting import import_extra
from georeader._core.threads import Workers
from georeader._export.plan.traits import plan_parts
from georeader._export.sinks.sidecars import remove_remote_sidecars
from georeader._export.sinks.spooled import CONTENT_TYPE, Finished
from georeader._storage.remote_errors import ADVICE, Failure, RemoteErrors
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


class ObstorePut:
    """A `Target`: an object to be written to a store of obstore."""

    def __init__(
        self, make_store: Callable[[int], Any], key: str, failures: RemoteErrors, *, overwrite: bool = True
    ) -> None:
        """Keep the arguments; no request is sent yet.

        Args:
            make_store: Returns the store, for bodies of so many bytes.
            key: Of the object in it.
            failures: Converts the errors of this object.
            overwrite: False: an object that is there already is an error.
        """
        self.name = failures.name
        self._make_store = make_store
        self._key = key
        self._failures = failures
        self._overwrite = overwrite
        self._save = secrets.token_hex(16)
        self._etag = ""
        self._obstore = import_extra("obstore", extra="cloud", purpose=repr(self.name))

    def check(self) -> None:
        """Check the store, and that no object exists where it may not be replaced.

        Raises:
            ExistsError: An object exists.
            DestinationError: The store refuses the request.
        """
        store = self._failures.call(lambda: self._make_store(0), "there is no such store", attempts=1)
        if not self._overwrite and self._size_there(store) is not None:
            raise self._exists()

    def send(self, finished: Finished) -> None:
        """Send the file.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It can't be sent, or has another size there.
        """
        if not self._overwrite and finished.size_bytes > CONDITIONAL_BYTES:
            store = self._make_store(0)
            if self._size_there(store) is not None:
                raise self._exists()
            self._in_parts(finished)
        elif not self._overwrite or finished.size_bytes <= self._one_request_bytes():
            self._at_once(finished)
        else:
            self._in_parts(finished)
        self._check_there(finished)
        self._remove_sidecars()

    def _check_there(self, finished: Finished) -> None:
        """Compare what the store reports with what was sent."""
        found = self._head(self._make_store(0))
        if found is None:
            return
        etag = str(found.get("e_tag") or "").strip('"')
        if not self._overwrite and self._etag and etag and etag != self._etag:
            raise self._exists()  # another has replaced it, in a store that ignores the condition
        if found["size"] != finished.size_bytes:
            raise WriteError(
                f"{self.name!r}: size mismatch: sent {finished.size_bytes} bytes, the store reports {found['size']}"
            )

    def _remove_sidecars(self) -> None:
        """Remove the sidecars of an earlier object, which GDAL would read as part of this one."""
        store = self._make_store(0)
        folder, slash, name = self._key.rpartition("/")
        prefix = folder + slash

        def names() -> list[str]:
            # The first page behind the name without its extension: a folder may hold any number of objects.
            offset = prefix + (name.rpartition(".")[0] or name)
            page: Any = next(iter(self._obstore.list(store, folder or None, offset=offset, chunk_size=1000)), [])
            return [one["path"].removeprefix(prefix) for one in page if "/" not in one["path"].removeprefix(prefix)]

        remove_remote_sidecars(
            self.name, name, names, lambda one: self._obstore.delete(store, prefix + one), overwrite=self._overwrite
        )

    def _one_request_bytes(self) -> int:
        return ONE_REQUEST_BYTES if type(self._make_store(0)).__name__ == "AzureStore" else WITHOUT_PARTS_BYTES

    def _at_once(self, finished: Finished) -> None:
        """Send it by one request, out of the pages of the disk's cache."""
        store = self._make_store(finished.size_bytes)
        mode = "overwrite" if self._overwrite else "create"
        with Path(finished.path).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last reference
        try:
            is_azure = type(store).__name__ == "AzureStore"
            own = {SAVE_NAME: self._save} if is_azure and not self._overwrite else {}
            self._on_a_thread(lambda: self._put(store, mapped, own, mode=mode, use_multipart=False))
        except ExistsError:
            if not self._is_ours(store, finished):
                raise

    def _is_ours(self, store: Any, finished: Finished) -> bool:
        """Return whether an object is this file: an earlier attempt made it, and its answer was lost."""
        found = self._head(store)
        if found is None or int(found["size"]) != finished.size_bytes:
            return False
        if type(store).__name__ != "AzureStore":
            return str(found.get("e_tag")).strip('"') == finished.md5.hex()
        there = self._failures.call(lambda: self._obstore.get(store, self._key, options={"head": True}))
        return bool(there.attributes.get(SAVE_NAME) == self._save)

    def _in_parts(self, finished: Finished) -> None:
        plan = plan_parts(0, finished.size_bytes, min_part_bytes=_MIN_PART_BYTES, max_parts=_MAX_PARTS)
        store = self._make_store(plan.part_bytes)
        given_up = threading.Event()

        def pieces() -> Iterator[bytes]:
            for piece in finished.pieces(plan.part_bytes):
                if given_up.is_set():  # an error here has obstore abort the upload
                    raise WriteError(f"{self.name!r}: the upload was given up")
                yield piece

        options: dict[str, Any] = {"use_multipart": True, "chunk_size": plan.part_bytes, "max_concurrency": SENDERS}
        earlier = self._head(store)
        try:
            self._on_a_thread(lambda: self._put(store, pieces(), None, **options), given_up)
        except WriteError:
            # The answer to the request that makes the object may have been lost; the next one is then refused.
            found = self._head(store)
            if found is None or found["size"] != finished.size_bytes or _version_of(found) == _version_of(earlier):
                raise

    def _on_a_thread(self, put: Callable[[], None], given_up: threading.Event | None = None) -> None:
        """Upload on a thread, since Ctrl-C does not interrupt obstore, but the wait for a thread."""
        with Workers(1, name="georeader-upload") as workers:
            try:
                workers.submit(lambda: self._failures.call(put)).result()
            except BaseException:
                if given_up is not None:
                    given_up.set()
                raise

    def _put(self, store: Any, body: Any, own: Mapping[str, str] | None = None, **options: Any) -> None:
        attributes = self._attributes(store) | dict(own or {})
        result = self._obstore.put(store, self._key, body, attributes=attributes, **options)
        self._etag = str(result.get("e_tag") or "").strip('"')

    @staticmethod
    def _attributes(store: Any) -> dict[str, str]:
        """Return the content type, for stores that keep one."""
        return (
            {} if type(store).__name__ in ("LocalStore", "MemoryStore", "HTTPStore") else {"Content-Type": CONTENT_TYPE}
        )

    def _size_there(self, store: Any) -> int | None:
        """Return the size of the object; None where there is none, or for write-only credentials."""
        found = self._head(store)
        return None if found is None else int(found["size"])

    def _head(self, store: Any) -> Any:
        """Return the object's metadata; None where there is none, or for write-only credentials."""

        def run() -> Any:
            try:
                return self._obstore.head(store, self._key)
            except FileNotFoundError:
                return None
            except Exception as error:
                failure: Failure = self._failures.explain(error)
                if failure.kind == "denied":
                    return None
                raise

        return self._failures.call(run, "it can't be looked at")

    def _exists(self) -> ExistsError:
        return ExistsError(f"{self.name!r} {ADVICE['exists']}")


def _version_of(found: Any) -> Any:
    """Return what distinguishes an object from the one before it."""
    return None if found is None else (found.get("e_tag"), found.get("version"), found.get("last_modified"))
