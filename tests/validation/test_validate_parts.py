"""Parts of validate: decoders, image headers, overlaps, IFD roles, requests of a viewer."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from georeader._codecs.tile_codec import tile_codec
from georeader._readers.measurement import Extent, MeasuredDirectory, Role, RoleKind, TileTable, overlapping, touching
from georeader._readers.pixel_layout import COMPRESSIONS, PixelLayout
from georeader.validation.decoders import check_encoded_size, check_lzw, check_tile
from georeader.validation.image_headers import HeaderError, jpeg_size, jxl_size, webp_size
from georeader.validation.judge_pixels import is_divided
from georeader.validation.lerc_blobs import lerc_size
from georeader.validation.viewer import BLOCK_BYTES, RequestCounter
from measured import codes_of, directory, image

# Decoders.

NUMBERS = {name: number for number, name in COMPRESSIONS.items()} | {"DEFLATE": 8, "JXL": 50002}
STREAMS = ["LZW", "DEFLATE", "PACKBITS", "LZMA", "ZSTD"]
IMAGES = ["JPEG", "WEBP", "JXL", "LERC", "LERC_DEFLATE", "LERC_ZSTD"]


def a_tile(samples: int = 3) -> np.ndarray:
    steps = np.random.default_rng(2).integers(0, 3, (64, 64, samples))
    return (np.cumsum(steps, axis=1) % 256).astype("uint8")


def encoded(name: str) -> tuple[bytes, PixelLayout]:
    """A tile, and the layout of its file."""
    codec = tile_codec(name, dtype="uint8", samples=3)
    tags = {number: values for number, _, values in codec.tags}
    layout = PixelLayout(64, 64, True, 64, 64, samples=3, compression=codec.compression_tag,
                         jpeg_tables=tags.get(347, (b"",))[0], lerc_following=tags.get(50674, (4, 0))[1])  # fmt: skip
    return codec.encode(a_tile()), layout


@pytest.mark.parametrize("name", [*STREAMS, *IMAGES])
def test_tile_that_decodes_has_no_fault(name: str) -> None:
    data, layout = encoded(name)
    assert check_encoded_size(len(data), layout, 64) is None
    assert check_tile(data, layout, 64) is None


#: How much is missing of a tile. The last byte of LZW is its end-of-information code, which nothing needs.
CUTS = [(name, cut) for name in (*STREAMS, *IMAGES) for cut in (1, 2, 0.5, 0.9) if (name, cut) != ("LZW", 1)]


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_truncated_tile_has_a_fault(name: str, cut: float) -> None:
    data, layout = encoded(name)
    kept = len(data) - int(cut) if cut >= 1 else int(len(data) * cut)
    assert check_tile(data[:kept], layout, 64) is not None


@pytest.mark.parametrize("rows", [63, 65, 1])
@pytest.mark.parametrize("name", [*STREAMS, *IMAGES])
def test_tile_of_another_size_has_a_fault(name: str, rows: int) -> None:
    data, layout = encoded(name)
    assert check_tile(data, layout, rows) is not None


@pytest.mark.parametrize("name", STREAMS)
def test_decompression_bomb_has_a_fault(name: str) -> None:
    layout = encoded(name)[1]
    bomb = {
        "LZW": imagecodecs.lzw_encode, "DEFLATE": zlib.compress,
        "PACKBITS": lambda data: b"\x81\0" * (len(data) // 128),
        "LZMA": lzma.compress, "ZSTD": zstandard.ZstdCompressor(write_content_size=False).compress,
    }[name](bytes(20 * 2**20))  # fmt: skip

    assert check_tile(bytes(bomb), layout, 64) is not None


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "JXL", "LERC"])
def test_an_image_that_declares_a_larger_size_is_not_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, layout = encoded(name)
    for decoder in ("jpeg8_decode", "webp_decode", "jpegxl_decode", "lerc_decode"):
        monkeypatch.setattr(imagecodecs, decoder, lambda *a, **k: pytest.fail("it was decoded"))

    verdict = check_tile(data, PixelLayout(32, 32, True, 32, 32, samples=3, compression=layout.compression), 32)

    assert verdict is not None
    assert "64 x 64" in verdict.detail


def test_impossible_sizes_are_reported_before_reading_tiles() -> None:
    huge = PixelLayout(2**31 - 1, 2**31 - 1, True, 2**31 - 16, 2**31 - 16, samples=65535, bits=128, compression=5)
    details = [check_encoded_size(10**6, huge, 2**31 - 16), check_encoded_size(10**9, encoded("LZW")[1], 64)]
    assert all(verdict is not None and verdict.kind == "tile-size" for verdict in details)


def test_a_tile_that_takes_too_much_memory_is_reported_as_not_decoded() -> None:
    large = PixelLayout(2**15, 2**15, True, 2**15, 2**15, compression=50000)
    verdict = check_encoded_size(10**6, large, 2**15)
    assert verdict is not None
    assert verdict.kind == "tile-not-decoded"


def codes(*pairs: tuple[int, int]) -> bytes:
    """LZW codes, each with its width, as bytes."""
    bits = "".join(f"{code:0{width}b}" for code, width in pairs)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


@pytest.mark.parametrize("position", [0, 1, 253, 254, 1000, 3837])
def test_lzw_that_would_crash_the_decoder_is_not_decoded(position: int) -> None:
    """A code without a string follows a Clear code, at any position."""
    widths = [9] * 254 + [10] * 512 + [11] * 1024 + [12] * 2048
    before = [(7, width) for width in widths[:position]]
    clear = [(256, widths[position])] if position else []
    data = codes((256, 9), *before, *clear, (300, 9), *[(7, 9)] * 20)

    verdict = check_tile(data, encoded("LZW")[1], 64)

    assert verdict is not None
    assert "code 300 follows a Clear code" in verdict.detail


@given(data=st.binary(max_size=3000), times=st.integers(1, 30))
def test_lzw_that_was_encoded_is_safe(data: bytes, times: int) -> None:
    check_lzw(bytes(imagecodecs.lzw_encode(data * times)))


def test_lzw_of_many_tables_is_safe() -> None:
    for values in (256, 3):
        check_lzw(
            bytes(imagecodecs.lzw_encode(np.random.default_rng(0).integers(0, values, 200_000, "uint8").tobytes()))
        )


def test_old_style_lzw_is_reported_as_not_decoded() -> None:
    verdict = check_tile(b"\0\x01" + bytes(50), encoded("LZW")[1], 64)
    assert verdict is not None
    assert verdict.kind == "tile-not-decoded"


def test_reversed_bit_order_is_decoded() -> None:
    data, layout = encoded("LZW")
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    changed = PixelLayout(64, 64, True, 64, 64, samples=3, compression=5, fill_order=2)

    assert check_tile(turned, changed, 64) is None
    assert check_tile(turned, layout, 64) is not None


def test_ycbcr_that_is_not_compressed_has_a_quarter_of_its_chroma() -> None:
    layout = PixelLayout(64, 64, True, 64, 64, samples=3, photometric=6, subsampling=(2, 2))
    assert layout.raw_bytes(64) == 64 * 64 * 3 // 2


# Image headers.


@pytest.mark.parametrize("read", [jpeg_size, webp_size, jxl_size, lerc_size])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_header_or_a_header_error(read: Callable[[bytes], Any], data: bytes) -> None:
    for beginning in (
        b"",
        b"\xff\xd8\xff",
        b"RIFF\0\0\0\0WEBPVP8",
        b"\xff\x0a",
        b"Lerc2 \x04\0\0\0",
        b"\0\0\0\x0cJXL ",
    ):
        try:
            assert read(beginning + data).width_px >= 0
        except HeaderError as error:
            assert str(error)


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (8, 8), (256, 256, 3), (100, 133), (90, 160, 4)])
def test_the_size_of_jpeg_xl_is_read_bare_and_in_its_container(shape: tuple[int, ...]) -> None:
    for container in (False, True):
        data = bytes(imagecodecs.jpegxl_encode(np.zeros(shape, "uint8"), usecontainer=container))
        assert (jxl_size(data).height_px, jxl_size(data).width_px) == shape[:2]


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("lossless", [False, True])
def test_the_size_of_webp_is_read(samples: int, lossless: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (37, 91, samples), "uint8")
    size = webp_size(bytes(imagecodecs.webp_encode(pixels, level=70, lossless=lossless)))
    assert (size.height_px, size.width_px) == (37, 91)


def test_progressive_jpeg_of_too_many_scans_is_refused() -> None:
    frame = bytes.fromhex("ffc2 000b 08 0010 0010 01 011100")
    scan = bytes.fromhex("ffda 0008 01 0100 003f00 12")
    assert jpeg_size(b"\xff\xd8" + frame + 10 * scan + b"\xff\xd9").samples == 1
    with pytest.raises(HeaderError):
        jpeg_size(b"\xff\xd8" + frame + 500 * scan + b"\xff\xd9")


# Extents.

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=12)


def table(ranges: list[tuple[int, int]]) -> TileTable:
    ordered = sorted(ranges)
    starts = np.array([start for start, _ in ordered], "int64")
    ends = starts + np.array([length for _, length in ordered], "int64")
    return TileTable(np.zeros(len(ordered), "uint16"), np.arange(len(ordered), dtype="uint32"), starts, ends)


@given(spans)
def test_overlap_of_tiles_is_found(ranges: list[tuple[int, int]]) -> None:
    made = table(ranges)
    found = overlapping(made)
    seen: set[int] = set()
    for start, end, is_over in zip(made.starts.tolist(), made.ends.tolist(), found.tolist(), strict=True):
        assert is_over == (not seen.isdisjoint(range(start, end)))
        seen |= set(range(start, end))


@given(spans, spans)
def test_overlap_with_the_structure_is_found(ranges: list[tuple[int, int]], others: list[Any]) -> None:
    made = table(ranges)
    bytes_of_structure = {byte for start, length in others for byte in range(start, start + length)}
    found = touching(made.starts, made.ends, [Extent(start, length) for start, length in others])
    expected = [
        not bytes_of_structure.isdisjoint(range(start, end))
        for start, end in zip(made.starts.tolist(), made.ends.tolist(), strict=True)
    ]
    assert found.tolist() == expected


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(2, 64), st.booleans())
def test_sizes_that_are_divided_are_known_whether_rounded_up_or_down(
    width: int, height: int, factor: int, is_up: bool
) -> None:
    part = tuple(max(1, -(-side // factor) if is_up else side // factor) for side in (width, height))
    assert is_divided((width, height), part)


# What a viewer asks.

reads = st.lists(st.tuples(st.integers(0, 40 * BLOCK_BYTES), st.integers(0, 6 * BLOCK_BYTES)), max_size=12)


@given(reads)
def test_each_block_is_requested_once(wanted: list[tuple[int, int]]) -> None:
    size_bytes = 64 * BLOCK_BYTES - 100
    counter = RequestCounter(size_bytes)
    for offset, length in wanted:
        before = counter.requests
        counter.read(offset, length)
        counter.read(offset, length)
        assert length == 0 or counter.requests >= before
    blocks = {
        block
        for offset, length in wanted
        for block in range(offset // BLOCK_BYTES, -(-(offset + length) // BLOCK_BYTES))
    }
    assert len(blocks) * BLOCK_BYTES - 100 <= counter.bytes_sent <= size_bytes


def test_consecutive_reads_request_larger_ranges() -> None:
    counter = RequestCounter(10**9)
    for block in range(15):
        counter.read(block * BLOCK_BYTES, 10)
    assert (counter.requests, counter.bytes_sent) == (4, 15 * BLOCK_BYTES)


# The judge, on numbers alone.


def mask(number: int, size: tuple[int, int], level: int | None, **layout: Any) -> MeasuredDirectory:
    return directory(number, size, Role(RoleKind.MASK, level), **({"bits": 1, "photometric": 4} | layout))


BASE = image(0, (900, 700))


@pytest.mark.parametrize(
    ("directories", "expected"),
    [
        ([BASE, image(1, (450, 350)), image(2, (225, 175))], set()),
        ([BASE, image(1, (300, 234))], set()),
        ([BASE, image(1, (900, 700))], {"overview-order"}),
        ([BASE, image(1, (225, 175)), image(2, (450, 350))], {"overview-order"}),
        ([BASE, image(1, (450, 300))], {"overview-size"}),
        ([BASE, image(1, (450, 350), samples=3, photometric=2)], {"overview-kind"}),
        ([BASE, image(1, (450, 350), sample_format=2)], {"overview-kind"}),
        ([BASE, image(1, (450, 350), photometric=3)], {"overview-kind"}),
        ([image(0, (900, 700), samples=3, photometric=2, planar=2), image(1, (450, 350), samples=3, photometric=2)],
         {"overview-kind"}),
        ([image(0, (900, 700), samples=3, photometric=2), image(1, (450, 350), samples=3, photometric=6)], set()),
        ([BASE, image(1, (450, 350), compression=5), image(2, (225, 175), compression=5)], set()),
        ([BASE, image(1, (450, 350), compression=5), image(2, (225, 175))], {"overview-compression"}),
        ([image(0, (300, 300), predictor=3, compression=5)], {"predictor"}),
        ([image(0, (300, 300), predictor=2, compression=5, bits=12)], {"predictor"}),
        ([image(0, (300, 300), predictor=2, compression=7)], {"predictor"}),
        ([image(0, (300, 300), predictor=2, compression=5, bits=16)], set()),
        ([image(0, (300, 300)), mask(1, (300, 300), 0)], set()),
        ([image(0, (300, 300)), mask(1, (300, 300), 0, samples=3)], {"mask-kind"}),
        ([image(0, (300, 300)), mask(1, (300, 300), 0, photometric=1)], {"mask-kind"}),
        ([image(0, (300, 300)), mask(1, (150, 150), None)], {"mask-stray", "mask-missing"}),
        ([BASE, image(1, (450, 350)), mask(2, (900, 700), 0)], {"mask-missing"}),
        ([image(0, (300, 300)), directory(1, (300, 300), Role(RoleKind.OTHER, None))], {"directory-stray"}),
        ([BASE], {"overviews-missing"}),
    ],
)  # fmt: skip
def test_pyramid_is_checked_by_its_directories(directories: list[MeasuredDirectory], expected: set[str]) -> None:
    assert codes_of(*directories) == expected
