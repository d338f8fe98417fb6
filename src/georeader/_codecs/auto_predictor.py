"""PREDICTOR=AUTO: the predictor that makes parts of a few tiles of the raster smallest. Pure.

Nothing is estimated: they are encoded each way by the codec that will write the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs import PREDICTED_CODECS, TileCodec
from georeader._codecs.predictors import FLOATING_POINT, HORIZONTAL, NO_PREDICTOR, takes_predictor
from georeader.errors import OptionError

#: Of each tile that is tried, so many runs of so many rows are encoded, spread over it: to encode all of it each way
#: would take a third of the time of a small raster.
RUNS_TRIED, RUN_ROWS = 4, 16


def predictor_candidates(codec_name: str, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Give the predictors that AUTO chooses from, in ascending order.

    Predictor 2 of 64-bit samples is no candidate, though it may be asked for by name: libtiff knows it since 4.4 only,
    and others do not.

    Args:
        codec_name: One of `CODECS`, in any case.
        dtype: Of the file.

    Example:
        >>> predictor_candidates("zstd", np.dtype("float32")), predictor_candidates("jpeg", np.dtype("uint8"))
        ((1, 2, 3), (1,))
    """
    if codec_name.upper() not in PREDICTED_CODECS:
        return (NO_PREDICTOR,)
    known = (NO_PREDICTOR, FLOATING_POINT) if dtype.itemsize == 8 else (NO_PREDICTOR, HORIZONTAL, FLOATING_POINT)
    return tuple(number for number in known if takes_predictor(dtype, number))


def smallest_predictor(
    tiles: Iterable[NDArray[Any]], codec_for: Callable[[int], TileCodec], candidates: tuple[int, ...]
) -> int:
    """Choose the predictor with which some rows of the tiles take the fewest bytes; of equals, the smallest number.

    Tiles of one value a band are skipped: they compress well in any way, and say nothing of the others. Where none is
    left, predictors are equal. The same tiles give the same answer.

    Args:
        tiles: A few tiles, each (row, column, sample). Read one after the other, and not at all if there is but one
            candidate.
        codec_for: Gives the codec for a predictor.
        candidates: Predictors to choose from.

    Raises:
        OptionError: There is no candidate.
        WriteError: A tile can't be encoded.

    Example:
        >>> from georeader._codecs import tile_codec
        >>> ramp = np.arange(4096, dtype="uint16").reshape(64, 64, 1)
        >>> smallest_predictor([ramp], lambda n: tile_codec("LZW", dtype=ramp.dtype, predictor=n), (1, 2))
        2
    """
    if not candidates:
        raise OptionError("no predictor to choose from; give at least 1 (NO)")
    ordered = sorted(set(candidates))
    if len(ordered) == 1:
        return ordered[0]
    codecs = [codec_for(number) for number in ordered]
    sizes_bytes = [0] * len(ordered)
    for tile in tiles:
        part = _part(tile)
        if _is_constant(part):
            continue
        for position, codec in enumerate(codecs):
            sizes_bytes[position] += len(codec.encode(part))
    return ordered[sizes_bytes.index(min(sizes_bytes))]


def _part(tile: NDArray[Any]) -> NDArray[Any]:
    """Give some rows of a tile; all of it where they hold nothing, since the others may."""
    rows = len(tile)
    if rows <= RUNS_TRIED * RUN_ROWS:
        return tile
    starts = [(2 * run + 1) * rows // (2 * RUNS_TRIED) - RUN_ROWS // 2 for run in range(RUNS_TRIED)]
    part = np.concatenate([tile[start : start + RUN_ROWS] for start in starts])
    return tile if _is_constant(part) else part


def _is_constant(tile: NDArray[Any]) -> bool:
    """Whether each band has one value, NaN being one."""
    first = tile[:1, :1]
    return bool(((tile == first) | ((tile != tile) & (first != first))).all())
