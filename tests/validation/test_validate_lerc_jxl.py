"""validate: malformed LERC and JPEG XL tiles are reported, and neither crash the process nor take its memory."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import imagecodecs
import numpy as np
import pytest

from georeader._readers.pixel_layout import PixelLayout
from georeader.validation.decoders import check_tile
from georeader.validation.image_headers import HeaderError, UnsupportedError, jxl_size
from georeader.validation.lerc_blobs import check_lerc
from lerc_tiles import PIXELS, lerc, with_checksum
from places import SUPPORT

pytestmark = pytest.mark.fuzz

LERC = PixelLayout(16, 16, True, 16, 16, bits=16, sample_format=2, compression=34887)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("level", [0.0, 0.7])
@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_blob_of_liblerc_is_accepted(dtype: str, kind: str, level: float, version: int) -> None:
    rng = np.random.default_rng(1)
    pixels = np.clip(PIXELS[kind](rng, (61, 67)), 0, 120).astype(dtype)

    check_lerc(lerc(pixels, level=level, version=version))
    check_lerc(lerc(pixels, level=level, version=version, masks=rng.random((61, 67)) > 0.3))


def test_several_samples_a_pixel_are_accepted() -> None:
    rng = np.random.default_rng(1)

    check_lerc(lerc(rng.integers(0, 99, (40, 50, 3)).astype("uint16")))
    check_lerc(b"".join(lerc(rng.integers(0, 99, (40, 50)).astype("uint16")) for _ in range(3)))


#: Changes of one byte that liblerc does not survive, or reads beside its memory for: what each does to a good blob.
def _changed(blob: bytes, position: int, value: int) -> bytes:
    return with_checksum(blob[:position] + bytes([value]) + blob[position + 1 :])


def test_a_block_with_fewer_values_than_pixels_is_refused() -> None:
    """liblerc 4.0 crashes for it."""
    good = lerc(np.arange(256, dtype="int16").reshape(16, 16))

    verdict = check_tile(_changed(good, 77, 0x80), LERC, 16)

    assert verdict is not None
    assert verdict.kind == "tile-decode"
    assert "values, where it has 64 valid pixels" in verdict.detail


def test_an_index_beyond_the_lookup_table_is_refused() -> None:
    pixels = np.repeat(np.random.default_rng(1).choice([0, 1000, 9000], (16, 4)), 4, axis=1).astype("int16")
    good = lerc(pixels)
    refusals = []
    for position in range(75, len(good)):
        for value in (0xFF, 0xF0, 0x3F):
            try:
                check_lerc(_changed(good, position, value))
            except HeaderError as error:
                refusals.append(str(error))

    assert any("beyond its lookup table" in text for text in refusals)


def test_a_version_that_tiff_does_not_have_is_left_out() -> None:
    blob = lerc(np.arange(256, dtype="int16").reshape(16, 16))

    verdict = check_tile(with_checksum(blob[:6] + (6).to_bytes(4, "little") + blob[10:]), LERC, 16)

    assert verdict is not None
    assert verdict.kind == "tile-not-decoded"
    with pytest.raises(UnsupportedError, match="version 2"):
        # Without the checksum and the number of samples, which that version does not have.
        check_lerc(blob[:6] + (2).to_bytes(4, "little") + blob[14:22] + blob[26:])


#: Checks a good tile and every change of one of its bytes, with the right checksum.
_FUZZ = textwrap.dedent("""
    import sys
    sys.path.insert(0, sys.argv[2])
    import numpy as np
    from georeader.validation.decoders import check_tile
    from georeader._readers.pixel_layout import PixelLayout
    from lerc_tiles import PIXELS, lerc, with_checksum

    kind, dtype, masked = sys.argv[1].split()
    rng = np.random.default_rng(1)
    pixels = np.clip(PIXELS[kind](rng, (24, 24)), 0, 120).astype(dtype)
    good = lerc(pixels, **({"masks": rng.random((24, 24)) > 0.3} if masked == "masked" else {}))
    formats = {"u": 1, "i": 2, "f": 3}
    layout = PixelLayout(24, 24, True, 24, 24, bits=8 * pixels.itemsize, sample_format=formats[pixels.dtype.kind],
                         compression=34887)
    assert check_tile(good, layout, 24) is None
    seen = 0
    for position in (*range(34, min(len(good), 260)), *range(260, len(good), 97)):
        for value in {0, 1, 0x20, 0x40, 0x80, 0xFF, good[position] ^ 4}:
            check_tile(with_checksum(good[:position] + bytes([value]) + good[position + 1:]), layout, 24)
            seen += 1
    print(seen)
