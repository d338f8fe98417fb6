"""Each preset beside the default: size, time to write and to read. ``make bench-presets`` prints the table of the docs.

Every round saves each raster once with each setting, in turn, and reads the file whole by rasterio. Times are CPU time
of all threads, so that other processes do not count: medians of the ratios to the default of the same round. The
rasters are the small public ones of the tests, in ../shared/data.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from georeader import save_cog
from georeader.errors import OptionError
from georeader.validation import info

#: In the order of the table.
PRESETS: tuple[Any, ...] = ("web", "visual", "analysis", "archive")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

#: Files of `DATA`, by the names of the table.
RASTERS = {
    "elevation, float64": "elevation_float64.tif",
    "shaded relief, uint8": "hillshade_uint8.tif",
    "land cover classes, uint8": "landcover_palette_uint8.tif",
    "Landsat picture, 3 x uint8": "landsat7_rgb_uint8.tif",
    "picture with alpha, 4 x uint8": "rgb_alpha_uint8.tif",
    "reflectance, int16": "reflectance_scaled_int16.tif",
    "Sentinel-2, 4 x uint16": "sentinel2_10m_uint16.tif",
}

ROUNDS = 11


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", metavar="TEXT", default="", help="Rasters with this in their names.")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # one of the rasters has no georeference
    wanted = {name: DATA / file for name, file in RASTERS.items() if options.only.lower() in name.lower()}
    missing = [str(path) for path in wanted.values() if not path.exists()]
    if missing:
        parser.exit(1, f"missing: {', '.join(missing)}\n")
    print("| raster | preset | stored as | size | write | read |\n|---|---|---|---|---|---|")
    for name, path in wanted.items():
        for row in rows_of(path, options.rounds):
            print(f"| {name} | {' | '.join(row)} |", flush=True)


def rows_of(source: Path, rounds: int) -> Iterator[tuple[str, ...]]:
    """Measure one raster; return the cells of its rows."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a.tif"
        settings = {preset: stored(source, target, preset) for preset in (None, *PRESETS)}
        times: dict[Any, list[tuple[float, float]]] = {preset: [] for preset, found in settings.items() if found}
        for _ in range(rounds):
            for preset, found in times.items():
                found.append(write_and_read(source, target, preset))
    default = settings[None]
    for preset, shown in settings.items():
        if default is None or shown is None:
            yield str(preset), "refused", "", "", ""
            continue
        size = f"{shown[1] / 1024:.0f} KiB" if preset is None else f"{shown[1] / default[1]:.2f}"
        ratios = [
            statistics.median(own[kind] / base[kind] for own, base in zip(times[preset], times[None], strict=True))
            for kind in (0, 1)
        ]
        yield str(preset or "default"), shown[0], size, *(f"{ratio:.1f}" for ratio in ratios)


def stored(source: Path, target: Path, preset: Any) -> tuple[str, int] | None:
    """Return how a preset stores a raster, and the bytes of the file; None if it refuses it."""
    try:
        receipt = save_cog(source, target, profile_arg=preset)
    except OptionError:
        return None
    layout = info(target).measurement.images[0].layout
    if layout is None:
        raise RuntimeError(f"{target} is not a GeoTIFF")
    predictor = f", predictor {layout.predictor}" if layout.predictor != 1 else ""
    return f"{layout.compression_name.lower()}{predictor}", receipt.size_bytes


def write_and_read(source: Path, target: Path, preset: Any) -> tuple[float, float]:
    """Return the CPU seconds of a save, and of reading the whole file."""
    written = _cpu_seconds(lambda: save_cog(source, target, profile_arg=preset))
    return written, _cpu_seconds(lambda: _read(target))


def _read(path: Path) -> None:
    with rasterio.open(path) as dataset:
        dataset.read()


def _cpu_seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
