"""Raster files, as rasterio reads them: paths, readers, datasets that the caller opened, warped ones among them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from georeader._core.dtypes import convert_pixels
from georeader._core.windows import PixelWindow
from georeader._export.plan.grid import BlockGrid
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import Chunks, SourceTraits, regular_chunks
from georeader._export.sources.described import describe
from georeader._export.sources.gdal_environment import CACHE_BYTES
from georeader._export.sources.handles import CallersHandle, Handles, OwnHandles
from georeader._readers.file_info import read_dtypes, read_file_info, read_resamplings, warn_of_nodata
from georeader._readers.opening import raster_path
from georeader._readers.raster_file import read_mask
from georeader._readers.windows import read_padded
from georeader._resample.pyramid import Mask
from georeader._storage.redaction import redact_url
from georeader.errors import ReadError
from georeader.rasterio_reader import RasterioReader

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
class RasterSource:
    """A window and some bands of a raster file.

    Attributes:
        name: The file.
        spec: What window and bands are.
        handles: Provides the open file.
        traits: The file's tiles or strips, as the window cuts them, are its chunks.
        cache_bytes: What GDAL's block cache is to hold for each open file.
        file_shape: (rows, columns) of the file.
        window: In pixels of the file; it may reach beyond.
        indexes: Bands of the file, counted from 1.
        has_one_dtype: Bands are all of one dtype in the file.
        fill: Of pixels beyond the file's edge.
        is_computed: GDAL computes pixels; they are always read in the same squares, so that they are the same.
        alpha_index: An alpha band that takes the place of the mask, counted from 1, or None.
    """

    name: str
    spec: SourceSpec
    handles: Handles
    traits: SourceTraits
    cache_bytes: int
    file_shape: tuple[int, int]
    window: Window
    indexes: tuple[int, ...]
    has_one_dtype: bool
    fill: Any
    is_computed: bool = False
    alpha_index: int | None = None

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window of the window.

        Raises:
            ReadError: The file cannot be read.
        """
        rows_px, columns_px = region.shape
        row, column = self.window.row_off + region.row_start, self.window.col_off + region.column_start
        indexes = list(self.indexes[bands.start : bands.stop])
        return read_padded(
            Window(column, row, columns_px, rows_px),
            self.file_shape,
            lambda inside: self._read_inside(inside, indexes),
            count=len(indexes),
            dtype=self.spec.dtype,
            fill=self.fill,
            has_mask=self.spec.has_mask,
        )

    def close(self) -> None:
        """Close the handles that are our own."""
        self.handles.close()

    def _read_inside(self, window: Window, indexes: list[int]) -> tuple[NDArray[Any], Mask]:
        """Read a window within the file, square by square where pixels are computed."""
        if not self.is_computed:
            return self._read_window(window, indexes)
        rows_columns = int(window.height), int(window.width)
        pixels = np.empty((len(indexes), *rows_columns), self.spec.dtype)
        mask = np.empty(rows_columns, bool) if self.spec.has_mask else None
        wanted = PixelWindow(*(edge for part in window.toslices() for edge in (part.start, part.stop)))
        grid = BlockGrid(*self.file_shape, COMPUTED_PX, COMPUTED_PX)
        for block in grid.touched(wanted):
            square = grid.window(block)
            part = square.intersection(wanted)
            found, valid = self._read_window(Window.from_slices(square[:2], square[2:]), indexes)
            pixels[:, *part.within(wanted)] = found[:, *part.within(square)]
            if mask is not None and valid is not None:
                mask[part.within(wanted)] = valid[part.within(square)]
        return pixels, mask

    def _read_window(self, window: Window, indexes: list[int]) -> tuple[NDArray[Any], Mask]:
        with self.handles.borrow(self.cache_bytes) as dataset:
            mask = read_mask(dataset, self.indexes[0], self.alpha_index, window) if self.spec.has_mask else None
            if self.has_one_dtype:
                return dataset.read(indexes, window=window), mask
            bands = [convert_pixels(dataset.read(index, window=window), self.spec.dtype) for index in indexes]
            return np.stack(bands), mask


