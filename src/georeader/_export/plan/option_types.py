"""Parsers of option values: each returns a canonical value, or raises an error that lists the allowed ones."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from georeader.errors import OptionError
from georeader.window_utils import normalise_crs

#: Spellings of booleans in GDAL's creation options.
_BOOLEANS = {"YES": True, "TRUE": True, "ON": True, "1": True, "NO": False, "FALSE": False, "OFF": False, "0": False}


@dataclass(frozen=True)
class OptionType:
    """The parser of an option's value.

    Attributes:
        convert: Returns the canonical value; raises ValueError or TypeError for an invalid one.
        allowed: Allowed values, for messages.
    """

    convert: Callable[[Any], Any]
    allowed: str

    def parse(self, where: str, given: Any) -> Any:
        """Parse ``given``.

        Raises:
            OptionError: The value is invalid; the message names the option and the allowed values.
        """
        try:
            return self.convert(given)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise OptionError(f"{where}={given!r} is invalid; allowed: {self.allowed}") from error


def word(given: Any) -> str:
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


def choice(names: Iterable[str], aliases: Mapping[str, str] | None = None) -> OptionType:
    """Return the parser of one of ``names``, in any case; ``aliases`` are other spellings of them."""
    known = {name: name for name in names} | dict(aliases or {})
    return OptionType(lambda given: known[word(given)], ", ".join(known))


def whole_number(low: int, high: int | None = None) -> OptionType:
    """Return the parser of an integer in ``low`` to ``high``, as a number or as text."""

    def convert(given: Any) -> int:
        if isinstance(given, (bool, np.bool_)) or not isinstance(given, (str, numbers.Integral)):
            raise TypeError(f"{given!r} is not an integer")
        number = int(given)
        if number < low or (high is not None and number > high):
            raise ValueError(f"{number} is out of range")
        return number

    return OptionType(convert, f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}")


def real_number(low: float, *, above: bool = False, high: float = math.inf) -> OptionType:
    """Return the parser of a finite number of at least ``low`` (or ``above`` it) and at most ``high``."""

    def convert(given: Any) -> float:
        if isinstance(given, (bool, np.bool_)) or not isinstance(given, (str, numbers.Real)):
            raise TypeError(f"{given!r} is not a number")
        number = float(given)
        if not math.isfinite(number) or not low <= number <= high or (above and number == low):
            raise ValueError(f"{number} is out of range")
        return number

    limit = "" if high == math.inf else f" and at most {high:g}"
    return OptionType(convert, f"a number {'above' if above else 'of at least'} {low:g}{limit}")


def one_or_each(single: OptionType) -> OptionType:
    """Return the parser of one value for all bands, or of a sequence with one per band, which becomes a tuple."""

    def convert(given: Any) -> Any:
        if isinstance(given, (list, tuple)):
            if not given:
                raise ValueError("the list is empty")
            return tuple(single.convert(part) for part in given)
        return single.convert(given)

    return OptionType(convert, f"{single.allowed}; or a list with one of them per band")


def numbers_joined(count: int) -> OptionType:
    """Return the parser of ``count`` numbers, as a sequence or as text with commas, which become text."""

    def convert(given: Any) -> str:
        parts = given.split(",") if isinstance(given, str) else given
        if not isinstance(parts, Sequence) or len(parts) != count:
            raise ValueError(f"{count} numbers are needed")
        return ",".join(f"{float(part):.17g}" for part in parts)

    return OptionType(convert, f"{count} numbers, as a sequence or separated by commas")


def text() -> OptionType:
    """Return the parser of any text that is not empty."""

    def convert(given: Any) -> str:
        if not isinstance(given, str) or not given.strip():
            raise TypeError(f"{given!r} is not text")
        return given.strip()

    return OptionType(convert, "text")


def crs() -> OptionType:
    """Return the parser of a CRS that PROJ knows: text, or the integer of an EPSG code."""

    def convert(given: Any) -> str:
        name = f"EPSG:{operator.index(given)}" if hasattr(given, "__index__") else text().convert(given)
        normalise_crs(name)
        return str(name).strip()

    return OptionType(convert, "an EPSG code such as 'EPSG:3857', WKT, or a PROJ string")


BOOLEAN = OptionType(lambda given: _BOOLEANS[word(given)], "YES, NO, True, False")

TILE_SIDE_PX = OptionType(
    lambda given: _multiple_of_16(whole_number(16, 16384).convert(given)),
    "a multiple of 16 up to 16384, such as 256 or 512 (TIFF 6.0, section 15)",
)

THREADS = OptionType(
    lambda given: "ALL_CPUS" if word(given) == "ALL_CPUS" else whole_number(1, 1024).convert(given),
    "ALL_CPUS or an integer from 1 to 1024",
)


def _multiple_of_16(number: int) -> int:
    if number % 16:
        raise ValueError(f"{number} is not a multiple of 16")
    return number
