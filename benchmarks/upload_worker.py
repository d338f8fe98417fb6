"""One way to get a raster to a store, in a process of its own: ``python -m benchmarks.upload_worker WAY PIXELS.npy``.

It prints "ready", and for each line of standard input, a path or URL, one of JSON: seconds, CPU seconds, and the peak
of memory beyond what had been held at most before. Imports are those of whichever environment it runs in:
georeader-spaceml has this project's import name.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

PLACE = {"transform": (10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def main(way: str, pixels: str) -> None:
    """Answer until standard input ends."""
    work = WAYS[way](pixels)
    print("ready", flush=True)
    for line in sys.stdin:
        held_bytes = peak_bytes()
        wall, cpu = time.perf_counter(), cpu_seconds()
        work(*line.rstrip("\n").split("\t"))
        answer = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": cpu_seconds() - cpu,
            "peak_bytes": peak_bytes() - held_bytes,
        }
        print(json.dumps(answer), flush=True)


def tensor(pixels: str) -> Any:
    """Open the raster as this environment's georeader holds it."""
    from affine import Affine

    from georeader.geotensor import GeoTensor

    values = np.load(pixels)
    return GeoTensor(values, Affine(*PLACE["transform"]), PLACE["crs"], fill_value_default=0)


def ours(pixels: str) -> Callable[..., Any]:
    """`georeader.save_cog`, to wherever the path leads."""
    from georeader import save_cog

    raster = tensor(pixels)

    def work(path: str, codec: str) -> None:
        compress, _, threads = codec.partition("/")
        save_cog(raster, path, profile_arg={"compress": compress, "NUM_THREADS": threads or "ALL_CPUS"})

    return work


def upload_file(pixels: str) -> Callable[..., Any]:
    """boto3's upload of a finished file."""
    del pixels
    import boto3

    client = boto3.session.Session().client("s3")

    def work(path: str, url: str) -> None:
        bucket, _, key = url.removeprefix("s3://").partition("/")
        client.upload_file(path, bucket, key)

    return work


def spaceml(pixels: str) -> Callable[..., Any]:
    """georeader-spaceml's `save_cog` with a filesystem of s3fs."""
    import fsspec

    from georeader.save import save_cog

    raster = tensor(pixels)
    filesystem = fsspec.filesystem("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    return lambda path, codec: save_cog(raster, path, profile={"compress": codec.partition("/")[0]}, fs=filesystem)


WAYS = {"ours": ours, "upload_file": upload_file, "spaceml": spaceml}


def peak_bytes() -> int:
    """Return the most that this process has held."""
    with open("/proc/self/status") as file:  # noqa: PTH123  (as early as possible)
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) * 1024


def cpu_seconds() -> float:
    """Return the time of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
