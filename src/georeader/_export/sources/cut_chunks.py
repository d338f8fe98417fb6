"""Cache of chunks that windows cut: computed once, then kept in memory or in a spool until all pixels are read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._export.spool import OpenSpool, SpoolPlaces

#: A chunk is spooled in pieces of at most so many bytes: a window reads few bytes that it does not need.
PIECE_BYTES = 2**18

#: (row, column, ...) of a chunk, or of a piece in a chunk.
Place = tuple[int, ...]


class Cut(NamedTuple):
    """A part of a chunk along one axis.

    Attributes:
        chunk: Position of the chunk.
        source: Where the part lies in the chunk.
        target: Where it lies in the window.
        is_whole: The part is the chunk.
    """

    chunk: int
    source: slice
    target: slice
    is_whole: bool


#: A part of a chunk, by axis.
Part = tuple[Cut, ...]

#: A box of pixels, by axis.
Box = tuple[slice, ...]


@dataclass
class _Held:
    """A chunk in memory, or one that is being computed.

    Attributes:
        size_bytes: What it takes.
        unread_px: Pixels that no window has taken yet.
        taken: What windows have taken.
        chunk: The pixels.
    """

    size_bytes: int
    unread_px: int
    taken: list[Box] = field(default_factory=list)
    chunk: Future[NDArray[Any]] = field(default_factory=Future)


@dataclass
class _Piece:
    """A piece of a chunk in the spool.

    Attributes:
        box: Where it lies in the chunk.
        offset_bytes: Where it lies in the spool.
        size_bytes: What it takes there.
        unread_px: Pixels that no window has taken yet.
    """

    box: Box
    offset_bytes: int
    size_bytes: int
    unread_px: int


@dataclass(frozen=True)
class _Spooled:
    """A chunk in the spool, without the pieces that were read.

    Attributes:
        sides: Of a piece, by axis.
        dtype: Of the pixels.
        is_masked: Each piece is followed by its mask.
        pieces: By their place in the chunk.
    """

    sides: tuple[int, ...]
    dtype: np.dtype[Any]
    is_masked: bool
    pieces: dict[Place, _Piece]

    def touched(self, box: Box) -> list[Place]:
        """Return the places of the pieces that share pixels with a box."""
        axes = (range(cut.start // side, -(-cut.stop // side)) for cut, side in zip(box, self.sides, strict=True))
        return list(product(*axes))


class CutChunks:
    """Cache of chunks of which windows take parts; several threads may read at once.

    Each chunk is computed once, and kept until the last of its pixels is read. Chunks that have no room in memory wait
    in a spool, those that were asked for longest ago first; of these only pieces with unread pixels are written, and
    the place of a piece is used again when all of its pixels are read.

    Memory: the limit, and what the windows being read hold.
    """

    def __init__(
        self,
        limit_bytes: int,
        chunk_shape: Callable[[Place], tuple[int, ...]],
        pixel_bytes: int,
        open_spool: OpenSpool | None,
    ) -> None:
        """Create an empty cache.

        Args:
            limit_bytes: Chunks may take so much memory, and so may a single chunk.
            chunk_shape: Returns the shape of a chunk.
            pixel_bytes: Of a pixel with its mask.
            open_spool: Opens the spool, when it is first needed; its owner closes it. None: all chunks wait in memory.
        """
        self._limit_bytes = limit_bytes
        self._chunk_shape = chunk_shape
        self._pixel_bytes = pixel_bytes
        self._places = None if open_spool is None else SpoolPlaces(open_spool)
        self._lock = threading.Lock()
        self._held: OrderedDict[Place, _Held] = OrderedDict()
        self._spooled: dict[Place, _Spooled] = {}

    def get(self, parts: Sequence[Part], compute: Callable[[list[Place]], list[Any]]) -> list[Any]:
        """Return the pixels of a window's parts; chunks that are missing are computed together.

        Args:
            parts: Each of another chunk.
            compute: Computes whole chunks.

        Raises:
            Exception: What ``compute`` raised, for all windows that wait for it.
            WriteError: The spool's disk is full, or does not return what was written.
            DestinationError: The spool cannot be opened.
        """
        wanted = {tuple(cut.chunk for cut in part): tuple(cut.source for cut in part) for part in parts}
        cut_places = [tuple(cut.chunk for cut in part) for part in parts if not all(cut.is_whole for cut in part)]
        with self._lock:
            pixels = self._from_spool(wanted)
            waiting = {place: self._held[place] for place in wanted if place in self._held}
            missing = [place for place in wanted if place not in pixels and place not in waiting]
            for place in waiting:
                self._take(place, wanted[place])
            # Before they are computed, so that both are never in memory.
            self._make_room(sum(map(self._size_bytes, missing)))
            promised = {place: self._promise(place) for place in cut_places if place in missing}
            for place in promised:
                self._take(place, wanted[place])
        found = self._compute(missing, promised, compute)
        for place, held in waiting.items():
            found[place] = held.chunk.result()
        for place, chunk in found.items():
            pixels[place] = chunk[wanted[place]]
        return [pixels[place] for place in wanted]

    def clear(self) -> None:
        """Drop all chunks; the spool's owner closes it."""
        with self._lock:
            self._held.clear()
            self._spooled.clear()

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

    def _promise(self, place: Place) -> _Held:
        held = self._held[place] = _Held(self._size_bytes(place), prod(self._chunk_shape(place)))
        return held

    def _take(self, place: Place, box: Box) -> None:
        """Note that a window takes a part of a chunk, and forget the chunk if it is the last part."""
        held = self._held[place]
        held.taken.append(box)
        held.unread_px -= _size_px(box)
        if held.unread_px > 0:
            self._held.move_to_end(place)
        else:
            del self._held[place]

    def _size_bytes(self, place: Place) -> int:
        return prod(self._chunk_shape(place)) * self._pixel_bytes

    def _make_room(self, new_bytes: int) -> None:
        """Spool chunks until others have room, or none is left that is computed."""
        if self._places is None:
            return
        total_bytes = new_bytes + sum(held.size_bytes for held in self._held.values())
        for place, held in list(self._held.items()):
            if total_bytes <= self._limit_bytes:
                return
            if held.chunk.done():
                self._spooled[place] = self._spool(self._places, held)
                del self._held[place]
                total_bytes -= held.size_bytes

    def _spool(self, places: SpoolPlaces, held: _Held) -> _Spooled:
        """Write what is unread of a chunk."""
        chunk = held.chunk.result()
        spooled = _Spooled(
            _piece_sides(chunk.shape, chunk.dtype.itemsize), chunk.dtype, isinstance(chunk, np.ma.MaskedArray), {}
        )
        for place in spooled.touched(tuple(slice(0, size) for size in chunk.shape)):
            box = tuple(
                slice(at * side, min((at + 1) * side, size))
                for at, side, size in zip(place, spooled.sides, chunk.shape, strict=True)
            )
            unread_px = _size_px(box) - sum(_size_px(_shared(box, taken)) for taken in held.taken)
            if unread_px > 0:
                data = list(_bytes_of(chunk[box]))
                size_bytes = sum(map(len, data))
                spooled.pieces[place] = _Piece(box, places.put(*data), size_bytes, unread_px)
        return spooled

    def _from_spool(self, wanted: dict[Place, Box]) -> dict[Place, Any]:
        """Read those parts of chunks that are in the spool."""
        found: dict[Place, Any] = {}
        if self._places is None:
            return found
        for place, box in wanted.items():
            spooled = self._spooled.get(place)
            # A part that is read a second time may be gone.
            if spooled is not None and all(at in spooled.pieces for at in spooled.touched(box)):
                found[place] = _read(self._places, spooled, box)
                if not spooled.pieces:
                    del self._spooled[place]
        return found


