"""Where workers keep the tiles of a block, and send those of a run: parts of an upload, or files. Sent with tasks."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from georeader._core.threads import Task, Workers
from georeader._export.cluster.clients import own_task
from georeader._export.sinks.multipart import SENDERS, SharedParts
from georeader._export.sinks.temporary_file import copy_range
from georeader.errors import DestinationError, WriteError

Pieces = Sequence[bytes | memoryview]

#: Begins the names of files of workers, which are those of `temporary_name`: 20 characters before the process at most.
ROWS = "rows"


class SentPart(NamedTuple):
    """A part of an upload: its number, what the store answered, and its length."""

    number: int
    answer: Any
    size_bytes: int


@dataclass(frozen=True)
class FileBytes:
    """Bytes of a worker's file. A slice of them is bytes of the same file."""

    path: str
    offset_bytes: int
    size_bytes: int

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self.size_bytes

    def __getitem__(self, part: slice) -> FileBytes:
        """Return some of the bytes."""
        own = range(self.offset_bytes, self.offset_bytes + self.size_bytes)[part]
        return FileBytes(self.path, own.start, len(own))


#: Tiles of a block, one after the other, in memory or in a file; an array is sent to another worker without copies.
KeptTiles: TypeAlias = NDArray[np.uint8] | FileBytes


class TileKeeper(Protocol):
    """Keeps the tiles of a block until those around them are there, too. Runs on workers."""

    def keep(self, runs: Sequence[Pieces]) -> Sequence[KeptTiles]:
        """Keep the bytes of several runs."""
        ...


class MemoryKeeper:
    """Keeps tiles in the worker's memory."""

    def keep(self, runs: Sequence[Pieces]) -> list[KeptTiles]:
        """Return the bytes of each run."""
        return [np.frombuffer(b"".join(pieces), np.uint8) for pieces in runs]


IN_MEMORY = MemoryKeeper()


@dataclass(frozen=True)
class RowFiles:
    """The bytes of a run in files of workers, which are copied to their place when the place is known."""

    paths: tuple[str, ...]
    ranges: NDArray[np.int64]  #: (range, [file, offset_bytes, size_bytes]), one after the other in the run

    @classmethod
    def of(cls, pieces: Sequence[FileBytes]) -> RowFiles:
        """Return pieces with each path once, without empty ones."""
        pieces = [piece for piece in pieces if piece]
        paths = tuple(sorted({piece.path for piece in pieces}))
        numbers = {path: number for number, path in enumerate(paths)}
        rows = [(numbers[piece.path], piece.offset_bytes, piece.size_bytes) for piece in pieces]
        return cls(paths, np.array(rows, np.int64).reshape(-1, 3))

    def moves(self, offset_bytes: int) -> Iterator[tuple[str, list[tuple[int, int, int]]]]:
        """Iterate over files and their ranges, as offsets in the file and in the destination, and sizes in bytes."""
        sizes_bytes = self.ranges[:, 2]
        starts_bytes = offset_bytes + sizes_bytes.cumsum() - sizes_bytes
        for number, path in enumerate(self.paths):
            own = self.ranges[:, 0] == number
            rows = np.stack([self.ranges[own, 1], starts_bytes[own], sizes_bytes[own]], axis=1)
            yield path, [tuple(row) for row in rows.tolist()]


@dataclass(frozen=True)
class Delivered:
    """What became of the tiles of a run: parts that were sent, files, and what waits for its neighbours."""

    parts: tuple[SentPart, ...] = ()
    files: RowFiles | None = None
    kept: bytes = b""  #: The first bytes of a run that was sent, or all of one that was not


class RunTarget(Protocol):
    """Takes the tiles of runs, on workers. Called again for the same runs, it does the same."""

    @property
    def keeper(self) -> TileKeeper:
        """What keeps tiles before they are delivered."""
        ...

    def deliver(self, runs: Sequence[tuple[int, Sequence[Any]]]) -> list[Delivered]:
        """Take what was kept of runs of several levels and planes, each with the number of its first part."""
        ...


