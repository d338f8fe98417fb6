"""LZW streams that every reader decodes, web viewers among them.

Encoder and decoder are a C extension; it writes the same bytes as libtiff, and decodes twice as fast. Where it was not
compiled, imagecodecs does both.

imagecodecs lets its table of strings grow to code 4094 before it clears it, and may use the last two codes; libtiff
clears it two codes earlier. geotiff.js, with which most web viewers read a GeoTIFF, has no room for codes 4093 and 4094
and never returns from them. They are rare, but occur in constant areas behind noise, such as nodata. The content of
such a table is encoded again as two tables, which replace it at the bit: tables are independent of one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import imagecodecs
import numpy as np
from numpy.typing import NDArray

try:
    from georeader._codecs._lzw import lzw_decode, lzw_encode
except ImportError:  # installed without a C compiler
    lzw_encode = lzw_decode = None  # type: ignore[assignment]

_IS_NATIVE = lzw_encode is not None

#: Widths of codes in bits, and the last code since a Clear code that has each (TIFF 6.0, section 13).
_WIDTHS = ((9, 254), (10, 766), (11, 1790), (12, 3838))

#: Codes that imagecodecs writes before it clears its table.
CODES_PER_TABLE = _WIDTHS[-1][1]

#: The first code that geotiff.js has no room for.
FIRST_UNSAFE_CODE = 4093

#: Bits of the code 256 at the start.
_CLEAR = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0], np.uint8)
_CLEAR_BITS = len(_CLEAR)


def _bits(codes: int) -> int:
    """Return the length in bits of a number of codes after a Clear code."""
    total, before = 0, 0
    for width, last in _WIDTHS:
        total += width * (min(codes, last) - min(codes, before))
        before = last
    return total


#: Length of all codes of a table, with the Clear code behind them.
TABLE_BITS = _bits(CODES_PER_TABLE) + 12


def encoder_name() -> str:
    """Return which encoder is in use."""
    return "native" if _IS_NATIVE else f"imagecodecs {imagecodecs.__version__}"


def encode(content: memoryview) -> bytes:
    """Compress bytes to one stream."""
    return lzw_encode(content) if _IS_NATIVE else encode_by_imagecodecs(content)


def decode(data: bytes, size_bytes: int) -> bytes:
    """Decompress a stream to at most that many bytes; raises ValueError or RuntimeError where it is none."""
    return lzw_decode(data, size_bytes) if _IS_NATIVE else bytes(imagecodecs.lzw_decode(data, out=size_bytes))


def encode_by_imagecodecs(content: memoryview | bytes) -> bytes:
    """Compress bytes to one stream, without the codes that some readers do not decode."""
    encoded = bytes(imagecodecs.lzw_encode(content))  # type: ignore[arg-type]  # its stub leaves out memoryview
    tables = unsafe_tables(encoded)
    return _packed(_repaired(encoded, tables)) if tables else encoded


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


def _repaired(encoded: bytes, tables: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Iterate over the bits of a stream, table by table; some tables are encoded again."""
    length, unsafe = _length_bits(encoded), set(tables)
    yield _cut(encoded, 0, _CLEAR_BITS)
    for table, start in enumerate(range(_CLEAR_BITS, length, TABLE_BITS)):
        bits = _cut(encoded, start, min(start + TABLE_BITS, length))
        yield _again(bits) if table in unsafe else bits


def _cut(encoded: bytes, start: int, stop: int) -> NDArray[np.uint8]:
    """Return some bits of a stream."""
    bits = np.unpackbits(np.frombuffer(encoded, np.uint8)[start // 8 : -(-stop // 8)])
    return bits[start % 8 : start % 8 + stop - start]


def _again(table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encode the content of a full table and its Clear code as two tables, each followed by a Clear code."""
    content = bytes(imagecodecs.lzw_decode(_packed([_CLEAR, table])))
    middle = len(content) // 2
    halves = []
    for half in (content[:middle], content[middle:]):
        encoded = bytes(imagecodecs.lzw_encode(half))
        bits = np.concatenate([*_repaired(encoded, unsafe_tables(encoded))])[_CLEAR_BITS:]
        bits[-1] = 0  # 257, end of information, becomes 256, Clear
        halves.append(bits)
    return np.concatenate(halves)


def _packed(parts: Iterable[NDArray[np.uint8]]) -> bytes:
    """Pack runs of bits, which need not end at whole bytes, to a stream; one run is unpacked at a time."""
    packed, rest = bytearray(), np.empty(0, np.uint8)
    for part in parts:
        bits = np.concatenate([rest, part])
        whole = len(bits) // 8 * 8
        packed += np.packbits(bits[:whole]).tobytes()
        rest = bits[whole:]
    return bytes(packed + np.packbits(rest).tobytes())


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
