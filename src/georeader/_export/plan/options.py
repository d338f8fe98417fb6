"""Parser of profile_arg: a preset, or options in GDAL's and rasterio's spellings, read once into a `Profile`. Pure.

All spellings of an option (BLOCKSIZE and blockxsize, LEVEL and ZLEVEL, YES and 2) are accepted, in any case. Unknown
options are refused, and so are those that one of the drivers would ignore without a message.
"""

from __future__ import annotations

import difflib
import math
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
import rasterio

from georeader._codecs.registry import CODECS, PREDICTOR_CHOICES, PREDICTORS
from georeader._resample.methods import METHODS, WARP_METHODS
from georeader.errors import OptionError
from georeader.window_utils import normalise_crs

#: Spellings of booleans in GDAL's creation options.
_BOOLEANS = {"YES": True, "TRUE": True, "ON": True, "1": True, "NO": False, "FALSE": False, "OFF": False, "0": False}


@dataclass(frozen=True)
class OptionType:
    """The parser of an option's value."""

    convert: Callable[[Any], Any]  #: Returns the canonical value; raises ValueError or TypeError for an invalid one
    allowed: str  #: Allowed values, for messages

    def parse(self, where: str, given: Any) -> Any:
        """Return the canonical value; an OptionError names the option and the allowed values."""
        try:
            return self.convert(given)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise OptionError(f"{where}={given!r} is invalid; allowed: {self.allowed}") from error


def _word(given: Any) -> str:
    """Return a word as GDAL spells it: upper case; enum members by their names, True and False as YES and NO."""
    if isinstance(given, Enum):
        return str(given.name).upper()
    if isinstance(given, (bool, np.bool_)):
        return "YES" if given else "NO"
    if given is None:
        return "NONE"
    if not isinstance(given, (str, numbers.Integral)):
        raise TypeError(f"{given!r} is not a word")
    return str(given).strip().upper()


def _choice(names: Iterable[str], aliases: Mapping[str, str] | None = None) -> OptionType:
    """Return the parser of one of ``names``, in any case; ``aliases`` are other spellings of them."""
    known = {name: name for name in names} | dict(aliases or {})
    return OptionType(lambda given: known[_word(given)], ", ".join(known))


def _number(given: Any, kind: type[int] | type[float], low: float, high: float) -> Any:
    """Return a number, or text of one, as int or float."""
    abstract = numbers.Integral if kind is int else numbers.Real
    if isinstance(given, (bool, np.bool_)) or not isinstance(given, (str, abstract)):
        raise TypeError(f"{given!r} is not a number")
    number = kind(given)  # type: ignore[arg-type]
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(f"{number} is out of range")
    return number


def _integer(low: int, high: int) -> OptionType:
    return OptionType(lambda given: _number(given, int, low, high), f"an integer from {low} to {high}")


def _real(low: float, high: float = math.inf) -> OptionType:
    limit = "" if high == math.inf else f" and at most {high:g}"
    return OptionType(lambda given: _number(given, float, low, high), f"a number of at least {low:g}{limit}")


def _one_or_each(single: OptionType) -> OptionType:
    """Return the parser of one value for all bands, or of a sequence with one per band, which becomes a tuple."""

    def convert(given: Any) -> Any:
        if not isinstance(given, (list, tuple)):
            return single.convert(given)
        if not given:
            raise ValueError("the list is empty")
        return tuple(map(single.convert, given))

    return OptionType(convert, f"{single.allowed}; or a list with one of them per band")


def _extent(given: Any) -> str:
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, Sequence) or len(parts) != 4:
        raise ValueError("4 numbers are needed")
    return ",".join(f"{float(part):.17g}" for part in parts)


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given.strip():
        raise TypeError(f"{given!r} is not text")
    return given.strip()


def _crs(given: Any) -> str:
    name = f"EPSG:{operator.index(given)}" if hasattr(given, "__index__") else _text(given)
    normalise_crs(name)
    return name


def _tile_side(given: Any) -> int:
    side_px: int = _number(given, int, 16, 16384)
    if side_px % 16:
        raise ValueError(f"{side_px} is not a multiple of 16")
    return side_px


