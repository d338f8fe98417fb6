"""Size and structure of LERC2 blobs, checked before liblerc decodes them. Pure.

liblerc trusts a blob whose checksum is right: a block that declares fewer values than it has valid pixels, or an index
beyond its lookup table, makes it read outside of its memory. So each block's size is computed and compared here.

References:
    Esri, LERC blob format 2, versions 3 and 4; LERC in TIFF (compression 34887) has version 2.4, which is 4 here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from georeader.validation.image_headers import HeaderError, ImageSize, UnsupportedError

#: Versions whose blocks are known here.
_VERSIONS = (3, 4)

#: Bytes of a number, by LERC's numbers of its kinds: int8, uint8, int16, uint16, int32, uint32, float32, float64.
_BYTES = (1, 1, 2, 2, 4, 4, 4, 8)

#: The kind in which a block stores its offset, by the kind of pixels and two bits of the block; None: not defined.
_OFFSET_KINDS: tuple[tuple[int | None, ...], ...] = (
    (0, 0, 0, 0), (1, 1, 1, 1), (2, 1, 0, None), (3, 1, None, None), (4, 3, 2, 1), (5, 3, 1, None), (6, 2, 1, None),
    (7, 6, 4, 2),
)  # fmt: skip

#: Sides of blocks: liblerc writes 8 and 16, and reads up to 32. Smaller ones take more time than their pixels explain.
_SMALLEST_BLOCK_PX, _LARGEST_BLOCK_PX = 8, 32
_END_OF_RUNS = -32768

# How a block is stored.
_RAW, _STUFFED, _ZERO, _CONSTANT = range(4)


@dataclass(frozen=True)
class _Blob:
    """The header of a blob; its numbers from ``rows`` on are in the order of the file."""

    version: int
    start: int
    data_at: int
    rows: int
    columns: int
    depth: int  #: Samples of a pixel.
    valid_px: int
    block_px: int
    length_bytes: int
    kind: int
    max_error: float
    low: float
    high: float

    @property
    def end(self) -> int:
        return self.start + self.length_bytes


def lerc_size(data: bytes) -> ImageSize:
    """Read the size in the blobs of a LERC stream, each of which holds one band or all; they have one size."""
    position, blobs = 0, []
    while position < len(data):
        blobs.append(_header(data, position))
        position = blobs[-1].end
    if not blobs:
        raise HeaderError("it is empty")
    sizes = {(blob.columns, blob.rows, blob.kind) for blob in blobs}
    if len(sizes) > 1:
        raise HeaderError("its blobs differ in size or kind")
    columns, rows, kind = sizes.pop()
    return ImageSize(columns, rows, sum(blob.depth for blob in blobs), 8 * _BYTES[kind])


def check_lerc(data: bytes) -> None:
    """Check that every block of every blob holds as many values as it has valid pixels.

    The data are LERC blobs one after the other, whose sizes `lerc_size` has read. HeaderError is raised for malformed
    ones, UnsupportedError for a version that LERC in TIFF does not have, and for blocks smaller than those of liblerc.
    Time: linear in their size.
    """
    position = 0
    is_valid: NDArray[np.bool_] | None = None
    while position < len(data):
        blob = _header(data, position)
        if blob.version not in _VERSIONS:
            raise UnsupportedError(
                f"LERC blobs of version {blob.version} are not decoded here; LERC in TIFF has version 4"
            )
        if not (0 <= blob.valid_px <= blob.rows * blob.columns and blob.block_px > 0 and blob.end <= len(data)):
            raise HeaderError("its LERC header contradicts itself")
        is_valid = _check_blob(data, blob, is_valid)
        position = blob.end


def _header(data: bytes, position: int) -> _Blob:
    """Read the header of a blob of any version; from version 5 on it has more than is read here."""
    version = int.from_bytes(data[position + 6 : position + 10], "little", signed=True)
    at = position + (14 if version >= 3 else 10)  # behind the checksum, where there is one
    layout = "<7i3d" if version >= 4 else "<6i3d"
    data_at = at + struct.calcsize(layout)
    if data[position : position + 6] != b"Lerc2 " or not 2 <= version <= 6 or data_at + 4 > len(data):
        raise HeaderError(f"there is no LERC header at its byte {position}")
    numbers = list(struct.unpack_from(layout, data, at))
    if version < 4:
        numbers.insert(2, 1)  # samples of a pixel
    blob = _Blob(version, position, data_at, *numbers)
    if not (min(blob.rows, blob.columns, blob.depth) > 0 and 0 <= blob.kind <= 7 and blob.length_bytes > 0):
        raise HeaderError("its LERC header is invalid")
    return blob


def _check_blob(data: bytes, blob: _Blob, before: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Check a blob and return its mask, which the next blob may use again."""
    (mask_bytes,) = struct.unpack_from("<i", data, blob.data_at)
    at = blob.data_at + 4
    if not 0 <= mask_bytes <= blob.end - at:
        raise HeaderError("its LERC mask is cut short")
    is_valid = _mask(data[at : at + mask_bytes], blob, before)
    at += mask_bytes
    if not blob.valid_px or blob.low == blob.high:
        return is_valid
    if blob.version >= 4:
        ranges_bytes = blob.depth * _BYTES[blob.kind]
        at += 2 * ranges_bytes
        if at > blob.end:
            raise HeaderError("its LERC ranges are cut short")
        if data[at - 2 * ranges_bytes : at - ranges_bytes] == data[at - ranges_bytes : at]:
            return is_valid  # each sample of a pixel is the same everywhere
    _check_pixels(data, at, blob, is_valid)
    return is_valid


