"""Windows that arrive row by row: complete rows are saved, and freed, while others are still written."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from georeader._core.reporting import held_warnings, warn_at_caller
from georeader._core.threads import Workers
from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.receipt.receipt import Receipt
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader.errors import IndexingError

#: Complete rows beyond this number that no save has read make `RowOrder.writing` wait, in rows of blocks.
_AHEAD_BLOCKS = 2


class Freeable(Protocol):
    """A buffer of pixels in blocks of whole rows."""

    def free(self, row_start: int, row_stop: int) -> None:
        """Drop the pixels of some rows, which begin and end where blocks do."""
        ...


class RowOrder:
    """The rows of a raster: which of them no further window can touch, and which were read by all saves.

    Rows are complete above the first window that is not written yet. Where the windows are not listed, no window begins
    above the row of windows before the newest one: rows above that are complete.

    Writers wait while rows are complete that a save has not read, unless all saves wait for rows themselves.
    """

    def __init__(
        self, name: str, height_px: int, block_height_px: int, windows: Iterable[PixelWindow] | None = None
    ) -> None:
        self._name = name  #: Subject of messages
        self.complete_px = 0  #: Rows from the first on that are complete
        self._height_px, self._block_height_px = height_px, block_height_px
        self._changed = threading.Condition()
        self._is_listed = windows is not None
        self._listed = Counter(windows or ())  #: Windows that are to come
        self._pending = Counter(window.row_start for window in self._listed.elements())  #: Tops of windows to finish
        self._newest_px = 0  #: Top of the newest row of windows
        #: Top of the row of windows before that, above which no window begins that is not pending.
        self._previous_px = 0 if windows is None else height_px
        self._unread_px: dict[int, int] = {}  #: Pixels of each row of blocks that are to be read
        self._freed_px = 0  #: Rows from the first on that were read
        self._saves = self._waiting_reads = 0
        self._error: BaseException | None = None
        with self._changed:
            self._update()

    def expect_reads(self, bands: int, width_px: int) -> None:
        """Count the pixels that one more save reads of each row of blocks, each once, a window at a time."""
        self._saves += 1
        for top in range(0, self._height_px, self._block_height_px):
            rows = min(self._block_height_px, self._height_px - top)
            self._unread_px[top] = self._unread_px.get(top, 0) + rows * width_px * bands

    @contextmanager
    def writing(self, window: PixelWindow) -> Iterator[None]:
        """Keep the rows of a window incomplete while the block lasts.

        Raises:
            IndexingError: Rows of the window were complete, or it is not listed.
            BaseException: A save failed, with its error.
        """
        with self._changed:
            self._begin(window)
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._error is not None or not self._is_ahead())
                self.check()
            yield
        finally:
            with self._changed:
                self._pending[window.row_start] -= 1
                self._pending += Counter()  # drops zeros
                self._update()

    def _begin(self, window: PixelWindow) -> None:
        if self._listed[window]:
            self._listed[window] -= 1
            return
        if self._is_listed:
            raise IndexingError(
                f"{self._name}: the window of rows {window.row_start} to {window.row_stop}, columns "
                f"{window.column_start} to {window.column_stop} is not listed in windows=, or was written as often as "
                "it is; list each window as often as it is written"
            )
        top = window.row_start
        if top < self.complete_px:
            raise IndexingError(
                f"{self._name}: a window of rows {top} to {window.row_stop} came after rows up to {self.complete_px} "
                "were complete and saved; write windows row by row, at most one row of them at a time, or list all of "
                "them: CogWriter(..., windows=), each as often as it is written"
            )
        if top > self._newest_px:
            self._previous_px, self._newest_px = max(self._newest_px, self._previous_px), top
        self._pending[top] += 1
        self._update()

    def finish(self) -> None:
        """Make all rows complete."""
        with self._changed:
            self._listed.clear()
            self._pending.clear()
            self._previous_px = self._newest_px = self._height_px
            self._update()

    def fail(self, error: BaseException) -> None:
        """Set the error that all calls raise from now on, those that wait included; the first one stays."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error of `fail`."""
        if self._error is not None:
            raise self._error

    def await_rows(self, row_stop: int) -> None:
        """Wait until all rows before ``row_stop`` are complete."""
        with self._changed:
            self._waiting_reads += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._error is not None or self.complete_px >= row_stop)
            finally:
                self._waiting_reads -= 1
            self.check()

    def count_read(self, window: PixelWindow, bands: int) -> list[tuple[int, int]]:
        """Count pixels as read; return the (first, last + 1) rows of the rows of blocks that all saves have read."""
        done = []
        with self._changed:
            first = window.row_start - window.row_start % self._block_height_px
            for top in range(first, window.row_stop, self._block_height_px):
                bottom = min(top + self._block_height_px, self._height_px)
                rows = min(bottom, window.row_stop) - max(top, window.row_start)
                self._unread_px[top] -= rows * window.shape[1] * bands
                if not self._unread_px[top]:
                    del self._unread_px[top]
                    done.append((top, bottom))
            self._freed_px = min(self._unread_px, default=self._height_px)
            self._changed.notify_all()
        return done

    def _is_ahead(self) -> bool:
        unread_px = self.complete_px - self._freed_px
        return self._waiting_reads < self._saves and unread_px > _AHEAD_BLOCKS * self._block_height_px

    def _update(self) -> None:
        self.complete_px = max(self.complete_px, min(self._previous_px, min(self._pending, default=self._height_px)))
        self._changed.notify_all()


class OrderedSource(SourceWrapper):
    """A source whose windows can be read once their rows are complete, each once; read rows are freed."""

    def __init__(self, source: Source, order: RowOrder, buffer: Freeable) -> None:
        super().__init__(source)
        self.traits = replace(source.traits, arrives_by_rows=True)
        self._order, self._buffer = order, buffer
        order.expect_reads(source.spec.count, source.spec.width_px)

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Wait for the rows of a window, and read it."""
        self._order.await_rows(region.row_stop)
        pixels = self.source.read(region, bands)
        for rows in self._order.count_read(region, len(bands)):
            self._buffer.free(*rows)
        return pixels


class BackgroundSave:
    """A save in a thread of its own, of a source that is written meanwhile.

    After an error, the owner of the thread waits for its end.
    """

    def __init__(self, order: RowOrder, workers: Workers, save: Callable[[], Receipt]) -> None:
        self._order, self._save = order, save
        self._held: list[tuple[str, type[Warning]]] = []
        self._future: Future[Receipt] = workers.submit(self._run)

    def _run(self) -> Receipt:
        try:
            with held_warnings() as self._held:
                return self._save()
        except BaseException as error:
            self._order.fail(error)
            raise

    def result(self) -> Receipt:
        """Wait for the save, and pass its warnings on; the error is that which came first of all saves."""
        try:
            receipt = self._future.result()
        except BaseException as error:
            self._order.fail(error)  # such as Ctrl-C during the wait
            self._order.check()
            raise
        for message, category in self._held:
            warn_at_caller(message, category)
        return receipt
