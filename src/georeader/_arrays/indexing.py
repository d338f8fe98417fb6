"""Selections and stacks of GeoTensors, whose transform and metadata follow their pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from georeader._arrays import pixel_attrs
from georeader._arrays.numpy_functions import check_common_grid, describe_place, has_georeference, holds
from georeader._core import band_attrs
from georeader._core.reporting import warn_at_caller
from georeader.abstract_reader import same_nodata
from georeader.errors import GeoreferenceError, IndexingError, MetadataWarning, NodataError, ShapeError
from georeader.window_utils import overlap, regrid, whole_pixel_window, window_transform

if TYPE_CHECKING:
    from georeader.geotensor import GeoTensor


def isel(tensor: GeoTensor, sel: Mapping[str, Any]) -> GeoTensor:
    """Return a selection by axis name; see `GeoTensor.isel`."""
    for name in sel:
        if name not in tensor.dims:
            raise IndexingError(f"axis {name!r} does not exist; this GeoTensor has {', '.join(tensor.dims)}")
    rows, columns = (_spatial_slice(name, sel.get(name, slice(None))) for name in ("y", "x"))
    leading = tuple(_plane_index(name, sel.get(name, slice(None))) for name in tensor.dims[:-2])
    values = tensor.values[(*leading, rows, columns)]
    transform = regrid(tensor.transform, *pixel_attrs.place_of_slices(rows, columns, tensor.shape))
    planes = _planes(tensor)[leading]
    kept = pixel_attrs.hide_more(_attrs_of(tensor, planes), _alpha_left_out(tensor, planes), tensor.shape)
    attrs = pixel_attrs.select_pixels(kept, rows, columns, tensor.shape)
    return tensor.like(values, transform=transform, attrs=attrs)


def _alpha_left_out(tensor: GeoTensor, planes: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return the mask of an alpha band that a selection leaves out; None if it leaves out none."""
    interps = tensor.attrs.get("colorinterp")
    if tensor.ndim != 3 or not isinstance(interps, (list, tuple)) or len(interps) != tensor.count:
        return None
    alpha = band_attrs.alpha_band(interps)
    if alpha is None or planes.size == 0 or alpha in planes:
        return None
    return np.asarray(tensor.values[alpha] != 0)


def _planes(tensor: GeoTensor) -> NDArray[Any]:
    """Return the band number of each (row, column) plane, in the shape of the axes before the spatial ones."""
    bands = np.arange(tensor.count) if tensor.ndim > 2 else np.zeros((), dtype=int)
    return np.broadcast_to(bands, tensor.shape[:-2])


def _attrs_of(tensor: GeoTensor, planes: NDArray[Any]) -> dict[str, Any]:
    """Return the metadata of rearranged planes; without entries of bands, if the axis of bands is one of times now."""
    planes = np.atleast_1d(planes)
    if planes.ndim == 2 and (len(planes) == 0 or (planes != planes[0]).any()):
        return band_attrs.without_bands(tensor.attrs)
    bands = planes[0] if planes.ndim == 2 else planes
    return band_attrs.select_bands(tensor.attrs, tensor.count, bands.tolist())


def _plane_index(name: str, index: Any) -> Any:
    """Check an index of the axis "band" or "time", whose result has at most that axis, and return it."""
    if isinstance(index, slice):
        return index
    array = np.asarray(index)
    if array.ndim > 1 or (array.dtype == bool and array.ndim == 0):
        raise IndexingError(
            f"axis {name!r} takes an integer, a slice or a flat list of integers or booleans, not {_describe(index)}; "
            "use .values[...] for other indices"
        )
    if array.size == 0:
        return array.astype(int)
    if array.dtype.kind not in "iub":
        raise IndexError(f"axis {name!r} takes integers, slices and lists of them, not {_describe(index)}")
    return int(array) if array.ndim == 0 else array


def _describe(index: Any) -> str:
    if isinstance(index, np.ndarray) and index.ndim:
        return f"an array of shape {index.shape}"
    return repr(index)


def _spatial_slice(name: str, index: Any) -> slice:
    if not isinstance(index, slice):
        raise IndexingError(
            f"axis {name!r} takes slices only (got {_describe(index)}), so that the result keeps rows and columns; "
            "use .values[...] for single rows, columns or pixels"
        )
    return index


