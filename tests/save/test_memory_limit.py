"""What a save holds beyond its source, by the operating system's own figure, in a process of its own."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

import forked

#: Much less than the rasters; the smaller one is large enough for everything that waits to have filled its share.
LIMIT_BYTES = 64 * 2**20
FEW_ROWS, MANY_ROWS = 16_384, 32_768

#: Makes a raster of 4096 columns, saves a small one to have everything imported, and prints how far the process grew
#: while it saved the large one (VmHWM of proc(5), reset through clear_refs).
GROWTH = textwrap.dedent("""
    import sys
    from pathlib import Path
    import numpy as np
    import rasterio
    from affine import Affine
    from rasterio.windows import Window
    from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff

    how, rows, limit, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    PLACE = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
    BLOCK = np.random.default_rng(0).integers(0, 4000, (512, 4096)).astype("uint16")

    class Lazy:
        dtype, fill_value_default = BLOCK.dtype, None
        transform, crs = PLACE["transform"], PLACE["crs"]

        def __init__(self, rows):
            self.shape = (1, rows, 4096)

        def read_from_window(self, window):
            rows = np.arange(int(window.row_off), int(window.row_off + window.height)) % 512
            columns = slice(int(window.col_off), int(window.col_off + window.width))
            return GeoTensor(BLOCK[np.newaxis, rows, columns], **PLACE, fill_value_default=None)

    def file(rows):
        path = folder / f"in-{rows}.tif"
        quick = {"compress": "zstd", "LEVEL": 1, "predictor": 1}
        save_tiled_geotiff(Lazy(rows), path, profile_arg=quick)
        return path

    def mapped(rows):
        path = folder / f"in-{rows}.npy"
        values = np.lib.format.open_memmap(path, "w+", "uint16", (rows, 4096))
        for row in range(0, rows, 512):
            values[row : row + 512] = BLOCK
        del values
        return GeoTensor(np.load(path, mmap_mode="r"), **PLACE, fill_value_default=None)

    def dask(rows):
        import dask.array as da

        class Held:
            shape, dtype, fill_value_default = (rows, 4096), BLOCK.dtype, None
            transform, crs = PLACE["transform"], PLACE["crs"]
            values = da.tile(da.from_array(BLOCK, chunks=(512, 2048)), (rows // 512, 1))

        return Held()

    def large_chunks(rows):
        import dask.array as da

        def block(block_info=None):
            return np.resize(BLOCK, block_info[None]["chunk-shape"])

        raster = dask(rows)
        chunks = da.core.normalize_chunks((2048, 2048), (rows, 4096))
        raster.values = da.map_blocks(block, chunks=chunks, dtype="uint16", meta=np.empty((0, 0), "uint16"))
        return raster

    def data_array(rows):
        import xarray

        array = xarray.DataArray(dask(rows).values, dims=("y", "x"))
        array = array.assign_coords(y=-10 * (np.arange(rows) + 0.5), x=10 * (np.arange(4096) + 0.5))
        return array.assign_coords(spatial_ref=((), 0, {"crs_wkt": rasterio.CRS.from_epsg(3857).to_wkt()}))

    def pieces(path, rows):
        with CogWriter(path, shape=(rows, 4096), dtype="uint16", **PLACE, **options) as writer:
            for row in reversed(range(0, rows, 256)):
                writer.write(BLOCK[:256], Window(0, row, 4096, 256))

    def blended(path, rows):
        how = {"blend": "hann", "argmax": True, "score": path.with_suffix(".score.tif")}
        scores = np.stack([BLOCK[:256], BLOCK[256:]]).astype("float32")
        with CogWriter(path, shape=(rows, 4096), dtype="uint8", nodata=255, **how, **PLACE, **options) as writer:
            for row in range(0, rows - 128, 128):
                writer.write(scores, Window(0, row, 4096, 256))

    def status(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    options = {"max_memory": limit, "profile_arg": {"compress": "zstd", "LEVEL": 1}}
    make = {
        "object": Lazy, "path": file, "reader": lambda rows: RasterioReader(file(rows)), "mapped": mapped, "dask": dask,
        "dataset": lambda rows: rasterio.open(file(rows)), "DataArray": data_array, "tiled": Lazy, "pieces": int,
        "dask in large chunks": large_chunks, "warped": Lazy, "blended": int,
    }[how]
    if how == "warped":
        options["profile_arg"] |= {"TILING_SCHEME": "GoogleMapsCompatible", "WARP_RESAMPLING": "BILINEAR"}
    writers = {"pieces": pieces, "blended": blended}
    save = {"tiled": save_tiled_geotiff}.get(how, save_cog)
    if how in writers:
        save = lambda rows, path, **_: writers[how](path, rows)
    small, large = make(512), make(rows)
    save(small, folder / "small.tif", **options)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    save(large, folder / "large.tif", **options)
    print("grew", status("VmHWM") - before)
""")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system has no proc(5)"),
]


def growth_bytes(how: str, rows: int, folder: Path) -> int:
    folder.mkdir()
    done = forked.run(GROWTH, how, rows, LIMIT_BYTES, folder, filterwarnings="error")
    found = re.fullmatch(r"grew (-?\d+)\n", done.stdout)
    assert found is not None, done.stderr
    return int(found.group(1))


@pytest.mark.parametrize(
    "how",
    [
        "object",
        "path",
        "dask",
        "tiled",
        "pieces",
        *(
            pytest.param(how, marks=pytest.mark.thorough)
            for how in ("blended", "warped", "reader", "dataset", "mapped", "dask in large chunks", "DataArray")
        ),
    ],
)
def test_memory_is_within_the_limit_for_any_number_of_rows(how: str, tmp_path: Path) -> None:
    few_bytes = growth_bytes(how, FEW_ROWS, tmp_path / "few")
    # 128 MiB of pixels more; a tile's place and size take some bytes, and allocators keep what was given back: how
    # much, differs by 10 MiB from run to run, as threads meet. What grows with the rows grows in each.
    most_bytes = few_bytes + 8 * 2**20
    many_bytes = [growth_bytes(how, MANY_ROWS, tmp_path / "many")]
    while many_bytes[-1] >= most_bytes and len(many_bytes) < 3:
        many_bytes.append(growth_bytes(how, MANY_ROWS, tmp_path / f"many-{len(many_bytes)}"))

    assert max(many_bytes) < LIMIT_BYTES
    assert min(many_bytes) < most_bytes


#: Makes a raster of 3 x 2600 x 2600 uint16 (39 MiB) whose chunks are large, and saves it by a limit.
LARGE_BLOCKS = textwrap.dedent("""
    import sys
    from pathlib import Path
    from types import SimpleNamespace
    import h5py
    import numpy as np
    import rasterio
    from affine import Affine
    from georeader import GeoTensor, RasterioReader, save_cog
    from georeader.errors import OptionError

    how, limit, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    block_px, opens = int(how.split()[0]), how.split()[1]
    place = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
    values = np.resize(np.random.default_rng(0).integers(0, 60_000, (30, 2600), dtype="uint16"), (3, 2600, 2600))
    path = folder / f"{how}.tif"
    if opens == "hdf5":
        file = h5py.File(folder / f"{how}.h5", "a")
        if "v" not in file:
            file.create_dataset("v", data=values, chunks=(3, block_px, block_px), compression=1)
            file.flush()
        data = SimpleNamespace(shape=values.shape, values=file["v"], fill_value_default=None, attrs={}, **place)
    else:
        if not path.exists():
            blocks = {"blockxsize": block_px, "blockysize": block_px, "tiled": block_px < 2600}
            blocks = blocks if blocks["tiled"] else {"blockysize": 2600}
            size = {"width": 2600, "height": 2600, "count": 3, "dtype": "uint16"}
            options = {"driver": "GTiff", "compress": "deflate", "zlevel": 1}
            with rasterio.open(path, "w", **place, **size, **options, **blocks) as dataset:
                dataset.write(values)
        data = {"path": str, "reader": RasterioReader, "dataset": rasterio.open}[opens](path)
    del values

    def status(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    options = {"profile_arg": {"compress": "zstd", "LEVEL": 1}}
    small = GeoTensor(np.ones((3, 64, 64), "uint16"), **place, fill_value_default=None)
    save_cog(small, folder / "small.tif", **options)
    save_cog(folder / "small.tif", folder / "small2.tif", **options)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    try:
        save_cog(data, folder / "out.tif", max_memory=int(limit), **options)
    except OptionError as error:
        print(error)
    print("grew", status("VmHWM") - before)
""")


@pytest.mark.parametrize(
    ("how", "is_refused"),
    [
        ("2600 path", True),
        pytest.param("2600 dataset", True, marks=pytest.mark.thorough),
        pytest.param("2600 hdf5", True, marks=pytest.mark.thorough),
        ("1312 reader", False),
        pytest.param("1312 dataset", False, marks=pytest.mark.thorough),
        ("1312 hdf5", False),
    ],
)
def test_decoded_blocks_count_and_too_small_limits_are_refused(how: str, is_refused: bool, tmp_path: Path) -> None:
    def save(limit_bytes: int) -> tuple[str, int]:
        done = forked.run(LARGE_BLOCKS, how, limit_bytes, tmp_path, filterwarnings="error")
        found = re.fullmatch(r"(.*)grew (-?\d+)\n", done.stdout, re.DOTALL)
        assert found is not None, done.stderr
        return found.group(1), int(found.group(2))

    message, grew_bytes = save(80 * 2**20)

    assert grew_bytes < 80 * 2**20
    if not is_refused:
        assert not message
        return
    enough = re.search(r"reading the source holds, (\d+) bytes.*pass at least (\d+),.*smaller tiles", message)
    assert enough is not None, message
    assert int(enough.group(1)) > 2600 * 2600 * 3 * 2  # the block, at least
    message, grew_bytes = save(int(enough.group(2)))
    assert not message
    assert grew_bytes < int(enough.group(2))
