"""What is written behind an option, as Python has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click


def pair(text: str) -> tuple[str, str]:
    """Part KEY=VALUE at the first "=".

    Raises:
        click.BadParameter: It is none.

    Example:
        >>> pair("EXPR=a=b")
        ('EXPR', 'a=b')
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is no KEY=VALUE")
    return key.strip(), value


def number_or_none(text: str) -> int | float | str:
    """Read a number, "nan", or "none", which stays that word; whole numbers are int: a 64-bit nodata is no float.

    Raises:
        click.BadParameter: It is none of them.

    Example:
        >>> number_or_none("-9999"), number_or_none("NaN"), number_or_none("none")
        (-9999, nan, 'none')
    """
    word = text.strip().lower()
    if word == "none":
        return word
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is neither a number, nan nor none") from error


def profile_of(pairs: Iterable[tuple[str, str]], nodata: int | float | str | None) -> dict[str, Any]:
    """Give profile_arg: a key that is said several times has a value for each band.

    Example:
        >>> profile_of([("compress", "zstd"), ("RESAMPLING", "min"), ("RESAMPLING", "max")], "none")
        {'compress': 'zstd', 'RESAMPLING': ['min', 'max'], 'nodata': None}
    """
    said: dict[str, list[str]] = {}
    for key, value in pairs:
        said.setdefault(key, []).append(value)
    profile: dict[str, Any] = {key: values[0] if len(values) == 1 else values for key, values in said.items()}
    return profile | ({"nodata": None} if nodata == "none" else {})
