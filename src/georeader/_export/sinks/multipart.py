"""Multipart uploads: of a file while it is made, or of one that is complete, in parts of one size.

The first kind sends the full resolution as it is made, and what lies before it at the end. Low part numbers are kept
for header and overviews. Where overviews and full resolution meet, and at the header, parts are held back until the
end, so that every part but the last is full.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from georeader._core.threads import Workers
from georeader._export.plan.traits import SectionSizes, SinkTraits, even_edges, plan_parts
from georeader._export.sinks.base import Scratch, Sink
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader._readers.byte_source import ByteSource
from georeader.errors import GeoreaderError, WriteError

_LOG = logging.getLogger("georeader")

#: Threads that send.
SENDERS = 4

#: An abort waits so long for parts in flight.
PATIENCE_SECONDS = 5.0

#: And so long after Ctrl-C.
URGENT_PATIENCE_SECONDS = 0.2


class PartUpload:
    """Sends parts and completes the object; the upload begins with the first part. Its methods raise GeoreaderError.

    Memory: as many parts as there are senders, and one that waits.
    """

    def __init__(self, store: PartObject) -> None:
        self._store = store
        self._workers = Workers(SENDERS, name="georeader-upload")
        self._upload: str | None = None
        self._flying: dict[int, Future[Any]] = {}
        self._free_senders = threading.Semaphore(SENDERS)
        self._parts: dict[int, Any] = {}
        self._size_bytes = 0
        self._given_up = threading.Event()
        self._aborted = threading.Event()

    @property
    def is_begun(self) -> bool:
        """Whether a part was sent."""
        return self._upload is not None

    def send(self, number: int, body: bytes) -> None:
        """Send a part, as soon as a sender is free; raises the errors of earlier ones, too."""
        self._begin_part(number, partial(self._store.send, body=body), len(body))

    def copy(self, number: int, copy: Callable[[str, int], Any], size_bytes: int) -> None:
        """Have the store make a part of what it has, of so many bytes: ``copy(upload, number)`` asks for it."""
        self._begin_part(number, copy, size_bytes)

    def _begin_part(self, number: int, make: Callable[[str, int], Any], size_bytes: int) -> None:
        if self._upload is None:
            self._upload = self._store.begin()
            self._workers.__enter__()
        self._free_senders.acquire()
        self._land(only_arrived=True)
        self._size_bytes += size_bytes
        self._flying[number] = self._workers.submit(partial(self._make_part, self._upload, number, make))

    def _make_part(self, upload: str, number: int, make: Callable[[str, int], Any]) -> Any:
        if self._given_up.is_set():
            return None
        try:
            part = make(upload, number)
        finally:
            self._free_senders.release()
        if self._aborted.is_set():  # it arrived after the abort, and would be kept
            self._abort_upload(upload)
        return part

    def _land(self, *, only_arrived: bool = False) -> None:
        """Take the results of parts, or raise their errors."""
        for number, future in tuple(self._flying.items()):
            if future.done() or not only_arrived:
                self._parts[number] = future.result()
                del self._flying[number]

    def begin(self) -> str:
        """Begin the upload, whose parts other processes send."""
        self._upload = self._store.begin()
        return self._upload

    def adopt(self, number: int, answer: Any, size_bytes: int) -> None:
        """Take a part that another process has sent; one that was sent twice counts once."""
        if number not in self._parts:
            self._size_bytes += size_bytes
        self._parts[number] = answer

    def complete(self) -> None:
        """Wait for all parts and make the object; after an error the destination is as it was."""
        self._land()
        if self._upload is not None:
            self._store.complete(self._upload, self._parts, self._size_bytes)
            self._upload = None
            self._workers.__exit__(None, None, None)

    def abort(self, *, is_urgent: bool = False) -> None:
        """Drop queued parts, and abort the upload in the store.

        If it is urgent, parts in flight are not waited for long: the thread that sends the last one aborts again.
        """
        self._given_up.set()
        upload, self._upload = self._upload, None
        if upload is None:
            return
        futures = [future for future in self._flying.values() if not future.cancel()]
        self._flying.clear()
        wait(futures, URGENT_PATIENCE_SECONDS if is_urgent else PATIENCE_SECONDS)
        self._aborted.set()
        self._abort_upload(upload)
        # Threads that hang in a request are daemons; they end by themselves, and their results are dropped.
        self._workers.__exit__(KeyboardInterrupt, None, None)

    def _abort_upload(self, upload: str) -> None:
        try:
            self._store.abort(upload)
        except GeoreaderError as error:
            _LOG.warning(
                "%s: the upload %s cannot be aborted: %s; its parts remain in the store until a lifecycle rule of the "
                "bucket (AbortIncompleteMultipartUpload) removes them",
                self._store.name, upload, error,
            )  # fmt: skip


class PartObject(Protocol):
    """An object that is made of parts; its methods raise DestinationError, ExistsError or WriteError."""

    min_part_bytes: int
    max_parts: int

    @property
    def name(self) -> str:
        """The object, without secrets."""
        ...

    def check(self) -> None:
        """Raise an error, before anything is sent, if the object is sure to be refused."""
        ...

    def put(self, body: bytes) -> None:
        """Send the object in one piece."""
        ...

    def begin(self) -> str:
        """Begin an upload; return its id."""
        ...

    def send(self, upload: str, number: int, body: bytes) -> Any:
        """Send a part; return what completes the object with it."""
        ...

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        """Make the object of its parts, in the order of their numbers."""
        ...

    def abort(self, upload: str) -> None:
        """Drop an upload and its parts."""
        ...


@dataclass(frozen=True)
class SharedParts:
    """An upload, as other processes see it, to which it is passed by pickling; their clients are their own."""

    upload: str = field(repr=False)
    reopen: Callable[[], PartObject] = field(repr=False, compare=False)  #: Returns the store in another process

    def send_part(self, number: int, body: bytes) -> Any:
        """Send a part, and return what completes the object with it; raises WriteError."""
        return _reopened(self).send(self.upload, number, body)


@lru_cache(maxsize=8)
def _reopened(shared: SharedParts) -> PartObject:
    """Return the store of an upload: a client takes a tenth of a second to make."""
    return shared.reopen()


@dataclass
class _Section:
    """One section of a file, cut into full parts; the first part is held back, the others are sent."""

    part_bytes: int
    number: int  #: Of the next part that is sent.
    stop_number: int | None = None  #: No part has this number or a higher one.
    size_bytes: int = 0
    first: list[bytes | memoryview] = field(default_factory=list)  #: The part that is held back.
    rest: list[bytes | memoryview] = field(default_factory=list)  #: Begins the next part.
    rest_bytes: int = 0

    @property
    def first_is_full(self) -> bool:
        return self.size_bytes >= self.part_bytes

    def append(self, piece: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
        """Append a piece, without a copy; iterate over the full parts, with their numbers."""
        while len(piece):
            is_first = not self.first_is_full
            room_bytes = self.part_bytes - (self.size_bytes if is_first else self.rest_bytes)
            taken: bytes | memoryview = piece if len(piece) <= room_bytes else memoryview(piece)[:room_bytes]
            (self.first if is_first else self.rest).append(taken)
            self.size_bytes += len(taken)
            self.rest_bytes += 0 if is_first else len(taken)
            piece = memoryview(piece)[len(taken) :]
            if self.rest_bytes == self.part_bytes:
                full, self.rest, self.rest_bytes = self.rest, [], 0
                yield self.number, b"".join(full)
                self.number += 1


class PartedSink(Sink):
    """A sink that uploads an object in parts, as a context manager.

    Memory: up to nine parts (`traits.PART_BYTES` each, more for files beyond some 60 GB), and the header.
    """

    def __init__(
        self,
        store: PartObject,
        *,
        dir_tmpfiles: Path | None = None,
        reopen: Callable[[], PartObject] | None = None,
        checks: bool = True,
    ) -> None:
        """Check whether the store can be written to, unless it is not to be asked; nothing is written yet.

        ``reopen`` opens the store in another process, to which it is pickled.
        """
        super().__init__(store.name, Scratch(store.name, dir_tmpfiles))
        self._reopen = reopen
        self.traits = SinkTraits(
            parallel_writes=False,
            out_of_order_parts=True,
            min_part_bytes=store.min_part_bytes,
            max_parts=store.max_parts,
        )
        self._store = store
        self._upload = PartUpload(store)
        self._is_made = False  # of parts that were sent or copied already
        self.begin(SectionSizes())
        if checks:
            store.check()

    def begin(self, sizes: SectionSizes) -> None:
        """Take the sizes of the sections; all are upper bounds."""
        plan = plan_parts(
            sizes.header_bytes + sizes.overviews_bytes,
            sizes.full_resolution_bytes,
            min_part_bytes=self.traits.min_part_bytes,
            max_parts=self.traits.max_parts,
        )
        self._header = b""
        # The number before the full resolution's first is for the part in which the sections meet.
        self._overviews = _Section(plan.part_bytes, 2, plan.first_tail_number - 1)
        self._full_resolution = _Section(plan.part_bytes, plan.first_tail_number)

    def share(self) -> SharedParts:
        """Begin the upload, and return what other processes send parts of it with; they are added by `adopt`."""
        self._check_open()
        self._is_made = True
        if self._reopen is None:
            raise WriteError(f"{self.given!r}: other processes cannot open this store")
        return SharedParts(self._upload.begin(), self._reopen)

    def abort_upload(self, upload: str) -> None:
        """Abort an upload of this object that another process has begun."""
        self._store.abort(upload)

    def adopt(self, number: int, answer: Any, size_bytes: int) -> None:
        """Add a part that another process has sent."""
        self._upload.adopt(number, answer, size_bytes)

    def write_header(self, *pieces: bytes | memoryview) -> None:
        """Take the header."""
        self._check_open()
        self._header = b"".join(pieces)

    def write_copy(self, header: bytes, source: ByteSource, start_bytes: int, length_bytes: int) -> int | None:
        """Write a header, and behind it a range of another file, which a store copies that has it.

        The first part is the header with the beginning of the range, as long as a part must be; only that passes
        through this process.
        """
        copy, place = getattr(self._store, "copy", None), source.place
        head_bytes = min(length_bytes, max(0, self._store.min_part_bytes - len(header)))
        rest_bytes = length_bytes - head_bytes
        etag = source.version() if place is not None else None
        is_there = place is not None and place.endpoint == getattr(self._store, "endpoint", None)
        if copy is None or not is_there or etag is None or rest_bytes < self._store.min_part_bytes:
            return super().write_copy(header, source, start_bytes, length_bytes)
        self._check_open()
        self._is_made = True
        self._upload.send(1, header + source.read_at(start_bytes, head_bytes))
        edges = even_edges(start_bytes + head_bytes, start_bytes + length_bytes, self._store.max_parts - 1)
        for number, (start, stop) in enumerate(pairwise(edges), start=2):
            make = partial(copy, source=place, etag=etag, byte_range=(start, stop))
            self._upload.copy(number, make, stop - start)
        return None

    def write_overviews(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Take the next bytes of the overviews."""
        self._write(self._overviews, offset_bytes, *pieces)

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Take the next bytes of the full resolution."""
        self._write(self._full_resolution, offset_bytes, *pieces)

    def _write(self, section: _Section, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        self._check_open()
        if offset_bytes != section.size_bytes:
            raise WriteError(f"{self.given!r}: the next offset must be {section.size_bytes}, got {offset_bytes}")
        for piece in pieces:
            for number, part in section.append(piece):
                if number == section.stop_number:
                    raise WriteError(f"{self.given!r}: overviews take more parts than were planned for, {number - 2}")
                self._upload.send(number, part)

    def commit(self) -> None:
        """Send what was held back, and make the object; after an error the destination is as it was."""
        self._check_open()
        if self._is_made:
            self._upload.complete()
            self._close()
            return
        if self._staged is not None:  # a file that another writer made
            self.begin(SectionSizes(full_resolution_bytes=self._staged.size_bytes))
            for piece in self._staged.pieces():
                self.write_full_resolution(self._full_resolution.size_bytes, piece)
        head, tail = self._overviews, self._full_resolution
        if not (self._header or head.size_bytes or tail.size_bytes):
            raise WriteError(f"{self.given!r}: there is no file to send")
        if not self._upload.is_begun:
            self._store.put(b"".join((self._header, *head.first, *head.rest, *tail.first, *tail.rest)))
        elif head.first_is_full:
            self._send_all((1, [self._header, *head.first]), (head.number, [*head.rest, *tail.first]))
        else:
            self._send_all((1, [self._header, *head.first, *tail.first]))
        self._upload.complete()
        self._close()

    def _send_all(self, *joined: tuple[int, list[bytes | memoryview]]) -> None:
        """Send parts that are put together of what was held back, and the last part of the file."""
        for number, pieces in (*joined, (self._full_resolution.number, self._full_resolution.rest)):
            body = b"".join(pieces)
            if body:
                self._upload.send(number, body)

    def abort(self, *, is_urgent: bool = False) -> None:
        """Abort the upload in the store, and remove temporary files."""
        self._is_open = False
        self._upload.abort(is_urgent=is_urgent)
        self._close()


@dataclass(repr=False, eq=False)
class EvenParts:
    """A `Target` that uploads parts of one size. Memory: as many as there are senders, and one that waits."""

    store: PartObject

    @property
    def name(self) -> str:
        """The object, without secrets."""
        return self.store.name

    def check(self) -> None:
        """Check that the store can be written to."""
        self.store.check()

    def send(self, file: TemporaryFile) -> None:
        """Send the file, part by part; after an error the destination is as it was."""
        store, size_bytes = self.store, file.size_bytes
        plan = plan_parts(0, size_bytes, min_part_bytes=store.min_part_bytes, max_parts=store.max_parts)
        if size_bytes <= SENDERS * plan.part_bytes:
            store.put(b"".join(file.pieces()))
            return
        upload = PartUpload(store)
        try:
            for number, piece in enumerate(file.pieces(plan.part_bytes), start=1):
                upload.send(number, piece)
            upload.complete()
        except BaseException as error:
            upload.abort(is_urgent=not isinstance(error, Exception))
            raise
