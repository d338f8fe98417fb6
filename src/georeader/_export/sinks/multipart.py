"""Multipart uploads: of a file while it is made, or of one that is complete, in parts of one size.

The first kind sends the full resolution as it is made, and what lies before it at the end. Low part numbers are kept
for header and overviews. Where overviews and full resolution meet, and at the header, parts are held back until the
end, so that every part but the last is full.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from georeader._core.threads import Workers
from georeader._export.plan.traits import SectionSizes, SinkTraits, plan_parts
from georeader._export.sinks.base import StagingSink
from georeader._export.sinks.spooled import PIECE_BYTES, Finished
from georeader._export.sinks.temporary_file import Scratch, TemporaryFile
from georeader.errors import GeoreaderError, WriteError

_LOG = logging.getLogger("georeader")

#: Threads that send.
SENDERS = 4

#: An abort waits so long for parts in flight.
PATIENCE_SECONDS = 5.0

#: And so long after Ctrl-C.
URGENT_PATIENCE_SECONDS = 0.2


class PartStore(Protocol):
    """One object to be written to a store in numbered parts.

    Its methods raise errors of the project's own tree, without secrets, after retries of transient errors.

    Attributes:
        name: Of the destination, without secrets.
        min_part_bytes: Of every part but the last.
        max_parts: Highest number of a part.
    """

    name: str
    min_part_bytes: int
    max_parts: int

    def check(self) -> None:
        """Raise DestinationError, before anything is written, if the upload is sure to fail."""
        ...

    def put(self, body: bytes) -> None:
        """Upload the object in one piece."""
        ...

    def begin(self) -> str:
        """Begin a multipart upload; return its id."""
        ...

    def send(self, upload: str, number: int, body: bytes) -> Any:
        """Send a part, on any thread; return what `complete` needs of it."""
        ...

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        """Complete the object from its parts, in the order of their numbers, and check its size."""
        ...

    def abort(self, upload: str) -> None:
        """Abort the upload; raises WriteError."""
        ...


class PartUpload:
    """Sends parts and completes the object; the upload begins with the first part.

    Memory: as many parts as there are senders, and one that waits.
    """

    def __init__(self, store: PartStore) -> None:
        """Prepare an upload; nothing is sent yet."""
        self._store = store
        self._workers = Workers(SENDERS, name="georeader-upload")
        self._cleanup = ExitStack()
        self._upload: str | None = None
        self._flying: list[tuple[int, Future[Any]]] = []
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
        """Send a part, as soon as a sender is free.

        Raises:
            GeoreaderError: This or an earlier part can't be sent.
        """
        if self._upload is None:
            self._upload = self._store.begin()
            self._cleanup.enter_context(self._workers)
        self._free_senders.acquire()
        self._land(only_arrived=True)
        self._size_bytes += len(body)
        self._flying.append((number, self._workers.submit(partial(self._send, self._upload, number, body))))

    def _send(self, upload: str, number: int, body: bytes) -> Any:
        if self._given_up.is_set():
            return None
        try:
            part = self._store.send(upload, number, body)
        finally:
            self._free_senders.release()
        if self._aborted.is_set():  # it arrived after the abort, and would be kept
            self._abort_upload(upload)
        return part

    def _land(self, *, only_arrived: bool = False) -> None:
        """Take the results of parts, or raise their errors."""
        for flight in tuple(self._flying):
            number, future = flight
            if future.done() or not only_arrived:
                self._parts[number] = future.result()
                self._flying.remove(flight)

    def complete(self) -> None:
        """Wait for all parts and make the object.

        Raises:
            GeoreaderError: A part can't be sent, or the object can't be made; the destination is as it was.
        """
        self._land()
        if self._upload is not None:
            self._store.complete(self._upload, self._parts, self._size_bytes)
            self._upload = None
        self._cleanup.close()

    def abort(self, *, is_urgent: bool = False) -> None:
        """Drop queued parts, and abort the upload in the store.

        Args:
            is_urgent: Do not wait long for parts in flight: the thread that sends the last one aborts again.
        """
        self._given_up.set()
        upload, self._upload = self._upload, None
        if upload is None:
            return
        futures = [future for _, future in self._flying if not future.cancel()]
        self._flying.clear()
        wait(futures, URGENT_PATIENCE_SECONDS if is_urgent else PATIENCE_SECONDS)
        self._aborted.set()
        self._abort_upload(upload)
        # Threads that hang in a request are daemons; they end by themselves, and their results are dropped.
        self._workers.__exit__(KeyboardInterrupt, None, None)
        self._cleanup.pop_all()

    def _abort_upload(self, upload: str) -> None:
        try:
            self._store.abort(upload)
        except GeoreaderError as error:
            _LOG.warning(
                "%s: the upload %s cannot be aborted: %s; its parts remain in the store until a lifecycle rule of the "
                "bucket (AbortIncompleteMultipartUpload) removes them",
                self._store.name, upload, error,
            )  # fmt: skip


class _Section:
    """One section of a file, cut into full parts; the first part is held back, the others are sent.

    Attributes:
        number: Of the next part that is sent.
        stop_number: No part has this number or a higher one; None: there is no limit.
        size_bytes: Length so far.
        first: What is held back.
        rest: Begins the next part.
    """

    def __init__(self, part_bytes: int, number: int, stop_number: int | None = None) -> None:
        self.number = number
        self.stop_number = stop_number
        self.size_bytes = 0
        self.first: list[bytes | memoryview] = []
        self.rest: list[bytes | memoryview] = []
        self._part_bytes = part_bytes
        self._rest_bytes = 0

    @property
    def first_is_full(self) -> bool:
        return self.size_bytes >= self._part_bytes

    def append(self, piece: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
        """Append a piece, without a copy; iterate over the full parts, with their numbers."""
        while len(piece):
            is_first = not self.first_is_full
            room_bytes = self._part_bytes - (self.size_bytes if is_first else self._rest_bytes)
            taken: bytes | memoryview = piece if len(piece) <= room_bytes else memoryview(piece)[:room_bytes]
            (self.first if is_first else self.rest).append(taken)
            self.size_bytes += len(taken)
            self._rest_bytes += 0 if is_first else len(taken)
            piece = memoryview(piece)[len(taken) :]
            if self._rest_bytes == self._part_bytes:
                full, self.rest, self._rest_bytes = self.rest, [], 0
                yield self.number, b"".join(full)
                self.number += 1


class PartedSink(StagingSink):
    """A sink that uploads to a `PartStore`, as a context manager.

    Memory: up to nine parts (`traits.PART_BYTES` each, more for files beyond some 60 GB), and the header.
    """

    def __init__(self, store: PartStore, *, dir_tmpfiles: Path | None = None) -> None:
        """Check whether the store can be written to; nothing is written yet.

        Args:
            store: Where the parts go.
            dir_tmpfiles: Folder for temporary files; the system's by default.

        Raises:
            DestinationError: It cannot.
        """
        super().__init__(store.name, Scratch(store.name, dir_tmpfiles))
        self.traits = SinkTraits(
            random_access=False,
            parallel_writes=False,
            out_of_order_parts=True,
            min_part_bytes=store.min_part_bytes,
            max_parts=store.max_parts,
        )
        self._store = store
        self._upload = PartUpload(store)
        self.begin(SectionSizes())
        store.check()

    def begin(self, sizes: SectionSizes) -> None:
        """Take the sizes of the sections, once, before the first write; all are upper bounds."""
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

    def write_header(self, *pieces: bytes | memoryview) -> None:
        """Take the header."""
        self._check_open()
        self._header = b"".join(pieces)

    def write_overviews(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Take the next bytes of the overviews.

        Raises:
            WriteError: A part cannot be sent.
            DestinationError: The store refuses parts.
        """
        self._write(self._overviews, offset_bytes, *pieces)

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Take the next bytes of the full resolution; raises as `write_overviews`."""
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

    @property
    def size_bytes(self) -> int:
        """Length of what was written so far."""
        self._check_open()
        staged_bytes = 0 if self._staged is None else self._staged.size_bytes
        return staged_bytes or len(self._header) + self._overviews.size_bytes + self._full_resolution.size_bytes

    def commit(self) -> None:
        """Send what was held back, and make the object.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It cannot be sent; the destination is as it was.
        """
        self._check_open()
        if self._staged is not None:
            self._take_staged(self._staged)
        if not self.size_bytes:
            raise WriteError(f"{self.given!r}: there is no file to send")
        head, tail = self._overviews, self._full_resolution
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

    def _take_staged(self, staged: TemporaryFile) -> None:
        """Send a file that another writer made."""
        size_bytes = staged.size_bytes
        self.begin(SectionSizes(full_resolution_bytes=size_bytes))
        for offset_bytes in range(0, size_bytes, PIECE_BYTES):
            piece = staged.read_at(offset_bytes, min(PIECE_BYTES, size_bytes - offset_bytes))
            self.write_full_resolution(offset_bytes, piece)

    def abort(self, *, is_urgent: bool = False) -> None:
        """Abort the upload in the store, and remove temporary files.

        Args:
            is_urgent: The process is about to end, so parts in flight are waited for only briefly.
        """
        self._is_open = False
        self._upload.abort(is_urgent=is_urgent)
        self._close()


class EvenParts:
    """A `Target` before a `PartStore`. Memory: as many parts as there are senders, and one that waits."""

    def __init__(self, store: PartStore) -> None:
        """Keep a store."""
        self.name = store.name
        self._store = store

    def check(self) -> None:
        """Raise what the store's check raises."""
        self._store.check()

    def send(self, finished: Finished) -> None:
        """Send the file, part by part.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It can't be sent; the destination is as it was.
        """
        store = self._store
        plan = plan_parts(0, finished.size_bytes, min_part_bytes=store.min_part_bytes, max_parts=store.max_parts)
        if finished.size_bytes <= SENDERS * plan.part_bytes:
            store.put(b"".join(finished.pieces()))
            return
        upload = PartUpload(store)
        try:
            for number, piece in enumerate(finished.pieces(plan.part_bytes), start=1):
                upload.send(number, piece)
            upload.complete()
        except BaseException as error:
            upload.abort(is_urgent=not isinstance(error, Exception))
            raise