def open_reader(reader: RasterioReader) -> RasterSource:
    """Open what a reader has in focus as a source; the reader is not changed.

    Raises:
        GeoreaderError: As `describe` does; ReadError where the file cannot be opened.
    """
    handles = OwnHandles(raster_path(reader.path, reader.fs), reader.rio_env_options, reader.overview_level)
    with handles.borrow() as dataset:
        file_shape = dataset.shape
        chunks = _chunks(dataset, reader.window_focus, tuple(reader.indexes))
        computed, cost = is_computed(dataset), read_cost(dataset, tuple(reader.indexes))
        has_one_dtype = len({dataset.dtypes[index - 1] for index in reader.indexes}) == 1
        resamplings = read_resamplings(dataset, reader.tags(), tuple(reader.indexes))
    fill = reader.fill_value_default
    if fill == reader.nodata or fill != fill:
        warn_of_nodata(reader.name, reader.nodatavals)
    return RasterSource(
        name=reader.name,
        spec=replace(describe(reader, dtype=reader.dtype, has_mask=reader.has_mask), overview_resamplings=resamplings),
        handles=handles,
        traits=SourceTraits(chunks=chunks, concurrent_reads=cost.concurrent, reader_bytes=cost.reader_bytes),
        cache_bytes=cost.cache_bytes,
        file_shape=file_shape,
        window=reader.window_focus,
        indexes=tuple(reader.indexes),
        has_one_dtype=has_one_dtype,
        fill=0 if fill is None else fill,
        is_computed=computed,
        alpha_index=reader.alpha_index,
    )


def open_dataset_source(dataset: Any) -> RasterSource:
    """Open a dataset of the caller as a source, read by one thread at a time.

    Args:
        dataset: Open in rasterio, for reading or updating; a WarpedVRT too.

    Raises:
        GeoreaderError: As `describe` does; ReadError where it is closed, or open for writing alone.
    """
    if dataset.closed:
        raise ReadError(f"{redact_url(dataset.name)} is closed; pass it while it is open, or its path")
    if getattr(dataset, "mode", "r") == "w":
        raise ReadError(
            f"{redact_url(dataset.name)} is open for writing, and cannot be read; close it and pass its path"
        )
    handle = CallersHandle(dataset)
    with handle.borrow():
        info = read_file_info(dataset)
        indexes = tuple(range(1, info.count + 1))
        window = Window(0, 0, info.width_px, info.height_px)
        chunks, cost = _chunks(dataset, window, indexes), read_cost(dataset, indexes)
        computed = is_computed(dataset)
        resamplings = read_resamplings(dataset, info.tags, indexes)
    warn_of_nodata(redact_url(dataset.name), info.nodatavals)
    fill = info.nodatavals[0]
    seen = SimpleNamespace(
        shape=(info.count, info.height_px, info.width_px),
        transform=info.transform,
        crs=info.crs,
        attrs=info.attrs(indexes),
        fill_value_default=fill,
        fill_value_is_explicit=True,
    )
    return RasterSource(
        name=redact_url(dataset.name),
        spec=replace(
            describe(seen, dtype=np.result_type(*info.dtypes), has_mask=info.has_mask),
            overview_resamplings=resamplings,
        ),
        handles=handle,
        traits=SourceTraits(chunks=chunks, reader_bytes=cost.reader_bytes, is_borrowed=True),
        cache_bytes=cost.cache_bytes,
        file_shape=(info.height_px, info.width_px),
        window=window,
        indexes=indexes,
        has_one_dtype=len(set(info.dtypes)) == 1,
        fill=0 if fill is None else fill,
        is_computed=computed,
    )


def _chunks(dataset: Any, window: Window, indexes: tuple[int, ...]) -> Chunks:
    shape = (len(indexes), int(window.height), int(window.width))
    bands = 1 if dataset.profile.get("interleave") == "band" else len(indexes)
    offset = (0, int(window.row_off), int(window.col_off))
    return regular_chunks(shape, (bands, *block_shape(dataset, indexes[0])), offset)


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
    """Return what GDAL holds of a format that it cannot decode row by row."""
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
