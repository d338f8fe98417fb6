"""Where a finished file is sent as a whole, and what is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from georeader._export.sinks.temporary_file import TemporaryFile

#: A finished file is read in pieces of so many bytes.
PIECE_BYTES = 4 * 2**20

#: What every destination that keeps a type is told.
CONTENT_TYPE = "image/tiff"


@dataclass(frozen=True)
class Finished:
    """A whole file that waits in a temporary one.

    Attributes:
        file: Holds it.
        size_bytes: Its length.
    """

    file: TemporaryFile
    size_bytes: int

    @property
    def path(self) -> str:
        """A path by which this process can open it."""
        return self.file.path

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """Give it piece by piece.

        Raises:
            WriteError: The disk does not give it back.
        """
        for offset_bytes in range(0, self.size_bytes, piece_bytes):
            yield self.file.read_at(offset_bytes, min(piece_bytes, self.size_bytes - offset_bytes))

    @cached_property
    def md5(self) -> bytes:
        """What stores call its checksum; it is read once more for it."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.pieces():
            digest.update(piece)
        return digest.digest()


class Target(Protocol):
    """A destination that takes a file as a whole.

    Attributes:
        name: Of the destination, without secrets.
    """

    name: str

    def check(self) -> None:
        """Refuse, before anything is made, what is sure to be refused in the end; raises DestinationError."""
        ...

    def send(self, finished: Finished) -> None:
        """Make the file appear there, whole or not at all; raises DestinationError or WriteError."""
        ...
