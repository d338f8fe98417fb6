"""What a numpy operation does to a GeoTensor's place on Earth: decided here, and only here.

numpy hands ufuncs and functions over through NEP 13 (``__array_ufunc__``) and NEP 18
(``__array_function__``). The operation runs on plain arrays; its result becomes a GeoTensor again where
each of its pixels still is the pixel of the same row and column.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from georeader import band_attrs
from georeader.errors import GeoreferenceError

if TYPE_CHECKING:
    from georeader.geotensor import GeoTensor

#: Functions that give one value a pixel, where it was.
_ELEMENTWISE = frozenset(
    {
        np.where, np.nan_to_num, np.round, np.real, np.imag, np.angle, np.isclose, np.interp,
        np.zeros_like, np.ones_like, np.full_like, np.empty_like, np.select, np.clip,
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

#: ndarray's methods that move, merge or pick pixels: they give plain arrays.
_PLAIN_METHODS = (
    "ravel", "flatten", "reshape", "swapaxes", "take", "repeat", "compress", "diagonal", "choose",
    "argsort", "argpartition", "cumsum", "cumprod", "trace", "dot", "nonzero", "searchsorted",
)  # fmt: skip


def give_plain_arrays(cls: type) -> None:
    """Make the methods in ``_PLAIN_METHODS`` of a GeoTensor class answer with plain arrays."""

    def plain(name: str) -> Any:
        def method(self: GeoTensor, *args: Any, **kwargs: Any) -> Any:
            return getattr(self.values, name)(*_unwrap(args), **_unwrap(kwargs))

        method.__name__ = name
        method.__doc__ = f"``ndarray.{name}``, as a plain numpy array: its pixels no longer lie on the grid."
        return method

    for name in _PLAIN_METHODS:
        setattr(cls, name, plain(name))
    for name, function in (("argmax", np.argmax), ("argmin", np.argmin)):
        setattr(cls, name, _reduction_method(name, function))


def _reduction_method(name: str, function: Any) -> Any:
    def method(self: GeoTensor, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Any:
        return function(self, axis=axis, out=out, keepdims=keepdims)

    method.__name__ = name
    method.__doc__ = f"``ndarray.{name}``; a GeoTensor when the axis is not spatial."
    return method


def equals_fill(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    """Tell where ``values`` are the fill value; NaN equals NaN, and a fill that the dtype can't hold is nowhere.

    Args:
        values: Any numeric or boolean array.
        fill: A number, or None for "no pixel".
    """
    if fill is None:
        return np.zeros(values.shape, dtype=bool)
    if fill != fill:  # NaN
        return np.isnan(values) if values.dtype.kind in "fc" else np.zeros(values.shape, dtype=bool)
    if values.dtype.kind in "fc":
        return np.asarray(values == values.dtype.type(fill))
    # Python's own numbers: numpy compares them with integers of any width without overflow.
    number = fill.item() if isinstance(fill, np.generic) else fill
    is_whole = isinstance(number, float) and number.is_integer()
    return np.asarray(values == (int(number) if is_whole else number))


def _tensors(arguments: Iterable[Any]) -> list[GeoTensor]:
    from georeader.geotensor import GeoTensor

    found: list[GeoTensor] = []
    for argument in arguments:
        if isinstance(argument, GeoTensor):
            if "attrs" in argument.__dict__:
                found.append(argument)
        elif isinstance(argument, (tuple, list)):
            found.extend(_tensors(argument))
    return found


def _unwrap(argument: Any) -> Any:
    from georeader.geotensor import GeoTensor

    if isinstance(argument, GeoTensor):
        return argument.view(np.ndarray)
    if type(argument) in (tuple, list):
        return type(argument)(_unwrap(item) for item in argument)
    if type(argument) is dict:
        return {key: _unwrap(value) for key, value in argument.items()}
    return argument


def _common_grid(tensors: list[GeoTensor], what: str) -> None:
    first = tensors[0]
    for other in tensors[1:]:
        if not first.same_extent(other):
            raise GeoreferenceError(
                f"{what}: the two GeoTensors lie on different grids "
                f"({tuple(first.shape[-2:])} at {tuple(first.transform[:6])} in {first.crs} and "
                f"{tuple(other.shape[-2:])} at {tuple(other.transform[:6])} in {other.crs}); "
                "bring one to the other's grid first, or use .values to compare numbers alone"
            )


def _wrap(result: Any, template: GeoTensor) -> Any:
    """Give the result the template's place; fewer or more bands than before lose what was said of each."""
    if not isinstance(result, np.ndarray) or result.ndim not in (2, 3, 4):
        return result
    attrs = band_attrs.without_encoding(template.attrs)
    bands = 1 if result.ndim == 2 else result.shape[-3]
    if bands != template.count or result.ndim < template.ndim:
        attrs = band_attrs.without_bands(attrs)
    return template.like(result, attrs=attrs)


