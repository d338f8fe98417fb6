"""Pixels that are read or computed once, and held in memory or in a spool until windows have taken all of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask, MaskedPixels, PixelWindow
from georeader._export.plan.grid import even_edges
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks, free_windows
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.spool import OpenSpool, SpoolPlaces
from georeader.errors import GeoreaderError, ReadError

#: A chunk is spooled in pieces of at most so many bytes: a window reads few bytes that it does not need.
PIECE_BYTES = 2**18

#: Side of a box that is read ahead of a raster of which no chunks are known.
_SIDE_PX = 512

#: A box of pixels: a slice of step one along each axis.
Box = tuple[slice, ...]

#: (row, column, ...) of a chunk, or of a piece in a chunk.
Place = tuple[int, ...]


def shared(one: Box, other: Box) -> Box:
    """Return what two boxes have in common, which may be empty."""
    starts = (max(its.start, their.start) for its, their in zip(one, other, strict=True))
    stops = (min(its.stop, their.stop) for its, their in zip(one, other, strict=True))
    return tuple(slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))


def within(box: Box, other: Box) -> Box:
    """Return where a box lies in another one that contains it."""
    return tuple(slice(its.start - own.start, its.stop - own.start) for its, own in zip(box, other, strict=True))


def shape_of_box(box: Box) -> tuple[int, ...]:
    """Return the pixels of a box along each axis."""
    return tuple(cut.stop - cut.start for cut in box)


def size_px(box: Box) -> int:
    """Return the pixels of a box."""
    return prod(shape_of_box(box))


def _without(box: Box, other: Box) -> Iterator[Box]:
    """Iterate over boxes that make up what a box does not share with another one."""
    common = shared(box, other)
    if not size_px(common):
        yield box
        return
    for axis, (whole, cut) in enumerate(zip(box, common, strict=True)):
        for part in (slice(whole.start, cut.start), slice(cut.stop, whole.stop)):
            if part.start < part.stop:
                yield (*common[:axis], part, *box[axis + 1 :])


# Boxes of a source that are read ahead of the windows of a save.


@dataclass
class _Ahead:
    """Pixels of a (band, row, column) box, until all of them were read."""

    box: Box
    pixels: NDArray[Any]
    mask: Mask
    unread_px: int


class AheadSource(SourceWrapper):
    """A source of which some boxes were read ahead; a box is held in memory until all of its pixels were read again."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._held: list[_Ahead] = []
        self._lock = threading.Lock()

    def __reduce__(self) -> Any:
        return SourceWrapper, (self.source,)  # what is held stays here

    def read_ahead(self, box: Box) -> MaskedPixels:
        """Read and hold a (band, row, column) box apart from others, which has all bands where there is a mask."""
        try:
            pixels, mask = self._read_box(box)
        except GeoreaderError:
            raise
        except Exception as error:  # a source of the caller's may raise anything
            _, rows, columns = box
            raise ReadError(
                f"{self.name}: rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}: "
                f"cannot be read: {error or type(error).__name__}"
            ) from error
        self._held.append(_Ahead(box, pixels, mask, size_px(box)))
        return pixels, mask

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window; what is held of it is not read again."""
        wanted = (slice(bands.start, bands.stop), *region.slices)
        with self._lock:
            held = [(piece, part) for piece in self._held if size_px(part := shared(wanted, piece.box))]
        if not held:
            return self.source.read(region, bands)
        pixels = np.empty((len(bands), *region.shape), self.spec.dtype)
        mask = np.empty(region.shape, bool) if self.spec.has_mask else None

        def put(part: Box, found: NDArray[Any], valid: Mask) -> None:
            target = within(part, wanted)
            pixels[target] = found
            if mask is not None and valid is not None:
                mask[target[1:]] = valid

        rest: list[Box] = [wanted]
        for piece, part in held:
            cut = within(part, piece.box)
            put(part, piece.pixels[cut], None if piece.mask is None else piece.mask[cut[1:]])
            rest = [box for whole in rest for box in _without(whole, part)]
        for box in rest:
            put(box, *self._read_box(box))
        with self._lock:
            for piece, part in held:
                piece.unread_px -= size_px(part)
            self._held = [piece for piece in self._held if piece.unread_px > 0]
        return pixels, mask

    def close(self) -> None:
        """Release what is held, and the source."""
        with self._lock:
            self._held.clear()
        super().close()

    def _read_box(self, box: Box) -> MaskedPixels:
        bands, rows, columns = box
        region = PixelWindow(rows.start, rows.stop, columns.start, columns.stop)
        return self.source.read(region, range(bands.start, bands.stop))


def boxes_ahead(spec: SourceSpec, chunks: Chunks | None, bands: int, most_px: int) -> list[Box]:
    """Return the first chunk of ``bands`` bands, that in the middle and the last, cut to ``most_px`` of all bands."""
    chunks = free_windows(bands) if chunks is None else chunks
    rows_px = chunks.row_edges_px or even_edges(spec.height_px, _SIDE_PX)
    columns_px = chunks.column_edges_px or even_edges(spec.width_px, _SIDE_PX)
    boxes = []
    for place in (0.0, 0.5, 1.0):
        row, column = (round(place * (len(edges) - 2)) for edges in (rows_px, columns_px))
        width_px = max(1, min(columns_px[column + 1] - columns_px[column], most_px // bands))
        height_px = max(1, min(rows_px[row + 1] - rows_px[row], most_px // (bands * width_px)))
        rows = slice(rows_px[row], rows_px[row] + height_px)
        boxes.append((slice(0, bands), rows, slice(columns_px[column], columns_px[column] + width_px)))
    return [box for number, box in enumerate(boxes) if box not in boxes[:number]]


# Chunks of an array that windows cut.


@dataclass
class _Held:
    """A chunk in memory, or one that is being computed."""

    size_bytes: int
    unread_px: int  #: that no window has taken yet
    taken: list[Box] = field(default_factory=list)  #: by windows
    chunk: Future[NDArray[Any]] = field(default_factory=Future)


@dataclass
class _Piece:
    """A piece of a chunk in the spool."""

    box: Box  #: in the chunk
    offset_bytes: int  #: in the spool
    size_bytes: int
    unread_px: int  #: that no window has taken yet


@dataclass(frozen=True)
class _Spooled:
    """A chunk in the spool, without the pieces that were read."""

    sides: tuple[int, ...]  #: of a piece, by axis
    dtype: np.dtype[Any]
    is_masked: bool  #: each piece is followed by its mask
    pieces: dict[Place, _Piece]  #: by their place in the chunk

    def touched(self, box: Box) -> list[Place]:
        """Return the places of the pieces that share pixels with a box."""
        axes = (range(cut.start // side, -(-cut.stop // side)) for cut, side in zip(box, self.sides, strict=True))
        return list(product(*axes))


class CutChunks:
    """Cache of chunks of which windows take parts; several threads may read at once.

    Each chunk is computed once, and kept until the last of its pixels is read. Chunks that have no room in memory wait
    in a spool, the least recently requested first; of these only pieces with unread pixels are written, and
    the place of a piece is used again when all of its pixels are read.

    Memory: the limit, and what the windows being read hold.
    """

    def __init__(
        self,
        limit_bytes: int,
        chunk_shape: Callable[[Place], tuple[int, ...]],
        pixel_bytes: int,
        open_spool: OpenSpool | None,
        together: Callable[[Place], Iterable[Place]] = lambda _: (),
    ) -> None:
        """Set the memory; ``together`` returns the chunks that are computed with one, since they share work."""
        self._limit_bytes = limit_bytes
        self._chunk_shape = chunk_shape
        self._together = together
        self._begun: set[Place] = set()
        self._pixel_bytes = pixel_bytes
        self._places = None if open_spool is None else SpoolPlaces(open_spool)
        self._lock = threading.Lock()
        self._held: OrderedDict[Place, _Held] = OrderedDict()
        self._spooled: dict[Place, _Spooled] = {}

    def get(self, wanted: Mapping[Place, Box], compute: Callable[[list[Place]], list[Any]]) -> dict[Place, Any]:
        """Return the pixels of boxes in chunks; missing ones are computed together, and fail for all that wait."""
        with self._lock:
            pixels = self._from_spool(wanted)
            waiting = {place: self._held[place] for place in wanted if place in self._held}
            missing = [place for place in wanted if place not in pixels and place not in waiting]
            for place in waiting:
                self._take(place, wanted[place])
            # Before they are computed, so that both are never in memory.
            others = self._others(missing)
            sizes_px = {place: prod(self._chunk_shape(place)) for place in [*missing, *others]}
            self._make_room(sum(sizes_px.values()) * self._pixel_bytes)
            promised = {}
            for place, chunk_px in sizes_px.items():
                if place in others or size_px(wanted[place]) < chunk_px:
                    promised[place] = self._held[place] = _Held(chunk_px * self._pixel_bytes, chunk_px)
                    if place in wanted:
                        self._take(place, wanted[place])
        found = self._compute([*missing, *others], promised, compute)
        found = {place: found[place] for place in missing}
        found |= {place: held.chunk.result() for place, held in waiting.items()}
        return pixels | {place: chunk[wanted[place]] for place, chunk in found.items()}

    def clear(self) -> None:
        """Drop all chunks; the spool's owner closes it."""
        with self._lock:
            self._held.clear()
            self._spooled.clear()

    def _others(self, missing: list[Place]) -> list[Place]:
        """Return the chunks that are computed with missing ones, each at its first time only."""
        self._begun.update(missing)
        others = dict.fromkeys(other for place in missing for other in self._together(place))
        found = [place for place in others if place not in self._begun]
        self._begun.update(found)
        return found

    def _compute(
        self, missing: list[Place], promised: dict[Place, _Held], compute: Callable[[list[Place]], list[Any]]
    ) -> dict[Place, Any]:
        """Compute chunks, and pass them to the windows that wait for them."""
        try:
            found = dict(zip(missing, compute(missing), strict=True)) if missing else {}
        except BaseException as error:
            with self._lock:
                for place, held in promised.items():
                    self._held.pop(place, None)
                    held.chunk.set_exception(error)
            raise
        with self._lock:
            for place, held in promised.items():
                held.chunk.set_result(found[place])
            self._make_room(0)
        return found

    def _take(self, place: Place, box: Box) -> None:
        """Note that a window takes a part of a chunk, and forget the chunk if it is the last part."""
        held = self._held[place]
        held.taken.append(box)
        held.unread_px -= size_px(box)
        if held.unread_px > 0:
            self._held.move_to_end(place)
        else:
            del self._held[place]

    def _make_room(self, new_bytes: int) -> None:
        """Spool chunks until others have room, or none is left that is computed."""
        if self._places is None:
            return
        total_bytes = new_bytes + sum(held.size_bytes for held in self._held.values())
        for place, held in list(self._held.items()):
            if total_bytes <= self._limit_bytes:
                return
            if held.chunk.done():
                self._spooled[place] = _spool(self._places, held)
                del self._held[place]
                total_bytes -= held.size_bytes

    def _from_spool(self, wanted: Mapping[Place, Box]) -> dict[Place, Any]:
        """Read those parts of chunks that are in the spool."""
        found: dict[Place, Any] = {}
        for place, box in wanted.items():
            spooled = self._spooled.get(place)
            # A part that is read a second time may be gone.
            if self._places and spooled is not None and all(at in spooled.pieces for at in spooled.touched(box)):
                found[place] = _read_spooled(self._places, spooled, box)
                if not spooled.pieces:
                    del self._spooled[place]
        return found


