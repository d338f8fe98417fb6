"""A save that fails leaves an earlier file as it was, and nothing else behind."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import forked
from georeader import RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import (
    DestinationError,
    DtypeError,
    NotSupportedError,
    ShapeError,
    WriteError,
)

pytestmark = pytest.mark.slow

Contents = Callable[[Path], dict[str, bytes]]
both = pytest.mark.parametrize("save_function", [save_cog, save_tiled_geotiff])


class Breaks:
    """Raster whose pixels cannot be read."""

    def __init__(self, like: Any, error: BaseException) -> None:
        self.shape, self.crs, self.transform, self.dtype = like.shape, like.crs, like.transform, like.dtype
        self.fill_value_default = 0
        self._error = error

    def load(self) -> Any:
        raise self._error


@both
@pytest.mark.parametrize("error", [OSError("the disk is gone"), KeyboardInterrupt(), MemoryError()])
def test_source_that_raises_changes_nothing(
    save_function: Any, error: BaseException, make_tensor: Any, tmp_path: Path, contents: Contents
) -> None:
    save_function(make_tensor(), tmp_path / "out.tif")
    before = contents(tmp_path)

    with pytest.raises(type(error)) as caught:
        save_function(Breaks(make_tensor(), error), tmp_path / "out.tif")

    assert caught.value is error
    assert contents(tmp_path) == before


@both
def test_failure_while_gdal_writes_changes_nothing(
    save_function: Any, make_tensor: Any, tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_function(make_tensor(), tmp_path / "out.tif")
    before = contents(tmp_path)

    def half_a_file(source: Any, path: str, **options: Any) -> None:
        Path(path).write_bytes(b"II*\0half")
        raise KeyboardInterrupt

    monkeypatch.setattr(rasterio.shutil, "copy", half_a_file)
    with pytest.raises(KeyboardInterrupt):
        save_function(make_tensor(), tmp_path / "out.tif", engine="gdal")

    assert contents(tmp_path) == before


def test_gdals_own_errors_are_named_and_chained(make_tensor: Any, tmp_path: Path, contents: Contents) -> None:
    with pytest.raises(WriteError, match="GDAL's COG driver failed: Invalid tiling matrix") as caught:
        save_cog(make_tensor(), tmp_path / "out.tif", engine="gdal", profile_arg={"TILING_SCHEME": "nonsense"})

    assert type(caught.value.__cause__).__module__.startswith("rasterio")
    assert contents(tmp_path) == {}


FULL_DISK = textwrap.dedent("""
    import resource, signal, sys
    import numpy as np
    from affine import Affine
    from georeader import GeoTensor, save
    from georeader.errors import WriteError

    function, limit, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    values = np.random.default_rng(0).integers(0, 2**16, (1, 700, 700)).astype("uint16")
    tensor = GeoTensor(values, Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        profile = {"compress": "none", "NUM_THREADS": 1 if limit % 2 else "ALL_CPUS"}
        getattr(save, function)(tensor, path, profile_arg=profile)
    except WriteError as error:
        print("WriteError")
    else:
        print("written")
""")


@pytest.mark.parametrize("function", ["save_cog", pytest.param("save_tiled_geotiff", marks=pytest.mark.thorough)])
def test_full_disk_at_any_write_is_an_error(
    function: str, make_tensor: Any, tmp_path: Path, contents: Contents
) -> None:
    """A limit on the file's size simulates a full disk: GDAL must not report success for a short file."""
    whole = tmp_path / "whole.tif"
    done = forked.run(FULL_DISK, function, 2**40, whole)
    assert done.stdout == "written\n", done.stderr
    size = whole.stat().st_size
    whole.unlink()
    (tmp_path / "out.tif").write_bytes(b"the earlier file")

    for limit in (0, 100, 1001, size // 3, size // 2 + 1, size - 70_001, size - 4096, size - 5, size - 1):
        done = forked.run(FULL_DISK, function, limit, tmp_path / "out.tif")
        assert (done.returncode, done.stdout) == (0, "WriteError\n"), (limit, size, done.stderr)
        assert contents(tmp_path) == {"out.tif": b"the earlier file"}


@both
def test_an_earlier_file_is_replaced_in_one_step(save_function: Any, make_tensor: Any, tmp_path: Path) -> None:
    """A process that opens the path repeatedly during saves always finds one whole raster or the other."""
    path = tmp_path / "out.tif"
    first, second = make_tensor((1, 400, 400)), make_tensor((1, 500, 300))
    save_function(first, path)
    stop = threading.Event()
    seen: list[tuple[int, int]] = []

    def look() -> None:
        while not stop.is_set():
            with rasterio.open(path) as dataset:
                dataset.read()
                seen.append(dataset.shape)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for tensor in (second, first) * 10:
            save_function(tensor, path)
        stop.set()
        looking.result()

    assert set(seen) <= {(400, 400), (500, 300)}
    assert len(seen) > 1
    assert os.listdir(tmp_path) == ["out.tif"]


def test_an_open_reader_keeps_the_earlier_file(make_tensor: Any, tmp_path: Path) -> None:
    old, new = make_tensor((1, 300, 300)), make_tensor((1, 300, 300), "int32")
    save_cog(old, tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        save_cog(new, tmp_path / "out.tif")
        np.testing.assert_array_equal(dataset.read(), old.values)

    np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, new.values)


def test_a_file_can_be_saved_over_itself(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((2, 600, 600))
    save_tiled_geotiff(tensor, tmp_path / "out.tif")

    save_cog(RasterioReader(tmp_path / "out.tif"), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").overviews() == [2, 4]
    np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, tensor.values)


def test_sidecars_of_the_earlier_file_are_removed(make_tensor: Any, tmp_path: Path) -> None:
    save_cog(make_tensor(), tmp_path / "out.tif")
    (tmp_path / "out.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><Description>stale</Description></PAMRasterBand></PAMDataset>'
    )
    (tmp_path / "out.tif.ovr").write_bytes(b"stale")
    (tmp_path / "other.tif.aux.xml").write_bytes(b"not ours")

    save_cog(make_tensor(), tmp_path / "out.tif", descriptions=["new", "new"])

    assert sorted(os.listdir(tmp_path)) == ["other.tif.aux.xml", "out.tif"]
    assert RasterioReader(tmp_path / "out.tif").descriptions == ["new", "new"]


def test_symbolic_link_is_kept(make_tensor: Any, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.tif").symlink_to(tmp_path / "real" / "out.tif")

    save_cog(make_tensor(), tmp_path / "link.tif")

    assert (tmp_path / "link.tif").is_symlink()
    assert RasterioReader(tmp_path / "real" / "out.tif").count == 2


def test_permissions_are_default_or_those_of_the_earlier_file(make_tensor: Any, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_cog(make_tensor(), tmp_path / "new.tif")
        assert stat.S_IMODE((tmp_path / "new.tif").stat().st_mode) == 0o640
        (tmp_path / "new.tif").chmod(0o604)
        save_cog(make_tensor(), tmp_path / "new.tif")
        assert stat.S_IMODE((tmp_path / "new.tif").stat().st_mode) == 0o604
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_paths_are_str_or_path_like(kind: Any, make_tensor: Any, tmp_path: Path) -> None:
    name = tmp_path / ("é ☃ " + "x" * 200 + ".tif")

    save_cog(make_tensor(), kind(str(name)))

    assert RasterioReader(name).count == 2
    assert len(os.listdir(tmp_path)) == 1


def test_a_relative_path_is_relative_to_the_working_folder(
    make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    save_cog(make_tensor(), "out.tif")

    assert os.listdir(tmp_path) == ["out.tif"]


@both
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (Path("s3://bucket/key.tif"), "pathlib shortens '//' to '/', so pass URLs as str"),
        ("/vsimem/out.tif", "virtual paths"),
    ],
)
def test_unknown_scheme_is_not_a_local_path(
    save_function: Any, path: Any, message: str, make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NotSupportedError, match=message):
        save_function(make_tensor(), path)

    assert os.listdir(tmp_path) == []


def test_an_object_that_is_not_a_filesystem_is_refused(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="fs is a object; pass a filesystem of fsspec"):
        save_cog(make_tensor(), tmp_path / "out.tif", fs=object())

    assert os.listdir(tmp_path) == []


@both
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing/out.tif", "the folder '.*missing' is missing; create it first"),
        (".", "is a folder; name a file in it"),
        ("folder/", "is a folder"),
        ("", "is empty; name a file"),
        ("x" * 300 + ".tif", "cannot be a path here: .*File name too long"),
        ("nul\0.tif", "cannot be a path here: .*null"),
        (3, "path_tiff_save=3 is not a path; pass a str, an os.PathLike, or an object open for"),
        (None, "path_tiff_save=None is not a path"),
        ("pipe", "is not a regular file"),
    ],
)
def test_destination_that_cannot_be_a_file_is_refused(
    save_function: Any, path: Any, message: str, make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DestinationError, match=message):
        save_function(make_tensor(), path)

    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_a_folder_without_permission_is_refused(
    engine: str, make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as context:
        context.setattr(os, "open", refuse)  # tests often run as root, which can write anywhere
        with pytest.raises(DestinationError, match="cannot write in '.*': Permission denied"):
            save_cog(make_tensor(), tmp_path / "out.tif", engine=engine)


@pytest.mark.parametrize("shape", [(2, 3, 20, 30), (7,)])
def test_other_than_two_or_three_dimensions_are_refused(
    shape: tuple[int, ...], make_tensor: Any, tmp_path: Path
) -> None:
    data = make_tensor((2, 20, 30))
    stand_in = Breaks(data, AssertionError("pixels are not asked for"))
    stand_in.shape = shape

    with pytest.raises(ShapeError, match=rf"has {len(shape)} dimensions; save takes \(row, column\) or \(band"):
        save_cog(stand_in, tmp_path / "out.tif")

    assert os.listdir(tmp_path) == []


def test_a_raster_without_pixels_is_refused(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="has no pixels"):
        save_cog(make_tensor((2, 0, 30)), tmp_path / "out.tif")


def _odd_dtypes() -> dict[str, tuple[Any, str]]:
    return {
        "object": (np.array([[1, "a"]], dtype=object), "cast to the numbers that the objects stand for"),
        "str": (np.array([["a", "b"]]), "encode the words as integer classes"),
        "bytes": (np.array([[b"a", b"b"]]), "encode the words as integer classes"),
        "datetime64": (np.array([["2024-01-01"]], dtype="datetime64[D]"), "cast to int64"),
        "timedelta64": (np.array([[1]], dtype="timedelta64[s]"), "cast to int64"),
        "void": (np.zeros((2, 2), dtype=[("a", "u1"), ("b", "f4")]), "stack the fields as bands"),
        "float128": (np.zeros((2, 2), dtype="longdouble"), "cast to float64"),
    }


@both
@pytest.mark.parametrize("name", list(_odd_dtypes()))
def test_dtypes_without_a_counterpart_are_refused_with_advice(
    save_function: Any, name: str, make_tensor: Any, tmp_path: Path
) -> None:
    values, advice = _odd_dtypes()[name]
    plain = make_tensor((1, 1))
    tensor = type(plain)(values, plain.transform, plain.crs)

    with pytest.raises(DtypeError, match=f"dtype .* has no GeoTIFF counterpart in the installed GDAL; {advice}"):
        save_function(tensor, tmp_path / "out.tif")

    assert os.listdir(tmp_path) == []


class TestTemporaryFiles:
    def test_gdals_temporary_files_are_in_memory_and_removed(
        self, make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "scratch").mkdir()
        seen = []
        copy = rasterio.shutil.copy

        def watched(source: Any, path: str, **options: Any) -> None:
            seen.append(rasterio.env.getenv()["CPL_TMPDIR"])
            assert os.listdir(tmp_path / "scratch") == []
            copy(source, path, **options)

        monkeypatch.setattr(rasterio.shutil, "copy", watched)
        save_cog(
            make_tensor(),
            tmp_path / "out.tif",
            engine="gdal",
            profile_arg={"TARGET_SRS": "EPSG:4326"},
            dir_tmpfiles=tmp_path / "scratch",
        )

        assert seen[0].startswith("/vsimem/")
        assert not rasterio.shutil.exists(f"{seen[0]}/staging.tif")
        assert os.listdir(tmp_path / "scratch") == []
        assert sorted(os.listdir(tmp_path)) == ["out.tif", "scratch"]

    def test_a_folder_that_is_missing_is_refused(self, make_tensor: Any, tmp_path: Path) -> None:
        with pytest.raises(DestinationError, match="dir_tmpfiles=.*nowhere.* is not a folder"):
            save_cog(make_tensor(), tmp_path / "out.tif", dir_tmpfiles=tmp_path / "nowhere")
        with pytest.raises(DestinationError, match="dir_tmpfiles=5 is not a folder"):
            save_cog(make_tensor(), tmp_path / "out.tif", dir_tmpfiles=5)


def test_concurrent_saves_are_independent(make_tensor: Any, tmp_path: Path) -> None:
    tensors = [make_tensor((2, 300 + n, 300), "float32", fill_value_default=np.nan) for n in range(16)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: save_cog(tensors[n], tmp_path / f"{n}.tif", tags={"n": n}), range(16)))

    for n, tensor in enumerate(tensors):
        reader = RasterioReader(tmp_path / f"{n}.tif")
        np.testing.assert_array_equal(reader.values, tensor.values)
        assert reader.tags()["n"] == str(n)
    assert len(os.listdir(tmp_path)) == 16


FORK = textwrap.dedent("""
    import os, sys
    import numpy as np
    from georeader import GeoTensor, save_cog

    tensor = GeoTensor(np.ones((1, 900, 900), "uint8"), (10, 0, 0, 0, -10, 0), "EPSG:3857", 0)
    save_cog(tensor, sys.argv[1] + "/parent.tif")
    child = os.fork()
    if child == 0:
        save_cog(tensor, sys.argv[1] + "/child.tif")
        os._exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")


def test_a_forked_process_can_save_after_its_parent_did(tmp_path: Path) -> None:
    """GDAL's threads do not live on in a fork; multiprocessing forks by default on many systems."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path)], timeout=60, check=False)

    assert done.returncode == 0
    assert (tmp_path / "child.tif").read_bytes() == (tmp_path / "parent.tif").read_bytes()


def test_a_name_of_the_longest_length_can_be_saved(make_tensor: Any, tmp_path: Path) -> None:
    for name in ("x" * 251 + ".tif", "😀" * 62 + ".tif"):
        save_cog(make_tensor(), tmp_path / name)
        save_cog(make_tensor(), tmp_path / name)

    assert len(os.listdir(tmp_path)) == 2


def test_a_name_that_is_not_utf_8_is_refused(make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="is not UTF-8, which GDAL requires of names"):
        save_cog(make_tensor(), os.fsencode(tmp_path) + b"/\xff.tif")
