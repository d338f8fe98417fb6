"""Codecs: round trips through the project's decoders and through other readers."""

from __future__ import annotations

import lzma
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tifffile
import zstandard

from georeader._codecs import tile_codec as tile_codec_module
from georeader._codecs.images import JpegScheme, split_tables
from georeader._codecs.predictors import takes_predictor
from georeader._codecs.registry import CODECS
from georeader._codecs.tile_codec import TileCodec, tile_codec
from georeader.errors import OptionError, ReadError, ShapeError, WriteError
from georeader.validation import decoders
from one_tile import (
    LIBTIFF_IS_OLD,
    gdal_knows_dtype,
    read_by_gdal,
    read_by_tifffile,
    size_by_gdal,
    tiff_of_one_tile,
)

REAL = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
STREAMS = ["NONE", "LZW", "DEFLATE", "PACKBITS", "LZMA", "ZSTD"]
LERCS = ["LERC", "LERC_DEFLATE", "LERC_ZSTD"]

needs_new_libtiff = pytest.mark.skipif(LIBTIFF_IS_OLD, reason="this rasterio's libtiff cannot write such tiles")

#: Neither square nor a power of two.
HEIGHT, WIDTH = 48, 80

Tile = np.ndarray[Any, Any]


def scene(dtype: str, samples: int, height: int = HEIGHT, width: int = WIDTH) -> Tile:
    """(row, column, sample): slopes and noise, as large as the dtype is wide."""
    rng = np.random.default_rng(5)
    rows, columns = np.indices((height, width))
    bands = [np.sin(rows / 19 + band) + np.cos(columns / (23 + band)) + 2 for band in range(samples)]
    values = np.stack(bands, axis=2) * 40 + rng.normal(size=(height, width, samples)) * 2
    if np.dtype(dtype).kind == "c":
        return (values + 1j * values[::-1]).astype(dtype)
    scale = {1: 0.5, 2: 90, 4: 1e6, 8: 1e14}[np.dtype(dtype).itemsize] if np.dtype(dtype).kind in "iu" else 1
    return np.ascontiguousarray(values * scale).astype(dtype)


def noise(dtype: str, samples: int) -> Tile:
    """Any bits at all, NaNs with payloads too."""
    rng = np.random.default_rng(6)
    return rng.integers(0, 256, (HEIGHT, WIDTH, samples * np.dtype(dtype).itemsize), dtype="uint8").view(dtype)


def lossless_cases() -> list[Any]:
    predicted = [name for name, facts in CODECS.items() if facts.takes_predictor]
    cases = [(name, dtype, samples, 1) for name in STREAMS for dtype in REAL + COMPLEX for samples in (1, 3)]
    cases += [(name, "uint16", 13, predictor) for name in predicted for predictor in (1, 2)]
    cases += [
        (name, dtype, samples, predictor)
        for name in predicted
        for dtype in REAL
        for samples in (1, 3)
        for predictor in (2, 3)
        if takes_predictor(np.dtype(dtype), predictor)
    ]
    cases += [(name, dtype, samples, 1) for name in LERCS for dtype in REAL if "64" not in dtype or dtype == "float64"
              for samples in (1, 3)]  # fmt: skip
    cases += [("WEBP", "uint8", samples, 1) for samples in (3, 4)]
    cases += [("JXL", dtype, samples, 1) for dtype in ("uint8", "uint16") for samples in (1, 2, 3, 4)]
    return [pytest.param(*case, id="{}-{}x{}-p{}".format(*case[:1], case[2], case[1], case[3])) for case in cases]


def make(name: str, dtype: str, samples: int, predictor: int = 1, **options: Any) -> TileCodec:
    return tile_codec(name, dtype=dtype, samples=samples, predictor=predictor, **options)


def lossless(name: str, dtype: str, samples: int, predictor: int) -> TileCodec:
    return make(name, dtype, samples, predictor, lossless=True if name == "WEBP" else None)


