"""Packing of values that were decoded for computing: they are stored by their encoding again.

A DataArray's ``encoding`` states how its values were stored: value = stored * scale_factor + add_offset, missing where
stored == _FillValue (CF Conventions 1.11, sections 2.5.1 and 8.1). It stays with an array whose values are changed in
place or resampled. Where it cannot hold them without loss, they are stored as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import convert_pixels
from georeader._core.reporting import warn_at_caller
from georeader._core.sentinels import UNSET
from georeader._core.windows import Mask, MaskedPixels, PixelWindow
from georeader._export.plan.spec import SourceSpec
from georeader._export.sources.geodata import MappedSource
from georeader._export.sources.protocol import Source, SourceWrapper
from georeader._export.sources.read_once import AheadSource, boxes_ahead
from georeader._export.sources.xarray_metadata import FACTOR_NAMES, per_band
from georeader.errors import DtypeError, MetadataError, MetadataWarning

#: Entries of an encoding that xarray and rioxarray set when they open a file.
_MARKS_OF_FILES = ("source", "original_shape", "preferred_chunks", "rasterio_dtype")

#: Pixels that are checked at a time.
_LOOKED_AT_PX = 2**20

#: Pixels of chunks that are read ahead at most, of three times as many.
_AHEAD_PX = 2**22


@dataclass(frozen=True)
class Packing:
    """The encoding of physical values in a file."""

    dtype: np.dtype[Any]  #: of what is stored
    scales: tuple[float, ...] = ()  #: one per band; stored = (value - offset) / scale. Empty: not scaled
    offsets: tuple[float, ...] = ()  #: one per band, or empty
    fill: Any = None  #: what NaN is stored as, or None
    is_of_file: bool = False  #: of the file that the values were read from, not set for a file to come

    def pack(self, values: NDArray[Any], bands: range) -> NDArray[Any]:
        """Return what is stored of the (band, row, column) values of some bands, which are not changed."""
        stored = values
        if self.scales or self.offsets:
            # In the values' own precision, as xarray does it: so the same numbers come out.
            stored = values.astype(values.dtype if values.dtype.kind in "fc" else np.float64)
            if self.offsets:
                stored -= _along_bands(self.offsets, bands, stored)
            if self.scales:
                stored /= _along_bands(self.scales, bands, stored)
        if self._fills(stored.dtype):
            missing = np.isnan(stored)
            if missing.any():
                stored = np.where(missing, stored.dtype.type(self.fill), stored)
        try:
            return convert_pixels(stored, self.dtype)
        except DtypeError as error:
            raise DtypeError(
                f"{error}. The array's encoding has the dtype {self.dtype}: array.drop_encoding() is saved as it is, "
                f"{values.dtype}, and encoding['_FillValue'] is what NaN becomes"
            ) from error

    def may_lose(self, dtype: np.dtype[Any]) -> bool:
        """Return whether values of a dtype may have fractions that what is stored does not hold.

        A scale and an offset that were set for a file to come are the precision that was requested.
        """
        is_scaled = bool(self.scales or self.offsets)
        return self.dtype.kind in "iu" and (self.is_of_file if is_scaled else dtype.kind == "f")

    def lost_value(self, values: NDArray[Any], bands: range) -> Any:
        """Return a value in the dtype's range that comes back as another or a missing one; None if all come back."""
        if not self.may_lose(values.dtype) or values.dtype.kind not in "iuf":
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            if self.scales or self.offsets:
                # Whole numbers of steps: unpacking multiplies and adds in the values' own precision, and rounds.
                numbers = values.astype(np.float64)
                offsets = _along_bands(self.offsets, bands, numbers) if self.offsets else 0.0
                scales = _along_bands(self.scales, bands, numbers) if self.scales else 1.0
                eps = float(np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps)
                stored = np.rint((numbers - offsets) / scales)
                allowed = 2 * eps * (np.abs(numbers) + np.abs(offsets))
                lost = np.abs(stored * scales + offsets - numbers) > allowed
            else:
                stored = np.rint(values)
                lost = (stored != values) & (values == values)
            if self.is_of_file and self.fill is not None and values.dtype.kind == "f":
                lost |= stored == self.fill
        return values[lost][0] if lost.any() else None

    def changes(self, dtype: np.dtype[Any]) -> bool:
        """Return whether values of a dtype are stored as others."""
        return bool(self.dtype != dtype or self.scales or self.offsets or self._fills(dtype))

    def _fills(self, dtype: np.dtype[Any]) -> bool:
        """Return whether NaN of a dtype is stored as a number."""
        return bool(self.fill is not None and self.fill == self.fill and dtype.kind in "fc")

    def __str__(self) -> str:
        scaled = f", scale {self.scales[0]:g}" if self.scales else ""
        return f"{self.dtype}{scaled}" + (f", offset {self.offsets[0]:g}" if self.offsets else "")