def _touches_space(axis: Any, ndim: int) -> bool:
    if axis is None:
        return True
    axes = axis if isinstance(axis, tuple) else (axis,)
    return any(one % ndim >= ndim - 2 for one in axes if -ndim <= one < ndim)


def _template(tensors: list[GeoTensor]) -> GeoTensor:
    return max(tensors, key=lambda tensor: tensor.ndim)


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a ufunc and give its result its place back (NEP 13).

    Raises:
        GeoreferenceError: The GeoTensors lie on different grids, or the result has another size.
    """
    out = kwargs.get("out", ())
    tensors = _tensors((*inputs, *out))
    result = getattr(ufunc, method)(*_unwrap(inputs), **_unwrap(kwargs))
    if result is NotImplemented or not tensors:
        return result
    _common_grid(tensors, f"np.{ufunc.__name__}")
    if out:
        return _finish_outputs(out)
    template = _template(tensors)
    if method in ("reduce", "accumulate"):
        spatial = _touches_space(kwargs.get("axis", 0), template.ndim)
        return result if spatial else _wrap(result, template)
    if method != "__call__":
        return result
    results = result if isinstance(result, tuple) else (result,)
    for one in results:
        if isinstance(one, np.ndarray) and one.shape[-2:] != template.shape[-2:]:
            raise GeoreferenceError(
                f"np.{ufunc.__name__}: the result would be {one.shape[-2:]} (rows, columns) where the GeoTensor is "
                f"{tuple(template.shape[-2:])}; use .values for arithmetic that changes the grid"
            )
    wrapped = tuple(_wrap(one, template) for one in results)
    return wrapped if isinstance(result, tuple) else wrapped[0]


def _finish_outputs(out: tuple[Any, ...]) -> Any:
    """In-place arithmetic: other numbers than before, so their old scale and colours end."""
    for tensor in _tensors(out):
        tensor.attrs = band_attrs.without_encoding(tensor.attrs)
    return out[0] if len(out) == 1 else out


def apply_function(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a numpy function and give its result its place back where it has one (NEP 18)."""
    tensors = _tensors((*args, *kwargs.values()))
    if func in _METHODS and tensors and args and args[0] is tensors[0]:
        return getattr(tensors[0], _METHODS[func])(*args[1:], **kwargs)
    result = func(*_unwrap(args), **_unwrap(kwargs))
    if not tensors or not isinstance(result, np.ndarray):
        return result
    template = _template(tensors)
    if func in _REDUCTIONS:
        position = _REDUCTIONS[func]
        axis = kwargs.get("axis", args[position] if len(args) > position else None)
        return result if _touches_space(axis, template.ndim) else _wrap(result, template)
    if func in _ELEMENTWISE and result.shape[-2:] == template.shape[-2:]:
        _common_grid(tensors, f"np.{func.__name__}")
        return _wrap(result, template)
    return result
