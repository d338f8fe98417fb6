"""Pixels that were read ahead of the windows of a save, and are not read again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import PixelWindow
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._resample.pyramid import Mask
from georeader.errors import GeoreaderError, ReadError

#: Side of a box of a raster of which no chunks are known.
_SIDE_PX = 512


class Box(NamedTuple):
    """Bands, rows and columns of a raster, each as a range of step one."""

    bands: range
    rows: range
    columns: range

    @property
    def size_px(self) -> int:
        """Pixels of all bands."""
        return len(self.bands) * len(self.rows) * len(self.columns)

    @property
    def region(self) -> PixelWindow:
        """Its rows and columns."""
        return PixelWindow(self.rows.start, self.rows.stop, self.columns.start, self.columns.stop)

    def shared(self, other: Box) -> Box | None:
        """Return what two boxes have in common; None if nothing."""
        bands, rows, columns = (
            range(max(own.start, its.start), min(own.stop, its.stop)) for own, its in zip(self, other, strict=True)
        )
        return Box(bands, rows, columns) if bands and rows and columns else None

    def without(self, other: Box) -> Iterator[Box]:
        """Iterate over boxes that make up what this one does not share with another one."""
        shared = self.shared(other)
        if shared is None:
            yield self
            return
        rest = self
        for axis, whole, cut in zip(self._fields, self, shared, strict=True):
            for part in (range(whole.start, cut.start), range(cut.stop, whole.stop)):
                if part:
                    yield rest._replace(**{axis: part})
            rest = rest._replace(**{axis: cut})

    def within(self, other: Box) -> tuple[slice, slice, slice]:
        """Return the slices that cut this box out of the pixels of another one."""
        bands, rows, columns = (
            slice(own.start - its.start, own.stop - its.start) for own, its in zip(self, other, strict=True)
        )
        return bands, rows, columns


@dataclass
class _Held:
    """Pixels of a box, until all of them were read."""

    box: Box
    pixels: NDArray[Any]
    mask: Mask
    unread_px: int


class AheadSource(SourceWrapper):
    """A source of which some boxes were read ahead; a box is held until all of its pixels were read again.

    Memory: the boxes.
    """

    def __init__(self, source: Source) -> None:
        """Wrap a source."""
        super().__init__(source)
        self._held: list[_Held] = []
        self._lock = threading.Lock()

    def read_ahead(self, box: Box) -> tuple[NDArray[Any], Mask]:
        """Read a box that shares no pixel with those that are held, and hold it.

        Args:
            box: With all bands, where the source has a mask.

        Returns:
            Its (band, row, column) pixels, and their (row, column) mask or None.

        Raises:
            ReadError: The source fails.
            GeoreaderError: What else it raises of its own.
        """
        region = box.region
        try:
            pixels, mask = self.source.read(region, box.bands)
        except GeoreaderError:
            raise
        except Exception as error:  # a source of the caller's may raise anything
            raise ReadError(
                f"{self.name}: rows {region.row_start} to {region.row_stop}, columns {region.column_start} to "
                f"{region.column_stop}: cannot be read: {error or type(error).__name__}"
            ) from error
        self._held.append(_Held(box, pixels, mask, box.size_px))
        return pixels, mask

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window; what is held of it is not read again.

        Raises:
            Exception: What the source raises.
        """
        rows, columns = range(region.row_start, region.row_stop), range(region.column_start, region.column_stop)
        wanted = Box(bands, rows, columns)
        with self._lock:
            held = [(piece, part) for piece in self._held if (part := wanted.shared(piece.box)) is not None]
        if not held:
            return self.source.read(region, bands)
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        mask = np.empty(region.shape, bool) if self.spec.has_mask else None
        rest = [wanted]
        for piece, part in held:
            cut = part.within(piece.box)
            _place(wanted, part, piece.pixels[cut], None if piece.mask is None else piece.mask[cut[1:]], (pixels, mask))
            rest = [box for whole in rest for box in whole.without(part)]
        for box in rest:
            _place(wanted, box, *self.source.read(box.region, box.bands), (pixels, mask))
        self._count(held)
        return pixels, mask

    def close(self) -> None:
        """Release what is held, and the source."""
        with self._lock:
            self._held.clear()
        super().close()

    def _count(self, held: list[tuple[_Held, Box]]) -> None:
        """Release the boxes of which all pixels were read."""
        with self._lock:
            for piece, part in held:
                piece.unread_px -= part.size_px
            self._held = [piece for piece in self._held if piece.unread_px > 0]


def _place(wanted: Box, part: Box, pixels: NDArray[Any], mask: Mask, window: tuple[NDArray[Any], Mask]) -> None:
    """Copy the pixels and the mask of a part into those of a window."""
    target = part.within(wanted)
    window[0][target] = pixels
    if window[1] is not None and mask is not None:
        window[1][target[1:]] = mask


def boxes_ahead(spec: SourceSpec, chunks: Chunks | None, bands: range, most_px: int) -> list[Box]:
    """Return boxes that are spread over a raster, and are chunks of it where those are not too large.

    Args:
        spec: The raster.
        chunks: How it is stored; None: not known.
        bands: Bands that are read.
        most_px: Pixels of a box at most.

    Returns:
        The first chunk, that in the middle and the last, of which some may be the same one.
    """
    free = _edges(spec.height_px), _edges(spec.width_px)
    rows, columns = (chunks.row_edges_px or free[0], chunks.column_edges_px or free[1]) if chunks is not None else free
    boxes = (_cut(Box(bands, _chunk_at(place, rows), _chunk_at(place, columns)), most_px) for place in (0.0, 0.5, 1.0))
    return list(dict.fromkeys(boxes))


def _chunk_at(place: float, edges: tuple[int, ...]) -> range:
    """Return the chunk at a place between 0, the first, and 1, the last."""
    number = round(place * (len(edges) - 2))
    return range(edges[number], edges[number + 1])


def _edges(size_px: int) -> tuple[int, ...]:
    return (*range(0, size_px, _SIDE_PX), size_px)


def _cut(box: Box, most_px: int) -> Box:
    """Return the first columns, and of those the first rows, of a box that is too large."""
    width_px = max(1, min(len(box.columns), most_px // len(box.bands)))
    height_px = max(1, min(len(box.rows), most_px // (len(box.bands) * width_px)))
    return box._replace(
        rows=range(box.rows.start, box.rows.start + height_px),
        columns=range(box.columns.start, box.columns.start + width_px),
    )