class TestLossless:
    @pytest.mark.parametrize(("name", "dtype", "samples", "predictor"), lossless_cases())
    def test_decoded_tile_equals_the_encoded_one(self, name: str, dtype: str, samples: int, predictor: int) -> None:
        codec = lossless(name, dtype, samples, predictor)
        tile = noise(dtype, samples) if name in STREAMS else scene(dtype, samples)

        back = codec.decode(codec.encode(tile), tile.shape)

        assert not codec.is_lossy
        assert (back.dtype, back.shape) == (tile.dtype, tile.shape)
        assert back.tobytes() == tile.tobytes()

    @pytest.mark.parametrize(("name", "dtype", "samples", "predictor"), lossless_cases())
    def test_gdal_and_tifffile_read_the_tile(self, name: str, dtype: str, samples: int, predictor: int) -> None:
        codec, tile = lossless(name, dtype, samples, predictor), scene(dtype, samples)

        file = tiff_of_one_tile(codec.encode(tile), tile.shape, codec)

        np.testing.assert_array_equal(read_by_tifffile(file, tile.shape), tile)
        if LIBTIFF_IS_OLD and (tile.itemsize, predictor) == (8, 2):
            return
        if name != "JXL" and gdal_knows_dtype(dtype):  # rasterio's wheels come without JPEG XL
            np.testing.assert_array_equal(read_by_gdal(file), tile)

    @pytest.mark.parametrize("name", [name for name in CODECS if name not in ("JPEG", "WEBP")])
    @pytest.mark.parametrize("value", [0, 200])
    def test_tile_of_one_value_is_decoded(self, name: str, value: int) -> None:
        codec, tile = make(name, "uint8", 1), np.full((16, 32, 1), value, "uint8")

        encoded = codec.encode(tile)

        np.testing.assert_array_equal(codec.decode(encoded, tile.shape), tile)
        assert name == "NONE" or len(encoded) < tile.nbytes / 3

    @pytest.mark.parametrize("alpha", [255, 0, "both"])
    def test_webp_keeps_alpha_and_transparent_pixels(self, alpha: int | str) -> None:
        codec, tile = make("WEBP", "uint8", 4, lossless=True), scene("uint8", 4)
        tile[..., 3] = np.where(np.arange(WIDTH) < 30, 0, 255) if alpha == "both" else alpha

        file = tiff_of_one_tile(codec.encode(tile), tile.shape, codec)

        np.testing.assert_array_equal(read_by_gdal(file), tile)
        np.testing.assert_array_equal(read_by_tifffile(file, tile.shape), tile)


def nan_in(tile: Tile, where: str) -> Tile:
    """Make some samples NaN: those of "no pixel", of "whole pixels", of "some bands", or "all"."""
    if where == "whole pixels":
        tile[5:20, 10:30] = np.nan
    elif where == "some bands":
        tile[5:20, 10:30, 0] = np.nan
        tile[15:40, 60:, -1] = np.nan
    elif where == "all":
        tile[...] = np.nan
    return tile


class TestLerc:
    @pytest.mark.parametrize("name", LERCS)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("samples", [1, 3])
    @pytest.mark.parametrize("where", ["no pixel", "whole pixels", "some bands", "all"])
    @pytest.mark.parametrize("max_z_error", [0.0, 0.01])
    def test_nan_and_numbers_are_decoded_unchanged(
        self, name: str, dtype: str, samples: int, where: str, max_z_error: float
    ) -> None:
        codec = make(name, dtype, samples, max_z_error=max_z_error)
        tile = nan_in(scene(dtype, samples), where)

        encoded = codec.encode(tile)

        file = tiff_of_one_tile(encoded, tile.shape, codec)
        for back in [codec.decode(encoded, tile.shape), *([] if LIBTIFF_IS_OLD else [read_by_gdal(file)])]:
            np.testing.assert_allclose(back, tile, rtol=0, atol=max_z_error * 1.001, equal_nan=True)

    def test_lerc_tag_has_version_and_inner_compression(self) -> None:
        assert [make(name, "uint8", 1).tags for name in LERCS] == [((50674, 4, (4, number)),) for number in (0, 1, 2)]

    @pytest.mark.parametrize(
        ("dtype", "max_z_error", "is_lossy"),
        [("float32", 0, False), ("float32", 0.1, True), ("uint16", 0.9, False), ("uint16", 2, True)],
    )
    def test_is_lossy_if_max_z_error_changes_values(self, dtype: str, max_z_error: float, is_lossy: bool) -> None:
        codec, tile = make("LERC", dtype, 1, max_z_error=max_z_error), scene(dtype, 1)

        largest = np.abs(codec.decode(codec.encode(tile), tile.shape).astype("f8") - tile).max()

        assert codec.is_lossy == is_lossy == (largest > 0)
        assert largest <= max_z_error * 1.001

    def test_padding_bits_of_the_last_word_are_deterministic(self) -> None:
        codec, tile = make("LERC", "uint8", 1), scene("uint8", 1, 256, 256)

        found = set()
        for byte in range(20):
            rubbish = [np.full(200_000, byte, "uint8") for _ in range(5)]
            del rubbish  # memory that the encoder may be given
            found.add(codec.encode(tile))

        assert len(found) == 1


