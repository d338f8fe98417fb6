"""Check that the bytes of a tile decode to as many pixels as it has. Pure.

The size that encoded bytes declare is read before they are decoded, so that the memory of a decoder is bounded.
Predictors are ignored: they do not change sizes, and can be undone on any bytes.
"""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import zstandard
from numpy.typing import NDArray

from georeader._codecs.registry import CODECS
from georeader._codecs.tile_codec import LIBRARY_ERRORS
from georeader._readers.pixel_layout import YCBCR, PixelLayout
from georeader._tiff.parser import Fault, FaultKind
from georeader.validation.image_headers import HeaderError, ImageSize, UnsupportedError, jpeg_size, jxl_size, webp_size
from georeader.validation.lerc_blobs import check_lerc, lerc_size

#: Largest tile that is decoded: each thread may have one in memory.
MAX_TILE_BYTES = 2**28

#: Most memory for an xz stream: the dictionary of the highest preset, and its tables.
LZMA_MEMORY_BYTES = 80 * 2**20

#: Bytes of pixels that may be processed for each byte of data; well-formed files stay below.
WORK_BYTES_PER_BYTE = 10_000

#: An encoded tile may be longer than its pixels by this, and a half of them.
_OVERHEAD_BYTES = 2**20

#: Length of the tables of a JPEG image, which may be elsewhere in the file.
_JPEG_HEAD_BYTES = 1000

#: Errors of the libraries behind the codecs.
_LIBRARY_ERRORS = (*LIBRARY_ERRORS, OverflowError, MemoryError)

_CLEAR, _END = 256, 257

#: Numbers of codes since a Clear code, and their widths; 12 bits do not number more strings.
_LZW_WIDTHS = ((254, 9), (512, 10), (1024, 11), (2410, 12))
_MOST_CODES = sum(count for count, _ in _LZW_WIDTHS)
_MOST_TABLE_BYTES = 1 + sum(count * width for count, width in _LZW_WIDTHS) // 8

#: Encoders clear a table that is full, or after 10,000 bytes of pixels, which take at least 150 bytes of data. Each
#: search for the next Clear code takes as long as a whole table, so streams with more Clear codes are refused.
_BYTES_PER_CLEAR, _MOST_CLEARS_BESIDE = 64, 16

#: Value of ExtraSamples (TIFF 6.0, section 18).
_UNASSOCIATED_ALPHA = 2

#: Each byte with its bits in the other order (FillOrder 2).
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


#: Decodes a tile of some rows; returns its decoded bytes, or None where the size was checked otherwise.
_Decoder = Callable[[bytes, PixelLayout, int], int | None]


def check_encoded_size(length_bytes: int, layout: PixelLayout, rows: int) -> Fault | None:
    """Return why an encoded tile need not or must not be decoded, before it is read; or None."""
    raw_bytes, name = layout.raw_bytes(rows), layout.compression_name
    if name not in _DECODERS:
        return Fault(FaultKind.TILE_NOT_DECODED, f"there is no decoder for {name} here")
    if name == "NONE" and length_bytes != raw_bytes:
        return Fault(FaultKind.TILE_SIZE, f"it has {length_bytes} bytes, where its pixels take {raw_bytes}")
    if raw_bytes > length_bytes * (CODECS[name].largest_ratio or raw_bytes):
        return Fault(FaultKind.TILE_SIZE, f"{length_bytes} bytes of {name} cannot become the {raw_bytes} of its pixels")
    if name != "NONE" and length_bytes > raw_bytes + raw_bytes // 2 + _OVERHEAD_BYTES:
        return Fault(FaultKind.TILE_SIZE, f"it has {length_bytes} bytes, where its pixels take {raw_bytes} decoded")
    if raw_bytes > MAX_TILE_BYTES and name != "NONE":
        return Fault(FaultKind.TILE_NOT_DECODED, f"its pixels take {raw_bytes} bytes; no more than {MAX_TILE_BYTES} do")
    return None