def _read(places: SpoolPlaces, spooled: _Spooled, box: Box) -> Any:
    """Read a part of a chunk, and forget the pieces of which it is the last part."""
    empty = np.ma.empty if spooled.is_masked else np.empty
    pixels = empty(tuple(cut.stop - cut.start for cut in box), spooled.dtype)
    for place in spooled.touched(box):
        piece = spooled.pieces[place]
        shared = _shared(box, piece.box)
        data = _pixels_of(places.get(piece.offset_bytes, piece.size_bytes), spooled, piece.box)
        pixels[_within(shared, box)] = data[_within(shared, piece.box)]
        piece.unread_px -= _size_px(shared)
        if piece.unread_px <= 0:
            places.give_back(piece.offset_bytes, piece.size_bytes)
            del spooled.pieces[place]
    return pixels


def _piece_sides(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    """Return the sides of a piece: those of a chunk, the longest halved until it is small enough."""
    sides = list(shape)
    while prod(sides) * item_bytes > PIECE_BYTES and max(sides) > 1:
        axis = sides.index(max(sides))
        sides[axis] = -(-sides[axis] // 2)
    return tuple(sides)


def _bytes_of(pixels: NDArray[Any]) -> Iterator[memoryview]:
    """Iterate over the bytes of pixels, and of their mask."""
    yield np.ascontiguousarray(np.ma.getdata(pixels)).reshape(-1).view(np.uint8).data
    if isinstance(pixels, np.ma.MaskedArray):
        yield np.ascontiguousarray(np.ma.getmaskarray(pixels)).reshape(-1).view(np.uint8).data


def _pixels_of(data: bytes, spooled: _Spooled, box: Box) -> NDArray[Any]:
    """Return the pixels of a piece from its bytes."""
    shape, size_px = tuple(cut.stop - cut.start for cut in box), _size_px(box)
    pixels = np.frombuffer(data, spooled.dtype, size_px).reshape(shape)
    if not spooled.is_masked:
        return pixels
    return np.ma.MaskedArray(pixels, np.frombuffer(data, bool, size_px, pixels.nbytes).reshape(shape))


def _shared(one: Box, other: Box) -> Box:
    """Return what two boxes have in common, which may be empty."""
    starts = (max(its.start, their.start) for its, their in zip(one, other, strict=True))
    stops = (min(its.stop, their.stop) for its, their in zip(one, other, strict=True))
    return tuple(slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))


def _within(box: Box, other: Box) -> Box:
    """Return where a box lies in another one that contains it."""
    return tuple(slice(its.start - own.start, its.stop - own.start) for its, own in zip(box, other, strict=True))


def _size_px(box: Box) -> int:
    return prod(cut.stop - cut.start for cut in box)