class TestLossy:
    @pytest.mark.parametrize(
        ("name", "samples", "options"),
        [
            ("JPEG", 1, {}),
            ("JPEG", 3, {"is_rgb": True}),
            ("JPEG", 3, {"is_rgb": False}),
            ("JPEG", 3, {"is_rgb": True, "quality": 40}),
            ("WEBP", 3, {}),
            ("WEBP", 4, {}),
            ("WEBP", 4, {"quality": 10}),
        ],
    )
    @pytest.mark.parametrize("pixels", ["scene", "one value"])
    def test_gdal_and_tifffile_decode_the_same_pixels(
        self, name: str, samples: int, options: dict[str, Any], pixels: str
    ) -> None:
        codec, tile = make(name, "uint8", samples, **options), scene("uint8", samples)
        if pixels == "one value":
            tile[...] = 255

        encoded = codec.encode(tile)

        back = codec.decode(encoded, tile.shape)
        file = tiff_of_one_tile(encoded, tile.shape, codec)
        assert codec.is_lossy
        np.testing.assert_allclose(read_by_tifffile(file, tile.shape).astype(int), back, atol=1)
        # Decoders of JPEG may round, and bring chroma back to full size, each in its own way.
        np.testing.assert_allclose(read_by_gdal(file).astype(int), back, atol=4)
        assert np.abs(back.astype(int) - tile).mean() < (8 if options.get("quality", 75) < 75 else 3)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    @pytest.mark.parametrize("samples", [1, 2, 3, 4])
    def test_lossy_jpeg_xl_is_within_tolerance(self, dtype: str, samples: int) -> None:
        codec, tile = make("JXL", dtype, samples, lossless=False), scene(dtype, samples)

        encoded = codec.encode(tile)

        back = codec.decode(encoded, tile.shape)
        assert codec.is_lossy
        assert len(encoded) < len(make("JXL", dtype, samples).encode(tile))
        np.testing.assert_array_equal(read_by_tifffile(tiff_of_one_tile(encoded, tile.shape, codec), tile.shape), back)
        assert np.abs(back.astype(float) - tile).mean() < 0.05 * tile.max()

    @pytest.mark.parametrize("name", ["JPEG", "WEBP"])
    def test_higher_quality_gives_larger_tiles(self, name: str) -> None:
        tile = scene("uint8", 3)

        sizes = [len(make(name, "uint8", 3, quality=quality).encode(tile)) for quality in (10, 75, 95)]

        assert sizes == sorted(set(sizes))
        assert len(make(name, "uint8", 3).encode(tile)) == sizes[1]

    def test_distance_and_effort_reach_jpeg_xl(self) -> None:
        tile = scene("uint8", 3)

        near, far = (len(make("JXL", "uint8", 3, distance=distance).encode(tile)) for distance in (0.5, 5))
        quick, slow = (make("JXL", "uint8", 3, effort=effort).encode(tile) for effort in (1, 7))

        assert far < near
        assert quick != slow


