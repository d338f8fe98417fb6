"""CRC-32 of a file whose parts are written in any order, computed as they pass.

CRC-32 is the remainder of a division of polynomials over GF(2). So the sum of a whole follows from those of its parts
and their lengths: the first is multiplied by x to the power of the bits behind it, and the second is added. The power
takes one multiplication for each binary digit of the length.

References:
    ISO 3309, ITU-T V.42, section 8.1.1.6.2 (the polynomial); RFC 1952, section 8 (as gzip, zlib and PNG take it).
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from functools import reduce
from itertools import accumulate

import imagecodecs

from georeader.errors import WriteError

#: The polynomial, without its highest power; the highest bit is the lowest power, as everywhere below.
_POLYNOMIAL = 0xEDB88320

_ONE, _X = 1 << 31, 1 << 30


def crc32(data: bytes | memoryview, value: int = 0) -> int:
    """Compute the CRC-32 of bytes, or continue one: as `zlib.crc32` does, several times as fast."""
    # Some builds of imagecodecs lack zlib-ng.
    if not imagecodecs.ZLIBNG.available:
        return zlib.crc32(data, value)
    return imagecodecs.zlibng_crc32(data, value)  # type: ignore[arg-type]  # its stub leaves out memoryview


def crc32_combine(first: int, second: int, second_bytes: int) -> int:
    """Compute the CRC-32 of one run of bytes followed by another of ``second_bytes`` bytes."""
    return _times(_x_to_bytes(second_bytes), first) ^ second if first else second


def crc32_zeros(count: int) -> int:
    """Compute the CRC-32 of a number of zero bytes."""
    return _times(_x_to_bytes(count), 0xFFFFFFFF) ^ 0xFFFFFFFF


class ChecksummedFile:
    """Passes bytes on to a file and keeps the CRC-32 of every run of them; threads may write at once.

    A write that begins where a run ends continues its sum, which costs nothing beyond the new bytes; to combine two
    sums takes some 60 microseconds. Memory: one entry for each write that continued no run.
    """

    def __init__(self, write: Callable[..., None]) -> None:
        """Begin with nothing written; ``write(offset_bytes, *pieces)`` writes pieces one after the other."""
        self._write = write
        self._lock = threading.Lock()
        self._runs: dict[int, tuple[int, int]] = {}  # start and sum, by the end
        self._written_bytes = 0

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write bytes, one piece after the other, from an offset on."""
        length_bytes = sum(map(len, pieces))
        if not length_bytes:
            return
        with self._lock:
            start_bytes, value = self._runs.pop(offset_bytes, (offset_bytes, 0))
        value = reduce(lambda so_far, piece: crc32(piece, so_far), pieces, value)
        self._write(offset_bytes, *pieces)
        with self._lock:
            self._runs[offset_bytes + length_bytes] = start_bytes, value
            self._written_bytes += length_bytes

    def crc32(self, size_bytes: int) -> int:
        """Return the CRC-32 of the file with a length of ``size_bytes``; bytes that were not written are zeros.

        Where bytes were written twice, or beyond the end, the sum is not known: WriteError is raised.
        """
        runs = sorted((start, stop, value) for stop, (start, value) in self._runs.items())
        checksum = position = 0
        for start, stop, value in [*runs, (size_bytes, size_bytes, 0)]:
            if start < position or stop > size_bytes:
                raise WriteError(f"bytes {start} to {stop} were written across {position} or {size_bytes}")
            gap_bytes = start - position
            if gap_bytes:
                checksum = crc32_combine(checksum, crc32_zeros(gap_bytes), gap_bytes)
            checksum = crc32_combine(checksum, value, stop - start)
            position = stop
        if sum(stop - start for start, stop, _ in runs) != self._written_bytes:
            raise WriteError(f"some of {self._written_bytes} bytes were written twice")
        return checksum


def _times(one: int, other: int) -> int:
    """Multiply two polynomials, modulo the polynomial."""
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = (one << 1) & 0xFFFFFFFF
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product


#: x to the powers of 1, 2, 4, ... 2**31; x to the power of 2**32 is x again.
_POWERS = tuple(accumulate(range(31), lambda power, _: _times(power, power), initial=_X))


def _x_to_bytes(count: int) -> int:
    """Compute x to the power of the number of bits in a number of bytes."""
    power, digit = _ONE, 3  # 8 bits in a byte
    while count:
        if count & 1:
            power = _times(_POWERS[digit % 32], power)
        count, digit = count >> 1, digit + 1
    return power
