"""Path templates: text with fields that a catalog's rows fill in, confined to a folder. Pure.

``{name}`` is a field's value as text, ``{name:%Y%m%d}`` a date's, ``{{`` and ``}}`` are braces. There is nothing else:
no access to attributes or indexes, no conversions, no other formats.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from georeader.errors import OptionError
from georeader.storage import redact_url
from geotoolz.catalog.field_text import as_text, check_text, check_whole
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
        """Give the path of a row.

        A field that is no Python name is named with underscores: ``{grid_code}`` is "grid:code", if there is no
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
        """Give the parts of the path between separators that a row has filled in."""
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
        raise OptionError(f"path_template={shown!r} is no URL and no path; pathlib shortens '//', so pass URLs as str")
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
    knows = "templates know {name} and, for dates, {name:%Y%m%d}"
    if not name.isidentifier():
        raise OptionError(f"path_template={shown!r}: {asked} is no field's name; {knows}, no attributes and no indexes")
    if conversion:
        raise OptionError(f"path_template={shown!r}: {asked} has a conversion; {knows}")
    if not spec:
        return [Field(name)]
    if not _DATE_FORMAT.fullmatch(spec):
        raise OptionError(
            f"path_template={shown!r}: {asked} is no date's format; {knows}, with the letters {_DIRECTIVES}"
        )
    pieces = [piece for piece in re.split(r"(%.)", spec) if piece]
    return [Field(name, piece) if piece.startswith("%") else piece for piece in pieces]


def _check_place(parts: list[str | Field], shown: str, is_url: bool) -> None:
    """Ask that no row can choose the server, bucket or drive."""
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
    problem = f"stands for each of {', '.join(similar)}" if similar else "is no field of the row"
    raise RowError(f"path_template={redact_url(template)!r}: {name!r} {problem}; its fields are: {there}")


def template_text(path_template: str | os.PathLike[str]) -> str:
    """Give a template as text.

    Raises:
        OptionError: It is none.
    """
    text = os.fspath(path_template) if isinstance(path_template, os.PathLike) else path_template
    if not isinstance(text, str):
        raise OptionError(f"path_template is a {type(text).__name__}; pass text, such as 'out/{{tile_id}}.tif'")
    return text
