"""Description of a raster's bands for pictures, and the choice of the bands that a picture shows."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeader._core.band_attrs import Colormap, alpha_band, check_count, check_list, parse_colormap
from georeader._resample.methods import recorded_resamplings
from georeader.errors import OptionError

#: Bands as a caller selects them: by number, counted from 1, or by description.
BandSelector = int | str | Sequence[int | str]

_RGB = ("red", "green", "blue")

#: Bands 4, 3 and 2 of Sentinel-2 and of Landsat 8 and 9.
_RGB_NUMBERS = ("b4", "b3", "b2")

#: Words beside "red", "green" or "blue" in the description of another band: red edge, near infra-red.
_NOT_RGB = frozenset({"edge", "infra", "near", "nir", "swir"})

#: Colour interpretations that state no colour.
_NO_COLOUR = frozenset({"undefined", "gray"})


@dataclass(frozen=True)
class RasterBands:
    """The bands of a raster, as far as a picture depends on them. What each band has is empty if it is not known."""

    count: int
    dtype: np.dtype[Any]
    nodata: Any = None
    colorinterp: tuple[str, ...] = ()  #: By GDAL's names.
    descriptions: tuple[str | None, ...] = ()
    colormap: Colormap | None = None  #: Of a one-band raster.
    is_inverted: bool = False  #: The first band's smallest value is white (MINISWHITE).
    resamplings: tuple[str, ...] = ()  #: Recorded methods of the overviews.
    attribute_tables: tuple[str | None, ...] = ()  #: GDAL's XML of tables, which may name classes.

    @classmethod
    def from_attrs(cls, attrs: Mapping[str, Any], count: int, dtype: np.dtype[Any], nodata: Any) -> RasterBands:
        """Read the description in a raster's metadata, under the keys of `GeoTensor.attrs`."""
        per_band = {key: attrs[key] for key in ("colorinterp", "descriptions") if attrs.get(key) is not None}
        for key, values in per_band.items():
            check_list(values, f"attrs[{key!r}]")
            check_count(values, count, f"attrs[{key!r}]")
        colormap, photometric = attrs.get("colormap"), attrs.get("photometric")
        return cls(
            count=count,
            dtype=dtype,
            nodata=nodata,
            colorinterp=tuple(str(getattr(name, "name", name)) for name in per_band.get("colorinterp", ())),
            descriptions=tuple(str(name) if name else None for name in per_band.get("descriptions", ())),
            colormap=None if colormap is None else parse_colormap(colormap),
            is_inverted=str(getattr(photometric, "value", photometric)).upper().endswith("WHITE"),
            resamplings=recorded_resamplings(attrs.get("tags"), count),
        )


@dataclass(frozen=True)
class ShownBands:
    """The bands of a picture, counted from 0."""

    colours: tuple[int, ...]  #: One (shown as grey, or by its colour table), or those of red, green and blue.
    alpha: int | None  #: Alpha band of the others.
    are_colours: bool  #: The pixels are 8-bit red, green and blue already.


def choose_bands(bands: RasterBands, selected: BandSelector | None = None) -> ShownBands:
    """Choose the bands to show.

    The selected ones (one or three, counted from 1, or by their descriptions in any case); else those whose colour
    interpretation is red, green and blue; else those with such descriptions ("red", "B04", ...); else all three, where
    there are three beside alpha; else the first.
    """
    count = bands.count
    interps = bands.colorinterp or ("undefined",) * count
    alpha = alpha_band(interps) if count > 1 else None
    others = [band for band in range(count) if band != alpha]
    if selected is not None:
        colours = _select(selected, count, bands.descriptions)
    else:
        are_declared = set(_RGB) <= set(interps)
        colours = tuple(map(interps.index, _RGB)) if are_declared else _by_description(bands.descriptions)
        if not colours:
            are_three = len(others) == 3 and _NO_COLOUR.issuperset(interps[band] for band in others)
            colours = tuple(others) if are_three else (others[0],)
    are_rgb = {interps[band] for band in colours} <= set(_RGB) or (not bands.colorinterp and count == 3)
    return ShownBands(
        colours=colours,
        alpha=None if alpha in colours else alpha,
        are_colours=len(colours) == 3 and bands.dtype == np.uint8 and are_rgb,
    )


def _by_description(descriptions: Sequence[str | None]) -> tuple[int, ...]:
    """Return the bands named red, green and blue, else those numbered 4, 3 and 2; empty if one is missing."""
    words = [_words(name or "") for name in descriptions]
    for names in (_RGB, _RGB_NUMBERS):
        found = [_find(name, words) for name in names]
        if None not in found:
            return tuple(band for band in found if band is not None)
    return ()


def _find(name: str, words: Sequence[list[str]]) -> int | None:
    """Return the first band with this name as its only word, else the first that has it among its words."""
    exact = [band for band, some in enumerate(words) if some == [name]]
    among = [band for band, some in enumerate(words) if name in some and not _NOT_RGB.intersection(some)]
    return next(iter(exact + among), None)


def _words(description: str) -> list[str]:
    """Return the words of a description in lower case, "B04" as "b4"."""
    return [re.sub(r"^b0+(?=\d)", "b", word) for word in re.split(r"[^a-z0-9]+", description.lower()) if word]


def _select(selected: BandSelector, count: int, descriptions: Sequence[str | None]) -> tuple[int, ...]:
    given: Sequence[Any] = [selected] if isinstance(selected, (int, str, np.integer)) else list(selected)
    if len(given) not in (1, 3):
        raise OptionError(f"bands={selected!r}: a picture shows one band (grey), or three (red, green, blue)")
    return tuple(_position(band, count, descriptions) for band in given)


def _position(band: Any, count: int, descriptions: Sequence[str | None]) -> int:
    if isinstance(band, str):
        names = [(name or "").casefold() for name in descriptions]
        if band and band.casefold() in names:
            return names.index(band.casefold())
        known = ", ".join(name for name in descriptions if name) or "none"
        raise OptionError(f"bands: there is no band named {band!r}; the raster's descriptions: {known}")
    try:
        number = operator.index(band)
    except TypeError as error:
        raise OptionError(f"bands: {band!r} is neither a number nor a name; count from 1") from error
    if not 1 <= number <= count:
        raise OptionError(f"bands: band {number} requested; there are 1 to {count}")
    return number - 1