_BOOLEAN = OptionType(lambda given: _BOOLEANS[_word(given)], "YES, NO, True, False")
_EXTENT = OptionType(_extent, "4 numbers, as a sequence or separated by commas")
_ABOVE_0 = OptionType(lambda given: _number(given, float, math.ulp(0.0), math.inf), "a number above 0")
_TEXT = OptionType(_text, "text")
_CRS = OptionType(_crs, "an EPSG code such as 'EPSG:3857', WKT, or a PROJ string")
_THREADS = OptionType(
    lambda given: "ALL_CPUS" if _word(given) == "ALL_CPUS" else _number(given, int, 1, 1024),
    "ALL_CPUS or an integer from 1 to 1024",
)
TILE_SIDES = ("tile_width_px", "tile_height_px")
TILE_SIDE_PX = OptionType(_tile_side, "a multiple of 16 up to 16384, such as 256 or 512 (TIFF 6.0, section 15)")

#: The colour models that a file can have; rasterio's enum calls the first two "black" and "white". CMYK and CIELab are
#: left out: GDAL converts their pixels to RGB on reading, so that they do not come back.
PHOTOMETRIC = _choice(
    ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR", "PALETTE"), {"BLACK": "MINISBLACK", "WHITE": "MINISWHITE"}
)
NBITS = _integer(1, 31)
_PREDICTOR_ALIASES = {**{str(number): name for name, number in PREDICTORS.items()}, "NONE": "NO"}
_PREDICTOR = _choice((*PREDICTOR_CHOICES, "AUTO"), _PREDICTOR_ALIASES)
_OVERVIEW_PREDICTOR = _choice(PREDICTOR_CHOICES, _PREDICTOR_ALIASES)
_METHOD = _choice(tuple(METHODS), {"CUBIC_SPLINE": "CUBICSPLINE"})
_WARP_METHOD = _choice(WARP_METHODS, {"CUBIC_SPLINE": "CUBICSPLINE"})
_RESAMPLING = _one_or_each(_METHOD)
_CODEC = _choice(tuple(CODECS))
_PERCENT = _integer(1, 100)
_LEVEL = _integer(0, 22)

#: Names of tables of options (`presets.PRESETS`).
PRESET_NAMES = ("WEB", "VISUAL", "ANALYSIS", "ARCHIVE")
PRESET = _choice(PRESET_NAMES)
_PRESETS_SHOWN = ", ".join(PRESET_NAMES).lower()

#: Options of a raster that is warped onto another grid.
WARP_OPTIONS = (
    "TILING_SCHEME", "ZOOM_LEVEL", "ZOOM_LEVEL_STRATEGY", "ALIGNED_LEVELS", "TARGET_SRS", "RES", "EXTENT", "ADD_ALPHA",
    "WARP_RESAMPLING",
)  # fmt: skip

#: Keys of a rasterio profile that describe the raster. They are allowed in profile_arg.
RASTER_KEYS = ("NODATA", "DTYPE", "CRS", "TRANSFORM", "COUNT", "HEIGHT", "WIDTH", "DRIVER")

#: Drivers of the files that this project writes.
DRIVERS = ("COG", "GTIFF")

#: Keys that tell the profile of a dataset from another one.
SHAPE_KEYS = frozenset({"COUNT", "HEIGHT", "WIDTH"})
_BLOCK_KEYS = frozenset({"TILED", "BLOCKXSIZE", "BLOCKYSIZE"})

#: Codecs and colour models of datasets that are not options: pixels are converted, or the codec is not written.
_FOREIGN_VALUES = {
    "INTERLEAVE": ("LINE", "TILE"),
    "COMPRESS": ("CCITTRLE", "CCITTFAX3", "CCITTFAX4", "JPEG2000", "OJPEG", "JBIG", "SGILOG", "SGILOG24", "PNG"),
    "PHOTOMETRIC": ("CMYK", "CIELAB", "ICCLAB", "ITULAB", "LOGL", "LOGLUV"),
}


@dataclass(frozen=True)
class Option:
    """One key of profile_arg."""

    #: The field of `Encoding` that it sets; "driver" for an option that only GDAL has, "preset" for the name of one.
    field: str
    value: OptionType
    kinds: tuple[str, ...] = ("cog", "tiled")  #: Whether save_cog, save_tiled_geotiff or both take it


