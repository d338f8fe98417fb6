"""Contract of destinations: one suite, subclassed for each destination in a dozen lines."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._export.plan.traits import SectionSizes
from georeader._export.sinks.opening import open_sink
from georeader._storage.urls import Destination
from georeader.errors import ExistsError, GeoreaderError, ReadError, WriteError
from georeader.storage import read_bytes, write_bytes

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}

EARLIER = b"the earlier object"

#: No codec, no threads to wait for: what is tested is where the bytes go.
PLAIN = {"compress": "none"}


@dataclass(frozen=True)
class Place:
    """A destination as a test sees it.

    Attributes:
        url: Gives what is passed as the path, for a name.
        get: Gives the object of a name; None where there is none.
        put: Makes an object.
        left_over: Names what is there that should not be: unfinished uploads, temporary names.
        fs: Passed as fs.
        options: Passed too.
        is_read_by_gdal: By itself, or by ``fs``; else reading back is left to `get`.
    """

    url: Callable[[str], Any]
    get: Callable[[str], bytes | None]
    put: Callable[[str, bytes], Any]
    left_over: Callable[[], list[Any]]
    fs: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    can_read: bool = True


@cache
def small() -> GeoTensor:
    """2 bands with overviews, some hundred KB."""
    values = np.random.default_rng(1).integers(1, 2000, (2, 600, 500)).astype("uint16")
    return GeoTensor(values, **PLACE, fill_value_default=0, attrs={"descriptions": ["red", "nir"]})


@cache
def large() -> GeoTensor:
    """As small, but some 30 MB: more than one part of an upload in parts, and overviews of more than one, too."""
    values = np.random.default_rng(2).integers(1, 2000, (3, 1900, 1900)).astype("uint16")
    return GeoTensor(values, **PLACE, fill_value_default=0)


class Lazy:
    """A raster that is read in windows, and may fail at one."""

    def __init__(self, raster: GeoTensor, error: BaseException | None = None, at_row: int = 0) -> None:
        self.shape, self.dtype = raster.shape, raster.dtype
        self.transform, self.crs, self.fill_value_default = raster.transform, raster.crs, raster.fill_value_default
        self.attrs = raster.attrs
        self._raster, self._error, self._at_row = raster, error, at_row

    def read_from_window(self, window: Window) -> GeoTensor:
        if self._error is not None and window.row_off + window.height > self._at_row:
            raise self._error
        return self._raster.read_from_window(window)


@cache
def expected(kind: str, is_large: bool) -> bytes:
    """The bytes of a file in memory, as they would be on a disk."""
    file = BytesIO()
    function = save_cog if kind == "cog" else save_tiled_geotiff
    function(large() if is_large else small(), file, profile_arg=PLAIN)
    return file.getvalue()


class SinkContract:
    """Subclass it with a fixture ``place``."""

    @pytest.fixture
    def scratch(self, tmp_path: Path) -> Path:
        """The folder for temporary files, which has to be empty in the end."""
        (tmp_path / "scratch").mkdir()
        return tmp_path / "scratch"

    @pytest.fixture
    def save(self, place: Place, scratch: Path) -> Callable[..., Any]:
        """Return a function that saves there."""

        def run(data: Any, name: str = "out.tif", function: Any = save_cog, **options: Any) -> Any:
            arguments = {"profile_arg": PLAIN, "dir_tmpfiles": scratch, "fs": place.fs} | place.options | options
            return function(data, place.url(name), **arguments)

        return run

    @pytest.fixture(autouse=True)
    def nothing_is_left_behind(self, place: Place, scratch: Path) -> Any:
        """Whatever a test does: no temporary file here, no unfinished upload there."""
        yield
        assert os.listdir(scratch) == []
        assert place.left_over() == []

    @pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
    @pytest.mark.parametrize(("kind", "function"), [("cog", save_cog), ("tiled", save_tiled_geotiff)])
    def test_bytes_equal_those_of_a_local_save(
        self, kind: str, function: Any, is_large: bool, save: Any, place: Place
    ) -> None:
        receipt = save(large() if is_large else small(), function=function)

        assert place.get("out.tif") == expected(kind, is_large)
        assert receipt.size_bytes == len(expected(kind, is_large))
        assert receipt.checksum == f"crc32:{zlib.crc32(place.get('out.tif') or b''):08x}"

    @pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
    def test_bytes_equal_those_of_a_local_save_from_a_windowed_source(
        self, is_large: bool, save: Any, place: Place
    ) -> None:
        receipt = save(Lazy(large() if is_large else small()), max_memory="64MiB")

        assert place.get("out.tif") == expected("cog", is_large)
        assert receipt.checksum == f"crc32:{zlib.crc32(place.get('out.tif') or b''):08x}"

    def test_other_readers_read_the_file(self, save: Any, place: Place, tmp_path: Path, good_cog: Any) -> None:
        save(small())

        (tmp_path / "copy.tif").write_bytes(place.get("out.tif") or b"")
        good_cog(tmp_path / "copy.tif")
        with rasterio.open(tmp_path / "copy.tif") as dataset:
            np.testing.assert_array_equal(dataset.read(), small().values)
            assert dataset.descriptions == ("red", "nir")

    def test_a_saved_file_is_read_by_the_same_credentials(self, save: Any, place: Place) -> None:
        if not place.can_read:
            pytest.skip("credentials for writing cannot read there")
        save(small())

        reader = RasterioReader(place.url("out.tif"), fs=place.fs)

        np.testing.assert_array_equal(reader.read(Window(100, 200, 300, 50)), small().values[:, 200:250, 100:400])
        assert reader.descriptions == ["red", "nir"]
        assert reader.overviews() == [2, 4]

    def test_a_raster_read_from_the_destination_is_saved_there(self, save: Any, place: Place) -> None:
        if not place.can_read:
            pytest.skip("credentials for writing cannot read there")
        save(small())

        save(RasterioReader(place.url("out.tif"), fs=place.fs), "second.tif")

        assert place.get("second.tif") == expected("cog", False)

    def test_a_missing_object_is_a_read_error(self, place: Place) -> None:
        if not place.can_read:
            pytest.skip("credentials for writing cannot read there")

        with pytest.raises(ReadError, match=r"none\.tif"):
            RasterioReader(place.url("none.tif"), fs=place.fs)

    def test_an_earlier_object_is_replaced(self, save: Any, place: Place) -> None:
        place.put("out.tif", EARLIER)

        save(small())

        assert place.get("out.tif") == expected("cog", False)

    @pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
    def test_earlier_object_is_kept_without_overwrite(self, is_large: bool, save: Any, place: Place) -> None:
        place.put("out.tif", EARLIER)

        with pytest.raises(ExistsError, match=r"out\.tif.*' exists already, and overwrite=False"):
            save(large() if is_large else small(), overwrite=False)

        assert place.get("out.tif") == EARLIER

    @pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
    def test_new_object_is_created_without_overwrite(self, is_large: bool, save: Any, place: Place) -> None:
        save(large() if is_large else small(), overwrite=False)

        assert place.get("out.tif") == expected("cog", is_large)

    def test_object_that_appears_meanwhile_is_kept_without_overwrite(self, save: Any, place: Place) -> None:
        def rival(done: int, total: int) -> None:
            if done == total:
                place.put("out.tif", EARLIER)

        with pytest.raises(ExistsError):
            save(small(), overwrite=False, progress=rival)

        assert place.get("out.tif") == EARLIER

    @pytest.mark.parametrize("earlier", [None, EARLIER], ids=["none", "earlier"])
    @pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
    def test_failing_source_changes_nothing(
        self, is_large: bool, earlier: bytes | None, save: Any, place: Place
    ) -> None:
        if earlier is not None:
            place.put("out.tif", earlier)
        raster = large() if is_large else small()

        with pytest.raises(ReadError, match="the cable was cut"):
            save(Lazy(raster, OSError("the cable was cut"), raster.shape[1] - 100), max_memory="64MiB")

        assert place.get("out.tif") == earlier

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeoreaderError], ids=lambda kind: kind.__name__)
    def test_an_interrupt_leaves_the_earlier_object(self, error: type[BaseException], save: Any, place: Place) -> None:
        place.put("out.tif", EARLIER)

        def stop(done: int, total: int) -> None:
            if done > total * 0.9:
                raise error

        with pytest.raises(error):
            save(large(), progress=stop)

        assert place.get("out.tif") == EARLIER

    def test_writer_accepts_windows_in_any_order(self, place: Place, scratch: Path) -> None:
        options = {"profile_arg": PLAIN, "dir_tmpfiles": scratch, "fs": place.fs} | place.options
        with CogWriter(place.url("out.tif"), like=small(), **options) as writer:
            for row in (400, 0, 200):
                window = Window(0, row, 500, 200)
                writer.write(small().read_from_window(window), window)

        assert place.get("out.tif") == expected("cog", False)

    def test_exception_in_a_writers_block_changes_nothing(self, place: Place, scratch: Path) -> None:
        place.put("out.tif", EARLIER)
        options = {"dir_tmpfiles": scratch, "fs": place.fs} | place.options

        with pytest.raises(ZeroDivisionError), CogWriter(place.url("out.tif"), like=small(), **options) as writer:
            writer.write(small())
            raise ZeroDivisionError

        assert place.get("out.tif") == EARLIER

    def test_gdal_engine_writes_the_file(self, save: Any, place: Place, tmp_path: Path, good_cog: Any) -> None:
        receipt = save(small(), engine="gdal")

        content = place.get("out.tif") or b""
        (tmp_path / "copy.tif").write_bytes(content)
        good_cog(tmp_path / "copy.tif")
        assert (receipt.engine, receipt.size_bytes) == ("gdal", len(content))
        assert receipt.checksum == f"crc32:{zlib.crc32(content):08x}"

    @pytest.mark.parametrize(
        "name", ["a folder/within/out.tif", "späte Ärzte.tif", "no_suffix", "100%.tif", "a+b=c,d;e.tif"]
    )
    def test_names_are_kept_unchanged(self, name: str, save: Any, place: Place) -> None:
        save(small(), name)

        assert place.get(name) == expected("cog", False)

    def test_sections_are_contiguous_for_any_order_of_writes(self, place: Place, scratch: Path) -> None:
        sizes = SectionSizes(len(b"header"), 3 * 2**20, 8 * 2**20)
        with open_sink(self.destination(place, scratch)) as sink:
            sink.begin(sizes)
            sink.write_full_resolution(0, b"F" * 2**20, b"f" * (7 * 2**20))
            sink.write_overviews(0, b"O" * 2**20)
            sink.write_overviews(2**20, b"o" * 2**21)
            sink.write_header(b"head", b"er")
            sink.commit()

        content = b"header" + b"O" * 2**20 + b"o" * 2**21 + b"F" * 2**20 + b"f" * (7 * 2**20)
        assert place.get("out.tif") == content

    def test_an_abort_leaves_the_earlier_object_and_closes_the_sink(self, place: Place, scratch: Path) -> None:
        place.put("out.tif", EARLIER)

        with open_sink(self.destination(place, scratch)) as sink:
            sink.begin(SectionSizes(6, 0, 8 * 2**20))
            sink.write_full_resolution(0, bytes(8 * 2**20))
            sink.abort()
            with pytest.raises(WriteError, match="the sink is not open"):
                sink.commit()

        assert place.get("out.tif") == EARLIER

    @staticmethod
    def destination(place: Place, scratch: Path) -> Destination:
        return Destination(place.url("out.tif"), fs=place.fs, dir_tmpfiles=scratch, **place.options)

    def test_destination_can_be_saved_to_again(self, save: Any, place: Place) -> None:
        save(large())
        save(small())

        assert place.get("out.tif") == expected("cog", False)

    def test_small_file_replaces_an_earlier_one_and_is_read_back(self, place: Place) -> None:
        place.put("item.json", EARLIER)
        path, content = place.url("item.json"), b'{"id": "a"}' * 20_000  # more than one block

        write_bytes(path, content, place.fs, **place.options)

        assert place.get("item.json") == content
        if place.can_read:
            assert read_bytes(path, place.fs, **place.options) == content

    def test_small_file_is_kept_without_overwrite(self, place: Place) -> None:
        place.put("item.json", EARLIER)

        with pytest.raises(ExistsError, match=r"item\.json"):
            write_bytes(place.url("item.json"), b"{}", place.fs, **place.options, overwrite=False)

        assert place.get("item.json") == EARLIER
