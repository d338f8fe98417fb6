"""RasterioReader: lazy reading of a raster file, by windows and bands."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._arrays.pixel_attrs import describe_grid, regrid_georeference
from georeader._core.dtypes import check_nodata
from georeader._readers.file_info import read_resamplings
from georeader._readers.raster_file import RIO_ENV_OPTIONS_DEFAULT as RIO_ENV_OPTIONS_DEFAULT
from georeader._readers.raster_file import RasterFile, alpha_left_out, default_options
from georeader.abstract_reader import Georeferenced
from georeader.errors import IndexingError, ReadError
from georeader.geotensor import GeoTensor
from georeader.window_utils import overlap, whole_pixel_window, window_transform

if TYPE_CHECKING:
    from xarray import DataArray


class RasterioReader(Georeferenced):
    """A lazy (band, row, column) raster: a file, or a window or some bands of one.

    The file is opened at construction for its metadata, and again for each read. It is not kept open outside of
    `georeader.files_kept_open`, so that a reader can be pickled and used from threads. Memory: the pixels read.

    Errors: ReadError, if the file cannot be opened or read, or its pixels do not fit into memory; IndexingError, if a
    band, axis, window or overview does not exist or lies between pixels; NodataError, if the dtype cannot hold a fill
    value.

    Attributes:
        path: As given, as a string; it may hold secrets, which `name` and the repr leave out.
        fs: As given.
        crs: rasterio CRS, or None.
        indexes: Bands in focus, counted from 1.
        window_focus: Window in focus, relative to the file.

    Example:
        >>> from georeader import GeoTensor, RasterioReader, save_cog
        >>> _ = save_cog(GeoTensor(np.ones((600, 600), "uint8"), Affine(10, 0, 0, 0, -10, 0), 3857, 0), "scene.tif")
        >>> RasterioReader("scene.tif").read_from_window(Window.from_slices((0, 256), (512, 768))).shape
        (1, 256, 256)
    """

    dims = ("band", "y", "x")
    fill_value_is_explicit = True  # declared by the file or passed by the caller; else there is none

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fs: Any = None,
        window_focus: Window | None = None,
        indexes: Sequence[int] | None = None,
        overview_level: int | None = None,
        fill_value_default: Any = None,
        rio_env_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Read the metadata of a file, which is opened and closed.

        Args:
            path: Local path, URL (http(s)://, s3://, gs://, az://, abfs://, oss://, or any that fsspec knows), or a
                path of GDAL's virtual filesystems ("/vsizip/...").
            fs: A filesystem of fsspec or a store of obstore for any path. Slower than GDAL's own access, which reads
                with the environment's credentials.
            window_focus: Window to focus on, in pixels of the file (of the overview, if one is chosen).
            indexes: Bands to focus on, counted from 1; all by default.
            overview_level: Read the overview of this level: 0 is the largest, -1 the smallest.
            fill_value_default: Value of missing pixels; the file's nodata by default.
            rio_env_options: GDAL configuration options for this reader's reads.
        """
        self.path = os.fsdecode(path)
        self.fs = fs
        self.rio_env_options = dict(default_options(self.path, fs) if rio_env_options is None else rio_env_options)
        self.overview_level: int | None = None
        self._file = RasterFile.open(self.path, fs, self.rio_env_options)
        if overview_level is not None:
            self.overview_level = self._level(overview_level)
            self._file = self._file.overview(self.overview_level)
        self.crs, self.window_focus = self._file.info.crs, self._file_window()
        self.indexes = list(range(1, self._file.info.count + 1))
        if indexes is not None:
            self.set_indexes(indexes, relative=False)
        if window_focus is not None:
            self.set_window(window_focus, relative=False)
        self.fill_value_default = fill_value_default

    @property
    def name(self) -> str:
        """The path without the secrets that a URL may hold, for messages."""
        return self._file.name

    def _level(self, level: int) -> int:
        levels = len(self.overviews())
        if not -levels <= level < levels:
            raise IndexingError(f"{self.name}: overview {level} requested; there are {levels}")
        return level % levels

    def _file_window(self) -> Window:
        return Window(0, 0, self._file.info.width_px, self._file.info.height_px)

    # What is in focus.

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """(band, row, column) in focus."""
        return self.count, int(self.window_focus.height), int(self.window_focus.width)

    @property
    def count(self) -> int:
        """Bands in focus."""
        return len(self.indexes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype that holds all bands in focus."""
        return np.result_type(*self._of_bands(self._file.info.dtypes))

    @property
    def nodata(self) -> int | float | None:
        """The file's nodata for the first band in focus, or None: an int for integer bands, else a float."""
        return self._file.info.nodatavals[self.indexes[0] - 1]

    @property
    def nodatavals(self) -> list[int | float | None]:
        """Nodata of each band in focus, or None."""
        return self._of_bands(self._file.info.nodatavals)

    @property
    def fill_value_default(self) -> Any:
        """Value of missing pixels: ``nodata`` unless another one is set; None restores it. None: 0 beyond the edge."""
        return self.nodata if self._fill_value is None else self._fill_value

    @fill_value_default.setter
    def fill_value_default(self, value: Any) -> None:
        self._fill_value = check_nodata(value, self.dtype, f"{self.name}: fill_value_default")

    @property
    def transform(self) -> Affine:  # type: ignore[override]
        """Transform of the window in focus."""
        return window_transform(self.window_focus, self._file.info.transform)

    def _of_bands(self, values: Sequence[Any]) -> list[Any]:
        return [values[index - 1] for index in self.indexes]

    @property
    def descriptions(self) -> list[str | None]:
        """Description of each band in focus, or None."""
        return self._of_bands(self._file.info.descriptions)

    @property
    def attrs(self) -> dict[str, Any]:
        """Other metadata of the file, under the keys of `GeoTensor.attrs` (docs/reading.md), without the mask."""
        return self._attrs_of(self.window_focus)

    def _attrs_of(self, window: Window) -> dict[str, Any]:
        return regrid_georeference(self._file.info.attrs(self.indexes), window.col_off, window.row_off)

    @property
    def has_mask(self) -> bool:
        """Whether `load` returns a mask: the file has one for all bands, or an alpha band that is not in focus."""
        return self._file.info.has_mask or self.alpha_index is not None

    @property
    def alpha_index(self) -> int | None:
        """The file's alpha band, from 1, if it is not in focus: pixels are valid where it is not 0; else None."""
        return alpha_left_out(self._file.info.colorinterp, self.indexes)

    def tags(self) -> dict[str, str]:
        """File-level metadata (GDAL's default domain)."""
        return dict(self._file.info.tags)

    def set_indexes(self, indexes: Sequence[int], relative: bool = True) -> None:
        """Set the bands in focus, in place.

        Args:
            indexes: Bands counted from 1, in the order of the result.
            relative: Count among the bands in focus; False: among the file's.
        """
        available = self.indexes if relative else list(range(1, self._file.info.count + 1))
        chosen = [operator.index(index) for index in indexes]
        self._check_bands(chosen, len(available))
        self.indexes = [available[index - 1] for index in chosen]

    def _check_bands(self, chosen: Sequence[int], available: int) -> None:
        wrong = [index for index in chosen if not 1 <= index <= available]
        if wrong or not chosen:
            raise IndexingError(f"{self.name}: bands {wrong or 'none'} requested; there are 1 to {available}")

    def set_window(self, window_focus: Window | None = None, relative: bool = True, boundless: bool = True) -> None:
        """Set the window in focus, in place.

        Args:
            window_focus: On whole pixels; None: the whole file.
            relative: Counted from the window in focus; False: from the file's first pixel.
            boundless: True: the window may reach beyond the raster; False: it is cut at the raster's edge.
        """
        window = self._file_window() if window_focus is None else whole_pixel_window(window_focus)
        if window_focus is not None and relative:
            column, row = window.col_off + self.window_focus.col_off, window.row_off + self.window_focus.row_off
            window = Window(column, row, window.width, window.height)
        if not boundless:
            window = self._cut(window)
        self.window_focus = window

    def _cut(self, window: Window) -> Window:
        (rows, columns), _ = overlap(window, self._file.info.height_px, self._file.info.width_px)
        if rows.start == rows.stop or columns.start == columns.stop:
            raise IndexingError(
                f"{self.name}: {window} lies outside the raster of "
                f"{self._file.info.height_px} x {self._file.info.width_px} pixels"
            )
        return Window.from_slices(rows, columns)

    # Reading.

    def read(
        self, window: Window | None = None, indexes: Sequence[int] | None = None, boundless: bool = True
    ) -> NDArray[Any]:
        """Read pixels as a plain (band, row, column) array.

        Args:
            window: As in `set_window`; by default the window in focus.
            indexes: As in `set_indexes`; by default all bands in focus.
            boundless: As in `set_window`.
        """
        part = self.copy() if window is None else self.read_from_window(window)
        if indexes is not None:
            part.set_indexes(indexes)
        return part._load(boundless, with_mask=False).values

    def load(self, boundless: bool = True) -> GeoTensor:
        """Read the pixels and metadata in focus.

        Args:
            boundless: True: the result has the size of the window in focus, filled outside the raster. False: it is
                cut at the raster's edge.

        Returns:
            (band, row, column) GeoTensor with the file's metadata in ``attrs``, and with its mask if `has_mask`.
        """
        return self._load(boundless, with_mask=self.has_mask)

    def _load(self, boundless: bool, *, with_mask: bool) -> GeoTensor:
        window = self.window_focus if boundless else self._cut(self.window_focus)
        fill, alpha_index = self.fill_value_default, self.alpha_index
        pixels, mask = self._file.read(window, self.indexes, fill=fill, has_mask=with_mask, alpha_index=alpha_index)
        attrs = self._attrs_of(window)
        if mask is not None:
            attrs["mask"] = mask
        transform = window_transform(window, self._file.info.transform)
        return GeoTensor(pixels, transform, self.crs, fill, attrs=attrs)

    def to_xarray(self, chunks: Any = None) -> DataArray:
        """Return what is in focus as a lazy `xarray.DataArray`, by rioxarray's conventions; no pixel is read yet.

        Dimensions, coordinates, attributes and encoding are those of ``rioxarray.open_rasterio``; bands in focus are
        numbered from 1. A mask is the coordinate "mask". Each selection reads the window that it needs. The file is not
        kept open, and the array can be pickled: docs/xarray.md.

        Args:
            chunks: None: xarray reads what is accessed. "auto" or True: an array of dask in chunks of whole tiles; a
                number of pixels, or a mapping such as ``{"y": 1024, "x": 1024}``, sets the chunks. A chunk is read as
                one window.

        Raises:
            MissingExtraError: xarray, rioxarray or (``chunks``) dask is not installed.
            OptionError: ``chunks`` are not sizes of chunks, or are along another axis.
            GeoreferenceError: pyproj does not know the CRS.
        """
        from georeader._arrays.to_xarray import RasterParts, import_xarray, to_data_array
        from georeader._readers.chunked_xarray import chunked, import_dask

        import_xarray()
        if chunks is not None:
            import_dask()
        from georeader._arrays.lazy_xarray import LazyWindows, lazy

        own, is_cached = self.copy(), chunks is None
        fill = self.fill_value_default
        pixels = lazy(LazyWindows(own.read, self.shape, self.dtype), is_cached=is_cached)
        mask = lazy(LazyWindows(own._read_mask, self.shape[1:], np.dtype(bool)), is_cached=is_cached)
        with self._file.dataset() as dataset:
            rows, columns = dataset.block_shapes[self.indexes[0] - 1]
            bands = 1 if dataset.interleaving is not None and dataset.interleaving.name == "band" else self.count
        encoding: dict[str, Any] = {"source": self.name, "rasterio_dtype": str(self.dtype)}
        if chunks is None:
            encoding["preferred_chunks"] = {"y": rows, "x": columns, "band": 1}
        parts = RasterParts(
            pixels=pixels,
            dims=self.dims,
            transform=self.transform,
            crs=self.crs,
            nodata=fill,
            attrs=self.attrs,
            mask=mask if self.has_mask else None,
            encoding=encoding,
            grid=self._file.info.transform,
            offset_px=(int(self.window_focus.col_off), int(self.window_focus.row_off)),
        )
        array = to_data_array(parts)
        if chunks is None:
            return array
        state = self.fs, self.overview_level, self.indexes, self.window_focus.flatten(), fill, self.rio_env_options
        return chunked(array, chunks, (bands, rows, columns), self.path, state)

    def _read_mask(self, window: Window) -> NDArray[Any]:
        """Read the (row, column) mask of a window relative to the one in focus."""
        part = self.read_from_window(window)
        _, mask = self._file.read(
            part.window_focus, self.indexes[:1], fill=None, has_mask=True, alpha_index=self.alpha_index
        )
        return np.asarray(mask)

    @property
    def values(self) -> NDArray[Any]:
        """The pixels in focus as a plain (band, row, column) array; read again at each access."""
        return self.read()

    def read_from_window(self, window: Window, boundless: bool = True) -> RasterioReader:
        """Return a reader of a window relative to the one in focus, as by `set_window`; nothing is read yet."""
        part = self.copy()
        part.set_window(window, boundless=boundless)
        return part

    def isel(self, sel: Mapping[str, Any], boundless: bool = True) -> RasterioReader:
        """Return a reader of a selection by axis name; nothing is read yet.

        Args:
            sel: "band" takes a slice or a list, counted from 0; "y" and "x" take slices of step one.
            boundless: True: a negative index lies before the raster's edge; False: it counts from the end.
        """
        for name, index in sel.items():
            if name not in self.dims:
                raise IndexingError(f"axis {name!r} does not exist; a reader has {', '.join(self.dims)}")
            if name != "band" and not (isinstance(index, slice) and index.step in (None, 1)):
                raise IndexingError(f"axis {name!r} takes slices of step one; load() first for {index!r}")
        rows, columns = (self._pixel_range(name, sel.get(name, slice(None)), boundless) for name in ("y", "x"))
        part = self.read_from_window(Window.from_slices(rows, columns, boundless=True), boundless)
        if "band" in sel:
            part.set_indexes(self._band_numbers(sel["band"]))
        return part

    def _pixel_range(self, name: str, wanted: slice, boundless: bool) -> tuple[int, int]:
        """Return the first pixel of a slice of step one along an axis and the one behind its last."""
        size_px = self.shape[self.dims.index(name)]
        start, stop, _ = wanted.indices(size_px)
        if boundless:
            start = 0 if wanted.start is None else wanted.start
            stop = size_px if wanted.stop is None else wanted.stop
        if stop <= start:
            hint = "; a negative index lies before the edge, boundless=False counts it from the end" * boundless
            raise IndexingError(f"{self.name}: axis {name!r}: {wanted} selects no pixels of {size_px}{hint}")
        return start, stop

    def _band_numbers(self, wanted: Any) -> list[int]:
        """Return the bands of a slice or list that counts from 0, counted from 1."""
        if isinstance(wanted, str) or not isinstance(wanted, (slice, Sequence, np.ndarray)):
            raise IndexingError(f"axis 'band' takes a slice or a list, as in isel({{'band': [{wanted!r}]}})")
        try:
            chosen = np.arange(1, self.count + 1)[wanted if isinstance(wanted, slice) else list(wanted)]
        except IndexError as error:
            raise IndexingError(f"{self.name}: axis 'band': {wanted!r} of {self.count} bands: {error}") from error
        return [int(index) for index in chosen]

    # Pyramid and tiles.

    def overviews(self, index: int = 1) -> list[int]:
        """Return the decimation factors of a band's overviews, such as [2, 4, 8]; of an overview, of those below it."""
        self._check_bands([index], self._file.info.count)
        with self._file.dataset() as dataset:
            return list(dataset.overviews(index))

    def reader_overview(self, overview_level: int) -> RasterioReader:
        """Return a reader of an overview, of the bands in focus and the whole raster, which must be in focus.

        Args:
            overview_level: 0 is the largest overview, -1 the smallest; for an overview, among those below it.
        """
        level = self._level(overview_level)
        if self.window_focus != self._file_window():
            raise IndexingError(f"{self.name}: a window is in focus; take the overview first, then its window")
        return RasterioReader(
            self.path,
            fs=self.fs,
            indexes=self.indexes,
            overview_level=level if self.overview_level is None else level + self.overview_level + 1,
            fill_value_default=self._fill_value,
            rio_env_options=self.rio_env_options,
        )

    def block_windows(self, bidx: int = 1) -> list[tuple[tuple[int, int], Window]]:
        """Return the file's tiles inside the window in focus, as ((tile row, tile column), window).

        The windows are cut at the edge of the window in focus and relative to it, as in `read_from_window`. ``bidx`` is
        a band of the file, counted from 1.
        """
        self._check_bands([bidx], self._file.info.count)
        focus, found = self.window_focus, []
        with self._file.dataset() as dataset:
            for position, tile in dataset.block_windows(bidx):
                shifted = Window(tile.col_off - focus.col_off, tile.row_off - focus.row_off, tile.width, tile.height)
                (rows, columns), _ = overlap(shifted, int(focus.height), int(focus.width))
                if rows.start < rows.stop and columns.start < columns.stop:
                    found.append((position, Window.from_slices(rows, columns)))
        return found

    def copy(self) -> RasterioReader:
        """Return a second reader with the same focus; the file is not opened."""
        clone = object.__new__(type(self))
        clone.__dict__.update(self.__dict__)
        clone.indexes = list(self.indexes)
        return clone

    __copy__ = copy

    def __repr__(self) -> str:
        bands = ", ".join(name or "-" for name in self.descriptions) if any(self.descriptions) else None
        return describe_grid(self, path=self.name, bands=bands)

    def _repr_html_(self) -> str:
        from georeader._render.picture import html_of

        return html_of(repr(self), self._draw)

    def _draw(self) -> NDArray[np.uint8]:
        """Return the picture for a notebook, of the smallest overview that is enough, unless that is very large."""
        from georeader._render.bands import RasterBands
        from georeader._render.picture import NOTEBOOK, NOTEBOOK_READ_BYTES, plan_picture, render_pixels
        from georeader._render.sizes import picture_shape

        level = self._overview_for(picture_shape((self.height, self.width), self.transform, NOTEBOOK.max_side_px))
        with level._file.dataset() as dataset:
            resamplings = read_resamplings(dataset, self._file.info.tags, self.indexes)
        bands = RasterBands.from_attrs(self.attrs, self.count, self.dtype, self.fill_value_default)
        plan = plan_picture(replace(bands, resamplings=resamplings), self.shape, self.transform, self.crs, NOTEBOOK)
        needed_bytes = plan.read_bytes((level.height, level.width))
        if needed_bytes > NOTEBOOK_READ_BYTES:
            raise ReadError(
                f"{self.name}: it has no overview that is small enough, so that a picture takes "
                f"{needed_bytes / 2**20:.0f} MiB of pixels; georeader.preview.preview(...) reads them"
            )
        pixels, mask = level._file.read(
            level.window_focus,
            [self.indexes[band] for band in plan.bands],
            fill=self.fill_value_default,
            has_mask=self.has_mask,
            alpha_index=self.alpha_index,
        )
        return render_pixels(plan, list(pixels), mask)

    def _overview_for(self, picture: tuple[int, int]) -> RasterioReader:
        """Return a reader of the smallest overview that is enough for (rows, columns), with this window and bands."""
        from georeader._render.sizes import best_level

        shape = self.height, self.width
        level = best_level(shape, self.overviews(self.indexes[0]), picture)
        if level is None or 0 in shape:
            return self
        whole = self.copy()
        whole.set_window(None)
        overview = whole.reader_overview(level)
        if overview.height > whole.height or overview.width > whole.width:
            return self  # its factor is that of one side alone
        edges = zip(self.window_focus.toranges(), whole.shape[1:], overview.shape[1:], strict=True)
        rows, columns = (
            (math.floor(start * new / old), math.ceil(stop * new / old)) for (start, stop), old, new in edges
        )
        overview.set_window(Window.from_slices(rows, columns, boundless=True), relative=False)
        return overview
