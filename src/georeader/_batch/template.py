"""Path templates: text with fields that the rows of a catalog fill in, or the items of a cube, confined to a folder.

``{name}`` is a field's value as text, ``{name:%Y%m%d}`` a date's, ``{{`` and ``}}`` are braces; nothing else is.
"""

from __future__ import annotations

import math
import numbers
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from string import Formatter
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import numpy as np

from georeader._storage.redaction import redact_url
from georeader.errors import OptionError, PathError

#: Numbers of a date or a time, by strftime's letters.
_DIRECTIVES = "YmdHMSfjyGVUWuw"
_DATE_FORMAT = re.compile(rf"%[{_DIRECTIVES}](?:%[{_DIRECTIVES}]|[A-Za-z0-9_./ -])*")
_SHORTENED_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
_SEPARATOR = re.compile(r"[/\\]")
_DRIVE = re.compile(r"^[A-Za-z]:")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(?:[/\\]|:)")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")

#: Categories of characters that are invisible or end a line: controls, separators, halves of surrogate pairs.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Field:
    """A place that a row fills in."""

    name: str
    directive: str = ""  #: One of strftime's, for a date; "": the value as text.

    def __str__(self) -> str:
        return "{" + self.name + (f":{self.directive}" if self.directive else "") + "}"


@dataclass(frozen=True, repr=False)
class Template:
    """Parsed template: literal text and fields, in order."""

    text: str
    parts: tuple[str | Field, ...]
    is_url: bool
    each: str = "row"  #: What fills the fields in, for messages.

    def __repr__(self) -> str:
        """Return the text without the secrets of a URL."""
        return f"Template({redact_url(self.text)!r})"

    @property
    def has_fields(self) -> bool:
        return any(isinstance(part, Field) for part in self.parts)

    @property
    def root(self) -> str:
        """The folder before the first field, as text: no row's file lies outside of it."""
        literal = self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""
        before = literal[: max(literal.rfind(separator) for separator in ("/", os.sep)) + 1]
        return before or os.curdir

    def format(self, row: Mapping[str, Any]) -> str:
        """Return the path of a row; PathError if a field has no value, or one that leads out of the folder.

        Example:
            >>> read_template("out/{tile}_{date:%Y%m%d}.tif").format({"tile": "32TQM", "date": "2024-05-01"})
            'out/32TQM_20240501.tif'
        """
        path = "".join(part if isinstance(part, str) else self._value_of(part, row) for part in self.parts)
        # Two values "." make "..", and "C" and ":" make a drive: drive and scheme must be those of the template.
        if _kind(path) != _kind(_with_fields_as(self.parts, "x")):
            raise PathError(f"{_for_message(path)} begins with a drive or a scheme that its template does not have")
        pieces, drawn = (_SEPARATOR.split(text) for text in (path, _with_fields_as(self.parts, "\0")))
        for piece in (piece for piece, shape in zip(pieces, drawn, strict=True) if "\0" in shape):
            meant = unquote(piece) if self.is_url else piece
            if not meant.strip(". ") or _SEPARATOR.search(meant) or _has_control_character(meant):
                raise PathError(f"{_for_message(path)}: {_for_message(piece)} leads out of its folder")
        return path

    def _value_of(self, field: Field, row: Mapping[str, Any]) -> str:
        name = _find(field.name, row, self)
        text = as_text(row[name], name, field.directive)
        problem = _problem(text) or (problem_in_url(text) if self.is_url else None)
        if problem is not None:
            raise PathError(
                f"field {name!r}: {_for_message(text)} {problem}, which cannot be part of a path; change the value"
            )
        return text


def _with_fields_as(parts: Iterable[str | Field], text: str) -> str:
    return "".join(part if isinstance(part, str) else text for part in parts)


def read_template(text: str, *, each: str = "row", whole: str = "catalog") -> Template:
    """Parse a template that each ``row`` of a ``catalog``, as messages call them, fills in."""
    shown = redact_url(text)
    if not text:
        raise OptionError("path_template='' is empty; name a file, such as 'out/{tile_id}.tif'")
    if _SHORTENED_URL.match(text):
        raise OptionError(
            f"path_template={shown!r} is neither a URL nor a path; pathlib shortens '//', so pass URLs as str"
        )
    try:
        pieces = list(Formatter().parse(text))
    except ValueError as error:
        raise OptionError(f"path_template={shown!r}: {error}; write {{{{ and }}}} for braces") from error
    parts: list[str | Field] = []
    for literal, name, spec, conversion in pieces:
        parts += [literal] if literal else []
        if name is not None:
            parts += _fields(name, spec or "", conversion, shown)
    is_url = "://" in text
    _check_place(parts, shown, is_url, whole)
    return Template(text, tuple(parts), is_url, each)


def _fields(name: str, spec: str, conversion: str | None, shown: str) -> list[str | Field]:
    field = "{" + name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
    allowed = "templates take {name} and, for dates, {name:%Y%m%d}"
    if not name.isidentifier():
        raise OptionError(
            f"path_template={shown!r}: {field} is not a field's name; {allowed}, no attributes and no indexes"
        )
    if conversion:
        raise OptionError(f"path_template={shown!r}: {field} has a conversion; {allowed}")
    if not spec:
        return [Field(name)]
    if not _DATE_FORMAT.fullmatch(spec):
        raise OptionError(
            f"path_template={shown!r}: {field} is not a date's format; {allowed}, with the letters {_DIRECTIVES}"
        )
    pieces = [piece for piece in re.split(r"(%.)", spec) if piece]
    return [Field(name, piece) if piece.startswith("%") else piece for piece in pieces]