@dataclass(frozen=True)
class PartsTarget:
    """Sends runs as parts of an upload, but for their first bytes, which are sent with the short runs before them."""

    store: SharedParts = field(repr=False)
    part_bytes: int
    kept_bytes: int  #: Of the start of a run: the least size of a part; 0 where parts have none
    keeper: ClassVar[TileKeeper] = IN_MEMORY

    def deliver(self, runs: Sequence[tuple[int, Sequence[Any]]]) -> list[Delivered]:
        """Send runs; one that is too short for a part of its own waits as a whole."""
        return [self._deliver(number, [memoryview(piece) for piece in pieces]) for number, pieces in runs]

    def _deliver(self, number: int, pieces: Pieces) -> Delivered:
        size_bytes = sum(map(len, pieces))
        if size_bytes < max(1, 2 * self.kept_bytes):
            return Delivered(kept=b"".join(pieces))
        parts = self._send_all(number + 1, pieces, self.kept_bytes, size_bytes)
        return Delivered(parts, kept=cut(pieces, 0, self.kept_bytes))

    def _send_all(self, number: int, pieces: Pieces, start: int, stop: int) -> tuple[SentPart, ...]:
        """Send bytes as parts of about one size, several at a time; their numbers begin with this one."""
        count = max(1, -(-(stop - start) // self.part_bytes))
        edges = [start + (stop - start) * at // count for at in range(count + 1)]
        with Workers(min(SENDERS, count) if count > 1 else 0, name="georeader-upload") as senders:
            tasks = (Task(partial(self.send, number + at, pieces, *pair), 1) for at, pair in enumerate(pairwise(edges)))
            return tuple(senders.ordered(tasks, SENDERS))

    def send(self, number: int, pieces: Pieces, start: int = 0, stop: int | None = None) -> SentPart:
        """Send bytes from one offset in the pieces to another as one part."""
        body = cut(pieces, start, stop)
        return SentPart(number, self.store.send_part(number, body), len(body))


def cut(pieces: Pieces, start: int, stop: int | None = None) -> bytes:
    """Return the bytes of pieces, one after the other, from an offset to another; no more of them is copied.

    Example:
        >>> cut([b"abc", b"", b"defg"], 2, 5)
        b'cde'
    """
    stop = sum(map(len, pieces)) if stop is None else stop
    found, position = [], 0
    for piece in pieces:
        found.append(memoryview(piece)[max(0, start - position) : max(0, stop - position)])
        position += len(piece)
    return b"".join(found)


@dataclass(frozen=True)
class FilesTarget:
    """Writes each block to a file of its own, in a folder that all workers see."""

    path: str  #: Of the file in the making, which the save removes first where it is given up
    given: str  #: The destination in messages
    name: str  #: Of the files of workers, beside it; they belong to the process that makes the save

    @property
    def keeper(self) -> TileKeeper:
        """Itself: blocks are written as soon as they are encoded, so that none of them is moved between workers."""
        return self

    def keep(self, runs: Sequence[Pieces]) -> list[KeptTiles]:
        """Write runs to one file, which has another name each time, so that two writers never share one."""
        path = Path(self.path).with_name(self.name.replace(ROWS, f"{ROWS}-{secrets.token_hex(7)}", 1))
        if not Path(self.path).exists():
            worker = own_task()
            raise DestinationError(
                f"{self.given!r}: the worker {worker[0] if worker else ''} does not see {self.path!r}, which this save "
                "has made; save to a folder that all workers share, or to a store"
            )
        edges = list(accumulate((sum(map(len, pieces)) for pieces in runs), initial=0))
        try:
            with path.open("xb", buffering=0) as file:
                for piece in chain.from_iterable(runs):
                    view = memoryview(piece)
                    while view:
                        view = view[file.write(view) :]
        except OSError as error:
            raise WriteError(
                error.errno, f"{self.given!r}: tiles cannot be written to {str(path)!r}: {error.strerror}"
            ) from error
        if not Path(self.path).exists():  # the save was given up meanwhile
            path.unlink(missing_ok=True)
        return [FileBytes(str(path), start, stop - start) for start, stop in pairwise(edges)]

    def deliver(self, runs: Sequence[tuple[int, Sequence[FileBytes]]]) -> list[Delivered]:
        """Return where runs are; nothing is moved."""
        return [Delivered(files=RowFiles.of(pieces)) for _, pieces in runs]

    def files(self) -> list[Path]:
        """Return the files that are there."""
        before, _, behind = self.name.partition(ROWS)
        return list(Path(self.path).parent.glob(f"{before}{ROWS}-*{behind}"))


@dataclass(frozen=True)
class KeepingTarget:
    """Keeps runs in the worker's memory until the process that sends the file fetches them."""

    keeper: ClassVar[TileKeeper] = IN_MEMORY

    def deliver(self, runs: Sequence[tuple[int, Sequence[Any]]]) -> list[Delivered]:
        """Keep runs."""
        return [Delivered(kept=b"".join(map(memoryview, pieces))) for _, pieces in runs]


def copy_to_place(path: str, moves: Sequence[tuple[RowFiles, int]], given: str, durable: bool) -> None:
    """Copy runs of workers' files to their offsets in the destination's; if durable, flush them to the disk."""
    try:
        with Path(path).open("r+b") as target:
            for rows, offset_bytes in moves:
                for name, ranges in rows.moves(offset_bytes):
                    with Path(name).open("rb") as source:
                        for start_bytes, to_bytes, size_bytes in ranges:
                            copy_range(source.fileno(), target.fileno(), start_bytes, to_bytes, size_bytes)
            if durable:
                os.fsync(target.fileno())
    except OSError as error:
        raise WriteError(error.errno, f"{given!r}: tiles cannot be copied to their place: {error.strerror}") from error
