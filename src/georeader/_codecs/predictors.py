"""Predictors: reversible changes to the samples of a tile before a codec for bytes, their inverse, and their choice.

A predictor replaces samples by numbers that compress better; it loses nothing. Predictor 2 stores differences between
neighbours of a row, of floating-point numbers as of integers with the same bits. Predictor 3, for floating-point
numbers, first lays the bytes of a row out by significance: all first bytes, which hold signs and exponents, then all
second ones. With several samples a pixel, a sample's neighbour is the one of its own band.

References:
    TIFF 6.0, section 14 (predictor 2); Adobe Photoshop TIFF Technical Note 3 (predictor 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from georeader._codecs.registry import CODECS, FLOATING_POINT, HORIZONTAL, NO_PREDICTOR

if TYPE_CHECKING:
    from georeader._codecs.tile_codec import TileCodec

#: Lengths of the samples that each takes, by kind of dtype.
_TAKES: Mapping[int, Mapping[str, tuple[int, ...]]] = {
    HORIZONTAL: {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)},
    FLOATING_POINT: {"f": (4, 8)},
}

#: Number of runs of rows that AUTO encodes of each tile, and rows of a run. Encoding whole tiles would take a third of
#: the time of a small raster.
RUNS_TRIED, RUN_ROWS = 4, 16


def takes_predictor(dtype: np.dtype[Any], predictor: int) -> bool:
    """Return whether samples of ``dtype`` can have ``predictor``: 1 all, 2 real numbers, 3 float32 and float64."""
    return predictor == NO_PREDICTOR or dtype.itemsize in _TAKES.get(predictor, {}).get(dtype.kind, ())


def predictor_candidates(codec_name: str, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return the predictors that AUTO chooses from, in ascending order.

    Predictor 2 of 64-bit samples is not a candidate, though it may be named: libtiff has it only since 4.4, and other
    readers do not.
    """
    if not CODECS[codec_name.upper()].takes_predictor:
        return (NO_PREDICTOR,)
    known = (NO_PREDICTOR, FLOATING_POINT) if dtype.itemsize == 8 else (NO_PREDICTOR, HORIZONTAL, FLOATING_POINT)
    return tuple(number for number in known if takes_predictor(dtype, number))


def smallest_predictor(
    tiles: Iterable[NDArray[Any]], codec_for: Callable[[int], TileCodec], candidates: tuple[int, ...]
) -> int:
    """Return the predictor with which some rows of the tiles take the fewest bytes; of equals, the first candidate.

    Tiles with one value per band are skipped: they compress well with any predictor. If no other tile is left, all
    predictors are equal. Tiles, each (row, column, sample), are read one after the other, and not at all for a single
    candidate.
    """
    if len(candidates) == 1:
        return candidates[0]
    codecs = [codec_for(number) for number in candidates]
    sizes_bytes = [0] * len(candidates)
    for tile in tiles:
        part = _some_rows(tile)
        if not _is_constant(part):
            sizes_bytes = [size + len(codec.encode(part)) for size, codec in zip(sizes_bytes, codecs, strict=True)]
    return candidates[sizes_bytes.index(min(sizes_bytes))]