def _check_place(parts: list[str | Field], shown: str, is_url: bool, whole: str) -> None:
    """Check that no row can choose the server, bucket or drive."""
    drawn = _with_fields_as(parts, "\0")
    before, _, rest = drawn.rpartition("://")
    is_place = "\0" in before or "\0" in rest.partition("/")[0] if is_url else re.match(r"[^/\\]*\0[^/\\]*:", drawn)
    if is_place:
        what = "scheme, host or bucket" if is_url else "drive"
        raise OptionError(
            f"path_template={shown!r} has a field in its {what}, so that a {whole} could choose where files go; name "
            "it in the template"
        )


def _find(name: str, row: Mapping[str, Any], template: Template) -> str:
    if name in row:
        return name
    similar = [field for field in row if re.sub(r"\W", "_", str(field)) == name]
    if len(similar) == 1:
        return similar[0]
    there = ", ".join(map(str, row)) or "none at all"
    problem = f"stands for each of {', '.join(similar)}" if similar else f"is not a field of the {template.each}"
    raise PathError(f"path_template={redact_url(template.text)!r}: {name!r} {problem}; its fields are: {there}")


def template_text(path_template: str | os.PathLike[str]) -> str:
    """Return a template as text."""
    text = os.fspath(path_template) if isinstance(path_template, os.PathLike) else path_template
    if not isinstance(text, str):
        raise OptionError(f"path_template is a {type(text).__name__}; pass text, such as 'out/{{tile_id}}.tif'")
    return text


def as_text(value: Any, name: str, directive: str = "") -> str:
    """Return a value as text: numbers as Python writes them, times as 2024-05-01T103000, dates as the directive says.

    With a directive, text in ISO 8601 and numbers such as 20240501 are dates, too.

    Example:
        >>> as_text(np.datetime64("2024-05-01"), "date"), as_text("2024-05-01T10:30:00Z", "date", "%H")
        ('2024-05-01', '10')
    """
    value = _python(value)
    is_nan = isinstance(value, float) and math.isnan(value)
    if value is None or is_nan or type(value).__name__ in ("NAType", "NaTType"):
        raise PathError(f"field {name!r} has no value ({value!r})")
    if hasattr(value, "calendar") and hasattr(value, "strftime"):  # of cftime
        return _in_calendar(value, directive)
    if directive:
        return as_date(value, name).strftime(directive)
    if isinstance(value, datetime):
        return _timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (str, numbers.Number, UUID)):
        return str(value)
    raise PathError(
        f"field {name!r} is a {type(value).__name__}; a path is made of text, numbers and dates: convert it"
    )


def shown_labels(labels: Mapping[str, Any]) -> str:
    """Return values by their names as text for messages.

    Example:
        >>> shown_labels({"time": np.datetime64("2024-05-01T00:00:00", "ns"), "row": 0})
        'time=2024-05-01, row=0'
    """

    def shown(value: Any) -> str:
        try:
            return as_text(value, "")
        except PathError:
            return str(value)

    return ", ".join(f"{name}={shown(value)}" for name, value in labels.items())


def _python(value: Any) -> Any:
    """Convert a numpy scalar to Python; a time in nanoseconds is truncated to microseconds."""
    if isinstance(value, np.datetime64):
        is_day = np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D")
        return None if np.isnat(value) else (value if is_day else value.astype("datetime64[us]")).item()
    return value.item() if isinstance(value, np.generic) else value


def as_date(value: Any, name: str) -> date:
    """Return a date, text in ISO 8601 or a number such as 20240501 as a date; PathError if it is none."""
    if isinstance(value, date):
        return value
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise PathError(
            f"field {name!r}: {_for_message(str(value))} is not a date; write it as 2024-05-01 or 20240501"
        ) from error


def _in_calendar(value: Any, directive: str) -> str:
    """Return a time of cftime, whose calendar may have days that `datetime` does not have."""
    is_date = not any((value.hour, value.minute, value.second, value.microsecond))
    return str(value.strftime(directive or ("%Y-%m-%d" if is_date else "%Y-%m-%dT%H%M%S")))


def _timestamp(value: datetime) -> str:
    """Return a time without colons, which Windows does not allow in names."""
    if not any((value.hour, value.minute, value.second, value.microsecond)):
        return f"{value:%Y-%m-%d}"
    fraction = f".{value.microsecond:06}" if value.microsecond else ""
    zone = f"{value:%z}".replace(":", "")
    return f"{value:%Y-%m-%dT%H%M%S}{fraction}{'Z' if zone == '+0000' else zone}"


def _for_message(text: str) -> str:
    """Return a value for a message: without the secrets of a URL, and shortened."""
    shown = redact_url(text)
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}...")


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
    return "has a control character" if _has_control_character(text) else None


def problem_in_url(text: str) -> str | None:
    """Return why text cannot be part of a URL's path as it is; None if it can."""
    if "?" in text or "#" in text:
        return "has '?' or '#', where the query of a URL begins"
    return "has a percent-encoded character" if _ESCAPE.search(text) else None


def _has_control_character(text: str) -> bool:
    return any(unicodedata.category(character) in _UNSEEN for character in text)


def _kind(path: str) -> tuple[bool, bool, bool]:
    return bool(_DRIVE.match(path)), bool(_SCHEME.match(path)), "://" in path
