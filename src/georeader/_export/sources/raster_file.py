"""Raster files, as rasterio reads them: paths, readers, datasets that the caller opened, warped ones among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from georeader._core.dtypes import convert_pixels
from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.plan.grid import BlockGrid
from georeader._export.plan.spec import SourceSpec
from georeader._export.plan.traits import SourceTraits, regular_chunks
from georeader._export.sources.geodata import Declared, describe
from georeader._export.sources.handles import CACHE_BYTES, CallersHandle, Handles, OwnHandles
from georeader._readers.file_info import read_dtypes, read_file_info, read_resamplings, warn_of_nodata
from georeader._readers.opening import raster_path
from georeader._readers.raster_file import read_mask, read_padded
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
    """A window and some bands of a raster file; the spec and the traits are those of window and bands."""

    name: str
    spec: SourceSpec
    traits: SourceTraits
    handles: Handles
    cache_bytes: int  #: what GDAL's block cache is to hold for each open file
    file_shape: tuple[int, int]  #: (rows, columns)
    window: Window  #: in pixels of the file; it may reach beyond
    indexes: tuple[int, ...]  #: bands of the file, from 1
    has_one_dtype: bool  #: the bands are all of one dtype in the file
    is_computed: bool  #: by GDAL: pixels are always read in the same squares, so that they are the same
    is_tiled_geotiff: bool = False  #: its encoded tiles may be taken over
    alpha_index: int | None = None  #: alpha band that takes the place of the mask, from 1

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window of the window."""
        rows_px, columns_px = region.shape
        row, column = self.window.row_off + region.row_start, self.window.col_off + region.column_start
        indexes = list(self.indexes[bands.start : bands.stop])
        return read_padded(
            Window(column, row, columns_px, rows_px),
            self.file_shape,
            lambda inside: self._read_inside(inside, indexes),
            count=len(indexes),
            dtype=self.spec.dtype,
            fill=0 if self.spec.fill_value is None else self.spec.fill_value,
            has_mask=self.spec.has_mask,
        )

    def close(self) -> None:
        """Close the handles that are our own."""
        self.handles.close()

    def _read_inside(self, window: Window, indexes: list[int]) -> MaskedPixels:
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

    def _read_window(self, window: Window, indexes: list[int]) -> MaskedPixels:
        with self.handles.borrow(self.cache_bytes) as dataset:
            mask = read_mask(dataset, self.indexes[0], self.alpha_index, window) if self.spec.has_mask else None
            if self.has_one_dtype:
                return dataset.read(indexes, window=window), mask
            bands = [convert_pixels(dataset.read(index, window=window), self.spec.dtype) for index in indexes]
            return np.stack(bands), mask


def open_reader(reader: RasterioReader) -> RasterSource:
    """Open what a reader has in focus as a source; the reader is not changed."""
    handles = OwnHandles(raster_path(reader.path, reader.fs), reader.rio_env_options, reader.overview_level)
    with handles.borrow() as dataset:
        fill = reader.fill_value_default
        if fill == reader.nodata or fill != fill:
            warn_of_nodata(reader.name, reader.nodatavals)
        spec = describe(reader, dtype=reader.dtype, has_mask=reader.has_mask)
        source = _open(dataset, handles, spec, reader.window_focus, reader.indexes, reader.tags())
    return replace(source, name=reader.name, alpha_index=reader.alpha_index)


def open_dataset_source(dataset: Any) -> RasterSource:
    """Open a dataset or WarpedVRT that the caller opened in rasterio, and that can be read, by one thread at a time."""
    name = redact_url(dataset.name)
    if dataset.closed:
        raise ReadError(f"{name} is closed; pass it while it is open, or its path")
    if getattr(dataset, "mode", "r") == "w":
        raise ReadError(f"{name} is open for writing, and cannot be read; close it and pass its path")
    handle = CallersHandle(dataset)
    with handle.borrow():
        info = read_file_info(dataset)
        warn_of_nodata(name, info.nodatavals)
        indexes, shape = list(range(1, info.count + 1)), (info.count, info.height_px, info.width_px)
        declared = Declared(shape, info.transform, info.crs, info.attrs(indexes), info.nodatavals[0])
        spec = describe(declared, dtype=np.result_type(*info.dtypes), has_mask=info.has_mask)
        source = _open(dataset, handle, spec, Window(0, 0, info.width_px, info.height_px), indexes, info.tags)
    return replace(source, traits=replace(source.traits, concurrent_reads=1, is_borrowed=True))


def _open(
    dataset: Any, handles: Handles, spec: SourceSpec, window: Window, bands: Sequence[int], tags: Mapping[str, str]
) -> RasterSource:
    """Return a window and some bands, counted from 1, of a file that is open in rasterio and has these tags."""
    indexes = tuple(bands)
    cost = read_cost(dataset, indexes)
    bands_in_chunk = 1 if dataset.profile.get("interleave") == "band" else len(indexes)
    chunks = regular_chunks(
        (len(indexes), int(window.height), int(window.width)),
        (bands_in_chunk, *_block_shape(dataset, indexes[0])),
        (0, int(window.row_off), int(window.col_off)),
    )
    return RasterSource(
        name=redact_url(dataset.name),
        spec=replace(spec, overview_resamplings=read_resamplings(dataset, tags, indexes)),
        traits=SourceTraits(chunks=chunks, concurrent_reads=cost.concurrent, reader_bytes=cost.reader_bytes),
        handles=handles,
        cache_bytes=cost.cache_bytes,
        file_shape=dataset.shape,
        window=window,
        indexes=indexes,
        has_one_dtype=len({dataset.dtypes[index - 1] for index in indexes}) == 1,
        is_computed=_is_computed(dataset),
        is_tiled_geotiff=dataset.driver == "GTiff" and bool(dataset.profile.get("tiled")),
    )


