"""Packing of values that were decoded for computing: they are stored by their encoding again.

A DataArray that was opened with ``mask_and_scale`` has physical values and NaN; its ``encoding`` tells how they were
stored: value = stored * scale_factor + add_offset, missing where stored == _FillValue, all of a dtype (CF Conventions
1.11, sections 2.5.1 and 8.1; xarray's documentation of "encoding").

An encoding stays with an array whose values are changed in place, copied with other data or resampled. Where it cannot
hold them without loss, they are stored as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import convert_pixels
from georeader._core.sentinels import UNSET
from georeader._core.windows import PixelWindow
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources.ahead import AheadSource, boxes_ahead
from georeader._export.sources.geodata import MappedSource
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.xarray_metadata import per_band
from georeader._resample.pyramid import Mask
from georeader.errors import DtypeError, MetadataError

#: Entries of an encoding that xarray and rioxarray set when they open a file.
_MARKS_OF_FILES = ("source", "original_shape", "preferred_chunks", "rasterio_dtype")

#: Pixels that are checked at a time.
_LOOKED_AT_PX = 2**20

#: Pixels of chunks that are read ahead at most, of three times as many.
_AHEAD_PX = 2**22


@dataclass(frozen=True)
class Packing:
    """The encoding of physical values in a file.

    Attributes:
        dtype: Of what is stored.
        scales: One per band; stored = (value - offset) / scale. Empty: values are stored as they are.
        offsets: One per band, or empty.
        fill: What NaN is stored as, or None.
        is_of_file: It is that of the file which the values were read from, and was not set for a file to come.
    """

    dtype: np.dtype[Any]
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    fill: Any = None
    is_of_file: bool = False

    def pack(self, values: NDArray[Any], bands: range) -> NDArray[Any]:
        """Return what is stored.

        Args:
            values: (band, row, column); not changed.
            bands: Which bands they are.

        Raises:
            DtypeError: The dtype cannot hold a value, or NaN where there is no fill.

        Example:
            >>> packing = Packing(np.dtype("int16"), scales=(0.5,), offsets=(10.0,), fill=-1)
            >>> packing.pack(np.array([[[10.0, 11.0, np.nan]]]), range(1))
            array([[[ 0,  2, -1]]], dtype=int16)
        """
        stored = values
        if self.scales or self.offsets:
            # In the values' own precision, as xarray does it: so the same numbers come out.
            stored = values.astype(values.dtype if values.dtype.kind in "fc" else np.float64)
            if self.offsets:
                stored -= _along_bands(self.offsets, bands, stored)
            if self.scales:
                stored /= _along_bands(self.scales, bands, stored)
        if self._fills and stored.dtype.kind in "fc":
            missing = np.isnan(stored)
            if missing.any():
                stored = np.where(missing, stored.dtype.type(self.fill), stored)
        try:
            return convert_pixels(stored, self.dtype)
        except DtypeError as error:
            raise DtypeError(
                f"{error}. It is the array's encoding that asks for {self.dtype}: array.drop_encoding() is saved as it "
                f"is, {values.dtype}, and encoding['_FillValue'] says what NaN becomes"
            ) from error

    def may_lose(self, dtype: np.dtype[Any]) -> bool:
        """Return whether values of a dtype may have fractions that what is stored does not hold.

        A scale and an offset that were set for a file to come are the precision that was asked for.
        """
        is_scaled = bool(self.scales or self.offsets)
        return self.dtype.kind in "iu" and (self.is_of_file if is_scaled else dtype.kind == "f")

    def lost_value(self, values: NDArray[Any], bands: range) -> Any:
        """Return a value that would come back as another one, or as a missing one; None if all come back.

        Values out of the dtype's range are not looked for: `pack` refuses them.

        Args:
            values: (band, row, column).
            bands: Which bands they are.

        Example:
            >>> packing = Packing(np.dtype("int16"), scales=(0.5,), offsets=(10.0,), fill=-1, is_of_file=True)
            >>> packing.lost_value(np.array([[[10.0, 11.5, np.nan]]]), range(1)) is None
            True
            >>> float(packing.lost_value(np.array([[[10.0, 11.3, np.nan]]]), range(1)))
            11.3
        """
        if not self.may_lose(values.dtype) or values.dtype.kind not in "iuf":
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            if self.scales or self.offsets:
                stored, lost = self._lost_by_steps(values, bands)
            else:
                stored = np.rint(values)
                lost = (stored != values) & (values == values)
            if self.is_of_file and self.fill is not None and values.dtype.kind == "f":
                lost |= stored == self.fill
        return values[lost][0] if lost.any() else None

    def _lost_by_steps(self, values: NDArray[Any], bands: range) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return what is stored, and which values are not a whole number of steps.

        Unpacking multiplies and adds in the values' own precision, and rounds as much away.
        """
        numbers = values.astype(np.float64)
        offsets = _along_bands(self.offsets, bands, numbers) if self.offsets else 0.0
        scales = _along_bands(self.scales, bands, numbers) if self.scales else 1.0
        eps = float(np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps)
        stored = np.rint((numbers - offsets) / scales)
        return stored, np.abs(stored * scales + offsets - numbers) > 2 * eps * (np.abs(numbers) + np.abs(offsets))

    def unpacked(self, dtype: np.dtype[Any], missing: Any) -> Packing:
        """Return how values are stored as they are, where what was missing in the file is NaN.

        Args:
            dtype: Of the values.
            missing: Value of NaN, where the caller passes one; else UNSET.
        """
        own = np.nan if self.fill is not None and dtype.kind in "fc" else None
        return Packing(dtype, fill=own if missing is UNSET else missing)

    def __str__(self) -> str:
        scaled = f", scale {self.scales[0]:g}" if self.scales else ""
        return f"{self.dtype}{scaled}" + (f", offset {self.offsets[0]:g}" if self.offsets else "")

    def changes(self, dtype: np.dtype[Any]) -> bool:
        """Return whether values of a dtype are stored as others."""
        return bool(self.dtype != dtype or self.scales or self.offsets or (self._fills and dtype.kind in "fc"))

    @property
    def _fills(self) -> bool:
        return self.fill is not None and self.fill == self.fill


