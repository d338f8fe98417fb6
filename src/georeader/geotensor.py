"""GeoTensor: a numpy array with a transform and a CRS."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader import window_utils
from georeader._arrays import indexing, numpy_functions, pixel_attrs
from georeader._arrays.numpy_functions import Operators
from georeader._arrays.pixel_attrs import describe_grid, split_mask, to_ndarray
from georeader._core import band_attrs
from georeader._core.reporting import preformatted
from georeader._core.sentinels import UNSET, Unset
from georeader._core.windows import Mask
from georeader.abstract_reader import Georeferenced, declared_nodata, same_nodata
from georeader.errors import DtypeError, IndexingError, LostPlaceError, OptionError, ShapeError

if TYPE_CHECKING:
    from xarray import DataArray

#: Defaults of numpy's for threshold and edgeitems, and those of a GeoTensor.
_NUMPY_PRINTS, _PRINTED = (1000, 3), (64, 2)

_DIMS = {2: ("y", "x"), 3: ("band", "y", "x"), 4: ("time", "band", "y", "x")}


class GeoTensor(Operators, np.ndarray[Any, Any], Georeferenced):  # type: ignore[misc]
    """An array of 2 to 4 dimensions whose last two are (row, column), with transform and CRS.

    The axes are (row, column), (band, row, column) or (time, band, row, column). Arithmetic, slicing, ``astype``,
    ``copy`` and pickling keep the metadata; a spatial slice moves the transform with it. Results that have left the
    grid (a reduction over rows or columns, ``ravel``, ``reshape``, a boolean mask) are plain numpy arrays. Arithmetic
    between two GeoTensors requires the same grid. Memory: a view of ``values``, no copy.

    Attributes:
        transform: Affine from pixel (column, row) to CRS (x, y), at the pixel's outer corner.
        crs: Any CRS input (EPSG code, WKT, rasterio or pyproj CRS), or None.
        fill_value_default: Value of missing pixels, or None if every pixel is data. A bool array made without one has
            False, which only fills windows beyond the edge: all of its own pixels are data.
        attrs: Metadata; docs/reading.md lists the keys that have a meaning.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> gt = GeoTensor(np.zeros((3, 100, 80)), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", nodata=np.nan)
        >>> window = gt[:, 20:40, 10:30]
        >>> window.shape, window.bounds
        ((3, 20, 20), (500100.0, 3999600.0, 500300.0, 3999800.0))
    """

    transform: Affine
    crs: Any
    fill_value_default: Any
    attrs: dict[str, Any]

    def __new__(
        cls,
        values: Any,
        transform: Affine | Sequence[float],
        crs: Any,
        fill_value_default: Any = Unset("0"),  # noqa: B008 - it never changes
        attrs: Mapping[str, Any] | None = None,
        *,
        nodata: Any = UNSET,
    ) -> GeoTensor:
        """Build a GeoTensor on ``values``, which are not copied.

        Args:
            values: Array-like of 2 to 4 dimensions. The mask of a masked array becomes ``attrs["mask"]``.
            transform: Affine, or its six numbers (width, 0, x, 0, -height, y); not in GDAL's order.
            crs: Any CRS input, or None.
            fill_value_default: Value of missing pixels; None if every pixel is data. By default 0, and `save_cog` warns
                before that becomes the file's nodata; a bool array has no nodata by default.
            attrs: Metadata; copied, so that the caller's mapping stays unchanged.
            nodata: Another name for ``fill_value_default``.

        Raises:
            ShapeError: ``values`` do not have 2 to 4 dimensions.
            OptionError: Bands of a masked array are masked at different pixels; or the two names of nodata differ.
            GeoreferenceError: ``transform`` is not an affine transform, or is in GDAL's order.
        """
        array, mask = _split_mask(values)
        tensor = array.view(cls)
        tensor.transform = window_utils.normalise_transform(transform)
        tensor.crs = crs
        fill = _one_fill_value(fill_value_default, nodata)
        if isinstance(fill, Unset):
            tensor.fill_value_default = False if array.dtype.kind == "b" else 0
            tensor.fill_value_given_as = None
        else:
            tensor.fill_value_default = fill
        tensor.attrs = pixel_attrs.hide_more(attrs or {}, mask, array.shape)
        return tensor

    #: numpy's kind of the dtype for which ``fill_value_default`` was passed; None: it is the default.
    fill_value_given_as: str | None

    @property
    def fill_value_is_explicit(self) -> bool:
        """Whether ``fill_value_default`` was passed; not so for integers that became floating-point numbers."""
        given_as = self.fill_value_given_as
        return given_as is not None and (given_as in "fc" or self.dtype.kind not in "fc")

    def __array_finalize__(self, obj: NDArray[Any] | None) -> None:
        """Copy the metadata to views and copies that are still on the grid."""
        if not isinstance(obj, GeoTensor) or "attrs" not in obj.__dict__:
            return
        if self.ndim in _DIMS and self.shape[-2:] == obj.shape[-2:]:
            self._take_metadata(obj)

    def _take_metadata(self, other: GeoTensor) -> None:
        self.transform = other.transform
        self.crs = other.crs
        self._take_fill_value(other)
        is_cast_to_mask = self.dtype.kind == "b" and other.dtype.kind != "b"
        self.attrs = band_attrs.without_encoding(other.attrs) if is_cast_to_mask else dict(other.attrs)
        if pixel_attrs.mask_of(other.attrs, other.shape) is not None and self.shape[-2:] != other.shape[-2:]:
            del self.attrs["mask"]  # it is of the other's pixels

    def _take_fill_value(self, other: GeoTensor) -> None:
        """Copy another tensor's fill value if it has a meaning in this dtype."""
        fill, given_as = other.fill_value_default, other.fill_value_given_as
        was_bool, is_bool = other.dtype.kind == "b", self.dtype.kind == "b"
        if is_bool and not was_bool:
            fill, given_as = False, None  # a comparison has a result for every pixel
        elif was_bool and not is_bool and given_as is None:
            fill = None
        self.fill_value_default = fill
        self.fill_value_given_as = given_as

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute: check a transform, note a fill value, drop the georeference if the shape changes."""
        grid = self.shape[-2:]
        if name == "transform":
            value = window_utils.normalise_transform(value)
        super().__setattr__(name, value)
        if self.shape[-2:] != grid:
            self.__dict__.clear()
        elif name == "fill_value_default":
            self.fill_value_given_as = self.dtype.kind

    def __getattr__(self, name: str) -> Any:
        """Raise an error that explains why an array has lost its georeference in numpy."""
        if name in GeoTensor.__annotations__:
            raise LostPlaceError(
                f"this array of shape {self.shape} has no {name}: the numpy operation that made it left the grid; "
                "use np.asarray(...) for the numbers, or GeoTensor(...) to say where they lie"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def like(self, values: Any, **changes: Any) -> GeoTensor:
        """Return a GeoTensor of other ``values`` with the same georeference.

        Args:
            values: Array whose last two axes lie on this grid; the mask of a masked array is combined with this one's.
            **changes: ``transform``, ``crs``, ``fill_value_default`` (or ``nodata``) or ``attrs`` to replace.

        Raises:
            ShapeError: ``values`` do not have 2 to 4 dimensions.
            TypeError: Another keyword argument.
        """
        array, mask = _split_mask(values)
        tensor = array.view(GeoTensor)
        unknown = sorted(set(changes) - {"transform", "crs", "fill_value_default", "nodata", "attrs"})
        if unknown:
            raise TypeError(
                f"like() takes transform, crs, fill_value_default, nodata and attrs, not {', '.join(unknown)}"
            )
        if "nodata" in changes:
            fill = changes.get("fill_value_default", UNSET)
            changes["fill_value_default"] = _one_fill_value(fill, changes.pop("nodata"))
        tensor._take_metadata(self)
        for name, value in changes.items():
            setattr(tensor, name, dict(value or {}) if name == "attrs" else value)
        tensor.attrs = pixel_attrs.hide_more(tensor.attrs, mask, tensor.shape)
        return tensor

    # numpy's protocols: `georeader._arrays.numpy_functions` decides what an operation keeps.

    def __array_ufunc__(self, ufunc: Any, method: Any, *inputs: Any, **kwargs: Any) -> Any:
        return numpy_functions.apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return numpy_functions.apply_function(func, args, kwargs)

    def __reduce__(self) -> Any:
        reduced: Any = super().__reduce__()
        rebuild, arguments, state = reduced
        return rebuild, arguments, (state, dict(self.__dict__))

    def __setstate__(self, state: Any) -> None:
        array_state, metadata = state
        super().__setstate__(array_state)
        self.__dict__.update(metadata)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any] | None) -> GeoTensor:
        return self.like(self.values.copy(), crs=copy.deepcopy(self.crs, memo), attrs=copy.deepcopy(self.attrs, memo))

    def copy(self, order: Any = "C") -> Any:
        """Return a copy of pixels and metadata."""
        copied = self.values.copy(order)
        if not numpy_functions.has_georeference(self):
            return copied
        mask = pixel_attrs.mask_of(self.attrs, self.shape)
        return self.like(copied, attrs=self.attrs if mask is None else {**self.attrs, "mask": mask.copy()})

    def view(self, *args: Any, **kwargs: Any) -> Any:
        """Return a view, as ``ndarray.view``; a plain array if another dtype changes the number of columns."""
        viewed = super().view(*args, **kwargs)
        if not isinstance(viewed, GeoTensor):
            return viewed
        if viewed.shape[-2:] != self.shape[-2:]:
            return np.asarray(viewed)
        if numpy_functions.has_georeference(self):
            viewed._take_fill_value(self)  # numpy sets the dtype only after __array_finalize__
        return viewed

    def resize(self, *_: Any, **__: Any) -> None:
        """Raise IndexingError: in place, the pixels would move on the grid."""
        raise IndexingError("resize() in place would move pixels on the grid; use np.resize(gt, ...) for a plain array")

    def round(self, decimals: Any = 0, out: Any = None) -> Any:
        """Return the pixels rounded, as ``ndarray.round``."""
        return np.round(self, decimals, out=out)

    # The GeoData protocol.

    @property
    def values(self) -> NDArray[Any]:
        """The pixels as a plain numpy array; a view, not a copy."""
        return np.asarray(self)

    @values.setter
    def values(self, new_values: Any) -> None:
        array = to_ndarray(new_values)
        what = f"values of {array.dtype} {array.shape} do not fit in place of {self.dtype} {self.shape}"
        if array.shape != self.shape:
            raise ShapeError(f"{what}; use gt.like(new_values) for a new GeoTensor")
        if array.dtype != self.dtype:
            raise DtypeError(f"{what}; cast them with astype, or use gt.like(new_values) for a new GeoTensor")
        self.values[...] = array

    @property
    def nodata(self) -> Any:
        """The nodata of a file of this raster: ``fill_value_default``, but None for a bool array made without one."""
        return declared_nodata(self, self.dtype)

    @nodata.setter
    def nodata(self, value: Any) -> None:
        self.fill_value_default = value

    def load(self) -> GeoTensor:
        """Return this GeoTensor, which is in memory already. Readers have the same method."""
        return self

    @property
    def count(self) -> int:
        """Number of bands: 1 for (row, column)."""
        return 1 if self.ndim == 2 else int(self.shape[-3])

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes: ("y", "x"), ("band", "y", "x") or ("time", "band", "y", "x")."""
        return _DIMS[self.ndim]

    def invalidmask(self) -> GeoTensor:
        """Return where the pixels are ``nodata`` or masked by ``attrs["mask"]``: bool, of the same shape."""
        invalid = numpy_functions.equals_fill(self.values, self.nodata)
        attrs = band_attrs.without_encoding(self.attrs)
        mask = pixel_attrs.validity_of(attrs, self.shape)
        if mask is not None:
            del attrs["mask"]
            invalid = invalid | ~mask
        answers = self.like(invalid, fill_value_default=False, attrs=attrs)
        answers.fill_value_given_as = None
        return answers

    def validmask(self) -> GeoTensor:
        """Return where the pixels are data, neither ``nodata`` nor masked: bool, of the same shape."""
        invalid = self.invalidmask()
        return invalid.like(~invalid.values)

    # Selections.

    def isel(self, sel: Mapping[str, Any]) -> GeoTensor:
        """Return a selection by axis name, as in xarray: ``gt.isel({"band": [0, 2], "y": slice(10, 20)})``.

        "x" and "y" take slices; "band" and "time" also integers and lists. Else an IndexingError is raised.
        """
        return indexing.isel(self, sel)

    def __getitem__(self, key: Any) -> Any:
        return indexing.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        # Any index is possible, since the shape stays; ndarray's own method would call __getitem__ for a view.
        self.values[indexing.plain_index(key)] = np.asarray(value)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim <= 2 or not numpy_functions.has_georeference(self):
            return iter(self.values)
        return (self[index] for index in range(len(self)))

    def read_from_window(self, window: Window, boundless: bool = True) -> GeoTensor:
        """Return the pixels of a window on whole pixels, relative to this array.

        If ``boundless``, the result has the window's size, with ``fill_value_default`` (0 if that is None) outside the
        raster; else the window is cut at the raster's edge.

        Raises:
            IndexingError: The window lies between pixels, or (``boundless=False``) outside the raster.
            NodataError: The dtype cannot hold ``fill_value_default``, and the window reaches outside the raster.
        """
        return indexing.read_from_window(self, window, boundless)

    def squeeze(self, axis: Any = None) -> GeoTensor:
        """Return a tensor without axes of length one before the spatial ones: one or several, all by default."""
        return indexing.squeeze(self, axis)

    def expand_dims(self, axis: int | tuple[int, ...] = 0) -> GeoTensor:
        """Return a tensor with axes of length one added before the spatial ones, at these positions of the result."""
        return indexing.expand_dims(self, axis)

    def transpose(self, *axes: Any) -> GeoTensor:
        """Return a tensor with axes reordered, as ``ndarray.transpose``; the last two axes stay (row, column)."""
        return indexing.transpose(self, axes)

    @property
    def T(self) -> GeoTensor:  # noqa: N802 - numpy's name
        """``transpose()``, which keeps rows and columns."""
        return self.transpose()

    @property
    def mT(self) -> Any:  # noqa: N802 - numpy's name
        """Rows and columns swapped, as a plain numpy array."""
        return self.values.mT

    def to_xarray(self) -> DataArray:
        """Return this raster as an `xarray.DataArray`, which shares the pixels, by rioxarray's conventions.

        Dimensions, coordinates, attributes and encoding are those of ``rioxarray.open_rasterio`` for a file of this
        raster. A mask is the coordinate "mask". Saved again, it becomes the same file: docs/xarray.md.

        Raises:
            MissingExtraError: xarray or rioxarray is not installed (extra ``xarray``).
            GeoreferenceError: pyproj does not know the CRS.
            MetadataError: Metadata of bands have not one entry per band.

        Example:
            >>> gt = GeoTensor(np.ones((2, 60, 50), "int16"), (10, 0, 500000, 0, -10, 4000000), "EPSG:32630", nodata=-1)
            >>> array = gt.like(gt, attrs={"descriptions": ["red", "nir"], "scales": [0.1, 0.1]}).to_xarray()
            >>> array.dims, float(array.x[0]), array.attrs["long_name"], array.rio.crs.to_epsg()
            (('band', 'y', 'x'), 500005.0, ('red', 'nir'), 32630)
        """
        from georeader._arrays.to_xarray import RasterParts, to_data_array

        mask = pixel_attrs.validity_of(self.attrs, self.shape)
        parts = RasterParts(
            self.values, self.dims, self.transform, self.crs, self.nodata, self.attrs, mask, {}, grid=self.transform
        )
        return to_data_array(parts)

    # Constructors.

    @classmethod
    def load_file(cls, path: Any, fs: Any = None, **options: Any) -> GeoTensor:
        """Read a whole raster file: (band, row, column) in its dtype, with its nodata or None as fill value.

        Args:
            path: What `RasterioReader` takes; with ``fs``, a path in that filesystem.
            fs: A filesystem of fsspec or a store of obstore to read the bytes through.
            **options: ``load_tags=False`` leaves out ``attrs["tags"]`` and ``attrs["band_tags"]``,
                ``load_descriptions=False`` ``attrs["descriptions"]``; ``rio_env_options`` are options of GDAL.

        Raises:
            ReadError: The file cannot be opened or read.
        """
        from georeader._readers.raster_file import load_file

        return GeoTensor(*load_file(path, fs=fs, **options))

    @classmethod
    def load_bytes(cls, bytes_read: bytes | bytearray | memoryview, **options: Any) -> GeoTensor:
        """Read a raster file whose bytes are in memory, with the options and errors of `load_file`."""
        from georeader._readers.raster_file import load_bytes

        return GeoTensor(*load_bytes(bytes_read, **options))

    @classmethod
    def stack(cls, geotensors: Sequence[GeoTensor]) -> GeoTensor:
        """Return tensors of one shape and grid stacked along a new first axis: bands, or times if they have bands.

        Raises:
            GeoreferenceError: Grids or fill values differ.
            ShapeError: Shapes differ, or the list is empty.
        """
        return indexing.stack(geotensors)

    @classmethod
    def concatenate(cls, geotensors: Sequence[GeoTensor], axis: int = 0) -> GeoTensor:
        """Return tensors of one grid joined along an axis that is not spatial.

        Raises:
            GeoreferenceError: Grids or fill values differ.
            ShapeError: Shapes differ along another axis, or the list is empty.
        """
        return indexing.concatenate(geotensors, axis)

    def __repr__(self) -> str:
        has_grid = numpy_functions.has_georeference(self)
        grid = describe_grid(self) if has_grid else "GeoTensor without georeference"
        options = np.get_printoptions()
        shown = options["threshold"], options["edgeitems"]
        if shown == _NUMPY_PRINTS:  # up to 1000 numbers, on as many lines; options that the caller set stay
            shown = _PRINTED[0], _PRINTED[1] if self.ndim < 3 else 1
        with np.printoptions(threshold=shown[0], edgeitems=shown[1]):
            return f"{grid}\n{self.values!r}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        if not numpy_functions.has_georeference(self):
            return f"<div>{preformatted(repr(self))}</div>"
        from georeader._render.picture import html_of

        return html_of(repr(self), self._draw)

    def _draw(self) -> NDArray[np.uint8]:
        """Return the picture for a notebook, of every nth row and column where there are very many."""
        from georeader._render.bands import RasterBands
        from georeader._render.picture import NOTEBOOK, plan_picture, render_pixels, thinning_step

        every = slice(None, None, thinning_step(self.shape))
        shown = self.isel({"y": every, "x": every})
        bands = RasterBands.from_attrs(shown.attrs, shown.count, shown.dtype, shown.nodata)
        crs = window_utils.normalise_crs(shown.crs)
        plan = plan_picture(bands, shown.shape, shown.transform, crs, NOTEBOOK)
        mask = pixel_attrs.validity_of(shown.attrs, shown.shape)
        planes = shown.values.reshape(-1, *shown.shape[-2:])
        return render_pixels(plan, [planes[band] for band in plan.bands], mask)


def _split_mask(values: Any) -> tuple[NDArray[Any], Mask]:
    """Return an array of 2 to 4 dimensions, and its mask."""
    array, mask = split_mask(values)
    if array.ndim not in _DIMS:
        raise ShapeError(
            f"values of shape {array.shape} have {array.ndim} dimensions; a GeoTensor is (row, column), "
            "(band, row, column) or (time, band, row, column)"
        )
    return array, mask


def _one_fill_value(fill_value_default: Any, nodata: Any) -> Any:
    """Return the fill value of the two arguments that name it."""
    if isinstance(nodata, Unset):
        return fill_value_default
    if not isinstance(fill_value_default, Unset) and not same_nodata(nodata, fill_value_default):
        raise OptionError(
            f"fill_value_default={fill_value_default!r} and nodata={nodata!r} contradict; they are two names of one "
            "value, so pass one"
        )
    return nodata


numpy_functions.give_plain_arrays(GeoTensor)

#: `GeoTensor.stack` and `GeoTensor.concatenate` as functions.
stack = GeoTensor.stack
concatenate = GeoTensor.concatenate
