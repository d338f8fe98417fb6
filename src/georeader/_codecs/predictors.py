"""Predictors: reversible changes to the samples of a tile before a codec for bytes, and their inverse. Pure.

A predictor replaces samples by numbers that compress better; it loses nothing. Predictor 2 stores differences between
neighbours of a row, of floating-point numbers as of integers with the same bits. Predictor 3, for floating-point
numbers, first lays the bytes of a row out by significance: all first bytes, which hold signs and exponents, then all
second ones. With several samples a pixel, a sample's neighbour is the one of its own band.

References:
    TIFF 6.0, section 14 (predictor 2); Adobe Photoshop TIFF Technical Note 3 (predictor 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from georeader._codecs.registry import FLOATING_POINT, HORIZONTAL, NO_PREDICTOR

#: Lengths of the samples that each takes, by kind of dtype.
_TAKES: Mapping[int, Mapping[str, tuple[int, ...]]] = {
    HORIZONTAL: {"i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (4, 8)},
    FLOATING_POINT: {"f": (4, 8)},
}


def takes_predictor(dtype: np.dtype[Any], predictor: int) -> bool:
    """Return whether samples of ``dtype`` can have ``predictor``: 1 all, 2 real numbers, 3 float32 and float64.

    Example:
        >>> [takes_predictor(np.dtype("uint16"), predictor) for predictor in (1, 2, 3)]
        [True, True, False]
    """
    if predictor == NO_PREDICTOR:
        return True
    return dtype.itemsize in _TAKES.get(predictor, {}).get(dtype.kind, ())


def predict(tile: NDArray[Any], predictor: int) -> NDArray[Any]:
    """Return the numbers that a codec for bytes compresses.

    Args:
        tile: (row, column, sample), of a dtype that `takes_predictor`, in native byte order. Never changed. A tile of
            one sample may be a slice of a larger array: predictor 2 reads its rows without a copy.
        predictor: 1, 2 or 3.

    Returns:
        (row, anything), C-contiguous, with the bytes of the file, little-endian. With predictor 1 it may share the
        tile's memory; else it is a new array of the tile's size. Predictor 3 takes as much again while it runs.

    Example:
        >>> predict(np.array([[[7], [9], [8]]], dtype="uint8"), HORIZONTAL)
        array([[  7,   2, 255]], dtype=uint8)
    """
    rows, columns, samples = tile.shape
    if predictor == NO_PREDICTOR:
        return _little_endian(np.ascontiguousarray(tile).reshape(rows, columns * samples))
    bits = tile.view(_unsigned(tile.dtype))
    if samples > 1 or predictor == FLOATING_POINT:
        bits = np.ascontiguousarray(bits)
    bits = bits.reshape(rows, columns * samples) if bits.flags.c_contiguous else bits[:, :, 0]
    if predictor == HORIZONTAL:
        return _little_endian(difference(bits, samples))
    return difference(_bytes_by_significance(bits).reshape(rows, -1), samples)


def unpredict(data: Any, shape: tuple[int, int, int], dtype: np.dtype[Any], predictor: int) -> NDArray[Any]:
    """Undo `predict`.

    Args:
        data: The bytes of a tile.
        shape: Of the tile: (row, column, sample).
        dtype: Of its samples.
        predictor: 1, 2 or 3.

    Returns:
        A new array of that shape and dtype, equal to the tile bit for bit.

    Raises:
        ValueError: There are more or fewer bytes than the tile has.

    Example:
        >>> unpredict(bytes([7, 2, 255]), (1, 3, 1), np.dtype("uint8"), HORIZONTAL).ravel()
        array([7, 9, 8], dtype=uint8)
    """
    rows, columns, samples = shape
    if predictor == NO_PREDICTOR:
        return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    bits = _unsigned(dtype)
    if predictor == HORIZONTAL:
        differences = np.frombuffer(data, bits.newbyteorder("<")).reshape(shape)
        return np.add.accumulate(differences, axis=1, dtype=bits).view(dtype)
    differences = np.frombuffer(data, np.uint8).reshape(rows, columns * dtype.itemsize, samples)
    planes = np.add.accumulate(differences, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, columns * samples)
    whole = np.zeros((rows, columns * samples), bits)
    for byte in range(dtype.itemsize):
        whole |= planes[:, dtype.itemsize - 1 - byte].astype(bits) << bits.type(8 * byte)
    return whole.view(dtype).reshape(shape)


def difference(samples: NDArray[Any], stride: int = 1) -> NDArray[Any]:
    """Return the differences of each number of a row to the one ``stride`` before it, modulo its range.

    Args:
        samples: (row, column * band), of unsigned integers in native byte order. Never changed. Rows need
            not be adjacent in memory.
        stride: Samples a pixel; the first ``stride`` numbers of a row stay as they are.

    Returns:
        A new C-contiguous array of the same shape and dtype.

    Example:
        >>> difference(np.array([[10, 20, 11, 19]], dtype="uint16"), stride=2)
        array([[   10,    20,     1, 65535]], dtype=uint16)
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


def _bytes_by_significance(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (row, byte, column * band), the most significant byte first."""
    planes = np.empty((samples.shape[0], samples.itemsize, samples.shape[1]), np.uint8)
    _spread(samples, planes)
    return planes


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


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def _little_endian(samples: NDArray[Any]) -> NDArray[Any]:
    return samples.astype(samples.dtype.newbyteorder("<"), copy=False)
