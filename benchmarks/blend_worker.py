"""One way to blend windows of class scores, in its own process: ``python -m benchmarks.blend_worker WAY SIDE_PX``.

It prints "ready", and for each line of standard input, a path to write to, one of JSON: seconds, CPU seconds and the
most memory that the process has held.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import measured, peak_memory_bytes
from georeader import CogWriter, GeoTensor, WindowPair, iter_windows, save_cog

CLASSES, WINDOW_PX, OVERLAP_PX = 5, 512, 64
TRANSFORM, CRS = (10, 0, 500000, 0, -10, 4000000), "EPSG:32630"

#: What the file of each output is written with, by all ways.
PROFILES = {"argmax": {"RESAMPLING": "mode"}, "mean": {}}

_WARM_UP_SIDE_PX = 600


def main(way: str, side_px: str) -> None:
    """Answer until standard input ends."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        WAYS[way](_WARM_UP_SIDE_PX, Path(folder, "warm.tif"))
    print("ready", flush=True)
    for line in sys.stdin:
        figures, _ = measured(partial(WAYS[way], int(side_px), Path(line.rstrip("\n"))))
        print(json.dumps(figures | {"peak_bytes": peak_memory_bytes()}), flush=True)


@lru_cache(maxsize=1)
def _block() -> NDArray[np.float32]:
    """Return scores of patches of 16 pixels, with noise, from which all windows are cut: (class, row, column)."""
    rng, side_px = np.random.default_rng(0), 2 * WINDOW_PX
    patches = rng.random((CLASSES, side_px // 16, side_px // 16), np.float32).repeat(16, axis=1).repeat(16, axis=2)
    return patches + 0.2 * rng.random(patches.shape, np.float32)


def scores(pair: WindowPair) -> NDArray[np.float32]:
    """Return the scores of the window to write: a view, so that they take neither time nor memory."""
    row, column = pair.read.row_off * 7 % WINDOW_PX, pair.read.col_off * 5 % WINDOW_PX
    return _block()[:, row : row + pair.write.height, column : column + pair.write.width]


@lru_cache(maxsize=4)
def _hann(height: int, width: int) -> NDArray[np.float32]:
    rows, columns = (np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in (height, width))
    return np.outer(rows, columns).astype("float32")


def _sums_and_weights(side_px: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weighted sums of all windows, and the sums of their weights: the whole scene in memory."""
    sums = np.zeros((CLASSES, side_px, side_px), np.float32)
    weights = np.zeros((side_px, side_px), np.float32)
    for pair in iter_windows((side_px, side_px), WINDOW_PX, OVERLAP_PX):
        weight = _hann(pair.write.height, pair.write.width)
        rows, columns = pair.write.toslices()
        sums[:, rows, columns] += scores(pair) * weight
        weights[rows, columns] += weight
    return sums, weights


def _save(pixels: NDArray[Any], output: str, path: Path) -> None:
    # Each pixel has a value: nodata would be looked for in vain.
    save_cog(GeoTensor(pixels, TRANSFORM, CRS, nodata=None), path, profile_arg=PROFILES[output])


def numpy_argmax(side_px: int, path: Path) -> None:
    """Write the class of the highest score; the index of numpy's int64 is made for a few rows at a time."""
    sums, _ = _sums_and_weights(side_px)
    classes = np.empty((side_px, side_px), np.uint8)
    for row in range(0, side_px, WINDOW_PX):
        classes[row : row + WINDOW_PX] = sums[:, row : row + WINDOW_PX].argmax(axis=0)
    del sums
    _save(classes, "argmax", path)


def numpy_mean(side_px: int, path: Path) -> None:
    """Write the blended scores."""
    sums, weights = _sums_and_weights(side_px)
    sums /= weights
    del weights
    _save(sums, "mean", path)


def _by_writer(side_px: int, path: Path, output: str, **options: Any) -> None:
    is_argmax = output == "argmax"
    with CogWriter(
        path,
        shape=(1 if is_argmax else CLASSES, side_px, side_px),
        dtype="uint8" if is_argmax else "float32",
        transform=TRANSFORM,
        crs=CRS,
        blend="hann",
        argmax=is_argmax,
        profile_arg=PROFILES[output],
        **options,
    ) as writer:
        for pair in iter_windows(writer, WINDOW_PX, OVERLAP_PX):
            writer.write(scores(pair), pair.write)


def writer_argmax(side_px: int, path: Path) -> None:
    """Write classes by CogWriter."""
    _by_writer(side_px, path, "argmax")


def writer_mean(side_px: int, path: Path) -> None:
    """Write blended scores by CogWriter."""
    _by_writer(side_px, path, "mean")


def ordered_argmax(side_px: int, path: Path) -> None:
    """Write classes by CogWriter, row by row."""
    _by_writer(side_px, path, "argmax", ordered=True)


def ordered_mean(side_px: int, path: Path) -> None:
    """Write blended scores by CogWriter, row by row."""
    _by_writer(side_px, path, "mean", ordered=True)


WAYS = {
    "numpy, argmax": numpy_argmax,
    "CogWriter, argmax": writer_argmax,
    "CogWriter ordered, argmax": ordered_argmax,
    "numpy, mean": numpy_mean,
    "CogWriter, mean": writer_mean,
    "CogWriter ordered, mean": ordered_mean,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
