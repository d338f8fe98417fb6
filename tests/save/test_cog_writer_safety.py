"""CogWriter: a block that ends by an exception leaves nothing; what does not fit in memory waits unseen."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, RasterioReader, save_cog
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader.errors import DtypeError, IndexingError, OptionError, ShapeError, TileError, WriteError

PLACE = {"transform": TRANSFORM, "crs": CRS}
Contents = Callable[[Path], dict[str, bytes]]

#: A raster that does not fit in the memory that is given for it.
LARGE: dict[str, Any] = {"shape": (1500, 1500), "dtype": "uint16", "max_memory": "12MiB", **PLACE}

on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")


class EnoughError(Exception):
    """The rest of a block is of no interest."""


def temporary_files(folder: Path) -> list[str]:
    """Return the names of the files in a folder that this process has open and that have no name any more."""
    open_files = Path("/proc/self/fd")
    links = [os.path.realpath(entry) for entry in open_files.iterdir()] if open_files.exists() else []
    return [link for link in links if link.startswith(f"{folder}{os.sep}") and link.endswith("(deleted)")]


class TestBlock:
    @pytest.mark.parametrize(
        "error", [RuntimeError("CUDA out of memory"), KeyboardInterrupt(), SystemExit(1)], ids=repr
    )
    @pytest.mark.parametrize("earlier", [b"the earlier file", None])
    def test_exception_in_the_block_changes_nothing(
        self, error: BaseException, earlier: bytes | None, tmp_path: Path, contents: Contents
    ) -> None:
        (tmp_path / "scratch").mkdir()
        if earlier:
            (tmp_path / "out.tif").write_bytes(earlier)
        before = contents(tmp_path)

        with pytest.raises(type(error)) as caught:  # noqa: SIM117 - what the block raises is what is tested
            with CogWriter(tmp_path / "out.tif", dir_tmpfiles=tmp_path / "scratch", **LARGE) as writer:
                writer.write(np.ones((1500, 1500), "uint16"))
                raise error

        assert caught.value is error
        assert writer.receipt is None
        assert contents(tmp_path) == before
        assert temporary_files(tmp_path) == []

    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    def test_exception_at_the_end_changes_nothing(
        self, engine: str, tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(rasterio.shutil, "copy", interrupt)
        (tmp_path / "out.tif").write_bytes(b"the earlier file")
        how: dict[str, Any] = {"progress": interrupt} if engine == "stream" else {"engine": "gdal"}

        with (
            pytest.raises(KeyboardInterrupt),
            CogWriter(tmp_path / "out.tif", shape=(600, 600), dtype="uint8", **how, **PLACE) as writer,
        ):
            writer.write(np.ones((600, 600), "uint8"))

        assert contents(tmp_path) == {"out.tif": b"the earlier file"}

    def test_earlier_file_is_kept_until_the_end(self, make_tensor: Any, tmp_path: Path) -> None:
        """So that a raster may be worked on and replaced by the result."""
        tensor, path = make_tensor((1, 300, 300)), tmp_path / "out.tif"
        save_cog(tensor, path)

        with rasterio.open(path) as dataset, CogWriter(path, like=dataset) as writer:
            for _, window in dataset.block_windows(1):
                writer.write(dataset.read(window=window) + 1, window)

        np.testing.assert_array_equal(RasterioReader(path).values, tensor.values + 1)
        assert os.listdir(tmp_path) == ["out.tif"]

    def test_refused_window_does_not_affect_other_windows(self, tmp_path: Path) -> None:
        ones = np.ones((40, 50), "uint8")

        with CogWriter(tmp_path / "out.tif", shape=(40, 50), dtype="uint8", **PLACE) as writer:
            writer.write(ones)
            for piece, window, error in (
                (300 * ones.astype(int), None, DtypeError), (2 * ones, Window(1, 0, 50, 40), IndexingError),
                (2 * ones[:5], None, ShapeError),
            ):  # fmt: skip
                with pytest.raises(error):
                    writer.write(piece, window)

        assert np.unique(RasterioReader(tmp_path / "out.tif").values).tolist() == [1]

    @pytest.mark.parametrize(
        "how", [{}, {"blend": "hann"}, {"blend": "mean", "deterministic": True}, {"ordered": True}], ids=str
    )
    def test_window_that_the_disk_had_no_room_for_is_not_lost_in_silence(
        self, how: dict[str, Any], tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The caller goes on after the error of write, and the disk has room again."""
        (tmp_path / "out.tif").write_bytes(b"the earlier file")
        write_at, failed = TemporaryFile.write_at, []

        def fail_once(file: TemporaryFile, offset_bytes: int, *pieces: Any) -> None:
            if not failed:
                failed.append(offset_bytes)
                raise WriteError("No space left on device")
            write_at(file, offset_bytes, *pieces)

        with (
            pytest.raises(WriteError, match="out.tif': not saved, since a window could not be written: No space left"),
            CogWriter(tmp_path / "out.tif", **LARGE, **how) as writer,
        ):
            monkeypatch.setattr(TemporaryFile, "write_at", fail_once)
            for row in range(0, 1500, 750):
                with suppress(WriteError):
                    writer.write(np.ones((750, 1500), "uint16"), Window(0, row, 1500, 750))

        assert len(failed) == 1
        assert writer.receipt is None
        assert contents(tmp_path) == {"out.tif": b"the earlier file"}
        assert temporary_files(tmp_path) == []

    def test_writer_that_is_not_entered_has_no_effect(self, tmp_path: Path) -> None:
        writer = CogWriter(tmp_path / "out.tif", shape=(4, 4), dtype="uint8", **PLACE)

        with pytest.raises(WriteError, match=r"out\.tif.*with block"):
            writer.write(np.ones((4, 4), "uint8"))
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_written_after_the_end(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=(4, 4), dtype="uint8", **PLACE) as writer:
            pass

        with pytest.raises(WriteError, match=r"out\.tif.*with block"):
            writer.write(np.ones((4, 4), "uint8"))
        assert RasterioReader(tmp_path / "out.tif").values.max() == 0

    def test_nested_block_is_refused_and_loses_nothing(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", shape=(4, 4), dtype="uint8", **PLACE) as writer:
            writer.write(np.ones((4, 4), "uint8"))
            with pytest.raises(WriteError, match=r"out\.tif"):
                writer.__enter__()

        assert RasterioReader(tmp_path / "out.tif").values.min() == 1

    def test_second_block_writes_a_new_file(self, tmp_path: Path) -> None:
        writer = CogWriter(tmp_path / "out.tif", shape=(4, 4), dtype="uint8", **PLACE)
        with pytest.raises(EnoughError), writer:
            writer.write(np.ones((4, 4), "uint8"))
            raise EnoughError

        with writer:
            writer.write(np.ones((2, 4), "uint8"), Window(0, 0, 4, 2))

        assert RasterioReader(tmp_path / "out.tif").values[0, :, 0].tolist() == [1, 1, 0, 0]
        assert os.listdir(tmp_path) == ["out.tif"]

    def test_relative_paths_are_resolved_at_construction(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "scratch").mkdir()
        monkeypatch.chdir(tmp_path)
        writer = CogWriter("out.tif", dir_tmpfiles="scratch", **LARGE)
        monkeypatch.chdir("/")

        with writer:
            writer.write(np.ones((1500, 1500), "uint16"))

        assert sorted(os.listdir(tmp_path)) == ["out.tif", "scratch"]

    def test_changed_tile_is_an_error_that_names_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from georeader._codecs.tiles import TileEncoder

        def fails(*_: Any) -> Any:
            raise WriteError("the encoder gave up")

        monkeypatch.setattr(TileEncoder, "encode_tile", fails)
        with (
            pytest.raises(TileError, match=r"out\.tif.*tile at row 0, column 0: the encoder gave up"),
            CogWriter(tmp_path / "out.tif", shape=(40, 50), dtype="uint8", **PLACE),
        ):
            pass
        assert list(tmp_path.iterdir()) == []


class TestSpool:
    @on_linux
    @pytest.mark.parametrize("scratch", ["scratch", None], ids=["in dir_tmpfiles", "beside the destination"])
    def test_pixels_are_spooled_to_an_anonymous_file(self, scratch: str | None, tmp_path: Path) -> None:
        folder = tmp_path if scratch is None else tmp_path / scratch
        folder.mkdir(exist_ok=True)
        before = sorted(os.listdir(tmp_path))

        with CogWriter(tmp_path / "out.tif", dir_tmpfiles=scratch and folder, **LARGE) as writer:
            writer.write(np.ones((1500, 1500), "uint16"))

            assert len(temporary_files(folder)) == 1
            assert sorted(os.listdir(tmp_path)) == before
            assert os.listdir(folder) == before[: 0 if scratch else None]

        assert temporary_files(folder) == []
        assert sorted(os.listdir(tmp_path)) == sorted([*before, "out.tif"])

    @on_linux
    def test_pixels_that_fit_are_not_spooled(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", **LARGE | {"max_memory": "512MiB"}) as writer:
            writer.write(np.ones((1500, 1500), "uint16"))

            assert temporary_files(tmp_path) == []

    @on_linux
    def test_unwritten_pixels_take_no_memory_or_disk(self, tmp_path: Path) -> None:
        """A raster of 20 GB, of which two corners are written."""
        large = LARGE | {"shape": (100_000, 100_000)}

        with pytest.raises(EnoughError), CogWriter(tmp_path / "out.tif", **large) as writer:
            for offset in (0, 99_900):
                writer.write(np.ones((100, 100), "uint16"), Window(offset, offset, 100, 100))
            assert temporary_files(tmp_path) == []
            raise EnoughError  # to make the file would take a minute

    def test_many_bands_stay_within_the_limit(self, tmp_path: Path) -> None:
        """A raster of 176 MiB; 64 MiB may be held."""
        many = {"shape": (128, 600, 600), "dtype": "float32", "profile_arg": {"INTERLEAVE": "BAND"}}
        piece = np.ones((128, 100, 100), "float32")

        with pytest.raises(EnoughError), CogWriter(tmp_path / "out.tif", **LARGE | many | {"max_memory": "64MiB"}) as w:
            tracemalloc.start()
            for offset in range(0, 600, 100):
                w.write(piece, Window(offset, offset, 100, 100))
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            raise EnoughError

        assert peak_bytes < 64 * 2**20

    @pytest.mark.parametrize("max_memory", ["lots", 0, -1, True, 2.5, None], ids=repr)
    def test_invalid_limit_is_refused(self, max_memory: Any, tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="max_memory"):
            CogWriter(tmp_path / "out.tif", **LARGE | {"max_memory": max_memory})

    @pytest.mark.parametrize(
        "how", [{"max_memory": "1MiB"}, {"max_memory": "10MiB", "engine": "gdal"}], ids=["ours", "GDAL's"]
    )
    def test_too_small_limit_is_refused_before_writing(self, how: dict[str, Any], tmp_path: Path) -> None:
        with pytest.raises(OptionError, match="max_memory="):
            CogWriter(tmp_path / "out.tif", **LARGE | how)

    @on_linux
    def test_a_full_disk_is_an_error_that_names_the_folder(self, tmp_path: Path) -> None:
        """A limit on the size of files simulates a full disk."""
        script = textwrap.dedent("""
            import resource, signal, sys
            import numpy as np
            from georeader import CogWriter
            from georeader.errors import WriteError

            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
            path, place = sys.argv[1], {"transform": (10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
            try:
                with CogWriter(path, shape=(1500, 1500), dtype="uint16", max_memory="12MiB", **place) as writer:
                    writer.write(np.ones((1500, 1500), "uint16"))
            except WriteError as error:
                print(error)
        """)
        (tmp_path / "out.tif").write_bytes(b"the earlier file")

        run = [sys.executable, "-c", script, str(tmp_path / "out.tif")]
        done = subprocess.run(run, capture_output=True, text=True, check=True)

        assert f"a temporary file in '{tmp_path}'" in done.stdout
        assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out.tif": b"the earlier file"}
