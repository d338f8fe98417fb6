"""Checks that a stream of LZW is safe to decode. Pure.

imagecodecs takes any code that follows a Clear code for a byte. Where it is not one, the decoder reads out of bounds
and may crash the process. So that code is checked first: widths of codes follow from how many came since the last
Clear code, so that all codes of a table of strings are found at once.

References:
    TIFF 6.0, section 13.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.validation.image_headers import HeaderError, UnsupportedError

_CLEAR, _END = 256, 257

#: Codes since a Clear code, up to where their width grows, and those widths.
_WIDTHS = ((254, 9), (766, 10), (1790, 11), (4200, 12))

#: No table has more strings: 12 bits are not enough to name them.
_MOST_CODES = _WIDTHS[-1][0]


#: Encoders clear a table that is full, or after 10,000 bytes of pixels, which take at least 150 bytes of data. Each
#: search for the next Clear code takes as long as a whole table, so streams with more Clear codes are refused.
_BYTES_PER_CLEAR, _MOST_CLEARS_BESIDE = 64, 16


@cache
def _schedule() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the first bit of each code since a Clear code, and the widths of codes."""
    widths = np.empty(_MOST_CODES, np.int64)
    before = 0
    for last, width in _WIDTHS:
        widths[before:last] = width
        before = last
    return np.concatenate([[0], np.cumsum(widths)[:-1]]), widths


@cache
def _masks(phase: int) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]:
    """Give, for codes that begin at a bit of a byte: their bytes, and mask and value of Clear and end-of-information.

    Both are those of four bytes that were read as a little-endian number, though the first bit is the most significant.
    """
    bits, widths = _schedule()
    starts = bits + phase
    shifts = (32 - starts % 8 - widths).astype(np.uint32)
    all_but_last = ((1 << widths) - 2).astype(np.uint32)  # 256 and 257 differ in their last bit
    return starts // 8, (all_but_last << shifts).byteswap(), (np.uint32(_CLEAR) << shifts).byteswap()


def check_lzw(data: bytes) -> None:
    r"""Check the codes that follow Clear codes.

    Args:
        data: A stream.

    Raises:
        HeaderError: It does not begin with a Clear code, what follows one is not a byte, a table never ends, or there
            are more Clear codes than encoders write.
        UnsupportedError: Bits stand the other way round, as before TIFF 6.0.

    Time: linear in the size of the data.

    Example:
        >>> check_lzw(bytes.fromhex("800042020f"))
    """
    if len(data) >= 2 and data[0] == 0 and data[1] & 1:
        raise UnsupportedError("LZW of before TIFF 6.0 can't be decoded here")
    padded = data + bytes(8)
    words = np.ndarray((len(data) + 4,), "<u4", padded, strides=(1,))
    stop = 8 * len(data)
    position = 0
    clears_left = len(data) // _BYTES_PER_CLEAR + _MOST_CLEARS_BESIDE
    if _code(words, position, stop) != _CLEAR:
        raise HeaderError("it does not begin with a Clear code")
    while True:
        position += 9
        clears_left -= 1
        code = _code(words, position, stop)
        while code == _CLEAR and clears_left > 0:
            position += 9
            clears_left -= 1
            code = _code(words, position, stop)
        if clears_left <= 0:
            raise HeaderError("it has a Clear code more often than any encoder writes one")
        if code == _END:
            return
        if code > _END:
            raise HeaderError(f"code {code} follows a Clear code, where a byte should")
        position, width = _next_clear(words, position, stop)
        if width == 0:
            return
        position += width - 9


def _code(words: NDArray[Any], position: int, stop: int) -> int:
    """Give the code of nine bits at a position; behind the end it is that of the end of information."""
    if position + 9 > stop:
        return _END
    word = int(words[position // 8].byteswap())
    return word >> (23 - position % 8) & 0x1FF


def _next_clear(words: NDArray[Any], position: int, stop: int) -> tuple[int, int]:
    """Give where the next Clear code begins, and its width; 0: the information ends before."""
    starts, masks, wanted = _masks(position % 8)
    bits, widths = _schedule()
    count = int(np.searchsorted(bits + widths, stop - position, side="right"))
    first = position // 8
    found = words[first : first + int(starts[count - 1]) + 1].take(starts[:count]) if count else words[:0]
    is_either = (found & masks[:count]) == wanted[:count]
    number = int(is_either.argmax()) if count else 0
    if not count or not is_either[number]:
        if count == _MOST_CODES:
            raise HeaderError("a table of strings has too many")
        return position, 0
    width = int(widths[number])
    at = position + int(bits[number])
    code = int(words[at // 8].byteswap()) >> (32 - at % 8 - width) & ((1 << width) - 1)
    return at, width if code == _CLEAR else 0