class PackedSource(SourceWrapper):
    """A source whose values are packed when they are read; if it ``checks``, values that the packing loses raise."""

    def __init__(self, source: Source, packing: Packing, spec: SourceSpec, *, checks: bool = False) -> None:
        super().__init__(source)
        self.spec = replace(spec, dtype=packing.dtype)
        self.packing = packing
        self._checks = checks

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window, and pack it."""
        values, mask = super().read(region, bands)
        lost = self.packing.lost_value(_visible(values, mask), bands) if self._checks else None
        if lost is not None:
            raise DtypeError(
                f"the array's encoding ({self.packing}) cannot hold {lost!s}, but holds the values of other windows; "
                f"pass array.drop_encoding() to save all values as {values.dtype}"
            )
        return self.packing.pack(values, bands), mask


@dataclass(frozen=True)
class Opened:
    """A raster whose values are not packed yet."""

    source: Source  #: has the values; its spec has nodata, scales and offsets as they are to be stored
    packing: Packing | None  #: None: values are stored as they are, since they are not numbers
    bare: SourceSpec  #: of values that are stored as they are, without the nodata, scales and offsets of the encoding
    parts: tuple[range, ...]  #: bands that have one encoding


def pack(opened: Opened, missing: Any, *, may_read: bool) -> Source:
    """Return a source of what is stored: values in their encoding, or as they are where it cannot hold them.

    Unless ``may_read``, no pixel is read that is not in memory, and the encoding is taken as it is.
    """
    source, packing, dtype = opened.source, opened.packing, opened.source.spec.dtype
    if packing is None or not packing.changes(dtype):
        return source
    is_seen = source.traits.is_in_memory or isinstance(source, MappedSource)
    try:
        if not packing.may_lose(dtype):
            lost = None
        elif is_seen:
            lost = _lost_of_all(source, packing)
        else:
            source = ahead = AheadSource(source)
            lost = _lost_ahead(ahead, packing, opened.parts) if may_read else None
        if lost is None:
            return PackedSource(source, packing, source.spec, checks=not is_seen)
        warn_at_caller(
            f"the encoding of {source.name} ({packing}) cannot hold its values, such as {lost!s}; they are saved as "
            f"{dtype}, without the encoding; pass array.drop_encoding() to save them so without a warning",
            MetadataWarning,
        )
    except BaseException:
        opened.source.close()
        raise
    own_fill = np.nan if packing.fill is not None and dtype.kind in "fc" else None
    own = Packing(dtype, fill=own_fill if missing is UNSET else missing)
    fill = opened.bare.fill_value if own.fill is None else own.fill
    return PackedSource(source, own, replace(opened.bare, fill_value=fill))


def _lost_of_all(source: Source, packing: Packing) -> Any:
    """Return a value in memory that the packing loses, or None."""
    spec = source.spec
    rows, bands = max(1, _LOOKED_AT_PX // (spec.count * spec.width_px)), range(spec.count)
    regions = (
        PixelWindow(start, min(start + rows, spec.height_px), 0, spec.width_px)
        for start in range(0, spec.height_px, rows)
    )
    lost = (packing.lost_value(_visible(*source.read(region, bands)), bands) for region in regions)
    return next((value for value in lost if value is not None), None)


def _lost_ahead(ahead: AheadSource, packing: Packing, parts: Sequence[range]) -> Any:
    """Return a value that is lost in the first, middle or last chunk, until one has different values; or None."""
    spec, chunks = ahead.spec, ahead.traits.chunks
    # Variables are read at once, since they may have tasks in common; of a single one its first chunk of bands is.
    count = spec.count if chunks is None or spec.has_mask or len(parts) > 1 else chunks.band_edges[1]
    for box in boxes_ahead(spec, chunks, count, _AHEAD_PX):
        values = _visible(*ahead.read_ahead(box))
        lost = packing.lost_value(values, range(count))
        if lost is not None:
            return lost
        if all(_varies(values[part.start : part.stop]) for part in parts):
            break
    return None


def _varies(values: NDArray[Any]) -> bool:
    """Return whether values differ: those that are all alike may be whole numbers by chance."""
    valid = values[values == values]
    return bool(valid.size and valid.min() < valid.max())


def _visible(values: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """Return values with NaN where they are floating-point numbers and masked."""
    return values if mask is None or values.dtype.kind != "f" else np.where(mask, values, values.dtype.type(np.nan))


def packing_of(
    encoding: Mapping[Any, Any], dtype: np.dtype[Any], count: int, numbers: Sequence[int] | None = None
) -> Packing | None:
    """Read how bands, with their numbers from 1 if known, are to be stored; None if they are not numbers."""
    if dtype.kind not in "iufc":
        return None
    scales = _factors(encoding, FACTOR_NAMES["scales"], count, numbers, neutral=1.0)
    offsets = _factors(encoding, FACTOR_NAMES["offsets"], count, numbers, neutral=0.0)
    if 0.0 in scales:
        raise MetadataError(
            "encoding['scale_factor'] is 0: every pixel would be stored as infinite; array.drop_encoding()"
        )
    stored = _stored_dtype(encoding, dtype)
    fill = next((encoding[name] for name in ("_FillValue", "missing_value") if encoding.get(name) is not None), None)
    if fill is not None:
        fill = np.ravel(fill)[0]
        if stored.kind == "u" and fill == fill and -(2 ** (8 * stored.itemsize - 1)) <= fill < 0:
            fill = int(fill) + 2 ** (8 * stored.itemsize)  # the file has it as a negative number
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


def _factors(
    encoding: Mapping[Any, Any], names: Sequence[str], count: int, numbers: Sequence[int] | None, *, neutral: float
) -> tuple[float, ...]:
    """Return one number per band; none if all are neutral."""
    name = next((name for name in names if encoding.get(name) is not None), None)
    if name is None:
        return ()
    declared = per_band(encoding[name], count, numbers)
    if declared is None:
        raise MetadataError(f"encoding[{name!r}]={encoding[name]!r} for {count} bands; set a number, or one per band")
    try:
        factors = tuple(float(np.ravel(number)[0]) for number in declared)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"encoding[{name!r}]={encoding[name]!r} is not a number") from error
    return () if set(factors) <= {neutral} else factors


def _along_bands(numbers: Sequence[float], bands: range, like: NDArray[Any]) -> NDArray[Any]:
    return np.array(numbers[bands.start : bands.stop], like.dtype)[:, np.newaxis, np.newaxis]