OPTIONS: Mapping[str, Option] = {
    "PRESET": Option("preset", PRESET),
    "COMPRESS": Option("codec", _CODEC),
    "LEVEL": Option("level", _LEVEL),
    "ZLEVEL": Option("level", _LEVEL),
    "ZSTD_LEVEL": Option("level", _LEVEL),
    "LZMA_PRESET": Option("level", _LEVEL),
    "QUALITY": Option("quality", _PERCENT),
    "JPEG_QUALITY": Option("quality", _PERCENT),
    "WEBP_LEVEL": Option("quality", _PERCENT),
    "WEBP_LOSSLESS": Option("lossless", _BOOLEAN),
    "JXL_LOSSLESS": Option("lossless", _BOOLEAN),
    "JXL_EFFORT": Option("effort", _integer(1, 9)),
    "JXL_DISTANCE": Option("distance", _real(0.01, 25)),
    "MAX_Z_ERROR": Option("max_z_error", _real(0)),
    "PREDICTOR": Option("predictor", _PREDICTOR),
    "BLOCKXSIZE": Option("tile_width_px", TILE_SIDE_PX),
    "BLOCKYSIZE": Option("tile_height_px", TILE_SIDE_PX),
    "BLOCKSIZE": Option("tile_width_px", TILE_SIDE_PX),  # and the height
    "BIGTIFF": Option("bigtiff", _choice(("YES", "NO", "IF_NEEDED", "IF_SAFER"))),
    "INTERLEAVE": Option("interleave", _choice(("PIXEL", "BAND"))),
    "PHOTOMETRIC": Option("photometric", PHOTOMETRIC),
    "RESAMPLING": Option("resampling", _RESAMPLING),
    "OVERVIEW_RESAMPLING": Option("overview_resampling", _RESAMPLING),
    "OVERVIEWS": Option("overviews", _choice(("AUTO", "IGNORE_EXISTING", "NONE"))),
    "OVERVIEW_COUNT": Option("overview_count", _integer(0, 30)),
    "NUM_THREADS": Option("num_threads", _THREADS),
    "NAN_TO_NODATA": Option("nan_to_nodata", _BOOLEAN),
    "TILED": Option("tiled", _BOOLEAN),
    "COPY_SRC_OVERVIEWS": Option("ignored", _BOOLEAN),
    # Options that only GDAL has: passed to its driver as they are.
    "TILING_SCHEME": Option("driver", _TEXT, kinds=("cog",)),
    "ZOOM_LEVEL": Option("driver", _integer(0, 30), kinds=("cog",)),
    "ZOOM_LEVEL_STRATEGY": Option("driver", _choice(("AUTO", "LOWER", "UPPER")), kinds=("cog",)),
    "ALIGNED_LEVELS": Option("driver", _integer(1, 30), kinds=("cog",)),
    "TARGET_SRS": Option("driver", _CRS, kinds=("cog",)),
    "RES": Option("driver", _ABOVE_0, kinds=("cog",)),
    "EXTENT": Option("driver", _EXTENT, kinds=("cog",)),
    "ADD_ALPHA": Option("driver", _BOOLEAN, kinds=("cog",)),
    "WARP_RESAMPLING": Option("driver", _WARP_METHOD, kinds=("cog",)),
    "OVERVIEW_COMPRESS": Option("driver", _CODEC, kinds=("cog",)),
    "OVERVIEW_QUALITY": Option("driver", _PERCENT, kinds=("cog",)),
    "OVERVIEW_PREDICTOR": Option("driver", _OVERVIEW_PREDICTOR, kinds=("cog",)),
    "MAX_Z_ERROR_OVERVIEW": Option("driver", _real(0), kinds=("cog",)),
    "STATISTICS": Option("driver", _choice(("AUTO", "YES", "NO")), kinds=("cog",)),
    "NBITS": Option("driver", NBITS),
    "SPARSE_OK": Option("driver", _BOOLEAN),
    "GEOTIFF_VERSION": Option("driver", _choice(("AUTO", "1.0", "1.1"))),
}


@dataclass(frozen=True)
class Profile:
    """A parsed profile_arg."""

    fields: Mapping[str, Any] = field(default_factory=dict)  #: Field of `Encoding` to canonical value
    driver_options: Mapping[str, str] = field(default_factory=dict)  #: Options that only GDAL has
    raster: Mapping[str, Any] = field(default_factory=dict)  #: Keys of `RASTER_KEYS` to their values, as given
    spelling: Mapping[str, str] = field(default_factory=dict)  #: Field to the key by which it was passed, for messages
    ignored: tuple[tuple[str, Any], ...] = ()  #: (key, value) that describe a dataset's own file and are not options
    preset: str | None = None  #: One of `PRESET_NAMES`, whose options apply where there are none


