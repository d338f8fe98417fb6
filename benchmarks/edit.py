"""Edits and repacks of files, beside copies, GDAL's COG driver and encoding anew: ``make bench-edit``.

Each round does each way once; ratios are taken round by round. GDAL is rasterio's, with ALL_CPUS and the same codec,
predictor, tiles and resampling. Bytes to and from S3 are counted by a proxy in front of a SeaweedFS server on this
machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil

from benchmarks.inputs import scene
from faults.proxy import FaultProxy
from georeader import GeoTensor, edit_cog, repack, save_cog, save_tiled_geotiff
from servers.seaweed import running_seaweed

#: Sides of the uint16 rasters whose pixels take 1 GB and 2 GB.
EDITED_PX, REPACKED_PX = 22_361, 31_623

#: Sides of those that are edited on S3.
OBJECTS_PX = (2_000, 8_000)

#: Options of GDAL's driver that make the same tiles.
BY_GDAL = {
    "driver": "COG", "COMPRESS": "LZW", "PREDICTOR": "STANDARD", "BLOCKSIZE": "256", "BIGTIFF": "IF_SAFER",
    "OVERVIEW_RESAMPLING": "AVERAGE", "NUM_THREADS": "ALL_CPUS",
}  # fmt: skip

Ways = Mapping[str, Callable[[], Any]]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["edit", "repack", "s3"])
    parser.add_argument("--edited-px", type=int, default=EDITED_PX)
    parser.add_argument("--repacked-px", type=int, default=REPACKED_PX)
    options = parser.parse_args(arguments)
    print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=".") as name:
        if options.only in (None, "edit"):
            measure_edits(Path(name), options.edited_px, options.rounds)
        if options.only in (None, "repack"):
            measure_repacks(Path(name), options.repacked_px, options.rounds)
        if options.only in (None, "s3"):
            count_bytes()


def tensor(side_px: int) -> GeoTensor:
    """Return a scene of so many pixels along a side, with a place."""
    return GeoTensor(scene(side_px), (10, 0, 500000, 0, -10, 4000000), "EPSG:32630", fill_value_default=0)


def measure_edits(folder: Path, side_px: int, rounds: int) -> None:
    """Change a tag of a COG: into another file, and in place."""
    path, out = folder / "scene.tif", folder / "out.tif"
    save_cog(tensor(side_px), path)

    def in_place_by_cp() -> None:
        subprocess.run(["cp", "--reflink=never", path, out], check=True)
        out.replace(path)

    numbers = iter(range(10**6))
    ways: Ways = {
        "cp --reflink=never": lambda: subprocess.run(["cp", "--reflink=never", path, out], check=True),
        "edit_cog(out=)": lambda: edit_cog(path, tags={"number": next(numbers)}, out=out),
        "cp and mv": in_place_by_cp,
        "edit_cog in place": lambda: edit_cog(path, tags={"number": next(numbers)}),
        "GDAL": lambda: rasterio.shutil.copy(path, out, **BY_GDAL),
    }
    times = time_rounds(ways, rounds, lambda: out.unlink(missing_ok=True))
    print(f"\nA tag of a COG of {path.stat().st_size / 1e6:,.0f} MB is changed.\n")
    print_times(times, {"edit_cog(out=)": "cp --reflink=never", "edit_cog in place": "cp and mv"})
    print_ratio("GDAL / edit_cog(out=)", times["GDAL"], times["edit_cog(out=)"])


def measure_repacks(folder: Path, side_px: int, rounds: int) -> None:
    """Make a COG of a tiled GeoTIFF."""
    path, out = folder / "tiled.tif", folder / "out.tif"
    save_tiled_geotiff(tensor(side_px), path, profile_arg={"predictor": 2})
    ways: Ways = {
        "repack": lambda: repack(path, out),
        "encoded anew": lambda: save_cog(path, out, profile_arg={"predictor": 2}, reuse_tiles=False),
        "GDAL": lambda: rasterio.shutil.copy(path, out, **BY_GDAL),
    }
    times = time_rounds(ways, rounds, lambda: out.unlink(missing_ok=True))
    print(f"\nA tiled GeoTIFF of {path.stat().st_size / 1e6:,.0f} MB, lzw, becomes a COG.\n")
    print_times(times, {})
    print_ratio("GDAL / repack", times["GDAL"], times["repack"])
    print_ratio("encoded anew / repack", times["encoded anew"], times["repack"])


def time_rounds(ways: Ways, rounds: int, clean: Callable[[], Any]) -> dict[str, list[float]]:
    """Return the seconds of each way in each round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            clean()
            begun = time.perf_counter()
            way()
            if number:
                times[name].append(time.perf_counter() - begun)
    return times


def print_times(times: Mapping[str, list[float]], beside: Mapping[str, str]) -> None:
    """Print medians, and the ratios to the way beside."""
    print("| way | seconds | ratio |\n|---|---|---|")
    for name, found in times.items():
        ratio = ""
        if name in beside:
            ratio = f"{median_ratio(found, times[beside[name]]):.2f} times {beside[name]}"
        print(f"| {name} | {statistics.median(found):.2f} | {ratio} |")


def print_ratio(what: str, above: list[float], below: list[float]) -> None:
    """Print the median of the ratios, and their range."""
    ratios = [one / other for one, other in zip(above, below, strict=True)]
    print(f"{what}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def count_bytes() -> None:
    """Edit objects of two sizes on S3, and print how many bytes went over the network."""
    print("\n| object | sent | received |\n|---|---|---|")
    with running_seaweed() as server, FaultProxy(upstream=server.endpoint) as proxy:
        os.environ.update(server.env() | {"AWS_ENDPOINT_URL": proxy.url, "NO_PROXY": "127.0.0.1"})
        for side_px in OBJECTS_PX:
            url = server.url(f"{side_px}.tif")
            size_bytes = save_cog(tensor(side_px), url, profile_arg={"compress": "none"}).size_bytes
            proxy.clear()
            edit_cog(url, tags={"checked": "yes"})
            sent = sum(request.body_bytes for request in proxy.requests)
            received = sum(_range_bytes(request.headers.get("range", "")) for request in proxy.requests)
            print(f"| {size_bytes / 2**20:,.0f} MiB | {sent / 2**20:.1f} MiB | {received / 2**20:.1f} MiB |")


def _range_bytes(byte_range: str) -> int:
    start, _, stop = byte_range.removeprefix("bytes=").partition("-")
    return int(stop) - int(start) + 1 if stop else 0


if __name__ == "__main__":
    main()