class PackedSource(SourceWrapper):
    """A source whose values are packed when they are read.

    Attributes:
        packing: Of the values.
    """

    def __init__(self, source: Source, packing: Packing, spec: SourceSpec, *, checks: bool = False) -> None:
        """Wrap a source.

        Args:
            source: Has the values.
            packing: How they are stored.
            spec: What is stored; its dtype is that of ``packing``.
            checks: Refuse values that the packing loses; not all were checked before.
        """
        super().__init__(source, replace(spec, dtype=packing.dtype))
        self.packing = packing
        self._checks = checks

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window, and pack it.

        Raises:
            Exception: What the source raises.
            DtypeError: The packing cannot hold a value.
        """
        values, mask = super().read(region, bands)
        lost = self.packing.lost_value(visible(values, mask), bands) if self._checks else None
        if lost is not None:
            raise DtypeError(
                f"the array's encoding ({self.packing}) cannot hold {lost!s}, but holds the values of other windows; "
                f"pass array.drop_encoding() to save all values as {values.dtype}"
            )
        return self.packing.pack(values, bands), mask


def fitting(source: Source, packing: Packing, parts: Sequence[range], *, may_read: bool) -> tuple[Source, Any]:
    """Check values before they are packed.

    All of those in memory are checked. Of others, which cost something to read, up to three chunks are: the first,
    that in the middle and the last, until one has different values. They are held and not read again.

    Args:
        source: Has the values.
        packing: How they are to be stored.
        parts: Bands that have one encoding; of each some chunks are checked.
        may_read: False: nothing is read that is not in memory.

    Returns:
        The source, which holds what was read ahead, and a value that the packing loses, or None.

    Raises:
        ReadError: The source fails.
    """
    spec = source.spec
    if not packing.may_lose(spec.dtype):
        return source, None
    if source.traits.is_in_memory or isinstance(source, MappedSource):
        rows = max(1, _LOOKED_AT_PX // (spec.count * spec.width_px))
        for start in range(0, spec.height_px, rows):
            region = PixelWindow(start, min(start + rows, spec.height_px), 0, spec.width_px)
            lost = packing.lost_value(visible(*source.read(region, range(spec.count))), range(spec.count))
            if lost is not None:
                return source, lost
        return source, None
    ahead = AheadSource(source)
    chunks = source.traits.chunks
    # Variables are read at once, since they may have tasks in common; of a single one its first chunk of bands is.
    first = spec.count if chunks is None or spec.has_mask or len(parts) > 1 else chunks.band_edges[1]
    for box in boxes_ahead(spec, chunks, range(first), _AHEAD_PX) if may_read else ():
        values = visible(*ahead.read_ahead(box))
        lost = packing.lost_value(values, box.bands)
        if lost is not None:
            return ahead, lost
        if all(_varies(values[part.start : part.stop]) for part in parts):
            break
    return ahead, None


def _varies(values: NDArray[Any]) -> bool:
    """Return whether values differ: those that are all alike may be whole numbers by chance."""
    valid = values[values == values]
    return bool(valid.size and valid.min() < valid.max())


def visible(values: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """Return values with NaN where they are floating-point numbers and masked."""
    return values if mask is None or values.dtype.kind != "f" else np.where(mask, values, values.dtype.type(np.nan))


def packing_of(
    encoding: Mapping[Any, Any], dtype: np.dtype[Any], count: int, numbers: Sequence[int] | None = None
) -> Packing | None:
    """Read how a DataArray is to be stored; None if it does not hold numbers.

    Args:
        encoding: Of the DataArray.
        dtype: Of its values.
        count: Bands.
        numbers: Of the bands among those that the encoding speaks of, from 1; None: not known.

    Raises:
        MetadataError: A scale is 0, or not a number; or there is not one for each band.
    """
    if dtype.kind not in "iufc":
        return None
    scales = _factors(encoding, ("scales", "scale_factor"), count, numbers, neutral=1.0)
    offsets = _factors(encoding, ("offsets", "add_offset"), count, numbers, neutral=0.0)
    if 0.0 in scales:
        raise MetadataError(
            "encoding['scale_factor'] is 0: every pixel would be stored as infinite; array.drop_encoding()"
        )
    stored = _stored_dtype(encoding, dtype)
    fill = next((encoding[name] for name in ("_FillValue", "missing_value") if encoding.get(name) is not None), None)
    fill = None if fill is None else _unwrapped(np.ravel(fill)[0], stored)
    return Packing(stored, scales, offsets, fill, is_of_file=any(name in encoding for name in _MARKS_OF_FILES))


def _stored_dtype(encoding: Mapping[Any, Any], dtype: np.dtype[Any]) -> np.dtype[Any]:
    declared = encoding.get("dtype")
    try:
        stored = dtype if declared is None else np.dtype(declared).newbyteorder("=")
    except TypeError:
        return dtype
    if stored.kind not in "iufc":
        return dtype
    # netCDF's classic formats have no unsigned integers, and say so apart.
    unsigned = {"true": "u", "false": "i"}.get(str(encoding.get("_Unsigned", "")).lower())
    return np.dtype(f"{unsigned}{stored.itemsize}") if unsigned and stored.kind in "iu" else stored


def _unwrapped(fill: Any, stored: np.dtype[Any]) -> Any:
    """Return the fill value of unsigned integers that the file has as a negative number."""
    if stored.kind == "u" and fill == fill and -(2 ** (8 * stored.itemsize - 1)) <= fill < 0:
        return int(fill) + 2 ** (8 * stored.itemsize)
    return fill


def _factors(
    encoding: Mapping[Any, Any], names: Sequence[str], count: int, numbers: Sequence[int] | None, *, neutral: float
) -> tuple[float, ...]:
    """Return one number per band; none if all are neutral."""
    name = next((name for name in names if encoding.get(name) is not None), None)
    if name is None:
        return ()
    declared = per_band(encoding[name], count, numbers)
    if declared is None:
        raise MetadataError(f"encoding[{name!r}]={encoding[name]!r} for {count} bands; give a number, or one per band")
    try:
        factors = tuple(float(np.ravel(number)[0]) for number in declared)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"encoding[{name!r}]={encoding[name]!r} is not a number") from error
    return () if set(factors) <= {neutral} else factors


def _along_bands(numbers: Sequence[float], bands: range, like: NDArray[Any]) -> NDArray[Any]:
    return np.array(numbers[bands.start : bands.stop], like.dtype)[:, np.newaxis, np.newaxis]