def parse_profile(profile_arg: Any, kind: str, name: str = "profile_arg") -> Profile:
    """Parse a profile: the name of a preset, or a mapping."""
    if profile_arg is None:
        return Profile()
    if isinstance(profile_arg, str):
        return Profile(preset=_preset(name, profile_arg))
    if not isinstance(profile_arg, Mapping):
        raise OptionError(
            f"{name} is a {type(profile_arg).__name__}; pass a mapping such as {{'compress': 'zstd'}}, or a preset: "
            f"{_PRESETS_SHOWN}"
        )
    raster: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    spelling: dict[str, str] = {}
    driver_options: dict[str, str] = {}
    presets: dict[str, Any] = {}
    ignored = layout_of_dataset(profile_arg)
    for key, given in profile_arg.items():
        if key in ignored:
            continue
        upper = key.upper() if isinstance(key, str) else key
        if upper in RASTER_KEYS:
            _set_once(raster, spelling, upper, key, given, name)
            continue
        option = _known_option(upper, key, kind, name)
        where = f"{name}[{key!r}]"
        if option.field == "preset":
            _set_once(presets, spelling, "preset", key, None if given is None else _preset(where, given), name)
            continue
        value = option.value.parse(where, given)
        if option.field == "driver":
            _set_once(driver_options, spelling, upper, key, _gdal_text(value), name)
        else:
            for slot in TILE_SIDES if upper == "BLOCKSIZE" else (option.field,):
                _set_once(fields, spelling, slot, key, value, name)
    left_out = tuple((key, profile_arg[key]) for key in ignored)
    return Profile(
        fields, dict(sorted(driver_options.items())), raster, spelling, left_out, preset=presets.get("preset")
    )


def _preset(where: str, given: Any) -> str:
    """Return the name of a preset; for an unknown one an OptionError names a close match."""
    close = difflib.get_close_matches(str(given).strip().upper(), PRESET_NAMES, n=1)
    try:
        name: str = PRESET.convert(given)
    except (TypeError, KeyError) as error:
        hint = f"did you mean {close[0].lower()!r}? " if close else ""
        if _is_codec(given):
            hint = f"did you mean {{'compress': {given!r}}}? "
        raise OptionError(f"{where}={given!r} is not a preset; {hint}allowed: {_PRESETS_SHOWN}") from error
    return name


def _is_codec(given: Any) -> bool:
    return isinstance(given, str) and given.strip().upper() in CODECS


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
    before = target.get(slot, value)
    if before is not value and (type(before) is not type(value) or before != value):
        raise OptionError(f"{name} says both {spelling[slot]}={before!r} and {key}={value!r}; keep one")
    target[slot] = value
    spelling[slot] = key


def _gdal_text(value: Any) -> str:
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return f"{value:.17g}" if isinstance(value, float) else str(value)


# Profiles that were taken from a dataset.


def layout_of_dataset(profile: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return the keys of a profile that describe the layout of a dataset's file, and are not options of a new one.

    They are block sizes in strips or in a file of another format; the driver of that format; and codecs, interleaves
    and colour models that no file of this project has.
    """
    spelling = {key.upper(): key for key in profile if isinstance(key, str)}
    if len(spelling.keys() & set(RASTER_KEYS)) < 2:
        return ()  # not of a dataset: unsupported values are refused
    values = {upper: profile[key] for upper, key in spelling.items()}
    words = {
        upper: str(value.value if isinstance(value, Enum) else value).strip().upper() for upper, value in values.items()
    }
    is_foreign = words.get("DRIVER", "GTIFF") not in DRIVERS and _is_format(words["DRIVER"])
    ignored = {name for name, values in _FOREIGN_VALUES.items() if words.get(name) in values}
    if is_foreign:
        ignored |= {"DRIVER", "PHOTOMETRIC", *_BLOCK_KEYS}
    if _BOOLEANS.get(words.get("TILED", "")) is False:
        ignored |= _BLOCK_KEYS
    if words.get("PHOTOMETRIC") == "YCBCR" and words.get("COMPRESS") != "JPEG":
        ignored.add("PHOTOMETRIC")
    return tuple(key for upper, key in spelling.items() if upper in ignored)


def _is_format(driver: str) -> bool:
    with rasterio.Env() as environment:
        return driver in {name.upper() for name in environment.drivers()}
