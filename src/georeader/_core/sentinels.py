"""Defaults that know that they are defaults."""

from __future__ import annotations


class Unset(int):
    """The number in a signature, told apart from the same number written by a caller.

    Example:
        >>> def tile(side: int = Unset(256)) -> str:
        ...     return "default" if isinstance(side, Unset) else "asked for"
        >>> tile(), tile(256)
        ('default', 'asked for')
    """


#: In place of an argument of which None would say something.
UNSET = Unset(0)
