"""Arguments of CogWriter that choose a blend, and windows to be blended, parsed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import convert_pixels
from georeader._export.plan.spec import ExportSpec, SourceSpec
from georeader._export.writer.arguments import MASKED_WITHOUT_NODATA, Grid, WindowRules
from georeader._export.writer.blends import BLENDS, SELECTIONS, TAPERS, Blend, CheckedPixels, check_weights, taper
from georeader.abstract_reader import Georeferenced
from georeader.errors import DtypeError, OptionError, ShapeError


@dataclass(frozen=True)
class BlendArguments:
    """The arguments of CogWriter that choose a blend."""

    blend: Any = None
    accumulator: Any = None
    argmax: bool = False
    score: Any = False
    deterministic: bool = False

    def check(self) -> None:
        """Raise OptionError if they contradict each other."""
        if self.blend is None:
            for name in ("accumulator", "argmax", "score", "deterministic"):
                if getattr(self, name) not in (None, False):
                    raise OptionError(
                        f"{name}={getattr(self, name)!r} requires a blend; pass blend='hann', for instance"
                    )
            return
        if not callable(self.blend) and self.blend not in BLENDS:
            raise OptionError(f"blend={self.blend!r} is unknown; allowed: {', '.join(BLENDS)}, or a function")
        if self.accumulator not in (None, "float32", "float64"):
            raise OptionError(f"accumulator={self.accumulator!r} is unknown; allowed: 'float32', 'float64'")
        if self.has_score and not self.argmax:
            raise OptionError("score requires argmax=True, whose score it is; drop score")
        if self.accumulator is not None and self.blend in SELECTIONS and not self.argmax:
            raise OptionError(f"accumulator applies to sums, not to blend={self.blend!r}; drop accumulator")

    @property
    def has_score(self) -> bool:
        """Whether a score is written."""
        return self.score is not None and self.score is not False

    @property
    def has_score_file(self) -> bool:
        """Whether a score is written to a file of its own."""
        return self.has_score and self.score is not True

    def grid(self, grid: Grid) -> Grid:
        """Return the grid with the number of bands that the arguments require; another one is a ShapeError."""
        if not self.argmax:
            return grid
        count = 1 + (self.score is True)
        asked = grid.count
        if asked is None and isinstance(grid.shape, Sequence) and len(grid.shape) == 3:
            asked = grid.shape[0]
        if asked not in (None, count) or grid.indexes is not None:
            needed = "one band, of classes" if count == 1 else "two bands, of classes and scores"
            raise ShapeError(f"with argmax=True and score={self.score!r} the file has {needed}; drop count and indexes")
        return replace(grid, count=count)

    def resolve(self, dtype: np.dtype[Any], nodata: int | float | None) -> Blend:
        """Return the blend for a file of some dtype and nodata."""
        name = self.blend if isinstance(self.blend, str) else "callable"
        method = name if name in (*SELECTIONS, "sum") else "mean"
        if dtype.kind == "c" and (self.argmax or method in ("max", "min")):
            raise DtypeError(f"complex numbers have no order, and the file is {dtype}; blend their absolute values")
        if self.score is True and dtype.kind != "f":
            raise DtypeError(
                f"score=True writes scores to the second band, and the file is {dtype}; pass a float dtype"
            )
        weights = self.blend if callable(self.blend) else partial(taper, name) if name in TAPERS else None
        keeps_dtype = method in SELECTIONS and not self.argmax
        is_nan = nodata is None or nodata != nodata
        return Blend(
            method,
            dtype if keeps_dtype else self._accumulator(dtype),
            None if self.argmax or is_nan else nodata,
            weights,
            shares_weights=self.argmax,
        )

    def _accumulator(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        part = np.empty(0, dtype).real.dtype
        is_wide = part.itemsize > (4 if part.kind == "f" else 2)
        name = self.accumulator or ("float64" if is_wide and not self.argmax else "float32")
        return np.result_type(name, np.complex64) if dtype.kind == "c" else np.dtype(name)


@dataclass(frozen=True)
class BlendRules(WindowRules):
    """Checks the windows that are blended into one raster."""

    blend: Blend = field(kw_only=True)
    is_argmax: bool = field(kw_only=True)

    def bands(self, indexes: Any) -> list[int]:
        """Return positions of bands, as `WindowRules.bands`; of scores, which have all classes, none can be chosen."""
        if self.is_argmax and indexes is not None:
            raise OptionError("indexes name bands, and with argmax=True windows have all classes; drop indexes")
        return super().bands(indexes)

    @property
    def fill(self) -> int | float:
        """Value of pixels without weight: NaN where the file has no nodata, and can hold it."""
        return np.nan if self.missing is None and self.dtype.kind in "fc" else super().fill

    def check(self, array: Any, weight: Any, count: int, size: tuple[int, int]) -> CheckedPixels:
        """Check and convert the pixels and the weights of a window of (rows, columns), which have so many bands."""
        if self.is_argmax:
            count = self._class_count(array)
        planes, hidden = self.planes(array, count, size)
        if not planes.size:
            return CheckedPixels(planes)
        hidden = self._with_nodata_of(array, planes, hidden)
        planes, hidden = self._pixels(planes, hidden)
        if weight is None:
            weights = self.blend.position_weights(size)
            return CheckedPixels(planes, None if weights is None else weights[np.newaxis], hidden)
        return CheckedPixels(planes, self._weights(weight, len(planes), size), hidden)

    def _with_nodata_of(
        self, array: Any, planes: NDArray[Any], hidden: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """Return the masked pixels, and those that are nodata of an array whose nodata is not that of the file."""
        nodata = None if self.is_argmax else _nodata_of(array)
        if nodata is None or nodata != nodata or nodata == self.missing:
            return hidden
        lost = np.asarray(planes == nodata)
        if not lost.any():
            return hidden
        if self.missing is None and self.dtype.kind in "iu":
            raise OptionError(f"the array has nodata={nodata}, and the file none; pass nodata={nodata} to CogWriter")
        return lost if hidden is None else hidden | lost

    def _class_count(self, array: Any) -> int:
        shape: tuple[int, ...] = self.numbers(array).shape
        if len(shape) != 3:
            raise ShapeError(f"an array of shape {shape}; with argmax=True, write takes (class, row, column) scores")
        return shape[0]

    def _weights(self, weight: Any, count: int, size: tuple[int, int]) -> NDArray[Any]:
        weights = np.asarray(weight)
        shape = size if weights.ndim == 2 or self.is_argmax else (count, *size)
        checked = check_weights(weights, shape, self.blend.weight_dtype, "weight")
        return checked[np.newaxis] if checked.ndim == 2 else checked

    def _pixels(
        self, planes: NDArray[Any], hidden: NDArray[np.bool_] | None
    ) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
        """Return pixels that the accumulators hold, and those that have no weight beside NaN and nodata of theirs."""
        dtype = self.blend.dtype
        needs_nodata = self.missing is None and self.dtype.kind in "iu"
        if hidden is not None and needs_nodata:
            raise OptionError(MASKED_WITHOUT_NODATA)
        lost = self._lost(planes, finds_nan=needs_nodata or dtype.kind in "iu")
        if lost is not None and needs_nodata:
            raise DtypeError(f"{int(lost.sum())} pixels of NaN, and the file has no nodata; pass nodata")
        if lost is not None:
            hidden = lost if hidden is None else hidden | lost
        if np.can_cast(planes.dtype, dtype, "safe") and not self._is_of_bool:
            return planes, hidden
        if hidden is not None:
            planes = np.where(hidden, planes.dtype.type(0), planes)
        if self.blend.is_selection and not self.is_argmax:
            return self.stored(planes), hidden
        if self._is_of_bool and planes.dtype.kind != "b" and not (planes.min() >= 0 and planes.max() <= 1):
            raise DtypeError("dtype bool has only 0 and 1, the array values beyond; pass another dtype")
        return convert_pixels(planes, dtype), hidden

    def _lost(self, planes: NDArray[Any], *, finds_nan: bool) -> NDArray[np.bool_] | None:
        """Return NaN pixels, if they are to be found, or nodata pixels that are other numbers in the accumulators."""
        if planes.dtype.kind in "fc" and finds_nan and np.isnan(planes.min()):
            return np.asarray(np.isnan(planes))
        is_rounded = planes.dtype.kind == self.dtype.kind == "f" and planes.dtype.itemsize > self.dtype.itemsize
        keeps_nodata = np.can_cast(planes.dtype, self.blend.dtype, "safe") and not is_rounded
        if self.blend.nodata is None or self.blend.is_selection or keeps_nodata:
            return None
        with np.errstate(over="ignore"):
            return np.asarray((planes.astype(self.dtype) if is_rounded else planes) == self.blend.nodata)

    @property
    def _is_of_bool(self) -> bool:
        return self.spec.dtype.kind == "b" and not self.is_argmax


def _nodata_of(array: Any) -> Any:
    """Return the nodata that was set for a GeoTensor or a DataArray; None where there is none."""
    if isinstance(array, Georeferenced):
        is_set = getattr(array, "fill_value_is_explicit", True)
        return getattr(array, "fill_value_default", None) if is_set else None
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(array, xarray.DataArray):
        return None
    from georeader._export.sources.xarray_metadata import nodata_of

    found = nodata_of(array)
    return found if isinstance(found, (int, float, np.number)) else None


def make_rules(source: SourceSpec, spec: ExportSpec, how: BlendArguments) -> WindowRules:
    """Return the rules for windows of a raster, as the caller described it, and of its file."""
    plain = (source, spec.dtype, spec.missing_value, spec.encoding.nan_to_nodata)
    if how.blend is None:
        return WindowRules(*plain)
    if source.dtype.kind == "b" and how.blend == "sum" and not how.argmax:
        raise DtypeError("dtype bool does not hold sums; pass dtype='uint8', or another blend")
    return BlendRules(*plain, blend=how.resolve(spec.dtype, spec.missing_value), is_argmax=how.argmax)


def check_other_file(path: Any, score: Any) -> None:
    """Raise OptionError if the scores would replace the classes."""
    is_path = all(isinstance(place, (str, os.PathLike)) for place in (path, score))
    if score is path or (is_path and os.path.normpath(score) == os.path.normpath(path)):
        raise OptionError(f"score={score!r} is the same file as that of the classes; pass another path")
