"""Sizes of memory as people say them: 512 MiB, "2GB". Pure."""

from __future__ import annotations

import operator
import re
from typing import Any

from georeader.errors import OptionError

_SAID = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def memory_bytes(size: Any, name: str = "max_memory") -> int:
    """Give a number of bytes.

    Args:
        size: A whole number of bytes, or text such as "512MiB" (powers of 1024) or "2GB" (powers of 1000).
        name: What to call it in messages.

    Raises:
        OptionError: It is neither, or nothing.

    Example:
        >>> memory_bytes("512MiB"), memory_bytes("1.5 GB"), memory_bytes(4096)
        (536870912, 1500000000, 4096)
    """
    found = _SAID.fullmatch(size) if isinstance(size, str) else None
    if found is not None:
        number, letter, binary = found.groups()
        said = int(float(number) * (1024 if binary else 1000) ** _POWERS[letter.lower()])
    else:
        said = _whole(size, name)
    if said <= 0:
        raise OptionError(f"{name}={size!r} is no memory at all; give bytes, or text such as '512MiB'")
    return said


def _whole(size: Any, name: str) -> int:
    message = f"{name}={size!r} is no size; give bytes, or text such as '512MiB' or '2GB'"
    if isinstance(size, (bool, str)):
        raise OptionError(message)
    try:
        return operator.index(size)
    except TypeError as error:
        raise OptionError(message) from error