def plain_index(key: Any) -> Any:
    """Return an index for plain arrays, without the GeoTensors that masks are."""
    if isinstance(key, tuple):
        return tuple(plain_index(one) for one in key)
    return np.asarray(key) if isinstance(key, np.ndarray) else key


def getitem(tensor: GeoTensor, key: Any) -> Any:
    """Return ``tensor[key]``: slices keep the georeference; a mask of the tensor's shape selects a plain array."""
    if not has_georeference(tensor):
        return tensor.values[plain_index(key)]
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1 and isinstance(keys[0], np.ndarray) and keys[0].dtype == bool and keys[0].ndim > 1:
        return _masked(tensor, keys[0])
    if any(one is None for one in keys):
        raise IndexingError("adding an axis by None is not possible in a GeoTensor; use expand_dims(axis)")
    if any(one is Ellipsis for one in keys):
        raise IndexingError("'...' is not possible in a GeoTensor; name each axis, use isel(), or index .values")
    if len(keys) > tensor.ndim:
        raise IndexingError(f"{len(keys)} indices for {tensor.ndim} axes ({', '.join(tensor.dims)})")
    return isel(tensor, dict(zip(tensor.dims, keys, strict=False)))


def _masked(tensor: GeoTensor, mask: NDArray[np.bool_]) -> NDArray[Any]:
    if mask.shape != tensor.shape:
        raise IndexingError(
            f"a mask of shape {mask.shape} does not fit a GeoTensor of shape {tensor.shape}; "
            "use .values[..., mask] to apply a (row, column) mask to each band"
        )
    if has_georeference(mask):
        check_common_grid([tensor, cast("GeoTensor", mask)], "gt[mask]")
    return tensor.values[np.asarray(mask)]


def read_from_window(tensor: GeoTensor, window: Window, boundless: bool) -> GeoTensor:
    """Return the pixels of a window; see `GeoTensor.read_from_window`."""
    window = whole_pixel_window(window)
    source, _ = overlap(window, tensor.height, tensor.width)
    transform = window_transform(window, tensor.transform)
    inside = tensor.values[(..., *source)]
    attrs = pixel_attrs.select_window(tensor.attrs, window, tensor.shape)
    if inside.shape[-2:] == (window.height, window.width):
        return tensor.like(inside, transform=transform, attrs=attrs)
    if not boundless:
        if 0 in inside.shape[-2:]:
            raise IndexingError(f"{window} lies outside the raster of {tensor.height} x {tensor.width} pixels")
        return isel(tensor, {"y": source[0], "x": source[1]})
    fill = 0 if tensor.fill_value_default is None else tensor.fill_value_default
    if not holds(tensor.dtype, fill):
        raise NodataError(
            f"{window} reaches outside the raster, where the pixels would be fill_value_default={fill}, which "
            f"{tensor.dtype} cannot hold; set another fill_value_default, or pass boundless=False"
        )
    values = pixel_attrs.pad(inside, window, (tensor.height, tensor.width), fill)
    return tensor.like(values, transform=transform, attrs=attrs)


def _not_spatial(axis: int, ndim: int, what: str) -> int:
    position = axis + ndim if axis < 0 else axis
    if not 0 <= position < ndim - 2:
        raise IndexingError(f"{what}: axis {axis} is spatial or does not exist; the last two axes stay (row, column)")
    return position


def squeeze(tensor: GeoTensor, axis: Any) -> GeoTensor:
    """Return a tensor without axes of length one before the spatial ones."""
    if axis is None:
        axes = tuple(one for one in range(tensor.ndim - 2) if tensor.shape[one] == 1)
    else:
        given = axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(_not_spatial(one, tensor.ndim, "squeeze") for one in given)
    values = np.squeeze(tensor.values, axis=axes)
    return tensor.like(values, attrs=_attrs_of(tensor, np.squeeze(_planes(tensor), axis=axes)))


def expand_dims(tensor: GeoTensor, axis: int | tuple[int, ...]) -> GeoTensor:
    """Return a tensor with axes of length one added before the spatial ones."""
    given = axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(_not_spatial(one, tensor.ndim + len(given), "expand_dims") for one in given)
    values = np.expand_dims(tensor.values, axes)
    if values.ndim > 4:
        raise ShapeError(f"expand_dims: {values.shape} would have {values.ndim} dimensions; 2 to 4 are possible")
    return tensor.like(values, attrs=_attrs_of(tensor, np.expand_dims(_planes(tensor), axes)))


