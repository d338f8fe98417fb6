"""validate: the work on a tile is bounded by its bytes and its pixels, not by what its bytes claim."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from georeader._readers.pixel_layout import PixelLayout
from georeader._tiff.parser import Fault
from georeader.validation.decoders import check_tile
from lerc_tiles import lerc, with_checksum

#: Of a LERC header of version 4: rows, columns, samples, valid pixels, block size, length, kind, and three numbers.
_HEADER = "<7i3d"
_MASK_AT = 14 + struct.calcsize(_HEADER)


def lerc_layout(side_px: int) -> PixelLayout:
    return PixelLayout(
        side_px, side_px, True, side_px, side_px, bits=16, sample_format=2, compression=34887, lerc_following=2
    )


def rebuilt(blob: bytes, after: bytes, **changed: int) -> bytes:
    """Return a blob with other numbers in its header and other bytes behind it."""
    names = ("rows", "columns", "depth", "valid_px", "block_px", "length", "kind", "max_error", "low", "high")
    numbers = dict(zip(names, struct.unpack_from(_HEADER, blob, 14), strict=True)) | changed
    numbers["length"] = _MASK_AT + len(after)
    return with_checksum(blob[:14] + struct.pack(_HEADER, *numbers.values()) + after)


def lerc_of_blocks(block_px: int) -> tuple[bytes, PixelLayout]:
    """A blob of constant blocks of some size."""
    side_px = 64
    blob = lerc(np.arange(side_px * side_px, dtype="int16").reshape(side_px, side_px))
    across = side_px // block_px
    blocks = bytes((number * block_px >> 3 & 15) << 2 | 2 for number in range(across)) * across
    ranges = blob[_MASK_AT + 4 : _MASK_AT + 8]
    changed = rebuilt(blob, struct.pack("<i", 0) + ranges + b"\0" + blocks, block_px=block_px)
    return bytes(imagecodecs.zstd_encode(changed)), lerc_layout(side_px)


def lerc_with_runs(empty_runs: int) -> tuple[bytes, PixelLayout]:
    """A blob whose mask begins with runs of no bytes."""
    rng = np.random.default_rng(0)
    blob = lerc(rng.integers(0, 200, (16, 16)).astype("int16"), masks=rng.random((16, 16)) > 0.3)
    (mask_bytes,) = struct.unpack_from("<i", blob, _MASK_AT)
    runs = b"\0\0\0" * empty_runs + blob[_MASK_AT + 4 : _MASK_AT + 4 + mask_bytes]
    changed = rebuilt(blob, struct.pack("<i", len(runs)) + runs + blob[_MASK_AT + 4 + mask_bytes :])
    return bytes(imagecodecs.zstd_encode(changed)), lerc_layout(16)


def jpeg_of_scans(repeated: int) -> tuple[bytes, PixelLayout]:
    """A progressive image whose last scan is there again and again."""
    file = io.BytesIO()
    Image.fromarray(np.full((1024, 1024), 77, "uint8")).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * repeated + data[-2:], PixelLayout(1024, 1024, True, 1024, 1024, compression=7)


def lzw_of_clears(bytes_between: int) -> tuple[bytes, PixelLayout]:
    """A stream of 4096 bytes with a Clear code before each so many of them."""
    codes = [code for _ in range(4096 // bytes_between) for code in (256, *[7] * bytes_between)]
    bits = "".join(f"{code:09b}" for code in (*codes, 257))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big"), PixelLayout(64, 64, True, 64, 64, compression=5)


def verdict_of(tile: tuple[bytes, PixelLayout]) -> Fault | None:
    data, layout = tile
    return check_tile(data, layout, layout.tile_height_px)


@pytest.mark.parametrize(
    ("make", "honest", "dishonest", "kind", "detail"),
    [
        (lerc_of_blocks, 8, 1, "tile-not-decoded", "LERC blocks of 1 pixels a side"),
        (lerc_of_blocks, 16, 4, "tile-not-decoded", "LERC blocks of 4 pixels a side"),
        (lerc_with_runs, 0, 1, "tile-decode", "a run of no bytes"),
        (jpeg_of_scans, 0, 90, "tile-not-decoded", "scans, which take more work"),
        (lzw_of_clears, 128, 1, "tile-decode", "Clear code more often"),
        (lzw_of_clears, 64, 2, "tile-decode", "Clear code more often"),
    ],
)
def test_a_tile_that_takes_more_work_than_its_bytes_explain_is_left_out(
    make: Callable[[int], tuple[bytes, PixelLayout]], honest: int, dishonest: int, kind: str, detail: str
) -> None:
    verdict = verdict_of(make(dishonest))

    assert verdict_of(make(honest)) is None
    assert verdict is not None
    assert verdict.kind == kind
    assert detail in verdict.detail
