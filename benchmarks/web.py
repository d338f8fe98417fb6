"""Web-optimized COGs beside GDAL's COG driver and rio-cogeo: ``python -m benchmarks.web --size 8192 --rounds 5``.

Each way warps one tiled GeoTIFF in UTM onto GoogleMapsCompatible, with the same codec, level, predictor, tiles of 256,
methods and number of threads, in a process of its own, which has everything imported. In each round each way writes
once, in alternation, and ratios are taken round by round.

GDAL's driver is compared with an alpha band, which it adds by default, and rio-cogeo without one, which it does not
write: each against this project's file with the same bands. What the first round wrote is compared: grid, levels and
pixels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack
from itertools import product
from os import environ
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio

from benchmarks.helper import ask, helper
from benchmarks.inputs import picture, scene
from benchmarks.settings import Place

#: Ways, and the way that each is compared with.
WAYS = {"ours": None, "gdal": "ours", "ours, no alpha": None, "rio-cogeo": "ours, no alpha"}

#: Mean difference of pixels as a share of their spread: of positions that GDAL approximates in other pieces.
MOST_DIFFERENCE = 0.05

#: How many times as fast as each.
TARGETS = {"gdal": 1.0, "rio-cogeo": 1.5}


class Setting(NamedTuple):
    """What all ways are asked for."""

    method: str
    codec: str


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=8192, help="side of the rasters, in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inputs", default="uint16,rgb")
    parser.add_argument("--methods", default="nearest,cubic")
    parser.add_argument("--codecs", default="lzw,deflate,zstd", help="each at GDAL's default level")
    parser.add_argument("--ways", default=";".join(WAYS), help="separated by semicolons")
    parser.add_argument("--folder", type=Path, help="for rasters and outputs; the system's temporary folder by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for raster in options.inputs.split(","):
            source = make(raster, options.size, Path(name))
            for codec, method in product(options.codecs.split(","), options.methods.split(",")):
                measure(source, Setting(method, codec), options.ways.split(";"), options.rounds)


def make(name: str, side_px: int, folder: Path) -> Path:
    """Write a raster as others would have it: tiled, without nodata."""
    pixels = scene(side_px) if name == "uint16" else picture(side_px)
    pixels = np.maximum(pixels, 1)
    place, path = Place(), folder / f"{name}.tif"
    profile = {"driver": "GTiff", "count": len(pixels), "height": side_px, "width": side_px, "dtype": pixels.dtype}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1}
    with rasterio.open(path, "w", crs=place.crs, transform=place.transform, **profile, **tiles) as file:
        file.write(pixels)
    return path


def measure(source: Path, setting: Setting, ways: list[str], rounds: int) -> None:
    """Run the rounds, check what was written, and print times and ratios."""
    outputs = {way: source.with_name(f"{way}.tif") for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    cpu_seconds: dict[str, list[float]] = {way: [] for way in ways}
    with ExitStack() as processes:
        asked = {
            way: processes.enter_context(
                helper(sys.executable, "web_worker", [way, str(source), *setting], source.parent, environ)
            )
            for way in ways
        }
        for number in range(rounds):
            for way in ways:
                found = ask(asked[way], str(outputs[way]))
                seconds[way].append(found["seconds"])
                cpu_seconds[way].append(found["cpu_seconds"])
            if number == 0:
                check(outputs)
    for way in ways:
        median, cpu = statistics.median(seconds[way]), statistics.median(cpu_seconds[way])
        line = f"{source.stem} {setting.codec:7} {setting.method:7} {way:15} {median:7.2f} s, {cpu:7.2f} s of CPU"
        other = WAYS[way]
        if other in seconds:
            ratios = [one / its for one, its in zip(seconds[way], seconds[other], strict=True)]
            line += f", {statistics.median(ratios):.2f} x ours ({min(ratios):.2f} to {max(ratios):.2f})"
            line += f", wanted: {TARGETS[way]:.1f}"
        print(line, flush=True)


def check(outputs: dict[str, Path]) -> None:
    """Raise unless each way wrote the grid and levels of ours, and pixels that differ by little of their spread."""
    for way, other in WAYS.items():
        if way not in outputs or other not in outputs:
            continue
        with rasterio.open(outputs[way]) as one, rasterio.open(outputs[other]) as its:
            same = (one.transform, one.shape, one.count, one.overviews(1)) == (
                its.transform, its.shape, its.count, its.overviews(1),
            )  # fmt: skip
            window = rasterio.windows.Window(one.width // 3, one.height // 3, 1024, 1024)
            pixels, others = (file.read(window=window).astype("float64") for file in (one, its))
            differs = np.abs(pixels - others).mean() / others.std()
            if not same or differs > MOST_DIFFERENCE:
                raise RuntimeError(f"{way} wrote another file than {other}: {one.profile}, {differs:.1%} off")


if __name__ == "__main__":
    main()
