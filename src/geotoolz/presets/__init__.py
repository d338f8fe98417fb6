"""Operators that are ready for one product each."""

from geotoolz.presets import s2

__all__ = ["s2"]
