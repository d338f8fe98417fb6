"""Checks that the bytes of a tile decode to as many pixels as it has. Pure.

The size that encoded bytes declare is read before they are decoded, so that the memory of a decoder is bounded.
Predictors are ignored: they change no sizes, and can be undone on any bytes.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import zstandard

from georeader._codecs.registry import CODECS
from georeader.validation.image_headers import (
    HeaderError,
    ImageSize,
    UnsupportedError,
    jpeg_size,
    jxl_size,
    lerc_size,
    webp_size,
)
from georeader.validation.lerc_blobs import check_lerc
from georeader.validation.lzw_codes import check_lzw
from georeader.validation.measurement import FaultKind
from georeader.validation.pixel_layout import YCBCR, PixelLayout

#: Larger tiles are not decoded: there may be as many in memory as threads.
MAX_TILE_BYTES = 2**28

#: Most memory for the dictionary of an xz stream: that of the highest preset, and what belongs to it.
LZMA_MEMORY_BYTES = 80 * 2**20

#: Bytes of pixels that may be worked on for each byte of data: honest files stay below.
WORK_BYTES_PER_BYTE = 10_000

#: An encoded tile may be longer than its pixels by so much, and a half.
_OVERHEAD_BYTES = 2**20

#: The tables of a JPEG image, which may stand elsewhere in the file.
_JPEG_HEAD_BYTES = 1000

#: What the libraries behind the codecs raise; imagecodecs' own errors are all RuntimeErrors.
_LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, MemoryError, lzma.LZMAError,
                   zlib.error, zstandard.ZstdError)  # fmt: skip

#: Value of ExtraSamples (TIFF 6.0, section 18).
_UNASSOCIATED_ALPHA = 2

#: Each byte with its bits in the other order (FillOrder 2).
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Verdict:
    """Why a tile is not as it should be.

    Attributes:
        kind: TILE_SIZE, TILE_DECODE or TILE_NOT_DECODED.
        detail: In a few words.
    """

    kind: FaultKind
    detail: str


@dataclass(frozen=True)
class _Tile:
    """What a decoder is asked for."""

    layout: PixelLayout
    rows: int
    raw_bytes: int


#: Decodes a tile; gives how many bytes it was, or None where something else said that the size is right.
_Decoder = Callable[[bytes, _Tile], int | None]


def check_size(length_bytes: int, layout: PixelLayout, rows: int) -> Verdict | None:
    """Say of an encoded tile, before it is read, why it need not or must not be; None: it may.

    Args:
        length_bytes: Of the encoded tile.
        layout: How pixels are stored.
        rows: That the tile holds.
    """
    raw_bytes, name = layout.raw_bytes(rows), layout.compression_name
    if name not in _DECODERS:
        return Verdict(FaultKind.TILE_NOT_DECODED, f"there is no decoder for {name} here")
    if name == "NONE" and length_bytes != raw_bytes:
        return Verdict(FaultKind.TILE_SIZE, f"it has {length_bytes} bytes, where its pixels take {raw_bytes}")
    if raw_bytes > length_bytes * (CODECS[name].largest_ratio or raw_bytes):
        return Verdict(
            FaultKind.TILE_SIZE, f"{length_bytes} bytes of {name} can't become the {raw_bytes} of its pixels"
        )
    if name != "NONE" and length_bytes > raw_bytes + raw_bytes // 2 + _OVERHEAD_BYTES:
        return Verdict(FaultKind.TILE_SIZE, f"it has {length_bytes} bytes, where its pixels take {raw_bytes} decoded")
    if raw_bytes > MAX_TILE_BYTES and name != "NONE":
        return Verdict(
            FaultKind.TILE_NOT_DECODED, f"its pixels take {raw_bytes} bytes; no more than {MAX_TILE_BYTES} do"
        )
    return None


def check_tile(data: bytes, layout: PixelLayout, rows: int) -> Verdict | None:
    """Decode a tile of which `check_size` has nothing to say; None: it decodes, to the right size.

    Args:
        data: The encoded tile.
        layout: How pixels are stored.
        rows: That the tile holds.

    Memory: that of the decoded tile; up to four times as much for jpeg, webp and jxl.

    Example:
        >>> layout = PixelLayout(16, 16, True, 16, 16, compression=32773)
        >>> check_tile(bytes([129, 0, 129, 0]), layout, 16) is None, check_tile(bytes([129, 0]), layout, 16).detail
        (True, 'it decodes to 128 bytes, where its pixels take 256')
    """
    name, raw_bytes = layout.compression_name, layout.raw_bytes(rows)
    if layout.fill_order == 2:
        data = data.translate(_REVERSED)
    try:
        found = _DECODERS[name](data, _Tile(layout, rows, raw_bytes))
    except UnsupportedError as error:
        return Verdict(FaultKind.TILE_NOT_DECODED, str(error))
    except _LIBRARY_ERRORS as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        return Verdict(FaultKind.TILE_DECODE, f"it does not decode as {name}: {said}")
    if found is None or found == raw_bytes:
        return None
    amount = f"more than {raw_bytes}" if found > raw_bytes else str(found)
    return Verdict(FaultKind.TILE_SIZE, f"it decodes to {amount} bytes, where its pixels take {raw_bytes}")


# Codecs for bytes.


def _uncompressed(data: bytes, tile: _Tile) -> int:
    del tile
    return len(data)


def _lzw(data: bytes, tile: _Tile) -> int:
    check_lzw(data)
    return len(imagecodecs.lzw_decode(data, out=tile.raw_bytes + 1))  # one more, to see whether there is


def _strict(decode: Callable[..., Any]) -> _Decoder:
    """Give a decoder that raises where there are more bytes than it has room for."""

    def decoder(data: bytes, tile: _Tile) -> int:
        return len(decode(data, out=tile.raw_bytes))

    return decoder


def _zstd(data: bytes, tile: _Tile) -> int:
    said = zstandard.get_frame_parameters(data).content_size
    if said not in (zstandard.CONTENTSIZE_UNKNOWN, tile.raw_bytes):
        return int(said)
    return len(imagecodecs.zstd_decode(data, out=tile.raw_bytes))


def _lzma(data: bytes, tile: _Tile) -> int:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=LZMA_MEMORY_BYTES)
    found = len(decoder.decompress(data, max_length=tile.raw_bytes + 1))
    if found == tile.raw_bytes and not decoder.eof:
        raise HeaderError("its end is missing")
    return found


# Codecs for images.


def _check(size: ImageSize, tile: _Tile, samples: int | None = None) -> None:
    """Compare what an image says of its size with what it should be.

    Raises:
        HeaderError: They differ.
        UnsupportedError: It can't be decoded here.
    """
    said, wanted = (size.width_px, size.height_px), (tile.layout.tile_width_px, tile.rows)
    if said != wanted:
        raise HeaderError(f"it is {said[0]} x {said[1]} pixels, where the tile has {wanted[0]} x {wanted[1]}")
    if samples is not None and size.samples != samples:
        raise HeaderError(f"it has {size.samples} samples a pixel, where the tile has {samples}")
    if size.bits and size.bits != tile.layout.bits:
        raise HeaderError(f"its samples have {size.bits} bits, where the tile's have {tile.layout.bits}")
    if not size.is_supported:
        raise UnsupportedError("it is of a kind that can't be decoded here")


def _jpeg(data: bytes, tile: _Tile) -> None:
    samples = tile.layout.tile_samples
    size = jpeg_size(data)
    _check(size, tile, samples)
    # A scan of a few bytes is a pass over all pixels. Without progression there is a scan for each sample at most.
    if size.scans > samples and size.scans * tile.raw_bytes > WORK_BYTES_PER_BYTE * (len(data) + _JPEG_HEAD_BYTES):
        raise UnsupportedError(f"it has {size.scans} scans, which take more work than its {len(data)} bytes explain")
    if samples > 4:
        raise UnsupportedError(f"JPEG of {samples} samples a pixel can't be decoded here")
    space = {1: "GRAYSCALE", 3: "YCBCR" if tile.layout.photometric == YCBCR else "RGB", 4: "CMYK"}.get(
        samples, "UNKNOWN"
    )
    imagecodecs.jpeg8_decode(data, tables=tile.layout.jpeg_tables or None, colorspace=space, outcolorspace=space)


def _webp(data: bytes, tile: _Tile) -> None:
    _check(webp_size(data), tile)
    _check_shape(imagecodecs.webp_decode(data, hasalpha=tile.layout.tile_samples == 4), tile)


def _jxl(data: bytes, tile: _Tile) -> None:
    # Sizes, bits and channels are in the header: what the decoder allocates is known before.
    _check(jxl_size(data, tile.layout.tile_samples), tile)
    pixels = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    if tile.layout.tile_samples <= 4:  # of more, some come as extra channels, which are not given
        _check_shape(pixels, tile)


def _check_shape(pixels: Any, tile: _Tile) -> None:
    shape = (tile.rows, tile.layout.tile_width_px, tile.layout.tile_samples)
    if pixels.size != int(np.prod(shape)) or 8 * pixels.itemsize != tile.layout.bits:
        raise HeaderError(
            f"it becomes {pixels.shape} {pixels.dtype}, where the tile is {shape} {tile.layout.kind_name}"
        )


def _lerc(data: bytes, tile: _Tile) -> None:
    # A mask may stand beside the pixels: a bit for each, or as much as nothing.
    room = 2 * tile.raw_bytes + _OVERHEAD_BYTES
    if tile.layout.lerc_following == 1:
        inflater = zlib.decompressobj()
        blob = inflater.decompress(data, room)
        if not inflater.eof:
            raise HeaderError("its deflate stream is cut short, or too long")
    elif tile.layout.lerc_following == 2:
        if 0 <= zstandard.get_frame_parameters(data).content_size > room:
            raise HeaderError("its zstd frame is too long")
        blob = bytes(imagecodecs.zstd_decode(data, out=room))
    else:
        blob = data
    size, samples = lerc_size(blob), tile.layout.tile_samples
    if _has_alpha_in_lerc_mask(tile.layout) and size.samples == samples - 1:
        samples -= 1
    _check(size, tile, samples)
    check_lerc(blob)
    imagecodecs.lerc_decode(blob, masks=True)


def _has_alpha_in_lerc_mask(layout: PixelLayout) -> bool:
    """Return whether libtiff stores the last sample of tiles as LERC's mask: alpha of uint8 that is 0 or 255."""
    is_alpha = layout.extra_samples[-1:] == (_UNASSOCIATED_ALPHA,)
    return is_alpha and layout.kind_name == "uint8" and layout.tile_samples > 1


_DECODERS: Mapping[str, _Decoder] = {
    "NONE": _uncompressed,
    "LZW": _lzw,
    "DEFLATE": _strict(imagecodecs.deflate_decode),
    "PACKBITS": _strict(imagecodecs.packbits_decode),
    "ZSTD": _zstd,
    "LZMA": _lzma,
    "LERC": _lerc,
    "LERC_DEFLATE": _lerc,
    "LERC_ZSTD": _lerc,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "JXL": _jxl,
}
