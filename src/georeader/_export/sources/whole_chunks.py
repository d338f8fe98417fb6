"""Chunks that are read whole and once, for windows that overlap: those of a warp."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.plan.traits import Chunks
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.spool import OpenSpool, SpoolPlaces

#: Chunks are held in at least so much memory; others wait in the spool.
LEAST_KEPT_BYTES = 8 * 2**20

#: (band, row, column) of a chunk.
_Place = tuple[int, int, int]


@dataclass
class _Chunk:
    """A chunk that was read, or is being read."""

    window: PixelWindow
    bands: range
    found: Future[MaskedPixels] = field(default_factory=Future)
    spooled: tuple[int, int] | None = None  #: Offset and size in the spool, once it has no room in memory


class WholeChunks(SourceWrapper):
    """A source of computed chunks, each of which is computed once, and held until its last window is read.

    Several threads may read at once. Chunks of a window that are missing are computed together, in rectangles.

    Memory: the larger of one chunk and `LEAST_KEPT_BYTES`, and the chunks that windows being read touch.
    """

    def __init__(
        self, source: Source, chunks: Chunks, windows: Iterable[PixelWindow], open_spool: OpenSpool | None
    ) -> None:
        super().__init__(source)
        self._edges = chunks.band_edges, chunks.row_edges_px, chunks.column_edges_px
        self._limit_bytes = LEAST_KEPT_BYTES
        self._places = None if open_spool is None else SpoolPlaces(open_spool)
        self._lock = threading.Lock()
        self._held: OrderedDict[_Place, _Chunk] = OrderedDict()
        self._spooled: dict[_Place, _Chunk] = {}
        self._unread: defaultdict[_Place, set[PixelWindow]] = defaultdict(set)
        everything = range(source.spec.count)
        for window in windows:
            for place in self._touched(window, everything):
                self._unread[place].add(window)

    def __reduce__(self) -> Any:
        return SourceWrapper, (self.source,)  # what is held stays here

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window; a chunk is dropped with the last of the windows that were announced."""
        touched = self._touched(region, bands)
        with self._lock:
            known = {place: self._chunk(place) for place in touched}
            missing = [place for place, chunk in known.items() if chunk is None]
            claimed = {place: _Chunk(*self._box(place)) for place in missing}
            self._held.update(claimed)
        self._compute(claimed)
        chunks = {place: chunk or claimed[place] for place, chunk in known.items()}
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        mask = np.empty(region.shape, bool) if self.spec.has_mask else None
        for chunk in chunks.values():
            values, valid = self._pixels(chunk)
            shared = chunk.window.intersection(region)
            first, last = max(bands.start, chunk.bands.start), min(bands.stop, chunk.bands.stop)
            own = slice(first - chunk.bands.start, last - chunk.bands.start)
            pixels[first - bands.start : last - bands.start, *shared.within(region)] = values[
                own, *shared.within(chunk.window)
            ]
            if mask is not None and valid is not None:
                mask[shared.within(region)] = valid[shared.within(chunk.window)]
        self._leave(region, touched)
        return pixels, mask

    def close(self) -> None:
        """Drop what is held, and close the source; the spool's owner closes it."""
        with self._lock:
            self._held.clear()
            self._spooled.clear()
        super().close()

    def _touched(self, region: PixelWindow, bands: range) -> list[_Place]:
        axes = ((bands.start, bands.stop), region[:2], region[2:])
        ranges = (
            range(bisect_right(edges, start) - 1, bisect_left(edges, stop))
            for edges, (start, stop) in zip(self._edges, axes, strict=True)
        )
        return [(band, row, column) for band, row, column in product(*ranges)]

    def _box(self, place: _Place) -> tuple[PixelWindow, range]:
        (band, next_band), rows, columns = (
            (edges[at], edges[at + 1]) for edges, at in zip(self._edges, place, strict=True)
        )
        return PixelWindow(*rows, *columns), range(band, next_band)

    def _chunk(self, place: _Place) -> _Chunk | None:
        """Return a chunk that is known; one whose computation failed is not."""
        chunk = self._held.get(place) or self._spooled.get(place)
        if chunk is not None and chunk.found.done() and chunk.spooled is None and chunk.found.exception() is not None:
            return None
        return chunk

    def _compute(self, claimed: dict[_Place, _Chunk]) -> None:
        """Read the chunks that no other thread reads; an error is that of all threads that wait for them."""
        try:
            for places in _rectangles(claimed):
                boxes = [claimed[place] for place in places]
                whole = PixelWindow(
                    min(box.window.row_start for box in boxes),
                    max(box.window.row_stop for box in boxes),
                    min(box.window.column_start for box in boxes),
                    max(box.window.column_stop for box in boxes),
                )
                bands = boxes[0].bands
                pixels, mask = self.source.read(whole, bands)
                for box in boxes:
                    cut = box.window.within(whole)
                    valid = None if mask is None else mask[cut].copy()
                    box.found.set_result((np.ascontiguousarray(pixels[:, *cut]), valid))
        except BaseException as error:
            with self._lock:
                for place, chunk in claimed.items():
                    self._held.pop(place, None)
                    if not chunk.found.done():
                        chunk.found.set_exception(error)
            raise

    def _pixels(self, chunk: _Chunk) -> MaskedPixels:
        """Return the pixels of a chunk: those in memory, or those in the spool."""
        with self._lock:
            spooled, places, found = chunk.spooled, self._places, chunk.found
        if spooled is None or places is None:
            return found.result()
        data = places.get(*spooled)
        shape = len(chunk.bands), *chunk.window.shape
        values: NDArray[Any] = np.frombuffer(data, self.spec.dtype, int(np.prod(shape))).reshape(shape)
        if not self.spec.has_mask:
            return values, None
        return values, np.frombuffer(data, bool, shape[1] * shape[2], values.nbytes).reshape(shape[1:])

    def _leave(self, region: PixelWindow, touched: list[_Place]) -> None:
        """Drop the chunks of which this was the last window; spool those that have no room in memory."""
        with self._lock:
            for place in touched:
                unread = self._unread[place]
                unread.discard(region)
                if not unread:
                    self._held.pop(place, None)
                    chunk = self._spooled.pop(place, None)
                    if chunk is not None and chunk.spooled is not None and self._places is not None:
                        self._places.give_back(*chunk.spooled)
                elif place in self._held:
                    self._held.move_to_end(place)
            held = [(place, chunk) for place, chunk in self._held.items() if chunk.found.done()]
            sizes = [_size_bytes(chunk.found.result()) for _, chunk in held]
            excess_bytes = sum(sizes) - max([self._limit_bytes, *sizes])
            for (place, chunk), size_bytes in zip(held, sizes, strict=True):
                if excess_bytes <= 0:
                    return
                excess_bytes -= size_bytes
                del self._held[place]
                if self._places is not None:
                    pixels, mask = chunk.found.result()
                    data = [part.reshape(-1).view(np.uint8).data for part in (pixels, mask) if part is not None]
                    chunk.spooled = self._places.put(*data), size_bytes
                    self._spooled[place] = chunk
                    chunk.found = Future()


def _size_bytes(found: MaskedPixels) -> int:
    pixels, mask = found
    return pixels.nbytes + (0 if mask is None else mask.nbytes)


def _rectangles(places: Iterable[_Place]) -> Iterator[list[_Place]]:
    """Iterate over the rectangles of chunks of one band that some chunks make up.

    Example:
        >>> list(_rectangles([(0, 0, 1), (0, 1, 1), (0, 2, 0), (0, 2, 1)]))
        [[(0, 0, 1), (0, 1, 1)], [(0, 2, 0), (0, 2, 1)]]
    """
    rows = [
        (band, row, tuple(column for *_, column in group))
        for (band, row), group in groupby(sorted(places), lambda place: place[:2])
    ]
    for (band, _, columns), group in groupby(
        enumerate(rows), lambda item: (item[1][0], item[1][1] - item[0], item[1][2])
    ):
        own = [row for _, (_, row, _) in group]
        for _, run in groupby(enumerate(columns), lambda item: item[1] - item[0]):
            yield [(band, row, column) for row, (_, column) in product(own, list(run))]