def check_tile(data: bytes, layout: PixelLayout, rows: int) -> Fault | None:
    """Decode a tile that has passed `check_encoded_size`; return its fault, or None if it decodes to the right size.

    Memory: that of the decoded tile; up to four times as much for jpeg, webp and jxl.

    Example:
        >>> layout = PixelLayout(16, 16, True, 16, 16, compression=32773)
        >>> fault = check_tile(bytes([129, 0]), layout, 16)
        >>> check_tile(bytes([129, 0, 129, 0]), layout, 16) is None, fault and fault.detail
        (True, 'it decodes to 128 bytes, where its pixels take 256')
    """
    name, raw_bytes = layout.compression_name, layout.raw_bytes(rows)
    if layout.fill_order == 2:
        data = data.translate(_REVERSED)
    try:
        found = _DECODERS[name](data, layout, rows)
    except UnsupportedError as error:
        return Fault(FaultKind.TILE_NOT_DECODED, str(error))
    except _LIBRARY_ERRORS as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        return Fault(FaultKind.TILE_DECODE, f"it does not decode as {name}: {said}")
    if found is None or found == raw_bytes:
        return None
    amount = f"more than {raw_bytes}" if found > raw_bytes else str(found)
    return Fault(FaultKind.TILE_SIZE, f"it decodes to {amount} bytes, where its pixels take {raw_bytes}")


# Codecs for bytes.


def _lzw(data: bytes, layout: PixelLayout, rows: int) -> int:
    check_lzw(data)
    return len(imagecodecs.lzw_decode(data, out=layout.raw_bytes(rows) + 1))  # one more, to detect a longer tile


def _strict(decode: Callable[..., Any]) -> _Decoder:
    """Return a decoder that raises for more bytes than the tile has."""
    return lambda data, layout, rows: len(decode(data, out=layout.raw_bytes(rows)))


def _zstd(data: bytes, layout: PixelLayout, rows: int) -> int:
    said, raw_bytes = zstandard.get_frame_parameters(data).content_size, layout.raw_bytes(rows)
    if said not in (zstandard.CONTENTSIZE_UNKNOWN, raw_bytes):
        return int(said)
    return len(imagecodecs.zstd_decode(data, out=raw_bytes))


def _lzma(data: bytes, layout: PixelLayout, rows: int) -> int:
    raw_bytes = layout.raw_bytes(rows)
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=LZMA_MEMORY_BYTES)
    found = len(decoder.decompress(data, max_length=raw_bytes + 1))
    if found == raw_bytes and not decoder.eof:
        raise HeaderError("its end is missing")
    return found


