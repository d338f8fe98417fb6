"""Sentinel that tells an omitted argument from one passed explicitly."""

from __future__ import annotations

from typing import Any


class Unset:
    """The value of an omitted argument.

    A signature shows its text, which names what applies instead.

    Example:
        >>> def tile(side: Any = Unset("256")) -> str:
        ...     return "omitted" if isinstance(side, Unset) else "passed"
        >>> tile(), tile(256), Unset("512MiB")
        ('omitted', 'passed', 512MiB)
    """

    def __init__(self, text: str = "UNSET") -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


#: In place of an argument for which None has a meaning. Of type Any, so that it can stand for any argument.
UNSET: Any = Unset()
