"""PREDICTOR=AUTO: the predictor with which parts of a few tiles are smallest. Pure.

The parts are encoded with each predictor by the codec that will write the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.predictors import takes_predictor
from georeader._codecs.registry import CODECS, FLOATING_POINT, HORIZONTAL, NO_PREDICTOR
from georeader._codecs.tile_codec import TileCodec
from georeader.errors import OptionError

#: Number of runs of rows that are encoded of each tile, and rows of a run. Encoding whole tiles would take a third of
#: the time of a small raster.
RUNS_TRIED, RUN_ROWS = 4, 16


def predictor_candidates(codec_name: str, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return the predictors that AUTO chooses from, in ascending order.

    Predictor 2 of 64-bit samples is not a candidate, though it may be named: libtiff has it only since 4.4, and other
    readers do not.

    Args:
        codec_name: One of `CODECS`, in any case.
        dtype: Of the file.

    Example:
        >>> predictor_candidates("zstd", np.dtype("float32")), predictor_candidates("jpeg", np.dtype("uint8"))
        ((1, 2, 3), (1,))
    """
    if not CODECS[codec_name.upper()].takes_predictor:
        return (NO_PREDICTOR,)
    known = (NO_PREDICTOR, FLOATING_POINT) if dtype.itemsize == 8 else (NO_PREDICTOR, HORIZONTAL, FLOATING_POINT)
    return tuple(number for number in known if takes_predictor(dtype, number))


def smallest_predictor(
    tiles: Iterable[NDArray[Any]], codec_for: Callable[[int], TileCodec], candidates: tuple[int, ...]
) -> int:
    """Return the predictor with which some rows of the tiles take the fewest bytes; of equals, the smallest number.

    Tiles with one value per band are skipped: they compress well with any predictor. If no other tile is left, all
    predictors are equal. The same tiles give the same result.

    Args:
        tiles: A few tiles, each (row, column, sample). They are read one after the other, and not at all for a single
            candidate.
        codec_for: Returns the codec for a predictor.
        candidates: Predictors to choose from.

    Raises:
        OptionError: There is no candidate.
        WriteError: A tile can't be encoded.

    Example:
        >>> from georeader._codecs.tile_codec import tile_codec
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
