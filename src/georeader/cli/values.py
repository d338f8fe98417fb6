"""Values of options: from text to what Python has."""

from __future__ import annotations

import click


def pair(text: str) -> tuple[str, str]:
    """Split KEY=VALUE at the first "=".

    Raises:
        click.BadParameter: It is not of that form.

    Example:
        >>> pair("EXPR=a=b")
        ('EXPR', 'a=b')
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return key.strip(), value


def number_or_none(text: str) -> int | float | str:
    """Convert a text to a number, "nan", or "none", which stays text; whole numbers are int, as 64-bit nodata must be.

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