""")


@pytest.mark.parametrize(
    "what",
    [
        "bits int16 plain",
        "ramp float32 plain",
        "table int16 masked",
        *(
            pytest.param(what, marks=pytest.mark.thorough)
            for what in ("table uint16 plain", "bits uint8 plain", "bits int32 masked", "bits float64 masked")
        ),
    ],
)
def test_changed_lerc_tile_with_a_valid_checksum_does_not_crash(what: str) -> None:
    process = subprocess.run(
        [sys.executable, "-c", _FUZZ, what, str(SUPPORT)], capture_output=True, text=True, check=False
    )

    assert process.returncode == 0, process.stderr
    assert int(process.stdout) > 1000


# JPEG XL.


@pytest.mark.parametrize(
    ("dtype", "shape", "bits"),
    [
        ("uint8", (64, 64), 8),
        ("uint8", (64, 64, 3), 8),
        ("uint8", (64, 64, 4), 8),
        ("uint16", (60, 64, 3), 16),
        ("float32", (64, 64), 32),
    ],
)
@pytest.mark.parametrize("lossless", [False, True])
def test_size_and_bits_of_a_jpeg_xl_image_are_read(
    dtype: str, shape: tuple[int, ...], bits: int, lossless: bool
) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.random(shape).astype(dtype) if dtype == "float32" else rng.normal(60, 9, shape).astype(dtype)

    size = jxl_size(bytes(imagecodecs.jpegxl_encode(pixels, lossless=lossless)), 4)

    assert (size.height_px, size.width_px, size.bits, size.is_supported) == (*shape[:2], bits, True)


def test_a_jpeg_xl_image_with_other_bits_or_more_channels_is_refused_before_it_is_decoded() -> None:
    layout = PixelLayout(64, 64, True, 64, 64, bits=8, sample_format=1, compression=50002)
    pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 4))

    assert check_tile(bytes(imagecodecs.jpegxl_encode(pixels[:, :, 0].astype("uint8"))), layout, 64) is None
    wide = check_tile(bytes(imagecodecs.jpegxl_encode(pixels[:, :, 0].astype("uint16"))), layout, 64)
    deep = check_tile(bytes(imagecodecs.jpegxl_encode(pixels.astype("uint8"))), layout, 64)

    assert wide is not None
    assert "16 bits" in wide.detail
    assert deep is not None
    assert "extra channels" in deep.detail


def test_animation_is_refused() -> None:
    frames = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3)).astype("uint8")

    assert not jxl_size(bytes(imagecodecs.jpegxl_encode(frames)), 4).is_supported


def test_changed_jpeg_xl_tile_does_not_crash() -> None:
    layout = PixelLayout(32, 32, True, 32, 32, bits=8, sample_format=1, compression=50002)
    good = bytes(imagecodecs.jpegxl_encode(np.random.default_rng(1).integers(0, 99, (32, 32)).astype("uint8")))
    assert check_tile(good, layout, 32) is None

    for position in range(len(good)):
        for value in (0, 0xFF, good[position] ^ 0x10):
            check_tile(good[:position] + bytes([value]) + good[position + 1 :], layout, 32)
