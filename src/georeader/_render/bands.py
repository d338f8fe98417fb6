"""Which bands of a raster a picture shows, and whether they are colours already. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from georeader._export.plan.metadata import Metadata
from georeader.errors import OptionError

#: What a caller may say of bands: numbers counted from 1, and names among the descriptions.
BandSelector = int | str | Sequence[int | str]

_RGB = ("red", "green", "blue")

#: Bands 4, 3 and 2 of Sentinel-2 and of Landsat 8 and 9.
_NUMBERS = ("b4", "b3", "b2")

#: Words beside "red", "green" or "blue" that make another band of it: red edge, near infra-red.
_OTHERS = frozenset({"edge", "infra", "near", "nir", "swir"})

#: Interpretations that say nothing of the colour.
_UNTOLD = frozenset({"undefined", "gray"})


@dataclass(frozen=True)
class ShownBands:
    """The bands of a picture.

    Attributes:
        colours: Counted from 0: one (shown as grey, or by its colour table), or those of red, green and blue.
        alpha: The band that says where the others are visible, counted from 0; or None.
        are_finished: They are 8-bit red, green and blue, made to be looked at.
    """

    colours: tuple[int, ...]
    alpha: int | None
    are_finished: bool


def choose_bands(
    metadata: Metadata, count: int, dtype: np.dtype[Any], wished: BandSelector | None = None
) -> ShownBands:
    """Choose the bands to show.

    Those that are wished; else those whose colour interpretation is red, green and blue; else those with such names
    ("red", "B04", ...); else all three, where there are three beside alpha; else the first.

    Args:
        metadata: Of the raster.
        count: Bands of the raster.
        dtype: Of its pixels.
        wished: One band or three, counted from 1, or by their descriptions in any case; None: see above.

    Raises:
        OptionError: A band that is not there, or neither one nor three.

    Example:
        >>> choose_bands(Metadata(descriptions=("B02", "B03", "B04", "B08")), 4, np.dtype("uint16")).colours
        (2, 1, 0)
        >>> choose_bands(Metadata(), 12, np.dtype("uint16"), wished=[4, 3, 2]).colours
        (3, 2, 1)
    """
    interps = metadata.colorinterp or ("undefined",) * count
    alpha = interps.index("alpha") if "alpha" in interps and count > 1 else None
    others = [band for band in range(count) if band != alpha]
    if wished is not None:
        colours = _wished(wished, count, metadata.descriptions)
    else:
        colours = _by_interpretation(interps) or _by_name(metadata.descriptions)
        if not colours:
            are_three = len(others) == 3 and _UNTOLD.issuperset(interps[band] for band in others)
            colours = tuple(others) if are_three else (others[0],)
    is_said = {interps[band] for band in colours} <= set(_RGB)
    is_assumed = not metadata.colorinterp and count == 3
    return ShownBands(
        colours=colours,
        alpha=None if alpha in colours else alpha,
        are_finished=len(colours) == 3 and dtype == np.uint8 and (is_said or is_assumed),
    )


def _by_interpretation(interps: Sequence[str]) -> tuple[int, ...]:
    return tuple(interps.index(colour) for colour in _RGB) if set(_RGB) <= set(interps) else ()


def _by_name(descriptions: Sequence[str | None]) -> tuple[int, ...]:
    """Give the bands that are named red, green and blue, else those numbered 4, 3 and 2; none where one is missing."""
    for kinds in (_RGB, _NUMBERS):
        found = [_named(kind, descriptions) for kind in kinds]
        if None not in found:
            return tuple(band for band in found if band is not None)
    return ()


def _named(kind: str, descriptions: Sequence[str | None]) -> int | None:
    """Give the first band whose name is ``kind``, else the first that has it among its words."""
    words = [_words(name or "") for name in descriptions]
    exact = [band for band, some in enumerate(words) if some == [kind]]
    among = [band for band, some in enumerate(words) if kind in some and not _OTHERS.intersection(some)]
    return next(iter(exact + among), None)


def _words(name: str) -> list[str]:
    """Give the words of a name in lower case, "B04" as "b4"."""
    return [re.sub(r"^b0+(?=\d)", "b", word) for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def _wished(wished: BandSelector, count: int, descriptions: Sequence[str | None]) -> tuple[int, ...]:
    given: Sequence[Any] = [wished] if isinstance(wished, (int, str, np.integer)) else list(wished)
    if len(given) not in (1, 3):
        raise OptionError(f"bands={wished!r}: a picture shows one band (grey), or three (red, green, blue)")
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
        raise OptionError(f"bands: band {number} asked for; there are 1 to {count}")
    return number - 1
