"""A row's values as parts of a path, and the values that are refused there. Pure."""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import numpy as np

from georeader.storage import redact_url
from geotoolz.errors import RowError

#: Kinds of characters that nobody sees, or that end a line: controls, separators, halves of pairs.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})

_DRIVE = re.compile(r"^[A-Za-z]:")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(?:[/\\]|:)")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def as_text(value: Any, name: str, directive: str = "") -> str:
    """Give a value as text.

    Numbers as Python writes them; dates as 2024-05-01, times as 2024-05-01T103000, or as the directive says.

    Args:
        value: Text, a number, a UUID, a date or time of Python, numpy or pandas.
        name: Of the field, for messages.
        directive: One of strftime's, for a date; text in ISO 8601 and numbers such as 20240501 are dates then.

    Raises:
        RowError: There is no value, it is of another kind, or no date where there should be one.

    Example:
        >>> as_text(np.datetime64("2024-05-01"), "date"), as_text("2024-05-01T10:30:00Z", "date", "%H")
        ('2024-05-01', '10')
    """
    value = _python(value)
    if _is_missing(value):
        raise RowError(f"field {name!r} has no value ({value!r})")
    if directive:
        return _as_date(value, name).strftime(directive)
    if isinstance(value, datetime):
        return _timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (str, numbers.Number, UUID)):
        return str(value)
    raise RowError(f"field {name!r} is a {type(value).__name__}; a path is made of text, numbers and dates: convert it")


def _python(value: Any) -> Any:
    """Give numpy's scalars as Python's; a time in nanoseconds is cut to microseconds."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]").item() if _has_time(value) else value.item()
    return value.item() if isinstance(value, np.generic) else value


def _has_time(value: np.datetime64) -> bool:
    return np.datetime_data(value.dtype)[0] not in ("Y", "M", "W", "D")


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _as_date(value: Any, name: str) -> date:
    if isinstance(value, date):
        return value
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise RowError(
            f"field {name!r}: {_shown(str(value))} is no date; write it as 2024-05-01 or 20240501"
        ) from error


def _timestamp(value: datetime) -> str:
    """Write a time without colons, which Windows has no place for in names."""
    is_day = not any((value.hour, value.minute, value.second, value.microsecond))
    if is_day:
        return f"{value:%Y-%m-%d}"
    fraction = f".{value.microsecond:06}" if value.microsecond else ""
    zone = f"{value:%z}".replace(":", "")
    return f"{value:%Y-%m-%dT%H%M%S}{fraction}{'Z' if zone == '+0000' else zone}"


def _shown(text: str) -> str:
    """Show a value: without a URL's secrets, and not for pages."""
    shown = redact_url(text)
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}...")


def check_text(text: str, name: str, *, is_url: bool) -> None:
    """Refuse what could lead out of the folder that a template names.

    Args:
        text: The value.
        name: Of its field.
        is_url: Whether it becomes part of a URL.

    Raises:
        RowError: The message names field and value.
    """
    problem = _problem(text) or (_problem_in_url(text) if is_url else None)
    if problem is not None:
        raise RowError(f"field {name!r}: {_shown(text)} {problem}, which can't be part of a path; change the value")


def _problem(text: str) -> str | None:
    if not text.strip():
        return "is empty"
    if "/" in text or "\\" in text:
        return "has a path separator"
    if not text.strip(". "):
        return "has dots alone"
    if ".." in text:
        return "has '..'"
    if _DRIVE.match(text):
        return "begins with a drive"
    if text.lstrip().startswith("~"):
        return "begins with '~'"
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return "has a control character"
    return None


def _problem_in_url(text: str) -> str | None:
    if "?" in text or "#" in text:
        return "has '?' or '#', where the query of a URL begins"
    return "has a percent-encoded character" if _ESCAPE.search(text) else None


def check_whole(path: str, model: str, pieces: Sequence[str], *, is_url: bool) -> None:
    """Look at what values make together: of "." and "." comes "..", and of "C" and ":" a drive.

    Args:
        path: The whole, filled in.
        model: The same with a letter in the place of each value: what the template says of drive and scheme.
        pieces: The parts of the path between separators that a row had a share in.
        is_url: Whether it is to be a URL.

    Raises:
        RowError: It leads elsewhere than its template.
    """
    if _kind(path) != _kind(model):
        raise RowError(f"{_shown(path)} begins with a drive or a scheme that its template does not have")
    for piece in pieces:
        meant = unquote(piece) if is_url else piece
        is_hidden = any(unicodedata.category(character) in _UNSEEN for character in meant)
        if not meant.strip(". ") or re.search(r"[/\\]", meant) or is_hidden:
            raise RowError(f"{_shown(path)}: {_shown(piece)} leads out of its folder")


def _kind(path: str) -> tuple[bool, bool, bool]:
    return bool(_DRIVE.match(path)), bool(_SCHEME.match(path)), "://" in path
