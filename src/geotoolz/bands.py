"""Selection of a stack's bands by index or by name. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from georeader import GeoTensor
from georeader.errors import OptionError, ShapeError
from geotoolz.errors import BandError

#: Common names (STAC's eo extension) of Sentinel-2's bands at 10 m.
COMMON_NAMES = {"b2": "blue", "b3": "green", "b4": "red", "b8": "nir"}

_NUMBERED = re.compile(r"b0*(\d+)(a?)$")


def band_index(value: Any, name: str) -> int:
    """Check an argument that is a band's index.

    Args:
        value: Counted from 0.
        name: Of the argument, for the message.

    Raises:
        OptionError: It is not an integer, or negative.
    """
    try:
        index = operator.index(value)
    except TypeError as error:
        raise OptionError(f"{name}={value!r} is not a band's index; pass an integer, counted from 0") from error
    if index < 0 or isinstance(value, bool):
        raise OptionError(f"{name}={value!r} is not a band's index; bands are counted from 0")
    return index


def check_bands(gt: GeoTensor, indexes: Mapping[str, int], caller: str) -> None:
    """Check that a raster is a stack with these bands.

    Args:
        gt: Raster.
        indexes: Name of the argument to the index of a band.
        caller: Name of the operator, for the message.

    Raises:
        ShapeError: Other than (band, row, column).
        BandError: A band does not exist.
    """
    if gt.ndim != 3:
        raise ShapeError(f"{caller} takes (band, row, column), not an array of shape {tuple(gt.shape)}")
    for name, index in indexes.items():
        if index >= gt.count:
            bands = "1 band, band 0" if gt.count == 1 else f"{gt.count} bands, 0 to {gt.count - 1}"
            raise BandError(f"{caller}: {name}={index} is not there; the raster has {bands}")


def find_band(wanted: str, descriptions: Sequence[str | None]) -> list[int]:
    """Return the bands that have a name.

    Case does not matter, nor leading zeros of a number; a description may go on after the name, as in GDAL's "B4,
    central wavelength 665 nm"; "red" is found for "B04", and the other way round.

    Args:
        wanted: Such as "B04".
        descriptions: One a band, or None.

    Returns:
        The bands whose whole description it is, counted from 0; if there are none, those whose description begins so.

    Example:
        >>> find_band("B04", ["B02", "b4", None]), find_band("nir", ["B08 (10 m)"]), find_band("SCL", ["B04"])
        ([1], [0], [])
    """
    names = _names_of(wanted)
    whole = [band for band, text in enumerate(descriptions) if text and _plain_name(text) in names]
    if whole:
        return whole
    return [
        band
        for band, text in enumerate(descriptions)
        if text and _plain_name(re.split(r"[\s,;:(]", text.strip())[0]) in names
    ]


def _names_of(wanted: str) -> set[str]:
    name = _plain_name(wanted)
    numbers = {common: number for number, common in COMMON_NAMES.items()}
    return {name, COMMON_NAMES.get(name, name), numbers.get(name, name)}


def _plain_name(text: str) -> str:
    name = text.strip().casefold()
    numbered = _NUMBERED.match(name)
    return f"b{numbered[1]}{numbered[2]}" if numbered else name
