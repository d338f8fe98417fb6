"""Blends of windows that overlap: weights by position in a window, accumulators of a block, and results. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import convert_pixels
from georeader._resample.block import kept_apart
from georeader.errors import OptionError, ShapeError

#: Blends that choose one of the pixels, whose numbers stay as they are.
SELECTIONS = ("last", "first", "max", "min")

#: Sizes of windows whose weights are kept: those of inner windows, and of windows cut at an edge.
_SIZES_KEPT = 16


def _hann(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sin(np.pi * positions) ** 2)


def _gaussian(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-0.5 * (8 * (positions - 0.5)) ** 2))


def _linear(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - np.abs(2 * positions - 1)


#: Weights along an axis by the positions of pixel centres between 0 and 1; they are positive, so that every pixel that
#: is written counts.
TAPERS = {"hann": _hann, "gaussian": _gaussian, "linear": _linear}

#: All blends by name.
BLENDS = (*SELECTIONS, "mean", "sum", *TAPERS)


def taper(name: str, height_px: int, width_px: int) -> NDArray[np.float64]:
    """Return the (row, column) weights of a window by the distance from its edges.

    Example:
        >>> taper("linear", 1, 4).tolist()
        [[0.25, 0.75, 0.75, 0.25]]
    """
    rows, columns = ((np.arange(size) + 0.5) / size for size in (height_px, width_px))
    along = TAPERS[name]
    return np.outer(along(rows), along(columns))


class CheckedPixels(NamedTuple):
    """The pixels of a window, checked and converted, and what they count for."""

    pixels: NDArray[Any]  #: (band, row, column)
    weights: NDArray[Any] | None = None  #: (1 or band, row, column); None: 1
    hidden: NDArray[np.bool_] | None = None  #: (band, row, column), True for pixels without weight; None: nowhere


class Contribution(NamedTuple):
    """What a window adds to a block: (band, row, column) pixels, and their weights for all bands or for each."""

    pixels: NDArray[Any]  #: Times their weights, for sums; 0 where they have none
    weights: NDArray[Any] | None  #: (1 or band, row, column); None: 1 everywhere


class Accumulator(NamedTuple):
    """The (band, row, column) pixels of a block that are accumulated, and their (1 or band, row, column) weights."""

    values: NDArray[Any]
    weights: NDArray[Any]

    @classmethod
    def of_planes(cls, planes: NDArray[Any], bands: int) -> Accumulator:
        """Return the views of planes, of which so many are bands, and the rest weights."""
        return cls(planes[:bands], planes[bands:])

    def cut(self, window: tuple[slice, slice]) -> Accumulator:
        """Return the views of a part."""
        return Accumulator(self.values[:, *window], self.weights[:, *window])


@dataclass(frozen=True)
class Blend:
    """The arithmetic of pixels of several windows at one place."""

    method: str  #: One of `SELECTIONS`, "mean" or "sum"
    dtype: np.dtype[Any]  #: Of the accumulators
    nodata: int | float | None = None  #: Value of pixels without weight, beside NaN
    weights_by_position: Callable[[int, int], NDArray[Any]] | None = None  #: Of a window of (rows, columns)
    shares_weights: bool = False  #: A pixel without weight in one band has none in any
    _cached: Callable[[int, int], NDArray[Any]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cached", lru_cache(_SIZES_KEPT)(self._weights))

    @property
    def is_selection(self) -> bool:
        """Whether the result is one of the pixels."""
        return self.method in SELECTIONS

    @property
    def keeps_order(self) -> bool:
        """Whether the result depends on which window is written first by more than rounding."""
        return self.method in ("last", "first")

    @property
    def weight_dtype(self) -> np.dtype[Any]:
        """The dtype of weights; of selections, which weights either count or do not, not that of the accumulators."""
        return np.dtype("float64") if self.is_selection else np.empty(0, self.dtype).real.dtype

    def position_weights(self, shape: tuple[int, int]) -> NDArray[Any] | None:
        """Return the (row, column) weights of a window of (rows, columns), or None if all are 1."""
        return None if self.weights_by_position is None else self._cached(*shape)

    def _weights(self, height_px: int, width_px: int) -> NDArray[Any]:
        given = self.weights_by_position(height_px, width_px) if self.weights_by_position is not None else 1
        return check_weights(given, (height_px, width_px), self.weight_dtype, f"blend({height_px}, {width_px})")

    def blank(self, bands: int, weight_planes: int, shape: tuple[int, int]) -> NDArray[Any]:
        """Return the planes of a block to which nothing was added."""
        planes = np.zeros((bands + weight_planes, *shape), self.dtype)
        if self.method in ("max", "min"):
            planes[:bands] = _outermost(self.dtype, is_lowest=self.method == "max")
        return planes

    def contribution(
        self,
        pixels: NDArray[Any],
        weights: NDArray[Any] | None,
        hidden: NDArray[np.bool_] | None,
        scratch: NDArray[Any],
    ) -> Contribution:
        """Return what (band, row, column) pixels add, in ``scratch`` if that needs memory.

        Weights are (1 or band, row, column), or None for 1; hidden pixels, those of nodata and NaN have none.
        """
        factor: Any = 1 if weights is None or self.is_selection else weights
        products = pixels
        if factor is weights or pixels.dtype != self.dtype:
            products = scratch
            with np.errstate(over="ignore", invalid="ignore"):
                np.multiply(pixels, factor, out=products, casting="unsafe")
        valid = None if hidden is None else ~hidden
        if self.nodata is not None:
            with np.errstate(over="ignore"):  # such a number is not among the pixels
                valid = _narrowed(valid, pixels != self.nodata)
        if self.dtype.kind in "fc" and np.isnan(products.min()):
            valid = _narrowed(valid, ~np.isnan(products))
        if weights is not None and self.is_selection:
            valid = _narrowed(valid, weights != 0)
        if valid is None:
            return Contribution(products, weights)
        if self.shares_weights:
            valid = np.asarray(valid.all(axis=0, keepdims=True))
        elif len(valid) > 1 and (valid == valid[:1]).all():
            valid = valid[:1]
        weights = valid.astype(self.dtype) if weights is None or self.is_selection else np.where(valid, weights, 0)
        return Contribution(np.where(valid, products, self.dtype.type(0)), weights)

    def add(self, to: Accumulator, bands: Sequence[tuple[int, int]], given: Contribution) -> None:
        """Add a contribution in place, by the (position in it, position in the accumulator) of its bands.

        An accumulator of common weights takes contributions of common weights to all bands.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            for place, band in bands:
                weights = _plane(given.weights, place)
                self._merge(to.values[band], _plane(to.weights, band), given.pixels[place], weights)
            for place, band in bands[:1] if len(to.weights) == 1 else bands:
                self._count(to.weights[band if len(to.weights) > 1 else 0], _plane(given.weights, place))

    def _merge(
        self, values: NDArray[Any], counted: NDArray[Any] | None, pixels: NDArray[Any], weights: NDArray[Any] | None
    ) -> None:
        if not self.is_selection:
            np.add(values, pixels, out=values)
            return
        where: Any = True if weights is None else weights != 0
        if self.method == "last":
            np.copyto(values, pixels, where=where)
        elif self.method == "first":
            np.copyto(values, pixels, where=(counted == 0) & where)
        else:
            choose = np.maximum if self.method == "max" else np.minimum
            choose(values, pixels, out=values, where=where)

    def _count(self, counted: NDArray[Any], weights: NDArray[Any] | None) -> None:
        if not self.is_selection:
            np.add(counted, 1 if weights is None else weights, out=counted)
        else:
            np.copyto(counted, 1, where=True if weights is None else weights != 0)

    def result(self, of: Accumulator) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return the (band, row, column) result, 0 where it is missing, and where that is; None: nowhere."""
        missing = of.weights == 0
        is_whole = not missing.any()
        values = of.values
        if self.method == "mean":
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                values = values / of.weights.real
        elif self.method in ("max", "min") and self.dtype.kind == "f":
            values = values + self.dtype.type(0)  # -0.0 and 0.0 are equal: which of them comes first must not matter
        return (values, None) if is_whole else (np.where(missing, self.dtype.type(0), values), missing)


def check_weights(given: Any, shape: tuple[int, ...], dtype: np.dtype[Any], subject: str) -> NDArray[Any]:
    """Return weights in a dtype; which must have a shape, be finite and not negative."""
    weights = np.asarray(given)
    if weights.dtype.kind not in "biuf" or weights.shape != shape:
        raise ShapeError(
            f"{subject} must be numbers of shape {shape}, got {weights.dtype} {weights.shape}; pass one per pixel"
        )
    with np.errstate(over="ignore"):
        weights = weights.astype(dtype, copy=False)
    if weights.size and not (weights.min() >= 0 and np.isfinite(weights.max())):
        raise OptionError(f"{subject} must be finite and not negative, got {weights.min()} to {weights.max()}")
    return weights


def finish(
    values: NDArray[Any],
    missing: NDArray[np.bool_] | None,
    dtype: np.dtype[Any],
    fill: int | float,
    nodata: int | float | None = None,
) -> NDArray[Any]:
    """Convert a result to the dtype of a file, rounded half to even, with a fill value where it is missing.

    Results that equal nodata get the number beside it.
    """
    pixels = convert_pixels(values, dtype)
    if nodata is not None:
        pixels = kept_apart(pixels, dtype.type(nodata))
    return pixels if missing is None else np.where(missing, dtype.type(fill), pixels)


def find_highest(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the first band with the highest value of each pixel, (row, column), and that value."""
    highest = values[0].copy()
    number = np.zeros(highest.shape, np.min_scalar_type(len(values)))
    for band in range(1, len(values)):
        np.copyto(number, band, where=values[band] > highest)
        np.maximum(highest, values[band], out=highest)
    return number, highest


def _narrowed(valid: NDArray[np.bool_] | None, found: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return which pixels are valid by two rules; None: all of them."""
    if found.all():
        return valid
    return found if valid is None else valid & found


def _plane(planes: NDArray[Any] | None, band: int) -> NDArray[Any] | None:
    """Return the plane of a band, or the one that is common to all."""
    return None if planes is None else planes[band if len(planes) > 1 else 0]


def _outermost(dtype: np.dtype[Any], *, is_lowest: bool) -> int | float:
    if dtype.kind == "f":
        return -np.inf if is_lowest else np.inf
    limits = np.iinfo(dtype)
    return int(limits.min if is_lowest else limits.max)
