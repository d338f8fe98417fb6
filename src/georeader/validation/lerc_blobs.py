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

    The data are LERC blobs one after the other, whose sizes `lerc_size` has read. Time: linear in their size.
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
        content = _Content(data, blob.data_at, blob.end)
        mask_bytes = int.from_bytes(content.take(4, "mask"), "little", signed=True)
        if mask_bytes < 0:
            raise HeaderError("its LERC mask has an invalid length")
        is_valid = _mask(content.take(mask_bytes, "mask"), blob, is_valid)  # which the next blob may use again
        _check_pixels(content, blob, is_valid)
        position = blob.end


def _header(data: bytes, position: int) -> _Blob:
    """Read the header of a blob of any version; from version 5 on it has more than is read here."""
    version = int.from_bytes(data[position + 6 : position + 10], "little", signed=True)
    at = position + (14 if version >= 3 else 10)  # behind the checksum, where there is one
    layout = "<7i3d" if version >= 4 else "<6i3d"
    data_at = at + struct.calcsize(layout)
    if data[position : position + 6] != b"Lerc2 " or data_at + 4 > len(data):
        raise HeaderError(f"there is no whole LERC header at its byte {position}")
    numbers = list(struct.unpack_from(layout, data, at))
    if version < 4:
        numbers.insert(2, 1)  # samples of a pixel
    blob = _Blob(version, position, data_at, *numbers)
    has_pixels = min(blob.rows, blob.columns, blob.depth, blob.length_bytes) > 0
    if not (2 <= version <= 6 and has_pixels and 0 <= blob.kind <= 7):
        raise HeaderError("its LERC header is invalid")
    return blob


class _Content:
    """The bytes of a blob behind its header, read one after the other."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self._at, self._end = data, at, end

    def take(self, count: int, part: str = "blocks") -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > self._end:
            raise HeaderError(f"its LERC data are cut short, in the {part}")
        return self._data[start : self._at]


def _check_pixels(content: _Content, blob: _Blob, is_valid: NDArray[np.bool_]) -> None:
    if not blob.valid_px or blob.low == blob.high:
        return
    pixel_bytes = blob.depth * _BYTES[blob.kind]
    if blob.version >= 4 and content.take(pixel_bytes, "ranges") == content.take(pixel_bytes, "ranges"):
        return  # each sample of a pixel is the same everywhere
    if content.take(1, "pixels") != b"\0":
        content.take(blob.valid_px * pixel_bytes, "pixels")
        return
    if blob.kind <= 1 and blob.max_error == 0.5:
        mode = content.take(1, "pixels")[0]
        if mode > 2:
            raise HeaderError(f"its LERC data are of an unknown mode, {mode}")
        if mode:  # Huffman codes, whose ends liblerc checks itself
            return
    _check_blocks(content, blob, is_valid)


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


def _check_blocks(content: _Content, blob: _Blob, is_valid: NDArray[np.bool_]) -> None:
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
                _check_block(content, blob, valid_px, code)


def _check_block(content: _Content, blob: _Blob, valid_px: int, code: int) -> None:
    flag = content.take(1)[0]
    if flag >> 2 & 15 != code:
        raise HeaderError("one of its LERC blocks is not where it should be")
    mode = flag & 3
    if mode == _RAW:
        content.take(valid_px * _BYTES[blob.kind])
    if mode in (_ZERO, _RAW):
        return
    kind = _OFFSET_KINDS[blob.kind][flag >> 6]
    if kind is None:
        raise HeaderError("one of its LERC blocks has an offset of an unknown kind")
    content.take(_BYTES[kind])
    if mode == _STUFFED:
        _check_stuffed(content, valid_px)


def _check_stuffed(content: _Content, valid_px: int) -> None:
    """Check the bit-stuffed values of a block."""
    head = content.take(1)[0]
    bits, has_table, count_bytes = head & 31, head & 32, (4, 2, 1, 0)[head >> 6]
    count = int.from_bytes(content.take(count_bytes), "little")
    if not bits or not count_bytes or count != valid_px:
        raise HeaderError(f"one of its LERC blocks has {count} values, where it has {valid_px} valid pixels")
    if not has_table:
        content.take((count * bits + 7) // 8)
        return
    largest = content.take(1)[0] - 1
    if largest < 1:
        raise HeaderError("one of its LERC blocks has an empty lookup table")
    content.take((largest * bits + 7) // 8)
    index_bits = largest.bit_length()
    stored = np.frombuffer(content.take((count * index_bits + 7) // 8), np.uint8)
    single = np.unpackbits(stored, count=count * index_bits, bitorder="little").reshape(count, index_bits)
    if int((single @ (1 << np.arange(index_bits))).max()) > largest:
        raise HeaderError("one of its LERC blocks has an index beyond its lookup table")
