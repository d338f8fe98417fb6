"""Buffer of windows that are blended: accumulators by block in memory, and beyond a limit in a spool on disk."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask, PixelWindow
from georeader._export.engine.buffers import WindowPixels
from georeader._export.writer.blends import Accumulator, Blend, CheckedPixels, Contribution, find_highest, finish
from georeader._export.writer.window_buffer import BlockPart, WindowBuffer
from georeader.errors import DtypeError, GeoreaderError, NodataError, ShapeError

#: Height and width of a block, unless tiles of the file do not divide it: what a window adds to it fits in a cache.
BLOCK_SIDE_PX = 256

#: Bytes of a pixel of the bands that share a block, weights included.
BLOCK_PIXEL_BYTES = 64

#: Locks of blocks; blocks that share one are not written at once.
_LOCKS = 64


@dataclass
class BlendBuffer(WindowBuffer):
    """A source whose pixels are those of all windows that were written, blended.

    Windows add to accumulators, and `read` computes results. Where the blend depends on the order of windows, each is
    added as a whole. A deterministic buffer keeps what windows add, and adds it by `read` in the order of their places.
    """

    blend: Blend
    nodata: int | float | None = None  #: Of the file
    is_argmax: bool = False  #: The result is the number of the band with the highest value, and that value
    is_deterministic: bool = False

    def __post_init__(self) -> None:
        self._classes = 0 if self.is_argmax else None
        super().__post_init__()
        self._block_locks = [threading.Lock() for _ in range(_LOCKS)]
        self._window_lock = threading.Lock() if self.blend.keeps_order else nullcontext()
        self._scratch = threading.local()
        self._parts_kept: defaultdict[Hashable, list[tuple[Any, int]]] = defaultdict(list)

    def _block_layout(self) -> tuple[int, tuple[int, int]]:
        height_px, width_px = (
            BLOCK_SIDE_PX if side_px % BLOCK_SIDE_PX == 0 else -(-BLOCK_SIDE_PX // side_px) * side_px
            for side_px in self.tile_shape
        )
        bands = self.spec.count if self.is_argmax else BLOCK_PIXEL_BYTES // self.blend.dtype.itemsize - 1
        return bands, (height_px, width_px)

    def check(self, given: CheckedPixels) -> None:
        """Set the number of classes by the first window; raise unless later ones have as many, and the file fits."""
        count = len(given.pixels)
        with self._lock:
            if self._classes in (None, count):
                return
            if self._classes:
                raise ShapeError(f"the window has {count} classes, and the first one had {self._classes}")
            self._check_range(count)
            self._classes = self._bands_per_block = count

    def _check_range(self, count: int) -> None:
        dtype, nodata = self.spec.dtype, self.nodata
        most = np.iinfo(dtype).max if dtype.kind in "iu" else 2 ** (np.finfo(dtype).nmant + 1)
        if count - 1 > most:
            raise DtypeError(f"{count} classes do not fit {dtype}, which holds 0 to {most}; pass a larger dtype")
        if nodata is not None and nodata in range(count):
            raise NodataError(f"nodata={nodata} is the number of a class; there are 0 to {count - 1}: pass another one")

    @property
    def _count(self) -> int:
        return self.spec.count if self._classes is None else self._classes

    def write(self, window: PixelWindow, bands: Sequence[int], given: CheckedPixels) -> None:
        """Add the pixels of a window; its bands are in any order, those of classes are all."""
        bands = range(len(given.pixels)) if self.is_argmax else bands
        order = self._order(window, bands, given) if self.is_deterministic else None
        with self._window_lock:
            for part in self._parts(window, bands):
                contribution = self._contribution(part, given)
                if order is None:
                    self._add(part, contribution)
                else:
                    self._keep(part, contribution, order)

    def read(self, window: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read the result, the fill value where nothing has weight."""
        pixels = np.full((len(bands), *window.shape), self.fill, self.spec.dtype)
        chosen = range(self._count) if self.is_argmax else bands
        for part in self._parts(window, chosen):
            found = self._accumulated(part)
            if found is None:
                continue
            if self.is_argmax:
                pixels[:, *part.in_window] = self._classes_of(found)[bands.start : bands.stop]
            else:
                self._read_part(part, found, pixels)
        return pixels, None

    def _read_part(self, part: BlockPart, found: Accumulator, pixels: NDArray[Any]) -> None:
        values, missing = self.blend.result(found)
        nodata = None if self.blend.is_selection else self.nodata
        for place, band in part.bands:
            own = None if missing is None else missing[band if len(missing) > 1 else 0]
            try:
                pixels[(place, *part.in_window)] = finish(values[band], own, self.spec.dtype, self.fill, nodata)
            except GeoreaderError as error:
                raise type(error)(f"blended pixels of band {part.key[1] + band + 1}: {error}") from error

    def _classes_of(self, found: Accumulator) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the class with the highest score, and the score, in the file's dtype."""
        number, score, missing = self._highest(found)
        dtype = self.spec.dtype
        classes = finish(number, missing, dtype, self.fill)
        return classes, finish(score, missing, dtype, self.fill, self.nodata) if self.spec.count > 1 else score

    def read_scores(self, window: PixelWindow) -> NDArray[Any]:
        """Read the scores of the classes of pixels, (row, column), in the accumulators' dtype; NaN is missing."""
        scores = np.full(window.shape, np.nan, self.blend.dtype)
        for part in self._parts(window, range(self._count)):
            found = self._accumulated(part)
            if found is not None:
                _, score, missing = self._highest(found)
                scores[part.in_window] = finish(score, missing, self.blend.dtype, np.nan)
        return scores

    def _highest(self, found: Accumulator) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None]:
        """Return the class with the highest score, the score, and where they are missing; None: nowhere."""
        number, highest = find_highest(found.values)
        score, missing = self.blend.result(Accumulator(highest[np.newaxis], found.weights))
        return number, score[0], None if missing is None else missing[0]

    def _contribution(self, part: BlockPart, given: CheckedPixels) -> Contribution:
        cut = _slice_of([place for place, _ in part.bands])
        pixels = given.pixels[:, *part.in_window][cut]
        weights, hidden = given.weights, given.hidden
        if weights is not None:
            weights = weights[:, *part.in_window]
            weights = weights if len(weights) == 1 else weights[cut]
        if hidden is not None:
            hidden = hidden[:, *part.in_window][cut]
            hidden = hidden if hidden.any() else None
        return self.blend.contribution(pixels, weights, hidden, self._scratch_of(pixels.shape))

    def _scratch_of(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return memory of this thread, which its next block takes again."""
        size = int(np.prod(shape))
        held = getattr(self._scratch, "array", None)
        if held is None or held.size < size:
            held = self._scratch.array = np.empty(size, self.blend.dtype)
        return held[:size].reshape(shape)

    def _add(self, part: BlockPart, given: Contribution) -> None:
        numbered = [(number, band) for number, (_, band) in enumerate(part.bands)]
        is_common = len(numbered) == part.block_bands and (given.weights is None or len(given.weights) == 1)
        with self._lock_of(part):
            with self._lock:
                block = self._store.pop(part.key) if part.key in self._store else None
            planes = self._planes(part, block, is_common=is_common)
            self.blend.add(Accumulator.of_planes(planes, part.block_bands).cut(part.in_block), numbered, given)
            with self._lock:
                self._store.put(part.key, WindowPixels(part.block, planes, None))

    def _planes(self, part: BlockPart, block: WindowPixels | None, *, is_common: bool) -> NDArray[Any]:
        """Return the planes of a block, with weights for each band unless those that follow are common to all."""
        if block is None:
            return self.blend.blank(part.block_bands, 1 if is_common else part.block_bands, part.block.shape)
        planes, bands = block.pixels, part.block_bands
        if is_common or len(planes) == 2 * bands:
            return planes
        return np.concatenate([planes[:bands], np.repeat(planes[bands:], bands, axis=0)])

    def _lock_of(self, part: BlockPart) -> threading.Lock:
        return self._block_locks[hash(part.key) % _LOCKS]

    def _order(self, window: PixelWindow, bands: Sequence[int], given: CheckedPixels) -> tuple[Any, ...]:
        """Return what the place of a window in the order of windows depends on: its position, and its content last."""
        digest = blake2b(digest_size=16)
        for array in given:
            if array is not None:
                digest.update(np.ascontiguousarray(array).data)
        return window.row_start, window.column_start, *window.shape, tuple(bands), digest.digest()

    def _keep(self, part: BlockPart, given: Contribution, order: tuple[Any, ...]) -> None:
        weights = np.ones((1, *given.pixels.shape[1:]), self.blend.dtype) if given.weights is None else given.weights
        planes = np.concatenate([given.pixels, weights.astype(self.blend.dtype, copy=False)])
        rows, columns = part.in_block
        window = PixelWindow(rows.start, rows.stop, columns.start, columns.stop)
        bands = tuple(band for _, band in part.bands)
        with self._lock:
            kept = self._parts_kept[part.key]
            kept.append(((order, window, bands), len(kept)))
            self._store.put((part.key, len(kept) - 1), WindowPixels(window, planes, None))

    def _accumulated(self, part: BlockPart) -> Accumulator | None:
        """Return the accumulators of the pixels of a part; None if nothing was added to its block."""
        if self.is_deterministic:
            return self._folded(part)
        with self._lock_of(part), self._lock:
            if part.key not in self._store:
                return None
            planes = self._store.look(part.key).pixels
        return Accumulator.of_planes(planes, part.block_bands).cut(part.in_block)

    def _folded(self, part: BlockPart) -> Accumulator | None:
        kept = sorted(self._parts_kept.get(part.key, ()))
        if not kept:
            return None
        planes = self.blend.blank(part.block_bands, part.block_bands, part.block.shape)
        whole = Accumulator.of_planes(planes, part.block_bands)
        for (_, window, bands), number in kept:
            with self._lock:
                added = self._store.look((part.key, number)).pixels
            given = Contribution(added[: len(bands)], added[len(bands) :])
            self.blend.add(whole.cut(window.slices), list(enumerate(bands)), given)
        return whole.cut(part.in_block)

    def _keys(self, key: Hashable) -> Iterator[Hashable]:
        yield key
        yield from ((key, number) for _, number in self._parts_kept.pop(key, ()))


def _slice_of(places: list[int]) -> slice | list[int]:
    """Return a slice of the places if they follow each other: numpy copies what a list selects."""
    first, stop = places[0], places[-1] + 1
    return slice(first, stop) if places == list(range(first, stop)) else places
