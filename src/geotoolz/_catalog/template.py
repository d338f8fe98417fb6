"""Path templates: text with fields that a catalog's rows fill in, confined to a folder. Pure.

``{name}`` is a field's value as text, ``{name:%Y%m%d}`` a date's, ``{{`` and ``}}`` are braces. There is nothing else:
no access to attributes or indexes, no conversions, no other formats.
"""

from __future__ import annotations

import math
import numbers
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from string import Formatter
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import numpy as np

from georeader.errors import OptionError
from georeader.storage import redact_url
from geotoolz.errors import RowError

#: Numbers of a date or a time, by strftime's letters.
_DIRECTIVES = "YmdHMSfjyGVUWuw"
_DATE_FORMAT = re.compile(rf"%[{_DIRECTIVES}](?:%[{_DIRECTIVES}]|[A-Za-z0-9_./ -])*")
_SHORTENED_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")


@dataclass(frozen=True)
class Field:
    """A place that a row fills in.

    Attributes:
        name: Of the row's field.
        directive: How a date is written, one of strftime's; "": the value as text.
    """

    name: str
    directive: str = ""

    def __str__(self) -> str:
        return "{" + self.name + (f":{self.directive}" if self.directive else "") + "}"


@dataclass(frozen=True)
class Template:
    """A template that was read.

    Attributes:
        text: As it was given.
        parts: Text and fields, in order.
        is_url: Whether it begins with a scheme.
    """

    text: str
    parts: tuple[str | Field, ...]
    is_url: bool

    @property
    def fields(self) -> tuple[Field, ...]:
        """The places to fill in."""
        return tuple(part for part in self.parts if isinstance(part, Field))

    @property
    def root(self) -> str:
        """The folder before the first field, as text: no row's file lies outside of it."""
        literal = self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""
        before = literal[: max(literal.rfind(separator) for separator in ("/", os.sep)) + 1]
        return before or os.curdir

    def format(self, row: Mapping[str, Any]) -> str:
        """Return the path of a row.

        A field that is not a Python name is written with underscores: ``{grid_code}`` is "grid:code", if there is no
        "grid_code".

        Args:
            row: Field to value: text, numbers, dates and times of Python, numpy or pandas; with a date's format also
                dates as text in ISO 8601.

        Raises:
            RowError: A field that is missing or has no value, or a value that leads out of its folder: one with a path
                separator, "..", a drive, NUL or another control character, "~" at the beginning, or of dots alone; in
                URLs also "?", "#" and percent-encoded characters.

        Example:
            >>> read_template("out/{tile}_{date:%Y%m%d}.tif").format({"tile": "32TQM", "date": "2024-05-01"})
            'out/32TQM_20240501.tif'
        """
        filled = [part if isinstance(part, str) else self._fill(part, row) for part in self.parts]
        path = "".join(filled)
        model = "".join(part if isinstance(part, str) else "x" for part in self.parts)
        check_whole(path, model, self._pieces(filled), is_url=self.is_url)
        return path

    def _fill(self, field: Field, row: Mapping[str, Any]) -> str:
        name = _find(field.name, row, self.text)
        text = as_text(row[name], name, field.directive)
        check_text(text, name, is_url=self.is_url)
        return text

    def _pieces(self, filled: list[str]) -> list[str]:
        """Return the parts of the path between separators that a row has filled in."""
        marked = [(text, isinstance(part, Field)) for text, part in zip(filled, self.parts, strict=True)]
        pieces, current, has_field = [], "", False
        for text, is_field in marked:
            first, *rest = [text] if is_field else re.split(r"[/\\]", text)
            current, has_field = current + first, has_field or is_field
            for piece in rest:
                pieces += [current] if has_field else []
                current, has_field = piece, False
        return [*pieces, current] if has_field else pieces


def read_template(text: str) -> Template:
    """Read a template.

    Raises:
        OptionError: It has braces that mean nothing here, or a field in a URL's host or bucket.
    """
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
    _check_place(parts, shown, is_url)
    return Template(text, tuple(parts), is_url)


def _fields(name: str, spec: str, conversion: str | None, shown: str) -> list[str | Field]:
    asked = "{" + name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "") + "}"
    knows = "templates take {name} and, for dates, {name:%Y%m%d}"
    if not name.isidentifier():
        raise OptionError(
            f"path_template={shown!r}: {asked} is not a field's name; {knows}, no attributes and no indexes"
        )
    if conversion:
        raise OptionError(f"path_template={shown!r}: {asked} has a conversion; {knows}")
    if not spec:
        return [Field(name)]
    if not _DATE_FORMAT.fullmatch(spec):
        raise OptionError(
            f"path_template={shown!r}: {asked} is not a date's format; {knows}, with the letters {_DIRECTIVES}"
        )
    pieces = [piece for piece in re.split(r"(%.)", spec) if piece]
    return [Field(name, piece) if piece.startswith("%") else piece for piece in pieces]


