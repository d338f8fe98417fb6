"""Cost of reading a raster file: threads that may read it at once, and the memory that GDAL takes for each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.vrt import WarpedVRT

from georeader._export.sources.gdal_environment import CACHE_BYTES
from georeader._readers.file_info import read_dtypes

#: Side of the squares in which pixels are computed: GDAL warps by an approximation within each window that is read,
#: so that its result depends on where windows begin and end.
COMPUTED_PX = 512

#: Threads that read a file whose blocks can be decoded in any order, each with a handle of its own: but of a single
#: block each of them would decode the whole.
_CONCURRENT_READS = 4

#: GDAL's block cache gets at least so much for each handle.
_LEAST_CACHE_BYTES = 8 * 2**20

#: Formats that are decoded from their beginning: each further handle would decode the same rows once more.
_SEQUENTIAL = {"BIGGIF", "GIF", "JPEG", "JPEGXL", "JPEGLS", "HEIF", "AVIF", "PNG", "WEBP", "XPM"}

#: Of these, the ones that GDAL decodes as a whole and holds for as long as the file is open.
_SOLID = {"JPEGXL", "HEIF", "AVIF", "WEBP"}

#: GDAL decodes interlaced PNG in pieces of up to so many bytes.
_INTERLACED_BYTES = 100_000_000

#: Paths that lead through a compressed stream, which is decompressed from its beginning too.
_STREAMS = ("/vsigzip/", "/vsizip/", "/vsitar/", "/vsi7z/", "/vsirar/", "gzip://", "zip://", "zip+", "gzip+", "tar+")


@dataclass(frozen=True)
class ReadCost:
    """Threads and memory for reading a file.

    Attributes:
        concurrent: Threads that may read at once.
        cache_bytes: What GDAL's block cache is to hold for each open handle.
        reader_bytes: That, with all else that GDAL holds for each open handle.
    """

    concurrent: int
    cache_bytes: int
    reader_bytes: int


def read_cost(dataset: Any, indexes: tuple[int, ...]) -> ReadCost:
    """Compute the threads and the memory for reading a file.

    A decoded block lies in GDAL's cache, a copy of each band by itself; where a block holds several bands there is
    also the block as it was decoded; and there is what it is decoded from.

    Args:
        dataset: Open in rasterio.
        indexes: Bands that are read, counted from 1.
    """
    if is_computed(dataset):
        inner_bytes = 0
        if isinstance(dataset, WarpedVRT):
            inner_bytes = read_cost(dataset.src_dataset, tuple(dataset.src_dataset.indexes)).reader_bytes
        return ReadCost(_CONCURRENT_READS, CACHE_BYTES, max(CACHE_BYTES, inner_bytes))
    sizes = [dtype.itemsize for dtype in read_dtypes(dataset)]
    has_all_bands = dataset.count > 1 and dataset.profile.get("interleave") != "band"
    rows_px, columns_px = block_shape(dataset, indexes[0])
    block_px, blocks = rows_px * columns_px, -(-dataset.height // rows_px) * -(-dataset.width // columns_px)
    cached_bytes = block_px * (sum(sizes) if has_all_bands else max(sizes))
    cache_bytes = max(_LEAST_CACHE_BYTES, cached_bytes + cached_bytes // 16)  # with GDAL's bookkeeping
    decoded_bytes = cached_bytes if has_all_bands else 0
    return ReadCost(
        concurrent=1 if is_sequential(dataset) else min(_CONCURRENT_READS, blocks),
        cache_bytes=cache_bytes,
        reader_bytes=cache_bytes + decoded_bytes + _encoded_bytes(dataset, cached_bytes) + _held_bytes(dataset),
    )


def is_sequential(dataset: Any) -> bool:
    """Check whether a file is decoded from its beginning, whatever part of it is read."""
    is_one_stream = dataset.driver in _SEQUENTIAL or any(name in dataset.name for name in _STREAMS)
    return is_one_stream or _is_one_strip_by_rows(dataset)


def _is_one_strip_by_rows(dataset: Any) -> bool:
    """Check whether GDAL reads a TIFF's single long strip row by row: only the first row then has an offset."""
    if dataset.driver != "GTiff" or dataset.block_shapes[0] != (1, dataset.width) or dataset.height == 1:
        return False
    offsets = [dataset.get_tag_item(f"BLOCK_OFFSET_0_{row}", "TIFF", bidx=1) for row in (0, 1)]
    return offsets[0] is not None and offsets[1] in (None, offsets[0])


def is_computed(dataset: Any) -> bool:
    """Check whether GDAL computes pixels, so that they may depend on the window that is asked for."""
    return bool(dataset.driver == "VRT")


def block_shape(dataset: Any, index: int) -> tuple[int, int]:
    """Return the (rows, columns) of what is decoded or computed at once.

    Args:
        dataset: Open in rasterio.
        index: Band, counted from 1.
    """
    if is_computed(dataset):
        return COMPUTED_PX, COMPUTED_PX
    rows_px, columns_px = dataset.block_shapes[index - 1]
    return rows_px, columns_px


def _encoded_bytes(dataset: Any, block_bytes: int) -> int:
    """Return the size of an encoded block: that of the first one, or of a decoded one where the format has no sizes."""
    if block_bytes <= _LEAST_CACHE_BYTES:
        return 0
    size = dataset.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1) if dataset.driver == "GTiff" else None
    return int(size) if size else block_bytes


def _held_bytes(dataset: Any) -> int:
    """Return what GDAL holds of a format that it can't decode row by row."""
    sizes = [dtype.itemsize for dtype in read_dtypes(dataset)]
    whole_bytes = dataset.width * dataset.height * sum(sizes)
    if dataset.driver in _SOLID:
        return int(whole_bytes)
    header = _header(dataset) if dataset.driver in ("PNG", "JPEG") else b""
    if dataset.driver == "PNG" and header[28:29] == b"\x01":
        return min(int(whole_bytes), _INTERLACED_BYTES)
    if dataset.driver == "JPEG" and _is_progressive(header):
        return 2 * int(whole_bytes)  # libjpeg holds 16-bit coefficients of the whole image
    return 0


def _header(dataset: Any) -> bytes:
    """Return the first bytes of a local file, none of others."""
    with suppress(OSError, ValueError), Path(dataset.name).open("rb") as file:
        return file.read(2**16)
    return b""


def _is_progressive(header: bytes) -> bool:
    """Return whether a JPEG's frame header, found by its markers, is SOF2, that of a progressive one."""
    at = 2
    while at + 4 <= len(header) and header[at] == 0xFF:
        kind = header[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return kind == 0xC2
        at += 2 + int.from_bytes(header[at + 2 : at + 4], "big")
    return False
