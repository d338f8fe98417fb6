"""Progress: a tqdm bar, a callback, or none."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor, save_cog, save_tiled_geotiff
from georeader.errors import MissingExtraError, OptionError

SHAPE = (2, 600, 700)

#: Tiles of 256 pixels: 3 x 3, 2 x 2, 1.
TILES = {save_cog: 14, save_tiled_geotiff: 9}


class Lazy:
    shape, dtype, fill_value_default = SHAPE, np.dtype("uint16"), None
    transform, crs = TRANSFORM, CRS

    def read_from_window(self, window: Window) -> GeoTensor:
        values = np.ones((2, int(window.height), int(window.width)), "uint16")
        return GeoTensor(values, self.transform, self.crs, fill_value_default=None)


def in_memory() -> GeoTensor:
    return GeoTensor(np.ones(SHAPE, "uint16"), TRANSFORM, CRS, fill_value_default=None)


@pytest.mark.parametrize("make", [in_memory, Lazy], ids=["in memory", "lazy"])
@pytest.mark.parametrize("save", TILES)
class TestACallable:
    def test_callable_gets_done_and_total_from_0_to_the_end(self, save: Any, make: Any, tmp_path: Path) -> None:
        calls: list[tuple[int, int]] = []

        save(make(), tmp_path / "out.tif", progress=lambda done, total: calls.append((done, total)))

        assert (calls[0], calls[-1]) == ((0, TILES[save]), (TILES[save], TILES[save]))
        assert calls == sorted(set(calls))

    def test_callable_runs_in_the_caller_thread(self, save: Any, make: Any, tmp_path: Path) -> None:
        threads = set()

        save(make(), tmp_path / "out.tif", progress=lambda *_: threads.add(threading.current_thread()))

        assert threads == {threading.current_thread()}

    @pytest.mark.parametrize("error", [RuntimeError, StopIteration, KeyboardInterrupt])
    @pytest.mark.parametrize("at", ["the beginning", "the end"])
    def test_exception_of_callable_ends_the_save_without_a_file(
        self, save: Any, make: Any, at: str, error: type[BaseException], tmp_path: Path
    ) -> None:
        def stop(done: int, total: int) -> None:
            if done == (0 if at == "the beginning" else total):
                raise error("enough")

        (tmp_path / "out.tif").write_bytes(b"the earlier file")
        with pytest.raises(error, match="enough"):
            save(make(), tmp_path / "out.tif", progress=stop)

        assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out.tif": b"the earlier file"}


def test_gdal_engine_reports_beginning_and_end(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    save_cog(in_memory(), tmp_path / "out.tif", engine="gdal", progress=lambda *done: calls.append(done))

    assert calls == [(0, 14), (14, 14)]


@pytest.mark.parametrize("make", [in_memory, Lazy], ids=["in memory", "lazy"])
def test_bar_shows_file_tiles_bytes_and_time(make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed")

    save_cog(make(), tmp_path / "out.tif", progress=True)

    out, shown = capsys.readouterr()
    last = shown.split("\r")[-1]
    assert out == ""
    for part in ("out.tif: 100%", "14/14", "tiles/s", "00:00", "3.50MiB"):
        assert part in last, last


@pytest.mark.parametrize("progress", [False, None])
def test_nothing_is_printed_by_default(progress: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_cog(in_memory(), tmp_path / "a.tif", progress=progress)
    save_tiled_geotiff(Lazy(), tmp_path / "b.tif")
    with CogWriter(tmp_path / "c.tif", like=Lazy(), progress=progress) as writer:
        writer.write(np.ones(SHAPE))

    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("progress", ["yes", 1, object()], ids=["text", "a number", "an object"])
def test_other_values_are_refused(progress: Any, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="neither True nor callable"):
        save_cog(in_memory(), tmp_path / "out.tif", progress=progress)


def test_bar_is_refused_without_tqdm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)

    with pytest.raises(MissingExtraError, match=r"progress=True.*progress"):
        save_cog(in_memory(), tmp_path / "out.tif", progress=True)
    assert list(tmp_path.iterdir()) == []
