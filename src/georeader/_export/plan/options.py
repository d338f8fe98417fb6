"""Parser of profile_arg: options in GDAL's and rasterio's spellings, read once into a `Profile`. Pure.

GDAL's COG and GTiff drivers and rasterio's profiles spell the same option in different ways (BLOCKSIZE and blockxsize,
LEVEL and ZLEVEL, YES and 2). All spellings are accepted, in any case. Unknown options are refused, and so are those
that one of the drivers would ignore without a message.

A profile that was taken from a dataset, as ``rasterio.open(path).profile``, describes the dataset's own file. Its codec
and its tiles are options of a new file; strips, the driver of another format, and what only that format has, are not.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import rasterio

from georeader._codecs.registry import CODECS, PREDICTOR_CHOICES, PREDICTORS
from georeader._export.plan.option_types import (
    BOOLEAN,
    THREADS,
    TILE_SIDE_PX,
    OptionType,
    choice,
    crs,
    numbers_joined,
    one_or_each,
    real_number,
    text,
    whole_number,
)
from georeader._export.plan.photometric import PHOTOMETRIC
from georeader._resample.methods import GDAL_METHODS, METHODS
from georeader.errors import OptionError

_PREDICTOR_ALIASES = {**{str(number): name for name, number in PREDICTORS.items()}, "NONE": "NO"}
_PREDICTOR = choice((*PREDICTOR_CHOICES, "AUTO"), _PREDICTOR_ALIASES)
_OVERVIEW_PREDICTOR = choice(PREDICTOR_CHOICES, _PREDICTOR_ALIASES)
_METHOD = choice(tuple(METHODS), {"CUBIC_SPLINE": "CUBICSPLINE"})
_WARP_METHOD = choice(GDAL_METHODS, {"CUBIC_SPLINE": "CUBICSPLINE"})
_RESAMPLING = one_or_each(_METHOD)
_CODEC = choice(tuple(CODECS))
_PERCENT = whole_number(1, 100)
_LEVEL = whole_number(0, 22)
_BOTH = frozenset({"cog", "tiled"})
_COG = frozenset({"cog"})

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


@dataclass(frozen=True)
class Option:
    """One key of profile_arg.

    Attributes:
        field: The field of `Encoding` that it sets; "driver" for an option that only GDAL has.
        value: Parser of its value.
        kinds: Whether save_cog ("cog"), save_tiled_geotiff ("tiled") or both take it.
    """

    field: str
    value: OptionType
    kinds: frozenset[str] = _BOTH


OPTIONS: Mapping[str, Option] = {
    "COMPRESS": Option("codec", _CODEC),
    "LEVEL": Option("level", _LEVEL),
    "ZLEVEL": Option("level", _LEVEL),
    "ZSTD_LEVEL": Option("level", _LEVEL),
    "LZMA_PRESET": Option("level", _LEVEL),
    "QUALITY": Option("quality", _PERCENT),
    "JPEG_QUALITY": Option("quality", _PERCENT),
    "WEBP_LEVEL": Option("quality", _PERCENT),
    "WEBP_LOSSLESS": Option("lossless", BOOLEAN),
    "JXL_LOSSLESS": Option("lossless", BOOLEAN),
    "JXL_EFFORT": Option("effort", whole_number(1, 9)),
    "JXL_DISTANCE": Option("distance", real_number(0.01, high=25)),
    "MAX_Z_ERROR": Option("max_z_error", real_number(0)),
    "PREDICTOR": Option("predictor", _PREDICTOR),
    "BLOCKXSIZE": Option("tile_width_px", TILE_SIDE_PX),
    "BLOCKYSIZE": Option("tile_height_px", TILE_SIDE_PX),
    "BLOCKSIZE": Option("tile_side_px", TILE_SIDE_PX),
    "BIGTIFF": Option("bigtiff", choice(("YES", "NO", "IF_NEEDED", "IF_SAFER"))),
    "INTERLEAVE": Option("interleave", choice(("PIXEL", "BAND"))),
    "PHOTOMETRIC": Option("photometric", PHOTOMETRIC),
    "RESAMPLING": Option("resampling", _RESAMPLING),
    "OVERVIEW_RESAMPLING": Option("overview_resampling", _RESAMPLING),
    "OVERVIEWS": Option("overviews", choice(("AUTO", "IGNORE_EXISTING", "NONE"))),
    "OVERVIEW_COUNT": Option("overview_count", whole_number(0, 30)),
    "NUM_THREADS": Option("num_threads", THREADS),
    "NAN_TO_NODATA": Option("nan_to_nodata", BOOLEAN),
    "TILED": Option("tiled", BOOLEAN),
    "COPY_SRC_OVERVIEWS": Option("ignored", BOOLEAN),
    # Options that only GDAL has: passed to its driver as they are.
    "TILING_SCHEME": Option("driver", text(), kinds=_COG),
    "ZOOM_LEVEL": Option("driver", whole_number(0, 30), kinds=_COG),
    "ZOOM_LEVEL_STRATEGY": Option("driver", choice(("AUTO", "LOWER", "UPPER")), kinds=_COG),
    "ALIGNED_LEVELS": Option("driver", whole_number(1, 30), kinds=_COG),
    "TARGET_SRS": Option("driver", crs(), kinds=_COG),
    "RES": Option("driver", real_number(0, above=True), kinds=_COG),
    "EXTENT": Option("driver", numbers_joined(4), kinds=_COG),
    "ADD_ALPHA": Option("driver", BOOLEAN, kinds=_COG),
    "WARP_RESAMPLING": Option("driver", _WARP_METHOD, kinds=_COG),
    "OVERVIEW_COMPRESS": Option("driver", _CODEC, kinds=_COG),
    "OVERVIEW_QUALITY": Option("driver", _PERCENT, kinds=_COG),
    "OVERVIEW_PREDICTOR": Option("driver", _OVERVIEW_PREDICTOR, kinds=_COG),
    "MAX_Z_ERROR_OVERVIEW": Option("driver", real_number(0), kinds=_COG),
    "STATISTICS": Option("driver", choice(("AUTO", "YES", "NO")), kinds=_COG),
    "NBITS": Option("driver", whole_number(1, 31)),
    "SPARSE_OK": Option("driver", BOOLEAN),
    "GEOTIFF_VERSION": Option("driver", choice(("AUTO", "1.0", "1.1"))),
}


@dataclass(frozen=True)
class Profile:
    """A parsed profile_arg.

    Attributes:
        fields: Field of `Encoding` to canonical value.
        driver_options: (name, value) of options that only GDAL has.
        raster: Keys of `RASTER_KEYS` to their values, as given.
        spelling: Field to the key by which it was passed, for messages.
        ignored: (key, value) of keys that describe a dataset's own file and are not options.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    driver_options: tuple[tuple[str, str], ...] = ()
    raster: Mapping[str, Any] = field(default_factory=dict)
    spelling: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[tuple[str, Any], ...] = ()


