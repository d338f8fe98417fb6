"""Checks that no other distribution has the import name of this package."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

#: A distribution whose modules are named `georeader`, too.
_OTHER = "georeader-spaceml"


@cache
def check_import_name() -> None:
    """Raise ImportError if a distribution is installed whose files replace those of this one, or are replaced by them.

    Example:
        >>> check_import_name()
    """
    try:
        other = distribution(_OTHER)
    except PackageNotFoundError:
        return
    raise ImportError(
        f"{_OTHER} {other.version} and georeader-cog are both installed, and both are imported as georeader: files of "
        f"one replace those of the other. Remove both (pip uninstall -y {_OTHER} georeader-cog), and install one"
    )