class TestJpegTables:
    def test_rgb_is_ycbcr_with_a_quarter_of_the_chroma(self) -> None:
        codec = make("JPEG", "uint8", 3, is_rgb=True)

        tables, *others = codec.tags

        assert codec.photometric == 6
        assert tables[:2] == (347, 7)
        assert others == [(530, 3, (2, 2)), (532, 5, (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1))]

    @pytest.mark.parametrize("samples", [1, 3])
    def test_bands_that_are_not_rgb_are_not_converted_to_ycbcr(self, samples: int) -> None:
        codec = make("JPEG", "uint8", samples)

        assert codec.photometric is None
        assert [tag[0] for tag in codec.tags] == [347]

    def test_quantisation_tables_are_in_the_tag_only(self) -> None:
        codec = make("JPEG", "uint8", 3, is_rgb=True)
        tables = codec.tags[0][2][0]

        rest, taken = split_tables(codec.encode(scene("uint8", 3)))

        assert b"\xff\xdb" not in rest[: rest.index(b"\xff\xda")]
        assert taken == b"\xff\xd8\xff\xd9"
        assert tables.count(b"\xff\xdb\x00\x43") == 2
        assert len(tables) == 2 + 2 * (2 + 67) + 2

    def test_a_tile_with_other_tables_is_an_error(self) -> None:
        codec = make("JPEG", "uint8", 1)
        other = make("JPEG", "uint8", 1, quality=30).tags[0][2][0]
        strange = replace(codec, scheme=JpegScheme(quality=75, is_rgb=False, tables=other))

        with pytest.raises(WriteError, match="other quantisation tables"):
            strange.encode(scene("uint8", 1))

    def test_bytes_that_are_not_a_jpeg_stream_raise(self) -> None:
        with pytest.raises(ValueError, match="not a JPEG stream"):
            split_tables(b"GIF89a")


def gdal_options(name: str, predictor: int, options: dict[str, Any]) -> dict[str, Any]:
    level = {"DEFLATE": "zlevel", "LERC_DEFLATE": "zlevel", "ZSTD": "zstd_level", "LERC_ZSTD": "zstd_level",
             "LZMA": "lzma_preset"}.get(name)  # fmt: skip
    quality = {"JPEG": "jpeg_quality", "WEBP": "webp_level"}.get(name)
    names = {"level": level, "quality": quality, "lossless": "webp_lossless", "max_z_error": "max_z_error"}
    given = {names[option]: value for option, value in options.items() if option in names}
    if options.get("is_rgb"):
        given["photometric"] = "YCBCR"
    return {"compress": name, **given, **({"predictor": predictor} if predictor > 1 else {})}


