"""JPEG in TIFF: streams without their quantisation tables, which the directory holds once for all tiles.

References:
    Adobe Photoshop TIFF Technical Note 2 (1995), "Replacement TIFF/JPEG specification"; ITU-T T.81, annex B.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from georeader._tiff.directories import TagNumber, TagType
from georeader.errors import WriteError

_SOI, _EOI, _SOS, _DQT, _APP0, _APP14 = b"\xff\xd8", b"\xff\xd9", 0xDA, 0xDB, 0xE0, 0xEE

#: PhotometricInterpretation of tiles whose colours the encoder turned.
YCBCR = 6

#: Tags that say how YCbCr is meant: as JFIF does, each chroma sample for 2x2 pixels.
YCBCR_TAGS = (
    (int(TagNumber.YCBCR_SUBSAMPLING), int(TagType.SHORT), (2, 2)),
    (int(TagNumber.REFERENCE_BLACK_WHITE), int(TagType.RATIONAL), (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),
)


@dataclass(frozen=True)
class JpegScheme:
    """Baseline JPEG with Huffman tables made for each tile, as GDAL writes it.

    Attributes:
        quality: 1 to 100, libjpeg's.
        is_rgb: Turn three samples to YCbCr, with one chroma sample for 2x2 pixels; else bands are coded as they are.
        tables: Value of the tag JPEGTables that each stream is to go with; empty: not known yet.
    """

    quality: int
    is_rgb: bool
    tables: bytes = b""

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Compress, and take the quantisation tables out.

        Raises:
            WriteError: They are not those of the other tiles.
        """
        data, tables = split_tables(self.encode_whole(tile))
        if tables != self.tables:
            raise WriteError(
                "compress='jpeg' made a tile with other quantisation tables than the file's; use lzw, deflate or zstd"
            )
        return data

    def encode_whole(self, tile: NDArray[Any]) -> bytes:
        """Compress to a stream with everything in it."""
        options: dict[str, Any] = {"level": self.quality, "optimize": True}
        if tile.shape[2] == 1:
            return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile[:, :, 0]), **options))
        options |= {"subsampling": "420"} if self.is_rgb else {"outcolorspace": "RGB"}
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), colorspace="RGB", **options))

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Decompress, with colours turned back."""
        colours: dict[str, Any] = {}
        if shape[2] > 1:
            colours = {"colorspace": "YCBCR" if self.is_rgb else "RGB", "outcolorspace": "RGB"}
        pixels: NDArray[Any] = imagecodecs.jpeg8_decode(data, tables=self.tables, **colours)
        return pixels.reshape(shape)


def jpeg_scheme(*, quality: int, is_rgb: bool, samples: int) -> JpegScheme:
    """Give a scheme that knows its tables, which depend on nothing but quality and colours."""
    scheme = JpegScheme(quality=quality, is_rgb=is_rgb)
    _, tables = split_tables(scheme.encode_whole(np.zeros((16, 16, samples), np.uint8)))
    return JpegScheme(quality=quality, is_rgb=is_rgb, tables=tables)


def split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """Take a JPEG stream apart.

    Args:
        stream: A whole stream.

    Returns:
        ``(data, tables)``: the stream without quantisation tables and without the markers by which JPEG files say
        what TIFF says in tags, and the tables as a stream of their own.

    Raises:
        ValueError: It is no JPEG stream.

    Example:
        >>> data, tables = split_tables(imagecodecs.jpeg8_encode(np.zeros((8, 8), "uint8")))
        >>> data[2:4].hex(), tables[2:4].hex()
        ('ffc0', 'ffdb')
    """
    if stream[:2] != _SOI:
        raise ValueError("this is no JPEG stream")
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
