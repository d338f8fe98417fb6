"""Conversion of reported values to types of JSON. Pure."""

from __future__ import annotations

import math
from typing import Any


def to_jsonable(value: Any) -> Any:
    """Convert a value to types of JSON: tuples to lists, and numbers that JSON does not have to text.

    Example:
        >>> to_jsonable({"bounds": (0.0, float("nan")), "nodata": float("-inf")})
        {'bounds': [0.0, 'nan'], 'nodata': '-inf'}
    """
    if isinstance(value, dict):
        return {name: to_jsonable(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_jsonable(part) for part in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(float(value))
