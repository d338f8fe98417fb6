"""Numbers as a file is to store them: what was decoded for computing is encoded again.

A DataArray that was opened with ``mask_and_scale`` has physical values and NaN; its ``encoding`` tells how they were
stored: value = stored * scale_factor + add_offset, missing where stored == _FillValue, all of a dtype (CF Conventions
1.11, sections 2.5.1 and 8.1; xarray's documentation of "encoding"). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader.errors import DtypeError, MetadataError
from georeader.export.dtypes import convert_pixels
from georeader.export.pyramid import Mask, Region
from georeader.export.source import Source, SourceAround
from georeader.export.sources.rio_metadata import per_band
from georeader.export.spec import SourceSpec


@dataclass(frozen=True)
class Packing:
    """How physical values are stored.

    Attributes:
        dtype: Of what is stored.
        scales: One per band; stored = (value - offset) / scale. Empty: values are stored as they are.
        offsets: One per band, or empty.
        fill: What NaN is stored as, or None.
    """

    dtype: np.dtype[Any]
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    fill: Any = None

    def pack(self, values: NDArray[Any], bands: range) -> NDArray[Any]:
        """Give what is stored.

        Args:
            values: (band, row, column); not changed.
            bands: Which bands they are.

        Raises:
            DtypeError: The dtype can't hold a value, or NaN where there is no fill.

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

    def changes(self, dtype: np.dtype[Any]) -> bool:
        """Tell whether anything is to be done with values of a dtype."""
        return bool(self.dtype != dtype or self.scales or self.offsets or (self._fills and dtype.kind in "fc"))

    @property
    def _fills(self) -> bool:
        return self.fill is not None and self.fill == self.fill


class PackedSource(SourceAround):
    """A source whose values are stored in another way than it has them.

    Attributes:
        packing: How.
    """

    def __init__(self, source: Source, packing: Packing) -> None:
        """Take a source.

        Args:
            source: Has the values.
            packing: How they are stored.
        """
        super().__init__(source)
        self.packing = packing

    @property
    def spec(self) -> SourceSpec:
        """What is stored."""
        return replace(self.source.spec, dtype=self.packing.dtype)

    def read(self, region: Region, bands: range) -> tuple[NDArray[Any], Mask]:
        """Read a window, and pack it.

        Raises:
            Exception: What the source raises.
            DtypeError: The packing's dtype can't hold a value.
        """
        values, mask = super().read(region, bands)
        return self.packing.pack(values, bands), mask


def packing_of(
    encoding: Mapping[Any, Any], dtype: np.dtype[Any], count: int, numbers: Sequence[int] | None = None
) -> Packing | None:
    """Read how a DataArray is to be stored; None: there are no numbers in it.

    Args:
        encoding: Of the DataArray.
        dtype: Of its values.
        count: Bands.
        numbers: Of the bands among those that the encoding speaks of, from 1; None: not known.

    Raises:
        MetadataError: A scale is 0, or no number; or there is not one for each band.
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
    return Packing(stored, scales, offsets, fill)


def _stored_dtype(encoding: Mapping[Any, Any], dtype: np.dtype[Any]) -> np.dtype[Any]:
    said = encoding.get("dtype")
    try:
        stored = dtype if said is None else np.dtype(said).newbyteorder("=")
    except TypeError:
        return dtype
    if stored.kind not in "iufc":
        return dtype
    # netCDF's classic formats have no unsigned integers, and say so apart.
    unsigned = {"true": "u", "false": "i"}.get(str(encoding.get("_Unsigned", "")).lower())
    return np.dtype(f"{unsigned}{stored.itemsize}") if unsigned and stored.kind in "iu" else stored


def _unwrapped(fill: Any, stored: np.dtype[Any]) -> Any:
    """Give the fill value of unsigned integers that stands in the file as a negative one."""
    if stored.kind == "u" and fill == fill and -(2 ** (8 * stored.itemsize - 1)) <= fill < 0:
        return int(fill) + 2 ** (8 * stored.itemsize)
    return fill


def _factors(
    encoding: Mapping[Any, Any], names: Sequence[str], count: int, numbers: Sequence[int] | None, *, neutral: float
) -> tuple[float, ...]:
    """Give one number per band; nothing where they change nothing."""
    name = next((name for name in names if encoding.get(name) is not None), None)
    if name is None:
        return ()
    said = per_band(encoding[name], count, numbers)
    if said is None:
        raise MetadataError(f"encoding[{name!r}]={encoding[name]!r} for {count} bands; give a number, or one per band")
    try:
        factors = tuple(float(np.ravel(number)[0]) for number in said)
    except (TypeError, ValueError) as error:
        raise MetadataError(f"encoding[{name!r}]={encoding[name]!r} is no number") from error
    return () if set(factors) <= {neutral} else factors


def _along_bands(numbers: Sequence[float], bands: range, like: NDArray[Any]) -> NDArray[Any]:
    return np.array(numbers[bands.start : bands.stop], like.dtype)[:, np.newaxis, np.newaxis]
