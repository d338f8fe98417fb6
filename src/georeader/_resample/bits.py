"""Choosing between numbers by their bits: as fast for scattered missing pixels as for none.

`numpy.where` takes one branch per pixel; where valid and missing pixels mix at random, the processor guesses wrong and
the choice takes twenty times as long as an addition. A bitwise and with all ones or all zeros has no branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def filled(values: NDArray[Any], is_kept: NDArray[np.bool_], fill: Any) -> NDArray[Any]:
    """Give ``values`` where ``is_kept``, else ``fill``: a new array of the same dtype.

    Args:
        values: Of any shape; integers, floating-point or complex numbers in native byte order.
        is_kept: Of the same shape.
        fill: A number that the dtype holds.

    >>> filled(np.array([1.5, np.nan, 3.0]), np.array([True, False, True]), -1)
    array([ 1.5, -1. ,  3. ])
    """
    if values.dtype.itemsize > 8:
        return np.where(is_kept, values, values.dtype.type(fill))
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    ones = np.negative(is_kept.astype(unsigned))
    kept = np.bitwise_and(values.view(unsigned), ones)
    pattern = np.array(fill, values.dtype).view(unsigned)
    if pattern:
        np.invert(ones, out=ones)
        ones &= pattern
        kept |= ones
    return np.asarray(kept.view(values.dtype))
