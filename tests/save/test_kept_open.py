"""In a block of `files_kept_open` a file is opened once for many reads; after it, nothing is open."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader, files_kept_open, save_cog
from georeader._readers.raster_file import FILES_KEPT
from georeader.errors import ReadError

PLACE = ((10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")


@pytest.fixture
def chip(tmp_path: Path) -> Callable[[str, int], Path]:
    def write(name: str = "chip.tif", value: int = 7) -> Path:
        path = tmp_path / name
        save_cog(GeoTensor(np.full((1, 64, 64), value, "uint8"), *PLACE, 0), path, profile_arg={"compress": "none"})
        return path

    return write


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that rasterio opens, in order."""
    seen: list[str] = []
    really = rasterio.open

    def open_and_tell(path: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(Path(path).name)
        return really(path, *args, **kwargs)

    monkeypatch.setattr(rasterio, "open", open_and_tell)
    return seen


def open_files(folder: Path) -> Iterator[str]:
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if target.parent == folder:
            yield target.name


def test_a_file_is_opened_once_for_many_reads(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip()
    del opened[:]
    with files_kept_open():
        reader = RasterioReader(path)
        assert reader.load().shape == (1, 64, 64)
        assert reader.read_from_window(Window(0, 0, 8, 8)).load().shape == (1, 8, 8)
        assert RasterioReader(path).load().max() == 7
    assert opened == ["chip.tif"]


def test_each_read_opens_the_file_outside_of_the_block(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip()
    del opened[:]
    RasterioReader(path).load()
    assert opened == ["chip.tif"] * 2


@on_linux
def test_a_file_is_open_in_the_block_and_closed_after_it(chip: Callable[..., Path], tmp_path: Path) -> None:
    path = chip()
    with files_kept_open():
        RasterioReader(path)
        assert list(open_files(tmp_path)) == ["chip.tif"]
    assert list(open_files(tmp_path)) == []


@on_linux
def test_an_error_in_the_block_closes_the_files_too(chip: Callable[..., Path], tmp_path: Path) -> None:
    path = chip()
    with pytest.raises(ZeroDivisionError), files_kept_open():
        RasterioReader(path)
        raise ZeroDivisionError
    assert list(open_files(tmp_path)) == []


@on_linux
def test_number_of_open_files_is_bounded(chip: Callable[..., Path], tmp_path: Path) -> None:
    paths = [chip(f"chip-{number:02}.tif") for number in range(FILES_KEPT + 5)]
    with files_kept_open():
        for path in paths:
            RasterioReader(path)
        assert sorted(open_files(tmp_path)) == [path.name for path in paths[-FILES_KEPT:]]


def test_replaced_file_is_opened_again(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip(value=7)
    with files_kept_open():
        assert RasterioReader(path).load().max() == 7
        chip(value=9)
        assert RasterioReader(path).load().max() == 9


def test_modified_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8", "crs": PLACE[1],
               "transform": rasterio.Affine(*PLACE[0])}  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.full((1, 64, 64), 7, "uint8"))
    os.utime(path, (1, 1))
    with files_kept_open():
        assert RasterioReader(path).load().max() == 7
        with rasterio.open(path, "r+") as dataset:
            dataset.write(np.full((1, 64, 64), 9, "uint8"))
        assert RasterioReader(path).load().max() == 9


def test_file_copied_over_with_its_times_is_opened_again(chip: Callable[..., Path], tmp_path: Path) -> None:
    models = [chip(f"model-{value}.tif", value) for value in range(3)]
    for model in models:
        os.utime(model, (1, 1))
    assert len({model.stat().st_size for model in models}) == 1
    with files_kept_open():
        for value, model in enumerate(models):
            shutil.copy2(model, tmp_path / "work.tif")
            assert RasterioReader(tmp_path / "work.tif").load().max() == value


def test_file_is_opened_again_if_a_world_file_appears(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.tif"
    profile = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "uint8"}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.zeros((1, 8, 8), "uint8"))
    os.utime(tmp_path, (1, 1))
    with files_kept_open():
        with pytest.warns(NotGeoreferencedWarning):
            assert RasterioReader(path).transform == rasterio.Affine.identity()
        (tmp_path / "nowhere.tfw").write_text("10\n0\n0\n-10\n5\n-5\n")
        assert RasterioReader(path).transform == rasterio.Affine(10, 0, 0, 0, -10, 0)


@pytest.mark.parametrize("name", ["chip.tif.ovr", "chip.tif.msk", "chip.tif.aux.xml"])
def test_file_is_opened_again_if_a_sidecar_appears(
    name: str, chip: Callable[..., Path], tmp_path: Path, opened: list[str]
) -> None:
    path = chip()
    beside = {"chip.tif.aux.xml": b"<PAMDataset><Metadata><MDI key='source'>pam</MDI></Metadata></PAMDataset>"}
    with files_kept_open():
        assert "source" not in RasterioReader(path).tags()
        del opened[:]
        (tmp_path / name).write_bytes(beside.get(name, path.read_bytes()))
        reader = RasterioReader(path)
        assert opened == ["chip.tif"]
        assert ("source" in reader.tags()) is (name in beside)


def test_virtual_raster_is_opened_for_each_read(chip: Callable[..., Path], tmp_path: Path) -> None:
    path = chip(value=7)
    with rasterio.open(path) as dataset:
        rasterio.shutil.copy(dataset, tmp_path / "chip.vrt", driver="VRT")
    with files_kept_open():
        for name in (str(tmp_path / "chip.vrt"), f"GTIFF_DIR:1:{path}"):
            chip(value=7)
            assert RasterioReader(name).load().max() == 7
            chip(value=9)
            assert RasterioReader(name).load().max() == 9


def test_removed_file_raises(chip: Callable[..., Path]) -> None:
    path = chip()
    with files_kept_open():
        reader = RasterioReader(path)
        path.unlink()
        with pytest.raises(ReadError, match=r"chip\.tif"):
            reader.load()


def test_other_options_open_the_file_again(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip()
    del opened[:]
    with files_kept_open():
        RasterioReader(path)
        RasterioReader(path, rio_env_options={"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"})
    assert opened == ["chip.tif"] * 2


def test_overview_is_cached_separately(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    save_cog(GeoTensor(np.zeros((1, 600, 600), "uint8"), *PLACE, 0), path)
    with files_kept_open():
        reader = RasterioReader(path)
        small = reader.reader_overview(0)
        assert (reader.load().shape, small.load().shape) == ((1, 600, 600), (1, 300, 300))
        assert (reader.load().shape, small.load().shape) == ((1, 600, 600), (1, 300, 300))


def test_nested_block_shares_the_cache(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip()
    del opened[:]
    with files_kept_open():
        with files_kept_open():
            RasterioReader(path)
        RasterioReader(path).load()
    assert opened == ["chip.tif"]


@on_linux
def test_task_that_continues_after_the_block_keeps_nothing_open(chip: Callable[..., Path], tmp_path: Path) -> None:
    path = chip()
    is_over = asyncio.Event()

    async def read_later() -> None:
        await is_over.wait()
        assert RasterioReader(path).load().max() == 7
        assert list(open_files(tmp_path)) == []

    async def main() -> None:
        with files_kept_open():
            task = asyncio.create_task(read_later())
            await asyncio.sleep(0)
        is_over.set()
        await task

    asyncio.run(main())


def test_another_thread_can_have_its_own_block(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip()
    del opened[:]

    def read_twice() -> None:
        with files_kept_open():
            RasterioReader(path).load()
            RasterioReader(path).load()

    with files_kept_open():
        asyncio.run(asyncio.to_thread(read_twice))
    assert opened == ["chip.tif"]


def test_options_of_any_type_are_accepted(chip: Callable[..., Path]) -> None:
    with files_kept_open():
        assert RasterioReader(chip(), rio_env_options={"UNKNOWN_TO_GDAL": ["a"]}).load().max() == 7


def test_another_thread_is_not_affected(chip: Callable[..., Path], opened: list[str]) -> None:
    from contextvars import copy_context

    path = chip()
    del opened[:]
    with files_kept_open():
        reader = RasterioReader(path)
        there = copy_context()  # as asyncio.to_thread takes the block along
        thread = threading.Thread(target=there.run, args=(reader.load,))
        thread.start()
        thread.join()
        reader.load()
    assert opened == ["chip.tif"] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_process_is_not_affected(chip: Callable[..., Path], opened: list[str]) -> None:
    path = chip()
    with files_kept_open():
        reader = RasterioReader(path)
        del opened[:]
        child = os.fork()
        if not child:
            found = reader.load().max() == 7 and opened == ["chip.tif"]
            os._exit(0 if found else 1)
        assert os.waitpid(child, 0)[1] == 0
        reader.load()
    assert opened == []


@on_linux
def test_failed_read_keeps_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    noise = np.random.default_rng(3).integers(0, 255, (1, 512, 512), "uint8")
    save_cog(GeoTensor(noise, *PLACE, 0), path)
    path.write_bytes(path.read_bytes()[:-50000])
    with files_kept_open():
        reader = RasterioReader(path)
        with pytest.raises(ReadError):
            reader.load()
        assert list(open_files(tmp_path)) == []
