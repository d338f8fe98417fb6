"""Raster files, as rasterio reads them: paths, readers, datasets that the caller opened, warped ones among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from georeader.errors import ReadError
from georeader.export.chunks import Chunks, regular_chunks
from georeader.export.pyramid import Mask, Region
from georeader.export.sources.described import describe
from georeader.export.sources.handles import CallersHandle, Handles, OwnHandles
from georeader.export.spec import SourceSpec
from georeader.file_info import named_errors, read_file_info
from georeader.rasterio_reader import RasterioReader
from georeader.window_utils import overlap


@dataclass(frozen=True)
class RasterSource:
    """A window and some bands of a raster file.

    Attributes:
        name: The file.
        spec: What window and bands are.
        handles: Where reads get the open file from.
        file_shape: (rows, columns) of the file.
        window: In pixels of the file; it may reach beyond.
        indexes: Bands of the file, counted from 1.
        has_one_dtype: Bands are all of one dtype in the file.
        fill: Of pixels beyond the file's edge.
        chunks: The file's tiles or strips, as the window cuts them.
    """

    name: str
    spec: SourceSpec
    handles: Handles
    file_shape: tuple[int, int]
    window: Window
    indexes: tuple[int, ...]
    has_one_dtype: bool
    fill: Any
    chunks: Chunks
    is_in_memory: bool = False

    @property
    def concurrent_reads(self) -> int:
        """How many threads may read at once."""
        return self.handles.concurrent

    @property
    def reader_bytes(self) -> int:
        """What GDAL keeps of blocks that were read."""
        return self.handles.reader_bytes

    def read(self, region: Region, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window of the window.

        Raises:
            ReadError: The file can't be read.
        """
        rows_px, columns_px = region.shape
        row, column = self.window.row_off + region.row_start, self.window.col_off + region.column_start
        source, target = overlap(Window(column, row, columns_px, rows_px), *self.file_shape)
        indexes = self.indexes[bands.start : bands.stop]
        inside = Window.from_slices(*source)
        if 0 in (inside.height, inside.width):
            pixels = np.full((len(indexes), *region.shape), self.fill, self.spec.dtype)
            return pixels, np.zeros(region.shape, bool) if self.spec.has_mask else None
        pixels, mask = self._read_inside(inside, list(indexes))
        if (inside.height, inside.width) == region.shape:
            return pixels, mask
        padded = np.full((len(indexes), *region.shape), self.fill, self.spec.dtype)
        padded[(slice(None), *target)] = pixels
        if mask is None:
            return padded, None
        padded_mask = np.zeros(region.shape, bool)
        padded_mask[target] = mask
        return padded, padded_mask

    def close(self) -> None:
        """Close the handles that are our own."""
        self.handles.close()

    def _read_inside(self, window: Window, indexes: list[int]) -> tuple[NDArray[Any], Mask]:
        size_bytes = int(window.height * window.width) * len(indexes) * self.spec.dtype.itemsize
        with self.handles.borrow(size_bytes) as dataset:
            mask = dataset.read_masks(self.indexes[0], window=window) != 0 if self.spec.has_mask else None
            if self.has_one_dtype:
                return dataset.read(indexes, window=window), mask
            bands = [dataset.read(index, window=window).astype(self.spec.dtype) for index in indexes]
            return np.stack(bands), mask


def open_reader(reader: RasterioReader) -> RasterSource:
    """See what a reader has in focus as a source; the reader is only looked at.

    Raises:
        GeoreaderError: As `describe` does; ReadError where the file can't be opened.
    """
    handles = OwnHandles(reader.path, reader.rio_env_options, reader.overview_level)
    with handles.borrow(0) as dataset:
        file_shape = dataset.shape
        chunks = _chunks(dataset, reader.window_focus, tuple(reader.indexes))
        has_one_dtype = len({dataset.dtypes[index - 1] for index in reader.indexes}) == 1
    fill = reader.fill_value_default
    return RasterSource(
        name=reader.path,
        spec=describe(reader, dtype=reader.dtype, has_mask=reader.has_mask),
        handles=handles,
        file_shape=file_shape,
        window=reader.window_focus,
        indexes=tuple(reader.indexes),
        has_one_dtype=has_one_dtype,
        fill=0 if fill is None else fill,
        chunks=chunks,
    )


def open_dataset_source(dataset: Any) -> RasterSource:
    """See a dataset that the caller opened as a source.

    A plain file is opened once more for each thread that reads; anything else is read through the caller's handle, by
    one thread at a time.

    Args:
        dataset: Open in rasterio, for reading or writing; a WarpedVRT too.

    Raises:
        GeoreaderError: As `describe` does; ReadError where it is closed.
    """
    if dataset.closed:
        raise ReadError(f"{dataset.name} is closed; pass it while it is open, or its path")
    with named_errors(dataset.name):
        info = read_file_info(dataset)
    indexes = tuple(range(1, info.count + 1))
    window = Window(0, 0, info.width_px, info.height_px)
    fill = info.nodatavals[0]
    seen = SimpleNamespace(
        shape=(info.count, info.height_px, info.width_px),
        transform=info.transform,
        crs=info.crs,
        attrs=info.attrs(indexes),
        fill_value_default=fill,
        fill_value_was_said=True,
    )
    return RasterSource(
        name=dataset.name,
        spec=describe(seen, dtype=np.result_type(*info.dtypes), has_mask=info.has_mask),
        handles=OwnHandles(dataset.name, {}) if _can_be_opened_again(dataset) else CallersHandle(dataset),
        file_shape=(info.height_px, info.width_px),
        window=window,
        indexes=indexes,
        has_one_dtype=len(set(info.dtypes)) == 1,
        fill=0 if fill is None else fill,
        chunks=_chunks(dataset, window, indexes),
    )


def _can_be_opened_again(dataset: Any) -> bool:
    """Tell whether a dataset's name leads to the same raster: not so for overviews, open options, files in memory."""
    if type(dataset) is not DatasetReader or dataset.mode != "r" or not Path(dataset.name).is_file():
        return False
    try:
        with rasterio.open(dataset.name, sharing=False) as again:
            return all(
                getattr(again, name) == getattr(dataset, name)
                for name in (
                    "shape",
                    "count",
                    "dtypes",
                    "transform",
                    "crs",
                    "driver",
                    "nodatavals",
                    "scales",
                    "offsets",
                )
                if name != "nodatavals" or not any(value != value for value in dataset.nodatavals if value is not None)
            )
    except RasterioError:
        return False


def _chunks(dataset: Any, window: Window, indexes: tuple[int, ...]) -> Chunks:
    shape = (len(indexes), int(window.height), int(window.width))
    rows_px, columns_px = dataset.block_shapes[indexes[0] - 1]
    bands = 1 if dataset.profile.get("interleave") == "band" else len(indexes)
    return regular_chunks(shape, (bands, rows_px, columns_px), (0, int(window.row_off), int(window.col_off)))
