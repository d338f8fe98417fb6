"""Georeferencing of the results of numpy operations on GeoTensors.

numpy passes ufuncs and functions on by NEP 13 (``__array_ufunc__``) and NEP 18 (``__array_function__``). The operation
runs on plain arrays. Its result becomes a GeoTensor again if each of its pixels still has its row and column.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import NDArray

from georeader._arrays import pixel_attrs
from georeader._core import band_attrs
from georeader.errors import GeoreferenceError, IndexingError

if TYPE_CHECKING:
    from typing import Self

    from georeader.geotensor import GeoTensor

#: Functions whose result has one value per pixel, in the same row and column.
_ELEMENTWISE = frozenset(
    {
        np.where, np.nan_to_num, np.round, np.around, np.real, np.imag, np.angle, np.isclose, np.interp,
        np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.select, np.clip, np.digitize,
    }
)  # fmt: skip

#: Functions that reduce along ``axis``, with that argument's position.
_REDUCTIONS = {
    np.sum: 1, np.prod: 1, np.mean: 1, np.std: 1, np.var: 1, np.min: 1, np.max: 1, np.ptp: 1,
    np.median: 1, np.percentile: 2, np.quantile: 2, np.any: 1, np.all: 1, np.count_nonzero: 1,
    np.nansum: 1, np.nanprod: 1, np.nanmean: 1, np.nanstd: 1, np.nanvar: 1, np.nanmin: 1,
    np.nanmax: 1, np.nanmedian: 1, np.nanpercentile: 2, np.nanquantile: 2,
    np.argmax: 1, np.argmin: 1, np.nanargmax: 1, np.nanargmin: 1,
}  # fmt: skip

#: Functions that GeoTensor has as methods of its own.
_METHODS = {np.squeeze: "squeeze", np.expand_dims: "expand_dims", np.transpose: "transpose"}
if hasattr(np, "astype"):  # numpy 2.1
    _METHODS[np.astype] = "astype"

#: ndarray's methods that move, merge or pick pixels: they return plain arrays.
_PLAIN_METHODS = (
    "ravel", "flatten", "reshape", "swapaxes", "take", "repeat", "compress", "diagonal", "choose",
    "argsort", "argpartition", "cumsum", "cumprod", "trace", "dot", "nonzero", "searchsorted",
)  # fmt: skip

#: ndarray's methods that sort in place, with the position of their ``axis``.
_SORTS = {"sort": 0, "partition": 1}


def give_plain_arrays(cls: type) -> None:
    """Add to a GeoTensor class the array methods that numpy would run without regard to the georeference."""

    def add(name: str, method: Any, result: str) -> None:
        method.__name__, method.__doc__ = name, f"``ndarray.{name}``{result}."
        setattr(cls, name, method)

    for name in _PLAIN_METHODS:
        add(name, _plain_method(name), ", as a plain numpy array: its pixels have left the grid")
    for name, position in _SORTS.items():
        add(name, _sort_method(name, position), ", in place, along an axis before the spatial ones")
    for name, function in (("argmax", np.argmax), ("argmin", np.argmin)):
        add(name, _reduction_method(function), "; a GeoTensor when the axis is not spatial")
    cls.flat = property(  # type: ignore[attr-defined]
        lambda self: self.values.flat,
        lambda self, new_values: self.values.__setattr__("flat", np.asarray(new_values)),
        doc="``ndarray.flat``; slices of it are plain numpy arrays.",
    )


def _plain_method(name: str) -> Any:
    def method(self: GeoTensor, *args: Any, **kwargs: Any) -> Any:
        _check_output(kwargs.get("out"), name)
        return getattr(self.values, name)(*_unwrap(args), **_unwrap(kwargs))

    return method


def _sort_method(name: str, position: int) -> Any:
    def method(self: GeoTensor, *args: Any, **kwargs: Any) -> None:
        axis = kwargs.get("axis", args[position] if len(args) > position else -1)
        if has_georeference(self) and _touches_space(axis, self.ndim):
            raise IndexingError(
                f"{name}() in place along rows or columns would move pixels on the grid; "
                f"use np.{name}(gt, axis=...) for a plain array"
            )
        getattr(self.values, name)(*args, **kwargs)
        if has_georeference(self) and _touches_bands(axis, self.ndim):
            self.attrs = band_attrs.without_bands(self.attrs)

    return method


def _reduction_method(function: Any) -> Any:
    def method(self: GeoTensor, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        return function(self, axis=axis, out=out, keepdims=keepdims)

    return method


def holds(dtype: np.dtype[Any], number: Any) -> bool:
    """Return whether a dtype can hold a number; a float may round it, but not make it infinite."""
    if dtype.kind not in "biuf":
        return True
    if isinstance(number, complex):
        return number.imag == 0 and holds(dtype, number.real)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return not math.isfinite(number) or bool(np.isfinite(dtype.type(number)))
    if not math.isfinite(number) or number != int(number):
        return False
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return bool(low <= int(number) <= high)


def equals_fill(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    """Return where values equal a fill value; NaN equals NaN, and a fill that the dtype cannot hold equals none."""
    number = fill.item() if isinstance(fill, np.generic) else fill
    if number is None or not holds(values.dtype, number):
        return np.zeros(values.shape, dtype=bool)
    if number != number:  # NaN
        return np.asarray(np.isnan(values))
    if values.dtype.kind in "biu":
        return np.asarray(values == int(number.real))
    return np.asarray(values == values.dtype.type(number.real if values.dtype.kind == "f" else number))


def has_georeference(array: Any) -> bool:
    """Return whether an object is a GeoTensor that has kept its georeference."""
    return isinstance(array, Operators) and "attrs" in array.__dict__


def _tensors(arguments: Iterable[Any]) -> list[GeoTensor]:
    found: list[GeoTensor] = []
    for argument in arguments:
        if isinstance(argument, (tuple, list)):
            found.extend(_tensors(argument))
        elif has_georeference(argument):
            found.append(argument)
    return found


def _unwrap(argument: Any) -> Any:
    if isinstance(argument, Operators):
        return np.asarray(argument)
    if type(argument) in (tuple, list):
        return type(argument)(_unwrap(item) for item in argument)
    if type(argument) is dict:
        return {key: _unwrap(value) for key, value in argument.items()}
    return argument


def check_common_grid(tensors: list[GeoTensor], what: str) -> None:
    """Raise a GeoreferenceError, which begins with ``what``, unless GeoTensors lie on one grid."""
    for other in tensors[1:]:
        first = tensors[0]
        if not first.same_extent(other):
            raise GeoreferenceError(
                f"{what}: the two GeoTensors lie on different grids ({describe_place(first)} and "
                f"{describe_place(other)}); bring one to the other's grid first, or use .values to compare numbers"
            )


def describe_place(tensor: GeoTensor) -> str:
    """Return the size, transform and CRS of a tensor, for messages."""
    return f"{tuple(tensor.shape[-2:])} at {tuple(tensor.transform[:6])} in {tensor.crs}"


def _wrap(result: Any, template: GeoTensor, keeps_bands: bool, sources: list[GeoTensor]) -> Any:
    """Return the result with the template's georeference, and its metadata of bands if they are the same bands.

    Its pixels are valid where those of all ``sources`` are. Other types, such as masked arrays, are returned unchanged.
    """
    if type(result) is not np.ndarray or result.ndim not in (2, 3, 4):
        return result
    attrs = band_attrs.without_encoding(template.attrs)
    bands = 1 if result.ndim == 2 else result.shape[-3]
    if bands != template.count or not keeps_bands:
        attrs = band_attrs.without_bands(attrs)
    else:
        attrs = _with_common_names(attrs, sources)
    attrs = pixel_attrs.join(attrs, [source.attrs for source in sources], result.shape)
    return template.like(result, attrs=attrs)


def _with_common_names(attrs: dict[str, Any], sources: list[GeoTensor]) -> dict[str, Any]:
    """Return metadata with the names of bands on which all tensors agree; a bool mask among numbers is not compared."""
    named = [source for source in sources if source.dtype.kind != "b"] or sources
    return band_attrs.without_other_names(attrs, [(source.attrs, source.count) for source in named])


def _touches(axis: Any, ndim: int, first: int) -> bool:
    """Return whether any of the axes is ``first``, counted from the end, or lies behind it; None means all axes."""
    if axis is None:
        return True
    axes = normalize_axis_tuple(tuple(axis) if isinstance(axis, list) else axis, ndim)
    return any(one >= ndim + first for one in axes)


def _touches_space(axis: Any, ndim: int) -> bool:
    return _touches(axis, ndim, -2)


def _touches_bands(axis: Any, ndim: int) -> bool:
    return _touches(axis, ndim, -3)


def _template(tensors: list[GeoTensor]) -> GeoTensor:
    """Return the tensor whose metadata the result has: pixels before masks, more bands before fewer."""
    return max(tensors, key=lambda tensor: (tensor.dtype.kind != "b", tensor.ndim))


def _check_output(out: Any, what: str) -> None:
    """Raise an error if numbers that leave the grid would be written into a GeoTensor."""
    if _tensors([out]):
        raise GeoreferenceError(f"{what}: the result leaves the grid; pass a plain array as out=, not a GeoTensor")


def _finish_output(target: Any, sources: list[GeoTensor]) -> Any:
    """Return an output whose metadata follow in-place arithmetic: no scale, no colours, valid where all sources are."""
    if has_georeference(target):
        attrs = band_attrs.without_encoding(target.attrs)
        if any(source is target for source in sources):
            attrs = _with_common_names(attrs, sources)
        target.attrs = pixel_attrs.join(attrs, [source.attrs for source in sources], target.shape)
    return target


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of a ufunc, with its georeference where it has one (NEP 13)."""
    what = f"np.{ufunc.__name__}"
    out = kwargs.get("out") or ()
    axis, ndim = kwargs.get("axis", 0), np.ndim(inputs[0])
    along_axis = method in ("reduce", "accumulate")
    if method == "at":
        _finish_output(inputs[0], _tensors(inputs[:1]))
    stays = method == "__call__" or (along_axis and not _touches_space(axis, ndim))
    # A generalised ufunc, such as matmul, mixes the pixels of its core axes.
    if ufunc.signature is not None or not stays:
        _check_output(out, what)
        return getattr(ufunc, method)(*_unwrap(inputs), **_unwrap(kwargs))
    tensors = _tensors((*inputs, *out, kwargs.get("where")))
    check_common_grid(tensors, what)
    result = getattr(ufunc, method)(*_unwrap(inputs), **_unwrap(kwargs))
    if result is NotImplemented or not tensors:
        return result
    template = inputs[0] if along_axis and has_georeference(inputs[0]) else _template(tensors)
    keeps_bands = not along_axis or not _touches_bands(axis, ndim)
    # Where only some pixels are written, the others are those of the output.
    sources = _tensors(inputs) if kwargs.get("where", True) is True else tensors
    results = result if isinstance(result, tuple) else (result,)
    finished = tuple(
        _finish_output(target, sources) if target is not None else _on_grid(one, template, keeps_bands, what, sources)
        for one, target in zip(results, out or (None,) * len(results), strict=True)
    )
    return finished if isinstance(result, tuple) else finished[0]


