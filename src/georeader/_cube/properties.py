"""Properties of a collection's items as JSON has them, checked before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import numpy as np

from georeader._collection.geoparquet import TIMES
from georeader._cube.axes import as_time
from georeader.errors import OptionError


def plain_properties(given: Mapping[str, Any], item: str) -> dict[str, Any]:
    """Return properties as JSON has them: numbers and arrays of numpy as Python's, times as text in UTC.

    Raises:
        OptionError: JSON does not have a value, or a property that STAC defines as a time is not one.
    """
    found = {}
    for name, value in given.items():
        subject = f"property {name!r} of {item}"
        found[name] = _plain(value, subject)
        if name in TIMES and found[name] is not None:
            found[name] = _time_text(found[name], subject)
    return found


def _plain(value: Any, subject: str) -> Any:
    if isinstance(value, np.ndarray):
        value = list(value) if value.ndim else value[()]  # tolist() makes numbers of times
    if isinstance(value, Mapping):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise OptionError(f"{subject} has the key {wrong[0]!r}; JSON has keys of text")
        return {key: _plain(one, subject) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, subject) for one in value]
    return _plain_scalar(value, subject)


def _plain_scalar(value: Any, subject: str) -> Any:
    is_infinite = isinstance(value, (float, np.floating)) and math.isinf(value)
    is_missing = isinstance(value, (float, np.floating, np.datetime64, datetime)) and value != value
    if is_infinite or is_missing:
        raise OptionError(f"{subject} is {value}, which JSON does not have; pass None, or leave it out")
    time = as_time(value)
    if time is not None:
        return _as_text(time)
    if isinstance(value, date):
        return value.isoformat()
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise OptionError(
        f"{subject} has a {type(value).__name__}, which JSON does not have; pass text, numbers, times, or lists and "
        "mappings of these"
    )


def _time_text(value: Any, subject: str) -> str:
    try:
        time = as_time(datetime.fromisoformat(value)) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None:
        raise OptionError(
            f"{subject} is {value!r}, which is not a time; pass a datetime, or text as 2024-05-01T10:30:00Z"
        )
    return _as_text(time)


def _as_text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
