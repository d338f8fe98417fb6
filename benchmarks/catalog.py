"""A catalog of chips to NDVI, beside the same loop by hand: ``python -m benchmarks.catalog --chips 1000 --rounds 3``.

Both read local chips (4 x 512 x 512, uint16) by rasterio, take NDVI (float32), and write a COG for each, two at a time:
`CatalogPipeline` with NDVI and WriteCOG, and rasterio with GDAL's COG driver on as many threads, with the same codec,
level, predictor, tiles and overviews. Each way has a process of its own; in each round each does all chips once, in
alternation, and ratios are taken round by round. What the first round wrote is compared, pixel by pixel.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.helper import ask, helper
from benchmarks.inputs import scene
from benchmarks.settings import Place

#: Different chips; the others are copies of them.
DIFFERENT = 50

#: How many times as many chips a second as by hand.
TARGET = 1.7

OURS, BY_HAND = "ours", "by hand"


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--codecs", default="lzw,deflate,zstd", help="of what is written")
    parser.add_argument("--source-codec", default="none", help="of the chips: none, lzw, deflate, zstd")
    parser.add_argument("--roughness", type=float, default=0.03, help="noise of the chips, as a share of their values")
    parser.add_argument("--ways", default=f"{OURS};{BY_HAND}", help="separated by semicolons; see catalog_worker.py")
    parser.add_argument("--folder", type=Path, help="for chips and outputs; the system's temporary folder by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        chips = Path(name) / "chips"
        make_chips(chips, options.chips, options.source_codec, options.roughness)
        for codec in options.codecs.split(","):
            measure(codec, options.ways.split(";"), chips, options.rounds, options.threads)


def make_chips(folder: Path, count: int, codec: str, roughness: float) -> None:
    """Write chips as rasterio does: tiled, nodata 0; only the first ones differ."""
    folder.mkdir()
    place = Place()
    profile = {
        "driver": "GTiff", "height": 512, "width": 512, "count": 4, "dtype": "uint16", "nodata": 0, "crs": place.crs,
        "transform": place.transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": codec,
    }  # fmt: skip
    if codec != "none":
        profile["predictor"] = 2
    for number in range(count):
        path = folder / f"chip-{number:05}.tif"
        if number >= DIFFERENT:
            shutil.copyfile(folder / f"chip-{number % DIFFERENT:05}.tif", path)
            continue
        with rasterio.open(path, "w", **profile) as dataset:
            dataset.write(scene(512, bands=4, seed=100 + number, roughness=roughness))


def measure(codec: str, ways: Sequence[str], chips: Path, rounds: int, threads: int) -> None:
    """Do some rounds with one codec, and print what they took."""
    count = len(list(chips.glob("*.tif")))
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    sizes: dict[str, int] = {}
    with ExitStack() as stack:
        arguments_of = {way: [way, codec, str(threads), str(chips)] for way in ways}
        workers = {
            way: stack.enter_context(
                helper(sys.executable, "catalog_worker", arguments_of[way], chips.parent, os.environ)
            )
            for way in ways
        }
        for turn in range(rounds):
            folders = {way: chips.with_name(f"out-{number}") for number, way in enumerate(ways)}
            for way, process in workers.items():
                folders[way].mkdir()
                found[way].append(ask(process, str(folders[way])))
            if turn == 0:
                sizes = {way: sum(path.stat().st_size for path in folder.iterdir()) for way, folder in folders.items()}
                compare(list(folders.values()), count)
            for folder in folders.values():
                shutil.rmtree(folder)
    print_table(codec, found, sizes, count)


def compare(folders: Sequence[Path], count: int) -> None:
    """Check that all ways wrote the same pixels, nodata, names, tiles and overviews.

    Raises:
        RuntimeError: They did not.
    """
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    if any(len(one) != count or one != names[0] for one in names):
        raise RuntimeError("some files are missing")
    for name in names[0]:
        first, *others = (looked_at(folder / name) for folder in folders)
        for other in others:
            if other[1] != first[1] or not np.array_equal(other[0], first[0], equal_nan=True):
                raise RuntimeError(f"{name}: {other[1]} is not {first[1]}, or the pixels differ")


def looked_at(path: Path) -> tuple[np.ndarray, tuple[object, ...]]:
    """Return a file's pixels, and what else is compared."""
    with rasterio.open(path) as file:
        facts = (str(file.nodata), file.descriptions, file.overviews(1), file.block_shapes, file.crs, file.transform)
        return file.read(), facts


def print_table(codec: str, found: dict[str, list[dict[str, float]]], sizes: dict[str, int], count: int) -> None:
    """Print medians, and the ratio that was to be reached."""
    print(f"\n{codec}: {count} chips, {len(found[OURS])} rounds, medians")
    for way, figures in found.items():
        seconds, cpu = (statistics.median(one[key] for one in figures) for key in ("seconds", "cpu_seconds"))
        print(
            f"  {way:26} {count / seconds:7.1f} chips/s {seconds / count * 1000:7.2f} ms "
            f"{cpu / count * 1000:7.2f} ms of CPU {sizes[way] / count / 1000:8.1f} kB a chip"
        )
    for way, figures in found.items():
        if way != OURS:
            ratios = sorted(a["seconds"] / b["seconds"] for a, b in zip(figures, found[OURS], strict=True))
            aim = f", at least {TARGET}" if way == BY_HAND else ""
            print(
                f"  {way} / ours{aim}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
