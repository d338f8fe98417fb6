"""Legends: the names and colours of classes, or a colour bar with numbers, at the right of a picture of one band.

Text is drawn by Pillow with the font that it contains (ASCII and a few signs), so that a picture does not depend on the
fonts of a system.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.reporting import import_extra
from georeader._render.sizes import Picture
from georeader.errors import OptionError

#: Classes that are listed; the last line says how many are not.
MOST_CLASSES = 32

#: Letters of a class's name that are shown.
NAME_LENGTH = 40

#: Size of the text.
FONT_PX = 12

#: Height of a line.
LINE_PX = 18

#: Space around the legend.
MARGIN_PX = 8

#: Side of a class's square, and width of the colour bar.
SQUARE_PX = 12

#: Numbers beside the colour bar: one for each of these many pixels, from two to five.
TICK_PX = 36

#: Signs beyond ASCII that the font has.
_DRAWN = frozenset("°±·«»")

#: Letters that have no decomposition in Unicode, and how they are spelled in ASCII.
_LIKE = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "ł": "l", "Ł": "L", "đ": "d", "µ": "u", "μ": "u"}
    | {"\N{EN DASH}": "-", "—": "-", "≤": "<=", "≥": ">=", "\N{MULTIPLICATION SIGN}": "x"}
)

_ROW = re.compile(r"<Row\b.*?</Row>", re.DOTALL)
_CELL = re.compile(r"<F>(.*?)</F>|<F\s*/>", re.DOTALL)
_FIELD = re.compile(r"<FieldDefn\b.*?</FieldDefn>", re.DOTALL)
_NAME = re.compile(r"<Name>(.*?)</Name>", re.DOTALL)
_USAGE = re.compile(r"<Usage>\s*(\d+)\s*</Usage>")

#: Usages of columns of GDAL's raster attribute tables (GFU_MinMax, GFU_Name), and names of columns without one.
_VALUE_USAGE, _VALUE_NAMES = "5", ("value",)
_NAME_USAGE, _NAME_NAMES = "2", ("class", "class_name", "classname", "category", "name", "label")

#: Smaller numbers are written without an exponent.
LEAST_EXPONENTIAL = 1e7

#: Names of classes by their values.
ClassNames = Mapping[int, str]


@dataclass(frozen=True)
class Key:
    """What the colours of a picture stand for: classes, or numbers along a ramp."""

    classes: tuple[tuple[str, tuple[int, int, int]], ...] = ()  #: (name, colour)
    more_classes: int = 0  #: Number of classes that are not listed.
    limits: tuple[int | float, int | float] | None = None  #: Values of the first and last colour of the ramp.
    ramp: NDArray[np.uint8] | None = None  #: (n, 3): from the smallest to the largest value.


def check_class_names(names: Any) -> dict[int, str]:
    """Check that names of classes are texts by integers.

    Example:
        >>> check_class_names({1: "water"})
        {1: 'water'}
    """
    if not isinstance(names, Mapping):
        raise OptionError(f"class_names={names!r}; pass a mapping of values to names, such as {{1: 'water'}}")
    found = {}
    for value, name in names.items():
        try:
            number = operator.index(value)
        except TypeError as error:
            raise OptionError(f"class_names: {value!r} is not an integer; pass {{1: 'water'}}") from error
        if not isinstance(name, str):
            raise OptionError(f"class_names: the name of {number} is {name!r}; pass text")
        found[number] = name
    return found


def names_in_table(table: str | None) -> dict[int, str]:
    """Return the names of classes in GDAL's XML of a raster attribute table; none where it has no such columns.

    Example:
        >>> names_in_table(
        ...     "<GDALRasterAttributeTable><FieldDefn><Name>Value</Name></FieldDefn><FieldDefn><Name>Class</Name>"
        ...     "</FieldDefn><Row><F>1</F><F>water &amp; ice</F></Row></GDALRasterAttributeTable>"
        ... )
        {1: 'water & ice'}
    """
    fields = _FIELD.findall(table or "")
    values, names = _column(fields, _VALUE_USAGE, _VALUE_NAMES), _column(fields, _NAME_USAGE, _NAME_NAMES)
    if table is None or values is None or names is None:
        return {}
    found = {}
    for row in _ROW.findall(table):
        cells = [unescape(cell).strip() for cell in _CELL.findall(row)]
        number = _integer(cells[values]) if len(cells) == len(fields) else None
        if number is not None and cells[names]:
            found[number] = cells[names]
    return found


def _column(fields: Sequence[str], usage: str, names: Sequence[str]) -> int | None:
    """Return the position of the column of some usage, else of one of some names."""
    for position, field in enumerate(fields):
        if usage in _USAGE.findall(field):
            return position
    for position, field in enumerate(fields):
        if {name.strip().lower() for name in _NAME.findall(field)} & {*names}:
            return position
    return None


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def key_of_classes(band: NDArray[Any], picture: Picture, names: ClassNames) -> Key:
    """Return the key of the classes of a (row, column) band that its picture shows, by value."""
    is_shown = picture[..., -1] > 0
    values, first = np.unique(band[is_shown], return_index=True)
    channels = picture[is_shown][first[:MOST_CLASSES], :-1]
    colours = channels if channels.shape[1] == 3 else np.repeat(channels, 3, axis=1)
    listed = tuple(
        (_name_of(value, names), (int(red), int(green), int(blue)))
        for value, (red, green, blue) in zip(values[:MOST_CLASSES].tolist(), colours.tolist(), strict=True)
    )
    return Key(classes=listed, more_classes=max(0, len(values) - MOST_CLASSES))


def _name_of(value: Any, names: ClassNames) -> str:
    number = f"{value:g}" if isinstance(value, float) else str(value)
    text = unicodedata.normalize("NFC", " ".join(names.get(value, "").split())) or number
    drawn = [_letters(letter) for letter in text]
    name = "".join(letters or "?" for letters in drawn)
    if not all(drawn):
        name = f"{number}: {name}"  # which of several classes that are "??"
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 3]}..."


def _letters(letter: str) -> str:
    """Return a letter as the font has it, without accents; nothing if it has none like it."""
    if letter in _DRAWN:
        return letter
    return unicodedata.normalize("NFKD", letter.translate(_LIKE)).encode("ascii", "ignore").decode()


def tick_texts(limits: tuple[int | float, int | float], count: int) -> list[str]:
    """Return numbers at equal distances, from the first to the last limit, with as many digits as keep them apart.

    Example:
        >>> tick_texts((0.0, 1.0), 5), tick_texts((0, 9800), 3), tick_texts((1000001, 1000003), 3)
        (['0', '0.25', '0.5', '0.75', '1'], ['0', '4900', '9800'], ['1000001', '1000002', '1000003'])
    """
    low, high = limits
    shares = [position / (count - 1) for position in range(count)]
    values = [low, *(low * (1 - share) + high * share for share in shares[1:-1]), high]
    return number_texts(values)


def number_texts(values: Sequence[float]) -> list[str]:
    """Return numbers as text with as few digits as keep each of them within 1/200 of their range.

    Example:
        >>> number_texts([0.123456, 0.9]), number_texts([1e-9, 2.5]), number_texts([7])
        (['0.123', '0.9'], ['0', '2.5'], ['7'])
    """
    if all(isinstance(value, int) for value in values):
        return [str(value) for value in values]
    range_ = float(max(values)) - float(min(values)) if values else 0.0
    texts = []
    for digits in range(3, 18):
        texts = ["0" if abs(value) < range_ / 2000 else _number(value, digits) for value in values]
        errors = [abs(float(text) - float(value)) for text, value in zip(texts, values, strict=True)]
        if max(errors, default=0.0) <= range_ / 200:
            break
    return texts


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < LEAST_EXPONENTIAL else text


def with_legend(picture: Picture, key: Key) -> Picture:
    """Return a picture of red, green, blue and alpha with its legend at the right, dark on white."""
    colours = picture if picture.shape[2] == 4 else picture[..., [0, 0, 0, 1]]
    panel = _panel(key, colours.shape[0])
    height_px = max(len(colours), len(panel))
    result = np.zeros((height_px, colours.shape[1] + panel.shape[1], 4), np.uint8)
    result[: len(colours), : colours.shape[1]] = colours
    result[:, colours.shape[1] :] = 255
    result[: len(panel), colours.shape[1] :, :3] = panel
    return result


def _panel(key: Key, least_height_px: int) -> NDArray[np.uint8]:
    drawing, images, fonts = (
        import_extra(f"PIL.{module}", extra="pictures", purpose="legend=True", package="pillow")
        for module in ("ImageDraw", "Image", "ImageFont")
    )
    font = fonts.load_default(FONT_PX)
    is_bar = key.limits is not None
    bar_px = max(2 * TICK_PX, least_height_px - 2 * MARGIN_PX - LINE_PX)
    if key.limits is not None:
        texts = tick_texts(key.limits, min(5, max(2, bar_px // TICK_PX + 1)))[::-1]
        tops = [round(position * bar_px / (len(texts) - 1)) for position in range(len(texts))]
    else:
        texts = [name for name, _ in key.classes] + ([f"and {key.more_classes} more"] if key.more_classes else [])
        texts = texts or ["no data"]
        tops = [position * LINE_PX for position in range(len(texts))]
    left = 2 * MARGIN_PX + SQUARE_PX
    size = left + MARGIN_PX + max(round(font.getlength(text)) for text in texts), 2 * MARGIN_PX + LINE_PX + tops[-1]
    image = images.new("RGB", (size[0], max(size[1], least_height_px)), "white")
    draw = drawing.Draw(image)
    middle = MARGIN_PX + LINE_PX // 2
    for text, top in zip(texts, tops, strict=True):
        draw.text((left, middle + top), text, fill="black", font=font, anchor="lm")
    for (_, colour), top in zip(key.classes, tops, strict=False):
        corner = MARGIN_PX, middle + top - SQUARE_PX // 2
        draw.rectangle((*corner, corner[0] + SQUARE_PX, corner[1] + SQUARE_PX), fill=colour, outline="black")
    panel = np.array(image)
    if is_bar and key.ramp is not None:
        levels = np.linspace(len(key.ramp) - 1, 0, bar_px + 1).round().astype(int)
        panel[middle : middle + bar_px + 1, MARGIN_PX : MARGIN_PX + SQUARE_PX] = key.ramp[levels][:, None]
    return panel
