"""How the tiles of all runs become one file: parts of an upload, files put together, or one process that sends them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from georeader._export.cluster import tasks
from georeader._export.cluster.targets import (
    ROWS,
    FilesTarget,
    KeepingTarget,
    PartsTarget,
    RowFiles,
    RunTarget,
    copy_to_place,
)
from georeader._export.plan.cluster_plan import ClusterPlan, RunKey
from georeader._export.plan.traits import SectionSizes
from georeader._export.sinks.base import RandomAccessSink, Sink
from georeader._export.sinks.local import LocalSink
from georeader._export.sinks.multipart import PartedSink
from georeader._export.sinks.temporary_file import temporary_name
from georeader._export.spool import SpoolPlaces
from georeader.errors import GeoreaderError, WriteError

#: Each thread of a worker copies its share of the files; a larger share is divided.
COPY_BYTES = 2**30


class Delivery(ABC):
    """The way of a file's bytes from the workers to its destination. The sink commits or aborts what it makes."""

    target: RunTarget  #: Where workers deliver runs

    def __init__(self, client: Any, sink: Sink, cluster: ClusterPlan, token: str) -> None:
        self._client, self._sink, self._cluster, self._token = client, sink, cluster, token
        self._is_inline = {key: stage.is_inline for key, stage in cluster.in_file_order}
        self._parts: dict[RunKey, tasks.RunPart] = {}
        self.futures: list[Any] = []  #: Of tasks that were submitted

    @abstractmethod
    def arrived(self, part: tasks.RunPart, run: Any) -> None:
        """Take the facts of a run in a level and plane, and the future of the run."""

    @abstractmethod
    def finish(self, header: bytes) -> None:
        """Deliver the header and what waits, so that the sink can be committed."""

    def abort(self) -> None:  # noqa: B027  (the sink aborts uploads)
        """Remove what workers have delivered. Called again once no task runs."""

    @property
    def mark(self) -> Any:
        """What describes to another process what has been begun here; None for nothing that outlives this process."""
        return None

    def remove_earlier(self, mark: Any) -> None:  # noqa: B027  (the default has no mark)
        """Remove what another process has begun, whose mark this is."""

    def _submit(self, function: Any, *arguments: Any, doing: str) -> Any:
        with errors_of_cluster(self._sink.given):
            future = self._client.submit(function, *arguments, key=doing, pure=False)
        self.futures.append(future)
        return future

    def _wait(self) -> list[Any]:
        """Return the results of the tasks that were submitted."""
        futures, results = self.futures, [result_of(future, self._sink.given) for future in self.futures]
        futures.clear()
        return results

    def _inline_bytes(self) -> dict[RunKey, bytes]:
        """Return the tiles that came with the facts of their runs, in the order of the file."""
        order = [key for key, stage in self._cluster.in_file_order if stage.is_inline]
        return {key: self._parts[key].delivered.kept for key in order}


def result_of(future: Any, given: str) -> Any:
    """Return the result of a task; an error that is none of this project's becomes a WriteError."""
    try:
        return future.result()
    except GeoreaderError:
        raise
    except Exception as error:  # a task may raise anything
        if type(error).__name__ == "KilledWorker":
            raise WriteError(
                f"{given!r}: workers that ran one of its tasks have died ({error}); read the workers' logs: often they "
                "had too little memory, so pass smaller chunks, or start workers with more"
            ) from error
        raise WriteError(f"{given!r}: a task failed: {reason_of(error)}") from error


