"""Multipart upload on threads, with the parts in flight bounded in bytes."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, wait
from contextlib import ExitStack
from functools import partial
from typing import Any

from georeader._core.threads import Workers
from georeader._export.sinks.part_store import PartStore
from georeader.errors import GeoreaderError

_LOG = logging.getLogger("georeader")

#: Threads that send.
SENDERS = 4

#: Who aborts waits so long for parts that are on their way.
PATIENCE_SECONDS = 5.0

#: And so long where somebody waits for Ctrl-C.
URGENT_PATIENCE_SECONDS = 0.2


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
        if self._aborted.is_set():  # it came after the abort, and would be kept for ever
            self._abort_upload(upload)
        return part

    def _land(self, *, only_arrived: bool = False) -> None:
        """Take what the store said of parts, or raise what it refused."""
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
        """Drop the parts that wait, and abort the upload in the store.

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
