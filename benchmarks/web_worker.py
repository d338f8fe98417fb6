"""One way to a web-optimized COG, in its own process: ``python -m benchmarks.web_worker WAY SOURCE METHOD CODEC``.

It prints "ready", and for each line of standard input, a path to write to, one of JSON: seconds and CPU seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

SCHEME = "GoogleMapsCompatible"

#: Level of each codec that has one: GDAL's default.
LEVELS = {"deflate": 6, "zstd": 9}


def main(way: str, source: str, method: str, codec: str) -> None:
    """Answer until standard input ends."""
    write = WAYS[way]
    write(source, f"{source}-{way}-warm.tif", method, codec)
    Path(f"{source}-{way}-warm.tif").unlink()
    print("ready", flush=True)
    for line in sys.stdin:
        Path(line.rstrip("\n")).unlink(missing_ok=True)  # file systems take time to replace a file
        wall, cpu = time.perf_counter(), cpu_seconds()
        write(source, line.rstrip("\n"), method, codec)
        print(json.dumps({"seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}), flush=True)


def cpu_seconds() -> float:
    """Return the CPU time of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def overviews_by(method: str) -> str:
    """Return the method of overviews that goes with that of a warp."""
    return "nearest" if method == "nearest" else "average"


def ours(source: str, path: str, method: str, codec: str, **more: Any) -> None:
    """`georeader.save_cog`."""
    from georeader import save_cog

    options = {"TILING_SCHEME": SCHEME, "compress": codec, "predictor": 2, **more}
    if codec in LEVELS:
        options["LEVEL"] = LEVELS[codec]
    save_cog(
        source,
        path,
        engine="stream",
        profile_arg={**options, "WARP_RESAMPLING": method, "OVERVIEW_RESAMPLING": overviews_by(method)},
    )


def ours_without_alpha(source: str, path: str, method: str, codec: str) -> None:
    """The same without an alpha band."""
    ours(source, path, method, codec, ADD_ALPHA="NO")


def gdal(source: str, path: str, method: str, codec: str) -> None:
    """GDAL's COG driver, by way of rasterio."""
    import rasterio.shutil

    options = {
        "TILING_SCHEME": SCHEME,
        "COMPRESS": codec.upper(),
        "PREDICTOR": "YES",
        "NUM_THREADS": "ALL_CPUS",
    }
    if codec in LEVELS:
        options["LEVEL"] = LEVELS[codec]
    methods = {"WARP_RESAMPLING": method, "OVERVIEW_RESAMPLING": overviews_by(method)}
    rasterio.shutil.copy(source, path, driver="COG", **options, **methods)


def rio_cogeo(source: str, path: str, method: str, codec: str) -> None:
    """`rio_cogeo.cog_translate` with ``web_optimized``, with its temporary file on the disk."""
    import warnings

    from rio_cogeo import cog_profiles, cog_translate

    warnings.filterwarnings("ignore", message=".*web_opt", category=DeprecationWarning)
    warnings.filterwarnings("ignore", message="Non-standard compression", category=UserWarning)
    profile = cog_profiles.get(codec)
    profile.update(blockxsize=256, blockysize=256, predictor=2)
    if codec in LEVELS:
        profile["zlevel" if codec == "deflate" else "zstd_level"] = LEVELS[codec]
    cog_translate(
        source, path, profile, web_optimized=True, resampling=method, overview_resampling=overviews_by(method),
        in_memory=False, quiet=True, config={"GDAL_NUM_THREADS": "ALL_CPUS"},
    )  # fmt: skip


WAYS = {"ours": ours, "gdal": gdal, "ours, no alpha": ours_without_alpha, "rio-cogeo": rio_cogeo}

if __name__ == "__main__":
    main(*sys.argv[1:])