@contextmanager
def errors_of_cluster(given: str) -> Iterator[None]:
    """Convert what a request to the scheduler raises, such as that of a closed client, to a WriteError."""
    try:
        yield
    except Exception as error:  # of distributed or of its network
        raise WriteError(f"{given!r}: the cluster takes no tasks: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Return what an error of a task means."""
    if type(error).__name__ in ("CancelledError", "FutureCancelledError"):
        return "its tasks were cancelled, or the cluster was closed"
    return str(error) or type(error).__name__


class _Kept(NamedTuple):
    """Bytes of a run that wait, for those before or behind them."""

    key: RunKey
    size_bytes: int
    run: Any  #: Future of the run


class PartsDelivery(Delivery):
    """Workers send parts of an upload. Runs that are too short for one are joined with the start of the next long one.

    The first part has the header, and is sent last.
    """

    def __init__(self, client: Any, sink: PartedSink, cluster: ClusterPlan, token: str) -> None:
        super().__init__(client, sink, cluster, token)
        self._upload = sink
        self.target = self._parts_target = PartsTarget(sink.share(), cluster.part_bytes, cluster.kept_bytes)
        self._order = deque(key for key, stage in cluster.in_file_order if not stage.is_inline)
        self._behind = dict(pairwise(self._order))
        self._before = {behind: key for key, behind in self._behind.items()}
        self._is_long: dict[RunKey, bool] = {}  #: Of runs that have arrived: whether they have parts of their own
        self._runs: dict[RunKey, Any] = {}  #: Futures of those that wait
        self._first: list[_Kept] | None = None  #: Behind the header
        self._waiting: list[_Kept] = []

    def arrived(self, part: tasks.RunPart, run: Any) -> None:
        """Take the facts of a run, and send what is known to be a part."""
        key = part.key
        self._parts[key] = part
        self._runs[key] = run
        self._is_long[key] = bool(part.delivered.parts)
        for one in (key, self._behind.get(key, key)):
            if one in self._runs and self._follows_long_run(one):  # those before it need not be waited for
                self._send_part(self._cluster.first_numbers[one], b"", [self._take(one)])
        while self._order and self._order[0] in self._parts:
            self._join(self._order.popleft())

    def _follows_long_run(self, key: RunKey) -> bool:
        """Return whether no other bytes are sent with the start of a run: it is long, and so is the one before it."""
        before = self._before.get(key)
        return before is not None and self._is_long.get(before, False) and self._is_long.get(key, False)

    def _take(self, key: RunKey) -> _Kept:
        return _Kept(key, self._parts[key].kept_bytes, self._runs.pop(key))

    def _join(self, key: RunKey) -> None:
        for sent in self._parts[key].delivered.parts:
            self._upload.adopt(*sent)
        if key not in self._runs:  # its start was sent
            return
        self._waiting.append(self._take(key))
        waiting_bytes = sum(kept.size_bytes for kept in self._waiting)
        if self._is_long[key] or waiting_bytes >= self._cluster.part_bytes:
            self._send(self._cluster.first_numbers[key])

    def _send(self, number: int) -> None:
        """Send what waits as one part; the first waits for the header."""
        waiting, self._waiting = self._waiting, []
        if self._first is None:
            self._first = waiting
        else:
            self._send_part(number, b"", waiting)

    def _send_part(self, number: int, head: bytes, waiting: Sequence[_Kept]) -> None:
        waiting = [kept for kept in waiting if kept.size_bytes]
        if not (head or waiting):
            return
        self._submit(
            tasks.send_joined, self._parts_target, number, head, [kept.key for kept in waiting],
            [kept.run for kept in waiting],
            doing=f"send-part-{self._token}-{number}",
        )  # fmt: skip

    @property
    def mark(self) -> Any:
        """The id of the upload."""
        return self._parts_target.store.upload

    def remove_earlier(self, mark: Any) -> None:
        """Abort an upload."""
        self._upload.abort_upload(mark)

    def finish(self, header: bytes) -> None:
        """Send the first and the last part."""
        self._send(self._cluster.part_count)
        self._send_part(1, header + b"".join(self._inline_bytes().values()), self._first or [])
        for sent in [part for parts in self._wait() for part in parts]:
            self._upload.adopt(*sent)


class FilesDelivery(Delivery):
    """Workers write each block to a file beside the destination, and copy these to their places when all are known."""

    def __init__(self, client: Any, sink: LocalSink, cluster: ClusterPlan, token: str) -> None:
        super().__init__(client, sink, cluster, token)
        self._local = sink
        self._path = sink.share()
        self.target = self._files = FilesTarget(str(self._path), sink.given, temporary_name(ROWS))

    def arrived(self, part: tasks.RunPart, run: Any) -> None:  # noqa: ARG002  (its tiles are in a file)
        """Take the facts of a run."""
        self._parts[part.key] = part

    def finish(self, header: bytes) -> None:
        """Copy all files to their places, and write the rest."""
        offset_bytes = self._local.write_shared(0, header)
        inline = self._inline_bytes()
        moves: list[tuple[RowFiles, int]] = []
        for key, _ in self._cluster.in_file_order:
            part = self._parts[key]
            if key in inline:
                self._local.write_shared(offset_bytes, inline[key])
            elif part.delivered.files is not None and part.size_bytes:
                moves.append((part.delivered.files, offset_bytes))
            offset_bytes += part.size_bytes
        with errors_of_cluster(self._sink.given):
            threads = sum(self._client.nthreads().values())
        count = min(len(moves), max(threads, offset_bytes // COPY_BYTES))
        shares = [moves[number::count] for number in range(count)]
        for number, own in enumerate(shares):
            self._submit(
                copy_to_place, str(self._path), own, self._sink.given, self._local.durable,
                doing=f"copy-tiles-{self._token}-{number}",
            )  # fmt: skip
        self._wait()
        self._remove_rows()

    @property
    def mark(self) -> Any:
        """The file and those of workers."""
        return str(self._path), self._files

    def remove_earlier(self, mark: Any) -> None:
        """Remove a file and those of workers."""
        path, files = mark
        for left in (Path(path), *files.files()):
            left.unlink(missing_ok=True)

    def abort(self) -> None:
        """Remove the file first, without which workers keep none of theirs, and then those."""
        self._path.unlink(missing_ok=True)
        self._remove_rows()

    def _remove_rows(self) -> None:
        for path in self._files.files():
            path.unlink(missing_ok=True)


class FetchDelivery(Delivery):
    """This process fetches runs as they come, and sends the file to a store that takes bytes in order only.

    Memory: the largest run, encoded. Runs wait in a spool, then the file does.
    """

    target = KeepingTarget()

    def __init__(self, client: Any, sink: RandomAccessSink, cluster: ClusterPlan, token: str) -> None:
        super().__init__(client, sink, cluster, token)
        self._places = SpoolPlaces(sink.open_spool)
        self._offsets_bytes: dict[RunKey, int] = {}

    def arrived(self, part: tasks.RunPart, run: Any) -> None:
        """Fetch the tiles of a run, unless they came with its facts."""
        self._parts[part.key] = part
        if not self._is_inline[part.key] and part.size_bytes:
            name = f"fetch-tiles-{self._token}-{'-'.join(map(str, part.key))}"
            self._submit(tasks.kept_of, run, part.key, doing=name)
            (tiles,) = self._wait()
            self._offsets_bytes[part.key] = self._places.put(tiles)

    def finish(self, header: bytes) -> None:
        """Write the file in its order."""
        order = [key for key, _ in self._cluster.in_file_order]
        overviews_bytes, full_bytes = (
            sum(self._parts[key].size_bytes for key in order if bool(key.level) is is_overview)
            for is_overview in (True, False)
        )
        self._sink.begin(SectionSizes(len(header), overviews_bytes, full_bytes))
        self._sink.write_header(header)
        inline, positions = self._inline_bytes(), {True: 0, False: 0}
        for key in order:
            part, is_overview = self._parts[key], key.level > 0
            tiles = inline[key] if key in inline else self._places.get(self._offset(key), part.size_bytes)
            write = self._sink.write_overviews if is_overview else self._sink.write_full_resolution
            write(positions[is_overview], tiles)
            positions[is_overview] += part.size_bytes

    def _offset(self, key: RunKey) -> int:
        return self._offsets_bytes.get(key, 0)


def make_delivery(client: Any, sink: Sink, cluster: ClusterPlan, token: str) -> Delivery:
    """Return the delivery to a sink, which an upload or the file begins."""
    if isinstance(sink, PartedSink):
        return PartsDelivery(client, sink, cluster, token)
    if isinstance(sink, LocalSink):
        return FilesDelivery(client, sink, cluster, token)
    if isinstance(sink, RandomAccessSink):
        return FetchDelivery(client, sink, cluster, token)
    raise WriteError(f"{sink.given!r}: workers cannot write to a {type(sink).__name__}")