def transpose(tensor: GeoTensor, axes: tuple[Any, ...]) -> GeoTensor:
    """Return a tensor with the axes before the spatial ones reordered."""
    ndim = tensor.ndim
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], Sequence)):
        axes = tuple(axes[0] or ())
    order = axes or (*reversed(range(ndim - 2)), ndim - 2, ndim - 1)
    values = tensor.values.transpose(order)
    order = tuple(one % ndim for one in order)
    if order[-2:] != (ndim - 2, ndim - 1):
        raise IndexingError(f"transpose{order}: the last two axes stay (row, column); transpose .values to swap them")
    return tensor.like(values, attrs=_attrs_of(tensor, _planes(tensor).transpose(order[:-2])))


def _check_alike(geotensors: Sequence[GeoTensor], what: str) -> None:
    if len(geotensors) == 0:
        raise ShapeError(f"{what}: the list of GeoTensors is empty")
    first = geotensors[0]
    for position, other in enumerate(geotensors[1:], start=1):
        if not first.same_extent(other):
            raise GeoreferenceError(
                f"{what}: element {position} lies on another grid than element 0 "
                f"({describe_place(other)}, not {describe_place(first)})"
            )
        a, b = first.fill_value_default, other.fill_value_default
        if not same_nodata(a, b):
            raise GeoreferenceError(
                f"{what}: element {position} has fill_value_default {b}, element 0 has {a}; bring them to one value"
            )


def stack(geotensors: Sequence[GeoTensor]) -> GeoTensor:
    """Return tensors stacked along a new first axis: (row, column) become bands, (band, row, column) become times."""
    geotensors = list(geotensors)
    _check_alike(geotensors, "stack")
    shapes = {tensor.shape for tensor in geotensors}
    if len(shapes) > 1:
        raise ShapeError(f"stack: the GeoTensors differ in shape: {sorted(shapes)}")
    values = np.stack([tensor.values for tensor in geotensors])
    return _joined(values, geotensors, "stack", are_bands=geotensors[0].ndim == 2)


def concatenate(geotensors: Sequence[GeoTensor], axis: int) -> GeoTensor:
    """Return tensors joined along an axis that is not spatial."""
    geotensors = list(geotensors)
    _check_alike(geotensors, "concatenate")
    ndim = geotensors[0].ndim
    position = _not_spatial(axis, ndim, "concatenate")
    try:
        values = np.concatenate([tensor.values for tensor in geotensors], axis=position)
    except ValueError as error:
        shapes = [tensor.shape for tensor in geotensors]
        raise ShapeError(f"concatenate: the GeoTensors differ in shape beyond axis {axis}: {shapes}") from error
    return _joined(values, geotensors, "concatenate", are_bands=position == ndim - 3)


def _joined(values: NDArray[Any], geotensors: Sequence[GeoTensor], what: str, *, are_bands: bool) -> GeoTensor:
    """Return the pixels of tensors, joined as bands or as times, as one tensor.

    Its fill value is explicit if that of each is. It has the entries of pixels on which all agree: a mask has no bands
    and no times.
    """
    merge = band_attrs.merge_bands if are_bands else band_attrs.merge_times
    parts, shape = [tensor.attrs for tensor in geotensors], geotensors[0].shape
    attrs = pixel_attrs.without_contradictions(merge([(tensor.attrs, tensor.count) for tensor in geotensors]), parts)
    if not pixel_attrs.have_one_mask(parts, shape):
        warn_at_caller(
            f"{what}: the masks of the GeoTensors differ, so the result has none; to keep what they hide, set its "
            "pixels to fill_value_default first, as in gt[gt.invalidmask()] = gt.fill_value_default",
            MetadataWarning,
        )
        attrs = attrs if pixel_attrs.mask_of(attrs, shape) is None else pixel_attrs.with_mask(attrs, None)
    numbers = [tensor for tensor in geotensors if tensor.dtype.kind != "b"] or geotensors
    result = numbers[0].like(values, attrs=attrs)
    if any(tensor.fill_value_given_as is None for tensor in numbers):
        result.fill_value_given_as = None
    return result
