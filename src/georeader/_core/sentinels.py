"""Defaults that know that they are defaults."""

from __future__ import annotations


class Unset(int):
    """The number in a signature, told apart from the same number written by a caller.

    Example:
        >>> def tile(side: int = Unsaid(256)) -> str:
        ...     return "default" if isinstance(side, Unsaid) else "asked for"
        >>> tile(), tile(256)
        ('default', 'asked for')
    """


#: In place of an argument of which None would say something.
UNSET = Unset(0)