def _check_place(parts: list[str | Field], shown: str, is_url: bool) -> None:
    """Check that no row can choose the server, bucket or drive."""
    # A field stands as NUL, which no literal has.
    drawn = "".join("\0" if isinstance(part, Field) else part for part in parts)
    before, _, rest = drawn.rpartition("://")
    is_place = "\0" in before or "\0" in rest.partition("/")[0] if is_url else re.match(r"[^/\\]*\0[^/\\]*:", drawn)
    if is_place:
        what = "scheme, host or bucket" if is_url else "drive"
        raise OptionError(
            f"path_template={shown!r} has a field in its {what}, so that a catalog could choose where files go; name "
            "it in the template"
        )


def _find(name: str, row: Mapping[str, Any], template: str) -> str:
    if name in row:
        return name
    similar = [field for field in row if re.sub(r"\W", "_", str(field)) == name]
    if len(similar) == 1:
        return similar[0]
    there = ", ".join(map(str, row)) or "none at all"
    problem = f"stands for each of {', '.join(similar)}" if similar else "is not a field of the row"
    raise RowError(f"path_template={redact_url(template)!r}: {name!r} {problem}; its fields are: {there}")


def template_text(path_template: str | os.PathLike[str]) -> str:
    """Return a template as text.

    Raises:
        OptionError: It is not a path.
    """
    text = os.fspath(path_template) if isinstance(path_template, os.PathLike) else path_template
    if not isinstance(text, str):
        raise OptionError(f"path_template is a {type(text).__name__}; pass text, such as 'out/{{tile_id}}.tif'")
    return text


#: Categories of characters that are invisible or end a line: controls, separators, halves of surrogate pairs.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})

_DRIVE = re.compile(r"^[A-Za-z]:")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:(?:[/\\]|:)")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def as_text(value: Any, name: str, directive: str = "") -> str:
    """Return a value as text.

    Numbers as Python writes them; dates as 2024-05-01, times as 2024-05-01T103000, or as the directive says.

    Args:
        value: Text, a number, a UUID, a date or time of Python, numpy or pandas.
        name: Of the field, for messages.
        directive: One of strftime's, for a date; text in ISO 8601 and numbers such as 20240501 are dates then.

    Raises:
        RowError: There is no value, it has another type, or it is not a date where one is needed.

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
    """Convert a numpy scalar to Python; a time in nanoseconds is truncated to microseconds."""
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
            f"field {name!r}: {_for_message(str(value))} is not a date; write it as 2024-05-01 or 20240501"
        ) from error


def _timestamp(value: datetime) -> str:
    """Return a time without colons, which Windows does not allow in names."""
    is_day = not any((value.hour, value.minute, value.second, value.microsecond))
    if is_day:
        return f"{value:%Y-%m-%d}"
    fraction = f".{value.microsecond:06}" if value.microsecond else ""
    zone = f"{value:%z}".replace(":", "")
    return f"{value:%Y-%m-%dT%H%M%S}{fraction}{'Z' if zone == '+0000' else zone}"


def _for_message(text: str) -> str:
    """Return a value for a message: without the secrets of a URL, and shortened."""
    shown = redact_url(text)
    return repr(shown if len(shown) <= 80 else f"{shown[:77]}...")


def check_text(text: str, name: str, *, is_url: bool) -> None:
    """Check that a value does not lead out of the folder that a template names.

    Args:
        text: The value.
        name: Of its field.
        is_url: Whether it becomes part of a URL.

    Raises:
        RowError: The message names field and value.
    """
    problem = _problem(text) or (_problem_in_url(text) if is_url else None)
    if problem is not None:
        raise RowError(
            f"field {name!r}: {_for_message(text)} {problem}, which cannot be part of a path; change the value"
        )


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
    """Check a whole path: two values "." make "..", and "C" and ":" make a drive.

    Args:
        path: The whole, filled in.
        model: The same with a letter in the place of each value: what the template says of drive and scheme.
        pieces: The parts of the path between separators that a row had a share in.
        is_url: Whether it is to be a URL.

    Raises:
        RowError: It leads elsewhere than its template.
    """
    if _kind(path) != _kind(model):
        raise RowError(f"{_for_message(path)} begins with a drive or a scheme that its template does not have")
    for piece in pieces:
        meant = unquote(piece) if is_url else piece
        is_hidden = any(unicodedata.category(character) in _UNSEEN for character in meant)
        if not meant.strip(". ") or re.search(r"[/\\]", meant) or is_hidden:
            raise RowError(f"{_for_message(path)}: {_for_message(piece)} leads out of its folder")


def _kind(path: str) -> tuple[bool, bool, bool]:
    return bool(_DRIVE.match(path)), bool(_SCHEME.match(path)), "://" in path
