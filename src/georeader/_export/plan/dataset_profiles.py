"""Profiles that were taken from a dataset, as ``rasterio.open(path).profile``: which of their keys are options. Pure.

Such a profile describes the dataset's own file. Its codec and its tiles are options of a new one; strips, the driver of
another format, and what only that format has, are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import rasterio

#: Keys of a rasterio profile that describe the raster. They are allowed in profile_arg.
RASTER_KEYS = ("NODATA", "DTYPE", "CRS", "TRANSFORM", "COUNT", "HEIGHT", "WIDTH", "DRIVER")

#: Drivers of the files that this project writes.
DRIVERS = ("COG", "GTIFF")

_SHAPE_KEYS = frozenset({"COUNT", "HEIGHT", "WIDTH"})
_BLOCK_KEYS = frozenset({"TILED", "BLOCKXSIZE", "BLOCKYSIZE"})
_FALSE = ("FALSE", "NO", "OFF", "0")

#: Codecs and colour models of datasets that are not options: pixels are converted, or the codec is not written.
_FOREIGN_VALUES = {
    "INTERLEAVE": ("LINE", "TILE"),
    "COMPRESS": ("CCITTRLE", "CCITTFAX3", "CCITTFAX4", "JPEG2000", "OJPEG", "JBIG", "SGILOG", "SGILOG24", "PNG"),
    "PHOTOMETRIC": ("CMYK", "CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV"),
}


def is_of_dataset(profile: Mapping[str, Any]) -> bool:
    """Return whether a profile, with upper-case keys, has the size of a dataset."""
    return profile.keys() >= _SHAPE_KEYS


def layout_of_dataset(profile: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return the keys of a profile that describe the layout of a dataset's file, and are not options of a new one.

    They are block sizes in strips or in a file of another format; the driver of that format; and codecs, interleaves
    and colour models that no file of this project has.

    Args:
        profile: A caller's profile_arg, its keys as they are spelt.

    Example:
        >>> layout_of_dataset({"driver": "PNG", "dtype": "uint8", "tiled": False, "blockysize": 1, "compress": "lzw"})
        ('driver', 'tiled', 'blockysize')
        >>> layout_of_dataset({"tiled": False}), layout_of_dataset({"driver": "PNG"})
        ((), ())
    """
    spelling = {key.upper(): key for key in profile if isinstance(key, str)}
    if len(spelling.keys() & set(RASTER_KEYS)) < 2:
        return ()  # written by hand: what is not supported is refused
    words = {upper: _word(profile[key]) for upper, key in spelling.items()}
    is_foreign = words.get("DRIVER", "GTIFF") not in DRIVERS and is_format(words["DRIVER"])
    ignored = {name for name, values in _FOREIGN_VALUES.items() if words.get(name) in values}
    if is_foreign:
        ignored |= {"DRIVER", "PHOTOMETRIC", *_BLOCK_KEYS}
    if words.get("TILED") in _FALSE:
        ignored |= _BLOCK_KEYS
    if words.get("PHOTOMETRIC") == "YCBCR" and words.get("COMPRESS") != "JPEG":
        ignored.add("PHOTOMETRIC")
    return tuple(key for upper, key in spelling.items() if upper in ignored)


def is_format(driver: str) -> bool:
    """Return whether GDAL has a driver of this name, in any case."""
    with rasterio.Env() as environment:
        return driver in {name.upper() for name in environment.drivers()}


def _word(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value).strip().upper()
