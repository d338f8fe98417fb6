"""Warnings that point to the line of the caller, not into the packages of this project."""

from __future__ import annotations

import sys
import warnings

_PACKAGES = ("georeader", "geotoolz")


def warn_at_caller(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside this project's packages, however many functions lie between.

    Args:
        message: The text.
        category: Of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
