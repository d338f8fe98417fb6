"""`CogWriter(blend="hann")` beside accumulators of the whole scene in numpy: ``make bench-blend``.

Windows of 512 pixels that overlap by 64 hold scores of 5 classes, float32. Each way blends them and writes a COG: of
the class with the highest score, or of the 5 blended scores. The numpy way is two arrays of the scene's size, weighted
sums and weights, and `save_cog`. Each round runs each way once, in a process of its own, whose memory is the most that
it has held (VmHWM); ratios are taken round by round. What is written is compared in the first round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.blend_worker import WAYS, WINDOW_PX
from benchmarks.helper import ask, helper

SIDE_PX = 20_000

#: At most how many times the time of numpy, and which share of its memory.
TIMES_NUMPY, SHARE_OF_MEMORY = 1.3, 1 / 8

Figures = dict[str, list[dict[str, float]]]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["argmax", "mean"])
    parser.add_argument("--side-px", type=int, default=SIDE_PX)
    options = parser.parse_args(arguments)
    print(f"{options.side_px} x {options.side_px}, {os.cpu_count()} cores, {options.rounds} rounds, medians")
    print(f"wanted: at most {TIMES_NUMPY} times the time of numpy, at most {SHARE_OF_MEMORY} of its memory")
    with tempfile.TemporaryDirectory(dir=".") as name:
        for output in ["argmax", "mean"] if options.only is None else [options.only]:
            measure(Path(name).absolute(), output, options.side_px, options.rounds)


def measure(folder: Path, output: str, side_px: int, rounds: int) -> None:
    """Run the rounds of one output, compare what was written, and print times, memory and ratios."""
    by_numpy, *others = (way for way in WAYS if way.endswith(output))
    found: Figures = {way: [] for way in (by_numpy, *others)}
    differences: dict[str, str] = {}
    for number in range(rounds):
        for way in found:
            path = folder / f"{way}.tif"
            with helper(sys.executable, "blend_worker", [way, str(side_px)], folder, os.environ) as process:
                found[way].append(ask(process, str(path)))
            if number == 0 and way != by_numpy:
                differences[way] = difference(folder / f"{by_numpy}.tif", path, output)
            if way != by_numpy:
                path.unlink()
        (folder / f"{by_numpy}.tif").unlink()
    print_table(found, differences)


def difference(one: Path, other: Path, output: str) -> str:
    """Return how the pixels of two files of the same grid differ, read a few rows at a time."""
    different, largest = 0, 0.0
    with rasterio.open(one) as file, rasterio.open(other) as its:
        if len({(each.shape, each.count, each.dtypes, tuple(each.overviews(1))) for each in (file, its)}) != 1:
            raise RuntimeError(f"{other.stem} wrote another grid than {one.stem}: {its.profile}")
        for row in range(0, file.height, WINDOW_PX):
            window = rasterio.windows.Window(0, row, file.width, min(WINDOW_PX, file.height - row))
            pixels, others = file.read(window=window), its.read(window=window)
            different += int(np.count_nonzero(pixels != others))
            largest = max(largest, float(np.abs(pixels.astype("float64") - others).max()))
        if output == "argmax":
            return f"{different} of {file.width * file.height} pixels"
    return f"at most {largest:.1e}"


def print_table(found: Figures, differences: Mapping[str, str]) -> None:
    """Print the medians of each way, and its ratios to numpy."""
    by_numpy = next(iter(found))
    print("\n| way | seconds | CPU seconds | MB | time / numpy | memory / numpy | difference |\n|" + "---|" * 7)
    for way, figures in found.items():
        seconds, cpu, peak = (
            statistics.median(one[key] for one in figures) for key in ("seconds", "cpu_seconds", "peak_bytes")
        )
        ratios = "| | |"
        if way != by_numpy:
            time, memory = (ratio(figures, found[by_numpy], key) for key in ("seconds", "peak_bytes"))
            ratios = f"{time} | {memory} | {differences[way]} |"
        print(f"| {way} | {seconds:.2f} | {cpu:.2f} | {peak / 1e6:,.0f} | {ratios}", flush=True)


def ratio(above: list[dict[str, float]], below: list[dict[str, float]], key: str) -> str:
    """Return the median of the ratios of each round, and their range, as text."""
    ratios = [one[key] / other[key] for one, other in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


if __name__ == "__main__":
    main()
