"""Choice of the predictor for PREDICTOR=AUTO: a few tiles are encoded with each, and the smallest result wins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from georeader._codecs.auto_predictor import predictor_candidates, smallest_predictor
from georeader._codecs.registry import PREDICTORS
from georeader._codecs.tiles import cut_tile
from georeader._core.windows import PixelWindow
from georeader._export.plan.file_plan import codec_of
from georeader._export.plan.grid import Level
from georeader._export.plan.spec import ExportSpec
from georeader._resample.pyramid import Mask

#: Tiles are tried at this many places along each axis ...
PLACES = 3
#: ... but at most one in this many of all tiles.
ONE_IN = 4

_NAMES = {number: name for name, number in PREDICTORS.items()}

Read = Callable[[PixelWindow, slice], tuple[NDArray[Any], Mask]]


def choose_predictor(spec: ExportSpec, read: Read) -> ExportSpec:
    """Return the spec with its predictor chosen, where it is still "AUTO".

    The same tiles are tried on every run, so the same input gives the same file.

    Args:
        spec: The file that is wanted.
        read: Returns (band, row, column) pixels of a window and of some bands, and their mask.
    """
    encoding = spec.encoding
    if encoding.predictor != "AUTO":
        return spec
    candidates = predictor_candidates(encoding.codec, spec.dtype)
    chosen = smallest_predictor(_samples(spec, read), lambda number: codec_of(spec, encoding, number), candidates)
    return replace(spec, encoding=replace(encoding, predictor=_NAMES[chosen]))


def _samples(spec: ExportSpec, read: Read) -> Iterator[NDArray[Any]]:
    level = spec.levels[0]
    planes = [slice(None)] if level.planes == 1 else [slice(band, band + 1) for band in range(level.planes)]
    for position, (row, column) in enumerate(sample_places(level)):
        pixels, _ = read(spec.tile_window(row, column), planes[position % len(planes)])
        yield cut_tile(pixels, level.tile_height_px, level.tile_width_px)


def sample_places(level: Level) -> list[tuple[int, int]]:
    """Return (row, column) of the tiles to try: the middle first, then others spread over the level.

    Example:
        >>> sample_places(Level(0, 512, 512, 256, 256, 1))
        [(1, 1)]
    """
    down, across = level.tiles_down, level.tiles_across
    spread = [(row, column) for row in _spread(down) for column in _spread(across)]
    spread.sort(key=lambda place: abs(place[0] - down // 2) + abs(place[1] - across // 2))
    return list(dict.fromkeys(spread))[: max(1, down * across // ONE_IN)]


def _spread(count: int) -> list[int]:
    return [count * (2 * place + 1) // (2 * PLACES) for place in range(PLACES)] if count >= PLACES else [count // 2]