def _check_pixels(data: bytes, at: int, blob: _Blob, is_valid: NDArray[np.bool_]) -> None:
    if at >= blob.end:
        raise HeaderError("its LERC data are cut short")
    if data[at]:
        if at + 1 + blob.valid_px * blob.depth * _BYTES[blob.kind] > blob.end:
            raise HeaderError("its LERC data are cut short")
        return
    at += 1
    if blob.kind <= 1 and blob.max_error == 0.5:
        if at >= blob.end or data[at] > 2:
            raise HeaderError("its LERC data are cut short, or of an unknown mode")
        if data[at]:  # Huffman codes, whose ends liblerc checks itself
            return
        at += 1
    _check_blocks(data, at, blob, is_valid)


def _mask(runs: bytes, blob: _Blob, before: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Return (row, column), True where a pixel is valid."""
    shape = blob.rows, blob.columns
    if blob.valid_px in (0, blob.rows * blob.columns):
        if runs:
            raise HeaderError("it has a LERC mask where all of its pixels, or none, are valid")
        return np.full(shape, blob.valid_px > 0)
    if runs:
        bits = np.frombuffer(_unpacked(runs, (blob.rows * blob.columns + 7) // 8), np.uint8)
        is_valid = np.unpackbits(bits, count=blob.rows * blob.columns).reshape(shape).astype(bool)
    elif before is not None:
        is_valid = before
    else:
        raise HeaderError("its LERC mask is missing")
    if int(is_valid.sum()) != blob.valid_px:
        raise HeaderError("its LERC mask has another number of valid pixels than its header says")
    return is_valid


def _unpacked(runs: bytes, size_bytes: int) -> bytes:
    """Return the bytes of a mask, which are stored in runs: a count, then so many bytes, or one to be repeated."""
    found = bytearray()
    at = 0
    while at + 2 <= len(runs):
        (count,) = struct.unpack_from("<h", runs, at)
        at += 2
        if not count:
            raise HeaderError("its LERC mask has a run of no bytes")
        if count == _END_OF_RUNS or len(found) > size_bytes:
            break
        if count > 0:
            found += runs[at : at + count]
            at += count
        else:
            found += runs[at : at + 1] * -count
            at += 1
    else:
        raise HeaderError("its LERC mask has no end")
    if len(found) != size_bytes or at > len(runs):
        raise HeaderError(f"its LERC mask has {len(found)} bytes, where its pixels take {size_bytes}")
    return bytes(found)


def _check_blocks(data: bytes, at: int, blob: _Blob, is_valid: NDArray[np.bool_]) -> None:
    if blob.block_px > _LARGEST_BLOCK_PX:
        raise HeaderError(f"its LERC blocks have {blob.block_px} pixels a side")
    if blob.block_px < _SMALLEST_BLOCK_PX:
        raise UnsupportedError(
            f"LERC blocks of {blob.block_px} pixels a side are not decoded here; liblerc writes 8 or 16"
        )
    row_starts = np.arange(0, blob.rows, blob.block_px)
    column_starts = np.arange(0, blob.columns, blob.block_px)
    counts = np.add.reduceat(np.add.reduceat(is_valid.astype(np.int64), row_starts, 0), column_starts, 1)
    for row in counts.tolist():
        for number, valid_px in enumerate(row):
            code = number * blob.block_px >> 3 & 15
            for _ in range(blob.depth):
                at = _block_end(data, at, blob, valid_px, code)


def _block_end(data: bytes, at: int, blob: _Blob, valid_px: int, code: int) -> int:
    """Return where a block ends, which is not beyond its blob."""
    if at >= blob.end:
        raise HeaderError("its LERC blocks are cut short")
    flag = data[at]
    if flag >> 2 & 15 != code:
        raise HeaderError("one of its LERC blocks is not where it should be")
    at += 1
    mode = flag & 3
    if mode == _ZERO:
        return at
    if mode == _RAW:
        return _within(at + valid_px * _BYTES[blob.kind], blob)
    kind = _OFFSET_KINDS[blob.kind][flag >> 6]
    if kind is None:
        raise HeaderError("one of its LERC blocks has an offset of an unknown kind")
    at = _within(at + _BYTES[kind], blob)
    return at if mode == _CONSTANT else _stuffed_end(data, at, blob, valid_px)


def _stuffed_end(data: bytes, at: int, blob: _Blob, valid_px: int) -> int:
    """Return where the bit-stuffed values of a block end."""
    head = data[at] if at < blob.end else 0
    bits, has_table = head & 31, bool(head & 32)
    count_bytes = (4, 2, 1, 0)[head >> 6]
    first = _within(at + 1 + count_bytes, blob)
    count = int.from_bytes(data[at + 1 : first], "little")
    if not bits or not count_bytes or count != valid_px:
        raise HeaderError(f"one of its LERC blocks has {count} values, where it has {valid_px} valid pixels")
    if not has_table:
        return _within(first + (count * bits + 7) // 8, blob)
    largest = data[_within(first + 1, blob) - 1] - 1
    if largest < 1:
        raise HeaderError("one of its LERC blocks has an empty lookup table")
    index_bits = largest.bit_length()
    begin = _within(first + 1 + (largest * bits + 7) // 8, blob)
    end = _within(begin + (count * index_bits + 7) // 8, blob)
    stored = np.unpackbits(np.frombuffer(data, np.uint8, end - begin, begin), bitorder="little")
    indexes = stored[: count * index_bits].reshape(count, index_bits) @ (1 << np.arange(index_bits))
    if int(indexes.max()) > largest:
        raise HeaderError("one of its LERC blocks has an index beyond its lookup table")
    return end


def _within(at: int, blob: _Blob) -> int:
    if at > blob.end:
        raise HeaderError("its LERC blocks are cut short")
    return at
