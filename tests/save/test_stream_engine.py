"""The project's own writer: what it writes, in which order, and that the bytes depend on nothing but the input."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._export.engine.stream import StreamEngine
from georeader._export.plan.file_plan import plan_file
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import resolve_spec
from georeader._export.plan.spec import ExportSpec
from georeader._export.plan.traits import SectionSizes, SinkTraits
from georeader._export.receipt.receipt import Written
from georeader._export.sources import open_source
from georeader._storage.urls import Destination
from georeader._tiff import cog_layout
from georeader._tiff.directories import CLASSIC
from georeader.errors import OptionError, WriteError

OWN = {"engine": "stream"}


@dataclass
class Recorder:
    """A file in memory that remembers each write, and can fail at one."""

    fails_at: int | None = None
    traits: SinkTraits = field(default_factory=lambda: SinkTraits(parallel_writes=False))
    writes: list[tuple[int, int]] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    spools: list[Recorder] = field(default_factory=list)

    def begin(self, sizes: SectionSizes) -> None:
        self.sizes = sizes

    def write_header(self, *pieces: bytes) -> None:
        self.write_at(0, *pieces)

    def write_overviews(self, offset_bytes: int, *pieces: bytes) -> None:
        self.write_at(self.sizes.header_bytes + offset_bytes, *pieces)

    def write_full_resolution(self, offset_bytes: int, *pieces: bytes) -> None:
        self.write_at(self.sizes.header_bytes + self.sizes.overviews_bytes + offset_bytes, *pieces)

    def open_spool(self) -> Recorder:
        self.spools.append(Recorder())
        return self.spools[-1]

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        return bytes(self.content[offset_bytes : offset_bytes + size_bytes])

    def write_at(self, offset_bytes: int, *pieces: bytes) -> None:
        data = b"".join(pieces)
        if len(self.writes) == self.fails_at:
            raise WriteError(28, "No space left on device")
        self.writes.append((offset_bytes, len(data)))
        end = offset_bytes + len(data)
        self.content.extend(b"\0" * (end - len(self.content)))
        self.content[offset_bytes:end] = data


def a_request(kind: str = "cog", **profile_arg: Any) -> SaveRequest:
    return SaveRequest.parse(
        kind,
        Destination("out.tif"),
        default_profile={"compress": "lzw", "BLOCKSIZE": 64},
        profile_arg={"predictor": 1} | profile_arg,
    )


def a_spec(tensor: GeoTensor, kind: str = "cog", **profile_arg: Any) -> ExportSpec:
    return resolve_spec(open_source(tensor).spec, a_request(kind, **profile_arg))


def write(
    tensor: GeoTensor, file: Recorder, threads: int = 2, held_bytes: int | None = None, **profile_arg: Any
) -> Written:
    """Write a tensor; with ``held_bytes``, so many bytes of tiles may wait in memory."""
    request = a_request(NUM_THREADS=threads, **profile_arg)
    source = open_source(tensor)
    spec = resolve_spec(source.spec, request)
    engine = StreamEngine(source, spec, file, request)
    if held_bytes is not None:
        engine.work = replace(engine.work, held_tiles_bytes=held_bytes)
    return engine.write(plan_file(spec), lambda _: None)


def test_header_is_written_last(make_tensor: Any) -> None:
    file = Recorder()

    write(make_tensor((1, 300, 300)), file)

    offsets = [offset for offset, _ in file.writes]
    assert offsets[-1] == 0
    assert min(offsets[:-1]) > 8


def test_every_byte_is_written_once(make_tensor: Any) -> None:
    file = Recorder()

    written = write(make_tensor((2, 500, 300)), file, compress="deflate", OVERVIEWS="AUTO")

    spans = sorted(file.writes)
    assert all(offset + size == following for (offset, size), (following, _) in itertools.pairwise(spans))
    assert spans[-1][0] + spans[-1][1] == len(file.content) == written.size_bytes


@pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
def test_tiles_are_ordered_from_the_smallest_overview_by_row(interleave: str, make_tensor: Any) -> None:
    file = Recorder()

    write(make_tensor((2, 300, 200)), file, INTERLEAVE=interleave)

    with tifffile.TiffFile(memory(file)) as tiff:
        offsets = [page.dataoffsets for page in tiff.pages]
        sizes = [page.databytecounts for page in tiff.pages]
    in_file = [offset for level in reversed(offsets) for offset in level]
    assert in_file == sorted(in_file)
    for offset, size in zip(itertools.chain(*offsets), itertools.chain(*sizes), strict=True):
        assert struct.unpack_from("<I", file.content, offset - 4) == (size,)
        assert file.content[offset + size : offset + size + 4] == file.content[offset + size - 4 : offset + size]


def memory(file: Recorder) -> Any:
    import io

    return io.BytesIO(bytes(file.content))


@pytest.mark.parametrize("fails_at", range(6))
def test_failure_of_any_write_is_an_error(fails_at: int, make_tensor: Any) -> None:
    whole = Recorder()
    write(make_tensor((1, 300, 300)), whole, compress="none")
    assert len(whole.writes) > 6

    with pytest.raises(WriteError, match="No space left"):
        write(make_tensor((1, 300, 300)), Recorder(fails_at), compress="none")


def test_encoder_failure_names_level_and_tile(
    make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from georeader._codecs.tiles import TileEncoder

    encode = TileEncoder.encode_tile

    def fails_in_small_tiles(self: TileEncoder, pixels: Any) -> Any:
        if pixels.shape[1:] == (22, 100):
            raise WriteError("the encoder gave up")
        return encode(self, pixels)

    monkeypatch.setattr(TileEncoder, "encode_tile", fails_in_small_tiles)
    with pytest.raises(
        WriteError, match=r"out\.tif.*overview 2.*plane 0: the tile at row 1, column 0: the encoder gave"
    ):
        save_cog(make_tensor((1, 600, 400)), tmp_path / "out.tif", profile_arg={"BLOCKSIZE": 128}, **OWN)

    assert list(tmp_path.iterdir()) == []


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 400), st.integers(1, 400), st.sampled_from(["PIXEL", "BAND"]),
    st.sampled_from(["AVERAGE", "CUBIC", "NEAREST", "MODE"]), st.sampled_from(["AUTO", 1, 2]), st.booleans(),
)  # fmt: skip
def test_bytes_are_equal_for_any_number_of_threads(
    count: int, height: int, width: int, interleave: str, method: str, predictor: Any, statistics: bool
) -> None:
    values = np.random.default_rng(height).integers(0, 50, (count, height, width)).astype("int16")
    tensor = GeoTensor(values, rasterio.Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=3)
    profile = {
        "compress": "deflate", "BLOCKSIZE": 16, "INTERLEAVE": interleave, "RESAMPLING": method,
        "STATISTICS": "YES" if statistics else "NO",
    }  # fmt: skip
    files = [Recorder() for _ in range(3)]

    for file, threads in zip(files, (1, 2, 5), strict=True):
        write(tensor, file, threads, **profile)

    assert files[0].content == files[1].content == files[2].content


def test_the_same_input_gives_the_same_file(make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((3, 700, 600), "float32")

    for name, threads in (("a.tif", 1), ("b.tif", 2), ("c.tif", "ALL_CPUS")):
        save_cog(tensor, tmp_path / name, profile_arg={"compress": "zstd", "NUM_THREADS": threads})

    assert len({(tmp_path / name).read_bytes() for name in ("a.tif", "b.tif", "c.tif")}) == 1


@pytest.mark.parametrize("held_bytes", [0, 5_000, 50_000])
def test_overviews_are_spooled_beyond_the_limit(held_bytes: int, make_tensor: Any) -> None:
    tensor = make_tensor((2, 600, 600))
    in_memory, spooled = Recorder(), Recorder()
    write(tensor, in_memory, compress="deflate")

    write(tensor, spooled, held_bytes=held_bytes, compress="deflate")

    assert in_memory.spools == []
    assert len(spooled.spools) == 1
    assert spooled.content == in_memory.content


class TestSparse:
    def test_nodata_tiles_take_no_bytes(self, make_tensor: Any, tmp_path: Path) -> None:
        tensor = make_tensor((2, 600, 600), "float32", fill_value_default=np.nan)
        tensor.values[:, :256, :512] = np.nan

        save_cog(tensor, tmp_path / "sparse.tif", profile_arg={"SPARSE_OK": True})

        with tifffile.TiffFile(tmp_path / "sparse.tif") as file:
            sizes, offsets = file.pages[0].databytecounts, file.pages[0].dataoffsets
        assert [size > 0 for size in sizes] == [False, False, *[True] * 7]
        assert offsets[:2] == (0, 0)
        with rasterio.open(tmp_path / "sparse.tif") as dataset:
            assert np.array_equal(dataset.read(), tensor.values, equal_nan=True)

    def test_tile_is_kept_for_one_valid_pixel(self, tmp_path: Path) -> None:
        values = np.zeros((2, 256, 512), "uint8")
        values[1, 255, 255] = 1
        tensor = GeoTensor(values, rasterio.Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=None)

        save_tiled_geotiff(tensor, tmp_path / "sparse.tif", profile_arg={"SPARSE_OK": True})

        with tifffile.TiffFile(tmp_path / "sparse.tif") as file:
            assert [size > 0 for size in file.pages[0].databytecounts] == [True, False]

    def test_every_tile_is_written_without_the_option(self, tmp_path: Path) -> None:
        tensor = GeoTensor(np.zeros((600, 600)), rasterio.Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", None)

        save_cog(tensor, tmp_path / "out.tif")

        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert all(size > 0 for page in file.pages for size in page.databytecounts)


class TestBigTiff:
    @pytest.mark.parametrize(("bigtiff", "is_big"), [("YES", True), ("NO", False), ("IF_SAFER", False)])
    def test_bigtiff_option_is_followed(self, bigtiff: str, is_big: bool, make_tensor: Any, tmp_path: Path) -> None:
        save_cog(make_tensor((1, 300, 300)), tmp_path / "out.tif", profile_arg={"BIGTIFF": bigtiff}, **OWN)

        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert file.is_bigtiff == is_big

    @pytest.mark.parametrize(("fill", "magic"), [("noise", b"II+\0"), ("zeros", b"II*\0")])
    def test_bigtiff_follows_the_actual_size_otherwise(
        self, fill: str, magic: bytes, make_tensor: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The limit is lowered to 200 kB; 180 kB of raw pixels may come out on either side of it."""
        monkeypatch.setattr(cog_layout, "SAFE_FILE_BYTES", 150_000)
        tensor = make_tensor((1, 300, 300), "int16")
        tensor.values[...] = 0 if fill == "zeros" else np.random.default_rng(0).integers(-9999, 9999, (1, 300, 300))
        file = Recorder()

        write(tensor, file, BIGTIFF="IF_SAFER")

        assert file.content[:4] == magic
        assert (len(file.content) > 150_000) == (magic == b"II+\0")
        with MemoryFile(bytes(file.content)) as opened, opened.open() as dataset:
            assert np.array_equal(dataset.read(), tensor.values)
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"

    def test_large_file_is_refused_before_the_first_byte_with_no(self) -> None:
        values = np.broadcast_to(np.uint8(7), (1, 70_000, 70_000))
        tensor = GeoTensor(values, rasterio.Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=None)
        file = Recorder()

        with pytest.raises(OptionError, match="'BIGTIFF'.*'NO'.*more than 4294967295 bytes"):
            write(tensor, file, compress="none", BIGTIFF="NO", BLOCKSIZE=512)

        assert file.writes == []

    def test_no_file_remains_if_it_grows_too_large_with_no(
        self, make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cog_layout, "CLASSIC", replace(CLASSIC, max_file_bytes=100_000))

        with pytest.raises(OptionError, match="'BIGTIFF'.*'NO'"):
            save_cog(make_tensor((1, 600, 600)), tmp_path / "out.tif", profile_arg={"BIGTIFF": "NO"}, **OWN)

        assert list(tmp_path.iterdir()) == []


