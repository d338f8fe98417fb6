"""Codecs that know pixels: JPEG, WebP, JPEG XL and LERC, as TIFF holds them.

References:
    Adobe Photoshop TIFF Technical Note 2 (1995), "Replacement TIFF/JPEG specification"; ITU-T T.81, annex B (JPEG);
    ISO/IEC 18181 (JPEG XL); Esri's LERC specification, version 2.4; libtiff's codec 34887, whose choices of masks are
    followed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from georeader._tiff.directories import TagNumber, TagType
from georeader.errors import WriteError

_SOI, _EOI, _SOS, _DQT, _APP0, _APP14 = b"\xff\xd8", b"\xff\xd9", 0xDA, 0xDB, 0xE0, 0xEE

#: PhotometricInterpretation of tiles that the encoder converted from RGB.
YCBCR = 6

#: Tags of YCbCr as JFIF has it: one chroma sample for 2x2 pixels.
YCBCR_TAGS = (
    (int(TagNumber.YCBCR_SUBSAMPLING), int(TagType.SHORT), (2, 2)),
    (int(TagNumber.REFERENCE_BLACK_WHITE), int(TagType.RATIONAL), (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),
)


@dataclass(frozen=True)
class JpegScheme:
    """Baseline JPEG with Huffman tables made for each tile, as GDAL writes it."""

    quality: int
    is_rgb: bool  #: Convert three samples to YCbCr with one chroma sample for 2x2 pixels; else code bands as they are.
    tables: bytes  #: Quantisation tables of all tiles: the value of the tag JPEGTables.

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress, without the quantisation tables: the directory holds them once for all tiles."""
        data, tables = split_tables(_jpeg_stream(tile, self.quality, self.is_rgb))
        if tables != self.tables:
            raise WriteError(
                "compress='jpeg' made a tile with other quantisation tables than the file's; use lzw, deflate or zstd"
            )
        return data

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress, and convert YCbCr back to RGB."""
        colours: dict[str, Any] = {}
        if shape[2] > 1:
            colours = {"colorspace": "YCBCR" if self.is_rgb else "RGB", "outcolorspace": "RGB"}
        pixels: NDArray[Any] = imagecodecs.jpeg8_decode(data, tables=self.tables, **colours)
        return pixels.reshape(shape)


def jpeg_scheme(*, quality: int, is_rgb: bool, samples: int) -> JpegScheme:
    """Return a scheme with its tables, which depend only on quality and colours."""
    _, tables = split_tables(_jpeg_stream(np.zeros((16, 16, samples), np.uint8), quality, is_rgb))
    return JpegScheme(quality, is_rgb, tables)


def _jpeg_stream(tile: NDArray[Any], quality: int, is_rgb: bool) -> bytes:
    """Compress to a stream with its tables."""
    options: dict[str, Any] = {"level": quality, "optimize": True}
    if tile.shape[2] == 1:
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile[:, :, 0]), **options))
    options |= {"subsampling": "420"} if is_rgb else {"outcolorspace": "RGB"}
    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), colorspace="RGB", **options))


def split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """Split a JPEG stream into data and quantisation tables, which become a stream of their own.

    The data has no markers APP0 and APP14, whose content TIFF has in tags.
    """
    if stream[:2] != _SOI:
        raise ValueError("this is not a JPEG stream")
    kept, tables, position = [_SOI], [_SOI], len(_SOI)
    while True:
        marker, length = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4], "big")
        if marker == _SOS:
            return b"".join([*kept, stream[position:]]), b"".join([*tables, _EOI])
        segment = stream[position : position + 2 + length]
        if marker == _DQT:
            tables.append(segment)
        elif marker not in (_APP0, _APP14):
            kept.append(segment)
        position += 2 + length


@dataclass(frozen=True)
class WebpScheme:
    """libtiff's codec 50001: one WebP image a tile.

    libwebp omits an alpha band that is 255 everywhere. Readers of four bands restore it (libtiff since 4.4), and GDAL
    writes such tiles, too.
    """

    quality: int  #: 1 to 100; without losses libwebp takes it as effort.
    lossless: bool  #: Keep every sample, colours below alpha 0 too.

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress."""
        pixels = np.ascontiguousarray(tile)
        return bytes(imagecodecs.webp_encode(pixels, level=self.quality, lossless=self.lossless, method=4))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress."""
        pixels: NDArray[Any] = imagecodecs.webp_decode(data, hasalpha=shape[2] == 4)
        return pixels


@dataclass(frozen=True)
class JxlScheme:
    """GDAL's codec 50002: one JPEG XL image a tile (ISO/IEC 18181)."""

    effort: int
    distance: float | None  #: Largest visible difference, in Butteraugli's unit; None: lossless.

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress in the calling thread only, which gives the same bytes each time."""
        pixels = np.ascontiguousarray(tile[:, :, 0] if tile.shape[2] == 1 else tile)
        loss = {"lossless": True} if self.distance is None else {"lossless": False, "distance": self.distance}
        return bytes(imagecodecs.jpegxl_encode(pixels, effort=self.effort, usecontainer=False, numthreads=1, **loss))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress."""
        pixels: NDArray[Any] = imagecodecs.jpegxl_decode(data, numthreads=1)
        return pixels.reshape(shape)


#: Version of the format, as the tag LercParameters has it.
LERC_VERSION = 4


@dataclass(frozen=True)
class LercScheme:
    """libtiff's codec 34887.

    NaN is not stored as a value. Where all bands of a pixel are NaN or none is, one mask marks them; else bands are
    stored one after the other, each with a mask. NaN is decoded as NaN, without its payload bits.
    """

    max_z_error: float  #: Below 1, integers are exact.
    compress: Callable[[bytes], bytes] = bytes  #: The codec that follows LERC.
    decompress: Callable[[bytes], bytes] = bytes

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress."""
        pixels, masks, planar = _with_masks(np.ascontiguousarray(tile))
        # With a buffer the encoder does not run twice to find the size. It leaves the padding bits of the last word as
        # they are: a buffer of zeros makes them the same each time.
        room = bytearray(4096 + pixels.nbytes + pixels.nbytes // 3 + (0 if masks is None else masks.nbytes // 4))
        blob = imagecodecs.lerc_encode(
            pixels, level=self.max_z_error, masks=masks, version=LERC_VERSION, planar=planar, out=room
        )
        return self.compress(bytes(blob))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress, with NaN where a mask marks it."""
        pixels, is_valid = imagecodecs.lerc_decode(self.decompress(data), masks=True)
        if pixels.shape == (shape[2], *shape[:2]) and shape[2] > 1 and is_valid is not None and is_valid.ndim == 3:
            pixels, is_valid = np.moveaxis(pixels, 0, 2), np.moveaxis(is_valid, 0, 2)
        tile: NDArray[Any] = np.array(pixels).reshape(shape)
        if is_valid is not None:
            tile[~is_valid] = np.nan
        return tile


def _with_masks(tile: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None, bool]:
    """Return pixels, masks of those that are numbers, and whether bands are stored one after the other."""
    squeezed = tile[:, :, 0] if tile.shape[2] == 1 else tile
    is_nan = np.isnan(tile) if tile.dtype.kind == "f" else None
    if is_nan is None or not is_nan.any():
        return squeezed, None, False
    is_empty: NDArray[np.bool_] = is_nan.all(axis=2)
    if np.array_equal(is_empty, is_nan.any(axis=2)):
        return squeezed, ~is_empty, False
    return np.ascontiguousarray(np.moveaxis(tile, 2, 0)), np.ascontiguousarray(~np.moveaxis(is_nan, 2, 0)), True
