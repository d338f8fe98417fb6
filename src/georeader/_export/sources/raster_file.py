"""Raster files, as rasterio reads them: paths, readers, datasets that the caller opened, warped ones among them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._core.dtypes import convert_pixels
from georeader._core.windows import PixelWindow
from georeader._export.plan.chunks import Chunks, regular_chunks
from georeader._export.plan.grid import BlockGrid
from georeader._export.plan.order_of_work import SourceTraits
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources.described import describe
from georeader._export.sources.handles import CallersHandle, Handles, OwnHandles
from georeader._export.sources.read_cost import COMPUTED_PX, block_shape, is_computed, read_cost
from georeader._readers.file_info import read_file_info, read_resamplings, warn_of_nodata
from georeader._readers.opening import raster_path
from georeader._readers.raster_file import read_mask
from georeader._readers.windows import read_padded
from georeader._resample.pyramid import Mask
from georeader._storage.redaction import redact_url
from georeader.errors import ReadError
from georeader.rasterio_reader import RasterioReader


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
            ReadError: The file can't be read.
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
        GeoreaderError: As `describe` does; ReadError where the file can't be opened.
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
            f"{redact_url(dataset.name)} is open for writing, and can't be read; close it and pass its path"
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
