"""Configurations as values of JSON, and as the Python code that builds them. Pure."""

from __future__ import annotations

import enum
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from affine import Affine

from georeader.errors import OptionError


def plain(value: Any, name: str) -> Any:
    """Convert a value to types of JSON: None, bool, int, float, str, lists and dicts of these; always a new one.

    Args:
        value: Those, numpy's scalars and dtypes, enums (by name), CRSs (as WKT), Affines, paths, tuples.
        name: Of the argument, for the message.

    Raises:
        OptionError: It is something else.

    Example:
        >>> plain({"dtype": np.dtype("uint8"), "level": np.int64(3), "of": (1, 2)}, "profile_arg")
        {'dtype': 'uint8', 'level': 3, 'of': [1, 2]}
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(getattr(value, "to_wkt", None)):  # a CRS of rasterio or of pyproj
        return str(value.to_wkt())
    if isinstance(value, Affine):
        return list(value[:6])
    if isinstance(value, os.PathLike):
        return plain(os.fspath(value), name)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(entry, f"{name}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry, f"{name}[{place}]") for place, entry in enumerate(value)]
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, (np.generic, bool, int, float))):
        return np.dtype(value).name
    raise OptionError(
        f"{name} is a {type(value).__name__}, which an operator's configuration can't hold; pass text, numbers, or "
        "lists and mappings (with names for keys) of these"
    )


def code(value: Any) -> str:
    """Write Python code for a value of `plain`.

    Example:
        >>> code({"nodata": float("nan"), "of": [1, None]})
        "{'nodata': float('nan'), 'of': [1, None]}"
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {code(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(code, value)) + "]"
    return repr(value)
