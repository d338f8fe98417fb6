"""A remote object as a file: read by ranges, with a cache of blocks."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

#: An object is read in whole blocks: a COG's header fits in a few.
BLOCK_BYTES = 128 * 1024

#: And so many are kept.
KEPT_BLOCKS = 32


class RangedObject:
    """An object that is read in blocks, on any thread. Memory: `KEPT_BLOCKS` blocks, and what is read at once.

    ``fetch`` returns the bytes from ``start`` to before ``stop``. ``version`` asks for what differs once the object is
    another one, such as its ETag; None: it is unknown. ``place`` is its `s3.ObjectPlace`, if it is in S3. ``error``
    is why a `RangeFile` could not read.
    """

    def __init__(
        self,
        size_bytes: int,
        fetch: Callable[[int, int], bytes],
        version: Callable[[], str | None] = lambda: None,
        place: Any = None,
    ) -> None:
        self.size_bytes = size_bytes
        self.place = place
        self.version = version
        self.error: BaseException | None = None
        self._fetch = fetch
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to before ``stop``; those that are not cached are fetched by one request."""
        if start >= stop:
            return b""
        first, last = start // BLOCK_BYTES, (stop - 1) // BLOCK_BYTES
        with self._lock:
            found = {number: self._blocks[number] for number in range(first, last + 1) if number in self._blocks}
        missing = [number for number in range(first, last + 1) if number not in found]
        if missing:
            begin = missing[0] * BLOCK_BYTES
            end = min(self.size_bytes, (missing[-1] + 1) * BLOCK_BYTES)
            data = self._fetch(begin, end)
            if len(data) != end - begin:
                raise OSError(f"{len(data)} bytes came of {end - begin} that were requested, from byte {begin}")
            for number in range(missing[0], missing[-1] + 1):
                offset_bytes = number * BLOCK_BYTES - begin
                found[number] = data[offset_bytes : offset_bytes + BLOCK_BYTES]
        self._keep(found)
        whole = b"".join(found[number] for number in range(first, last + 1))
        return whole[start - first * BLOCK_BYTES : stop - first * BLOCK_BYTES]

    def _keep(self, found: dict[int, bytes]) -> None:
        with self._lock:
            for number, block in sorted(found.items())[-KEPT_BLOCKS:]:
                self._blocks[number] = block
                self._blocks.move_to_end(number)
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)


class RangeFile(io.RawIOBase):
    """A position in a `RangedObject`: a file open for reading.

    An error while reading is not raised, since GDAL would crash: the read is empty, and the object keeps the error.
    """

    def __init__(self, ranged: RangedObject) -> None:
        super().__init__()
        self._ranged = ranged
        self._offset_bytes = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset_bytes, os.SEEK_END: self._ranged.size_bytes}[whence]
        self._offset_bytes = max(0, origin + offset)
        return self._offset_bytes

    def read(self, size: int = -1) -> bytes:
        """Read up to so many bytes; all that follow by default."""
        end = self._ranged.size_bytes
        stop = end if size is None or size < 0 else min(end, self._offset_bytes + size)
        start, self._offset_bytes = self._offset_bytes, max(self._offset_bytes, stop)
        try:
            return self._ranged.read_range(start, stop)
        except BaseException as error:  # noqa: BLE001  (Ctrl-C would crash GDAL, too; the caller of GDAL raises it)
            self._ranged.error = error
            return b""