class TestSizes:
    @pytest.mark.parametrize(
        ("name", "dtype", "samples", "predictor", "options"),
        [
            ("LZW", "uint16", 1, 2, {}),
            ("LZW", "uint8", 3, 1, {}),
            ("DEFLATE", "uint16", 3, 2, {"level": 6}),
            ("DEFLATE", "float32", 1, 3, {"level": 9}),
            ("DEFLATE", "uint8", 1, 1, {"level": 1}),
            ("DEFLATE", "uint8", 1, 2, {"level": 12}),
            ("PACKBITS", "uint8", 3, 1, {}),
            ("LZMA", "uint8", 3, 1, {"level": 6}),
            ("LZMA", "uint16", 1, 1, {"level": 9}),
            ("LZMA", "float32", 3, 1, {"level": 1}),
            *(("ZSTD", "uint8", samples, 2, {"level": level}) for samples in (1, 3) for level in (1, 3, 9, 19)),
            ("ZSTD", "uint16", 1, 2, {"level": 3}),
            ("ZSTD", "float32", 1, 3, {"level": 9}),
            pytest.param("ZSTD", "float64", 1, 2, {"level": 9}, marks=needs_new_libtiff),
            ("LERC", "uint16", 3, 1, {}),
            ("LERC", "float32", 1, 1, {"max_z_error": 0.01}),
            ("LERC_DEFLATE", "uint8", 1, 1, {"level": 6}),
            ("LERC_ZSTD", "float32", 1, 1, {"level": 3, "max_z_error": 0.01}),
            ("JPEG", "uint8", 1, 1, {"quality": 75}),
            ("JPEG", "uint8", 3, 1, {"quality": 75, "is_rgb": True}),
            ("JPEG", "uint8", 3, 1, {"quality": 90, "is_rgb": True}),
            ("WEBP", "uint8", 3, 1, {"quality": 75}),
            ("WEBP", "uint8", 4, 1, {"lossless": True}),
        ],
        ids=str,
    )
    def test_tiles_are_no_larger_than_gdals(
        self, name: str, dtype: str, samples: int, predictor: int, options: dict[str, Any]
    ) -> None:
        tile = scene(dtype, samples, 256, 256)

        ours = len(make(name, dtype, samples, predictor, **options).encode(tile))

        assert ours <= size_by_gdal(tile, **gdal_options(name, predictor, options)) * 1.005 + 32

    @needs_new_libtiff
    @pytest.mark.parametrize("where", ["whole pixels", "some bands"])
    def test_lerc_takes_the_masks_that_gdal_takes(self, where: str) -> None:
        tile = nan_in(scene("float32", 3), where)

        ours = make("LERC", "float32", 3, max_z_error=0.01).encode(tile)

        assert len(ours) == size_by_gdal(tile, compress="LERC", max_z_error=0.01)

    @pytest.mark.parametrize(("name", "low", "high"), [("DEFLATE", 1, 12), ("ZSTD", 1, 19), ("LZMA", 0, 9)])
    def test_higher_level_gives_smaller_tiles(self, name: str, low: int, high: int) -> None:
        tile = scene("uint16", 1, 256, 256)

        assert len(make(name, "uint16", 1, level=high).encode(tile)) < len(
            make(name, "uint16", 1, level=low).encode(tile)
        )

    @pytest.mark.parametrize(
        ("name", "level"), [("DEFLATE", 6), ("LERC_DEFLATE", 6), ("ZSTD", 3), ("LERC_ZSTD", 3), ("LZMA", 6)]
    )
    def test_default_level_is_used_without_one(self, name: str, level: int) -> None:
        tile = scene("uint16", 1)

        assert make(name, "uint16", 1).encode(tile) == make(name, "uint16", 1, level=level).encode(tile)


class TestBytes:
    def test_packbits_runs_end_with_their_row(self) -> None:
        tile = np.full((3, 16, 1), 5, "uint8")

        assert make("PACKBITS", "uint8", 1).encode(tile).hex() == "f105" * 3

    def test_a_zstd_frame_has_its_content_size(self) -> None:
        tile = scene("uint16", 1)

        assert zstandard.frame_content_size(make("ZSTD", "uint16", 1).encode(tile)) == tile.nbytes

    def test_lzma_is_xz_without_a_check(self) -> None:
        encoded = make("LZMA", "uint16", 1).encode(scene("uint16", 1))

        decoder = lzma.LZMADecompressor()
        decoder.decompress(encoded)
        assert decoder.check == lzma.CHECK_NONE

    @pytest.mark.parametrize("name", STREAMS)
    def test_numbers_are_little_endian(self, name: str) -> None:
        codec, tile = make(name, "uint32", 1), np.array([[[0x01020304], [7]]], "uint32")

        data = codec.encode(tile)

        assert codec.scheme.stream.decompress(data, 8).hex() == "0403020107000000"  # type: ignore[attr-defined]

    @pytest.mark.parametrize("predictor", [2, 3])
    def test_predictor_is_written_as_a_tag(self, predictor: int) -> None:
        assert make("LZW", "float32", 1, predictor).tags == ((317, 3, (predictor,)),)
        assert make("LZW", "float32", 1).tags == ()

    def test_compression_tags_are_those_that_tifffile_knows(self) -> None:
        names = {"NONE": "NONE", "DEFLATE": "ADOBE_DEFLATE", "JXL": "JPEGXL", "LERC_DEFLATE": "LERC",
                 "LERC_ZSTD": "LERC"}  # fmt: skip
        for name, facts in CODECS.items():
            assert tifffile.COMPRESSION[names.get(name, name)] == facts.compression


