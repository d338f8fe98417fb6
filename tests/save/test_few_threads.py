"""Where the system allows for no further thread, the caller's own is enough: for every source, sink and use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from places import SUPPORT

pytestmark = pytest.mark.slow

#: Runs each use with and without threads, and prints how it ended.
USES = textwrap.dedent("""
    import multiprocessing.popen_spawn_posix  # what the other user could not import
    import os
    import resource
    import shutil
    import sys
    import tempfile
    import threading
    from pathlib import Path
    from types import SimpleNamespace

    sys.path.insert(0, sys.argv[3])
    import dask
    import dask.array as da
    import fsspec
    import fsspec.asyn
    import numpy as np
    import obstore
    import rasterio
    import tqdm
    from affine import Affine
    from rasterio.windows import Window

    import geotoolz as gz
    from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
    from georeader.errors import GeoreaderError
    from georeader._export.plan.traits import SectionSizes
    from georeader._export.sinks.multipart import PartedSink
    from georeader.preview import preview
    from georeader.validation import validate
    from part_store import PartStore

    limit, folder = sys.argv[1], Path(sys.argv[2])
    os.chdir(folder)
    PLACE = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
    PIXELS = (np.arange(2 * 900 * 800) % 251 + 1).reshape(2, 900, 800).astype("uint8")
    RASTER = GeoTensor(PIXELS, **PLACE, fill_value_default=None)
    save_cog(RASTER, "in.tif")

    def dask_array():
        values = da.from_array(PIXELS, chunks=(2, 300, 300))
        return SimpleNamespace(shape=values.shape, values=values, fill_value_default=None, attrs={}, **PLACE)

    def dataset(out):
        with rasterio.open("in.tif") as data:
            save_cog(data, out)

    def writer(out):
        with CogWriter(out, like=RASTER) as writer:
            writer.write(PIXELS, Window(0, 0, 800, 900))

    def store(out):
        store = obstore.store.LocalStore(str(folder))
        save_cog(RASTER, out, fs=store)

    def parts(out):
        part_store = PartStore()
        with PartedSink(part_store) as sink:
            sink.begin(SectionSizes(2**20, 0, 40 * 2**20))
            for number in range(40):
                sink.write_full_resolution(number * 2**20, bytes(2**20))
            sink.write_header(b"header")
            sink.commit()
        assert part_store.content == b"header" + bytes(40 * 2**20)
        assert part_store.asked["send"] > 2

    def catalog(out, executor="thread"):
        rows = [{"path": "in.tif", "name": out[:-4]}]
        op = gz.Sequential([gz.catalog_ops.WriteCOG("{name}.tif")])
        gz.catalog_ops.CatalogPipeline(rows, op, executor=executor, n_workers=2).run()

    class Faraway(fsspec.asyn.AsyncFileSystem):
        protocol = "faraway"

    fsspec.register_implementation("faraway", Faraway)

    def threads_of_dask(out):
        with dask.config.set(scheduler="threads"):
            save_cog(dask_array(), out)

    uses = {
        "array": lambda out: save_cog(RASTER, out),
        "path": lambda out: save_cog("in.tif", out),
        "reader": lambda out: save_cog(RasterioReader("in.tif"), out),
        "dataset": dataset,
        "dask": lambda out: save_cog(dask_array(), out),
        "threads of dask": threads_of_dask,
        "parts": parts,
        "gdal": lambda out: save_cog("in.tif", out, engine="gdal"),
        "tiled": lambda out: save_tiled_geotiff("in.tif", out),
        "bar": lambda out: save_cog("in.tif", out, progress=True),
        "verify": lambda out: save_cog("in.tif", out, verify=True),
        "writer": writer,
        "memory": lambda out: save_cog("in.tif", f"memory://{out}"),
        "obstore": store,
        "validate": lambda out: validate("in.tif").is_valid or sys.exit("not valid"),
        "preview": lambda out: preview("in.tif"),
        "catalog": catalog,
        "catalog of processes": lambda out: catalog(out, "process"),
        "asynchronous store": lambda out: save_cog("in.tif", "faraway://folder/" + out),
    }

    def run(prefix):
        for name, use in uses.items():
            out = f"{prefix}-{name.replace(' ', '-')}.tif"
            try:
                use(out)
            except GeoreaderError as error:
                yield f"{name}: {type(error).__name__}: {error}"
            except BaseException as error:
                yield f"{name}: outside the tree: {error!r}"
            else:
                yield f"{name}: done"

    if __name__ == "__main__":
        if limit == "python":
            def refuse(self):
                raise RuntimeError("can't start new thread")
            threading.Thread.start = refuse
        else:
            os.setgid(65534)
            os.setuid(65534)
            resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
            os.chdir(tempfile.mkdtemp())
            folder = Path.cwd()
            save_cog(RASTER, "in.tif")
        for line in run("few"):
            print(line, flush=True)
        found = sorted(Path().glob("few-*.tif"))
        for path in found:
            with rasterio.open(path) as dataset:
                assert (dataset.read() == PIXELS).all(), path
        assert len(found) >= 10, found
        if limit == "system":
            shutil.rmtree(Path.cwd())
""")

#: What needs threads or processes of its own (obstore's runtime, fsspec's loop), and the error that says so.
REFUSED = {
    "catalog of processes": "WorkerError: .*a process to work on rows cannot be started.*",
    "asynchronous store": ".*Error: .*faraway://.*can't start new thread.*",
    "obstore": "(Write|Destination)Error: .*few-obstore.tif.*can't spawn worker thread.*",
    "threads of dask": "ReadError: .*can't start new thread.*",
}

MAY_BE_REFUSED = {"obstore", "threads of dask", "catalog of processes"}


@pytest.mark.parametrize("limit", ["python", "system"])
def test_one_thread_is_enough_or_the_error_names_the_limit(limit: str, tmp_path: Path) -> None:
    if limit == "system" and (sys.platform != "linux" or os.getuid() != 0):
        pytest.skip("only root can take on the limits of another user")
    run = [sys.executable, "-W", "ignore", "-c", USES, limit, str(tmp_path), str(SUPPORT)]

    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)

    assert done.returncode == 0, done.stderr[-3000:]
    ended = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert len(ended) == 19, done.stdout
    for name, how in ended.items():
        if how == "done" and (name not in REFUSED or name in MAY_BE_REFUSED):
            continue
        assert re.fullmatch(REFUSED.get(name, "done"), how), f"{name}: {how}"
