"""LZW streams that every reader decodes, web viewers among them.

imagecodecs lets its table of strings grow to code 4094 before it clears it, and may use the last two codes; libtiff
clears it two codes earlier. geotiff.js, with which most web viewers read a GeoTIFF, has no room for codes 4093 and 4094
and never returns from them. They are rare, but occur in constant areas behind noise, such as nodata. The content of
such a table is encoded again as two tables, which replace it at the bit: tables are independent of one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import imagecodecs

#: Widths of codes in bits, and the last code since a Clear code that has each (TIFF 6.0, section 13).
_WIDTHS = ((9, 254), (10, 766), (11, 1790), (12, 3838))

#: Codes that imagecodecs writes before it clears its table.
CODES_PER_TABLE = _WIDTHS[-1][1]

#: The first code that geotiff.js has no room for.
FIRST_UNSAFE_CODE = 4093

_CLEAR, _CLEAR_BITS = 256, 9  # the code at the start


def _bits(codes: int) -> int:
    """Return the length in bits of a number of codes after a Clear code."""
    total, before = 0, 0
    for width, last in _WIDTHS:
        total += width * (min(codes, last) - min(codes, before))
        before = last
    return total


#: Length of all codes of a table, with the Clear code behind them.
TABLE_BITS = _bits(CODES_PER_TABLE) + 12


def encode(content: memoryview) -> bytes:
    """Compress bytes to one stream."""
    encoded = bytes(imagecodecs.lzw_encode(content))  # type: ignore[arg-type]  # its stub leaves out memoryview
    tables = unsafe_tables(encoded)
    return _repaired(encoded, tables).to_bytes() if tables else encoded


def unsafe_tables(encoded: bytes) -> list[int]:
    """Return the tables of strings, counted from 0, whose last codes some readers do not decode.

    Only the last two codes of a full table can name strings that were entered so late.
    """
    found = []
    last_two_bits = _CLEAR_BITS + _bits(CODES_PER_TABLE - 2)
    for table, start in enumerate(range(last_two_bits, 8 * len(encoded) - 24, TABLE_BITS)):
        codes = int.from_bytes(encoded[start // 8 : start // 8 + 4], "big") >> (8 - start % 8)
        if codes & 0xFFF >= FIRST_UNSAFE_CODE or (codes >> 12) & 0xFFF >= FIRST_UNSAFE_CODE:
            found.append(table)
    return found


@dataclass(frozen=True)
class _Bits:
    """A run of bits, the first of which is the most significant."""

    value: int
    length: int

    def to_bytes(self) -> bytes:
        return (self.value << (-self.length % 8)).to_bytes(-(-self.length // 8), "big")


def _cut(encoded: bytes, start: int, stop: int) -> _Bits:
    """Return some bits of a stream."""
    end = -(-stop // 8)
    value = int.from_bytes(encoded[start // 8 : end], "big") >> (8 * end - stop)
    return _Bits(value & ((1 << (stop - start)) - 1), stop - start)


def _join(parts: Sequence[_Bits]) -> _Bits:
    """Concatenate runs, by halves, since each concatenation copies its operands."""
    if len(parts) == 1:
        return parts[0]
    left, right = _join(parts[: len(parts) // 2]), _join(parts[len(parts) // 2 :])
    return _Bits(left.value << right.length | right.value, left.length + right.length)


def _repaired(encoded: bytes, tables: Sequence[int]) -> _Bits:
    """Encode some tables of a stream again, and keep the others."""
    parts, done = [], 0
    for table in tables:
        start, stop = _CLEAR_BITS + table * TABLE_BITS, _CLEAR_BITS + (table + 1) * TABLE_BITS
        parts += [_cut(encoded, done, start), _again(_cut(encoded, start, stop))]
        done = stop
    return _join([*parts, _cut(encoded, done, _length_bits(encoded))])


def _again(table: _Bits) -> _Bits:
    """Encode the content of a full table and its Clear code as two tables, each followed by a Clear code."""
    content = bytes(imagecodecs.lzw_decode(_join([_Bits(_CLEAR, _CLEAR_BITS), table]).to_bytes()))
    middle = len(content) // 2
    halves = []
    for half in (content[:middle], content[middle:]):
        encoded = bytes(imagecodecs.lzw_encode(half))
        bits = _repaired(encoded, unsafe_tables(encoded))
        # Without the Clear code at the start; 257, end of information, becomes 256, Clear.
        length = bits.length - _CLEAR_BITS
        halves.append(_Bits((bits.value & ((1 << length) - 1)) - 1, length))
    return _join(halves)


def _length_bits(encoded: bytes) -> int:
    """Return the length of a stream without the padding of its last byte, which is narrower than a code."""
    tables, rest_bits = divmod(8 * len(encoded) - _CLEAR_BITS, TABLE_BITS)
    if rest_bits < _WIDTHS[0][0]:  # the last table is full, and the end-of-information code in its place
        tables, rest_bits = tables - 1, rest_bits + TABLE_BITS
    codes = used_bits = 0
    for width, last in (*_WIDTHS, (12, CODES_PER_TABLE + 1)):
        fitting = min(last - codes, (rest_bits - used_bits) // width)
        codes, used_bits = codes + fitting, used_bits + fitting * width
        if codes < last:
            break
    return _CLEAR_BITS + tables * TABLE_BITS + used_bits