def test_every_codec_of_the_table_has_an_encoder_and_a_checker() -> None:
    assert set(CODECS) == set(tile_codec_module._PARTS) == set(decoders._DECODERS)


def test_the_table_s_defaults_lie_in_their_ranges() -> None:
    for facts in CODECS.values():
        assert (facts.levels is None) == (facts.default_level is None) == (facts.level_option is None)
        if facts.levels is not None and facts.default_level is not None:
            assert facts.levels[0] <= facts.default_level <= facts.levels[1]


#: One codec of each kind.
ANY: list[Callable[[], TileCodec]] = [
    *(lambda name=name: make(name, "uint16", 3) for name in (*STREAMS, *LERCS, "JXL")),
    *(lambda name=name: make(name, "uint8", 3) for name in ("JPEG", "WEBP")),
    *(lambda level=level: make("ZSTD", "uint16", 3, 2, level=level) for level in (1, 5, 9, 15)),
    lambda: make("DEFLATE", "float32", 3, 3),
]
any_codec = pytest.mark.parametrize("new_codec", ANY, ids=lambda new_codec: new_codec().name)


class TestUse:
    @any_codec
    def test_codec_gives_the_same_bytes_in_concurrent_threads(self, new_codec: Callable[[], TileCodec]) -> None:
        shared = new_codec()
        tiles = [np.roll(scene(shared.dtype.name, 3), shift, axis=1) for shift in range(12)]
        alone = [new_codec().encode(tile) for tile in tiles]

        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(shared.encode, tiles * 2))

        assert together == alone * 2

    @any_codec
    def test_read_only_tile_is_encoded(self, new_codec: Callable[[], TileCodec]) -> None:
        codec = new_codec()
        tile = scene(codec.dtype.name, 3)
        before = tile.tobytes()
        tile.flags.writeable = False

        codec.encode(tile)

        assert tile.tobytes() == before

    @any_codec
    def test_bytes_do_not_depend_on_the_memory_layout_of_the_tile(self, new_codec: Callable[[], TileCodec]) -> None:
        codec = new_codec()
        tile = scene(codec.dtype.name, 3)
        bands = np.ascontiguousarray(np.moveaxis(tile, 2, 0))

        assert codec.encode(np.moveaxis(bands, 0, 2)) == codec.encode(tile)

    @pytest.mark.parametrize("name", [*STREAMS, *LERCS, "JPEG", "JXL"])
    def test_view_of_a_larger_array_is_encoded(self, name: str) -> None:
        codec, pixels = make(name, "uint8", 1), scene("uint8", 1, 100, 100)
        cut = pixels[16:64, 10:90]

        assert codec.encode(cut) == codec.encode(np.ascontiguousarray(cut))

    @pytest.mark.parametrize(
        "tile",
        [np.zeros((16, 16, 3), "uint8"), np.zeros((16, 16, 2), "uint16"), np.zeros((16, 16), "uint16"),
         np.zeros((16, 16, 3), ">u2"), np.zeros((0, 16, 3), "uint16")],
        ids=["dtype", "samples", "dimensions", "byte order", "no rows"],
    )  # fmt: skip
    def test_tile_of_another_dtype_or_shape_raises(self, tile: Tile) -> None:
        with pytest.raises(ShapeError, match=r"a tile for compress='lzw' is \(row, column, 3\) of uint16"):
            make("LZW", "uint16", 3).encode(tile)


