"""Sentinel that tells an omitted argument from one passed explicitly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Unset:
    """The value of an omitted argument; a signature shows its text, which names what applies instead.

    Example:
        >>> def tile(side: Any = Unset("256")) -> str:
        ...     return "omitted" if isinstance(side, Unset) else "passed"
        >>> tile(), tile(256), Unset("512MiB")
        ('omitted', 'passed', 512MiB)
    """

    text: str = "UNSET"

    def __repr__(self) -> str:
        return self.text


#: In place of an argument for which None has a meaning. Of type Any, so that it can stand for any argument.
UNSET: Any = Unset()
