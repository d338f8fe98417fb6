"""``georeader cog`` beside the Python call that it makes: ``make bench-cli``.

Both convert one tiled GeoTIFF of about 2 GB, each in a process of its own, in alternation. What the command may take
longer than the call within is what a process takes to begin, which is measured by ``georeader cog --help`` after the
imports of a save.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.inputs import scene
from benchmarks.upload_worker import PLACE

#: One band of uint16: 2 GB.
SIDE_PX = 31_700

_CALL = """
import sys, time
from georeader import save_cog
begun = time.perf_counter()
save_cog(sys.argv[1], sys.argv[2])
print(time.perf_counter() - begun)
"""


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side-px", type=int, default=SIDE_PX)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make_source(folder / "source.tif", options.side_px)
        found = [one_round(source, folder) for _ in range(options.rounds)]
    command, call, start = (statistics.median(column) for column in zip(*found, strict=True))
    size_bytes = options.side_px**2 * 2
    print(f"{size_bytes / 1e9:.2f} GB, {options.rounds} rounds, medians")
    print(f"  georeader cog   {command:7.2f} s, as a process")
    print(f"  save_cog        {call:7.2f} s, the call alone")
    print(f"  start-up        {start:7.2f} s, a process that imports what a save needs")
    print(f"  command / (call + start-up): {command / (call + start):.3f}, at most 1")


def make_source(path: Path, side_px: int) -> Path:
    """Write the GeoTIFF that is converted."""
    from affine import Affine

    from georeader import GeoTensor, save_tiled_geotiff

    tensor = GeoTensor(scene(side_px), Affine(*PLACE["transform"]), PLACE["crs"], fill_value_default=0)
    save_tiled_geotiff(tensor, path)
    return path


def one_round(source: Path, folder: Path) -> tuple[float, float, float]:
    """Return the seconds of the command, of the call, and of a process that does nothing."""
    georeader = str(Path(sys.executable).with_name("georeader"))
    command = _seconds([georeader, "cog", str(source), str(folder / "command.tif")])
    printed = subprocess.run(
        [sys.executable, "-c", _CALL, str(source), str(folder / "call.tif")],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    if (folder / "command.tif").read_bytes() != (folder / "call.tif").read_bytes():
        raise RuntimeError("the command's file is not the call's")
    start = _seconds([sys.executable, "-c", "import georeader.save, georeader._export.pipeline, rasterio, imagecodecs"])
    return command, float(printed), start


def _seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
