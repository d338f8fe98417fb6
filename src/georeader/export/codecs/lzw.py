"""LZW whose streams every reader takes, web viewers among them.

imagecodecs lets its table of strings grow to code 4094 before it clears it, and may use the last two codes, where
libtiff clears it two codes earlier. geotiff.js, by which most web viewers read a GeoTIFF, has no room for codes 4093
and 4094 and never comes back from them. They are rare, but constant areas behind noise (nodata, say) bring them about.
Such a stream is cut in front of them into two, which are joined at the bit; all that it costs is a cleared table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
from numpy.typing import NDArray

#: Widths of codes in bits, and after how many codes since the last clearing each ends (TIFF 6.0, section 13).
_WIDTHS = ((9, 254), (10, 766), (11, 1790), (12, 3838))

#: Codes that imagecodecs writes before it clears its table.
CODES_PER_TABLE = _WIDTHS[-1][1]

#: The first code that geotiff.js has no room for.
FIRST_UNSAFE_CODE = 4093

_CLEAR_BITS = 9  # of the Clear code at the start


def _bits(codes: int) -> int:
    """Give the length of so many codes after a clearing."""
    total, before = 0, 0
    for width, last in _WIDTHS:
        total += width * (min(codes, last) - min(codes, before))
        before = last
    return total


def _width(code: int) -> int:
    """Give the width of a code, counted from 1 after a clearing."""
    return next(width for width, last in (*_WIDTHS, (12, code)) if code <= last)


#: Length of all codes of a table, with the Clear code behind them.
TABLE_BITS = _bits(CODES_PER_TABLE) + 12


@dataclass(frozen=True)
class Lzw:
    """TIFF 6.0, section 13."""

    def compress(self, rows: NDArray[Any], /) -> bytes:
        """Compress."""
        rest: Any = rows.data.cast("B")
        parts: list[bytes] = []
        while True:
            encoded = bytes(imagecodecs.lzw_encode(rest))
            table = first_unsafe_table(encoded)
            if table is None:
                break
            # As far as the middle of that table, the left part gets the same codes as before.
            middle_bits = _CLEAR_BITS + table * TABLE_BITS + TABLE_BITS // 2
            cut = len(imagecodecs.lzw_decode(encoded[: middle_bits // 8]))
            parts.append(bytes(imagecodecs.lzw_encode(rest[:cut])))
            rest = rest[cut:]
        for part in reversed(parts):
            encoded = join(part, encoded)
        return encoded

    def decompress(self, data: bytes, size_bytes: int, /) -> bytes:
        """Decompress."""
        return bytes(imagecodecs.lzw_decode(data, out=size_bytes))


def first_unsafe_table(encoded: bytes) -> int | None:
    """Find the first table of strings, counted from 0, whose last codes not every reader takes.

    Only the last two codes of a full table can name strings that were entered so late.

    Args:
        encoded: One stream of imagecodecs'.
    """
    last_two_bits = _CLEAR_BITS + _bits(CODES_PER_TABLE - 2)
    for table, start in enumerate(range(last_two_bits, 8 * len(encoded) - 24, TABLE_BITS)):
        word = int.from_bytes(encoded[start // 8 : start // 8 + 4], "big")
        codes = word >> (8 - start % 8)
        if codes & 0xFFF >= FIRST_UNSAFE_CODE or (codes >> 12) & 0xFFF >= FIRST_UNSAFE_CODE:
            return table
    return None


def join(left: bytes, right: bytes) -> bytes:
    """Make one stream of two.

    The end-of-information code of the first becomes a Clear code, in place of the one that the second begins with.

    Args:
        left: One stream of imagecodecs'.
        right: Any stream.

    Example:
        >>> parts = [bytes(imagecodecs.lzw_encode(data)) for data in (b"abab", b"cdcd")]
        >>> bytes(imagecodecs.lzw_decode(join(*parts)))
        b'ababcdcd'
    """
    padding_bits = 8 * len(left) - _length_bits(left)
    head = int.from_bytes(left, "big") >> padding_bits
    tail_bits = 8 * len(right) - _CLEAR_BITS
    tail = int.from_bytes(right, "big") & ((1 << tail_bits) - 1)
    total_bits = 8 * len(left) - padding_bits + tail_bits
    joined = ((head - 1) << tail_bits) | tail  # 257, end of information, becomes 256, clear
    return (joined << (-total_bits % 8)).to_bytes(-(-total_bits // 8), "big")


def _length_bits(encoded: bytes) -> int:
    """Give the length of a stream without the zeros that fill its last byte: codes are wider than those can be."""
    tables, rest_bits = divmod(8 * len(encoded) - _CLEAR_BITS, TABLE_BITS)
    if rest_bits < _width(1):  # the last table is full, and the end-of-information code in its place
        tables, rest_bits = tables - 1, rest_bits + TABLE_BITS
    codes = 0
    used_bits = 0
    for width, last in (*_WIDTHS, (12, CODES_PER_TABLE + 1)):
        fitting = min(last - codes, (rest_bits - used_bits) // width)
        codes, used_bits = codes + fitting, used_bits + fitting * width
        if codes < last:
            break
    return _CLEAR_BITS + tables * TABLE_BITS + used_bits