def parse_profile(profile_arg: Any, kind: str, name: str = "profile_arg") -> Profile:
    """Parse a profile.

    Args:
        profile_arg: Mapping of option to value, or None.
        kind: "cog" or "tiled".
        name: Name of the mapping in messages.

    Raises:
        OptionError: An unknown key, an invalid value, or two keys that contradict.
    """
    if profile_arg is None:
        return Profile()
    if not isinstance(profile_arg, Mapping):
        raise OptionError(f"{name} is a {type(profile_arg).__name__}; pass a mapping such as {{'compress': 'zstd'}}")
    raster: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    spelling: dict[str, str] = {}
    driver_options: dict[str, str] = {}
    ignored = layout_of_dataset(profile_arg)
    for key, given in profile_arg.items():
        if key in ignored:
            continue
        upper = key.upper() if isinstance(key, str) else key
        if upper in RASTER_KEYS:
            _set_once(raster, spelling, upper, key, given, name)
            continue
        option = _known_option(upper, key, kind, name)
        value = option.value.parse(f"{name}[{key!r}]", given)
        if option.field == "driver":
            _set_once(driver_options, spelling, upper, key, _gdal_text(value), name)
        else:
            _set_once(fields, spelling, option.field, key, value, name)
    left_out = tuple((key, profile_arg[key]) for key in ignored)
    return Profile(fields, tuple(sorted(driver_options.items())), raster, spelling, left_out)


def _known_option(upper: Any, key: Any, kind: str, name: str) -> Option:
    option = OPTIONS.get(upper)
    if option is not None and kind in option.kinds:
        return option
    allowed = sorted(option for option, what in OPTIONS.items() if kind in what.kinds)
    if option is not None:
        other = "save_cog" if kind == "tiled" else "save_tiled_geotiff"
        raise OptionError(f"{name}[{key!r}] is for {other} only; allowed here: {', '.join(allowed)}")
    close = difflib.get_close_matches(str(upper), allowed, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise OptionError(f"{name}[{key!r}] is unknown; {hint}allowed: {', '.join(allowed)}")


def _set_once(target: dict[str, Any], spelling: dict[str, str], slot: str, key: Any, value: Any, name: str) -> None:
    if slot in target and not _same(target[slot], value):
        raise OptionError(f"{name} says both {spelling[slot]!r} and {key!r}, with different values; keep one")
    target[slot] = value
    spelling[slot] = key


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and bool(a == b))


def _gdal_text(value: Any) -> str:
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return f"{value:.17g}" if isinstance(value, float) else str(value)


# Profiles that were taken from a dataset.


def is_of_dataset(profile: Mapping[str, Any]) -> bool:
    """Return whether a profile, with upper-case keys, has the size of a dataset."""
    return profile.keys() >= _SHAPE_KEYS


def layout_of_dataset(profile: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return the keys of a profile that describe the layout of a dataset's file, and are not options of a new one.

    They are block sizes in strips or in a file of another format; the driver of that format; and codecs, interleaves
    and colour models that no file of this project has.

    Args:
        profile: A caller's profile_arg, with its keys as passed.

    Example:
        >>> layout_of_dataset({"driver": "PNG", "dtype": "uint8", "tiled": False, "blockysize": 1, "compress": "lzw"})
        ('driver', 'tiled', 'blockysize')
        >>> layout_of_dataset({"tiled": False}), layout_of_dataset({"driver": "PNG"})
        ((), ())
    """
    spelling = {key.upper(): key for key in profile if isinstance(key, str)}
    if len(spelling.keys() & set(RASTER_KEYS)) < 2:
        return ()  # not of a dataset: unsupported values are refused
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
