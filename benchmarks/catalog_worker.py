"""One way from chips to NDVI, in its own process: ``python -m benchmarks.catalog_worker WAY CODEC THREADS CHIPS``.

It prints "ready", and for each line of standard input, a folder to write to, one of JSON: seconds and CPU seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: Bands of red and near infrared, counted from 0.
RED, NIR = 2, 3

#: The predictor that suits floating point.
PREDICTOR = 3


def main(way: str, codec: str, threads: str, chips: str) -> None:
    """Answer until standard input ends."""
    paths = sorted(Path(chips).glob("*.tif"))
    work = WAYS[way](codec, int(threads))
    warm = Path(chips).with_name("warm")
    warm.mkdir(exist_ok=True)
    work(paths[:4], warm)
    print("ready", flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), cpu_seconds()
        work(paths, Path(line.rstrip("\n")))
        print(json.dumps({"seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}), flush=True)


def pipeline(
    codec: str, threads: int, *, executor: str = "thread", num_threads: int | None = None
) -> Callable[..., None]:
    """`CatalogPipeline` with NDVI and WriteCOG."""
    from geotoolz import Sequential
    from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
    from geotoolz.indices import NDVI

    profile: dict[str, Any] = {"compress": codec}
    if codec != "none":
        profile["predictor"] = PREDICTOR
    if num_threads is not None:
        profile["NUM_THREADS"] = num_threads

    def work(paths: list[Path], out: Path) -> None:
        rows = [{"path": str(path), "name": path.stem} for path in paths]
        operator = Sequential([NDVI(RED, NIR), WriteCOG(f"{out}/{{name}}.tif", profile_arg=profile)])
        CatalogPipeline(rows, operator, n_workers=threads, executor=executor).run()

    return work


def by_hand(codec: str, threads: int, *, level: int | None = 3) -> Callable[..., None]:
    """The same loop with rasterio and GDAL's COG driver, written for speed."""
    import numpy as np
    import rasterio
    import rasterio.shutil

    options = {"COMPRESS": codec.upper(), "BLOCKSIZE": 256, "OVERVIEW_RESAMPLING": "AVERAGE", "NUM_THREADS": 1}
    if codec != "none":
        options["PREDICTOR"] = "FLOATING_POINT"
    if codec == "zstd" and level is not None:
        options["LEVEL"] = level  # 3 as save_cog; GDAL's default is 9

    def one(path: Path, out: Path) -> None:
        with rasterio.open(path) as chip:
            red, nir = chip.read([RED + 1, NIR + 1])
            nodata, crs, transform = chip.nodata, chip.crs, chip.transform
        hidden = (red == nodata) | (nir == nodata)
        red, nir = red.astype("float32"), nir.astype("float32")
        with np.errstate(divide="ignore", invalid="ignore"):
            ndvi = (nir - red) / (nir + red)
        ndvi[hidden] = np.nan
        rows, columns = ndvi.shape
        profile = {"height": rows, "width": columns, "count": 1, "dtype": "float32", "crs": crs, "transform": transform}
        with rasterio.open("ndvi", "w+", driver="MEM", nodata=np.nan, **profile) as dataset:
            dataset.write(ndvi, 1)
            dataset.set_band_description(1, "NDVI")
            rasterio.shutil.copy(dataset, out / path.name, driver="COG", **options)

    def work(paths: list[Path], out: Path) -> None:
        with rasterio.Env(GDAL_NUM_THREADS=1), ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(one, path, out) for path in paths]:
                done.result()

    return work


WAYS: dict[str, Callable[..., Callable[..., None]]] = {
    "ours": pipeline,
    "by hand": by_hand,
    "by hand, GDAL's level": lambda codec, threads: by_hand(codec, threads, level=None),
    "ours, processes": lambda codec, threads: pipeline(codec, threads, executor="process"),
    "ours, all threads a save": lambda codec, threads: pipeline(codec, threads, num_threads=threads),
}


def cpu_seconds() -> float:
    """Return the time of all threads and of processes that have ended."""
    used = [resource.getrusage(usage) for usage in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(*sys.argv[1:])
