"""Computed numbers to the dtype of the raster."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rounded(numbers: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round finite numbers to integers, halves away from zero, within the range of ``dtype``.

    Args:
        numbers: Floating-point; changed.
        dtype: Of integers.

    >>> rounded(np.array([-2.5, 0.5, 300.0]), np.dtype("int8"))
    array([ -3,   1, 127], dtype=int8)
    """
    limits = np.iinfo(dtype)
    low, high = numbers.dtype.type(limits.min), numbers.dtype.type(limits.max)
    if int(high) > limits.max:  # rounded up on its way here
        high = np.nextafter(high, low)
    numbers += 0.5 if limits.min == 0 else np.copysign(numbers.dtype.type(0.5), numbers)
    np.clip(numbers, low, high, out=numbers)
    return numbers.astype(dtype)