class ReadCost(NamedTuple):
    """Threads and memory for reading a file."""

    concurrent: int  #: threads that may read at once
    cache_bytes: int  #: what GDAL's block cache is to hold for each open handle
    reader_bytes: int  #: that, with all else that GDAL holds for each open handle


def read_cost(dataset: Any, indexes: tuple[int, ...]) -> ReadCost:
    """Compute the threads and the memory for reading bands, counted from 1, of an open file.

    GDAL holds a decoded block in its cache band by band, as it was decoded if it has several bands, and encoded.
    """
    if _is_computed(dataset):
        inner_bytes = 0
        if isinstance(dataset, WarpedVRT):
            inner_bytes = read_cost(dataset.src_dataset, tuple(dataset.src_dataset.indexes)).reader_bytes
        return ReadCost(_CONCURRENT_READS, CACHE_BYTES, max(CACHE_BYTES, inner_bytes))
    sizes = [dtype.itemsize for dtype in read_dtypes(dataset)]
    has_all_bands = dataset.count > 1 and dataset.profile.get("interleave") != "band"
    rows_px, columns_px = _block_shape(dataset, indexes[0])
    block_px, blocks = rows_px * columns_px, -(-dataset.height // rows_px) * -(-dataset.width // columns_px)
    cached_bytes = block_px * (sum(sizes) if has_all_bands else max(sizes))
    cache_bytes = max(_LEAST_CACHE_BYTES, cached_bytes + cached_bytes // 16)  # with GDAL's bookkeeping
    decoded_bytes = cached_bytes if has_all_bands else 0
    encoded_bytes = _encoded_bytes(dataset, cached_bytes)
    held_bytes = _held_bytes(dataset, dataset.width * dataset.height * sum(sizes))
    return ReadCost(
        concurrent=1 if _is_sequential(dataset) else min(_CONCURRENT_READS, blocks),
        cache_bytes=cache_bytes,
        reader_bytes=cache_bytes + decoded_bytes + encoded_bytes + held_bytes,
    )


def _is_sequential(dataset: Any) -> bool:
    """Check whether a file is decoded from its beginning for any part of it."""
    if dataset.driver in _SEQUENTIAL or any(name in dataset.name for name in _STREAMS):
        return True
    if dataset.driver != "GTiff" or dataset.block_shapes[0] != (1, dataset.width) or dataset.height == 1:
        return False
    # GDAL reads a TIFF's single long strip row by row: only the first row then has an offset.
    offsets = [dataset.get_tag_item(f"BLOCK_OFFSET_0_{row}", "TIFF", bidx=1) for row in (0, 1)]
    return offsets[0] is not None and offsets[1] in (None, offsets[0])


def _is_computed(dataset: Any) -> bool:
    """Check whether GDAL computes pixels, so that they may depend on the window that is read."""
    return bool(dataset.driver == "VRT")


def _block_shape(dataset: Any, index: int) -> tuple[int, int]:
    """Return the (rows, columns) of what is decoded or computed at once of a band, counted from 1."""
    if _is_computed(dataset):
        return COMPUTED_PX, COMPUTED_PX
    rows_px, columns_px = dataset.block_shapes[index - 1]
    return rows_px, columns_px


def _encoded_bytes(dataset: Any, block_bytes: int) -> int:
    """Return the size of an encoded block: that of the first one, or of a decoded one where the format has no sizes."""
    if block_bytes <= _LEAST_CACHE_BYTES:
        return 0
    size = dataset.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1) if dataset.driver == "GTiff" else None
    return int(size) if size else block_bytes


def _held_bytes(dataset: Any, whole_bytes: int) -> int:
    """Return what GDAL holds of a format that it cannot decode row by row; the raster has ``whole_bytes``."""
    if dataset.driver in _SOLID:
        return whole_bytes
    header = b""
    if dataset.driver in ("PNG", "JPEG"):
        with suppress(OSError, ValueError), Path(dataset.name).open("rb") as file:
            header = file.read(2**16)
    if dataset.driver == "PNG" and header[28:29] == b"\x01":
        return min(whole_bytes, _INTERLACED_BYTES)
    if dataset.driver == "JPEG" and _is_progressive(header):
        return 2 * whole_bytes  # libjpeg holds 16-bit coefficients of the whole image
    return 0


def _is_progressive(header: bytes) -> bool:
    """Return whether a JPEG's frame header, found by its markers, is SOF2, that of a progressive one."""
    at = 2
    while at + 4 <= len(header) and header[at] == 0xFF:
        kind = header[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return kind == 0xC2
        at += 2 + int.from_bytes(header[at + 2 : at + 4], "big")
    return False