def _spool(places: SpoolPlaces, held: _Held) -> _Spooled:
    """Write what is unread of a chunk."""
    chunk = held.chunk.result()
    sides = list(chunk.shape)
    while prod(sides) * chunk.dtype.itemsize > PIECE_BYTES and max(sides) > 1:
        axis = sides.index(max(sides))
        sides[axis] = -(-sides[axis] // 2)
    spooled = _Spooled(tuple(sides), chunk.dtype, isinstance(chunk, np.ma.MaskedArray), {})
    whole = tuple(slice(0, size) for size in chunk.shape)
    for place in spooled.touched(whole):
        grid = tuple(slice(at * side, (at + 1) * side) for at, side in zip(place, sides, strict=True))
        box = shared(grid, whole)
        unread_px = size_px(box) - sum(size_px(shared(box, taken)) for taken in held.taken)
        if unread_px > 0:
            arrays = [np.ma.getdata(chunk[box])]
            if spooled.is_masked:
                arrays.append(np.ma.getmaskarray(chunk[box]))
            data = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays]
            spooled.pieces[place] = _Piece(box, places.put(*data), sum(map(len, data)), unread_px)
    return spooled


def _read_spooled(places: SpoolPlaces, spooled: _Spooled, box: Box) -> Any:
    """Read a part of a chunk, and forget the pieces of which it is the last part."""
    empty = np.ma.empty if spooled.is_masked else np.empty
    pixels = empty(shape_of_box(box), spooled.dtype)
    for place in spooled.touched(box):
        piece = spooled.pieces[place]
        data = places.get(piece.offset_bytes, piece.size_bytes)
        shape, count = shape_of_box(piece.box), size_px(piece.box)
        values = np.frombuffer(data, spooled.dtype, count).reshape(shape)
        if spooled.is_masked:
            mask = np.frombuffer(data, bool, count, values.nbytes).reshape(shape)
            values = np.ma.MaskedArray(values, mask)
        part = shared(box, piece.box)
        pixels[within(part, box)] = values[within(part, piece.box)]
        piece.unread_px -= size_px(part)
        if piece.unread_px <= 0:
            places.give_back(piece.offset_bytes, piece.size_bytes)
            del spooled.pieces[place]
    return pixels