def _on_grid(result: Any, template: GeoTensor, keeps_bands: bool, what: str, sources: list[GeoTensor]) -> Any:
    if isinstance(result, np.ndarray) and result.shape[-2:] != template.shape[-2:]:
        raise GeoreferenceError(
            f"{what}: the result would be {result.shape[-2:]} (rows, columns) where the GeoTensor is "
            f"{tuple(template.shape[-2:])}; use .values for arithmetic that changes the grid"
        )
    return _wrap(result, template, keeps_bands, sources)


def apply_function(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the result of a numpy function, with its georeference where it has one (NEP 18)."""
    if func in _METHODS and args and has_georeference(args[0]):
        return getattr(args[0], _METHODS[func])(*args[1:], **kwargs)
    tensors = _tensors((*args, *kwargs.values()))
    keeps_bands = stays = func in _ELEMENTWISE
    if func in _REDUCTIONS and tensors:
        position = _REDUCTIONS[func]
        axis = kwargs.get("axis", args[position] if len(args) > position else None)
        ndim = np.ndim(args[0] if args else tensors[0])
        stays, keeps_bands = not _touches_space(axis, ndim), not _touches_bands(axis, ndim)
    out = kwargs.get("out")
    if stays:
        check_common_grid(tensors, f"np.{func.__name__}")
    else:
        _check_output(out, f"np.{func.__name__}")
    result = func(*_unwrap(args), **_unwrap(kwargs))
    if out is not None:
        return _finish_output(out, _tensors([value for name, value in kwargs.items() if name != "out"] + [*args]))
    if not stays or not tensors or not isinstance(result, np.ndarray) or not kwargs.get("subok", True):
        return result
    template = _template(tensors)
    if result.shape[-2:] != template.shape[-2:]:
        return result
    wrapped = _wrap(result, template, keeps_bands, tensors)
    return _with_chosen_mask(wrapped, *args) if func is np.where and has_georeference(wrapped) else wrapped


def _with_chosen_mask(result: GeoTensor, condition: Any, *choices: Any) -> GeoTensor:
    """Return the result of ``np.where``, valid where the condition and the chosen value are, in each band."""
    known, *masks = [
        pixel_attrs.mask_of(one.attrs, result.shape) if has_georeference(one) else None for one in (condition, *choices)
    ]
    if all(mask is None for mask in masks):
        return result
    valid = np.where(np.asarray(condition), *(True if mask is None else mask for mask in masks))
    mask = np.asarray(np.broadcast_to(valid, result.shape).reshape(-1, *result.shape[-2:]).all(axis=0))
    return result.like(result, attrs=pixel_attrs.with_mask(result.attrs, mask if known is None else mask & known))


if TYPE_CHECKING:

    class Operators:
        """Base of GeoTensor: types of the operators and methods that keep each pixel where it is.

        numpy's own annotations say ``ndarray`` for each subclass. At run time numpy calls ``__array_ufunc__``.
        """

        def __add__(self, other: Any, /) -> Self: ...
        def __sub__(self, other: Any, /) -> Self: ...
        def __mul__(self, other: Any, /) -> Self: ...
        def __truediv__(self, other: Any, /) -> Self: ...
        def __floordiv__(self, other: Any, /) -> Self: ...
        def __mod__(self, other: Any, /) -> Self: ...
        def __pow__(self, other: Any, /) -> Self: ...
        def __and__(self, other: Any, /) -> Self: ...
        def __or__(self, other: Any, /) -> Self: ...
        def __xor__(self, other: Any, /) -> Self: ...
        def __lshift__(self, other: Any, /) -> Self: ...
        def __rshift__(self, other: Any, /) -> Self: ...
        def __radd__(self, other: Any, /) -> Self: ...
        def __rsub__(self, other: Any, /) -> Self: ...
        def __rmul__(self, other: Any, /) -> Self: ...
        def __rtruediv__(self, other: Any, /) -> Self: ...
        def __rfloordiv__(self, other: Any, /) -> Self: ...
        def __rmod__(self, other: Any, /) -> Self: ...
        def __rpow__(self, other: Any, /) -> Self: ...
        def __rand__(self, other: Any, /) -> Self: ...
        def __ror__(self, other: Any, /) -> Self: ...
        def __rxor__(self, other: Any, /) -> Self: ...
        def __rlshift__(self, other: Any, /) -> Self: ...
        def __rrshift__(self, other: Any, /) -> Self: ...
        def __iadd__(self, other: Any, /) -> Self: ...
        def __isub__(self, other: Any, /) -> Self: ...
        def __imul__(self, other: Any, /) -> Self: ...
        def __itruediv__(self, other: Any, /) -> Self: ...
        def __ifloordiv__(self, other: Any, /) -> Self: ...
        def __imod__(self, other: Any, /) -> Self: ...
        def __ipow__(self, other: Any, /) -> Self: ...
        def __iand__(self, other: Any, /) -> Self: ...
        def __ior__(self, other: Any, /) -> Self: ...
        def __ixor__(self, other: Any, /) -> Self: ...
        def __ilshift__(self, other: Any, /) -> Self: ...
        def __irshift__(self, other: Any, /) -> Self: ...
        def __lt__(self, other: Any, /) -> Self: ...
        def __le__(self, other: Any, /) -> Self: ...
        def __gt__(self, other: Any, /) -> Self: ...
        def __ge__(self, other: Any, /) -> Self: ...
        def __eq__(self, other: Any, /) -> Self: ...  # type: ignore[override]
        def __ne__(self, other: Any, /) -> Self: ...  # type: ignore[override]
        def __neg__(self) -> Self: ...
        def __pos__(self) -> Self: ...
        def __abs__(self) -> Self: ...
        def __invert__(self) -> Self: ...
        def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Self:
            """Return the values in another dtype, as in numpy."""
            ...

        def clip(self, *args: Any, **kwargs: Any) -> Self:
            """Return the values within limits, as in numpy."""
            ...

else:

    class Operators:
        """Base of GeoTensor, by which this module recognises it."""
