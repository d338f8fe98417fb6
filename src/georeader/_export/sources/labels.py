"""Band names from the labels of an axis: texts, times, numbers. Pure.

Times have the shortest form of ISO 8601 that is exact: a date, or a date and a time without zeros at its end. Hours
come with minutes.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

#: A name that dask made: of a function, and a hash of its arguments (`dask.base.tokenize`) or a UUID.
_DASK_NAME = re.compile(r".*-([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.DOTALL)

#: Nanoseconds of the units of a duration in ISO 8601, from the largest to the smallest.
_DURATION_UNITS = (("D", 86_400 * 10**9), ("H", 3_600 * 10**9), ("M", 60 * 10**9))

_NS_PER_S = 10**9


def is_dask_name(name: Any) -> bool:
    """Return whether dask made a name, which differs from one array to the next and from run to run.

    Example:
        >>> is_dask_name("ones_like-7b51f0e5a4c0d3c2b1a09f8e7d6c5b4a"), is_dask_name("ndvi-2024")
        (True, False)
    """
    return isinstance(name, str) and _DASK_NAME.fullmatch(name) is not None


def label_texts(values: Any) -> list[str | None]:
    """Return the labels along an axis as texts.

    Args:
        values: A numpy array of one dimension: of texts, numbers, datetime64, timedelta64, or objects such as those of
            cftime, `datetime` or tuples (xarray's MultiIndex).

    Returns:
        One text each; None for those that are missing (NaT, NaN, None).

    Example:
        >>> label_texts(np.array(["2024-01-01", "2024-01-01T10:30"], "datetime64[ns]"))
        ['2024-01-01', '2024-01-01T10:30']
        >>> label_texts(np.array([0.1, 2.5], "float32")), label_texts(np.array([1, 36], "timedelta64[h]"))
        (['0.1', '2.5'], ['PT1H', 'P1DT12H'])
    """
    return [label_text(value) for value in values]


def label_text(value: Any) -> str | None:
    """Return one label as a text, as `label_texts` does."""
    if isinstance(value, tuple):
        return " ".join(filter(None, map(label_text, value))) or None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip() or None
    if value is None or value != value:
        return None
    if hasattr(value, "to_timedelta64"):
        value = value.to_timedelta64()
    if isinstance(value, np.datetime64):
        return _without_zeros(str(np.datetime_as_string(value, unit="auto")))
    if isinstance(value, np.timedelta64):
        return _duration(value)
    if all(hasattr(value, name) for name in ("year", "month", "day")):
        return _date(value)
    return str(value).strip() or None


def _date(value: Any) -> str:
    """Return a date, or a date and a time, of any calendar: of `datetime`, pandas or cftime."""
    text = f"{value.year:0{5 if value.year < 0 else 4}d}-{value.month:02d}-{value.day:02d}"
    if not hasattr(value, "hour"):
        return text
    ns = value.microsecond * 1000 + getattr(value, "nanosecond", 0)
    offset = value.isoformat()[19:].lstrip(".0123456789") if getattr(value, "tzinfo", None) is not None else ""
    if not offset and not (value.hour or value.minute or value.second or ns):
        return text
    clock = f"{value.hour:02d}:{value.minute:02d}"
    if value.second or ns:
        clock = _without_zeros(f"{clock}:{value.second:02d}.{ns:09d}")
    return f"{text}T{clock}{offset}"


def _without_zeros(text: str) -> str:
    """Return a time without zeros at the end of its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _duration(value: np.timedelta64) -> str | None:
    """Return a duration; None for months and years, whose length varies."""
    if np.datetime_data(value.dtype)[0] in ("Y", "M", "generic"):
        return str(value)
    rest = int(value.astype("timedelta64[ns]").astype(np.int64))
    sign, rest = ("-" if rest < 0 else ""), abs(rest)
    parts: list[str] = []
    for unit, length in _DURATION_UNITS:
        number, rest = divmod(rest, length)
        parts.append(f"{number}{unit}" if number else "")
    seconds, fraction = divmod(rest, _NS_PER_S)
    if seconds or fraction or not any(parts):
        parts.append(_without_zeros(f"{seconds}.{fraction:09d}") + "S")
    clock = "".join(parts[1:])
    return f"{sign}P{parts[0]}{'T' if clock else ''}{clock}"