class TestFailures:
    def test_an_encoder_that_fails_is_named_and_its_error_is_the_cause(self) -> None:
        too_wide = np.zeros((1, 16_400, 3), "uint8")  # libwebp ends at 16383

        with pytest.raises(WriteError, match=r"compress='webp' cannot encode a tile of \(1, 16400, 3\)") as caught:
            make("WEBP", "uint8", 3).encode(too_wide)

        assert isinstance(caught.value.__cause__, ValueError)

    @any_codec
    @pytest.mark.parametrize("data", [b"", b"\x00", b"rubbish" * 9], ids=["none", "one byte", "rubbish"])
    def test_invalid_bytes_raise_read_error(self, new_codec: Callable[[], TileCodec], data: bytes) -> None:
        codec = new_codec()

        with pytest.raises(ReadError, match=f"compress='{codec.name.lower()}' cannot decode {len(data)} bytes"):
            codec.decode(data, (HEIGHT, WIDTH, 3))

    @pytest.mark.parametrize(
        ("name", "arguments", "message"),
        [
            ("ccitt", {}, "compress='ccitt' is unknown; allowed: lzw, deflate"),
            ("LZW", {"dtype": "bool"}, "cannot hold bool; cast to a number type"),
            ("LZW", {"samples": 0}, "at least one band"),
            ("JPEG", {"dtype": "uint16"}, "takes uint8 only, not uint16; use lzw, deflate or zstd"),
            ("JPEG", {"samples": 4}, "takes 1 or 3 bands in one tile, not 4; save with INTERLEAVE=BAND, or use lzw"),
            ("WEBP", {}, "takes 3 or 4 bands in one tile, not 1; use lzw"),
            ("JXL", {"samples": 5}, "takes 1 or 2 or 3 or 4 bands in one tile, not 5; save with INTERLEAVE=BAND"),
            ("JXL", {"dtype": "float32"}, "takes uint8, uint16 only, not float32; use lzw"),
            ("JXL", {"distance": 1.0, "lossless": True}, "both JXL_LOSSLESS=YES and JXL_DISTANCE=1; keep one"),
            ("JXL", {"distance": 26}, "distance=26 is invalid with compress='jxl'; allowed: 0.01 to 25"),
            ("JXL", {"effort": 10}, "effort=10 is invalid with compress='jxl'; allowed: 1 to 9"),
            ("LERC", {"dtype": "int64"}, "takes int8, uint8, .*float64 only, not int64; use lzw"),
            ("LERC", {"max_z_error": -1}, "max_z_error=-1 is invalid"),
            ("LZMA", {"predictor": 2}, "predictor=2 has no meaning with compress='lzma'; it goes with lzw"),
            ("LZW", {"predictor": 3}, "predictor=3 is not for uint8: 2 is for integers"),
            ("ZSTD", {"predictor": 2, "dtype": "complex64"}, "predictor=2 is not for complex64"),
            ("ZSTD", {"level": 23}, "level=23 is invalid with compress='zstd'; allowed: 1 to 22"),
            ("DEFLATE", {"level": 0}, "level=0 is invalid with compress='deflate'; allowed: 1 to 12"),
            ("JPEG", {"quality": 101}, "quality=101 is invalid with compress='jpeg'; allowed: 1 to 100"),
        ],
    )
    def test_an_error_names_an_alternative_if_a_codec_does_not_take_the_arguments(
        self, name: str, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(OptionError, match=message):
            tile_codec(name, **{"dtype": "uint8", **arguments})


class TestZstdContexts:
    @staticmethod
    def of(*levels: int, rows: int = 16) -> list[Any]:
        """Return the contexts that this thread compressed with, one for each save."""
        contexts = []
        for level in levels:
            codec = tile_codec("zstd", dtype="uint8", level=level)
            codec.encode(np.zeros((rows, 1024, 1), "uint8"))
            contexts.append(codec.scheme.stream.compress.contexts.compressor)
        return contexts

    def test_zstd_context_is_reused_by_the_next_save_of_a_thread(self) -> None:
        first, second = self.of(4, 4)
        assert first is second

    def test_zstd_context_is_kept_for_the_last_level_only(self) -> None:
        assert len(set(map(id, self.of(4, 7, 4)))) == 3

    def test_zstd_context_is_not_kept_after_large_tiles(self) -> None:
        first, second = self.of(4, 4, rows=1025)
        assert first is not second