def _some_rows(tile: NDArray[Any]) -> NDArray[Any]:
    """Return some rows of a tile; the whole tile if those are constant."""
    rows = len(tile)
    if rows <= RUNS_TRIED * RUN_ROWS:
        return tile
    starts = [(2 * run + 1) * rows // (2 * RUNS_TRIED) - RUN_ROWS // 2 for run in range(RUNS_TRIED)]
    part = np.concatenate([tile[start : start + RUN_ROWS] for start in starts])
    return tile if _is_constant(part) else part


def _is_constant(tile: NDArray[Any]) -> bool:
    """Return whether each band has one value, which may be NaN."""
    first = tile[:1, :1]
    return bool(((tile == first) | ((tile != tile) & (first != first))).all())


def predict(tile: NDArray[Any], predictor: int) -> NDArray[Any]:
    """Return the numbers that a codec for bytes compresses, little-endian and C-contiguous, as (row, anything).

    The tile is (row, column, sample) in native byte order, and is never changed. With one sample it may be a slice of
    a larger array: predictor 2 reads its rows without a copy. Memory: with predictor 1 the result may share the
    tile's; else it is of the tile's size, and predictor 3 takes as much again while it runs.

    Example:
        >>> predict(np.array([[[7], [9], [8]]], dtype="uint8"), HORIZONTAL)
        array([[  7,   2, 255]], dtype=uint8)
    """
    rows, columns, samples = tile.shape
    if predictor == NO_PREDICTOR:
        return _little_endian(np.ascontiguousarray(tile).reshape(rows, columns * samples))
    bits = tile.view(f"u{tile.itemsize}")
    if samples > 1 or predictor == FLOATING_POINT:
        bits = np.ascontiguousarray(bits)
    bits = bits.reshape(rows, columns * samples) if bits.flags.c_contiguous else bits[:, :, 0]
    if predictor == HORIZONTAL:
        return _little_endian(difference(bits, samples))
    planes = np.empty((rows, bits.itemsize, columns * samples), np.uint8)  # the most significant byte first
    _spread(bits, planes)
    return difference(planes.reshape(rows, -1), samples)


def unpredict(
    data: Any, shape: tuple[int, int, int], dtype: np.dtype[Any], predictor: int, order: Literal["<", ">"] = "<"
) -> NDArray[Any]:
    """Return the tile (row, column, sample) that `predict` was passed, bit for bit, as a new array.

    Another byte order than little-endian is that of data which was swapped after `predict`.
    """
    rows, columns, samples = shape
    if predictor == NO_PREDICTOR:
        return np.frombuffer(data, dtype.newbyteorder(order)).astype(dtype).reshape(shape)
    bits = np.dtype(f"u{dtype.itemsize}")
    if predictor == HORIZONTAL:
        differences = np.frombuffer(data, bits.newbyteorder(order)).reshape(shape)
        return np.add.accumulate(differences, axis=1, dtype=bits).view(dtype)
    differences = np.frombuffer(data, np.uint8).reshape(rows, columns * dtype.itemsize, samples)
    planes = np.add.accumulate(differences, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, columns * samples)
    whole = np.zeros((rows, columns * samples), bits)
    for byte in range(dtype.itemsize):
        whole |= planes[:, dtype.itemsize - 1 - byte].astype(bits) << bits.type(8 * byte)
    return whole.view(dtype).reshape(shape)


def difference(samples: NDArray[Any], stride: int = 1) -> NDArray[Any]:
    """Return the differences of each number of a row to the one ``stride`` before it, modulo its range.

    The samples are unsigned integers in native byte order, as (row, column * band); rows need not be adjacent in
    memory. The first ``stride`` numbers of a row stay as they are. The result is a new C-contiguous array.
    """
    if stride == 1 and not samples.flags.c_contiguous:
        # One pass over the memory less than with a copy.
        return np.asarray(imagecodecs.delta_encode(samples))
    samples = np.ascontiguousarray(samples)
    out = np.empty_like(samples)
    # All rows as one: one long loop is several times as fast as one a row. The first numbers of each row are
    # overwritten below.
    flat = samples.reshape(-1)
    np.subtract(flat[stride:], flat[:-stride], out=out.reshape(-1)[stride:])
    out[:, :stride] = samples[:, :stride]
    return out


def _spread(samples: NDArray[Any], planes: NDArray[np.uint8]) -> None:
    """Split the numbers in halves until they are bytes: shifts and casts are vectorised, strided reads are not."""
    half_bytes = samples.itemsize // 2
    if half_bytes == 1:
        np.right_shift(samples, 8, out=planes[:, 0], casting="unsafe")
        np.copyto(planes[:, 1], samples, casting="unsafe")
        return
    half = np.empty(samples.shape, f"u{half_bytes}")
    np.right_shift(samples, 8 * half_bytes, out=half, casting="unsafe")
    _spread(half, planes[:, :half_bytes])
    np.copyto(half, samples, casting="unsafe")
    _spread(half, planes[:, half_bytes:])


def _little_endian(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.astype(samples.dtype.newbyteorder("<"), copy=False)