@cache
def _lzw_schedule(phase: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return where the codes of a table begin and end, if its first begins at a bit of a byte: (bytes, bits).

    The other two are their shifts and masks in big-endian numbers of four bytes.
    """
    widths = np.concatenate([np.full(count, width) for count, width in _LZW_WIDTHS])
    ends = phase + np.cumsum(widths)
    starts = ends - widths
    return starts // 8, ends, (32 - starts % 8 - widths).astype(np.uint32), ((1 << widths) - 1).astype(np.uint32)


def check_lzw(data: bytes) -> None:
    """Check the codes that follow Clear codes in a stream of LZW (TIFF 6.0, section 13).

    imagecodecs takes any code that follows a Clear code for a byte; for another code it reads out of bounds and may
    crash the process. The widths of codes follow from their number since the last Clear code, so that all codes of a
    table of strings are checked at once. Time: linear in the size of the data.
    """
    if len(data) >= 2 and data[0] == 0 and data[1] & 1:
        raise UnsupportedError("LZW of before TIFF 6.0 cannot be decoded here")
    if len(data) < 2 or int.from_bytes(data[:2], "big") >> 7 != _CLEAR:
        raise HeaderError("it does not begin with a Clear code")
    words = np.ndarray((len(data),), ">u4", data + bytes(4), strides=(1,))
    position = 9  # behind a Clear code, in bits
    for _ in range(len(data) // _BYTES_PER_CLEAR + _MOST_CLEARS_BESIDE - 1):
        first = position // 8
        starts, ends, shifts, masks = _lzw_schedule(position % 8)
        count = int(np.searchsorted(ends, 8 * (len(data) - first), side="right"))
        found = words[first : first + _MOST_TABLE_BYTES].take(starts[:count]).astype(np.uint32)
        codes = found >> shifts[:count] & masks[:count]
        if count and codes[0] > _END:
            raise HeaderError(f"code {codes[0]} follows a Clear code, where a byte should")
        is_either = codes | 1 == _END
        number = int(is_either.argmax()) if count else 0
        if count == _MOST_CODES and not is_either[number]:
            raise HeaderError("a table of strings has too many")
        if not count or codes[number] != _CLEAR:  # the information ends
            return
        position = 8 * first + int(ends[number])
    raise HeaderError("it has a Clear code more often than any encoder writes one")


# Codecs for images.


def _check(size: ImageSize, layout: PixelLayout, rows: int, samples: int | None = None) -> None:
    """Raise HeaderError if the size in an image's header is not the tile's, UnsupportedError if it is not decoded."""
    said, wanted = (size.width_px, size.height_px), (layout.tile_width_px, rows)
    if said != wanted:
        raise HeaderError(f"it is {said[0]} x {said[1]} pixels, where the tile has {wanted[0]} x {wanted[1]}")
    if samples is not None and size.samples != samples:
        raise HeaderError(f"it has {size.samples} samples a pixel, where the tile has {samples}")
    if size.bits and size.bits != layout.bits:
        raise HeaderError(f"its samples have {size.bits} bits, where the tile's have {layout.bits}")
    if not size.is_supported:
        raise UnsupportedError("it is of a kind that cannot be decoded here")


def _jpeg(data: bytes, layout: PixelLayout, rows: int) -> None:
    samples = layout.tile_samples
    size = jpeg_size(data)
    _check(size, layout, rows, samples)
    # A scan of a few bytes is a pass over all pixels. Without progression there is a scan for each sample at most.
    work_bytes = size.scans * layout.raw_bytes(rows)
    if size.scans > samples and work_bytes > WORK_BYTES_PER_BYTE * (len(data) + _JPEG_HEAD_BYTES):
        raise UnsupportedError(f"it has {size.scans} scans, which take more work than its {len(data)} bytes explain")
    if samples > 4:
        raise UnsupportedError(f"JPEG of {samples} samples a pixel cannot be decoded here")
    spaces = {1: "GRAYSCALE", 3: "YCBCR" if layout.photometric == YCBCR else "RGB", 4: "CMYK"}
    space = spaces.get(samples, "UNKNOWN")
    imagecodecs.jpeg8_decode(data, tables=layout.jpeg_tables or None, colorspace=space, outcolorspace=space)


def _webp(data: bytes, layout: PixelLayout, rows: int) -> None:
    _check(webp_size(data), layout, rows)
    _check_shape(imagecodecs.webp_decode(data, hasalpha=layout.tile_samples == 4), layout, rows)


def _jxl(data: bytes, layout: PixelLayout, rows: int) -> None:
    # Sizes, bits and channels are in the header, so that the memory of the decoder is known before.
    _check(jxl_size(data, layout.tile_samples), layout, rows)
    pixels = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    if layout.tile_samples <= 4:  # further samples may be extra channels, which are not returned
        _check_shape(pixels, layout, rows)


def _check_shape(pixels: Any, layout: PixelLayout, rows: int) -> None:
    shape = (rows, layout.tile_width_px, layout.tile_samples)
    if pixels.size != math.prod(shape) or 8 * pixels.itemsize != layout.bits:
        raise HeaderError(f"it becomes {pixels.shape} {pixels.dtype}, where the tile is {shape} {layout.kind_name}")


def _lerc(data: bytes, layout: PixelLayout, rows: int) -> None:
    # A mask may follow the pixels: a bit for each, or next to nothing.
    most_bytes = 2 * layout.raw_bytes(rows) + _OVERHEAD_BYTES
    blob = data
    if layout.lerc_following == 1:
        inflater = zlib.decompressobj()
        blob = inflater.decompress(data, most_bytes)
        if not inflater.eof:
            raise HeaderError("its deflate stream is cut short, or too long")
    elif layout.lerc_following == 2:
        if 0 <= zstandard.get_frame_parameters(data).content_size > most_bytes:
            raise HeaderError("its zstd frame is too long")
        blob = bytes(imagecodecs.zstd_decode(data, out=most_bytes))
    size, samples = lerc_size(blob), layout.tile_samples
    # libtiff stores the last sample of tiles as LERC's mask, where it is alpha of uint8 that is 0 or 255.
    may_be_mask = layout.extra_samples[-1:] == (_UNASSOCIATED_ALPHA,) and layout.kind_name == "uint8" and samples > 1
    if may_be_mask and size.samples == samples - 1:
        samples -= 1
    _check(size, layout, rows, samples)
    check_lerc(blob)
    imagecodecs.lerc_decode(blob, masks=True)


_DECODERS: Mapping[str, _Decoder] = {
    "NONE": lambda data, _, __: len(data),
    "LZW": _lzw,
    "DEFLATE": _strict(imagecodecs.deflate_decode),
    "PACKBITS": _strict(imagecodecs.packbits_decode),
    "ZSTD": _zstd,
    "LZMA": _lzma,
    **dict.fromkeys(("LERC", "LERC_DEFLATE", "LERC_ZSTD"), _lerc),
    "JPEG": _jpeg,
    "WEBP": _webp,
    "JXL": _jxl,
}
