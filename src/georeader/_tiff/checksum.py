"""The CRC-32 of a file that is written in any order: of what passes on its way, with nothing read again.

CRC-32 is the remainder of a division of polynomials over GF(2). So the sum of a whole follows from those of its parts
and their lengths: the first is multiplied by x to the power of the bits behind it, and the second is added. The power
takes one multiplication for each binary digit of the length.

References:
    ISO 3309, ITU-T V.42, section 8.1.1.6.2 (the polynomial); RFC 1952, section 8 (as gzip, zlib and PNG take it).
"""

from __future__ import annotations

import bisect
import threading
import zlib
from collections.abc import Callable
from functools import reduce

import imagecodecs

from georeader.errors import WriteError

#: The polynomial, without its highest power; the highest bit is the lowest power, as everywhere below.
_POLYNOMIAL = 0xEDB88320

_ONE, _X = 1 << 31, 1 << 30


def crc32(data: bytes | memoryview, value: int = 0) -> int:
    """Compute the CRC-32 of bytes, or continue one: as `zlib.crc32` does, several times as fast.

    Example:
        >>> crc32(b"whole") == crc32(b"ole", crc32(b"wh")) == zlib.crc32(b"whole")
        True
    """
    # Some builds of imagecodecs lack zlib-ng.
    if not imagecodecs.ZLIBNG.available:
        return zlib.crc32(data, value)
    return imagecodecs.zlibng_crc32(data, value)  # type: ignore[arg-type]  # its stub leaves out memoryview


def crc32_combine(first: int, second: int, second_bytes: int) -> int:
    """Compute the CRC-32 of one run of bytes followed by another.

    Args:
        first: CRC-32 of the first run.
        second: CRC-32 of the second run.
        second_bytes: Its length.

    Example:
        >>> crc32_combine(crc32(b"wh"), crc32(b"ole"), 3) == crc32(b"whole")
        True
    """
    return _times(_x_to_bytes(second_bytes), first) ^ second if first else second


def crc32_zeros(count: int) -> int:
    """Compute the CRC-32 of a number of zero bytes.

    Example:
        >>> crc32_zeros(1000) == crc32(bytes(1000))
        True
    """
    return _times(_x_to_bytes(count), 0xFFFFFFFF) ^ 0xFFFFFFFF


def checksum_text(value: int) -> str:
    """Return a CRC-32 as text, as receipts show it.

    Example:
        >>> checksum_text(crc32(b""))
        'crc32:00000000'
    """
    return f"crc32:{value:08x}"


class ChecksummedFile:
    """Passes bytes on to a file, each once, and keeps the CRC-32 of every run of them. Threads may write at once.

    Memory: one entry for each run, of which there are few: neighbours are joined as soon as they touch.

    Example:
        >>> file = ChecksummedFile(lambda offset_bytes, *pieces: None)
        >>> file.write_at(3, b"file")
        >>> file.write_at(0, b"a")
        >>> file.crc32(7) == crc32(b"a" + bytes(2) + b"file")
        True
    """

    def __init__(self, write: Callable[..., None]) -> None:
        """Begin with nothing written.

        Args:
            write: Writes pieces, one after the other, from an offset on.
        """
        self._write = write
        self._lock = threading.Lock()
        self._starts: list[int] = []  # of the runs, from the first in the file to the last
        self._runs: dict[int, tuple[int, int]] = {}  # by their start: where they end, and their sum

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write bytes, one piece after the other, from an offset on.

        Raises:
            WriteError: What ``write`` raises.
        """
        stop_bytes = offset_bytes + sum(map(len, pieces))
        if stop_bytes == offset_bytes:
            return
        with self._lock:
            start_bytes, value = self._claim(offset_bytes)
        value = reduce(lambda so_far, piece: crc32(piece, so_far), pieces, value)
        self._write(offset_bytes, *pieces)
        with self._lock:
            self._add(start_bytes, stop_bytes, value)

    def crc32(self, size_bytes: int) -> int:
        """Return the CRC-32 of the file; what was not written is zeros.

        Args:
            size_bytes: Length of the file.

        Raises:
            WriteError: Bytes were written twice, or beyond the end: the sum is not known.
        """
        value, position = 0, 0
        for start in self._starts:
            stop, run = self._runs[start]
            if start < position or stop > size_bytes:
                raise WriteError(f"bytes {start} to {stop} were written across {position} or {size_bytes}")
            value = crc32_combine(_with_zeros(value, start - position), run, stop - start)
            position = stop
        return _with_zeros(value, size_bytes - position)

    def _claim(self, offset: int) -> tuple[int, int]:
        """Take the run that ends where a write begins out of the table, to be continued; an empty one if there is none.

        To continue a sum costs nothing beyond the new bytes; to combine two, some 60 microseconds.
        """
        index = bisect.bisect_left(self._starts, offset)
        if not index or self._runs[self._starts[index - 1]][0] != offset:
            return offset, 0
        start = self._starts.pop(index - 1)
        return start, self._runs.pop(start)[1]

    def _add(self, start: int, stop: int, value: int) -> None:
        """Take a run, and join it with its neighbours."""
        index = bisect.bisect_left(self._starts, start)
        if index < len(self._starts) and self._starts[index] == stop:
            del self._starts[index]
            end, following = self._runs.pop(stop)
            stop, value = end, crc32_combine(value, following, end - stop)
        before = self._starts[index - 1] if index else None
        if before is not None and self._runs[before][0] == start:
            self._runs[before] = stop, crc32_combine(self._runs[before][1], value, stop - start)
            return
        self._starts.insert(index, start)
        self._runs[start] = stop, value


def _with_zeros(value: int, count: int) -> int:
    return crc32_combine(value, crc32_zeros(count), count) if count else value


def _times(one: int, other: int) -> int:
    """Multiply two polynomials, modulo the polynomial."""
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = (one << 1) & 0xFFFFFFFF
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product


def _powers() -> tuple[int, ...]:
    """Compute x to the powers of 1, 2, 4, ... 2**31; x to the power of 2**32 is x again."""
    powers = [_X]
    while len(powers) < 32:
        powers.append(_times(powers[-1], powers[-1]))
    return tuple(powers)


_POWERS = _powers()


def _x_to_bytes(count: int) -> int:
    """Compute x to the power of the number of bits in a number of bytes."""
    power, digit = _ONE, 3  # 8 bits in a byte
    while count:
        if count & 1:
            power = _times(_POWERS[digit % 32], power)
        count, digit = count >> 1, digit + 1
    return power