class TestVerify:
    @pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
    @pytest.mark.parametrize("dtype", ["uint8", "float64"])
    def test_error_is_0_for_a_lossless_codec(self, dtype: str, save: Any, make_tensor: Any, tmp_path: Path) -> None:
        receipt = save(make_tensor((2, 300, 300), dtype), tmp_path / "out.tif", verify=True)

        assert receipt.largest_errors == (0.0, 0.0)

    @pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
    def test_the_largest_error_of_each_band_is_that_of_the_file(
        self, interleave: str, make_tensor: Any, tmp_path: Path
    ) -> None:
        tensor = make_tensor((3, 300, 300), "float32")
        tensor.values[1] = 5

        receipt = save_cog(tensor, tmp_path / "out.tif", verify=True,
                           profile_arg={"compress": "lerc", "MAX_Z_ERROR": 0.01, "INTERLEAVE": interleave})  # fmt: skip

        with rasterio.open(tmp_path / "out.tif") as dataset:
            found = np.abs(dataset.read().astype(float) - tensor.values.astype(float)).max(axis=(1, 2))
        assert receipt.largest_errors == pytest.approx(tuple(found))
        assert 0 < max(receipt.largest_errors) <= 0.01001
        assert receipt.largest_errors[1] == 0

    def test_changed_tile_is_an_error_without_a_file(
        self, make_tensor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from georeader._codecs.tile_codec import TileCodec

        encode = TileCodec.encode

        def spoils_a_pixel(self: TileCodec, tile: Any) -> bytes:
            spoiled = tile.copy()
            spoiled[5, 7] += 1
            return encode(self, spoiled)

        monkeypatch.setattr(TileCodec, "encode", spoils_a_pixel)
        with pytest.raises(
            WriteError, match=r"out\.tif.*the tile at row 0, column 0: 1 of its pixels come back changed"
        ):
            save_cog(make_tensor(), tmp_path / "out.tif", verify=True)

        assert list(tmp_path.iterdir()) == []

    def test_errors_are_none_without_verify(self, make_tensor: Any, tmp_path: Path) -> None:
        assert save_cog(make_tensor(), tmp_path / "out.tif").largest_errors is None
