"""Sizes of JPEG, WebP and JPEG XL images, read from their headers before an image is decoded. Pure.

References:
    ITU-T T.81, annex B (JPEG); RFC 9649 (WebP); ISO/IEC 18181-1 and -2 (JPEG XL).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace

#: Most scans of a JPEG stream, each a pass over the image in libjpeg; libtiff has the same limit.
MAX_JPEG_SCANS = 100

#: A marker in a JPEG stream's entropy-coded data.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class HeaderError(ValueError):
    """Bytes that are not such an image."""


class UnsupportedError(ValueError):
    """Bytes that may be right, but are not decoded here."""


@dataclass(frozen=True)
class ImageSize:
    """The header of an image."""

    width_px: int
    height_px: int
    samples: int = 0  #: Of a pixel; 0: unknown.
    bits: int = 0  #: Of a sample; 0: unknown.
    is_supported: bool = True  #: It can be decoded here.
    scans: int = field(default=1, repr=False)  #: Passes over the image that a decoder makes, of JPEG.


def jpeg_size(data: bytes) -> ImageSize:
    """Read the size in a JPEG stream, and check all of its markers to its end; raise HeaderError if it is not whole."""
    if data[:2] != b"\xff\xd8":
        raise HeaderError("it does not begin as a JPEG stream does")
    size: ImageSize | None = None
    position, scans = 2, 0
    while True:
        marker, position = _marker(data, position)
        if marker == _EOI and size is not None and scans:
            return replace(size, scans=scans)
        if marker in (_EOI, _SOI) or scans > MAX_JPEG_SCANS or position + 2 > len(data):
            raise HeaderError("its markers are not those of a whole JPEG stream")
        length = int.from_bytes(data[position : position + 2], "big")
        if marker in _FRAMES:
            if min(length, len(data) - position) < 8 or size is not None:
                raise HeaderError("its frame header is invalid")
            bits, height, width, samples = struct.unpack_from(">BHHB", data, position + 2)
            is_supported = marker in (0xC0, 0xC1, 0xC2) and bits in (8, 12)
            size = ImageSize(width, height, samples, bits, is_supported)
        position += max(2, length)
        if marker == _SOS:
            scans += 1
            found = _MARKER.search(data, position)
            if found is None:
                raise HeaderError("it ends before its end-of-image marker")
            position = found.start()


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """Return a marker and its end; it may be preceded by bytes of 255."""
    while data[position : position + 2] == b"\xff\xff":
        position += 1
    if len(data) < position + 2 or data[position] != 0xFF:
        raise HeaderError(f"there is no marker at its byte {position}")
    return data[position + 1], position + 2


def webp_size(data: bytes) -> ImageSize:
    """Read the size of a WebP image; raise HeaderError if it is not one."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 25:
        raise HeaderError("it does not begin as a WebP image does")
    chunk = data[12:16]
    if chunk == b"VP8L" and data[20] == 0x2F:
        packed = int.from_bytes(data[21:25], "little")
        return ImageSize((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, bits=8)
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a" and len(data) >= 30:
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageSize(width & 0x3FFF, height & 0x3FFF, bits=8)
    if chunk == b"VP8X" and len(data) >= 30:
        is_animated = bool(data[20] & 2)
        width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (24, 27))
        return ImageSize(width, height, bits=8, is_supported=not is_animated)
    raise HeaderError(f"its first chunk is {chunk!r}, which WebP does not begin with")


#: Bytes at the beginning of a JPEG XL image that hold its header.
_JXL_HEADER_BYTES = 64

#: JPEG XL's ratios of width to height, by their numbers; 0: the width is stored.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


def jxl_size(data: bytes, most_samples: int = 4) -> ImageSize:
    """Read size and kind of samples of a JPEG XL image, bare or in its container.

    An image with more than ``most_samples`` is refused: each takes memory, for any number of pixels.
    """
    stream = data if data[:2] == b"\xff\x0a" else _jxl_codestream(data)
    if stream[:2] != b"\xff\x0a":
        raise HeaderError("it does not begin as a JPEG XL image does")
    bits = _Bits(int.from_bytes(stream[2:_JXL_HEADER_BYTES].ljust(_JXL_HEADER_BYTES, b"\0"), "little"))
    width, height = _jxl_dimensions(bits)
    if bits.take(1):  # all else has its default: 8 bits, and no extra channel
        return ImageSize(width, height, bits=8)
    if bits.take(1):
        bits.take(3)  # orientation
        if bits.take(1):
            _jxl_dimensions(bits)
        if bits.take(2):  # a preview or an animation, which no tile has
            return ImageSize(width, height, is_supported=False)
    if bits.take(1):  # floating-point
        sample_bits = bits.take_number((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)  # of the exponent
    else:
        sample_bits = bits.take_number((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)
    extra = bits.take_number((0, 0), (1, 0), (2, 4), (1, 12))
    if extra >= most_samples:
        raise HeaderError(f"it has {extra} extra channels, where a pixel has {most_samples} samples")
    return ImageSize(width, height, bits=sample_bits)


def _jxl_dimensions(bits: _Bits) -> tuple[int, int]:
    is_small = bits.take(1) == 1
    height = (bits.take(5) + 1) * 8 if is_small else bits.take_size()
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height * across // down, height
    return (bits.take(5) + 1) * 8 if is_small else bits.take_size(), height


class _Bits:
    """Bits, the least significant first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def take_number(self, *choices: tuple[int, int]) -> int:
        """Take a number that is stored as a choice of (least value, further bits)."""
        least, further = choices[self.take(2)]
        return least + self.take(further)

    def take_size(self) -> int:
        return self.take_number((1, 9), (1, 13), (1, 18), (1, 30))


def _jxl_codestream(data: bytes) -> bytes:
    """Find the beginning of the codestream in a container of boxes."""
    position = 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        begin = position + 8
        if length == 1 and position + 16 <= len(data):
            length, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
        if kind in (b"jxlc", b"jxlp"):
            begin += 4 if kind == b"jxlp" else 0
            return data[begin : begin + _JXL_HEADER_BYTES]
        if length < 8:
            break
        position += length
    return b""
