"""Sink for multipart uploads: the full resolution is sent while it is made, what lies before it at the end.

The file is a head, header and overviews, and a tail, the full resolution. Low part numbers are kept for the head. Where
the two meet, and at the header, parts are held back until the end, so that every part but the last is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from georeader._export.plan.part_plan import PartPlan, plan_parts
from georeader._export.plan.sink_traits import TAIL_ORIGIN_BYTES, SinkTraits
from georeader._export.sinks.part_store import PartStore
from georeader._export.sinks.part_upload import PartUpload
from georeader._export.sinks.remote import RemoteSink
from georeader._export.sinks.target import PIECE_BYTES
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader.errors import WriteError


class _Section:
    """Bytes one after the other, cut into full parts; the first is held back, the others go off."""

    def __init__(self, part_bytes: int) -> None:
        self.size_bytes = 0
        self.first: list[bytes | memoryview] = []
        self.rest: list[bytes | memoryview] = []
        self._part_bytes = part_bytes
        self._rest_bytes = 0

    @property
    def first_is_full(self) -> bool:
        return self.size_bytes >= self._part_bytes

    def append(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Take some, without a copy; give each full part but the first."""
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
                yield b"".join(full)


class PartedSink(RemoteSink):
    """A sink that uploads to a `PartStore`, as a context manager.

    Memory: up to nine parts (`part_plan.PART_BYTES` each, more for files beyond some 60 GB), and the header.

    Attributes:
        given: The destination, without secrets.
    """

    writes_in_parallel = False

    def __init__(self, store: PartStore, *, dir_tmpfiles: Path | None = None) -> None:
        """Ask the store whether it can be written to; nothing is yet.

        Args:
            store: Where the parts go.
            dir_tmpfiles: Folder for what has to wait on disk; the system's by default.

        Raises:
            DestinationError: It can't.
        """
        super().__init__(store.name, dir_tmpfiles)
        self.traits = SinkTraits(
            random_access=False,
            out_of_order_parts=True,
            min_part_bytes=store.min_part_bytes,
            max_parts=store.max_parts,
        )
        self._store = store
        self._upload = PartUpload(store)
        self._begin(0, 0)
        store.check()

    def _begin(self, most_head_bytes: int, most_tail_bytes: int) -> None:
        traits = self.traits
        self._plan: PartPlan = plan_parts(
            most_head_bytes, most_tail_bytes, min_part_bytes=traits.min_part_bytes, max_parts=traits.max_parts
        )
        self._header = b""
        self._head = _Section(self._plan.part_bytes)
        self._tail = _Section(self._plan.part_bytes)
        self._head_number = 2
        self._tail_number = self._plan.first_tail_number

    def __enter__(self) -> PartedSink:
        self._is_open = True
        return self

    def expect(self, most_head_bytes: int, most_tail_bytes: int) -> None:
        """Be told, before the first write, how much there may be before the full resolution, and of it."""
        self._begin(most_head_bytes, most_tail_bytes)

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Take the next bytes: of the full resolution, from `TAIL_ORIGIN_BYTES` on; of the overviews; or the header.

        Raises:
            WriteError: A part can't be sent.
            DestinationError: The store takes none.
        """
        self._check_open()
        if offset_bytes == 0:
            self._header = b"".join(pieces)
            return
        is_tail = offset_bytes >= TAIL_ORIGIN_BYTES
        for piece in pieces:
            for part in (self._tail if is_tail else self._head).append(piece):
                if is_tail:
                    self._send_tail(part)
                else:
                    self._send_head(part)

    def _send_head(self, part: bytes) -> None:
        if self._head_number + 1 >= self._plan.first_tail_number:  # one number is for what joins head and tail
            raise WriteError(f"{self.given!r}: overviews take more than was planned for, {self._plan}")
        self._upload.send(self._head_number, part)
        self._head_number += 1

    def _send_tail(self, part: bytes) -> None:
        self._upload.send(self._tail_number, part)
        self._tail_number += 1

    @property
    def size_bytes(self) -> int:
        """Length of what was written so far."""
        self._check_open()
        staged_bytes = 0 if self._staged is None else self._staged.size_bytes
        return staged_bytes or len(self._header) + self._head.size_bytes + self._tail.size_bytes

    def commit(self) -> None:
        """Send what was held back, and make the object.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It can't be sent; the destination is as it was.
        """
        self._check_open()
        if self._staged is not None:
            self._take_staged(self._staged)
        if not self.size_bytes:
            raise WriteError(f"{self.given!r}: there is no file to send")
        head, tail = self._head, self._tail
        if not self._upload.is_begun:
            self._store.put(b"".join((self._header, *head.first, *head.rest, *tail.first, *tail.rest)))
        elif head.first_is_full:
            self._send_all((1, [self._header, *head.first]), (self._head_number, [*head.rest, *tail.first]))
        else:
            self._send_all((1, [self._header, *head.first, *tail.first]))
        self._upload.complete()
        self.abort()

    def _send_all(self, *joined: tuple[int, list[bytes | memoryview]]) -> None:
        """Send parts that are put together of what was held back, and the tail's last one."""
        for number, pieces in (*joined, (self._tail_number, self._tail.rest)):
            body = b"".join(pieces)
            if body:
                self._upload.send(number, body)

    def _take_staged(self, staged: TemporaryFile) -> None:
        """Send a file that another writer made: all of it is tail."""
        size_bytes = staged.size_bytes
        self.expect(0, size_bytes)
        for offset_bytes in range(0, size_bytes, PIECE_BYTES):
            piece = staged.read_at(offset_bytes, min(PIECE_BYTES, size_bytes - offset_bytes))
            self.write_at(TAIL_ORIGIN_BYTES, piece)

    def abort(self, *, is_urgent: bool = False) -> None:
        """Abort the upload in the store; after a commit, remove only temporary files.

        Args:
            is_urgent: The process is about to end.
        """
        self._is_open = False
        self._upload.abort(is_urgent=is_urgent)
        self._close_files()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort(is_urgent=kind is not None and not issubclass(kind, Exception))
